//! Engine types (NV2080_ENGINE_TYPE, cl2080.h) and the event notifiers that belong to them.

use std::fmt;

/// What an engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EngineKind {
    /// Graphics and compute.
    Graphics,
    /// Copy.
    Copy,
    /// Copy with decompression (Blackwell).
    DecompressingCopy,
    /// Video decoding.
    Nvdec,
    /// Video encoding.
    Nvenc,
    /// JPEG decoding.
    Nvjpg,
    /// Optical flow.
    Ofa,
    /// Methods handled by software.
    Software,
    /// Anything else.
    Other,
}

impl EngineKind {
    /// NVIDIA's short name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Graphics => "GR",
            Self::Copy => "COPY",
            Self::DecompressingCopy => "COMP_DECOMP_COPY",
            Self::Nvdec => "NVDEC",
            Self::Nvenc => "NVENC",
            Self::Nvjpg => "NVJPG",
            Self::Ofa => "OFA",
            Self::Software => "SW",
            Self::Other => "ENGINE",
        }
    }
}

/// An engine of a GPU, as numbered by NV2080_ENGINE_TYPE; the numbers are the same in every supported release.
///
/// ```
/// use nvkernel_sys::engine::EngineType;
/// let engine = EngineType(0x17);
/// assert_eq!(engine.to_string(), "NVDEC4");
/// assert_eq!(engine.nvdec_instance(), Some(4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EngineType(pub u32);

/// First type, how many follow, their kind and the instance of the first.
const RANGES: &[(u32, u32, EngineKind, u32)] = &[
    (0x01, 8, EngineKind::Graphics, 0),
    (0x09, 10, EngineKind::Copy, 0),
    (0x13, 8, EngineKind::Nvdec, 0),
    (0x1b, 3, EngineKind::Nvenc, 0),
    (0x22, 1, EngineKind::Software, 0),
    (0x2b, 8, EngineKind::Nvjpg, 0),
    (0x33, 1, EngineKind::Ofa, 0),
    (0x34, 10, EngineKind::Copy, 10),
    (0x3e, 1, EngineKind::Ofa, 1),
    (0x3f, 1, EngineKind::Nvenc, 3),
    (0x40, 20, EngineKind::DecompressingCopy, 0),
];

impl EngineType {
    /// NV2080_ENGINE_TYPE_NULL.
    pub const NULL: Self = Self(0);
    /// NV2080_ENGINE_TYPE_GRAPHICS, the first graphics engine.
    pub const GR0: Self = Self(1);
    /// NV2080_ENGINE_TYPE_COPY0.
    pub const COPY0: Self = Self(0x09);
    /// NV2080_ENGINE_TYPE_NVDEC0 (BSP).
    pub const NVDEC0: Self = Self(0x13);
    /// NV2080_ENGINE_TYPE_NVENC0 (MSENC).
    pub const NVENC0: Self = Self(0x1b);
    /// NV2080_ENGINE_TYPE_SW.
    pub const SW: Self = Self(0x22);
    /// NV2080_ENGINE_TYPE_NVJPG, the first JPEG engine.
    pub const NVJPG0: Self = Self(0x2b);
    /// NV2080_ENGINE_TYPE_OFA, the first optical flow engine.
    pub const OFA0: Self = Self(0x33);

    fn range(self) -> Option<(EngineKind, u32)> {
        RANGES.iter().find_map(|&(first, count, kind, instance)| {
            let index = self.0.checked_sub(first)?;
            (index < count).then(|| (kind, instance + index))
        })
    }

    /// What the engine does.
    pub fn kind(self) -> EngineKind {
        self.range().map_or(EngineKind::Other, |r| r.0)
    }

    /// Which one of its kind, counted from 0 with the holes that a chip has; the type itself for
    /// [`EngineKind::Other`].
    pub fn instance(self) -> u32 {
        self.range().map_or(self.0, |r| r.1)
    }

    /// Instance `instance` of a kind.
    pub fn of(kind: EngineKind, instance: u32) -> Option<Self> {
        RANGES.iter().find_map(|&(first, count, k, base)| {
            let index = instance.checked_sub(base)?;
            (k == kind && index < count).then(|| Self(first + index))
        })
    }

    /// `engineInstance` of [`NV_BSP_ALLOCATION_PARAMETERS`](crate::rm::NV_BSP_ALLOCATION_PARAMETERS), for a video
    /// decoder.
    pub fn nvdec_instance(self) -> Option<u32> {
        (self.kind() == EngineKind::Nvdec).then(|| self.instance())
    }

    /// The notifier of the engine's non-stalling interrupt (NV2080_NOTIFIERS, cl2080_notification.h).
    pub fn notifier(self) -> Option<u32> {
        let instance = self.instance();
        Some(match self.kind() {
            EngineKind::Graphics if instance == 0 => notifiers::GR0,
            EngineKind::Graphics => notifiers::GR1 + instance - 1,
            EngineKind::Copy | EngineKind::DecompressingCopy if instance < 10 => notifiers::CE0 + instance,
            EngineKind::Copy | EngineKind::DecompressingCopy => notifiers::CE10 + instance - 10,
            EngineKind::Nvdec => notifiers::NVDEC0 + instance,
            EngineKind::Nvenc if instance < 3 => notifiers::NVENC0 + instance,
            EngineKind::Nvenc => notifiers::NVENC3,
            EngineKind::Nvjpg => notifiers::NVJPEG0 + instance,
            EngineKind::Ofa if instance == 0 => notifiers::OFA0,
            EngineKind::Ofa => notifiers::OFA1,
            EngineKind::Software | EngineKind::Other => return None,
        })
    }
}

impl fmt::Display for EngineType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            EngineKind::Other => write!(f, "ENGINE_{:#x}", self.0),
            EngineKind::Software => f.write_str("SW"),
            kind => write!(f, "{}{}", kind.name(), self.instance()),
        }
    }
}

/// Notifier indices (NV2080_NOTIFIERS, cl2080_notification.h).
pub mod notifiers {
    /// First graphics engine.
    pub const GR0: u32 = 12;
    /// First video decoder; the others follow.
    pub const NVDEC0: u32 = 14;
    /// First copy engine; nine follow.
    pub const CE0: u32 = 23;
    /// Methods of any engine driven by the host.
    pub const FIFO_EVENT_MTHD: u32 = 35;
    /// A channel of the GPU has failed.
    pub const RC_ERROR: u32 = 37;
    /// First video encoder; two follow.
    pub const NVENC0: u32 = 38;
    /// First JPEG decoder; the others follow.
    pub const NVJPEG0: u32 = 126;
    /// Second graphics engine; the others follow.
    pub const GR1: u32 = 146;
    /// First optical flow engine.
    pub const OFA0: u32 = 153;
    /// Eleventh copy engine; nine follow.
    pub const CE10: u32 = 166;
    /// Second optical flow engine.
    pub const OFA1: u32 = 180;
    /// Fourth video encoder.
    pub const NVENC3: u32 = 183;
}

/// `action` of [`NV2080_CTRL_EVENT_SET_NOTIFICATION_PARAMS`](crate::ctrl::NV2080_CTRL_EVENT_SET_NOTIFICATION_PARAMS).
pub mod notification_action {
    /// No notification.
    pub const DISABLE: u32 = 0;
    /// The next one only.
    pub const SINGLE: u32 = 1;
    /// Every one.
    pub const REPEAT: u32 = 2;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_instances() {
        let names = [
            (0x01, "GR0"),
            (0x08, "GR7"),
            (0x12, "COPY9"),
            (0x13, "NVDEC0"),
            (0x1a, "NVDEC7"),
            (0x1d, "NVENC2"),
            (0x32, "NVJPG7"),
            (0x33, "OFA0"),
            (0x3d, "COPY19"),
            (0x3e, "OFA1"),
            (0x3f, "NVENC3"),
            (0x53, "COMP_DECOMP_COPY19"),
            (0x26, "ENGINE_0x26"),
        ];
        for (value, name) in names {
            assert_eq!(EngineType(value).to_string(), name);
        }
    }

    #[test]
    fn kind_and_instance_name_the_type() {
        for value in 0..0x60 {
            let engine = EngineType(value);
            if engine.kind() != EngineKind::Other {
                assert_eq!(EngineType::of(engine.kind(), engine.instance()), Some(engine));
            }
        }
        assert_eq!(EngineType::of(EngineKind::Nvdec, 8), None);
        // Types and instances may come from a damaged file.
        for value in (0..=0x60).map(|below| u32::MAX - below) {
            assert_eq!(EngineType(value).kind(), EngineKind::Other);
            assert_eq!(EngineType(value).instance(), value);
            for &(_, _, kind, _) in RANGES {
                assert_eq!(EngineType::of(kind, value), None);
            }
        }
        assert_eq!(EngineType::COPY0.nvdec_instance(), None);
    }

    #[test]
    fn notifiers_of_engines() {
        let notifier = |value: u32| EngineType(value).notifier();
        assert_eq!(notifier(0x14), Some(15));
        assert_eq!(notifier(0x02), Some(146));
        assert_eq!(notifier(0x12), Some(32));
        assert_eq!(notifier(0x34), Some(166));
        assert_eq!(notifier(0x3f), Some(183));
        assert_eq!(notifier(0x26), None);
    }
}
