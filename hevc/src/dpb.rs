//! The decoded picture buffer: reference marking (8.3.2) and output order (C.5.2).

use std::fmt;

use crate::lists::Lists;
use crate::parser::picture::Picture;
use crate::slice::SliceHeader;

pub use crate::sps::MAX_DPB_SIZE;

/// A place in the decoded picture buffer; a picture keeps its place as long as it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DpbIndex(pub u8);

/// How a picture is marked for reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Marking {
    /// "unused for reference": held only because it is still to be output.
    Unused,
    /// "used for short-term reference".
    ShortTerm,
    /// "used for long-term reference".
    LongTerm,
}

/// A picture held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry<T> {
    /// `PicOrderCntVal`.
    pub poc: i32,
    /// What the caller keeps per picture.
    pub payload: T,
    /// Reference marking.
    pub marking: Marking,
    /// "needed for output".
    pub needed_for_output: bool,
    /// Made up for a reference that is missing (8.3.3), never output.
    pub generated: bool,
    /// `PicLatencyCount`.
    latency_count: u64,
    sequence: u64,
}

impl<T> Entry<T> {
    /// Whether it is neither a reference nor to be output.
    fn is_unneeded(&self) -> bool {
        self.marking == Marking::Unused && !self.needed_for_output
    }
}

/// A picture to be output now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output<T> {
    /// `PicOrderCntVal`.
    pub poc: i32,
    /// Coded video sequence, as in [`Picture::sequence`].
    pub sequence: u64,
    /// What the caller keeps per picture.
    pub payload: T,
}

/// A reference of the current picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RefEntry {
    /// `PicOrderCntVal`; for a missing long-term picture known by its least significant bits only, those.
    pub poc: i32,
    /// The picture is a long-term reference.
    pub long_term: bool,
    /// Its place; `None` for "no reference picture".
    pub index: Option<DpbIndex>,
}

/// The five lists of pictures of 8.3.2.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvedRps {
    lists: Lists<RefEntry, 5>,
}

/// The lists of [`ResolvedRps`]: first those that make up the initial list 0, in its order.
const ST_CURR_BEFORE: usize = 0;
const ST_CURR_AFTER: usize = 1;
const LT_CURR: usize = 2;
const ST_FOLL: usize = 3;
const LT_FOLL: usize = 4;

impl ResolvedRps {
    /// A set whose pictures are all for the current one.
    ///
    /// # Panics
    /// If there are more than [`MAX_REFERENCES`](crate::MAX_REFERENCES), which no stream can name.
    pub fn of_current(st_curr_before: &[RefEntry], st_curr_after: &[RefEntry], lt_curr: &[RefEntry]) -> Self {
        let mut rps = Self::default();
        for (list, entries) in [st_curr_before, st_curr_after, lt_curr].into_iter().enumerate() {
            entries.iter().for_each(|&entry| rps.lists.push(list, entry));
        }
        rps
    }

    /// `RefPicSetStCurrBefore`.
    pub fn st_curr_before(&self) -> &[RefEntry] {
        self.lists.list(ST_CURR_BEFORE)
    }

    /// `RefPicSetStCurrAfter`.
    pub fn st_curr_after(&self) -> &[RefEntry] {
        self.lists.list(ST_CURR_AFTER)
    }

    /// `RefPicSetLtCurr`.
    pub fn lt_curr(&self) -> &[RefEntry] {
        self.lists.list(LT_CURR)
    }

    /// `RefPicSetStFoll`.
    pub fn st_foll(&self) -> &[RefEntry] {
        self.lists.list(ST_FOLL)
    }

    /// `RefPicSetLtFoll`.
    pub fn lt_foll(&self) -> &[RefEntry] {
        self.lists.list(LT_FOLL)
    }

    /// `NumPicTotalCurr` (7-55), missing pictures included.
    pub fn num_pic_total_curr(&self) -> usize {
        self.lists.up_to(LT_CURR).len()
    }

    /// `RefPicListTemp0` before it repeats (8-8): StCurrBefore, StCurrAfter, LtCurr.
    pub fn initial_list0(&self) -> impl Iterator<Item = &RefEntry> {
        self.lists.up_to(LT_CURR).iter()
    }

    /// `RefPicListTemp1` before it repeats (8-10): StCurrAfter, StCurrBefore, LtCurr.
    pub fn initial_list1(&self) -> impl Iterator<Item = &RefEntry> {
        self.st_curr_after().iter().chain(self.st_curr_before()).chain(self.lt_curr())
    }

    /// Position in [`initial_list0`](Self::initial_list0) of the picture that a slice takes motion vectors from
    /// (`ColPic`, 8.5.3.2.8); `None` for a slice that does not.
    pub fn collocated(&self, header: &SliceHeader) -> Option<usize> {
        if !header.slice_temporal_mvp_enabled_flag || header.num_ref_idx_l0_active == 0 {
            return None;
        }
        self.position(header, header.collocated_from_l0_flag, usize::from(header.collocated_ref_idx))
    }

    /// The pictures in the reference picture lists of a slice (8.3.4), as a bit for each position in
    /// [`initial_list0`](Self::initial_list0): all that it may predict from, missing ones included. `RefPicSetStCurrBefore`
    /// and the like may name more.
    pub fn used(&self, header: &SliceHeader) -> u32 {
        let entries = |list0, active: u8| {
            (0..usize::from(active)).filter_map(move |idx| self.position(header, list0, idx))
        };
        let both =
            entries(true, header.num_ref_idx_l0_active).chain(entries(false, header.num_ref_idx_l1_active));
        both.fold(0, |used, position| used | 1 << position)
    }

    /// Position in [`initial_list0`](Self::initial_list0) of an entry of a reference picture list. `None` if there are no
    /// references, or the header names one that cannot be.
    fn position(&self, header: &SliceHeader, list0: bool, idx: usize) -> Option<usize> {
        let total = self.num_pic_total_curr();
        let modification = &header.ref_pic_lists_modification;
        let entries = if list0 { &modification.list_entry_l0 } else { &modification.list_entry_l1 };
        // RefPicListTempX repeats the initial list as often as it takes (8-8, 8-10).
        let at = match entries {
            Some(entries) => usize::from(*entries.get(idx)?),
            None => idx,
        }
        .checked_rem(total)?;
        let (before, after) = (self.st_curr_before().len(), self.st_curr_after().len());
        Some(match list0 {
            true => at,
            false if at < after => before + at,
            false if at < before + after => at - after,
            false => at,
        })
    }

    /// The references that the current picture may use but that do not exist.
    pub fn missing_mut(&mut self) -> impl Iterator<Item = &mut RefEntry> {
        self.lists.up_to_mut(LT_CURR).iter_mut().filter(|entry| entry.index.is_none())
    }
}

impl fmt::Debug for ResolvedRps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedRps")
            .field("st_curr_before", &self.st_curr_before())
            .field("st_curr_after", &self.st_curr_after())
            .field("lt_curr", &self.lt_curr())
            .field("st_foll", &self.st_foll())
            .field("lt_foll", &self.lt_foll())
            .finish()
    }
}

/// The decoded picture buffer in output order conformance (C.5.2).
///
/// For each picture that is not skipped: [`begin`](Self::begin) before decoding, [`insert`](Self::insert) when it is
/// decoded (or handed to hardware). After the last picture: [`flush`](Self::flush). All of them add the pictures that are
/// due for output to a list of the caller's, which can be the same for every picture. `T` is a cheap handle; it is dropped when the picture is neither a reference nor to be
/// output any more.
///
/// The parameters of the highest sub-layer apply: the whole stream is decoded.
#[derive(Debug, Clone)]
pub struct DecodedPictureBuffer<T: Clone> {
    /// One more than MAX_DPB_SIZE, for the current picture.
    places: [Option<Entry<T>>; MAX_DPB_SIZE + 1],
    /// No picture is held from this place on: streams use few of the places, and all are looked at several times for each
    /// picture.
    end: usize,
    limits: Limits,
    current: Option<DpbIndex>,
    /// The last picture output, by coded video sequence and order count: the highest of them.
    last_output: Option<(u64, i32)>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    max_num_reorder_pics: usize,
    max_latency_pictures: Option<u64>,
    max_dec_pic_buffering: usize,
}

impl Limits {
    fn of(picture: &Picture) -> Self {
        let ordering = picture.sps.highest_sub_layer_ordering();
        Self {
            max_num_reorder_pics: usize::from(ordering.max_num_reorder_pics),
            max_latency_pictures: ordering.max_latency_pictures(),
            max_dec_pic_buffering: picture.sps.max_dec_pic_buffering(),
        }
    }

    /// Whether a picture is to be output for the number or the latency of those that wait (C.5.2.2, C.5.2.3).
    fn are_exceeded(&self, survey: &Survey) -> bool {
        survey.late || survey.waiting > self.max_num_reorder_pics
    }

    /// Whether a picture is to be output before `picture`, since the buffer is full (C.5.2.2). The rule takes for granted
    /// that the buffer is as large as the SPS says. Two things show that it is not, and neither is there in streams that
    /// conform: the reference picture set alone fills it, or what would make room comes behind `picture` in output order.
    fn is_full(&self, survey: &Survey, picture: &Picture) -> bool {
        let size = match survey.references {
            // With one for the current picture, which also waits.
            references if references >= self.max_dec_pic_buffering => {
                references + self.max_num_reorder_pics + 1
            }
            _ => self.max_dec_pic_buffering,
        };
        let is_due = !picture.pic_output_flag
            || survey.first.is_some_and(|first| first.at <= (picture.sequence, picture.pic_order_cnt_val));
        survey.held >= MAX_DPB_SIZE || is_due && survey.held >= size
    }
}

/// What [`DecodedPictureBuffer`] holds, as far as output goes by it.
struct Survey {
    held: usize,
    /// Pictures marked as references.
    references: usize,
    /// Pictures needed for output.
    waiting: usize,
    /// One of them has waited for as long as it may.
    late: bool,
    /// The first of them in output order.
    first: Option<First>,
}

#[derive(Clone, Copy)]
struct First {
    /// Coded video sequence and order count.
    at: (u64, i32),
    place: usize,
}

impl<T: Clone> Default for DecodedPictureBuffer<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> DecodedPictureBuffer<T> {
    /// An empty buffer.
    pub fn new() -> Self {
        Self {
            places: std::array::from_fn(|_| None),
            end: 0,
            limits: Limits {
                max_num_reorder_pics: 0,
                max_latency_pictures: None,
                max_dec_pic_buffering: MAX_DPB_SIZE,
            },
            current: None,
            last_output: None,
        }
    }

    /// Whether a picture comes where none can be: a picture with its order count, or one behind it, was output in its coded
    /// video sequence, or one with its order count is held. It comes late, or a second time, or what began its sequence was
    /// lost, and what it refers to is not what it meant. To be asked before [`begin`](Self::begin).
    pub fn is_out_of_order(&self, picture: &Picture) -> bool {
        if picture.no_rasl_output_flag {
            return false;
        }
        let at = (picture.sequence, picture.pic_order_cnt_val);
        let held = |entry: &Entry<T>| (entry.sequence, entry.poc) == at && !entry.generated;
        self.last_output.is_some_and(|last| last.0 == at.0 && last.1 >= at.1) || self.held().any(held)
    }

    /// Marks references (8.3.2), removes what is no longer needed and bumps (C.5.2.2): `output` gets the pictures to be
    /// output before `picture`, in output order. To be called before `picture` is decoded.
    pub fn begin(&mut self, picture: &Picture, output: &mut Vec<Output<T>>) -> ResolvedRps {
        self.limits = Limits::of(picture);
        let mut rps = ResolvedRps::default();
        if picture.no_rasl_output_flag {
            for entry in self.entries_mut() {
                entry.marking = Marking::Unused;
                if picture.no_output_of_prior_pics_flag && picture.has_prior_pictures {
                    entry.needed_for_output = false;
                }
            }
            self.remove_unneeded();
            self.bump_while(output, |_, _| true);
            return rps;
        }
        self.mark(picture, &mut rps);
        self.bump_while(output, |limits, survey| {
            limits.are_exceeded(survey) || limits.is_full(survey, picture)
        });
        rps
    }

    /// Adds the current picture (C.5.2.3): a short-term reference, to be output if its `pic_output_flag` says so. `output`
    /// gets the pictures that are due then, in output order.
    pub fn insert(&mut self, picture: &Picture, payload: T, output: &mut Vec<Output<T>>) {
        if picture.pic_output_flag {
            for entry in self.entries_mut() {
                if entry.needed_for_output && entry.poc > picture.pic_order_cnt_val {
                    entry.latency_count += 1;
                }
            }
        }
        let index = self.place(
            Entry {
                poc: picture.pic_order_cnt_val,
                payload,
                marking: Marking::ShortTerm,
                needed_for_output: picture.pic_output_flag,
                generated: false,
                latency_count: 0,
                sequence: picture.sequence,
            },
            output,
        );
        self.current = Some(index);
        self.bump_while(output, Limits::are_exceeded);
    }

    /// Adds a picture generated for a missing reference of `picture` (8.3.3), marked as `entry` says and never output,
    /// and enters its place into `entry`. To be called between [`begin`](Self::begin) and [`insert`](Self::insert).
    /// `output` gets pictures that must be output to make room.
    pub fn insert_generated(
        &mut self,
        picture: &Picture,
        entry: &mut RefEntry,
        payload: T,
        output: &mut Vec<Output<T>>,
    ) {
        let generated = Entry {
            poc: entry.poc,
            payload,
            marking: if entry.long_term { Marking::LongTerm } else { Marking::ShortTerm },
            needed_for_output: false,
            generated: true,
            latency_count: 0,
            sequence: picture.sequence,
        };
        entry.index = Some(self.place(generated, output));
    }

    /// Adds everything that is still to be output to `output`, in output order, and empties the buffer.
    pub fn flush(&mut self, output: &mut Vec<Output<T>>) {
        self.bump_while(output, |_, _| true);
        self.clear();
    }

    /// Empties the buffer without output.
    pub fn clear(&mut self) {
        self.current = None;
        self.last_output = None;
        self.places = std::array::from_fn(|_| None);
        self.end = 0;
    }

    /// Drops one picture, for example one that failed to decode; it is neither output nor referred to.
    pub fn remove(&mut self, index: DpbIndex) -> Option<Entry<T>> {
        self.places.get_mut(usize::from(index.0))?.take()
    }

    /// The picture at a place.
    pub fn get(&self, index: DpbIndex) -> Option<&Entry<T>> {
        self.places.get(usize::from(index.0))?.as_ref()
    }

    /// The picture at a place.
    pub fn get_mut(&mut self, index: DpbIndex) -> Option<&mut Entry<T>> {
        self.places.get_mut(usize::from(index.0))?.as_mut()
    }

    /// The place of the picture inserted last, as long as it is held.
    pub fn current(&self) -> Option<DpbIndex> {
        self.current.filter(|&index| self.get(index).is_some())
    }

    /// The place that the next picture inserted will get: the lowest free one. Below 16 after
    /// [`begin`](Self::begin) for streams that keep the limits of their SPS, since the buffer, the current picture
    /// included, then holds `sps_max_dec_pic_buffering_minus1 + 1` pictures at most.
    pub fn next_index(&self) -> Option<DpbIndex> {
        self.places.iter().position(Option::is_none).map(|index| DpbIndex(index as u8))
    }

    /// All pictures held, by place.
    pub fn iter(&self) -> impl Iterator<Item = (DpbIndex, &Entry<T>)> {
        self.places[..self.end]
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| Some((DpbIndex(index as u8), entry.as_ref()?)))
    }

    /// Pictures held.
    pub fn len(&self) -> usize {
        self.held().count()
    }

    /// Whether no picture is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn held(&self) -> impl Iterator<Item = &Entry<T>> {
        self.places[..self.end].iter().flatten()
    }

    fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry<T>> {
        self.places[..self.end].iter_mut().flatten()
    }

    /// 8.3.2: resolves the reference picture set into an empty one and marks all pictures. Removes those that nothing needs
    /// any more.
    fn mark(&mut self, picture: &Picture, rps: &mut ResolvedRps) {
        let max_poc_lsb = picture.sps.max_pic_order_cnt_lsb();
        let named = &picture.rps;
        let short_term = [
            (ST_CURR_BEFORE, named.st_curr_before()),
            (ST_CURR_AFTER, named.st_curr_after()),
            (ST_FOLL, named.st_foll()),
        ];
        let long_term = [(LT_CURR, named.lt_curr()), (LT_FOLL, named.lt_foll())];
        let mut lengths = [0; 5];
        short_term.iter().for_each(|&(list, pocs)| lengths[list] = pocs.len());
        long_term.iter().for_each(|&(list, references)| lengths[list] = references.len());
        let lists = &mut rps.lists;
        lists.set_lengths(lengths);

        // A picture named as long-term is no candidate for the short-term lists.
        let mut held_long_term = 0u32;
        for (list, references) in long_term {
            for (entry, reference) in lists.list_mut(list).iter_mut().zip(references) {
                let found = self.iter().find(|(_, entry)| {
                    entry.marking != Marking::Unused && reference.names(entry.poc, max_poc_lsb)
                });
                *entry = RefEntry { poc: reference.poc, long_term: true, index: None };
                if let Some((index, found)) = found {
                    (entry.poc, entry.index) = (found.poc, Some(index));
                    held_long_term |= 1 << index.0;
                }
            }
        }
        for (list, pocs) in short_term {
            lists.list_mut(list).iter_mut().zip(pocs).for_each(|(entry, &poc)| entry.poc = poc);
        }
        for (index, place) in self.places[..self.end].iter_mut().enumerate() {
            let Some(held) = place else { continue };
            let before = std::mem::replace(&mut held.marking, Marking::Unused);
            if held_long_term >> index & 1 != 0 {
                held.marking = Marking::LongTerm;
            } else if before == Marking::ShortTerm {
                let entries = lists.all_mut().iter_mut().filter(|entry| entry.poc == held.poc);
                for entry in entries.filter(|entry| !entry.long_term && entry.index.is_none()) {
                    entry.index = Some(DpbIndex(index as u8));
                    held.marking = Marking::ShortTerm;
                }
            }
            if held.is_unneeded() {
                *place = None;
            }
        }
        self.shrink();
    }

    fn remove_unneeded(&mut self) {
        for place in &mut self.places[..self.end] {
            if place.as_ref().is_some_and(Entry::is_unneeded) {
                *place = None;
            }
        }
        self.shrink();
    }

    /// Lets `end` follow the last picture.
    fn shrink(&mut self) {
        while self.end > 0 && self.places[self.end - 1].is_none() {
            self.end -= 1;
        }
    }

    fn survey(&self) -> Survey {
        let latency = self.limits.max_latency_pictures.unwrap_or(u64::MAX);
        let mut survey = Survey { held: 0, references: 0, waiting: 0, late: false, first: None };
        for (place, entry) in self.places[..self.end].iter().enumerate() {
            let Some(entry) = entry else { continue };
            survey.held += 1;
            survey.references += usize::from(entry.marking != Marking::Unused);
            if !entry.needed_for_output {
                continue;
            }
            survey.waiting += 1;
            survey.late |= entry.latency_count >= latency;
            let at = (entry.sequence, entry.poc);
            if survey.first.is_none_or(|first| at < first.at) {
                survey.first = Some(First { at, place });
            }
        }
        survey
    }

    /// "Bumping" (C.5.2.4) as long as `more` says so and a picture waits for output.
    fn bump_while(&mut self, output: &mut Vec<Output<T>>, more: impl Fn(&Limits, &Survey) -> bool) {
        loop {
            let survey = self.survey();
            let Some(First { at: (sequence, poc), place }) = survey.first else { return };
            if !more(&self.limits, &survey) {
                return;
            }
            let place = &mut self.places[place];
            let Some(entry) = place else { return };
            entry.needed_for_output = false;
            self.last_output = self.last_output.max(Some((sequence, poc)));
            let payload = if entry.is_unneeded() {
                place.take().map(|entry| entry.payload)
            } else {
                Some(entry.payload.clone())
            };
            output.extend(payload.map(|payload| Output { poc, sequence, payload }));
            self.shrink();
        }
    }

    /// Finds a free place; a stream that breaks the limits of its SPS may need pictures to go first.
    fn place(&mut self, entry: Entry<T>, output: &mut Vec<Output<T>>) -> DpbIndex {
        let room = MAX_DPB_SIZE + usize::from(!entry.generated);
        if self.end >= room {
            self.bump_while(output, |_, survey| survey.held >= room);
        }
        let free = self.places.iter().position(Option::is_none).unwrap_or_else(|| {
            // More references than a reference picture set can name: pictures inserted without begin. The one with the
            // lowest order count goes.
            let oldest = (0..self.places.len())
                .min_by_key(|&index| self.places[index].as_ref().map(|entry| entry.poc));
            oldest.expect("the buffer has places")
        });
        self.places[free] = Some(entry);
        self.end = self.end.max(free + 1);
        DpbIndex(free as u8)
    }
}

#[cfg(test)]
mod tests;
