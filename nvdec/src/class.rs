//! [`VideoClass`]: what each generation of NVDEC decodes, and what it needs to do so.
//!
//! The resource manager has no query for codecs; the table stands in for one. Limits are those of NVIDIA's
//! application note and of its library where no row says otherwise; a row that was never run on hardware says
//! so with `proven: false`. What only one codec has stands in a part of its own: [`HevcClass`].

mod codec;
mod hevc;

pub use codec::{Capability, Chroma, Codec};
pub use hevc::{HevcClass, HevcLimits, ScratchSizes, Shapes};

use nvkernel_sys::{class, video};

/// One row: a class of NVDEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoClass {
    /// Class number.
    pub class: u32,
    /// GPU generation.
    pub generation: &'static str,
    /// The class whose published header lists its methods, or at least not more than those.
    pub methods: u32,
    /// Whether the engine keeps application and control word from picture to picture.
    pub keeps_control: bool,
    /// What it decodes.
    pub capabilities: &'static [Capability],
    /// What only HEVC has.
    pub hevc: HevcClass,
    /// Whether this project has decoded pictures with the class on hardware.
    pub proven: bool,
}

/// What engines can do that are not the hardware of their class. Engines in software declare it where they are attached
/// ([`hcq::KernelInterface::engine_limits`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// What messages call the engines, so that their limits are not taken for the hardware's.
    pub name: &'static str,
    /// Codecs that they decode, each with its chroma formats, as far as the class has them.
    pub codecs: &'static [(Codec, Chroma)],
    /// What only HEVC has.
    pub hevc: HevcLimits,
}

impl EngineLimits {
    /// The chroma formats of `codec`; none if it is not decoded at all.
    pub fn chroma(&self, codec: Codec) -> Chroma {
        self.codecs.iter().find(|(known, _)| *known == codec).map_or(Chroma::empty(), |(_, chroma)| *chroma)
    }

    /// The row of `class` with the shapes of these engines in place of the hardware's.
    pub fn shaped(&self, class: &VideoClass) -> VideoClass {
        VideoClass { hevc: HevcClass { shapes: self.hevc.shapes, ..class.hevc }, ..*class }
    }
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

    /// Whether the class has a method at byte address `address`.
    pub fn has_method(&self, address: u32) -> bool {
        match video::method_name(address).method() {
            Some((method, _)) => method.since <= self.methods,
            None => address == video::UNNAMED_SCRATCH_OFFSET_4DC && self.hevc.scratch_4dc > 0,
        }
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
/// The smallest size, in coding blocks of 8, by the rule of [`Shapes::Measured`].
const HOPPER_HEVC: Capability = Capability { min: (72, 24), ..HEVC };
const HOPPER: &[Capability] = &[HOPPER_HEVC, H264, VP9, VP8, MPEG12, MPEG4, VC1];
const AMPERE: &[Capability] = &[HEVC, AV1, H264, VP9, VP8, MPEG12, MPEG4, VC1];
const BLACKWELL: &[Capability] = &[HEVC_422, AV1, H264_HIGH10_422, VP9, VP8, MPEG12, MPEG4, VC1];

const ROW: VideoClass = VideoClass {
    class: 0,
    generation: "",
    methods: class::NVC4B0_VIDEO_DECODER,
    keeps_control: false,
    capabilities: TURING,
    hevc: HevcClass {
        scratch: ScratchSizes::Traced,
        intra_top: false,
        scratch_4dc: 0,
        word_11c: 0,
        shapes: Shapes::Documented,
        unequal_depths: &[],
    },
    proven: false,
};
const ROW_AMPERE: VideoClass = VideoClass {
    methods: class::NVC7B0_VIDEO_DECODER,
    capabilities: AMPERE,
    hevc: HevcClass { intra_top: true, ..ROW.hevc },
    ..ROW
};
/// There is no header of these. Their firmware reads a word behind the public descriptor.
const ROW_BLACKWELL: VideoClass = VideoClass {
    methods: class::NVC9B0_VIDEO_DECODER,
    capabilities: BLACKWELL,
    hevc: HevcClass { scratch_4dc: 2 << 20, word_11c: 0x10, ..ROW_AMPERE.hevc },
    ..ROW
};

/// The classes that are known, newest first.
pub const VIDEO_CLASSES: &[VideoClass] = &[
    VideoClass { class: class::NVD1B0_VIDEO_DECODER, generation: "Blackwell (GB20B)", ..ROW_BLACKWELL },
    VideoClass { class: class::NVCFB0_VIDEO_DECODER, generation: "Blackwell (GB20x)", ..ROW_BLACKWELL },
    VideoClass { class: class::NVCEB0_VIDEO_DECODER, generation: "Blackwell (GB10B)", ..ROW_BLACKWELL },
    VideoClass { class: class::NVCDB0_VIDEO_DECODER, generation: "Blackwell (GB100)", ..ROW_BLACKWELL },
    VideoClass {
        class: class::NVC9B0_VIDEO_DECODER,
        generation: "Ada",
        methods: class::NVC9B0_VIDEO_DECODER,
        ..ROW_AMPERE
    },
    VideoClass { class: class::NVC7B0_VIDEO_DECODER, generation: "Ampere (GA10x)", ..ROW_AMPERE },
    // The number is out of order: Hopper carries an engine of the Turing line. There is no header of it.
    VideoClass {
        class: class::NVB8B0_VIDEO_DECODER,
        generation: "Hopper",
        keeps_control: true,
        capabilities: HOPPER,
        hevc: HevcClass {
            scratch: ScratchSizes::Measured,
            shapes: Shapes::Measured,
            unequal_depths: &[(8, 10)],
            ..ROW.hevc
        },
        proven: true,
        ..ROW
    },
    VideoClass {
        class: class::NVC6B0_VIDEO_DECODER,
        generation: "Ampere (GA100)",
        methods: class::NVC6B0_VIDEO_DECODER,
        ..ROW
    },
    // Its header is that of NVC5B0, which has no method with a `since`.
    VideoClass { class: class::NVC4B0_VIDEO_DECODER, generation: "Turing", ..ROW },
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

    #[test]
    fn classes_have_the_methods_that_they_need() {
        for row in VIDEO_CLASSES {
            for method in [video::EXECUTE, video::SET_COLOC_DATA_OFFSET, video::HEVC_SET_FILTER_BUFFER_OFFSET]
            {
                assert!(row.has_method(method), "{} {method:#x}", row.generation);
            }
            assert_eq!(
                row.has_method(video::SET_INTRA_TOP_BUF_OFFSET),
                row.hevc.intra_top,
                "{}",
                row.generation
            );
            let unnamed = row.has_method(video::UNNAMED_SCRATCH_OFFSET_4DC);
            assert_eq!(unnamed, row.hevc.scratch_4dc > 0, "{}", row.generation);
            assert!(!row.has_method(0x3fc), "{}: an address without a method", row.generation);
        }
        let of = |class, method| VideoClass::find(class).unwrap().has_method(method);
        assert!(!of(class::NVC4B0_VIDEO_DECODER, video::SET_PREDICATION_OFFSET_LOWER));
        assert!(of(class::NVC6B0_VIDEO_DECODER, video::SET_PREDICATION_OFFSET_LOWER));
        assert!(!of(class::NVC7B0_VIDEO_DECODER, video::AV1_SET_HINT_DUMP_BUF_OFFSET));
        assert!(of(class::NVC9B0_VIDEO_DECODER, video::AV1_SET_HINT_DUMP_BUF_OFFSET));
    }
}
