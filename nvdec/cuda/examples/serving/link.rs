//! Messages over a Unix socket: a line each, and descriptors with its first byte.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};

/// Descriptors of a message, at most.
const MOST: usize = 4;
/// Bytes of a message, at most.
const LONGEST: usize = 16 << 20;

/// One end.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    unread: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Link {
    pub(crate) fn new(stream: UnixStream) -> Link {
        Link { stream, unread: Vec::new(), descriptors: VecDeque::new() }
    }

    /// The same socket, for another thread to send on.
    pub(crate) fn sender(&self) -> Result<Link> {
        Ok(Link::new(self.stream.try_clone().map_err(Error::io("the socket"))?))
    }

    /// Ends it for both sides, so that those who wait for a message go on.
    pub(crate) fn close(&self) {
        // It may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    pub(crate) fn send(&self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Error::Options(format!("{} descriptors in a message", descriptors.len())));
        }
        let mut rest = &line[..];
        while !rest.is_empty() {
            let sent = sendmsg(&self.stream, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL);
            match sent {
                Ok(sent) => rest = &rest[sent..],
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(Error::io("sending")(error.into())),
            }
            control.clear();
        }
        Ok(())
    }

    /// The next message; `None` at the end.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let message = serde_json::from_slice(&self.unread[..end])?;
                self.unread.drain(..=end);
                return Ok(Some(message));
            }
            if self.unread.len() > LONGEST {
                return Err(Error::Protocol("sends a line without an end".into()));
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    fn read(&mut self) -> Result<bool> {
        let mut bytes = [0; 1 << 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                // Who was killed leaves this behind.
                Err(rustix::io::Errno::CONNRESET) => return Ok(false),
                got => break got.map_err(|error| Error::io("receiving")(error.into()))?.bytes,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if self.descriptors.len() > MOST {
            return Err(Error::Protocol("sends descriptors that nobody asked for".into()));
        }
        self.unread.extend_from_slice(&bytes[..got]);
        Ok(got > 0)
    }

    /// The first descriptor that came and was not taken.
    pub(crate) fn descriptor(&mut self) -> Result<OwnedFd> {
        self.descriptors.pop_front().ok_or_else(|| Error::Protocol("sent no descriptor".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn lines_and_descriptors_come_in_order() {
        let (here, there) = UnixStream::pair().unwrap();
        let (here, mut there) = (Link::new(here), Link::new(there));
        let path = std::env::temp_dir().join(format!("link-{}", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"the file").unwrap();
        // Longer than what is read at once.
        let long = vec![i64::MIN; 20_000];
        let sending = std::thread::spawn(move || {
            here.send(&long, &[file.as_fd()]).unwrap();
            here.send(&1, &[]).unwrap();
        });
        assert_eq!(there.receive::<Vec<i64>>().unwrap().unwrap(), vec![i64::MIN; 20_000]);
        assert_eq!(there.receive::<i32>().unwrap(), Some(1));
        let mut file = File::from(there.descriptor().unwrap());
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the file");
        sending.join().unwrap();
        assert_eq!(there.receive::<i32>().unwrap(), None);
        assert!(matches!(there.descriptor(), Err(Error::Protocol(_))));
    }

    #[test]
    fn nonsense_is_named() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"nonsense\n").unwrap();
        let mut there = Link::new(there);
        assert!(matches!(there.receive::<i32>(), Err(Error::Json(_))));
        there.close();
        assert!(matches!(there.receive::<i32>(), Ok(None) | Err(Error::Json(_))));
    }
}
