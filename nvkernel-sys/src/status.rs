//! Status codes of the resource manager and Xid numbers, with names.

mod codes;
mod xids;

use std::fmt;

/// A status of the resource manager (`NV_STATUS`).
///
/// ```
/// use nvkernel_sys::status::RmStatus;
/// assert_eq!(RmStatus(0x40).to_string(), "NV_ERR_INVALID_STATE (0x40)");
/// assert!(RmStatus::NV_WARN_NOTHING_TO_DO.is_warning());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RmStatus(pub u32);

impl RmStatus {
    /// Success.
    pub const fn is_ok(self) -> bool {
        self.0 == Self::NV_OK.0
    }

    /// The call succeeded, with a remark (`NV_WARN_*`).
    pub const fn is_warning(self) -> bool {
        self.0 >> 16 == 1
    }

    /// The call failed.
    pub const fn is_err(self) -> bool {
        !self.is_ok() && !self.is_warning()
    }

    /// `Ok` for success and for warnings.
    ///
    /// # Errors
    ///
    /// The status itself when it is an error.
    pub const fn ok(self) -> Result<(), Self> {
        if self.is_err() { Err(self) } else { Ok(()) }
    }

    fn entry(self) -> Option<&'static (u32, &'static str, &'static str)> {
        codes::CODES.iter().find(|c| c.0 == self.0)
    }

    /// NVIDIA's name, or `"NV_ERR_?"`.
    pub fn name(self) -> &'static str {
        self.entry().map_or("NV_ERR_?", |c| c.1)
    }

    /// What it means in the calls that this crate knows, where that is not plain from the name.
    pub fn meaning(self) -> Option<&'static str> {
        self.entry().map(|c| c.2).filter(|m| !m.is_empty())
    }
}

impl fmt::Display for RmStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.name(), self.0)
    }
}

impl From<u32> for RmStatus {
    fn from(status: u32) -> Self {
        Self(status)
    }
}

/// What a channel's error notifier says: `info32` of slot 0, which is the number that the kernel log calls Xid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Xid(pub u32);

impl Xid {
    /// NVIDIA's name in nverror.h, or `"?"`.
    pub fn name(self) -> &'static str {
        xids::XIDS.iter().find(|x| x.0 == self.0).map_or("?", |x| x.1)
    }

    /// The Xid of a fault in NVDEC `instance` (68, 83, 84, 88, 89, 96, 97, 98).
    pub const fn of_nvdec(instance: u32) -> Option<Self> {
        const NVDEC: [u32; 8] = [68, 83, 84, 88, 89, 96, 97, 98];
        if instance < 8 { Some(Self(NVDEC[instance as usize])) } else { None }
    }

    /// What happened, for the numbers that a channel of ours can meet.
    pub fn meaning(self) -> Option<&'static str> {
        Some(match self.0 {
            13 => "graphics or compute exception: a shader fault or an illegal method",
            31 => "MMU fault: the engine used an address that is not mapped",
            32 => "PBDMA error: a bad ring entry or method header",
            39..=41 | 70..=72 | 75..=77 | 85 | 126..=135 => "copy engine fault",
            43 => "the channel was stopped or reset",
            44 => "fault during a context switch",
            45 => "the channel was removed: its process died or a sibling failed",
            48 => "double-bit ECC error",
            68 | 83 | 84 | 88 | 89 | 96..=98 => "video decoder fault",
            69 => "illegal value in a graphics or compute class",
            79 => "the GPU has fallen off the bus",
            94 => "contained ECC error",
            95 => "uncontained ECC error",
            109 => "context switch timed out",
            119 => "the GSP did not answer in time",
            120 => "the GSP failed",
            154 => "the GPU needs recovery",
            _ => return None,
        })
    }

    /// The whole client is useless afterwards, not just the channel.
    pub const fn is_fatal_to_gpu(self) -> bool {
        matches!(self.0, 48 | 79 | 95 | 119 | 120 | 154)
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Xid {} ({})", self.0, self.name())?;
        self.meaning().map_or(Ok(()), |m| write!(f, ": {m}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        assert!(RmStatus::NV_OK.is_ok() && RmStatus::NV_OK.ok().is_ok());
        assert_eq!(RmStatus(0x3a).name(), "NV_ERR_INVALID_PARAM_STRUCT");
        assert_eq!(RmStatus(0xffff).ok(), Err(RmStatus::NV_ERR_GENERIC));
        assert_eq!(RmStatus(0x1_0006), RmStatus::NV_WARN_NOTHING_TO_DO);
        assert!(RmStatus(0x1_0006).ok().is_ok());
        assert_eq!(RmStatus(0xdead).to_string(), "NV_ERR_? (0xdead)");
        for (i, a) in codes::CODES.iter().enumerate() {
            assert!(codes::CODES[i + 1..].iter().all(|b| a.0 != b.0), "{}", a.1);
        }
    }

    #[test]
    fn xids() {
        assert_eq!(Xid(31).name(), "ROBUST_CHANNEL_FIFO_ERROR_MMU_ERR_FLT");
        for instance in 0..8 {
            let name = format!("ROBUST_CHANNEL_NVDEC{instance}_ERROR");
            assert_eq!(Xid::of_nvdec(instance).unwrap().name(), name);
        }
        assert_eq!(Xid::of_nvdec(8), None);
        assert!(Xid(79).is_fatal_to_gpu() && !Xid(31).is_fatal_to_gpu());
        assert!(xids::XIDS.windows(2).all(|w| w[0].0 < w[1].0));
    }
}
