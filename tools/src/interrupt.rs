//! SIGINT, SIGTERM and SIGHUP: what is complete stays, what is not is removed, and the program ends with 128 and the
//! signal's number.
//!
//! A thread waits for them, so that a program ends at once wherever it is: in a read of a pipe, or in a wait for the
//! GPU. What it holds of the GPU goes with its descriptors. A second signal ends the process without any of this.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

/// The signals that end a program in order.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// What has to go if the program ends now, in the order in which it came.
static ALL: Mutex<Registry> = Mutex::new(Registry { next: 0, remains: BTreeMap::new() });

struct Registry {
    next: u64,
    remains: BTreeMap<u64, Remains>,
}

#[derive(Debug)]
enum Remains {
    File(PathBuf),
    Folder(PathBuf),
    /// A process group that this program started.
    Processes(Pid),
}

impl Remains {
    /// Nothing can be done about what cannot be removed.
    fn remove(&self) {
        let _ = match self {
            Remains::File(path) => fs::remove_file(path),
            Remains::Folder(path) => fs::remove_dir_all(path),
            Remains::Processes(group) => killpg(*group, Signal::SIGKILL).map_err(io::Error::from),
        };
    }
}

fn all() -> MutexGuard<'static, Registry> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that goes when this is dropped, or when a signal ends the program.
#[derive(Debug)]
pub(crate) struct Unfinished {
    key: u64,
}

impl Unfinished {
    /// The file at `path`, which `create` makes. No signal comes between the two.
    pub(crate) fn file(
        path: PathBuf,
        create: impl FnOnce(&PathBuf) -> io::Result<File>,
    ) -> io::Result<(Unfinished, File)> {
        let mut all = all();
        let file = create(&path)?;
        Ok((Unfinished::note(&mut all, Remains::File(path)), file))
    }

    /// The folder at `path`, which is created, with all that comes to be in it.
    pub(crate) fn folder(path: PathBuf) -> io::Result<Unfinished> {
        let mut all = all();
        fs::create_dir(&path)?;
        Ok(Unfinished::note(&mut all, Remains::Folder(path)))
    }

    /// The process group that `start` makes.
    pub(crate) fn processes<T>(start: impl FnOnce() -> io::Result<(T, Pid)>) -> io::Result<(Unfinished, T)> {
        let mut all = all();
        let (started, group) = start()?;
        Ok((Unfinished::note(&mut all, Remains::Processes(group)), started))
    }

    fn note(all: &mut Registry, remains: Remains) -> Unfinished {
        let key = all.next;
        all.next += 1;
        all.remains.insert(key, remains);
        Unfinished { key }
    }

    /// Takes the last step, after which there is nothing to remove. If it fails, all is removed. No signal comes
    /// between the two.
    pub(crate) fn finish<R>(self, last: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        let mut all = all();
        let done = last();
        if done.is_ok() {
            all.remains.remove(&self.key);
        }
        // The value itself is dropped behind the lock, which its drop takes.
        drop(all);
        done
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(remains) = all().remains.remove(&self.key) {
            remains.remove();
        }
    }
}

/// Has the signals end this process in order. For the start of `main`: threads that are there already would
/// take a signal as before. A signal that the process was started to ignore, as by `nohup`, is ignored still.
pub(crate) fn install() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    let mut set = SigSet::empty();
    for signal in SIGNALS.into_iter().filter(|&signal| ignored & mask(signal) == 0) {
        set.add(signal);
    }
    // A process whose signals cannot be blocked, or that can have no further thread, ends by them as any other.
    if set.thread_block().is_err() {
        return;
    }
    let waiter = std::thread::Builder::new().name("signals".to_owned()).spawn(move || wait(set));
    if waiter.is_err() {
        let _ = set.thread_unblock();
    }
}

/// The bit of a signal in the masks of `/proc/self/status`.
fn mask(signal: Signal) -> u64 {
    1 << (signal as u32 - 1)
}

/// The ignored signals of a text in the form of `/proc/self/status`.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn wait(set: SigSet) {
    let Ok(signal) = set.wait() else { return };
    // Whatever takes long below, the next signal does what it does by default: it ends the process.
    let _ = set.thread_unblock();
    // The lock is never given back: from here on nothing is finished, and nothing new begins.
    let all = all();
    all.remains.values().for_each(Remains::remove);
    std::process::exit(128 + signal as i32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000004002\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        let ignored = ignored(status);
        assert!(ignored & mask(Signal::SIGINT) != 0 && ignored & mask(Signal::SIGHUP) != 0);
        assert!(ignored & mask(Signal::SIGTERM) == 0);
        assert_eq!(super::ignored("Name:\tx\n"), 0);
    }

    #[test]
    fn what_is_unfinished_goes_and_what_is_finished_stays() {
        let path =
            |name: &str| std::env::temp_dir().join(format!("nvdec-interrupt-{name}-{}", std::process::id()));
        let (a, b) = (path("a"), path("b"));
        let create = |path: &PathBuf| File::create_new(path);
        drop(Unfinished::file(a.clone(), create).unwrap());
        assert!(!a.exists());
        let (unfinished, _) = Unfinished::file(a.clone(), create).unwrap();
        assert!(Unfinished::file(a.clone(), create).is_err(), "it is there");
        unfinished.finish(|| fs::rename(&a, &b)).unwrap();
        assert!(!a.exists() && b.exists());
        fs::remove_file(&b).unwrap();
        let (unfinished, _) = Unfinished::file(a.clone(), create).unwrap();
        unfinished.finish(|| fs::rename(&a, "/nonexistent/x")).unwrap_err();
        assert!(!a.exists(), "the last step failed");
        let folder = Unfinished::folder(a.clone()).unwrap();
        fs::write(a.join("x"), "x").unwrap();
        drop(folder);
        assert!(!a.exists());
    }
}
