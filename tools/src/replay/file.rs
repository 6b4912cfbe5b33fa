//! [`AtomicFile`]: a file that is there whole or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// A file that takes its name when it is complete. What is no regular file, a pipe say, is written to as it
/// is.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    file: File,
    /// Name until then.
    temporary: Option<PathBuf>,
    path: PathBuf,
    bytes: u64,
}

impl AtomicFile {
    pub(crate) fn create(path: &Path) -> Result<AtomicFile, Failure> {
        let failure = |source| Failure::Output { path: path.display().to_string(), source };
        let path_buf = path.to_owned();
        if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file()) {
            let file = File::options().write(true).open(path).map_err(failure)?;
            return Ok(AtomicFile { file, temporary: None, path: path_buf, bytes: 0 });
        }
        let Some(name) = path.file_name() else {
            return Err(failure(io::Error::new(io::ErrorKind::InvalidInput, "it has no file name")));
        };
        let mut temporary = name.to_owned();
        temporary.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(temporary);
        let file = File::create(&temporary).map_err(failure)?;
        Ok(AtomicFile { file, temporary: Some(temporary), path: path_buf, bytes: 0 })
    }

    /// Gives the file its name; the number of its bytes.
    pub(crate) fn commit(mut self) -> Result<u64, Failure> {
        if let Some(temporary) = &self.temporary {
            let failure = |source| Failure::Output { path: self.path.display().to_string(), source };
            std::fs::rename(temporary, &self.path).map_err(failure)?;
            self.temporary = None;
        }
        Ok(self.bytes)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Nothing can be done about what cannot be removed.
            let _ = std::fs::remove_file(temporary);
        }
    }
}
