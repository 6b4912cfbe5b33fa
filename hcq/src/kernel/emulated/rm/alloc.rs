//! RM_ALLOC: one function per family of classes.

use std::sync::{Arc, Mutex, OnceLock};

use nvkernel_sys::class::{self, *};
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::host;
use nvkernel_sys::layout::RmStruct;
use nvkernel_sys::rm::*;
use nvkernel_sys::status::RmStatus;

use super::Driver;
use super::descriptors::Descriptor;
use super::maps::{add_memory, check_present};
use super::objects::{Client, Kind, RmResult, is_root_class};
use super::user;
use crate::kernel::emulated::engines::registry::{self, Parameters};
use crate::kernel::emulated::gpu::Gpu;
use crate::kernel::emulated::gpu::channel::{Channel, ChannelMemory, ChannelSetup, Group, Notifier, Routing};
use crate::kernel::emulated::gpu::event::Listener;
use crate::kernel::emulated::memory::address_space::AddressSpace;
use crate::kernel::emulated::memory::physical::Memory;
use crate::kernel::emulated::sync::lock;

/// RM keeps the first MiB of an address space that it sizes itself.
const VA_BASE: u64 = 1 << 20;
/// `NV_MMU_PTE_KIND_GENERIC_MEMORY`, in which RM makes uncompressed memory on Turing and later.
const PAGE_KIND_GENERIC: u32 = 6;

/// GPU memory of a channel: its instance block (`NV_RAMIN_ALLOC_SIZE`, dev_ram.h).
const INSTANCE_BYTES: u64 = 4 << 10;
/// GPU memory of an engine object, for its state while another channel has the engine. A round figure: drivers do not
/// say how much they take.
const CONTEXT_BYTES: u64 = 64 << 10;

/// The arguments of RM_ALLOC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllocRequest {
    pub(crate) root: u32,
    pub(crate) parent: u32,
    pub(crate) handle: u32,
    pub(crate) class: u32,
    /// User address of the parameters, 0 for none. Their size is the class's own, also if the caller gives another.
    pub(crate) params: u64,
}

impl Driver {
    pub(crate) fn alloc(&self, descriptor: &Arc<Descriptor>, request: AllocRequest) -> RmResult<u32> {
        let mut objects = lock(&self.objects);
        if is_root_class(request.class) {
            return objects.add_client(request.handle, descriptor.session());
        }
        // An event may be allocated on the descriptor that it will make readable.
        let speaks_for = lock(&descriptor.state).has_event_of(request.root);
        let session = match request.class {
            NV01_EVENT_OS_EVENT if speaks_for => objects.any_client(request.root)?.owner,
            _ => descriptor.session(),
        };
        let client = objects.client(request.root, session)?;
        if request.parent != request.root {
            client.parent(request.parent)?;
            check_present(client, request.parent)?;
        }
        let handle = client.new_handle(request.handle)?;
        if request.class == NV01_DEVICE_0 {
            return self.alloc_device(client, handle, &request);
        }
        if let Some(gpu) = client.gpu_of(request.parent)
            && !gpu.model.classes.contains(&request.class)
        {
            return Err(RmStatus::NV_ERR_INVALID_CLASS);
        }
        match request.class {
            NV20_SUBDEVICE_0 => self.alloc_subdevice(client, handle, &request),
            FERMI_VASPACE_A => self.alloc_space(client, handle, &request),
            NV01_MEMORY_VIRTUAL => self.alloc_window(client, handle, &request),
            NV01_MEMORY_SYSTEM | NV01_MEMORY_LOCAL_USER => self.alloc_memory(client, handle, &request),
            NV01_CONTEXT_DMA => self.alloc_context_dma(client, handle, &request),
            KEPLER_CHANNEL_GROUP_A => self.alloc_group(client, handle, &request),
            FERMI_CONTEXT_SHARE_A => self.alloc_context_share(client, handle, &request),
            NV01_EVENT_OS_EVENT => self.alloc_event(client, handle, &request),
            id => match class::class(id).map(|c| c.kind) {
                Some(ClassKind::Channel) => self.alloc_channel(client, handle, &request),
                Some(ClassKind::Usermode) => self.alloc_usermode(client, handle, &request),
                _ => self.alloc_engine_object(client, handle, &request),
            },
        }
    }

    fn params<P: RmStruct>(&self, request: &AllocRequest) -> RmResult<Option<P>> {
        if request.params == 0 {
            return Ok(None);
        }
        let mut wire = vec![0; self.abi.size_of::<P>()];
        user::copy_in(request.params, &mut wire)?;
        let mut params = P::new_zeroed();
        self.abi.decode(&mut params, &wire);
        Ok(Some(params))
    }

    fn required<P: RmStruct>(&self, request: &AllocRequest) -> RmResult<P> {
        self.params(request)?.ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)
    }

    /// Writes parameters back, in the class's own size.
    fn answer<P: RmStruct>(&self, request: &AllocRequest, params: &P) -> RmResult<()> {
        let mut wire = vec![0; self.abi.size_of::<P>()];
        self.abi.encode(params, &mut wire);
        user::copy_out(request.params, &wire)
    }

    fn alloc_device(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        if request.parent != request.root {
            return Err(RmStatus::NV_ERR_INVALID_OBJECT_PARENT);
        }
        let params = self.required::<NV0080_ALLOC_PARAMETERS>(request)?;
        let gpu = self.gpus.get(params.deviceId as usize).ok_or(RmStatus::NV_ERR_INVALID_DEVICE)?;
        if gpu.signals.is_lost() {
            return Err(RmStatus::NV_ERR_GPU_IS_LOST);
        }
        self.answer(request, &params)?;
        let kind = Kind::Device { gpu: gpu.clone(), default_space: OnceLock::new() };
        client.add(handle, request.parent, request.class, kind);
        Ok(handle)
    }

    fn alloc_subdevice(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        under_device(client, request)?;
        let params = self.params::<NV2080_ALLOC_PARAMETERS>(request)?;
        if params.is_some_and(|p| p.subDeviceId != 0) {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        client.add(handle, request.parent, request.class, Kind::Subdevice);
        Ok(handle)
    }

    fn alloc_space(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        let (_, gpu) = under_device(client, request)?;
        let mut params = self.required::<NV_VASPACE_ALLOCATION_PARAMETERS>(request)?;
        let limit = 1 << gpu.model.address_bits;
        if params.vaSize > limit {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        // Spaces that nvidia-uvm owns cannot be mapped into by RM, and there is no nvidia-uvm here.
        if params.flags & NV_VASPACE_ALLOCATION_FLAGS_IS_EXTERNALLY_OWNED != 0 {
            return Err(RmStatus::NV_ERR_NOT_SUPPORTED);
        }
        let space = AddressSpace::new(if params.vaSize == 0 { limit } else { params.vaSize });
        if params.vaSize == 0 {
            params.vaBase = VA_BASE;
            params.vaSize = limit - VA_BASE;
        }
        self.answer(request, &params)?;
        let kind = Kind::VaSpace(space);
        client.add(handle, request.parent, request.class, kind);
        Ok(handle)
    }

    fn alloc_window(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        let (device, gpu) = under_device(client, request)?;
        let mut params = self.required::<NV_MEMORY_VIRTUAL_ALLOCATION_PARAMS>(request)?;
        let space = client.space(params.hVASpace, device)?;
        let last = (1 << gpu.model.address_bits) - 1;
        if params.limit == 0 {
            params.limit = last;
        }
        if params.offset > params.limit || params.limit > last {
            return Err(RmStatus::NV_ERR_INVALID_LIMIT);
        }
        self.answer(request, &params)?;
        let kind = Kind::Window { space, base: params.offset, last: params.limit };
        client.add(handle, request.parent, request.class, kind);
        Ok(handle)
    }

    fn alloc_memory(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        use memory_attr::*;
        let (_, gpu) = under_device(client, request)?;
        let mut params = self.required::<NV_MEMORY_ALLOCATION_PARAMS>(request)?;
        let vidmem = request.class == NV01_MEMORY_LOCAL_USER;
        let location = if vidmem { LOCATION_VIDMEM } else { LOCATION_PCI };
        if params.size == 0
            || LOCATION.get(params.attr) != location
            || params.flags & NVOS32_ALLOC_FLAGS_VIRTUAL != 0
            || (params.alignment != 0 && !params.alignment.is_power_of_two())
        {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        const HUGE: u64 = 2 << 20;
        let page = match (PAGE_SIZE.get(params.attr), vidmem) {
            (PAGE_SIZE_4KB, _) | (PAGE_SIZE_DEFAULT, false) => 4 << 10,
            (PAGE_SIZE_BIG, _) => 64 << 10,
            (PAGE_SIZE_DEFAULT, true) if params.size < HUGE => 64 << 10,
            _ => HUGE,
        };
        let pool = if vidmem { &gpu.vidmem } else { &self.sysmem };
        let memory = pool.allocate(params.size, page).ok_or(RmStatus::NV_ERR_NO_MEMORY)?;
        params.size = memory.size();
        params.limit = memory.size() - 1;
        params.alignment = page;
        params.offset = memory.physical();
        params.format = PAGE_KIND_GENERIC;
        // What was left to RM comes back decided.
        if PHYSICALITY.get(params.attr) == PHYSICALITY_ALLOW_NONCONTIGUOUS {
            let decided = if vidmem { PHYSICALITY_CONTIGUOUS } else { PHYSICALITY_NONCONTIGUOUS };
            params.attr = PHYSICALITY.set(params.attr, decided);
        }
        if PAGE_SIZE.get(params.attr) == PAGE_SIZE_DEFAULT && !vidmem {
            params.attr = PAGE_SIZE.set(params.attr, PAGE_SIZE_4KB);
        }
        self.answer(request, &params)?;
        add_memory(client, request.parent, handle, request.class, memory)
    }

    fn alloc_context_dma(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        under_device(client, request)?;
        let params = self.required::<NV_CONTEXT_DMA_ALLOCATION_PARAMS>(request)?;
        let memory = named_memory(client, params.hMemory)?;
        let end = params.offset.checked_add(params.limit);
        if !params.offset.is_multiple_of(16) || end.is_none_or(|end| end >= memory.size()) {
            return Err(RmStatus::NV_ERR_INVALID_LIMIT);
        }
        let kind = Kind::ContextDma { memory: memory.clone(), offset: params.offset };
        client.add(handle, request.parent, request.class, kind);
        Ok(handle)
    }

    fn alloc_group(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        let (device, gpu) = under_device(client, request)?;
        let params = self.required::<NV_CHANNEL_GROUP_ALLOCATION_PARAMETERS>(request)?;
        let engine = channel_engine(&gpu, params.engineType)?;
        let space = match params.hVASpace {
            0 => None,
            space => Some(client.space(space, device)?),
        };
        let group = Arc::new(Group { engine, space, channels: Mutex::default() });
        self.answer(request, &params)?;
        client.add(handle, request.parent, request.class, Kind::Group(group));
        Ok(handle)
    }

    fn alloc_context_share(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        let Kind::Group(group) = &client.parent(request.parent)?.kind else {
            return Err(RmStatus::NV_ERR_INVALID_OBJECT_PARENT);
        };
        let own = group.space.clone();
        let params = self.required::<NV_CTXSHARE_ALLOCATION_PARAMETERS>(request)?;
        let device = client.device_of(request.parent).ok_or(RmStatus::NV_ERR_INVALID_DEVICE)?.0;
        let space = match (params.hVASpace, own) {
            (0, Some(own)) => own,
            (space, _) => client.space(space, device)?,
        };
        self.answer(request, &params)?;
        client.add(handle, request.parent, request.class, Kind::ContextShare { space });
        Ok(handle)
    }

    fn alloc_usermode(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        if !matches!(client.parent(request.parent)?.kind, Kind::Subdevice) {
            return Err(RmStatus::NV_ERR_INVALID_OBJECT_PARENT);
        }
        if request.class >= HOPPER_USERMODE_A
            && let Some(params) = self.params::<NV_HOPPER_USERMODE_A_PARAMS>(request)?
            && params.bPriv != 0
        {
            return Err(RmStatus::NV_ERR_INSUFFICIENT_PERMISSIONS);
        }
        client.add(handle, request.parent, request.class, Kind::Usermode);
        Ok(handle)
    }

    fn alloc_event(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        let params = self.required::<NV0005_ALLOC_PARAMETERS>(request)?;
        if params.hParentClient != request.root || params.hClass != NV01_EVENT_OS_EVENT {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        let gpu = client.gpu_of(params.hSrcResource).ok_or(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE)?.clone();
        let descriptor = i32::try_from(params.data).ok().and_then(|fd| self.descriptors.get(fd));
        let descriptor = descriptor
            .filter(|d| lock(&d.state).has_event_of(request.root))
            .ok_or(RmStatus::NV_ERR_INVALID_EVENT)?;
        const FLAGS: u32 =
            NV01_EVENT_NONSTALL_INTR | NV01_EVENT_WITHOUT_EVENT_DATA | NV01_EVENT_SUBDEVICE_SPECIFIC;
        gpu.signals.events.add(Listener {
            client: request.root,
            handle,
            source: params.hSrcResource,
            index: params.notifyIndex & !FLAGS,
            nonstall: params.notifyIndex & NV01_EVENT_NONSTALL_INTR != 0,
            signal: Box::new(move || descriptor.signal()),
        });
        client.add(handle, request.parent, request.class, Kind::Event(gpu));
        Ok(handle)
    }

    fn alloc_channel(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        let (device, gpu) = client.device_of(request.parent).ok_or(RmStatus::NV_ERR_INVALID_OBJECT_PARENT)?;
        let gpu = gpu.clone();
        let group = match &client.parent(request.parent)?.kind {
            Kind::Device { .. } => None,
            Kind::Group(group) => Some(group.clone()),
            _ => return Err(RmStatus::NV_ERR_INVALID_OBJECT_PARENT),
        };
        let mut params = self.required::<NV_CHANNEL_ALLOC_PARAMS>(request)?;
        const INVALID: RmStatus = RmStatus::NV_ERR_INVALID_ARGUMENT;
        let entries = params.gpFifoEntries;
        if !entries.is_power_of_two() || entries < 2 || !params.gpFifoOffset.is_multiple_of(8) {
            return Err(INVALID);
        }
        let engine = channel_engine(&gpu, params.engineType)?;
        let space = match (&group, params.hContextShare, params.hVASpace) {
            (None, 0, space) => client.space(space, device)?,
            (None, ..) => return Err(INVALID),
            (Some(_), _, space) if space != 0 => return Err(INVALID),
            (Some(group), _, _) if group.engine != engine => return Err(INVALID),
            (Some(group), 0, _) => match &group.space {
                Some(space) => space.clone(),
                None => client.space(0, device)?,
            },
            (Some(_), share, _) => match client.get(share).map(|o| (&o.kind, o.parent)) {
                Ok((Kind::ContextShare { space }, parent)) if parent == request.parent => space.clone(),
                _ => return Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE),
            },
        };
        let notifier = match params.hObjectError {
            0 => None,
            object => Some(notifier(client, object)?),
        };
        let userd = named_memory(client, params.hUserdMemory[0])?.clone();
        let offset = params.userdOffset[0];
        let end = offset.checked_add(host::USERD_SIZE as u64);
        if !offset.is_multiple_of(host::USERD_SIZE as u64) || end.is_none_or(|end| end > userd.size()) {
            return Err(INVALID);
        }
        let instance = gpu.vidmem.allocate_own(INSTANCE_BYTES, INSTANCE_BYTES);
        let instance = instance.ok_or(RmStatus::NV_ERR_NO_MEMORY)?;
        let id = gpu.take_channel_id().ok_or(RmStatus::NV_ERR_INSUFFICIENT_RESOURCES)?;
        params.cid = id;
        self.answer(request, &params)?;
        let locked = gpu.model.per_runlist_channels.then_some(engine);
        let memory = ChannelMemory { _instance: instance, userd: (userd, offset), notifier };
        let setup = ChannelSetup {
            signals: gpu.signals.clone(),
            plan: gpu.plan.clone(),
            id,
            class: request.class,
            space,
            ring: params.gpFifoOffset,
            entries,
            engine,
            group,
        };
        let channel = Channel::new(setup, memory, Routing { locked, token_slot: 1, ..Routing::default() });
        client.add(handle, request.parent, request.class, Kind::Channel(channel));
        Ok(handle)
    }

    fn alloc_engine_object(&self, client: &mut Client, handle: u32, request: &AllocRequest) -> RmResult<u32> {
        let class = registry::engine_class(request.class).ok_or(RmStatus::NV_ERR_INVALID_CLASS)?;
        let Kind::Channel(channel) = &client.parent(request.parent)?.kind else {
            return Err(RmStatus::NV_ERR_INVALID_OBJECT_PARENT);
        };
        let channel = channel.clone();
        let gpu = &client.gpu_of(request.parent).ok_or(RmStatus::NV_ERR_INVALID_OBJECT_PARENT)?.clone();
        let chosen = match class.parameters {
            _ if gpu.model.per_runlist_channels => channel.engine(),
            Parameters::None => gpu.model.first_engine(class.engine).ok_or(RmStatus::NV_ERR_INVALID_CLASS)?,
            Parameters::Copy => self.copy_engine(gpu, &channel, request)?,
            Parameters::Bsp => {
                self.media_engine::<NV_BSP_ALLOCATION_PARAMETERS>(gpu, class.engine, request)?
            }
            Parameters::Nvjpg => {
                self.media_engine::<NV_NVJPG_ALLOCATION_PARAMETERS>(gpu, class.engine, request)?
            }
            Parameters::Ofa => {
                self.media_engine::<NV_OFA_ALLOCATION_PARAMETERS>(gpu, class.engine, request)?
            }
        };
        if !registry::executes(chosen.kind(), request.class) {
            return Err(RmStatus::NV_ERR_INVALID_CLASS);
        }
        let context =
            gpu.vidmem.allocate_own(CONTEXT_BYTES, CONTEXT_BYTES).ok_or(RmStatus::NV_ERR_NO_MEMORY)?;
        {
            let mut routing = lock(&channel.routing);
            if routing.locked.is_some_and(|locked| locked != chosen) {
                return Err(RmStatus::NV_ERR_INVALID_STATE);
            }
            routing.locked = Some(chosen);
            routing.has_object = true;
        }
        channel.set_engine(chosen);
        let engine = registry::build(chosen, request.class, &gpu.attached);
        channel.add_object(handle, engine, context);
        client.add(handle, request.parent, request.class, Kind::EngineObject(channel));
        Ok(handle)
    }

    /// The engine that a video, JPEG or optical flow object names. The structs of all three are three words:
    /// their own size, a flag, the instance. Without one RM takes the first engine of the class.
    fn media_engine<P: RmStruct>(
        &self,
        gpu: &Gpu,
        kind: EngineKind,
        request: &AllocRequest,
    ) -> RmResult<EngineType> {
        const INVALID: RmStatus = RmStatus::NV_ERR_INVALID_CLASS;
        let Some(params) = self.params::<P>(request)? else {
            return gpu.model.first_engine(kind).ok_or(INVALID);
        };
        let word = |i: usize| {
            let bytes = params.as_bytes()[4 * i..4 * i + 4].try_into();
            u32::from_le_bytes(bytes.expect("four bytes"))
        };
        if word(0) as usize != size_of::<P>() {
            return Err(INVALID);
        }
        let engine = EngineType::of(kind, word(2)).filter(|e| gpu.model.engines.contains(e));
        engine.ok_or(INVALID)
    }

    fn copy_engine(&self, gpu: &Gpu, channel: &Channel, request: &AllocRequest) -> RmResult<EngineType> {
        const INVALID: RmStatus = RmStatus::NV_ERR_INVALID_CLASS;
        let engine = match self.params::<NVB0B5_ALLOCATION_PARAMETERS>(request)? {
            // The partner copy engine shares the runlist of its graphics engine.
            None if channel.engine().kind() == EngineKind::Graphics => return Ok(channel.engine()),
            None => gpu.model.first_engine(EngineKind::Copy),
            Some(p) if p.version == NVB0B5_ALLOCATION_PARAMETERS_VERSION_1 => Some(EngineType(p.engineType)),
            Some(p) => EngineType::of(EngineKind::Copy, p.engineType),
        };
        let present = engine.filter(|e| e.kind() == EngineKind::Copy && gpu.model.engines.contains(e));
        present.ok_or(INVALID)
    }
}

/// The device that a new object is to hang under.
fn under_device(client: &Client, request: &AllocRequest) -> RmResult<(u32, Arc<Gpu>)> {
    match &client.parent(request.parent)?.kind {
        Kind::Device { gpu, .. } => Ok((request.parent, gpu.clone())),
        _ => Err(RmStatus::NV_ERR_INVALID_OBJECT_PARENT),
    }
}

/// The engine that a channel or group is for.
fn channel_engine(gpu: &Gpu, engine: u32) -> RmResult<EngineType> {
    if engine == EngineType::NULL.0 {
        return match gpu.model.needs_engine_type {
            true => Err(RmStatus::NV_ERR_INVALID_ARGUMENT),
            false => Ok(EngineType::GR0),
        };
    }
    // An engine that the chip lacks fails while its context buffers are made.
    let present = Some(EngineType(engine)).filter(|e| gpu.model.engines.contains(e));
    present.ok_or(RmStatus::NV_ERR_INVALID_STATE)
}

/// Memory that a parameter names.
fn named_memory(client: &Client, handle: u32) -> RmResult<&Arc<Memory>> {
    client.memory(handle).map_err(|_| RmStatus::NV_ERR_INVALID_OBJECT_HANDLE)
}

fn notifier(client: &Client, handle: u32) -> RmResult<Notifier> {
    let source = (client.handle, handle);
    let (memory, offset) = match client.get(handle).map(|o| &o.kind) {
        Ok(Kind::Memory { memory, .. }) => (memory.clone(), 0),
        Ok(Kind::ContextDma { memory, offset }) => (memory.clone(), *offset),
        _ => return Err(RmStatus::NV_ERR_INVALID_OBJECT_HANDLE),
    };
    if offset + size_of::<NvNotification>() as u64 > memory.size() {
        return Err(RmStatus::NV_ERR_INVALID_LIMIT);
    }
    Ok(Notifier { memory, offset, source })
}
