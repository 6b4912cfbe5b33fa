//! Cases of transport streams, made by changing a real one.

use containers::{Codec, Container, PacketInfo};

use crate::common;

const SIZE: usize = 188;
const PID: u64 = 0x100;

struct Stream {
    packets: Vec<PacketInfo>,
    frames: Vec<Vec<u8>>,
    notes: Vec<String>,
}

fn read(file: Vec<u8>) -> Stream {
    let mut container = Container::from_bytes(file).unwrap();
    let track = &container.tracks()[0];
    assert_eq!((track.id, &track.codec, container.default_track()), (PID, &Codec::Hevc, Some(0)));
    let packets = container.packets(0).unwrap();
    let frames = packets.iter().map(|packet| {
        let mut frame = Vec::new();
        container.read(0, packet, &mut frame).unwrap();
        frame
    });
    let frames = frames.collect();
    Stream { packets, frames, notes: container.notes().to_vec() }
}

/// The transport packets of `transport.ts`.
fn split() -> Vec<Vec<u8>> {
    common::bytes("transport.ts").chunks(SIZE).map(<[u8]>::to_vec).collect()
}

fn is_video(packet: &[u8]) -> bool {
    u64::from(u16::from_be_bytes([packet[1] & 0x1f, packet[2]])) == PID
}

/// The `n`th packet of video that does not begin a frame.
fn inner(packets: &[Vec<u8>], n: usize) -> usize {
    let found = packets.iter().enumerate().filter(|(_, packet)| is_video(packet) && packet[1] & 0x40 == 0);
    found.map(|(at, _)| at).nth(n).unwrap()
}

#[test]
fn packets_of_204_bytes_and_garbage_change_nothing() {
    let plain = read(common::bytes("transport.ts"));
    assert_eq!(plain.notes, [""; 0]);
    let long = split().into_iter().flat_map(|packet| [packet, vec![0x47; 16]].concat()).collect();
    assert_eq!(read(long).frames, plain.frames);

    let packets = split();
    let (front, back) = packets.split_at(9);
    let file = [vec![1; 1000], front.concat(), vec![2; 300], vec![0x47; 3], back.concat()].concat();
    let dirty = read(file);
    assert_eq!((&dirty.frames, dirty.packets.len()), (&plain.frames, plain.packets.len()));
    assert_eq!(dirty.notes, ["303 bytes of the file are no transport packets"]);
}

#[test]
fn lost_packets_are_counted_and_doubled_ones_left_out() {
    let plain = read(common::bytes("transport.ts"));
    let mut packets = split();
    let at = inner(&packets, 0);
    packets.remove(at);
    let lost = read(packets.concat());
    assert_eq!(lost.notes, ["PID 256: 1 breaks of the continuity counter: packets were lost"]);
    assert_eq!(
        (lost.packets.len(), lost.frames[0].len() < plain.frames[0].len()),
        (plain.packets.len(), true)
    );

    let mut packets = split();
    for n in 0..5 {
        let at = inner(&packets, 3 * n);
        packets.insert(at, packets[at].clone());
    }
    let doubled = read(packets.concat());
    assert_eq!((doubled.frames, doubled.notes.len()), (plain.frames, 0));
}

#[test]
fn scrambled_packets_are_refused_by_name() {
    let mut packets = split();
    let at = inner(&packets, 2);
    packets[at][3] |= 0x80;
    let mut container = Container::from_bytes(packets.concat()).unwrap();
    let error = container.packets(0).unwrap_err().to_string();
    let start =
        format!("transport packet at byte {}: a scrambled packet of PID 256 is not supported", at * SIZE);
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn headers_may_lie_across_packets() {
    let plain = read(common::bytes("transport.ts"));
    // The first packet of the second frame becomes two: with one byte of its payload, and with the rest; stuffing fills them.
    let mut packets = split();
    let begins = |packet: &Vec<u8>| is_video(packet) && packet[1] & 0x40 != 0;
    let at = (0..packets.len()).filter(|&at| begins(&packets[at])).nth(1).unwrap();
    let packet = packets[at].clone();
    let field = if packet[3] & 0x20 != 0 { 1 + usize::from(packet[4]) } else { 0 };
    let payload = packet[4 + field..].to_vec();
    // 0x100 bytes of adaptation field cannot be: each of both gets what is left of 184.
    let stuffed = |head: [u8; 4], payload: &[u8]| {
        let length = 184 - 1 - payload.len();
        let flags: &[u8] = if length > 0 { &[0] } else { &[] };
        [&head[..], &[length as u8], flags, &vec![0xff; length - flags.len()], payload].concat()
    };
    let head = [packet[0], packet[1], packet[2], packet[3] | 0x30];
    let first = stuffed(head, &payload[..7]);
    let second = stuffed([head[0], head[1] & !0x40, head[2], head[3]], &payload[7..]);
    assert_eq!((first.len(), second.len()), (SIZE, SIZE));
    packets.splice(at..=at, [first, second]);
    // Counters go on from there.
    let mut count = None;
    for packet in packets.iter_mut().filter(|packet| is_video(packet)) {
        let next = count.map_or(packet[3] & 15, |count: u8| (count + 1) & 15);
        packet[3] = packet[3] & 0xf0 | next;
        count = Some(next);
    }
    let split = read(packets.concat());
    assert_eq!(split.notes, [""; 0]);
    assert_eq!(split.frames, plain.frames);
    assert!(split.packets.iter().zip(&plain.packets).all(|(a, b)| (a.pts, a.dts) == (b.pts, b.dts)));
}

#[test]
fn a_stream_without_tables_is_refused_by_name() {
    let video: Vec<u8> = split().into_iter().filter(|packet| is_video(packet)).flatten().collect();
    let error = Container::from_bytes(video).unwrap_err().to_string();
    assert!(
        error.starts_with("transport stream at byte 0: no program association and map tables"),
        "{error}"
    );
}

#[test]
fn a_byte_stream_of_another_codec_is_named() {
    let mut container = Container::from_bytes(common::bytes("stream.h264")).unwrap();
    assert_eq!((container.tracks()[0].codec.clone(), container.default_track()), (Codec::H264, None));
    let error = container.packets(0).unwrap_err().to_string();
    assert!(error.contains("dividing a byte stream of H264 into access units is not supported"), "{error}");
}
