//! Clients that end without a word.

use std::io;
use std::mem::forget;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitstream::split_annex_b;
use hcq::kernel::emulated::{EmulatedKernel, Usage};
use hcq::kernel::{EventWait, KernelInterface, Node, UsermodeRegisters};
use hcq::{CopyCommands, Device, Placement};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Downloader, Packet, Sent};
use nvdec_tests::bodies::LONG;
use nvdec_tests::player::{Player, play};
use nvdec_tests::streams::find;

use super::machine;

/// The way to a kernel of a process that will be killed: knows which descriptors the process had.
#[derive(Debug)]
struct Process {
    kernel: EmulatedKernel,
    /// Each with what the operating system says lies behind it.
    descriptors: Mutex<Vec<(RawFd, PathBuf)>>,
}

fn behind(fd: RawFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()
}

impl Process {
    /// What the operating system does to a process that is gone: closes its descriptors.
    fn kill(&self) {
        for (fd, link) in self.descriptors.lock().unwrap().drain(..) {
            // Some were closed in good order, and their numbers may be another's by now.
            if behind(fd) == Some(link) {
                // SAFETY: every owner of the descriptor was forgotten, so that nobody closes or uses it after this.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
}

// SAFETY: what the model maps is passed on.
unsafe impl KernelInterface for Process {
    fn is_emulated(&self) -> bool {
        true
    }

    fn open(&self, node: Node) -> io::Result<OwnedFd> {
        let fd = self.kernel.open(node)?;
        let link = behind(fd.as_raw_fd()).ok_or_else(io::Error::last_os_error)?;
        self.descriptors.lock().unwrap().push((fd.as_raw_fd(), link));
        Ok(fd)
    }

    unsafe fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()> {
        // SAFETY: the caller's promise is passed on as it is.
        unsafe { self.kernel.ioctl(fd, request, arg) }
    }

    fn map(&self, fd: BorrowedFd<'_>, length: usize) -> io::Result<memmap2::MmapRaw> {
        self.kernel.map(fd, length)
    }

    fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32) {
        self.kernel.ring_doorbell(usermode, token);
    }

    fn wait_event(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait> {
        self.kernel.wait_event(fd, timeout)
    }
}

#[test]
fn a_killed_client_leaves_nothing() {
    for in_flight in [false, true] {
        let machine = machine();
        let process = Arc::new(Process { kernel: machine.kernel.clone(), descriptors: Mutex::default() });
        let context = Context::new(Device::open(process.clone(), 0).unwrap()).unwrap();
        let engine = context.engines()[0];
        let options = DecoderOptions::on(engine).with_held_frames(20);
        let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
        if in_flight {
            machine.kernel.faults().stall(0, engine);
        }
        for nal in split_annex_b(find("x_size_202x150").data) {
            assert_eq!(decoder.send(Packet::unit(nal)).unwrap(), Sent::Accepted);
        }
        assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
        let downloader = Downloader::new(&context);
        let downloads: Vec<_> =
            std::iter::from_fn(|| decoder.receive()).map(|frame| downloader.start(frame).unwrap()).collect();
        if !in_flight {
            downloads.iter().for_each(|d| drop(d.wait().unwrap()));
        }
        let used = machine.kernel.usage();
        assert!(used.clients >= 1 && used.channels >= 2 && used.vidmem > 0 && used.sysmem > 0, "{used:?}");
        forget((decoder, context, downloads, downloader));
        process.kill();
        machine.kernel.faults().resume(0, hcq::EngineType::of(hcq::EngineKind::Nvdec, 1).unwrap());
        assert_eq!(machine.kernel.usage(), Usage::default(), "work in flight: {in_flight}");
        // The machine is as good as new for the next.
        assert_eq!(play(&machine.context(), find("x_size_202x150").data).unwrap().len(), 10);
        machine.assert_empty("the next client");
    }
}

/// One client's end is not the other's.
#[test]
fn another_client_is_not_disturbed() {
    let machine = machine();
    let survivor = machine.context();
    let expected = play(&survivor, find("k_10b_tiles").data).unwrap();
    let before = machine.kernel.usage();
    let process = Arc::new(Process { kernel: machine.kernel.clone(), descriptors: Mutex::default() });
    let context = Context::new(Device::open(process.clone(), 0).unwrap()).unwrap();
    play(&context, find("k_10b_tiles").data).unwrap();
    context.copy_queue().unwrap().submit(&[], CopyCommands::new()).unwrap();
    forget(context);
    process.kill();
    assert_eq!(machine.kernel.usage(), before);
    assert!(play(&survivor, find("k_10b_tiles").data).unwrap() == expected);
    drop(survivor);
    machine.assert_empty("both");
}

/// Sessions come and go on one context, and what they held is the context's to keep or to give back: channels, one for
/// each engine that had a session and one for its copies, and memory, no more than the context says.
#[test]
fn sessions_come_and_go() {
    let machine = machine();
    let context = machine.context();
    let streams = ["x_wpp", "k_10b_tiles", "h_ra_cra"].map(|name| find(name).data);
    let session = |stream: &[u8]| {
        let mut player = Player::new(&context, DecoderOptions::default()).unwrap();
        player.play(stream).unwrap();
        // The last surface may still be on its way to being cleared.
        context.copy_queue().unwrap().queue().last_point().wait(LONG).unwrap();
    };
    session(streams[0]);
    let one = machine.kernel.usage();
    for _ in 0..20 {
        streams.iter().for_each(|stream| session(stream));
    }
    let after = machine.kernel.usage();
    assert_eq!(after.clients, one.clients);
    // A queue has an event, and so a descriptor, from the first wait that sleeps.
    assert!(after.descriptors <= one.descriptors + after.channels, "{} descriptors", after.descriptors);
    assert!(after.channels <= 1 + 2 * context.engines().len());
    assert_eq!(after.vidmem, context.kept_memory(Placement::Vidmem), "pictures of sessions that are gone");
    assert!(after.vidmem > 0 && context.reserved_memory() == 0);
    context.release_memory();
    let kept = [Placement::Vidmem, Placement::Sysmem].map(|placement| context.kept_memory(placement));
    assert_eq!((machine.kernel.usage().vidmem, kept), (0, [0, 0]));
    drop(context);
    machine.assert_empty("sessions");
}
