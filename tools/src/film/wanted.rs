//! [`Wanted`]: which pictures of a film are asked for on the command line.

use std::fmt;
use std::str::FromStr;

use super::Film;
use crate::exit::Failure;

/// A text that is none of what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {expected}")]
pub struct ParseError {
    text: String,
    expected: &'static str,
}

/// A time in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub f64);

impl FromStr for Seconds {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Seconds, ParseError> {
        let wrong =
            || ParseError { text: text.to_owned(), expected: "time, such as 90.5, 1:30.5 or 0:01:30.5" };
        let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let mut parts = text.rsplit(':');
        let seconds = parts.next().filter(|part| is_number(part)).ok_or_else(wrong)?;
        let mut sum: f64 = seconds.parse().map_err(|_| wrong())?;
        let mut unit = 60.0;
        let is_alone = !text.contains(':');
        for part in parts {
            // Three parts at most, and no seconds of more than a minute behind minutes.
            if unit > 3600.0 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(wrong());
            }
            sum += unit * part.parse::<u32>().map(f64::from).map_err(|_| wrong())?;
            unit *= 60.0;
        }
        let is_sexagesimal = seconds.parse::<f64>().is_ok_and(|seconds| seconds < 60.0);
        if sum.is_finite() && (is_alone || is_sexagesimal) { Ok(Seconds(sum)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No more digits than tell pictures apart.
        let text = format!("{:.6}", self.0);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Pictures by their numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    first: usize,
    /// `None` for the last one that there is.
    last: Option<usize>,
}

impl FromStr for Numbers {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Numbers, ParseError> {
        let wrong = || ParseError {
            text: text.to_owned(),
            expected: "number of a picture or range of numbers, such as 7, 10-20 or 100-",
        };
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let numbers = match text.split_once('-') {
            None => {
                let number = number(text)?;
                Numbers { first: number, last: Some(number) }
            }
            Some((first, "")) => Numbers { first: number(first)?, last: None },
            Some((first, last)) => Numbers { first: number(first)?, last: Some(number(last)?) },
        };
        if numbers.last.is_some_and(|last| last < numbers.first) { Err(wrong()) } else { Ok(numbers) }
    }
}

/// How far pictures lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    /// In seconds.
    Seconds(f64),
    /// In pictures.
    Pictures(usize),
}

impl FromStr for Every {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Every, ParseError> {
        let every = match text.strip_suffix('s') {
            Some(seconds) => {
                seconds.parse().ok().filter(|&seconds: &f64| seconds >= 0.001).map(Every::Seconds)
            }
            None => text.parse().ok().filter(|&pictures| pictures > 0).map(Every::Pictures),
        };
        every.filter(|every| !matches!(every, Every::Seconds(seconds) if !seconds.is_finite())).ok_or_else(
            || ParseError {
                text: text.to_owned(),
                expected: "distance: of pictures, such as 10, or of time, such as 2s or 0.5s",
            },
        )
    }
}

/// Columns and rows of a contact sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Pictures in a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
}

impl FromStr for Grid {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Grid, ParseError> {
        let part = |text: &str| text.parse().ok().filter(|part| (1..=32).contains(part));
        let grid = text
            .split_once('x')
            .and_then(|(columns, rows)| Some(Grid { columns: part(columns)?, rows: part(rows)? }));
        let expected = "columns and rows, 1x1 to 32x32, such as 4x4";
        grid.ok_or_else(|| ParseError { text: text.to_owned(), expected })
    }
}

/// Which pictures are asked for. Nothing of it is all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// By their numbers.
    pub numbers: Vec<Numbers>,
    /// By times at which they are shown.
    pub at: Vec<Seconds>,
    /// From the one that is shown then.
    pub start: Option<Seconds>,
    /// As long as they begin before that.
    pub end: Option<Seconds>,
    /// Of those, some at a distance.
    pub every: Option<Every>,
    /// Of those, as many as a sheet has room for, evenly spread.
    pub spread: Option<Grid>,
    /// No more than so many.
    pub frames: Option<u64>,
}

impl Wanted {
    /// Whether pictures are chosen otherwise than by decoding from the beginning and stopping.
    pub fn is_choice(&self) -> bool {
        let Wanted { numbers, at, start, end, every, spread, frames: _ } = self;
        let is_timed = !at.is_empty() || start.is_some() || end.is_some();
        !numbers.is_empty() || is_timed || every.is_some() || spread.is_some()
    }

    /// The numbers of the pictures, ascending.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a picture that there is not, and for times where there are none.
    pub fn of(&self, film: &Film) -> Result<Vec<usize>, Failure> {
        let index = film.video().index();
        let usage = |text: String| Failure::Usage(format!("{}: {text}", film.name()));
        let last = index.len().saturating_sub(1);
        let mut found = Vec::new();
        for &Numbers { first, last: end } in &self.numbers {
            let end = end.unwrap_or(last);
            if first.max(end) > last {
                let picture = if first > last { first } else { end };
                return Err(usage(format!("there is no picture {picture}: they are 0 to {last}")));
            }
            found.extend(first..=end);
        }
        let is_timed = !self.at.is_empty()
            || self.start.is_some()
            || self.end.is_some()
            || matches!(self.every, Some(Every::Seconds(_)));
        let range = index.time_range();
        if is_timed && range.is_none() {
            let why = "nothing says when its pictures are shown; choose them with --numbers or --every N";
            return Err(usage(why.to_owned()));
        }
        let (origin, (begin, finish)) = (film.origin(), range.unwrap_or_default());
        let shown =
            || format!("pictures are shown from {} to {}", Seconds(begin - origin), Seconds(finish - origin));
        for &Seconds(time) in &self.at {
            let picture = index.at(origin + time);
            found.push(
                picture
                    .ok_or_else(|| usage(format!("nothing is shown at {}: {}", Seconds(time), shown())))?,
            );
        }
        if self.numbers.is_empty() && self.at.is_empty() {
            let time = |seconds: Option<Seconds>, or: f64| seconds.map_or(or, |Seconds(time)| origin + time);
            let (start, end) = (time(self.start, begin), time(self.end, finish));
            let rate = match self.every {
                Some(Every::Seconds(step)) => Some(1.0 / step),
                _ => None,
            };
            found = match is_timed {
                true => index.between(start, end, rate),
                false => (0..index.len()).collect(),
            };
            if found.is_empty() {
                return Err(usage(format!("nothing is shown between --start and --end: {}", shown())));
            }
            found.sort_unstable();
            found.dedup();
            if let Some(Every::Pictures(step)) = self.every {
                found = found.into_iter().step_by(step).collect();
            }
        }
        found.sort_unstable();
        found.dedup();
        if let Some(grid) = self.spread {
            found = spread(&found, (grid.columns * grid.rows) as usize);
        }
        found.truncate(self.frames.and_then(|frames| usize::try_from(frames).ok()).unwrap_or(usize::MAX));
        Ok(found)
    }
}

/// `count` of `numbers`, each from the middle of a part of them, or all if there are no more.
fn spread(numbers: &[usize], count: usize) -> Vec<usize> {
    if numbers.len() <= count {
        return numbers.to_vec();
    }
    (0..count).map(|part| numbers[(2 * part + 1) * numbers.len() / (2 * count)]).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn film(name: &str) -> Film {
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "../nvdec/containers/tests/data", name].iter().collect();
        Film::open(name, std::fs::File::open(path).unwrap(), None).unwrap()
    }

    #[test]
    fn times_have_minutes_and_hours() {
        let of = |text: &str| text.parse::<Seconds>().ok().map(|Seconds(time)| time);
        assert_eq!([of("90.5"), of("1:30.5"), of("0:01:30.5")], [Some(90.5); 3]);
        assert_eq!(
            (of("0"), of("3600"), of("1:00:00"), of(".5")),
            (Some(0.0), Some(3600.0), Some(3600.0), Some(0.5))
        );
        for wrong in ["", "x", "-1", "1:60", "1:2:3:4", "1:", ":1", "inf", "nan", "1e400", "1:-2", "1.5:00"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!((Seconds(1.5).to_string(), Seconds(2.0).to_string()), ("1.5".into(), "2".into()));
    }

    #[test]
    fn numbers_and_distances_parse() {
        assert_eq!("7".parse(), Ok(Numbers { first: 7, last: Some(7) }));
        assert_eq!("7-9".parse(), Ok(Numbers { first: 7, last: Some(9) }));
        assert_eq!("7-".parse(), Ok(Numbers { first: 7, last: None }));
        for wrong in ["", "-", "-3", "9-7", "1-2-3", "x"] {
            assert!(wrong.parse::<Numbers>().is_err(), "{wrong}");
        }
        assert_eq!(("10".parse(), "0.5s".parse()), (Ok(Every::Pictures(10)), Ok(Every::Seconds(0.5))));
        for wrong in ["", "0", "s", "0s", "-1s", "infs", "nans", "1.5"] {
            assert!(wrong.parse::<Every>().is_err(), "{wrong}");
        }
        assert_eq!("4x3".parse(), Ok(Grid { columns: 4, rows: 3 }));
        for wrong in ["4", "0x1", "33x1", "4x", "4X4"] {
            assert!(wrong.parse::<Grid>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn pictures_are_found() {
        // 24 pictures in a second.
        let film = film("plain.mp4");
        let of = |wanted: Wanted| wanted.of(&film).unwrap();
        let at = |times: &[f64]| times.iter().copied().map(Seconds).collect();
        assert_eq!(of(Wanted::default()), (0..24).collect::<Vec<_>>());
        assert_eq!(of(Wanted { at: at(&[0.5, 0.0, 0.51]), ..Wanted::default() }), [0, 12]);
        let numbers = vec!["20-".parse().unwrap(), "3".parse().unwrap()];
        assert_eq!(of(Wanted { numbers: numbers.clone(), ..Wanted::default() }), [3, 20, 21, 22, 23]);
        assert_eq!(of(Wanted { numbers, frames: Some(2), ..Wanted::default() }), [3, 20]);
        let range = Wanted { start: Some(Seconds(0.25)), end: Some(Seconds(0.5)), ..Wanted::default() };
        assert_eq!(of(range.clone()), [6, 7, 8, 9, 10, 11]);
        assert_eq!(of(Wanted { every: Some(Every::Pictures(4)), ..range.clone() }), [6, 10]);
        assert_eq!(of(Wanted { every: Some(Every::Seconds(0.125)), ..range.clone() }), [6, 9]);
        assert_eq!(of(Wanted { every: Some(Every::Pictures(10)), ..Wanted::default() }), [0, 10, 20]);
        let sheet = Some(Grid { columns: 2, rows: 2 });
        assert_eq!(of(Wanted { spread: sheet, ..Wanted::default() }), [3, 9, 15, 21]);
        let wide = Some(Grid { columns: 10, rows: 10 });
        assert_eq!(of(Wanted { spread: wide, ..range }), [6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn what_there_is_not_is_said() {
        let film = film("plain.mp4");
        let said = |wanted: Wanted| wanted.of(&film).unwrap_err().to_string();
        let late = said(Wanted { at: vec![Seconds(9.0)], ..Wanted::default() });
        assert_eq!(late, "plain.mp4: nothing is shown at 9: pictures are shown from 0 to 1");
        let number = said(Wanted { numbers: vec!["3-24".parse().unwrap()], ..Wanted::default() });
        assert_eq!(number, "plain.mp4: there is no picture 24: they are 0 to 23");
        let none = said(Wanted { start: Some(Seconds(1.0)), ..Wanted::default() });
        assert!(none.contains("between --start and --end"), "{none}");
    }

    #[test]
    fn a_transport_stream_begins_at_its_first_picture() {
        let film = film("transport.ts");
        assert!(film.origin() > 1.0);
        let half = Wanted { at: vec![Seconds(0.5)], ..Wanted::default() };
        assert_eq!(half.of(&film).unwrap(), [12]);
    }
}
