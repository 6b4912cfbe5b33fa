//! The producer of the example `serve` against a consumer on another device of the same emulated GPU: its copy queue does
//! what a stream of CUDA would.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use hcq::kernel::emulated::EmulatedKernel;
use hcq::{CopyCommands, CopyQueue, Device, DeviceBuffer, Outside, Placement, SharedWord};
use nvdec::Context;

#[path = "../examples/serving/mod.rs"]
#[allow(dead_code, reason = "the programs use the rest")]
mod serving;

use serving::link::Link;
use serving::message::{Description, Given, Message, Reply};
use serving::options::Options;
use serving::producer::Producer;
use serving::session::{Served, serve};
use serving::sums::sum;

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/h_ld_b.hevc");
const LONG: Duration = Duration::from_secs(120);

fn options(rest: &str) -> Options {
    let text = format!("--clip {CLIP} --spec size=48x32,dtype=f16 --batch 3 --tensors 2 {rest}");
    Options::parse(text.split_whitespace().map(str::to_owned)).unwrap()
}

fn producer(kernel: &EmulatedKernel, options: &Options) -> Producer {
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    Producer::new(&context, options.read_clip().unwrap(), options).unwrap()
}

/// What stands for CUDA.
struct Consumer {
    link: Link,
    queue: CopyQueue,
    description: Description,
    /// All tensors, and where in them the first one begins.
    memory: DeviceBuffer,
    start: u64,
    ready: SharedWord,
    done: SharedWord,
    /// A copy of each tensor, in order.
    copies: DeviceBuffer,
}

impl Consumer {
    fn meet(kernel: &EmulatedKernel, stream: UnixStream) -> Consumer {
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        let mut link = Link::new(stream);
        let description: Description = link.receive().unwrap().unwrap();
        let words = device.import(link.descriptor().unwrap(), Some(description.words.size)).unwrap();
        let word = |offset| SharedWord::new(&words, offset).unwrap();
        let (ready, done) = (word(description.words.ready), word(description.words.done));
        let (memory, start) = match description.memory {
            Some(size) => {
                let memory = device.import(link.descriptor().unwrap(), Some(size)).unwrap();
                link.send(&Reply::Go { memory: None }, &[]).unwrap();
                (memory, 0)
            }
            None => {
                // Tensors lie in the middle of it, as in a piece of PyTorch's.
                let memory = device.allocate(2 << 20, Placement::Vidmem).unwrap();
                let exported = memory.export().unwrap();
                let start = 1 << 20;
                let given = Given { size: exported.size, offset: start };
                link.send(&Reply::Go { memory: Some(given) }, &[exported.fd.as_fd()]).unwrap();
                (memory, start)
            }
        };
        let bytes = description.tensor_bytes * u64::from(description.total);
        let copies = device.allocate(bytes, Placement::Sysmem).unwrap();
        let queue = CopyQueue::new(&device, None).unwrap();
        Consumer { link, queue, description, memory, start, ready, done, copies }
    }

    /// Submits a copy of each tensor behind its word, and waits for none of them, until `last` was submitted.
    fn read(&mut self, last: u32) {
        while let Some(Message::Submitted(tensor)) = self.link.receive().unwrap() {
            let bytes = self.description.tensor_bytes;
            let from = self.memory.slice(self.start + tensor.offset, bytes);
            let to = self.copies.slice(u64::from(tensor.number - 1) * bytes, bytes);
            let mut commands = CopyCommands::new();
            commands.copy(&from, &to).unwrap();
            let (waits, signals) = ([self.ready.at(tensor.number)], [self.done.at(tensor.number)]);
            let outside = Outside { waits: &waits, signals: &signals };
            self.queue.submit_with(&[], outside, commands).unwrap();
            self.link.send(&Reply::Told { number: tensor.number }, &[]).unwrap();
            if tensor.number == last {
                return;
            }
        }
    }

    /// Waits for the copies; pictures that are wrong.
    fn wrong(&self) -> usize {
        self.queue.queue().mark().unwrap().wait(LONG).unwrap();
        let Description { expected, shape, picture_bytes, tensor_bytes, total, .. } = &self.description;
        let mut bytes = vec![0; self.copies.size() as usize];
        self.copies.view().unwrap().copy_out(0, &mut bytes);
        let tensors = bytes.chunks_exact(*tensor_bytes as usize).take(*total as usize);
        let pictures = tensors.flat_map(|tensor| tensor.chunks_exact(*picture_bytes as usize).take(shape[0]));
        pictures.zip(expected.iter().cycle()).filter(|(picture, sum_of)| sum(picture, 2) != **sum_of).count()
    }
}

/// The other side runs in a thread of its own.
fn served(rest: &str, consume: impl FnOnce(Consumer) + Send + 'static) -> (Served, Producer) {
    let kernel = nvdec::emulated::h200().unwrap();
    let mut producer = producer(&kernel, &options(rest));
    let (here, there) = UnixStream::pair().unwrap();
    let consumer = std::thread::spawn(move || consume(Consumer::meet(&kernel, there)));
    let served = serve(&mut producer, here).unwrap();
    consumer.join().unwrap();
    (served, producer)
}

fn read_all(mut consumer: Consumer) {
    let total = consumer.description.total;
    assert_eq!(consumer.description.shape, [3, 3, 32, 48]);
    assert!(!consumer.description.expected.is_empty() && consumer.description.dtype == "f16");
    consumer.read(total);
    assert_eq!(consumer.link.receive::<Message>().unwrap(), Some(Message::End));
    assert_eq!(consumer.wrong(), 0);
    consumer.link.send(&Reply::Bye, &[]).unwrap();
}

#[test]
fn all_tensors_of_a_clip_that_goes_round_are_right() {
    let (served, _) = served("--pictures 40", read_all);
    assert_eq!((served.submitted, served.is_finished), (14, true));
}

#[test]
fn tensors_are_written_to_memory_of_the_consumer() {
    let (served, _) = served("--pictures 40 --into", read_all);
    assert_eq!((served.submitted, served.is_finished), (14, true));
}

/// It promised to write `done` and never does.
#[test]
fn a_consumer_that_is_killed_holds_nothing_up() {
    for rest in ["--pictures 40", "--pictures 40 --into"] {
        let (served, producer) = served(rest, |mut consumer| {
            for _ in 0..4 {
                let Some(Message::Submitted(tensor)) = consumer.link.receive().unwrap() else {
                    panic!("it ended");
                };
                consumer.link.send(&Reply::Told { number: tensor.number }, &[]).unwrap();
            }
        });
        assert!(!served.is_finished && served.submitted >= 4, "{served:?}");
        let (pictures, wrong) = producer.again().unwrap();
        assert!(pictures > 0 && wrong == 0, "{wrong} of {pictures}");
    }
}

#[test]
fn memory_that_is_too_small_is_refused() {
    let kernel = nvdec::emulated::h200().unwrap();
    let mut producer = producer(&kernel, &options("--pictures 3 --into"));
    let device = Device::open(Arc::new(kernel), 0).unwrap();
    let exported = device.allocate(2 << 20, Placement::Vidmem).unwrap().export().unwrap();
    for (size, offset) in [(4096, 0), (2 << 20, (2 << 20) - 4096), (2 << 20, u64::MAX), (1 << 40, 0)] {
        let error = producer.take(&exported.fd, Given { size, offset });
        assert!(error.is_err(), "{size} at {offset}");
    }
}
