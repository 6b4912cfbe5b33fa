//! Log records of the libraries, on standard error.

use std::sync::atomic::{AtomicBool, Ordering};

use log::{LevelFilter, Log, Metadata, Record};

struct StandardError;

static LOGGER: StandardError = StandardError;
static INSTALLED: AtomicBool = AtomicBool::new(false);

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            crate::message!("{}: {}", record.level().as_str().to_lowercase(), record.args());
        }
    }

    fn flush(&self) {}
}

/// Prints warnings, or with `verbose` everything.
pub fn install(verbose: bool) {
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        // Fails only if a logger is set, which is then as good.
        let _ = log::set_logger(&LOGGER);
    }
    log::set_max_level(if verbose { LevelFilter::Trace } else { LevelFilter::Warn });
}
