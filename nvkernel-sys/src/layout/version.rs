//! Driver releases.

use std::fmt;
use std::str::FromStr;

/// A driver release such as 580.159.04 or 535.179, ordered by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DriverVersion {
    major: u16,
    minor: u16,
    patch: Option<u16>,
}

/// A string that is not a driver release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("driver release {0:?} is not of the form 580.159.04")]
pub struct VersionError(pub String);

impl DriverVersion {
    /// Release `major.minor.patch`.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch: Some(patch) }
    }

    /// Release `major.minor`, which has no third number.
    pub const fn short(major: u16, minor: u16) -> Self {
        Self { major, minor, patch: None }
    }

    /// First number, the branch.
    pub const fn major(self) -> u16 {
        self.major
    }

    /// Second number.
    pub const fn minor(self) -> u16 {
        self.minor
    }

    /// Third number.
    pub const fn patch(self) -> Option<u16> {
        self.patch
    }

    /// The release in a zero-terminated string of the kernel, as
    /// [`nv_ioctl_rm_api_version_t`](crate::ioctl::nv_ioctl_rm_api_version_t) returns it.
    ///
    /// # Errors
    ///
    /// [`VersionError`] with what was there instead.
    pub fn from_c_bytes(bytes: &[u8]) -> Result<Self, VersionError> {
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).parse()
    }
}

impl FromStr for DriverVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.chars().take(64).collect());
        let number = |part: &str| {
            let digits = (1..=5).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse::<u16>().map_err(|_| error()) } else { Err(error()) }
        };
        let mut parts = text.split('.');
        let major = number(parts.next().ok_or_else(error)?)?;
        let minor = number(parts.next().ok_or_else(error)?)?;
        let patch = parts.next().map(number).transpose()?;
        if parts.next().is_some() { Err(error()) } else { Ok(Self { major, minor, patch }) }
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch:02}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parses_and_prints() {
        for text in ["580.159.04", "535.179", "570.86.15", "610.43.02", "550.40.07"] {
            assert_eq!(text.parse::<DriverVersion>().unwrap().to_string(), text);
        }
        for text in
            ["", "580", "580.", "580..1", "580.1.2.3", "580.1.2 ", "+580.1.2", "580.100000.1", "x.y.z"]
        {
            assert_eq!(text.parse::<DriverVersion>(), Err(VersionError(text.into())), "{text:?}");
        }
        assert_eq!(DriverVersion::from_c_bytes(b"580.159.04\0rest"), Ok(DriverVersion::new(580, 159, 4)));
        assert!(DriverVersion::from_c_bytes(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn orders_by_number() {
        let sorted =
            ["535.86.05", "535.104.05", "535.179", "535.179.01", "550.40.07", "550.100", "610.43.02"];
        let versions: Vec<DriverVersion> = sorted.iter().map(|v| v.parse().unwrap()).collect();
        assert!(versions.windows(2).all(|w| w[0] < w[1]));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,24}") {
            let _ = text.parse::<DriverVersion>();
        }

        #[test]
        fn round_trips(major: u16, minor: u16, patch: Option<u16>) {
            let version = DriverVersion { major, minor, patch };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
