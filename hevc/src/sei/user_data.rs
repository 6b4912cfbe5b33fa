//! Messages whose payload others define.

use bitstream::SyntaxError;

use crate::error::{Error, Place, Structure};

/// `itu_t_t35_country_code` of the United States.
const UNITED_STATES: u8 = 0xb5;
/// ATSC A/53 Part 4, 6.2.3: provider, `user_identifier` "GA94", `user_data_type_code` 3 for `cc_data()`.
const ATSC_CC_DATA: [u8; 8] = [UNITED_STATES, 0x00, 0x31, b'G', b'A', b'9', b'4', 0x03];
/// CTA-861, SMPTE ST 2094-40: provider, `terminal_provider_oriented_code` 1, `application_identifier` 4.
const ST_2094_40: [u8; 6] = [UNITED_STATES, 0x00, 0x3c, 0x00, 0x01, 0x04];

/// `user_data_registered_itu_t_t35()` (D.2.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RegisteredUserData {
    /// The whole payload, from `itu_t_t35_country_code` on.
    pub payload: Vec<u8>,
}

/// What the payload of a registered user data message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum T35<'a> {
    /// Closed captions of ATSC A/53: `cc_count` constructs of `cc_data()`, three bytes each (CTA-708). Empty without
    /// `process_cc_data_flag`.
    Captions(&'a [u8]),
    /// HDR10+: dynamic metadata of SMPTE ST 2094-40, the whole payload from the country code on.
    Hdr10Plus(&'a [u8]),
    /// Anything else.
    Other,
}

impl RegisteredUserData {
    pub(super) fn parse(data: &[u8]) -> Result<Self, Error> {
        let value = Self { payload: data.to_vec() };
        match value.provider() {
            Some(_) => Ok(value),
            None => Err(truncated("itu_t_t35_payload_byte", data)),
        }
    }

    /// `itu_t_t35_country_code`; with the extension byte in the lower half behind 0xff.
    pub fn country(&self) -> u16 {
        match *self.payload {
            [0xff, extension, ..] => 0xff00 | u16::from(extension),
            [country, ..] => u16::from(country),
            [] => 0,
        }
    }

    /// The two bytes behind the country code. In the United States they are the provider's code; other countries may give
    /// codes of one byte.
    pub fn provider(&self) -> Option<u16> {
        let at = if self.payload.first()? == &0xff { 2 } else { 1 };
        self.payload.get(at..)?.first_chunk().map(|code| u16::from_be_bytes(*code))
    }

    /// What it is.
    pub fn kind(&self) -> T35<'_> {
        if self.payload.starts_with(&ST_2094_40) {
            return T35::Hdr10Plus(&self.payload);
        }
        match self.payload.strip_prefix(&ATSC_CC_DATA).and_then(cc_data) {
            Some(constructs) => T35::Captions(constructs),
            None => T35::Other,
        }
    }
}

/// The constructs of `cc_data()`; `None` if they are cut short.
fn cc_data(data: &[u8]) -> Option<&[u8]> {
    // process_em_data_flag, process_cc_data_flag, additional_data_flag, cc_count, em_data.
    let (&[flags, _], rest) = data.split_first_chunk()?;
    let count = if flags & 0x40 != 0 { usize::from(flags & 0x1f) } else { 0 };
    rest.get(..3 * count)
}

/// `user_data_unregistered()` (D.2.7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UnregisteredUserData {
    /// `uuid_iso_iec_11578`.
    pub uuid_iso_iec_11578: [u8; 16],
    /// `user_data_payload_byte`.
    pub payload: Vec<u8>,
}

impl UnregisteredUserData {
    pub(super) fn parse(data: &[u8]) -> Result<Self, Error> {
        let (&uuid_iso_iec_11578, payload) =
            data.split_first_chunk().ok_or_else(|| truncated("uuid_iso_iec_11578", data))?;
        Ok(Self { uuid_iso_iec_11578, payload: payload.to_vec() })
    }
}

fn truncated(element: &'static str, data: &[u8]) -> Error {
    let place = Place::new(Structure::Sei);
    SyntaxError::Truncated { place, element, position: 0, size: data.len() * 8 }.into()
}
