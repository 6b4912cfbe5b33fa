//! The emulated resource manager's refusals, call by call.

mod raw;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use hcq::kernel::emulated::{EmulatedKernel, GpuModel, Usage};
use hcq::kernel::{KernelInterface, Node};
use nvkernel_sys::class::*;
use nvkernel_sys::ctrl::{self, *};
use nvkernel_sys::engine::{EngineKind, EngineType};
use nvkernel_sys::ioctl::{self, *};
use nvkernel_sys::layout::DriverVersion;
use nvkernel_sys::rm::*;
use proptest::prelude::*;
use raw::{Block, Raw, RawChannel, call};
use zerocopy::{FromZeros, IntoBytes};

/// A release whose layouts are the canonical ones.
fn machine() -> EmulatedKernel {
    EmulatedKernel::builder().driver_version(DriverVersion::new(610, 43, 2)).build().unwrap()
}

fn nvdec(instance: u32) -> EngineType {
    EngineType::of(EngineKind::Nvdec, instance).unwrap()
}

fn errno(result: std::io::Result<()>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}

#[test]
fn wrong_sizes_nodes_and_numbers_are_einval() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let einval = Some(libc::EINVAL);
    let mut bytes = [0u8; 64];
    for (fd, request, what) in [
        (&raw.control, ioctl::request(NV_ESC_RM_ALLOC, 40), "size of no form of RM_ALLOC"),
        (&raw.control, ioctl::request(NV_ESC_RM_CONTROL, 31), "a byte too few"),
        (&raw.control, ioctl::request(NV_ESC_RM_MAP_MEMORY_DMA, 56), "size of an older release"),
        (&raw.control, ioctl::request(NV_ESC_RM_ALLOC_MEMORY, 56), "control node"),
        (&raw.node, ioctl::request(NV_ESC_RM_CONTROL, 32), "GPU node"),
        (&raw.control, ioctl::request(0x99, 32), "no such number"),
        (&raw.control, ioctl::request(NV_ESC_RM_FREE, 16) ^ 0x100, "not the driver's magic"),
        (&raw.control, ioctl::request(NV_ESC_CARD_INFO, 71), "part of a card"),
    ] {
        // SAFETY: the argument is refused before anything in it is used.
        let result = unsafe { kernel.ioctl(fd.as_fd(), request, &mut bytes) };
        assert_eq!(errno(result), einval, "{what}");
    }
    let (ours, _) = std::os::unix::net::UnixStream::pair().unwrap();
    let ours = OwnedFd::from(ours);
    // SAFETY: as above.
    let result = unsafe { kernel.ioctl(ours.as_fd(), ioctl::request(NV_ESC_RM_FREE, 16), &mut bytes) };
    assert_eq!(errno(result), Some(libc::ENODEV), "a descriptor of something else");
    assert_eq!(errno(raw.register(&raw.node)), einval, "registered twice");
    assert_eq!(kernel.open(Node::Gpu(1)).unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn versions_are_compared() {
    let kernel = machine();
    let control = kernel.open(Node::Control).unwrap();
    let ask = |cmd: u32, text: &str| {
        let mut args = nv_ioctl_rm_api_version_t::new_zeroed();
        args.cmd = cmd;
        args.versionString[..text.len()].copy_from_slice(text.as_bytes());
        call(&kernel, control.as_fd(), NV_ESC_CHECK_VERSION_STR, &mut args).map(|()| args)
    };
    let answer = ask(NV_RM_API_VERSION_CMD_QUERY, "").unwrap();
    assert_eq!(DriverVersion::from_c_bytes(&answer.versionString), Ok(DriverVersion::new(610, 43, 2)));
    assert!(ask(NV_RM_API_VERSION_CMD_STRICT, "610.43.02").is_ok());
    assert!(ask(NV_RM_API_VERSION_CMD_STRICT, "610.43.03").is_err());
    assert!(ask(NV_RM_API_VERSION_CMD_RELAXED, "610.99").is_ok());
    assert!(ask(NV_RM_API_VERSION_CMD_RELAXED, "580.43.02").is_err());
}

#[test]
fn handles_parents_and_classes_are_checked() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let plain = |parent, handle, class| raw.alloc_plain(parent, handle, class);
    let usermode = plain(raw.subdevice, 0x1234, HOPPER_USERMODE_A).unwrap();
    assert_eq!(usermode, 0x1234, "a handle of the caller's");
    assert_eq!(plain(raw.subdevice, 0x1234, HOPPER_USERMODE_A), Err(0x19));
    assert_eq!(plain(raw.subdevice, raw.client, HOPPER_USERMODE_A), Err(0x19));
    assert_eq!(plain(raw.device, 0, 0x7777), Err(0x22), "no such class");
    assert_eq!(plain(raw.subdevice, 0, BLACKWELL_USERMODE_A), Err(0x22), "class of another chip");
    assert_eq!(plain(0x4711, 0, HOPPER_USERMODE_A), Err(0x36), "no such parent");
    assert_eq!(plain(raw.device, 0, HOPPER_USERMODE_A), Err(0x36), "parent of the wrong class");
    assert_eq!(plain(raw.device, 0, FERMI_VASPACE_A), Err(0x1f), "parameters are required");
    assert_eq!(raw.free(0x4711), Err(0x57));
    assert_eq!(raw.memory(NV01_MEMORY_LOCAL_USER, 0), Err(0x1f));
    assert_eq!(raw.memory(NV01_MEMORY_LOCAL_USER, u64::MAX), Err(0x51));

    // Handles of one client mean nothing on another's descriptor.
    let other = Raw::open(&kernel);
    let stranger = Raw { client: raw.client, ..other };
    assert_eq!(stranger.alloc_plain(raw.subdevice, 0, HOPPER_USERMODE_A), Err(0x23));
    assert_eq!(stranger.free(raw.device), Err(0x23));
}

#[test]
fn parameters_are_written_back_in_the_kernels_size() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let mut params = [0xaau8; 4096];
    let mut request = NV_MEMORY_ALLOCATION_PARAMS::new_zeroed();
    request.size = 5000;
    params[..128].copy_from_slice(request.as_bytes());
    let mut args = NVOS64_PARAMETERS::new_zeroed();
    (args.hRoot, args.hObjectParent) = (raw.client, raw.device);
    (args.hClass, args.pAllocParms) = (NV01_MEMORY_LOCAL_USER, params.as_mut_ptr() as u64);
    // The declared size is too small, and nobody cares.
    args.paramsSize = 8;
    raw.ioctl(NV_ESC_RM_ALLOC, &mut args).unwrap();
    assert_eq!(args.status, 0);
    let size = u64::from_le_bytes(params[64..72].try_into().unwrap());
    assert_eq!(size, 65536, "rounded to the page size");
    assert!(params[128..].iter().all(|&b| b == 0xaa));
}

#[test]
fn controls_check_size_object_and_command() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let mut words = [0u32; 64];
    let at = words.as_mut_ptr() as u64;
    let arch = NV2080_CTRL_CMD_MC_GET_ARCH_INFO.id;
    assert_eq!(raw.control_at(raw.subdevice, arch, at, 16), Ok(()));
    assert_eq!(words[0], 0x180);
    assert_eq!(raw.control_at(raw.subdevice, arch, at, 12), Err(0x3a));
    assert_eq!(raw.control_at(raw.subdevice, arch, 0, 16), Err(0x1e));
    assert_eq!(raw.control_at(raw.device, arch, at, 16), Err(0x56), "a subdevice's command on a device");
    assert_eq!(raw.control_at(raw.subdevice, 0x2080_ffff, at, 16), Err(0x56));
    assert_eq!(raw.control_at(0x4711, arch, at, 16), Err(0x57));
    assert_eq!(raw.control_at(raw.client, 0x205, at, 32), Err(0x1f), "no GPU has id 0x180");

    // Lists want room for everything.
    let mut list = NV0080_CTRL_GPU_GET_CLASSLIST_PARAMS::new_zeroed();
    raw.control(raw.device, &ctrl::NV0080_CTRL_CMD_GPU_GET_CLASSLIST, &mut list).unwrap();
    let count = list.numClasses;
    list.numClasses = count - 1;
    list.classList = at;
    assert_eq!(raw.control(raw.device, &ctrl::NV0080_CTRL_CMD_GPU_GET_CLASSLIST, &mut list), Err(0x1f));
    list.numClasses = count;
    raw.control(raw.device, &ctrl::NV0080_CTRL_CMD_GPU_GET_CLASSLIST, &mut list).unwrap();
    assert!(words[..count as usize].contains(&NVB8B0_VIDEO_DECODER));

    let mut gid = NV2080_CTRL_GPU_GET_GID_INFO_PARAMS::new_zeroed();
    gid.flags = NV2080_GPU_CMD_GPU_GET_GID_FLAGS_FORMAT_BINARY;
    raw.control(raw.subdevice, &ctrl::NV2080_CTRL_CMD_GPU_GET_GID_INFO, &mut gid).unwrap();
    assert_eq!(gid.length, 16);

    let memory = raw.memory(NV01_MEMORY_LOCAL_USER, 4 << 20).unwrap();
    words[..4].copy_from_slice(&[8, 0, 0x16, 0]);
    let mut info = NV2080_CTRL_FB_GET_INFO_PARAMS::new_zeroed();
    (info.fbInfoListSize, info.fbInfoList) = (2, at);
    raw.control(raw.subdevice, &ctrl::NV2080_CTRL_CMD_FB_GET_INFO, &mut info).unwrap();
    assert_eq!((words[1], words[1] - words[3]), (143_771 << 10, 4 << 10));
    words[..6].copy_from_slice(&[7, 0, 8, 0, 9, 0]);
    let mut info = NV0041_CTRL_GET_SURFACE_INFO_PARAMS::new_zeroed();
    (info.surfaceInfoListSize, info.surfaceInfoList) = (3, at);
    raw.control(memory, &ctrl::NV0041_CTRL_CMD_GET_SURFACE_INFO, &mut info).unwrap();
    assert_eq!((words[1], words[3], words[5]), (1024, 0, 2), "units of 4 KiB, attributes, GPU memory");
}

#[test]
fn video_objects_land_where_they_are_told() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let block = Block::new(&raw, 0x10_0000_0000);
    let channel = |engine: u32| {
        let mut params = block.channel_params(&raw, EngineType(engine));
        raw.alloc(raw.device, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params)
    };
    let object = |channel: u32, size: u32, instance: u32| {
        let mut params = NV_BSP_ALLOCATION_PARAMETERS::new_zeroed();
        (params.size, params.engineInstance) = (size, instance);
        raw.alloc(channel, 0, NVB8B0_VIDEO_DECODER, &mut params)
    };
    let bind = |channel: u32, engine: u32| {
        let mut params = NVA06F_CTRL_BIND_PARAMS::new_zeroed();
        params.engineType = engine;
        raw.control(channel, &ctrl::NVA06F_CTRL_CMD_BIND, &mut params)
    };
    let token = |channel: u32| {
        let mut params = NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN_PARAMS::new_zeroed();
        raw.control(channel, &ctrl::NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN, &mut params)
    };
    assert_eq!(channel(0), Err(0x1f), "the engine type is required");
    assert_eq!(channel(0x13), Err(0x40), "there is no NVDEC0");

    let c = channel(nvdec(4).0).unwrap();
    assert_eq!(object(c, 12, 0), Err(0x22), "nor as an instance");
    assert_eq!(object(c, 8, 4), Err(0x22), "the struct names its size");
    assert_eq!(token(c), Err(0x40), "no object yet");
    object(c, 12, 4).unwrap();
    assert_eq!(token(c), Err(0x40), "not bound yet");
    assert_eq!(bind(c, nvdec(1).0), Err(0x40));
    bind(c, nvdec(4).0).unwrap();
    token(c).unwrap();
    assert_eq!(object(c, 12, 5), Err(0x40), "the runlist is fixed");

    // Without parameters the lowest engine is taken, whatever the channel is for.
    let c = channel(nvdec(4).0).unwrap();
    raw.alloc_plain(c, 0, NVB8B0_VIDEO_DECODER).unwrap();
    assert_eq!(bind(c, nvdec(4).0), Err(0x40));
    bind(c, nvdec(1).0).unwrap();

    let mut params = block.channel_params(&raw, nvdec(2));
    params.gpFifoEntries = 48;
    assert_eq!(raw.alloc(raw.device, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params), Err(0x1f));
    let mut params = block.channel_params(&raw, nvdec(2));
    params.hContextShare = raw.space;
    assert_eq!(raw.alloc(raw.device, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params), Err(0x1f));
    let mut params = block.channel_params(&raw, nvdec(2));
    params.hUserdMemory[0] = raw.space;
    assert_eq!(raw.alloc(raw.device, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params), Err(0x33));
    let mut params = block.channel_params(&raw, nvdec(2));
    params.userdOffset[0] = raw::BLOCK;
    assert_eq!(raw.alloc(raw.device, 0, HOPPER_CHANNEL_GPFIFO_A, &mut params), Err(0x1f));
    assert_eq!(kernel.usage().channels, 2, "refused channels leave nothing behind");
}

#[test]
fn blackwell_objects_follow_their_channel() {
    let kernel = EmulatedKernel::builder()
        .driver_version(DriverVersion::new(610, 43, 2))
        .gpu(GpuModel::b200())
        .build();
    let raw = Raw::open(&kernel.unwrap());
    let block = Block::new(&raw, 0x10_0000_0000);
    let mut params = block.channel_params(&raw, nvdec(4));
    let channel = raw.alloc(raw.device, 0, BLACKWELL_CHANNEL_GPFIFO_A, &mut params).unwrap();
    raw.alloc_plain(channel, 0, NVCDB0_VIDEO_DECODER).unwrap();
    let mut params = NVA06F_CTRL_BIND_PARAMS::new_zeroed();
    params.engineType = nvdec(4).0;
    raw.control(channel, &ctrl::NVA06F_CTRL_CMD_BIND, &mut params).unwrap();
}

#[test]
fn a_descriptor_maps_once() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let memory = raw.memory(NV01_MEMORY_LOCAL_USER, 65536).unwrap();
    let fd = kernel.open(Node::Gpu(0)).unwrap();
    let control = kernel.open(Node::Control).unwrap();
    assert_eq!(raw.map_on(&control, memory, 65536), Err(0x1f), "GPU memory through the control node");
    assert_eq!(raw.map_on(&fd, memory, 65537), Err(0x2e));
    assert_eq!(raw.map_on(&fd, raw.space, 4096), Err(0x33));
    let linear = raw.map_on(&fd, memory, 65536).unwrap();
    assert_eq!(raw.map_on(&fd, memory, 65536), Err(0x63));
    assert_eq!(kernel.map(fd.as_fd(), 4096).unwrap_err().raw_os_error(), Some(libc::ENXIO));
    assert!(kernel.map(fd.as_fd(), 65536).is_ok());
    let unmap = |linear: u64| {
        let mut args = NVOS34_PARAMETERS::new_zeroed();
        (args.hClient, args.hDevice, args.hMemory) = (raw.client, raw.device, memory);
        args.pLinearAddress = linear;
        raw.ioctl(NV_ESC_RM_UNMAP_MEMORY, &mut args).unwrap();
        args.status
    };
    assert_eq!(unmap(linear + 4096), 0x57);
    assert_eq!((unmap(linear), unmap(linear)), (0, 0x57));
}

#[test]
fn bar1_has_an_end() {
    let version = DriverVersion::new(610, 43, 2);
    let kernel = EmulatedKernel::builder().driver_version(version).gpu(GpuModel::t4()).build().unwrap();
    let raw = Raw::open(&kernel);
    let memory = raw.memory(NV01_MEMORY_LOCAL_USER, 200 << 20).unwrap();
    let map = || raw.map_on(&kernel.open(Node::Gpu(0)).unwrap(), memory, 200 << 20);
    map().unwrap();
    assert_eq!(map(), Err(0x51));
    raw.free(memory).unwrap();
    let memory = raw.memory(NV01_MEMORY_LOCAL_USER, 200 << 20).unwrap();
    raw.map_on(&kernel.open(Node::Gpu(0)).unwrap(), memory, 200 << 20).unwrap();
}

#[test]
fn gpu_mappings_are_placed_and_undone() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let memory = raw.memory(NV01_MEMORY_LOCAL_USER, 65536).unwrap();
    assert_eq!(raw.map_dma(memory, 65537, None), Err(0x2e));
    assert_eq!(raw.map_dma(raw.space, 65536, None), Err(0x33));
    assert_eq!(raw.map_dma(memory, 65536, Some(0x1000)), Err(0x37), "not on a page of the memory");
    assert_eq!(raw.map_dma(memory, 65536, Some(1 << 40)), Err(0x37), "outside the window");
    assert_eq!(raw.map_dma(memory, 65536, Some(0x20_0000)), Ok(0x20_0000));
    assert_eq!(raw.map_dma(memory, 65536, Some(0x20_0000)), Err(0x51), "taken");
    let chosen = raw.map_dma(memory, 65536, None).unwrap();
    assert!(chosen != 0 && chosen != 0x20_0000 && chosen.is_multiple_of(65536));
    let unmap = |address: u64| {
        let mut args = NVOS47_PARAMETERS::new_zeroed();
        (args.hClient, args.hDevice, args.hDma) = (raw.client, raw.device, raw.window);
        (args.hMemory, args.dmaOffset) = (memory, address);
        raw.ioctl(NV_ESC_RM_UNMAP_MEMORY_DMA, &mut args).unwrap();
        args.status
    };
    assert_eq!((unmap(chosen), unmap(chosen)), (0, 0x57));
    assert_eq!(kernel.usage().mappings, 1);
    raw.free(memory).unwrap();
    assert_eq!((kernel.usage().mappings, kernel.usage().vidmem), (0, 0), "freed memory is unmapped");
}

#[test]
fn freeing_a_parent_frees_what_hangs_on_it() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let channel = RawChannel::copy(&raw, EngineType::COPY0, 0x10_0000_0000);
    raw.memory(NV01_MEMORY_LOCAL_USER, 1 << 20).unwrap();
    assert_eq!(kernel.usage().channels, 1);
    raw.free(raw.device).unwrap();
    let left = kernel.usage();
    assert_eq!((left.objects, left.channels, left.mappings, left.vidmem, left.sysmem), (0, 0, 0, 0, 0));
    assert_eq!(raw.free(channel.channel), Err(0x57));
    channel.ring(&raw); // The token is of nobody: nothing happens.
}

#[test]
fn closing_the_control_descriptor_frees_everything() {
    let kernel = machine();
    let raw = Raw::open(&kernel);
    let channel = RawChannel::copy(&raw, EngineType::COPY0, 0x10_0000_0000);
    channel.push(&raw, &[0x2001_0008, 0]);
    let event = raw.event(raw.subdevice, 37);
    let copy = raw.control.try_clone().unwrap();
    drop((raw, channel, event));
    assert_eq!(kernel.usage().clients, 1, "a duplicate is still open");
    drop(copy);
    assert_eq!(kernel.usage(), Usage::default());
}

#[test]
fn memory_travels_in_descriptors() {
    let kernel = machine();
    let (from, to) = (Raw::open(&kernel), Raw::open(&kernel));
    let memory = from.memory(NV01_MEMORY_SYSTEM, 8192).unwrap();
    let first = from.map(Node::Control, memory, 8192);
    let parcel = kernel.open(Node::Control).unwrap();
    let export = |fd: &OwnedFd, object: u32| {
        let mut params = NV0000_CTRL_OS_UNIX_EXPORT_OBJECT_TO_FD_PARAMS::new_zeroed();
        (params.object.type_, params.object.hDevice, params.object.hObject) = (1, from.device, object);
        params.fd = fd.as_raw_fd();
        from.control(from.client, &ctrl::NV0000_CTRL_CMD_OS_UNIX_EXPORT_OBJECT_TO_FD, &mut params)
    };
    let import = || {
        let mut params = NV0000_CTRL_OS_UNIX_IMPORT_OBJECT_FROM_FD_PARAMS::new_zeroed();
        params.fd = parcel.as_raw_fd();
        (params.object.type_, params.object.hDevice, params.object.hParent) = (1, to.device, to.device);
        to.control(to.client, &ctrl::NV0000_CTRL_CMD_OS_UNIX_IMPORT_OBJECT_FROM_FD, &mut params)
            .map(|()| params.object.hObject)
    };
    assert_eq!(import(), Err(0x1f), "nothing in it yet");
    assert_eq!(export(&parcel, from.space), Err(0x33), "not memory");
    export(&parcel, memory).unwrap();
    assert_eq!(export(&parcel, memory), Err(0x63));
    drop(from);
    assert_eq!(kernel.usage().sysmem, 8192, "the descriptor keeps the memory");
    let imported = import().unwrap();
    let second = to.map(Node::Control, imported, 8192);
    // SAFETY: both are mappings of 8192 bytes, and nobody else uses them.
    unsafe {
        first.as_mut_ptr().add(5000).write_volatile(77);
        assert_eq!(second.as_ptr().add(5000).read_volatile(), 77);
    }

    // In one process, memory can also be duplicated by handle.
    let third = Raw::open(&kernel);
    let mut args = NVOS55_PARAMETERS::new_zeroed();
    (args.hClient, args.hParent) = (third.client, third.device);
    (args.hClientSrc, args.hObjectSrc) = (to.client, imported);
    third.ioctl(NV_ESC_RM_DUP_OBJECT, &mut args).unwrap();
    assert_eq!(args.status, 0);
    drop((to, parcel));
    assert_eq!(kernel.usage().sysmem, 8192);
    third.free(args.hObject).unwrap();
    assert_eq!(kernel.usage().sysmem, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    #[test]
    fn any_allocation_parameters_are_survived(
        seeds in prop::collection::vec((0usize..CLASSES.len(), 0usize..64, any::<u64>(), any::<u8>()), 1..64),
    ) {
        let kernel = machine();
        let raw = Raw::open(&kernel);
        let block = Block::new(&raw, 0x10_0000_0000);
        let mut handles = vec![raw.client, raw.device, raw.subdevice, raw.space, raw.window, block.memory];
        for (class, parent, seed, density) in seeds {
            // Random words among zeros, with handles and small numbers among the random ones.
            let mut state = seed | 1;
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state >> 24
            };
            let mut params = vec![0u32; 1024];
            for word in &mut params {
                if random() as u8 <= density {
                    *word = match random() % 4 {
                        0 => random() as u32,
                        1 => handles[random() as usize % handles.len()],
                        2 => 1 << (random() % 32),
                        _ => random() as u32 % 32,
                    };
                }
            }
            let class = CLASSES[class].id;
            if class == NV01_ROOT || class == NV01_ROOT_CLIENT {
                continue;
            }
            let parent = handles[parent % handles.len()];
            if let Ok(handle) = raw.alloc_at(parent, 0, class, params.as_mut_ptr() as u64) {
                handles.push(handle);
            }
        }
        drop((raw, block));
        prop_assert_eq!(kernel.usage(), Usage::default());
    }
}

/// What safe code cannot do: a number that no descriptor has.
#[test]
fn a_closed_descriptor_is_not_imported() {
    let kernel = machine();
    let device = hcq::Device::open(std::sync::Arc::new(kernel.clone()), 0).unwrap();
    // SAFETY: it is only ever a number here; no such descriptor is open, nor will be.
    let closed = unsafe { std::os::fd::BorrowedFd::borrow_raw(999_999) };
    let error = device.import(closed, None).unwrap_err();
    assert!(matches!(error, hcq::Error::NoSharedMemory { .. }), "{error}");
}
