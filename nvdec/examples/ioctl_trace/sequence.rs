//! What is traced: everything that the driver asks the kernel for between opening the device and closing it.

use std::sync::Arc;

use hcq::kernel::TracingKernel;
use nvdec::{
    Codec, Context, ContextOptions, Decoder, DecoderOptions, Downloader, Engines, MemoryLimit, Packet, Sent,
};

const PICTURES: u64 = 2;

/// Looks at the device, decodes the first pictures of an Annex B stream, copies them to the host and closes
/// everything.
pub(crate) fn decode(kernel: &Arc<TracingKernel>, data: &[u8]) -> nvdec::Result<()> {
    let device = hcq::Device::open(kernel.clone(), 0)?;
    device.chip()?;
    device.name()?;
    for &engine in device.engines()? {
        // Sandboxes are known to refuse this one.
        let _ = device.engine_classes(engine);
    }
    // How much memory is free, which a limit goes by, is another answer each time.
    let options = ContextOptions::default().with_memory_limit(MemoryLimit::Unlimited);
    let context = Context::with_options(device, options)?;
    // One engine, so that the calls and their order do not depend on how fast pictures are.
    let options = DecoderOptions::default().with_engines(Engines::LeastBusy);
    let mut decoder = Decoder::new(&context, Codec::Hevc, options)?;
    let downloader = Downloader::new(&context);
    for nal in bitstream::split_annex_b(data) {
        assert_eq!(decoder.send(Packet::unit(nal))?, Sent::Accepted, "no frame is held");
        decoder.end_picture()?;
        while let Some(frame) = decoder.receive() {
            let number = frame.number();
            // A copy that waits for no engine needs no channel of its own.
            frame.status()?;
            downloader.start(frame)?.wait()?;
            if number + 1 >= PICTURES {
                return decoder.finish();
            }
        }
    }
    decoder.finish()
}
