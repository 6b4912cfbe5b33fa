//! The payload of a NAL unit (RBSP, 7.3.1) and emulation prevention (7.4.1).

use memchr::memchr_iter;

/// The payload of a NAL unit with emulation prevention removed, remembering where it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rbsp {
    bytes: Vec<u8>,
    /// For each byte removed: the index in `bytes` of the byte that followed it.
    removed: Vec<usize>,
}

impl Rbsp {
    /// Un-escapes `payload`, the bytes after the NAL unit header.
    pub fn new(payload: &[u8]) -> Self {
        let mut rbsp = Self::default();
        rbsp.assign(payload, usize::MAX);
        rbsp
    }

    /// Un-escapes the first `limit` bytes of `payload` into this buffer, reusing its memory; all with `usize::MAX`.
    pub fn assign(&mut self, payload: &[u8], limit: usize) {
        self.bytes.clear();
        self.removed.clear();
        let payload = &payload[..payload.len().min(limit)];
        // Copy whole runs between emulation prevention bytes. To search for the three alone needs no preparation, which
        // would take longer than the search through a slice header. Zeros before an earlier three do not count.
        let mut copied = 0;
        for three in memchr_iter(3, payload) {
            let run = &payload[copied..three];
            if run.ends_with(&[0, 0]) {
                self.bytes.extend_from_slice(run);
                self.removed.push(self.bytes.len());
                copied = three + 1;
            }
        }
        self.bytes.extend_from_slice(&payload[copied..]);
    }

    /// The bytes of the RBSP.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// For each `emulation_prevention_three_byte`, the RBSP offset of the byte that followed it.
    #[inline]
    pub fn emulation_prevention_positions(&self) -> &[usize] {
        &self.removed
    }

    /// Offset in the escaped payload (bytes after the NAL unit header) of the RBSP byte at `offset`.
    #[inline]
    pub fn escaped_offset(&self, offset: usize) -> usize {
        offset + self.removed.partition_point(|&position| position <= offset)
    }

    /// Whether an `emulation_prevention_three_byte` stood between two bits of the RBSP bit range `start..end`.
    #[inline]
    pub fn has_emulation_prevention_within(&self, start: usize, end: usize) -> bool {
        let first = self.removed.partition_point(|&position| position * 8 <= start);
        self.removed.get(first).is_some_and(|&position| position * 8 < end)
    }
}

/// Inserts `emulation_prevention_three_byte` into an RBSP (7.4.1): the inverse of [`Rbsp::new`].
///
/// An RBSP ends with `rbsp_trailing_bits()` and hence not with a zero byte; for one that does, the three-byte
/// `0x000003` the standard asks for (`cabac_zero_words`) is appended.
pub fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len() + rbsp.len() / 64);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros == 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    if rbsp.last() == Some(&0) {
        out.push(3);
    }
    out
}
