//! What methods told the engine before `EXECUTE`.

use std::collections::BTreeMap;

use nvkernel_sys::video;

use super::surface::Surface;

/// What was set by methods.
#[derive(Clone, Debug, Default)]
pub(super) struct Methods {
    /// Data of `SET_APPLICATION_ID`.
    pub(super) application: u32,
    /// Data of `SET_CONTROL_PARAMS`.
    pub(super) control: u32,
    /// Data of the buffer methods, by address of the method.
    buffers: BTreeMap<u32, u32>,
}

impl Methods {
    /// Notes a method that gives an address.
    pub(super) fn set_buffer(&mut self, method: u32, value: u32) {
        self.buffers.insert(method, value);
    }

    /// Takes what was set for a picture. What the engine keeps stays: application and control word on some classes,
    /// an address on none.
    pub(super) fn take(&mut self, keeps_control: bool) -> Methods {
        let taken = std::mem::take(self);
        if keeps_control {
            (self.application, self.control) = (taken.application, taken.control);
        }
        taken
    }

    /// The GPU address that a buffer method gave: 0 if it was not sent.
    pub(super) fn address(&self, method: u32) -> u64 {
        u64::from(self.buffers.get(&method).copied().unwrap_or(0)) << 8
    }

    /// The surface at a place of the picture table.
    pub(super) fn picture(&self, place: u8) -> Surface {
        let offset = 4 * u32::from(place);
        Surface {
            luma: self.address(video::SET_PICTURE_LUMA_OFFSET + offset),
            chroma: self.address(video::SET_PICTURE_CHROMA_OFFSET + offset),
        }
    }
}
