//! What a container says of itself, and what the index of a film says of its pictures. Field names are those of the JSON output.

use std::fmt::Write;

use nvdec::video::containers::{Container, Format, Track, TrackKind};
use serde::Serialize;

use super::wanted::Seconds;
use super::{Film, codec_name, kind_name};

/// Most entries of an edit list that are printed.
const EDITS_SHOWN: usize = 4;

/// A container.
#[derive(Clone, Debug, Serialize)]
pub struct ContainerReport {
    /// Its format.
    pub format: &'static str,
    /// Its tracks.
    pub tracks: Vec<TrackReport>,
    /// The track that is decoded.
    pub track: usize,
    /// What its pictures are, if there are any.
    pub film: Option<FilmReport>,
    /// What it does otherwise than it should, and was read all the same.
    pub notes: Vec<String>,
}

/// A track.
#[derive(Clone, Debug, Serialize)]
pub struct TrackReport {
    /// Its number for `--track`.
    pub number: usize,
    /// What the container calls it: `track_ID`, `TrackNumber` or PID.
    pub id: u64,
    /// `video`, `sound` or `other`.
    pub kind: &'static str,
    /// Its codec.
    pub codec: String,
    /// Width and height of its pictures.
    pub size: Option<(u32, u32)>,
    /// Width and height of a sample in relation to each other.
    pub pixel_aspect: Option<(u32, u32)>,
    /// Degrees by which pictures are turned clockwise; `None` if they are mirrored or the like.
    pub rotation: Option<u16>,
    /// What is said of colours: primaries, transfer function and matrix in the numbers of H.273, and whether the range is full.
    pub colour: Option<ColourReport>,
    /// How long a tick is, in seconds as a fraction.
    pub time_base: (u32, u32),
    /// How long it lasts.
    pub duration_seconds: Option<f64>,
    /// Its language.
    pub language: Option<String>,
    /// Whether the container wants it used.
    pub enabled: bool,
    /// Its edit list: from when in the media, for how long, in seconds; no beginning for an empty edit.
    pub edits: Vec<EditReport>,
}

/// Colours.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ColourReport {
    /// `colour_primaries`.
    pub primaries: u16,
    /// `transfer_characteristics`.
    pub transfer: u16,
    /// `matrix_coefficients`.
    pub matrix: u16,
    /// Whether samples use all values, if that is said.
    pub full_range: Option<bool>,
}

/// An entry of an edit list.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EditReport {
    /// Where it begins in the media; `None` if nothing is shown.
    pub from_seconds: Option<f64>,
    /// How long it is; 0 to the end.
    pub duration_seconds: f64,
}

/// Pictures of a track.
#[derive(Clone, Debug, Serialize)]
pub struct FilmReport {
    /// Pictures that are shown.
    pub pictures: usize,
    /// Pictures that the stream has.
    pub coded_pictures: usize,
    /// Pictures with which decoding can begin.
    pub key_pictures: usize,
    /// Pictures that no other is predicted from.
    pub non_reference_pictures: usize,
    /// Pictures that need something that is not there.
    pub incomplete_pictures: usize,
    /// When the first one is shown.
    pub start_seconds: Option<f64>,
    /// Until when the last one is.
    pub end_seconds: Option<f64>,
    /// Pictures a second as a fraction.
    pub frame_rate: Option<(u32, u32)>,
    /// Whether the time from one picture to the next is always the same, within a tick.
    pub constant_rate: Option<bool>,
}

impl ContainerReport {
    /// Of a container, whose track number `track` is decoded. What its pictures are comes later.
    pub fn of(container: &Container, track: usize) -> ContainerReport {
        let tracks = container.tracks().iter().enumerate();
        ContainerReport {
            format: container.format().name(),
            tracks: tracks.map(|(number, track)| TrackReport::of(number, track)).collect(),
            track,
            film: None,
            notes: container.notes().to_vec(),
        }
    }

    /// Adds its pictures.
    pub fn add(&mut self, film: &Film) {
        self.notes = film.video().notes();
        self.film = Some(FilmReport::of(film));
    }

    /// Lines for people.
    pub fn render(&self, out: &mut String) {
        if self.format != Format::AnnexB.name() {
            let _ = writeln!(out, "container   {}", self.format);
            for track in &self.tracks {
                let mark = if track.number == self.track { "*" } else { " " };
                let _ = writeln!(out, "track {}{mark}    {}", track.number, track.describe());
            }
        }
        if let Some(film) = &self.film {
            film.render(out);
        }
        for note in &self.notes {
            let _ = writeln!(out, "note        {note}");
        }
    }
}

impl TrackReport {
    fn of(number: usize, track: &Track) -> TrackReport {
        let seconds = |ticks| track.time_base.seconds(ticks);
        TrackReport {
            number,
            id: track.id,
            kind: kind_name(track.kind),
            codec: codec_name(&track.codec),
            size: track.width.zip(track.height).filter(|_| track.kind == TrackKind::Video),
            pixel_aspect: track.pixel_aspect,
            rotation: track.rotation(),
            colour: track.colour.map(|colour| ColourReport {
                primaries: colour.colour_primaries,
                transfer: colour.transfer_characteristics,
                matrix: colour.matrix_coefficients,
                full_range: colour.full_range,
            }),
            time_base: (track.time_base.num, track.time_base.den),
            duration_seconds: track.duration.map(seconds),
            language: track.language.clone(),
            enabled: track.enabled,
            edits: track
                .edits
                .iter()
                .map(|edit| EditReport {
                    from_seconds: edit.media_time.map(seconds),
                    duration_seconds: seconds(edit.duration),
                })
                .collect(),
        }
    }

    fn describe(&self) -> String {
        let mut text = format!("{} {}", self.kind, self.codec);
        if let Some((width, height)) = self.size {
            let _ = write!(text, " {width}x{height}");
        }
        if let Some((width, height)) = self.pixel_aspect.filter(|(width, height)| width != height) {
            let _ = write!(text, ", samples {width}:{height}");
        }
        match self.rotation {
            Some(0) => {}
            Some(degrees) => _ = write!(text, ", turned by {degrees} degrees"),
            None => text.push_str(", mirrored or skewed"),
        }
        if let Some(ColourReport { primaries, transfer, matrix, full_range }) = self.colour {
            let _ = write!(text, ", primaries {primaries}, transfer {transfer}, matrix {matrix}");
            match full_range {
                Some(true) => text.push_str(", full range"),
                Some(false) => text.push_str(", limited range"),
                None => {}
            }
        }
        if let Some(seconds) = self.duration_seconds {
            let _ = write!(text, ", {} s", Seconds(seconds));
        }
        let _ = write!(text, ", ticks of {}/{} s", self.time_base.0, self.time_base.1);
        if let Some(language) = &self.language {
            let _ = write!(text, ", {language}");
        }
        if !self.enabled {
            text.push_str(", not enabled");
        }
        for edit in self.edits.iter().take(EDITS_SHOWN) {
            let _ = match edit.from_seconds {
                Some(from) => write!(text, ", edit from {} s", Seconds(from)),
                None => write!(text, ", nothing for {} s", Seconds(edit.duration_seconds)),
            };
            if edit.from_seconds.is_some() && edit.duration_seconds > 0.0 {
                let _ = write!(text, " for {} s", Seconds(edit.duration_seconds));
            }
        }
        if let Some(more) = self.edits.len().checked_sub(EDITS_SHOWN).filter(|&more| more > 0) {
            let _ = write!(text, " and {more} more edits");
        }
        text
    }
}

impl FilmReport {
    /// Of a film.
    pub fn of(film: &Film) -> FilmReport {
        let index = film.video().index();
        let all = || (0..index.len()).filter_map(|number| index.picture(number));
        let range = index.time_range();
        let steps: Option<Vec<i64>> = all().map(|picture| picture.pts).collect();
        let constant = steps.filter(|pts| range.is_some() && pts.len() > 1).map(|pts| {
            let steps = || pts.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
            // What is rounded to ticks may be one shorter or longer.
            steps().max().zip(steps().min()).is_some_and(|(most, least)| most - least <= 1)
        });
        FilmReport {
            pictures: index.len(),
            coded_pictures: index.coded_pictures(),
            key_pictures: index.keys().count(),
            non_reference_pictures: all().filter(|picture| !picture.reference).count(),
            incomplete_pictures: all().filter(|picture| picture.incomplete).count(),
            start_seconds: range.map(|(start, _)| start),
            end_seconds: range.map(|(_, end)| end),
            frame_rate: index.frame_rate(),
            constant_rate: constant,
        }
    }

    fn render(&self, out: &mut String) {
        let FilmReport { pictures, coded_pictures, key_pictures, non_reference_pictures, .. } = self;
        let _ = write!(out, "pictures    {pictures} shown");
        if coded_pictures != pictures {
            let _ = write!(out, " of {coded_pictures}");
        }
        let _ = write!(out, ", {key_pictures} to begin with, {non_reference_pictures} that no other needs");
        if self.incomplete_pictures > 0 {
            let _ = write!(out, ", {} that need what is not there", self.incomplete_pictures);
        }
        out.push('\n');
        if let Some((start, end)) = self.start_seconds.zip(self.end_seconds) {
            let _ = write!(out, "time        from {} to {} s", Seconds(start), Seconds(end));
            if let Some((rate, per)) = self.frame_rate {
                let _ = write!(out, ", {:.3} pictures/s", f64::from(rate) / f64::from(per));
            }
            if self.constant_rate == Some(false) {
                out.push_str(" on average");
            }
            out.push('\n');
        }
    }
}
