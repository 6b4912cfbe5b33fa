//! Frames as tensors.

use std::sync::Arc;

use hcq::{CopyCommands, Placement};
use nvdec::tensor::{Converter, Dtype, Layout, Tensor, TensorPool, TensorSpec};
use nvdec::{Codec, Context, Decoder, DecoderOptions, Error, Frame, Units};

use crate::support::stream;

fn context() -> Arc<Context> {
    let kernel = nvdec::emulated::h200().unwrap();
    Context::new(hcq::Device::open(Arc::new(kernel), 0).unwrap()).unwrap()
}

fn decoder(context: &Arc<Context>) -> Decoder {
    Decoder::new(context, Codec::Hevc, DecoderOptions::default()).unwrap()
}

fn spec(text: &str) -> TensorSpec {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

/// All tensors of a stream, a few pictures each.
fn tensors(context: &Arc<Context>, name: &str, spec: &TensorSpec, pictures: usize) -> Vec<Tensor> {
    let pool = TensorPool::new(context, spec, pictures, 64).unwrap();
    let stream = stream(name);
    decoder(context)
        .into_frames(Units::new(&stream))
        .into_tensors(&pool)
        .map(|tensor| tensor.unwrap_or_else(|e| panic!("{e}")))
        .collect()
}

fn elements(tensors: &[Tensor]) -> Vec<u8> {
    tensors.iter().flat_map(|tensor| tensor.to_host().unwrap()).collect()
}

fn frames(context: &Arc<Context>, name: &str) -> Vec<Frame> {
    let stream = stream(name);
    let options = DecoderOptions::default().with_held_frames(64);
    let decoder = Decoder::new(context, Codec::Hevc, options).unwrap();
    decoder.into_frames(Units::new(&stream)).map(Result::unwrap).collect()
}

#[test]
fn a_batch_has_its_pictures_in_order() {
    let context = context();
    let all = tensors(&context, "h_ld_b", &spec("size=32x24,dtype=f16"), 3);
    let count: usize = all.iter().map(|tensor| tensor.pictures().len()).sum();
    let frames = frames(&context, "h_ld_b");
    assert_eq!(count, frames.len());
    for (tensor, frames) in all.iter().zip(frames.chunks(3)) {
        assert_eq!(tensor.shape(), [frames.len(), 3, 24, 32]);
        assert_eq!(tensor.strides(), [3 * 24 * 32, 24 * 32, 32, 1]);
        assert_eq!((tensor.dtype(), tensor.layout()), (Dtype::F16, Layout::Nchw));
        assert_eq!(tensor.to_host().unwrap().len(), frames.len() * 3 * 24 * 32 * 2);
        for (picture, frame) in tensor.pictures().iter().zip(frames) {
            assert_eq!((picture.poc(), picture.number()), (frame.poc(), frame.number()));
            assert!(picture.integrity().unwrap().is_exact());
        }
    }
}

/// Nothing depends on the size of a batch, the place in it, the kind of memory or the engines.
#[test]
fn how_it_is_asked_for_makes_no_difference() {
    let context = context();
    let spec = spec("size=40x30,dtype=f32,resize=bicubic");
    let one = elements(&tensors(&context, "h_ld_b", &spec, 1));
    for pictures in [2, 5, 64] {
        assert_eq!(elements(&tensors(&context, "h_ld_b", &spec, pictures)), one, "{pictures} a tensor");
    }
    let host = TensorPool::in_host_memory(&context, &spec, 2, 64).unwrap();
    let stream = stream("h_ld_b");
    let frames = decoder(&context).into_frames(Units::new(&stream)).into_tensors(&host);
    assert_eq!(elements(&frames.map(Result::unwrap).collect::<Vec<_>>()), one);
    for engine in &context.engines()[..2] {
        let decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::on(*engine)).unwrap();
        let pool = TensorPool::new(&context, &spec, 4, 64).unwrap();
        let tensors = decoder.into_frames(Units::new(&stream)).into_tensors(&pool);
        assert_eq!(elements(&tensors.map(Result::unwrap).collect::<Vec<_>>()), one, "{engine}");
    }
}

/// Memory goes round: each tensor is looked at before the next one is asked for.
#[test]
fn memory_is_used_again_behind_those_who_read() {
    let context = context();
    let spec = spec("size=64x48");
    let one = elements(&tensors(&context, "h_ld_b", &spec, 1));
    let pool = TensorPool::new(&context, &spec, 1, 2).unwrap();
    let stream = stream("h_ld_b");
    let copies = context.copy_queue().unwrap();
    let mut copied = Vec::new();
    for tensor in decoder(&context).into_frames(Units::new(&stream)).into_tensors(&pool) {
        let tensor = tensor.unwrap();
        // The handle goes long before the copy is made: the memory is not written again before that.
        let to = context.device().allocate(tensor.buffer().size(), Placement::Sysmem).unwrap();
        let to = to.slice(0, tensor.buffer().size());
        let mut commands = CopyCommands::new();
        commands.copy(&tensor.buffer(), &to).unwrap();
        let point = copies.submit(tensor.ready(), commands).unwrap();
        tensor.use_until(&point).unwrap();
        copied.push((to, point));
    }
    let mut all = Vec::new();
    for (buffer, point) in copied {
        point.wait(std::time::Duration::from_secs(60)).unwrap();
        let mut bytes = vec![0; buffer.size() as usize];
        buffer.view().unwrap().copy_out(0, &mut bytes);
        all.extend(bytes);
    }
    assert_eq!(all, one);
    assert_eq!(TensorPool::price(&spec, (416, 240), 1, 2).unwrap(), pool.memory().unwrap().size());
}

/// A caller that keeps tensors is told, loses no picture, and goes on.
#[test]
fn tensors_that_are_held_are_named() {
    let context = context();
    let spec = spec("size=16x16");
    let one = elements(&tensors(&context, "h_ld_b", &spec, 1));
    let pool = TensorPool::new(&context, &spec, 1, 2).unwrap();
    let stream = stream("h_ld_b");
    let source = decoder(&context).into_frames(Units::new(&stream)).into_tensors(&pool);
    let mut held: Vec<Tensor> = Vec::new();
    let (mut all, mut refusals) = (Vec::new(), 0);
    for tensor in source {
        match tensor {
            Ok(tensor) => held.push(tensor),
            Err(Error::TensorsHeld { tensors: 2, .. }) => {
                refusals += 1;
                all.extend(elements(&held));
                held.clear();
            }
            Err(error) => panic!("{error}"),
        }
    }
    all.extend(elements(&held));
    assert!(refusals > 0 && all == one);
}

/// Memory of the caller's, with strides of its own: a mosaic of one picture, its channels far apart.
#[test]
fn memory_of_the_callers() {
    let context = context();
    let frame = frames(&context, "h_ld_b").remove(0);
    let converter = Converter::new(&context, &spec("size=20x10")).unwrap();
    let dense = context.device().allocate(600, Placement::Sysmem).unwrap();
    converter.convert(&frame, &dense, None, &[]).unwrap().wait(std::time::Duration::from_secs(60)).unwrap();
    let mut plain = [0; 600];
    dense.view().unwrap().copy_out(0, &mut plain);

    let target = context.device().allocate(4096, Placement::Sysmem).unwrap();
    target.view().unwrap().fill(0, 4096, 0xee);
    let strides = [1200, 64, 3];
    let point = converter.convert(&frame, &target, Some(strides), &[]).unwrap();
    point.wait(std::time::Duration::from_secs(60)).unwrap();
    let mut bytes = [0; 4096];
    target.view().unwrap().copy_out(0, &mut bytes);
    let mut written = 0;
    for (c, y, x) in (0..3).flat_map(|c| (0..10).flat_map(move |y| (0..20).map(move |x| (c, y, x)))) {
        let at = c * 1200 + y * 64 + x * 3;
        assert_eq!(bytes[at], plain[c * 200 + y * 20 + x], "{c} {y} {x}");
        bytes[at] = 0xee;
        written += 1;
    }
    assert!(written == 600 && bytes.iter().all(|&byte| byte == 0xee), "wrote beside its elements");

    let refused = |strides, target: &hcq::DeviceBuffer| {
        converter.convert(&frame, target, strides, &[]).unwrap_err().to_string()
    };
    refused(Some([1, 64, 2]), &target);
    refused(Some([-200, 20, 1]), &target);
    refused(Some([i64::MAX, 20, 1]), &target);
    assert!(refused(None, &target.slice(0, 599)).contains("599"));
    let input = context.input(4096).unwrap().freeze();
    assert!(refused(None, input.buffer()).contains("only read"));
    let other = self::context().device().allocate(4096, Placement::Sysmem).unwrap();
    assert!(refused(None, &other).contains("GPU"));
}

#[test]
fn a_spec_that_does_not_fit_the_picture() {
    let context = context();
    let frame = frames(&context, "h_ld_b").remove(0);
    let error = |text: &str| Converter::new(&context, &spec(text)).unwrap().shape_of(&frame).unwrap_err();
    assert!(error("crop=400:0:100:100").to_string().contains("crop"));
    assert!(Converter::new(&context, &TensorSpec::new().size(0, 5)).is_err());
}
