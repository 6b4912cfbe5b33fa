//! Open files of the model's device nodes.
//!
//! What `open` returns is one end of a socket pair of which the model keeps the other. That makes it a real
//! descriptor with the life of an open file: it can be polled, duplicated and passed on, and when the last
//! copy is closed the model's end reports a hang-up. State hangs on the file (device and inode), so every
//! duplicate of a descriptor shares it, as with a device node. Closed files are noticed at the next call of
//! any kind into the model.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::user::{self, FileId};
use crate::kernel::emulated::memory::physical::Memory;
use crate::kernel::emulated::sync::lock;
use crate::kernel::{EventWait, Node};

/// What a successful RM_MAP_MEMORY leaves for `mmap`.
#[derive(Clone, Debug)]
pub(crate) struct MapContext {
    pub(crate) memory: Arc<Memory>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    /// GPU whose registers these are.
    pub(crate) registers_of: Option<usize>,
}

/// Memory in a descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) memory: Arc<Memory>,
    /// Device instance of the GPU that it was exported from.
    pub(crate) instance: u32,
}

#[derive(Debug, Default)]
pub(crate) struct DescriptorState {
    /// The control descriptor that this one was registered to.
    pub(crate) linked: Option<u64>,
    /// The one mapping that a descriptor can carry.
    pub(crate) mapping: Option<MapContext>,
    /// Memory exported into the descriptor.
    pub(crate) export: Option<Export>,
    /// Memory that the descriptor is a dma-buf of: then it is nothing else, and no node.
    pub(crate) dma_buf: Option<Arc<Memory>>,
    /// OS events that were attached to it.
    pub(crate) os_events: Vec<OsEvent>,
}

/// An attached OS event: one per client, of the GPU that the client named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OsEvent {
    pub(crate) client: u32,
    pub(crate) gpu: Option<usize>,
}

impl DescriptorState {
    /// Whether `client` attached an OS event.
    pub(crate) fn has_event_of(&self, client: u32) -> bool {
        self.os_events.iter().any(|event| event.client == client)
    }
}

/// One open file.
#[derive(Debug)]
pub(crate) struct Descriptor {
    id: u64,
    file: FileId,
    node: Node,
    peer: UnixStream,
    /// The sticky event flag; while it is set, exactly one byte is in the socket.
    flag: Mutex<bool>,
    pub(crate) state: Mutex<DescriptorState>,
}

impl Descriptor {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn node(&self) -> Node {
        self.node
    }

    /// The descriptor whose clients this one speaks for.
    pub(crate) fn session(&self) -> u64 {
        lock(&self.state).linked.unwrap_or(self.id)
    }

    /// Raises the event flag.
    pub(crate) fn signal(&self) {
        let mut flag = lock(&self.flag);
        if !*flag {
            // The socket is empty, so the byte fits; if the other end is closed, no thread waits.
            *flag = user::send_byte(self.peer.as_fd());
        }
    }

    /// Makes every poll of the file report `POLLHUP`.
    fn hang_up(&self) {
        let _ = self.peer.shutdown(Shutdown::Both);
    }

    /// Clears the flag; whether it was set.
    fn consume(&self, fd: BorrowedFd<'_>) -> bool {
        let mut flag = lock(&self.flag);
        if *flag {
            // One byte is there, so this does not block.
            let _ = nix::unistd::read(fd, &mut [0; 1]);
        }
        std::mem::take(&mut *flag)
    }
}

/// All open files.
#[derive(Debug)]
pub(crate) struct Descriptors {
    table: Mutex<Table>,
    closed: Epoll,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<u64, Arc<Descriptor>>,
    /// The youngest open file with an inode: numbers are used again as soon as a file is closed.
    by_file: HashMap<FileId, u64>,
    last_id: u64,
}

impl Descriptors {
    pub(crate) fn new() -> io::Result<Descriptors> {
        Ok(Descriptors { table: Mutex::default(), closed: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    pub(crate) fn open(&self, node: Node) -> io::Result<OwnedFd> {
        let (user, peer) = UnixStream::pair()?;
        peer.set_nonblocking(true)?;
        let file = user::file_id(user.as_raw_fd()).expect("it was just opened");
        let mut table = lock(&self.table);
        table.last_id += 1;
        let id = table.last_id;
        self.closed.add(&peer, EpollEvent::new(EpollFlags::EPOLLRDHUP, id))?;
        let descriptor =
            Descriptor { id, file, node, peer, flag: Mutex::new(false), state: Mutex::default() };
        table.by_file.insert(file, id);
        table.open.insert(id, Arc::new(descriptor));
        Ok(user.into())
    }

    /// The open file behind a descriptor number of the caller.
    pub(crate) fn get(&self, fd: i32) -> Option<Arc<Descriptor>> {
        let file = user::file_id(fd)?;
        let table = lock(&self.table);
        table.by_file.get(&file).and_then(|id| table.open.get(id)).cloned()
    }

    /// Takes the descriptors that were closed since the last call out of the table.
    pub(crate) fn reap(&self) -> Vec<Arc<Descriptor>> {
        let mut gone = Vec::new();
        let mut events = [EpollEvent::empty(); 32];
        // Each round takes what it saw out of the set, so the loop ends.
        while let Ok(count @ 1..) = self.closed.wait(&mut events, EpollTimeout::ZERO) {
            let mut table = lock(&self.table);
            for event in &events[..count] {
                gone.extend(self.take(&mut table, event.data()));
            }
        }
        gone
    }

    fn take(&self, table: &mut Table, id: u64) -> Option<Arc<Descriptor>> {
        let descriptor = table.open.remove(&id)?;
        if table.by_file.get(&descriptor.file) == Some(&id) {
            table.by_file.remove(&descriptor.file);
        }
        let _ = self.closed.delete(&descriptor.peer);
        Some(descriptor)
    }

    /// Hangs up the descriptors of a lost GPU: those of its node, and those that its events were attached to.
    pub(crate) fn hang_up_events(&self, gpu: usize) {
        let mut table = lock(&self.table);
        let attached = |d: &Descriptor| {
            d.node == Node::Gpu(gpu as u32) || lock(&d.state).os_events.iter().any(|e| e.gpu == Some(gpu))
        };
        let events: Vec<u64> = table.open.values().filter(|d| attached(d)).map(|d| d.id).collect();
        for id in events {
            if let Some(descriptor) = self.take(&mut table, id) {
                descriptor.hang_up();
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.table).open.len()
    }

    /// See [`KernelInterface::wait_event`](crate::kernel::KernelInterface::wait_event).
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<EventWait> {
        let descriptor = self.get(fd.as_raw_fd());
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            // Rounded up: a wait of zero milliseconds would spin through the last one.
            let millis = i32::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
            let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN | PollFlags::POLLPRI)];
            match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => {
                    let flags = fds[0].revents().unwrap_or(PollFlags::empty());
                    if flags.intersects(PollFlags::POLLHUP | PollFlags::POLLNVAL | PollFlags::POLLERR) {
                        return Ok(EventWait::Lost);
                    }
                    // Another waiter may have taken the flag between the poll and here.
                    if descriptor.as_ref().is_some_and(|d| d.consume(fd)) {
                        return Ok(EventWait::Signalled);
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if start.elapsed() >= timeout {
                return Ok(EventWait::TimedOut);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn the_last_close_is_seen() {
        let all = Descriptors::new().unwrap();
        let fd = all.open(Node::Control).unwrap();
        let copy = fd.try_clone().unwrap();
        let id = all.get(copy.as_raw_fd()).unwrap().id();
        drop(fd);
        assert!(all.reap().is_empty(), "a duplicate is open");
        drop(copy);
        assert_eq!(all.reap().iter().map(|d| d.id()).collect::<Vec<_>>(), [id]);
        assert_eq!(all.count(), 0);
    }

    #[test]
    fn the_flag_is_sticky_and_ends_one_wait() {
        let all = Descriptors::new().unwrap();
        let fd = all.open(Node::Control).unwrap();
        let descriptor = all.get(fd.as_raw_fd()).unwrap();
        assert_eq!(all.wait(fd.as_fd(), SOON).unwrap(), EventWait::TimedOut);
        descriptor.signal();
        descriptor.signal();
        assert_eq!(all.wait(fd.as_fd(), SOON).unwrap(), EventWait::Signalled);
        assert_eq!(all.wait(fd.as_fd(), SOON).unwrap(), EventWait::TimedOut);
        descriptor.signal();
        assert_eq!(all.wait(fd.as_fd(), SOON).unwrap(), EventWait::Signalled);
    }

    #[test]
    fn a_hang_up_is_a_lost_gpu() {
        let all = Descriptors::new().unwrap();
        let fd = all.open(Node::Control).unwrap();
        lock(&all.get(fd.as_raw_fd()).unwrap().state).os_events.push(OsEvent { client: 1, gpu: Some(2) });
        all.hang_up_events(1);
        assert_eq!(all.wait(fd.as_fd(), SOON).unwrap(), EventWait::TimedOut);
        all.hang_up_events(2);
        assert_eq!(all.wait(fd.as_fd(), SOON).unwrap(), EventWait::Lost);
        assert!(all.reap().is_empty());
    }
}
