//! Copies between ordinary memory and memory that others access meanwhile: devices, and other threads.
//!
//! A plain copy would be a data race in Rust's memory model wherever two threads use the same bytes of a mapping. So
//! every byte of a mapping is read and written either by inline assembly, whose accesses stand for relaxed atomic ones,
//! or by atomics. What overlaps in time may be seen torn, as with any memory that a device writes.

/// From so many bytes on the processor's own string instructions are used. Below that they are no faster, and they may pass
/// by the lines that were fetched to be written.
#[cfg(target_arch = "x86_64")]
const STRING: usize = 8192;

/// Copies `length` bytes; the two ranges do not overlap.
///
/// # Safety
///
/// `from` is readable and `to` is writable for `length` bytes, and no Rust reference covers the one of them that lies
/// in a mapping. The other one is not accessed by anyone else meanwhile.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
    use std::arch::asm;
    // SAFETY: each instruction accesses bytes of the two ranges alone, for which the caller vouches: the last of each
    // kind ends where the range does, and overlaps those before.
    unsafe {
        if length >= STRING {
            asm!("rep movsb", inout("rcx") length => _, inout("rdi") to => _, inout("rsi") from => _,
                options(nostack, preserves_flags));
        } else if length >= 64 {
            asm!(
                // 64 bytes at a time, then those up to the end, of which some were copied before.
                "2:",
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + 32]",
                "movups {d}, [{from} + 48]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + 32], {c}",
                "movups [{to} + 48], {d}",
                "add {from}, 64",
                "add {to}, 64",
                "sub {left}, 64",
                "cmp {left}, 64",
                "jae 2b",
                // What was written twice would go over the bus twice, where it is GPU memory.
                "test {left}, {left}",
                "jz 3f",
                "movups {a}, [{from} + {left} - 64]",
                "movups {b}, [{from} + {left} - 48]",
                "movups {c}, [{from} + {left} - 32]",
                "movups {d}, [{from} + {left} - 16]",
                "movups [{to} + {left} - 64], {a}",
                "movups [{to} + {left} - 48], {b}",
                "movups [{to} + {left} - 32], {c}",
                "movups [{to} + {left} - 16], {d}",
                "3:",
                from = inout(reg) from => _, to = inout(reg) to => _, left = inout(reg) length => _,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack),
            );
        } else if length >= 32 {
            asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + 16]",
                "movups {c}, [{from} + {length} - 32]",
                "movups {d}, [{from} + {length} - 16]",
                "movups [{to}], {a}",
                "movups [{to} + 16], {b}",
                "movups [{to} + {length} - 32], {c}",
                "movups [{to} + {length} - 16], {d}",
                from = in(reg) from, to = in(reg) to, length = in(reg) length,
                a = out(xmm_reg) _, b = out(xmm_reg) _, c = out(xmm_reg) _, d = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        } else if length >= 16 {
            asm!(
                "movups {a}, [{from}]",
                "movups {b}, [{from} + {length} - 16]",
                "movups [{to}], {a}",
                "movups [{to} + {length} - 16], {b}",
                from = in(reg) from, to = in(reg) to, length = in(reg) length,
                a = out(xmm_reg) _, b = out(xmm_reg) _,
                options(nostack, preserves_flags),
            );
        } else if length >= 8 {
            asm!(
                "mov {a}, [{from}]",
                "mov {b}, [{from} + {length} - 8]",
                "mov [{to}], {a}",
                "mov [{to} + {length} - 8], {b}",
                from = in(reg) from, to = in(reg) to, length = in(reg) length, a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            );
        } else if length >= 4 {
            asm!(
                "mov {a:e}, [{from}]",
                "mov {b:e}, [{from} + {length} - 4]",
                "mov [{to}], {a:e}",
                "mov [{to} + {length} - 4], {b:e}",
                from = in(reg) from, to = in(reg) to, length = in(reg) length, a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            );
        } else {
            for at in 0..length {
                asm!("mov {a}, [{from}]", "mov [{to}], {a}", from = in(reg) from.add(at), to = in(reg) to.add(at),
                    a = out(reg_byte) _, options(nostack, preserves_flags));
            }
        }
    }
}

/// Sets `length` bytes to `value`.
///
/// # Safety
///
/// `to` is writable for `length` bytes of a mapping that no Rust reference covers.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn fill(to: *mut u8, length: usize, value: u8) {
    use std::arch::asm;
    let words = [value; 16];
    // SAFETY: the accesses lie in the range, for which the caller vouches, and in `words`.
    unsafe {
        if length >= STRING {
            asm!("rep stosb", inout("rcx") length => _, inout("rdi") to => _, in("al") value,
                options(nostack, preserves_flags));
        } else if length >= 16 {
            asm!(
                "movups {a}, [{words}]",
                "2:",
                "movups [{to}], {a}",
                "add {to}, 16",
                "cmp {to}, {last}",
                "jb 2b",
                "movups [{last}], {a}",
                words = in(reg) words.as_ptr(), to = inout(reg) to => _, last = in(reg) to.add(length - 16),
                a = out(xmm_reg) _,
                options(nostack),
            );
        } else {
            copy(words.as_ptr(), to, length);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use words::{copy, fill};

/// The same by atomics, for every processor.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words {
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

    /// Bytes up to the next multiple of 8 from `at`, of `length`.
    fn head(at: usize, length: usize) -> usize {
        (at.wrapping_neg() % 8).min(length)
    }

    /// See above. Words are aligned on the side of `to` where they cannot be on both; the other side is read or written
    /// byte by byte then.
    ///
    /// # Safety
    ///
    /// As above.
    pub(in crate::mapping) unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
        let head = head(to as usize, length);
        let words = (length - head) / 8;
        let aligned = (from as usize).wrapping_add(head).is_multiple_of(8);
        // SAFETY: the caller vouches for both ranges. Atomic loads from ordinary memory, and stores to it, are as good
        // as plain ones.
        unsafe {
            let byte = |at: usize| AtomicU8::from_ptr(from.add(at).cast_mut()).load(Relaxed);
            let set = |at: usize| AtomicU8::from_ptr(to.add(at)).store(byte(at), Relaxed);
            (0..head).for_each(set);
            for at in (head..head + 8 * words).step_by(8) {
                let word = match aligned {
                    true => AtomicU64::from_ptr(from.add(at).cast_mut().cast()).load(Relaxed),
                    false => u64::from_ne_bytes(std::array::from_fn(|i| byte(at + i))),
                };
                AtomicU64::from_ptr(to.add(at).cast()).store(word, Relaxed);
            }
            (head + 8 * words..length).for_each(set);
        }
    }

    /// See above.
    ///
    /// # Safety
    ///
    /// As above.
    pub(in crate::mapping) unsafe fn fill(to: *mut u8, length: usize, value: u8) {
        let head = head(to as usize, length);
        let words = (length - head) / 8;
        // SAFETY: the caller vouches for the range.
        unsafe {
            let set = |at: usize| AtomicU8::from_ptr(to.add(at)).store(value, Relaxed);
            (0..head).for_each(set);
            for at in (head..head + 8 * words).step_by(8) {
                AtomicU64::from_ptr(to.add(at).cast()).store(u64::from_ne_bytes([value; 8]), Relaxed);
            }
            (head + 8 * words..length).for_each(set);
        }
    }
}

#[cfg(test)]
mod tests {
    type Copy = unsafe fn(*const u8, *mut u8, usize);
    type Fill = unsafe fn(*mut u8, usize, u8);

    /// Every length to well beyond the longest that is not left to string instructions, at every alignment of both
    /// sides: the bytes arrive, and those beside them stay.
    #[test]
    fn all_bytes_and_no_others() {
        const ROOM: usize = 32;
        let lengths = (0..300).chain([511, 512, 1000, 1023, 1024, 1025, 4099, 8191, 8192, 8193]);
        let source: Vec<u8> = (0..16384usize).map(|i| (i * 31 + i / 256) as u8 | 1).collect();
        let (copies, fills): ([Copy; 2], [Fill; 2]) =
            ([super::copy, super::words::copy], [super::fill, super::words::fill]);
        for length in lengths {
            for (from, to) in [(0, 0), (1, 0), (0, 3), (5, 7), (8, 16), (13, 9)] {
                let mut expected = vec![0u8; length + 2 * ROOM];
                for copy in copies {
                    let mut target = vec![0u8; length + 2 * ROOM];
                    // SAFETY: both vectors are longer than that.
                    unsafe { copy(source.as_ptr().add(from), target.as_mut_ptr().add(to), length) };
                    expected[to..to + length].copy_from_slice(&source[from..from + length]);
                    assert_eq!(target, expected, "{length} bytes from {from} to {to}");
                }
                expected[to..to + length].fill(0xa5);
                for fill in fills {
                    let mut target = vec![0u8; length + 2 * ROOM];
                    // SAFETY: the vector is longer than that.
                    unsafe { fill(target.as_mut_ptr().add(to), length, 0xa5) };
                    assert_eq!(target, expected, "{length} bytes at {to}");
                }
            }
        }
    }
}
