//! The GPU programs of this crate, as the compute engine of an emulated GPU runs them: found by their code, told by the
//! arguments that the launch gives, working in the GPU's memory.

use hcq::kernel::emulated::{EngineFault, Grid, KernelModel, Tlb};

use crate::tensor::kernels::CUBINS;
use crate::tensor::model::{self, Memory};
use crate::tensor::params::{ENTRY_8, ENTRY_16};

/// A model for each kernel of each architecture.
pub(super) fn models() -> Vec<KernelModel> {
    let of = |cubin: &[u8], entry: &str| {
        KernelModel::new(cubin, entry, convert)
            .unwrap_or_else(|error| panic!("a cubin of this crate: {error}"))
    };
    CUBINS.iter().flat_map(|cubin| [ENTRY_8, ENTRY_16].map(|entry| of(cubin, entry))).collect()
}

/// The memory of a launch. What the MMU refused is kept, since it is the channel's fault.
struct Seen<'a> {
    tlb: Tlb<'a>,
    fault: Option<EngineFault>,
}

impl Seen<'_> {
    fn note<E: Into<EngineFault>>(&mut self, outcome: Result<(), E>) -> Result<(), String> {
        outcome.map_err(|fault| {
            self.fault = Some(fault.into());
            "the MMU refused an access".to_owned()
        })
    }
}

impl Memory for Seen<'_> {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), String> {
        let outcome = self.tlb.read(address, bytes);
        self.note(outcome)
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), String> {
        let outcome = self.tlb.write(address, bytes);
        self.note(outcome)
    }
}

fn convert(grid: &Grid<'_>) -> Result<(), EngineFault> {
    let mut memory = Seen { tlb: grid.memory().tlb(), fault: None };
    let outcome = model::run(grid.params(), grid.entry(), &mut memory);
    outcome.map_err(|what| memory.fault.take().unwrap_or(EngineFault::Exception(what)))
}
