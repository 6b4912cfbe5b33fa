//! [`Written`]: a launch as the GPU reads it, which is changed into the next one. [`Lying`]: which launches the memory of a queue
//! still has.

use std::ops::Range;

use super::descriptor::{ALIGNMENT, BankLayout, Descriptor};
use super::launch::View;
use super::module::KernelId;
use super::{DESCRIPTOR_BYTES, LAUNCH_BYTES, bytes_of};
use crate::memory;

/// Addresses by which code reaches shared and local memory. Nothing may be mapped within 4 GiB from either, so both lie beyond
/// all addresses that memory has here. The values are tinygrad's.
pub(super) const SHARED_WINDOW: u64 = 0x7294_0000_0000;
pub(super) const LOCAL_WINDOW: u64 = 0x7293_0000_0000;
/// Where the stack of a thread ends in its local memory: as tinygrad has it.
const STACK_TOP: u64 = 0x00ff_fdc0;
/// Parameters are compared by words of so many bytes: a part of an address that has not changed yet will soon.
const WORD: usize = 8;

/// Descriptor and constant bank 0 of a launch. Launches of one kernel mostly differ by a few parameters and addresses alone, and
/// to write the fields that stay the same was nearly half of what the processor did for a launch.
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
    /// With the parameters of some launch before, where they do not vary.
    bank: Vec<u8>,
    /// The bytes of the parameters in which launches differed so far.
    varying: Range<usize>,
    /// Stands for all the rest: launches with the same number have that in common.
    number: u32,
}

impl Written {
    /// What `launch` comes to, less the address of its bank.
    pub(super) fn new(launch: &View<'_>, lying: &mut Lying) -> Written {
        let View { kernel, grid, block, shared, .. } = *launch;
        let (info, multiprocessor) = (kernel.info(), kernel.multiprocessor());
        let bank_bytes = info.bank.next_multiple_of(16);
        let mut bank = vec![0; bank_bytes as usize];
        fill_bank(&mut bank, &multiprocessor.bank, launch);
        put(&mut bank, info.parameters_at as usize, launch.parameters);
        let mut descriptor = kernel.template().clone();
        descriptor.set_grid(grid, block);
        descriptor.set_shared(multiprocessor.reserve + info.shared + shared, multiprocessor);
        descriptor.set_bank(0, 0, bank_bytes);
        let (kernel, number) = (kernel.id(), lying.number());
        Written { kernel, grid, block, shared, descriptor, bank_at: 0, bank, varying: 0..0, number }
    }

    /// Whether `launch` differs by parameters and address at most.
    pub(super) fn is_like(&self, launch: &View<'_>) -> bool {
        self.kernel.is_of(launch.kernel)
            && (self.grid, self.block, self.shared) == (launch.grid, launch.block, launch.shared)
    }

    /// Writes `launch`, which is like this one, to offset `at` of the queue's memory, seen as `view` and at `address` for the GPU.
    /// What lies there of a launch before is not written again: each line costs a write over the bus.
    pub(super) fn write(
        &mut self,
        launch: &View<'_>,
        (view, address): (memory::View<'_>, u64),
        at: u64,
        lying: &mut Lying,
    ) {
        let parameters_at = launch.kernel.info().parameters_at as usize;
        self.compare(launch.parameters, parameters_at, lying);
        let bank_at = at + DESCRIPTOR_BYTES;
        if lying.replace(self.number, at..at + bytes_of(launch.kernel)) {
            let varying = self.varying.clone();
            let to = bank_at as usize + parameters_at + varying.start;
            return view.copy_in(to, &launch.parameters[varying]);
        }
        put(&mut self.bank, parameters_at, launch.parameters);
        for part in launch.kernel.multiprocessor().bank.parts_read(self.bank.len()) {
            view.copy_in(bank_at as usize + part.start, &self.bank[part]);
        }
        self.descriptor.move_bank(0, self.bank_at, address + bank_at);
        self.bank_at = address + bank_at;
        view.copy_in(at as usize, self.descriptor.bytes());
    }

    /// Finds out which bytes vary, from the parameters of the next launch.
    fn compare(&mut self, parameters: &[u8], parameters_at: usize, lying: &mut Lying) {
        let before = &self.bank[parameters_at..][..parameters.len()];
        let Range { start, end } = self.varying;
        if before[..start] == parameters[..start] && before[end..] == parameters[end..] {
            return;
        }
        let words = before.chunks(WORD).zip(parameters.chunks(WORD)).enumerate();
        let differing = words.filter(|(_, (before, now))| before != now).map(|(at, _)| WORD * at);
        for at in differing {
            let end = (at + WORD).min(parameters.len());
            self.varying = match self.varying.is_empty() {
                true => at..end,
                false => at.min(self.varying.start)..end.max(self.varying.end),
            };
        }
        self.number = lying.number();
    }
}

/// What each unit of the memory for launches holds.
#[derive(Debug)]
pub(super) struct Lying {
    units: Vec<Unit>,
    /// The last number that was given to launches.
    number: u32,
}

/// A part of a launch with this number that begins at this offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unit {
    number: u32,
    start: u32,
}

impl Default for Lying {
    /// Of memory that holds nothing.
    fn default() -> Self {
        Lying { units: vec![Unit::default(); (LAUNCH_BYTES / ALIGNMENT) as usize], number: 0 }
    }
}

impl Lying {
    /// A number that is not among the units: the memory comes round long before they do.
    fn number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1).max(1);
        self.number
    }

    /// Notes that `range` is a launch with this number from now on, and says whether it was one before.
    fn replace(&mut self, number: u32, range: Range<u64>) -> bool {
        let unit = Unit { number, start: range.start as u32 };
        let units = &mut self.units[(range.start / ALIGNMENT) as usize..(range.end / ALIGNMENT) as usize];
        let lies_there = units.iter().all(|known| *known == unit);
        if !lies_there {
            units.fill(unit);
        }
        lies_there
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A launch lies in its place until anything else was written to any part of it.
    #[test]
    fn what_lies_in_memory() {
        let mut lying = Lying::default();
        let (first, second) = (lying.number(), lying.number());
        let mut replace = |number, start: u64, units: u64| {
            lying.replace(number, start * ALIGNMENT..(start + units) * ALIGNMENT)
        };
        assert!(!replace(first, 0, 4) && !replace(first, 4, 4));
        assert!(replace(first, 0, 4) && replace(first, 4, 4));
        // Over the end of the one and the beginning of the other.
        assert!(!replace(first, 2, 4) && replace(first, 2, 4));
        assert!(!replace(first, 0, 4) && !replace(first, 4, 4) && !replace(first, 2, 4));
        // Another one, of another length.
        assert!(!replace(second, 2, 3) && !replace(first, 2, 4) && !replace(second, 2, 3));
        assert!(replace(second, 2, 3));
        let units = LAUNCH_BYTES / ALIGNMENT;
        assert!(!replace(first, units - 4, 4) && replace(first, units - 4, 4));
    }
}
