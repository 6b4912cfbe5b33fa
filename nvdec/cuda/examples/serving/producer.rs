//! Makes tensors of a clip, again and again, behind those who read what was there before.

use std::io::Cursor;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hcq::{DeviceBuffer, Outside, Placement, SharedWord, SyncPoint, WordPoint};
use nvdec::tensor::{Dtype, TensorPool, TensorSpec};
use nvdec::{ByteStream, Codec, Context, Decoder, DecoderOptions, Frame, Frames};

use super::error::{Error, Result};
use super::message::{Description, Given, Submitted, VERSION, Words};
use super::options::Options;
use super::sums::sum;

type Stream = ByteStream<Cursor<Arc<[u8]>>>;

/// Bytes of the allocation of the words, and where they lie in it.
const WORDS: Words = Words { size: 4096, ready: 0, done: 64 };
/// Memory of tensors in the consumer's memory begins at multiples of this.
const ALIGNMENT: u64 = 256;
/// Work stands still for as long as a consumer needs, which may load its kernels first.
const STALL: Duration = Duration::from_secs(60);

/// A clip from its beginning.
fn stream(clip: &Arc<[u8]>) -> Stream {
    ByteStream::new(Cursor::new(clip.clone()))
}

fn frames(context: &Arc<Context>, clip: &Arc<[u8]>) -> Result<Frames<Decoder, Stream>> {
    Ok(Decoder::new(context, Codec::Hevc, DecoderOptions::default())?.into_frames(stream(clip)))
}

/// The clip once through, looked at by the host.
struct Once {
    /// [`sum`] of every picture.
    sums: Vec<i64>,
    shape: [usize; 4],
    dtype: Dtype,
    pool: TensorPool,
    memory: DeviceBuffer,
    picture_bytes: u64,
}

impl Once {
    fn through(
        context: &Arc<Context>,
        clip: &Arc<[u8]>,
        spec: &TensorSpec,
        (batch, tensors): (usize, usize),
    ) -> Result<Once> {
        let pool = TensorPool::new(context, spec, batch, tensors)?;
        let (mut sums, mut seen) = (Vec::new(), None);
        for tensor in frames(context, clip)?.into_tensors(&pool) {
            let tensor = tensor?;
            let [count, a, b, c] = tensor.shape();
            let (bytes, dtype) = (tensor.to_host()?, tensor.dtype());
            let picture_bytes = bytes.len() / count;
            sums.extend(bytes.chunks_exact(picture_bytes).map(|picture| sum(picture, dtype.bytes())));
            let memory = tensor.memory().0;
            let (.., first) =
                seen.get_or_insert_with(|| ([batch, a, b, c], dtype, picture_bytes as u64, memory.clone()));
            if !memory.same_allocation(first) {
                return Err(Error::Clip("has pictures of more than one size".into()));
            }
        }
        let (shape, dtype, picture_bytes, memory) =
            seen.ok_or_else(|| Error::Clip("has no picture".into()))?;
        Ok(Once { sums, shape, dtype, pool, memory, picture_bytes })
    }
}

/// Where tensors come to lie.
enum Target {
    /// In a pool of ours.
    Pool(TensorPool, DeviceBuffer),
    /// In memory that somebody gives.
    Given(TensorPool, Option<DeviceBuffer>),
}

pub(crate) struct Producer {
    context: Arc<Context>,
    clip: Arc<[u8]>,
    options: Options,
    frames: Frames<Decoder, Stream>,
    target: Target,
    words: DeviceBuffer,
    ready: SharedWord,
    done: SharedWord,
    description: Description,
    /// The last one that was submitted.
    number: u32,
    last: Option<SyncPoint>,
}

impl Producer {
    /// Decodes the clip once, for what it should be, and has memory for all that comes.
    pub(crate) fn new(context: &Arc<Context>, clip: Arc<[u8]>, options: &Options) -> Result<Producer> {
        context.set_stall_timeout(STALL);
        let once = Once::through(context, &clip, &options.spec, (options.batch, options.tensors))?;
        let (pictures, places) = (once.sums.len(), options.batch * options.tensors);
        if places.is_multiple_of(pictures) {
            let why = format!("has {pictures} pictures, of which {places} places always hold the same");
            return Err(Error::Clip(format!("{why}: what was not written would look right")));
        }
        let words = context.device().allocate(WORDS.size, Placement::Sysmem)?;
        let (ready, done) = (SharedWord::new(&words, WORDS.ready)?, SharedWord::new(&words, WORDS.done)?);
        ready.store(0)?;
        done.store(0)?;
        let [_, a, b, c] = once.shape;
        let tensor_bytes = (once.picture_bytes * options.batch as u64).next_multiple_of(ALIGNMENT);
        let description = Description {
            version: VERSION,
            pid: std::process::id(),
            spec: options.spec_text.clone(),
            dtype: format!("{:?}", once.dtype).to_lowercase(),
            shape: once.shape,
            strides: [a * b * c, b * c, c, 1],
            picture_bytes: once.picture_bytes,
            tensor_bytes,
            tensors: options.tensors,
            memory: None,
            words: WORDS,
            total: options.total(),
            expected: once.sums,
        };
        let target = match options.into {
            true => Target::Given(once.pool, None),
            false => Target::Pool(once.pool, once.memory),
        };
        let frames = frames(context, &clip)?;
        let (context, options, number, last) = (context.clone(), options.clone(), 0, None);
        Ok(Producer { context, clip, options, frames, target, words, ready, done, description, number, last })
    }

    /// What the other side is to be told, and the descriptors that go with it: of the words, and of the tensors.
    pub(crate) fn describe(&self) -> Result<(Description, Vec<OwnedFd>)> {
        let (mut description, words) = (self.description.clone(), self.words.export()?);
        description.words.size = words.size;
        let mut descriptors = vec![words.fd];
        if let Target::Pool(_, memory) = &self.target {
            let tensors = memory.export()?;
            description.memory = Some(tensors.size);
            descriptors.push(tensors.fd);
        }
        Ok((description, descriptors))
    }

    /// Takes the memory that tensors are to lie in.
    pub(crate) fn take(&mut self, descriptor: &OwnedFd, given: Given) -> Result<()> {
        let Target::Given(_, memory) = &mut self.target else {
            return Err(Error::Protocol("gives memory, which was not asked for".into()));
        };
        let wanted = self.description.tensor_bytes * self.description.tensors as u64;
        if given.offset.checked_add(wanted).is_none_or(|end| end > given.size) {
            let Given { size, offset } = given;
            return Err(Error::Protocol(format!("gives {size} bytes: too few for {wanted} at {offset}")));
        }
        let whole = self.context.device().import(descriptor, Some(given.size))?;
        *memory = Some(whole.slice(given.offset, wanted));
        Ok(())
    }

    /// The next frame: behind the last one comes the first one.
    fn frame(&mut self) -> Result<Frame> {
        for _ in 0..2 {
            if let Some(frame) = self.frames.next() {
                return Ok(frame?);
            }
            self.frames.go_on_with(stream(&self.clip));
        }
        Err(Error::Clip("has no picture any more".into()))
    }

    /// What is waited for before the memory of tensor `number` is written: that the one before it in its place was read.
    fn before(&self, number: u32) -> Option<WordPoint> {
        let earlier = number.checked_sub(self.description.tensors as u32).filter(|&earlier| earlier > 0);
        earlier.filter(|_| !self.options.ignore_done).map(|earlier| self.done.at(earlier))
    }

    /// Submits the next tensor and, behind it, what says that it is there.
    pub(crate) fn submit(&mut self) -> Result<Submitted> {
        let number = self.number.wrapping_add(1);
        let (offset, ready) = match self.target {
            Target::Pool(..) => self.fill_pool(number)?,
            Target::Given(..) => self.fill_given(number)?,
        };
        let signals = [self.ready.at(number)];
        let queue = self.context.compute_queue()?;
        let marked = loop {
            match queue.queue().mark_with(&ready, Outside { waits: &[], signals: &signals }) {
                Err(hcq::Error::QueueFull { .. }) => queue.queue().wait_for_room()?,
                marked => break marked?,
            }
        };
        (self.number, self.last) = (number, Some(marked));
        Ok(Submitted { number, offset })
    }

    fn fill_pool(&mut self, number: u32) -> Result<(u64, Vec<SyncPoint>)> {
        let frame = self.frame()?;
        let Target::Pool(pool, memory) = &self.target else {
            return Err(Error::Options("no pool".into()));
        };
        let memory = memory.clone();
        let mut tensor = pool.begin(&frame)?;
        tensor.push(&frame)?;
        while !tensor.is_full() {
            if !tensor.push(&self.frame()?)? {
                return Err(Error::Clip("has pictures of more than one size".into()));
            }
        }
        let tensor = tensor.finish()?;
        if !self.options.ignore_done {
            tensor.use_until_word(&self.done.at(number))?;
        }
        let (of, offset) = tensor.memory();
        if !of.same_allocation(&memory) {
            return Err(Error::Clip("has pictures of more than one size".into()));
        }
        Ok((offset, tensor.ready().to_vec()))
    }

    fn fill_given(&mut self, number: u32) -> Result<(u64, Vec<SyncPoint>)> {
        let Description { picture_bytes, tensor_bytes, tensors, .. } = self.description;
        let offset = u64::from((number - 1) % tensors as u32) * tensor_bytes;
        let waits: Vec<_> = self.before(number).into_iter().collect();
        let mut ready = Vec::new();
        for picture in 0..self.options.batch as u64 {
            let frame = self.frame()?;
            let Target::Given(pool, Some(memory)) = &self.target else {
                return Err(Error::Protocol("gave no memory".into()));
            };
            let place = memory.slice(offset + picture * picture_bytes, picture_bytes);
            // Each on its own: conversions are not ordered among each other.
            let outside = Outside { waits: &waits, signals: &[] };
            ready.push(pool.converter().convert_with(&frame, &place, None, &[], outside)?);
        }
        Ok((offset, ready))
    }

    /// The last tensor that was submitted.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Ends, as the host, waits for somebody who is no more. To be called until nothing waits: what he told his GPU may
    /// still write the word for a time.
    pub(crate) fn release(done: &SharedWord, submitted: u32) -> Result<()> {
        // Far ahead, and not as far as a circle's half.
        Ok(done.store(submitted.wrapping_add(1 << 30))?)
    }

    pub(crate) fn done(&self) -> &SharedWord {
        &self.done
    }

    /// Waits on the host until all that was submitted is over.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if let Some(last) = &self.last {
            last.wait(hcq::Patience::WithoutProgress(STALL))?;
        }
        Ok(self.frames.decoder().finish()?)
    }

    /// Decodes the clip once more with memory of its own: how many pictures that are, and how many are not what they were.
    pub(crate) fn again(&self) -> Result<(usize, usize)> {
        let sizes = (self.options.batch, self.options.tensors);
        let sums = Once::through(&self.context, &self.clip, &self.options.spec, sizes)?.sums;
        let expected = &self.description.expected;
        let wrong = sums.iter().zip(expected).filter(|(a, b)| a != b).count();
        Ok((sums.len(), wrong + sums.len().abs_diff(expected.len())))
    }
}
