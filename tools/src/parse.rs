//! `nvdec-decode --parse`: what a stream says of itself, without a GPU.

pub(crate) mod messages;
pub(crate) mod text;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bitstream::{AnnexBReader, split_annex_b, split_length_prefixed};
use hevc::nal::NalUnitType;
use hevc::sei::{SeiMessage, SeiPayload};
use hevc::{DecodedPictureBuffer, Output, Parser, Picture, Pps, RefEntry, SliceType, Sps, Unit};
use nvdec::video::containers::{Container, Framing};
use serde::Serialize;

use crate::console;
use crate::exit::{Exit, Failure};
use crate::film::report::ContainerReport;
use crate::film::{self, Film};
use crate::input::{self, Given, other::Reader};
use crate::probe;

pub use messages::ParsedMessage;
pub use text::render;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Most errors kept; the rest is counted.
const ERRORS_KEPT: usize = 50;
/// Most messages kept of a picture; the rest is counted.
const MESSAGES_KEPT: usize = 64;

/// A picture of the stream. Field names are those of the JSON output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParsedPicture {
    /// Position in decoding order.
    pub number: u64,
    /// Position in output order; `None` if it is not output.
    pub output: Option<u64>,
    /// `PicOrderCntVal`.
    pub poc: i32,
    /// Name of `nal_unit_type`.
    pub nal_unit_type: &'static str,
    /// `TemporalId`.
    pub temporal_id: u8,
    /// `slice_type` of its slices: `I`, `P`, `B`, or several of them.
    pub slice_types: String,
    /// Slices.
    pub slices: u32,
    /// Dependent slice segments besides.
    pub dependent_slice_segments: u32,
    /// Bytes of its slice NAL units, start codes not counted.
    pub bytes: u64,
    /// `PicOrderCntVal` of the pictures that it may refer to: before it in output order, nearest first.
    pub references_before: Vec<i32>,
    /// Those after it in output order, nearest first.
    pub references_after: Vec<i32>,
    /// Long-term references.
    pub references_long_term: Vec<i32>,
    /// Of all these, the ones that the stream does not hold.
    pub references_missing: Vec<i32>,
    /// Not to be decoded: a RASL picture at a random access point, or before the first one.
    pub skipped: bool,
    /// Has a decoded picture hash.
    pub hash: bool,
    /// `pic_parameter_set_id`.
    pub pps: u8,
    /// What travels with it besides the hash, at most 64 messages.
    pub messages: Vec<ParsedMessage>,
    /// How many more there are.
    pub more_messages: u64,
}

impl ParsedPicture {
    /// The strongest kind of its slices.
    pub(crate) fn kind(&self) -> char {
        ['B', 'P'].into_iter().find(|&letter| self.slice_types.contains(letter)).unwrap_or('I')
    }

    fn message(&mut self, message: ParsedMessage) {
        if self.messages.len() < MESSAGES_KEPT {
            self.messages.push(message);
        } else {
            self.more_messages += 1;
        }
    }
}

/// A stream without its samples.
#[derive(Debug, Default, Serialize)]
pub struct ParsedStream {
    /// The container that it is in, if it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerReport>,
    /// Bytes.
    pub bytes: u64,
    /// NAL units.
    pub nal_units: u64,
    /// Parameter sets in the order in which they come, each content once.
    pub parameter_sets: Vec<ParameterSet>,
    /// Pictures in decoding order.
    pub pictures: Vec<ParsedPicture>,
    /// What could not be parsed, at most 50 of them.
    pub errors: Vec<String>,
    /// How many NAL units could not be parsed.
    pub error_count: u64,
    /// Names of NAL units that a decoder ignores, and how many there are.
    pub ignored: Vec<(String, u64)>,
    /// The parameter sets that pictures use, each pair once.
    #[serde(skip)]
    pub used: Vec<(Arc<Sps>, Arc<Pps>)>,
}

/// A parameter set in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterSet {
    /// `VPS`, `SPS` or `PPS`.
    pub kind: &'static str,
    /// Its identifier.
    pub id: u8,
    /// What it says.
    pub summary: String,
}

/// Parses `input`, or a track of it, and prints what it holds.
pub fn run(input: &Path, track: Option<usize>, json: bool) -> Result<Exit, Failure> {
    let (name, parsed) = match input::open_any(input, Reader::Parse, false)? {
        Given::Container(name, file) => {
            let container = film::open(&name, file)?;
            let track = film::choose(&name, &container, track)?;
            let (parsed, _) = parse_container(&name, container, track)?;
            (name, parsed)
        }
        Given::Stream(input) if track.is_some() => return Err(film::no_tracks(input.name())),
        Given::Stream(mut input) => {
            let name = input.name().to_owned();
            let parsed = parse(&mut input, &name)?;
            (name, parsed)
        }
    };
    let text = if json {
        serde_json::to_string_pretty(&parsed).expect("a stream has string keys only") + "\n"
    } else {
        format!("{}\nThis machine: {}\n", render(&name, &parsed), probe::verdict())
    };
    console::print(&text)?;
    if parsed.pictures.is_empty() {
        return Err(Failure::NoPicture { path: name, bytes: parsed.bytes, nal_units: parsed.nal_units });
    }
    Ok(if parsed.error_count > 0 { Exit::Data } else { Exit::Success })
}

/// Parses a track of a container to its end, and what of it can be had at random, if anything.
///
/// # Errors
///
/// [`Failure::Input`] and [`Failure::Container`] if it cannot be read.
pub fn parse_container(
    name: &str,
    mut container: Container,
    track: usize,
) -> Result<(ParsedStream, Result<Film, Failure>), Failure> {
    let failure = |error| film::of_container(name, error);
    let mut state = State::default();
    let mut report = ContainerReport::of(&container, track);
    let framing = container.tracks()[track].framing;
    for set in container.tracks()[track].parameter_sets.clone() {
        state.nal(&set);
    }
    let packets = container.packets(track).map_err(failure)?;
    let mut bytes = Vec::new();
    for packet in &packets {
        container.read(track, packet, &mut bytes).map_err(failure)?;
        state.stream.bytes += bytes.len() as u64;
        match framing {
            Framing::ByteStream => split_annex_b(&bytes).for_each(|nal| state.nal(nal)),
            Framing::LengthPrefixed(size) => {
                for nal in split_length_prefixed(&bytes, size) {
                    match nal {
                        Ok(nal) => state.nal(nal),
                        Err(error) => {
                            state.error(&format_args!("packet at byte {}: {error}", packet.offset));
                            break;
                        }
                    }
                }
            }
        }
    }
    let mut stream = state.finish();
    let film = Film::of(name, container, track);
    if let Ok(film) = &film {
        report.add(film);
    }
    stream.container = Some(report);
    Ok((stream, film))
}

/// Parses a byte stream to its end.
pub fn parse(source: &mut dyn Read, name: &str) -> Result<ParsedStream, Failure> {
    let mut reader = AnnexBReader::new();
    let mut state = State::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Failure::Input { path: name.to_owned(), source }),
        };
        if let Err(error) = reader.feed(&chunk[..read]) {
            state.error(&error);
        }
        state.stream.bytes += read as u64;
        while let Some(nal) = reader.next_nal() {
            state.nal(nal);
        }
    }
    reader.finish();
    while let Some(nal) = reader.next_nal() {
        state.nal(nal);
    }
    Ok(state.finish())
}

#[derive(Default)]
struct State {
    parser: Parser,
    dpb: DecodedPictureBuffer<usize>,
    stream: ParsedStream,
    outputs: u64,
    /// Messages of the picture that has not begun, and how many more there are.
    next: Vec<SeiMessage>,
    more: u64,
    /// The SPS of the picture begun last.
    sps: Option<Arc<Sps>>,
}

impl State {
    fn nal(&mut self, nal: &[u8]) {
        let number = self.stream.nal_units;
        self.stream.nal_units += 1;
        match self.parser.parse(nal) {
            Ok(Unit::Vps(vps)) => self.parameter_set("VPS", vps.vps_video_parameter_set_id, text::vps(&vps)),
            Ok(Unit::Sps(sps)) => self.parameter_set("SPS", sps.sps_seq_parameter_set_id, text::sps(&sps)),
            Ok(Unit::Pps(pps)) => self.parameter_set("PPS", pps.pps_pic_parameter_set_id, text::pps(&pps)),
            Ok(Unit::Slice(slice)) => {
                if let Some(picture) = &slice.picture {
                    self.picture(picture);
                }
                let Some(row) = self.stream.pictures.last_mut() else { return };
                row.bytes += nal.len() as u64;
                if slice.header.dependent_slice_segment_flag {
                    row.dependent_slice_segments += 1;
                } else {
                    row.slices += 1;
                    let letter = match slice.header.slice_type {
                        SliceType::B => 'B',
                        SliceType::P => 'P',
                        SliceType::I => 'I',
                    };
                    if !row.slice_types.contains(letter) {
                        row.slice_types.push(letter);
                    }
                }
            }
            Ok(Unit::Sei { messages, suffix: false }) => {
                let room = MESSAGES_KEPT.saturating_sub(self.next.len()).min(messages.len());
                self.more += (messages.len() - room) as u64;
                self.next.extend(messages.into_iter().take(room));
            }
            Ok(Unit::Sei { messages, .. }) => {
                let (Some(row), Some(sps)) = (self.stream.pictures.last_mut(), &self.sps) else { return };
                for message in messages {
                    match message.payload {
                        SeiPayload::DecodedPictureHash(_) => row.hash = true,
                        _ => row.message(ParsedMessage::new(&message, true, sps)),
                    }
                }
            }
            Ok(Unit::DolbyVisionRpu(rpu)) => {
                if let Some(row) = self.stream.pictures.last_mut() {
                    row.message(ParsedMessage::dolby_vision_rpu(rpu));
                }
            }
            Ok(Unit::Ignored(ignored)) => {
                let name = match ignored {
                    hevc::Ignored::Layer(header) => format!("layer {}", header.nuh_layer_id),
                    hevc::Ignored::Reserved(header) | hevc::Ignored::Unspecified(header) => {
                        header.nal_unit_type.to_string()
                    }
                    _ => "other".to_owned(),
                };
                match self.stream.ignored.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, count)) => *count += 1,
                    None => self.stream.ignored.push((name, 1)),
                }
            }
            Ok(_) => {}
            Err(error) => {
                let kind = hevc::NalHeader::parse(nal).map_or("?", |h| NalUnitType::name(h.nal_unit_type));
                self.error(&format_args!("NAL unit {number} ({kind}): {error}"));
            }
        }
    }

    fn error(&mut self, error: &dyn std::fmt::Display) {
        self.stream.error_count += 1;
        if self.stream.errors.len() < ERRORS_KEPT {
            self.stream.errors.push(error.to_string());
        }
    }

    fn parameter_set(&mut self, kind: &'static str, id: u8, summary: String) {
        let set = ParameterSet { kind, id, summary };
        // Encoders repeat their sets at every random access point.
        if !self.stream.parameter_sets.contains(&set) {
            self.stream.parameter_sets.push(set);
        }
    }

    fn picture(&mut self, picture: &Picture) {
        let index = self.stream.pictures.len();
        let is_used = |(sps, pps): &(Arc<Sps>, Arc<Pps>)| *sps == picture.sps && *pps == picture.pps;
        if !self.stream.used.iter().any(is_used) {
            self.stream.used.push((picture.sps.clone(), picture.pps.clone()));
        }
        let mut row = ParsedPicture {
            number: index as u64,
            output: None,
            poc: picture.pic_order_cnt_val,
            nal_unit_type: picture.nal_unit_type.name(),
            temporal_id: picture.temporal_id,
            slice_types: String::new(),
            slices: 0,
            dependent_slice_segments: 0,
            bytes: 0,
            references_before: Vec::new(),
            references_after: Vec::new(),
            references_long_term: Vec::new(),
            references_missing: Vec::new(),
            skipped: picture.skipped,
            hash: false,
            pps: picture.pps.pps_pic_parameter_set_id,
            messages: Vec::new(),
            more_messages: std::mem::take(&mut self.more),
        };
        for message in self.next.drain(..) {
            row.message(ParsedMessage::new(&message, false, &picture.sps));
        }
        self.sps = Some(picture.sps.clone());
        let mut due = Vec::new();
        if !picture.skipped {
            let rps = self.dpb.begin(picture, &mut due);
            let pocs = |entries: &[RefEntry]| entries.iter().map(|e| e.poc).collect();
            row.references_before = pocs(rps.st_curr_before());
            row.references_after = pocs(rps.st_curr_after());
            row.references_long_term = pocs(rps.lt_curr());
            row.references_missing =
                rps.initial_list0().filter(|e| e.index.is_none()).map(|e| e.poc).collect();
        }
        self.stream.pictures.push(row);
        if !picture.skipped {
            self.dpb.insert(picture, index, &mut due);
        }
        self.put_out(due);
    }

    fn put_out(&mut self, due: Vec<Output<usize>>) {
        for output in due {
            self.stream.pictures[output.payload].output = Some(self.outputs);
            self.outputs += 1;
        }
    }

    fn finish(mut self) -> ParsedStream {
        let mut due = Vec::new();
        self.dpb.flush(&mut due);
        self.put_out(due);
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const CLIP: &[u8] = include_bytes!("../clips/x_size_202x150.hevc");

    #[test]
    fn a_stream_is_understood() {
        let parsed = parse(&mut &CLIP[..], "clip").unwrap();
        assert_eq!((parsed.bytes, parsed.error_count), (CLIP.len() as u64, 0));
        // ffprobe -show_entries frame=pict_type gives I B B B P B P P B P in output order.
        let mut shown: Vec<_> = parsed.pictures.iter().collect();
        shown.sort_by_key(|p| p.output.unwrap());
        let types: String = shown.iter().map(|p| p.slice_types.as_str()).collect();
        assert_eq!(types, "IBBBPBPPBP");
        assert!(shown.is_sorted_by_key(|p| p.poc));
        assert!(parsed.pictures.iter().all(|p| p.hash && p.slices == 1 && p.references_missing.is_empty()));
        let total: u64 = parsed.pictures.iter().map(|p| p.bytes).sum();
        assert_eq!(total, 3369);
        let sps = parsed.parameter_sets.iter().find(|set| set.kind == "SPS").unwrap();
        assert!(sps.summary.contains("202x150") && sps.summary.contains("4:2:0"), "{}", sps.summary);
        let text = render("clip", &parsed);
        assert!(text.contains("10 pictures"), "{text}");
    }

    fn names(picture: &ParsedPicture) -> Vec<&str> {
        picture.messages.iter().map(|message| message.name).collect()
    }

    #[test]
    fn messages_stand_with_their_pictures() {
        let clip = include_bytes!("../../nvdec/tests/data/x_hdr_sei.hevc");
        let parsed = parse(&mut &clip[..], "hdr").unwrap();
        let light = [
            "content_light_level_info",
            "mastering_display_colour_volume",
            "alternative_transfer_characteristics",
        ];
        for picture in &parsed.pictures {
            let expected = if picture.nal_unit_type == "IDR_N_LP" { &light[..] } else { &[] };
            assert_eq!(names(picture), expected, "picture {}", picture.number);
        }
        let json = serde_json::to_value(&parsed.pictures[0].messages).unwrap();
        assert_eq!(
            json[0]["values"],
            serde_json::json!({
                "max_content_cd_m2": 1000, "max_picture_average_cd_m2": 400
            })
        );
        assert_eq!(json[1]["payload_type"], 137);
        assert_eq!(json[1]["values"]["max_cd_m2"], 1000.0);
        assert_eq!(json[1]["values"]["green"], serde_json::json!([0.17, 0.797]));
        let text = render("hdr", &parsed);
        for line in [
            "SEI 137 mastering_display_colour_volume, 24 bytes: red [0.708,0.292], ",
            "SEI 147 alternative_transfer_characteristics, 1 byte: preferred_transfer_characteristics 18",
            "messages: 2 x SEI 144 content_light_level_info",
            ", chroma location 2",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn what_is_not_sei_is_shown_too() {
        let clip = include_bytes!("../tests/data/field/f_dovi_iphone.hevc");
        let parsed = parse(&mut &clip[..], "dolby").unwrap();
        assert_eq!(
            names(&parsed.pictures[0]),
            ["user_data_unregistered", "ambient_viewing_environment", "Dolby Vision RPU"]
        );
        let ambient = &parsed.pictures[0].messages[1];
        assert!(ambient.values.contains(&("illuminance_lux", 314.0.into())), "{ambient:?}");
        assert!(parsed.pictures[1..].iter().all(|picture| names(picture) == ["Dolby Vision RPU"]));
        assert!(parsed.ignored.is_empty());
        assert!(render("dolby", &parsed).contains("messages: 5 x Dolby Vision RPU"));
    }

    #[test]
    fn unknown_messages_keep_type_and_size_and_are_counted() {
        // Type 250, 3 bytes, 70 times in front of the first slice.
        let mut clip = Vec::new();
        for nal in bitstream::split_annex_b(CLIP) {
            if hevc::NalHeader::parse(nal).unwrap().nal_unit_type.is_irap() {
                clip.extend([0, 0, 1, 0x4e, 1]);
                clip.extend([250, 3, 1, 2, 3].repeat(70));
                clip.push(0x80);
            }
            clip.extend([0, 0, 1]);
            clip.extend_from_slice(nal);
        }
        let parsed = parse(&mut &clip[..], "unknown").unwrap();
        let first = &parsed.pictures[0];
        assert_eq!(
            first.messages.len() as u64 + first.more_messages,
            70 + u64::from(first.messages[0].name != "reserved")
        );
        let unknown = first.messages.last().unwrap();
        assert_eq!((unknown.payload_type, unknown.name, unknown.bytes), (Some(250), "reserved", 3));
        let text = render("unknown", &parsed);
        assert!(text.contains("SEI 250 reserved, 3 bytes") && text.contains("more messages"), "{text}");
    }

    #[test]
    fn a_lost_reference_shows() {
        // Without its second picture (a P picture that others refer to).
        let mut cut = Vec::new();
        let mut slices = 0;
        for nal in bitstream::split_annex_b(CLIP) {
            let is_slice = hevc::NalHeader::parse(nal).unwrap().nal_unit_type.is_slice_segment();
            slices += usize::from(is_slice);
            if is_slice && slices == 2 {
                continue;
            }
            cut.extend([0, 0, 1]);
            cut.extend_from_slice(nal);
        }
        let parsed = parse(&mut &cut[..], "cut").unwrap();
        assert_eq!(parsed.pictures.len(), 9);
        assert!(parsed.pictures.iter().any(|p| !p.references_missing.is_empty()));
        assert!(render("cut", &parsed).contains("missing"));
    }

    proptest! {
        #[test]
        fn damage_is_reported_not_suffered(flips in prop::collection::vec((0..CLIP.len(), any::<u8>()), 1..40)) {
            let mut damaged = CLIP.to_vec();
            for (at, value) in flips {
                damaged[at] = value;
            }
            let parsed = parse(&mut &damaged[..], "damaged");
            if let Ok(parsed) = parsed {
                let outputs = parsed.pictures.iter().filter_map(|p| p.output).collect::<BTreeSet<_>>();
                prop_assert!(outputs.iter().copied().eq(0..outputs.len() as u64), "each position once: {outputs:?}");
                prop_assert!(!render("damaged", &parsed).is_empty());
            }
        }
    }

    #[test]
    fn noise_is_no_picture() {
        let noise: Vec<u8> = (0..4096u32).map(|i| ((i * i) >> 3) as u8).collect();
        let parsed = parse(&mut &noise[..], "noise").unwrap();
        assert!(parsed.pictures.is_empty());
    }
}
