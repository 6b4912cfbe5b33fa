//! Decodes the first pictures of an Annex B file and prints every call to the kernel with its answer, from
//! opening the device to closing it.
//!
//! ```text
//! cargo run --release --example ioctl_trace -- clip.hevc [emulated]
//! ```

use std::sync::Arc;

use hcq::kernel::TracingKernel;
use hcq::{KernelInterface, LinuxKernel};
use nvdec::{Context, DecoderOptions, Downloader, HevcDecoder, Sent};

const PICTURES: u64 = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: ioctl_trace FILE [emulated]")?;
    let emulated = std::env::args().nth(2).is_some_and(|word| word == "emulated");
    let kernel: Arc<dyn KernelInterface> = match emulated {
        true => Arc::new(nvdec::emulated::h200()?),
        false => Arc::new(LinuxKernel::new()),
    };
    let kernel = TracingKernel::new(kernel);
    decode(&kernel, &std::fs::read(path)?)?;
    println!("# nvdec ioctl trace, version 1");
    for line in kernel.lines() {
        println!("{line}");
    }
    Ok(())
}

fn decode(kernel: &Arc<TracingKernel>, data: &[u8]) -> nvdec::Result<()> {
    let device = hcq::Device::open(kernel.clone(), 0)?;
    device.chip()?;
    device.name()?;
    for &engine in device.engines()? {
        // Sandboxes are known to refuse this one.
        let _ = device.engine_classes(engine);
    }
    let context = Context::new(device)?;
    let mut decoder = HevcDecoder::new(&context, DecoderOptions::default())?;
    let downloader = Downloader::new(&context);
    for nal in hevc::nal::split_annex_b(data) {
        assert_eq!(decoder.send_nal(nal, None)?, Sent::Accepted, "no frame is held");
        decoder.end_access_unit()?;
        while let Some(frame) = decoder.receive() {
            let number = frame.number();
            downloader.start(frame)?.wait()?;
            if number + 1 >= PICTURES {
                return decoder.finish();
            }
        }
    }
    decoder.finish()
}
