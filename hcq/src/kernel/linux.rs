//! [`LinuxKernel`]: NVIDIA's kernel module behind `/dev/nvidiactl` and `/dev/nvidiaN`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;

use super::{EventWait, KernelInterface, Node, UsermodeRegisters};

/// The kernel interface of a machine with an NVIDIA driver.
#[derive(Debug, Default)]
pub struct LinuxKernel;

impl LinuxKernel {
    /// The interface; opens nothing.
    pub fn new() -> Self {
        LinuxKernel
    }
}

// SAFETY: `mmap` gives as many bytes as it is asked for, shared, for reading and writing, or fails.
unsafe impl KernelInterface for LinuxKernel {
    fn is_emulated(&self) -> bool {
        false
    }

    fn open(&self, node: Node) -> io::Result<OwnedFd> {
        // Never O_NONBLOCK: the driver's poll handler does not register non-blocking files with its wait
        // queue, so an event on one would wake nobody. Close-on-exec, because a child that keeps the
        // control fd keeps every object of the client alive.
        open(node.to_string().as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(io::Error::from)
    }

    unsafe fn ioctl(&self, fd: BorrowedFd<'_>, request: u32, arg: &mut [u8]) -> io::Result<()> {
        loop {
            // SAFETY: the kernel reads and writes exactly the size coded in `request`, which the callers
            // take from `arg`; pointers inside `arg` are the caller's obligation (trait contract).
            let rc = unsafe { libc::ioctl(fd.as_raw_fd(), libc::c_ulong::from(request), arg.as_mut_ptr()) };
            if rc >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    fn map(&self, fd: BorrowedFd<'_>, length: usize) -> io::Result<MmapRaw> {
        MmapOptions::new().len(length).map_raw(&fd)
    }

    fn ring_doorbell(&self, usermode: &UsermodeRegisters, token: u32) {
        usermode.ring(token);
    }

    fn wait_event(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait> {
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN | PollFlags::POLLPRI)];
        match ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None) {
            Ok(0) | Err(Errno::EINTR) => Ok(EventWait::TimedOut),
            Ok(_) => {
                let flags = fds[0].revents().unwrap_or(PollFlags::empty());
                if flags.intersects(PollFlags::POLLHUP | PollFlags::POLLNVAL) {
                    Ok(EventWait::Lost)
                } else {
                    Ok(EventWait::Signalled)
                }
            }
            Err(e) => Err(e.into()),
        }
    }
}
