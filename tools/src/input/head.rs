//! [`Head`]: the beginning of an input, by which it is told what it is.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What is there of an input to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    /// Zeros in front of `bytes`.
    pub(crate) zeros: u64,
    /// Its beginning.
    pub(crate) bytes: &'a [u8],
    /// No more than that will be shown.
    pub(crate) last: bool,
    /// The file, if the input is one.
    pub(crate) file: Option<&'a File>,
}

impl Head<'_> {
    /// Up to `length` bytes from `offset`, as far as they are there.
    pub(crate) fn at(&self, offset: u64, length: usize) -> Vec<u8> {
        let Some(file) = self.file else {
            let known = usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset..));
            return known.map_or(Vec::new(), |known| known[..known.len().min(length)].to_vec());
        };
        let size = file.metadata().map_or(0, |meta| meta.len());
        let there = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.min(there)];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) => bytes,
            Err(_) => Vec::new(),
        }
    }
}

/// Whether something is as a row of the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    No,
    /// More bytes will tell.
    Unclear,
    Yes,
}
