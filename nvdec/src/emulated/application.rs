//! The seam between the engine and a codec.

use std::fmt;

use hcq::kernel::emulated::{AddressSpace, EngineContext, EngineFault, MmuFault};

use super::methods::Methods;
use super::status::Status;
use crate::class::{Codec, VideoClass};

/// What `SET_APPLICATION_ID` selects: the part of an engine that decodes one codec.
pub(super) struct Application {
    /// Data of `SET_APPLICATION_ID`.
    pub(super) id: u32,
    /// `CODEC_TYPE` of `SET_CONTROL_PARAMS` that goes with it.
    pub(super) codec_type: u32,
    /// The codec.
    pub(super) codec: Codec,
    /// Sets up what the engines of one machine share.
    pub(super) share: fn() -> MakeDecoder,
}

/// Makes the decoders of the engines that share something, one for each engine object.
pub(super) type MakeDecoder = Box<dyn Fn() -> Box<dyn PictureDecoder> + Send + Sync>;

/// Decodes pictures of one codec, each from what methods and memory say of it alone.
pub(super) trait PictureDecoder: fmt::Debug + Send {
    /// Blocks of 16x16 in the picture that the descriptor tells of. Where it is not decoded, all are in error.
    ///
    /// # Errors
    ///
    /// [`MmuFault`] if there is no descriptor.
    fn blocks(&self, memory: &AddressSpace, methods: &Methods) -> Result<u32, MmuFault>;

    /// Decodes the picture, and writes all that the engine writes but the status. A picture that the decoder has no tools
    /// for is a [`Refusal`], and nothing is written.
    ///
    /// # Errors
    ///
    /// [`EngineFault`] stops the channel.
    fn decode(
        &mut self,
        context: &EngineContext<'_>,
        class: &VideoClass,
        methods: &Methods,
    ) -> Result<Result<Status, Refusal>, EngineFault>;
}

/// Why the engine does not decode a picture: a field of the descriptor or of a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {reason}")]
pub(super) struct Refusal {
    /// Name of the field.
    pub(super) field: &'static str,
    /// What it says.
    pub(super) value: i64,
    /// What would be possible.
    pub(super) reason: &'static str,
    /// The `error_status` that the engine reports.
    pub(super) error_status: u32,
}

/// `error_status` of a picture that the model has no tools for (`OS_ERROR_APPLICATION`).
const ERROR_APPLICATION: u32 = 8;

impl Refusal {
    pub(super) fn of(field: &'static str, value: impl Into<i64>, reason: &'static str) -> Refusal {
        Refusal { field, value: value.into(), reason, error_status: ERROR_APPLICATION }
    }
}
