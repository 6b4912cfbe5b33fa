use super::*;

fn graph(references: &[&[usize]]) -> Graph {
    let node = |references: &&[usize]| Node { cycles: 10, references: references.to_vec() };
    Graph::new(references.iter().map(node).collect())
}

fn means(speeds: &[f64], surfaces: usize, loops: u32) -> Means<'_> {
    Means { speeds, surfaces, loops }
}

#[test]
fn a_chain_gains_nothing_from_engines() {
    let chain = graph(&[&[], &[0], &[1], &[2], &[3]]);
    assert_eq!((chain.work(), chain.critical_path()), (50, 50));
    let bound = chain.bound(&means(&[1.0; 7], 100, 1));
    assert_eq!((bound.cycles(), bound.by()), (50.0, "critical path"));
    // Repeated, one begins while the other is under way: seven chains on seven engines.
    let bound = chain.bound(&means(&[1.0; 7], 100, 14));
    assert_eq!((bound.cycles(), bound.by()), (100.0, "work"));
}

#[test]
fn pictures_alone_take_the_engines_they_get() {
    let alone = graph(&[&[] as &[usize]; 14]);
    assert_eq!(alone.bound(&means(&[1.0; 7], 100, 1)).cycles(), 20.0);
    // Each surface is taken for one picture's time: fewer surfaces than engines leave engines without.
    assert_eq!(alone.residence(), 140);
    let bound = alone.bound(&means(&[1.0; 7], 4, 1));
    assert_eq!((bound.cycles(), bound.by()), (35.0, "surfaces"));
}

#[test]
fn engines_of_unequal_speed() {
    let alone = graph(&[&[] as &[usize]; 9]);
    let speeds = [1.0, 0.5, 1.5];
    assert_eq!(alone.bound(&means(&speeds, 100, 1)).work, 30.0);
    // A chain is as fast as the fastest of them.
    let chain = graph(&[&[], &[0], &[1]]);
    assert_eq!(chain.bound(&means(&speeds, 100, 1)).critical_path, 20.0);
}

#[test]
fn a_surface_is_taken_until_its_last_reader_is_done() {
    // 0 is read by 1 and by 3, which comes behind 1 and 2.
    let graph = graph(&[&[], &[0], &[1], &[0, 2]]);
    assert_eq!(graph.residence_of(0), 40);
    assert_eq!(graph.residence_of(1), 20);
    assert_eq!(graph.residence_of(3), 10);
    assert_eq!(graph.residence(), 40 + 20 + 20 + 10);
}

#[test]
fn of_nothing_nothing() {
    let bound = graph(&[]).bound(&means(&[1.0], 1, 1));
    assert_eq!(bound.cycles(), 0.0);
    assert!(graph(&[]).is_empty());
}

#[test]
#[should_panic(expected = "references.iter().all")]
fn pictures_refer_to_those_before() {
    graph(&[&[1], &[]]);
}

/// The bound holds: on engines of any speed, no run of list scheduling is faster.
#[test]
fn no_schedule_beats_the_bound() {
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for _ in 0..200 {
        let count = 1 + random(40) as usize;
        let nodes = (0..count).map(|at| {
            let references = (0..random(3)).filter(|_| at > 0).map(|_| random(at as u64) as usize).collect();
            Node { cycles: 1 + random(100), references }
        });
        let graph = Graph::new(nodes.collect());
        let engines = 1 + random(7) as usize;
        let surfaces = 1 + count / 2 + random(20) as usize;
        let time = simulate(&graph, engines, surfaces);
        let bound = graph.bound(&means(&vec![1.0; engines], surfaces, 1));
        if let Some(time) = time {
            assert!(bound.cycles() <= time as f64 + 1e-6, "{bound:?} {time} {engines} {surfaces} {graph:?}");
        }
    }
}

/// Pictures in order, each on the engine and the surface that are free first; `None` if it would need more surfaces.
fn simulate(graph: &Graph, engines: usize, surfaces: usize) -> Option<u64> {
    let mut free = vec![0u64; engines];
    let mut ends: Vec<u64> = Vec::new();
    // Pictures whose surfaces are taken.
    let mut held: Vec<usize> = Vec::new();
    for (at, node) in graph.pictures.iter().enumerate() {
        let mut ready = node.references.iter().map(|&r| ends[r]).max().unwrap_or(0);
        if held.len() == surfaces {
            // Those that no later picture reads are free when the last picture that reads them is done.
            let unread = |p: &usize| graph.pictures[at..].iter().all(|later| !later.references.contains(p));
            let released = |p: usize| {
                let readers =
                    graph.pictures[..at].iter().zip(&ends).filter(|(node, _)| node.references.contains(&p));
                readers.map(|(_, end)| *end).chain([ends[p]]).max().unwrap_or(0)
            };
            let first = held.iter().copied().filter(|p| unread(p)).min_by_key(|&p| released(p))?;
            ready = ready.max(released(first));
            held.retain(|&p| p != first);
        }
        let engine = (0..engines).min_by_key(|&e| free[e]).unwrap();
        let end = ready.max(free[engine]) + node.cycles;
        free[engine] = end;
        ends.push(end);
        held.push(at);
    }
    ends.into_iter().max()
}
