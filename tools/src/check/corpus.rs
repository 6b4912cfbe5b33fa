//! Which streams there are to check.

use std::fs;
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// Extension of the files with the sums.
const SUMS: &str = "framemd5";

/// A stream, and the file with the sums of its pictures or why it is not to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stream.
    pub stream: PathBuf,
    /// Its sums.
    pub sums: Result<PathBuf, &'static str>,
}

/// The streams of `paths` in the order given, those of a folder and its subfolders by name.
///
/// # Errors
///
/// [`Failure::Input`] for a path that cannot be read.
pub fn corpus(paths: &[PathBuf]) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for path in paths {
        let meta = fs::metadata(path)
            .map_err(|source| Failure::Input { path: path.display().to_string(), source })?;
        if meta.is_dir() {
            folder(path, &mut entries)?;
        } else {
            entries.push(
                entry(path).unwrap_or_else(|| Entry {
                    stream: path.clone(),
                    sums: Err("no .framemd5 file beside it"),
                }),
            );
        }
    }
    Ok(entries)
}

/// Extensions of streams that are looked for without sums.
const STREAMS: [&str; 6] = ["hevc", "h265", "265", "bit", "bin", "hvc"];

/// Extensions of containers.
const CONTAINERS: [&str; 12] =
    ["mp4", "m4v", "mov", "qt", "cmfv", "mkv", "webm", "ts", "mts", "m2ts", "m2t", "trp"];

/// The streams and containers of `paths`, whether there are sums beside them or not, each with its name: its path within the folder
/// that was given, the name alone of a file. By name.
///
/// # Errors
///
/// [`Failure::Input`] for a path that cannot be read.
pub fn films(paths: &[PathBuf]) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut streams = Vec::new();
    for path in paths {
        let meta = fs::metadata(path)
            .map_err(|source| Failure::Input { path: path.display().to_string(), source })?;
        let mut found = Vec::new();
        if meta.is_dir() {
            walk(path, &mut |path| {
                let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
                if STREAMS.contains(&&*extension)
                    || CONTAINERS.contains(&&*extension)
                    || entry(&path).is_some()
                {
                    found.push(path);
                }
            })?;
        } else {
            found.push(path.clone());
        }
        streams.extend(found.into_iter().map(|found| {
            let within = found.strip_prefix(path).ok().filter(|within| !within.as_os_str().is_empty());
            let name = within.or_else(|| found.file_name().map(Path::new)).unwrap_or(&found);
            (name.display().to_string(), found)
        }));
    }
    streams.sort();
    Ok(streams)
}

fn folder(path: &Path, entries: &mut Vec<Entry>) -> Result<(), Failure> {
    walk(path, &mut |path| entries.extend(entry(&path)))
}

/// All files of a folder and its subfolders, by name.
fn walk(path: &Path, take: &mut dyn FnMut(PathBuf)) -> Result<(), Failure> {
    let failure = |source| Failure::Input { path: path.display().to_string(), source };
    let mut children = Vec::new();
    for child in fs::read_dir(path).map_err(failure)? {
        let child = child.map_err(failure)?;
        children.push((child.path(), child.file_type().map_err(failure)?));
    }
    children.sort_by(|a, b| a.0.cmp(&b.0));
    for (path, kind) in children {
        // Links to folders are not followed: they may lead in circles.
        if kind.is_dir() {
            walk(&path, take)?;
        } else {
            take(path);
        }
    }
    Ok(())
}

/// `X.framemd5` belongs to `X`.
fn entry(path: &Path) -> Option<Entry> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    if extension == SUMS {
        return None;
    }
    let mut sums = path.as_os_str().to_owned();
    sums.push(".");
    sums.push(SUMS);
    let sums = PathBuf::from(sums);
    sums.is_file().then(|| Entry { stream: path.to_owned(), sums: Ok(sums) })
}
