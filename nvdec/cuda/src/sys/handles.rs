//! Objects of CUDA that free themselves. Each holds what it lies in; calls make the context current for as long as they
//! take, so that a thread keeps the one that it had.

use std::ffi::{CString, c_int, c_uint, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use super::*;

/// A device of CUDA in this process, by its ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrdinalDevice {
    /// What CUDA and tensors call it, within `CUDA_VISIBLE_DEVICES`.
    pub ordinal: i32,
    /// The GPU's UUID.
    pub uuid: [u8; 16],
    /// PCI address, as [`hcq::GpuInfo::pci_address`] writes it.
    pub pci_address: String,
}

/// All devices that CUDA lists.
pub(crate) fn devices(api: &'static Api) -> Result<Vec<OrdinalDevice>> {
    let mut count: c_int = 0;
    // SAFETY: a place for a number.
    api.check("cuDeviceGetCount", unsafe { (api.device_count)(&mut count) })?;
    (0..count).map(|ordinal| device(api, ordinal)).collect()
}

fn device(api: &'static Api, ordinal: i32) -> Result<OrdinalDevice> {
    let (mut handle, mut uuid, mut text) = (0, [0; 16], [0 as std::ffi::c_char; 32]);
    // SAFETY: places for a number, for 16 bytes, and for as many characters as is said.
    unsafe {
        api.check("cuDeviceGet", (api.device_get)(&mut handle, ordinal))?;
        api.check("cuDeviceGetUuid", (api.device_uuid)(&mut uuid, handle))?;
        let status = (api.device_pci_bus_id)(text.as_mut_ptr(), text.len() as c_int, handle);
        api.check("cuDeviceGetPCIBusId", status)?;
    }
    let bytes: Vec<u8> = text.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    Ok(OrdinalDevice { ordinal, uuid, pci_address: String::from_utf8_lossy(&bytes).to_lowercase() })
}

/// The release of CUDA that the driver is made for, as 1000 times major plus 10 times minor.
pub(crate) fn driver_version(api: &'static Api) -> Result<i32> {
    let mut version = 0;
    // SAFETY: a place for a number.
    api.check("cuDriverGetVersion", unsafe { (api.driver_version)(&mut version) })?;
    Ok(version)
}

#[derive(Debug)]
struct Primary {
    api: &'static Api,
    device: CUdevice,
    ordinal: i32,
    /// A pointer that is never followed here; as a number it can go to other threads, as contexts of CUDA do.
    context: usize,
}

impl Drop for Primary {
    fn drop(&mut self) {
        // SAFETY: retained once when this was made.
        note(self.api, "cuDevicePrimaryCtxRelease", unsafe { (self.api.primary_release)(self.device) });
    }
}

/// What cannot be told to a caller.
fn note(api: &Api, call: &'static str, status: CUresult) {
    if let Err(error) = api.check(call, status) {
        log::warn!("{error}");
    }
}

/// The context of a device that the runtime interface and tensor libraries use as well. Clones share it.
#[derive(Clone, Debug)]
pub struct PrimaryContext(Arc<Primary>);

impl PrimaryContext {
    /// Retains the primary context of a device; made if nobody has it yet.
    pub(crate) fn retain(api: &'static Api, ordinal: i32) -> Result<PrimaryContext> {
        let (mut device, mut context) = (0, std::ptr::null_mut());
        // SAFETY: places for a number and for a handle.
        unsafe {
            api.check("cuDeviceGet", (api.device_get)(&mut device, ordinal))?;
            api.check("cuDevicePrimaryCtxRetain", (api.primary_retain)(&mut context, device))?;
        }
        Ok(PrimaryContext(Arc::new(Primary { api, device, ordinal, context: context as usize })))
    }

    /// The ordinal of its device.
    pub fn ordinal(&self) -> i32 {
        self.0.ordinal
    }

    fn api(&self) -> &'static Api {
        self.0.api
    }

    /// That something of the context `other` can be used in this one.
    pub(super) fn check(&self, other: &PrimaryContext, what: &'static str) -> Result<()> {
        if self.0.context == other.0.context { Ok(()) } else { Err(Error::OtherContext { what }) }
    }

    /// Runs `f` with the context current on this thread.
    fn with<R>(&self, f: impl FnOnce(&'static Api) -> Result<R>) -> Result<R> {
        /// Also where `f` panics.
        struct Pop(&'static Api);
        impl Drop for Pop {
            fn drop(&mut self) {
                let mut was = std::ptr::null_mut();
                // SAFETY: a place for a handle; the context was pushed by this thread.
                note(self.0, "cuCtxPopCurrent", unsafe { (self.0.context_pop)(&mut was) });
            }
        }
        let api = self.api();
        // SAFETY: the context is retained for as long as `self`.
        api.check("cuCtxPushCurrent", unsafe { (api.context_push)(self.0.context as Handle) })?;
        let _pop = Pop(api);
        f(api)
    }

    /// One call with the context current.
    fn call(&self, name: &'static str, f: impl FnOnce(&'static Api) -> CUresult) -> Result<()> {
        self.with(|api| api.check(name, f(api)))
    }

    /// An attribute of a pointer; `None` if CUDA does not know the address.
    fn attribute<T: Default>(&self, attribute: c_uint, address: u64) -> Result<Option<T>> {
        let mut value = T::default();
        let outcome = self.call("cuPointerGetAttribute", |api| {
            // SAFETY: callers take the type that cuda.h says for the attribute; the address is only looked up.
            unsafe { (api.pointer_attribute)((&raw mut value).cast(), attribute, address) }
        });
        match outcome {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.is_status(INVALID_VALUE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The mapping that an address lies in: first address and bytes.
    pub(crate) fn mapping_at(&self, address: u64) -> Result<Option<(u64, u64)>> {
        // Types of cuda.h: an address, and a size_t.
        let base: Option<u64> = self.attribute(POINTER_MAPPING_BASE, address)?;
        let size: Option<u64> = self.attribute(POINTER_MAPPING_SIZE, address)?;
        Ok(base.zip(size).filter(|&(base, size)| base <= address && address - base < size))
    }

    /// The number of the allocation behind an address, which no other one has in this process.
    pub(crate) fn buffer_id(&self, address: u64) -> Result<Option<u64>> {
        self.attribute(POINTER_BUFFER_ID, address)
    }

    /// The ordinal of the device that an address belongs to; `None` if CUDA does not know it.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn ordinal_of(&self, address: u64) -> Result<Option<i32>> {
        self.attribute(POINTER_DEVICE_ORDINAL, address)
    }

    /// Whether the memory at an address can be exported as a descriptor.
    pub(crate) fn is_exportable(&self, address: u64) -> Result<bool> {
        let types: Option<u64> = self.attribute(POINTER_HANDLE_TYPES, address)?;
        Ok(types.is_some_and(|types| types & u64::from(MEM_HANDLE_POSIX_FD) != 0))
    }

    /// A descriptor of the allocation that an address lies in.
    pub(crate) fn export(&self, address: u64) -> Result<OwnedFd> {
        self.with(|api| {
            let mut handle = 0;
            // SAFETY: a place for a handle; the address is only looked up.
            let status = unsafe { (api.mem_retain)(&mut handle, address as *mut c_void) };
            api.check("cuMemRetainAllocationHandle", status)?;
            let mut fd: c_int = -1;
            // SAFETY: a place for a descriptor, which is what this type of handle is; the handle is retained.
            let status = unsafe { (api.mem_export)((&raw mut fd).cast(), handle, MEM_HANDLE_POSIX_FD, 0) };
            // SAFETY: it was retained above.
            note(api, "cuMemRelease", unsafe { (api.mem_release)(handle) });
            api.check("cuMemExportToShareableHandle", status)?;
            // SAFETY: CUDA opened it for this call, and nobody else knows the number.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        })
    }

    /// A stream of its own, which does not wait for the legacy default stream.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn new_stream(&self) -> Result<Stream> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: a place for a handle.
        self.call("cuStreamCreate", |api| unsafe { (api.stream_create)(&mut raw, STREAM_NON_BLOCKING) })?;
        Ok(Stream { context: self.clone(), raw: raw as usize, is_owned: true })
    }

    /// The legacy default stream (handle 1 of `cuda.h`, and DLPack's).
    pub fn legacy_stream(&self) -> Stream {
        Stream { context: self.clone(), raw: 1, is_owned: false }
    }

    /// The calling thread's default stream (handle 2).
    pub fn per_thread_stream(&self) -> Stream {
        Stream { context: self.clone(), raw: 2, is_owned: false }
    }

    /// Somebody else's stream, by its handle: what DLPack and `torch.cuda.Stream.cuda_stream` give.
    ///
    /// # Safety
    ///
    /// The handle is 0, 1, 2 or that of a stream of this context, which is not destroyed as long as the value lives.
    pub unsafe fn stream_from_raw(&self, raw: u64) -> Stream {
        Stream { context: self.clone(), raw: raw as usize, is_owned: false }
    }

    /// A new event without time stamps.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn new_event(&self) -> Result<Event> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: a place for a handle.
        self.call("cuEventCreate", |api| unsafe { (api.event_create)(&mut raw, EVENT_DISABLE_TIMING) })?;
        Ok(Event { context: self.clone(), raw: raw as usize })
    }

    /// Loads a cubin or PTX for kernels to run in this context.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`], such as `CUDA_ERROR_NO_BINARY_FOR_GPU`.
    ///
    /// # Safety
    ///
    /// The image is a whole one: CUDA reads as far as its headers say.
    pub unsafe fn load_module(&self, image: &[u8]) -> Result<Module> {
        let mut raw = std::ptr::null_mut();
        let mut text = Vec::new();
        let image = if image.starts_with(b"\x7fELF") {
            image
        } else {
            // PTX is text up to a zero byte.
            text.extend_from_slice(image);
            text.push(0);
            &text
        };
        // SAFETY: a place for a handle; the image is whole by the caller's promise, or ends with a zero byte.
        self.call("cuModuleLoadData", |api| unsafe { (api.module_load)(&mut raw, image.as_ptr().cast()) })?;
        Ok(Module(Arc::new(Loaded { context: self.clone(), raw: raw as usize })))
    }

    /// Memory of CUDA's own.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn allocate(&self, size: u64) -> Result<DeviceMemory> {
        let mut pointer = 0;
        // SAFETY: a place for an address.
        self.call("cuMemAlloc", |api| unsafe { (api.mem_alloc)(&mut pointer, size as usize) })?;
        Ok(DeviceMemory { context: self.clone(), pointer, size })
    }
}

/// A stream of a context.
#[derive(Debug)]
pub struct Stream {
    context: PrimaryContext,
    raw: usize,
    is_owned: bool,
}

impl Stream {
    fn raw(&self) -> Handle {
        self.raw as Handle
    }

    /// The context that it is of.
    pub fn context(&self) -> &PrimaryContext {
        &self.context
    }

    /// Waits on the host until everything on it is over.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`], also for what went wrong in it.
    pub fn synchronize(&self) -> Result<()> {
        // SAFETY: the stream is there.
        self.context.call("cuStreamSynchronize", |api| unsafe { (api.stream_synchronize)(self.raw()) })
    }

    /// Whether everything on it is over.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`], also for what went wrong in it.
    pub fn is_done(&self) -> Result<bool> {
        // SAFETY: the stream is there.
        is_done(self.context.call("cuStreamQuery", |api| unsafe { (api.stream_query)(self.raw()) }))
    }

    /// Whether what it is told is recorded for a graph, and not done.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn is_capturing(&self) -> Result<bool> {
        let mut status = 0;
        // SAFETY: the stream is there; a place for a number.
        self.context.call("cuStreamIsCapturing", |api| unsafe {
            (api.stream_is_capturing)(self.raw(), &mut status)
        })?;
        Ok(status != 0)
    }

    /// Has the stream wait for an event.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn wait_event(&self, event: &Event) -> Result<()> {
        self.context.call("cuStreamWaitEvent", |api| {
            // SAFETY: both are there.
            unsafe { (api.stream_wait_event)(self.raw(), event.raw as Handle, 0) }
        })
    }

    /// Has the stream wait until the word at `offset` of `memory` has reached `value`.
    pub(crate) fn wait_word(&self, memory: &ExternalMemory, offset: u64, value: u32) -> Result<()> {
        let at = memory.word(offset)?;
        self.context.call("cuStreamWaitValue32", |api| {
            // SAFETY: the stream is there; the word lies in memory that stays mapped until the context has come that far
            // (see `ExternalMemory`).
            unsafe { (api.stream_wait_value)(self.raw(), at, value, STREAM_WAIT_GEQ) }
        })
    }

    /// Has the stream write the word at `offset` of `memory`, behind all that it has to do before.
    pub(crate) fn write_word(&self, memory: &ExternalMemory, offset: u64, value: u32) -> Result<()> {
        let at = memory.word(offset)?;
        self.context.call("cuStreamWriteValue32", |api| {
            // SAFETY: as in `wait_word`.
            unsafe { (api.stream_write_value)(self.raw(), at, value, 0) }
        })
    }

    /// Copies from shared memory to CUDA's own.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if either does not hold so much there, [`Error::Cuda`].
    pub fn copy_from(
        &self,
        from: &ExternalMemory,
        offset: u64,
        to: &DeviceMemory,
        to_offset: u64,
        length: u64,
    ) -> Result<()> {
        let (from, to) = (from.at(offset, length)?, to.at(to_offset, length)?);
        self.context.call("cuMemcpyDtoDAsync", |api| {
            // SAFETY: both ranges lie in mapped memory, which CUDA frees behind what it was told before.
            unsafe { (api.copy_async)(to, from, length as usize, self.raw()) }
        })
    }

    /// Fills shared memory with a word.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if it does not hold so many words there, or for an offset that is no multiple of 4,
    /// [`Error::Cuda`].
    pub fn fill(&self, memory: &ExternalMemory, offset: u64, words: u64, value: u32) -> Result<()> {
        let at = memory.at(offset, words.saturating_mul(4))?;
        if !offset.is_multiple_of(4) {
            return Err(outside(format!("a word at {offset}")));
        }
        self.context.call("cuMemsetD32Async", |api| {
            // SAFETY: as in `copy_from`.
            unsafe { (api.fill_async)(at, value, words as usize, self.raw()) }
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.is_owned {
            // SAFETY: made here, and destroyed once; CUDA does what is still on it.
            let outcome = self
                .context
                .call("cuStreamDestroy", |api| unsafe { (api.stream_destroy)(self.raw as Handle) });
            if let Err(error) = outcome {
                log::warn!("{error}");
            }
        }
    }
}

fn is_done(outcome: Result<()>) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if error.is_status(NOT_READY) => Ok(false),
        Err(error) => Err(error),
    }
}

fn outside(what: String) -> Error {
    Error::Outside { what }
}

/// A point on a stream.
#[derive(Debug)]
pub struct Event {
    context: PrimaryContext,
    raw: usize,
}

impl Event {
    /// Makes it the point behind all that the stream has to do now.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both are there.
        self.context
            .call("cuEventRecord", |api| unsafe { (api.event_record)(self.raw as Handle, stream.raw()) })
    }

    /// Whether it is reached; so is one that was never recorded.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn is_reached(&self) -> Result<bool> {
        // SAFETY: the event is there.
        is_done(self.context.call("cuEventQuery", |api| unsafe { (api.event_query)(self.raw as Handle) }))
    }

    /// Waits for it on the host.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    pub fn wait(&self) -> Result<()> {
        // SAFETY: the event is there.
        self.context.call("cuEventSynchronize", |api| unsafe { (api.event_synchronize)(self.raw as Handle) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made by `new_event`, and destroyed once.
        let outcome =
            self.context.call("cuEventDestroy", |api| unsafe { (api.event_destroy)(self.raw as Handle) });
        if let Err(error) = outcome {
            log::warn!("{error}");
        }
    }
}

/// Memory of somebody else's, mapped by CUDA (`cuImportExternalMemory`).
///
/// It is unmapped by `cuMemFree`, which waits until the context is done with all that it was given before: so work that
/// is queued never meets an address that is gone, and dropping this may take as long as that.
#[derive(Debug)]
pub struct ExternalMemory {
    context: PrimaryContext,
    handle: usize,
    pointer: CUdeviceptr,
    size: u64,
}

impl ExternalMemory {
    /// Imports the first `size` bytes of what the descriptor holds.
    pub(crate) fn import(context: &PrimaryContext, fd: OwnedFd, size: u64) -> Result<ExternalMemory> {
        let mut desc =
            ExternalMemoryHandleDesc { kind: EXTERNAL_MEMORY_OPAQUE_FD, size, ..Default::default() };
        desc.fd = fd.as_raw_fd();
        let mut handle = std::ptr::null_mut();
        // SAFETY: a place for a handle, and a description that outlives the call.
        context.call("cuImportExternalMemory", |api| unsafe {
            (api.import_external_memory)(&mut handle, &desc)
        })?;
        // CUDA's from now on.
        let _ = fd.into_raw_fd();
        let mut memory =
            ExternalMemory { context: context.clone(), handle: handle as usize, pointer: 0, size };
        let desc = ExternalMemoryBufferDesc { size, ..Default::default() };
        let mut pointer = 0;
        context.call("cuExternalMemoryGetMappedBuffer", |api| {
            // SAFETY: a place for an address, a handle that is there, a description that outlives the call.
            unsafe { (api.external_memory_buffer)(&mut pointer, handle, &desc) }
        })?;
        memory.pointer = pointer;
        Ok(memory)
    }

    /// CUDA's address of its beginning.
    pub fn pointer(&self) -> u64 {
        self.pointer
    }

    /// Bytes that are mapped.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The context that it is mapped for.
    pub fn context(&self) -> &PrimaryContext {
        &self.context
    }

    /// CUDA's address of `length` bytes at `offset`.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if they are not inside.
    pub fn at(&self, offset: u64, length: u64) -> Result<u64> {
        range(self.pointer, self.size, offset, length)
    }

    /// All of it, to be written by a conversion: what somebody else reads there is for them and the caller to order.
    pub fn target(&self) -> Target<'_> {
        Target::within(&self.context, self.pointer, self.size)
    }

    fn word(&self, offset: u64) -> Result<u64> {
        if !offset.is_multiple_of(4) {
            return Err(outside(format!("a word at {offset}")));
        }
        self.at(offset, 4)
    }
}

pub(super) fn range(pointer: u64, size: u64, offset: u64, length: u64) -> Result<u64> {
    let inside = offset.checked_add(length).is_some_and(|end| end <= size);
    if inside { Ok(pointer + offset) } else { Err(outside(format!("{length} bytes at {offset} of {size}"))) }
}

impl Drop for ExternalMemory {
    fn drop(&mut self) {
        let (pointer, handle) = (self.pointer, self.handle as Handle);
        let outcome = self.context.with(|api| {
            if pointer != 0 {
                // SAFETY: mapped by `import`, and unmapped once.
                note(api, "cuMemFree", unsafe { (api.mem_free)(pointer) });
            }
            // SAFETY: imported by `import`, and destroyed once.
            note(api, "cuDestroyExternalMemory", unsafe { (api.destroy_external_memory)(handle) });
            Ok(())
        });
        if let Err(error) = outcome {
            log::warn!("{error}");
        }
    }
}

/// Memory of somebody else's, mapped by CUDA's interface for virtual memory (`cuMemImportFromShareableHandle`): whole, and
/// a multiple of 2 MiB. Unlike [`ExternalMemory`] it is unmapped without a wait, so that is for the owner to do.
#[derive(Debug)]
pub struct VirtualMemory {
    context: PrimaryContext,
    handle: u64,
    pointer: CUdeviceptr,
    size: u64,
    is_mapped: bool,
}

impl VirtualMemory {
    /// Imports the `size` bytes that the descriptor holds, which stays the caller's.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`]: `CUDA_ERROR_INVALID_VALUE` for sizes that are no multiple of 2 MiB.
    ///
    /// # Safety
    ///
    /// When the value is dropped, CUDA is done with all that works in the memory.
    pub unsafe fn import(context: &PrimaryContext, fd: BorrowedFd<'_>, size: u64) -> Result<VirtualMemory> {
        let mut memory =
            VirtualMemory { context: context.clone(), handle: 0, pointer: 0, size, is_mapped: false };
        context.with(|api| {
            let fd = fd.as_raw_fd() as usize as *mut c_void;
            // SAFETY: a place for a handle; a descriptor is passed as a pointer.
            let status = unsafe { (api.mem_import)(&mut memory.handle, fd, MEM_HANDLE_POSIX_FD) };
            api.check("cuMemImportFromShareableHandle", status)?;
            // SAFETY: a place for an address.
            let status = unsafe { (api.mem_address_reserve)(&mut memory.pointer, size as usize, 0, 0, 0) };
            api.check("cuMemAddressReserve", status)?;
            // SAFETY: a range that was just reserved and a handle that was just imported.
            let status = unsafe { (api.mem_map)(memory.pointer, size as usize, 0, memory.handle, 0) };
            api.check("cuMemMap", status)?;
            memory.is_mapped = true;
            let access = MemAccessDesc {
                location_type: MEM_LOCATION_DEVICE,
                location_id: context.0.device,
                flags: MEM_ACCESS_READ_WRITE,
            };
            // SAFETY: a range that was just mapped, and one description.
            let status = unsafe { (api.mem_set_access)(memory.pointer, size as usize, &access, 1) };
            api.check("cuMemSetAccess", status)
        })?;
        Ok(memory)
    }

    /// CUDA's address of its beginning.
    pub fn pointer(&self) -> u64 {
        self.pointer
    }

    /// Bytes that are mapped.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Drop for VirtualMemory {
    fn drop(&mut self) {
        let (pointer, size, handle) = (self.pointer, self.size as usize, self.handle);
        let is_mapped = self.is_mapped;
        let outcome = self.context.with(|api| {
            // SAFETY: each was made by `import`, and is undone once.
            unsafe {
                if is_mapped {
                    note(api, "cuMemUnmap", (api.mem_unmap)(pointer, size));
                }
                if pointer != 0 {
                    note(api, "cuMemAddressFree", (api.mem_address_free)(pointer, size));
                }
                if handle != 0 {
                    note(api, "cuMemRelease", (api.mem_release)(handle));
                }
            }
            Ok(())
        });
        if let Err(error) = outcome {
            log::warn!("{error}");
        }
    }
}

/// Memory that CUDA allocated.
#[derive(Debug)]
pub struct DeviceMemory {
    context: PrimaryContext,
    pointer: CUdeviceptr,
    size: u64,
}

impl DeviceMemory {
    /// CUDA's address of its beginning.
    pub fn pointer(&self) -> u64 {
        self.pointer
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        self.size
    }

    fn at(&self, offset: u64, length: u64) -> Result<u64> {
        range(self.pointer, self.size, offset, length)
    }

    /// All of it, to be written by a conversion.
    pub fn target(&self) -> Target<'_> {
        Target::within(&self.context, self.pointer, self.size)
    }

    /// Reads bytes, behind what the legacy default stream has to do.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if there are not so many, [`Error::Cuda`].
    pub fn read(&self, offset: u64, to: &mut [u8]) -> Result<()> {
        let from = self.at(offset, to.len() as u64)?;
        // SAFETY: as many bytes as there are in `to`, inside the memory.
        self.context
            .call("cuMemcpyDtoH", |api| unsafe { (api.copy_to_host)(to.as_mut_ptr().cast(), from, to.len()) })
    }

    /// Writes bytes, behind what the legacy default stream has to do.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<()> {
        let to = self.at(offset, from.len() as u64)?;
        // SAFETY: as many bytes as there are in `from`, inside the memory.
        self.context
            .call("cuMemcpyHtoD", |api| unsafe { (api.copy_to_device)(to, from.as_ptr().cast(), from.len()) })
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // SAFETY: allocated by `allocate`, and freed once; CUDA does so behind the work of the context.
        if let Err(error) = self.context.call("cuMemFree", |api| unsafe { (api.mem_free)(self.pointer) }) {
            log::warn!("{error}");
        }
    }
}

#[derive(Debug)]
struct Loaded {
    context: PrimaryContext,
    raw: usize,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: loaded by `load_module`, and unloaded once, with all functions gone.
        let outcome =
            self.context.call("cuModuleUnload", |api| unsafe { (api.module_unload)(self.raw as Handle) });
        if let Err(error) = outcome {
            log::warn!("{error}");
        }
    }
}

/// Kernels that were loaded into a context. Clones share it.
#[derive(Clone, Debug)]
pub struct Module(Arc<Loaded>);

impl Module {
    pub(super) fn context(&self) -> &PrimaryContext {
        &self.0.context
    }

    /// A kernel of it.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`]: `CUDA_ERROR_NOT_FOUND`.
    pub fn function(&self, name: &str) -> Result<Function> {
        let text = CString::new(name).map_err(|_| outside(format!("a kernel {name:?}")))?;
        let mut raw = std::ptr::null_mut();
        self.0.context.call("cuModuleGetFunction", |api| {
            // SAFETY: a place for a handle, a module that is there, a text that ends with a zero byte.
            unsafe { (api.module_function)(&mut raw, self.0.raw as Handle, text.as_ptr()) }
        })?;
        Ok(Function { module: self.clone(), raw: raw as usize })
    }
}

/// A kernel.
#[derive(Clone, Debug)]
pub struct Function {
    module: Module,
    raw: usize,
}

impl Function {
    /// Launches it on a stream: blocks in the grid, threads in a block, bytes of shared memory, and the parameters, each
    /// as its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    ///
    /// # Safety
    ///
    /// The parameters are as many, and as long, as the kernel has; what it does with them stays in memory that lives until
    /// it is over; and the module lives until then.
    pub unsafe fn launch(
        &self,
        stream: &Stream,
        grid: [u32; 3],
        block: [u32; 3],
        shared: u32,
        parameters: &[&[u8]],
    ) -> Result<()> {
        // Copies, so that each lies where a value of 16 bytes may.
        let mut copies: Vec<Vec<u128>> = Vec::new();
        for parameter in parameters {
            let mut copy = vec![0u128; parameter.len().div_ceil(16).max(1)];
            for (word, bytes) in copy.iter_mut().zip(parameter.chunks(16)) {
                let mut whole = [0; 16];
                whole[..bytes.len()].copy_from_slice(bytes);
                *word = u128::from_ne_bytes(whole);
            }
            copies.push(copy);
        }
        let mut pointers: Vec<*mut c_void> = copies.iter_mut().map(|copy| copy.as_mut_ptr().cast()).collect();
        self.module.0.context.call("cuLaunchKernel", |api| {
            // SAFETY: a function and a stream that are there, a pointer for each parameter, and the caller's promise.
            unsafe {
                (api.launch)(
                    self.raw as Handle,
                    grid[0],
                    grid[1],
                    grid[2],
                    block[0],
                    block[1],
                    block[2],
                    shared,
                    stream.raw(),
                    pointers.as_mut_ptr(),
                    std::ptr::null_mut(),
                )
            }
        })
    }
}
