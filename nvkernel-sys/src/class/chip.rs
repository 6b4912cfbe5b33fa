//! Names of chips, from NV2080_CTRL_MC_ARCH_INFO (ctrl2080mc.h).

/// An architecture as [`NV2080_CTRL_MC_GET_ARCH_INFO_PARAMS`](crate::ctrl::NV2080_CTRL_MC_GET_ARCH_INFO_PARAMS)
/// numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChipArchitecture {
    /// `architecture`.
    pub number: u32,
    /// Marketing name of the family.
    pub family: &'static str,
    /// Start of the chips' names.
    prefix: &'static str,
    /// Known values of `implementation`, each with the end of the chip's name.
    chips: &'static [(u32, &'static str)],
}

static ARCHITECTURES: &[ChipArchitecture] = &[
    ChipArchitecture {
        number: 0x160,
        family: "Turing",
        prefix: "TU1",
        chips: &[(0, "00"), (2, "02"), (4, "04"), (6, "06"), (7, "17"), (8, "16")],
    },
    ChipArchitecture {
        number: 0x170,
        family: "Ampere",
        prefix: "GA1",
        chips: &[(0, "00"), (2, "02"), (3, "03"), (4, "04"), (6, "06"), (7, "07"), (0xb, "0B")],
    },
    ChipArchitecture { number: 0x180, family: "Hopper", prefix: "GH1", chips: &[(0, "00"), (1, "00")] },
    ChipArchitecture {
        number: 0x190,
        family: "Ada",
        prefix: "AD1",
        chips: &[(0, "00"), (1, "01"), (2, "02"), (3, "03"), (4, "04"), (6, "06"), (7, "07")],
    },
    ChipArchitecture {
        number: 0x1a0,
        family: "Blackwell",
        prefix: "GB1",
        chips: &[(0, "00"), (2, "02"), (3, "10"), (4, "12"), (0xb, "0B")],
    },
    ChipArchitecture {
        number: 0x1b0,
        family: "Blackwell",
        prefix: "GB2",
        chips: &[(0, "00"), (2, "02"), (3, "03"), (5, "05"), (6, "06"), (7, "07"), (0xb, "0B"), (0xc, "0C")],
    },
];

/// Which code chips execute: chip, and its compute capability as compilers write it (`sm_90`). Of the chips of a family
/// that are not listed, the last row with the family's name begins their name: GA102 to GA107 are sm_86. From the
/// tables of CUDA's programming guide.
static CAPABILITIES: &[(&str, u32)] = &[
    ("TU1", 75),
    ("GA100", 80),
    ("GA10B", 87),
    ("GA1", 86),
    ("AD1", 89),
    ("GH1", 90),
    ("GB100", 100),
    ("GB102", 100),
    ("GB110", 103),
    ("GB112", 103),
    ("GB10B", 110),
    ("GB20B", 121),
    ("GB2", 120),
];

/// The compute capability of a chip by its name ([`chip_name`]), such as 90 for `"GH100"`.
pub fn compute_capability(chip: &str) -> Option<u32> {
    CAPABILITIES.iter().find(|(prefix, _)| chip.starts_with(prefix)).map(|row| row.1)
}

/// The architecture with number `number`.
pub fn architecture(number: u32) -> Option<&'static ChipArchitecture> {
    ARCHITECTURES.iter().find(|a| a.number == number)
}

/// The chip's name from `architecture` and `implementation`, such as `"GH100"`; numbers where it is unknown.
pub fn chip_name(architecture: u32, implementation: u32) -> String {
    let Some(arch) = self::architecture(architecture) else {
        return format!("chip {architecture:#x}.{implementation:#x}");
    };
    match arch.chips.iter().find(|c| c.0 == implementation) {
        Some((_, end)) => format!("{}{end}", arch.prefix),
        None => format!("{}xx.{implementation:#x}", arch.prefix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(chip_name(0x180, 0), "GH100");
        assert_eq!(chip_name(0x160, 7), "TU117");
        assert_eq!(chip_name(0x160, 8), "TU116");
        assert_eq!(chip_name(0x1a0, 3), "GB110");
        assert_eq!(chip_name(0x1b0, 2), "GB202");
        assert_eq!(chip_name(0x190, 9), "AD1xx.0x9");
        let capability = |architecture, chip| compute_capability(&chip_name(architecture, chip));
        assert_eq!(capability(0x180, 0), Some(90));
        assert_eq!((capability(0x170, 0), capability(0x170, 4)), (Some(80), Some(86)));
        assert_eq!((capability(0x1b0, 2), capability(0x1b0, 0xb)), (Some(120), Some(121)));
        assert_eq!(capability(0x1c0, 0), None);
        assert_eq!(chip_name(0x1c0, 1), "chip 0x1c0.0x1");
        assert_eq!(architecture(0x180).unwrap().family, "Hopper");
    }
}
