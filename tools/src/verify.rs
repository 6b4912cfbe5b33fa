//! Decoded picture hashes: each picture against the SEI message that its encoder sent with it.

use std::fmt;

use hevc::picture_hash::{HashKind, PictureHash};
use serde::Serialize;

use crate::decode::Picture;

/// Names of the colour components.
const PLANES: [&str; 3] = ["Y", "Cb", "Cr"];

/// A picture that is not what its hash says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Position in output order.
    pub picture: u64,
    /// Picture order count.
    pub poc: i32,
    /// Colour component.
    pub plane: &'static str,
    /// Kind of hash.
    pub hash: &'static str,
}

/// Counts over a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Pictures that are what their hash says.
    pub matched: u64,
    /// Pictures that are not.
    pub mismatched: u64,
    /// Pictures without a hash.
    pub without_hash: u64,
    /// The first picture that is not what its hash says.
    pub first_mismatch: Option<Mismatch>,
}

impl Verification {
    /// Checks one picture. `false`: it contradicts its hash.
    pub fn check(&mut self, picture: &mut Picture) -> bool {
        let Some(hash) = picture.hash.take() else {
            self.without_hash += 1;
            return true;
        };
        let wrong = first_wrong_plane(picture, &hash);
        match wrong {
            None => self.matched += 1,
            Some(plane) => {
                self.mismatched += 1;
                let (picture, poc) = (picture.index, picture.poc);
                let mismatch = Mismatch { picture, poc, plane: PLANES[plane], hash: name(hash.kind()) };
                self.first_mismatch.get_or_insert(mismatch);
            }
        }
        picture.hash = Some(hash);
        wrong.is_none()
    }

    /// Whether no picture contradicts its hash.
    pub fn is_good(&self) -> bool {
        self.mismatched == 0
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hashed = self.matched + self.mismatched;
        let total = hashed + self.without_hash;
        match &self.first_mismatch {
            Some(first) => write!(
                f,
                "NOT bit-exact: {} of {hashed} pictures differ, the first is picture {} (POC {}), plane {}, by {}",
                self.mismatched, first.picture, first.poc, first.plane, first.hash
            )?,
            None if hashed == 0 => return write!(f, "not verified: none of {total} pictures has a hash"),
            None => write!(f, "bit-exact {hashed}/{total}")?,
        }
        match self.without_hash {
            0 => Ok(()),
            n => write!(f, " ({n} without a hash)"),
        }
    }
}

fn name(kind: HashKind) -> &'static str {
    match kind {
        HashKind::Md5 => "MD5",
        HashKind::Crc => "CRC",
        HashKind::Checksum => "checksum",
    }
}

/// The first component whose samples, window or not, do not have the hash.
fn first_wrong_plane(picture: &mut Picture, hash: &PictureHash) -> Option<usize> {
    let host = &mut picture.host;
    let window = (host.left, host.top, host.width, host.height);
    (host.left, host.top) = (0, 0);
    (host.width, host.height) = picture.coded_size;
    let wrong = nvdec::first_wrong_plane(host, hash);
    let host = &mut picture.host;
    (host.left, host.top, host.width, host.height) = window;
    wrong
}

#[cfg(test)]
mod tests {
    use hevc::picture_hash::PlaneHash;

    use super::*;
    use crate::output::testing;

    /// Checksums of the whole 4x4 picture of `testing::picture`, by the formula of the standard.
    fn hash_of(picture: &Picture) -> PictureHash {
        let (width, height) = picture.coded_size;
        let mut whole = picture.host.clone();
        (whole.left, whole.top, whole.width, whole.height) = (0, 0, width, height);
        let planes = (0..3).map(|plane| {
            let mut bytes = Vec::new();
            whole.write_plane(plane, &mut bytes);
            let width = if plane == 0 { width } else { whole.chroma_size().0 } as usize;
            let sums =
                bytes.iter().enumerate().map(|(i, &b)| u32::from(b) ^ ((i % width) ^ (i / width)) as u32);
            PlaneHash::Checksum(sums.sum())
        });
        PictureHash { planes: planes.collect() }
    }

    #[test]
    fn the_hash_is_over_the_whole_picture() {
        let mut verification = Verification::default();
        let mut picture = testing::picture(0);
        picture.hash = Some(hash_of(&picture));
        let before = picture.host.clone();
        verification.check(&mut picture);
        assert_eq!(verification.to_string(), "bit-exact 1/1");
        assert_eq!(
            (picture.host.left, picture.host.width),
            (before.left, before.width),
            "the window is kept"
        );
        picture.hash = None;
        verification.check(&mut picture);
        assert_eq!(verification.to_string(), "bit-exact 1/2 (1 without a hash)");
        assert!(verification.is_good());
    }

    #[test]
    fn the_first_wrong_plane_is_named() {
        let mut verification = Verification::default();
        for index in 0..3 {
            let mut picture = testing::picture(index);
            let mut hash = hash_of(&picture);
            if index > 0 {
                hash.planes[2] = PlaneHash::Checksum(1);
            }
            picture.hash = Some(hash);
            picture.poc = 10 + index as i32;
            verification.check(&mut picture);
        }
        assert!(!verification.is_good());
        assert_eq!(
            verification.to_string(),
            "NOT bit-exact: 2 of 3 pictures differ, the first is picture 1 (POC 11), plane Cr, by checksum"
        );
    }

    #[test]
    fn no_hash_is_no_proof() {
        let mut verification = Verification::default();
        verification.check(&mut testing::picture(0));
        assert_eq!(verification.to_string(), "not verified: none of 1 pictures has a hash");
    }
}
