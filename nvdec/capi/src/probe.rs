//! What there is on this machine, as JSON.

use std::sync::Arc;

use nvdec::hcq::{self, Device, KernelInterface, LinuxKernel};
use nvdec::{Codec, Context, EngineKind};
use serde_json::{Value, json};

use crate::types::NVDEC_ABI_VERSION;

const CODECS: [Codec; 8] =
    [Codec::Mpeg12, Codec::Mpeg4, Codec::Vc1, Codec::H264, Codec::Hevc, Codec::Vp8, Codec::Vp9, Codec::Av1];

/// The GPUs of this machine: what each is and decodes, or what keeps it from that.
pub(crate) fn json() -> String {
    let kernel: Arc<dyn KernelInterface> = Arc::new(LinuxKernel::new());
    let (gpus, error) = match hcq::enumerate(kernel.clone()) {
        Ok(found) => (found.iter().map(|gpu| look_at(&kernel, gpu.index)).collect(), Value::Null),
        Err(error) => (Vec::new(), Value::from(error.to_string())),
    };
    let emulated = cfg!(feature = "emulated");
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "version": version,
        "abi_version": NVDEC_ABI_VERSION,
        "has_emulated_gpu": emulated,
        "error": error,
        "gpus": gpus,
    })
    .to_string()
}

fn look_at(kernel: &Arc<dyn KernelInterface>, index: usize) -> Value {
    let device = format!("nv:{index}");
    let opened = Device::open(kernel.clone(), index).map_err(nvdec::Error::from).and_then(Context::new);
    match opened {
        Ok(context) => {
            let mut gpu = describe(&context);
            gpu["device"] = device.into();
            gpu
        }
        Err(error) => json!({ "device": device, "error": error.to_string() }),
    }
}

fn describe(context: &Context) -> Value {
    let device = context.device();
    let codecs = CODECS.into_iter().filter_map(|codec| {
        let can = context.capability(codec)?;
        // Other codecs have engines and no front end.
        let is_decoded = codec == Codec::Hevc;
        Some(json!({
            "codec": codec.name(),
            "is_decoded": is_decoded,
            "chroma": can.chroma.names(),
            "bit_depth": [can.depth.0, can.depth.1],
            "min": [can.min.0, can.min.1],
            "max": [can.max.0, can.max.1],
        }))
    });
    let engines = context.engines().iter().filter(|engine| engine.kind() == EngineKind::Nvdec);
    json!({
        "name": device.name().unwrap_or_default(),
        "driver": device.driver_version().to_string(),
        "pci": device.info().pci_address(),
        "generation": context.class().generation,
        "is_proven": context.class().proven,
        "engines": engines.map(|engine| engine.instance()).collect::<Vec<_>>(),
        "free_memory": device.free_memory().ok(),
        "codecs": codecs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_described() {
        let machine: Value = serde_json::from_str(&json()).unwrap();
        assert_eq!(machine["abi_version"], NVDEC_ABI_VERSION);
        // With a driver there are GPUs, without one there is the reason.
        assert_ne!(machine["error"].is_null(), machine["gpus"].as_array().unwrap().is_empty());
    }

    #[cfg(feature = "emulated")]
    #[test]
    fn a_gpu_is_described() {
        let context = Context::open(nvdec::DeviceChoice::Emulated).unwrap();
        let gpu = describe(&context);
        assert!(gpu["engines"].as_array().unwrap().len() > 1, "{gpu}");
        let hevc = gpu["codecs"].as_array().unwrap().iter().find(|codec| codec["codec"] == "HEVC").unwrap();
        assert_eq!(hevc["is_decoded"], true);
        assert_eq!(hevc["bit_depth"], json!([8, 12]));
    }
}
