//! [`Channel`]: a GPFIFO that one engine executes, with its ring, doorbell token and error notifier.

use std::sync::Arc;

use nvkernel_sys::class;
use nvkernel_sys::ctrl::{self, *};
use nvkernel_sys::engine::EngineType;
use nvkernel_sys::host::{USERD_GP_PUT, USERD_SIZE, gp_entry};
use nvkernel_sys::rm::*;
use nvkernel_sys::status::Xid;
use zerocopy::FromZeros;

use crate::address_space::DeviceInner;
use crate::engine::EngineRow;
use crate::error::Result;
use crate::fault::{ChannelFault, MmuFault};
use crate::kernel::UsermodeRegisters;
use crate::memory::DeviceBuffer;
use crate::rm::{RmObject, text_of};

/// Bytes of the error notifier: slot 0 is for errors, the driver may use a few more.
pub(crate) const NOTIFIER_BYTES: u64 = 4096;
/// Offset of the 16-bit status within notifier slot 0 (`NvNotification`).
const NOTIFIER_STATUS: usize = 14;

/// The memory that a channel needs, carved by its owner from one host-memory allocation.
#[derive(Debug)]
pub(crate) struct ChannelMemory {
    /// Starts its RM memory object, because a notifier has no offset.
    pub(crate) notifier: DeviceBuffer,
    pub(crate) userd: DeviceBuffer,
    pub(crate) ring: DeviceBuffer,
}

/// A channel bound to one engine, scheduled and ready for work.
#[derive(Debug)]
pub(crate) struct Channel {
    // Field order is drop order: the engine object, the channel, its memory. A queue closes the channel before that.
    object: Arc<RmObject>,
    channel: Arc<RmObject>,
    memory: ChannelMemory,
    device: Arc<DeviceInner>,
    engine: EngineType,
    engine_class: u32,
    entries: u32,
    token: u32,
}

impl Channel {
    /// Allocates a channel of its own group on `engine`, with an object of `engine_class` on it.
    pub(crate) fn new(
        device: &Arc<DeviceInner>,
        row: &EngineRow,
        engine: EngineType,
        engine_class: u32,
        memory: ChannelMemory,
    ) -> Result<Channel> {
        let client = &device.client;
        let entries = (memory.ring.size() / 8) as u32;
        assert!(entries.is_power_of_two(), "the ring has a power of two entries");
        let view = memory.notifier.view()?;
        view.fill(0, NOTIFIER_BYTES as usize, 0);
        memory.userd.view()?.fill(0, USERD_SIZE, 0);
        memory.ring.view()?;

        let mut params = NV_CHANNEL_ALLOC_PARAMS::new_zeroed();
        params.hObjectError = memory.notifier.memory_handle();
        params.gpFifoOffset = memory.ring.gpu_address();
        params.gpFifoEntries = entries;
        params.hVASpace = device.vaspace.handle();
        params.hUserdMemory[0] = memory.userd.memory_handle();
        params.userdOffset[0] = memory.userd.offset_in_allocation();
        params.engineType = engine.0;
        let channel_class = device.pick_class("channel", class::CHANNEL_CLASSES)?;
        let channel = client.alloc(Some(&device.device), channel_class, &mut params)?;

        let object = (row.object)(&channel, engine, engine_class)?;

        let mut params = NVA06F_CTRL_BIND_PARAMS::new_zeroed();
        params.engineType = engine.0;
        channel.control(&ctrl::NVA06F_CTRL_CMD_BIND, &mut params)?;
        let mut params = NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS::new_zeroed();
        params.bEnable = 1;
        channel.control(&ctrl::NVA06F_CTRL_CMD_GPFIFO_SCHEDULE, &mut params)?;
        // Only now: before the runlist is fixed by object and BIND the driver refuses to tell.
        let mut params = NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN_PARAMS::new_zeroed();
        channel.control(&ctrl::NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN, &mut params)?;
        let token = params.workSubmitToken;

        Ok(Channel { object, channel, memory, device: device.clone(), engine, engine_class, entries, token })
    }

    /// The engine that executes the channel.
    pub(crate) fn engine(&self) -> EngineType {
        self.engine
    }

    /// Class of the engine object.
    pub(crate) fn engine_class(&self) -> u32 {
        self.engine_class
    }

    /// Ring entries; one of them always stays free.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// Writes ring entry `put` and tells the GPU. The caller has made sure that the entry is free. There is no way back
    /// from the first write on, so nothing here can fail.
    pub(crate) fn push(&self, put: u32, address: u64, words: usize, doorbell: &UsermodeRegisters) {
        debug_assert!(address.is_multiple_of(4) && address >> 40 == 0);
        let low = gp_entry::GET.of((address >> 2) as u32 & 0x3fff_ffff);
        let high = gp_entry::GET_HI.of((address >> 32) as u32) | gp_entry::LENGTH.of(words as u32);
        let mapped = "mapped when the channel was made";
        let ring = self.memory.ring.view().expect(mapped);
        let at = (put % self.entries) as usize * 8;
        ring.store(at, low);
        ring.store(at + 4, high);
        self.memory.userd.view().expect(mapped).store(USERD_GP_PUT, (put + 1) % self.entries);
        self.device.ring_doorbell(doorbell, self.token);
    }

    /// The status that the error notifier has, 0 while the channel lives.
    #[inline]
    fn notified(&self) -> u16 {
        let word = self.memory.notifier.view().map_or(0, |view| view.load(NOTIFIER_STATUS & !3));
        (word >> 16) as u16
    }

    /// Whether the error notifier says nothing.
    #[inline]
    pub(crate) fn is_alive(&self) -> bool {
        self.notified() == 0
    }

    /// What the error notifier says; `None` while the channel lives.
    pub(crate) fn fault(&self) -> Option<ChannelFault> {
        let view = self.memory.notifier.view().ok()?;
        let status = self.notified();
        (status != 0).then(|| ChannelFault { xid: Xid(view.load(8)), status, mmu: self.mmu_fault() })
    }

    /// Takes the channel away from the engine, which executes, reads and writes nothing of it from then on. Does
    /// nothing once that is done.
    ///
    /// # Errors
    ///
    /// What the resource manager says if it does not free the channel: then the engine may still be at work in it.
    pub(crate) fn close(&self) -> Result<()> {
        // The engine object goes with it, and not before: an engine at work would miss it, and one that hangs lets no object go.
        self.channel.free()?;
        self.object.went_with_parent();
        Ok(())
    }

    fn mmu_fault(&self) -> Option<MmuFault> {
        let mut params = NV906F_CTRL_GET_MMU_FAULT_INFO_PARAMS::new_zeroed();
        // Sandboxes refuse this query; the fault is then reported without its address.
        self.channel.control(&ctrl::NV906F_CTRL_CMD_GET_MMU_FAULT_INFO, &mut params).ok()?;
        let kind = text_of(&params.faultString);
        let address = u64::from(params.addrHi) << 32 | u64::from(params.addrLo);
        (!kind.is_empty()).then_some(MmuFault { address, kind })
    }
}
