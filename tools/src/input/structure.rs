//! Structures of other formats, as far as it takes to be sure of them and to find the names of codecs.

use bitstream::find_start_code;

use super::head::{Head, Match};

/// Most bytes of a `moov` box that are read.
const MAX_MOOV: usize = 1 << 24;
/// Most boxes of a file that are passed over to find `moov`.
const MAX_BOXES: usize = 4096;
/// Packets of a transport stream that begin as they should before it counts as one.
const PACKETS: usize = 5;
/// NAL units with lengths that have to follow each other.
const LENGTHS: usize = 4;

pub(super) fn empty(head: &Head<'_>) -> Match {
    match (head.zeros, head.bytes.is_empty()) {
        (0, true) if head.last => Match::Yes,
        (0, true) => Match::Unclear,
        _ => Match::No,
    }
}

pub(super) fn zeros(head: &Head<'_>) -> Match {
    match head.bytes.iter().any(|&byte| byte != 0) {
        true => Match::No,
        false if head.last => Match::Yes,
        false => Match::Unclear,
    }
}

/// The text of a whole input, or of all that is shown of it.
pub(super) fn text(head: &Head<'_>) -> Match {
    if head.zeros > 0 {
        return Match::No;
    }
    let text = match std::str::from_utf8(head.bytes) {
        Ok(text) => text,
        // A character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head.bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Match::No,
    };
    match text.chars().any(|c| c.is_control() && !"\t\n\r\x0c\x1b".contains(c)) {
        true => Match::No,
        false if head.last => Match::Yes,
        false => Match::Unclear,
    }
}

/// What follows each start code, as far as it is there.
fn units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        rest = &rest[find_start_code(rest)? + 3..];
        Some(rest)
    })
}

/// Whether an HEVC parameter set or slice segment of the base layer begins so (H.265, 7.3.1.2 and 7.4.2.2), and nothing that other
/// codecs put there.
fn is_hevc(unit: &[u8]) -> bool {
    let &[first, second, ..] = unit else { return false };
    let is_base_layer = first & 0x81 == 0 && second & 0xf8 == 0;
    // TSA_R (3) is left out: an SEI message of H.264 looks the same.
    is_base_layer
        && match (first >> 1, second & 7) {
            // IRAP pictures and parameter sets have TemporalId 0.
            (16..=21 | 32..=34, temporal_id_plus1) => temporal_id_plus1 == 1,
            (0 | 1 | 6..=9, temporal_id_plus1) => temporal_id_plus1 > 0,
            // TSA and STSA pictures do not.
            (2 | 4 | 5, temporal_id_plus1) => temporal_id_plus1 > 1,
            _ => false,
        }
}

/// A sequence parameter set and a picture parameter set of H.264 (7.3.2.1.1, A.2, A.3), before anything of HEVC.
pub(super) fn h264(head: &Head<'_>) -> Match {
    const PROFILES: [u8; 15] = [44, 66, 77, 83, 86, 88, 100, 110, 118, 122, 128, 134, 135, 138, 244];
    const LEVELS: [u8; 20] = [9, 10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52, 60, 61, 62];
    // nal_ref_idc is not 0, nal_unit_type is as given, forbidden_zero_bit is 0.
    let is_type =
        |unit: &[u8], kind: u8| unit.first().is_some_and(|&byte| byte & 0x9f == kind && byte & 0x60 != 0);
    let mut sps = false;
    for unit in units(head.bytes) {
        if is_hevc(unit) {
            return Match::No;
        }
        if is_type(unit, 7) {
            let plausible =
                |unit: &[u8]| PROFILES.contains(&unit[1]) && unit[2] & 3 == 0 && LEVELS.contains(&unit[3]);
            sps |= unit.len() > 3 && plausible(unit);
        }
        if sps && is_type(unit, 8) {
            return Match::Yes;
        }
    }
    Match::Unclear
}

/// The first start code, if only zeros are before it.
fn first_unit<'a>(head: &Head<'a>) -> Result<&'a [u8], Match> {
    let at = find_start_code(head.bytes);
    let before = &head.bytes[..at.unwrap_or(head.bytes.len())];
    match (before.iter().position(|&byte| byte != 0), at) {
        (None, Some(at)) => Ok(&head.bytes[at + 3..]),
        (None, None) => Err(Match::Unclear),
        // The 1 of a start code whose next byte is not there yet.
        _ => Err(Match::No),
    }
}

/// A sequence header, and behind it what may follow one (H.262, 6.2.2).
pub(super) fn mpeg2_video(head: &Head<'_>) -> Match {
    let unit = match first_unit(head) {
        Ok(unit) => unit,
        Err(no) => return no,
    };
    let header = &unit[..unit.len().min(8)];
    let [0xb3, rest @ ..] = header else {
        return if header.is_empty() { Match::Unclear } else { Match::No };
    };
    let &[a, b, c, rates, _, _, marker] = rest else { return Match::Unclear };
    let width = u16::from(a) << 4 | u16::from(b) >> 4;
    let height = u16::from(b & 0xf) << 8 | u16::from(c);
    let (aspect, frame_rate) = (rates >> 4, rates & 0xf);
    let plausible = width > 0
        && height > 0
        && (1..=14).contains(&aspect)
        && (1..=8).contains(&frame_rate)
        && marker & 0x20 != 0;
    // user_data, extension, group_of_pictures.
    match (plausible, units(unit).next()) {
        (true, Some([0xb2 | 0xb5 | 0xb8, ..])) => Match::Yes,
        (true, None | Some([])) => Match::Unclear,
        _ => Match::No,
    }
}

/// A pack header (ISO/IEC 13818-1, 2.5.3.3, and 11172-1), and behind it another header or a packet.
pub(super) fn program_stream(head: &Head<'_>) -> Match {
    let unit = match first_unit(head) {
        Ok(unit) => unit,
        Err(no) => return no,
    };
    // Marker bits: offset, mask, value.
    const MPEG2: &[(usize, u8, u8)] = &[(1, 0xc4, 0x44), (3, 4, 4), (5, 4, 4), (6, 1, 1), (9, 3, 3)];
    const MPEG1: &[(usize, u8, u8)] = &[(1, 0xf1, 0x21), (3, 1, 1), (5, 1, 1), (6, 0x80, 0x80), (8, 1, 1)];
    let (marks, end) = match unit {
        [] | [0xba] => return Match::Unclear,
        [0xba, first, ..] if first & 0xc0 == 0x40 => {
            let Some(stuffing) = unit.get(10) else { return Match::Unclear };
            (MPEG2, 11 + usize::from(stuffing & 7))
        }
        [0xba, ..] => (MPEG1, 9),
        _ => return Match::No,
    };
    let Some(next) = unit.get(end..end + 4) else { return Match::Unclear };
    let marked = marks.iter().all(|&(at, mask, value)| unit[at] & mask == value);
    // The end, another pack, a system header, or a packet.
    if marked && matches!(next, [0, 0, 1, 0xb9..=0xff]) { Match::Yes } else { Match::No }
}

/// Packets that follow each other: of 188 bytes, with times of 4 bytes between them, or 16 bytes for correction. A recording may
/// begin in the midst of a packet, but not behind HEVC.
pub(super) fn transport_stream(head: &Head<'_>) -> Match {
    const SIZES: [usize; 3] = [188, 192, 204];
    const SYNC: u8 = 0x47;
    /// One that is so short is whole, perhaps behind a time.
    const SHORT: std::ops::RangeInclusive<usize> = 0..=4;
    if head.zeros > 0 {
        return Match::No;
    }
    let bytes = head.bytes;
    let hevc =
        units(bytes).find(|unit| is_hevc(unit)).map_or(bytes.len() + 1, |unit| bytes.len() - unit.len());
    let mut unclear = false;
    for (size, first) in
        SIZES.into_iter().flat_map(|size| (0..size.min(hevc)).map(move |first| (size, first)))
    {
        let mut there = bytes.iter().skip(first).step_by(size).take(PACKETS);
        let count = there.len();
        if !there.all(|&byte| byte == SYNC) {
            continue;
        }
        if count == PACKETS || (head.last && count > PACKETS / 2 && SHORT.contains(&first)) {
            return Match::Yes;
        }
        unclear = true;
    }
    if unclear { Match::Unclear } else { Match::No }
}

/// Two segments that follow each other.
pub(super) fn jpeg(head: &Head<'_>) -> Match {
    match (head.zeros, head.bytes) {
        (0, [0xff, 0xd8, 0xff, 0xc0..=0xfe, high, low, rest @ ..]) => {
            match rest.get(usize::from(u16::from_be_bytes([*high, *low])).wrapping_sub(2)) {
                Some(0xff) => Match::Yes,
                None if !head.last => Match::Unclear,
                _ => Match::No,
            }
        }
        (0, start) => begins(start, &[0xff, 0xd8, 0xff]),
        _ => Match::No,
    }
}

/// A member header (RFC 1952): method 8, no reserved flag, known extra flags and operating system.
pub(super) fn gzip(head: &Head<'_>) -> Match {
    match (head.zeros, head.bytes) {
        (0, [0x1f, 0x8b, 8, flags, _, _, _, _, 0 | 2 | 4, 0..=13 | 255, ..]) if flags & 0xe0 == 0 => {
            Match::Yes
        }
        (0, start) if start.len() < 10 => begins(start, &[0x1f, 0x8b, 8]),
        _ => Match::No,
    }
}

/// Whether what is short may become what begins with `magic`.
fn begins(start: &[u8], magic: &[u8]) -> Match {
    let shared = start.len().min(magic.len());
    if start[..shared] == magic[..shared] { Match::Unclear } else { Match::No }
}

/// NAL units with lengths, which fill what is shown or all there is (ISO/IEC 14496-15).
pub(super) fn length_prefixed(head: &Head<'_>) -> Match {
    if head.zeros > 0 {
        return Match::No;
    }
    let mut rest = head.bytes;
    for count in 0.. {
        if rest.is_empty() {
            return match head.last {
                true if count >= 2 => Match::Yes,
                true => Match::No,
                false => Match::Unclear,
            };
        }
        let Some((length, unit)) = rest.split_first_chunk() else { break };
        let length = u32::from_be_bytes(*length) as usize;
        let plausible = match unit {
            [first, second, ..] => {
                first & 0x81 == 0 && *second & 0xf8 == 0 && second & 7 != 0 && first >> 1 < 41
            }
            [first] => first & 0x81 == 0,
            [] => true,
        };
        if length < 2 || !plausible {
            return Match::No;
        }
        if count >= LENGTHS {
            return Match::Yes;
        }
        let Some(behind) = unit.get(length..) else { break };
        rest = behind;
    }
    Match::Unclear
}

/// The box that a file begins with, and what is there of its payload (ISO/IEC 14496-12, 4.2).
fn first_box<'a>(head: &Head<'a>) -> Result<(&'a [u8], &'a [u8]), Match> {
    // Each is the first of some file.
    const TYPES: [&[u8; 4]; 11] =
        [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"emsg", b"pnot"];
    let Some((size, rest)) = head.bytes.split_first_chunk() else {
        return Err(if head.zeros > 0 { Match::No } else { Match::Unclear });
    };
    let (kind, payload) = rest.split_at(rest.len().min(4));
    let is_size = matches!(u32::from_be_bytes(*size), 0 | 1 | 8..);
    if head.zeros > 0 || !is_size || !TYPES.iter().any(|name| name.starts_with(kind)) {
        return Err(Match::No);
    }
    if kind.len() < 4 {
        return Err(Match::Unclear);
    }
    let length = (u32::from_be_bytes(*size) as usize).saturating_sub(8);
    Ok((kind, &payload[..payload.len().min(length)]))
}

pub(super) fn mp4(head: &Head<'_>) -> Match {
    match has_brand(head, &[]) {
        // Its brands may say that it is something special.
        Match::Unclear => Match::Unclear,
        _ => first_box(head).map_or_else(|no| no, |_| Match::Yes),
    }
}

/// The brands of a `ftyp` box, `minor_version` among them, of which one is in `wanted`.
fn has_brand(head: &Head<'_>, wanted: &[&[u8; 4]]) -> Match {
    /// More than any file has.
    const BRANDS: usize = 64;
    match first_box(head) {
        Ok((b"ftyp", payload)) => {
            let mut brands = payload.chunks_exact(4).take(BRANDS);
            let whole = u32::from_be_bytes([0, head.bytes[1], head.bytes[2], head.bytes[3]]) as usize;
            match brands.any(|brand| wanted.iter().any(|name| name[..] == *brand)) {
                true => Match::Yes,
                false if !head.last && head.bytes.len() < whole.min(4 * BRANDS) => Match::Unclear,
                false => Match::No,
            }
        }
        Ok(_) => Match::No,
        Err(no) => no,
    }
}

/// Brands of still pictures; sequences of them have tracks, as films do.
pub(super) fn heic(head: &Head<'_>) -> Match {
    has_brand(head, &[b"heic", b"heix", b"heim", b"heis"])
}

pub(super) fn avif(head: &Head<'_>) -> Match {
    has_brand(head, &[b"avif", b"avis"])
}

/// A segment without a `moov` box.
pub(super) fn fragment(head: &Head<'_>) -> Match {
    match first_box(head) {
        Ok((b"styp" | b"moof" | b"sidx" | b"emsg", _)) => Match::Yes,
        Ok(_) => Match::No,
        Err(no) => no,
    }
}

/// Boxes in `bytes`, the last one as far as it is there.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (size, behind) = rest.split_first_chunk()?;
        let (kind, payload) = behind.split_at_checked(4)?;
        let length = (u32::from_be_bytes(*size) as usize).checked_sub(8)?;
        let (payload, behind) = payload.split_at(length.min(payload.len()));
        rest = behind;
        Some((kind, payload))
    })
}

/// The payload of the first box of this path.
fn find<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, name| {
        boxes(bytes).find_map(|(kind, payload)| (kind == &name[..]).then_some(payload))
    })
}

/// The payload of `moov`, wherever it stands.
fn moov(head: &Head<'_>) -> Option<Vec<u8>> {
    let mut at = 0u64;
    for _ in 0..MAX_BOXES {
        let header = head.at(at, 16);
        let size = u64::from(u32::from_be_bytes(header.get(..4)?.try_into().ok()?));
        let (size, begin) = match size {
            0 => (u64::MAX - at, 8),
            1 => (u64::from_be_bytes(header.get(8..16)?.try_into().ok()?), 16),
            size => (size, 8),
        };
        let length = size.checked_sub(begin)?;
        if header.get(4..8)? == b"moov" {
            return Some(head.at(at + begin, usize::try_from(length).unwrap_or(MAX_MOOV).min(MAX_MOOV)));
        }
        at = at.checked_add(size)?;
    }
    None
}

/// The sample entries of the video tracks: `moov/trak/mdia/minf/stbl/stsd`, the first of each.
pub(super) fn mp4_tracks(head: &Head<'_>) -> Option<Vec<String>> {
    let moov = moov(head)?;
    let tracks = boxes(&moov).filter(|(kind, _)| *kind == b"trak").filter_map(|(_, trak)| {
        let handler = find(trak, &[b"mdia", b"hdlr"])?.get(8..12)?;
        // Films, and sequences of pictures.
        let is_video = handler == b"vide" || handler == b"pict";
        // Version, flags and count, then a box.
        let entry = find(trak, &[b"mdia", b"minf", b"stbl", b"stsd"])?.get(12..16)?;
        is_video.then(|| name(entry))
    });
    let tracks: Vec<_> = tracks.collect();
    // Where only the beginning is shown, the track may come later.
    (head.file.is_some() || !tracks.is_empty()).then_some(tracks)
}

fn name(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The CodecID elements (0x86) of video tracks, which begin with `V_` (RFC 9559, 5.1.4.1.21).
pub(super) fn matroska_tracks(head: &Head<'_>) -> Option<Vec<String>> {
    let found = head.bytes.windows(4).enumerate().filter_map(|(at, window)| {
        let &[0x86, size @ 0x83..=0xa0, b'V', b'_'] = window else { return None };
        let id = head.bytes.get(at + 2..at + 2 + usize::from(size & 0x7f))?;
        id.iter().all(u8::is_ascii_graphic).then(|| name(id))
    });
    // The codec of AVI's header, which stands elsewhere, says nothing yet.
    let found: Vec<_> = found.collect();
    (!found.is_empty() && !found.iter().any(|id| id == "V_MS/VFW/FOURCC")).then_some(found)
}

pub(super) fn ivf_track(head: &Head<'_>) -> Option<Vec<String>> {
    Some(vec![name(head.bytes.get(8..12)?)])
}

/// `biCompression` of the `strf` chunk behind each `strh` chunk of video.
pub(super) fn avi_tracks(head: &Head<'_>) -> Option<Vec<String>> {
    let found = head.bytes.windows(12).enumerate().filter_map(|(at, window)| {
        if !window.starts_with(b"strh") || !window.ends_with(b"vids") {
            return None;
        }
        let size = u32::from_le_bytes(window[4..8].try_into().ok()?) as usize;
        let format = head.bytes.get(at..)?.get(8..)?.get(size..)?;
        (format.get(..4)? == b"strf").then(|| format.get(24..28).map(name))?
    });
    // Without a name it may be anything.
    let found: Vec<_> = found.collect();
    (!found.is_empty() && !found.iter().any(|id| id == r"\x00\x00\x00\x00")).then_some(found)
}
