//! Opening of streams: files, pipes and standard input, and a look at what they are before a decoder sees them.

mod head;
pub mod other;
mod structure;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::exit::Failure;
use crate::output::file::{Sources, is_dash};
use head::Head;
use other::{Reader, Verdict};

/// Bytes that are looked at. What a container says of its codec is in front of its samples, or found from there.
const WINDOW: usize = 1 << 16;
/// Bytes read at a time from pipes while they are looked at: more than a pipe holds, so that a read empties it.
const CHUNK: usize = 1 << 20;
/// Most bytes read from a pipe at a time, should it hold more.
const MAX_PIPE: usize = 1 << 24;
/// What a pipe is taken to hold that does not say it: a page, the least there is.
const LEAST_PIPE: usize = 1 << 12;

/// Bytes of a stream, with what a program has to know that hands on what there is.
pub trait Feed: Read {
    /// Whether a read would wait for what is not there yet.
    fn would_wait(&mut self) -> bool {
        false
    }

    /// Whether the bytes that were read end where an access unit ends.
    fn is_whole(&self) -> bool {
        false
    }

    /// Bytes to read at a time.
    fn chunk(&self) -> usize {
        CHUNK
    }
}

impl Feed for &[u8] {}

/// An open input that is a byte stream, or nothing that is known to be something else.
#[derive(Debug)]
pub struct Input {
    name: String,
    size: Option<u64>,
    source: Source,
    /// Zeros that were read and left out of `head`.
    zeros: u64,
    /// What was read to look at it.
    head: Vec<u8>,
    /// Bytes of `head` that were given.
    given: usize,
}

#[derive(Debug)]
struct Source {
    file: File,
    is_regular: bool,
    /// If writes to it are whole access units.
    pipe: Option<Pipe>,
    /// The last read emptied the pipe at the end of a write.
    whole: bool,
}

impl Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.whole = self.pipe.as_mut().is_some_and(|pipe| pipe.ends_write(read, buffer.len()));
        Ok(read)
    }
}

#[derive(Debug)]
struct Pipe {
    /// Bytes that it holds.
    size: usize,
    /// Bytes that it held at most when a writer last began to wait for room, as far as is known.
    full: usize,
}

impl Pipe {
    /// Asks the pipe to hold more: access units of half of that come in one piece.
    fn new(file: &File) -> Pipe {
        let size = || fcntl(file, FcntlArg::F_GETPIPE_SZ).ok().and_then(|size| usize::try_from(size).ok());
        let before = size().unwrap_or(LEAST_PIPE);
        // It may hold as much as it did; `size` says which.
        let _ = fcntl(file, FcntlArg::F_SETPIPE_SZ(CHUNK as i32));
        let size = size().unwrap_or(LEAST_PIPE);
        // A writer that filled it before has not gone on yet, perhaps.
        Pipe { size, full: if is_empty(file) { size } else { before.min(size) } }
    }

    /// Whether a read that got `read` bytes of `asked` has emptied the pipe at the end of a write.
    ///
    /// A writer waits in the midst of a write only while the pipe is full, which it is with half of its bytes at the
    /// earliest, as each of its pages is filled at least by half. Once it is emptied the rest comes in one.
    fn ends_write(&mut self, read: usize, asked: usize) -> bool {
        let is_emptied = read < asked || asked >= self.size;
        let ends = is_emptied && read < self.full / 2;
        // Of what is left nothing says whether the pipe was full.
        self.full = if is_emptied { self.size } else { 0 };
        ends
    }
}

/// Whether a read of `file` would wait. What cannot be polled is read.
fn is_empty(file: &File) -> bool {
    poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(0)
}

/// What an input is.
#[derive(Debug)]
pub enum Given {
    /// A byte stream, or nothing that is known to be something else.
    Stream(Input),
    /// A container in a regular file, for [`film`](crate::film): its name for messages, and the file.
    Container(String, File),
}

/// Opens a file, or standard input for `-`, for `reader`, and looks at how it begins. With `whole`, each write to the pipe that it
/// is ends where an access unit ends ([`Feed::is_whole`]).
///
/// # Errors
///
/// [`Failure::Input`] if it cannot be read, [`Failure::NotAnnexB`] if it is something else than a byte stream, and
/// [`Failure::Usage`] if standard output goes to it, or if it is no pipe with `whole`.
pub fn open(path: &Path, reader: Reader, whole: bool) -> Result<Input, Failure> {
    match begin(path, whole)? {
        (input, None) => Ok(input),
        (input, Some(found)) => Err(input.refuse(found, path, reader)),
    }
}

/// As [`open`], for programs that read containers too.
///
/// # Errors
///
/// As [`open`]; of containers, those that are no regular file.
pub fn open_any(path: &Path, reader: Reader, whole: bool) -> Result<Given, Failure> {
    match begin(path, whole)? {
        (input, None) => Ok(Given::Stream(input)),
        (input, Some(found)) if found.is_container() && input.source.is_regular => {
            Ok(Given::Container(input.name, input.source.file))
        }
        (input, Some(found)) => Err(input.refuse(found, path, reader)),
    }
}

/// Opens an input and says what it is, if it is something else than a byte stream.
fn begin(path: &Path, whole: bool) -> Result<(Input, Option<&'static other::Signature>), Failure> {
    Sources::of([path]).check(&[])?;
    let name = if is_dash(path) { "standard input".to_owned() } else { path.display().to_string() };
    let failure = |source| Failure::Input { path: name.clone(), source };
    let file = match is_dash(path) {
        // Not by way of `Stdin`, whose buffer would hide from `poll` what is there.
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(path),
    }
    .map_err(failure)?;
    let meta = file.metadata().map_err(failure)?;
    if meta.is_dir() {
        return Err(failure(io::ErrorKind::IsADirectory.into()));
    }
    let is_regular = meta.is_file();
    if whole && !meta.file_type().is_fifo() {
        return Err(Failure::Usage(format!(
            "{name} is no pipe, so that nothing tells which of its bytes are whole access units; leave out --whole-access-units"
        )));
    }
    let pipe = whole.then(|| Pipe::new(&file));
    let size = (is_regular && !is_dash(path)).then_some(meta.len());
    let source = Source { file, is_regular, pipe, whole: false };
    let mut input = Input { name, size, source, zeros: 0, head: Vec::new(), given: 0 };
    match input.look() {
        Ok(found) => Ok((input, found)),
        Err(source) => Err(Failure::Input { path: input.name, source }),
    }
}

impl Input {
    /// Name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn refuse(&self, found: &other::Signature, path: &Path, reader: Reader) -> Failure {
        let found = found.describe(&self.shown(true), path, reader);
        Failure::NotAnnexB { path: self.name.clone(), found }
    }

    /// The file, if it is a regular one, in which any byte can be had.
    ///
    /// # Errors
    ///
    /// The input, if it is none.
    pub fn into_file(self) -> Result<(String, File), Input> {
        if self.source.is_regular { Ok((self.name, self.source.file)) } else { Err(self) }
    }

    /// Bytes, where they are known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Reads until it is clear what this is; `None` for what may be a byte stream.
    fn look(&mut self) -> io::Result<Option<&'static other::Signature>> {
        let mut chunk = vec![0; if self.source.is_regular { WINDOW } else { self.chunk() }];
        let mut found = None;
        loop {
            let read = match self.source.read(&mut chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.head.extend_from_slice(&chunk[..read]);
            let last = read == 0 || self.head.len() >= WINDOW;
            if read > 0 && last && self.head.iter().all(|&byte| byte == 0) {
                // They mean nothing in front of a start code, and may be many.
                self.zeros += self.head.len() as u64;
                self.head.clear();
                continue;
            }
            found = match found {
                Some(found) => Some(found),
                None => match other::examine(&self.shown(last)) {
                    Verdict::Stream => return Ok(None),
                    Verdict::Unclear => None,
                    Verdict::Other(found) => Some(found),
                },
            };
            if last || found.is_some_and(|found| !found.has_more_to_say()) {
                return Ok(found);
            }
        }
    }

    /// What was read. `last`: there will be no more of it.
    fn shown(&self, last: bool) -> Head<'_> {
        Head {
            zeros: self.zeros,
            bytes: &self.head[..self.head.len().min(WINDOW)],
            last,
            file: self.source.is_regular.then_some(&self.source.file),
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.zeros > 0 {
            let length = buffer.len().min(usize::try_from(self.zeros).unwrap_or(usize::MAX));
            buffer[..length].fill(0);
            self.zeros -= length as u64;
            return Ok(length);
        }
        let left = &self.head[self.given..];
        if left.is_empty() {
            self.head = Vec::new();
            self.given = 0;
            return self.source.read(buffer);
        }
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.given += length;
        Ok(length)
    }
}

impl Feed for Input {
    fn would_wait(&mut self) -> bool {
        if self.source.is_regular || self.zeros > 0 || self.given < self.head.len() {
            return false;
        }
        is_empty(&self.source.file)
    }

    fn is_whole(&self) -> bool {
        self.source.whole && self.zeros == 0 && self.given == self.head.len()
    }

    fn chunk(&self) -> usize {
        self.source.pipe.as_ref().map_or(0, |pipe| pipe.size).clamp(CHUNK, MAX_PIPE)
    }
}
