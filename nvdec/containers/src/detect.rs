//! What a source is, by its beginning.

use bitstream::find_start_code;

use crate::error::{Error, Result};
use crate::mp4::is_mp4;
use crate::source::Source;
use crate::track::Codec;
use crate::transport::Layout;

/// Bytes that are looked at.
const HEAD: usize = 1 << 16;

/// A format, with what was found out on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mp4,
    Matroska,
    MpegTs(Layout),
    AnnexB(Codec),
}

const TO_MP4: &str = "write it as MP4: `ffmpeg -i FILE -c copy NEW.mp4`";
const NONE: &str = "MP4, QuickTime, Matroska, WebM, MPEG-TS and HEVC byte streams are read";

/// What begins so that is none of the formats.
static OTHERS: &[(&str, usize, &[u8], &str)] = &[
    ("an MPEG program stream", 0, &[0, 0, 1, 0xba], TO_MP4),
    ("a byte stream of MPEG-1 or MPEG-2 video", 0, &[0, 0, 1, 0xb3], NONE),
    ("an AVI file", 8, b"AVI ", TO_MP4),
    ("an IVF file", 0, b"DKIF", TO_MP4),
    ("an FLV file", 0, b"FLV\x01", TO_MP4),
    ("an Ogg file", 0, b"OggS", NONE),
    ("an ASF or WMV file", 0, &[0x30, 0x26, 0xb2, 0x75], TO_MP4),
    ("a PNG picture", 0, b"\x89PNG", NONE),
    ("a JPEG picture", 0, &[0xff, 0xd8, 0xff], NONE),
    ("a GIF picture", 0, b"GIF8", NONE),
    ("a WebP picture", 8, b"WEBP", NONE),
    ("a WAV file", 8, b"WAVE", NONE),
    ("a file packed with gzip", 0, &[0x1f, 0x8b], "unpack it: `gzip -d FILE`"),
    ("a file packed with zstd", 0, &[0x28, 0xb5, 0x2f, 0xfd], "unpack it: `zstd -d FILE`"),
    ("a ZIP archive", 0, b"PK\x03\x04", "unpack it: `unzip FILE`"),
];

/// Finds the format of `source`.
pub(crate) fn detect(source: &mut Source) -> Result<Kind> {
    let size = source.size();
    let head = source.peek(0, HEAD)?;
    if head.is_empty() {
        return Err(Error::Unknown { what: "the file is empty", advice: "give one with video in it" });
    }
    if head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        return Ok(Kind::Matroska);
    }
    if is_mp4(head) {
        return Ok(Kind::Mp4);
    }
    for &(what, at, signature, advice) in OTHERS {
        if head.get(at..).is_some_and(|rest| rest.starts_with(signature)) {
            return Err(Error::Unknown { what, advice });
        }
    }
    let zeros = head.iter().take_while(|&&byte| byte == 0).count();
    let begins_with_code = zeros >= 2 && head.get(zeros) == Some(&1);
    if !begins_with_code && let Some(layout) = Layout::find(head, size) {
        return Ok(Kind::MpegTs(layout));
    }
    if let Some(codec) = byte_stream(head) {
        return Ok(Kind::AnnexB(codec));
    }
    Err(Error::Unknown { what: "the file is of no known format", advice: NONE })
}

/// The codec of a byte stream, by the first NAL unit that only one codec has; else HEVC, if a slice segment of it may be there.
fn byte_stream(head: &[u8]) -> Option<Codec> {
    let mut rest = head;
    let mut may_be_hevc = false;
    while let Some(found) = find_start_code(rest) {
        rest = &rest[found + 3..];
        let &[first, second, ..] = rest else { break };
        // The base layer of H.265: VPS, SPS, PPS, AUD, prefix SEI, IRAP pictures, all with TemporalId 0.
        if first & 0x81 == 0 && second == 1 && matches!(first >> 1, 16..=21 | 32..=35 | 39) {
            return Some(Codec::Hevc);
        }
        // A sequence parameter set of H.264 with a reference and a profile.
        if first & 0x9f == 7
            && first & 0x60 != 0
            && [66, 77, 88, 100, 110, 118, 122, 128, 244].contains(&second)
        {
            return Some(Codec::H264);
        }
        may_be_hevc |= first & 0x81 == 0 && first >> 1 <= 9 && (1..8).contains(&second);
    }
    may_be_hevc.then_some(Codec::Hevc)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn of(bytes: &[u8]) -> Result<Kind> {
        detect(&mut Source::new(Cursor::new(bytes.to_vec())).unwrap())
    }

    #[test]
    fn byte_streams_are_told_apart() {
        assert_eq!(of(&[0, 0, 0, 1, 0x40, 1, 12]).unwrap(), Kind::AnnexB(Codec::Hevc));
        assert_eq!(of(&[0, 0, 1, 2, 1, 0xd0]).unwrap(), Kind::AnnexB(Codec::Hevc));
        assert_eq!(of(&[0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 100, 0]).unwrap(), Kind::AnnexB(Codec::H264));
        assert!(of(&[0, 0, 1]).is_err());
    }

    #[test]
    fn what_is_not_read_is_named() {
        let say = |bytes: &[u8]| of(bytes).unwrap_err().to_string();
        assert!(say(b"").starts_with("the file is empty; "));
        assert!(say(b"RIFF\0\0\0\0AVI LIST").starts_with("an AVI file; write it as MP4"));
        assert!(say(b"hello").starts_with("the file is of no known format; MP4, "));
        assert!(say(&[0; 5000]).starts_with("the file is of no known format; "));
    }
}
