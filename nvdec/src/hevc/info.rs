//! [`HevcPictureInfo`]: what only HEVC says of a picture.

use std::sync::Arc;

use hevc::Sps;
use hevc::picture_hash::{PictureHash, PlaneHasher};

use crate::surface::host::HostFrame;

/// What only HEVC says of a picture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HevcPictureInfo {
    /// The sequence parameter set in force.
    pub sps: Arc<Sps>,
    /// Hash of the samples by the encoder, if the stream carries one.
    pub hash: Option<PictureHash>,
}

/// The first component whose samples do not have the hash that a stream says; 0 is Y, 1 Cb, 2 Cr. `picture` is the whole picture as
/// it is coded ([`Frame::coded`](crate::Frame::coded)), which is what a hash is of (H.265 D.3.19).
pub fn first_wrong_plane(picture: &HostFrame, hash: &PictureHash) -> Option<usize> {
    let (mut bytes, mut row) = (Vec::new(), Vec::new());
    (0..hash.planes.len().min(3)).find(|&plane| {
        bytes.clear();
        picture.write_plane(plane, &mut bytes);
        let width = if plane == 0 { picture.width } else { picture.chroma_size().0 };
        let sample_bytes = picture.format.bytes_per_sample() as usize;
        let mut hasher = PlaneHasher::new(hash.kind(), picture.format.depth_of(plane));
        for line in bytes.chunks_exact((width as usize * sample_bytes).max(1)) {
            row.clear();
            match sample_bytes {
                1 => row.extend(line.iter().map(|&sample| u16::from(sample))),
                _ => row.extend(line.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]))),
            }
            hasher.row(&row);
        }
        hasher.finish() != hash.planes[plane]
    })
}
