//! [`OsEvent`]: an engine's interrupt, as something to poll.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nvkernel_sys::class;
use nvkernel_sys::engine::EngineType;
use nvkernel_sys::rm::{NV01_EVENT_NONSTALL_INTR, NV01_EVENT_WITHOUT_EVENT_DATA, NV0005_ALLOC_PARAMETERS};
use zerocopy::FromZeros;

use crate::address_space::DeviceInner;
use crate::error::{Error, Result};
use crate::kernel::EventWait;
use crate::rm::RmObject;

/// An OS event that an engine's non-stall interrupt raises.
#[derive(Debug)]
pub(crate) struct OsEvent {
    _object: Arc<RmObject>,
    fd: OwnedFd,
    device: Arc<DeviceInner>,
}

impl OsEvent {
    /// Arms an event for `engine`.
    pub(crate) fn new(device: &Arc<DeviceInner>, engine: EngineType) -> Result<OsEvent> {
        let index = engine
            .notifier()
            .ok_or_else(|| Error::Unsupported(format!("{engine} has no non-stall interrupt")))?;
        let fd = device.client.event_fd(device.device.handle())?;
        let mut params = NV0005_ALLOC_PARAMETERS::new_zeroed();
        params.hParentClient = device.client.root();
        params.hSrcResource = device.subdevice.handle();
        params.hClass = class::NV01_EVENT_OS_EVENT;
        params.notifyIndex = index | NV01_EVENT_NONSTALL_INTR | NV01_EVENT_WITHOUT_EVENT_DATA;
        params.data = fd.as_raw_fd() as u64;
        let object = device.client.alloc(Some(&device.subdevice), class::NV01_EVENT_OS_EVENT, &mut params)?;
        Ok(OsEvent { _object: object, fd, device: device.clone() })
    }

    /// Waits until the event fires; one that fired before ends the wait at once.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<EventWait> {
        self.device.client.kernel().wait_event(self.fd.as_fd(), timeout)
    }
}
