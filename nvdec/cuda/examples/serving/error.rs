//! What can go wrong.

use std::io;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Nvdec(#[from] nvdec::Error),
    #[error(transparent)]
    Gpu(#[from] hcq::Error),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("no message: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the other side {0}")]
    Protocol(String),
    #[error("{0}")]
    Options(String),
    #[error("the clip {0}")]
    Clip(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        |source| Error::Io { what, source }
    }
}
