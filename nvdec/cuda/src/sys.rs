//! CUDA's driver library: loaded, its functions in a table; and the launch of conversions. The one room with unsafe code, but for
//! [`dlpack`](crate::dlpack).
//!
//! Names, numbers and layouts are those of `cuda.h`; none of it is NVIDIA's code, and nothing is linked.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use libloading::Library;
use nvdec::tensor::{Places, Recipe};
use nvdec::{DeviceBuffer, Placement};

use crate::error::{Error, Result};

mod handles;

use handles::range;
pub use handles::{
    DeviceMemory, Event, ExternalMemory, Function, Module, OrdinalDevice, PrimaryContext, Stream,
    VirtualMemory,
};
pub(crate) use handles::{devices, driver_version};

/// What the library is called wherever NVIDIA's driver is installed.
pub(crate) const LIBRARY: &str = "libcuda.so.1";

pub(crate) type CUresult = c_uint;
pub(crate) type CUdevice = c_int;
pub(crate) type CUdeviceptr = u64;
/// Contexts, streams, events, modules, functions, external memory.
pub(crate) type Handle = *mut c_void;

/// `CUDA_EXTERNAL_MEMORY_HANDLE_DESC`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ExternalMemoryHandleDesc {
    pub(crate) kind: c_uint,
    pub(crate) padding: c_uint,
    /// A union of a descriptor and of two pointers.
    pub(crate) fd: c_int,
    pub(crate) rest: [c_uint; 3],
    pub(crate) size: u64,
    pub(crate) flags: c_uint,
    pub(crate) reserved: [c_uint; 16],
}

/// `CUDA_EXTERNAL_MEMORY_BUFFER_DESC`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct ExternalMemoryBufferDesc {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) flags: c_uint,
    pub(crate) reserved: [c_uint; 16],
}

/// `CUmemAccessDesc`, with its `CUmemLocation`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct MemAccessDesc {
    pub(crate) location_type: c_uint,
    pub(crate) location_id: c_int,
    pub(crate) flags: c_uint,
}

/// `CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD`.
pub(crate) const EXTERNAL_MEMORY_OPAQUE_FD: c_uint = 1;
/// `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR`.
pub(crate) const MEM_HANDLE_POSIX_FD: c_uint = 1;
/// `CU_MEM_LOCATION_TYPE_DEVICE`.
pub(crate) const MEM_LOCATION_DEVICE: c_uint = 1;
/// `CU_MEM_ACCESS_FLAGS_PROT_READWRITE`.
pub(crate) const MEM_ACCESS_READ_WRITE: c_uint = 3;
/// `CU_STREAM_WAIT_VALUE_GEQ`: as a circle, as `int32(word - value) >= 0`.
pub(crate) const STREAM_WAIT_GEQ: c_uint = 0;
/// `CU_STREAM_NON_BLOCKING`.
pub(crate) const STREAM_NON_BLOCKING: c_uint = 1;
/// `CU_EVENT_DISABLE_TIMING`.
pub(crate) const EVENT_DISABLE_TIMING: c_uint = 2;
/// `CU_POINTER_ATTRIBUTE_BUFFER_ID`.
pub(crate) const POINTER_BUFFER_ID: c_uint = 7;
/// `CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL`.
pub(crate) const POINTER_DEVICE_ORDINAL: c_uint = 9;
/// `CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES`.
pub(crate) const POINTER_HANDLE_TYPES: c_uint = 14;
/// `CU_POINTER_ATTRIBUTE_MAPPING_SIZE`.
pub(crate) const POINTER_MAPPING_SIZE: c_uint = 18;
/// `CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR`.
pub(crate) const POINTER_MAPPING_BASE: c_uint = 19;
/// `CUDA_SUCCESS` and the two that are answers rather than errors.
pub(crate) const SUCCESS: CUresult = 0;
pub(crate) const NOT_READY: CUresult = 600;
pub(crate) const INVALID_VALUE: CUresult = 1;
/// `CUDA_ERROR_NOT_SUPPORTED`.
#[cfg(test)]
pub(crate) const NOT_SUPPORTED: CUresult = 801;

macro_rules! api {
    ($($name:ident = $symbol:literal ($($argument:ty),* $(,)?);)*) => {
        /// The functions that are used, by the names of the library's symbols.
        #[derive(Debug)]
        pub(crate) struct Api {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> CUresult,)*
            /// None of a table that a test made.
            _library: Option<Library>,
        }

        impl Api {
            /// Finds all of them in `library`.
            fn find(name: &str, library: Library) -> Result<Api> {
                $(
                    // SAFETY: the signature is the one that cuda.h declares for the symbol, whose suffix names its version.
                    let found = unsafe {
                        library.get::<unsafe extern "C" fn($($argument),*) -> CUresult>(concat!($symbol, "\0").as_bytes())
                    };
                    let $name = *found.map_err(|_| Error::Symbol { library: name.to_owned(), symbol: $symbol })?;
                )*
                Ok(Api { $($name,)* _library: Some(library) })
            }

            /// Functions that all refuse, some of which a test has others in the place of.
            #[cfg(test)]
            pub(crate) fn refusing() -> Api {
                $(
                    unsafe extern "C" fn $name($(_: $argument),*) -> CUresult {
                        NOT_SUPPORTED
                    }
                )*
                Api { $($name,)* _library: None }
            }
        }
    };
}

api! {
    init = "cuInit"(c_uint);
    driver_version = "cuDriverGetVersion"(*mut c_int);
    error_name = "cuGetErrorName"(CUresult, *mut *const c_char);
    device_count = "cuDeviceGetCount"(*mut c_int);
    device_get = "cuDeviceGet"(*mut CUdevice, c_int);
    device_uuid = "cuDeviceGetUuid_v2"(*mut [u8; 16], CUdevice);
    device_pci_bus_id = "cuDeviceGetPCIBusId"(*mut c_char, c_int, CUdevice);
    primary_retain = "cuDevicePrimaryCtxRetain"(*mut Handle, CUdevice);
    primary_release = "cuDevicePrimaryCtxRelease_v2"(CUdevice);
    context_push = "cuCtxPushCurrent_v2"(Handle);
    context_pop = "cuCtxPopCurrent_v2"(*mut Handle);
    import_external_memory = "cuImportExternalMemory"(*mut Handle, *const ExternalMemoryHandleDesc);
    external_memory_buffer = "cuExternalMemoryGetMappedBuffer"(
        *mut CUdeviceptr, Handle, *const ExternalMemoryBufferDesc,
    );
    destroy_external_memory = "cuDestroyExternalMemory"(Handle);
    mem_alloc = "cuMemAlloc_v2"(*mut CUdeviceptr, usize);
    mem_free = "cuMemFree_v2"(CUdeviceptr);
    mem_import = "cuMemImportFromShareableHandle"(*mut u64, *mut c_void, c_uint);
    mem_address_reserve = "cuMemAddressReserve"(*mut CUdeviceptr, usize, usize, CUdeviceptr, u64);
    mem_address_free = "cuMemAddressFree"(CUdeviceptr, usize);
    mem_map = "cuMemMap"(CUdeviceptr, usize, usize, u64, u64);
    mem_unmap = "cuMemUnmap"(CUdeviceptr, usize);
    mem_set_access = "cuMemSetAccess"(CUdeviceptr, usize, *const MemAccessDesc, usize);
    mem_release = "cuMemRelease"(u64);
    mem_retain = "cuMemRetainAllocationHandle"(*mut u64, *mut c_void);
    mem_export = "cuMemExportToShareableHandle"(*mut c_void, u64, c_uint, u64);
    pointer_attribute = "cuPointerGetAttribute"(*mut c_void, c_uint, CUdeviceptr);
    copy_to_host = "cuMemcpyDtoH_v2"(*mut c_void, CUdeviceptr, usize);
    copy_to_device = "cuMemcpyHtoD_v2"(CUdeviceptr, *const c_void, usize);
    copy_async = "cuMemcpyDtoDAsync_v2"(CUdeviceptr, CUdeviceptr, usize, Handle);
    fill_async = "cuMemsetD32Async"(CUdeviceptr, c_uint, usize, Handle);
    stream_create = "cuStreamCreate"(*mut Handle, c_uint);
    stream_destroy = "cuStreamDestroy_v2"(Handle);
    stream_synchronize = "cuStreamSynchronize"(Handle);
    stream_query = "cuStreamQuery"(Handle);
    stream_is_capturing = "cuStreamIsCapturing"(Handle, *mut c_uint);
    stream_wait_event = "cuStreamWaitEvent"(Handle, Handle, c_uint);
    stream_wait_value = "cuStreamWaitValue32_v2"(Handle, CUdeviceptr, c_uint, c_uint);
    stream_write_value = "cuStreamWriteValue32_v2"(Handle, CUdeviceptr, c_uint, c_uint);
    event_create = "cuEventCreate"(*mut Handle, c_uint);
    event_record = "cuEventRecord"(Handle, Handle);
    event_query = "cuEventQuery"(Handle);
    event_synchronize = "cuEventSynchronize"(Handle);
    event_destroy = "cuEventDestroy_v2"(Handle);
    module_load = "cuModuleLoadData"(*mut Handle, *const c_void);
    module_unload = "cuModuleUnload"(Handle);
    module_function = "cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
    launch = "cuLaunchKernel"(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void,
    );
}

impl Api {
    /// Loads a library and finds the functions in it.
    ///
    /// # Safety
    ///
    /// What the library does when it is loaded is sound in this process, and functions of these names are CUDA's.
    pub(crate) unsafe fn open(name: &str) -> Result<Api> {
        // SAFETY: the caller's promise.
        let library = unsafe { Library::new(name) };
        let library =
            library.map_err(|error| Error::NotLoaded { library: name.to_owned(), why: error.to_string() })?;
        Api::find(name, library)
    }

    /// CUDA's library, loaded by the first call that finds it and never unloaded.
    pub(crate) fn get() -> Result<&'static Api> {
        static API: OnceLock<Api> = OnceLock::new();
        if let Some(api) = API.get() {
            return Ok(api);
        }
        // SAFETY: it is the name of CUDA's driver library, which is made to be loaded so.
        let api = unsafe { Api::open(LIBRARY)? };
        // SAFETY: no pointer; it may be called more than once and by several threads.
        let status = unsafe { (api.init)(0) };
        api.check("cuInit", status)?;
        Ok(API.get_or_init(|| api))
    }

    /// An error for all but success, with CUDA's own name of it.
    pub(crate) fn check(&self, call: &'static str, status: CUresult) -> Result<()> {
        if status == SUCCESS {
            return Ok(());
        }
        let mut name = std::ptr::null();
        // SAFETY: a place for a pointer to a string that lives for ever, or null for unknown numbers.
        let known = unsafe { (self.error_name)(status, &mut name) } == SUCCESS && !name.is_null();
        if !known {
            return Err(Error::Cuda { call, name: "?".to_owned(), status });
        }
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        Err(Error::Cuda { call, name, status })
    }
}

/// Memory of CUDA that a conversion may write to, and how the elements lie in it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    context: &'a PrimaryContext,
    pointer: CUdeviceptr,
    size: u64,
    strides: Option<[i64; 3]>,
}

impl<'a> Target<'a> {
    fn within(context: &'a PrimaryContext, pointer: CUdeviceptr, size: u64) -> Target<'a> {
        Target { context, pointer, size, strides: None }
    }

    /// `size` bytes at an address of CUDA, such as those of a tensor of PyTorch.
    ///
    /// # Safety
    ///
    /// They are memory that kernels of the context may write, and that is not freed before the streams to which
    /// conversions to it are given have come so far.
    pub unsafe fn from_raw(context: &'a PrimaryContext, pointer: u64, size: u64) -> Target<'a> {
        Target::within(context, pointer, size)
    }

    /// A part of it.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if it is none.
    pub fn part(self, offset: u64, length: u64) -> Result<Target<'a>> {
        Ok(Target { pointer: range(self.pointer, self.size, offset, length)?, size: length, ..self })
    }

    /// With so many bytes from one channel, line and column to the next. Without, all elements lie side by side.
    pub fn with_strides(self, strides: [i64; 3]) -> Target<'a> {
        Target { strides: Some(strides), ..self }
    }

    /// CUDA's address of its beginning.
    pub fn pointer(&self) -> u64 {
        self.pointer
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// The kernels that make tensors, loaded into a context.
#[derive(Debug)]
pub(crate) struct Kernels(Module);

impl Kernels {
    /// Loads those for the GPU of `device`.
    pub(crate) fn load(context: &PrimaryContext, device: &hcq::Device) -> Result<Kernels> {
        let cubin = nvdec::tensor::cubin(device)?;
        // SAFETY: a whole cubin, which is a part of this program.
        Ok(Kernels(unsafe { context.load_module(cubin)? }))
    }
}

/// What launches of one recipe share: the kernel, and the tables in GPU memory.
#[derive(Debug)]
pub(crate) struct Conversion {
    // Before the module: unmapping waits until the context is done with what was launched.
    tables: ExternalMemory,
    _memory: DeviceBuffer,
    kernel: Function,
    recipe: Recipe,
}

impl Conversion {
    /// Finds the kernel, which loads it, and copies the tables.
    pub(crate) fn new(kernels: &Kernels, context: &nvdec::Context, recipe: Recipe) -> Result<Conversion> {
        let kernel = kernels.0.function(recipe.kernel())?;
        let memory = context.allocate(recipe.tables().len() as u64, Placement::Vidmem)?;
        // Nobody knows of it yet, and nobody writes to it later.
        memory.view().map_err(Error::Hcq)?.stream_in(0, recipe.tables());
        let exported = memory.export()?;
        let tables = ExternalMemory::import(kernels.0.context(), exported.fd, exported.size)?;
        Ok(Conversion { tables, _memory: memory, kernel, recipe })
    }

    pub(crate) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Looks at all that can be wrong with a launch, of the surface at `offset` of `surface`.
    pub(crate) fn launch_of<'a>(
        self: &Arc<Self>,
        (surface, offset): (&Arc<ExternalMemory>, u64),
        target: &Target<'a>,
    ) -> Result<Launch<'a>> {
        let Conversion { tables, recipe, .. } = &**self;
        tables.context().check(surface.context(), "a surface")?;
        tables.context().check(target.context, "a target")?;
        let places = Places {
            surface: surface.at(offset, recipe.surface_bytes())?,
            tables: tables.at(0, recipe.tables().len() as u64)?,
            output: range(target.pointer, target.size, 0, recipe.extent(target.strides)?)?,
        };
        let parameter = recipe.parameter(places, target.strides)?;
        Ok(Launch { conversion: self.clone(), _surface: surface.clone(), parameter, memory: PhantomData })
    }
}

/// A launch that holds what it works with.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    conversion: Arc<Conversion>,
    _surface: Arc<ExternalMemory>,
    parameter: [u8; Recipe::PARAMETER_BYTES],
    memory: PhantomData<&'a ()>,
}

impl Launch<'_> {
    pub(crate) fn on(&self, stream: &Stream) -> Result<()> {
        let Conversion { tables, kernel, recipe, .. } = &*self.conversion;
        tables.context().check(stream.context(), "a stream")?;
        // SAFETY: it is the parameter of the recipe's kernel, which reads the tables, as they were written, and samples of the
        // picture's window, by starts and counts that stay in it; it writes the bytes of the target that were seen to be
        // there. Surface and tables are unmapped behind the work of the context, the module goes after the tables, and of the
        // target that is so, or the caller's promise.
        unsafe { kernel.launch(stream, recipe.grid(), recipe.block(), 0, &[&self.parameter]) }
    }
}

/// A library that does what CUDA's does, by another client of an emulated GPU: what is converted there can be compared.
#[cfg(test)]
pub(crate) mod model {
    use std::cell::RefCell;
    use std::collections::{HashMap, VecDeque};
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::time::{Duration, Instant};

    use hcq::kernel::emulated::EmulatedKernel;
    use hcq::{ComputeQueue, Device, Kernel};

    use super::*;

    /// What a stream is told.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) enum Told {
        Wait(u32),
        Write(u32),
        Launch(usize),
        Synchronize,
        Free,
    }

    enum Work {
        Wait(u64, u32),
        Write(u64, u32),
        Launch(usize, [u32; 3], [u32; 3], Vec<u8>),
    }

    struct State {
        device: Device,
        queue: ComputeQueue,
        module: hcq::Module,
        kernels: Vec<Kernel>,
        /// By their addresses: those of the device, which are others than ours.
        mapped: HashMap<u64, DeviceBuffer>,
        imported: HashMap<usize, DeviceBuffer>,
        next: usize,
        told: Vec<Told>,
        /// All streams are one. It does nothing while it is held.
        is_held: bool,
        held: VecDeque<Work>,
        is_capturing: bool,
        /// The call that fails, and after how many that do not.
        failing: Option<(&'static str, usize)>,
    }

    // Of each test its own: nothing here is called by another thread than that of the test.
    thread_local! {
        static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
    }

    fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
        STATE.with(|state| f(state.borrow_mut().as_mut().expect("the test made a model")))
    }

    impl State {
        /// The memory at an address, and where in it that is.
        fn at(&self, address: u64) -> (&DeviceBuffer, u64) {
            let found = self.mapped.values().find(|buffer| buffer.contains(address, 1));
            let buffer = found.unwrap_or_else(|| panic!("nothing is mapped at {address:#x}"));
            (buffer, address - buffer.gpu_address())
        }

        fn tell(&mut self, told: Told, work: Work) {
            self.told.push(told);
            self.held.push_back(work);
            if !self.is_held {
                self.run();
            }
        }

        fn run(&mut self) {
            while let Some(work) = self.held.pop_front() {
                match work {
                    Work::Wait(address, value) => {
                        let (buffer, offset) = self.at(address);
                        let view = buffer.view().unwrap();
                        let start = Instant::now();
                        while (view.load(offset as usize).wrapping_sub(value) as i32) < 0 {
                            assert!(start.elapsed() < Duration::from_secs(120), "a stream waits for ever");
                            std::thread::sleep(Duration::from_micros(100));
                        }
                    }
                    Work::Write(address, value) => {
                        let (buffer, offset) = self.at(address);
                        buffer.view().unwrap().store(offset as usize, value);
                    }
                    Work::Launch(kernel, grid, block, parameters) => {
                        let buffers: Vec<_> = self.mapped.values().collect();
                        let kernel = &self.kernels[kernel];
                        let launch = hcq::Launch {
                            kernel,
                            grid,
                            block,
                            shared: 0,
                            parameters: &parameters,
                            buffers: &buffers,
                        };
                        // SAFETY: on the emulated GPU a kernel that goes elsewhere is a fault of the channel.
                        let point = unsafe { self.queue.launch(&[], hcq::Outside::default(), &launch) };
                        point.unwrap().wait(Duration::from_secs(120)).unwrap();
                    }
                }
            }
        }

        fn fails(&mut self, call: &'static str) -> bool {
            match &mut self.failing {
                Some((failing, 0)) if *failing == call => true,
                Some((failing, left)) if *failing == call => {
                    *left -= 1;
                    false
                }
                _ => false,
            }
        }
    }

    /// CUDA on the emulated GPU of `kernel`, for this thread.
    pub(crate) fn context(kernel: &EmulatedKernel) -> PrimaryContext {
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        // So that an address of ours is none here.
        let apart = device.allocate(1 << 30, Placement::Vidmem).unwrap();
        let queue = ComputeQueue::new(&device).unwrap();
        let module = hcq::Module::load(&device, nvdec::tensor::cubin(&device).unwrap()).unwrap();
        let state = State {
            device,
            queue,
            module,
            kernels: Vec::new(),
            mapped: HashMap::from([(apart.gpu_address(), apart)]),
            imported: HashMap::new(),
            next: 1,
            told: Vec::new(),
            is_held: false,
            held: VecDeque::new(),
            is_capturing: false,
            failing: None,
        };
        STATE.with(|place| *place.borrow_mut() = Some(state));
        PrimaryContext::retain(Box::leak(Box::new(api())), 0).unwrap()
    }

    /// What streams were told since the last call.
    pub(crate) fn told() -> Vec<Told> {
        with(|state| std::mem::take(&mut state.told))
    }

    /// Has streams do nothing, or all that they were told meanwhile.
    pub(crate) fn hold(is_held: bool) {
        with(|state| {
            state.is_held = is_held;
            if !is_held {
                state.run();
            }
        });
    }

    pub(crate) fn capture(is_capturing: bool) {
        with(|state| state.is_capturing = is_capturing);
    }

    /// Has a call fail, after so many that do not.
    pub(crate) fn fail(failing: impl Into<Option<(&'static str, usize)>>) {
        with(|state| state.failing = failing.into());
    }

    /// The bytes at an address.
    pub(crate) fn read(address: u64, bytes: &mut [u8]) {
        with(|state| {
            let (buffer, offset) = state.at(address);
            buffer.view().unwrap().copy_out(offset as usize, bytes);
        });
    }

    fn api() -> Api {
        Api {
            device_get: model_device,
            primary_retain: model_retain,
            primary_release: model_release,
            context_push: model_push,
            context_pop: model_pop,
            import_external_memory: model_import,
            external_memory_buffer: model_map,
            destroy_external_memory: model_handle,
            mem_alloc: model_allocate,
            mem_free: model_free,
            copy_to_host: model_copy_to_host,
            stream_create: model_stream,
            stream_destroy: model_handle,
            stream_synchronize: model_synchronize,
            stream_is_capturing: model_is_capturing,
            stream_wait_value: model_wait,
            stream_write_value: model_write,
            module_load: model_load,
            module_unload: model_handle,
            module_function: model_function,
            launch: model_launch,
            ..Api::refusing()
        }
    }

    unsafe extern "C" fn model_device(device: *mut CUdevice, ordinal: c_int) -> CUresult {
        // SAFETY: here and below, places are the caller's, as CUDA's are.
        unsafe { device.write(ordinal) };
        SUCCESS
    }

    unsafe extern "C" fn model_retain(context: *mut Handle, _: CUdevice) -> CUresult {
        // SAFETY: as above.
        unsafe { context.write(4096 as Handle) };
        SUCCESS
    }

    unsafe extern "C" fn model_release(_: CUdevice) -> CUresult {
        SUCCESS
    }

    unsafe extern "C" fn model_push(_: Handle) -> CUresult {
        SUCCESS
    }

    unsafe extern "C" fn model_pop(_: *mut Handle) -> CUresult {
        SUCCESS
    }

    unsafe extern "C" fn model_handle(handle: Handle) -> CUresult {
        with(|state| state.imported.remove(&(handle as usize)));
        SUCCESS
    }

    unsafe extern "C" fn model_import(
        handle: *mut Handle,
        desc: *const ExternalMemoryHandleDesc,
    ) -> CUresult {
        // SAFETY: a description, and a descriptor that is CUDA's from now on.
        let (size, fd) = unsafe { ((*desc).size, OwnedFd::from_raw_fd((*desc).fd)) };
        with(|state| {
            let memory = state.device.import(&fd, Some(size)).unwrap();
            state.next += 1;
            state.imported.insert(state.next, memory);
            // SAFETY: as above.
            unsafe { handle.write(state.next as Handle) };
        });
        SUCCESS
    }

    unsafe extern "C" fn model_map(
        pointer: *mut CUdeviceptr,
        handle: Handle,
        _: *const ExternalMemoryBufferDesc,
    ) -> CUresult {
        with(|state| {
            let memory = state.imported[&(handle as usize)].clone();
            // SAFETY: as above.
            unsafe { pointer.write(memory.gpu_address()) };
            state.mapped.insert(memory.gpu_address(), memory);
        });
        SUCCESS
    }

    unsafe extern "C" fn model_allocate(pointer: *mut CUdeviceptr, size: usize) -> CUresult {
        with(|state| {
            let memory = state.device.allocate(size as u64, Placement::Vidmem).unwrap();
            // SAFETY: as above.
            unsafe { pointer.write(memory.gpu_address()) };
            state.mapped.insert(memory.gpu_address(), memory);
        });
        SUCCESS
    }

    unsafe extern "C" fn model_free(pointer: CUdeviceptr) -> CUresult {
        with(|state| {
            state.told.push(Told::Free);
            // It waits for the context.
            state.run();
            assert!(state.mapped.remove(&pointer).is_some(), "{pointer:#x} is not mapped");
        });
        SUCCESS
    }

    unsafe extern "C" fn model_copy_to_host(to: *mut c_void, from: CUdeviceptr, size: usize) -> CUresult {
        // SAFETY: as many bytes as the caller says.
        read(from, unsafe { std::slice::from_raw_parts_mut(to.cast(), size) });
        SUCCESS
    }

    unsafe extern "C" fn model_stream(stream: *mut Handle, _: c_uint) -> CUresult {
        // SAFETY: as above.
        unsafe { stream.write(8192 as Handle) };
        SUCCESS
    }

    unsafe extern "C" fn model_synchronize(_: Handle) -> CUresult {
        with(|state| {
            state.told.push(Told::Synchronize);
            state.run();
        });
        SUCCESS
    }

    unsafe extern "C" fn model_is_capturing(_: Handle, status: *mut c_uint) -> CUresult {
        // SAFETY: as above.
        unsafe { status.write(with(|state| state.is_capturing.into())) };
        SUCCESS
    }

    unsafe extern "C" fn model_wait(_: Handle, at: CUdeviceptr, value: c_uint, flags: c_uint) -> CUresult {
        assert_eq!(flags, STREAM_WAIT_GEQ);
        with(|state| {
            if state.fails("wait") {
                return NOT_SUPPORTED;
            }
            state.tell(Told::Wait(value), Work::Wait(at, value));
            SUCCESS
        })
    }

    unsafe extern "C" fn model_write(_: Handle, at: CUdeviceptr, value: c_uint, _: c_uint) -> CUresult {
        with(|state| {
            if state.fails("write") {
                return NOT_SUPPORTED;
            }
            state.tell(Told::Write(value), Work::Write(at, value));
            SUCCESS
        })
    }

    unsafe extern "C" fn model_load(module: *mut Handle, image: *const c_void) -> CUresult {
        with(|state| {
            let cubin = nvdec::tensor::cubin(&state.device).unwrap();
            assert_eq!(image, cubin.as_ptr().cast(), "it is the one for the GPU");
            // SAFETY: as above.
            unsafe { module.write(12288 as Handle) };
        });
        SUCCESS
    }

    unsafe extern "C" fn model_function(kernel: *mut Handle, _: Handle, name: *const c_char) -> CUresult {
        // SAFETY: a text that ends with a zero.
        let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap();
        with(|state| {
            let Ok(found) = state.module.kernel(name) else { return 500 };
            state.kernels.push(found);
            // SAFETY: as above. No handle is 0.
            unsafe { kernel.write(state.kernels.len() as Handle) };
            SUCCESS
        })
    }

    #[allow(clippy::too_many_arguments, reason = "it is CUDA's")]
    unsafe extern "C" fn model_launch(
        kernel: Handle,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared: c_uint,
        _: Handle,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> CUresult {
        assert!(shared == 0 && extra.is_null());
        // SAFETY: the kernels have one parameter of that size.
        let parameters = unsafe {
            std::slice::from_raw_parts((*parameters).cast::<u8>(), Recipe::PARAMETER_BYTES).to_vec()
        };
        with(|state| {
            if state.fails("launch") {
                return NOT_SUPPORTED;
            }
            let kernel = kernel as usize - 1;
            let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
            state.tell(Told::Launch(kernel), Work::Launch(kernel, grid, block, parameters));
            SUCCESS
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_the_header() {
        assert_eq!((size_of::<ExternalMemoryHandleDesc>(), align_of::<ExternalMemoryHandleDesc>()), (104, 8));
        assert_eq!(std::mem::offset_of!(ExternalMemoryHandleDesc, fd), 8);
        assert_eq!(std::mem::offset_of!(ExternalMemoryHandleDesc, size), 24);
        assert_eq!(size_of::<ExternalMemoryBufferDesc>(), 88);
        assert_eq!(size_of::<MemAccessDesc>(), 12);
    }

    #[test]
    fn a_missing_library_is_named() {
        // SAFETY: there is no such library, so nothing is loaded.
        let error = unsafe { Api::open("libcuda-of-nobody.so.1") }.unwrap_err();
        let Error::NotLoaded { library, .. } = &error else { panic!("{error}") };
        assert_eq!(library, "libcuda-of-nobody.so.1");
        let text = error.to_string();
        assert!(text.contains("libcuda-of-nobody.so.1") && text.contains("install"), "{text}");
    }

    #[test]
    fn another_library_is_found_out() {
        // SAFETY: the C library is in the process already and has none of these functions.
        let error = unsafe { Api::open("libc.so.6") }.unwrap_err();
        assert!(matches!(error, Error::Symbol { symbol: "cuInit", .. }), "{error}");
    }
}
