//! `nal_unit_type` (Table 7-1).

use std::fmt;

/// `nal_unit_type`, 0 to 63, with the names and classes of Table 7-1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NalUnitType(pub u8);

macro_rules! names {
    ($($name:ident = $value:literal, $doc:literal;)*) => {
        impl NalUnitType {
            $(#[doc = $doc] pub const $name: Self = Self($value);)*

            /// The name in Table 7-1, or what the table says of the range the value lies in.
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($value => stringify!($name),)*
                    22..=23 => "RSV_IRAP_VCL",
                    10..=15 | 24..=31 => "RSV_VCL",
                    41..=47 => "RSV_NVCL",
                    _ => "UNSPEC",
                }
            }
        }
    };
}

names! {
    TRAIL_N = 0, "Trailing picture, sub-layer non-reference.";
    TRAIL_R = 1, "Trailing picture, sub-layer reference.";
    TSA_N = 2, "Temporal sub-layer access picture, sub-layer non-reference.";
    TSA_R = 3, "Temporal sub-layer access picture, sub-layer reference.";
    STSA_N = 4, "Step-wise temporal sub-layer access picture, sub-layer non-reference.";
    STSA_R = 5, "Step-wise temporal sub-layer access picture, sub-layer reference.";
    RADL_N = 6, "Random access decodable leading picture, sub-layer non-reference.";
    RADL_R = 7, "Random access decodable leading picture, sub-layer reference.";
    RASL_N = 8, "Random access skipped leading picture, sub-layer non-reference.";
    RASL_R = 9, "Random access skipped leading picture, sub-layer reference.";
    BLA_W_LP = 16, "Broken link access picture that may have leading pictures.";
    BLA_W_RADL = 17, "Broken link access picture that may have RADL pictures only.";
    BLA_N_LP = 18, "Broken link access picture without leading pictures.";
    IDR_W_RADL = 19, "Instantaneous decoding refresh picture that may have RADL pictures.";
    IDR_N_LP = 20, "Instantaneous decoding refresh picture without leading pictures.";
    CRA_NUT = 21, "Clean random access picture.";
    VPS_NUT = 32, "Video parameter set.";
    SPS_NUT = 33, "Sequence parameter set.";
    PPS_NUT = 34, "Picture parameter set.";
    AUD_NUT = 35, "Access unit delimiter.";
    EOS_NUT = 36, "End of sequence.";
    EOB_NUT = 37, "End of bitstream.";
    FD_NUT = 38, "Filler data.";
    PREFIX_SEI_NUT = 39, "Supplemental enhancement information before the first slice of a picture.";
    SUFFIX_SEI_NUT = 40, "Supplemental enhancement information after the last slice of a picture.";
}

impl NalUnitType {
    /// Video coding layer: 0 to 31, reserved ones included.
    pub const fn is_vcl(self) -> bool {
        self.0 < 32
    }

    /// A coded slice segment of a type this edition of the standard specifies.
    pub const fn is_slice_segment(self) -> bool {
        matches!(self.0, 0..=9 | 16..=21)
    }

    /// Intra random access point: 16 to 23, reserved ones included.
    pub const fn is_irap(self) -> bool {
        matches!(self.0, 16..=23)
    }

    /// Instantaneous decoding refresh.
    pub const fn is_idr(self) -> bool {
        matches!(self.0, 19 | 20)
    }

    /// Broken link access.
    pub const fn is_bla(self) -> bool {
        matches!(self.0, 16..=18)
    }

    /// Clean random access.
    pub const fn is_cra(self) -> bool {
        self.0 == 21
    }

    /// Random access skipped leading picture.
    pub const fn is_rasl(self) -> bool {
        matches!(self.0, 8 | 9)
    }

    /// Random access decodable leading picture.
    pub const fn is_radl(self) -> bool {
        matches!(self.0, 6 | 7)
    }

    /// RASL or RADL.
    pub const fn is_leading(self) -> bool {
        matches!(self.0, 6..=9)
    }

    /// Sub-layer non-reference picture: TRAIL_N, TSA_N, STSA_N, RADL_N, RASL_N, RSV_VCL_N10, N12, N14.
    pub const fn is_sub_layer_non_reference(self) -> bool {
        self.0 <= 14 && self.0.is_multiple_of(2)
    }
}

impl fmt::Debug for NalUnitType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Display for NalUnitType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
