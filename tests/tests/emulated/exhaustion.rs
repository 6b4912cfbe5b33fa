//! Every call into the driver fails once: the error names the call, and nothing is left behind.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hcq::kernel::emulated::{Call, EmulatedKernel, Failure};
use hcq::kernel::{EventWait, KernelInterface, Node, UsermodeRegisters};
use hcq::{Device, EngineKind};
use memmap2::MmapRaw;
use nvdec::{Context, DecoderOptions, Error};
use nvdec_tests::Machine;
use nvdec_tests::player::Player;
use nvdec_tests::streams::find;
use nvkernel_sys::ioctl;
use nvkernel_sys::status::RmStatus;

use super::machine;

/// Counts calls of one kind.
#[derive(Debug)]
struct Counting {
    kernel: EmulatedKernel,
    call: Call,
    count: AtomicUsize,
}

impl Counting {
    fn note(&self, call: Call) {
        if call == self.call {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: what the model maps is passed on.
unsafe impl KernelInterface for Counting {
    fn is_emulated(&self) -> bool {
        true
    }

    fn open(&self, node: Node) -> io::Result<OwnedFd> {
        self.note(Call::Open);
        self.kernel.open(node)
    }

    unsafe fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()> {
        self.note(Call::Ioctl(request & 0xff));
        // SAFETY: the caller's promise is passed on as it is.
        unsafe { self.kernel.ioctl(fd, request, arg) }
    }

    fn map(&self, fd: BorrowedFd<'_>, length: usize) -> io::Result<MmapRaw> {
        self.note(Call::Mmap);
        self.kernel.map(fd, length)
    }

    fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32) {
        self.kernel.ring_doorbell(usermode, token);
    }

    fn wait_event(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait> {
        self.kernel.wait_event(fd, timeout)
    }
}

/// From opening the GPU to the last copied frame.
fn everything(kernel: Arc<dyn KernelInterface>) -> Result<usize, Error> {
    assert_eq!(hcq::enumerate(kernel.clone())?.len(), 1);
    let device = Device::open(kernel, 0)?;
    device.name()?;
    device.timestamp()?;
    let engines = device.engines_of(EngineKind::Nvdec)?;
    let context: Arc<Context> = Context::new(device)?;
    let options = DecoderOptions::on(engines[1]).with_held_frames(1);
    let mut player = Player::new(&context, options)?;
    player.play(find("x_size_202x150").data)?;
    Ok(player.shown.len())
}

/// Fails the `n`th call of a kind, for every `n` there is; returns how many there are and the errors.
fn fail_each(call: Call, failure: Failure) -> (usize, Vec<String>) {
    let mut errors = Vec::new();
    for n in 0.. {
        let machine = machine();
        let kernel = Arc::new(Counting { kernel: machine.kernel.clone(), call, count: AtomicUsize::new(0) });
        machine.kernel.faults().fail_call(call, n as u32, failure);
        let result = everything(kernel.clone());
        machine.assert_empty(&format!("{call:?} {n} failed: {result:?}"));
        let violations = machine.recorder.violations();
        assert!(violations.is_empty(), "{call:?} {n}: {violations:?}");
        match result {
            Err(error) => {
                assert!(!error.is_picture_error(), "{call:?} {n}: {error}");
                errors.push(error.to_string());
            }
            // What the call was for can be done without, or it was never made.
            Ok(frames) => assert_eq!(frames, 10, "{call:?} {n}"),
        }
        if kernel.count.load(Ordering::Relaxed) <= n {
            return (n, errors);
        }
    }
    unreachable!("a run makes a finite number of calls")
}

#[test]
fn memory_runs_out_at_every_allocation() {
    let failure = Failure::Status(RmStatus::NV_ERR_NO_MEMORY);
    let (count, errors) = fail_each(Call::Ioctl(ioctl::NV_ESC_RM_ALLOC), failure);
    assert!(count > 20, "{count} allocations");
    for error in &errors {
        assert!(error.contains("NV_ERR_NO_MEMORY"), "{error}");
    }
    // The object that could not be made is named, by its class.
    for class in [
        "NV01_DEVICE_0",
        "NV20_SUBDEVICE_0",
        "FERMI_VASPACE_A",
        "NV01_MEMORY_VIRTUAL",
        "NV01_MEMORY_LOCAL_USER",
        "NV01_MEMORY_SYSTEM",
        "HOPPER_CHANNEL_GPFIFO_A",
        "NVB8B0_VIDEO_DECODER",
        "HOPPER_DMA_COPY_A",
        "HOPPER_USERMODE_A",
        "NV01_ROOT",
    ] {
        assert!(errors.iter().any(|e| e.contains(class)), "no error names {class}: {errors:#?}");
    }
    // What can be done without is the event that wakes a sleeper, and surfaces beside the first: those there are do.
    assert!(errors.len() + 8 >= count, "{} of {count} allocations can be done without", count - errors.len());
}

/// A status that no call expects, at every call that has one.
#[test]
fn an_invalid_state_is_named_at_every_call() {
    let failure = Failure::Status(RmStatus::NV_ERR_INVALID_STATE);
    for call in [
        ioctl::NV_ESC_RM_ALLOC,
        ioctl::NV_ESC_RM_CONTROL,
        ioctl::NV_ESC_RM_MAP_MEMORY_DMA,
        ioctl::NV_ESC_RM_MAP_MEMORY,
    ] {
        let (count, errors) = fail_each(Call::Ioctl(call), failure);
        assert!(count > 3 && !errors.is_empty(), "{count} of {call:#x}");
        assert!(errors.iter().all(|e| e.starts_with("NV_ERR_INVALID_STATE (0x40) from ")), "{errors:#?}");
    }
}

#[test]
fn every_control_call_fails_once() {
    let failure = Failure::Status(RmStatus::NV_ERR_INSUFFICIENT_PERMISSIONS);
    let (count, errors) = fail_each(Call::Ioctl(ioctl::NV_ESC_RM_CONTROL), failure);
    assert!(count > 10 && !errors.is_empty());
    for error in &errors {
        assert!(error.contains("NV_ERR_INSUFFICIENT_PERMISSIONS"), "{error}");
        assert!(error.contains("NV") && error.contains("_CTRL_"), "the control command is named: {error}");
    }
}

#[test]
fn every_mapping_fails_once() {
    let failure = Failure::Status(RmStatus::NV_ERR_NO_MEMORY);
    for call in [ioctl::NV_ESC_RM_MAP_MEMORY_DMA, ioctl::NV_ESC_RM_MAP_MEMORY] {
        let (count, errors) = fail_each(Call::Ioctl(call), failure);
        assert!(count > 3, "{count} of {call:#x}");
        assert!(errors.iter().all(|e| e.contains("NV_ERR_NO_MEMORY")), "{errors:#?}");
    }
}

#[test]
fn every_open_and_every_map_fails_once() {
    const EMFILE: i32 = 24;
    const ENOMEM: i32 = 12;
    let (count, errors) = fail_each(Call::Open, Failure::Errno(EMFILE));
    assert!(count > 4, "{count} opens");
    assert!(errors.iter().all(|e| e.contains("/dev/nvidia") && e.contains("os error 24")), "{errors:#?}");
    let (count, errors) = fail_each(Call::Mmap, Failure::Errno(ENOMEM));
    assert!(count > 3, "{count} maps");
    assert!(errors.iter().all(|e| e.contains("cannot map") && e.contains("os error 12")), "{errors:#?}");
}

#[test]
fn interrupted_ioctls_are_errors_too() {
    const EIO: i32 = 5;
    for call in [ioctl::NV_ESC_RM_ALLOC, ioctl::NV_ESC_CARD_INFO, ioctl::NV_ESC_CHECK_VERSION_STR] {
        let (_, errors) = fail_each(Call::Ioctl(call), Failure::Errno(EIO));
        assert!(!errors.is_empty() && errors.iter().all(|e| e.contains("os error 5")), "{errors:#?}");
    }
}

/// A GPU with little memory: the session that does not fit fails, the one that does goes on.
#[test]
fn a_full_gpu_refuses_one_session_only() {
    let mut model = hcq::kernel::emulated::GpuModel::h200();
    model.vidmem_mib = 64;
    let machine = Machine::new(model);
    let context = machine.context();
    // What is told here is the driver's own refusal.
    context.set_memory_limit(None);
    let mut sessions = Vec::new();
    let error = loop {
        let options = DecoderOptions::default().with_held_frames(8);
        // Memory may end with what a session begins with, or later.
        let played = Player::new(&context, options).and_then(|mut player| {
            player.play(find("k_10b_tiles").data)?;
            Ok(player)
        });
        match played {
            Ok(player) => sessions.push(player),
            Err(error) => break error,
        }
        assert!(sessions.len() < 1000, "64 MiB hold any number of sessions");
    };
    assert!(error.to_string().contains("NV_ERR_NO_MEMORY"), "{error}");
    assert!(sessions.len() >= 2);
    for player in &mut sessions {
        player.shown.clear();
        player.play(find("k_10b_tiles").data).unwrap();
        assert_eq!(player.shown.len(), 12);
    }
    drop((sessions, context));
    machine.assert_content("full GPU");
    machine.assert_empty("full GPU");
}
