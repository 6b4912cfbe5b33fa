//! Reading syntax elements from an RBSP (clauses 7.2 and 9.1).

use crate::error::SyntaxError;

/// Reads bits, most significant first, from a raw byte sequence payload (emulation prevention already removed).
///
/// Every reading method takes the name of the syntax element, and errors repeat it. They also repeat the place that the
/// reader was made with: a codec's own type, which names the syntax structure and the parameter set.
///
/// # Errors
/// All methods return [`SyntaxError::Truncated`] where the RBSP ends inside the element. Those that read an Exp-Golomb
/// code return [`SyntaxError::GolombTooLong`] as well, those with a limit [`SyntaxError::OutOfRange`]. The reader stays in
/// front of an element that it could not read, and behind one that is out of range.
///
/// ```
/// use bitstream::{BitReader, SyntaxError};
/// let mut reader = BitReader::new(&[0b1010_0110], "slice header");
/// assert_eq!(reader.u(1, "a")?, 1);
/// assert_eq!(reader.ue("b")?, 1); // 010
/// assert_eq!(reader.se("c")?, -1); // 011
/// # Ok::<(), SyntaxError<&str>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BitReader<'a, P> {
    data: &'a [u8],
    /// The bits to come, the next one on top. Behind the `cached` ones stand those that follow in `data`, or zeros.
    cache: u64,
    /// Bits of `cache` that were taken from `data`: whole bytes less what was read since, 63 at most.
    cached: u32,
    /// Index of the first byte that was not taken.
    taken: usize,
    place: P,
}

impl<'a, P: Copy> BitReader<'a, P> {
    /// A reader at the first bit of `data`; errors will name `place`.
    #[inline]
    pub fn new(data: &'a [u8], place: P) -> Self {
        Self { data, cache: 0, cached: 0, taken: 0, place }
    }

    /// Where errors say that they are.
    pub fn place(&self) -> P {
        self.place
    }

    /// The same, to be changed once the identifier of the parameter set is known.
    pub fn place_mut(&mut self) -> &mut P {
        &mut self.place
    }

    /// Bits read so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.taken * 8 - self.cached as usize
    }

    /// Size of the RBSP in bits.
    pub fn size(&self) -> usize {
        self.data.len() * 8
    }

    /// Bits not read yet, the trailing bits included.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.size() - self.position()
    }

    /// Index of the byte that holds the next bit.
    #[inline]
    pub fn byte_position(&self) -> usize {
        self.position() / 8
    }

    /// `byte_aligned()`: whether the next bit is the first one of a byte.
    pub fn byte_aligned(&self) -> bool {
        self.cached.is_multiple_of(8)
    }

    #[cold]
    #[inline(never)]
    fn truncated(&self, element: &'static str) -> SyntaxError<P> {
        SyntaxError::Truncated { place: self.place, element, position: self.position(), size: self.size() }
    }

    #[cold]
    #[inline(never)]
    fn out_of_range(&self, element: &'static str, value: i64, min: i64, max: i64) -> SyntaxError<P> {
        SyntaxError::OutOfRange { place: self.place, element, value, min, max }
    }

    /// Takes bytes into the cache: at least 56 bits are there then, or all that are left.
    fn refill(&mut self) {
        if let Some(bytes) = self.data.get(self.taken..).and_then(|rest| rest.first_chunk()) {
            self.cache |= u64::from_be_bytes(*bytes) >> self.cached;
            self.taken += ((63 - self.cached) / 8) as usize;
            // As many whole bytes as fit leave the number of bits in the byte begun as it is.
            self.cached |= 56;
            return;
        }
        while self.cached < 56
            && let Some(&byte) = self.data.get(self.taken)
        {
            self.cache |= u64::from(byte) << (56 - self.cached);
            self.taken += 1;
            self.cached += 8;
        }
    }

    /// Drops bits that are in the cache.
    #[inline]
    fn consume(&mut self, bits: u32) {
        self.cache <<= bits;
        self.cached -= bits;
    }

    /// `u(n)`, n from 0 to 32.
    ///
    /// # Panics
    /// If `bits` exceeds 32, which no syntax element does.
    #[inline]
    pub fn u(&mut self, bits: u32, element: &'static str) -> Result<u32, SyntaxError<P>> {
        if bits > 32 {
            too_long(bits, element);
        }
        if bits > self.cached {
            self.refill();
            if bits > self.cached {
                return Err(self.truncated(element));
            }
        }
        // In two steps, since a shift by 64 is none.
        let value = self.cache >> 1 >> (63 - bits);
        self.consume(bits);
        Ok(value as u32)
    }

    /// `u(1)` as a flag.
    #[inline]
    pub fn flag(&mut self, element: &'static str) -> Result<bool, SyntaxError<P>> {
        Ok(self.u(1, element)? != 0)
    }

    /// `u(n)`, n up to 8, as a byte.
    #[inline]
    pub fn u8(&mut self, bits: u32, element: &'static str) -> Result<u8, SyntaxError<P>> {
        debug_assert!(bits <= 8);
        Ok(self.u(bits, element)? as u8)
    }

    /// `u(n)`, n from 0 to 64: for what is kept as a pattern of bits.
    pub fn u64(&mut self, bits: u32, element: &'static str) -> Result<u64, SyntaxError<P>> {
        if self.remaining() < bits as usize {
            return Err(self.truncated(element));
        }
        let high = self.u(bits.saturating_sub(32), element)?;
        Ok(u64::from(high) << 32 | u64::from(self.u(bits.min(32), element)?))
    }

    /// `i(n)`: n bits, two's complement, n from 1 to 32.
    pub fn i(&mut self, bits: u32, element: &'static str) -> Result<i32, SyntaxError<P>> {
        let value = self.u(bits, element)?;
        Ok(if bits == 0 { 0 } else { (value << (32 - bits)) as i32 >> (32 - bits) })
    }

    /// `ue(v)`: 0 to 2^32 - 2.
    #[inline]
    pub fn ue(&mut self, element: &'static str) -> Result<u32, SyntaxError<P>> {
        // So many zero bits, the marker bit and as many bits again: 2^zeros + suffix with the marker on top.
        let length = 2 * self.cache.leading_zeros() + 1;
        if length > self.cached {
            return self.ue_beyond_cache(element);
        }
        let code = self.cache >> (64 - length);
        self.consume(length);
        Ok((code - 1) as u32)
    }

    /// [`ue`](Self::ue) of a code word that is not in the cache as a whole.
    #[inline(never)]
    fn ue_beyond_cache(&mut self, element: &'static str) -> Result<u32, SyntaxError<P>> {
        self.refill();
        let zeros = self.cache.leading_zeros();
        if zeros >= 32 {
            return Err(if self.remaining() <= 32 {
                self.truncated(element)
            } else {
                SyntaxError::GolombTooLong { place: self.place, element, position: self.position() }
            });
        }
        if self.remaining() < 2 * zeros as usize + 1 {
            return Err(self.truncated(element));
        }
        self.consume(zeros);
        Ok(self.u(zeros + 1, element)? - 1)
    }

    /// `se(v)`: -(2^31 - 1) to 2^31 - 1 (9.1.1).
    #[inline]
    pub fn se(&mut self, element: &'static str) -> Result<i32, SyntaxError<P>> {
        let code = self.ue(element)?;
        let magnitude = (code / 2 + code % 2) as i32;
        Ok(if code % 2 == 1 { magnitude } else { -magnitude })
    }

    /// `ue(v)` that must not exceed `max`.
    #[inline]
    pub fn ue_max(&mut self, max: u32, element: &'static str) -> Result<u32, SyntaxError<P>> {
        let value = self.ue(element)?;
        if value > max {
            return Err(self.out_of_range(element, i64::from(value), 0, i64::from(max)));
        }
        Ok(value)
    }

    /// `ue(v)` that must not exceed `max`, as a byte.
    #[inline]
    pub fn ue8(&mut self, max: u8, element: &'static str) -> Result<u8, SyntaxError<P>> {
        Ok(self.ue_max(u32::from(max), element)? as u8)
    }

    /// `se(v)` that must lie in `min..=max`.
    #[inline]
    pub fn se_range(&mut self, min: i32, max: i32, element: &'static str) -> Result<i32, SyntaxError<P>> {
        let value = self.se(element)?;
        self.check(element, i64::from(value), i64::from(min), i64::from(max))?;
        Ok(value)
    }

    /// `se(v)` that must lie in `min..=max`, as a signed byte.
    #[inline]
    pub fn se8(&mut self, min: i8, max: i8, element: &'static str) -> Result<i8, SyntaxError<P>> {
        Ok(self.se_range(i32::from(min), i32::from(max), element)? as i8)
    }

    /// Fails unless `value` lies in `min..=max`.
    #[inline]
    pub fn check(&self, element: &'static str, value: i64, min: i64, max: i64) -> Result<(), SyntaxError<P>> {
        if (min..=max).contains(&value) { Ok(()) } else { Err(self.out_of_range(element, value, min, max)) }
    }

    /// Skips bits.
    pub fn skip(&mut self, bits: usize, element: &'static str) -> Result<(), SyntaxError<P>> {
        if self.remaining() < bits {
            return Err(self.truncated(element));
        }
        let position = self.position() + bits;
        (self.taken, self.cache, self.cached) = (position / 8, 0, 0);
        self.refill();
        self.consume(position as u32 % 8);
        Ok(())
    }

    /// `more_rbsp_data()`: whether there is anything before the last one bit of the RBSP (7.2).
    pub fn more_rbsp_data(&self) -> bool {
        let Some(last) = self.data.iter().rposition(|&byte| byte != 0) else {
            return false;
        };
        let stop_bit = last * 8 + 7 - self.data[last].trailing_zeros() as usize;
        self.position() < stop_bit
    }

    /// A one bit, then zero bits up to the next byte: `rbsp_trailing_bits()`, and other alignment of the same
    /// form. The names are those of the two syntax elements.
    pub fn one_then_zeros(&mut self, one: &'static str, zero: &'static str) -> Result<(), SyntaxError<P>> {
        let bit = self.u(1, one)?;
        self.check(one, i64::from(bit), 1, 1)?;
        let bits = self.u(self.cached % 8, zero)?;
        self.check(zero, i64::from(bits), 0, 0)
    }
}

#[cold]
#[inline(never)]
fn too_long(bits: u32, element: &str) -> ! {
    panic!("u({bits}) for {element}: at most 32 bits");
}

/// `Ceil(Log2(n))`; 0 for n of 0 or 1.
#[inline]
pub fn ceil_log2(n: u32) -> u32 {
    if n <= 1 { 0 } else { 32 - (n - 1).leading_zeros() }
}
