//! The one error type of the generator.

use std::path::PathBuf;

/// Why the generator could not do its work; differences it finds are results, not errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("nothing to do: give --write, --verify or --check PATH")]
    NothingToDo,
    #[error("libclang: {0} (set LIBCLANG_PATH to the directory of libclang.so)")]
    Libclang(String),
    #[error("clang could not parse {what}: {message}")]
    Parse { what: String, message: String },
    #[error("bindgen: {0}")]
    Bindgen(#[from] bindgen::BindgenError),
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("git {what} in {path} failed: {message}", path = path.display())]
    Git { what: String, path: PathBuf, message: String },
    #[error("{path} is neither a checkout nor a git directory of open-gpu-kernel-modules", path = path.display())]
    NotASource { path: PathBuf },
    #[error("release {0:?} is not of the form 580.159.04")]
    Version(String),
}

impl Error {
    /// An input or output error at `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
