//! Packets against those that FFmpeg reads, of all files: times, sizes, flags and bytes.

use containers::{Codec, Container, Format, PacketInfo, TrackKind};
use md5::{Digest, Md5};

use crate::common;

/// A line of ffprobe: `N/A` is `None`.
struct Expected {
    pts: Option<i64>,
    dts: Option<i64>,
    duration: Option<i64>,
    size: usize,
    key: bool,
    shown: bool,
}

fn expected(name: &str) -> Vec<Expected> {
    let text = String::from_utf8(common::bytes(&format!("{name}.expected"))).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let &[pts, dts, duration, size, flags] = &fields[..] else { panic!("{name}: {line}") };
        Expected {
            pts: pts.parse().ok(),
            dts: dts.parse().ok(),
            duration: duration.parse().ok(),
            size: size.parse().unwrap(),
            key: flags.starts_with('K'),
            shown: !flags.contains('D'),
        }
    };
    text.lines().map(line).collect()
}

fn hashes(name: &str) -> Vec<String> {
    let text = String::from_utf8(common::bytes(&format!("{name}.md5"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn hash(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn packets_are_those_of_ffprobe() {
    for name in common::FILES {
        let mut container = Container::open_file(std::fs::File::open(common::path(name)).unwrap()).unwrap();
        let format = container.format();
        let video = |index: &usize| container.tracks()[*index].kind == TrackKind::Video;
        let track = (0..container.tracks().len()).find(video).unwrap();
        let codec = if name.starts_with("h264") { Codec::H264 } else { Codec::Hevc };
        assert_eq!(container.tracks()[track].codec, codec, "{name}");
        let packets = container.packets(track).unwrap();
        assert_eq!(container.notes(), [""; 0], "{name}");
        let (expected, hashes) = (expected(name), hashes(name));
        assert_eq!(packets.len(), expected.len(), "{name}");

        // FFmpeg counts the first zero of a start code of four bytes to what is in front.
        let is_stream = matches!(format, Format::MpegTs | Format::AnnexB);
        let (mut bytes, mut all, mut end) = (Vec::new(), Vec::new(), 0);
        for (index, packet) in packets.iter().enumerate() {
            let this = &expected[index];
            let at = format!("{name}, packet {index}: {packet:?}");
            // The edit begins between two pictures. ISO/IEC 14496-12 makes its beginning time 0; FFmpeg makes it that of the first
            // picture behind.
            let shift = if name == "trimmed.mp4" { 5120 - 4710 } else { 0 };
            assert_eq!(packet.pts, this.pts.map(|pts| pts + shift), "{at}");
            // ffprobe makes some up for Matroska.
            let dts = if format == Format::Matroska { None } else { this.dts.map(|dts| dts + shift) };
            assert_eq!(packet.dts, dts, "{at}");
            match format {
                // It rounds down.
                Format::Matroska => {
                    assert!((packet.duration.unwrap() - this.duration.unwrap()).abs() <= 1, "{at}")
                }
                // It knows them from the stream.
                Format::MpegTs | Format::AnnexB => assert_eq!(packet.duration, None, "{at}"),
                // There it goes by a frame rate.
                _ if name == "vfr.mp4" => {
                    let next = packets.get(index + 1).and_then(|next| next.dts.zip(packet.dts));
                    assert!(next.is_none_or(|(next, dts)| packet.duration == Some(next - dts)), "{at}");
                }
                _ => assert_eq!(packet.duration, this.duration, "{at}"),
            }
            assert_eq!((packet.key, packet.shown), (this.key, this.shown), "{at}");
            container.read(track, packet, &mut bytes).unwrap();
            end += this.size;
            if is_stream {
                all.extend_from_slice(&bytes);
                assert!([end, end - 1].contains(&all.len()), "{at}");
            } else {
                assert_eq!((bytes.len(), packet.size), (this.size, this.size as u64), "{at}");
                assert_eq!(hash(&bytes), hashes[index], "{at}");
            }
        }
        if is_stream {
            assert_eq!(vec![hash(&all)], hashes, "{name}");
        }
    }
}

#[test]
fn parts_of_packets_are_of_what_is_read() {
    let mut parts = 0;
    for name in common::FILES {
        let mut container = Container::open_file(std::fs::File::open(common::path(name)).unwrap()).unwrap();
        for track in 0..container.tracks().len() {
            for packet in container.packets(track).unwrap_or_default() {
                let mut whole = Vec::new();
                container.read(track, &packet, &mut whole).unwrap();
                for (from, length) in
                    [(0, 4), (0, usize::MAX), (3, 20), (whole.len() as u64, 9), (u64::MAX, 1)]
                {
                    let Some(part) = container.part(track, &packet, from, length).unwrap() else {
                        assert_eq!(container.format(), Format::MpegTs, "{name}");
                        continue;
                    };
                    let from = usize::try_from(from).unwrap_or(usize::MAX).min(whole.len());
                    assert_eq!(part, &whole[from..from.saturating_add(length).min(whole.len())], "{name}");
                    parts += 1;
                }
            }
        }
        let tracks = container.tracks().len();
        let packet = PacketInfo { offset: container.size(), size: 1, ..container.packets(0).unwrap()[0] };
        assert!(container.part(tracks, &packet, 0, 1).is_err());
        if container.format() != Format::MpegTs {
            assert!(container.part(0, &packet, 0, 1).is_err(), "it lies behind the end");
        }
    }
    assert!(parts > 1000);
}
