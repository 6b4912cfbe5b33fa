//! How each driver release lays out the structures it is given.
//!
//! Callers fill the canonical structure, that of the newest known release. [`CHANGES`] lists what each release changed;
//! an [`Abi`] undoes the changes that came after the running driver and moves fields, one by one, between the
//! canonical structure and the bytes on the wire. A structure that no later release changed is passed as it is.
//!
//! | Running driver | [`Match`] |
//! | --- | --- |
//! | in a range of releases compared with NVIDIA's headers ([`VERIFIED`]) | `Exact` |
//! | between such ranges, or known from other programs only | `Nearest` |
//! | newer than [`NEWEST_KNOWN`] | `NewerThanKnown`: the newest layouts are used, and may be wrong |
//! | older than [`OLDEST_SUPPORTED`] | `TooOld`: do not go on |

mod changes;
mod version;
mod wire;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use changes::{CHANGES, Change, Edit, NEWEST_KNOWN, OLDEST_SUPPORTED, VERIFIED};
pub use version::{DriverVersion, VersionError};
pub use wire::{Span, WireField, WireLayout};

pub use crate::generated::fields::STRUCTS;

/// No structure takes more bytes in any release.
pub const MAX_WIRE_SIZE: usize = 4096;

/// One field of a canonical structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// NVIDIA's name.
    pub name: &'static str,
    /// Bytes from the start of the structure.
    pub offset: u16,
    /// Bytes.
    pub size: u16,
    /// Alignment in bytes.
    pub align: u8,
}

/// A canonical structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructInfo {
    /// NVIDIA's name.
    pub name: &'static str,
    /// Bytes.
    pub size: u16,
    /// In order; what lies between them is padding.
    pub fields: &'static [FieldInfo],
}

/// Index of a structure in [`STRUCTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StructId(u16);

impl StructId {
    pub(crate) const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The structure called `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        STRUCTS.iter().position(|s| s.name == name).map(|i| Self(i as u16))
    }

    /// Every structure.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..STRUCTS.len()).map(|i| Self(i as u16))
    }

    /// Its canonical layout.
    pub fn info(self) -> &'static StructInfo {
        &STRUCTS[usize::from(self.0)]
    }
}

/// A structure that crosses the kernel's boundary. Implemented for every one that `nvkernel-abigen` generates.
pub trait RmStruct: FromBytes + IntoBytes + Immutable + KnownLayout {
    /// NVIDIA's name.
    const NAME: &'static str;
    /// Where its layout is listed.
    const ID: StructId;
}

/// How well the layouts of an [`Abi`] are known to fit its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// Compared with NVIDIA's headers of this range of releases.
    Exact,
    /// Of the closest older release that was looked at.
    Nearest,
    /// The driver is newer than anything known; the newest layouts are used.
    NewerThanKnown,
    /// The driver is older than any that is supported.
    TooOld,
}

/// The layouts of one driver release.
#[derive(Clone, Debug)]
pub struct Abi {
    version: DriverVersion,
    /// By [`StructId`]; `None` where the canonical layout holds.
    layouts: Vec<Option<WireLayout>>,
}

impl Abi {
    /// The layouts that release `version` uses.
    pub fn for_version(version: DriverVersion) -> Self {
        let layouts = StructId::all().map(|id| WireLayout::of(id.info(), version)).collect();
        Self { version, layouts }
    }

    /// The release given.
    pub fn version(&self) -> DriverVersion {
        self.version
    }

    /// How well that release is known.
    pub fn matching(&self) -> Match {
        if self.version < OLDEST_SUPPORTED {
            Match::TooOld
        } else if self.version > NEWEST_KNOWN {
            Match::NewerThanKnown
        } else if VERIFIED.iter().any(|r| r.contains(&self.version)) {
            Match::Exact
        } else {
            Match::Nearest
        }
    }

    /// Whether the release has structure `id` at all.
    pub fn has(&self, id: StructId) -> bool {
        !CHANGES.iter().any(|c| {
            c.structure == id.info().name && c.since > self.version && c.edits.contains(&Edit::NewStructure)
        })
    }

    /// The layout of structure `id` where it is not the canonical one.
    pub fn layout(&self, id: StructId) -> Option<&WireLayout> {
        self.layouts[usize::from(id.0)].as_ref()
    }

    /// Bytes of structure `id` on the wire.
    pub fn size_of_id(&self, id: StructId) -> usize {
        self.layout(id).map_or(usize::from(id.info().size), WireLayout::size)
    }

    /// Bytes of a `T` on the wire.
    pub fn size_of<T: RmStruct>(&self) -> usize {
        self.size_of_id(T::ID)
    }

    /// Lays `value` out for this release at the start of `out`; returns how many bytes it took. Fields that the
    /// release does not have are dropped, and bytes of the release that no field of ours covers become zero.
    ///
    /// # Panics
    ///
    /// When `out` is shorter than [`Abi::size_of`]; [`MAX_WIRE_SIZE`] is always enough.
    pub fn encode<T: RmStruct>(&self, value: &T, out: &mut [u8]) -> usize {
        let size = self.size_of::<T>();
        let out = &mut out[..size];
        match self.layout(T::ID) {
            None => out.copy_from_slice(value.as_bytes()),
            Some(layout) => layout.encode(value.as_bytes(), out),
        }
        size
    }

    /// Takes a `T` from the bytes of this release. Fields that the release does not have keep their value.
    ///
    /// # Panics
    ///
    /// When `wire` is shorter than [`Abi::size_of`].
    pub fn decode<T: RmStruct>(&self, value: &mut T, wire: &[u8]) {
        let wire = &wire[..self.size_of::<T>()];
        match self.layout(T::ID) {
            None => value.as_mut_bytes().copy_from_slice(wire),
            Some(layout) => layout.decode(value.as_mut_bytes(), wire),
        }
    }
}

#[cfg(test)]
mod tests;
