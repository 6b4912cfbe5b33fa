//! HEVC: application 7.

mod motion;
mod picture;
mod reconstruction;
mod references;
mod scratch;
mod setup;
mod slice_header;

use std::sync::Arc;

use nvkernel_sys::video::{self, set_control_params};

use super::application::{Application, MakeDecoder};
use crate::class::{Chroma, Codec, HevcLimits, Shapes};
use picture::HevcPictures;
use references::Conversions;

/// The row of HEVC.
pub(super) const APPLICATION: Application = Application {
    id: video::APPLICATION_ID_HEVC,
    codec_type: set_control_params::CODEC_TYPE_HEVC,
    codec: Codec::Hevc,
    share,
};

/// The chroma formats that are decoded.
pub(super) const CHROMA: Chroma = Chroma::C420;

/// What is decoded besides.
pub(super) const LIMITS: HevcLimits =
    HevcLimits { range_extensions: false, shapes: Shapes::All, unequal_depths: false };

/// Engines of one machine share the pictures that they took apart.
fn share() -> MakeDecoder {
    let conversions = Arc::<Conversions>::default();
    Box::new(move || Box::new(HevcPictures::new(conversions.clone())))
}

#[cfg(test)]
pub(crate) use setup::ABSENT_TOOLS;

/// The field for which a picture would be refused, if any.
#[cfg(test)]
pub(crate) fn refuses(
    descriptor: &[u8],
    tiles: &[u8],
    class: &crate::class::VideoClass,
) -> Option<&'static str> {
    let setup = setup::Setup::new(descriptor[..setup::Setup::BYTES].try_into().expect("a whole descriptor"));
    let checked = setup.check(class).and_then(|()| setup::TileSizes::read(tiles, &setup, class));
    checked.err().map(|refusal| refusal.field)
}
