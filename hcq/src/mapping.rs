//! [`Mapping`]: device-visible memory as this process sees it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use memmap2::MmapRaw;

mod bytes;

/// What may be done to memory through its mapping, and through the [`DeviceBuffer`](crate::DeviceBuffer)s that are it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The host and the GPU read and write it.
    ReadWrite,
    /// They read it.
    ReadOnly,
}

/// Bytes that move between memory and a processor at a time.
pub const LINE: usize = 64;

/// Memory that a device reads and writes at any time, mapped into this process.
///
/// It is never a Rust reference, unless no device may write to it ([`Input`](crate::Input)): bytes are copied in and
/// out, and single aligned words are accessed as device registers are. Every access is bounds-checked and panics
/// outside the mapping, since offsets are computed by this crate and never come from a stream.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: MmapRaw,
    /// What the resource manager calls the mapping: a bus address, not one of this process.
    linear: u64,
    access: Access,
}

impl Mapping {
    pub(crate) fn new(map: MmapRaw, linear: u64) -> Self {
        Mapping { map, linear, access: Access::ReadWrite }
    }

    /// The mapping of memory that is used so.
    pub(crate) fn with_access(self, access: Access) -> Self {
        Mapping { access, ..self }
    }

    /// What is done to the memory.
    #[inline]
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Length in bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The name by which the resource manager undoes the mapping (`pLinearAddress`).
    pub(crate) fn linear(&self) -> u64 {
        self.linear
    }

    /// The address of `length` bytes at `offset`, checked.
    #[inline]
    fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= self.len()),
            "{length} bytes at {offset} lie outside a mapping of {}",
            self.len()
        );
        self.map.as_mut_ptr().wrapping_add(offset)
    }

    /// Copies `data` to `offset`.
    #[inline]
    pub(crate) fn copy_in(&self, offset: usize, data: &[u8]) {
        let to = self.at(offset, data.len());
        // SAFETY: `to` points at `data.len()` mapped bytes (checked by `at`) that no Rust reference covers;
        // `data` is borrowed, and cannot overlap memory that no reference covers.
        unsafe { bytes::copy(data.as_ptr(), to, data.len()) }
    }

    /// As [`copy_in`](Self::copy_in), past the caches: for what is too much to stay there until a device reads it, and
    /// would drive out what is wanted again.
    pub(crate) fn stream_in(&self, offset: usize, data: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx") {
            let to = self.at(offset, data.len());
            // SAFETY: as in `copy_in`; the instructions are there.
            return unsafe { stream(data, to) };
        }
        self.copy_in(offset, data);
    }

    /// Copies bytes from `offset` to `data`.
    pub(crate) fn copy_out(&self, offset: usize, data: &mut [u8]) {
        let from = self.at(offset, data.len());
        // SAFETY: `from` points at `data.len()` mapped bytes (checked by `at`); `data` is exclusive. A device
        // that writes meanwhile makes the bytes stale, which every value of `u8` can be.
        unsafe { bytes::copy(from, data.as_mut_ptr(), data.len()) }
    }

    /// The `length` bytes at `offset`.
    ///
    /// # Safety
    ///
    /// Nobody, devices among them, writes to them while the slice lives.
    pub(crate) unsafe fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        let from = self.at(offset, length);
        // SAFETY: mapped for as long as `self` (checked by `at`), and unchanged, as the caller promises.
        unsafe { std::slice::from_raw_parts(from, length) }
    }

    /// The `length` bytes at `offset`, to be written.
    ///
    /// # Safety
    ///
    /// Nobody else, devices among them, reads or writes them while the slice lives.
    #[expect(
        clippy::mut_from_ref,
        reason = "memory that is mapped, not owned: the caller has it exclusively"
    )]
    pub(crate) unsafe fn bytes_mut(&self, offset: usize, length: usize) -> &mut [u8] {
        let from = self.at(offset, length);
        // SAFETY: mapped for as long as `self` (checked by `at`), and exclusive, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(from, length) }
    }

    /// Sets `length` bytes at `offset` to `value`.
    pub(crate) fn fill(&self, offset: usize, length: usize, value: u8) {
        let to = self.at(offset, length);
        // SAFETY: `to` points at `length` mapped bytes (checked by `at`) that no Rust reference covers.
        unsafe { bytes::fill(to, length, value) }
    }

    /// Reads the 32-bit word at `offset` with acquire order: what the device wrote before it is visible.
    #[inline]
    pub(crate) fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes the 32-bit word at `offset` with release order.
    #[inline]
    pub(crate) fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }

    /// Reads the 64-bit word at `offset` in one load, with acquire order.
    pub(crate) fn load_u64(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8), "64-bit word at unaligned offset {offset}");
        let at = self.at(offset, 8).cast::<u64>();
        // SAFETY: as in `word`.
        unsafe { AtomicU64::from_ptr(at) }.load(Ordering::Acquire)
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "word at unaligned offset {offset}");
        let at = self.at(offset, 4).cast::<u32>();
        // SAFETY: mapped, aligned (mappings start on a page), and only ever accessed atomically, or by copies
        // that count as such (`bytes`); the reference does not outlive `self`.
        unsafe { AtomicU32::from_ptr(at) }
    }
}

/// Has the processor fetch bytes that will be read soon, of ordinary memory, to the second level of its caches: it has
/// more fetches under way there than to the first.
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: an instruction of every x86-64 processor, that changes nothing and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

impl Mapping {
    /// Has the processor fetch `length` bytes at `offset` that will be written soon.
    pub(crate) fn prefetch_to_write(&self, offset: usize, length: usize) {
        let at = self.at(offset, length);
        #[cfg(target_arch = "x86_64")]
        for line in (0..length).step_by(LINE) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: an instruction that changes nothing and cannot fault; processors without it do nothing.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.wrapping_add(line).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }
}

/// Lines that [`load_lines`] has under way at a time.
const TOGETHER: usize = 8;

/// Reads the 64 bytes at each offset, a multiple of 64, of a mapping into `to`, after everything that was loaded
/// before.
///
/// Each load from GPU memory is a round trip over the bus of about a microsecond, however wide it is. Ordinary loads,
/// and parts of a line, follow each other; non-temporal loads of different lines are under way side by side, as far as
/// the processor has buffers for them and sees them coming: eight took as long as one on an H200, with nothing in
/// between.
pub(crate) fn load_lines<'a>(mut from: impl Iterator<Item = (&'a Mapping, usize)>, to: &mut [[u8; LINE]]) {
    let load = line_loader();
    for to in to.chunks_mut(TOGETHER) {
        let mut lines: [*const u8; TOGETHER] = [std::ptr::null(); TOGETHER];
        let mut count = 0;
        for (line, (mapping, offset)) in lines[..to.len()].iter_mut().zip(from.by_ref()) {
            assert!(offset.is_multiple_of(LINE), "line at unaligned offset {offset}");
            *line = mapping.at(offset, LINE);
            count += 1;
        }
        // SAFETY: each is 64 mapped bytes (checked by `at`) on a line of their own, since mappings start on a page,
        // which no Rust reference covers, of mappings borrowed until this returns; there are no more than places in
        // `to`.
        unsafe { load(&lines[..count], to) };
    }
}

/// Reads lines.
///
/// # Safety
///
/// Each line is aligned to 64 bytes and readable, there are no more of them than places in the second argument, and the
/// processor has the instructions.
type LoadLines = unsafe fn(&[*const u8], &mut [[u8; LINE]]);

fn line_loader() -> LoadLines {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return load_64;
        }
        if is_x86_feature_detected!("avx2") {
            return load_32_twice;
        }
    }
    load_words
}

/// Reads lines word by word.
///
/// # Safety
///
/// As [`LoadLines`].
unsafe fn load_words(lines: &[*const u8], to: &mut [[u8; LINE]]) {
    for (&line, to) in lines.iter().zip(to) {
        for (i, word) in to.chunks_exact_mut(8).enumerate() {
            // SAFETY: the caller vouches for the line, which is only ever read and written as a device would.
            let value =
                unsafe { AtomicU64::from_ptr(line.cast::<u64>().add(i).cast_mut()) }.load(Ordering::Acquire);
            word.copy_from_slice(&value.to_ne_bytes());
        }
    }
}

/// Reads lines, each at once.
///
/// # Safety
///
/// As [`LoadLines`]; the processor has AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn load_64(lines: &[*const u8], to: &mut [[u8; LINE]]) {
    use std::arch::x86_64::{_mm_mfence, _mm512_storeu_si512, _mm512_stream_load_si512};
    // Holds the loads back until those before are done, and drops what an earlier read of the same lines may have left
    // in the buffers of non-temporal loads, which nobody else does when a device writes.
    _mm_mfence();
    for (&line, to) in lines.iter().zip(to) {
        // SAFETY: the caller vouches for the line; `to` is as long.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_stream_load_si512(line.cast())) };
    }
}

/// Reads lines, each in two halves.
///
/// # Safety
///
/// As [`LoadLines`]; the processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn load_32_twice(lines: &[*const u8], to: &mut [[u8; LINE]]) {
    use std::arch::x86_64::{__m256i, _mm_mfence, _mm256_storeu_si256, _mm256_stream_load_si256};
    // As in `load_64`.
    _mm_mfence();
    for (&line, to) in lines.iter().zip(to) {
        for i in 0..2 {
            // SAFETY: the caller vouches for the line; `to` is as long.
            unsafe {
                let half = _mm256_stream_load_si256(line.cast::<__m256i>().add(i));
                _mm256_storeu_si256(to.as_mut_ptr().cast::<__m256i>().add(i), half);
            }
        }
    }
}

/// Copies bytes past the caches, and waits until they are on their way to memory.
///
/// # Safety
///
/// `to` is writable for as many bytes as there are in `from`, in a mapping that no Rust reference covers; the processor
/// has AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn stream(from: &[u8], to: *mut u8) {
    use std::arch::x86_64::{__m256i, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};
    let (head, rest) = from.split_at(to.align_offset(LINE).min(from.len()));
    let (lines, tail) = rest.as_chunks::<LINE>();
    // SAFETY: the caller vouches for as many bytes as there are in `from`; the lines begin where `to` is aligned. The
    // stores of whole lines are inline assembly in the standard library, as the copies at both ends are here.
    unsafe {
        bytes::copy(head.as_ptr(), to, head.len());
        let mut at = to.add(head.len());
        for line in lines {
            let low = _mm256_loadu_si256(line.as_ptr().cast());
            let high = _mm256_loadu_si256(line[LINE / 2..].as_ptr().cast());
            _mm256_stream_si256(at.cast::<__m256i>(), low);
            _mm256_stream_si256(at.add(LINE / 2).cast::<__m256i>(), high);
            at = at.add(LINE);
        }
        bytes::copy(tail.as_ptr(), at, tail.len());
    }
    // Such stores are not in order with those that come after, of which one will be the doorbell.
    _mm_sfence();
}
