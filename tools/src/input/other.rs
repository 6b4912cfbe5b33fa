//! What an input is that is no HEVC byte stream, and what to do about it: one table of signatures. Those of containers that
//! are read are among them, for programs that do not, and for pipes.
//!
//! What no row describes is taken for HEVC, however damaged: a row has to be sure. Rows that begin with a start code, as
//! HEVC does, hold only if no HEVC parameter set or slice comes before.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::head::{Head, Match};
use super::structure;
use crate::output::file::is_dash;

/// What an input is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// HEVC, or nothing known.
    Stream,
    /// More bytes will tell.
    Unclear,
    Other(&'static Signature),
}

/// How a kind of input is told from others.
enum Test {
    /// By bytes at offsets.
    Bytes(&'static [(usize, &'static [u8])]),
    /// By its structure.
    Look(fn(&Head<'_>) -> Match),
}

/// Which codec is in it.
enum Holds {
    /// None.
    Nothing,
    /// What its name says.
    Known,
    /// It does not say in a place where it can be looked up.
    Unknown,
    /// Its video tracks name their codecs; `None` where that is not found.
    Tracks(fn(&Head<'_>) -> Option<Vec<String>>),
}

/// What gives the HEVC that is in it.
enum Advice {
    /// There is none in it.
    None,
    /// What to do, and a command that does it. `FILE` stands for the input, `TRACK` for the number of the video track; the stream goes
    /// to standard output.
    Command(&'static str, &'static str),
    /// What to do, for which there is no such command. `FILE` likewise.
    Words(&'static str),
    /// It is a container that programs read which read files. For the others, and for pipes, a command as above.
    Container(&'static str),
}

/// A kind of input that is no byte stream.
pub(crate) struct Signature {
    what: &'static str,
    test: Test,
    holds: Holds,
    advice: Advice,
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)
    }
}

const ONLY_HEVC: &str = "this program decodes HEVC only";
const TAKE_OUT: &str = "take the stream out of it";
const UNPACK: &str = "unpack it";
/// For containers of length-prefixed NAL units.
const TO_ANNEX_B: &str = "ffmpeg -i FILE -map 0:v:TRACK -c copy -bsf:v hevc_mp4toannexb -f hevc -";
/// For containers of byte streams.
const COPY: &str = "ffmpeg -i FILE -map 0:v:TRACK -c copy -f hevc -";

/// A row: what it is, how that is seen, which codec it holds, how to get at that.
const fn row(what: &'static str, test: Test, holds: Holds, advice: Advice) -> Signature {
    Signature { what, test, holds, advice }
}

/// All that is known, the special before the general.
static SIGNATURES: &[Signature] = {
    use Advice::{Command, Container, None, Words};
    use Holds::{Known, Nothing, Tracks, Unknown};
    use Test::{Bytes, Look};
    &[
        row("empty", Look(structure::empty), Nothing, None),
        row("nothing but zeros", Look(structure::zeros), Nothing, None),
        row("H.264 (Annex B)", Look(structure::h264), Known, None),
        row("MPEG-1 or MPEG-2 video", Look(structure::mpeg2_video), Known, None),
        row("an MPEG program stream", Look(structure::program_stream), Unknown, Command(TAKE_OUT, COPY)),
        row("an MPEG transport stream", Look(structure::transport_stream), Unknown, Container(COPY)),
        row("a picture in AVIF, which is AV1", Look(structure::avif), Known, None),
        row(
            "a picture in HEIC, whose HEVC is no stream",
            Look(structure::heic),
            Known,
            Words("libheif decodes it: `heif-convert FILE picture.png`"),
        ),
        row(
            "a piece of a fragmented MP4 without its beginning, which says how to decode it",
            Look(structure::fragment),
            Unknown,
            Command(
                "put the initialization segment (here called init.mp4) in front of it",
                "cat init.mp4 FILE | ffmpeg -i - -map 0:v:0 -c copy -bsf:v hevc_mp4toannexb -f hevc -",
            ),
        ),
        row("MP4 or QuickTime", Look(structure::mp4), Tracks(structure::mp4_tracks), Container(TO_ANNEX_B)),
        row(
            "Matroska or WebM",
            Bytes(&[(0, &[0x1a, 0x45, 0xdf, 0xa3])]),
            Tracks(structure::matroska_tracks),
            Container(TO_ANNEX_B),
        ),
        row("IVF", Bytes(&[(0, b"DKIF")]), Tracks(structure::ivf_track), Command(TAKE_OUT, COPY)),
        row(
            "AVI",
            Bytes(&[(0, b"RIFF"), (8, b"AVI ")]),
            Tracks(structure::avi_tracks),
            Command(TAKE_OUT, COPY),
        ),
        row("FLV", Bytes(&[(0, b"FLV\x01"), (5, &[0, 0, 0, 9])]), Unknown, Command(TAKE_OUT, TO_ANNEX_B)),
        row("Ogg", Bytes(&[(0, b"OggS\0")]), Known, None),
        row("WAV sound", Bytes(&[(0, b"RIFF"), (8, b"WAVE")]), Known, None),
        row("a picture in WebP", Bytes(&[(0, b"RIFF"), (8, b"WEBP")]), Known, None),
        row("a picture in PNG", Bytes(&[(0, b"\x89PNG\r\n\x1a\n")]), Known, None),
        row("a picture in JPEG", Look(structure::jpeg), Known, None),
        row("a picture in GIF", Bytes(&[(0, b"GIF87a")]), Known, None),
        row("a picture in GIF", Bytes(&[(0, b"GIF89a")]), Known, None),
        row("packed with gzip", Look(structure::gzip), Unknown, Command(UNPACK, "cat FILE | gzip -dc")),
        row(
            "packed with zstd",
            Bytes(&[(0, &[0x28, 0xb5, 0x2f, 0xfd])]),
            Unknown,
            Command(UNPACK, "cat FILE | zstd -dc"),
        ),
        row("packed with xz", Bytes(&[(0, b"\xfd7zXZ\0")]), Unknown, Command(UNPACK, "cat FILE | xz -dc")),
        row("a ZIP archive", Bytes(&[(0, b"PK\x03\x04")]), Unknown, Command(UNPACK, "cat FILE | funzip")),
        row(
            "HEVC with a length of 4 bytes in front of each NAL unit, as in MP4",
            Look(structure::length_prefixed),
            Known,
            Command(
                "put start codes in their place",
                r#"cat FILE | perl -0777 -ne 'while(length>4){$n=unpack"N";print"\0\0\0\1",substr$_,4,$n;substr($_,0,4+$n)=""}'"#,
            ),
        ),
        row("text", Look(structure::text), Nothing, None),
    ]
};

/// The codec that this program decodes.
const HEVC: &str = "HEVC";

/// Codecs by what MP4, Matroska, IVF and AVI call them. Sample entries are those that the MP4 registration authority lists.
static CODECS: &[(&str, &[&str])] = &[
    (
        HEVC,
        &[
            "hvc1",
            "hev1",
            "dvh1",
            "dvhe",
            "hvc2",
            "hev2",
            "HEVC",
            "hevc",
            "H265",
            "h265",
            "X265",
            "V_MPEGH/ISO/HEVC",
        ],
    ),
    (
        "H.264",
        &[
            "avc1",
            "avc2",
            "avc3",
            "avc4",
            "dva1",
            "dvav",
            "AVC1",
            "H264",
            "h264",
            "X264",
            "x264",
            "V_MPEG4/ISO/AVC",
        ],
    ),
    ("VVC", &["vvc1", "vvi1", "V_MPEGI/ISO/VVC"]),
    ("AV1", &["av01", "dav1", "AV01", "V_AV1"]),
    ("VP8", &["vp08", "VP80", "V_VP8"]),
    ("VP9", &["vp09", "VP90", "V_VP9"]),
    ("MPEG-4 part 2", &["mp4v", "XVID", "xvid", "DIVX", "DX50", "FMP4", "V_MPEG4/ISO/ASP", "V_MPEG4/ISO/SP"]),
    ("MPEG-2", &["mpg2", "MPG2", "m2v1", "V_MPEG2"]),
    ("MPEG-1", &["mpg1", "MPG1", "V_MPEG1"]),
    ("Theora", &["V_THEORA"]),
    ("ProRes", &["apch", "apcn", "apcs", "apco", "ap4h", "ap4x", "V_PRORES"]),
    ("Motion JPEG", &["jpeg", "mjpa", "mjpb", "mjp2", "MJPG", "mjpg", "V_MJPEG"]),
    ("H.263", &["s263", "h263", "H263"]),
    ("encrypted video", &["encv"]),
];

fn codec(id: &str) -> &'static str {
    CODECS.iter().find(|(_, ids)| ids.contains(&id)).map_or("another codec", |(name, _)| name)
}

/// Who reads the stream, and hence where it is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// `nvdec-decode`.
    Decode,
    /// `nvdec-decode --parse`.
    Parse,
    /// `nvdec-bench` and `nvdec-decode --check`, which take a file.
    File,
    /// `nvdec-replay record`.
    Record,
}

impl Reader {
    /// What takes standard output of a command.
    fn behind(self) -> &'static str {
        match self {
            Reader::Decode => "| nvdec-decode -",
            Reader::Parse => "| nvdec-decode --parse -",
            Reader::File => "> stream.hevc",
            Reader::Record => "| nvdec-replay record - -o stream.nvcap",
        }
    }
}

impl Signature {
    fn test(&self, head: &Head<'_>) -> Match {
        match self.test {
            Test::Look(look) => look(head),
            Test::Bytes(_) if head.zeros > 0 => Match::No,
            Test::Bytes(parts) => {
                let of = |&(at, part): &(usize, &[u8])| {
                    let there = head.bytes.get(at..).unwrap_or_default();
                    match there.len() >= part.len() {
                        true if there.starts_with(part) => Match::Yes,
                        false if part.starts_with(there) => Match::Unclear,
                        _ => Match::No,
                    }
                };
                let found: Vec<_> = parts.iter().map(of).collect();
                let weakest = [Match::No, Match::Unclear].into_iter().find(|weak| found.contains(weak));
                weakest.unwrap_or(Match::Yes)
            }
        }
    }

    /// Whether it is a container that can be read if it is a file.
    pub(crate) fn is_container(&self) -> bool {
        matches!(self.advice, Advice::Container(_))
    }

    /// Whether more bytes say more of it.
    pub(crate) fn has_more_to_say(&self) -> bool {
        matches!(self.holds, Holds::Tracks(_))
    }

    /// What it is, and what to do about the file at `path`.
    pub(crate) fn describe(&self, head: &Head<'_>, path: &Path, reader: Reader) -> String {
        let what = self.what;
        let tracks = match self.holds {
            Holds::Nothing => return format!("it is {what}"),
            Holds::Known => return self.advise(format!("it is {what}; "), path, 0, reader),
            Holds::Unknown => None,
            Holds::Tracks(look) => look(head),
        };
        let Some(tracks) = tracks else {
            return self.advise(format!("it is {what}; if HEVC is in it, "), path, 0, reader);
        };
        let Some(first) = tracks.first() else { return format!("it is {what} without video; {ONLY_HEVC}") };
        match tracks.iter().position(|id| codec(id) == HEVC) {
            Some(hevc) => {
                let with = format!("it is {what} with {HEVC} ({}) in it; ", tracks[hevc]);
                self.advise(with, path, hevc, reader)
            }
            None => format!("it is {what} with {} ({first}) in it; {ONLY_HEVC}", codec(first)),
        }
    }

    fn advise(&self, before: String, path: &Path, track: usize, reader: Reader) -> String {
        let fill = |text: &str| text.replace("TRACK", &track.to_string()).replace("FILE", &argument(path));
        match self.advice {
            Advice::None => format!("{before}{ONLY_HEVC}"),
            Advice::Words(words) => format!("{before}{}", fill(words)),
            Advice::Command(how, command) => {
                format!("{before}{how}: `{} {}`", fill(command), reader.behind())
            }
            Advice::Container(command) => {
                // This program would have read a file.
                let how = match reader {
                    Reader::Decode | Reader::Parse | Reader::File => {
                        "it has to be a file, since parts of it are looked for; give its name, or take the stream out of it"
                    }
                    Reader::Record => TAKE_OUT,
                };
                format!("{before}{how}: `{} {}`", fill(command), reader.behind())
            }
        }
    }
}

/// Rows that there are.
#[cfg(test)]
pub(super) fn rows() -> usize {
    SIGNATURES.len()
}

/// What `head` is.
pub(crate) fn examine(head: &Head<'_>) -> Verdict {
    let mut unclear = false;
    for signature in SIGNATURES {
        match signature.test(head) {
            Match::Yes => return Verdict::Other(signature),
            Match::Unclear => unclear = true,
            Match::No => {}
        }
    }
    if unclear && !head.last { Verdict::Unclear } else { Verdict::Stream }
}

/// A path as an argument of a command in a shell, that no command takes for an option or a URL.
fn argument(path: &Path) -> String {
    if is_dash(path) {
        return "-".to_owned();
    }
    let bytes = path.as_os_str().as_bytes();
    let is_misread = bytes.starts_with(b"-") || (!path.is_absolute() && bytes.contains(&b':'));
    let whole = if is_misread { [b"./", bytes].concat() } else { bytes.to_vec() };
    let is_plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"_-./+:@%,=".contains(&byte);
    match std::str::from_utf8(&whole) {
        Ok(text) if whole.iter().all(is_plain) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        // What cannot be shown is written by its numbers.
        _ => {
            let escaped = OsStr::from_bytes(&whole).as_bytes().iter().map(|&byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}
