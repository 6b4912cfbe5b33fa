//! A GPU, as C opens it.

use std::ffi::c_char;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nvdec::hcq::Exported;
use nvdec::{
    Context, DeviceBuffer, DeviceChoice, Downloader, EngineKind, EngineSet, EngineType, Fallback, OpenOptions,
};

use crate::result::{Failure, NVDEC_UNSUPPORTED, Result};
use crate::types::{NVDEC_UNLIMITED, nvdec_context_info, nvdec_context_options, nvdec_exported};

/// What a context and all that was made of it share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) downloader: Downloader,
}

/// Opens the GPU that the options name.
pub(crate) fn open(options: &nvdec_context_options, device: Option<&str>) -> Result<Arc<Shared>> {
    let device = device.map_or_else(|| DeviceChoice::from_env().map_err(Failure::from), choice)?;
    let fallback = match options.fallback {
        0 => Fallback::IfAbsent,
        1 => Fallback::Never,
        2 => Fallback::IfUnusable,
        other => return Err(Failure::invalid(format!("fallback: {other} is no nvdec_fallback"))),
    };
    let context = Context::open(OpenOptions::new(device).fallback(fallback))?;
    match options.memory_limit {
        0 => {}
        NVDEC_UNLIMITED => context.set_memory_limit(None),
        bytes => context.set_memory_limit(Some(bytes)),
    }
    let downloader = Downloader::new(&context);
    Ok(Arc::new(Shared { context, downloader }))
}

/// What the header has of memory that is exported, and the descriptor.
pub(crate) fn export(memory: &DeviceBuffer) -> Result<(nvdec_exported, OwnedFd)> {
    let Exported { fd, offset, length, size, .. } = memory.export()?;
    let told =
        nvdec_exported { size: 0, offset, bytes: length, allocation: size, fd: fd.as_raw_fd(), reserved: 0 };
    Ok((told, fd))
}

fn choice(text: &str) -> Result<DeviceChoice> {
    if text == "cuda" || text.starts_with("cuda:") {
        return Err(Failure::new(
            NVDEC_UNSUPPORTED,
            format!(
                "device {text:?}: this library takes no numbers of CUDA, and hands out no tensors of CUDA; take \"auto\" or \
                 \"nv:N\", and give CUDA the descriptor of nvdec_batch_export_fd"
            ),
        ));
    }
    text.parse().map_err(|error: nvdec::ParseDeviceError| Failure::invalid(format!("device: {error}")))
}

impl Shared {
    /// What the header has of it.
    pub(crate) fn info(&self) -> nvdec_context_info {
        let Shared { context, .. } = self;
        let device = context.device();
        nvdec_context_info {
            size: 0,
            allocated_memory: context.allocated_memory(),
            memory_limit: context.memory_limit().unwrap_or(NVDEC_UNLIMITED),
            engines: context.engines().iter().fold(0, |bits, engine| bits | 1 << engine.instance()),
            emulated: context.is_emulated().into(),
            name: letters(&device.name().unwrap_or_default()),
            driver: letters(&device.driver_version().to_string()),
            pci: letters(&device.info().pci_address()),
            generation: letters(context.class().generation),
        }
    }
}

/// The engines whose bits are set.
pub(crate) fn engine_set(bits: u32) -> EngineSet {
    let numbers = (0..u32::BITS).filter(|number| bits >> number & 1 == 1);
    numbers.filter_map(|number| EngineType::of(EngineKind::Nvdec, number)).collect()
}

/// `text` with zeros behind it; what does not fit is cut off.
pub(crate) fn letters<const N: usize>(text: &str) -> [c_char; N] {
    let end = (0..=text.len().min(N - 1)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let mut letters = [0; N];
    for (letter, byte) in letters.iter_mut().zip(text[..end].bytes()) {
        *letter = byte as c_char;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(letters::<4>("ab"), [97, 98, 0, 0]);
        assert_eq!(letters::<4>("abcdef"), [97, 98, 99, 0]);
        assert_eq!(letters::<4>("abé"), [97, 98, 0, 0]);
        assert_eq!(letters::<1>("é"), [0]);
    }

    #[test]
    fn a_device_of_cuda_is_refused_by_name() {
        for name in ["cuda", "cuda:0"] {
            let failure = choice(name).unwrap_err();
            assert_eq!(failure.result, NVDEC_UNSUPPORTED);
            assert!(failure.text.contains(name) && failure.text.contains("nvdec_batch_export_fd"));
        }
        assert_eq!(choice("nv:1").unwrap(), DeviceChoice::Nv(1));
        assert!(choice("gpu").unwrap_err().text.contains("\"gpu\" is none of"));
    }
}
