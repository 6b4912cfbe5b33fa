//! Still pictures (HEIF, ISO/IEC 23008-12): the primary item of a `meta` box (ISO/IEC 14496-12, 8.11), if it is coded as a whole.

use std::collections::BTreeSet;

use mp4_atom::{Colr, Ispe, Pasp};

use super::boxes::{Header, Inner, Kind, children};
use super::entry::{codec, colour};
use crate::configuration::Configuration;
use crate::demux::{Demuxer, Format};
use crate::error::{Error, Result};
use crate::notes::Notes;
use crate::packet::PacketInfo;
use crate::source::Source;
use crate::track::{Codec, Framing, TimeBase, Track, TrackKind};

/// Most bytes of a `meta` box.
const MAX_META: u64 = 16 << 20;
const ELSEWHERE: &str = "libheif decodes it: `heif-convert FILE picture.png`";

/// A file with one picture.
#[derive(Debug)]
pub(super) struct Still {
    packet: PacketInfo,
}

/// Reads numbers of the boxes that follow. `mp4-atom` has these boxes, but makes a list of as many extents of no bytes as `iloc`
/// says, for each of as many items.
struct Fields<'a> {
    of: Inner<'a>,
    at: usize,
}

impl<'a> Fields<'a> {
    /// Those of a box with version and flags; also its version and its flags.
    fn new(of: Inner<'a>) -> Result<(Fields<'a>, u8, u32)> {
        let [version, flags @ ..] = of.array::<4>(0)?;
        let flags = flags.iter().fold(0, |flags, &byte| flags << 8 | u32::from(byte));
        Ok((Fields { of, at: 4 }, version, flags))
    }

    /// A number of this many bytes, at most 8.
    fn number(&mut self, bytes: usize) -> Result<u64> {
        let field = self.of.body.get(self.at..self.at + bytes);
        let field =
            field.ok_or_else(|| self.of.damaged(format!("it ends before its byte {}", self.at + bytes)))?;
        self.at += bytes;
        Ok(field.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }
}

/// The item whose id a `pitm` box has.
fn primary(pitm: Inner<'_>) -> Result<u64> {
    let (mut fields, version, _) = Fields::new(pitm)?;
    fields.number(if version == 0 { 2 } else { 4 })
}

/// The type of an item, by the entries of an `iinf` box.
fn item_type(iinf: Inner<'_>, item: u64) -> Result<Option<Kind>> {
    let (mut fields, version, _) = Fields::new(iinf)?;
    fields.number(if version == 0 { 2 } else { 4 })?;
    for infe in children(iinf.body.get(fields.at..).unwrap_or_default(), iinf.offset + fields.at as u64) {
        let (mut fields, version, _) = Fields::new(infe?)?;
        // Older ones have no type.
        if version < 2 || fields.number(if version == 2 { 2 } else { 4 })? != item {
            continue;
        }
        if fields.number(2)? != 0 {
            return Ok(Some(Kind(*b"encv")));
        }
        return Ok(Some(Kind(fields.of.array(fields.at)?)));
    }
    Ok(None)
}

/// Where an item lies: the construction method, and offset and length, of which a length of 0 is all there is.
fn location(iloc: Inner<'_>, item: u64) -> Result<Option<(u64, u64, u64)>> {
    let (mut fields, version, _) = Fields::new(iloc)?;
    let sizes = fields.number(2)?;
    let size = |shift: u32| (sizes >> shift & 15) as usize;
    let (offset_size, length_size, base_size) = (size(12), size(8), size(4));
    let index_size = if version == 0 { 0 } else { size(0) };
    if [offset_size, length_size, base_size, index_size].iter().any(|size| ![0, 4, 8].contains(size)) {
        return Err(iloc.damaged("a size of its fields is not 0, 4 or 8"));
    }
    let id_size = if version < 2 { 2 } else { 4 };
    let extent_size = index_size + offset_size + length_size;
    for _ in 0..fields.number(id_size)? {
        let id = fields.number(id_size)?;
        let method = if version == 0 { 0 } else { fields.number(2)? & 15 };
        let reference = fields.number(2)?;
        let base = fields.number(base_size)?;
        let extents = fields.number(2)?;
        if id != item {
            fields.at += extents as usize * extent_size;
            continue;
        }
        if reference != 0 || extents != 1 || method > 1 {
            let what = format!("an item in {extents} pieces, in another file or in another item");
            return Err(Error::unsupported("iloc box", iloc.offset, what, ELSEWHERE));
        }
        fields.number(index_size)?;
        let offset = base.saturating_add(fields.number(offset_size)?);
        return Ok(Some((method, offset, fields.number(length_size)?)));
    }
    Ok(None)
}

/// Adds the indices of an item's properties, from 1, by an `ipma` box, to `found`: each once, since reading one may take long.
fn properties(ipma: Inner<'_>, item: u64, found: &mut Vec<usize>, known: &mut BTreeSet<usize>) -> Result<()> {
    let (mut fields, version, flags) = Fields::new(ipma)?;
    let index_size = if flags & 1 == 0 { 1 } else { 2 };
    for _ in 0..fields.number(4)? {
        let id = fields.number(if version == 0 { 2 } else { 4 })?;
        for _ in 0..fields.number(1)? {
            // The highest bit says whether a reader has to know the property.
            let index = (fields.number(index_size)? & if index_size == 1 { 0x7f } else { 0x7fff }) as usize;
            if id == item && known.insert(index) {
                found.push(index);
            }
        }
    }
    Ok(())
}

/// Puts what a property says into the track. Properties are applied in the order of the list.
fn apply(property: Inner<'_>, track: &mut Track, notes: &mut Notes) -> Result<()> {
    match &property.kind.0 {
        b"hvcC" | b"avcC" => {
            let place = format!("{} box", property.kind);
            let record =
                Configuration::parse(&track.codec, property.body, &place, property.offset.saturating_sub(8))?;
            if let Some(Configuration { length_size, parameter_sets }) = record {
                track.framing = Framing::LengthPrefixed(length_size);
                track.parameter_sets = parameter_sets;
            }
        }
        b"ispe" => {
            let Ispe { width, height } = property.decode()?;
            (track.width, track.height) = (Some(width), Some(height));
        }
        b"colr" => {
            track.colour = property.decode::<Colr>().ok().and_then(|colr| colour(&colr)).or(track.colour)
        }
        b"pasp" => {
            let Pasp { h_spacing, v_spacing } = property.decode()?;
            track.pixel_aspect = Some((h_spacing, v_spacing)).filter(|&(h, v)| h > 0 && v > 0);
        }
        // Quarter turns counter-clockwise.
        b"irot" if track.display_matrix.is_none() => {
            track.display_matrix = Track::turn(-90 * i32::from(property.array::<1>(0)?[0] & 3));
        }
        b"irot" | b"imir" | b"clap" => notes.add(format!("{} of the picture is ignored", property.kind)),
        _ => {}
    }
    Ok(())
}

impl Still {
    /// Reads a `meta` box.
    pub(super) fn open(
        source: &mut Source,
        meta: Header,
        notes: &mut Notes,
    ) -> Result<(Still, Format, Vec<Track>)> {
        let content = meta.read(source, MAX_META)?;
        let whole = Inner { kind: meta.kind, body: &content, offset: meta.body };
        let (mut pitm, mut iinf, mut iloc, mut idat, mut iprp) = (None, None, None, None, None);
        for child in children(content.get(4..).unwrap_or_default(), meta.body + 4) {
            let child = child?;
            match &child.kind.0 {
                b"pitm" => pitm = Some(child),
                b"iinf" => iinf = Some(child),
                b"iloc" => iloc = Some(child),
                b"idat" => idat = Some(child),
                b"iprp" => iprp = Some(child),
                _ => {}
            }
        }
        let missing = |name: &str| whole.damaged(format!("it has no {name} box that tells of a picture"));
        let item = primary(pitm.ok_or_else(|| missing("pitm"))?)?;
        let kind = item_type(iinf.ok_or_else(|| missing("iinf"))?, item)?.ok_or_else(|| missing("iinf"))?;
        if let b"grid" | b"iovl" | b"iden" | b"tmap" = &kind.0 {
            let what = format!("a picture made of other ones ({kind})");
            return Err(Error::unsupported("iinf box", meta.offset, what, ELSEWHERE));
        }
        let (method, offset, length) =
            location(iloc.ok_or_else(|| missing("iloc"))?, item)?.ok_or_else(|| missing("iloc"))?;
        // Method 1 counts from the beginning of idat.
        let idat = idat.map(|idat| (idat.offset, idat.offset + idat.body.len() as u64));
        let (start, end) =
            if method == 0 { (0, source.size()) } else { idat.ok_or_else(|| missing("idat"))? };
        let offset = start.saturating_add(offset);
        let size = if length == 0 { end.saturating_sub(offset) } else { length };
        if offset.checked_add(size).is_none_or(|last| last > end) || size == 0 {
            let what = format!("the {size} bytes at byte {offset} are not all there");
            return Err(Error::damaged("iloc box", meta.offset, what));
        }

        let mut track = Track::new(item, TrackKind::Video, codec(kind), TimeBase { num: 1, den: 1 });
        let boxes: Vec<Inner<'_>> = iprp.ok_or_else(|| missing("iprp"))?.children().collect::<Result<_>>()?;
        let container = boxes.iter().find(|child| child.kind.0 == *b"ipco").ok_or_else(|| missing("ipco"))?;
        let all: Vec<Inner<'_>> = container.children().collect::<Result<_>>()?;
        let (mut indices, mut known) = (Vec::new(), BTreeSet::new());
        for ipma in boxes.iter().filter(|child| child.kind.0 == *b"ipma") {
            properties(*ipma, item, &mut indices, &mut known)?;
        }
        for property in indices.into_iter().filter_map(|index| all.get(index.checked_sub(1)?)) {
            apply(*property, &mut track, notes)?;
        }
        if track.codec == Codec::Hevc && track.framing == Framing::ByteStream {
            return Err(missing("hvcC"));
        }
        let (pts, dts, duration) = (Some(0), Some(0), None);
        let packet = PacketInfo { offset, size, pts, dts, duration, key: true, shown: true };
        Ok((Still { packet }, Format::Heif, vec![track]))
    }
}

impl Demuxer for Still {
    fn packets(&mut self, _: &mut Source, _: usize, track: &Track, _: &mut Notes) -> Result<Vec<PacketInfo>> {
        match track.codec {
            Codec::Encrypted(_) => {
                let advice = "decrypt it first";
                Err(Error::unsupported("iinf box", self.packet.offset, "an encrypted picture", advice))
            }
            _ => Ok(vec![self.packet]),
        }
    }
}
