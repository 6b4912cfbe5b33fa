//! Pictures of a video, in any order, to places in the caller's memory.

use std::collections::BTreeMap;

use hcq::{DeviceBuffer, SyncPoint};

use super::Video;
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::tensor::{Converter, TensorPicture, TensorShape};
use crate::uses::Latest;

/// What [`Video::convert`] made, or will have made once all of [`ready`](Self::ready) are reached.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Converted {
    /// When the elements are there: when all of these are reached. One for each queue that works on them.
    pub ready: Vec<SyncPoint>,
    /// The pictures, in the order of their places.
    pub pictures: Vec<TensorPicture>,
    /// Pictures that were sent to the decoder: these, and what they are predicted from.
    pub sent: usize,
    /// What each picture became; `None` without any.
    pub shape: Option<TensorShape>,
}

impl Video {
    /// Decodes pictures and converts picture `numbers[n]` to place `n` of `target`; places lie side by side, each as large as the
    /// converter's [shape](Converter::shape_of) says. Numbers may come in any order, and more than once. Nothing is waited for on
    /// the host; on the GPU, conversions wait for `waits`.
    ///
    /// # Errors
    ///
    /// [`Error::NoPicture`] for a number that there is not, before anything is done. Those of [`Frames`](crate::Frames) and
    /// [`Converter::convert`]; [`Error::Missing`] if a picture does not come out, [`Error::OtherShape`] if they do not
    /// all have the same. What was begun is waited for then, so that `target` is the caller's again.
    pub fn convert(
        &self,
        decoder: &mut Decoder,
        converter: &Converter,
        numbers: &[usize],
        target: &DeviceBuffer,
        waits: &[SyncPoint],
    ) -> Result<Converted> {
        let selection = self.select(numbers.iter().copied())?;
        let mut places: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (place, &number) in numbers.iter().enumerate() {
            places.entry(number as u64).or_default().push(place);
        }
        let mut made = Making { ready: Latest::default(), pictures: vec![None; numbers.len()], shape: None };
        let sent = selection.coded_pictures_left();
        let mut frames = decoder.frames(selection);
        let outcome = frames.try_for_each(|frame| {
            let frame = frame?;
            let places = frame.opaque().and_then(|number| places.get(&number));
            places.map_or(Ok(()), |places| made.convert(&frame, converter, places, target, waits))
        });
        let pictures = outcome.and_then(|()| {
            let missing = |place: usize| Error::Missing { number: numbers[place] };
            let pictures = made.pictures.iter().cloned().enumerate();
            pictures.map(|(place, picture)| picture.ok_or_else(|| missing(place))).collect::<Result<Vec<_>>>()
        });
        let ready = made.ready.into_vec();
        match pictures {
            Ok(pictures) => Ok(Converted { ready, pictures, sent, shape: made.shape }),
            Err(error) => {
                let channels = converter.context().channels();
                // Should one of them have died, it writes no more.
                ready.iter().for_each(|point| drop(channels.wait(point)));
                Err(error)
            }
        }
    }
}

struct Making {
    ready: Latest<SyncPoint>,
    pictures: Vec<Option<TensorPicture>>,
    /// Bytes of a place, and what it has.
    shape: Option<TensorShape>,
}

impl Making {
    fn convert(
        &mut self,
        frame: &Frame,
        converter: &Converter,
        places: &[usize],
        target: &DeviceBuffer,
        waits: &[SyncPoint],
    ) -> Result<()> {
        let shape = converter.shape_of(frame)?;
        let known = self.shape.get_or_insert_with(|| shape.clone());
        if *known != shape {
            return Err(Error::OtherShape { given: shape.to_string(), wanted: known.to_string() });
        }
        let bytes = shape.bytes();
        for &place in places {
            let offset = (place as u64).saturating_mul(bytes);
            let end = offset.saturating_add(bytes);
            if end > target.size() {
                let limit = target.size();
                return Err(Error::Gpu(hcq::Error::TooLarge { what: "tensor", size: end, limit }));
            }
            let point = converter.convert(frame, &target.slice(offset, bytes), None, waits)?;
            self.ready.add(&point);
            self.pictures[place] = Some(TensorPicture::new(frame));
        }
        Ok(())
    }
}
