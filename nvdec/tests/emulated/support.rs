//! Decoding a stream on an emulated machine, and an engine that tells other things than the driver did.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use hcq::kernel::emulated::{AddressSpace, EmulatedKernel, Engine, EngineContext, EngineFault};
use hcq::{Device, EngineKind, EngineType};
use md5::{Digest, Md5};
use nvdec::emulated::NvdecEngine;
use nvdec::{Codec, Context, Decoder, DecoderOptions, Download, Downloader, Error, Frame, Units};
use nvkernel_sys::bits::Field;
use nvkernel_sys::video::{self, hevc_pic};

/// Beside these tests, or among the situations that the programs are tested with.
fn path(name: &str, extension: &str) -> PathBuf {
    let folders = ["tests/data", "../tools/tests/data/field"];
    let paths = folders.map(|folder| {
        [env!("CARGO_MANIFEST_DIR"), folder, &format!("{name}.{extension}")].iter().collect::<PathBuf>()
    });
    paths.iter().find(|path| path.exists()).unwrap_or(&paths[0]).clone()
}

pub(crate) fn stream(name: &str) -> Vec<u8> {
    std::fs::read(path(name, "hevc")).unwrap()
}

/// MD5 of every output picture.
pub(crate) fn sums(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path(name, "hevc.framemd5")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

/// The MD5 of a frame's picture.
pub(crate) fn sum(downloader: &Downloader, frame: Frame) -> nvdec::Result<String> {
    let mut planes = Vec::new();
    downloader.start(frame)?.wait()?.write_planar(&mut planes);
    Ok(Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect())
}

/// What came out of a stream.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// MD5 of every picture, in output order.
    pub(crate) sums: Vec<String>,
    /// Errors of single pictures.
    pub(crate) errors: Vec<Error>,
    /// The error that ended it.
    pub(crate) fatal: Option<Error>,
}

/// Decodes a whole stream on the first GPU of `kernel`, on one engine if one is named.
pub(crate) fn decode(kernel: &EmulatedKernel, stream: &[u8], engine: Option<EngineType>) -> Decoded {
    let options = engine.map_or_else(DecoderOptions::default, DecoderOptions::on);
    let device = Device::open(Arc::new(kernel.clone()), 0);
    match device.map_err(Error::from).and_then(Context::new) {
        Ok(context) => decode_on(&context, stream, options, 2),
        Err(error) => Decoded { fatal: Some(error), ..Decoded::default() },
    }
}

/// Decodes a whole stream, with up to `held` frames on their way to the host.
pub(crate) fn decode_on(
    context: &Arc<Context>,
    stream: &[u8],
    options: DecoderOptions,
    held: usize,
) -> Decoded {
    let mut decoded = Decoded::default();
    if let Err(error) = run(context, stream, options, held, &mut decoded) {
        decoded.fatal = Some(error);
    }
    decoded
}

fn run(
    context: &Arc<Context>,
    stream: &[u8],
    options: DecoderOptions,
    held: usize,
    decoded: &mut Decoded,
) -> nvdec::Result<()> {
    let mut decoder = Decoder::new(context, Codec::Hevc, options)?;
    let downloader = Downloader::new(context);
    let mut pending = VecDeque::new();
    for frame in decoder.frames(Units::new(stream)) {
        pending.push_back(downloader.start(frame?)?);
        while pending.len() > held {
            finish(&mut pending, decoded)?;
        }
    }
    while !pending.is_empty() {
        finish(&mut pending, decoded)?;
    }
    decoder.finish()?;
    decoded.errors.extend(std::iter::from_fn(|| decoder.take_error()));
    Ok(())
}

fn finish(pending: &mut VecDeque<Download>, decoded: &mut Decoded) -> nvdec::Result<()> {
    let download = pending.pop_front().expect("one is on its way");
    let mut planes = Vec::new();
    download.wait()?.write_planar(&mut planes);
    decoded.sums.push(Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect());
    Ok(())
}

/// One picture on its way from the driver to the engine.
pub(crate) struct Execution<'a> {
    pub(crate) memory: &'a AddressSpace,
    /// Methods since the picture before.
    pub(crate) methods: Vec<(u32, u32)>,
    /// Pictures before this one, over all engines.
    pub(crate) number: usize,
}

impl Execution<'_> {
    /// Data of a method.
    pub(crate) fn method(&mut self, address: u32) -> &mut u32 {
        let found = self.methods.iter_mut().find(|(known, _)| *known == address);
        &mut found.unwrap_or_else(|| panic!("method {address:#x} was not sent")).1
    }

    /// The GPU address that a method gives.
    pub(crate) fn address(&mut self, method: u32) -> u64 {
        u64::from(*self.method(method)) << 8
    }

    fn descriptor(&mut self) -> (u64, [u8; hevc_pic::SIZE]) {
        let at = self.address(video::SET_DRV_PIC_SETUP_OFFSET);
        let mut bytes = [0; hevc_pic::SIZE];
        self.memory.read(at, &mut bytes).unwrap();
        (at, bytes)
    }

    /// An element of a descriptor field.
    pub(crate) fn get(&mut self, field: Field, index: usize) -> i64 {
        field.read(&self.descriptor().1, index).unwrap()
    }

    /// Changes an element of a descriptor field.
    pub(crate) fn set(&mut self, field: Field, index: usize, value: i64) {
        let (at, mut bytes) = self.descriptor();
        field.write(&mut bytes, index, value).unwrap();
        self.memory.write(at, &bytes).unwrap();
    }

    /// Changes `length` bytes that a method points at.
    pub(crate) fn patch(&mut self, method: u32, length: usize, change: impl FnOnce(&mut [u8])) {
        let at = self.address(method);
        let mut bytes = vec![0; length];
        self.memory.read(at, &mut bytes).unwrap();
        change(&mut bytes);
        self.memory.write(at, &bytes).unwrap();
    }

    /// The status in memory.
    pub(crate) fn status(&mut self) -> [u32; 14] {
        let at = self.address(video::SET_NVDEC_STATUS_OFFSET);
        std::array::from_fn(|i| self.memory.load_u32(at + 4 * i as u64).unwrap())
    }
}

type Hook = dyn Fn(&mut Execution<'_>) + Send + Sync;

/// An engine behind a liar: `before` sees a picture first, `after` when the engine is done with it.
struct Between {
    inner: NvdecEngine,
    methods: Vec<(u32, u32)>,
    number: Arc<Mutex<usize>>,
    before: Arc<Hook>,
    after: Arc<Hook>,
}

impl Engine for Between {
    fn class(&self) -> u32 {
        self.inner.class()
    }

    fn launches(&self, address: u32, value: u32) -> bool {
        self.inner.launches(address, value)
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        if address != video::EXECUTE {
            self.methods.push((address, value));
            return Ok(());
        }
        let number = {
            let mut number = self.number.lock().unwrap();
            *number += 1;
            *number - 1
        };
        let methods = std::mem::take(&mut self.methods);
        let mut execution = Execution { memory: context.memory(), methods, number };
        (self.before)(&mut execution);
        for &(address, value) in &execution.methods {
            self.inner.method(context, address, value)?;
        }
        self.inner.method(context, address, value)?;
        (self.after)(&mut execution);
        Ok(())
    }
}

/// An H200 between whose driver and engines `before` and `after` sit.
pub(crate) fn h200_with(
    before: impl Fn(&mut Execution<'_>) + Send + Sync + 'static,
    after: impl Fn(&mut Execution<'_>) + Send + Sync + 'static,
) -> EmulatedKernel {
    let (before, after): (Arc<Hook>, Arc<Hook>) = (Arc::new(before), Arc::new(after));
    let number = Arc::new(Mutex::new(0));
    let make = move |engine, class| -> Box<dyn Engine> {
        Box::new(Between {
            inner: NvdecEngine::new(engine, class),
            methods: Vec::new(),
            number: number.clone(),
            before: before.clone(),
            after: after.clone(),
        })
    };
    EmulatedKernel::builder().with_engine_factory(EngineKind::Nvdec, make).build().unwrap()
}
