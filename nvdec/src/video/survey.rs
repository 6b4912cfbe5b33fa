//! [`Survey`]: what the headers of a stream say of its pictures, and [`survey`], which asks one for all packets of a track.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use arrayvec::ArrayVec;
use bitflags::bitflags;

use crate::error::{Error, Result, SyntaxError};
use crate::pictures::info::Colour;
use crate::surface::format::{Rect, SurfaceFormat};

/// Most pictures that one may be predicted from.
pub(super) const MAX_NEEDS: usize = 16;

bitflags! {
    /// What a picture is.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Flags: u8 {
        /// A random access point: nothing that comes after it in output order needs anything before it.
        const KEY = 1;
        /// No picture from here on is predicted from one before.
        const BEGINS_SEQUENCE = 1 << 1;
        /// Decoding can begin with it.
        const START = 1 << 2;
        /// Its order count is what that of the pictures behind it is counted from.
        const ANCHOR = 1 << 3;
        /// Others are predicted from it.
        const REFERENCE = 1 << 4;
        /// A decoder passes over it: it cannot be decoded where it stands.
        const DROPPED = 1 << 5;
        /// Something that it is predicted from is not in the stream.
        const INCOMPLETE = 1 << 6;
        /// A decoder passes over it if it begins with the key picture before it.
        const LEADING = 1 << 7;
    }
}

/// A picture as its headers describe it.
#[derive(Clone, Debug)]
pub(crate) struct Surveyed {
    pub(crate) flags: Flags,
    pub(crate) temporal_layer: u8,
    /// Picture order count.
    pub(crate) order_count: i32,
    /// Its least significant bits that the stream has; the rest follows from the [anchor](Flags::ANCHOR) before.
    pub(crate) order_count_bits: u8,
    /// The pictures that its slices are predicted from, ascending.
    pub(crate) needs: ArrayVec<u32, MAX_NEEDS>,
}

/// What pictures are, by the first one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Described {
    pub(crate) format: SurfaceFormat,
    pub(crate) coded: (u32, u32),
    pub(crate) shown: Rect,
    pub(crate) colour: Colour,
    /// Pictures a second as a fraction, where the stream says that they are so many.
    pub(crate) rate: Option<(u32, u32)>,
}

/// Which of a codec's parameter sets one is. They are sent in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParameterKey {
    /// By kind: those that others refer to come first.
    pub(crate) kind: u8,
    pub(crate) id: u8,
}

/// A picture, in decoding order.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) surveyed: Surveyed,
    /// The packet in which its bytes begin, and where in that.
    pub(super) packet: u32,
    pub(super) offset: u32,
}

/// A parameter set that comes into force with the bytes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameter {
    /// The picture, by its position in decoding order.
    pub(super) position: u32,
    pub(super) key: ParameterKey,
    /// Number of its content.
    pub(super) content: u32,
}

/// What a survey of a track found.
#[derive(Clone, Debug)]
pub(super) struct Pictures {
    pub(super) described: Described,
    pub(super) pictures: Vec<Picture>,
    /// Those that come out, in output order, by their position in decoding order.
    pub(super) shown: Vec<u32>,
    /// Parameter sets, each content once.
    pub(super) contents: Vec<Vec<u8>>,
    /// When they come into force, ascending.
    pub(super) changes: Vec<Parameter>,
}

/// Where a unit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// With the picture that comes, if one does before another slice of the present one.
    Before,
    /// Likewise; it is a parameter set.
    Parameters(ParameterKey),
    /// It begins a picture.
    Begins,
    /// With the picture before it.
    Within,
    /// With what is around it.
    Anywhere,
}

/// Reads headers as the front end of the codec does, and decodes nothing.
pub(crate) trait Survey: fmt::Debug {
    /// Takes a unit, or the beginning of one. Pictures are added to `found` in decoding order; what becomes due for output is
    /// added to `shown`, in that order. `None` if the beginning does not say enough: it is to be given again as a whole, and no more
    /// was taken from it than that the picture before has ended.
    fn unit(
        &mut self,
        unit: &[u8],
        is_whole: bool,
        found: &mut Vec<Surveyed>,
        shown: &mut Vec<u32>,
    ) -> Option<Role>;

    /// The stream has ended.
    fn finish(&mut self, found: &mut Vec<Surveyed>, shown: &mut Vec<u32>);

    /// What the pictures are, once there was one.
    fn described(&self) -> Option<Described>;

    /// The first unit that could not be read, for a stream in which there is no picture.
    fn take_error(&mut self) -> Option<SyntaxError>;
}

/// Surveys a track, packet by packet.
#[derive(Debug)]
pub(super) struct Surveyor {
    survey: Box<dyn Survey>,
    found: Vec<Surveyed>,
    shown: Vec<u32>,
    /// Where the bytes of each picture begin: packet, and offset in that.
    starts: Vec<(u32, u32)>,
    /// Where the first unit stands that may be in front of the next picture.
    before: Option<(u32, u32)>,
    /// Parameter sets since then.
    news: Vec<(ParameterKey, Vec<u8>)>,
    /// The parameter sets in force, as numbers of contents.
    in_force: BTreeMap<ParameterKey, u32>,
    /// Each content once, with its number: most streams repeat theirs.
    contents: HashMap<Vec<u8>, u32>,
    changes: Vec<Parameter>,
}

impl Surveyor {
    /// A surveyor of a stream whose container has these parameter sets besides.
    pub(super) fn new(survey: Box<dyn Survey>, parameter_sets: &[Vec<u8>]) -> Surveyor {
        let mut surveyor = Surveyor {
            survey,
            found: Vec::new(),
            shown: Vec::new(),
            starts: Vec::new(),
            before: None,
            news: Vec::new(),
            in_force: BTreeMap::new(),
            contents: HashMap::new(),
            changes: Vec::new(),
        };
        for set in parameter_sets {
            let role = surveyor.survey.unit(set, true, &mut surveyor.found, &mut surveyor.shown);
            if let Some(Role::Parameters(key)) = role {
                surveyor.news.push((key, set.clone()));
            }
        }
        // They stand before whatever is in the packets.
        surveyor.settle(0);
        surveyor
    }

    /// Takes the parameter sets that came for the picture at `position`.
    fn settle(&mut self, position: u32) {
        for (key, set) in self.news.drain(..) {
            let next = self.contents.len() as u32;
            let content = *self.contents.entry(set).or_insert(next);
            if self.in_force.insert(key, content) != Some(content) {
                self.changes.push(Parameter { position, key, content });
            }
        }
    }

    /// Takes a unit, or the beginning of one, whose bytes begin at `offset` of `packet` with what tells it apart from the one
    /// before it. `false` if the beginning is not enough: it is to be given again as a whole.
    pub(super) fn unit(&mut self, unit: &[u8], is_whole: bool, packet: u32, offset: u32) -> bool {
        let at = (packet, offset);
        let Some(role) = self.survey.unit(unit, is_whole, &mut self.found, &mut self.shown) else {
            return false;
        };
        match role {
            Role::Before => _ = self.before.get_or_insert(at),
            Role::Parameters(key) => {
                self.before.get_or_insert(at);
                debug_assert!(is_whole, "a parameter set was read from its beginning");
                self.news.push((key, unit.to_vec()));
            }
            Role::Within => {
                self.before = None;
                // Their bytes are among those of the picture that goes on.
                self.settle((self.starts.len() as u32).saturating_sub(1));
            }
            Role::Anywhere => {}
            Role::Begins => {
                let at = self.before.take().unwrap_or(at);
                self.settle(self.starts.len() as u32);
                self.starts.push(at);
            }
        }
        true
    }

    /// All of the stream was taken.
    ///
    /// # Errors
    ///
    /// [`Error::NoPictures`].
    pub(super) fn finish(mut self) -> Result<Pictures> {
        self.survey.finish(&mut self.found, &mut self.shown);
        let Some(described) = self.survey.described() else {
            return Err(Error::NoPictures { source: self.survey.take_error() });
        };
        let pictures = self.found.into_iter().zip(self.starts);
        let pictures =
            pictures.map(|(surveyed, (packet, offset))| Picture { surveyed, packet, offset }).collect();
        let Surveyor { shown, changes, .. } = self;
        let mut contents = vec![Vec::new(); self.contents.len()];
        for (content, number) in self.contents {
            contents[number as usize] = content;
        }
        Ok(Pictures { described, pictures, shown, contents, changes })
    }
}
