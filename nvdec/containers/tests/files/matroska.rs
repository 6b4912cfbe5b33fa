//! Cases of Matroska that no muxer at hand writes, built element by element round the `CodecPrivate` of a real file.

use containers::{Codec, Container, PacketInfo, TrackKind};

use crate::common;

fn element(id: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let data = parts.concat();
    [id, &((1 << 56) | data.len() as u64).to_be_bytes(), &data].concat()
}

/// An element that does not say how long it is.
fn endless(id: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    [id, &[0xff], &parts.concat()].concat()
}

const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const INFO: &[u8] = &[0x15, 0x49, 0xa9, 0x66];
const TRACKS: &[u8] = &[0x16, 0x54, 0xae, 0x6b];
const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];
const CUES: &[u8] = &[0x1c, 0x53, 0xbb, 0x6b];

fn number(id: &[u8], value: u8) -> Vec<u8> {
    element(id, &[&[value]])
}

fn ebml() -> Vec<u8> {
    let doc_type = element(&[0x42, 0x82], &[b"webm\0"]);
    element(EBML, &[&number(&[0x42, 0x87], 4), &number(&[0x42, 0x85], 2), &doc_type])
}

fn info() -> Vec<u8> {
    element(INFO, &[&element(&[0x4d, 0x80], &[b"a"]), &element(&[0x57, 0x41], &[b"b"])])
}

/// The configuration record of `plain.mp4`.
fn record() -> Vec<u8> {
    let file = common::bytes("plain.mp4");
    let at = file.windows(4).position(|window| window == b"hvcC").unwrap();
    let size = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize;
    file[at + 4..at - 4 + size].to_vec()
}

/// Track 3, with more elements in its entry and in its `Video`.
fn tracks(entry: &[Vec<u8>], video: &[Vec<u8>]) -> Vec<u8> {
    let size = [number(&[0xb0], 128), number(&[0xba], 96)].concat();
    let video = element(&[0xe0], &[&size, &video.concat()]);
    let ids = [number(&[0xd7], 3), element(&[0x73, 0xc5], &[&[9; 8]]), number(&[0x83], 1)].concat();
    let codec = [element(&[0x86], &[b"V_MPEGH/ISO/HEVC"]), element(&[0x63, 0xa2], &[&record()])].concat();
    element(TRACKS, &[&element(&[0xae], &[&ids, &codec, &entry.concat(), &video])])
}

fn block(time: i16, flags: u8, data: &[u8]) -> Vec<u8> {
    [&[0x83], &time.to_be_bytes()[..], &[flags], data].concat()
}

fn simple(time: i16, flags: u8, data: &[u8]) -> Vec<u8> {
    element(&[0xa3], &[&block(time, flags, data)])
}

fn group(time: i16, data: &[u8], more: &[Vec<u8>]) -> Vec<u8> {
    element(&[0xa0], &[&element(&[0xa1], &[&block(time, 0, data)]), &more.concat()])
}

fn time(time: u8) -> Vec<u8> {
    number(&[0xe7], time)
}

/// Size, pts, duration, key.
fn rows(packets: &[PacketInfo]) -> Vec<(u64, i64, Option<i64>, bool)> {
    packets.iter().map(|p| (p.size, p.pts.unwrap(), p.duration, p.key)).collect()
}

fn open(segment: &[&[u8]]) -> Container {
    Container::from_bytes([ebml(), endless(SEGMENT, segment)].concat()).unwrap()
}

#[test]
fn clusters_may_be_endless_and_blocks_in_groups() {
    let void = element(&[0xec], &[&[0; 20]]);
    let reference = number(&[0xfb], 0xff);
    let first = endless(
        CLUSTER,
        &[
            &time(100),
            &simple(0, 0x80, b"first"),
            &void,
            &group(9, b"second", &[number(&[0x9b], 5), reference]),
            // Another track.
            &element(&[0xa3], &[&[0x84, 0, 0, 0x80, 1]]),
        ],
    );
    let second = element(CLUSTER, &[&time(120), &group(-16, b"third", &[]), &simple(40, 0, b"last")]);
    let segment = [&void[..], &info(), &tracks(&[], &[]), &first, &element(CUES, &[b"?"]), &second];
    let mut container = open(&segment);
    let packets = container.packets(0).unwrap();
    let expected =
        [(5, 100, Some(4), true), (6, 109, Some(5), false), (5, 104, Some(5), true), (4, 160, None, false)];
    assert_eq!(rows(&packets), expected);
    assert_eq!(container.notes(), [""; 0]);
    let mut buffer = Vec::new();
    container.read(0, &packets[2], &mut buffer).unwrap();
    assert_eq!(buffer, b"third");
    let track = &container.tracks()[0];
    assert_eq!(
        (track.id, track.kind, &track.codec, track.parameter_sets.len()),
        (3, TrackKind::Video, &Codec::Hevc, 3)
    );
    assert_eq!((track.time_base.num, track.time_base.den), (1, 1000));
}

/// `ContentEncodings` with one compression.
fn compression(algorithm: u8, settings: &[u8]) -> Vec<u8> {
    let inner = [number(&[0x42, 0x54], algorithm), element(&[0x42, 0x55], &[settings])].concat();
    let encoding = element(&[0x62, 0x40], &[&number(&[0x50, 0x33], 0), &element(&[0x50, 0x34], &[&inner])]);
    element(&[0x6d, 0x80], &[&encoding])
}

#[test]
fn stripped_headers_are_put_back() {
    let cluster = element(CLUSTER, &[&time(0), &simple(0, 0x80, b"frame")]);
    let mut container = open(&[&info(), &tracks(&[compression(3, b"\0\0")], &[]), &cluster]);
    let packets = container.packets(0).unwrap();
    let mut buffer = vec![7; 100];
    container.read(0, &packets[0], &mut buffer).unwrap();
    assert_eq!((packets[0].size, &buffer[..]), (5, &b"\0\0frame"[..]));

    let mut container = open(&[&info(), &tracks(&[compression(0, &[])], &[]), &cluster]);
    let error = container.packets(0).unwrap_err().to_string();
    assert!(error.contains("frames compressed with Zlib is not supported"), "{error}");
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let cluster = element(CLUSTER, &[&time(0), &simple(0, 0x84, b"\x01laced")]);
    let error = open(&[&info(), &tracks(&[], &[]), &cluster]).packets(0).unwrap_err().to_string();
    assert!(error.contains("lacing (several frames in a block, flags 0x84) is not supported"), "{error}");

    let encryption = element(&[0x50, 0x35], &[&number(&[0x47, 0xe1], 5)]);
    let encoding = element(&[0x62, 0x40], &[&number(&[0x50, 0x33], 1), &encryption]);
    let entry = element(&[0x6d, 0x80], &[&encoding]);
    let mut container = open(&[&info(), &tracks(&[entry], &[]), &cluster]);
    assert_eq!(container.tracks()[0].codec, Codec::Encrypted("V_MPEGH/ISO/HEVC".to_owned()));
    let error = container.packets(0).unwrap_err().to_string();
    assert!(error.contains("an encrypted track (V_MPEGH/ISO/HEVC) is not supported; decrypt"), "{error}");

    let refusal = |file: Vec<u8>| Container::from_bytes(file).unwrap_err().to_string();
    let other = element(EBML, &[&element(&[0x42, 0x82], &[b"mine"])]);
    assert!(refusal(other).contains("DocType \"mine\" is not supported"));
    let missing = refusal([ebml(), endless(SEGMENT, &[&info(), &cluster])].concat());
    assert!(missing.contains("it has no Tracks element"), "{missing}");
    assert!(refusal(ebml()).starts_with("Segment element at byte"));
}

#[test]
fn pictures_may_be_turned() {
    let projection =
        |degrees: f32| element(&[0x76, 0x70], &[&element(&[0x76, 0x75], &[&degrees.to_be_bytes()])]);
    let rotation = |degrees| open(&[&info(), &tracks(&[], &[projection(degrees)])]).tracks()[0].rotation();
    assert_eq!([0.0, -90.0, 90.0, 180.0, -180.0].map(rotation), [0, 90, 270, 180, 180].map(Some));
    let container = open(&[&info(), &tracks(&[], &[projection(3.5)])]);
    assert_eq!(container.notes(), ["track 3: ProjectionPoseRoll of 3.5 degrees is ignored"]);
}

#[test]
fn reading_goes_on_behind_damage() {
    let cluster =
        |at: u8| element(CLUSTER, &[&time(at), &simple(0, 0x80, b"frame"), &simple(1, 0, b"frame")]);
    let garbage = [0; 5000];
    let head = [info(), tracks(&[], &[])].concat();
    let mut container = open(&[&head, &cluster(1), &garbage, &cluster(5)]);
    let packets = container.packets(0).unwrap();
    assert_eq!(packets.iter().map(|packet| packet.pts.unwrap()).collect::<Vec<_>>(), [1, 2, 5, 6]);
    assert!(container.notes()[0].starts_with("there is no element at byte"), "{:?}", container.notes());

    // A block that is longer than its cluster.
    let mut broken = cluster(1);
    let at = broken.windows(1).rposition(|window| window == [0xa3]).unwrap();
    broken[at + 8] = 200;
    let mut container = open(&[&head, &broken, &cluster(5)]);
    let packets = container.packets(0).unwrap();
    assert_eq!(packets.iter().map(|packet| packet.pts.unwrap()).collect::<Vec<_>>(), [1, 5, 6]);
    assert!(container.notes()[0].contains("does not fit in its cluster"), "{:?}", container.notes());
}

#[test]
fn a_file_that_is_cut_gives_what_is_there() {
    let whole = common::bytes("matroska.mkv");
    let mut container = Container::from_bytes(whole.clone()).unwrap();
    let all = container.packets(0).unwrap();
    let cut = all[10].offset as usize + 3;
    let mut container = Container::from_bytes(whole[..cut].to_vec()).unwrap();
    let some = container.packets(0).unwrap();
    assert_eq!(some.len(), 10);
    assert!(some.iter().zip(&all).all(|(some, all)| (some.offset, some.pts) == (all.offset, all.pts)));
    let notes = container.notes();
    assert!(notes[0].starts_with("Segment element") && notes[1].contains("10 frames are given"), "{notes:?}");
}
