//! `nvdec-replay diff`: the first picture that an engine was told otherwise, field by field.

use std::collections::HashMap;
use std::path::PathBuf;

use bitstream::split_annex_b;
use hevc::nal::NalHeader;
use nvkernel_sys::bits::{self, Field};
use nvkernel_sys::video::{self, hevc_pic};
use serde::Serialize;

use super::capture::{Capture, Picture, Pointee};
use super::codecs::{Codec, CodecRow};
use super::print::scaling_lists;
use super::syntax::SyntaxReader;
use crate::console;
use crate::exit::{Exit, Failure};

/// What to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// One capture.
    pub a: PathBuf,
    /// The other.
    pub b: PathBuf,
    /// Print JSON.
    pub json: bool,
}

/// One thing that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// A field, method or element by name.
    pub what: String,
    /// What one capture says.
    pub a: String,
    /// What the other says.
    pub b: String,
}

/// The first picture that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Position in the captures; `None` if only their lengths differ.
    pub picture: Option<usize>,
    /// Picture order count in the first capture.
    pub poc: Option<i32>,
    /// Pictures of either.
    pub pictures: (usize, usize),
    /// How many pictures differ, of those that both have.
    pub pictures_differing: usize,
    /// Everything that differs in that picture.
    pub differences: Vec<Difference>,
}

/// Compares two captures and prints what differs.
///
/// # Errors
///
/// [`Failure`].
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let (a, b) = (Capture::open(&options.a)?, Capture::open(&options.b)?);
    let report = compare(&a, &b)?;
    let text = match (&report, options.json) {
        (report, true) => {
            format!("{:#}\n", serde_json::json!({ "identical": report.is_none(), "report": report }))
        }
        (None, false) => format!("{} pictures, nothing differs\n", a.pictures().len()),
        (Some(report), false) => report.to_string(),
    };
    console::print(&text)?;
    Ok(if report.is_none() { Exit::Success } else { Exit::Fault })
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (a, b) = self.pictures;
        if let (Some(picture), Some(poc)) = (self.picture, self.poc) {
            let rest = self.pictures_differing - 1;
            writeln!(f, "picture {picture} (POC {poc}) is the first that differs; {rest} more do")?;
        }
        for Difference { what, a, b } in &self.differences {
            writeln!(f, "  {what}: {a} -> {b}")?;
        }
        if a != b {
            writeln!(f, "{a} pictures -> {b} pictures")?;
        }
        Ok(())
    }
}

/// The first picture that differs; `None` if all are the same.
///
/// Engines, points, waits, cycle counts, numbers of blobs, surfaces and memory, and places of the picture
/// table belong to a run and do not count: what is compared is which picture an engine is told to refer to,
/// not where that lies.
///
/// # Errors
///
/// Of reading the captures.
pub fn compare(a: &Capture, b: &Capture) -> Result<Option<Report>, Failure> {
    let mut report = Report {
        picture: None,
        poc: None,
        pictures: (a.pictures().len(), b.pictures().len()),
        pictures_differing: 0,
        differences: Vec::new(),
    };
    let mut syntax = (SyntaxReader::new(a), SyntaxReader::new(b));
    let mut contents = (HashMap::new(), HashMap::new());
    for (index, (p, q)) in a.pictures().iter().zip(b.pictures()).enumerate() {
        let mut found = Vec::new();
        let mut list = List(&mut found);
        let sides = (
            Side { capture: a, picture: p, contents: &contents.0 },
            Side { capture: b, picture: q, contents: &contents.1 },
        );
        data(&mut list, sides.0, sides.1)?;
        if let Some(codec) = CodecRow::of_name(&p.codec).filter(|_| p.codec == q.codec) {
            match codec.codec {
                Codec::Hevc => hevc(&mut list, sides.0, sides.1)?,
            }
        }
        submission(&mut list, p, q);
        expectations(&mut list, a, p, b, q)?;
        contents.0.insert(p.target, index);
        contents.1.insert(q.target, index);
        if found.is_empty() {
            continue;
        }
        report.pictures_differing += 1;
        if report.picture.is_none() {
            (report.picture, report.poc) = (Some(index), Some(p.poc));
            headers(&mut List(&mut found), index, &mut syntax)?;
            report.differences = found;
        }
    }
    Ok((report.picture.is_some() || report.pictures.0 != report.pictures.1).then_some(report))
}

/// Which picture of the capture a surface holds.
type Contents = HashMap<u32, usize>;

/// A picture of one of the captures.
#[derive(Clone, Copy)]
struct Side<'a> {
    capture: &'a Capture,
    picture: &'a Picture,
    contents: &'a Contents,
}

impl Side<'_> {
    /// What a method points at; nothing where it is not sent.
    fn data(&self, method: u32) -> Result<Vec<u8>, Failure> {
        Ok(self.capture.data(self.picture, method)?.unwrap_or_default())
    }
}

/// What only HEVC pictures have: tables, and the pictures that the lists name.
fn hevc(list: &mut List<'_>, a: Side<'_>, b: Side<'_>) -> Result<(), Failure> {
    let both = |method| -> Result<_, Failure> { Ok((a.data(method)?, b.data(method)?)) };
    let (x, y) = both(video::HEVC_SET_TILE_SIZES_OFFSET)?;
    for at in (0..x.len().max(y.len())).step_by(2) {
        list.put(format!("tile table at {at:#x}"), x.get(at..at + 2), y.get(at..at + 2));
    }
    let (x, y) = both(video::HEVC_SET_SCALING_LIST_OFFSET)?;
    list.put("bytes of scaling lists", x.len(), y.len());
    for ((name, m), (_, n)) in scaling_lists(&x).into_iter().zip(scaling_lists(&y)) {
        list.put(format!("scaling lists, {name}"), m, n);
    }
    let (x, y) = both(video::SET_DRV_PIC_SETUP_OFFSET)?;
    references(list, (&x, a.picture, a.contents), (&y, b.picture, b.contents));
    Ok(())
}

/// Reference lists, order count differences and long-term marks, by the pictures that stand in the places.
fn references(list: &mut List<'_>, a: (&[u8], &Picture, &Contents), b: (&[u8], &Picture, &Contents)) {
    let get = |descriptor: &[u8], field: Field, index| field.read(descriptor, index).unwrap_or(-1);
    let name = |(_, p, contents): (&[u8], &Picture, &Contents), place: i64| -> String {
        match p.places.iter().find(|(known, _)| i64::from(*known) == place) {
            None => format!("place {place}, empty"),
            Some((_, surface)) if *surface == p.target => "the picture itself".to_owned(),
            Some((_, surface)) => match contents.get(surface) {
                Some(picture) => format!("picture {picture}"),
                None => "mid-grey".to_owned(),
            },
        }
    };
    for field in [hevc_pic::initreflistidxl0, hevc_pic::initreflistidxl1] {
        for index in 0..usize::from(field.count) {
            let (m, n) = (get(a.0, field, index), get(b.0, field, index));
            list.text(format!("nvdec_hevc_pic_s.{}[{index}]", field.name), name(a, m), name(b, n));
            let order = |descriptor, place: i64| {
                get(descriptor, hevc_pic::RefDiffPicOrderCnts, usize::try_from(place).unwrap_or(usize::MAX))
            };
            let long_term = |descriptor, place: i64| {
                get(descriptor, hevc_pic::longtermflag, 0) >> (15 - place.clamp(0, 15)) & 1
            };
            let what = |field: &str| format!("nvdec_hevc_pic_s.{field} of {}", name(a, m));
            list.put(what("RefDiffPicOrderCnts"), order(a.0, m), order(b.0, n));
            list.put(what("longtermflag"), long_term(a.0, m), long_term(b.0, n));
        }
    }
    let own = |(descriptor, ..): (&[u8], _, _)| get(descriptor, hevc_pic::curr_pic_idx, 0);
    list.text("nvdec_hevc_pic_s.curr_pic_idx", name(a, own(a)), name(b, own(b)));
    // A picture may be named many times.
    let mut seen: Vec<Difference> = Vec::new();
    list.0.retain(|difference| {
        let new = !seen.contains(difference);
        seen.push(difference.clone());
        new
    });
}

/// The differences found so far.
struct List<'a>(&'a mut Vec<Difference>);

impl List<'_> {
    fn text(&mut self, what: impl Into<String>, a: String, b: String) {
        if a != b {
            self.0.push(Difference { what: what.into(), a, b });
        }
    }

    fn put<T: PartialEq + std::fmt::Debug>(&mut self, what: impl Into<String>, a: T, b: T) {
        if a != b {
            self.0.push(Difference { what: what.into(), a: format!("{a:?}"), b: format!("{b:?}") });
        }
    }
}

/// What a method points at, as far as it does not belong to a run.
fn essence(to: Option<&Pointee>) -> String {
    match to {
        Some(Pointee::Data { bytes, .. }) => format!("{bytes} bytes of data"),
        Some(Pointee::Memory { .. }) => "memory".to_owned(),
        None => "not sent".to_owned(),
    }
}

/// Descriptor, tables and slice data.
fn data(list: &mut List<'_>, a: Side<'_>, b: Side<'_>) -> Result<(), Failure> {
    let both = |method| -> Result<_, Failure> { Ok((a.data(method)?, b.data(method)?)) };
    let (p, q) = (a.picture, b.picture);
    list.put("codec", &p.codec, &q.codec);
    let (x, y) = both(video::SET_DRV_PIC_SETUP_OFFSET)?;
    // Of a codec that is not known, all bytes are compared as they are.
    let table = CodecRow::of_name(&p.codec).map(|codec| &codec.descriptor);
    let (name, fields, size) = table.map_or(("descriptor", &[][..], 0), |t| (t.name, t.fields, t.size));
    for (m, n) in bits::dump(&x, fields).zip(bits::dump(&y, fields)) {
        if table.is_some_and(|table| table.by_place.contains(&m.field.name)) {
            continue;
        }
        let index = if m.field.count > 1 { format!("[{}]", m.index) } else { String::new() };
        list.put(format!("{name}.{}{index}", m.field.name), m.value, n.value);
    }
    for at in (size..x.len().max(y.len())).step_by(4) {
        list.put(format!("{name}, bytes {at:#x}"), x.get(at..at + 4), y.get(at..at + 4));
    }
    let (x, y) = both(video::SET_IN_BUF_BASE_OFFSET)?;
    list.put("bytes of slice data", x.len(), y.len());
    if let Some(at) = x.iter().zip(&y).position(|(m, n)| m != n) {
        list.put(format!("slice data at byte {at:#x}, {}", nal_at(&x, at)), x[at], y[at]);
    }
    Ok(())
}

/// The NAL unit that holds a byte.
fn nal_at(stream: &[u8], at: usize) -> String {
    for (i, nal) in split_annex_b(stream).enumerate() {
        let start = nal.as_ptr() as usize - stream.as_ptr() as usize;
        if (start..start + nal.len()).contains(&at) {
            let kind = NalHeader::parse(nal).map_or("?", |header| header.nal_unit_type.name());
            return format!("byte {:#x} of NAL unit {i} ({kind})", at - start);
        }
    }
    "between NAL units".to_owned()
}

/// Methods and the format of the surfaces.
fn submission(list: &mut List<'_>, p: &Picture, q: &Picture) {
    list.put("POC", p.poc, q.poc);
    list.put("SET_APPLICATION_ID", p.application_id, q.application_id);
    list.put("SET_CONTROL_PARAMS", p.control_params, q.control_params);
    list.put("surfaces", p.surface, q.surface);
    let mut seen = Vec::new();
    for method in p.methods.iter().chain(&q.methods).map(|method| method.method) {
        if !seen.contains(&method) {
            seen.push(method);
            let name = video::method_name(method).to_string();
            list.text(name, essence(p.pointee(method)), essence(q.pointee(method)));
        }
    }
    let order = |p: &Picture| p.methods.iter().map(|method| method.method).collect::<Vec<_>>();
    list.put("order of methods", order(p), order(q));
    list.put("places sent", p.places.len(), q.places.len());
}

/// Slice segment headers.
fn headers(
    list: &mut List<'_>,
    index: usize,
    syntax: &mut (SyntaxReader<'_>, SyntaxReader<'_>),
) -> Result<(), Failure> {
    let (x, y) = (syntax.0.picture(index)?, syntax.1.picture(index)?);
    let slices = |nal_units: Vec<super::syntax::NalText>| -> Vec<_> {
        nal_units.into_iter().filter(|nal| nal.at.is_some()).collect()
    };
    let (x, y) = (slices(x), slices(y));
    list.put("slice segments", x.len(), y.len());
    for (i, (m, n)) in x.iter().zip(&y).enumerate() {
        list.put(format!("NAL unit {i}: type"), &m.kind, &n.kind);
        list.put(format!("NAL unit {i}: error"), &m.error, &n.error);
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in m.header.iter().chain(&n.header) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        for name in names {
            let value = |nal: &super::syntax::NalText| {
                nal.header.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            };
            let (m, n) = (value(m), value(n));
            if m != n {
                let text = |value: Option<serde_json::Value>| {
                    value.map_or("absent".into(), |v| super::print::plain(&v))
                };
                list.0.push(Difference { what: format!("NAL unit {i}: {name}"), a: text(m), b: text(n) });
            }
        }
    }
    Ok(())
}

/// Status and samples.
fn expectations(
    list: &mut List<'_>,
    a: &Capture,
    p: &Picture,
    b: &Capture,
    q: &Picture,
) -> Result<(), Failure> {
    list.put("not finished", &p.error, &q.error);
    match (&p.status, &q.status) {
        (Some(m), Some(n)) => {
            for ((name, m), (_, n)) in m.compared().into_iter().zip(n.compared()) {
                list.put(format!("status: {name}"), m, n);
            }
        }
        (m, n) => list.put("a status is expected", m.is_some(), n.is_some()),
    }
    let md5 = |p: &Picture| p.hashes.as_ref().map(|hashes| hashes.md5.clone());
    list.put("MD5 of the planes", md5(p), md5(q));
    if let (Some(x), Some(y)) = (a.block_sums(p)?, b.block_sums(q)?)
        && p.surface == q.surface
    {
        let hashes = super::hash::PlaneHashes { md5: Vec::new(), blocks: x };
        if let Some((plane, block)) = hashes.first_difference(&y, &p.surface) {
            let what = format!(
                "first block of samples that differs: {} block {block:?}",
                super::hash::PLANES[plane]
            );
            list.0.push(Difference { what, a: "one".into(), b: "another".into() });
        }
    }
    Ok(())
}
