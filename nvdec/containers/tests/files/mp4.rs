//! Cases of MP4 that no muxer at hand writes, built box by box round the sample entry of a real file; and real files, changed.

use containers::{Codec, Container, Error, Format, Framing, LengthSize, PacketInfo, TrackKind};

use crate::common;

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], &body].concat()
}

/// A box with version and flags.
fn full(kind: &[u8; 4], version: u8, flags: u32, numbers: &[u32]) -> Vec<u8> {
    let head = (u32::from(version) << 24 | flags).to_be_bytes();
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    boxed(kind, &[&head, &numbers])
}

/// Where `needle` is in `file`.
fn find(file: &[u8], needle: &[u8]) -> usize {
    file.windows(needle.len()).position(|window| window == needle).unwrap()
}

/// A box of a file, with its header.
fn cut_out(file: &[u8], kind: &[u8; 4]) -> Vec<u8> {
    let at = find(file, kind) - 4;
    let size = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    file[at..at + size].to_vec()
}

/// The sample entry of `plain.mp4`.
fn entry() -> Vec<u8> {
    cut_out(&common::bytes("plain.mp4"), b"hvc1")
}

fn stsd(entries: &[Vec<u8>]) -> Vec<u8> {
    boxed(b"stsd", &[&[0; 4], &(entries.len() as u32).to_be_bytes(), &entries.concat()])
}

/// A track with ticks of 1/600 s in a movie with ticks of 1/100 s.
fn moov(edits: &[u8], entries: &[Vec<u8>], tables: &[Vec<u8>], more: &[u8]) -> Vec<u8> {
    let matrix: [u32; 9] = [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30];
    let mut mvhd = vec![0, 0, 100, 0, 1 << 16, 0x0100_0000, 0, 0];
    mvhd.extend(matrix);
    mvhd.extend([0; 7]);
    let mut tkhd = vec![0, 0, 7, 0, 0, 0, 0, 0, 0];
    tkhd.extend(matrix);
    tkhd.extend([128 << 16, 96 << 16]);
    let stbl = boxed(b"stbl", &[&stsd(entries), &tables.concat()]);
    let hdlr = boxed(b"hdlr", &[&[0; 8], b"vide", &[0; 12], b"\xffname"]);
    let mdhd = full(b"mdhd", 0, 0, &[0, 0, 600, 0, 0x55c4 << 16]);
    let mdia = boxed(b"mdia", &[&mdhd, &hdlr, &boxed(b"minf", &[&stbl])]);
    let trak = boxed(b"trak", &[&full(b"tkhd", 0, 1, &tkhd), edits, &mdia]);
    boxed(b"moov", &[&full(b"mvhd", 0, 0, &mvhd), &trak, more])
}

fn elst(version: u8, numbers: &[u32]) -> Vec<u8> {
    boxed(b"edts", &[&full(b"elst", version, 0, numbers)])
}

fn packets(file: &[u8]) -> Result<(Vec<PacketInfo>, Vec<String>), Error> {
    let mut container = Container::from_bytes(file.to_vec())?;
    let packets = container.packets(0)?;
    Ok((packets, container.notes().to_vec()))
}

/// Offset, size, pts, dts, duration, key, shown.
type Row = (u64, u64, i64, i64, i64, bool, bool);

fn rows(packets: &[PacketInfo]) -> Vec<Row> {
    let row = |p: &PacketInfo| {
        (p.offset, p.size, p.pts.unwrap(), p.dts.unwrap(), p.duration.unwrap(), p.key, p.shown)
    };
    packets.iter().map(row).collect()
}

#[test]
fn tables_edits_and_chunks_of_64_bits() {
    let tables = [
        full(b"stts", 0, 0, &[2, 1, 20, 2, 30]),
        full(b"ctts", 1, 0, &[1, 3, -10i32 as u32]),
        full(b"stsc", 0, 0, &[2, 1, 2, 1, 2, 1, 1]),
        full(b"stsz", 0, 0, &[0, 3, 5, 6, 7]),
        full(b"co64", 0, 0, &[2, 0, 16, 0, 40]),
        full(b"stss", 0, 0, &[1, 2]),
    ];
    // An empty edit of 0.5 s, then from 20 for 0.05 s.
    let edits = elst(1, &[2, 0, 50, !0, !0, 1 << 16, 0, 5, 0, 20, 1 << 16]);
    let mdat = [&[0, 0, 0, 1], &b"mdat"[..], &48u64.to_be_bytes(), &[0; 32]].concat();
    let file = [mdat, moov(&edits, &[entry()], &tables, &[])].concat();
    let (packets, notes) = packets(&file).unwrap();
    // pts = dts - 10 + 300 - 20, of 20 to 50; dts moved by the same, and by the smallest offset.
    let expected = [
        (16, 5, 270, 270, 20, false, false),
        (21, 6, 290, 290, 30, true, false),
        (40, 7, 320, 320, 30, false, true),
    ];
    assert_eq!(rows(&packets), expected);
    assert_eq!(notes, [""; 0]);
}

#[test]
fn fragments_find_their_data_and_their_times() {
    let trex = boxed(b"mvex", &[&full(b"trex", 0, 0, &[7, 1, 11, 4, 1 << 16])]);
    let init = moov(&[], &[entry()], &[], &trex);
    let other = boxed(b"traf", &[&full(b"tfhd", 0, 0, &[9]), &full(b"trun", 0, 1, &[2, 100])]);
    // Several runs: inherited, explicit behind it, and at an offset of their own.
    let ours = boxed(
        b"traf",
        &[
            &full(b"tfhd", 0, 0x2_0000, &[7]),
            &full(b"tfdt", 1, 0, &[0, 1000]),
            &full(b"trun", 0, 5, &[2, 200, 0]),
            &full(b"trun", 1, 0xf00, &[1, 12, 6, 0, -5i32 as u32]),
            &full(b"trun", 0, 1, &[1, 300]),
        ],
    );
    let first = boxed(b"moof", &[&full(b"mfhd", 0, 0, &[1]), &other, &ours]);
    // No time: goes on. A base of its own, and defaults of its own.
    let second = boxed(
        b"moof",
        &[&boxed(
            b"traf",
            &[&full(b"tfhd", 0, 0x39, &[7, 0, 32, 15, 3, 0]), &full(b"trun", 0, 0x200, &[2, 4, 0])],
        )],
    );
    let moof = init.len() as u64;
    let file = [init, first, second, vec![0; 400]].concat();
    let (packets, notes) = packets(&file).unwrap();
    let expected = [
        (moof + 200, 4, 1000, 995, 11, true, true),
        (moof + 204, 4, 1011, 1006, 11, false, true),
        (moof + 208, 6, 1017, 1017, 12, true, true),
        (moof + 300, 4, 1034, 1029, 11, false, true),
        (32, 4, 1045, 1040, 15, true, true),
    ];
    assert_eq!(rows(&packets), expected);
    assert_eq!(notes, ["track 7: 1 samples without bytes are left out"]);
    let container = Container::from_bytes(file).unwrap();
    assert_eq!((container.format(), container.tracks()[0].id), (Format::FragmentedMp4, 7));
}

#[test]
fn data_of_a_traf_without_base_lie_behind_those_of_the_one_before() {
    let init = moov(&[], &[entry()], &[], &boxed(b"mvex", &[&full(b"trex", 0, 0, &[7, 1, 1, 4, 0])]));
    let other = boxed(b"traf", &[&full(b"tfhd", 0, 0, &[9]), &full(b"trun", 0, 0x201, &[2, 100, 30, 40])]);
    let ours = boxed(b"traf", &[&full(b"tfhd", 0, 0, &[7]), &full(b"trun", 0, 0, &[1])]);
    let moof = init.len() as u64;
    let file = [init, boxed(b"moof", &[&other, &ours]), vec![0; 300]].concat();
    assert_eq!(packets(&file).unwrap().0[0].offset, moof + 170);
}

#[test]
fn samples_that_claim_too_much_are_bounded() {
    let init = moov(&[], &[entry()], &[], &boxed(b"mvex", &[&full(b"trex", 0, 0, &[7, 1, 1, 0, 0])]));
    let traf = |runs: &[u8]| boxed(b"moof", &[&boxed(b"traf", &[&full(b"tfhd", 0, 0x2_0000, &[7]), runs])]);
    // Without bytes: any number.
    let file = [init.clone(), traf(&full(b"trun", 0, 0, &[u32::MAX]))].concat();
    let (none, notes) = packets(&file).unwrap();
    assert_eq!(
        (none.len(), &notes[..]),
        (0, &["track 7: 4294967295 samples without bytes are left out".to_owned()][..])
    );
    // All at the same place, again and again.
    let run = full(b"trun", 0, 0x201, &[1, 0, 1]);
    let many = [run.repeat(3000), full(b"trun", 0, 1, &[u32::MAX, 0])].concat();
    let defaults = full(b"tfhd", 0, 0x2_0010, &[7, 1]);
    let file = [init, boxed(b"moof", &[&boxed(b"traf", &[&defaults, &many, &many])])].concat();
    let error = packets(&file).unwrap_err().to_string();
    assert!(error.contains("the track has more samples than the file has bytes"), "{error}");
    // Long ones, one over the other.
    let tables = [
        full(b"stts", 0, 0, &[1, 20, 20]),
        full(b"stsc", 0, 0, &[1, 1, 1, 1]),
        full(b"stsz", 0, 0, &[500, 20]),
        full(b"stco", 0, 0, &[vec![20], vec![0; 20]].concat()),
    ];
    let error = packets(&moov(&[], &[entry()], &tables, &[])).unwrap_err().to_string();
    assert!(error.contains("its samples lie over each other: they have"), "{error}");
}

#[test]
fn tables_that_do_not_agree_are_noted() {
    let table = |sizes: u32| {
        [
            full(b"stts", 0, 0, &[1, 1, 20]),
            full(b"ctts", 0, 0, &[1, 1, 5]),
            full(b"stsc", 0, 0, &[1, 1, 3, 1]),
            full(b"stsz", 0, 0, &[4, sizes]),
            full(b"stco", 0, 0, &[1, 8]),
        ]
    };
    let (found, notes) = packets(&moov(&[], &[entry()], &table(3), &[])).unwrap();
    assert_eq!(found.iter().map(|packet| packet.pts.unwrap()).collect::<Vec<_>>(), [5, 20, 40]);
    let expected = [
        "track 7: stts has no duration for its last 2 samples",
        "track 7: ctts has no offset for its last 2 samples",
    ];
    assert_eq!(notes, expected);
    let (_, notes) = packets(&moov(&[], &[entry()], &table(5), &[])).unwrap();
    assert!(
        notes.contains(&"track 7: its chunks hold 3 of the 5 samples that stsz claims".to_owned()),
        "{notes:?}"
    );
}

#[test]
fn a_change_of_parameter_sets_is_refused_by_name() {
    let tables = [
        full(b"stts", 0, 0, &[1, 2, 20]),
        full(b"stsc", 0, 0, &[2, 1, 1, 1, 2, 1, 2]),
        full(b"stsz", 0, 0, &[4, 2]),
        full(b"stco", 0, 0, &[2, 8, 12]),
    ];
    let mut changed = entry();
    *changed.iter_mut().rfind(|byte| **byte == 0x44).unwrap() = 0x45;
    let same = moov(&[], &[entry(), entry()], &tables, &[]);
    assert_eq!(packets(&same).unwrap().0.len(), 2);
    let sps = find(&changed, &[0x42, 1, 1]);
    changed[sps + 8] ^= 1;
    let error = packets(&moov(&[], &[entry(), changed], &tables, &[])).unwrap_err().to_string();
    assert!(
        error.contains("a change to sample entry 2 at sample 2, which has other parameter sets, is not"),
        "{error}"
    );
}

/// What `Container::open` says of a file that it refuses.
fn refusal(file: Vec<u8>) -> String {
    Container::from_bytes(file).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let plain = common::bytes("plain.mp4");
    let mut encrypted = plain.clone();
    let at = find(&encrypted, b"hvc1\0\0\0\0\0\0\0\x01");
    encrypted[at..at + 4].copy_from_slice(b"encv");
    let mut container = Container::from_bytes(encrypted).unwrap();
    assert_eq!(container.tracks()[0].codec, Codec::Encrypted("encv".to_owned()));
    assert_eq!(container.default_track(), None);
    let error = container.packets(0).unwrap_err().to_string();
    assert!(error.contains("an encrypted track (encv) is not supported; decrypt it first"), "{error}");

    let fragmented = common::bytes("fragmented.mp4");
    let moof = find(&fragmented, b"moof") - 4;
    assert!(refusal(fragmented[moof..].to_vec()).contains("put the initialization segment in front"));
    let moov = find(&plain, b"moov") - 4;
    assert!(refusal(plain[..moov].to_vec()).contains("it has no moov box within"));
    assert!(
        refusal(plain[..moov + 100].to_vec()).starts_with(&format!("moov box at byte {moov}: 92 of its"))
    );
    let mut without = plain.clone();
    let at = find(&without, b"hvcC");
    without[at..at + 4].copy_from_slice(b"free");
    assert!(refusal(without).contains("it has no hvcC or avcC box"));
    let advice = refusal([&8u32.to_be_bytes(), &b"free"[..], &4u32.to_be_bytes(), b"moov"].concat());
    assert!(advice.starts_with("moov box at byte 8: its size"), "{advice}");
    let error = Container::from_bytes(plain).unwrap().packets(5).unwrap_err();
    assert_eq!(error.to_string(), "there is no track 5: the file has 1, counted from 0");
}

#[test]
fn a_file_that_is_cut_gives_what_is_there() {
    let whole = common::bytes("faststart.mp4");
    let (all, _) = packets(&whole).unwrap();
    let cut = all[10].offset + 3;
    let (some, notes) = packets(&whole[..cut as usize]).unwrap();
    assert_eq!(some, all[..10]);
    assert!(
        notes[0].starts_with("mdat box at byte")
            && notes[1].contains("the file ends in or before sample 11; 10 are"),
        "{notes:?}"
    );

    let whole = common::bytes("traf.mp4");
    let (all, _) = packets(&whole).unwrap();
    // Within the second moof box.
    let (some, notes) = packets(&whole[..3500]).unwrap();
    assert_eq!(some, all[..5]);
    assert_eq!(notes.len(), 2, "{notes:?}");
}

#[test]
fn tracks_say_what_the_file_says() {
    let container = Container::from_bytes(common::bytes("two_tracks.mp4")).unwrap();
    let [sound, video] = container.tracks() else { panic!("{:?}", container.tracks()) };
    assert_eq!((sound.kind, &sound.codec), (TrackKind::Audio, &Codec::Other("mp4a".to_owned())));
    assert_eq!(
        (video.kind, &video.codec, video.language.as_deref()),
        (TrackKind::Video, &Codec::Hevc, Some("deu"))
    );
    assert_eq!(video.framing, Framing::LengthPrefixed(LengthSize::Four));
    assert_eq!(video.parameter_sets.iter().map(|unit| unit[0] >> 1).collect::<Vec<_>>(), [32, 33, 34]);
    assert_eq!((video.edits.len(), video.edits[0].media_time, video.edits[0].duration), (2, None, 6144));
    assert_eq!((video.width, video.height, video.duration), (Some(128), Some(96), Some(12288)));
    assert_eq!((container.default_track(), container.format().name()), (Some(1), "MP4"));
    // FFmpeg 5.1 turns the other way round than asked; ffprobe says 90 degrees counter-clockwise.
    let rotated = Container::from_bytes(common::bytes("rotated.mp4")).unwrap();
    assert_eq!(rotated.tracks()[0].rotation(), Some(270));
    for (name, range) in [("colour.mp4", Some(false)), ("colour.mkv", None)] {
        let container = Container::from_bytes(common::bytes(name)).unwrap();
        let track = &container.tracks()[0];
        let colour = track.colour.unwrap();
        let codes = [colour.colour_primaries, colour.transfer_characteristics, colour.matrix_coefficients];
        let expected = if name == "colour.mp4" { [9, 16, 9] } else { [1, 1, 1] };
        assert_eq!((codes, colour.full_range, track.pixel_aspect), (expected, range, Some((3, 2))), "{name}");
    }
    let h264 = Container::from_bytes(common::bytes("h264.mp4")).unwrap();
    let h264 = &h264.tracks()[0];
    assert_eq!((h264.framing, h264.parameter_sets.len()), (Framing::LengthPrefixed(LengthSize::Four), 2));
    let hev1 = Container::from_bytes(common::bytes("hev1.mp4")).unwrap();
    assert_eq!((&hev1.tracks()[0].codec, hev1.default_track()), (&Codec::Hevc, Some(0)));
}

#[test]
fn a_disabled_track_is_chosen_last() {
    let mut file = common::bytes("plain.mp4");
    let tkhd = find(&file, b"tkhd");
    file[tkhd + 7] &= !1;
    let container = Container::from_bytes(file.clone()).unwrap();
    assert_eq!((container.tracks()[0].enabled, container.default_track()), (false, Some(0)));
    // The same track twice, the second one enabled.
    let moov = cut_out(&file, b"moov");
    let at = find(&moov, b"trak") - 4;
    let trak = cut_out(&moov, b"trak");
    let mut second = trak.clone();
    second[8 + 11] |= 1;
    let both = boxed(b"moov", &[&moov[8..at], &trak, &second, &moov[at + trak.len()..]]);
    let container = Container::from_bytes(both).unwrap();
    assert_eq!((container.tracks().len(), container.default_track()), (2, Some(1)));
}

#[test]
fn a_still_picture_is_a_track_with_one_packet() {
    let file = common::bytes("still.heic");
    let mut container = Container::from_bytes(file.clone()).unwrap();
    assert_eq!((container.format(), container.default_track()), (Format::Heif, Some(0)));
    let track = &container.tracks()[0];
    assert_eq!(
        (track.width, track.height, track.rotation(), track.parameter_sets.len()),
        (Some(64), Some(64), Some(0), 3)
    );
    let colour = track.colour.unwrap();
    assert_eq!((colour.matrix_coefficients, colour.full_range), (6, Some(true)));
    assert_eq!(track.framing, Framing::LengthPrefixed(LengthSize::Four));
    let packets = container.packets(0).unwrap();
    assert_eq!((packets.len(), packets[0].offset, packets[0].size, packets[0].pts), (1, 656, 43, Some(0)));
    let mut unit = Vec::new();
    container.read(0, &packets[0], &mut unit).unwrap();
    // A length of 4 bytes, and a slice segment of an IDR picture.
    assert_eq!((&unit[..4], unit[4] >> 1), (&[0, 0, 0, 39][..], 20));

    let mut tiles = file.clone();
    let at = find(&tiles, b"hvc1");
    tiles[at..at + 4].copy_from_slice(b"grid");
    assert!(
        refusal(tiles).contains("a picture made of other ones (grid) is not supported; libheif decodes it")
    );
    let error = refusal(file[..690].to_vec());
    assert!(error.contains("the 43 bytes at byte 656 are not all there"), "{error}");
}
