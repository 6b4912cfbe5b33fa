//! [`Selection`]: certain pictures of a video, as a source of packets.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bitstream::{split_annex_b, split_length_prefixed};
use containers::Framing;

use super::index::Index;
use super::plan::{Step, plan};
use super::reader::{Reader, VideoInner};
use super::survey::ParameterKey;
use crate::frame::Frame;
use crate::packet::{Packet, Source};
use crate::pictures::info::Times;

/// Certain pictures of a [`Video`](super::Video), for [`Decoder::frames`](crate::Decoder::frames): the decoder is sent what they
/// need and no more, and only they come out, in the order in which they are shown.
///
/// [`Frame::opaque`] is the number of the picture. The decoder forgets what else it was sent and has not given. Fewer pictures come
/// out of one that leaves some out, by its [policy](crate::DecoderOptions::with_policy) or by where it
/// [begins](crate::DecoderOptions::with_start).
#[derive(Debug)]
pub struct Selection {
    video: Arc<VideoInner>,
    reader: Reader,
    /// Positions in decoding order, ascending, with the number of each.
    wanted: Vec<(u32, u32)>,
    steps: VecDeque<Step>,
    /// Where in the list of changes of parameter sets the pictures sent so far end.
    changes: usize,
    /// The parameter sets in force where the next picture stands, and those that the decoder has.
    in_force: BTreeMap<ParameterKey, u32>,
    sent: BTreeMap<ParameterKey, u32>,
    queue: VecDeque<Queued>,
    times: Times,
}

#[derive(Debug)]
enum Queued {
    Anew,
    Parameters(u32),
    Unit(Range<usize>),
}

impl Selection {
    pub(super) fn new(video: &Arc<VideoInner>, numbers: impl IntoIterator<Item = usize>) -> Selection {
        let index = &video.index;
        let mut wanted: Vec<(u32, u32)> = numbers
            .into_iter()
            .filter_map(|number| Some((index.shown.get(number)?.position, number as u32)))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let steps =
            plan(&index.pictures.pictures, &index.places, wanted.iter().map(|&(position, _)| position));
        Selection {
            video: video.clone(),
            reader: Reader::default(),
            wanted,
            steps: steps.into(),
            changes: 0,
            in_force: BTreeMap::new(),
            sent: BTreeMap::new(),
            queue: VecDeque::new(),
            times: Times::default(),
        }
    }

    /// Pictures that will come out.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether none will.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Pictures that are still to be sent to the decoder: those wanted, and those that they need.
    pub fn coded_pictures_left(&self) -> usize {
        self.steps.len()
    }

    /// Reads the next picture and says what is to be sent for it.
    fn load(&mut self, Step { position, anew }: Step) -> io::Result<()> {
        let video = self.video.clone();
        let Index { pictures, shown, framing, .. } = &video.index;
        if anew {
            self.queue.push_back(Queued::Anew);
        }
        let changes_to = |this: &mut Self, position: u32| {
            while let Some(change) =
                pictures.changes.get(this.changes).filter(|change| change.position < position)
            {
                this.in_force.insert(change.key, change.content);
                this.changes += 1;
            }
        };
        changes_to(self, position);
        for (key, content) in &self.in_force {
            if self.sent.insert(*key, *content) != Some(*content) {
                self.queue.push_back(Queued::Parameters(*content));
            }
        }
        // What the container has is in force from the beginning; what comes with the picture is among its bytes.
        let own = self.changes;
        changes_to(self, position + 1);
        for change in &pictures.changes[own..self.changes] {
            if position == 0 {
                self.queue.push_back(Queued::Parameters(change.content));
            }
            self.sent.insert(change.key, change.content);
        }
        self.reader.load(&video, position)?;
        let bytes = &self.reader.picture[..];
        let place = |unit: &[u8]| {
            let start = unit.as_ptr().addr() - bytes.as_ptr().addr();
            Queued::Unit(start..start + unit.len())
        };
        match framing {
            Framing::ByteStream => self.queue.extend(split_annex_b(bytes).map(place)),
            Framing::LengthPrefixed(size) => {
                // What a broken length leaves is lost, as in the survey.
                self.queue.extend(split_length_prefixed(bytes, *size).map_while(Result::ok).map(place));
            }
        }
        let number = self.wanted.binary_search_by_key(&position, |&(position, _)| position).ok();
        let number = number.map(|at| self.wanted[at].1);
        let timed = number.filter(|_| video.index.time_base.is_some());
        let timed = timed.map(|number| shown[number as usize]);
        self.times = Times {
            pts: timed.map(|shown| shown.pts),
            dts: None,
            duration: timed.map(|shown| shown.duration),
            opaque: number.map(u64::from),
        };
        Ok(())
    }
}

impl Source for Selection {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        while self.queue.is_empty() {
            let Some(step) = self.steps.pop_front() else { return Ok(None) };
            self.load(step)?;
        }
        Ok(self.queue.front().map(|queued| match queued {
            Queued::Anew => Packet::splice(),
            Queued::Parameters(content) => {
                Packet::unit(&self.video.index.pictures.contents[*content as usize])
            }
            Queued::Unit(range) => Packet::unit(&self.reader.picture[range.clone()]).with_times(self.times),
        }))
    }

    fn advance(&mut self) {
        self.queue.pop_front();
    }

    fn begins_anew(&self) -> bool {
        true
    }

    fn wants(&self, frame: &Frame) -> bool {
        frame.opaque().is_some()
    }
}
