//! [`Source`]: the bytes of a container.

mod file;

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::error::{Error, Result};
use file::FileBytes;

/// What bytes are read from.
trait Bytes: Send {
    /// How many there are.
    fn size(&mut self) -> io::Result<u64>;

    /// Has `buffer` hold what is there of the `size` bytes at `offset`, and nothing else.
    fn fill(&mut self, offset: u64, size: u64, buffer: &mut Vec<u8>) -> io::Result<()>;
}

impl<T: Read + Seek + Send> Bytes for T {
    fn size(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }

    fn fill(&mut self, offset: u64, size: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        self.seek(SeekFrom::Start(offset))?;
        buffer.reserve(usize::try_from(size.min(AT_ONCE)).unwrap_or(0));
        let mut part = self.take(size);
        while let Err(error) = part.read_to_end(buffer) {
            if error.kind() != ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Bytes that are read when a place is looked at that does not follow the last one.
const FEWEST: usize = 4096;
/// Bytes that are read at a time when places follow each other.
const MOST: usize = 1 << 18;
/// Bytes for which memory is taken before any of them is there.
const AT_ONCE: u64 = 1 << 24;

/// A source with a window: headers are looked at one by one, and lie near each other or far apart.
pub(crate) struct Source {
    reader: Box<dyn Bytes>,
    size: u64,
    window: Vec<u8>,
    /// Where the window begins.
    at: u64,
    /// Bytes that are read at a time now.
    ahead: usize,
    /// All bytes read so far.
    taken: u64,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("size", &self.size)
            .field("bytes_read", &self.taken)
            .finish_non_exhaustive()
    }
}

impl Source {
    pub(crate) fn new(reader: impl Read + Seek + Send + 'static) -> Result<Source> {
        Source::of(Box::new(reader))
    }

    /// The bytes of a file of a file system.
    pub(crate) fn of_file(file: Arc<File>) -> Result<Source> {
        Source::of(Box::new(FileBytes::new(file)))
    }

    fn of(mut reader: Box<dyn Bytes>) -> Result<Source> {
        let size = reader.size().map_err(|error| Error::Io { offset: 0, error })?;
        Ok(Source { reader, size, window: Vec::new(), at: 0, ahead: FEWEST, taken: 0 })
    }

    /// Bytes of the source.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that were read so far, those read twice counted twice.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.taken
    }

    /// Up to `length` bytes from `offset`: fewer only at the end of the source.
    pub(crate) fn peek(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        let end = self.at + self.window.len() as u64;
        let there = self.at <= offset && offset <= end;
        if !(there && end - offset >= length as u64) {
            self.ahead = if there && !self.window.is_empty() { (self.ahead * 2).min(MOST) } else { FEWEST };
            let wanted = self.size.saturating_sub(offset).min(self.ahead.max(length) as u64);
            let mut window = std::mem::take(&mut self.window);
            // One place was looked at with many bytes, the next ones need few.
            if window.capacity() > 2 * MOST && wanted <= MOST as u64 {
                window = Vec::new();
            }
            self.fill(offset, wanted, &mut window)?;
            (self.window, self.at) = (window, offset);
        }
        let from = usize::try_from(offset - self.at).unwrap_or(usize::MAX).min(self.window.len());
        let to = from.saturating_add(length).min(self.window.len());
        Ok(&self.window[from..to])
    }

    /// `N` bytes at `offset`, `None` if the source ends before.
    pub(crate) fn array<const N: usize>(&mut self, offset: u64) -> Result<Option<[u8; N]>> {
        Ok(self.peek(offset, N)?.try_into().ok())
    }

    /// The `size` bytes at `offset`, in `buffer`.
    ///
    /// # Errors
    /// [`Error::NoPacket`] if they are not all there.
    pub(crate) fn read(&mut self, offset: u64, size: u64, buffer: &mut Vec<u8>) -> Result<()> {
        let missing = Error::NoPacket { offset, size, available: self.size };
        if offset.checked_add(size).is_none_or(|end| end > self.size) {
            buffer.clear();
            return Err(missing);
        }
        self.fill(offset, size, buffer)?;
        // A source may shrink.
        if buffer.len() as u64 == size { Ok(()) } else { Err(missing) }
    }

    /// Up to `length` bytes from `from` on of the packet of `size` bytes at `offset`: fewer only at its end.
    ///
    /// # Errors
    /// [`Error::NoPacket`] if the packet is not all there.
    pub(crate) fn part(&mut self, offset: u64, size: u64, from: u64, length: usize) -> Result<&[u8]> {
        if offset.checked_add(size).is_none_or(|end| end > self.size) {
            return Err(Error::NoPacket { offset, size, available: self.size });
        }
        let length = size.saturating_sub(from).min(length as u64) as usize;
        let available = self.size;
        let bytes = self.peek(offset.saturating_add(from), length)?;
        // A source may shrink.
        if bytes.len() == length { Ok(bytes) } else { Err(Error::NoPacket { offset, size, available }) }
    }

    /// What is there of the `size` bytes at `offset`.
    fn fill(&mut self, offset: u64, size: u64, buffer: &mut Vec<u8>) -> Result<()> {
        self.reader.fill(offset, size, buffer).map_err(|error| Error::Io { offset, error })?;
        self.taken += buffer.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn source(size: usize) -> Source {
        Source::new(Cursor::new((0..size).map(|i| i as u8).collect::<Vec<_>>())).unwrap()
    }

    #[test]
    fn gives_what_is_there() {
        let mut source = source(10_000);
        assert_eq!(source.peek(9_998, 4).unwrap(), [14, 15]);
        assert!(source.peek(u64::MAX, 4).unwrap().is_empty());
        assert_eq!(source.array(258).unwrap(), Some([2, 3, 4]));
        assert_eq!(source.array::<3>(9_998).unwrap(), None);
        let mut buffer = vec![1];
        source.read(255, 2, &mut buffer).unwrap();
        assert_eq!(buffer, [255, 0]);
        let error = source.read(9_999, 2, &mut buffer).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a packet of 2 bytes at byte 9999 does not lie in a source of 10000 bytes; \
             take packets from the list of the same container"
        );
        assert!(buffer.is_empty());
    }

    #[test]
    fn reads_each_byte_once_in_order_and_little_out_of_order() {
        let mut source = source(1_000_000);
        for offset in 0..1_000_000 {
            source.peek(offset, 1).unwrap();
        }
        assert_eq!(source.bytes_read(), 1_000_000);
        for offset in (0..10).map(|i| i * 100_000) {
            source.peek(offset, 8).unwrap();
        }
        assert!(source.bytes_read() <= 1_000_000 + 10 * FEWEST as u64);
    }

    /// Gives a few bytes, is interrupted, and fails at byte 100.
    struct Failing(u64);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                100.. => Err(std::io::Error::other("gone")),
                at if at % 7 == 0 => Err(ErrorKind::Interrupted.into()),
                _ => {
                    buffer[0] = 5;
                    Ok(1)
                }
            }
        }
    }

    impl Seek for Failing {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            match to {
                SeekFrom::Start(at) => self.0 = at,
                _ => return Ok(1000),
            }
            Ok(self.0)
        }
    }

    /// Says that it is longer than it is.
    struct Shrunk(std::io::Cursor<Vec<u8>>);

    impl Read for Shrunk {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Seek for Shrunk {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            Ok(self.0.seek(to)? + if matches!(to, SeekFrom::End(_)) { 50 } else { 0 })
        }
    }

    #[test]
    fn a_part_that_is_gone_is_no_short_one() {
        let mut source = Source::new(Shrunk(Cursor::new((0..100).collect()))).unwrap();
        assert_eq!(source.part(90, 20, 4, 6).unwrap(), [94, 95, 96, 97, 98, 99]);
        assert_eq!(source.part(90, 20, 20, 6).unwrap(), []);
        assert!(matches!(source.part(90, 20, 4, 7), Err(Error::NoPacket { .. })));
        assert!(matches!(source.part(140, 20, 0, 1), Err(Error::NoPacket { .. })));
    }

    #[test]
    fn memory_for_one_large_part_does_not_stay() {
        let mut source = source(4 * MOST);
        source.part(0, 4 * MOST as u64, 1, 3 * MOST).unwrap();
        source.part(0, 4 * MOST as u64, 4 * MOST as u64 - 100, 10).unwrap();
        assert!(source.window.capacity() <= 2 * MOST);
    }

    #[test]
    fn interruptions_are_overcome_and_failures_told() {
        let mut source = Source::new(Failing(0)).unwrap();
        let mut buffer = Vec::new();
        source.read(0, 40, &mut buffer).unwrap();
        assert_eq!(buffer, [5; 40]);
        let error = source.read(90, 40, &mut buffer).unwrap_err();
        assert_eq!(error.to_string(), "reading at byte 90 failed: gone");
        assert!(source.peek(0, 4).is_err());
    }
}
