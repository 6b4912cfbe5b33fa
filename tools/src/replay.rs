//! What `nvdec-replay` is made of: captures of what an engine was told, and what can be done with them.
//!
//! [`capture`] is the file, on top of [`format`](mod@format). [`record`] writes one while a stream is
//! decoded, [`player`] submits it again and [`compare`] says whether the same came out. [`print`](mod@print), [`diff`]
//! and [`shrink`] need no device.

pub mod capture;
pub mod compare;
pub mod diff;
mod fetch;
pub mod format;
pub mod hash;
mod limits;
mod motion;
mod plan;
pub mod player;
pub mod print;
pub mod record;
pub mod run;
pub mod shrink;
pub mod syntax;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nvkernel_sys::video;

/// Whether a buffer method points at what the engine reads (`true`) or at what it works in; `None` for methods that
/// HEVC does not need.
fn reads_data(method: u32) -> Option<bool> {
    match method {
        video::SET_DRV_PIC_SETUP_OFFSET
        | video::SET_IN_BUF_BASE_OFFSET
        | video::HEVC_SET_TILE_SIZES_OFFSET
        | video::HEVC_SET_SCALING_LIST_OFFSET => Some(true),
        video::SET_COLOC_DATA_OFFSET
        | video::SET_NVDEC_STATUS_OFFSET
        | video::HEVC_SET_FILTER_BUFFER_OFFSET
        | video::SET_INTRA_TOP_BUF_OFFSET
        | video::UNNAMED_SCRATCH_OFFSET_4DC => Some(false),
        _ => None,
    }
}

/// A progress bar on standard error, hidden when that is no terminal.
fn progress(size: Option<u64>, what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr_with_hz(10));
    let template = match size {
        Some(_) => format!("{{bar:30}} {what}  {{eta}} left"),
        None => "{spinner} {msg}".to_owned(),
    };
    bar.with_style(ProgressStyle::with_template(&template).expect("a fixed template"))
}

#[cfg(test)]
mod tests;
