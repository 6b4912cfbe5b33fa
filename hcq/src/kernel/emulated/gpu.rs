//! [`Gpu`]: the parts of one modelled GPU. The room holds its host: channels, runlists, signals, planned faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use nvkernel_sys::engine::EngineType;
use nvkernel_sys::status::RmStatus;

use super::engines::registry::Attached;
use super::memory::physical::{Location, Pool};
use super::model::GpuModel;
use super::sync::lock;
use channel::Channel;
use fault_plan::FaultPlan;
use runlist::Runlist;
use signals::Signals;

pub(crate) mod channel;
pub(crate) mod event;
pub(crate) mod execution;
pub(crate) mod fault_plan;
pub(crate) mod halt;
pub(crate) mod host_methods;
pub(crate) mod pbdma;
pub(crate) mod runlist;
pub(crate) mod signals;
pub(crate) mod wake;

const MIB: u64 = 1 << 20;
/// Channels of a GPU: the token has 12 bits for them.
const MAX_CHANNELS: u32 = 2048;

/// One GPU, for the resource manager. Channels and engines know its [`Signals`] and nothing else of it.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub(crate) model: GpuModel,
    pub(crate) vidmem: Arc<Pool>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) plan: Arc<FaultPlan>,
    /// Engine models that a program attached.
    pub(crate) attached: Attached,
    runlists: RwLock<BTreeMap<EngineType, Arc<Runlist>>>,
    doorbells: Mutex<HashMap<u32, Weak<Channel>>>,
    channel_ids: Mutex<BTreeSet<u32>>,
    bar1_used: AtomicU64,
    /// Clients that asked for higher clocks, those that are gone among them. Clocks themselves are not modelled.
    boosts: Mutex<BTreeSet<u32>>,
}

impl Gpu {
    pub(crate) fn new(
        index: usize,
        model: GpuModel,
        plan: Arc<FaultPlan>,
        attached: Attached,
    ) -> io::Result<Arc<Gpu>> {
        Ok(Arc::new(Gpu {
            vidmem: Pool::new(Location::Vidmem, model.vidmem_mib * MIB)?,
            model,
            signals: Signals::new(index)?,
            plan,
            attached,
            runlists: RwLock::default(),
            doorbells: Mutex::default(),
            channel_ids: Mutex::default(),
            bar1_used: AtomicU64::new(0),
            boosts: Mutex::default(),
        }))
    }

    /// A client asks for higher clocks, or takes that back.
    pub(crate) fn set_boost(&self, client: u32, boost: bool) {
        let mut boosts = lock(&self.boosts);
        match boost {
            true => boosts.insert(client),
            false => boosts.remove(&client),
        };
    }

    /// How many clients ask for higher clocks, of those that are still there.
    pub(crate) fn boosts(&self, is_there: impl Fn(u32) -> bool) -> usize {
        let mut boosts = lock(&self.boosts);
        boosts.retain(|&client| is_there(client));
        boosts.len()
    }

    /// Position in the machine; the minor number of the device node.
    pub(crate) fn index(&self) -> usize {
        self.signals.gpu
    }

    /// The driver's identifier: the PCI address as one number.
    pub(crate) fn id(&self) -> u32 {
        u32::from(self.bus()) << 8
    }

    /// PCI bus number.
    pub(crate) fn bus(&self) -> u8 {
        0x40 + self.index() as u8
    }

    /// The runlist of an engine, with its thread, made on first use.
    pub(crate) fn runlist(&self, engine: EngineType) -> Result<Arc<Runlist>, RmStatus> {
        let mut runlists = self.runlists.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(runlist) = runlists.get(&engine) {
            return Ok(runlist.clone());
        }
        let runlist = Runlist::start(self.index(), engine).map_err(|error| {
            log::warn!("no thread for emulated {engine}: {error}");
            RmStatus::NV_ERR_INSUFFICIENT_RESOURCES
        })?;
        self.signals.add_runlist(runlist.wake().clone());
        runlists.insert(engine, runlist.clone());
        Ok(runlist)
    }

    fn existing_runlist(&self, engine: EngineType) -> Option<Arc<Runlist>> {
        self.runlists.read().unwrap_or_else(PoisonError::into_inner).get(&engine).cloned()
    }

    /// A work-submit token arrived at the doorbell. Tokens of no channel are dropped, as hardware does.
    pub(crate) fn doorbell(&self, token: u32) {
        if self.plan.loses_doorbell() {
            return;
        }
        self.signals.timestamp();
        let channel = lock(&self.doorbells).get(&token).and_then(Weak::upgrade);
        if let Some(channel) = channel {
            channel.ring();
            if let Some(runlist) = self.existing_runlist(channel.engine()) {
                runlist.wake().wake();
            }
        }
    }

    pub(crate) fn listen(&self, token: u32, channel: &Arc<Channel>) {
        lock(&self.doorbells).insert(token, Arc::downgrade(channel));
    }

    /// Takes a channel off its engine. Returns when the engine has let go of it.
    pub(crate) fn remove_channel(&self, channel: &Arc<Channel>) {
        channel.cancel();
        lock(&self.doorbells).retain(|_, c| !std::ptr::eq(c.as_ptr(), Arc::as_ptr(channel)));
        if let Some(runlist) = self.existing_runlist(channel.engine()) {
            runlist.remove(channel);
        }
        channel.leave_engine();
        channel.retire();
        lock(&self.channel_ids).remove(&channel.id());
    }

    pub(crate) fn take_channel_id(&self) -> Option<u32> {
        let mut ids = lock(&self.channel_ids);
        let id = (0..MAX_CHANNELS).find(|id| !ids.contains(id))?;
        ids.insert(id);
        Some(id)
    }

    pub(crate) fn channel_count(&self) -> usize {
        lock(&self.channel_ids).len()
    }

    /// Takes `length` bytes of BAR1; `false` if it has not that much left.
    pub(crate) fn take_bar1(&self, length: u64) -> bool {
        let limit = self.model.bar1_mib * MIB;
        let take = |used: u64| used.checked_add(length).filter(|&used| used <= limit);
        self.bar1_used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    pub(crate) fn release_bar1(&self, length: u64) {
        self.bar1_used.fetch_sub(length, Ordering::Relaxed);
    }

    /// Ends every thread; channels are forgotten.
    pub(crate) fn shut_down(&self) {
        let runlists = std::mem::take(&mut *self.runlists.write().unwrap_or_else(PoisonError::into_inner));
        for runlist in runlists.values() {
            runlist.stop();
        }
    }
}
