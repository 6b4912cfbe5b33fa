//! Decodes the first pictures of an Annex B file and prints every call to the kernel with its answer, from
//! opening the device to closing it.
//!
//! ```text
//! cargo run --release --example ioctl_trace -- clip.hevc [emulated]
//! ```

mod sequence;

use std::sync::Arc;

use hcq::kernel::TracingKernel;
use hcq::{KernelInterface, LinuxKernel};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: ioctl_trace FILE [emulated]")?;
    let emulated = std::env::args().nth(2).is_some_and(|word| word == "emulated");
    let kernel: Arc<dyn KernelInterface> = match emulated {
        true => Arc::new(nvdec::emulated::h200()?),
        false => Arc::new(LinuxKernel::new()),
    };
    let kernel = TracingKernel::new(kernel);
    sequence::decode(&kernel, &std::fs::read(path)?)?;
    println!("# nvdec ioctl trace, version 1");
    for line in kernel.lines() {
        println!("{line}");
    }
    Ok(())
}
