//! An exhaustive search over small programs: whatever is submitted to whichever engine, and however far the engines
//! have come meanwhile, two accesses that conflict are ordered, and nobody waits for an access that does not.

use super::*;
use std::cell::Cell;
use std::rc::Rc;

const ENGINES: usize = 2;
const BLOCKS: usize = 2;
const LENGTH: usize = 4;

/// What each engine has finished, as counts of its submissions.
type Progress = Rc<[Cell<usize>; ENGINES]>;

#[derive(Clone)]
struct Fake {
    engine: usize,
    value: usize,
    progress: Progress,
}

impl Point for Fake {
    fn shares_timeline(&self, other: &Self) -> bool {
        self.engine == other.engine
    }

    fn value(&self) -> u64 {
        self.value as u64
    }

    fn reached(&self) -> u64 {
        self.progress[self.engine].get() as u64
    }
}

/// A submission: it reads some blocks and writes one.
#[derive(Clone, Copy, Debug)]
struct Access {
    engine: usize,
    writes: usize,
    /// Bit per block; the block written is not read.
    reads: usize,
}

impl Access {
    fn all() -> impl Iterator<Item = Access> {
        (0..ENGINES).flat_map(|engine| {
            (0..BLOCKS).flat_map(move |writes| {
                (0..1 << BLOCKS).filter(move |reads| reads >> writes & 1 == 0).map(move |reads| Access {
                    engine,
                    writes,
                    reads,
                })
            })
        })
    }

    fn conflicts(self, other: Access) -> bool {
        let touches = |a: Access, block: usize| a.writes == block || a.reads >> block & 1 == 1;
        touches(self, other.writes) || touches(other, self.writes)
    }
}

/// A submission with what is known of it.
#[derive(Clone)]
struct Done {
    access: Access,
    value: usize,
    /// Submissions that are over before this one starts, as a bit set.
    before: u32,
}

#[derive(Default)]
struct Search {
    program: Vec<Done>,
    programs: usize,
    waits: usize,
}

impl Search {
    fn go(&mut self, blocks: &[Uses<Fake>; BLOCKS], progress: &Progress) {
        if self.program.len() == LENGTH {
            self.programs += 1;
            return;
        }
        for access in Access::all() {
            let mut blocks = blocks.clone();
            let value = 1 + self.program.iter().filter(|d| d.access.engine == access.engine).count();
            let before = self.order(access, &blocks, progress);
            let point = Fake { engine: access.engine, value, progress: progress.clone() };
            for (block, uses) in blocks.iter_mut().enumerate() {
                if block == access.writes {
                    uses.written_at(&point, 0);
                } else if access.reads >> block & 1 == 1 {
                    uses.read_until(&point, 0);
                }
            }
            self.program.push(Done { access, value, before });
            self.advance(&blocks, progress, 0);
            self.program.pop();
        }
    }

    /// What is over before `access` starts, checked against what has to be.
    fn order(&mut self, access: Access, blocks: &[Uses<Fake>; BLOCKS], progress: &Progress) -> u32 {
        let mut waits = Latest::default();
        for (block, uses) in blocks.iter().enumerate() {
            if block == access.writes {
                waits.add_all(uses.before_write());
            } else if access.reads >> block & 1 == 1 {
                waits.add_all(uses.before_read());
            }
        }
        let waits = waits.into_vec();
        self.waits += waits.len();
        let mut before = 0;
        for (i, done) in self.program.iter().enumerate() {
            let waited = |w: &Fake| w.engine == done.access.engine && w.value >= done.value;
            let over = progress[done.access.engine].get() >= done.value;
            if done.access.engine == access.engine || over || waits.iter().any(waited) {
                before |= 1 << i | done.before;
            }
        }
        for (i, done) in self.program.iter().enumerate() {
            assert!(
                before >> i & 1 == 1 || !access.conflicts(done.access),
                "{access:?} may run beside {:?}, behind {:?}",
                done.access,
                self.program.iter().map(|d| d.access).collect::<Vec<_>>()
            );
        }
        for wait in &waits {
            let named = self.program.iter().find(|d| d.access.engine == wait.engine && d.value == wait.value);
            assert!(access.conflicts(named.expect("a submission").access), "{access:?} waits for nothing");
        }
        before
    }

    /// Every way in which the engines may come further before the next submission.
    fn advance(&mut self, blocks: &[Uses<Fake>; BLOCKS], progress: &Progress, engine: usize) {
        if engine == ENGINES {
            let consistent = self.program.iter().all(|done| {
                let over = |d: &Done| progress[d.access.engine].get() >= d.value;
                !over(done)
                    || self.program.iter().enumerate().all(|(i, d)| done.before >> i & 1 == 0 || over(d))
            });
            if consistent {
                self.go(blocks, progress);
            }
            return;
        }
        let known = progress[engine].get();
        let submitted = self.program.iter().filter(|d| d.access.engine == engine).count();
        for reached in known..=submitted {
            progress[engine].set(reached);
            self.advance(blocks, progress, engine + 1);
        }
        progress[engine].set(known);
    }
}

#[test]
fn conflicting_accesses_are_ordered_in_every_small_program() {
    let mut search = Search::default();
    search.go(&Default::default(), &Progress::default());
    assert!(search.programs > 100_000 && search.waits > 10_000, "{} {}", search.programs, search.waits);
}

#[test]
fn a_write_makes_all_before_it_forgotten_once_it_is_over() {
    let progress = Progress::default();
    let point = |engine, value| Fake { engine, value, progress: progress.clone() };
    let mut uses = Uses::written_by(point(0, 1));
    uses.read_until(&point(1, 4), 9);
    uses.read_until(&point(1, 2), 3);
    let values = |uses: &Uses<Fake>| uses.before_write().map(|p| (p.engine, p.value)).collect::<Vec<_>>();
    assert_eq!(values(&uses), [(0, 1), (1, 4)]);
    assert_eq!((uses.written_time(), uses.free_time()), (0, 9));
    uses.written_at(&point(1, 5), 20);
    assert_eq!(values(&uses), [(1, 5), (0, 1)], "on a timeline of its own, the reads are before it anyway");
    progress[0].set(1);
    assert_eq!(values(&uses), [(1, 5)]);
    assert_eq!((uses.written_time(), uses.free_time()), (20, 20));
    assert!(!uses.is_idle());
    progress[1].set(5);
    assert!(uses.is_idle());
}

/// The channel of a write dies before the write begins, and while what it waits for goes on.
#[test]
fn what_a_lost_write_waited_for_is_waited_for() {
    let progress = Progress::default();
    let point = |engine, value| Fake { engine, value, progress: progress.clone() };
    let mut uses = Uses::default();
    uses.read_until(&point(1, 1), 0);
    uses.written_at(&point(0, 1), 0);
    uses.written_at(&point(0, 2), 0);
    progress[0].set(2);
    assert!(uses.before_read().next().is_none(), "there is nothing to be read");
    let before: Vec<_> = uses.before_write().map(|point| (point.engine, point.value)).collect();
    assert_eq!(before, [(1, 1)]);
    assert!(!uses.is_idle());
    progress[1].set(1);
    assert!(uses.is_idle());
}

/// Points that were taken out are kept to be written into: none of them comes back, with whatever value, unless it is added.
#[test]
fn what_is_kept_to_be_written_into_is_not_in() {
    let progress = Progress::default();
    let point = |engine, value| Fake { engine, value, progress: progress.clone() };
    let values = |points: &Latest<Fake>| {
        let mut values: Vec<_> = points.as_slice().iter().map(|p| (p.engine, p.value)).collect();
        values.sort_unstable();
        values
    };
    let mut points = Latest::default();
    for engine in 0..3 * MAX_SPARE {
        points.add(&point(engine, 9));
    }
    assert_eq!(values(&points).len(), 3 * MAX_SPARE);
    points.retain(|point| point.engine == 1 || point.engine == 2 * MAX_SPARE);
    assert_eq!(values(&points), [(1, 9), (2 * MAX_SPARE, 9)]);
    assert!(points.points.len() <= 2 + MAX_SPARE, "no more than so many are kept");
    points.add(&point(0, 3));
    points.add(&point(1, 4));
    assert_eq!(values(&points), [(0, 3), (1, 9), (2 * MAX_SPARE, 9)], "an older point of engine 0 is added");
    points.clear();
    assert!(points.is_empty() && points.as_slice().is_empty() && points.clone().into_vec().is_empty());
    points.add(&point(1, 2));
    assert_eq!(values(&points.clone()), [(1, 2)]);
    assert_eq!(points.into_vec().len(), 1);
}
