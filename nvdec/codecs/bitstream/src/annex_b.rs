//! NAL units of a byte stream with start codes (Annex B), whole or in pieces.

use std::iter::FusedIterator;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::error::FramingError;

/// Finds `start_code_prefix_one_3bytes`.
static START_CODE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(&[0, 0, 1]));

/// Offset of the first `start_code_prefix_one_3bytes`.
pub fn find_start_code(data: &[u8]) -> Option<usize> {
    START_CODE.find(data)
}

fn strip_trailing_zeros(nal: &[u8]) -> &[u8] {
    let end = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &nal[..end]
}

/// The NAL units of a complete Annex B byte stream, in order; made by [`split_annex_b`].
#[derive(Debug, Clone)]
pub struct AnnexB<'a> {
    data: &'a [u8],
    /// Offset of the first byte after the last start code found.
    next: Next,
    /// Called with bytes that will be searched soon.
    ahead: fn(&[u8]),
    /// End of the bytes that it was called with.
    told: usize,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    /// None was looked for yet.
    Unknown,
    At(usize),
    /// The stream is exhausted.
    None,
}

/// Bytes that are searched at a time: a page, which processors do not read ahead across.
const WINDOW: usize = 4096;
/// Bytes behind them that `ahead` was called with before.
const AHEAD: usize = 2 * WINDOW;

/// Splits a complete Annex B byte stream into NAL units.
///
/// Bytes before the first start code are skipped, as are empty NAL units. A NAL unit ends before the next start
/// code or at the end of the data; zero bytes at its end (`trailing_zero_8bits`, `zero_byte`) are not part of it.
///
/// ```
/// let stream = [0, 0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x0b, 0, 0];
/// let nals: Vec<&[u8]> = bitstream::split_annex_b(&stream).collect();
/// assert_eq!(nals, [&[0x09, 0x10][..], &[0x0b]]);
/// ```
pub fn split_annex_b(data: &[u8]) -> AnnexB<'_> {
    AnnexB { data, next: Next::Unknown, ahead: |_| {}, told: 0 }
}

impl<'a> Iterator for AnnexB<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Next::Unknown = self.next {
            self.next = self.find(0).map_or(Next::None, |found| Next::At(found + 3));
        }
        while let Next::At(start) = self.next {
            let end = self.find(start);
            self.next = end.map_or(Next::None, |end| Next::At(end + 3));
            let nal = strip_trailing_zeros(&self.data[start..end.unwrap_or(self.data.len())]);
            if !nal.is_empty() {
                return Some(nal);
            }
        }
        None
    }
}

impl FusedIterator for AnnexB<'_> {}

impl<'a> AnnexB<'a> {
    /// Calls `ahead` with the bytes that will be searched next, before it searches those in front of them. `ahead` may have
    /// them fetched from memory, which takes longer than the search.
    #[must_use]
    pub fn with_ahead(self, ahead: fn(&[u8])) -> AnnexB<'a> {
        AnnexB { ahead, ..self }
    }

    /// Offset of the first start code that begins at `from` or behind.
    fn find(&mut self, from: usize) -> Option<usize> {
        let data = self.data;
        let mut from = from;
        loop {
            let to = (from / WINDOW + 1) * WINDOW;
            if self.told < to + AHEAD {
                let begin = self.told.max(from).min(data.len());
                self.told = to + AHEAD;
                (self.ahead)(&data[begin..self.told.min(data.len())]);
            }
            // A start code may lie across the border.
            let window = &data[from..(to + 2).min(data.len())];
            if let Some(found) = START_CODE.find(window) {
                return Some(from + found);
            }
            if to >= data.len() {
                return None;
            }
            from = to;
        }
    }
}

impl AnnexB<'_> {
    /// Offset in the stream of `nal`, one of the slices this iterator returned.
    ///
    /// # Panics
    /// If `nal` does not lie inside the stream.
    pub fn offset_of(&self, nal: &[u8]) -> usize {
        let offset = (nal.as_ptr() as usize).checked_sub(self.data.as_ptr() as usize);
        offset.filter(|&offset| offset + nal.len() <= self.data.len()).expect("slice of this stream")
    }
}

/// Splits an Annex B byte stream that arrives in pieces.
///
/// [`feed`](Self::feed) a piece, take NAL units with [`next_nal`](Self::next_nal) until it returns `None`, repeat;
/// after the last piece call [`finish`](Self::finish) and take the rest. A NAL unit is complete when the start code
/// after it has been seen. The result is the same as that of [`split_annex_b`], however the stream is cut.
#[derive(Debug, Clone)]
pub struct AnnexBReader {
    buffer: Vec<u8>,
    /// Start of the NAL unit being collected; `None` before the first start code.
    nal_start: Option<usize>,
    /// Where the search for the next start code goes on.
    scan: usize,
    finished: bool,
    limit: usize,
}

impl Default for AnnexBReader {
    fn default() -> Self {
        Self::new()
    }
}

impl AnnexBReader {
    /// Bytes held at most unless [`with_limit`](Self::with_limit) says otherwise: 64 MiB.
    pub const DEFAULT_LIMIT: usize = 64 << 20;

    /// A reader with the default limit.
    pub fn new() -> Self {
        Self::with_limit(Self::DEFAULT_LIMIT)
    }

    /// A reader that holds at most `limit` bytes: the unfinished NAL unit and what was fed but not taken yet.
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: Vec::new(), nal_start: None, scan: 0, finished: false, limit }
    }

    /// Adds the next piece of the stream.
    ///
    /// # Errors
    /// [`FramingError::BufferLimit`] when more would be held than the limit. Everything held and this piece are then
    /// dropped, and reading goes on at the next start code.
    pub fn feed(&mut self, data: &[u8]) -> Result<(), FramingError> {
        if self.finished {
            *self = Self::with_limit(self.limit);
        }
        // Drop what was taken; move at most one unfinished NAL unit.
        let keep = self.nal_start.unwrap_or(self.scan);
        self.buffer.drain(..keep);
        self.scan -= keep;
        self.nal_start = self.nal_start.map(|start| start - keep);
        let buffered = self.buffer.len() + data.len();
        if buffered > self.limit {
            *self = Self::with_limit(self.limit);
            return Err(FramingError::BufferLimit { buffered, limit: self.limit });
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    /// Says that the stream has ended: what is held is the last NAL unit. A later [`feed`](Self::feed) starts anew.
    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next complete NAL unit, or `None` when more data is needed.
    pub fn next_nal(&mut self) -> Option<&[u8]> {
        let range = loop {
            match START_CODE.find(&self.buffer[self.scan..]) {
                Some(found) => {
                    let start_code = self.scan + found;
                    let previous = self.nal_start.replace(start_code + 3);
                    self.scan = start_code + 3;
                    if let Some(start) = previous {
                        let nal = strip_trailing_zeros(&self.buffer[start..start_code]);
                        if !nal.is_empty() {
                            break start..start + nal.len();
                        }
                    }
                }
                None => {
                    // A start code may begin with the last two bytes held.
                    let floor = self.nal_start.unwrap_or(0).max(self.scan);
                    self.scan = self.buffer.len().saturating_sub(2).max(floor);
                    if !self.finished {
                        return None;
                    }
                    let start = self.nal_start.take()?;
                    self.scan = self.buffer.len();
                    let nal = strip_trailing_zeros(&self.buffer[start..]);
                    if nal.is_empty() {
                        return None;
                    }
                    break start..start + nal.len();
                }
            }
        };
        Some(&self.buffer[range])
    }

    /// What is there of the NAL unit that comes next, behind its start code, once [`next_nal`](Self::next_nal) has said that
    /// more data is needed: its header may tell what it will be. Empty before the first start code. Zeros at the end
    /// may belong to the start code after it.
    pub fn unfinished(&self) -> &[u8] {
        self.nal_start.map_or(&[], |start| &self.buffer[start..])
    }

    /// Bytes held now.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.nal_start.unwrap_or(self.scan)
    }
}
