//! [`Execution`]: how far the host has come with a channel, and the engine objects that it hands methods to.

use std::sync::Arc;

use nvkernel_sys::host;

use super::host_methods::HostState;
use crate::kernel::emulated::engines::engine::Engine;
use crate::kernel::emulated::memory::physical::Memory;

/// A run of data words that one method header announced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) subchannel: usize,
    pub(crate) address: u32,
    pub(crate) left: u32,
    pub(crate) step: Increment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Increment {
    Every,
    Never,
    Once,
}

/// A piece of a push buffer that is being executed.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) next: u64,
    pub(crate) left: u32,
    pub(crate) words: Vec<u32>,
    pub(crate) at: usize,
}

pub(crate) struct EngineObject {
    pub(crate) handle: u32,
    pub(crate) engine: Box<dyn Engine>,
    /// GPU memory for the state of the engine while another channel has it. The model keeps the state in `engine`.
    pub(crate) _context: Arc<Memory>,
}

/// Everything that executing a channel changes. A thread that holds it has the engine.
pub(crate) struct Execution {
    pub(crate) get: u32,
    pub(crate) put: u32,
    /// Bits 56:40 of push buffer addresses.
    pub(crate) base: u64,
    pub(crate) segment: Option<Segment>,
    pub(crate) run: Option<Run>,
    pub(crate) host: HostState,
    /// The last launch was given up.
    pub(crate) abandoned: bool,
    pub(crate) objects: Vec<EngineObject>,
    /// Handle of the object bound to each subchannel.
    pub(crate) subchannels: [Option<u32>; host::NUMBER_OF_SUBCHANNELS as usize],
}

impl Execution {
    /// Of a new channel; `wide_addresses` says whether its semaphores may lie above 2^40.
    pub(crate) fn new(wide_addresses: bool) -> Execution {
        Execution {
            get: 0,
            put: 0,
            base: 0,
            segment: None,
            run: None,
            host: HostState::new(wide_addresses),
            abandoned: false,
            objects: Vec::new(),
            subchannels: Default::default(),
        }
    }

    /// Whether something that was submitted is not executed, as far as the host has seen submissions.
    pub(crate) fn is_unfinished(&self) -> bool {
        let within = self.segment.as_ref().is_some_and(|s| s.at < s.words.len() || s.left > 0);
        self.abandoned || within || self.get != self.put || self.host.is_waiting()
    }

    /// Removes an engine object.
    pub(crate) fn remove_object(&mut self, handle: u32) {
        self.objects.retain(|o| o.handle != handle);
        for bound in &mut self.subchannels {
            *bound = bound.filter(|&h| h != handle);
        }
    }
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "get {} put {}", self.get, self.put)
    }
}
