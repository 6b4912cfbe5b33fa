//! [`FileBytes`]: the bytes of a file, by their place in it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};

use super::{AT_ONCE, Bytes};

/// What is read this near to the last bytes is taken to go on from there.
const NEAR: u64 = 1 << 20;
/// Bytes that the kernel is asked for ahead: at first, and when reading has gone on for long.
const FIRST: u64 = 1 << 17;
const MOST: u64 = 1 << 23;

/// A file. It is read by place alone: descriptors that a fork has left to others have one position for all of them.
///
/// Of many files only the beginnings of packets are looked at. The kernel does not see that as reading on, so it is told what
/// comes: else each look would wait for the disk.
#[derive(Debug)]
pub(super) struct FileBytes {
    file: Arc<File>,
    /// Behind the bytes that were read last.
    last: u64,
    /// Up to where the kernel was asked for bytes.
    asked: u64,
    /// Bytes to ask for next.
    step: u64,
}

impl FileBytes {
    pub(super) fn new(file: Arc<File>) -> FileBytes {
        FileBytes { file, last: 0, asked: 0, step: FIRST }
    }

    /// What to ask for, as offset and size, if reading goes on with `size` bytes at `offset`.
    fn next(&mut self, offset: u64, size: u64) -> Option<(u64, u64)> {
        let end = offset.saturating_add(size);
        let goes_on = offset.abs_diff(self.last) <= NEAR;
        self.last = end;
        if !goes_on {
            (self.asked, self.step) = (end, FIRST);
            return None;
        }
        // While half of it is still ahead, what was asked for will do.
        if end.saturating_add(self.step / 2) < self.asked {
            return None;
        }
        let ask = (self.asked.max(offset), self.step);
        self.asked = ask.0.saturating_add(self.step);
        self.step = (self.step * 2).min(MOST);
        Some(ask)
    }
}

impl Bytes for FileBytes {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn fill(&mut self, offset: u64, size: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        if let Some((from, size)) = self.next(offset, size) {
            // It is advice: where a file system takes none, reading is slower.
            let _ = fadvise(&self.file, from, NonZeroU64::new(size), Advice::WillNeed);
        }
        // What was in the buffer is written over: to clear a large one takes time.
        let mut filled = 0;
        while (filled as u64) < size {
            let part = (size - filled as u64).min(AT_ONCE) as usize;
            buffer.resize(filled + part, 0);
            let at = offset.saturating_add(filled as u64);
            match self.file.read_at(&mut buffer[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    buffer.clear();
                    return Err(error);
                }
            }
        }
        buffer.truncate(filled);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn reads_by_place_whoever_moves_the_position() {
        let path = std::env::temp_dir().join(format!("nvdec-containers-{}", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(&(0..=255).collect::<Vec<u8>>()).unwrap();
        let mut bytes = FileBytes::new(file.try_clone().unwrap().into());
        assert_eq!(bytes.size().unwrap(), 256);
        let mut buffer = vec![7; 1000];
        bytes.fill(3, 2, &mut buffer).unwrap();
        assert_eq!(buffer, [3, 4]);
        file.write_all(&[9; 44]).unwrap();
        bytes.fill(254, 4, &mut buffer).unwrap();
        assert_eq!(buffer, [254, 255, 9, 9]);
        bytes.fill(298, 4, &mut buffer).unwrap();
        assert_eq!(buffer, [9, 9], "the file ends");
        bytes.fill(u64::MAX - 1, 4, &mut buffer).unwrap_or_default();
        assert!(buffer.is_empty());
    }

    #[test]
    fn asks_for_what_comes_once_and_not_behind_a_jump() {
        let path = std::env::current_exe().unwrap();
        let mut bytes = FileBytes::new(File::open(path).unwrap().into());
        let mut end = 0;
        // The beginnings of packets, far from each other.
        for offset in (0..64 << 20).step_by(20_000) {
            if let Some((from, size)) = bytes.next(offset, 4096) {
                assert!(
                    from <= offset + 4096 || from == end,
                    "nothing is asked for twice, and nothing left out"
                );
                end = from + size;
            }
            assert!(offset + 4096 <= end);
            assert!(end - offset <= MOST * 3 / 2 + 4096, "not more than it takes");
        }
        assert_eq!(bytes.next(1 << 40, 4096), None);
        let (from, size) = bytes.next((1 << 40) + 4096, 4096).unwrap();
        assert_eq!((from, size), ((1 << 40) + 4096, FIRST));
        assert_eq!(bytes.next(1 << 20, 4096), None, "back");
    }
}
