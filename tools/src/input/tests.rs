//! Each row of the table on bytes made up for it, the commands, and that no HEVC is taken for anything else.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::head::Head;
use super::other::{Reader, Signature, Verdict, examine};
use super::*;
use crate::exit::Exit;

const STREAMS: [&[u8]; 4] = [
    include_bytes!("../../clips/x_444_cqp.hevc"),
    include_bytes!("../../clips/x_wpp.hevc"),
    include_bytes!("../../clips/x_size_202x150.hevc"),
    include_bytes!("../../clips/k_10b_tiles.hevc"),
];

fn head(bytes: &[u8], last: bool) -> Head<'_> {
    Head { zeros: 0, bytes: &bytes[..bytes.len().min(WINDOW)], last, file: None }
}

fn found(bytes: &[u8]) -> Option<&'static Signature> {
    match examine(&head(bytes, true)) {
        Verdict::Other(found) => Some(found),
        Verdict::Stream => None,
        Verdict::Unclear => panic!("the end is clear"),
    }
}

/// What is said of a file of these bytes.
#[track_caller]
fn said_of(bytes: &[u8], path: &str, reader: Reader) -> String {
    let found = found(bytes).expect("it is none");
    found.describe(&head(bytes, true), Path::new(path), reader)
}

fn mp4_box(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32 + 8).to_be_bytes(), &kind[..], payload].concat()
}

fn track(handler: &[u8; 4], entry: &[u8; 4]) -> Vec<u8> {
    let stsd = mp4_box(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &mp4_box(entry, &[0; 78])].concat());
    let hdlr = mp4_box(b"hdlr", &[&[0; 8][..], handler, &[0; 13]].concat());
    let minf = mp4_box(b"minf", &mp4_box(b"stbl", &stsd));
    mp4_box(b"trak", &[mp4_box(b"tkhd", &[0; 84]), mp4_box(b"mdia", &[hdlr, minf].concat())].concat())
}

fn moov(tracks: &[Vec<u8>]) -> Vec<u8> {
    mp4_box(b"moov", &[&mp4_box(b"mvhd", &[0; 100])[..], &tracks.concat()].concat())
}

fn ftyp(brands: &[&[u8; 4]]) -> Vec<u8> {
    let mut payload = [&brands[0][..], &[0, 0, 2, 0]].concat();
    brands.iter().for_each(|brand| payload.extend_from_slice(&brand[..]));
    mp4_box(b"ftyp", &payload)
}

fn film(entries: &[(&[u8; 4], &[u8; 4])]) -> Vec<u8> {
    let tracks: Vec<_> = entries.iter().map(|(handler, entry)| track(handler, entry)).collect();
    [ftyp(&[b"isom", b"iso2"]), moov(&tracks), mp4_box(b"mdat", &[7; 500])].concat()
}

fn matroska(ids: &[&str]) -> Vec<u8> {
    let mut bytes = b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska".to_vec();
    bytes.extend([0; 40]);
    for id in ids {
        bytes.extend([0x86, 0x80 | id.len() as u8]);
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

fn avi(codec: &[u8; 4]) -> Vec<u8> {
    let mut bytes = b"RIFF\0\x10\0\0AVI LIST\x90\0\0\0strlstrh\x38\0\0\0vids".to_vec();
    bytes.extend([0; 0x38 - 4]);
    bytes.extend_from_slice(b"strf\x28\0\0\0\x28\0\0\0\x40\x01\0\0\xf0\0\0\0\x01\0\x18\0");
    bytes.extend_from_slice(codec);
    bytes.extend([0; 100]);
    bytes
}

fn packets(before: usize, size: usize, count: usize) -> Vec<u8> {
    let mut bytes = vec![0x11; size * count];
    (0..count).for_each(|i| bytes[i * size + before] = 0x47);
    bytes
}

/// NAL units of a stream with a length in front of each.
fn with_lengths(stream: &[u8]) -> Vec<u8> {
    let units = bitstream::split_annex_b(stream);
    units.flat_map(|unit| [&(unit.len() as u32).to_be_bytes(), unit].concat()).collect()
}

const H264: &[u8] = b"\0\0\0\x01\x67\x64\x00\x0b\xac\xd9\x43\0\0\x01\x68\xeb\xe3\xcb\0\0\x01\x06\x05\xff";
const MPEG2_VIDEO: &[u8] = b"\0\0\x01\xb3\x16\0\xf0\x15\xff\xff\xe0\x18\0\0\x01\xb5\x14\x82\0\x01\0\0";
const PROGRAM_STREAM: &[u8] = b"\0\0\x01\xba\x44\0\x04\0\x04\x01\x86\x66\xcf\xf8\0\0\x01\xbb\0\x09";
const PROGRAM_STREAM_1: &[u8] = b"\0\0\x01\xba\x21\0\x01\0\x01\x80\0\x01\0\0\x01\xbb\0\x09";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xdb\0\x43";
const GZIP: &[u8] = b"\x1f\x8b\x08\x08\x11\x22\x33\x44\0\x03film\0";

/// Bytes, the row that they are, and what is said of them to `nvdec-decode` where that is more.
fn samples() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let only = "; this program decodes HEVC only";
    let ffmpeg = "; it has to be a file, since parts of it are looked for; give its name, or take the stream out of it: `ffmpeg -i film -map 0:v:0 -c copy -bsf:v hevc_mp4toannexb -f hevc - \
                  | nvdec-decode -`";
    let copy = "take the stream out of it: `ffmpeg -i film -map 0:v:0 -c copy -f hevc - | nvdec-decode -`";
    let text = "A film is not in here,\nonly the words for it: \u{fc}\u{2713}\n".as_bytes();
    vec![
        (b"".to_vec(), "empty", ""),
        (vec![0; 300], "nothing but zeros", ""),
        (H264.to_vec(), "H.264 (Annex B)", only),
        ([b"\0\0\0\x01\x09\xf0", H264].concat(), "H.264 (Annex B)", only),
        (MPEG2_VIDEO.to_vec(), "MPEG-1 or MPEG-2 video", only),
        (PROGRAM_STREAM.to_vec(), "an MPEG program stream", copy),
        (PROGRAM_STREAM_1.to_vec(), "an MPEG program stream", copy),
        (packets(0, 188, 5), "an MPEG transport stream", copy),
        (packets(0, 188, 3), "an MPEG transport stream", copy),
        (packets(4, 192, 5), "an MPEG transport stream", copy),
        (packets(0, 204, 9), "an MPEG transport stream", copy),
        (packets(0, 188, 9)[100..].to_vec(), "an MPEG transport stream", copy),
        (ftyp(&[b"avif", b"mif1"]), "a picture in AVIF", only),
        (ftyp(&[b"mif1", b"heic"]), "a picture in HEIC", "`heif-convert film picture.png`"),
        (
            [mp4_box(b"styp", b"msdh\0\0\0\0"), mp4_box(b"moof", &[0; 99])].concat(),
            "a piece of a fragmented MP4",
            "`cat init.mp4 film | ffmpeg -i - -map 0:v:0 ",
        ),
        (mp4_box(b"moof", &[0; 99]), "a piece of a fragmented MP4", "if HEVC is in it, put the init"),
        (film(&[(b"soun", b"mp4a"), (b"vide", b"hvc1")]), "MP4 or QuickTime with HEVC (hvc1)", ffmpeg),
        (film(&[(b"vide", b"dvh1")]), "MP4 or QuickTime with HEVC (dvh1)", ffmpeg),
        (film(&[(b"vide", b"avc1"), (b"vide", b"hev1")]), "MP4 or QuickTime with HEVC (hev1)", "-map 0:v:1 "),
        (film(&[(b"vide", b"avc1")]), "MP4 or QuickTime with H.264 (avc1) in it", only),
        (film(&[(b"vide", b"\xff'x ")]), "MP4 or QuickTime with another codec (\\xff\\'x ) in it", only),
        (mp4_box(b"wide", b""), "MP4 or QuickTime", "; if HEVC is in it, it has to be a file"),
        (matroska(&["A_OPUS", "V_MPEGH/ISO/HEVC"]), "Matroska or WebM with HEVC (V_MPEGH/ISO/HEVC)", ffmpeg),
        (matroska(&["V_VP9"]), "Matroska or WebM with VP9 (V_VP9) in it", only),
        (matroska(&["V_MS/VFW/FOURCC"]), "Matroska or WebM", "; if HEVC is in it, it has"),
        (b"DKIF\0\0\x20\0H265\x40\x01".to_vec(), "IVF with HEVC (H265) in it", copy),
        (b"DKIF\0\0\x20\0AV01\x40\x01".to_vec(), "IVF with AV1 (AV01) in it", only),
        (avi(b"HEVC"), "AVI with HEVC (HEVC) in it", copy),
        (avi(b"XVID"), "AVI with MPEG-4 part 2 (XVID) in it", only),
        (avi(&[0; 4]), "AVI", "; if HEVC is in it, take"),
        (b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec(), "FLV", "; if HEVC is in it, take"),
        (b"OggS\0\x02\0\0".to_vec(), "Ogg", only),
        (b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0".to_vec(), "WAV sound", only),
        (b"RIFF\x24\x08\0\0WEBPVP8 \x10\0\0\0".to_vec(), "a picture in WebP", only),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec(), "a picture in PNG", only),
        (JPEG.to_vec(), "a picture in JPEG", only),
        (b"GIF87a\x10\0\x10\0".to_vec(), "a picture in GIF", only),
        (b"GIF89a\x10\0\x10\0".to_vec(), "a picture in GIF", only),
        (GZIP.to_vec(), "packed with gzip", "unpack it: `cat film | gzip -dc | nvdec-decode -`"),
        (b"\x28\xb5\x2f\xfd\x04\x58".to_vec(), "packed with zstd", "`cat film | zstd -dc | nvdec-decode -`"),
        (b"\xfd7zXZ\0\0\x04".to_vec(), "packed with xz", "`cat film | xz -dc | nvdec-decode -`"),
        (b"PK\x03\x04\x14\0\0\0".to_vec(), "a ZIP archive", "`cat film | funzip | nvdec-decode -`"),
        (with_lengths(STREAMS[2]), "HEVC with a length of 4 bytes", "`cat film | perl "),
        (text.to_vec(), "text", ""),
    ]
}

#[test]
fn every_row_is_found_and_says_what_to_do() {
    let mut seen = Vec::new();
    for (bytes, what, advice) in samples() {
        let said = said_of(&bytes, "film", Reader::Decode);
        assert!(said.starts_with(&format!("it is {what}")), "{said}");
        assert!(said.contains(advice), "{said}: {advice}");
        let row: *const Signature = found(&bytes).unwrap();
        seen.push(row as usize);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), other::rows(), "rows without a sample");
}

/// However little of it comes at first, the beginning of something else is not taken for a stream, nor for a third thing.
#[test]
fn beginnings_are_unclear() {
    for (bytes, what, _) in samples() {
        for length in 0..bytes.len() {
            match examine(&head(&bytes[..length], false)) {
                Verdict::Unclear => {}
                // The special is seen before the general.
                Verdict::Other(found) => {
                    let said = found.describe(&head(&bytes, true), Path::new("x"), Reader::Decode);
                    assert!(said.contains(what), "{length} bytes of {what}: {said}");
                }
                Verdict::Stream => panic!("{length} bytes of {what}"),
            }
        }
    }
}

#[test]
fn streams_are_seen_early() {
    for stream in STREAMS {
        // A start code and the header of a parameter set, or a byte more.
        assert!(matches!(examine(&head(&stream[..8], false)), Verdict::Stream));
    }
    // Zeros and garbage before it.
    let garbage = b"HTTP/1.1 200 OK\r\n\r\n";
    for before in
        [&[0; 5000][..], garbage, &[0xff; 70], b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\0\0\x01\x67\x64\0\x0b"]
    {
        let stream = [before, STREAMS[1]].concat();
        assert!(found(&stream).is_none(), "{before:02x?}");
        // What may be the header of a pack or a sequence is read to its end.
        assert!(
            matches!(examine(&head(&stream[..before.len() + 40], false)), Verdict::Stream),
            "{before:02x?}"
        );
    }
}

#[test]
fn what_is_almost_something_else_is_none() {
    let changed = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 0x55;
        bytes
    };
    for bytes in [
        changed(H264, 5),
        H264[..11].to_vec(),
        changed(MPEG2_VIDEO, 15),
        changed(PROGRAM_STREAM, 16),
        changed(PROGRAM_STREAM, 4),
        changed(PROGRAM_STREAM_1, 14),
        changed(&packets(0, 188, 5), 188 * 4),
        packets(0, 188, 2),
        // Behind HEVC.
        [&STREAMS[1][..50], &packets(0, 188, 9)].concat(),
        [&[0, 0, 1, 0x40, 1][..], &packets(0, 188, 9)].concat(),
        changed(JPEG, 20),
        changed(GZIP, 8),
        changed(&with_lengths(STREAMS[2]), 4),
        vec![0xff; 1000],
        b"RIFF\0\0\0\0AVIX".to_vec(),
        [&[0; 3][..], STREAMS[0]].concat(),
    ] {
        assert!(found(&bytes).is_none(), "{:02x?}", &bytes[..bytes.len().min(40)]);
    }
}

#[test]
fn commands_name_the_file_in_a_way_that_a_shell_reads() {
    use std::os::unix::ffi::OsStrExt;
    for (name, argument) in [
        ("film.mp4", "film.mp4"),
        ("/a/b c.mp4", "'/a/b c.mp4'"),
        ("it's; rm -rf $HOME.mp4", r"'it'\''s; rm -rf $HOME.mp4'"),
        ("-i.mp4", "./-i.mp4"),
        ("http:x.mp4", "./http:x.mp4"),
        ("a\nb'\\.mp4", r"$'a\x0ab\'\\.mp4'"),
        ("-", "-"),
    ] {
        let said = said_of(&film(&[(b"vide", b"hvc1")]), name, Reader::Decode);
        assert!(said.contains(&format!("ffmpeg -i {argument} -map ")), "{said}");
        // What it says is one argument, the name.
        let shell =
            std::process::Command::new("bash").arg("-c").arg(format!("printf %s {argument}")).output();
        if let Ok(output) = shell {
            let bare = output.stdout.strip_prefix(b"./").unwrap_or(&output.stdout);
            assert_eq!(bare, name.as_bytes());
        }
    }
    let path = Path::new(std::ffi::OsStr::from_bytes(b"\xff.gz"));
    let said = found(GZIP).unwrap().describe(&head(GZIP, true), path, Reader::Decode);
    assert!(said.contains(r"cat $'\xff.gz' | gzip -dc |"), "{said}");
}

#[test]
fn commands_go_on_to_the_program_that_was_asked() {
    for (reader, end) in [
        (Reader::Decode, "| nvdec-decode -`"),
        (Reader::Parse, "| nvdec-decode --parse -`"),
        (Reader::File, "> stream.hevc`"),
        (Reader::Record, "| nvdec-replay record - -o stream.nvcap`"),
    ] {
        assert!(said_of(GZIP, "x", reader).ends_with(end));
    }
}

/// The command that puts start codes in the place of lengths gives the stream again, where there is a Perl.
#[test]
fn lengths_become_start_codes() {
    let folder = Folder::new("lengths");
    let path = folder.file("it's.bin", &with_lengths(STREAMS[3]));
    let failure = open(&path, Reader::File, false).unwrap_err().to_string();
    let command = failure.split('`').nth(1).unwrap().strip_suffix(" > stream.hevc").unwrap();
    let Ok(output) = std::process::Command::new("sh").args(["-c", command]).output() else { return };
    if output.status.success() {
        let units = |stream: &[u8]| bitstream::split_annex_b(stream).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(units(&output.stdout), units(STREAMS[3]));
    }
}

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("nvdec-input-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_looked_at_where_it_matters_and_read_from_the_beginning() {
    let folder = Folder::new("files");
    let said = |name: &str, bytes: &[u8]| {
        open(&folder.file(name, bytes), Reader::Decode, false).map(|_| ()).unwrap_err().to_string()
    };
    // `moov` behind more than is looked at, and behind a box whose length has 64 bits.
    let long = [&[0, 0, 0, 1][..], b"mdat", &(300_016u64).to_be_bytes(), &[9; 300_000]].concat();
    let film = [ftyp(&[b"qt  "]), long, moov(&[track(b"soun", b"mp4a"), track(b"vide", b"hvc1")])].concat();
    let text = said("late.mov", &film);
    assert!(text.contains("with HEVC (hvc1) in it") && text.contains("late.mov -map 0:v:0"), "{text}");
    // Cut off before it, and lengths that lead nowhere.
    assert!(said("cut.mov", &film[..200_000]).contains("; if HEVC is in it"));
    let endless = [ftyp(&[b"isom"]), b"\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()].concat();
    assert!(said("endless.mp4", &endless).contains("; if HEVC is in it"));
    assert!(
        said("sound.m4a", &[ftyp(&[b"M4A "]), moov(&[track(b"soun", b"mp4a")])].concat())
            .contains("without video")
    );
    assert!(said("zeros", &vec![0; 3 * WINDOW + 1]).contains("nothing but zeros"));
    // Streams are given whole.
    for before in [0, 4, WINDOW - 1, WINDOW, 2 * WINDOW + 100] {
        let stream = [&vec![0; before][..], STREAMS[1]].concat();
        let mut input = open(&folder.file("x.hevc", &stream), Reader::Decode, false).unwrap();
        assert_eq!(
            (input.size(), input.would_wait(), input.is_whole()),
            (Some(stream.len() as u64), false, false)
        );
        let mut read = Vec::new();
        input.read_to_end(&mut read).unwrap();
        assert!(read == stream, "{before} zeros before");
    }
    let path = folder.file("x.hevc", STREAMS[0]);
    assert_eq!(open(&path, Reader::Decode, true).unwrap_err().exit(), Exit::Usage, "a file is no pipe");
}

#[test]
fn a_missing_input_is_named() {
    let failure = open(Path::new("/nonexistent.hevc"), Reader::Decode, false).unwrap_err();
    assert_eq!(failure.exit(), Exit::NoInput);
    assert!(failure.to_string().starts_with("cannot read /nonexistent.hevc"), "{failure}");
    assert_eq!(open(Path::new("/"), Reader::Decode, false).unwrap_err().exit(), Exit::NoInput);
}

/// A pipe with a name, so that no process is needed at its other end.
fn pipe(folder: &Folder, whole: bool) -> (std::thread::JoinHandle<Result<Input, Failure>>, File) {
    let path = folder.0.join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = std::thread::spawn({
        let path = path.clone();
        move || open(&path, Reader::Decode, whole)
    });
    (reader, File::options().write(true).open(&path).unwrap())
}

#[test]
fn pipes_hand_on_what_is_there() {
    let folder = Folder::new("pipe");
    let (reader, mut writer) = pipe(&folder, false);
    writer.write_all(&STREAMS[0][..10]).unwrap();
    let mut input = reader.join().unwrap().unwrap();
    let mut buffer = vec![0; input.chunk()];
    assert!(!input.would_wait(), "what was looked at is there");
    assert_eq!((input.read(&mut buffer).unwrap(), &buffer[..10]), (10, &STREAMS[0][..10]));
    assert!(input.would_wait());
    writer.write_all(&STREAMS[0][10..13]).unwrap();
    assert!(!input.would_wait());
    assert_eq!((input.read(&mut buffer).unwrap(), input.is_whole()), (3, false));
    drop(writer);
    assert!(!input.would_wait(), "the end is there");
    assert_eq!(input.read(&mut buffer).unwrap(), 0);
}

#[test]
fn pipes_are_looked_at_until_they_are_clear() {
    for (bytes, part) in [
        (film(&[(b"vide", b"hvc1")]), "with HEVC (hvc1) in it; it has to be a file, "),
        (vec![0; WINDOW + 5], "nothing but zeros"),
        (b"words".to_vec(), "text"),
    ] {
        let folder = Folder::new("pipe-other");
        let (reader, mut writer) = pipe(&folder, false);
        for byte in bytes.chunks(700) {
            writer.write_all(byte).unwrap();
        }
        drop(writer);
        let failure = reader.join().unwrap().unwrap_err();
        assert_eq!(failure.exit(), Exit::Data);
        assert!(failure.to_string().contains(part), "{failure}");
    }
}

/// A write that a pipe takes in one piece is a whole access unit. Of one that fills it, the rest comes later.
#[test]
fn writes_are_whole_where_the_pipe_was_not_full() {
    let folder = Folder::new("whole");
    let (reader, mut writer) = pipe(&folder, true);
    writer.write_all(&STREAMS[0][..50]).unwrap();
    let mut input = reader.join().unwrap().unwrap();
    let mut buffer = vec![0; input.chunk()];
    assert_eq!((input.read(&mut buffer[..30]).unwrap(), input.is_whole()), (30, false));
    assert_eq!((input.read(&mut buffer).unwrap(), input.is_whole()), (20, true));
    let long = vec![1; 3 * buffer.len() + 77];
    let sender = std::thread::spawn(move || writer.write_all(&long).map(|()| long.len()));
    let (mut all, mut wholes) = (0, Vec::new());
    loop {
        match input.read(&mut buffer).unwrap() {
            0 => break,
            read => {
                all += read;
                wholes.extend(input.is_whole().then_some(all));
            }
        }
    }
    let written = sender.join().unwrap().unwrap();
    assert_eq!(all, written);
    assert!(wholes.is_empty() || wholes == [written], "in the midst of a write: {wholes:?}");
}

/// What filled a pipe before it was made larger is not a whole write, though the larger one is far from full.
#[test]
fn a_pipe_that_was_full_is_not_whole() {
    for (bytes, whole) in [(65536, false), (65535, false), (32767, true), (5, true)] {
        let (reader, writer) = std::io::pipe().unwrap();
        let (reader, mut writer) = (File::from(OwnedFd::from(reader)), File::from(OwnedFd::from(writer)));
        assert_eq!(fcntl(&reader, FcntlArg::F_GETPIPE_SZ), Ok(65536));
        writer.write_all(&vec![1; bytes]).unwrap();
        let mut source =
            Source { pipe: Some(Pipe::new(&reader)), file: reader, is_regular: false, whole: false };
        let mut buffer = vec![0; CHUNK];
        assert_eq!((source.read(&mut buffer).unwrap(), source.whole), (bytes, whole));
        // It was emptied, and larger since.
        writer.write_all(&vec![1; 65536]).unwrap();
        assert_eq!((source.read(&mut buffer).unwrap(), source.whole), (65536, true));
        // A part of what is there says nothing, nor does the rest.
        writer.write_all(&[1; 100]).unwrap();
        assert_eq!((source.read(&mut buffer[..70]).unwrap(), source.whole), (70, false));
        assert_eq!((source.read(&mut buffer).unwrap(), source.whole), (30, false));
    }
}

proptest! {
    /// Damage does not make another format of HEVC, wherever it is, nor does a beginning that is lost.
    #[test]
    fn damaged_streams_stay_streams(
        stream in 0..STREAMS.len(),
        cut in 0usize..=64,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..60),
        near in prop::collection::vec((0usize..200, any::<u8>()), 0..30),
        codes in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        shown in any::<prop::sample::Index>(),
    ) {
        let mut bytes = STREAMS[stream][cut..].to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (at, value) in near {
            bytes[at] = value;
        }
        // Where it hurts: behind start codes.
        let starts: Vec<_> = bytes.windows(3).enumerate().filter(|(_, w)| w == &[0, 0, 1]).map(|(i, _)| i + 3).collect();
        for (index, at) in codes.iter().enumerate() {
            if let Some(&at) = starts.get(at.index(starts.len().max(1)))
                && at < bytes.len()
            {
                bytes[at] = [0xba, 0xb3, 0x67, 0x68, 0x27, 0x28, 0x47, 0x06][index % 8];
            }
        }
        prop_assert!(found(&bytes).is_none(), "{:?}", found(&bytes));
        let part = &bytes[..shown.index(bytes.len())];
        prop_assert!(!matches!(examine(&head(part, false)), Verdict::Other(_)));
    }

    /// Nothing that comes makes it panic, or take more memory than there are bytes.
    #[test]
    fn any_bytes_are_looked_at(
        sample in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        last in any::<bool>(),
    ) {
        let samples = samples();
        let mut whole = samples[sample.index(samples.len())].0.clone();
        let at = at.index(whole.len() + 1);
        whole.splice(at..whole.len().min(at + bytes.len()), bytes);
        if let Verdict::Other(found) = examine(&head(&whole, last)) {
            found.describe(&head(&whole, last), Path::new("x"), Reader::Decode);
        }
    }
}
