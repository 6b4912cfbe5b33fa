//! `nvdec-replay print`: what an engine was told, by name.

use std::fmt::Write;
use std::path::PathBuf;

use nvkernel_sys::bits::{self, Field};
use nvkernel_sys::video::{self, hevc_pic, set_control_params};
use serde_json::{Map, Value, json};

use super::capture::{Capture, Picture, Pointee, Wait};
use super::codecs::{Codec, CodecRow, Descriptor};
use super::syntax::{NalText, SyntaxReader};
use crate::console;
use crate::exit::{Exit, Failure};

/// What to print.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capture.
    pub input: PathBuf,
    /// One picture only, by its position.
    pub picture: Option<usize>,
    /// Print fields of the descriptor that are zero, too.
    pub zeros: bool,
    /// Print JSON.
    pub json: bool,
}

/// Prints a capture.
///
/// # Errors
///
/// [`Failure`].
pub fn run(options: &Options) -> Result<Exit, Failure> {
    let capture = Capture::open(&options.input)?;
    let total = capture.pictures().len();
    if let Some(index) = options.picture
        && index >= total
    {
        return Err(Failure::Usage(format!(
            "{} has {total} pictures, from 0: there is no {index}",
            capture.name()
        )));
    }
    let wanted = options.picture.map_or(0..total, |index| index..index + 1);
    let mut syntax = SyntaxReader::new(&capture);
    if options.json {
        let pictures: Result<Vec<Value>, Failure> =
            wanted.map(|index| picture_json(&capture, index, &syntax.picture(index)?)).collect();
        let text = json!({"head": capture.head(), "end": capture.done(), "pictures": pictures?});
        console::print(&format!("{text:#}\n"))?;
        return Ok(Exit::Success);
    }
    console::print(&head(&capture))?;
    for index in wanted {
        console::print(&picture_text(&capture, index, &syntax.picture(index)?, options.zeros)?)?;
    }
    Ok(Exit::Success)
}

/// The head in words.
fn head(capture: &Capture) -> String {
    let (h, done) = (capture.head(), capture.done());
    let mut out = format!(
        "{}: {} pictures of {}, by {} on {}{}, driver {}, class {:#06x} ({})\n",
        capture.name(),
        capture.pictures().len(),
        h.source,
        h.tool,
        if h.emulated { "an emulated " } else { "" },
        h.gpu.as_deref().unwrap_or("unknown GPU"),
        h.driver,
        h.class,
        h.generation,
    );
    if let Some(error) = &done.ended_by {
        let _ = writeln!(out, "ended by: {error}");
    }
    out
}

/// A picture in words.
///
/// # Errors
///
/// Of reading the capture.
pub fn picture_text(
    capture: &Capture,
    index: usize,
    nal_units: &[NalText],
    zeros: bool,
) -> Result<String, Failure> {
    let p = &capture.pictures()[index];
    let mut out = String::new();
    let s = &p.surface;
    let format = s.format().map_or("?", |format| format.name());
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "\npicture {index} (number {}, POC {}), {}@{}, {format} {}x{}",
        p.number, p.poc, p.engine, p.point, s.width, s.height
    ));
    if let Some(places) = &p.collocated {
        line(format!("  motion vectors of places {places:?}"));
    }
    for copy in &p.motion {
        let from = copy.from.map_or("zeros".to_owned(), |from| format!("{from:#x}"));
        line(format!("  motion vectors moved from {from} to {:#x}", copy.to));
    }
    for wait in &p.waits {
        line(format!("  waits for {}", wait_text(wait)));
    }
    for nal in nal_units {
        line(format!("  {}", nal_line(nal)));
        for (name, value) in &nal.header {
            line(format!("    {name} = {}", plain(value)));
        }
    }
    line("  methods".to_owned());
    let control = p.control_params.to_le_bytes();
    line(format!("    SET_APPLICATION_ID = {}", p.application_id));
    let fields: Vec<String> =
        bits::dump(&control, set_control_params::FIELDS).nonzero().map(|entry| entry.to_string()).collect();
    line(format!("    SET_CONTROL_PARAMS = {:#x}: {}", p.control_params, fields.join(", ")));
    for record in &p.methods {
        line(format!("    {} -> {}", video::method_name(record.method), pointee_text(&record.to)));
    }
    for (place, surface) in &p.places {
        let target = if *surface == p.target { ", the target" } else { "" };
        line(format!("    SET_PICTURE_LUMA_OFFSET({place}), _CHROMA_ -> surface {surface}{target}"));
    }
    let codec = CodecRow::of_name(&p.codec);
    if let (Some(CodecRow { descriptor: table, .. }), Some(descriptor)) =
        (codec, capture.data(p, video::SET_DRV_PIC_SETUP_OFFSET)?)
    {
        line(format!("  {}", table.name));
        for field in table.fields {
            let values: Vec<i64> = elements(field, &descriptor);
            if zeros || values.iter().any(|value| *value != 0) {
                line(format!("    {}", field_text(field, &values)));
            }
        }
        for (at, word) in unnamed(&descriptor, table.size) {
            line(format!("    bytes {at:#x} = {word:#x}"));
        }
    }
    match codec {
        Some(CodecRow { codec: Codec::Hevc, .. }) => hevc_tables(capture, p)?.into_iter().for_each(&mut line),
        None => line(format!("  the codec {:?} is not known here: its descriptor has no names", p.codec)),
    }
    if let Some(status) = &p.status {
        let fields: Vec<String> =
            status.compared().iter().map(|(name, value)| format!("{name} {value}")).collect();
        line(format!("  status: {}, cycle_count {}", fields.join(", "), status.cycle_count));
    }
    if let Some(hashes) = &p.hashes {
        line(format!("  MD5 of Y, Cb, Cr: {}", hashes.md5.join(" ")));
    }
    if let Some(error) = &p.error {
        line(format!("  not finished: {error}"));
    }
    Ok(out)
}

fn nal_line(nal: &NalText) -> String {
    let mut text = match nal.at {
        Some(at) => format!("{}, {} bytes at {at:#x} of the slice data", nal.kind, nal.bytes),
        None => format!("{}, {} bytes", nal.kind, nal.bytes),
    };
    if let Some(summary) = &nal.summary {
        text += &format!(": {summary}");
    }
    if let Some(error) = &nal.error {
        text += &format!(": {error}");
    }
    text
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn wait_text(wait: &Wait) -> String {
    match wait {
        Wait::Picture(index) => format!("picture {index}"),
        Wait::Other(point) => point.clone(),
    }
}

pub(super) fn pointee_text(to: &Pointee) -> String {
    match to {
        Pointee::Data { blob, bytes } => format!("{bytes} bytes, blob {blob}"),
        Pointee::Memory { id, offset, bytes } => format!("memory {id} + {offset:#x}, {bytes:#x} bytes"),
    }
}

fn elements(field: &Field, descriptor: &[u8]) -> Vec<i64> {
    (0..usize::from(field.count)).filter_map(|index| field.read(descriptor, index).ok()).collect()
}

/// A field with its value, or all its elements.
fn field_text(field: &Field, values: &[i64]) -> String {
    let [value] = values else { return format!("{} = {values:?}", field.name) };
    match field.value_name(*value) {
        Some(name) => format!("{} = {value} ({name})", field.name),
        None => format!("{} = {value}", field.name),
    }
}

/// Words of a descriptor behind the public structure that are not zero.
fn unnamed(descriptor: &[u8], size: usize) -> Vec<(usize, u32)> {
    let words = descriptor.chunks_exact(4).enumerate().skip(size / 4);
    words
        .map(|(i, b)| (4 * i, u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        .filter(|(_, word)| *word != 0)
        .collect()
}

/// Tile table and scaling lists of an HEVC picture as text.
fn hevc_tables(capture: &Capture, p: &Picture) -> Result<Vec<String>, Failure> {
    let mut lines = Vec::new();
    if let Some((columns, rows)) = tiles(capture, p)? {
        lines.push(format!("  tile table: columns of {columns:?}, rows of {rows:?} coding tree blocks"));
    }
    if let Some(lists) = capture.data(p, video::HEVC_SET_SCALING_LIST_OFFSET)? {
        lines.push("  scaling lists, columns first".to_owned());
        let lists = scaling_lists(&lists);
        lines.extend(lists.into_iter().map(|(name, values)| format!("    {name} = {values:?}")));
    }
    Ok(lines)
}

/// The same by name.
fn hevc_tables_json(capture: &Capture, p: &Picture) -> Result<Map<String, Value>, Failure> {
    let lists = capture.data(p, video::HEVC_SET_SCALING_LIST_OFFSET)?;
    let lists: Option<Map<String, Value>> = lists
        .map(|lists| scaling_lists(&lists).into_iter().map(|(name, values)| (name, json!(values))).collect());
    let tables = [("tiles", json!(tiles(capture, p)?)), ("scaling_lists", json!(lists))];
    Ok(tables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Widths of columns and heights of rows.
type TileSizes = (Vec<u16>, Vec<u16>);

/// Widths and heights by the tile table.
fn tiles(capture: &Capture, p: &Picture) -> Result<Option<TileSizes>, Failure> {
    let descriptor = capture.data(p, video::SET_DRV_PIC_SETUP_OFFSET)?;
    let table = capture.data(p, video::HEVC_SET_TILE_SIZES_OFFSET)?;
    let (Some(descriptor), Some(table)) = (descriptor, table) else { return Ok(None) };
    let count = |field: Field| field.read(&descriptor, 0).unwrap_or(0).max(1) as usize;
    let (columns, rows) = (count(hevc_pic::num_tile_columns), count(hevc_pic::num_tile_rows));
    let entry = |tile: usize, part: usize| {
        let at = 4 * tile + 2 * part;
        table.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
    };
    let widths = (0..columns).map(|i| entry(i, 0)).collect();
    Ok(Some((widths, (0..rows).map(|j| entry(j * columns, 1)).collect())))
}

/// The parts of the scaling lists by name.
pub(super) fn scaling_lists(lists: &[u8]) -> Vec<(String, &[u8])> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut take = |name: String, bytes: usize| {
        if let Some(part) = lists.get(at..at + bytes) {
            parts.push((name, part));
        }
        at += bytes;
    };
    take("scaling_list_dc_coef 16x16".to_owned(), 6);
    take("scaling_list_dc_coef 32x32".to_owned(), 2);
    take("unused".to_owned(), 8);
    for (size, bytes, matrices) in [(4, 16, 6), (8, 64, 6), (16, 64, 6), (32, 64, 2)] {
        for matrix in 0..matrices {
            take(format!("{size}x{size} matrix {matrix}"), bytes);
        }
    }
    parts.retain(|(name, _)| name != "unused");
    parts
}

/// The descriptor by field names; arrays for fields that have elements.
fn descriptor_json(table: &Descriptor, descriptor: &[u8]) -> Map<String, Value> {
    let mut fields = Map::new();
    for field in table.fields {
        let values = elements(field, descriptor);
        let value = if field.count == 1 { json!(values.first()) } else { json!(values) };
        fields.insert(field.name.to_owned(), value);
    }
    for (at, word) in unnamed(descriptor, table.size) {
        fields.insert(format!("bytes {at:#x}"), word.into());
    }
    fields
}

fn picture_json(capture: &Capture, index: usize, nal_units: &[NalText]) -> Result<Value, Failure> {
    let p = &capture.pictures()[index];
    let methods: Vec<Value> = p
        .methods
        .iter()
        .map(|record| {
            json!({"method": video::method_name(record.method).to_string(), "address": record.method, "to": record.to})
        })
        .collect();
    let nal_units: Vec<Value> = nal_units
        .iter()
        .map(|nal| {
            let header: Map<String, Value> =
                nal.header.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            json!({"nal_unit_type": nal.kind, "bytes": nal.bytes, "at": nal.at, "summary": nal.summary,
                   "header": header, "error": nal.error})
        })
        .collect();
    let descriptor = capture.data(p, video::SET_DRV_PIC_SETUP_OFFSET)?;
    let mut picture = json!({
        "picture": index, "number": p.number, "poc": p.poc, "engine": p.engine, "point": p.point,
        "surface": p.surface, "collocated": p.collocated, "motion": p.motion, "waits": p.waits, "nal_units": nal_units,
        "codec": p.codec, "application_id": p.application_id, "control_params": p.control_params,
        "methods": methods, "target": p.target, "places": p.places,
        "status": p.status, "md5": p.hashes.as_ref().map(|h| &h.md5), "error": p.error,
    });
    if let (Some(codec), Some(members)) = (CodecRow::of_name(&p.codec), picture.as_object_mut()) {
        let fields = descriptor.map(|descriptor| descriptor_json(&codec.descriptor, &descriptor));
        members.insert(codec.descriptor.name.to_owned(), json!(fields));
        match codec.codec {
            Codec::Hevc => members.extend(hevc_tables_json(capture, p)?),
        }
    }
    Ok(picture)
}
