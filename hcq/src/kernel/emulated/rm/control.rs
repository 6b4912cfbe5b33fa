//! RM_CONTROL: queries and commands on objects.
//!
//! The size of the parameters must be the kernel's own, else `NV_ERR_INVALID_PARAM_STRUCT`; a command that an
//! object's class does not have is `NV_ERR_NOT_SUPPORTED`.

use std::sync::Arc;
use std::time::Duration;

use nvkernel_sys::class::BLACKWELL_CHANNEL_GPFIFO_B;
use nvkernel_sys::ctrl::{self, *};
use nvkernel_sys::engine::EngineType;
use nvkernel_sys::layout::RmStruct;
use nvkernel_sys::rm::NvNotification;
use nvkernel_sys::status::RmStatus;

use super::Driver;
use super::descriptors::{Descriptor, Export};
use super::maps::{add_memory, check_present};
use super::objects::{Kind, Objects, RmResult};
use super::user;
use crate::kernel::Node;
use crate::kernel::emulated::gpu::Gpu;
use crate::kernel::emulated::gpu::channel::{Channel, Notifier};
use crate::kernel::emulated::memory::physical::{Location, Memory};
use crate::kernel::emulated::sync::lock;

/// Indices of `NV2080_CTRL_FB_INFO` (ctrl2080fb.h), sizes in KiB.
mod fb_info {
    pub(crate) const RAM_SIZE: u32 = 0x7;
    pub(crate) const TOTAL_RAM_SIZE: u32 = 0x8;
    pub(crate) use nvkernel_sys::ctrl::NV2080_CTRL_FB_INFO_INDEX_HEAP_FREE as HEAP_FREE;
}

/// Bits of `sliStatus` (`NV0000_CTRL_SLI_STATUS`, ctrl0000gpu.h): a single GPU of a kind that is not linked.
const SLI_INVALID_GPU_COUNT: u32 = 0x1;
const SLI_GPU_NOT_SUPPORTED: u32 = 0x40;

/// Lists of queries that are longer are refused.
const MAX_LIST: u32 = 256;

/// The device instance of what is exported and lies on no GPU (`NV_MAX_DEVICES`).
const NO_DEVICE: u32 = 32;

/// How long a preemption waits for an engine.
const PREEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// The arguments of RM_CONTROL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlRequest {
    pub(crate) client: u32,
    pub(crate) object: u32,
    pub(crate) cmd: u32,
    /// User address of the parameters.
    pub(crate) params: u64,
    /// Bytes of them, as the caller declares.
    pub(crate) size: usize,
}

impl Driver {
    pub(crate) fn control(&self, descriptor: &Arc<Descriptor>, request: ControlRequest) -> RmResult<()> {
        let mut objects = lock(&self.objects);
        let client = objects.client(request.client, descriptor.session())?;
        if request.object == request.client {
            return self.client_control(&mut objects, descriptor, &request);
        }
        let object = client.get(request.object)?;
        check_present(client, request.object)?;
        let gpu = client.gpu_of(request.object).ok_or(RmStatus::NV_ERR_NOT_SUPPORTED)?;
        match &object.kind {
            Kind::Device { gpu, .. } => self.device_control(gpu, &request),
            Kind::Subdevice => self.subdevice_control(gpu, &request),
            Kind::Channel(channel) => self.channel_control(gpu, channel, &request),
            Kind::Group(group) => {
                let channels: Vec<_> = lock(&group.channels).iter().filter_map(|c| c.upgrade()).collect();
                self.group_control(gpu, &channels, &request)
            }
            Kind::Memory { memory, .. } => self.memory_control(memory, &request),
            _ => Err(RmStatus::NV_ERR_NOT_SUPPORTED),
        }
    }

    /// Runs a command on its parameters, if their size is right, and writes them back.
    fn typed<P: RmStruct>(
        &self,
        request: &ControlRequest,
        _: &ControlCmd<P>,
        f: impl FnOnce(&mut P) -> RmResult<()>,
    ) -> RmResult<()> {
        if !self.abi.has(P::ID) {
            return Err(RmStatus::NV_ERR_NOT_SUPPORTED);
        }
        let size = self.abi.size_of::<P>();
        if request.size != size {
            return Err(RmStatus::NV_ERR_INVALID_PARAM_STRUCT);
        }
        let mut wire = vec![0; size];
        user::copy_in(request.params, &mut wire)?;
        let mut params = P::new_zeroed();
        self.abi.decode(&mut params, &wire);
        f(&mut params)?;
        self.abi.encode(&params, &mut wire);
        user::copy_out(request.params, &wire)
    }

    fn client_control(
        &self,
        objects: &mut Objects,
        descriptor: &Arc<Descriptor>,
        request: &ControlRequest,
    ) -> RmResult<()> {
        let gpu = |id: u32| self.gpus.iter().find(|g| g.id() == id).ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT);
        let list_ids = |out: &mut [u32]| {
            out.fill(u32::MAX);
            for (gpu, id) in self.gpus.iter().zip(out) {
                *id = gpu.id();
            }
        };
        match request.cmd {
            cmd if cmd == NV0000_CTRL_CMD_GPU_GET_ID_INFO_V2.id => {
                self.typed(request, &NV0000_CTRL_CMD_GPU_GET_ID_INFO_V2, |p| {
                    let gpu = gpu(p.gpuId)?;
                    p.deviceInstance = gpu.index() as u32;
                    p.subDeviceInstance = 0;
                    p.gpuInstance = gpu.index() as u32;
                    p.sliStatus = SLI_GPU_NOT_SUPPORTED | SLI_INVALID_GPU_COUNT;
                    p.boardId = gpu.id();
                    p.numaId = -1;
                    Ok(())
                })
            }
            cmd if cmd == NV0000_CTRL_CMD_GPU_GET_ATTACHED_IDS.id => {
                self.typed(request, &NV0000_CTRL_CMD_GPU_GET_ATTACHED_IDS, |p| {
                    list_ids(&mut p.gpuIds);
                    Ok(())
                })
            }
            cmd if cmd == NV0000_CTRL_CMD_GPU_GET_PROBED_IDS.id => {
                self.typed(request, &NV0000_CTRL_CMD_GPU_GET_PROBED_IDS, |p| {
                    list_ids(&mut p.gpuIds);
                    p.excludedGpuIds.fill(u32::MAX);
                    Ok(())
                })
            }
            cmd if cmd == NV0000_CTRL_CMD_GPU_ATTACH_IDS.id => {
                self.typed(request, &NV0000_CTRL_CMD_GPU_ATTACH_IDS, |p| {
                    // Attached already; an id in front of the end mark must be one that exists. The mark
                    // "all" stands alone.
                    for &id in p.gpuIds.iter().take_while(|&&id| id != u32::MAX && id != 0xffff) {
                        if let Err(status) = gpu(id) {
                            p.failedId = id;
                            return Err(status);
                        }
                    }
                    Ok(())
                })
            }
            cmd if cmd == NV0000_CTRL_CMD_OS_UNIX_EXPORT_OBJECT_TO_FD.id => {
                let client = objects.client(request.client, descriptor.session())?;
                self.typed(request, &NV0000_CTRL_CMD_OS_UNIX_EXPORT_OBJECT_TO_FD, |p| {
                    if p.object.type_ != NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TYPE_RM {
                        return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
                    }
                    let memory = client.memory(p.object.hObject)?.clone();
                    let target = self.control_descriptor(p.fd)?;
                    let mut state = lock(&target.state);
                    if state.export.is_some() || state.mapping.is_some() || !state.os_events.is_empty() {
                        return Err(RmStatus::NV_ERR_STATE_IN_USE);
                    }
                    let instance =
                        client.gpu_of(p.object.hObject).map_or(NO_DEVICE, |gpu| gpu.index() as u32);
                    state.export = Some(Export { memory, instance });
                    Ok(())
                })
            }
            cmd if cmd == NV0000_CTRL_CMD_OS_UNIX_IMPORT_OBJECT_FROM_FD.id => {
                let client = objects.client(request.client, descriptor.session())?;
                self.typed(request, &NV0000_CTRL_CMD_OS_UNIX_IMPORT_OBJECT_FROM_FD, |p| {
                    let export = lock(&self.control_descriptor(p.fd)?.state).export.clone();
                    let memory = export.ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)?.memory;
                    let class = match memory.location() {
                        Location::Vidmem => nvkernel_sys::class::NV01_MEMORY_LOCAL_USER,
                        _ => nvkernel_sys::class::NV01_MEMORY_SYSTEM,
                    };
                    check_present(client, p.object.hParent)?;
                    p.object.hObject = add_memory(client, p.object.hParent, p.object.hObject, class, memory)?;
                    Ok(())
                })
            }
            cmd if cmd == NV0000_CTRL_CMD_OS_UNIX_GET_EXPORT_OBJECT_INFO.id => {
                self.typed(request, &NV0000_CTRL_CMD_OS_UNIX_GET_EXPORT_OBJECT_INFO, |p| {
                    let export = lock(&self.control_descriptor(p.fd)?.state).export.clone();
                    p.deviceInstance = export.ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)?.instance;
                    p.gpuInstanceId = u32::MAX;
                    (p.maxObjects, p.metadata) = (1, [0; 64]);
                    Ok(())
                })
            }
            _ => unknown(request),
        }
    }

    fn control_descriptor(&self, fd: i32) -> RmResult<Arc<Descriptor>> {
        let descriptor = self.descriptors.get(fd).filter(|d| d.node() == Node::Control);
        descriptor.ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)
    }

    fn device_control(&self, gpu: &Gpu, request: &ControlRequest) -> RmResult<()> {
        match request.cmd {
            cmd if cmd == NV0080_CTRL_CMD_GPU_GET_CLASSLIST.id => {
                self.typed(request, &NV0080_CTRL_CMD_GPU_GET_CLASSLIST, |p| {
                    list(&gpu.model.classes, &mut p.numClasses, p.classList)
                })
            }
            cmd if cmd == NV0080_CTRL_CMD_GPU_GET_CLASSLIST_V2.id => {
                self.typed(request, &NV0080_CTRL_CMD_GPU_GET_CLASSLIST_V2, |p| {
                    p.numClasses = gpu.model.classes.len() as u32;
                    p.classList[..gpu.model.classes.len()].copy_from_slice(&gpu.model.classes);
                    Ok(())
                })
            }
            _ => unknown(request),
        }
    }

    fn subdevice_control(&self, gpu: &Gpu, request: &ControlRequest) -> RmResult<()> {
        let engines: Vec<u32> = gpu.model.engines.iter().map(|e| e.0).collect();
        match request.cmd {
            cmd if cmd == NV2080_CTRL_CMD_GPU_GET_NAME_STRING.id => {
                self.typed(request, &NV2080_CTRL_CMD_GPU_GET_NAME_STRING, |p| {
                    let name = gpu.model.name.as_bytes();
                    let length = name.len().min(p.gpuNameString.len() - 1);
                    p.gpuNameString.fill(0);
                    p.gpuNameString[..length].copy_from_slice(&name[..length]);
                    Ok(())
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_GPU_GET_ENGINES.id => {
                self.typed(request, &NV2080_CTRL_CMD_GPU_GET_ENGINES, |p| {
                    list(&engines, &mut p.engineCount, p.engineList)
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_GPU_GET_ENGINES_V2.id => {
                self.typed(request, &NV2080_CTRL_CMD_GPU_GET_ENGINES_V2, |p| {
                    p.engineCount = engines.len() as u32;
                    p.engineList[..engines.len()].copy_from_slice(&engines);
                    Ok(())
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST.id => {
                self.typed(request, &NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST, |p| {
                    let engine = EngineType(p.engineType);
                    if !gpu.model.engines.contains(&engine) {
                        return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
                    }
                    list(&gpu.model.engine_classes(engine), &mut p.numClasses, p.classList)
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_GPU_GET_GID_INFO.id => {
                self.typed(request, &NV2080_CTRL_CMD_GPU_GET_GID_INFO, |p| {
                    // The SHA-1 form is 16 bytes, made of what tells GPUs of one model apart.
                    let mut uuid = *b"emulated-gpu\0\0\0\0";
                    uuid[12..14].copy_from_slice(&gpu.model.pci_device_id.to_be_bytes());
                    uuid[15] = gpu.index() as u8;
                    p.data.fill(0);
                    if p.flags & NV2080_GPU_CMD_GPU_GET_GID_FLAGS_FORMAT_BINARY != 0 {
                        p.data[..16].copy_from_slice(&uuid);
                        p.length = 16;
                    } else {
                        let text = uuid_text(&uuid);
                        p.data[..text.len()].copy_from_slice(text.as_bytes());
                        p.length = text.len() as u32 + 1;
                    }
                    Ok(())
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_EVENT_SET_NOTIFICATION.id => {
                self.typed(request, &NV2080_CTRL_CMD_EVENT_SET_NOTIFICATION, |p| {
                    gpu.signals.events.set_action(request.client, request.object, p.event, p.action);
                    Ok(())
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_TIMER_GET_TIME.id => {
                self.typed(request, &NV2080_CTRL_CMD_TIMER_GET_TIME, |p| {
                    p.time_nsec = gpu.signals.timestamp();
                    Ok(())
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_FB_GET_INFO.id => {
                self.typed(request, &NV2080_CTRL_CMD_FB_GET_INFO, |p| {
                    let total = gpu.vidmem.capacity();
                    answer_list(p.fbInfoListSize, p.fbInfoList, |index| match index {
                        fb_info::RAM_SIZE | fb_info::TOTAL_RAM_SIZE => Some((total >> 10) as u32),
                        fb_info::HEAP_FREE => Some((total.saturating_sub(gpu.vidmem.used()) >> 10) as u32),
                        _ => None,
                    })
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_MC_GET_ARCH_INFO.id => {
                self.typed(request, &NV2080_CTRL_CMD_MC_GET_ARCH_INFO, |p| {
                    p.architecture = gpu.model.architecture;
                    p.implementation = gpu.model.implementation;
                    p.revision = gpu.model.revision;
                    p.subRevision = gpu.model.sub_revision;
                    Ok(())
                })
            }
            cmd if cmd == NV2080_CTRL_CMD_PERF_BOOST.id => {
                self.typed(request, &NV2080_CTRL_CMD_PERF_BOOST, |p| {
                    let boost = match perf_boost_flags::CMD.get(p.flags) {
                        perf_boost_flags::CMD_CLEAR => false,
                        perf_boost_flags::CMD_BOOST_1LEVEL | perf_boost_flags::CMD_BOOST_TO_MAX => true,
                        _ => return Err(RmStatus::NV_ERR_INVALID_ARGUMENT),
                    };
                    let known = [
                        perf_boost_flags::CMD,
                        perf_boost_flags::CUDA,
                        perf_boost_flags::ASYNC,
                        perf_boost_flags::CUDA_PRIORITY,
                    ];
                    let known = known.iter().fold(0, |mask, field| mask | field.of((1 << field.width()) - 1));
                    let lasts = p.duration <= NV2080_CTRL_PERF_BOOST_DURATION_MAX
                        || p.duration == NV2080_CTRL_PERF_BOOST_DURATION_INFINITE;
                    if p.flags & !known != 0 || !lasts {
                        return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
                    }
                    gpu.set_boost(request.client, boost);
                    Ok(())
                })
            }
            _ => unknown(request),
        }
    }

    fn memory_control(&self, memory: &Memory, request: &ControlRequest) -> RmResult<()> {
        if request.cmd != NV0041_CTRL_CMD_GET_SURFACE_INFO.id {
            return unknown(request);
        }
        self.typed(request, &NV0041_CTRL_CMD_GET_SURFACE_INFO, |p| {
            answer_list(p.surfaceInfoListSize, p.surfaceInfoList, |index| match index {
                SURFACE_INFO_PHYS_SIZE => Some((memory.size() >> 12) as u32),
                // What an H200 said of 2 MiB pages that CUDA had allocated; other memory was not asked for.
                SURFACE_INFO_PHYS_ATTR => Some(0),
                SURFACE_INFO_ADDR_SPACE_TYPE => Some(match memory.location() {
                    Location::Vidmem => ADDR_SPACE_TYPE_VIDMEM,
                    _ => ADDR_SPACE_TYPE_SYSMEM,
                }),
                _ => None,
            })
        })
    }

    fn group_control(&self, gpu: &Gpu, channels: &[Arc<Channel>], request: &ControlRequest) -> RmResult<()> {
        match request.cmd {
            cmd if cmd == NVA06C_CTRL_CMD_GPFIFO_SCHEDULE.id => {
                self.typed(request, &NVA06C_CTRL_CMD_GPFIFO_SCHEDULE, |p| {
                    channels.iter().try_for_each(|channel| schedule(gpu, channel, p.bEnable != 0))
                })
            }
            cmd if cmd == NVA06C_CTRL_CMD_SET_TIMESLICE.id => {
                self.typed(request, &NVA06C_CTRL_CMD_SET_TIMESLICE, |p| match p.timesliceUs {
                    0 => Err(RmStatus::NV_ERR_INVALID_ARGUMENT),
                    _ => Ok(()),
                })
            }
            cmd if cmd == NVA06C_CTRL_CMD_PREEMPT.id => self.typed(request, &NVA06C_CTRL_CMD_PREEMPT, |p| {
                let gone = p.bWait == 0 || channels.iter().all(|channel| channel.preempt(PREEMPT_TIMEOUT));
                if gone { Ok(()) } else { Err(RmStatus::NV_ERR_TIMEOUT) }
            }),
            _ => unknown(request),
        }
    }

    fn channel_control(&self, gpu: &Gpu, channel: &Arc<Channel>, request: &ControlRequest) -> RmResult<()> {
        match request.cmd {
            cmd if cmd == NVA06F_CTRL_CMD_BIND.id => {
                self.typed(request, &NVA06F_CTRL_CMD_BIND, |p| bind(gpu, channel, EngineType(p.engineType)))
            }
            cmd if cmd == NVA06F_CTRL_CMD_GPFIFO_SCHEDULE.id => {
                self.typed(request, &NVA06F_CTRL_CMD_GPFIFO_SCHEDULE, |p| {
                    schedule(gpu, channel, p.bEnable != 0)
                })
            }
            cmd if cmd == NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN.id => {
                self.typed(request, &NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN, |p| {
                    p.workSubmitToken = work_submit_token(gpu, channel)?;
                    Ok(())
                })
            }
            cmd if cmd == NVC36F_CTRL_CMD_GPFIFO_SET_WORK_SUBMIT_TOKEN_NOTIF_INDEX.id => {
                self.typed(request, &NVC36F_CTRL_CMD_GPFIFO_SET_WORK_SUBMIT_TOKEN_NOTIF_INDEX, |p| {
                    let notifier = channel.notifier().ok_or(RmStatus::NV_ERR_INVALID_STATE)?;
                    slot(&notifier, p.index).ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)?;
                    lock(&channel.routing).token_slot = p.index;
                    Ok(())
                })
            }
            cmd if cmd == NVA06F_CTRL_CMD_STOP_CHANNEL.id => {
                self.typed(request, &NVA06F_CTRL_CMD_STOP_CHANNEL, |_| {
                    channel.set_scheduled(false);
                    channel.leave_engine();
                    Ok(())
                })
            }
            cmd if cmd == NV906F_CTRL_CMD_RESET_CHANNEL.id => {
                self.typed(request, &NV906F_CTRL_CMD_RESET_CHANNEL, |_| {
                    channel.reset();
                    Ok(())
                })
            }
            cmd if cmd == NV906F_CTRL_CMD_GET_MMU_FAULT_INFO.id => {
                self.typed(request, &NV906F_CTRL_CMD_GET_MMU_FAULT_INFO, |p| {
                    let Some(fault) = channel.mmu_fault() else { return Ok(()) };
                    p.addrHi = (fault.address >> 32) as u32;
                    p.addrLo = fault.address as u32;
                    p.faultType = fault.kind.number();
                    p.faultString.fill(0);
                    p.faultString[..fault.kind.name().len()].copy_from_slice(fault.kind.name().as_bytes());
                    Ok(())
                })
            }
            _ => unknown(request),
        }
    }
}

fn unknown(request: &ControlRequest) -> RmResult<()> {
    log::debug!("no control {:#x} ({}) on {:#x}", request.cmd, ctrl::name_of(request.cmd), request.object);
    Err(RmStatus::NV_ERR_NOT_SUPPORTED)
}

/// Answers a "count and pointer" query: the count alone for a null pointer, else as many words as there are,
/// for which the caller must have given room.
fn list(words: &[u32], count: &mut u32, pointer: u64) -> RmResult<()> {
    if pointer != 0 {
        if (*count as usize) < words.len() {
            return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
        }
        user::copy_words_out(pointer, words)?;
    }
    *count = words.len() as u32;
    Ok(())
}

/// Fills the data of a list of index and data pairs in user memory.
fn answer_list(count: u32, pointer: u64, answer: impl Fn(u32) -> Option<u32>) -> RmResult<()> {
    if count > MAX_LIST {
        return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
    }
    for i in 0..u64::from(count) {
        let at = pointer.checked_add(8 * i).ok_or(RmStatus::NV_ERR_INVALID_ADDRESS)?;
        let mut index = [0; 4];
        user::copy_in(at, &mut index)?;
        let data = answer(u32::from_le_bytes(index)).ok_or(RmStatus::NV_ERR_INVALID_ARGUMENT)?;
        user::copy_words_out(at + 4, &[data])?;
    }
    Ok(())
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex: String = uuid.iter().map(|b| format!("{b:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn bind(gpu: &Gpu, channel: &Channel, engine: EngineType) -> RmResult<()> {
    if !gpu.model.engines.contains(&engine) {
        return Err(RmStatus::NV_ERR_INVALID_ARGUMENT);
    }
    let mut routing = lock(&channel.routing);
    if routing.locked.is_some_and(|locked| locked != engine) {
        return Err(RmStatus::NV_ERR_INVALID_STATE);
    }
    routing.locked = Some(engine);
    routing.bound = true;
    channel.set_engine(engine);
    Ok(())
}

fn schedule(gpu: &Gpu, channel: &Arc<Channel>, enable: bool) -> RmResult<()> {
    let mut routing = lock(&channel.routing);
    let engine = routing.locked.ok_or(RmStatus::NV_ERR_INVALID_STATE)?;
    routing.scheduled = enable;
    channel.set_scheduled(enable);
    let runlist = gpu.runlist(engine)?;
    if enable {
        runlist.add(channel);
    } else {
        runlist.remove(channel);
    }
    Ok(())
}

/// Where slot `index` of an error notifier lies, if there is room for it.
fn slot(notifier: &Notifier, index: u32) -> Option<u64> {
    let size = size_of::<NvNotification>() as u64;
    let at = notifier.offset + size * u64::from(index);
    (at + size <= notifier.memory.size()).then_some(at)
}

fn work_submit_token(gpu: &Gpu, channel: &Arc<Channel>) -> RmResult<u32> {
    let routing = *lock(&channel.routing);
    let ready = gpu.model.per_runlist_channels || (routing.has_object && routing.bound);
    let engine = routing.locked.filter(|_| ready).ok_or(RmStatus::NV_ERR_INVALID_STATE)?;
    let mut token = engine.0 << 16 | channel.id();
    if gpu.model.classes.contains(&BLACKWELL_CHANNEL_GPFIFO_B) {
        token |= 1 << 30;
    }
    if let Some(notifier) = channel.notifier()
        && let Some(at) = slot(&notifier, routing.token_slot)
    {
        notifier.memory.store_u32(at + 8, token);
    }
    gpu.listen(token, channel);
    Ok(token)
}
