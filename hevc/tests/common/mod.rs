//! What the integration tests share: running a stream, and the parsed structures as named syntax elements.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod elements;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitstream::split_annex_b;
use hevc::access_unit::BoundaryDetector;
use hevc::{DecodedPictureBuffer, Error, Parser, Picture, SliceHeader, Unit};

/// What came out of a stream.
#[derive(Debug, Default)]
pub struct Run {
    /// Pictures in output order: (coded video sequence, POC, number of the access unit in decoding order).
    pub output: Vec<(u64, i32, usize)>,
    /// Pictures in decoding order.
    pub pictures: Vec<Arc<Picture>>,
    /// Byte position and error.
    pub errors: Vec<(usize, Error)>,
    /// References that did not exist.
    pub missing: usize,
    /// Most pictures ever in the buffer, the current one included.
    pub max_held: usize,
    /// Highest place a picture ever had.
    pub max_place: u8,
}

/// Parses `stream` and plays its pictures through the decoded picture buffer.
pub fn run(stream: &[u8]) -> Run {
    let mut parser = Parser::new();
    let mut dpb = DecodedPictureBuffer::new();
    let mut boundaries = BoundaryDetector::new();
    let mut run = Run::default();
    let (mut access_units, mut output) = (0, Vec::new());
    let nals = split_annex_b(stream);
    let locate = nals.clone();
    for nal in nals {
        let position = locate.offset_of(nal);
        access_units += usize::from(boundaries.push(nal));
        let slice = match parser.parse(nal) {
            Ok(Unit::Slice(slice)) => slice,
            Ok(_) => continue,
            Err(error) => {
                run.errors.push((position, error));
                continue;
            }
        };
        let Some(picture) = slice.picture else { continue };
        run.pictures.push(Arc::clone(&picture));
        if picture.skipped {
            continue;
        }
        let mut rps = dpb.begin(&picture, &mut output);
        for entry in rps.missing_mut() {
            run.missing += 1;
            dpb.insert_generated(&picture, entry, usize::MAX, &mut output);
        }
        for entry in rps.initial_list0() {
            let held = dpb.get(entry.index.expect("generated")).expect("a reference is held");
            assert_eq!(held.poc, entry.poc);
            assert_ne!(held.marking, hevc::Marking::Unused);
        }
        let place = dpb.next_index();
        assert!(place.is_some());
        dpb.insert(&picture, access_units - 1, &mut output);
        assert_eq!(dpb.current(), place);
        run.max_place = run.max_place.max(place.map_or(0, |place| place.0));
        run.max_held = run.max_held.max(dpb.len());
    }
    dpb.flush(&mut output);
    run.output = output.into_iter().map(|output| (output.sequence, output.poc, output.payload)).collect();
    run
}

/// What a slice segment says: its header and picture, or what is wrong with it. `None` for any other NAL unit.
type Said = Option<Result<(Arc<SliceHeader>, Option<Arc<Picture>>), Error>>;

fn said(parsed: Result<Unit<'_>, Error>) -> Said {
    match parsed {
        Ok(Unit::Slice(slice)) => Some(Ok((slice.header, slice.picture))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    }
}

/// Asserts that the first `length` bytes of each NAL unit say what all of it does, or that they are too few. How many were enough.
pub fn check_beginnings(stream: &[u8], length: usize) -> usize {
    let (mut whole, mut parser, mut enough) = (Parser::new(), Parser::new(), 0);
    for nal in split_annex_b(stream) {
        let expected = said(whole.parse(nal));
        let found = match parser.parse_start(&nal[..nal.len().min(length)]) {
            Some(parsed) => {
                enough += usize::from(matches!(parsed, Ok(Unit::Slice(_))));
                said(parsed)
            }
            None => said(parser.parse(nal)),
        };
        assert_eq!(found, expected, "{length} bytes of a NAL unit of {}", nal.len());
    }
    enough
}

/// The NAL units of `stream` that the expected files describe, as (kind, elements).
pub fn elements_of(stream: &[u8]) -> Vec<(&'static str, HashMap<String, String>)> {
    let mut parser = Parser::new();
    split_annex_b(stream)
        .filter_map(|nal| {
            let (kind, mut elements) = match parser.parse(nal).ok()? {
                Unit::Vps(vps) => ("VPS", elements::vps(&vps)),
                Unit::Sps(sps) => ("SPS", elements::sps(&sps)),
                Unit::Pps(pps) => ("PPS", elements::pps(&pps)),
                Unit::Slice(slice) => {
                    let picture = parser.current_picture().expect("a slice belongs to a picture");
                    ("SLICE", elements::slice(&slice, picture))
                }
                _ => return None,
            };
            let header = hevc::NalHeader::parse(nal).expect("it was parsed");
            elements.insert("nal_unit_type".into(), header.nal_unit_type.0.to_string());
            elements.insert("nuh_temporal_id_plus1".into(), (header.temporal_id + 1).to_string());
            Some((kind, elements))
        })
        .collect()
}

/// The folder of the fixtures.
pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Folders with streams: the fixtures and those named by `HEVC_STREAMS` (separated by colons).
pub fn folders() -> Vec<PathBuf> {
    let more = std::env::var("HEVC_STREAMS").unwrap_or_default();
    [data()].into_iter().chain(more.split(':').filter(|path| !path.is_empty()).map(PathBuf::from)).collect()
}

/// All streams of [`folders`].
pub fn streams() -> Vec<PathBuf> {
    let mut streams = Vec::new();
    for folder in folders() {
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        streams.extend(entries.map(|entry| entry.expect("readable folder").path()));
    }
    streams.retain(|path| path.extension().is_some_and(|extension| extension == "hevc"));
    // Screen content coding, which is refused.
    streams.retain(|path| {
        !["palette", "r416-act", "r416-ibc"].iter().any(|name| path.to_string_lossy().contains(name))
    });
    streams.sort();
    assert!(!streams.is_empty());
    streams
}

/// Reads a file, naming it in the panic if that fails.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
