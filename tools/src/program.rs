//! How every program begins and ends.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::exit::{Exit, Failure};
use crate::interrupt;

/// Reads the command line, does what `body` does with it, and says what failed. For `main`, before there are threads.
pub fn run<A: Parser>(name: &str, body: impl FnOnce(A) -> Result<Exit, Failure>) -> ExitCode {
    interrupt::install();
    let ended = match A::try_parse() {
        Ok(arguments) => body(arguments),
        Err(said) => explain(&said),
    };
    ended.unwrap_or_else(|failure| failure.report(name)).into()
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
