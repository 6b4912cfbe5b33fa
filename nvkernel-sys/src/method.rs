//! Tables of method addresses.

use std::fmt;

/// One method of a class, or a row of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// NVIDIA's name.
    pub name: &'static str,
    /// Byte address of the first.
    pub address: u32,
    /// How many there are.
    pub count: u32,
    /// Bytes from one to the next.
    pub stride: u32,
    /// The first class whose published header has it; 0 where that is the oldest header that the module is from.
    pub since: u32,
}

/// A method address in words: `SET_PICTURE_LUMA_OFFSET(3)`, or the number where it has no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodName {
    address: u32,
    found: Option<(&'static Method, u32)>,
}

impl MethodName {
    pub(crate) fn find(table: &'static [Method], address: u32) -> Self {
        let found = table.iter().find_map(|m| {
            let distance = address.checked_sub(m.address)?;
            let index = distance / m.stride;
            (distance % m.stride == 0 && index < m.count).then_some((m, index))
        });
        Self { address, found }
    }

    /// The method, and which one of the row; `None` for an address without a name.
    pub fn method(self) -> Option<(&'static Method, u32)> {
        self.found
    }

    /// NVIDIA's name without the index.
    pub fn name(self) -> Option<&'static str> {
        self.found.map(|f| f.0.name)
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.found {
            Some((m, index)) if m.count > 1 => write!(f, "{}({index})", m.name),
            Some((m, _)) => f.write_str(m.name),
            None => write!(f, "{:#06x}", self.address),
        }
    }
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $name:ident $([$count:literal; $stride:literal])? = $address:literal
        $(, since $since:ident)?;)*) => {
        $(
            $(#[doc = $doc])*
            $(#[doc = concat!("\n\nOne of ", $count, ", ", $stride, " bytes apart.")])?
            $(#[doc = concat!("\n\nSince ", stringify!($since), ".")])?
            pub const $name: u32 = $address;
        )*
        /// Every method of this module.
        pub static METHODS: &[$crate::method::Method] = &[$(
            #[allow(unused_mut, unused_assignments)]
            {
                let (mut count, mut stride, mut since) = (1, 4, 0);
                $(count = $count; stride = $stride;)?
                $(since = $crate::class::$since;)?
                $crate::method::Method { name: stringify!($name), address: $address, count, stride, since }
            }
        ),*];
        /// The name of the method at byte address `address`.
        pub fn method_name(address: u32) -> $crate::method::MethodName {
            $crate::method::MethodName::find(METHODS, address)
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_methods_of_a_class_share_an_address() {
        let tables: [&[Method]; 4] =
            [crate::host::METHODS, crate::copy::METHODS, crate::compute::METHODS, crate::video::METHODS];
        for table in tables {
            let mut seen = std::collections::BTreeMap::new();
            for m in table {
                for i in 0..m.count {
                    let address = m.address + i * m.stride;
                    assert_eq!(address % 4, 0, "{}", m.name);
                    assert!(address < 1 << 14, "{}", m.name);
                    assert_eq!(seen.insert(address, m.name), None, "{} at {address:#x}", m.name);
                }
            }
        }
    }

    #[test]
    fn methods_know_their_first_class() {
        let since = |address| crate::video::method_name(address).method().unwrap().0.since;
        assert_eq!(since(crate::video::EXECUTE), 0);
        assert_eq!(since(crate::video::PM_TRIGGER), crate::class::NVC6B0_VIDEO_DECODER);
        assert_eq!(since(crate::video::SET_INTRA_TOP_BUF_OFFSET), crate::class::NVC7B0_VIDEO_DECODER);
        assert_eq!(since(crate::video::AV1_SET_HINT_DUMP_BUF_OFFSET), crate::class::NVC9B0_VIDEO_DECODER);
    }

    #[test]
    fn names_of_addresses() {
        assert_eq!(crate::video::method_name(0x43c).to_string(), "SET_PICTURE_LUMA_OFFSET(3)");
        assert_eq!(crate::video::method_name(0x300).to_string(), "EXECUTE");
        assert_eq!(crate::host::method_name(0x6c).name(), Some("SEM_EXECUTE"));
        assert_eq!(crate::copy::method_name(0x3ffc).to_string(), "0x3ffc");
        assert_eq!(crate::video::method_name(0x43d).method(), None);
    }
}
