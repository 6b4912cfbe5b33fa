//! The bodies on a GPU of this machine. Without one, each test says that it was skipped.

use std::sync::Arc;

use hcq::{EngineKind, LinuxKernel};
use nvdec_tests::{Backend, for_each_body};

/// The machine's driver, if it has a GPU that decodes.
fn hardware() -> Result<Backend, String> {
    let backend = Backend { kernel: Arc::new(LinuxKernel::new()), recorder: None };
    let device = hcq::Device::open(backend.kernel.clone(), 0).map_err(|e| e.to_string())?;
    match device.engines_of(EngineKind::Nvdec) {
        Ok(engines) if !engines.is_empty() => Ok(backend),
        Ok(_) => Err("the GPU has no NVDEC engine".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn run(body: fn(&Backend)) {
    match hardware() {
        Ok(backend) => body(&backend),
        Err(reason) => println!("skipped: {reason}"),
    }
}

for_each_body!(run);

#[test]
fn block_linear_becomes_pitch() {
    run(nvdec_tests::bodies::copy::block_linear_becomes_pitch);
}
