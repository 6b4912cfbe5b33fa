//! The file: what was written is read, and nothing else is.

use proptest::prelude::*;

use super::*;
use crate::exit::Exit;
use crate::replay::capture::{Head, MethodRecord, Pointee, SurfaceShape, Wait};
use crate::replay::format::{self, ChunkReader, ChunkType, ChunkWriter};

fn picture(nal_units: u32) -> Picture {
    Picture {
        poc: -3,
        engine: "NVDEC2".to_owned(),
        codec: "hevc".to_owned(),
        nal_units,
        surface: SurfaceShape {
            chroma_format_idc: 1,
            bit_depth: 8,
            chroma_bit_depth: None,
            width: 416,
            height: 240,
        },
        places: vec![(0, 0), (3, 2)],
        ..Picture::default()
    }
}

/// Offsets at which chunks begin, and the end.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let mut source = Cursor::new(bytes.to_vec());
    let mut reader = ChunkReader::new(&mut source).unwrap();
    let mut found = vec![0, reader.position() as usize];
    while reader.next_chunk().unwrap().is_some() {
        found.push(reader.position() as usize);
    }
    found
}

fn refused(bytes: Vec<u8>) -> String {
    let failure = try_open(bytes).unwrap_err();
    assert_eq!(failure.exit(), Exit::Data, "{failure}");
    failure.to_string()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let (bytes, _) = record_with(&stream("x_size_202x150"), None, Some(2));
    let chunks = boundaries(&bytes);
    assert!(chunks.len() > 10);
    for &at in &chunks[..chunks.len() - 1] {
        for cut in [at, at + 1, at + 7, at + 9, (at + 12).min(bytes.len() - 1)] {
            refused(bytes[..cut.min(bytes.len() - 1)].to_vec());
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(refused(longer).contains("ends in the middle of a chunk"));
    assert!(refused(bytes[..chunks[3]].to_vec()).contains("cut off"));
    assert!(refused(Vec::new()).contains("no capture"));
    assert!(refused(b"\0\0\0\x01\x40\x01 an HEVC stream".to_vec()).contains("no capture"));
}

/// A capture of an earlier version of the program, which did not say the codec.
#[test]
fn version_1_is_read_as_hevc() {
    let bytes = include_bytes!("../../../tests/data/version_1.nvcap");
    assert_eq!(bytes[8..12], 1u32.to_le_bytes());
    let capture = open(bytes.to_vec());
    assert_eq!(capture.pictures().len(), 3);
    assert!(capture.pictures().iter().all(|picture| picture.codec == "hevc"));
    assert!(play(&capture, Assignment::All).unwrap().outcome.is_identical());
    // What is made of it is of today's version, and the same.
    let changed = change(&capture, |_, _| ());
    assert_eq!(changed[8..12], 2u32.to_le_bytes());
    assert_eq!(
        crate::replay::diff::compare(&capture, &open(changed)).unwrap().map(|report| report.to_string()),
        None
    );
}

#[test]
fn every_picture_says_its_codec() {
    let with = |version: u32, codec: &str| {
        let mut writer = CaptureWriter::new(Vec::new(), &Head::default()).unwrap();
        writer.picture(&Picture { codec: codec.to_owned(), ..picture(0) }).unwrap();
        let mut bytes = writer.finish(None).unwrap();
        // The sum of the whole has the version in it.
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes
    };
    assert_eq!(open(with(2, "av1")).pictures()[0].codec, "av1", "a reader need not know it");
    assert!(refused(with(2, "")).contains("names no codec"));
    assert!(refused(with(2, "a name of no codec")).contains("names no codec"));
    assert!(refused(with(1, "hevc")).contains("which version 1 does not"));
}

#[test]
fn chunks_of_unknown_types() {
    let with = |kind: &[u8; 4]| {
        let mut chunks = ChunkWriter::new(Vec::new()).unwrap();
        chunks.chunk(format::HEAD, &serde_json::to_vec(&Head::default()).unwrap()).unwrap();
        chunks.chunk(ChunkType(*kind), b"whatever").unwrap();
        let md5 = chunks.md5();
        let done = format!(r#"{{"nal_units":0,"blobs":0,"pictures":0,"ended_by":null,"md5":"{md5}"}}"#);
        chunks.chunk(format::DONE, done.as_bytes()).unwrap();
        chunks.finish().unwrap()
    };
    assert_eq!(open(with(b"note")).pictures().len(), 0);
    assert!(refused(with(b"NOTE")).contains("an unknown chunk \"NOTE\""));
    let mut newer = with(b"note");
    newer[8] = 3;
    assert!(refused(newer).contains("version 3 of the format is not known, only 1 to 2"));
}

#[test]
fn small_data_cannot_unfold_without_end() {
    // A megabyte of zeros packs to a thousandth, which is more than a reader believes.
    let zeros = vec![0; 60 << 10];
    let packed = format::pack(&zeros);
    assert_eq!(format::unpack(&packed, 0).unwrap(), zeros);
    assert!(packed.len() > zeros.len() / 65);
    let mut bomb = vec![1, 0, 0, 0];
    bomb.extend((1u32 << 27).to_le_bytes());
    bomb.extend([0; 100]);
    assert!(format::unpack(&bomb, 0).is_err());
    // More than it says, less than it says, no deflate.
    let mut lying = format::pack(&[7; 5000]);
    assert_eq!(lying[0], 1);
    for length in [4999u32, 5001] {
        lying[4..8].copy_from_slice(&length.to_le_bytes());
        assert!(format::unpack(&lying, 0).is_err(), "{length}");
    }
    assert!(format::unpack(&[1, 0, 0, 0, 5, 0, 0, 0, 0xff, 0xff], 0).is_err());
    assert!(format::unpack(&[2, 0, 0, 0, 0, 0, 0, 0], 0).is_err());
    assert!(format::unpack(&[0, 0, 0], 0).is_err());
}

#[test]
fn pictures_name_what_is_there() {
    let with = |edit: &dyn Fn(&mut Picture)| {
        let mut writer = CaptureWriter::new(Vec::new(), &Head::default()).unwrap();
        writer.nal_unit(&[0x40, 1]).unwrap();
        let blob = writer.blob(&[1, 2, 3]).unwrap();
        let mut first = picture(0);
        first.methods = vec![MethodRecord { method: 0x404, to: Pointee::Data { blob, bytes: 512 } }];
        edit(&mut first);
        writer.picture(&first).unwrap();
        writer.blob(&[4]).unwrap();
        writer.finish(None).unwrap()
    };
    assert_eq!(open(with(&|_| ())).pictures().len(), 1);
    let data = |blob, bytes| vec![MethodRecord { method: 0x404, to: Pointee::Data { blob, bytes } }];
    for (edit, what) in [
        (Box::new(move |p: &mut Picture| p.methods = data(1, 8)) as Box<dyn Fn(&mut Picture)>, "blob 1 of"),
        (Box::new(move |p: &mut Picture| p.methods = data(0, 2)), "points at 2 bytes"),
        (Box::new(move |p: &mut Picture| p.methods = data(0, u32::MAX)), "points at 4294967295 bytes"),
        (Box::new(|p: &mut Picture| p.nal_units = 2), "nal_units is 2"),
        (Box::new(|p: &mut Picture| p.waits = vec![Wait::Picture(0)]), "waits for picture 0"),
        (Box::new(|p: &mut Picture| p.methods.extend(p.methods.clone())), "method 0x404 is there twice"),
        (Box::new(|p: &mut Picture| p.places = vec![(1, 0), (1, 1)]), "place 1 is there twice"),
        (Box::new(|p: &mut Picture| p.places = vec![(17, 0)]), "place 17"),
        (
            Box::new(|p: &mut Picture| {
                p.hashes = Some(crate::replay::capture::Hashes { md5: vec![String::new(); 3], blocks: 0 });
            }),
            "blob 0 does not hold the checksums",
        ),
    ] {
        let message = refused(with(&*edit));
        assert!(message.contains(what), "{what}: {message}");
    }
}

proptest! {
    /// What is written is what is read, whatever it is.
    #[test]
    fn captures_come_back(
        blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..12),
        nal_units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..5),
        trailing in 0u32..5000,
        note in prop::option::of(".*"),
    ) {
        let head = Head { source: "Ein Film.hevc".into(), class: 0xb8b0, ..Head::default() };
        let mut writer = CaptureWriter::new(Vec::new(), &head).unwrap();
        for nal in &nal_units {
            writer.nal_unit(nal).unwrap();
        }
        let mut pictures = Vec::new();
        for data in &blobs {
            let padded = [data.clone(), vec![0; trailing as usize]].concat();
            let to = writer.data(&padded).unwrap();
            let p = Picture {
                methods: vec![MethodRecord { method: 0x408, to }],
                waits: (0..pictures.len() as u32).map(Wait::Picture).collect(),
                error: note.clone(),
                ..picture(nal_units.len() as u32)
            };
            writer.picture(&p).unwrap();
            pictures.push(p);
        }
        let capture = open(writer.finish(note.clone()).unwrap());
        prop_assert_eq!(capture.head(), &head);
        prop_assert_eq!(&capture.done().ended_by, &note);
        prop_assert_eq!(capture.pictures(), &pictures[..]);
        for (p, data) in pictures.iter().zip(&blobs) {
            let padded = [data.clone(), vec![0; trailing as usize]].concat();
            prop_assert_eq!(capture.data(p, 0x408).unwrap().unwrap(), padded);
        }
        for (i, nal) in nal_units.iter().enumerate() {
            prop_assert_eq!(&capture.nal_unit(i as u32).unwrap(), nal);
        }
    }

    /// Every bit counts.
    #[test]
    fn a_flipped_bit_is_found(which in any::<prop::sample::Index>(), bit in 0u8..8) {
        static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut bytes = BYTES.get_or_init(|| record_with(&stream("x_size_202x150"), None, Some(3)).0).clone();
        let at = which.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(try_open(bytes).is_err(), "bit {bit} of byte {at}");
    }

    /// Any bytes are refused.
    #[test]
    fn random_bytes_are_no_capture(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in any::<bool>()) {
        let start = [&format::MAGIC[..], &1u32.to_le_bytes()].concat();
        let bytes = if magic { [start, bytes].concat() } else { bytes };
        prop_assert!(try_open(bytes).is_err());
    }

    /// Chunks of any content with right checksums are refused or understood, and take no memory to speak of.
    #[test]
    fn made_up_chunks_are_refused_or_understood(
        chunks in prop::collection::vec(
            (prop::sample::select(vec![*b"HEAD", *b"NALU", *b"BLOB", *b"PICT", *b"DONE", *b"Junk", *b"junk"]),
             prop::collection::vec(any::<u8>(), 0..64), any::<bool>()),
            0..8,
        ),
    ) {
        let mut writer = ChunkWriter::new(Vec::new()).unwrap();
        writer.chunk(format::HEAD, &serde_json::to_vec(&Head::default()).unwrap()).unwrap();
        for (kind, payload, packed) in chunks {
            let payload = if packed { format::pack(&payload) } else { payload };
            writer.chunk(ChunkType(kind), &payload).unwrap();
        }
        prop_assert!(try_open(writer.finish().unwrap()).is_err());
    }
}
