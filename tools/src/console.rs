//! Messages on standard error, and the text that programs print to standard output.
//!
//! A message that cannot be written, because standard error is full or closed, is lost and changes nothing else. Text
//! on standard output is what the program was asked for: if it cannot be written, that is a [`Failure`].

use std::fmt::Arguments;
use std::io::{self, Write};

use crate::exit::Failure;

/// Writes to standard error; what cannot be written is lost. [`message!`](crate::message) gives it lines.
pub fn write(text: Arguments<'_>) {
    // In one piece, as far as the system allows: others may write to the same terminal.
    let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
}

/// Writes a line to standard error. Unlike `eprintln!` it does not panic where that is full or closed.
#[macro_export]
macro_rules! message {
    ($($text:tt)*) => {
        $crate::console::write(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Prints `text` to standard output.
///
/// # Errors
///
/// [`Failure::Output`] if it cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    written(text, &mut io::stdout().lock(), "standard output")
}

/// Prints `text` to standard error, for figures that were asked for and have no other place.
///
/// # Errors
///
/// [`Failure::Output`] if it cannot be written.
pub fn print_to_stderr(text: &str) -> Result<(), Failure> {
    written(text, &mut io::stderr().lock(), "standard error")
}

fn written(text: &str, to: &mut dyn Write, name: &str) -> Result<(), Failure> {
    let result = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    result.map_err(|source| Failure::Output { path: name.to_owned(), source })
}
