//! The container of a capture: magic, version, and chunks with a checksum each. `docs/nvcap.md` describes it.

use std::io::{self, Read, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder};
use md5::{Digest, Md5};

/// First bytes of a capture. The first one is no text, the last ones show a transfer that changes line ends.
pub const MAGIC: [u8; 8] = *b"\x89NVCAP\r\n";
/// Version of the format that is written, a little-endian word behind [`MAGIC`].
pub const VERSION: u32 = 2;
/// The oldest version that is read.
pub const OLDEST_VERSION: u32 = 1;
/// Bytes before the first chunk.
pub const START: u64 = 12;
/// Bytes around a payload: type and length before it, checksum behind it.
pub const FRAME: u64 = 12;
/// Most bytes of a payload.
pub const MAX_PAYLOAD: u32 = 136 << 20;
/// Bytes before the data of a packed payload: method of compression and length.
const PACKED_HEADER: usize = 8;
/// A packed payload unfolds to at most so many times its stored data, and [`UNFOLD_FREE`] bytes.
const UNFOLD_FACTOR: u64 = 64;
const UNFOLD_FREE: u64 = 4096;
/// Data above this length are stored as they are: they are slice data, which no longer compress.
const COMPRESS_UP_TO: usize = 64 << 10;
const PIECE: usize = 64 << 10;

/// Why bytes are not a capture, or not a whole one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It begins with something else.
    #[error("this is no capture: it does not begin with the magic number")]
    NoCapture,
    /// It is of a later version.
    #[error(
        "version {0} of the format is not known, only {OLDEST_VERSION} to {VERSION}: a newer nvdec-replay reads it"
    )]
    Version(u32),
    /// It is cut, flipped or made up.
    #[error("damaged at byte {at}: {what}")]
    Damaged {
        /// Offset in the file.
        at: u64,
        /// What is wrong there.
        what: String,
    },
}

impl FormatError {
    pub(crate) fn damaged(at: u64, what: impl Into<String>) -> FormatError {
        FormatError::Damaged { at, what: what.into() }
    }
}

/// What a capture is read from.
pub trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// Type of a chunk: four ASCII letters. A reader may pass over a type that it does not know if the first
/// letter is a small one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkType(pub [u8; 4]);

/// What recorded the capture, and on what: JSON. First.
pub const HEAD: ChunkType = ChunkType(*b"HEAD");
/// A NAL unit that is no slice segment, packed.
pub const NALU: ChunkType = ChunkType(*b"NALU");
/// Bytes that pictures point at, packed.
pub const BLOB: ChunkType = ChunkType(*b"BLOB");
/// A picture: JSON, packed.
pub const PICT: ChunkType = ChunkType(*b"PICT");
/// Counts and MD5 of everything before: JSON. Last.
pub const DONE: ChunkType = ChunkType(*b"DONE");

impl ChunkType {
    /// Whether a reader that does not know the type may go on.
    pub fn is_skippable(self) -> bool {
        self.0[0].is_ascii_lowercase()
    }

    /// Most bytes of a payload that is not passed over.
    fn limit(self) -> u32 {
        match self {
            HEAD | DONE => 64 << 10,
            PICT => 256 << 10,
            NALU => 2 << 20,
            _ => MAX_PAYLOAD,
        }
    }
}

impl std::fmt::Debug for ChunkType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A chunk as it lies in the file. Its checksum was right when it was read.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// Type.
    pub kind: ChunkType,
    /// Offset of the payload.
    pub at: u64,
    /// Bytes of the payload.
    pub length: u32,
    /// Checksum over type, length and payload.
    pub crc: u32,
}

/// Reads a capture from chunk to chunk.
pub struct ChunkReader<'a> {
    source: &'a mut dyn Source,
    size: u64,
    version: u32,
    at: u64,
    /// Over everything up to `at`.
    md5: Md5,
}

impl<'a> ChunkReader<'a> {
    /// Looks at magic and version.
    ///
    /// # Errors
    ///
    /// [`FormatError`].
    pub fn new(source: &'a mut dyn Source) -> Result<Self, FormatError> {
        let size = source.seek(SeekFrom::End(0))?;
        source.seek(SeekFrom::Start(0))?;
        let mut start = [0; START as usize];
        match source.read_exact(&mut start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(FormatError::NoCapture),
            other => other?,
        }
        if start[..8] != MAGIC {
            return Err(FormatError::NoCapture);
        }
        let version = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(FormatError::Version(version));
        }
        Ok(ChunkReader { source, size, version, at: START, md5: Md5::new().chain_update(start) })
    }

    /// Version of the format.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Offset of the next chunk.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// MD5 of everything before the next chunk.
    pub fn md5(&self) -> String {
        hex(&self.md5.clone().finalize())
    }

    /// The next chunk, or `None` at the end of the file. Its payload comes along unless it is a [`BLOB`] or
    /// is passed over.
    ///
    /// # Errors
    ///
    /// [`FormatError`].
    pub fn next_chunk(&mut self) -> Result<Option<(Chunk, Vec<u8>)>, FormatError> {
        let begin = self.at;
        let left = self.size - begin;
        if left == 0 {
            return Ok(None);
        }
        if left < FRAME {
            return Err(FormatError::damaged(begin, "the file ends in the middle of a chunk"));
        }
        let mut head = [0; 8];
        self.source.read_exact(&mut head)?;
        let kind = ChunkType([head[0], head[1], head[2], head[3]]);
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if !kind.0.iter().all(u8::is_ascii_alphabetic) {
            return Err(FormatError::damaged(begin, "no chunk begins here"));
        }
        if length > kind.limit() {
            return Err(FormatError::damaged(begin, format!("a {kind:?} chunk of {length} bytes")));
        }
        if u64::from(length) > left - FRAME {
            return Err(FormatError::damaged(begin, format!("the file ends in a {kind:?} chunk")));
        }
        let keep = kind != BLOB && !kind.is_skippable();
        let mut payload = Vec::new();
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        self.md5.update(head);
        let mut piece = vec![0; PIECE.min(length as usize)];
        let mut rest = length as usize;
        while rest > 0 {
            let piece = &mut piece[..rest.min(PIECE)];
            self.source.read_exact(piece)?;
            crc.update(piece);
            self.md5.update(&piece);
            if keep {
                payload.extend_from_slice(piece);
            }
            rest -= piece.len();
        }
        let mut stored = [0; 4];
        self.source.read_exact(&mut stored)?;
        self.md5.update(stored);
        let crc = crc.finalize();
        if crc != u32::from_le_bytes(stored) {
            return Err(FormatError::damaged(begin, format!("the checksum of a {kind:?} chunk is wrong")));
        }
        self.at = begin + FRAME + u64::from(length);
        Ok(Some((Chunk { kind, at: begin + 8, length, crc }, payload)))
    }
}

/// Reads the payload of a chunk again.
///
/// # Errors
///
/// [`FormatError`]; the file may have changed.
pub fn read_payload(source: &mut dyn Source, chunk: &Chunk) -> Result<Vec<u8>, FormatError> {
    source.seek(SeekFrom::Start(chunk.at))?;
    let mut payload = Vec::new();
    source.take(chunk.length.into()).read_to_end(&mut payload)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&chunk.kind.0);
    crc.update(&chunk.length.to_le_bytes());
    crc.update(&payload);
    match crc.finalize() == chunk.crc {
        true => Ok(payload),
        false => Err(FormatError::damaged(chunk.at, "the file changed while it was read")),
    }
}

/// Length of the data in a packed payload.
///
/// # Errors
///
/// [`FormatError::Damaged`] at `at` if no such length is possible.
pub fn unpacked_length(head: &[u8], length: u32, at: u64) -> Result<u32, FormatError> {
    let Some(header) = head.get(..PACKED_HEADER) else {
        return Err(FormatError::damaged(at, "a packed chunk is too short"));
    };
    let unpacked = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let stored = u64::from(length) - PACKED_HEADER as u64;
    let possible = match header[..4] {
        [0, 0, 0, 0] => u64::from(unpacked) == stored,
        [1, 0, 0, 0] => {
            u64::from(unpacked) <= stored * UNFOLD_FACTOR + UNFOLD_FREE && unpacked <= MAX_PAYLOAD
        }
        _ => return Err(FormatError::damaged(at, "an unknown way of packing")),
    };
    match possible {
        true => Ok(unpacked),
        false => Err(FormatError::damaged(at, format!("{unpacked} bytes packed into {stored}"))),
    }
}

/// The data of a packed payload at offset `at` of the file.
///
/// # Errors
///
/// [`FormatError::Damaged`].
pub fn unpack(payload: &[u8], at: u64) -> Result<Vec<u8>, FormatError> {
    let length = unpacked_length(payload, payload.len() as u32, at)?;
    let stored = &payload[PACKED_HEADER..];
    if payload[0] == 0 {
        return Ok(stored.to_vec());
    }
    let mut data = Vec::new();
    // One byte more than there should be shows that there are more.
    let unfolded = DeflateDecoder::new(stored).take(u64::from(length) + 1).read_to_end(&mut data);
    match unfolded {
        Ok(found) if found == length as usize => Ok(data),
        Ok(_) => Err(FormatError::damaged(at, format!("packed data are not of {length} bytes"))),
        Err(error) => Err(FormatError::damaged(at, format!("packed data do not unfold: {error}"))),
    }
}

/// A payload that holds `data`, compressed where that makes it smaller.
pub fn pack(data: &[u8]) -> Vec<u8> {
    let header = |method: u8| {
        let mut payload = vec![method, 0, 0, 0];
        payload.extend_from_slice(&(data.len() as u32).to_le_bytes());
        payload
    };
    if data.len() <= COMPRESS_UP_TO {
        let mut payload = header(1);
        DeflateEncoder::new(data, Compression::default())
            .read_to_end(&mut payload)
            .expect("memory to memory");
        let stored = (payload.len() - PACKED_HEADER) as u64;
        if stored < data.len() as u64 && data.len() as u64 <= stored * UNFOLD_FACTOR + UNFOLD_FREE {
            return payload;
        }
    }
    let mut payload = header(0);
    payload.extend_from_slice(data);
    payload
}

/// Writes chunks.
pub struct ChunkWriter<W> {
    out: W,
    md5: Md5,
}

impl<W: Write> ChunkWriter<W> {
    /// Writes magic and version.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = ChunkWriter { out, md5: Md5::new() };
        writer.put(&MAGIC)?;
        writer.put(&VERSION.to_le_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.md5.update(bytes);
        self.out.write_all(bytes)
    }

    /// Writes a chunk.
    ///
    /// # Errors
    ///
    /// Those of the writer, and `InvalidInput` for a payload that no reader would take.
    pub fn chunk(&mut self, kind: ChunkType, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).ok().filter(|&length| length <= kind.limit());
        let Some(length) = length else {
            let what = format!("a {kind:?} chunk of {} bytes is more than the format allows", payload.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&kind.0);
        crc.update(&length.to_le_bytes());
        crc.update(payload);
        self.put(&kind.0)?;
        self.put(&length.to_le_bytes())?;
        self.put(payload)?;
        self.put(&crc.finalize().to_le_bytes())
    }

    /// MD5 of everything written.
    pub fn md5(&self) -> String {
        hex(&self.md5.clone().finalize())
    }

    /// The writer, flushed.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
