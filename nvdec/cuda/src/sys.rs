//! CUDA's driver library: loaded, its functions in a table. The one room with unsafe code, but for
//! [`dlpack`](crate::dlpack).
//!
//! Names, numbers and layouts are those of `cuda.h`; none of it is NVIDIA's code, and nothing is linked.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

use crate::error::{Error, Result};

mod handles;

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

macro_rules! api {
    ($($name:ident = $symbol:literal ($($argument:ty),* $(,)?);)*) => {
        /// The functions that are used, by the names of the library's symbols.
        #[derive(Debug)]
        pub(crate) struct Api {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> CUresult,)*
            _library: Library,
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
                Ok(Api { $($name,)* _library: library })
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
