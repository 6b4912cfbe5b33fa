//! A launch: what its descriptor points to is read, compared with the kernel that is found there, and run.

use super::ComputeEngine;
use super::cubin::Entry;
use super::kernels::Grid;
use super::qmd::Qmd;
use crate::kernel::emulated::engines::engine::EngineContext;
use crate::kernel::emulated::engines::fault::EngineFault;
use crate::kernel::emulated::memory::address_space::AddressSpace;

/// The shared memory window is as wide as this, and aligned to it.
const SHARED_WINDOW: u64 = 1 << 32;
/// The same of the local memory window.
const LOCAL_WINDOW: u64 = 1 << 24;
/// Bytes of code in a message.
const SHOWN: usize = 16;

/// Windows in the address space behind which generic addresses reach shared and local memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) shared: u64,
    pub(crate) local: u64,
}

impl Windows {
    /// Neither may be in the way of the other, or of anything that is mapped: code would reach shared memory instead.
    fn check(&self, memory: &AddressSpace) -> Result<(), String> {
        let windows = [("shared", self.shared, SHARED_WINDOW), ("local", self.local, LOCAL_WINDOW)];
        for (name, base, width) in windows {
            if base == 0 || !base.is_multiple_of(width) {
                return Err(format!(
                    "the {name} memory window at {base:#x} is no multiple of {width:#x} above 0"
                ));
            }
            if memory.maps_any_of(base, base.saturating_add(width)) {
                return Err(format!("memory is mapped in the {name} memory window at {base:#x}"));
            }
        }
        if self.local / SHARED_WINDOW == self.shared / SHARED_WINDOW {
            return Err(format!("the local memory window at {:#x} lies in the shared one", self.local));
        }
        Ok(())
    }
}

/// A value of the descriptor that the kernel needs to be larger.
fn at_least(entry: &Entry, field: &str, value: u32, least: u32) -> Result<(), String> {
    match value < least {
        true => Err(format!("{field} of {value} for kernel {}, which needs {least}", entry.name)),
        false => Ok(()),
    }
}

/// Code at an address, for a message.
fn unknown_code(program: u64, code: &[u8]) -> String {
    let hex: Vec<_> = code.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    let (length, hex) = (code.len(), hex.join(" "));
    format!("no model of the kernel at {program:#x} (code of {length} bytes begins with {hex})")
}

impl ComputeEngine {
    /// Runs the descriptor at `address`.
    pub(crate) fn launch(&mut self, context: &EngineContext<'_>, address: u64) -> Result<(), EngineFault> {
        let class = self.class;
        let refused = |why| EngineFault::Exception(format!("QMD at {address:#x}: {why}"));
        let Some(layout) = class.layout else {
            return Err(refused(format!("descriptors of {} are not modelled", class.name())));
        };
        let memory = context.memory();
        let windows = self.windows().map_err(refused)?;
        windows.check(memory).map_err(refused)?;
        let bytes = self.descriptors.read(memory, address, layout.table.size)?;
        let qmd = Qmd::read(layout, &bytes, class).map_err(refused)?;
        let banks = self.read_banks(memory, &qmd)?;
        let constants = banks.first().filter(|(number, _)| *number == 0);
        let constants = constants.ok_or_else(|| refused("constant bank 0 is not valid".into()))?;
        self.check_windows_of_code(windows, &constants.1).map_err(refused)?;

        if qmd.invalidate_instructions {
            self.instructions.invalidate();
        }
        let kernels = self.kernels.clone();
        let code = self.instructions.read_mapped(memory, qmd.program, kernels.longest().max(SHOWN))?;
        let model =
            kernels.find(&code, class.sms).ok_or_else(|| refused(unknown_code(qmd.program, &code)))?;
        let entry = &model.entry;
        self.check_entry(&qmd, entry, &banks).map_err(refused)?;
        let params = entry.params.start as usize..entry.params.end as usize;
        let grid = Grid {
            context,
            entry,
            grid_dim: qmd.grid,
            block_dim: qmd.block,
            dynamic_shared: qmd.shared - self.class.reserved_shared - entry.shared,
            // The bank is as large as the kernel needs it.
            params: &constants.1[params],
        };
        (model.run)(&grid)?;
        if context.is_cancelled() {
            return Ok(());
        }
        for release in &qmd.releases {
            context.release(release.address, release.payload, release.record)?;
        }
        Ok(())
    }

    /// The bytes of the valid constant banks, in ascending order.
    fn read_banks(&mut self, memory: &AddressSpace, qmd: &Qmd) -> Result<Vec<(u32, Vec<u8>)>, EngineFault> {
        if qmd.invalidate_constants {
            self.constants.invalidate();
        }
        let mut banks = Vec::new();
        for bank in &qmd.banks {
            if bank.invalidate {
                self.constants.invalidate_at(bank.address);
            }
            banks.push((bank.number, self.constants.read(memory, bank.address, bank.size as usize)?));
        }
        Ok(banks)
    }

    /// Code converts generic addresses by the bases that it finds in constant bank 0: they have to be those that the
    /// methods have set.
    fn check_windows_of_code(&self, windows: Windows, constants: &[u8]) -> Result<(), String> {
        for (name, offset, base) in [("shared", 0, windows.shared), ("local", 8, windows.local)] {
            let at = self.class.windows_at + offset;
            let found =
                constants.get(at..).and_then(|bytes| bytes.first_chunk()).map(|&b| u64::from_le_bytes(b));
            if found != Some(base) {
                let found = found.map_or("nothing".into(), |found| format!("{found:#x}"));
                return Err(format!(
                    "constant bank 0 has {found} at {at:#x} for the {name} memory window, which is at {base:#x}"
                ));
            }
        }
        Ok(())
    }

    /// What the cubin says that the kernel needs.
    fn check_entry(&self, qmd: &Qmd, entry: &Entry, banks: &[(u32, Vec<u8>)]) -> Result<(), String> {
        let class = self.class;
        if !class.sms.contains(&entry.sm) {
            return Err(format!("kernel {} is for sm_{}, not for {}", entry.name, entry.sm, class.name()));
        }
        if !qmd.program.is_multiple_of(entry.alignment) {
            let (name, alignment) = (&entry.name, entry.alignment);
            return Err(format!("kernel {name} at {:#x}, no multiple of {alignment}", qmd.program));
        }
        at_least(entry, "register count", qmd.registers, entry.registers)?;
        at_least(entry, "barrier count", qmd.barriers, entry.barriers)?;
        at_least(entry, "shared memory", qmd.shared, entry.shared.saturating_add(class.reserved_shared))?;
        at_least(entry, "local memory of a thread", qmd.local, entry.stack)?;
        let constants = qmd.bank(0).map_or(0, |bank| bank.size);
        at_least(entry, "size of constant bank 0", constants, entry.constants)?;
        for (number, wanted) in &entry.banks {
            let bank = banks.iter().find(|(bank, _)| bank == number);
            if !bank.is_some_and(|(_, bytes)| bytes.starts_with(wanted)) {
                return Err(format!("constant bank {number} is not that of kernel {}", entry.name));
            }
        }
        if qmd.local > 0 && !self.has_local_memory() {
            return Err(format!(
                "{} bytes of local memory, and SET_SHADER_LOCAL_MEMORY has set none",
                qmd.local
            ));
        }
        Ok(())
    }
}
