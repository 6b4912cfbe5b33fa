//! [`HevcPictureInfo`]: what only HEVC says of a picture.

use std::sync::Arc;

use hevc::Sps;
use hevc::picture_hash::PictureHash;

/// What only HEVC says of a picture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HevcPictureInfo {
    /// The sequence parameter set in force.
    pub sps: Arc<Sps>,
    /// Hash of the samples by the encoder, if the stream carries one.
    pub hash: Option<PictureHash>,
}
