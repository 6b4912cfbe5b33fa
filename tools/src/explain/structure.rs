//! [`Structure`]: what refers to what in a film, and hence how many engines it keeps at work.

use std::collections::HashMap;

use serde::Serialize;

use crate::bench::bound::{Graph, Means, Node};
use crate::film::Film;
use crate::parse::ParsedStream;

/// Engines of a machine that has more than any film keeps at work.
const MANY: usize = 1000;
/// Names of the modes, and the surfaces that they have.
const MODES: [(&str, usize); 2] = [("balanced", 64), ("throughput", 256)];

/// What refers to what. Field names are those of the JSON output.
#[derive(Clone, Debug, Serialize)]
pub struct Structure {
    /// Share of the pictures that no other is predicted from.
    pub non_reference: f64,
    /// Pictures of the longest chain of which each refers to the one before.
    pub longest_chain: u64,
    /// How many engines the film keeps at work, by mode.
    pub engines: Vec<Parallel>,
}

/// How many engines a film keeps at work at most, if all pictures take equally long.
#[derive(Clone, Debug, Serialize)]
pub struct Parallel {
    /// The mode.
    pub mode: &'static str,
    /// Surfaces that it has.
    pub surfaces: usize,
    /// As many times as fast as one engine, on any number of them.
    pub engines: f64,
    /// What there could be more of then: critical path or surfaces.
    pub bound_by: &'static str,
}

impl Structure {
    /// Of a film.
    pub(super) fn of(parsed: &ParsedStream, film: &Film) -> Structure {
        let index = film.video().index();
        let unread = (0..index.len()).filter_map(|number| index.picture(number));
        let unread = unread.filter(|picture| !picture.reference).count();
        let graph = graph(parsed);
        let engines = MODES.map(|(mode, surfaces)| {
            let speeds = vec![1.0; MANY];
            let bound = graph.bound(&Means { speeds: &speeds, surfaces, loops: 1 });
            let engines = graph.work() as f64 / bound.cycles().max(1.0);
            Parallel { mode, surfaces, engines, bound_by: bound.by() }
        });
        Structure {
            non_reference: unread as f64 / index.len().max(1) as f64,
            longest_chain: graph.critical_path(),
            engines: engines.to_vec(),
        }
    }
}

/// The pictures that are decoded, each of which costs 1, with those that they may refer to.
fn graph(parsed: &ParsedStream) -> Graph {
    let mut last: HashMap<i32, usize> = HashMap::new();
    let mut nodes: Vec<Node> = Vec::new();
    for picture in parsed.pictures.iter().filter(|picture| !picture.skipped) {
        // An IDR picture begins to count anew.
        if picture.nal_unit_type.starts_with("IDR") {
            last.clear();
        }
        let lists = [&picture.references_before, &picture.references_after, &picture.references_long_term];
        let references = lists.into_iter().flatten().filter_map(|poc| last.get(poc).copied()).collect();
        last.insert(picture.poc, nodes.len());
        nodes.push(Node { cycles: 1, references });
    }
    Graph::new(nodes)
}
