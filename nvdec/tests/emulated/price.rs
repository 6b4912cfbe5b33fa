//! What a video costs is known before it is decoded, and is what it costs then.

use std::path::PathBuf;
use std::sync::Arc;

use hcq::Device;
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, EngineKind, EngineSet, EngineType, Engines, Error, Video,
};

fn context() -> Arc<Context> {
    Context::new(Device::open(Arc::new(nvdec::emulated::h200().unwrap()), 0).unwrap()).unwrap()
}

fn video(name: &str) -> Video {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), name].iter().collect();
    Video::open(path).unwrap()
}

fn one_engine() -> DecoderOptions {
    let engine = EngineType::of(EngineKind::Nvdec, 1).unwrap();
    DecoderOptions::default().with_engines(Engines::Set(EngineSet::from_iter([engine])))
}

/// What a decoder says once it decodes.
fn decoded_with(context: &Arc<Context>, video: &Video, options: DecoderOptions) -> u64 {
    let mut decoder = Decoder::new(context, Codec::Hevc, options).unwrap();
    decoder.frames(video.select([0]).unwrap()).for_each(|frame| drop(frame.unwrap()));
    decoder.price().unwrap().total()
}

fn decoded(video: &Video, options: DecoderOptions) -> u64 {
    decoded_with(&context(), video, options)
}

#[test]
fn a_video_costs_what_its_decoder_says() {
    for name in
        ["containers/tests/data/plain.mp4", "containers/tests/data/transport.ts", "../tools/clips/x_wpp.hevc"]
    {
        let video = video(name);
        for options in [DecoderOptions::default().with_engines(Engines::All), one_engine()] {
            let context = context();
            let price = video.price(&context, options).unwrap();
            assert_eq!(price.total(), decoded(&video, options), "{name}");
            assert_eq!(context.reserved_memory(), 0);
        }
    }
}

#[test]
fn other_decoders_do_not_change_it() {
    let (context, video) = (context(), video("containers/tests/data/plain.mp4"));
    let options = DecoderOptions::default().with_engines(Engines::All);
    let alone = video.price(&context, options).unwrap();
    let others: Vec<Decoder> =
        (0..3).map(|_| Decoder::new(&context, Codec::Hevc, options).unwrap()).collect();
    assert_eq!(video.price(&context, options).unwrap(), alone);
    drop(others);
}

#[test]
fn where_memory_is_scarce_it_is_the_most_that_fits() {
    let (context, video) = (context(), video("containers/tests/data/plain.mp4"));
    let all = DecoderOptions::default().with_engines(Engines::All);
    let (one, many) = (video.price(&context, one_engine()).unwrap(), video.price(&context, all).unwrap());
    context.set_memory_limit(Some(many.total() - 1));
    let price = video.price(&context, all).unwrap();
    // Alone it has memory for one engine, beside others for its part of them.
    assert_eq!(decoded_with(&context, &video, all), one.total());
    let _other = Decoder::new(&context, Codec::Hevc, all).unwrap();
    assert_eq!(decoded_with(&context, &video, all), price.total());
    assert!(one.total() < price.total() && price.total() < many.total());
    context.set_memory_limit(Some(one.total()));
    assert_eq!(video.price(&context, all).unwrap(), one);
}

#[test]
fn what_cannot_be_decoded_has_no_price() {
    let options = DecoderOptions::default().with_max_luma_samples(1000);
    let refused = video("containers/tests/data/plain.mp4").price(&context(), options);
    assert!(matches!(refused, Err(Error::TooManySamples { .. })), "{refused:?}");
}
