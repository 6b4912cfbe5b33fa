//! Tensors in one memory, whose conversions run on timelines that may die, and whose readers take their time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Default)]
struct World {
    timelines: RefCell<Vec<Line>>,
    words: RefCell<Vec<u32>>,
    /// How often a word was looked at.
    looks: Cell<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    submitted: u64,
    reached: u64,
    /// How far it was when it died.
    ended: Option<u64>,
}

impl World {
    fn timeline(&self) -> usize {
        self.timelines.borrow_mut().push(Line::default());
        self.timelines.borrow().len() - 1
    }

    fn edit(&self, timeline: usize, change: impl FnOnce(&mut Line)) {
        change(&mut self.timelines.borrow_mut()[timeline]);
    }

    fn kill(&self, timeline: usize) {
        self.edit(timeline, |line| (line.ended, line.reached) = (Some(line.reached), u64::MAX));
    }

    fn submit(self: &Rc<Self>, timeline: usize) -> Fake {
        self.edit(timeline, |line| line.submitted += 1);
        let value = self.timelines.borrow()[timeline].submitted;
        Fake { timeline, value, world: self.clone() }
    }

    fn reach(&self, point: &Fake) {
        self.edit(point.timeline, |line| line.reached = point.value);
    }

    fn word(self: &Rc<Self>, number: usize, value: u32) -> FakeWord {
        let mut words = self.words.borrow_mut();
        let count = words.len().max(number + 1);
        words.resize(count, 0);
        FakeWord { number, value, world: self.clone() }
    }

    fn write(&self, word: &FakeWord) {
        self.words.borrow_mut()[word.number] = word.value;
    }
}

#[derive(Clone, Debug)]
struct Fake {
    timeline: usize,
    value: u64,
    world: Rc<World>,
}

impl Point for Fake {
    fn shares_timeline(&self, other: &Self) -> bool {
        self.timeline == other.timeline
    }

    fn value(&self) -> u64 {
        self.value
    }

    fn reached(&self) -> u64 {
        self.world.timelines.borrow()[self.timeline].reached
    }
}

impl Conversion for Fake {
    fn is_lost(&self) -> bool {
        self.world.timelines.borrow()[self.timeline].ended.is_some_and(|ended| self.value > ended)
    }
}

#[derive(Clone, Debug)]
struct FakeWord {
    number: usize,
    value: u32,
    world: Rc<World>,
}

impl FakeWord {
    fn is_there(&self) -> bool {
        self.world.words.borrow()[self.number] >= self.value
    }
}

impl Word for FakeWord {
    fn is_written(&self) -> bool {
        self.world.looks.set(self.world.looks.get() + 1);
        self.is_there()
    }

    fn includes(&self, other: &Self) -> bool {
        self.number == other.number && self.value >= other.value
    }
}

/// Timelines and values of points, numbers and values of words.
type Awaited = (Vec<(usize, u64)>, Vec<(usize, u32)>);

fn awaited(uses: &mut Uses<Fake, FakeWord>) -> Awaited {
    let (points, words) = uses.before_conversion();
    let points = points.iter().map(|point| (point.timeline, point.value)).collect();
    (points, words.iter().map(|word| (word.number, word.value)).collect())
}

#[test]
fn what_lost_conversions_waited_for_is_waited_for() {
    let world = Rc::new(World::default());
    let [a, b, reader] = [(); 3].map(|()| world.timeline());
    let read = world.submit(reader);
    let mut uses = Uses::default();
    uses.read_until(&read);
    uses.read_until_word(world.word(0, 1));
    assert_eq!(awaited(&mut uses), (vec![(reader, 1)], vec![(0, 1)]));
    uses.converted(&world.submit(a), true);
    uses.converted(&world.submit(b), false);
    let all = (vec![(a, 1), (b, 1), (reader, 1)], vec![(0, 1)]);
    assert_eq!(awaited(&mut uses), all, "they may be lost yet");
    world.kill(a);
    world.kill(b);
    assert_eq!(awaited(&mut uses), (vec![(reader, 1)], vec![(0, 1)]));
    // The next one is lost as well, and who reads the memory meanwhile.
    let c = world.timeline();
    uses.converted(&world.submit(c), true);
    uses.read_until_word(world.word(1, 1));
    world.kill(c);
    assert_eq!(awaited(&mut uses), (vec![(reader, 1)], vec![(1, 1), (0, 1)]));
    world.reach(&read);
    world.write(&world.word(0, 1));
    assert_eq!(awaited(&mut uses), (vec![], vec![(1, 1)]));
    assert!(uses.before.is_empty());
}

#[test]
fn a_conversion_that_was_made_had_waited_for_all() {
    let world = Rc::new(World::default());
    let [a, b] = [(); 2].map(|()| world.timeline());
    let mut uses = Uses::default();
    uses.read_until_word(world.word(0, 1));
    uses.converted(&world.submit(a), true);
    world.kill(a);
    awaited(&mut uses);
    // It is behind nothing but what the lost one was behind.
    let looks = world.looks.get();
    let made = world.submit(b);
    uses.converted(&made, true);
    world.reach(&made);
    world.submit(b);
    world.kill(b);
    assert_eq!(awaited(&mut uses), (vec![], vec![]), "the channel died later");
    assert_eq!(world.looks.get(), looks, "the word is not even looked at");
}

/// However far conversions are behind, no more is remembered than there are of them, and of a word only the last value is waited for.
#[test]
fn what_is_remembered_has_an_end() {
    let world = Rc::new(World::default());
    let [a, reader] = [(); 2].map(|()| world.timeline());
    let mut uses = Uses::default();
    let mut before = None::<Fake>;
    for value in 1..1000 {
        awaited(&mut uses);
        let point = world.submit(a);
        uses.converted(&point, true);
        uses.read_until_word(world.word(0, value));
        uses.read_until(&world.submit(reader));
        // One is under way all the time.
        if let Some(before) = before.replace(point) {
            world.reach(&before);
        }
        assert!(uses.before.len() <= 2);
    }
    for value in 1000..1100 {
        let (points, words) = awaited(&mut uses);
        assert_eq!((points.len(), words), (2, vec![(0, value - 1)]));
        uses.converted(&world.submit(a), true);
        uses.read_until_word(world.word(0, value));
        uses.read_until(&world.submit(reader));
    }
    assert_eq!(world.looks.get(), 0, "nothing died");
}

/// Where readers are done in time there is nothing to remember.
#[test]
fn nothing_is_remembered_of_what_is_over() {
    let world = Rc::new(World::default());
    let [a, reader] = [(); 2].map(|()| world.timeline());
    let mut uses = Uses::default();
    for _ in 0..10 {
        awaited(&mut uses);
        uses.converted(&world.submit(a), true);
        let read = world.submit(reader);
        uses.read_until(&read);
        world.reach(&read);
        assert_eq!(uses.before.capacity(), 0);
    }
}

#[derive(Clone, Copy, Debug)]
enum Reader {
    None,
    /// It writes a word that nobody else does.
    OwnWord,
    /// It writes the next value of a word that others write before.
    SharedWord,
    Point,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody asks for the memory, and puts nothing there.
    Nothing,
    /// A tensor of a conversion on each of two lanes, or on one, and who reads it.
    Tensor([bool; 2], Reader),
    /// An engine comes to its next conversion, if that has to wait for nothing.
    Run(usize),
    Kill(usize),
    /// One of those that read is done.
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reader =
        prop_oneof![Just(Reader::None), Just(Reader::OwnWord), Just(Reader::SharedWord), Just(Reader::Point)];
    let lanes = prop_oneof![Just([true, false]), Just([false, true]), Just([true, true])];
    let step = prop_oneof![
        1 => Just(Step::Nothing),
        4 => (lanes, reader).prop_map(|(lanes, reader)| Step::Tensor(lanes, reader)),
        4 => (0..2usize).prop_map(Step::Run),
        2 => (0..2usize).prop_map(Step::Kill),
        3 => (0..8usize).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..40)
}

enum Signal {
    Word(FakeWord),
    Point(Fake),
}

struct Pending {
    tensor: usize,
    point: Fake,
    waits: (Vec<Fake>, Vec<FakeWord>),
}

/// One memory, and all who use it.
struct Sim {
    world: Rc<World>,
    uses: Uses<Fake, FakeWord>,
    lanes: [usize; 2],
    /// The conversions of each tensor.
    tensors: Vec<Vec<Fake>>,
    pending: Vec<Pending>,
    /// Those that are not done with a tensor.
    reading: Vec<(usize, Signal)>,
    shared: u32,
}

impl Sim {
    fn new() -> Sim {
        let world = Rc::new(World::default());
        let lanes = [(); 2].map(|()| world.timeline());
        let (tensors, pending, reading) = (Vec::new(), Vec::new(), Vec::new());
        Sim { world, uses: Uses::default(), lanes, tensors, pending, reading, shared: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Nothing => drop(self.uses.before_conversion()),
            Step::Tensor(lanes, reader) => self.tensor(lanes, reader),
            Step::Run(lane) => self.run(lane),
            Step::Kill(lane) => {
                let timeline = self.lanes[lane];
                self.world.kill(timeline);
                self.pending.retain(|pending| pending.point.timeline != timeline);
                self.lanes[lane] = self.world.timeline();
            }
            Step::Read(at) if at < self.reading.len() => self.read(at),
            Step::Read(_) => {}
        }
    }

    fn tensor(&mut self, lanes: [bool; 2], reader: Reader) {
        let waits = self.uses.before_conversion();
        let tensor = self.tensors.len();
        let lanes = self.lanes.into_iter().zip(lanes).filter_map(|(lane, is_used)| is_used.then_some(lane));
        let points: Vec<_> = lanes.map(|lane| self.world.submit(lane)).collect();
        for (number, point) in points.iter().enumerate() {
            self.uses.converted(point, number == 0);
            self.pending.push(Pending { tensor, point: point.clone(), waits: waits.clone() });
        }
        self.tensors.push(points);
        let signal = match reader {
            Reader::None => return,
            Reader::OwnWord => Signal::Word(self.world.word(1 + tensor, 1)),
            Reader::SharedWord => {
                self.shared += 1;
                Signal::Word(self.world.word(0, self.shared))
            }
            Reader::Point => Signal::Point(self.world.submit(self.world.timeline())),
        };
        match &signal {
            Signal::Word(word) => self.uses.read_until_word(word.clone()),
            Signal::Point(point) => self.uses.read_until(point),
        }
        self.reading.push((tensor, signal));
    }

    fn run(&mut self, lane: usize) {
        let of_lane = |pending: &Pending| pending.point.timeline == self.lanes[lane];
        let Some(at) = self.pending.iter().position(of_lane) else { return };
        let Pending { tensor, point, waits: (points, words) } = &self.pending[at];
        if points.iter().all(Point::is_reached) && words.iter().all(FakeWord::is_there) {
            assert!(
                self.reading.iter().all(|(read, _)| read >= tensor),
                "{tensor} is written while one is read"
            );
            assert!(self.pending.iter().all(|other| other.tensor >= *tensor), "{tensor} comes too early");
            self.world.reach(point);
            self.pending.remove(at);
        }
    }

    fn read(&mut self, at: usize) {
        let (tensor, signal) = &self.reading[at];
        let is_shared = |signal: &Signal| matches!(signal, Signal::Word(word) if word.number == 0);
        let has_turn = !is_shared(signal) || !self.reading[..at].iter().any(|(_, before)| is_shared(before));
        if has_turn && self.tensors[*tensor].iter().all(Point::is_reached) {
            match signal {
                Signal::Word(word) => self.world.write(word),
                Signal::Point(point) => self.world.reach(point),
            }
            self.reading.remove(at);
        }
    }
}

proptest! {
    /// No tensor is written while one before it is read, and all of them are in the end, whatever dies.
    #[test]
    fn nobody_is_overtaken(steps in steps()) {
        let mut sim = Sim::new();
        steps.into_iter().for_each(|step| sim.step(step));
        sim.tensor([true, true], Reader::None);
        while !(sim.pending.is_empty() && sim.reading.is_empty()) {
            let left = sim.pending.len() + sim.reading.len();
            (0..2).for_each(|lane| sim.run(lane));
            (0..sim.reading.len()).rev().for_each(|at| sim.read(at));
            prop_assert!(sim.pending.len() + sim.reading.len() < left, "they wait for each other");
        }
        prop_assert_eq!(awaited(&mut sim.uses), (vec![], vec![]));
        prop_assert!(sim.uses.before.is_empty());
    }
}
