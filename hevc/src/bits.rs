//! Reading syntax elements from an RBSP (clauses 7.2 and 9.2).

use crate::error::{Error, Place};

/// Reads bits, most significant first, from a raw byte sequence payload (emulation prevention already removed).
///
/// Every reading method takes the name of the syntax element, which errors repeat.
///
/// ```
/// use hevc::bits::BitReader;
/// use hevc::error::{Place, Structure};
/// let mut reader = BitReader::new(&[0b1010_0110], Place::new(Structure::Rbsp));
/// assert_eq!(reader.u(1, "a")?, 1);
/// assert_eq!(reader.ue("b")?, 1); // 010
/// assert_eq!(reader.se("c")?, -1); // 011
/// # Ok::<(), hevc::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    data: &'a [u8],
    position: usize,
    place: Place,
}

impl<'a> BitReader<'a> {
    /// A reader at the first bit of `data`; errors will name `place`.
    pub fn new(data: &'a [u8], place: Place) -> Self {
        Self { data, position: 0, place }
    }

    /// The syntax structure that errors name.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Adds the parameter set identifier to what errors name.
    pub fn set_id(&mut self, id: u8) {
        self.place.id = Some(id);
    }

    /// Bits read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Size of the RBSP in bits.
    pub fn size(&self) -> usize {
        self.data.len() * 8
    }

    /// Bits not read yet, the trailing bits included.
    pub fn remaining(&self) -> usize {
        self.size() - self.position
    }

    /// Index of the byte that holds the next bit.
    pub fn byte_position(&self) -> usize {
        self.position / 8
    }

    /// `byte_aligned()`: whether the next bit is the first one of a byte.
    pub fn byte_aligned(&self) -> bool {
        self.position.is_multiple_of(8)
    }

    fn truncated(&self, element: &'static str) -> Error {
        Error::Truncated { place: self.place, element, position: self.position, size: self.size() }
    }

    /// The next 32 bits, zeros beyond the end.
    fn peek32(&self) -> u32 {
        let byte = self.position / 8;
        let window: u64 = match self.data.get(byte..byte + 8) {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().expect("slice of eight bytes")),
            None => {
                let mut padded = [0u8; 8];
                let rest = &self.data[byte.min(self.data.len())..];
                let n = rest.len().min(8);
                padded[..n].copy_from_slice(&rest[..n]);
                u64::from_be_bytes(padded)
            }
        };
        ((window << (self.position % 8)) >> 32) as u32
    }

    /// `u(n)`, n from 0 to 32.
    ///
    /// # Panics
    /// If `bits` exceeds 32, which no syntax element does.
    pub fn u(&mut self, bits: u32, element: &'static str) -> Result<u32, Error> {
        assert!(bits <= 32, "u({bits}) for {element}: at most 32 bits");
        if bits == 0 {
            return Ok(0);
        }
        if self.remaining() < bits as usize {
            return Err(self.truncated(element));
        }
        let value = self.peek32() >> (32 - bits);
        self.position += bits as usize;
        Ok(value)
    }

    /// `u(1)` as a flag.
    pub fn flag(&mut self, element: &'static str) -> Result<bool, Error> {
        Ok(self.u(1, element)? != 0)
    }

    /// `u(n)`, n up to 8, as a byte.
    pub fn u8(&mut self, bits: u32, element: &'static str) -> Result<u8, Error> {
        debug_assert!(bits <= 8);
        Ok(self.u(bits, element)? as u8)
    }

    /// `u(64)`, used by sub-structures that are kept as a bit pattern.
    pub fn u64(&mut self, bits: u32, element: &'static str) -> Result<u64, Error> {
        let high = self.u(bits.saturating_sub(32), element)?;
        Ok(u64::from(high) << 32 | u64::from(self.u(bits.min(32), element)?))
    }

    /// `i(n)`: n bits, two's complement, n from 1 to 32.
    pub fn i(&mut self, bits: u32, element: &'static str) -> Result<i32, Error> {
        let value = self.u(bits, element)?;
        Ok(if bits == 0 { 0 } else { (value << (32 - bits)) as i32 >> (32 - bits) })
    }

    /// `ue(v)`: 0 to 2^32 - 2.
    pub fn ue(&mut self, element: &'static str) -> Result<u32, Error> {
        let window = self.peek32();
        let zeros = window.leading_zeros() as usize;
        if zeros == 32 {
            return Err(if self.remaining() <= 32 {
                self.truncated(element)
            } else {
                Error::GolombTooLong { place: self.place, element, position: self.position }
            });
        }
        if self.remaining() < 2 * zeros + 1 {
            return Err(self.truncated(element));
        }
        self.position += zeros;
        // The marker bit is the top bit of the code word: 2^zeros + suffix - 1.
        let code = if zeros == 31 {
            // All 32 bits: cannot overflow, the smallest code word is 2^31.
            self.peek32()
        } else {
            self.peek32() >> (31 - zeros)
        };
        self.position += zeros + 1;
        Ok(code - 1)
    }

    /// `se(v)`: -(2^31 - 1) to 2^31 - 1 (Table 9-3).
    pub fn se(&mut self, element: &'static str) -> Result<i32, Error> {
        let code = self.ue(element)?;
        let magnitude = (code / 2 + code % 2) as i32;
        Ok(if code % 2 == 1 { magnitude } else { -magnitude })
    }

    /// `ue(v)` that must not exceed `max`.
    pub fn ue_max(&mut self, max: u32, element: &'static str) -> Result<u32, Error> {
        let value = self.ue(element)?;
        self.check(element, i64::from(value), 0, i64::from(max))?;
        Ok(value)
    }

    /// `ue(v)` that must not exceed `max`, as a byte.
    pub fn ue8(&mut self, max: u8, element: &'static str) -> Result<u8, Error> {
        Ok(self.ue_max(u32::from(max), element)? as u8)
    }

    /// `se(v)` that must lie in `min..=max`.
    pub fn se_range(&mut self, min: i32, max: i32, element: &'static str) -> Result<i32, Error> {
        let value = self.se(element)?;
        self.check(element, i64::from(value), i64::from(min), i64::from(max))?;
        Ok(value)
    }

    /// `se(v)` that must lie in `min..=max`, as a signed byte.
    pub fn se8(&mut self, min: i8, max: i8, element: &'static str) -> Result<i8, Error> {
        Ok(self.se_range(i32::from(min), i32::from(max), element)? as i8)
    }

    /// Fails unless `value` lies in `min..=max`.
    pub fn check(&self, element: &'static str, value: i64, min: i64, max: i64) -> Result<(), Error> {
        if (min..=max).contains(&value) {
            Ok(())
        } else {
            Err(Error::OutOfRange { place: self.place, element, value, min, max })
        }
    }

    /// Skips bits.
    pub fn skip(&mut self, bits: usize, element: &'static str) -> Result<(), Error> {
        if self.remaining() < bits {
            return Err(self.truncated(element));
        }
        self.position += bits;
        Ok(())
    }

    /// `more_rbsp_data()`: whether there is anything before the last one bit of the RBSP (7.2).
    pub fn more_rbsp_data(&self) -> bool {
        let Some(last) = self.data.iter().rposition(|&byte| byte != 0) else {
            return false;
        };
        let stop_bit = last * 8 + 7 - self.data[last].trailing_zeros() as usize;
        self.position < stop_bit
    }

    /// `byte_alignment()`: a one bit, then zero bits up to the next byte (7.3.2.5).
    pub fn byte_alignment(&mut self) -> Result<(), Error> {
        let one = self.u(1, "alignment_bit_equal_to_one")?;
        self.check("alignment_bit_equal_to_one", i64::from(one), 1, 1)?;
        let rest = (8 - self.position % 8) % 8;
        let zeros = self.u(rest as u32, "alignment_bit_equal_to_zero")?;
        self.check("alignment_bit_equal_to_zero", i64::from(zeros), 0, 0)
    }
}

/// `Ceil(Log2(n))`; 0 for n of 0 or 1.
pub(crate) fn ceil_log2(n: u32) -> u32 {
    if n <= 1 { 0 } else { 32 - (n - 1).leading_zeros() }
}
