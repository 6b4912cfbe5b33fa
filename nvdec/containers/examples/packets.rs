//! Prints the tracks of a file, and the packets of one of them: `cargo run -p nvdec-containers --example packets -- FILE [TRACK]`.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use containers::{Container, PacketInfo};

fn main() -> ExitCode {
    match print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packets: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let path = arguments.next().ok_or("usage: packets FILE [TRACK]")?;
    let chosen = arguments.next().map(|track| track.to_string_lossy().parse::<usize>()).transpose()?;
    let mut container = Container::open(File::open(path)?)?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "{}, {} bytes, {} tracks", container.format(), container.size(), container.tracks().len())?;
    for (index, track) in container.tracks().iter().enumerate() {
        let size = track
            .width
            .zip(track.height)
            .map_or(String::new(), |(width, height)| format!(", {width}x{height}"));
        writeln!(
            out,
            "track {index}: id {}, {:?}, {:?}, {:?}, {} parameter sets{size}",
            track.id,
            track.kind,
            track.codec,
            track.framing,
            track.parameter_sets.len()
        )?;
        writeln!(
            out,
            "  a tick is {}/{} s, duration {:?}, edits {:?}, rotation {:?}, pixel aspect {:?}, {:?}, language {:?}",
            track.time_base.num,
            track.time_base.den,
            track.duration,
            track.edits,
            track.rotation(),
            track.pixel_aspect,
            track.colour,
            track.language
        )?;
    }

    let track = chosen.or(container.default_track()).ok_or("no track with HEVC; name one")?;
    let packets = container.packets(track)?;
    writeln!(out, "packets of track {track}: offset, bytes in the file, bytes, pts, dts, duration")?;
    let time = |time: Option<i64>| time.map_or("-".to_owned(), |time| time.to_string());
    let mut bytes = Vec::new();
    for packet in &packets {
        container.read(track, packet, &mut bytes)?;
        let PacketInfo { offset, size, pts, dts, duration, key, shown } = *packet;
        let flags = [if key { " key" } else { "" }, if shown { "" } else { " hidden" }].concat();
        writeln!(
            out,
            "{offset:9} {size:7} {:7} {:>7} {:>7} {:>6}{flags}",
            bytes.len(),
            time(pts),
            time(dts),
            time(duration)
        )?;
    }
    for note in container.notes() {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}
