//! Where the pipeline has its packets from: [`Nals`] of a byte stream, or certain pictures of a [`Film`].

use std::io;

use bitstream::{AnnexBReader, Rbsp};
use hevc::nal::NalHeader;
use hevc::{NalUnitType, Vps};
use nvdec::video::Selection;
use nvdec::{Frame, Packet, Source};

use super::info::StreamInfo;
use crate::exit::Failure;
use crate::film::Film;
use crate::input::Feed;

/// Bytes of a NAL unit that may tell whether it ends a picture, and that do.
const BEGINNING: (usize, usize) = (2, 3);
/// Ends the NAL unit before it.
const START_CODE: [u8; 3] = [0, 0, 1];

/// The NAL units of a byte stream, counted. Before it has to wait for more of the stream, it has the picture end that is
/// complete, and says once that there is nothing for now.
pub(super) struct Nals<'a> {
    name: &'a str,
    source: &'a mut dyn Feed,
    reader: AnnexBReader,
    chunk: Vec<u8>,
    /// The NAL unit that is to be sent.
    next: Option<Vec<u8>>,
    /// What was read ends where an access unit ends.
    whole: bool,
    /// NAL units behind which the decoder was told what comes next, and how many bytes of that; all of them where the picture
    /// is complete.
    told: (u64, usize),
    /// It was said that the source has nothing for now.
    waits: bool,
    ended: bool,
    bytes: u64,
    count: u64,
    /// The frame rate may be in the VPS, which the decoder does not keep.
    vps: Option<Vps>,
    /// NAL units that could not be read.
    errors: Vec<nvdec::Error>,
    /// Why the source could not be read.
    failure: Option<Failure>,
}

impl<'a> Nals<'a> {
    pub(super) fn new(name: &'a str, source: &'a mut dyn Feed) -> Nals<'a> {
        let chunk = vec![0; source.chunk()];
        Nals {
            name,
            source,
            reader: AnnexBReader::new(),
            chunk,
            next: None,
            whole: false,
            told: (0, 0),
            waits: false,
            ended: false,
            bytes: 0,
            count: 0,
            vps: None,
            errors: Vec::new(),
            failure: None,
        }
    }

    /// Reads on. `false` at the end.
    fn read(&mut self) -> Result<bool, Failure> {
        let read = loop {
            match self.source.read(&mut self.chunk) {
                Ok(read) => break read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Failure::Input { path: self.name.to_owned(), source }),
            }
        };
        if read == 0 {
            self.reader.finish();
            return Ok(false);
        }
        self.whole = self.source.is_whole();
        let end: &[u8] = if self.whole { &START_CODE } else { &[] };
        for bytes in [&self.chunk[..read], end] {
            if let Err(source) = self.reader.feed(bytes) {
                self.errors.push(nvdec::Error::Bitstream { offset: self.bytes, source: source.into() });
            }
        }
        self.bytes += read as u64;
        Ok(true)
    }

    /// What tells the decoder whether the picture of the NAL units so far is complete, which the next one might say late.
    fn news(&self) -> Option<Packet<'_>> {
        if self.whole {
            return (self.told < (self.count, usize::MAX)).then(|| Packet::access_unit(&[]));
        }
        let beginning = self.reader.unfinished();
        let known = (self.count, beginning.len().min(BEGINNING.1));
        (known.1 >= BEGINNING.0 && self.told < known).then(|| Packet::beginning(beginning))
    }

    fn note_vps(&mut self) {
        if let Some(nal) = &self.next
            && let Ok(header) = NalHeader::parse(nal)
            && header.nal_unit_type == NalUnitType::VPS_NUT
            && header.nuh_layer_id == 0
            && let Ok(vps) = Vps::parse(Rbsp::new(&nal[NalHeader::SIZE..]).bytes())
        {
            self.vps = Some(vps);
        }
    }
}

impl Source for Nals<'_> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        while self.next.is_none() {
            if let Some(nal) = self.reader.next_nal() {
                self.next = Some(nal.to_vec());
                self.count += 1;
                self.note_vps();
            } else if self.ended {
                return Ok(None);
            } else if self.news().is_some() {
                return Ok(self.news());
            } else if !self.waits && self.source.would_wait() {
                self.waits = true;
                return Err(io::ErrorKind::WouldBlock.into());
            } else {
                match self.read() {
                    Ok(more) => (self.ended, self.waits) = (!more, false),
                    Err(failure) => {
                        self.failure = Some(failure);
                        return Err(io::Error::other("the input cannot be read"));
                    }
                }
            }
        }
        Ok(self.next.as_deref().map(Packet::unit))
    }

    fn advance(&mut self) {
        if self.next.take().is_none() {
            let bytes = if self.whole { usize::MAX } else { self.reader.unfinished().len().min(BEGINNING.1) };
            self.told = (self.count, bytes);
        }
    }
}

/// Certain pictures of a film, counted.
pub(super) struct Pictures<'a> {
    film: &'a Film,
    selection: Selection,
    /// Pictures that the decoder is to be sent.
    planned: usize,
    /// Bytes of the packet that is to be sent.
    next: usize,
    bytes: u64,
    count: u64,
}

/// What the decoder is sent.
pub(super) enum Supply<'a> {
    Stream(Nals<'a>),
    Film(Pictures<'a>),
}

impl<'a> Supply<'a> {
    /// Pictures of a film, by their numbers.
    pub(super) fn film(film: &'a Film, numbers: &[usize]) -> Result<Supply<'a>, Failure> {
        let selection = film.video().select(numbers.iter().copied())?;
        let planned = selection.coded_pictures_left();
        Ok(Supply::Film(Pictures { film, selection, planned, next: 0, bytes: 0, count: 0 }))
    }

    /// Bytes and NAL units that were read so far.
    pub(super) fn read(&self) -> (u64, u64) {
        match self {
            Supply::Stream(nals) => (nals.bytes, nals.count),
            Supply::Film(pictures) => (pictures.bytes, pictures.count),
        }
    }

    /// Pictures of a film that were read so far. Nobody knows how many there are in a stream.
    pub(super) fn sent(&self) -> Option<u64> {
        match self {
            Supply::Stream(_) => None,
            Supply::Film(Pictures { selection, planned, .. }) => {
                Some((planned - selection.coded_pictures_left()) as u64)
            }
        }
    }

    /// Whether the source would have to be waited for.
    pub(super) fn would_wait(&mut self) -> bool {
        match self {
            Supply::Stream(nals) => nals.source.would_wait(),
            Supply::Film(_) => false,
        }
    }

    /// The NAL units that could not be told apart.
    pub(super) fn take_errors(&mut self) -> Vec<nvdec::Error> {
        match self {
            Supply::Stream(nals) => std::mem::take(&mut nals.errors),
            Supply::Film(_) => Vec::new(),
        }
    }

    /// What an error of the decoder says to the user.
    pub(super) fn failure(&mut self, error: nvdec::Error) -> Failure {
        match (self, error) {
            (Supply::Film(pictures), nvdec::Error::Source { source }) => {
                Failure::Input { path: pictures.film.name().to_owned(), source }
            }
            (Supply::Stream(nals), error) => nals.failure.take().unwrap_or(error.into()),
            (_, error) => error.into(),
        }
    }

    /// What the stream says of itself, with what is said outside of it.
    pub(super) fn describe(&self, sps: &hevc::Sps) -> StreamInfo {
        match self {
            Supply::Stream(nals) => StreamInfo::of(sps, nals.vps.as_ref()),
            Supply::Film(pictures) => {
                let mut info = StreamInfo::of(sps, None);
                pictures.film.complete(&mut info);
                info
            }
        }
    }
}

impl Source for Supply<'_> {
    fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        match self {
            Supply::Stream(nals) => nals.packet(),
            Supply::Film(Pictures { selection, next, .. }) => {
                let packet = selection.packet()?;
                *next = packet.as_ref().map_or(0, |packet| packet.data().len());
                Ok(packet)
            }
        }
    }

    fn advance(&mut self) {
        match self {
            Supply::Stream(nals) => nals.advance(),
            Supply::Film(pictures) => {
                // A splice has no bytes.
                pictures.count += u64::from(pictures.next > 0);
                pictures.bytes += std::mem::take(&mut pictures.next) as u64;
                pictures.selection.advance();
            }
        }
    }

    fn wants(&self, frame: &Frame) -> bool {
        match self {
            Supply::Stream(_) => true,
            Supply::Film(pictures) => pictures.selection.wants(frame),
        }
    }
}
