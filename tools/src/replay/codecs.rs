//! What differs between the codecs of a capture: one row each. What is code and not data is chosen by [`Codec`].

use nvdec::hevc::audit;
use nvkernel_sys::bits::Field;
use nvkernel_sys::video::{self, hevc_pic, set_control_params as control};

use super::capture::{Picture, Pointee};

/// A codec whose pictures can be recorded, shown, compared and replayed.
#[derive(Debug)]
pub(crate) struct CodecRow {
    pub(crate) codec: Codec,
    /// Its name in captures.
    pub(crate) name: &'static str,
    /// Its name in messages.
    pub(crate) title: &'static str,
    /// Data of `SET_APPLICATION_ID`.
    pub(crate) application_id: u32,
    /// `CODEC_TYPE` of `SET_CONTROL_PARAMS`.
    pub(crate) codec_type: u32,
    /// The descriptor that `SET_DRV_PIC_SETUP_OFFSET` points at.
    pub(crate) descriptor: Descriptor,
    /// The buffer methods that its pictures need.
    pub(crate) buffers: &'static [Buffer],
}

/// The codecs, for what is code and not data: `match` then asks for an arm wherever one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Hevc,
}

/// A descriptor: its name in NVIDIA's headers, and what of it has names.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
    /// Bytes that the fields describe; what lies behind has no names.
    pub(crate) size: usize,
    /// Bytes of slice data.
    pub(crate) stream_len: Field,
    /// Fields that name places of the picture table, or count by them.
    pub(crate) by_place: &'static [&'static str],
}

/// A buffer method, and what it points at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub(crate) method: u32,
    pub(crate) holds: Holds,
}

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// So many bytes that the engine reads: descriptor or table.
    Data(usize),
    /// Slice data, as many bytes as the descriptor says and some behind.
    Slices,
    /// Memory that the engine works in.
    Memory,
}

const fn buffer(method: u32, holds: Holds) -> Buffer {
    Buffer { method, holds }
}

/// The codecs that are known.
pub(crate) static CODECS: [CodecRow; 1] = [CodecRow {
    codec: Codec::Hevc,
    name: "hevc",
    title: "HEVC",
    application_id: video::APPLICATION_ID_HEVC,
    codec_type: control::CODEC_TYPE_HEVC,
    descriptor: Descriptor {
        name: "nvdec_hevc_pic_s",
        fields: hevc_pic::FIELDS,
        size: hevc_pic::SIZE,
        stream_len: hevc_pic::stream_len,
        by_place: &[
            "curr_pic_idx",
            "initreflistidxl0",
            "initreflistidxl1",
            "RefDiffPicOrderCnts",
            "longtermflag",
        ],
    },
    buffers: &[
        buffer(video::SET_DRV_PIC_SETUP_OFFSET, Holds::Data(audit::DESCRIPTOR_BYTES)),
        buffer(video::SET_IN_BUF_BASE_OFFSET, Holds::Slices),
        buffer(video::HEVC_SET_TILE_SIZES_OFFSET, Holds::Data(audit::TILE_SIZES_BYTES)),
        buffer(video::HEVC_SET_SCALING_LIST_OFFSET, Holds::Data(audit::SCALING_LIST_BYTES)),
        buffer(video::SET_COLOC_DATA_OFFSET, Holds::Memory),
        buffer(video::SET_NVDEC_STATUS_OFFSET, Holds::Memory),
        buffer(video::HEVC_SET_FILTER_BUFFER_OFFSET, Holds::Memory),
        buffer(video::SET_INTRA_TOP_BUF_OFFSET, Holds::Memory),
        buffer(video::UNNAMED_SCRATCH_OFFSET_4DC, Holds::Memory),
    ],
}];

impl CodecRow {
    /// By the name in a capture.
    pub(crate) fn of_name(name: &str) -> Option<&'static CodecRow> {
        CODECS.iter().find(|row| row.name == name)
    }

    /// By what an engine is told.
    pub(crate) fn of_application(application_id: u32) -> Option<&'static CodecRow> {
        CODECS.iter().find(|row| row.application_id == application_id)
    }

    /// What a method points at; `None` for methods that the codec does not need.
    pub(crate) fn holds(&self, method: u32) -> Option<Holds> {
        self.buffers.iter().find(|buffer| buffer.method == method).map(|buffer| buffer.holds)
    }

    /// Whether what `picture`'s methods point at is of the kinds that the codec asks for; what is wrong if not.
    pub(crate) fn check_kinds(&self, picture: &Picture) -> Result<(), String> {
        for record in &picture.methods {
            let name = video::method_name(record.method);
            let Some(holds) = self.holds(record.method) else {
                return Err(format!("method {name} is none that {} needs", self.title));
            };
            if (holds == Holds::Memory) != matches!(record.to, Pointee::Memory { .. }) {
                return Err(format!("{name} points at the wrong kind of memory"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart() {
        for row in &CODECS {
            assert!(std::ptr::eq(CodecRow::of_name(row.name).unwrap(), row));
            assert!(std::ptr::eq(CodecRow::of_application(row.application_id).unwrap(), row));
            for name in row.descriptor.by_place {
                assert!(row.descriptor.fields.iter().any(|field| field.name == *name), "{name}");
            }
            for needed in [video::SET_DRV_PIC_SETUP_OFFSET, video::SET_IN_BUF_BASE_OFFSET] {
                assert!(row.holds(needed).is_some());
            }
        }
        assert!(CodecRow::of_name("av1").is_none() && CodecRow::of_application(9).is_none());
    }
}
