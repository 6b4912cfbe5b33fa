//! The Chrome trace event format, which Perfetto (<https://ui.perfetto.dev>) and `chrome://tracing` open.
//!
//! A process for the GPU with a thread for each engine, and one for the host. Pictures, copies and conversions are complete
//! events (`X`), waits between queues flow events (`s`, `f`), submissions instants (`i`). Times are in microseconds from the
//! first event.

use std::collections::{BTreeSet, HashMap};

use hcq::EngineType;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Recording, WaitFor};

const GPU: u32 = 1;
const HOST: u32 = 2;
/// The host's only thread.
const DECODER: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    trace_events: Vec<Event>,
    display_time_unit: &'static str,
}

/// One event; names of fields are the format's.
#[derive(Clone, Debug, Serialize)]
struct Event {
    name: String,
    ph: &'static str,
    pid: u32,
    tid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    /// Ties the two ends of a flow together.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// `e`: a flow ends in the slice that lies there, not in the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    /// `t`: an instant concerns its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
}

impl Event {
    fn new(ph: &'static str, name: String, (pid, tid): (u32, u32)) -> Event {
        Event { name, ph, pid, tid, ts: None, dur: None, cat: None, id: None, bp: None, s: None, args: None }
    }
}

/// Events of a recording.
pub(super) fn document(recording: &Recording) -> Document {
    let Recording { title, pictures, copies, conversions, stalls, .. } = recording;
    let others = || copies.iter().chain(conversions);
    let begins = pictures.iter().flat_map(|p| [p.begin, p.submitted]).chain(others().map(|c| c.begin));
    let zero = begins.chain(stalls.iter().map(|stall| stall.0)).min().unwrap_or(0);
    let time = |at: u64| at.saturating_sub(zero) as f64 / 1e3;
    let engines: BTreeSet<EngineType> = pictures.iter().map(|p| p.engine).collect();
    let threads: HashMap<EngineType, u32> = engines.iter().copied().zip(1..).collect();
    let thread = |engine: EngineType| (GPU, threads[&engine]);
    // What copies works for its queues in turns, so that their slices overlap.
    let queues: BTreeSet<(EngineType, u64)> = others().map(|c| (c.engine, c.queue)).collect();
    let copiers: HashMap<(EngineType, u64), u32> =
        queues.iter().copied().zip(threads.len() as u32 + 1..).collect();

    let mut events = Vec::new();
    let mut named = |what: &str, name: &str, place| {
        let event = Event { args: Some(json!({ "name": name })), ..Event::new("M", what.to_owned(), place) };
        events.push(event);
    };
    named("process_name", title, (GPU, 0));
    named("process_name", "host", (HOST, 0));
    for engine in &engines {
        named("thread_name", &engine.to_string(), thread(*engine));
    }
    for (engine, queue) in &queues {
        named("thread_name", &format!("{engine}, queue {queue}"), (GPU, copiers[&(*engine, *queue)]));
    }
    named("thread_name", "decoder", (HOST, DECODER));

    let slice = |name: String, place, cat, begin: u64, end: u64| Event {
        ts: Some(time(begin)),
        dur: Some(end.saturating_sub(begin) as f64 / 1e3),
        cat: Some(cat),
        ..Event::new("X", name, place)
    };
    for picture in pictures {
        let waits: Vec<String> = picture
            .waits
            .iter()
            .map(|wait| match wait.on {
                WaitFor::Reference(number) => format!("picture {number}, a reference"),
                WaitFor::Reuse(number) => format!("picture {number}, on memory to be used again"),
                WaitFor::Copy => "a copy engine".to_owned(),
                WaitFor::Conversion => "a conversion".to_owned(),
            })
            .collect();
        let name = format!("#{} POC {}", picture.number, picture.poc);
        events.push(Event {
            args: Some(json!({
                "picture": picture.number,
                "poc": picture.poc,
                "bytes": picture.bytes,
                "cycles": picture.cycles,
                "references": picture.references,
                "waits": waits,
                "queued_us": picture.begin.saturating_sub(picture.submitted) as f64 / 1e3,
            })),
            ..slice(name, thread(picture.engine), "decode", picture.begin, picture.end)
        });
        events.push(Event {
            ts: Some(time(picture.submitted)),
            s: Some("t"),
            cat: Some("submit"),
            ..Event::new("i", format!("submit #{}", picture.number), (HOST, DECODER))
        });
    }
    for copy in copies {
        let name =
            copy.pictures.first().map_or("clear or move".to_owned(), |number| format!("copy #{number}"));
        events.push(slice(name, (GPU, copiers[&(copy.engine, copy.queue)]), "copy", copy.begin, copy.end));
    }
    for conversion in conversions {
        let numbers = conversion.pictures.iter().map(|number| format!(" #{number}"));
        let name = format!("convert{}", numbers.collect::<String>());
        let place = (GPU, copiers[&(conversion.engine, conversion.queue)]);
        events.push(slice(name, place, "convert", conversion.begin, conversion.end));
    }
    for &(begin, end) in stalls {
        events.push(slice("no surface free".to_owned(), (HOST, DECODER), "wait", begin, end));
    }

    let by_number: HashMap<u64, _> = pictures.iter().map(|picture| (picture.number, picture)).collect();
    let mut id = 0;
    for picture in pictures {
        for wait in &picture.waits {
            let (WaitFor::Reference(number) | WaitFor::Reuse(number)) = wait.on else { continue };
            let Some(source) = by_number.get(&number) else { continue };
            let cat = if matches!(wait.on, WaitFor::Reference(_)) { "reference" } else { "reuse" };
            // A flow begins in the slice that lies at its time: just before the end.
            let from = source.end.saturating_sub(1).max(source.begin);
            for (ph, engine, at, bp) in
                [("s", source.engine, from, None), ("f", picture.engine, picture.begin, Some("e"))]
            {
                events.push(Event {
                    ts: Some(time(at)),
                    cat: Some(cat),
                    id: Some(id),
                    bp,
                    ..Event::new(ph, cat.to_owned(), thread(engine))
                });
            }
            id += 1;
        }
    }
    Document { trace_events: events, display_time_unit: "ms" }
}
