//! How much work and memory a capture may ask for.
//!
//! A capture may come from anyone, and what it asks for need not be in it: sizes are numbers. So the work and the
//! memory are bounded by the size of the file, with an allowance for small captures; `docs/nvcap.md` has the figures. A
//! recording holds 12 bytes of checksums for 4096 luma samples of each of its pictures, unless pictures are alike, and
//! is far within them.

use std::fmt;

/// Bytes that the pictures of a capture may point at, for each byte of the file and besides.
const DATA: Limit = Limit { per_byte: 256, allowance: 64 << 20 };
/// Bytes of surfaces, motion vectors and scratch in use at one time; on the emulated GPU, whose memory is the host's.
const MEMORY: [Limit; 2] =
    [Limit { per_byte: 4096, allowance: 2 << 30 }, Limit { per_byte: 4096, allowance: 256 << 20 }];
/// Samples and bytes that a replay goes through; on the emulated GPU, which is so much slower.
const WORK: [Limit; 2] =
    [Limit { per_byte: 32 << 10, allowance: 16 << 30 }, Limit { per_byte: 1024, allowance: 256 << 20 }];
/// Bytes in use at one time in any capture, on a GPU and on the emulated one.
pub(crate) const MOST_MEMORY: [u64; 2] = [24 << 30, 4 << 30];

#[derive(Clone, Copy, Debug)]
struct Limit {
    per_byte: u64,
    allowance: u64,
}

impl Limit {
    fn of(self, size: u64) -> u64 {
        self.allowance.saturating_add(self.per_byte.saturating_mul(size))
    }
}

/// Most bytes that all pictures of a capture of `size` bytes may point at, together.
pub(crate) fn data(size: u64) -> u64 {
    DATA.of(size)
}

/// What a replay may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes in use at one time.
    pub(crate) memory: u64,
    /// Luma samples to decode, bytes to read, bytes of motion vectors to move.
    pub(crate) work: u64,
    size: u64,
}

impl Limits {
    /// Of a capture of `size` bytes. One that is trusted may take what the device has room for, and any time.
    pub(crate) fn of(size: u64, emulated: bool, trusted: bool) -> Limits {
        let device = usize::from(emulated);
        match trusted {
            true => Limits { memory: MOST_MEMORY[device], work: u64::MAX, size },
            false => Limits {
                memory: MEMORY[device].of(size).min(MOST_MEMORY[device]),
                work: WORK[device].of(size),
                size,
            },
        }
    }

    /// What is said of a capture that asks for more than `limit`.
    pub(crate) fn exceeded(&self, what: impl fmt::Display, limit: u64) -> String {
        format!(
            "{what}, the limit for a capture of {} bytes is {limit}; --trusted replays one that you recorded yourself",
            self.size
        )
    }
}
