//! Events: which listeners a notifier of a GPU wakes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use nvkernel_sys::engine::notification_action;

use crate::kernel::emulated::sync::lock;

/// An `NV01_EVENT_OS_EVENT` object.
pub(crate) struct Listener {
    pub(crate) client: u32,
    pub(crate) handle: u32,
    /// Object that the event comes from.
    pub(crate) source: u32,
    /// Notifier index, without flags.
    pub(crate) index: u32,
    /// Listens to non-stalling interrupts, which need no arming.
    pub(crate) nonstall: bool,
    /// Makes the descriptor of the event readable.
    pub(crate) signal: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.nonstall { "non-stall" } else { "ordinary" };
        write!(f, "{kind} notifier {} of {:#x}", self.index, self.source)
    }
}

/// All events of a GPU. Interrupts are broadcast: each interrupt of an engine wakes all that listen to the engine,
/// also if a channel of another client caused it.
#[derive(Debug, Default)]
pub(crate) struct Events {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: Vec<Listener>,
    /// By client, source and index: what `NV2080_CTRL_CMD_EVENT_SET_NOTIFICATION` last asked for.
    actions: HashMap<(u32, u32, u32), u32>,
}

impl Events {
    pub(crate) fn add(&self, listener: Listener) {
        lock(&self.inner).listeners.push(listener);
    }

    pub(crate) fn remove(&self, client: u32, handle: u32) {
        lock(&self.inner).listeners.retain(|l| (l.client, l.handle) != (client, handle));
    }

    /// Forgets what a source object had armed.
    pub(crate) fn forget_source(&self, client: u32, source: u32) {
        lock(&self.inner).actions.retain(|&(c, s, _), _| (c, s) != (client, source));
    }

    pub(crate) fn set_action(&self, client: u32, source: u32, index: u32, action: u32) {
        lock(&self.inner).actions.insert((client, source, index), action);
    }

    /// A non-stalling interrupt with notifier `index`.
    pub(crate) fn raise_nonstall(&self, index: u32) {
        for listener in &lock(&self.inner).listeners {
            if listener.nonstall && listener.index == index {
                (listener.signal)();
            }
        }
    }

    /// An ordinary event with notifier `index`, for listeners whose source armed it.
    pub(crate) fn raise(&self, index: u32) {
        let inner = &mut *lock(&self.inner);
        for listener in inner.listeners.iter().filter(|l| !l.nonstall && l.index == index) {
            let key = (listener.client, listener.source, index);
            match inner.actions.get(&key) {
                Some(&notification_action::REPEAT) => (listener.signal)(),
                Some(&notification_action::SINGLE) => {
                    (listener.signal)();
                    inner.actions.insert(key, notification_action::DISABLE);
                }
                _ => {}
            }
        }
    }

    /// Something was written through a notifier object that events may hang on.
    pub(crate) fn raise_source(&self, client: u32, source: u32) {
        for listener in &lock(&self.inner).listeners {
            if (listener.client, listener.source) == (client, source) {
                (listener.signal)();
            }
        }
    }
}
