//! An explanation for people.

use std::fmt::Write;

use super::{Explanation, Sequence};
use crate::film::wanted::Seconds;
use crate::probe::report::plural;

pub(super) fn render(explanation: &Explanation) -> String {
    let Explanation { file, bytes, container, sequences, access, structure, memory, .. } = explanation;
    let mut out = format!("{file}: {bytes} bytes of HEVC\n\n");
    container.render(&mut out);
    for sequence in sequences {
        self::sequence(&mut out, sequence);
    }
    let _ = write!(out, "access      {}", plural(access.points, "random access point"));
    if let Some(distance) = access.distance {
        let _ = match distance.least == distance.most {
            true => write!(out, ", {} apart", plural(distance.least, "picture")),
            false => write!(
                out,
                ", {} to {} pictures apart, {:.1} on average",
                distance.least, distance.most, distance.mean
            ),
        };
    }
    if let Some(seconds) = access.seconds {
        let _ = write!(out, " ({} s)", Seconds((seconds * 1000.0).round() / 1000.0));
    }
    let _ = writeln!(out, "; groups: {} closed, {} open", access.closed, access.open);
    let counts = |counts: Vec<String>| counts.join(", ");
    let types = access.nal_unit_types.iter().map(|(name, count)| format!("{count} {name}"));
    let _ = writeln!(out, "types       {}", counts(types.collect()));
    let slices = access.slice_types.iter().rev().map(|(name, count)| format!("{count} {name}"));
    let _ = write!(out, "slices      {}", counts(slices.collect()));
    if access.temporal_layers.len() > 1 {
        let layers = access.temporal_layers.iter().map(|(layer, count)| format!("{count} in {layer}"));
        let _ = write!(out, "; temporal layers: {}", counts(layers.collect()));
    }
    let _ = writeln!(
        out,
        "\nstructure   {:.0} % that no other picture needs; the longest chain of references has {}",
        100.0 * structure.non_reference,
        plural(structure.longest_chain as usize, "picture")
    );
    for parallel in &structure.engines {
        let _ = writeln!(
            out,
            "engines     {} keeps {:.1} at work at most, by {}",
            parallel.mode, parallel.engines, parallel.bound_by
        );
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    match (memory.balanced, memory.throughput, &memory.unknown) {
        (Some(balanced), Some(throughput), _) => {
            let _ = writeln!(
                out,
                "memory      {:.1} MiB balanced, {:.1} MiB throughput, on seven engines of an H200",
                mib(balanced),
                mib(throughput)
            );
        }
        (_, _, why) => _ = writeln!(out, "memory      not known: {}", why.as_deref().unwrap_or("no picture")),
    }
    out.push('\n');
    for class in &explanation.classes {
        let what = match (&class.reason, class.proven) {
            (Some(reason), _) => reason.clone(),
            (None, true) => "decodes it".to_owned(),
            (None, false) => "should decode it; never run on hardware".to_owned(),
        };
        let _ = writeln!(out, "{}      {:17} {what}", class.class, class.generation);
    }
    for error in &explanation.errors {
        let _ = writeln!(out, "error: {error}");
    }
    let more = explanation.error_count - explanation.errors.len() as u64;
    if more > 0 {
        let _ = writeln!(out, "error: and {more} more");
    }
    let _ = writeln!(out, "\nThis machine: {}", explanation.this_machine);
    out
}

fn sequence(out: &mut String, sequence: &Sequence) {
    let Sequence { profile, tier, level, size, coded_size, chroma, bit_depth, chroma_bit_depth, .. } =
        sequence;
    let _ = write!(out, "stream      {profile}, {tier} tier, level {level}; {}x{}", size.0, size.1);
    if size != coded_size {
        let _ = write!(out, " (coded {}x{})", coded_size.0, coded_size.1);
    }
    let _ = write!(out, " {chroma} {bit_depth}-bit");
    if bit_depth != chroma_bit_depth {
        let _ = write!(out, " luma, {chroma_bit_depth}-bit chroma");
    }
    let _ = write!(out, "; reorder {}, DPB {}", sequence.reorder, sequence.dpb);
    if sequence.temporal_layers > 1 {
        let _ = write!(out, ", {} temporal layers", sequence.temporal_layers);
    }
    let tiles = sequence.tiles.iter().map(|(columns, rows)| format!("{columns}x{rows} tiles"));
    let tools: Vec<String> = tiles.chain(sequence.tools.iter().map(|&tool| tool.to_owned())).collect();
    let _ = writeln!(
        out,
        "\ntools       {}",
        if tools.is_empty() { "none".to_owned() } else { tools.join(", ") }
    );
}
