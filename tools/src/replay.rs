//! What `nvdec-replay` is made of: captures of what an engine was told, and what can be done with them.
//!
//! [`capture`] is the file, on top of [`format`](mod@format). [`record`] writes one while a stream is
//! decoded, [`player`] submits it again and [`compare`] says whether the same came out. [`print`](mod@print), [`diff`]
//! and [`shrink`] need no device.

pub mod capture;
mod codecs;
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
