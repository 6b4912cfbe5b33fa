//! `profile_tier_level()` (7.3.3, Annex A).

use std::fmt;

use crate::BitReader;
use crate::error::Error;

/// The profile part of `profile_tier_level()`, general or of a sub-layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Profile {
    /// `general_profile_space`; decoders ignore streams with a value other than 0.
    pub profile_space: u8,
    /// `general_tier_flag`: `false` Main tier, `true` High tier.
    pub tier_flag: bool,
    /// `general_profile_idc`.
    pub profile_idc: u8,
    /// `general_profile_compatibility_flag[j]` is bit `31 - j`.
    pub compatibility_flags: u32,
    /// `general_progressive_source_flag`.
    pub progressive_source_flag: bool,
    /// `general_interlaced_source_flag`.
    pub interlaced_source_flag: bool,
    /// `general_non_packed_constraint_flag`.
    pub non_packed_constraint_flag: bool,
    /// `general_frame_only_constraint_flag`.
    pub frame_only_constraint_flag: bool,
    /// The 43 bits that follow and `general_inbld_flag` or its reserved bit, first bit at bit 43. For profiles 4 and
    /// above they are the constraint flags `general_max_12bit_constraint_flag` and so on.
    pub constraint_flags: u64,
}

/// Level of one sub-layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SubLayer {
    /// Profile, when `sub_layer_profile_present_flag` is set.
    pub profile: Option<Profile>,
    /// `sub_layer_level_idc`, when `sub_layer_level_present_flag` is set.
    pub level_idc: Option<u8>,
}

/// `profile_tier_level()`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProfileTierLevel {
    /// The general profile.
    pub general: Profile,
    /// `general_level_idc`: 30 times the level number.
    pub general_level_idc: u8,
    /// Sub-layers 0 to `max_sub_layers_minus1 - 1`.
    pub sub_layers: Vec<SubLayer>,
}

impl Profile {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        Ok(Self {
            profile_space: r.u8(2, "general_profile_space")?,
            tier_flag: r.flag("general_tier_flag")?,
            profile_idc: r.u8(5, "general_profile_idc")?,
            compatibility_flags: r.u(32, "general_profile_compatibility_flag")?,
            progressive_source_flag: r.flag("general_progressive_source_flag")?,
            interlaced_source_flag: r.flag("general_interlaced_source_flag")?,
            non_packed_constraint_flag: r.flag("general_non_packed_constraint_flag")?,
            frame_only_constraint_flag: r.flag("general_frame_only_constraint_flag")?,
            constraint_flags: r.u64(44, "general_reserved_zero_43bits")?,
        })
    }

    /// `general_profile_compatibility_flag[j]`.
    pub fn is_compatible_with(&self, j: u8) -> bool {
        j < 32 && self.compatibility_flags >> (31 - j) & 1 != 0
    }

    /// Constraint flag number `index` of those after `general_frame_only_constraint_flag`, from 0.
    fn constraint(&self, index: u32) -> bool {
        self.constraint_flags >> (43 - index) & 1 != 0
    }

    /// `general_max_12bit_constraint_flag`, meaningful for format range extension profiles.
    pub fn max_12bit(&self) -> bool {
        self.constraint(0)
    }

    /// `general_max_10bit_constraint_flag`.
    pub fn max_10bit(&self) -> bool {
        self.constraint(1)
    }

    /// `general_max_8bit_constraint_flag`.
    pub fn max_8bit(&self) -> bool {
        self.constraint(2)
    }

    /// `general_max_422chroma_constraint_flag`.
    pub fn max_422chroma(&self) -> bool {
        self.constraint(3)
    }

    /// `general_max_420chroma_constraint_flag`.
    pub fn max_420chroma(&self) -> bool {
        self.constraint(4)
    }

    /// `general_max_monochrome_constraint_flag`.
    pub fn max_monochrome(&self) -> bool {
        self.constraint(5)
    }

    /// `general_intra_constraint_flag`.
    pub fn intra(&self) -> bool {
        self.constraint(6)
    }

    /// `general_one_picture_only_constraint_flag`.
    pub fn one_picture_only(&self) -> bool {
        self.constraint(7)
    }

    /// `general_lower_bit_rate_constraint_flag`.
    pub fn lower_bit_rate(&self) -> bool {
        self.constraint(8)
    }

    /// The profile's family by `general_profile_idc` (A.3), `None` for values this edition does not define.
    pub fn name(&self) -> Option<&'static str> {
        // A profile_idc of 0 leaves the profile to the compatibility flags.
        let idc = match self.profile_idc {
            0 => (1..12).find(|&j| self.is_compatible_with(j))?,
            idc => idc,
        };
        Some(match idc {
            1 => "Main",
            2 if self.one_picture_only() => "Main 10 Still Picture",
            2 => "Main 10",
            3 => "Main Still Picture",
            4 => self.range_extensions_name(),
            5 => "High Throughput",
            6 => "Multiview Main",
            7 => "Scalable Main",
            8 => "3D Main",
            9 => "Screen-Extended Main",
            10 => "Scalable Range Extensions",
            11 => "High Throughput Screen-Extended",
            _ => return None,
        })
    }

    /// Table A.2.
    fn range_extensions_name(&self) -> &'static str {
        let flags = [
            self.max_12bit(),
            self.max_10bit(),
            self.max_8bit(),
            self.max_422chroma(),
            self.max_420chroma(),
            self.max_monochrome(),
            self.intra(),
            self.one_picture_only(),
        ]
        .map(u8::from);
        match flags {
            [1, 1, 1, 1, 1, 1, 0, 0] => "Monochrome",
            [1, 1, 0, 1, 1, 1, 0, 0] => "Monochrome 10",
            [1, 0, 0, 1, 1, 1, 0, 0] => "Monochrome 12",
            [0, 0, 0, 1, 1, 1, 0, 0] => "Monochrome 16",
            [1, 0, 0, 1, 1, 0, 0, 0] => "Main 12",
            [1, 1, 0, 1, 0, 0, 0, 0] => "Main 4:2:2 10",
            [1, 0, 0, 1, 0, 0, 0, 0] => "Main 4:2:2 12",
            [1, 1, 1, 0, 0, 0, 0, 0] => "Main 4:4:4",
            [1, 1, 0, 0, 0, 0, 0, 0] => "Main 4:4:4 10",
            [1, 0, 0, 0, 0, 0, 0, 0] => "Main 4:4:4 12",
            [1, 1, 1, 1, 1, 0, 1, 0] => "Main Intra",
            [1, 1, 0, 1, 1, 0, 1, 0] => "Main 10 Intra",
            [1, 0, 0, 1, 1, 0, 1, 0] => "Main 12 Intra",
            [1, 1, 0, 1, 0, 0, 1, 0] => "Main 4:2:2 10 Intra",
            [1, 0, 0, 1, 0, 0, 1, 0] => "Main 4:2:2 12 Intra",
            [1, 1, 1, 0, 0, 0, 1, 0] => "Main 4:4:4 Intra",
            [1, 1, 0, 0, 0, 0, 1, 0] => "Main 4:4:4 10 Intra",
            [1, 0, 0, 0, 0, 0, 1, 0] => "Main 4:4:4 12 Intra",
            [0, 0, 0, 0, 0, 0, 1, 0] => "Main 4:4:4 16 Intra",
            [1, 1, 1, 0, 0, 0, 1, 1] => "Main 4:4:4 Still Picture",
            [0, 0, 0, 0, 0, 0, 1, 1] => "Main 4:4:4 16 Still Picture",
            _ => "Format Range Extensions",
        }
    }
}

impl ProfileTierLevel {
    /// Reads `profile_tier_level(1, max_sub_layers_minus1)`.
    pub(crate) fn parse(r: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Result<Self, Error> {
        let general = Profile::parse(r)?;
        let general_level_idc = r.u8(8, "general_level_idc")?;
        let count = usize::from(max_sub_layers_minus1);
        let mut present = [(false, false); 8];
        for entry in &mut present[..count] {
            *entry = (r.flag("sub_layer_profile_present_flag")?, r.flag("sub_layer_level_present_flag")?);
        }
        if count > 0 {
            r.skip(2 * (8 - count), "reserved_zero_2bits")?;
        }
        let mut sub_layers = Vec::with_capacity(count);
        for &(profile_present, level_present) in &present[..count] {
            let profile = if profile_present { Some(Profile::parse(r)?) } else { None };
            let level_idc = if level_present { Some(r.u8(8, "sub_layer_level_idc")?) } else { None };
            sub_layers.push(SubLayer { profile, level_idc });
        }
        Ok(Self { general, general_level_idc, sub_layers })
    }

    /// Name of the tier: "Main" or "High".
    pub fn tier_name(&self) -> &'static str {
        if self.general.tier_flag { "High" } else { "Main" }
    }

    /// Level as major and minor number, for example (5, 1).
    pub fn level(&self) -> (u8, u8) {
        (self.general_level_idc / 30, self.general_level_idc % 30 / 3)
    }
}

/// For example `Main 10, Main tier, level 5.1`.
impl fmt::Display for ProfileTierLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.general.name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "profile {}", self.general.profile_idc)?,
        }
        let (major, minor) = self.level();
        write!(f, ", {} tier, level {major}.{minor}", self.tier_name())
    }
}
