//! [`Quota`]: how many bytes may be allocated on one account.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// A limit on memory, and how much of it is taken.
///
/// Memory is charged before it is allocated, and for as long as the driver has not got it back: also while it has no owner any
/// more and a queue still works with it. So at no moment is more allocated than the limit says.
#[derive(Debug)]
pub struct Quota {
    limit: AtomicU64,
    charged: AtomicU64,
}

impl Default for Quota {
    fn default() -> Self {
        Quota { limit: AtomicU64::new(NO_LIMIT), charged: AtomicU64::new(0) }
    }
}

/// No allocation is that large.
const NO_LIMIT: u64 = u64::MAX;

impl Quota {
    /// Most bytes; `None` without a limit.
    pub fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Acquire)).filter(|&limit| limit != NO_LIMIT)
    }

    /// Sets the limit. Memory that exceeds a new one stays; no more is allocated until enough of it is freed.
    pub fn set_limit(&self, bytes: Option<u64>) {
        self.limit.store(bytes.unwrap_or(NO_LIMIT), Ordering::Release);
    }

    /// Bytes that are allocated.
    pub fn charged(&self) -> u64 {
        self.charged.load(Ordering::Acquire)
    }

    /// Whether `bytes` more bytes are within the limit at this moment.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.with(self.charged(), bytes).is_some()
    }

    /// `charged` and `bytes` together, if that is within the limit.
    fn with(&self, charged: u64, bytes: u64) -> Option<u64> {
        charged.checked_add(bytes).filter(|&sum| sum <= self.limit.load(Ordering::Acquire))
    }

    /// Charges `bytes` bytes until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`], and nothing is charged.
    pub(crate) fn charge(self: &Arc<Self>, bytes: u64) -> Result<Charge> {
        let update = self
            .charged
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |charged| self.with(charged, bytes));
        match update {
            Ok(_) => Ok(Charge { quota: self.clone(), bytes }),
            Err(charged) => {
                Err(Error::QuotaExceeded { size: bytes, charged, limit: self.limit.load(Ordering::Acquire) })
            }
        }
    }
}

/// Bytes of a [`Quota`] that are taken for as long as this lives.
#[derive(Debug)]
pub(crate) struct Charge {
    quota: Arc<Quota>,
    bytes: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.quota.charged.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests;
