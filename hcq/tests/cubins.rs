//! Cubins, good and hostile, from the file to a launch that is checked.

use std::sync::Arc;

use hcq::kernel::emulated::{EmulatedKernel, GpuModel};
use hcq::{Arguments, ComputeCommands, Cubin, CubinError, Device, Error, Module, Placement};
use proptest::prelude::*;

const CUBIN: &[u8] = include_bytes!("kernels/cubin/kernels.sm_90.cubin");
const OTHER: &[u8] = include_bytes!("kernels/cubin/kernels.sm_80.cubin");

fn device() -> Device {
    Device::open(Arc::new(EmulatedKernel::new(GpuModel::h200()).unwrap()), 0).unwrap()
}

#[test]
fn what_a_cubin_says() {
    let cubin = Cubin::parse(CUBIN).unwrap();
    assert_eq!(cubin.architecture(), 90);
    let mut names: Vec<_> = cubin.kernels().iter().map(|kernel| kernel.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["constants", "fill", "reverse", "slow", "sum"]);
    // 256 words, and 1 KiB that the compiler of sm_90 counts as well.
    let sum = cubin.kernel("sum").unwrap();
    assert_eq!((sum.shared, sum.barriers, sum.parameters, sum.stack), (2048, 1, 16, 0));
    let fill = cubin.kernel("fill").unwrap();
    assert_eq!((fill.shared, fill.barriers, fill.parameters), (1024, 0, 16));
    assert!((1..=255).contains(&fill.registers));
}

#[test]
fn what_does_not_fit_is_named() {
    let device = device();
    let refused = |bytes: &[u8]| match Module::load(&device, bytes).unwrap_err() {
        Error::Cubin(error) => error,
        error => panic!("{error}"),
    };
    assert_eq!(refused(OTHER), CubinError::Architecture { cubin: 80, gpu: 90 });
    assert!(matches!(refused(b"no file"), CubinError::Malformed(_)));
    assert!(matches!(refused(&CUBIN[..CUBIN.len() / 2]), CubinError::Malformed(_)));
    let mut old = CUBIN.to_vec();
    old[7] = 0x33;
    assert!(matches!(refused(&old), CubinError::Abi { what: "EI_OSABI", .. }));
    let none = Module::load_any(&device, [OTHER, OTHER]).unwrap_err().to_string();
    assert!(none.contains("sm_90") && none.contains("sm_80, sm_80"), "{none}");
    assert!(Module::load_any(&device, [OTHER, CUBIN]).is_ok());
}

/// Looks at all kernels of a cubin as a caller does, up to a launch that is not submitted.
fn use_all(device: &Device, bytes: &[u8]) {
    let Ok(module) = Module::load(device, bytes) else { return };
    let memory = device.allocate(4096, Placement::Sysmem).unwrap();
    for info in module.cubin().kernels() {
        let Ok(kernel) = module.kernel(&info.name) else { continue };
        let _ = kernel.max_threads();
        let mut commands = ComputeCommands::new();
        for parameters in [16, info.parameters as usize] {
            let arguments = Arguments::new().structure(&vec![0; parameters], 8).and(&memory);
            // SAFETY: it is never submitted.
            let _ = unsafe { commands.launch(&kernel, [1, 1, 1], [256, 1, 1], 64, arguments) };
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever a few bytes are changed to, there is an answer and no panic.
    #[test]
    fn hostile_cubins_are_survived(changes in prop::collection::vec((0..CUBIN.len(), any::<u8>()), 1..6)) {
        thread_local!(static DEVICE: Device = device());
        let mut bytes = CUBIN.to_vec();
        changes.iter().for_each(|&(at, value)| bytes[at] = value);
        DEVICE.with(|device| use_all(device, &bytes));
    }

    /// The same where it hurts: headers, symbols, attributes.
    #[test]
    fn hostile_words_are_survived(at in 0..CUBIN.len() / 8, value in any::<u64>(), cut in 0..64usize) {
        thread_local!(static DEVICE: Device = device());
        let mut bytes = CUBIN[..CUBIN.len() - cut].to_vec();
        if let Some(word) = bytes.get_mut(8 * at..8 * at + 8) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        DEVICE.with(|device| use_all(device, &bytes));
    }
}
