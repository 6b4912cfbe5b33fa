//! [`Frontend`]: the part of a decoder that only one codec has.

use std::fmt;

use crate::error::Result;
use crate::options::Price;
use crate::packet::Sent;
use crate::pictures::Pictures;
use crate::pictures::info::Times;
use crate::pictures::slice_data::Place;

/// One unit of a stream, in decoding order.
#[derive(Debug)]
pub(crate) struct Unit<'a> {
    /// Its bytes, without what separates it from others.
    pub(crate) bytes: &'a [u8],
    /// Where they lie in memory that engines read.
    pub(crate) place: Option<Place<'a>>,
    /// Times of the picture that it begins, if it does.
    pub(crate) times: Times,
}

impl<'a> Unit<'a> {
    /// A unit of a byte stream.
    pub(crate) fn copied(bytes: &'a [u8], times: Times) -> Unit<'a> {
        Unit { bytes, place: None, times }
    }
}

/// The parser and the decoded picture buffer of one codec. It turns units into coded pictures and hands them to [`Pictures`],
/// which does everything else.
///
/// A codec adds: a front end, its [`CodedPicture`](crate::pictures::coded::CodedPicture) with the descriptor, a row of limits in
/// [`class`](mod@crate::class), a line in [`decoder`](mod@crate::decoder) where front ends are chosen, and an engine part for the model.
pub(crate) trait Frontend: fmt::Debug + Send {
    /// Takes a unit, or nothing of it ([`Pictures::make_room_for`]).
    ///
    /// # Errors
    ///
    /// Those of the GPU. [`Error::CannotDecode`](crate::Error::CannotDecode) once for parameter sets that come into force and that
    /// the engine cannot decode. Other faults of the stream are noted ([`Pictures::note`]).
    fn send(&mut self, unit: Unit<'_>, pictures: &mut Pictures) -> Result<Sent>;

    /// Whether a unit that begins with `start` ends the picture before it. `false` where only the whole unit can tell.
    fn ends_picture(&self, start: &[u8]) -> bool;

    /// The picture whose units were sent is complete: hands it over.
    fn end_picture(&mut self, pictures: &mut Pictures) -> Result<()>;

    /// The stream has ended: the last picture is complete, all pictures are to be shown, and the next unit begins another stream.
    fn finish(&mut self, pictures: &mut Pictures) -> Result<()>;

    /// Forgets all pictures and keeps parameter sets: the stream goes on elsewhere.
    fn reset(&mut self);

    /// Pictures that a picture may have to wait for after it is decoded, since they come before it in output order.
    fn reorder(&self) -> Option<usize>;

    /// The highest price of pictures that may follow with the parameter sets that were sent; `None` if none may.
    ///
    /// # Errors
    ///
    /// Why none of them can be decoded.
    fn price(&self, pictures: &Pictures) -> Result<Option<Price>>;
}
