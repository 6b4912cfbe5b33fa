//! Bit ranges of command words, descriptors and methods, as tables in NVIDIA's names and `hi:lo` order.
//!
//! One [`bits!`](crate::bits!) table gives, for each field, a [`Field`] constant, the named values as `u32` constants, and a list
//! of all fields that [`dump`] prints and that tests walk.
//!
//! ```
//! use nvkernel_sys::host::sem_execute::*;
//!
//! let word = OPERATION.of(OPERATION_RELEASE) | RELEASE_TIMESTAMP.of(RELEASE_TIMESTAMP_EN);
//! assert_eq!(OPERATION.get(word), OPERATION_RELEASE);
//! assert_eq!(
//!     nvkernel_sys::bits::dump(&word.to_le_bytes(), FIELDS).nonzero().to_string(),
//!     "OPERATION = 1 (RELEASE)\nRELEASE_TIMESTAMP = 1 (EN)\n"
//! );
//! ```

mod dump;

pub use dump::{Dump, Entry, dump};

/// A run of up to 32 bits in a little-endian structure, or an array of such runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// NVIDIA's name.
    pub name: &'static str,
    /// Bytes from the start of the structure to the word that [`Field::hi`] and [`Field::lo`] count from.
    pub offset: u16,
    /// Most significant bit.
    pub hi: u8,
    /// Least significant bit.
    pub lo: u8,
    /// The value is a two's-complement number.
    pub signed: bool,
    /// Elements; 1 for a plain field.
    pub count: u16,
    /// Bits from one element to the next.
    pub stride: u16,
    /// Named values, without the field's own name.
    pub values: &'static [(&'static str, u32)],
    /// Fields that share bits with this one on purpose (the other member of a union).
    pub overlaps: &'static [&'static str],
    /// What it means.
    pub doc: &'static str,
}

/// A value that does not fit its field, or a field that does not fit its structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The value needs more bits than the field has.
    #[error("{name}[{index}]: {value} is outside {min}..={max}")]
    Range {
        /// The field.
        name: &'static str,
        /// Element of the field.
        index: usize,
        /// The value given.
        value: i64,
        /// Least value that fits.
        min: i64,
        /// Greatest value that fits.
        max: i64,
    },
    /// The field is an array with fewer elements.
    #[error("{name}[{index}]: the field has {count} elements")]
    Index {
        /// The field.
        name: &'static str,
        /// Element asked for.
        index: usize,
        /// Elements there are.
        count: u16,
    },
    /// The bytes given end before the field does.
    #[error("{name}[{index}]: bits {lo}..={hi} lie outside a structure of {size} bytes")]
    Short {
        /// The field.
        name: &'static str,
        /// Element of the field.
        index: usize,
        /// First bit of the element, from the start of the structure.
        lo: usize,
        /// Last bit of the element.
        hi: usize,
        /// Bytes given.
        size: usize,
    },
}

impl Field {
    /// A field from bit numbers that count from the start of the structure, as QMD headers give them.
    #[doc(hidden)]
    pub const fn new(name: &'static str, offset: usize, hi: usize, lo: usize) -> Self {
        assert!(hi >= lo && hi - lo < 32, "a field has 1 to 32 bits, most significant first");
        // Bits past the first word are counted from the word that holds the least significant bit.
        let skip = lo / 32 * 32;
        let offset = offset + skip / 8;
        assert!(offset <= u16::MAX as usize && hi - skip < 64);
        Self {
            name,
            offset: offset as u16,
            hi: (hi - skip) as u8,
            lo: (lo - skip) as u8,
            signed: false,
            count: 1,
            stride: 0,
            values: &[],
            overlaps: &[],
            doc: "",
        }
    }

    /// Bits of one element.
    #[inline]
    pub const fn width(self) -> u32 {
        (self.hi - self.lo) as u32 + 1
    }

    /// Least value an element holds.
    #[inline]
    pub const fn min(self) -> i64 {
        if self.signed { -(1 << (self.width() - 1)) } else { 0 }
    }

    /// Greatest value an element holds.
    #[inline]
    pub const fn max(self) -> i64 {
        if self.signed { (1 << (self.width() - 1)) - 1 } else { (1 << self.width()) - 1 }
    }

    #[inline]
    const fn mask(self) -> u32 {
        u32::MAX >> (32 - self.width())
    }

    /// The word with `value` in this field and zero elsewhere.
    ///
    /// # Panics
    ///
    /// At compile time and in debug builds, when `value` does not fit; a release build drops the excess bits.
    pub const fn of(self, value: u32) -> u32 {
        debug_assert!(self.hi < 32, "a field that crosses its word has no place in one word");
        debug_assert!(value <= self.mask(), "the value does not fit the field");
        (value & self.mask()) << self.lo
    }

    /// The value of this field in `word`, not sign-extended.
    pub const fn get(self, word: u32) -> u32 {
        (word >> self.lo) & self.mask()
    }

    /// `word` with this field replaced by `value`; see [`Field::of`].
    pub const fn set(self, word: u32, value: u32) -> u32 {
        word & !(self.mask() << self.lo) | self.of(value)
    }

    /// First bit of element `index`, from the start of the structure.
    ///
    /// # Panics
    ///
    /// When the field has no such element.
    #[inline]
    pub const fn bit(self, index: usize) -> usize {
        assert!(index < self.count as usize, "the field has no such element");
        self.offset as usize * 8 + self.lo as usize + index * self.stride as usize
    }

    /// Checks element `index` against the array and the `size` of the structure; its first bit.
    #[inline(always)]
    fn locate(self, size: usize, index: usize) -> Result<usize, FieldError> {
        // The index first: any may be asked for, and the bit of one that is not there may exceed a `usize`.
        if index < usize::from(self.count) {
            let lo = self.bit(index);
            if (lo + self.width() as usize - 1) / 8 < size {
                return Ok(lo);
            }
        }
        Err(self.misplaced(size, index))
    }

    #[cold]
    fn misplaced(self, size: usize, index: usize) -> FieldError {
        let Field { name, count, .. } = self;
        if index >= usize::from(count) {
            return FieldError::Index { name, index, count };
        }
        let lo = self.bit(index);
        FieldError::Short { name, index, lo, hi: lo + self.width() as usize - 1, size }
    }

    /// The value of element `index` in a structure.
    ///
    /// # Errors
    ///
    /// [`FieldError::Index`] and [`FieldError::Short`].
    #[inline(always)]
    pub fn read(self, structure: &[u8], index: usize) -> Result<i64, FieldError> {
        let lo = self.locate(structure.len(), index)?;
        let (first, last) = (lo / 8, (lo + self.width() as usize - 1) / 8);
        let mut raw = [0; 8];
        raw[..=last - first].copy_from_slice(&structure[first..=last]);
        let value = (u64::from_le_bytes(raw) >> (lo % 8)) as u32 & self.mask();
        let value = i64::from(value);
        Ok(if value > self.max() { value - (1 << self.width()) } else { value })
    }

    /// Stores `value` in element `index` and leaves every other bit as it is.
    ///
    /// # Errors
    ///
    /// [`FieldError`]; the structure is unchanged then.
    // Inlined where it stands: of a field that is a constant a few instructions are left.
    #[inline(always)]
    pub fn write(self, structure: &mut [u8], index: usize, value: i64) -> Result<(), FieldError> {
        let lo = self.locate(structure.len(), index)?;
        if value < self.min() || value > self.max() {
            return Err(self.misfit(index, value));
        }
        let (first, last) = (lo / 8, (lo + self.width() as usize - 1) / 8);
        let mut raw = [0; 8];
        raw[..=last - first].copy_from_slice(&structure[first..=last]);
        let mask = u64::from(self.mask()) << (lo % 8);
        let word = u64::from_le_bytes(raw) & !mask | ((value as u64) << (lo % 8)) & mask;
        structure[first..=last].copy_from_slice(&word.to_le_bytes()[..=last - first]);
        Ok(())
    }

    #[cold]
    fn misfit(self, index: usize, value: i64) -> FieldError {
        FieldError::Range { name: self.name, index, value, min: self.min(), max: self.max() }
    }

    /// The name of a value, where it has one.
    pub fn value_name(self, value: i64) -> Option<&'static str> {
        self.values.iter().find(|v| i64::from(v.1) == value).map(|v| v.0)
    }
}

/// A whole table made by [`bits!`](crate::bits!).
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Name of the module.
    pub name: &'static str,
    /// Bytes of the structure.
    pub size: usize,
    /// Every field, in the order written.
    pub fields: &'static [Field],
}

/// `name` without a leading `field` and underscore.
#[doc(hidden)]
pub const fn value_suffix(name: &'static str, field: &str) -> &'static str {
    let (whole, prefix) = (name.as_bytes(), field.as_bytes());
    assert!(
        whole.len() > prefix.len() + 1 && whole[prefix.len()] == b'_',
        "a value's name begins with its field's"
    );
    let mut i = 0;
    while i < prefix.len() {
        assert!(whole[i] == prefix[i], "a value's name begins with its field's");
        i += 1;
    }
    match name.split_at_checked(prefix.len() + 1) {
        Some((_, suffix)) => suffix,
        None => name,
    }
}

/// Declares tables of bit ranges.
///
/// ```text
/// bits! {
///     /// What the word or structure is, and the header it comes from.
///     pub mod name (SIZE bytes) {
///         /// A field: byte offset of its word, `hi:lo` in that word, named values.
///         NAME = 0x0 [2:0] { NAME_FIRST = 0, NAME_SECOND = 1 };
///         /// Bit numbers that count from the start of the structure.
///         FAR = [1055:1024];
///         /// An array: elements, and bits from one to the next; a signed value.
///         LIST[16; 16]: signed = 0x94 [15:0];
///         /// The other member of a union.
///         OTHER = 0x0 [3:0] | NAME;
///     }
/// }
/// ```
///
/// The module holds a [`Field`] and the values as `u32` for each, `FIELDS`, `SIZE` and `TABLE`.
#[macro_export]
macro_rules! bits {
    ($(
        $(#[doc = $mdoc:literal])* $vis:vis mod $module:ident ($size:literal bytes) {$(
            $(#[doc = $doc:literal])*
            $name:ident $([$count:literal; $stride:literal])? $(: $sign:ident)? =
            $($offset:literal)? [$hi:literal : $lo:literal] $(| $other:ident)*
            $({ $($(#[doc = $vdoc:literal])* $vname:ident = $value:expr),* $(,)? })?;
        )*}
    )*) => {$(
        $(#[doc = $mdoc])*
        #[allow(non_upper_case_globals, unreachable_pub)]
        $vis mod $module {
            use $crate::bits::{Field, Table};
            $(
                $(#[doc = $doc])*
                #[doc = concat!("\n\nBits ", $hi, ":", $lo, $(" of the word at byte ", $offset,)? ".")]
                pub const $name: Field = {
                    #[allow(unused_mut)]
                    let mut field = Field::new(stringify!($name), 0 $(+ $offset)?, $hi, $lo);
                    $(field.count = $count; field.stride = $stride;)?
                    $(field.signed = $crate::bits!(@sign $sign);)?
                    $(field.values =
                        &[$(($crate::bits::value_suffix(stringify!($vname), stringify!($name)), $value)),*];)?
                    field.overlaps = &[$(stringify!($other)),*];
                    field.doc = concat!($($doc,)* "").trim_ascii();
                    field
                };
                $($(
                    $(#[doc = $vdoc])*
                    #[doc = concat!("Value of [`", stringify!($name), "`].")]
                    pub const $vname: u32 = $value;
                )*)?
            )*
            /// Every field, in the order of the table.
            pub static FIELDS: &[Field] = &[$($name),*];
            /// Bytes of the whole.
            pub const SIZE: usize = $size;
            /// The table itself.
            pub static TABLE: Table = Table { name: stringify!($module), size: SIZE, fields: FIELDS };
        }
    )*};
    (@sign signed) => { true };
}

/// Every table of this crate, for tools that print and for tests.
pub static TABLES: &[&Table] = &[
    &crate::compute::qmd_v03::TABLE,
    &crate::compute::qmd_v04::TABLE,
    &crate::compute::qmd_v05::TABLE,
    &crate::compute::send_signaling_pcas2_b::TABLE,
    &crate::compute::set_report_semaphore_d::TABLE,
    &crate::compute::invalidate_shader_caches::TABLE,
    &crate::copy::launch_dma::TABLE,
    &crate::copy::set_remap_components::TABLE,
    &crate::copy::block_size::TABLE,
    &crate::copy::origin::TABLE,
    &crate::ctrl::perf_boost_flags::TABLE,
    &crate::host::gp_entry::TABLE,
    &crate::host::method_header::TABLE,
    &crate::host::mem_op_a::TABLE,
    &crate::host::mem_op_c::TABLE,
    &crate::host::mem_op_d::TABLE,
    &crate::host::sem_execute::TABLE,
    &crate::host::wfi::TABLE,
    &crate::rm::memory_attr::TABLE,
    &crate::rm::memory_attr2::TABLE,
    &crate::rm::nvos02_flags::TABLE,
    &crate::rm::nvos33_flags::TABLE,
    &crate::rm::nvos46_flags::TABLE,
    &crate::video::execute::TABLE,
    &crate::video::hevc_pic::TABLE,
    &crate::video::nvdec_status::TABLE,
    &crate::video::semaphore_d::TABLE,
    &crate::video::set_control_params::TABLE,
];

#[cfg(test)]
mod tests;
