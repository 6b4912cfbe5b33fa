//! Mapping memory: for the CPU, into GPU address spaces, and from one client to another.

use std::sync::Arc;

use nvkernel_sys::host;
use nvkernel_sys::rm::*;
use nvkernel_sys::status::RmStatus;

use super::Driver;
use super::descriptors::{Descriptor, MapContext};
use super::objects::{Client, CpuMapping, Kind, RmResult};
use crate::kernel::Node;
use crate::kernel::emulated::memory::address_space::{MapRequest, Owner};
use crate::kernel::emulated::memory::physical::{Location, Memory};
use crate::kernel::emulated::sync::lock;

/// Where BAR1 and host memory lie on the bus.
const BAR1_BASE: u64 = 0x2000_0000_0000;
const SYSMEM_BASE: u64 = 0x1_0000_0000;
const REGISTER_BASE: u64 = 0xc000_0000;
const CPU_PAGE: u64 = 4096;

fn linear_address(memory: &Memory, offset: u64) -> u64 {
    let base = match memory.location() {
        Location::Vidmem => BAR1_BASE,
        Location::Sysmem => SYSMEM_BASE,
        Location::Registers => REGISTER_BASE,
    };
    base + memory.physical() + offset
}

/// What RM adds to the `flags` of a mapping: the way it took and the caching it chose.
fn map_flags(location: Location) -> u32 {
    use nvos33_flags::*;
    match location {
        Location::Vidmem => MAPPING.of(MAPPING_REFLECTED) | CACHING_TYPE.of(CACHING_TYPE_WRITECOMBINED),
        Location::Sysmem => MAPPING.of(MAPPING_DIRECT) | CACHING_TYPE.of(CACHING_TYPE_DEFAULT),
        Location::Registers => CACHING_TYPE.of(CACHING_TYPE_DEFAULT),
    }
}

/// `NV_ERR_GPU_IS_LOST` if the GPU above `handle` is.
pub(crate) fn check_present(client: &Client, handle: u32) -> RmResult<()> {
    match client.gpu_of(handle) {
        Some(gpu) if gpu.signals.is_lost() => Err(RmStatus::NV_ERR_GPU_IS_LOST),
        _ => Ok(()),
    }
}

impl Driver {
    pub(crate) fn map_memory(
        &self,
        descriptor: &Descriptor,
        args: &mut nv_ioctl_nvos33_parameters_with_fd,
    ) -> RmResult<()> {
        let params = &mut args.params;
        let mut objects = lock(&self.objects);
        let client = objects.client(params.hClient, descriptor.session())?;
        check_present(client, params.hDevice)?;
        let (device, gpu) = client.device_of(params.hDevice).ok_or(RmStatus::NV_ERR_INVALID_DEVICE)?;
        let gpu = gpu.clone();
        if client.device_of(params.hMemory).is_none_or(|(above, _)| above != device) {
            return Err(RmStatus::NV_ERR_OBJECT_NOT_FOUND);
        }
        let (memory, registers_of) = match &client.get(params.hMemory)?.kind {
            Kind::Memory { memory, .. } => (memory.clone(), None),
            Kind::Usermode => (gpu.signals.usermode_registers(), Some(gpu.index())),
            _ => return Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE),
        };
        let end = params.offset.checked_add(params.length).filter(|&end| end <= memory.size());
        if params.length == 0 || end.is_none() {
            return Err(RmStatus::NV_ERR_INVALID_LIMIT);
        }
        if !params.offset.is_multiple_of(CPU_PAGE) {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }

        let target = self.descriptors.get(args.fd).ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)?;
        let node = match memory.location() {
            Location::Sysmem => Node::Control,
            Location::Vidmem | Location::Registers => Node::Gpu(gpu.index() as u32),
        };
        if target.node() != node {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        let mut state = lock(&target.state);
        if state.mapping.is_some() {
            return Err(RmStatus::NV_ERR_STATE_IN_USE);
        }
        let bar1 = if memory.location() == Location::Vidmem { params.length } else { 0 };
        if !gpu.take_bar1(bar1) {
            return Err(RmStatus::NV_ERR_NO_MEMORY);
        }
        let linear = linear_address(&memory, params.offset);
        let flags = map_flags(memory.location());
        state.mapping =
            Some(MapContext { memory, offset: params.offset, length: params.length, registers_of });
        if let Kind::Memory { mappings, .. } = &mut client.get_mut(params.hMemory)?.kind {
            mappings.push(CpuMapping { linear, bar1 });
        }
        params.pLinearAddress = linear;
        params.flags |= flags;
        Ok(())
    }

    pub(crate) fn unmap_memory(&self, descriptor: &Descriptor, args: &NVOS34_PARAMETERS) -> RmResult<()> {
        let mut objects = lock(&self.objects);
        let client = objects.client(args.hClient, descriptor.session())?;
        let gpu = client.gpu_of(args.hDevice).ok_or(RmStatus::NV_ERR_INVALID_DEVICE)?.clone();
        match &mut client.get_mut(args.hMemory)?.kind {
            Kind::Memory { mappings, .. } => {
                let at = mappings.iter().position(|m| m.linear == args.pLinearAddress);
                gpu.release_bar1(mappings.swap_remove(at.ok_or(RmStatus::NV_ERR_OBJECT_NOT_FOUND)?).bar1);
                Ok(())
            }
            Kind::Usermode if args.pLinearAddress == REGISTER_BASE => Ok(()),
            Kind::Usermode => Err(RmStatus::NV_ERR_OBJECT_NOT_FOUND),
            _ => Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE),
        }
    }

    pub(crate) fn map_dma(&self, descriptor: &Descriptor, args: &mut NVOS46_PARAMETERS) -> RmResult<()> {
        use nvos46_flags::*;
        let mut objects = lock(&self.objects);
        let client = objects.client(args.hClient, descriptor.session())?;
        check_present(client, args.hDevice)?;
        let (device, _) = client.device_of(args.hDevice).ok_or(RmStatus::NV_ERR_INVALID_DEVICE)?;
        let (space, base, last) = match &client.get(args.hDma)?.kind {
            Kind::Window { space, base, last } => (space, *base, *last),
            _ => return Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE),
        };
        if [args.hDma, args.hMemory].iter().any(|&h| client.device_of(h).is_none_or(|(d, _)| d != device)) {
            return Err(RmStatus::NV_ERR_OBJECT_NOT_FOUND);
        }
        let memory = client.memory(args.hMemory)?;
        let end = args.offset.checked_add(args.length).filter(|&end| end <= memory.size());
        if args.length == 0 || end.is_none() {
            return Err(RmStatus::NV_ERR_INVALID_LIMIT);
        }
        let page = match PAGE_SIZE.get(args.flags) {
            PAGE_SIZE_4KB => 4 << 10,
            PAGE_SIZE_BIG => 64 << 10,
            PAGE_SIZE_HUGE => 2 << 20,
            PAGE_SIZE_512M => 512 << 20,
            _ => memory.page_size(),
        };
        if page > memory.page_size() {
            // Pages of the mapping cannot be larger than those that the memory is made of.
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        if memory.location() == Location::Sysmem && CACHE_SNOOP.get(args.flags) == CACHE_SNOOP_DISABLE {
            log::debug!(
                "host memory {:#x} is mapped without CACHE_SNOOP: not coherent on hardware",
                args.hMemory
            );
        }
        let access = ACCESS.get(args.flags);
        let request = MapRequest {
            memory: memory.clone(),
            offset: args.offset,
            length: args.length,
            readable: access != ACCESS_WRITE_ONLY,
            writable: access != ACCESS_READ_ONLY,
            owner: Owner { client: args.hClient, window: args.hDma, memory: args.hMemory },
        };
        if DMA_OFFSET_FIXED.get(args.flags) == DMA_OFFSET_FIXED_TRUE {
            let address = args.dmaOffset;
            let end = address.checked_add(args.length - 1);
            if !address.is_multiple_of(page) || address < base || end.is_none_or(|end| end > last) {
                return Err(RmStatus::NV_ERR_INVALID_OFFSET);
            }
            return if space.map_at(address, request) { Ok(()) } else { Err(RmStatus::NV_ERR_NO_MEMORY) };
        }
        // Address 0 stays free, as RM leaves it.
        let base = base.max(page);
        args.dmaOffset = space.map_anywhere(base, last, page, request).ok_or(RmStatus::NV_ERR_NO_MEMORY)?;
        Ok(())
    }

    pub(crate) fn unmap_dma(&self, descriptor: &Descriptor, args: &NVOS47_PARAMETERS) -> RmResult<()> {
        let mut objects = lock(&self.objects);
        let client = objects.client(args.hClient, descriptor.session())?;
        client.device_of(args.hDevice).ok_or(RmStatus::NV_ERR_INVALID_DEVICE)?;
        let Kind::Window { space, .. } = &client.get(args.hDma)?.kind else {
            return Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE);
        };
        let owner = Owner { client: args.hClient, window: args.hDma, memory: args.hMemory };
        if space.unmap(args.dmaOffset, owner) { Ok(()) } else { Err(RmStatus::NV_ERR_OBJECT_NOT_FOUND) }
    }

    pub(crate) fn dup_object(&self, descriptor: &Descriptor, args: &mut NVOS55_PARAMETERS) -> RmResult<()> {
        let mut objects = lock(&self.objects);
        let source = objects.any_client(args.hClientSrc)?.get(args.hObjectSrc)?;
        let Kind::Memory { memory, .. } = &source.kind else {
            return Err(RmStatus::NV_ERR_NOT_SUPPORTED);
        };
        let (class, memory) = (source.class, memory.clone());
        let client = objects.client(args.hClient, descriptor.session())?;
        args.hObject = add_memory(client, args.hParent, args.hObject, class, memory)?;
        Ok(())
    }

    /// The memory that `fd` may map, checked as `mmap` of a device file is.
    pub(crate) fn mapping_of(&self, descriptor: &Arc<Descriptor>, length: usize) -> Option<MapContext> {
        let context = lock(&descriptor.state).mapping.clone()?;
        let length = length as u64;
        let fits = match context.memory.location() {
            Location::Sysmem => length <= context.length,
            Location::Vidmem => length == context.length,
            Location::Registers => length <= host::USERMODE_SIZE as u64 && length == context.length,
        };
        fits.then_some(context)
    }
}

/// Adds a memory object under a device.
pub(crate) fn add_memory(
    client: &mut Client,
    parent: u32,
    handle: u32,
    class: u32,
    memory: Arc<Memory>,
) -> RmResult<u32> {
    if !matches!(client.parent(parent)?.kind, Kind::Device { .. }) {
        return Err(RmStatus::NV_ERR_INVALID_OBJECT_PARENT);
    }
    let handle = client.new_handle(handle)?;
    client.add(handle, parent, class, Kind::Memory { memory, mappings: Vec::new() });
    Ok(handle)
}
