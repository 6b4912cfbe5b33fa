//! [`OutputFile`]: a file that is there whole or not at all, and [`Sources`]: what must not be written to.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Seek, SeekFrom, Stdout, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::exit::Failure;
use crate::interrupt::Unfinished;

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;
/// Most symbolic links that are followed; the kernel follows as many.
const MAX_LINKS: usize = 40;
/// Most names that are tried for a file that is being written.
const MAX_NAMES: u32 = 1000;

/// Whether `path` stands for standard input or output.
pub fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// Which file something is, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileId {
    /// One that exists: its device and inode.
    Existing(u64, u64),
    /// One that does not exist: device and inode of its folder, and its name.
    New(u64, u64, PathBuf),
    /// Standard output that is no file.
    StandardOutput,
}

impl FileId {
    /// Of a file that can be overwritten. Pipes, terminals and the like are as many as write to them.
    fn of(meta: &Metadata) -> Option<FileId> {
        let kind = meta.file_type();
        (kind.is_file() || kind.is_block_device()).then(|| FileId::Existing(meta.dev(), meta.ino()))
    }

    fn of_stdin() -> Option<FileId> {
        FileId::of(&File::from(io::stdin().as_fd().try_clone_to_owned().ok()?).metadata().ok()?)
    }

    fn of_stdout() -> Option<FileId> {
        FileId::of(&File::from(io::stdout().as_fd().try_clone_to_owned().ok()?).metadata().ok()?)
    }

    fn of_output(path: &Path) -> Option<FileId> {
        match Place::of(path).ok()? {
            Place::StandardOutput => FileId::of_stdout().or(Some(FileId::StandardOutput)),
            Place::Direct(path) => FileId::of(&fs::metadata(path).ok()?),
            Place::Whole { existing: Some(meta), .. } => FileId::of(&meta),
            Place::Whole { path, existing: None } => {
                let folder = fs::metadata(folder(&path)).ok()?;
                Some(FileId::New(folder.dev(), folder.ino(), path.file_name()?.into()))
            }
        }
    }
}

/// The folder that `path` is in.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The files that a program reads, whatever their names: through links, from standard input.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<(String, FileId)>,
}

impl Sources {
    /// The files at `inputs`; `-` is standard input. Those that cannot be looked at are left out: opening them says
    /// why.
    pub fn of<'a>(inputs: impl IntoIterator<Item = &'a Path>) -> Sources {
        let files = inputs.into_iter().filter_map(|path| {
            let (name, id) = match is_dash(path) {
                true => ("standard input".to_owned(), FileId::of_stdin()),
                false => (path.display().to_string(), fs::metadata(path).ok().and_then(|m| FileId::of(&m))),
            };
            Some((name, id?))
        });
        Sources { files: files.collect() }
    }

    /// Refuses outputs that are among the files that are read, and outputs that are one and the same. For before
    /// anything is opened for writing. Standard output, to which every program prints, is looked at too.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`], which names both.
    pub fn check(&self, outputs: &[&Path]) -> Result<(), Failure> {
        self.refuse("standard output", FileId::of_stdout().as_ref())?;
        let mut taken: Vec<(&Path, FileId)> = Vec::new();
        for path in outputs {
            self.refuse_path(path)?;
            let Some(id) = FileId::of_output(path) else { continue };
            if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == id) {
                return Err(Failure::Usage(format!(
                    "{} and {} are the same output; nothing was written",
                    other.display(),
                    path.display()
                )));
            }
            taken.push((path, id));
        }
        Ok(())
    }

    fn refuse_path(&self, path: &Path) -> Result<(), Failure> {
        self.refuse(&path.display().to_string(), FileId::of_output(path).as_ref())
    }

    fn refuse(&self, name: &str, id: Option<&FileId>) -> Result<(), Failure> {
        match self.files.iter().find(|(_, source)| Some(source) == id) {
            Some((input, _)) => Err(Failure::Usage(format!(
                "the output {name} is the same file as the input {input}; nothing was written to it"
            ))),
            None => Ok(()),
        }
    }
}

/// Where a path leads.
#[derive(Debug)]
enum Place {
    StandardOutput,
    /// A pipe, a device, an open descriptor: written to as it is.
    Direct(PathBuf),
    /// A regular file, or one that does not exist yet, without symbolic links at its end.
    Whole {
        path: PathBuf,
        existing: Option<Metadata>,
    },
}

impl Place {
    fn of(path: &Path) -> io::Result<Place> {
        if is_dash(path) {
            return Ok(Place::StandardOutput);
        }
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name)) {
                return Ok(Place::StandardOutput);
            }
            // The links there lead to open files, which may have no other name.
            if path.starts_with("/proc") || path.starts_with("/dev/fd") {
                return Ok(Place::Direct(path));
            }
            match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_symlink() => path = folder(&path).join(fs::read_link(&path)?),
                Ok(meta) if meta.is_file() => return Ok(Place::Whole { path, existing: Some(meta) }),
                Ok(_) => return Ok(Place::Direct(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Place::Whole { path, existing: None });
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::TooManyLinks.into())
    }
}

/// Whether what is written to `path` takes that name when it is complete. Standard output, pipes and devices do not:
/// what was written to them cannot be replaced.
///
/// # Errors
///
/// [`Failure::Output`] if `path` cannot be looked at.
pub fn is_replaced(path: &Path) -> Result<bool, Failure> {
    match Place::of(path) {
        Ok(place) => Ok(matches!(place, Place::Whole { .. })),
        Err(source) => Err(Failure::Output { path: path.display().to_string(), source }),
    }
}

/// A file that takes its name when it is complete, with the mode of the file that it replaces. Until then it has
/// another name in the same folder; dropped, or when a signal ends the program, it is removed. Standard output, pipes
/// and devices are written to as they are.
#[derive(Debug)]
pub struct OutputFile {
    writer: BufWriter<Target>,
    bytes: u64,
    /// For messages.
    name: String,
    whole: Option<Whole>,
    is_awaited: bool,
}

#[derive(Debug)]
struct Whole {
    unfinished: Unfinished,
    temporary: PathBuf,
    path: PathBuf,
}

#[derive(Debug)]
enum Target {
    File(File),
    StandardOutput(Stdout),
}

impl Target {
    fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Target::File(file) => file.metadata(),
            Target::StandardOutput(stdout) => File::from(stdout.as_fd().try_clone_to_owned()?).metadata(),
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::File(file) => file.write(bytes),
            Target::StandardOutput(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::File(file) => file.flush(),
            Target::StandardOutput(stdout) => stdout.flush(),
        }
    }
}

impl OutputFile {
    /// Begins a file at `path`; `-` is standard output. A name that cannot be written is an error now and not when the
    /// work is done.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if it is one of `sources`, [`Failure::Output`] if there can be no such file.
    pub fn create(path: &Path, sources: &Sources) -> Result<OutputFile, Failure> {
        sources.refuse_path(path)?;
        let name = if is_dash(path) { "standard output".to_owned() } else { path.display().to_string() };
        match OutputFile::open(path) {
            Ok((target, whole)) => {
                let is_awaited = target.metadata().is_ok_and(|meta| !meta.is_file());
                let writer = BufWriter::with_capacity(BUFFER, target);
                Ok(OutputFile { writer, bytes: 0, name, whole, is_awaited })
            }
            Err(source) => Err(Failure::Output { path: name, source }),
        }
    }

    fn open(path: &Path) -> io::Result<(Target, Option<Whole>)> {
        let (path, existing) = match Place::of(path)? {
            Place::StandardOutput => return Ok((Target::StandardOutput(io::stdout()), None)),
            // Behind what is there: `>>` of a shell may have led here.
            Place::Direct(path) => return Ok((Target::File(File::options().append(true).open(path)?), None)),
            Place::Whole { path, existing } => (path, existing),
        };
        if path.file_name().is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"));
        }
        if existing.is_some() {
            // A file that may not be written to may not be replaced either.
            File::options().write(true).open(&path)?;
        }
        let (unfinished, file, temporary) = temporary(folder(&path))?;
        if let Some(meta) = existing {
            file.set_permissions(meta.permissions())?;
        }
        Ok((Target::File(file), Some(Whole { unfinished, temporary, path })))
    }

    /// Whether a reader waits for what is written: it is no file, but a pipe, a terminal or the like.
    pub fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the file and gives it its name; the number of its bytes.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`]; the file is removed then.
    pub fn commit(self) -> Result<u64, Failure> {
        let OutputFile { mut writer, bytes, name, whole, .. } = self;
        let done = writer.flush().and_then(|()| match whole {
            Some(Whole { unfinished, temporary, path }) => {
                unfinished.finish(|| fs::rename(&temporary, &path))
            }
            None => Ok(()),
        });
        done.map(|()| bytes).map_err(|source| Failure::Output { path: name, source })
    }
}

impl Seek for OutputFile {
    /// Of a file that is there whole or not at all; what is written again counts again.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.flush()?;
        match self.writer.get_mut() {
            Target::File(file) => file.seek(to),
            Target::StandardOutput(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A new file in `folder`, under a name that no other file has.
fn temporary(folder: &Path) -> io::Result<(Unfinished, File, PathBuf)> {
    for number in 0..MAX_NAMES {
        let path = folder.join(format!(".nvdec-{}-{number}.part", std::process::id()));
        match Unfinished::file(path.clone(), |path| File::create_new(path)) {
            Ok((unfinished, file)) => return Ok((unfinished, file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
