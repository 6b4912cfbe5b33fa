//! NAL units: their header and their types. How they are found in a stream is in [`bitstream`].

mod unit_type;

pub use unit_type::NalUnitType;

use bitstream::SyntaxError;

use crate::error::{Error, Place, Structure};

/// `nal_unit_header()` (7.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NalHeader {
    /// `nal_unit_type`.
    pub nal_unit_type: NalUnitType,
    /// `nuh_layer_id`; 0 is the base layer, the only one this crate decodes.
    pub nuh_layer_id: u8,
    /// `TemporalId`: `nuh_temporal_id_plus1 - 1`.
    pub temporal_id: u8,
}

impl NalHeader {
    /// Bytes of the header.
    pub const SIZE: usize = 2;

    /// Reads the header from the first two bytes of a NAL unit.
    ///
    /// # Errors
    /// [`Error::NalUnitTooShort`], or [`SyntaxError::OutOfRange`] for `forbidden_zero_bit` and `nuh_temporal_id_plus1`.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        let &[first, second, ..] = nal else {
            return Err(Error::NalUnitTooShort { length: nal.len() });
        };
        let place = Place::new(Structure::NalUnitHeader);
        if first & 0x80 != 0 {
            let element = "forbidden_zero_bit";
            return Err(SyntaxError::OutOfRange { place, element, value: 1, min: 0, max: 0 }.into());
        }
        let temporal_id_plus1 = second & 7;
        if temporal_id_plus1 == 0 {
            let element = "nuh_temporal_id_plus1";
            return Err(SyntaxError::OutOfRange { place, element, value: 0, min: 1, max: 7 }.into());
        }
        Ok(Self {
            nal_unit_type: NalUnitType(first >> 1),
            nuh_layer_id: (first & 1) << 5 | second >> 3,
            temporal_id: temporal_id_plus1 - 1,
        })
    }
}

/// A NAL unit as it stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NalUnit<'a> {
    /// The parsed header.
    pub header: NalHeader,
    /// The whole unit: two-byte header included, emulation prevention left in, no start code, no
    /// `trailing_zero_8bits`.
    pub data: &'a [u8],
}
