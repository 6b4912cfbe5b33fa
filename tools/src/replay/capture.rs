//! What a capture holds: [`Capture`] reads it, [`CaptureWriter`] writes it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use md5::{Digest, Md5};
use nvdec::DecodeStatus;
use nvdec::class::Chroma;
use nvdec::{SurfaceFormat, SurfaceGeometry};
use serde::{Deserialize, Serialize};

use super::format::{
    self, BLOB, Chunk, ChunkReader, ChunkWriter, DONE, FormatError, HEAD, NALU, PICT, Source,
};
use super::limits;
use crate::exit::Failure;
use crate::output::file::Sources;

/// Most bytes of a picture's JSON and of a NAL unit.
const MAX_PICTURE: u32 = 256 << 10;
const MAX_NAL: u32 = 2 << 20;
/// Most slots of motion vectors that are moved for one picture.
const MAX_MOVED: usize = 64;
/// The codec of version 1 of the format.
const FIRST_CODEC: &str = "hevc";
/// Most bytes of the name of a codec.
const MAX_CODEC_NAME: usize = 16;
/// Luma samples along the side of a block that has a checksum of its own.
pub const BLOCK: u32 = 64;

/// What recorded a capture, and on what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Program and version.
    pub tool: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Name of the stream.
    pub source: String,
    /// Driver release.
    pub driver: String,
    /// The GPU was the emulated one.
    pub emulated: bool,
    /// Name of the GPU.
    pub gpu: Option<String>,
    /// Chip, as the driver tells it.
    pub chip: Option<String>,
    /// Video class.
    pub class: u32,
    /// Generation of the video class.
    pub generation: String,
    /// NVDEC engines of the GPU.
    pub engines: Vec<String>,
}

/// The end of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// NAL units.
    pub nal_units: u32,
    /// Blobs.
    pub blobs: u32,
    /// Pictures.
    pub pictures: u32,
    /// What ended the recording before the end of the stream.
    pub ended_by: Option<String>,
    /// MD5 of all bytes of the file before this chunk.
    pub md5: String,
}

/// One submission to an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Position in decoding order when it was recorded.
    pub number: u64,
    /// Picture order count.
    pub poc: i32,
    /// The engine: `NVDEC1`.
    pub engine: String,
    /// The value of the engine's timeline that completes it.
    pub point: u64,
    /// Name of the codec, such as `hevc`. Version 1 of the format does not say it, and has HEVC alone.
    #[serde(default)]
    pub codec: String,
    /// Data of `SET_APPLICATION_ID`.
    pub application_id: u32,
    /// Data of `SET_CONTROL_PARAMS`.
    pub control_params: u32,
    /// How many of the capture's NAL units come before the first slice segment.
    pub nal_units: u32,
    /// Format and size of the surfaces.
    pub surface: SurfaceShape,
    /// Buffer methods in the order sent.
    pub methods: Vec<MethodRecord>,
    /// The surface written to.
    pub target: u32,
    /// The picture table: places sent, with their surfaces.
    pub places: Vec<(u8, u32)>,
    /// Places whose motion vectors the slices take; any that the lists name if `None`.
    pub collocated: Option<Vec<u8>>,
    /// Motion vectors that were moved before the picture, to where it looks for them.
    pub motion: Vec<MotionCopy>,
    /// What the engine waits for.
    pub waits: Vec<Wait>,
    /// The engine's status; `None` where there is nothing to expect.
    pub status: Option<Status>,
    /// Hashes of the samples; `None` where there is nothing to expect.
    pub hashes: Option<Hashes>,
    /// The picture was never finished, and why.
    pub error: Option<String>,
}

/// Format and coded size of surfaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurfaceShape {
    /// `chroma_format_idc`.
    pub chroma_format_idc: u8,
    /// Bits of a sample, of luma if chroma has others.
    pub bit_depth: u8,
    /// Bits of a sample of chroma; `None` for as many as luma has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chroma_bit_depth: Option<u8>,
    /// Width in luma samples.
    pub width: u32,
    /// Height in luma samples.
    pub height: u32,
}

impl SurfaceShape {
    /// Of a surface.
    pub fn of(geometry: &SurfaceGeometry) -> SurfaceShape {
        let idc = match geometry.format.chroma {
            Chroma::C420 => 1,
            Chroma::C422 => 2,
            Chroma::C444 => 3,
            _ => 0,
        };
        SurfaceShape {
            chroma_format_idc: idc,
            bit_depth: geometry.format.bit_depth,
            chroma_bit_depth: match geometry.format.one_depth() {
                Some(_) => None,
                None => Some(geometry.format.chroma_bit_depth),
            },
            width: geometry.width,
            height: geometry.height,
        }
    }

    /// The format, if there is such a surface.
    pub fn format(&self) -> Option<SurfaceFormat> {
        let chroma = Chroma::from_chroma_format_idc(self.chroma_format_idc)?;
        let (bit_depth, chroma_bit_depth) = (self.bit_depth, self.chroma_bit_depth.unwrap_or(self.bit_depth));
        let is_depth = |depth| (8..=16).contains(&depth);
        (is_depth(bit_depth) && is_depth(chroma_bit_depth)).then_some(SurfaceFormat {
            chroma,
            bit_depth,
            chroma_bit_depth,
        })
    }

    /// Columns and rows of blocks that have checksums.
    pub fn blocks(&self) -> (u32, u32) {
        (self.width.div_ceil(BLOCK), self.height.div_ceil(BLOCK))
    }
}

/// A buffer method with what it points at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodRecord {
    /// Address of the method.
    pub method: u32,
    /// The buffer.
    pub to: Pointee,
}

/// What a buffer method points at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Pointee {
    /// Bytes that the engine reads: a blob, and zeros up to `bytes`.
    Data {
        /// The blob.
        blob: u32,
        /// Bytes in all.
        bytes: u32,
    },
    /// Memory that the engine works in.
    Memory {
        /// Which, numbered by appearance.
        id: u32,
        /// Where in it.
        offset: u64,
        /// Bytes from there to its end.
        bytes: u64,
    },
}

/// A slot of motion vectors that was copied or cleared, as offsets in the memory of `SET_COLOC_DATA_OFFSET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionCopy {
    /// Where it was; `None` for zeros.
    pub from: Option<u64>,
    /// Where it went.
    pub to: u64,
}

/// What an engine waits for before it starts a picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// A picture of the capture, by its position in it.
    Picture(u32),
    /// Another point: `COPY9@3`.
    Other(String),
}

/// What the engine says of a picture: fields of `nvdec_status_s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Status {
    pub mbs_correctly_decoded: u32,
    pub mbs_in_error: u32,
    pub cycle_count: u32,
    pub error_status: u32,
    pub error_ctb_pos_x: u16,
    pub error_ctb_pos_y: u16,
    pub slice_header_error_code: u32,
}

impl Status {
    /// The fields that have to be the same when a picture is decoded again.
    pub fn compared(&self) -> [(&'static str, u32); 6] {
        [
            ("mbs_correctly_decoded", self.mbs_correctly_decoded),
            ("mbs_in_error", self.mbs_in_error),
            ("error_status", self.error_status),
            ("error_ctb_pos_x", self.error_ctb_pos_x.into()),
            ("error_ctb_pos_y", self.error_ctb_pos_y.into()),
            ("slice_header_error_code", self.slice_header_error_code),
        ]
    }

    /// Whether the engine decoded all `blocks` without error.
    pub fn is_good(&self, blocks: u32) -> bool {
        self.mbs_in_error == 0
            && self.error_status == 0
            && self.slice_header_error_code == 0
            && self.mbs_correctly_decoded >= blocks
    }
}

impl From<DecodeStatus> for Status {
    fn from(s: DecodeStatus) -> Status {
        Status {
            mbs_correctly_decoded: s.mbs_correctly_decoded,
            mbs_in_error: s.mbs_in_error,
            cycle_count: s.cycle_count,
            error_status: s.error_status,
            error_ctb_pos_x: s.error_ctb.0,
            error_ctb_pos_y: s.error_ctb.1,
            slice_header_error_code: s.slice_header_error_code,
        }
    }
}

/// Hashes of a decoded picture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashes {
    /// MD5 of each plane, Y, Cb, Cr: as in a decoded picture hash SEI message.
    pub md5: Vec<String>,
    /// Blob of CRC-32 words: for each plane, block by block of 64x64 luma samples.
    pub blocks: u32,
}

impl Picture {
    /// What `method` points at.
    pub fn pointee(&self, method: u32) -> Option<&Pointee> {
        self.methods.iter().find(|m| m.method == method).map(|m| &m.to)
    }

    /// Blobs that the picture uses.
    pub fn blobs(&self) -> impl Iterator<Item = u32> + '_ {
        let data = self.methods.iter().filter_map(|m| match m.to {
            Pointee::Data { blob, .. } => Some(blob),
            Pointee::Memory { .. } => None,
        });
        data.chain(self.hashes.as_ref().map(|h| h.blocks))
    }

    /// Bytes that its methods point at, zeros behind the blobs included.
    fn data_bytes(&self) -> u64 {
        let bytes = self.methods.iter().map(|method| match method.to {
            Pointee::Data { bytes, .. } => u64::from(bytes),
            Pointee::Memory { .. } => 0,
        });
        bytes.sum()
    }

    /// Takes away what is expected of the picture.
    pub fn expect_nothing(&mut self) {
        (self.status, self.hashes, self.error) = (None, None, None);
    }
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    chunk: Chunk,
    bytes: u32,
}

/// A capture, checked from its first byte to its last. Blobs are read when they are asked for.
pub struct Capture {
    name: String,
    source: Mutex<Box<dyn Source>>,
    head: Head,
    done: Done,
    nal_units: Vec<Stored>,
    blobs: Vec<Stored>,
    pictures: Vec<Picture>,
    size: u64,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "capture {} of {} pictures", self.name, self.pictures.len())
    }
}

impl Capture {
    /// Opens and checks a file.
    ///
    /// # Errors
    ///
    /// [`Failure::Input`] if it cannot be read, [`Failure::Capture`] if it is no whole capture.
    pub fn open(path: &Path) -> Result<Capture, Failure> {
        Sources::of([path]).check(&[])?;
        let name = path.display().to_string();
        let input = |source| Failure::Input { path: name.clone(), source };
        let file = File::open(path).map_err(input)?;
        if !file.metadata().map_err(input)?.is_file() {
            let source = std::io::Error::other("captures are read from regular files");
            return Err(Failure::Input { path: name, source });
        }
        Capture::read(&name, Box::new(file))
    }

    /// Reads a capture; `name` is for messages.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn read(name: &str, mut source: Box<dyn Source>) -> Result<Capture, Failure> {
        match parse(&mut *source) {
            Ok((head, done, nal_units, blobs, pictures, size)) => {
                let (name, source) = (name.to_owned(), Mutex::new(source));
                Ok(Capture { name, source, head, done, nal_units, blobs, pictures, size })
            }
            Err(error) => Err(failure(name, error)),
        }
    }

    /// Name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What recorded it.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How it ends.
    pub fn done(&self) -> &Done {
        &self.done
    }

    /// The pictures in the order in which they were submitted.
    pub fn pictures(&self) -> &[Picture] {
        &self.pictures
    }

    /// Number of NAL units.
    pub fn nal_unit_count(&self) -> u32 {
        self.nal_units.len() as u32
    }

    /// A NAL unit without start code.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn nal_unit(&self, number: u32) -> Result<Vec<u8>, Failure> {
        self.unpack(&self.nal_units[number as usize])
    }

    /// Bytes of a blob.
    pub fn blob_bytes(&self, number: u32) -> u32 {
        self.blobs[number as usize].bytes
    }

    /// A blob. Pictures name blobs that are there.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn blob(&self, number: u32) -> Result<Vec<u8>, Failure> {
        self.unpack(&self.blobs[number as usize])
    }

    /// What a method of a picture points at, zeros behind the blob included.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn data(&self, picture: &Picture, method: u32) -> Result<Option<Vec<u8>>, Failure> {
        let Some(&Pointee::Data { blob, bytes }) = picture.pointee(method) else { return Ok(None) };
        let mut data = self.blob(blob)?;
        data.resize(bytes as usize, 0);
        Ok(Some(data))
    }

    /// Checksums of the blocks of a picture, plane by plane; `None` where nothing is expected.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn block_sums(&self, picture: &Picture) -> Result<Option<Vec<u32>>, Failure> {
        let Some(hashes) = &picture.hashes else { return Ok(None) };
        let bytes = self.blob(hashes.blocks)?;
        Ok(Some(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()))
    }

    fn unpack(&self, stored: &Stored) -> Result<Vec<u8>, Failure> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let payload = format::read_payload(&mut **source, &stored.chunk);
        payload
            .and_then(|payload| format::unpack(&payload, stored.chunk.at))
            .map_err(|error| failure(&self.name, error))
    }

    /// An error of picture `index` that no reader could see.
    pub fn wrong(&self, index: usize, what: impl std::fmt::Display) -> Failure {
        let picture = &self.pictures[index];
        let what = format!("picture {index} (POC {}): {what}", picture.poc);
        Failure::Capture { path: self.name.clone(), what }
    }
}

fn failure(name: &str, error: FormatError) -> Failure {
    match error {
        FormatError::Read(source) => Failure::Input { path: name.to_owned(), source },
        error => Failure::Capture { path: name.to_owned(), what: error.to_string() },
    }
}

type Parts = (Head, Done, Vec<Stored>, Vec<Stored>, Vec<Picture>, u64);

fn parse(source: &mut dyn Source) -> Result<Parts, FormatError> {
    let (mut nal_units, mut pictures) = (Vec::new(), Vec::<Picture>::new());
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut ends = Vec::new();
    let mut reader = ChunkReader::new(source)?;
    let version = reader.version();
    let Some((chunk, payload)) = reader.next_chunk()? else {
        return Err(FormatError::damaged(format::START, "there is nothing but a magic number"));
    };
    if chunk.kind != HEAD {
        return Err(FormatError::damaged(format::START, "the first chunk is no HEAD"));
    }
    let head: Head = json(&payload, chunk.at)?;
    let done = loop {
        let (at, md5) = (reader.position(), reader.md5());
        let Some((chunk, payload)) = reader.next_chunk()? else {
            return Err(FormatError::damaged(at, "the file ends without a DONE chunk: it is cut off"));
        };
        match chunk.kind {
            NALU => nal_units.push(Stored { bytes: limited(&payload, &chunk, MAX_NAL)?, chunk }),
            BLOB => chunks.push(chunk),
            PICT => {
                limited(&payload, &chunk, MAX_PICTURE)?;
                let mut picture: Picture = json(&format::unpack(&payload, chunk.at)?, chunk.at)?;
                name_codec(&mut picture, version).map_err(|what| FormatError::damaged(at, what))?;
                check(&picture, pictures.len(), nal_units.len()).map_err(|what| {
                    FormatError::damaged(at, format!("picture {}: {what}", pictures.len()))
                })?;
                ends.push(chunks.len());
                pictures.push(picture);
            }
            DONE => {
                let done: Done = json(&payload, chunk.at)?;
                if done.md5 != md5 {
                    return Err(FormatError::damaged(at, "the MD5 of the whole is wrong"));
                }
                let counts = (done.nal_units as usize, done.blobs as usize, done.pictures as usize);
                if counts != (nal_units.len(), chunks.len(), pictures.len()) {
                    return Err(FormatError::damaged(at, "the counts of chunks are wrong"));
                }
                break done;
            }
            kind if kind.is_skippable() => {}
            kind => return Err(FormatError::damaged(at, format!("an unknown chunk {kind:?}"))),
        }
    };
    let end = reader.position();
    if reader.next_chunk()?.is_some() {
        return Err(FormatError::damaged(end, "more follows the DONE chunk"));
    }
    let mut blobs = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let mut header = Vec::new();
        source.seek(SeekFrom::Start(chunk.at))?;
        (&mut *source).take(8.min(chunk.length.into())).read_to_end(&mut header)?;
        let bytes = format::unpacked_length(&header, chunk.length, chunk.at)?;
        blobs.push(Stored { chunk, bytes });
    }
    let (mut data, most) = (0, limits::data(end));
    for (index, (picture, end)) in pictures.iter().zip(ends).enumerate() {
        check_blobs(picture, &blobs[..end]).map_err(|what| {
            FormatError::damaged(blobs.last().map_or(0, |b| b.chunk.at), format!("picture {index}: {what}"))
        })?;
        data += picture.data_bytes();
        if data > most {
            let what = format!(
                "picture {index}: up to it, {data} bytes are pointed at; a file of its size has at most {most}"
            );
            return Err(FormatError::damaged(blobs.last().map_or(0, |b| b.chunk.at), what));
        }
    }
    Ok((head, done, nal_units, blobs, pictures, end))
}

fn json<T: for<'a> Deserialize<'a>>(bytes: &[u8], at: u64) -> Result<T, FormatError> {
    serde_json::from_slice(bytes).map_err(|error| FormatError::damaged(at, error.to_string()))
}

fn limited(payload: &[u8], chunk: &Chunk, limit: u32) -> Result<u32, FormatError> {
    let bytes = format::unpacked_length(payload, chunk.length, chunk.at)?;
    match bytes <= limit {
        true => Ok(bytes),
        false => Err(FormatError::damaged(chunk.at, format!("a {:?} chunk of {bytes} bytes", chunk.kind))),
    }
}

/// Gives a picture of a file of version 1 the codec that it cannot but be of.
fn name_codec(picture: &mut Picture, version: u32) -> Result<(), String> {
    let named = !picture.codec.is_empty();
    match version {
        1 if named => Err("a picture names its codec, which version 1 does not".to_owned()),
        1 => {
            FIRST_CODEC.clone_into(&mut picture.codec);
            Ok(())
        }
        _ if named && picture.codec.len() <= MAX_CODEC_NAME => Ok(()),
        _ => Err(format!("a picture names no codec by up to {MAX_CODEC_NAME} letters")),
    }
}

/// What can be said of a picture without looking at others.
fn check(picture: &Picture, index: usize, nal_units: usize) -> Result<(), String> {
    let most = nvkernel_sys::video::PICTURE_PLACES;
    if picture.nal_units as usize > nal_units {
        return Err(format!("nal_units is {}, there are {nal_units}", picture.nal_units));
    }
    if let Some(Wait::Picture(other)) =
        picture.waits.iter().find(|w| matches!(w, Wait::Picture(other) if *other as usize >= index))
    {
        return Err(format!("it waits for picture {other}, which does not come before it"));
    }
    if picture.motion.len() > MAX_MOVED {
        return Err(format!("{} slots of motion vectors are moved for it", picture.motion.len()));
    }
    if picture.methods.len() > 64 || picture.places.len() > most {
        return Err(format!("{} methods and {} places", picture.methods.len(), picture.places.len()));
    }
    for (i, method) in picture.methods.iter().enumerate() {
        if picture.methods[..i].iter().any(|m| m.method == method.method) {
            return Err(format!("method {:#x} is there twice", method.method));
        }
    }
    for (i, (place, _)) in picture.places.iter().enumerate() {
        if usize::from(*place) >= most || picture.places[..i].iter().any(|(known, _)| known == place) {
            return Err(format!("place {place} is there twice, or is none of {most}"));
        }
    }
    Ok(())
}

/// Whether the blobs of a picture are there, and as large as they may be.
fn check_blobs(picture: &Picture, blobs: &[Stored]) -> Result<(), String> {
    for method in &picture.methods {
        if let Pointee::Data { blob, bytes } = method.to {
            let name = nvkernel_sys::video::method_name(method.method);
            match blobs.get(blob as usize) {
                None => return Err(format!("blob {blob} of {name} does not come before it")),
                Some(found) if found.bytes > bytes || bytes > format::MAX_PAYLOAD => {
                    return Err(format!("{name} points at {bytes} bytes, its blob has {}", found.bytes));
                }
                Some(_) => {}
            }
        }
    }
    if let Some(hashes) = &picture.hashes {
        let planes = hashes.md5.len();
        let (columns, rows) = picture.surface.blocks();
        let expected = u64::from(columns) * u64::from(rows) * 4 * planes as u64;
        match blobs.get(hashes.blocks as usize) {
            Some(found) if u64::from(found.bytes) == expected && (1..=3).contains(&planes) => {}
            _ => return Err(format!("blob {} does not hold the checksums of its blocks", hashes.blocks)),
        }
    }
    Ok(())
}

/// Writes a capture.
pub struct CaptureWriter<W> {
    chunks: ChunkWriter<W>,
    /// Blobs by MD5 and length: what is the same is stored once.
    known: HashMap<([u8; 16], usize), u32>,
    done: Done,
}

impl<W: Write> CaptureWriter<W> {
    /// Begins a capture.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn new(out: W, head: &Head) -> std::io::Result<Self> {
        let mut chunks = ChunkWriter::new(out)?;
        chunks.chunk(HEAD, &to_json(head))?;
        Ok(CaptureWriter { chunks, known: HashMap::new(), done: Done::default() })
    }

    /// Adds a NAL unit.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn nal_unit(&mut self, nal: &[u8]) -> std::io::Result<()> {
        self.chunks.chunk(NALU, &format::pack(nal))?;
        self.done.nal_units += 1;
        Ok(())
    }

    /// NAL units so far.
    pub fn nal_units(&self) -> u32 {
        self.done.nal_units
    }

    /// Pictures so far.
    pub fn pictures(&self) -> u32 {
        self.done.pictures
    }

    /// Adds bytes, or finds them, and gives their number.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn blob(&mut self, data: &[u8]) -> std::io::Result<u32> {
        let key = (Md5::digest(data).into(), data.len());
        if let Some(&number) = self.known.get(&key) {
            return Ok(number);
        }
        self.chunks.chunk(BLOB, &format::pack(data))?;
        let number = self.done.blobs;
        self.done.blobs += 1;
        self.known.insert(key, number);
        Ok(number)
    }

    /// Adds what a method points at; zeros at its end take no room.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn data(&mut self, data: &[u8]) -> std::io::Result<Pointee> {
        let length = data.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        Ok(Pointee::Data { blob: self.blob(&data[..length])?, bytes: data.len() as u32 })
    }

    /// Adds a picture.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn picture(&mut self, picture: &Picture) -> std::io::Result<()> {
        self.chunks.chunk(PICT, &format::pack(&to_json(picture)))?;
        self.done.pictures += 1;
        Ok(())
    }

    /// Ends the capture; `ended_by` says why the recording did not reach the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn finish(mut self, ended_by: Option<String>) -> std::io::Result<W> {
        let done = Done { ended_by, md5: self.chunks.md5(), ..self.done };
        self.chunks.chunk(DONE, &to_json(&done))?;
        self.chunks.finish()
    }
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("string keys only")
}
