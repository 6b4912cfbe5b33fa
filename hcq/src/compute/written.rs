//! [`Written`]: a launch as the GPU reads it, which is changed into the next one.

use super::descriptor::{BankLayout, Descriptor};
use super::launch::View;
use super::module::KernelId;

/// Addresses by which code reaches shared and local memory. Nothing may be mapped within 4 GiB from either, so both lie beyond
/// all addresses that memory has here. The values are tinygrad's.
pub(super) const SHARED_WINDOW: u64 = 0x7294_0000_0000;
pub(super) const LOCAL_WINDOW: u64 = 0x7293_0000_0000;
/// Where the stack of a thread ends in its local memory: as tinygrad has it.
const STACK_TOP: u64 = 0x00ff_fdc0;

/// Descriptor and constant bank 0 of a launch. Launches of one kernel mostly differ by parameters and addresses alone, and to
/// write the fields that stay the same was nearly half of what the processor did for a launch.
#[derive(Debug)]
pub(super) struct Written {
    /// It does not keep the kernel: a module is freed when those who launch it let go of it.
    kernel: KernelId,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    descriptor: Descriptor,
    /// Where the descriptor has the bank.
    bank_at: u64,
    bank: Vec<u8>,
}

impl Written {
    /// What `launch` comes to, less its parameters and the address of its bank.
    pub(super) fn new(launch: &View<'_>) -> Written {
        let View { kernel, grid, block, shared, .. } = *launch;
        let (info, multiprocessor) = (kernel.info(), kernel.multiprocessor());
        let bank_bytes = info.bank.next_multiple_of(16);
        let mut bank = vec![0; bank_bytes as usize];
        fill_bank(&mut bank, &multiprocessor.bank, launch);
        let mut descriptor = kernel.template().clone();
        descriptor.set_grid(grid, block);
        descriptor.set_shared(multiprocessor.reserve + info.shared + shared, multiprocessor);
        descriptor.set_bank(0, 0, bank_bytes);
        Written { kernel: kernel.id(), grid, block, shared, descriptor, bank_at: 0, bank }
    }

    /// Whether `launch` differs by parameters and address at most.
    pub(super) fn is_like(&self, launch: &View<'_>) -> bool {
        self.kernel.is_of(launch.kernel)
            && (self.grid, self.block, self.shared) == (launch.grid, launch.block, launch.shared)
    }

    /// The bank with the parameters of `launch`, which is like this one.
    pub(super) fn bank(&mut self, launch: &View<'_>) -> &[u8] {
        put(&mut self.bank, launch.kernel.info().parameters_at as usize, launch.parameters);
        &self.bank
    }

    /// The descriptor of a launch with its bank at `address`.
    pub(super) fn descriptor(&mut self, address: u64) -> &[u8] {
        self.descriptor.move_bank(0, self.bank_at, address);
        self.bank_at = address;
        self.descriptor.bytes()
    }
}

fn put(bank: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = bank.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// Writes what code finds in constant bank 0 besides its parameters.
fn fill_bank(bank: &mut [u8], layout: &BankLayout, launch: &View<'_>) {
    if let Some(at) = layout.dimensions {
        for (index, size) in launch.block.into_iter().chain(launch.grid).enumerate() {
            put(bank, at + 4 * index, &size.to_le_bytes());
        }
    }
    put(bank, layout.windows, &SHARED_WINDOW.to_le_bytes());
    put(bank, layout.windows + 8, &LOCAL_WINDOW.to_le_bytes());
    put(bank, layout.stack_top, &STACK_TOP.to_le_bytes());
}
