//! [`Files`]: many files, opened several at a time before they are needed, and kept for when they are needed again.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Video;
use crate::error::{Error, Result};

/// So many files are opened at a time, by so many threads: that takes the processor longer than to have a clip decoded.
const AHEAD: usize = 8;
const OPENERS: usize = 4;
/// Files that are kept, each with a descriptor, and pictures of all of them, each of which takes some 130 bytes.
const KEPT_FILES: usize = 64;
const KEPT_PICTURES: usize = 1 << 18;

/// What a file was when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    place: (u64, u64),
    size: u64,
    changed: (i64, i64),
    /// When anything of it changed, also the time of change.
    touched: (i64, i64),
}

impl From<Metadata> for State {
    fn from(file: Metadata) -> State {
        State {
            place: (file.dev(), file.ino()),
            size: file.size(),
            changed: (file.mtime(), file.mtime_nsec()),
            touched: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// Files, each of which is opened when it is first asked for, with some of those that come next. Those that were used last are kept,
/// up to 64 and some 260,000 pictures, with their indices; one that has changed since it was opened is opened anew.
///
/// ```no_run
/// use nvdec::video::Files;
///
/// let mut files = Files::new(["a.mp4", "b.mkv", "c.hevc"]);
/// for (file, next) in [(0, [2, 1]), (2, [1, 0]), (1, [0, 0]), (0, [0, 0])] {
///     let video = files.get(file, next)?;
///     println!("{} has {} pictures", files.paths()[file].display(), video.len());
/// }
/// # Ok::<(), nvdec::Error>(())
/// ```
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    /// Those that were opened before they are needed.
    ready: HashMap<usize, Result<(State, Video)>>,
    /// The one used last is the last.
    kept: Vec<(usize, State, Video)>,
}

impl Files {
    /// The files at `paths`, none of which is opened yet.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Files {
        let paths = paths.into_iter().map(Into::into).collect();
        Files { paths, ready: HashMap::new(), kept: Vec::new() }
    }

    /// Their paths.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The file with this number. `next` are the numbers of those that are wanted after it: the first seven may be opened with it.
    ///
    /// # Errors
    ///
    /// Those of [`Video::open`], and [`Error::NoFile`] if there is no such number.
    pub fn get(&mut self, file: usize, next: impl IntoIterator<Item = usize>) -> Result<Video> {
        let files = self.paths.len();
        if file >= files {
            return Err(Error::NoFile { file, files });
        }
        if let Some(video) = self.look_up(file)? {
            return Ok(video);
        }
        if !self.ready.contains_key(&file) {
            let next: Vec<usize> = next.into_iter().filter(|&other| other < files).take(AHEAD - 1).collect();
            // Not those that a caller who went elsewhere never came to use.
            self.ready.retain(|other, _| next.contains(other));
            let mut wanted = vec![file];
            for other in next {
                let is_here = self.ready.contains_key(&other) || self.kept.iter().any(|kept| kept.0 == other);
                if !is_here && !wanted.contains(&other) {
                    wanted.push(other);
                }
            }
            self.open_all(&wanted);
        }
        let (state, video) = match self.ready.remove(&file) {
            Some(Ok((was, video))) if was == state(&self.paths[file])? => (was, video),
            _ => self.open(file)?,
        };
        self.keep(file, state, &video);
        Ok(video)
    }

    /// Opens a file, if need be in the place of all that are kept: each of them has a descriptor.
    fn open(&mut self, file: usize) -> Result<(State, Video)> {
        match open(&self.paths[file]) {
            Err(error) if error.is_out_of_descriptors() && self.release() => open(&self.paths[file]),
            opened => opened,
        }
    }

    /// Keeps none of them open any longer: each has a descriptor, and a GPU takes some too. `false` if there was none.
    pub fn release(&mut self) -> bool {
        let any = !(self.kept.is_empty() && self.ready.is_empty());
        self.kept.clear();
        self.ready.clear();
        any
    }

    /// A file that is kept, if it is still the same.
    fn look_up(&mut self, file: usize) -> Result<Option<Video>> {
        let Some(at) = self.kept.iter().position(|kept| kept.0 == file) else { return Ok(None) };
        let kept = self.kept.remove(at);
        if kept.1 != state(&self.paths[file])? {
            return Ok(None);
        }
        let video = kept.2.clone();
        self.kept.push(kept);
        Ok(Some(video))
    }

    fn keep(&mut self, file: usize, state: State, video: &Video) {
        let coded = |video: &Video| video.index().pictures.pictures.len();
        if coded(video) > KEPT_PICTURES {
            return;
        }
        self.kept.push((file, state, video.clone()));
        let mut pictures: usize = self.kept.iter().map(|kept| coded(&kept.2)).sum();
        while self.kept.len() > KEPT_FILES || pictures > KEPT_PICTURES {
            pictures -= coded(&self.kept.remove(0).2);
        }
    }

    fn open_all(&mut self, wanted: &[usize]) {
        let paths = &self.paths;
        let open_part =
            |part: &[usize]| part.iter().map(|&file| (file, open(&paths[file]))).collect::<Vec<_>>();
        let parts: Vec<&[usize]> = wanted.chunks(wanted.len().div_ceil(OPENERS).max(1)).collect();
        let opened: Vec<_> = std::thread::scope(|scope| {
            let (own, others) = parts.split_first().expect("one is wanted");
            let workers: Vec<_> = others
                .iter()
                .map(|&part| {
                    let worker = std::thread::Builder::new().spawn_scoped(scope, move || open_part(part));
                    // Where there can be no more threads, this one does it.
                    worker.map_err(|_| part)
                })
                .collect();
            let mut all = open_part(own);
            for worker in workers {
                all.extend(match worker {
                    Ok(worker) => worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                    Err(part) => open_part(part),
                });
            }
            all
        });
        self.ready.extend(opened);
    }
}

fn state(path: &Path) -> Result<State> {
    Ok(std::fs::metadata(path).map_err(|source| Error::Source { source })?.into())
}

fn open(path: &Path) -> Result<(State, Video)> {
    // Before it is read: what changes later is seen.
    Ok((state(path)?, Video::open(path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("containers/tests/data/plain.mp4")
    }

    #[test]
    fn a_file_is_opened_once_and_again_when_it_has_changed() {
        let folder = std::env::temp_dir().join(format!("nvdec-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let paths: Vec<PathBuf> = (0..3).map(|number| folder.join(format!("{number}.mp4"))).collect();
        paths.iter().for_each(|path| _ = std::fs::copy(clip(), path).unwrap());
        let mut opened = Files::new(paths.clone());
        assert!(matches!(opened.get(3, []), Err(Error::NoFile { file: 3, files: 3 })));
        let first = opened.get(0, [1, 0, 2, 3]).unwrap();
        assert_eq!(opened.ready.len(), 2, "those behind it were opened too");
        assert!(std::ptr::eq(first.index(), opened.get(0, [1]).unwrap().index()));
        opened.get(1, []).unwrap();
        assert_eq!((opened.ready.len(), opened.kept.len()), (1, 2));
        // Another file by the same name.
        std::fs::copy(clip(), folder.join("new")).unwrap();
        std::fs::rename(folder.join("new"), &paths[0]).unwrap();
        assert!(!std::ptr::eq(first.index(), opened.get(0, []).unwrap().index()));
        std::fs::remove_file(&paths[1]).unwrap();
        assert!(opened.get(1, [2]).is_err());
        assert!(opened.get(1, [2]).is_err(), "each time");
        // It was opened with that one, and has changed since.
        assert!(opened.ready.contains_key(&2));
        std::fs::write(&paths[2], b"nothing").unwrap();
        assert!(opened.get(2, []).is_err());
        assert!(opened.get(2, []).is_err(), "each time");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_more_files_are_kept_than_there_is_room_for() {
        let mut opened = Files::new(vec![clip(); KEPT_FILES + 9]);
        for file in 0..KEPT_FILES + 9 {
            opened.get(file, file + 1..KEPT_FILES + 9).unwrap();
            assert!(opened.ready.len() < AHEAD);
        }
        assert_eq!((opened.kept.len(), opened.kept[0].0), (KEPT_FILES, 9));
    }
}
