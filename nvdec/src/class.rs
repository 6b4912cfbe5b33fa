//! [`VideoClass`]: what each generation of NVDEC decodes, and what it needs to do so.
//!
//! The resource manager has no query for codecs; the table stands in for one. Limits are those of NVIDIA's
//! application note and of its library where no row says otherwise; a row that was never run on hardware says
//! so with `proven: false`.

use bitflags::bitflags;
use nvkernel_sys::class;

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

/// How much scratch an engine is given for HEVC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScratchSizes {
    /// As NVIDIA's own driver was seen to reserve on Ada.
    Traced,
    /// What the engine was seen to touch on hardware, a tenth of that.
    Measured,
}

/// One row: a class of NVDEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoClass {
    /// Class number.
    pub class: u32,
    /// GPU generation.
    pub generation: &'static str,
    /// How large the filter buffer is.
    pub scratch: ScratchSizes,
    /// Whether the engine keeps application and control word from picture to picture.
    pub keeps_control: bool,
    /// Whether the class needs `SET_INTRA_TOP_BUF_OFFSET`.
    pub intra_top: bool,
    /// Bytes of the further scratch that method 0x4dc points at, 0 where the class has none.
    pub scratch_4dc: u64,
    /// Value of the descriptor word 0x11c, behind the public struct.
    pub word_11c: u32,
    /// What it decodes.
    pub capabilities: &'static [Capability],
    /// Which sizes and divisions of HEVC pictures it decodes right.
    pub shapes: Shapes,
    /// Whether this project has decoded pictures with the class on hardware.
    pub proven: bool,
}

/// What engines can do that are not the hardware of their class. Engines in software declare it where they are attached
/// ([`hcq::KernelInterface::engine_limits`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// What messages call the engines, so that nobody takes their limits for the hardware's.
    pub name: &'static str,
    /// Codecs that they decode, each with its chroma formats, as far as the class has them.
    pub codecs: &'static [(Codec, Chroma)],
    /// Whether they have the tools of HEVC's `sps_range_extension()` and `pps_range_extension()`.
    pub range_extensions: bool,
    /// Sizes and divisions of HEVC pictures that they decode right: all, if they go by the standard.
    pub shapes: Shapes,
}

impl EngineLimits {
    /// The chroma formats of `codec`; none if it is not decoded at all.
    pub fn chroma(&self, codec: Codec) -> Chroma {
        self.codecs.iter().find(|(known, _)| *known == codec).map_or(Chroma::empty(), |(_, chroma)| *chroma)
    }

    /// The row of `class` with the shapes of these engines in place of the hardware's.
    pub fn shaped(&self, class: &VideoClass) -> VideoClass {
        VideoClass { shapes: self.shapes, ..*class }
    }
}

/// Sizes of HEVC pictures, of their coding tree blocks and tiles. Beyond what it can do an engine writes wrong samples
/// and reports success, so that nothing but a limit here keeps them from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shapes {
    /// NVIDIA's library draws the line at the capability's `min`, and nobody looked below.
    Library,
    /// As measured on hardware: columns, of the picture or of its tiles, are wider than 64 samples, unless one
    /// 64x64 coding tree block is the whole picture; and a picture of smaller coding tree blocks has two rows
    /// of them.
    Over64,
    /// All, down to 8x8, and tiles with wavefronts, which no profile of version 1 or 2 has (A.3.2 to A.3.5). No hardware.
    All,
}

impl Shapes {
    /// Columns up to this many luma samples come out wrong with [`Over64`](Self::Over64).
    pub(crate) const NARROW: u32 = 64;
}

impl VideoClass {
    /// The row of `class`, if it is one of the table.
    pub fn find(class: u32) -> Option<&'static VideoClass> {
        VIDEO_CLASSES.iter().find(|row| row.class == class)
    }

    /// What the class decodes of `codec`.
    pub fn capability(&self, codec: Codec) -> Option<&'static Capability> {
        self.capabilities.iter().find(|c| c.codec == codec)
    }
}

const fn cap(
    codec: Codec,
    chroma: Chroma,
    depth: u8,
    min: (u32, u32),
    max: u32,
    max_blocks: u32,
) -> Capability {
    Capability { codec, chroma, depth: (8, depth), min, max: (max, max), max_blocks }
}

const C420_444: Chroma = Chroma::C420.union(Chroma::C444);
const C420_422_444: Chroma = C420_444.union(Chroma::C422);

const MPEG12: Capability = cap(Codec::Mpeg12, Chroma::C420, 8, (48, 16), 4080, 65_280);
const MPEG4: Capability = cap(Codec::Mpeg4, Chroma::C420, 8, (48, 16), 2048, 8_192);
const VC1: Capability = cap(Codec::Vc1, Chroma::C420, 8, (48, 16), 2048, 8_192);
const H264: Capability = cap(Codec::H264, Chroma::C420, 8, (48, 16), 4096, 65_536);
const H264_HIGH10_422: Capability =
    cap(Codec::H264, Chroma::C420.union(Chroma::C422), 10, (48, 16), 8192, 262_144);
const VP8: Capability = cap(Codec::Vp8, Chroma::C420, 8, (48, 16), 4096, 65_536);
const VP9: Capability = cap(Codec::Vp9, Chroma::C420, 12, (128, 128), 8192, 262_144);
const AV1: Capability = cap(Codec::Av1, Chroma::C420, 10, (128, 128), 8192, 262_144);
const HEVC: Capability = cap(Codec::Hevc, C420_444, 12, (144, 144), 8192, 262_144);
const HEVC_422: Capability = cap(Codec::Hevc, C420_422_444, 12, (144, 144), 8192, 262_144);

const TURING: &[Capability] = &[HEVC, H264, VP9, VP8, MPEG12, MPEG4, VC1];
/// The smallest size, in coding blocks of 8, by the rule of [`Shapes::Over64`].
const HOPPER_HEVC: Capability = Capability { min: (72, 24), ..HEVC };
const HOPPER: &[Capability] = &[HOPPER_HEVC, H264, VP9, VP8, MPEG12, MPEG4, VC1];
const AMPERE: &[Capability] = &[HEVC, AV1, H264, VP9, VP8, MPEG12, MPEG4, VC1];
const BLACKWELL: &[Capability] = &[HEVC_422, AV1, H264_HIGH10_422, VP9, VP8, MPEG12, MPEG4, VC1];

const ROW: VideoClass = VideoClass {
    class: 0,
    generation: "",
    scratch: ScratchSizes::Traced,
    keeps_control: false,
    intra_top: true,
    scratch_4dc: 0,
    word_11c: 0,
    capabilities: TURING,
    shapes: Shapes::Library,
    proven: false,
};
/// Blackwell firmware reads a word behind the public descriptor.
const ROW_BLACKWELL: VideoClass =
    VideoClass { scratch_4dc: 2 << 20, word_11c: 0x10, capabilities: BLACKWELL, ..ROW };

/// The classes that are known, newest first.
pub const VIDEO_CLASSES: &[VideoClass] = &[
    VideoClass { class: class::NVD1B0_VIDEO_DECODER, generation: "Blackwell (GB20B)", ..ROW_BLACKWELL },
    VideoClass { class: class::NVCFB0_VIDEO_DECODER, generation: "Blackwell (GB20x)", ..ROW_BLACKWELL },
    VideoClass { class: class::NVCEB0_VIDEO_DECODER, generation: "Blackwell (GB10B)", ..ROW_BLACKWELL },
    VideoClass { class: class::NVCDB0_VIDEO_DECODER, generation: "Blackwell (GB100)", ..ROW_BLACKWELL },
    VideoClass { class: class::NVC9B0_VIDEO_DECODER, generation: "Ada", capabilities: AMPERE, ..ROW },
    VideoClass {
        class: class::NVC7B0_VIDEO_DECODER,
        generation: "Ampere (GA10x)",
        capabilities: AMPERE,
        ..ROW
    },
    // The number is out of order: Hopper carries an engine of the Turing line.
    VideoClass {
        class: class::NVB8B0_VIDEO_DECODER,
        generation: "Hopper",
        scratch: ScratchSizes::Measured,
        keeps_control: true,
        intra_top: false,
        capabilities: HOPPER,
        shapes: Shapes::Over64,
        proven: true,
        ..ROW
    },
    VideoClass { class: class::NVC6B0_VIDEO_DECODER, generation: "Ampere (GA100)", intra_top: false, ..ROW },
    VideoClass { class: class::NVC4B0_VIDEO_DECODER, generation: "Turing", intra_top: false, ..ROW },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_decode_hevc() {
        for (i, row) in VIDEO_CLASSES.iter().enumerate() {
            assert!(VIDEO_CLASSES[..i].iter().all(|other| other.class != row.class));
            let hevc = row.capability(Codec::Hevc).expect("every class of the table decodes HEVC");
            assert!(hevc.chroma.contains(Chroma::C420) && hevc.depth == (8, 12));
        }
    }
}
