//! Codecs, and what a class decodes of each.

use bitflags::bitflags;

bitflags! {
    /// Chroma sampling formats.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Chroma: u8 {
        /// 4:0:0, luma only.
        const C400 = 1;
        /// 4:2:0.
        const C420 = 2;
        /// 4:2:2.
        const C422 = 4;
        /// 4:4:4.
        const C444 = 8;
    }
}

impl Chroma {
    /// The format of an HEVC `chroma_format_idc`.
    pub fn from_chroma_format_idc(idc: u8) -> Option<Chroma> {
        [Chroma::C400, Chroma::C420, Chroma::C422, Chroma::C444].get(usize::from(idc)).copied()
    }

    /// `chroma_format_idc` of a single format; that of the first one in the set.
    pub fn chroma_format_idc(self) -> u8 {
        (0..3)
            .find(|&idc| Chroma::from_chroma_format_idc(idc).is_some_and(|one| self.contains(one)))
            .unwrap_or(3)
    }

    /// Names of the formats in the set, in the usual notation.
    pub fn names(self) -> Vec<&'static str> {
        [(Chroma::C400, "4:0:0"), (Chroma::C420, "4:2:0"), (Chroma::C422, "4:2:2"), (Chroma::C444, "4:4:4")]
            .into_iter()
            .filter(|(c, _)| self.contains(*c))
            .map(|(_, name)| name)
            .collect()
    }
}

/// A codec that some NVDEC decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Codec {
    Mpeg12,
    Mpeg4,
    Vc1,
    H264,
    Hevc,
    Vp8,
    Vp9,
    Av1,
}

impl Codec {
    /// The usual name.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Mpeg12 => "MPEG-1/2",
            Codec::Mpeg4 => "MPEG-4",
            Codec::Vc1 => "VC-1",
            Codec::H264 => "H.264",
            Codec::Hevc => "HEVC",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::Av1 => "AV1",
        }
    }
}

/// What a class decodes of one codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The codec.
    pub codec: Codec,
    /// Chroma formats.
    pub chroma: Chroma,
    /// Sample bit depths, smallest and largest.
    pub depth: (u8, u8),
    /// Smallest width and height in luma samples.
    pub min: (u32, u32),
    /// Largest width and height in luma samples.
    pub max: (u32, u32),
    /// Most 16x16 blocks in a picture.
    pub max_blocks: u32,
}
