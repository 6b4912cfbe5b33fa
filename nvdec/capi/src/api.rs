//! The functions of the header.
//!
//! All of them are unsafe, for one reason that the header says at its top: what pointers have to be. Each has a line of its own
//! where it wants more.
#![expect(clippy::missing_safety_doc, reason = "what holds for all of them stands at the top of the header")]

// In the order that the header has.
mod source;

mod library;

mod context;

mod decoder;

mod video;

mod batch;

mod semaphore;

pub use batch::*;
pub use context::*;
pub use decoder::*;
pub use library::*;
pub use semaphore::*;
pub use source::*;
pub use video::*;
