//! Pictures of a video, in any order, to places in the caller's memory.

use std::collections::BTreeMap;

use hcq::{DeviceBuffer, SyncPoint};

use super::{Selection, Video};
use crate::decoder::{Decoder, Frames, Next};
use crate::error::{Error, Result};
use crate::tensor::{Conversions, Converter, TensorPicture, TensorShape};

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
    /// [`Error::NoPicture`] for a number that there is not, before anything is done. Those of [`Frames`] and
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
        let sent = selection.coded_pictures_left();
        let mut conversions = converter.conversions(target, waits);
        let mut pictures = vec![None; numbers.len()];
        let outcome = fill(&mut decoder.frames(selection), &places, &mut conversions, &mut pictures);
        let pictures = outcome.and_then(|()| {
            let missing = |place: usize| Error::Missing { number: numbers[place] };
            let pictures = pictures.into_iter().enumerate();
            pictures.map(|(place, picture)| picture.ok_or_else(|| missing(place))).collect::<Result<Vec<_>>>()
        });
        let (ready, shape) = (conversions.ready().to_vec(), conversions.shape().cloned());
        match pictures {
            Ok(pictures) => Ok(Converted { ready, pictures, sent, shape }),
            Err(error) => {
                let channels = converter.context().channels();
                // Should one of them have died, it writes no more.
                ready.iter().for_each(|point| drop(channels.wait(point)));
                Err(error)
            }
        }
    }
}

/// Converts each picture to its places.
fn fill(
    frames: &mut Frames<&mut Decoder, Selection>,
    places: &BTreeMap<u64, Vec<usize>>,
    conversions: &mut Conversions<'_>,
    pictures: &mut [Option<TensorPicture>],
) -> Result<()> {
    loop {
        let frame = match frames.try_next()? {
            Next::Frame(frame) => frame,
            // Frames that are not converted yet have surfaces too.
            Next::Full => {
                if !conversions.submit()? {
                    frames.grow()?;
                }
                continue;
            }
            Next::End => break,
        };
        for &place in frame.opaque().and_then(|number| places.get(&number)).into_iter().flatten() {
            conversions.push(place, &frame)?;
            pictures[place] = Some(TensorPicture::new(&frame));
        }
    }
    conversions.submit()?;
    Ok(())
}
