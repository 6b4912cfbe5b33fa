//! Between C and Rust: pointers become references here, and objects pointers. No panic goes through.
//!
//! An object is on the heap, behind a head that says of which kind it is. Whoever calls it has it alone for that time, or is
//! told that it is busy. The text of a failure is kept in the object and in the thread.
//!
//! What C promises, by the rules at the top of the header: a pointer to an object is NULL or came from this library and was not
//! released; other pointers are NULL or point to what the function says, and to as much of it.

pub(crate) mod dlpack;
mod memory;
mod objects;
mod source;

pub(crate) use memory::{bytes, elements, fill, give, measure, options, out, room, text};
pub(crate) use objects::{call, construct, last_error, plain, release, share, with};
pub(crate) use source::CallerSource;
