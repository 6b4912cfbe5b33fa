//! Copying from and to the caller: the pointers and descriptor numbers that ioctl arguments carry.
//!
//! The counterpart of the kernel's `copy_from_user` and `copy_to_user`. A user pointer is an address of this
//! very process, and [`KernelInterface::ioctl`](crate::kernel::KernelInterface::ioctl) obliges its caller to
//! pass only valid ones.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use nvkernel_sys::status::RmStatus;

/// Which file a descriptor number refers to: device and inode, the same for every duplicate of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// The file behind descriptor number `fd`; `None` if no such descriptor is open.
pub(crate) fn file_id(fd: i32) -> Option<FileId> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat takes any number and fails on those that are not open; it writes the whole struct when it
    // succeeds, and nothing is read otherwise.
    let stat = unsafe {
        if libc::fstat(fd, stat.as_mut_ptr()) != 0 {
            return None;
        }
        stat.assume_init()
    };
    Some(FileId { device: stat.st_dev, inode: stat.st_ino })
}

/// Sends one byte through a socket; whether it went. Never blocks, and raises no `SIGPIPE` in a host program.
pub(crate) fn send_byte(socket: BorrowedFd<'_>) -> bool {
    let byte = 1u8;
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: the pointer is to one live byte, and the descriptor is open for the length of the borrow.
    unsafe { libc::send(socket.as_raw_fd(), (&raw const byte).cast(), 1, flags) == 1 }
}

/// Copies `into.len()` bytes from user address `from`.
pub(crate) fn copy_in(from: u64, into: &mut [u8]) -> Result<(), RmStatus> {
    check(from, into.len())?;
    // SAFETY: the caller of the ioctl vouches for every pointer in its argument (contract of
    // `KernelInterface::ioctl`) for the size that the driver uses, which is `into.len()` here; `into` is
    // memory of this module's callers and never a user buffer.
    unsafe { std::ptr::copy_nonoverlapping(from as *const u8, into.as_mut_ptr(), into.len()) }
    Ok(())
}

/// Copies `bytes` to user address `to`.
pub(crate) fn copy_out(to: u64, bytes: &[u8]) -> Result<(), RmStatus> {
    check(to, bytes.len())?;
    // SAFETY: as in `copy_in`; the caller holds no reference to the target while the ioctl runs.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) }
    Ok(())
}

/// Copies `words` to user address `to`.
pub(crate) fn copy_words_out(to: u64, words: &[u32]) -> Result<(), RmStatus> {
    copy_out(to, zerocopy::IntoBytes::as_bytes(words))
}

/// What a kernel can tell without touching the memory: a null pointer, or a range beyond user space.
fn check(address: u64, length: usize) -> Result<(), RmStatus> {
    let end = address.checked_add(length as u64);
    if address == 0 || end.is_none_or(|end| end > 1 << 56) {
        return Err(RmStatus::NV_ERR_INVALID_ADDRESS);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn duplicates_are_the_same_file() {
        let (a, b) = UnixStream::pair().unwrap();
        let other = a.try_clone().unwrap();
        assert_eq!(file_id(a.as_raw_fd()), file_id(other.as_raw_fd()));
        assert_ne!(file_id(a.as_raw_fd()), file_id(b.as_raw_fd()));
        assert_eq!(file_id(-1), None);
    }

    #[test]
    fn copies_and_refuses_null() {
        let source = [1u8, 2, 3];
        let mut target = [0u8; 3];
        copy_in(source.as_ptr() as u64, &mut target).unwrap();
        assert_eq!(target, source);
        copy_out(target.as_mut_ptr() as u64, &[9, 9, 9]).unwrap();
        assert_eq!(target, [9, 9, 9]);
        assert_eq!(copy_in(0, &mut target), Err(RmStatus::NV_ERR_INVALID_ADDRESS));
        assert_eq!(copy_out(u64::MAX, &[0]), Err(RmStatus::NV_ERR_INVALID_ADDRESS));
    }
}
