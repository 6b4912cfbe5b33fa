//! A client that talks ioctls itself, to send what the library never would.
#![allow(dead_code, unreachable_pub)] // Each test binary uses a part.

pub mod cubin;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use hcq::kernel::emulated::EmulatedKernel;
use hcq::kernel::{KernelInterface, Node, UsermodeRegisters};
use memmap2::MmapRaw;
use nvkernel_sys::class::*;
use nvkernel_sys::ctrl::{self, ControlCmd, NVA06F_CTRL_BIND_PARAMS, NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS};
use nvkernel_sys::engine::EngineType;
use nvkernel_sys::ioctl::{nv_ioctl_alloc_os_event_t, nv_ioctl_register_fd_t};
use nvkernel_sys::layout::RmStruct;
use nvkernel_sys::rm::*;
use nvkernel_sys::{host, ioctl};
use zerocopy::FromZeros;

/// A status that is not NV_OK.
pub type Status = u32;

/// One ioctl with a struct in the canonical layout, which is that of the releases these tests pose as.
pub fn call<T: RmStruct>(
    kernel: &EmulatedKernel,
    fd: BorrowedFd<'_>,
    nr: u32,
    args: &mut T,
) -> io::Result<()> {
    let bytes = args.as_mut_bytes();
    let request = ioctl::request(nr, bytes.len());
    // SAFETY: every pointer that these tests put into arguments is that of a live buffer.
    unsafe { kernel.ioctl(fd, request, bytes) }
}

fn check(status: Status) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(status) }
}

/// One client of the driver.
pub struct Raw {
    pub kernel: EmulatedKernel,
    pub control: OwnedFd,
    pub node: OwnedFd,
    pub client: u32,
    pub device: u32,
    pub subdevice: u32,
    pub space: u32,
    pub window: u32,
}

impl Raw {
    /// Opens GPU 0, with a device, an address space and a window in it.
    pub fn open(kernel: &EmulatedKernel) -> Raw {
        let control = kernel.open(Node::Control).unwrap();
        let node = kernel.open(Node::Gpu(0)).unwrap();
        let mut raw = Raw {
            kernel: kernel.clone(),
            control,
            node,
            client: 0,
            device: 0,
            subdevice: 0,
            space: 0,
            window: 0,
        };
        raw.register(&raw.node).unwrap();
        raw.client = raw.alloc_plain(0, 0, NV01_ROOT_CLIENT).unwrap();
        let mut params = NV0080_ALLOC_PARAMETERS::new_zeroed();
        raw.device = raw.alloc(raw.client, 0, NV01_DEVICE_0, &mut params).unwrap();
        raw.subdevice = raw.alloc_plain(raw.device, 0, NV20_SUBDEVICE_0).unwrap();
        let mut params = NV_VASPACE_ALLOCATION_PARAMETERS::new_zeroed();
        raw.space = raw.alloc(raw.device, 0, FERMI_VASPACE_A, &mut params).unwrap();
        let mut params = NV_MEMORY_VIRTUAL_ALLOCATION_PARAMS::new_zeroed();
        (params.limit, params.hVASpace) = ((1 << 40) - 1, raw.space);
        raw.window = raw.alloc(raw.device, 0, NV01_MEMORY_VIRTUAL, &mut params).unwrap();
        raw
    }

    pub fn register(&self, fd: &OwnedFd) -> io::Result<()> {
        let mut args = nv_ioctl_register_fd_t::new_zeroed();
        args.ctl_fd = self.control.as_raw_fd();
        call(&self.kernel, fd.as_fd(), ioctl::NV_ESC_REGISTER_FD, &mut args)
    }

    pub fn ioctl<T: RmStruct>(&self, nr: u32, args: &mut T) -> io::Result<()> {
        call(&self.kernel, self.control.as_fd(), nr, args)
    }

    /// RM_ALLOC with a pointer of the caller's.
    pub fn alloc_at(&self, parent: u32, handle: u32, class: u32, params: u64) -> Result<u32, Status> {
        let mut args = NVOS21_PARAMETERS::new_zeroed();
        (args.hRoot, args.hObjectParent, args.hObjectNew) = (self.client, parent, handle);
        (args.hClass, args.pAllocParms) = (class, params);
        self.ioctl(ioctl::NV_ESC_RM_ALLOC, &mut args).unwrap();
        check(args.status).map(|()| args.hObjectNew)
    }

    pub fn alloc_plain(&self, parent: u32, handle: u32, class: u32) -> Result<u32, Status> {
        self.alloc_at(parent, handle, class, 0)
    }

    pub fn alloc<P: RmStruct>(
        &self,
        parent: u32,
        handle: u32,
        class: u32,
        params: &mut P,
    ) -> Result<u32, Status> {
        self.alloc_at(parent, handle, class, params.as_mut_bytes().as_mut_ptr() as u64)
    }

    pub fn free(&self, object: u32) -> Result<(), Status> {
        let mut args = NVOS00_PARAMETERS::new_zeroed();
        (args.hRoot, args.hObjectOld) = (self.client, object);
        self.ioctl(ioctl::NV_ESC_RM_FREE, &mut args).unwrap();
        check(args.status)
    }

    pub fn control<P: RmStruct>(
        &self,
        object: u32,
        cmd: &ControlCmd<P>,
        params: &mut P,
    ) -> Result<(), Status> {
        let bytes = params.as_mut_bytes();
        self.control_at(object, cmd.id, bytes.as_mut_ptr() as u64, bytes.len())
    }

    pub fn control_at(&self, object: u32, cmd: u32, params: u64, size: usize) -> Result<(), Status> {
        let mut args = NVOS54_PARAMETERS::new_zeroed();
        (args.hClient, args.hObject, args.cmd) = (self.client, object, cmd);
        (args.params, args.paramsSize) = (params, size as u32);
        self.ioctl(ioctl::NV_ESC_RM_CONTROL, &mut args).unwrap();
        check(args.status)
    }

    pub fn memory(&self, class: u32, size: u64) -> Result<u32, Status> {
        let mut params = NV_MEMORY_ALLOCATION_PARAMS::new_zeroed();
        params.size = size;
        if class == NV01_MEMORY_SYSTEM {
            params.attr = memory_attr::LOCATION.of(memory_attr::LOCATION_PCI);
        }
        self.alloc(self.device, 0, class, &mut params)
    }

    /// RM_MAP_MEMORY_DMA; a fixed address or RM's choice.
    pub fn map_dma(&self, memory: u32, length: u64, address: Option<u64>) -> Result<u64, Status> {
        use nvos46_flags::*;
        let mut args = NVOS46_PARAMETERS::new_zeroed();
        (args.hClient, args.hDevice, args.hDma) = (self.client, self.device, self.window);
        (args.hMemory, args.length) = (memory, length);
        args.flags = CACHE_SNOOP.of(CACHE_SNOOP_ENABLE);
        if let Some(address) = address {
            args.dmaOffset = address;
            args.flags |= DMA_OFFSET_FIXED.of(DMA_OFFSET_FIXED_TRUE);
        }
        self.ioctl(ioctl::NV_ESC_RM_MAP_MEMORY_DMA, &mut args).unwrap();
        check(args.status).map(|()| args.dmaOffset)
    }

    /// RM_MAP_MEMORY on `fd`; what it returned as address.
    pub fn map_on(&self, fd: &OwnedFd, object: u32, length: u64) -> Result<u64, Status> {
        let mut args = nv_ioctl_nvos33_parameters_with_fd::new_zeroed();
        (args.params.hClient, args.params.hDevice, args.params.hMemory) = (self.client, self.device, object);
        (args.params.length, args.fd) = (length, fd.as_raw_fd());
        self.ioctl(ioctl::NV_ESC_RM_MAP_MEMORY, &mut args).unwrap();
        check(args.params.status).map(|()| args.params.pLinearAddress)
    }

    pub fn map(&self, node: Node, object: u32, length: u64) -> MmapRaw {
        let fd = self.kernel.open(node).unwrap();
        self.map_on(&fd, object, length).unwrap();
        self.kernel.map(fd.as_fd(), length as usize).unwrap()
    }

    /// An OS event for a notifier index (with flags) of `source`.
    pub fn event(&self, source: u32, index: u32) -> OwnedFd {
        let fd = self.kernel.open(Node::Control).unwrap();
        let mut args = nv_ioctl_alloc_os_event_t::new_zeroed();
        (args.hClient, args.hDevice, args.fd) = (self.client, self.device, fd.as_raw_fd() as u32);
        call(&self.kernel, fd.as_fd(), ioctl::NV_ESC_ALLOC_OS_EVENT, &mut args).unwrap();
        assert_eq!(args.Status, 0);
        let mut params = NV0005_ALLOC_PARAMETERS::new_zeroed();
        (params.hParentClient, params.hSrcResource) = (self.client, source);
        (params.hClass, params.notifyIndex) = (NV01_EVENT_OS_EVENT, index);
        params.data = fd.as_raw_fd() as u64;
        self.alloc(self.subdevice, 0, NV01_EVENT_OS_EVENT, &mut params).unwrap();
        fd
    }
}

pub const ENTRIES: u32 = 64;
/// Where things lie in a channel's block of host memory.
pub const NOTIFIER: u64 = 0;
pub const USERD: u64 = 0x1000;
pub const SCRATCH: u64 = 0x1800;
pub const RING: u64 = 0x2000;
pub const PUSH: u64 = 0x4000;
pub const BLOCK: u64 = 0x10000;

/// The memory of a raw channel: one block of host memory at a fixed address.
pub struct Block {
    pub memory: u32,
    pub address: u64,
    pub map: MmapRaw,
}

impl Block {
    pub fn new(raw: &Raw, address: u64) -> Block {
        let memory = raw.memory(NV01_MEMORY_SYSTEM, BLOCK).unwrap();
        raw.map_dma(memory, BLOCK, Some(address)).unwrap();
        Block { memory, address, map: raw.map(Node::Control, memory, BLOCK) }
    }

    fn word(&self, offset: u64) -> *mut u32 {
        assert!(offset + 4 <= BLOCK && offset.is_multiple_of(4));
        self.map.as_mut_ptr().wrapping_add(offset as usize).cast()
    }

    pub fn load(&self, offset: u64) -> u32 {
        // SAFETY: inside the mapping and aligned (asserted).
        unsafe { self.word(offset).read_volatile() }
    }

    pub fn store(&self, offset: u64, value: u32) {
        // SAFETY: inside the mapping and aligned (asserted).
        unsafe { self.word(offset).write_volatile(value) }
    }

    /// Parameters of a channel in this block.
    pub fn channel_params(&self, raw: &Raw, engine: EngineType) -> NV_CHANNEL_ALLOC_PARAMS {
        let mut params = NV_CHANNEL_ALLOC_PARAMS::new_zeroed();
        params.hObjectError = self.memory;
        (params.gpFifoOffset, params.gpFifoEntries) = (self.address + RING, ENTRIES);
        params.hVASpace = raw.space;
        (params.hUserdMemory[0], params.userdOffset[0]) = (self.memory, USERD);
        params.engineType = engine.0;
        params
    }
}

/// A channel with an engine object, ready for work.
pub struct RawChannel {
    pub block: Block,
    pub channel: u32,
    /// Its engine object.
    pub object: u32,
    pub token: u32,
    usermode: UsermodeRegisters,
    put: std::cell::Cell<u32>,
    pushed: std::cell::Cell<u64>,
}

impl RawChannel {
    pub fn copy(raw: &Raw, engine: EngineType, address: u64) -> RawChannel {
        let block = Block::new(raw, address);
        let params = block.channel_params(raw, engine);
        RawChannel::finish(raw, engine, block, raw.device, params)
    }

    /// Allocates and readies a channel with given parameters.
    pub fn finish(
        raw: &Raw,
        engine: EngineType,
        block: Block,
        parent: u32,
        params: NV_CHANNEL_ALLOC_PARAMS,
    ) -> RawChannel {
        RawChannel::with_object(raw, engine, block, (parent, HOPPER_CHANNEL_GPFIFO_A), params, |channel| {
            let mut params = NVB0B5_ALLOCATION_PARAMETERS::new_zeroed();
            (params.version, params.engineType) = (1, engine.0);
            raw.alloc(channel, 0, HOPPER_DMA_COPY_A, &mut params).unwrap()
        })
    }

    /// The same, of a class, with an engine object that the caller allocates on it.
    pub fn with_object(
        raw: &Raw,
        engine: EngineType,
        block: Block,
        (parent, class): (u32, u32),
        mut params: NV_CHANNEL_ALLOC_PARAMS,
        object: impl FnOnce(u32) -> u32,
    ) -> RawChannel {
        let channel = raw.alloc(parent, 0, class, &mut params).unwrap();
        let object = object(channel);
        let mut bind = NVA06F_CTRL_BIND_PARAMS::new_zeroed();
        bind.engineType = engine.0;
        raw.control(channel, &ctrl::NVA06F_CTRL_CMD_BIND, &mut bind).unwrap();
        let mut schedule = NVA06F_CTRL_GPFIFO_SCHEDULE_PARAMS::new_zeroed();
        schedule.bEnable = 1;
        raw.control(channel, &ctrl::NVA06F_CTRL_CMD_GPFIFO_SCHEDULE, &mut schedule).unwrap();
        let mut token = ctrl::NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN_PARAMS::new_zeroed();
        raw.control(channel, &ctrl::NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN, &mut token).unwrap();
        let token = token.workSubmitToken;
        assert_eq!(block.load(NOTIFIER + 16 + 8), token, "slot 1 of the notifier");
        let registers = raw.alloc_plain(raw.subdevice, 0, TURING_USERMODE_A).unwrap();
        let map = raw.map(Node::Gpu(0), registers, host::USERMODE_SIZE as u64);
        // SAFETY: `registers` is a usermode object.
        let usermode = unsafe { UsermodeRegisters::new(map) };
        let (put, pushed) = Default::default();
        RawChannel { block, channel, object, token, usermode, put, pushed }
    }

    /// Writes ring entry and GPPut.
    pub fn entry(&self, entry: u64) {
        let put = self.put.get();
        self.block.store(RING + u64::from(put) * 8, entry as u32);
        self.block.store(RING + u64::from(put) * 8 + 4, (entry >> 32) as u32);
        self.put.set((put + 1) % ENTRIES);
        self.block.store(USERD + host::USERD_GP_PUT as u64, self.put.get());
    }

    pub fn ring(&self, raw: &Raw) {
        raw.kernel.ring_doorbell(&self.usermode, self.token);
    }

    /// Submits push buffer words.
    pub fn push(&self, raw: &Raw, words: &[u32]) {
        let at = self.pushed.get();
        let room = BLOCK - PUSH;
        assert!(at + 4 * (words.len() as u64) <= room, "the test's push memory is used up");
        for (i, &word) in words.iter().enumerate() {
            self.block.store(PUSH + at + 4 * i as u64, word);
        }
        self.pushed.set(at + 4 * words.len() as u64);
        let address = self.block.address + PUSH + at;
        self.entry(address | (words.len() as u64) << 42);
        self.ring(raw);
    }

    /// GPU address of the scratch area.
    pub fn scratch(&self) -> u64 {
        self.block.address + SCRATCH
    }

    /// Waits until a word of the block has a value; the value seen last if it never has.
    pub fn wait(&self, offset: u64, value: u32) -> Result<(), u32> {
        for _ in 0..20_000 {
            if self.block.load(offset) == value {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Err(self.block.load(offset))
    }

    /// Waits for a fault; its Xid.
    pub fn wait_fault(&self) -> u32 {
        self.wait(NOTIFIER + 12, 0xffff_0000 | (self.token >> 16)).unwrap();
        self.block.load(NOTIFIER + 8)
    }
}
