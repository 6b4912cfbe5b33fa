//! How every program begins and ends.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, Parser};
use clap_complete::{Shell, generate_to};

use crate::exit::{Exit, Failure};
use crate::interrupt;

/// Reads the command line, does what `body` does with it, and says what failed. A signal ends it in order. For `main`, before there
/// are threads.
pub fn run<A: Parser>(name: &str, body: impl FnOnce(A) -> Result<Exit, Failure>) -> ExitCode {
    interrupt::install();
    run_at_once(name, body)
}

/// As [`run`], for a program that makes no file: there is nothing to do when a signal ends it, and the thread that waits for signals
/// would be part of the start-up that it measures.
pub fn run_at_once<A: Parser>(name: &str, body: impl FnOnce(A) -> Result<Exit, Failure>) -> ExitCode {
    let ended = match (folder_of_manual(), A::try_parse()) {
        (Some(folder), _) => manual(A::command(), name, &folder),
        (None, Ok(arguments)) => body(arguments),
        (None, Err(said)) => explain(&said),
    };
    ended.unwrap_or_else(|failure| failure.report(name)).into()
}

/// An option of every program that its help does not show: for those who make packages.
const MANUAL: &str = "--write-manual";

/// The folder that `--write-manual` names, if nothing else is on the command line.
fn folder_of_manual() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    let is_asked = arguments.next().is_some_and(|first| first == MANUAL);
    arguments.next().filter(|_| is_asked && arguments.next().is_none()).map(PathBuf::from)
}

/// Writes the manual pages of a program and its subcommands, and completions for shells, into a folder.
fn manual(mut command: Command, name: &str, folder: &Path) -> Result<Exit, Failure> {
    let written = fs::create_dir_all(folder).and_then(|()| {
        clap_mangen::generate_to(command.clone(), folder)?;
        [Shell::Bash, Shell::Fish, Shell::Zsh]
            .into_iter()
            .try_for_each(|shell| generate_to(shell, &mut command, name, folder).map(|_| ()))
    });
    written.map_err(|source| Failure::Output { path: folder.display().to_string(), source })?;
    Ok(Exit::Success)
}

/// Prints a help text to standard output, or what is wrong with a command line to standard error.
fn explain(said: &clap::Error) -> Result<Exit, Failure> {
    let printed = said.print();
    if said.use_stderr() {
        // The exit code says it, too.
        return Ok(Exit::Usage);
    }
    let flushed = printed.and_then(|()| io::stdout().flush());
    flushed.map_err(|source| Failure::Output { path: "standard output".to_owned(), source })?;
    Ok(Exit::Success)
}
