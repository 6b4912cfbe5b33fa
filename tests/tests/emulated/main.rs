//! The bodies on the model of an H200, and what only a model can be made to do.

use hcq::kernel::emulated::GpuModel;
use hcq::{Device, EngineKind};
use nvdec_tests::{Backend, Machine, for_each_body};

mod exhaustion;
mod faults;
mod hostile;
mod lifetimes;
mod neighbours;
mod recovery;

fn machine() -> Machine {
    Machine::new(GpuModel::h200())
}

/// Runs a body and looks at what it left behind.
fn run(body: fn(&Backend)) {
    let machine = machine();
    body(&machine.backend());
    machine.assert_content("body");
    machine.assert_empty("body");
}

for_each_body!(run);

#[test]
fn block_linear_becomes_pitch() {
    run(nvdec_tests::bodies::copy::block_linear_becomes_pitch);
}

/// The model of the H200 has what the machine has: seven decoders, of which none is NVDEC0.
#[test]
fn engines_of_an_h200() {
    let machine = machine();
    let device = Device::open(machine.backend().kernel, 0).unwrap();
    let names =
        |kind| -> Vec<String> { device.engines_of(kind).unwrap().iter().map(ToString::to_string).collect() };
    let decoders = names(EngineKind::Nvdec);
    assert_eq!(decoders, ["NVDEC1", "NVDEC2", "NVDEC3", "NVDEC4", "NVDEC5", "NVDEC6", "NVDEC7"]);
    assert_eq!(names(EngineKind::Copy).len(), 5);
    assert!(device.name().unwrap().contains("H200"));
    assert_eq!(device.chip().unwrap().to_string(), "GH100");
}

/// Every generation whose launch descriptor is known runs kernels, each in its own way; the others say so.
#[test]
fn every_generation_runs_kernels() {
    for model in GpuModel::all() {
        let name = model.name.clone();
        let machine = Machine::new(model);
        let device = machine.backend().device();
        match hcq::Module::load_any(&device, nvdec_tests::kernels::CUBINS) {
            Ok(module) => {
                drop((module, device));
                nvdec_tests::bodies::compute::kernels_run(&machine.backend());
                nvdec_tests::bodies::compute::launches_do_not_mix(&machine.backend());
                nvdec_tests::bodies::compute::launches_are_lent(&machine.backend());
            }
            Err(error) => {
                drop(device);
                let text = error.to_string();
                assert!(text.contains("TURING_COMPUTE_A"), "{name}: {text}");
            }
        }
        machine.assert_content(&name);
        machine.assert_empty(&name);
    }
}

/// Every generation of the table takes a stream, each in its own way.
#[test]
fn every_generation_decodes() {
    for model in GpuModel::all() {
        let name = model.name.clone();
        let machine = Machine::new(model);
        let context = machine.context();
        for stream in ["k_10b_tiles", "x_wpp", "x_444_cqp"] {
            let stream = nvdec_tests::streams::find(stream);
            let shown =
                nvdec_tests::player::play(&context, stream.data).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!shown.is_empty());
        }
        drop(context);
        machine.assert_content(&name);
        machine.assert_empty(&name);
    }
}
