//! Tensors for other libraries, by DLPack: memory, shape, and who has to be told when it is not wanted any more.
//!
//! The library behind this changes often; none of its types can be seen from outside.

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use dlpark::ffi::{DLDataType, DLDevice, DLManagedTensor, DLManagedTensorVersioned};
use dlpark::metadata::Dynamic;
use dlpark::{DlpackFlags, Managed, ManagedTensorBase};
use hcq::DeviceBuffer;

use crate::error::{Error, Result};
use crate::shared::Imported;

/// Where a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Host memory (`kDLCPU`): an address of this process.
    Host,
    /// Memory of a CUDA device (`kDLCUDA`): an address of CUDA, never one of ours, which means nothing there.
    Cuda(i32),
}

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum DataType {
    U8,
    U16,
    U32,
    I8,
    I16,
    I32,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl DataType {
    fn raw(self) -> DLDataType {
        match self {
            DataType::U8 => DLDataType::U8,
            DataType::U16 => DLDataType::U16,
            DataType::U32 => DLDataType::U32,
            DataType::I8 => DLDataType::I8,
            DataType::I16 => DLDataType::I16,
            DataType::I32 => DLDataType::I32,
            DataType::I64 => DLDataType::I64,
            DataType::F16 => DLDataType::F16,
            DataType::BF16 => DLDataType::BF16,
            DataType::F32 => DLDataType::F32,
            DataType::F64 => DLDataType::F64,
        }
    }

    /// Bytes of an element.
    pub fn size(self) -> u64 {
        u64::from(self.raw().bits / 8)
    }
}

/// Shape and strides of a tensor, both in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    dtype: DataType,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

impl Layout {
    /// A layout with elements `strides` apart: none negative, as many as there are sizes.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if they are not, or if it is larger than an address space.
    pub fn new(dtype: DataType, shape: &[i64], strides: &[i64]) -> Result<Layout> {
        if shape.len() != strides.len() {
            return Err(Error::Tensor(format!("{} sizes and {} strides", shape.len(), strides.len())));
        }
        if let Some(bad) = shape.iter().chain(strides).find(|&&number| number < 0) {
            return Err(Error::Tensor(format!("a size or stride of {bad}")));
        }
        let layout = Layout { dtype, shape: shape.to_vec(), strides: strides.to_vec() };
        layout.extent().ok_or_else(|| Error::Tensor("larger than an address space".into()))?;
        Ok(layout)
    }

    /// A layout without gaps, the last size innermost.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn compact(dtype: DataType, shape: &[i64]) -> Result<Layout> {
        let mut strides = vec![1i64; shape.len()];
        for i in (1..shape.len()).rev() {
            let stride = strides[i].checked_mul(shape[i].max(1));
            strides[i - 1] = stride.ok_or_else(|| Error::Tensor("larger than an address space".into()))?;
        }
        Layout::new(dtype, shape, &strides)
    }

    /// Bytes from the first element to the end of the last.
    fn extent(&self) -> Option<u64> {
        let mut last = 0u64;
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let Some(steps) = (size as u64).checked_sub(1) else { return Some(0) };
            last = last.checked_add(steps.checked_mul(stride as u64)?)?;
        }
        last.checked_add(1)?.checked_mul(self.dtype.size())
    }

    /// Bytes from the first element to the end of the last.
    pub fn bytes(&self) -> u64 {
        self.extent().unwrap_or(u64::MAX)
    }
}

/// A tensor to be handed out.
pub struct Tensor {
    pointer: u64,
    place: Place,
    layout: Layout,
    read_only: bool,
    owner: Box<dyn Any + Send>,
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:#x} of {:?}", self.layout, self.pointer, self.place)
    }
}

impl Tensor {
    /// A tensor at an address. `owner` is dropped when the last user lets go of it, on whatever thread that is.
    ///
    /// # Safety
    ///
    /// As long as `owner` lives, as many bytes as the layout has are valid at the address of that place; and nobody who does
    /// not know of the users of the tensor writes to them.
    pub unsafe fn new(pointer: u64, place: Place, layout: Layout, owner: Box<dyn Any + Send>) -> Tensor {
        Tensor { pointer, place, layout, read_only: false, owner }
    }

    /// A tensor in memory of ours that CUDA has mapped, which stays mapped and allocated until it is let go of; `owner` as
    /// well: what it gives back to a pool when it is dropped.
    ///
    /// Neither side waits for the other by this: have the consumer's stream [wait](Imported::wait) for the work that
    /// writes the tensor before it is handed out; and when `owner` is dropped, streams of the consumer may still have work
    /// in it, which only an [`Event`](crate::Event) on each of them tells.
    ///
    /// # Errors
    ///
    /// [`Error::Outside`] if the buffer is no part of what was imported, [`Error::Tensor`] if it is too small.
    pub fn of(
        imported: &Arc<Imported>,
        buffer: &DeviceBuffer,
        layout: Layout,
        owner: Box<dyn Any + Send>,
    ) -> Result<Tensor> {
        if layout.bytes() > buffer.size() {
            return Err(Error::Tensor(format!("{} bytes in a buffer of {}", layout.bytes(), buffer.size())));
        }
        let pointer = imported.pointer(buffer)?;
        let place = Place::Cuda(imported.memory().context().ordinal());
        let owner = Box::new((owner, buffer.clone(), imported.clone()));
        Ok(Tensor { pointer, place, layout, read_only: false, owner })
    }

    /// The same, which users are asked not to write to. Only the versioned form can say so.
    pub fn read_only(self) -> Tensor {
        Tensor { read_only: true, ..self }
    }

    /// As a `DLManagedTensorVersioned`, for consumers that know DLPack 1.0 or later.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`].
    pub fn into_versioned(self) -> Result<Versioned> {
        let flags = if self.read_only { DlpackFlags::READ_ONLY } else { DlpackFlags::empty() };
        self.managed(flags).map(Versioned)
    }

    /// As a `DLManagedTensor`, for all others.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`]: it cannot be read-only.
    pub fn into_legacy(self) -> Result<Legacy> {
        if self.read_only {
            return Err(Error::Tensor("the old form of DLPack has no read-only tensors".into()));
        }
        self.managed(DlpackFlags::empty()).map(Legacy)
    }

    fn managed<M: ManagedTensorBase>(self, flags: DlpackFlags) -> Result<Managed<M>> {
        let Tensor { pointer, place, layout, owner, .. } = self;
        let say = |error: &dyn fmt::Display| Error::Tensor(error.to_string());
        let prepared = Dynamic::new(&layout.shape[..], &layout.strides[..]).prepare_as::<M>();
        let mut tensor = prepared.map_err(|error| say(&error))?.initialize(Box::new(owner));
        tensor.set_data(pointer as usize as *mut c_void);
        tensor.set_dtype(layout.dtype.raw());
        tensor.set_device(match place {
            Place::Host => DLDevice::CPU,
            Place::Cuda(ordinal) => DLDevice::cuda(ordinal),
        });
        tensor.set_flags(flags).map_err(|error| say(&error))?;
        // SAFETY: the address is good for as long as the owner lives, which the tensor holds (`new`, or by the checks of
        // `of`); shape and strides lie in the tensor itself.
        Ok(unsafe { tensor.finish() })
    }
}

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $raw:ty) => {
        $(#[$doc])*
        pub struct $name(Managed<$raw>);

        impl $name {
            /// The pointer that a capsule holds. Whoever has it calls the deleter in it once, or passes it to
            /// [`from_raw`](Self::from_raw).
            pub fn into_raw(self) -> *mut c_void {
                self.0.into_raw().cast()
            }

            /// Takes a tensor back, or over from somebody else. It lets go of it when dropped.
            ///
            /// # Errors
            ///
            /// [`Error::Tensor`] for a version that is not known; it was let go of.
            ///
            /// # Safety
            ///
            /// The pointer is one of [`into_raw`](Self::into_raw), or of another library's tensor of this form that the
            /// caller owns.
            pub unsafe fn from_raw(raw: *mut c_void) -> Result<Self> {
                // SAFETY: the caller's promise.
                let managed = unsafe { Managed::from_raw(raw.cast::<$raw>()) };
                managed.map($name).map_err(|error| Error::Tensor(error.to_string()))
            }

            /// Address of the first element.
            pub fn pointer(&self) -> Result<u64> {
                let tensor = self.0.validate().map_err(|error| Error::Tensor(error.to_string()))?;
                Ok((tensor.data_ptr() as usize as u64).wrapping_add(tensor.byte_offset()))
            }

            /// Sizes, in elements.
            pub fn shape(&self) -> Result<Vec<i64>> {
                let tensor = self.0.validate().map_err(|error| Error::Tensor(error.to_string()))?;
                Ok(tensor.shape().to_vec())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} {:?}", stringify!($name), self.shape())
            }
        }
    };
}

handle! {
    /// A tensor in the form of DLPack 1 (`dltensor_versioned` is what Python calls its capsule). Dropping it lets go of it.
    Versioned, DLManagedTensorVersioned
}
handle! {
    /// A tensor in the form before DLPack 1 (`dltensor`). Dropping it lets go of it.
    Legacy, DLManagedTensor
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Owner {
        bytes: Vec<u8>,
        dropped: Arc<AtomicUsize>,
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            self.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn host_tensor(dropped: &Arc<AtomicUsize>, layout: Layout) -> Tensor {
        let owner = Box::new(Owner { bytes: (0..=255).collect(), dropped: dropped.clone() });
        assert!(layout.bytes() <= owner.bytes.len() as u64);
        let pointer = owner.bytes.as_ptr() as u64;
        // SAFETY: the bytes are the owner's and as many as that; nobody writes to them.
        unsafe { Tensor::new(pointer, Place::Host, layout, owner) }
    }

    #[test]
    fn a_host_tensor_goes_round_and_is_let_go_of_once() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let layout = Layout::new(DataType::U8, &[2, 3], &[64, 2]).unwrap();
        let raw = host_tensor(&dropped, layout).read_only().into_versioned().unwrap().into_raw();
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        // SAFETY: it came from `into_raw`.
        let again = unsafe { Versioned::from_raw(raw) }.unwrap();
        assert_eq!(again.shape().unwrap(), [2, 3]);
        let tensor = again.0.validate().unwrap();
        assert_eq!(tensor.strides().unwrap(), [64, 2]);
        assert_eq!((tensor.device(), tensor.dtype()), (DLDevice::CPU, DLDataType::U8));
        assert_eq!(again.0.flags(), DlpackFlags::READ_ONLY);
        // SAFETY: inside the owner's bytes, which live.
        let byte = unsafe { *(again.pointer().unwrap() as *const u8).add(64 + 4) };
        assert_eq!(byte, 68);
        drop(again);
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_foreign_deleter_runs_the_owner_on_its_thread() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let layout = Layout::compact(DataType::F32, &[4, 4]).unwrap();
        let raw = host_tensor(&dropped, layout).into_legacy().unwrap().into_raw() as usize;
        let consumer = std::thread::spawn(move || {
            let raw = raw as *mut DLManagedTensor;
            // SAFETY: what a consumer in C does: it has the pointer, and calls the deleter once.
            unsafe { (*raw).deleter.unwrap()(raw) };
        });
        consumer.join().unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        // One that was never handed out as well.
        drop(host_tensor(&dropped, Layout::compact(DataType::U8, &[0]).unwrap()).into_versioned().unwrap());
        drop(host_tensor(&dropped, Layout::compact(DataType::U8, &[]).unwrap()));
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn layouts_are_checked() {
        let extent =
            |shape: &[i64], strides: &[i64]| Layout::new(DataType::F16, shape, strides).unwrap().bytes();
        assert_eq!(extent(&[2, 3], &[64, 2]), 2 * (64 + 4 + 1));
        assert_eq!((extent(&[], &[]), extent(&[0, 7], &[1, 1]), extent(&[5], &[0])), (2, 0, 2));
        let compact = Layout::compact(DataType::U8, &[2, 3, 4]).unwrap();
        assert_eq!((compact.strides.clone(), compact.bytes()), (vec![12, 4, 1], 24));
        for (shape, strides) in
            [(&[2i64, 3][..], &[1i64][..]), (&[-1], &[1]), (&[2], &[-1]), (&[i64::MAX, 3], &[i64::MAX, 1])]
        {
            assert!(matches!(Layout::new(DataType::U8, shape, strides), Err(Error::Tensor(_))));
        }
        assert!(Layout::compact(DataType::U8, &[i64::MAX, i64::MAX, 2]).is_err());
        let dropped = Arc::new(AtomicUsize::new(0));
        let tensor = host_tensor(&dropped, Layout::compact(DataType::U8, &[1]).unwrap()).read_only();
        assert!(tensor.into_legacy().is_err() && dropped.load(Ordering::SeqCst) == 1);
    }
}
