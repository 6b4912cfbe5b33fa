//! [`TracingKernel`]: every call to a kernel interface and its answer, as text.
//!
//! One line a call, in the order in which the calls returned. Descriptors are numbered in the order of their
//! opening; pointers and descriptor numbers inside arguments are recorded as zero, since they differ from run
//! to run, and what pointers lead to follows as a part of its own.
//!
//! ```text
//! open d1 /dev/nvidia0 = ok
//! ioctl d0 NV_ESC_RM_CONTROL NV2080_CTRL_CMD_MC_GET_ARCH_INFO = ok arg <in> <out> params <in> <out>
//! map d4 65536 = ok
//! doorbell 0x00100003
//! ```
//!
//! `<in>` and `<out>` are the bytes before and after, in hexadecimal; `=` stands for "the same as before".

use std::any::Any;
use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use memmap2::MmapRaw;
use nvkernel_sys::engine::EngineKind;
use nvkernel_sys::rm::NV0005_ALLOC_PARAMETERS;
use nvkernel_sys::{class, ctrl, ioctl};

use super::{EventWait, KernelInterface, Node, UsermodeRegisters};

/// Offset of `data`, the descriptor of an OS event, in `NV0005_ALLOC_PARAMETERS`.
const EVENT_DATA: usize = std::mem::offset_of!(NV0005_ALLOC_PARAMETERS, data);
/// Most bytes behind a pointer that are recorded.
const MAX_PARAMS: u32 = 16 << 10;

/// A kernel interface that passes every call on to another one and writes it down.
#[derive(Debug)]
pub struct TracingKernel {
    inner: Arc<dyn KernelInterface>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    /// Descriptor number of each opened descriptor, in order; a later one with the same number replaces it.
    descriptors: Vec<i32>,
}

impl TracingKernel {
    /// Traces the calls to `inner`.
    pub fn new(inner: Arc<dyn KernelInterface>) -> Arc<Self> {
        Arc::new(TracingKernel { inner, state: Mutex::default() })
    }

    /// The lines so far; they are kept.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, line: String) {
        self.lock().lines.push(line);
    }

    fn name(&self, fd: BorrowedFd<'_>) -> String {
        let state = self.lock();
        match state.descriptors.iter().rposition(|&known| known == fd.as_raw_fd()) {
            Some(index) => format!("d{index}"),
            None => "d?".to_owned(),
        }
    }
}

fn outcome<T>(result: &io::Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Before and after.
fn pair(label: &str, before: &[u8], after: &[u8]) -> String {
    match before == after {
        true => format!(" {label} {} =", hex(before)),
        false => format!(" {label} {} {}", hex(before), hex(after)),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn pointer(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

/// Where a struct holds a pointer, and how many bytes it leads to.
#[derive(Clone, Copy)]
struct Indirect {
    at: usize,
    address: u64,
    length: usize,
}

impl Indirect {
    fn new(bytes: &[u8], at: usize, length: u32) -> Option<Self> {
        let address = pointer(bytes, at);
        (address != 0 && length > 0 && length <= MAX_PARAMS).then_some(Indirect {
            at,
            address,
            length: length as usize,
        })
    }

    /// The parameter struct of an RM_ALLOC or RM_CONTROL argument.
    fn params(nr: u32, arg: &[u8]) -> Option<Self> {
        match (nr, arg.len()) {
            (ioctl::NV_ESC_RM_ALLOC, 32) | (ioctl::NV_ESC_RM_CONTROL, 32) => {
                Self::new(arg, 16, word(arg, 24))
            }
            _ => None,
        }
    }

    /// The list of words that some control parameters point at.
    fn list(cmd: u32, params: &[u8]) -> Option<Self> {
        let count_at = match cmd {
            c if c == ctrl::NV0080_CTRL_CMD_GPU_GET_CLASSLIST.id => 0,
            c if c == ctrl::NV2080_CTRL_CMD_GPU_GET_ENGINES.id => 0,
            c if c == ctrl::NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST.id => 4,
            _ => return None,
        };
        Self::new(params, 8, word(params, count_at).saturating_mul(4))
    }

    fn read(self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        // SAFETY: the caller of `ioctl` vouches for every pointer in its argument, for the length that stands
        // beside it, for the length of the call; this runs within it.
        unsafe { std::ptr::copy_nonoverlapping(self.address as *const u8, bytes.as_mut_ptr(), self.length) };
        bytes
    }

    /// The struct without the pointer, which means nothing to another run.
    fn erase(self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[self.at..self.at + 8].fill(0);
        bytes
    }
}

/// Where an argument holds a descriptor number, which differs from run to run.
fn descriptor_at(nr: u32, length: usize) -> Option<usize> {
    match nr {
        ioctl::NV_ESC_REGISTER_FD => Some(0),
        ioctl::NV_ESC_RM_MAP_MEMORY => Some(length.checked_sub(8)?),
        ioctl::NV_ESC_ALLOC_OS_EVENT | ioctl::NV_ESC_FREE_OS_EVENT => Some(8),
        _ => None,
    }
}

fn without_descriptor(nr: u32, mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(at) = descriptor_at(nr, bytes.len()).filter(|at| at + 4 <= bytes.len()) {
        bytes[at..at + 4].fill(0);
    }
    bytes
}

/// What the call is about: class or control command.
fn subject(nr: u32, arg: &[u8]) -> String {
    match nr {
        ioctl::NV_ESC_RM_ALLOC => format!(" {}", class::name_of(word(arg, 12))),
        ioctl::NV_ESC_RM_CONTROL => format!(" {}", ctrl::name_of(word(arg, 8))),
        _ => String::new(),
    }
}

// SAFETY: what the inner interface maps is passed on.
unsafe impl KernelInterface for TracingKernel {
    fn is_emulated(&self) -> bool {
        self.inner.is_emulated()
    }

    fn engine_limits(&self, kind: EngineKind) -> Option<&(dyn Any + Send + Sync)> {
        self.inner.engine_limits(kind)
    }

    fn open(&self, node: Node) -> io::Result<OwnedFd> {
        let result = self.inner.open(node);
        let mut state = self.lock();
        let index = state.descriptors.len();
        state.lines.push(format!("open d{index} {node} = {}", outcome(&result)));
        state.descriptors.push(result.as_ref().map_or(-1, |fd| fd.as_raw_fd()));
        result
    }

    unsafe fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()> {
        let nr = request & 0xff;
        let params = Indirect::params(nr, arg);
        let erase = |bytes: &[u8], part: Option<Indirect>| {
            without_descriptor(nr, part.map_or_else(|| bytes.to_vec(), |part| part.erase(bytes)))
        };
        let before = erase(arg, params);
        let params_before = params.map(Indirect::read);
        let list = params_before.as_ref().and_then(|bytes| Indirect::list(word(arg, 8), bytes));
        // SAFETY: passed on with the caller's own promise.
        let result = unsafe { self.inner.ioctl(fd, request, arg) };
        let mut line = format!(
            "ioctl {} {}{} = {}",
            self.name(fd),
            ioctl::name_of(nr),
            subject(nr, &before),
            outcome(&result)
        );
        line += &pair("arg", &before, &erase(arg, params));
        if let (Some(params), Some(before)) = (params, params_before) {
            let after = params.read();
            let event = nr == ioctl::NV_ESC_RM_ALLOC && word(arg, 12) == class::NV01_EVENT_OS_EVENT;
            let plain = |bytes: &[u8]| {
                let mut bytes = list.map_or_else(|| bytes.to_vec(), |list| list.erase(bytes));
                if event && bytes.len() == size_of::<NV0005_ALLOC_PARAMETERS>() {
                    bytes[EVENT_DATA..].fill(0);
                }
                bytes
            };
            line += &pair("params", &plain(&before), &plain(&after));
        }
        if let Some(list) = list {
            line += &format!(" list {}", hex(&list.read()));
        }
        self.log(line);
        result
    }

    fn map(&self, fd: BorrowedFd<'_>, length: usize) -> io::Result<MmapRaw> {
        let result = self.inner.map(fd, length);
        self.log(format!("map {} {length} = {}", self.name(fd), outcome(&result)));
        result
    }

    fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32) {
        self.log(format!("doorbell {token:#010x}"));
        self.inner.ring_doorbell(usermode, token);
    }

    fn wait_event(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait> {
        self.inner.wait_event(fd, timeout)
    }
}
