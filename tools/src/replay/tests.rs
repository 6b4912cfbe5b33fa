//! Captures made on the emulated GPU, played there, and played with.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use hcq::kernel::emulated::{EmulatedKernel, GpuModel};
use hcq::{Device, EngineKind, EngineType};
use nvdec::{Context, DecoderOptions};
use nvkernel_sys::bits::Field;
use nvkernel_sys::video;

use super::capture::{Capture, CaptureWriter, Picture};
use super::player::Assignment;
use super::record::{CaptureRecorder, Recorded, record};
use super::run::{Replay, replay};
use crate::exit::Failure;

mod container;
mod hostile;
mod play;
mod views;

/// A small stream of tools/clips or nvdec/tests/data.
fn stream(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.join("clips"), root.join("../nvdec/tests/data"), root.join("../tests/data")];
    let found = folders.iter().map(|folder| folder.join(format!("{name}.hevc"))).find(|path| path.is_file());
    std::fs::read(found.unwrap_or_else(|| panic!("no stream {name}"))).unwrap()
}

fn machine() -> (EmulatedKernel, Arc<Context>) {
    machine_with(GpuModel::h200())
}

fn machine_with(gpu: GpuModel) -> (EmulatedKernel, Arc<Context>) {
    let kernel = nvdec::emulated::attach(EmulatedKernel::builder().gpu(gpu)).build().unwrap();
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    (kernel, context)
}

/// Records a stream, to `frames` pictures or its end, on one engine or on all.
fn record_with(stream: &[u8], engine: Option<EngineType>, frames: Option<u64>) -> (Vec<u8>, Recorded) {
    record_on(&machine().1, stream, engine, frames)
}

fn record_on(
    context: &Arc<Context>,
    stream: &[u8],
    engine: Option<EngineType>,
    frames: Option<u64>,
) -> (Vec<u8>, Recorded) {
    let recorder = CaptureRecorder::new(context, Vec::new(), "folder/stream.hevc").unwrap();
    let options = engine.map_or_else(DecoderOptions::default, DecoderOptions::on);
    let mut source = Cursor::new(stream);
    let (recorded, bytes) =
        record(context, options, &recorder, "stream.hevc", &mut source, frames, &mut |_, _| ()).unwrap();
    (bytes, recorded)
}

fn recording(name: &str) -> Capture {
    open(record_with(&stream(name), Some(engine(1)), None).0)
}

fn engine(number: u32) -> EngineType {
    EngineType::of(EngineKind::Nvdec, number).unwrap()
}

fn open(bytes: Vec<u8>) -> Capture {
    try_open(bytes).unwrap_or_else(|failure| panic!("{failure}"))
}

fn try_open(bytes: Vec<u8>) -> Result<Capture, Failure> {
    Capture::read("test.nvcap", Box::new(Cursor::new(bytes)))
}

fn play(capture: &Capture, assignment: Assignment) -> Result<Replay, Failure> {
    let (kernel, context) = machine();
    let replay = replay(&context, capture, assignment, false, &mut |_| ());
    let log = kernel.log();
    assert!(log.is_empty(), "{log:?}");
    replay
}

/// A picture that is being changed: what it says, and what its methods point at.
struct Draft<'a> {
    picture: &'a mut Picture,
    data: Vec<(u32, Vec<u8>)>,
}

impl Draft<'_> {
    fn data(&mut self, method: u32) -> &mut Vec<u8> {
        &mut self.data.iter_mut().find(|(known, _)| *known == method).expect("the method is sent").1
    }

    fn get(&mut self, field: Field, index: usize) -> i64 {
        field.read(self.data(video::SET_DRV_PIC_SETUP_OFFSET), index).unwrap()
    }

    fn set(&mut self, field: Field, index: usize, value: i64) {
        field.write(self.data(video::SET_DRV_PIC_SETUP_OFFSET), index, value).unwrap();
    }
}

/// The capture with pictures changed, whole and with right checksums.
fn change(capture: &Capture, mut edit: impl FnMut(usize, &mut Draft<'_>)) -> Vec<u8> {
    let mut writer = CaptureWriter::new(Vec::new(), capture.head()).unwrap();
    for number in 0..capture.nal_unit_count() {
        writer.nal_unit(&capture.nal_unit(number).unwrap()).unwrap();
    }
    for (index, original) in capture.pictures().iter().enumerate() {
        let mut picture = original.clone();
        let methods: Vec<u32> = picture.methods.iter().map(|m| m.method).collect();
        let data = methods
            .into_iter()
            .filter_map(|method| Some((method, capture.data(original, method).unwrap()?)))
            .collect();
        let sums = original.hashes.as_ref().map(|hashes| capture.blob(hashes.blocks).unwrap());
        let mut draft = Draft { picture: &mut picture, data };
        edit(index, &mut draft);
        let data = draft.data;
        for (method, data) in data {
            if let Some(record) = picture.methods.iter_mut().find(|m| m.method == method) {
                record.to = writer.data(&data).unwrap();
            }
        }
        if let (Some(hashes), Some(sums)) = (&mut picture.hashes, sums) {
            hashes.blocks = writer.blob(&sums).unwrap();
        }
        writer.picture(&picture).unwrap();
    }
    writer.finish(None).unwrap()
}
