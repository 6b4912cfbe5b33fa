//! What it takes to make a decoder in a running process, and to go on with another resolution in the same one.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bitstream::split_annex_b;
use hevc::{Parser, Unit};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Frame, Packet};
use serde::Serialize;

use super::measure::{Spread, ms};
use crate::exit::Failure;

/// What came of it. Field names are those of the JSON output; times are in ms.
#[derive(Clone, Debug, Serialize)]
pub struct Reconfigured {
    /// The two streams, with the size of their first pictures.
    pub streams: [String; 2],
    /// Changes to and fro, each a round.
    pub rounds: u32,
    /// Making a decoder, until it can be sent something.
    pub create_ms: Spread,
    /// From there until its first picture is submitted, memory allocated.
    pub first_submit_ms: Spread,
    /// From the making of a decoder until its first picture is decoded.
    pub create_to_picture_ms: Spread,
    /// In a decoder that decoded the other stream: from the first NAL unit of the new one until its first picture is
    /// submitted.
    pub reconfigure_ms: Spread,
    /// The same until it is decoded.
    pub reconfigure_to_picture_ms: Spread,
    /// The same picture again, without a change before it: what of `reconfigure_ms` is not due to the change.
    pub unchanged_ms: Spread,
}

/// A stream up to the end of its first picture.
struct Start<'a> {
    name: String,
    nals: Vec<&'a [u8]>,
}

/// Decodes the first picture of either stream in turn. Memory is fresh in the first round, and in all others what
/// earlier ones gave back.
///
/// # Errors
///
/// Those of the decoder; [`Failure::Usage`] if the pictures are of one size.
pub fn run(
    context: &Arc<Context>,
    streams: [(&str, &[u8]); 2],
    rounds: u32,
) -> Result<Reconfigured, Failure> {
    let mut sizes = Vec::new();
    let mut starts = Vec::new();
    for (name, stream) in streams {
        let (start, size) = start(name, stream)?;
        starts.push(start);
        sizes.push(size);
    }
    if sizes[0] == sizes[1] {
        let (width, height) = sizes[0];
        let message = format!("both streams are {width}x{height}: a change of resolution takes two sizes");
        return Err(Failure::Usage(message));
    }
    // Channels are opened with the first picture.
    let mut decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default())?;
    decode(&mut decoder, &starts[0])?;
    drop(decoder);

    let [mut create, mut submit, mut created, mut change, mut changed, mut unchanged] =
        [const { Vec::new() }; 6];
    for round in 0..rounds as usize {
        let (old, new) = (&starts[round % 2], &starts[(round + 1) % 2]);
        let begin = Instant::now();
        let mut decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default())?;
        create.push(ms(begin.elapsed()));
        submit.push(decode(&mut decoder, old)?.0);
        created.push(ms(begin.elapsed()));
        let (until_submitted, until_decoded) = decode(&mut decoder, new)?;
        change.push(until_submitted);
        changed.push(until_decoded);
        unchanged.push(decode(&mut decoder, new)?.0);
    }
    let named = |at: usize| format!("{} ({}x{})", starts[at].name, sizes[at].0, sizes[at].1);
    Ok(Reconfigured {
        streams: [named(0), named(1)],
        rounds,
        create_ms: Spread::of(create),
        first_submit_ms: Spread::of(submit),
        create_to_picture_ms: Spread::of(created),
        reconfigure_ms: Spread::of(change),
        reconfigure_to_picture_ms: Spread::of(changed),
        unchanged_ms: Spread::of(unchanged),
    })
}

/// The NAL units of the first picture and what comes before it, and its size.
fn start<'a>(name: &str, stream: &'a [u8]) -> Result<(Start<'a>, (u32, u32)), Failure> {
    let mut parser = Parser::new();
    let mut nals = Vec::new();
    let mut size = None;
    for nal in split_annex_b(stream) {
        if let Ok(Unit::Slice(slice)) = parser.parse(nal)
            && let Some(picture) = &slice.picture
        {
            if size.is_some() {
                break;
            }
            size = Some((picture.sps.pic_width_in_luma_samples, picture.sps.pic_height_in_luma_samples));
        }
        nals.push(nal);
    }
    let nothing = || {
        let nal_units = nals.len() as u64;
        Failure::NoPicture { path: name.to_owned(), bytes: stream.len() as u64, nal_units }
    };
    let size = size.ok_or_else(nothing)?;
    Ok((Start { name: name.to_owned(), nals }, size))
}

/// Decodes a picture: the ms until it is submitted, and until it is decoded.
fn decode(decoder: &mut Decoder, start: &Start<'_>) -> Result<(f64, f64), Failure> {
    let begin = Instant::now();
    let mut frame = None;
    let mut take = |due: Frame| -> Result<(), Failure> {
        frame.get_or_insert(due);
        Ok(())
    };
    for nal in &start.nals {
        decoder.push(Packet::unit(nal), &mut take)?;
    }
    decoder.end(&mut take)?;
    let submitted = ms(begin.elapsed());
    let frame = frame.ok_or_else(|| {
        let bytes = start.nals.iter().map(|nal| nal.len() as u64).sum();
        Failure::NoPicture { path: start.name.clone(), bytes, nal_units: start.nals.len() as u64 }
    })?;
    frame.status()?;
    Ok((submitted, ms(begin.elapsed())))
}

impl fmt::Display for Reconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = &self.streams;
        writeln!(f, "{first} and {second} in turn, {} rounds; ms, median (lowest to highest)", self.rounds)?;
        for (what, time) in [
            ("making a decoder", self.create_ms),
            ("its first picture submitted", self.first_submit_ms),
            ("made and first picture decoded", self.create_to_picture_ms),
            ("other resolution submitted", self.reconfigure_ms),
            ("other resolution decoded", self.reconfigure_to_picture_ms),
            ("the same again submitted", self.unchanged_ms),
        ] {
            writeln!(f, "{what:31} {time:.3}")?;
        }
        Ok(())
    }
}
