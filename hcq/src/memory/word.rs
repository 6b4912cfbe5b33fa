//! [`SharedWord`]: a semaphore in memory that others write and wait for as well, which know nothing of timelines.

use std::fmt;

use super::DeviceBuffer;
use crate::error::{Error, Result};
use crate::timeline::SEMAPHORE_BYTES;

/// A 32-bit word in a buffer that orders work of a queue with work of others: other processes, CUDA, the host.
///
/// It takes 16 bytes, of which the word is the first four: a release by an engine writes the value, four zero bytes, and
/// a time stamp of 64 bits. That is also the form of CUDA's timeline semaphores.
///
/// Values are compared as a circle, here and by `cuStreamWaitValue32` with `GEQ`: a wait for `value` is over while the
/// word is `value` or up to 2^31 - 1 more. So a word that only grows, in small steps, never runs out. Fresh memory is not
/// cleared: [`store`](Self::store) a first value before it is shared.
///
/// Who writes the word is agreed on by the parties. Nothing here checks that a value will ever come: see
/// [`Outside`].
#[derive(Clone)]
pub struct SharedWord {
    record: DeviceBuffer,
}

impl fmt::Debug for SharedWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "word at {:?}", self.record)
    }
}

impl SharedWord {
    /// The word at `offset` of `buffer`, in bytes: a multiple of 16 in the allocation, with room for 16 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NoWord`] if it is not.
    pub fn new(buffer: &DeviceBuffer, offset: u64) -> Result<SharedWord> {
        let inside = offset.checked_add(SEMAPHORE_BYTES).is_some_and(|end| end <= buffer.size());
        if !inside || !(buffer.offset_in_allocation() + offset).is_multiple_of(SEMAPHORE_BYTES) {
            return Err(Error::NoWord { offset, size: buffer.size() });
        }
        Ok(SharedWord { record: buffer.slice(offset, SEMAPHORE_BYTES) })
    }

    /// The memory that it takes; [`offset_in_allocation`](DeviceBuffer::offset_in_allocation) is where others find it.
    pub fn buffer(&self) -> &DeviceBuffer {
        &self.record
    }

    /// The point at which the word has reached `value`.
    pub fn at(&self, value: u32) -> WordPoint {
        WordPoint { word: self.clone(), value }
    }

    /// Its value, as the host sees it.
    ///
    /// # Errors
    ///
    /// [`Error::Rm`] or [`Error::Map`] if the driver does not map the memory for the CPU.
    pub fn load(&self) -> Result<u32> {
        Ok(self.record.view()?.load(0))
    }

    /// Has the host write it, behind everything that this thread wrote before: to begin with, and to let go on who
    /// waits for a queue that is [dead or was reset](Outside).
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); [`Error::ReadOnly`] for memory that is only read.
    pub fn store(&self, value: u32) -> Result<()> {
        self.check_writable()?;
        self.record.view()?.store(0, value);
        Ok(())
    }

    pub(crate) fn check_writable(&self) -> Result<()> {
        if self.record.is_writable() {
            return Ok(());
        }
        Err(Error::ReadOnly { what: "release", target: format!("{:?}", self.record) })
    }
}

/// A value of a [`SharedWord`], to be waited for or to be written.
#[derive(Clone, Debug)]
pub struct WordPoint {
    word: SharedWord,
    value: u32,
}

impl WordPoint {
    /// The word.
    pub fn word(&self) -> &SharedWord {
        &self.word
    }

    /// The value.
    pub fn value(&self) -> u32 {
        self.value
    }

    /// Whether the word has reached the value, as the host sees it and engines compare.
    ///
    /// # Errors
    ///
    /// As [`SharedWord::load`].
    pub fn is_reached(&self) -> Result<bool> {
        Ok(self.word.load()?.wrapping_sub(self.value) < 1 << 31)
    }
}

/// What a submission has to do with others than the queues of its device. By default nothing.
///
/// # A wait that does not end
///
/// A queue that waits for a word stands still until somebody writes it, and what was submitted behind it as well; other
/// queues go on. Waits of the host with [`Patience::WithoutProgress`](crate::Patience) end with
/// [`Error::Stalled`], which names the queue, and
/// [`Timeline::waits_outside`](crate::Timeline::waits_outside) says that it stands at a word, and which. Whoever owns the
/// memory can [`store`](SharedWord::store) the value; else [`Queue::reset`](crate::Queue::reset) takes the queue down,
/// as it does any that has stalled. A queue that ends waits for ten seconds and then does so itself.
///
/// # A signal that does not come
///
/// What was lost with a queue that died, or was reset, signals nothing: those who wait for it would take garbage for
/// results. Whoever submitted it learns of the loss from its sync point, tells the others by other means, and stores the
/// value by hand, so that they go on.
///
/// # Order
///
/// Submit what signals before the other side is told to wait for it. Where each side first waits for the other one, both
/// wait for ever, and CUDA brings along waits of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outside<'a> {
    /// Reached before the commands begin.
    pub waits: &'a [WordPoint],
    /// Written when the commands are complete and their writes visible, in this order, before the submission's own
    /// point is reached.
    pub signals: &'a [WordPoint],
}
