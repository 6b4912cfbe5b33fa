//! The engine's verdict on a picture: `nvdec_status_s`, read for every picture, as a typed value.

use std::fmt;

use hcq::{LINE, View};
use nvkernel_sys::video::nvdec_status as field;

/// Bytes reserved for the status of one picture: as far as the engine writes with `EVENT_TRACE_LOGGING_ON`, 332. Close
/// together, since those of pictures that follow each other are read together, and pages have to be looked up.
pub(crate) const STATUS_BYTES: u64 = 512;

/// What the engine reports of a picture that it finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecodeStatus {
    /// 16x16 blocks decoded without error.
    pub mbs_correctly_decoded: u32,
    /// 16x16 blocks in error.
    pub mbs_in_error: u32,
    /// Engine time, in units of 16 clock cycles.
    pub cycle_count: u32,
    /// 0, or the engine's code of the first error.
    pub error_status: u32,
    /// Column and row of the coding tree block of the first error.
    pub error_ctb: (u16, u16),
    /// 0, or the engine's code of the first error in a slice header.
    pub slice_header_error_code: u32,
}

/// Why a picture is not what the stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PictureFault {
    /// The engine reached the end of the submission and wrote no status.
    NoStatus,
    /// The engine could not parse a slice segment header.
    SliceHeader {
        /// The engine's code.
        code: u32,
        /// Column and row of the coding tree block.
        ctb: (u16, u16),
    },
    /// The engine met an error in slice data.
    SliceData {
        /// The engine's code.
        error_status: u32,
        /// 16x16 blocks in error.
        mbs_in_error: u32,
        /// Column and row of the first coding tree block in error.
        ctb: (u16, u16),
    },
    /// Fewer blocks were decoded than the picture has: slices are missing.
    Incomplete {
        /// 16x16 blocks decoded.
        decoded: u32,
        /// 16x16 blocks of the picture.
        expected: u32,
    },
    /// A picture that it is predicted from is not there; grey stood in for it.
    MissingReference {
        /// Picture order count of what is missing.
        poc: i32,
    },
    /// Its order count is behind that of pictures that were shown: it comes late or twice, or the random access point before it is
    /// lost, and its references are those of another sequence.
    OutOfOrder,
    /// The hash that the stream has of its samples is another than theirs.
    HashMismatch,
    /// The channel of its engine died, or was taken down, before the picture was decoded.
    ChannelLost,
    /// Nothing is wrong with the picture itself, but a picture or a copy that it depends on was lost with a channel.
    ReferenceLost,
}

impl PictureFault {
    /// Whether it leaves samples that may be anything.
    pub(crate) fn is_loss(self) -> bool {
        matches!(self, PictureFault::ChannelLost | PictureFault::ReferenceLost)
    }
}

impl fmt::Display for PictureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PictureFault::NoStatus => f.write_str("the engine wrote no status"),
            PictureFault::SliceHeader { code, ctb: (x, y) } => {
                write!(f, "slice segment header refused, code {code:#x}, at CTB ({x}, {y})")
            }
            PictureFault::SliceData { error_status, mbs_in_error, ctb: (x, y) } => {
                write!(
                    f,
                    "error {error_status:#x} in slice data at CTB ({x}, {y}), {mbs_in_error} blocks in error"
                )
            }
            PictureFault::Incomplete { decoded, expected } => {
                write!(f, "only {decoded} of {expected} blocks are in the stream")
            }
            PictureFault::MissingReference { poc } => {
                write!(f, "the picture with POC {poc}, which it is predicted from, is missing")
            }
            PictureFault::OutOfOrder => f.write_str(
                "its order count was passed: it comes late or twice, or a random access point is lost",
            ),
            PictureFault::HashMismatch => {
                f.write_str("the samples do not have the hash that the stream says")
            }
            PictureFault::ChannelLost => f.write_str("it was lost with the channel of its engine"),
            PictureFault::ReferenceLost => {
                f.write_str("what it depends on was lost with the channel of an engine")
            }
        }
    }
}

/// Prepares status memory for the next picture: the struct, of 56 bytes, with the rest of the line that it lies in.
///
/// The engine reads the struct before it decodes: with anything but zero in it, it skips the picture and
/// writes no more than `cycle_count`.
pub(crate) fn clear(view: View<'_>) {
    view.fill(0, LINE, 0);
}

/// What the first bytes of its status memory say of a picture whose submission is complete. `expected` is its number of
/// 16x16 blocks.
pub(crate) fn read(bytes: &[u8; LINE], expected: u32) -> (DecodeStatus, Result<(), PictureFault>) {
    // A picture takes thousands of cycles.
    if bytes[..16].iter().all(|&b| b == 0) {
        return (DecodeStatus::default(), Err(PictureFault::NoStatus));
    }
    let status = parse(bytes);
    if status.error_status == 0 && status.mbs_in_error == 0 && status.slice_header_error_code == 0 {
        let decoded = status.mbs_correctly_decoded;
        let verdict =
            if decoded < expected { Err(PictureFault::Incomplete { decoded, expected }) } else { Ok(()) };
        return (status, verdict);
    }
    let ctb = status.error_ctb;
    let fault = match status.slice_header_error_code {
        0 => PictureFault::SliceData {
            error_status: status.error_status,
            mbs_in_error: status.mbs_in_error,
            ctb,
        },
        code => PictureFault::SliceHeader { code, ctb },
    };
    (status, Err(fault))
}

#[inline]
fn parse(bytes: &[u8; LINE]) -> DecodeStatus {
    let word =
        |f: nvkernel_sys::bits::Field| f.read(bytes, 0).expect("the table describes these bytes") as u32;
    DecodeStatus {
        mbs_correctly_decoded: word(field::mbs_correctly_decoded),
        mbs_in_error: word(field::mbs_in_error),
        cycle_count: word(field::cycle_count),
        error_status: word(field::error_status),
        error_ctb: (word(field::error_ctb_pos_x) as u16, word(field::error_ctb_pos_y) as u16),
        slice_header_error_code: word(field::slice_header_error_code),
    }
}

#[cfg(test)]
mod tests;
