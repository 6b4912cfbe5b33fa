//! GPUs, what they say of themselves, and what they have.

use hcq::{Device, EngineKind, Error, enumerate};
use nvdec::Priority;
use nvdec::class::VIDEO_CLASSES;
use nvkernel_sys::class;

use crate::Backend;

/// Every GPU opens and has a name, a chip and a PCI address.
pub fn is_described(on: &Backend) {
    let gpus = enumerate(on.kernel.clone()).unwrap();
    assert!(!gpus.is_empty());
    for (i, gpu) in gpus.iter().enumerate() {
        assert_eq!(gpu.index, i);
        let device = Device::open(on.kernel.clone(), i).unwrap();
        assert_eq!(device.info(), *gpu);
        assert_eq!(gpu.pci_id.0, 0x10de, "NVIDIA's vendor id");
        assert!(gpu.pci_address().len() >= 12, "{}", gpu.pci_address());
        assert!(!device.name().unwrap().is_empty());
        assert!(!device.chip().unwrap().to_string().is_empty());
        assert!(device.driver_version() >= nvkernel_sys::layout::OLDEST_SUPPORTED);
        assert_eq!(device.is_emulated(), on.kernel.is_emulated());
    }
}

/// Engines come in ascending order without repetition, and there is a class for every kind that is used.
pub fn engines_are_listed(on: &Backend) {
    let device = on.device();
    for kind in [EngineKind::Copy, EngineKind::Nvdec] {
        let engines = device.engines_of(kind).unwrap();
        assert!(!engines.is_empty(), "no {kind:?}");
        assert!(engines.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(engines.iter().all(|e| e.kind() == kind && device.engines().unwrap().contains(e)));
    }
    for (what, table) in [
        ("copy", class::COPY_CLASSES),
        ("channel", class::CHANNEL_CLASSES),
        ("usermode", class::USERMODE_CLASSES),
        ("video", class::VIDEO_DECODER_CLASSES),
    ] {
        let picked = device.pick_class(what, table).unwrap();
        assert!(device.classes().unwrap().contains(&picked));
    }
    let context = on.context();
    assert!(VIDEO_CLASSES.contains(context.class()));
    assert_eq!(context.engines(), device.engines_of(EngineKind::Nvdec).unwrap());
}

/// GPUs, engines and classes that do not exist are errors that say what there is.
pub fn what_is_not_there_is_refused(on: &Backend) {
    let count = enumerate(on.kernel.clone()).unwrap().len();
    let error = Device::open(on.kernel.clone(), count).unwrap_err();
    assert!(matches!(error, Error::NoGpu(_)), "{error}");
    assert!(error.to_string().contains(&format!("the driver lists {count}")), "{error}");
    let device = on.device();
    let error = device.pick_class("teapot", &[0xdead]).unwrap_err();
    assert!(error.to_string().contains("teapot"), "{error}");
    let context = on.context();
    let absent = (0..8)
        .filter_map(|i| hcq::EngineType::of(EngineKind::Nvdec, i))
        .find(|e| !context.engines().contains(e));
    if let Some(absent) = absent {
        let error = context.video_queue(absent, Priority::Bulk).unwrap_err();
        assert!(error.is_unsupported());
        let text = error.to_string();
        assert!(
            text.contains(&absent.to_string()) && text.contains(&context.engines()[0].to_string()),
            "{text}"
        );
    }
}

/// The GPU's clock does not go back.
pub fn the_clock_runs(on: &Backend) {
    let device = on.device();
    let mut last = device.timestamp().unwrap();
    for _ in 0..1000 {
        let now = device.timestamp().unwrap();
        assert!(now >= last, "{now} after {last}");
        last = now;
    }
}

/// A GPU opened twice is two clients: closing one leaves the other's memory alone.
pub fn devices_are_independent(on: &Backend) {
    let (first, second) = (on.device(), on.device());
    let data = super::pattern(5000, 1);
    let kept = super::holding(&second, &data, hcq::Placement::Vidmem);
    let _gone = super::holding(&first, &data, hcq::Placement::Vidmem);
    drop((first, _gone));
    assert_eq!(super::bytes(&kept), data);
    drop(second);
    assert_eq!(super::bytes(&kept), data, "memory keeps its device open");
}
