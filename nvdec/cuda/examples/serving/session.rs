//! A producer and a consumer in another process, over a socket.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hcq::SharedWord;

use super::error::{Error, Result};
use super::link::Link;
use super::message::{Message, Reply};
use super::producer::Producer;

/// For so long the consumer may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// How it ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// Tensors that were submitted.
    pub(crate) submitted: u32,
    /// The consumer said that it has read all of them; else it is gone.
    pub(crate) is_finished: bool,
    pub(crate) seconds: f64,
}

/// What is known of the consumer.
#[derive(Default)]
struct Known {
    told: u32,
    is_finished: bool,
    is_gone: bool,
}

#[derive(Default)]
struct Consumer {
    known: Mutex<Known>,
    changed: Condvar,
    submitted: AtomicU32,
    /// Nothing waits for it any more.
    is_over: AtomicBool,
}

impl Consumer {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known());
        self.changed.notify_all();
    }

    /// Waits for messages, not for the GPU, until `enough` or the consumer is gone: then it is false.
    fn until(&self, enough: impl Fn(&Known) -> bool) -> Result<bool> {
        let waiting = |known: &mut Known| !enough(known) && !known.is_gone;
        let (known, timeout) = self
            .changed
            .wait_timeout_while(self.known(), SILENCE, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err(Error::Protocol("says nothing any more".into()));
        }
        Ok(enough(&known))
    }

    /// Reads what it says, to the end. If it is gone before it is finished, ends what waits for it.
    fn listen(&self, link: &mut Link, done: &SharedWord) -> Result<()> {
        loop {
            match link.receive::<Reply>() {
                Ok(Some(Reply::Told { number })) => self.change(|known| known.told = number),
                Ok(Some(Reply::Bye)) => {
                    self.change(|known| known.is_finished = true);
                    return Ok(());
                }
                Ok(None) | Err(Error::Io { .. }) => break,
                Ok(Some(Reply::Go { .. })) => {
                    self.change(|known| known.is_gone = true);
                    return Err(Error::Protocol("begins a second time".into()));
                }
                Err(error) => {
                    self.change(|known| known.is_gone = true);
                    return Err(error);
                }
            }
        }
        self.change(|known| known.is_gone = true);
        while !self.is_over.load(Ordering::Acquire) {
            Producer::release(done, self.submitted.load(Ordering::Acquire))?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Serves one consumer. When it is killed, what waits for it is let go on, and this returns as if nothing were amiss.
pub(crate) fn serve(producer: &mut Producer, stream: UnixStream) -> Result<Served> {
    let mut link = Link::new(stream);
    let sender = link.sender()?;
    let (description, descriptors) = producer.describe()?;
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    sender.send(&description, &borrowed)?;
    drop(descriptors);
    match link.receive()? {
        Some(Reply::Go { memory: None }) => {}
        Some(Reply::Go { memory: Some(given) }) => producer.take(&link.descriptor()?, given)?,
        other => return Err(Error::Protocol(format!("said {other:?} in the place of \"go\""))),
    }

    let consumer = Consumer::default();
    let done = producer.done().clone();
    let started = Instant::now();
    let outcome = std::thread::scope(|scope| {
        let listening = scope.spawn(|| consumer.listen(&mut link, &done));
        let outcome = produce(producer, &sender, &consumer, description.total, description.tensors as u32);
        consumer.is_over.store(true, Ordering::Release);
        sender.close();
        let heard = listening.join().unwrap_or_else(|_| Err(Error::Protocol("made a thread fail".into())));
        outcome.and_then(|is_finished| heard.map(|()| is_finished))
    });
    let is_finished = outcome?;
    Ok(Served { submitted: producer.number(), is_finished, seconds: started.elapsed().as_secs_f64() })
}

/// Whether the consumer took all.
fn produce(
    producer: &mut Producer,
    sender: &Link,
    consumer: &Consumer,
    total: u32,
    tensors: u32,
) -> Result<bool> {
    let say = |message: &Message| match sender.send(message, &[]) {
        // The listener sees it as well.
        Err(Error::Io { .. }) => Ok(()),
        sent => sent,
    };
    let mut is_there = true;
    for number in 1..=total {
        // What is waited for on the GPU was told to a stream before.
        is_there = consumer.until(|known| known.told + tensors >= number)?;
        if !is_there {
            break;
        }
        let submitted = producer.submit()?;
        consumer.submitted.store(submitted.number, Ordering::Release);
        say(&Message::Submitted(submitted))?;
    }
    if is_there {
        say(&Message::End)?;
        is_there = consumer.until(|known| known.is_finished)?;
    }
    // The listener lets go on what waits for somebody who is gone.
    producer.finish()?;
    Ok(is_there)
}
