//! What a video costs, before any of it is decoded.

use std::sync::Arc;

use super::Video;
use crate::context::Context;
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::options::{DecoderOptions, Price};
use crate::packet::Packet;

impl Video {
    /// Most GPU memory that a decoder with `options` takes for any pictures of this video: of its sequences, the price of the most
    /// expensive one. It is known from parameter sets alone; nothing is decoded and no memory is taken for pictures.
    ///
    /// # Errors
    ///
    /// [`Error::CannotDecode`] or [`Error::TooManySamples`] if none of its pictures can be decoded, [`Error::NoPictures`] if it
    /// has no parameter sets, and those of [`Decoder::new`].
    pub fn price(&self, context: &Arc<Context>, options: DecoderOptions) -> Result<Price> {
        let pictures = &self.index().pictures;
        let mut decoder = Decoder::new(context, self.codec(), options)?;
        let (mut highest, mut refused) = (None::<Price>, None);
        for changes in pictures.changes.chunk_by(|a, b| a.position == b.position) {
            for change in changes {
                // Parameter sets are never refused: they need no memory of the GPU.
                let _ = decoder.send(Packet::unit(&pictures.contents[change.content as usize]))?;
            }
            match decoder.highest_price() {
                Ok(price) => highest = highest.into_iter().chain(price).max_by_key(Price::total),
                Err(error) => refused = Some(error),
            }
        }
        highest.ok_or_else(|| refused.unwrap_or(Error::NoPictures { source: None }))
    }
}
