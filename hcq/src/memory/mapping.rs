//! [`Mapping`]: device-visible memory as this process sees it.

use memmap2::MmapRaw;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Memory that a device reads and writes at any time, mapped into this process.
///
/// It is never a Rust reference: bytes are copied in and out, and single aligned words are accessed as
/// device registers are. Every access is bounds-checked and panics outside the mapping, since offsets are
/// computed by this crate and never come from a stream.
#[derive(Debug)]
pub struct Mapping {
    map: MmapRaw,
    /// What the resource manager calls the mapping: a bus address, not one of this process.
    linear: u64,
}

impl Mapping {
    pub(crate) fn new(map: MmapRaw, linear: u64) -> Self {
        Mapping { map, linear }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether the mapping has no bytes; a mapping never has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn raw(&self) -> &MmapRaw {
        &self.map
    }

    /// The name by which the resource manager undoes the mapping (`pLinearAddress`).
    pub(crate) fn linear(&self) -> u64 {
        self.linear
    }

    /// The address of `length` bytes at `offset`, checked.
    fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= self.len()),
            "{length} bytes at {offset} lie outside a mapping of {}",
            self.len()
        );
        self.map.as_mut_ptr().wrapping_add(offset)
    }

    /// Copies `data` to `offset`.
    pub fn copy_in(&self, offset: usize, data: &[u8]) {
        let to = self.at(offset, data.len());
        // SAFETY: `to` points at `data.len()` mapped bytes (checked by `at`) that no Rust reference covers;
        // `data` is ordinary memory and cannot overlap a mapping of a device file.
        unsafe { to.copy_from_nonoverlapping(data.as_ptr(), data.len()) }
    }

    /// Copies bytes from `offset` to `data`.
    pub fn copy_out(&self, offset: usize, data: &mut [u8]) {
        let from = self.at(offset, data.len());
        // SAFETY: `from` points at `data.len()` mapped bytes (checked by `at`); `data` is exclusive. A device
        // that writes meanwhile makes the bytes stale, which every value of `u8` can be.
        unsafe { from.copy_to_nonoverlapping(data.as_mut_ptr(), data.len()) }
    }

    /// Sets `length` bytes at `offset` to `value`.
    pub fn fill(&self, offset: usize, length: usize, value: u8) {
        let to = self.at(offset, length);
        // SAFETY: `to` points at `length` mapped bytes (checked by `at`) that no Rust reference covers.
        unsafe { to.write_bytes(value, length) }
    }

    /// Reads the 32-bit word at `offset` with acquire order: what the device wrote before it is visible.
    pub fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes the 32-bit word at `offset` with release order.
    pub fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }

    /// Reads the 64-bit word at `offset` in one load, with acquire order.
    pub fn load_u64(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8), "64-bit word at unaligned offset {offset}");
        let at = self.at(offset, 8).cast::<u64>();
        // SAFETY: as in `word`.
        unsafe { AtomicU64::from_ptr(at) }.load(Ordering::Acquire)
    }

    /// Reads the 64 bytes at `offset`, a multiple of 64, after everything that was loaded before.
    ///
    /// Each load from GPU memory is a round trip over the bus of about a microsecond, however wide it is (measured on an
    /// H200: non-temporal loads are not put together either). So the widest that there is takes it: all 64 bytes, or 32.
    pub fn load_line(&self, offset: usize) -> [u8; 64] {
        assert!(offset.is_multiple_of(64), "line at unaligned offset {offset}");
        let at = self.at(offset, 64);
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                // SAFETY: `at` points at 64 mapped bytes (checked by `at`) on a line of their own, which no Rust
                // reference covers; the instructions are there.
                return unsafe { load_64(at) };
            }
            if std::arch::is_x86_feature_detected!("avx") {
                // SAFETY: as above.
                return unsafe { load_32_twice(at) };
            }
        }
        let mut line = [0; 64];
        for (i, word) in line.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&self.load_u64(offset + 8 * i).to_ne_bytes());
        }
        line
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "word at unaligned offset {offset}");
        let at = self.at(offset, 4).cast::<u32>();
        // SAFETY: mapped, aligned (mappings start on a page), and only ever accessed atomically or by byte
        // copies; the reference does not outlive `self`.
        unsafe { AtomicU32::from_ptr(at) }
    }
}

/// Reads a line at once.
///
/// # Safety
///
/// `line` is aligned to 64 bytes and readable, and the processor has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn load_64(line: *const u8) -> [u8; 64] {
    use std::arch::x86_64::{_mm_lfence, _mm512_load_si512, _mm512_storeu_si512};
    let mut bytes = [0u8; 64];
    // Write-combined memory may be read ahead of the loads before, and nobody takes such a read back.
    _mm_lfence();
    // SAFETY: the caller vouches for the line; `bytes` is as long.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), _mm512_load_si512(line.cast())) };
    bytes
}

/// Reads a line in two halves.
///
/// # Safety
///
/// `line` is aligned to 64 bytes and readable, and the processor has AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn load_32_twice(line: *const u8) -> [u8; 64] {
    use std::arch::x86_64::{__m256i, _mm_lfence, _mm256_load_si256, _mm256_storeu_si256};
    let mut bytes = [0u8; 64];
    // As in `load_64`.
    _mm_lfence();
    for i in 0..2 {
        // SAFETY: the caller vouches for the line; `bytes` is as long.
        unsafe {
            let half = _mm256_load_si256(line.cast::<__m256i>().add(i));
            _mm256_storeu_si256(bytes.as_mut_ptr().cast::<__m256i>().add(i), half);
        }
    }
    bytes
}
