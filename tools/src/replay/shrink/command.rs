//! The command that says whether a candidate still shows what is looked for.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::exit::Failure;
use crate::interrupt::Unfinished;

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A shell command for candidates of one name, in a folder of its own.
#[derive(Debug)]
pub struct Shell {
    command: String,
    timeout: Duration,
    verbose: bool,
    candidate: PathBuf,
    /// Goes with this.
    _folder: Unfinished,
}

impl Shell {
    /// `{}` in `command` stands for the candidate; without it, the candidate comes last.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`] if there can be no folder for candidates.
    pub fn new(command: &str, timeout: Duration, verbose: bool) -> Result<Shell, Failure> {
        let parent = std::env::temp_dir();
        let failed = |source| Failure::Output { path: parent.display().to_string(), source };
        let made = (0u32..1000)
            .map(|i| parent.join(format!("nvdec-replay-{}-{i}", std::process::id())))
            .find_map(|path| match Unfinished::folder(path.clone()) {
                Ok(folder) => Some(Ok((folder, path))),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => Some(Err(error)),
            });
        let made = made.unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()));
        let (_folder, folder) = made.map_err(failed)?;
        let candidate = folder.join("candidate.nvcap");
        let quoted = format!("'{}'", candidate.display().to_string().replace('\'', "'\\''"));
        let command = match command.contains("{}") {
            true => command.replace("{}", &quoted),
            false => format!("{command} {quoted}"),
        };
        Ok(Shell { command, timeout, verbose, candidate, _folder })
    }

    /// Where the candidate has to be.
    pub fn path(&self) -> &Path {
        &self.candidate
    }

    /// Whether the command ends with 0 in time.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if there is no shell to run it.
    pub fn succeeds(&self) -> Result<bool, Failure> {
        let output = || if self.verbose { Stdio::inherit() } else { Stdio::null() };
        let mut command = Command::new("sh");
        command.args(["-c", &self.command]).stdin(Stdio::null()).stdout(output()).stderr(output());
        // A group of its own, so that what it started ends with it.
        command.process_group(0);
        let started = Unfinished::processes(|| {
            let child = command.spawn()?;
            let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
            Ok((child, group))
        });
        let (group, mut child) =
            started.map_err(|error| Failure::Usage(format!("sh cannot be run: {error}")))?;
        let start = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => {
                    // What it left running in the background is its own affair.
                    let _ = group.finish(|| Ok(()));
                    return Ok(status.success());
                }
                Ok(None) if start.elapsed() < self.timeout => std::thread::sleep(LOOK),
                Ok(None) | Err(_) => {
                    drop(group);
                    let _ = child.wait();
                    return Ok(false);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn succeeds(command: &str, timeout: Duration) -> bool {
        let shell = Shell::new(command, timeout, false).unwrap();
        fs::write(shell.path(), "candidate").unwrap();
        shell.succeeds().unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_candidate_is_named_or_comes_last() {
        assert!(succeeds("grep -q candidate {}", LONG));
        assert!(succeeds("grep -q candidate", LONG));
        assert!(!succeeds("grep -q something", LONG));
        assert!(succeeds("test -f {} && test {} = {}", LONG));
    }

    /// Whether a process is there, and not merely waiting to be buried.
    fn is_alive(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let shell = Shell::new("sleep 6000 & echo $! > {}; wait", Duration::from_millis(300), false).unwrap();
        let child = loop {
            assert!(!shell.succeeds().unwrap());
            // On a busy machine the shell may have had no time to begin.
            match fs::read_to_string(shell.path()) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                _ => {}
            }
        };
        let start = Instant::now();
        while is_alive(&child) {
            assert!(start.elapsed() < LONG, "process {child} goes on");
            std::thread::sleep(LOOK);
        }
    }

    #[test]
    fn nothing_is_left_behind() {
        let shell = Shell::new("true", LONG, false).unwrap();
        let folder = shell.path().parent().unwrap().to_owned();
        assert!(folder.is_dir());
        drop(shell);
        assert!(!folder.exists());
    }
}
