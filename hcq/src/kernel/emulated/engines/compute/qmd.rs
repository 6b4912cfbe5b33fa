//! [`Qmd`]: a launch descriptor, read and held to what its class and version allow.

use nvkernel_sys::bits::Field;

use super::class::ComputeClass;
use super::cubin::BANKS;
use super::layout::{At, Halves, Layout, ReleaseFields, Scaled};
use crate::kernel::emulated::memory::semaphore::SemaphoreRecord;

/// Registers of an SM. One block has to fit.
const REGISTERS: u32 = 65536;
/// Registers are given to a thread in eights.
const REGISTER_UNIT: u32 = 8;
const WARP: u32 = 32;
const MOST_THREADS: u64 = 1024;
const MOST_REGISTERS: u32 = 255;
const MOST_BARRIERS: u32 = 16;
/// Blocks in x, y and z.
const MOST_BLOCKS: [u32; 3] = [0x7fff_ffff, 0xffff, 0xffff];
/// Threads of a block in x, y and z.
const MOST_SIDES: [u32; 3] = [1024, 1024, 64];
const MOST_CONSTANTS: u32 = 64 << 10;
/// What shared memory is given in.
const SHARED_UNIT: u32 = 128;
/// What local memory is given in.
const LOCAL_UNIT: u32 = 16;

/// A constant bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bank {
    pub(crate) number: u32,
    pub(crate) address: u64,
    pub(crate) size: u32,
    /// What is cached of it is forgotten before the grid.
    pub(crate) invalidate: bool,
}

/// A semaphore to release when the grid has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) address: u64,
    pub(crate) payload: u64,
    pub(crate) record: SemaphoreRecord,
}

/// What a descriptor says, where its version does not matter any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Qmd {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) program: u64,
    pub(crate) registers: u32,
    pub(crate) barriers: u32,
    pub(crate) shared: u32,
    /// Local memory of a thread.
    pub(crate) local: u32,
    pub(crate) banks: Vec<Bank>,
    pub(crate) releases: Vec<Release>,
    pub(crate) invalidate_instructions: bool,
    pub(crate) invalidate_constants: bool,
}

/// A descriptor's bytes, with its version's table.
struct Reader<'a> {
    layout: &'static Layout,
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn at(&self, (field, index): At) -> u32 {
        // Fields of the tables lie within their structures, of which this is one; the tables' own tests say so.
        field.read(self.bytes, index).expect("the descriptor has the size of its table") as u32
    }

    fn get(&self, field: Field) -> u32 {
        self.at((field, 0))
    }

    fn is_set(&self, field: Field) -> bool {
        self.get(field) != 0
    }

    fn halves(&self, halves: &Halves, index: usize) -> u64 {
        let [lower, upper] = [halves.lower, halves.upper].map(|field| u64::from(self.at((field, index))));
        (upper << 32 | lower) << halves.shift
    }

    fn scaled(&self, scaled: &Scaled, index: usize) -> u32 {
        // The widest of them is 24 bits, and a shift 7 at most.
        self.at((scaled.field, index)) << scaled.shift
    }

    /// Bits that the table does not name have to be zero.
    fn check_reserved(&self) -> Result<(), String> {
        let table = self.layout.table;
        let mut named = vec![0u8; table.size];
        for field in table.fields {
            for index in 0..field.count.into() {
                let first = field.bit(index);
                (first..first + field.width() as usize).for_each(|bit| named[bit / 8] |= 1 << (bit % 8));
            }
        }
        let is_stray = |bit: &usize| self.bytes[bit / 8] & !named[bit / 8] & 1 << (bit % 8) != 0;
        let Some(first) = (0..8 * table.size).find(is_stray) else { return Ok(()) };
        let last = (first..8 * table.size).take_while(is_stray).last().unwrap_or(first);
        Err(format!("bits {last}:{first} are set, which {} does not name", table.name))
    }

    fn check_version(&self, class: &ComputeClass) -> Result<(), String> {
        let [major, minor] = self.layout.version.map(|(field, wanted)| (self.get(field), wanted));
        if major.0 == major.1 && minor.0 == minor.1 {
            return Ok(());
        }
        // Hopper was seen to take a descriptor of version 3 without a word, and to hang. That is what the engine is for:
        // to say why nothing came of it.
        Err(format!(
            "version {}.{} on {}, which takes {}.{} and hangs on others",
            major.0,
            minor.0,
            class.name(),
            major.1,
            minor.1
        ))
    }

    fn check_kind(&self) -> Result<(), String> {
        if let Some((field, kinds)) = self.layout.kind
            && !kinds.contains(&self.get(field))
        {
            return Err(format!("{} = {} is no plain grid", field.name, self.get(field)));
        }
        if let Some((field, group)) = self.layout.group
            && self.get(field) != group
        {
            return Err(format!("{} = {:#x}, not {group:#x}", field.name, self.get(field)));
        }
        for &field in self.layout.lacking {
            if let Some(index) = (0..field.count.into()).find(|&i| self.at((field, i)) != 0) {
                let value = self.at((field, index));
                return Err(format!("{}({index}) = {value:#x} is not modelled", field.name));
            }
        }
        Ok(())
    }

    /// The value of a field that has to lie within limits.
    fn within(&self, field: Field, least: u32, most: u32) -> Result<u32, String> {
        let value = self.get(field);
        match (least..=most).contains(&value) {
            true => Ok(value),
            false => Err(format!("{} = {value} is not within {least}..={most}", field.name)),
        }
    }

    fn sides(&self, fields: [Field; 3], most: [u32; 3]) -> Result<[u32; 3], String> {
        let [x, y, z] = [0, 1, 2].map(|i| self.within(fields[i], 1, most[i]));
        Ok([x?, y?, z?])
    }

    /// Shared memory of a block.
    fn shared(&self, class: &ComputeClass) -> Result<u32, String> {
        let name = self.layout.shared.field.name;
        let shared = self.scaled(&self.layout.shared, 0);
        if !shared.is_multiple_of(SHARED_UNIT) {
            return Err(format!("{name}: {shared} bytes are no multiple of {SHARED_UNIT}"));
        }
        let most = class.most_shared();
        if shared > most {
            return Err(format!(
                "{name}: {shared} bytes of shared memory, of which {} has {most}",
                class.name()
            ));
        }
        let mut carve_outs = [0; 3];
        for (field, kib) in self.layout.carve_out.into_iter().zip(&mut carve_outs) {
            let value = self.get(field);
            let coded =
                value.checked_sub(1).map(|quarter| quarter * 4).filter(|c| class.carve_outs.contains(c));
            *kib = coded
                .ok_or_else(|| format!("{} = {value} is no carve-out of {}", field.name, class.name()))?;
        }
        let [least, wanted, greatest] = carve_outs;
        if !(least <= wanted && wanted <= greatest) {
            return Err(format!(
                "SM_CONFIG_SHARED_MEM_SIZE: least {least} KiB, wanted {wanted}, greatest {greatest}"
            ));
        }
        // The SM may be configured with the least, and a block that does not fit would never start.
        if shared > least << 10 {
            let field = self.layout.carve_out[0].name;
            return Err(format!("{field}: {least} KiB hold no block with {shared} bytes of shared memory"));
        }
        Ok(shared)
    }

    fn local(&self) -> Result<u32, String> {
        let mut sum = 0u32;
        for scaled in &self.layout.local {
            let bytes = self.scaled(scaled, 0);
            if !bytes.is_multiple_of(LOCAL_UNIT) {
                return Err(format!("{}: {bytes} bytes are no multiple of {LOCAL_UNIT}", scaled.field.name));
            }
            sum += bytes;
        }
        Ok(sum)
    }

    fn bank(&self, number: u32) -> Result<Option<Bank>, String> {
        let fields = &self.layout.banks;
        let index = number as usize;
        if self.at((fields.valid, index)) == 0 {
            return Ok(None);
        }
        let bank = Bank {
            number,
            address: self.halves(&fields.address, index),
            size: self.scaled(&fields.size, index),
            invalidate: self.at((fields.invalidate, index)) != 0,
        };
        if !bank.address.is_multiple_of(64) || bank.size == 0 || bank.size > MOST_CONSTANTS {
            return Err(format!("constant bank {number}: {} bytes at {:#x}", bank.size, bank.address));
        }
        Ok(Some(bank))
    }

    fn release(&self, fields: &ReleaseFields) -> Result<Option<Release>, String> {
        if self.at(fields.enable) == 0 {
            return Ok(None);
        }
        let both = |[lower, upper]: [At; 2]| u64::from(self.at(upper)) << 32 | u64::from(self.at(lower));
        let record = match (self.at(fields.structure), self.at(fields.wide)) {
            (0, 0) => SemaphoreRecord::Stamped,
            (0, _) => SemaphoreRecord::StampedDoubleWord,
            (1, 0) => SemaphoreRecord::Word,
            (2, 1) => SemaphoreRecord::DoubleWord,
            (structure, wide) => {
                let (field, index) = fields.structure;
                return Err(format!("{}({index}) = {structure} with PAYLOAD64B = {wide}", field.name));
            }
        };
        Ok(Some(Release { address: both(fields.address), payload: both(fields.payload), record }))
    }
}

impl Qmd {
    /// Reads a descriptor of the version of `layout`, as long as its table says, for `class`; an error says which field
    /// is wrong.
    pub(crate) fn read(layout: &'static Layout, bytes: &[u8], class: &ComputeClass) -> Result<Qmd, String> {
        let reader = Reader { layout, bytes };
        reader.check_version(class)?;
        reader.check_reserved()?;
        reader.check_kind()?;
        let grid = reader.sides(layout.grid, MOST_BLOCKS)?;
        let block = reader.sides(layout.block, MOST_SIDES)?;
        let threads: u64 = block.into_iter().map(u64::from).product();
        if threads > MOST_THREADS {
            let [x, y, z] = block;
            return Err(format!("CTA_THREAD_DIMENSION: {x}x{y}x{z} threads are more than {MOST_THREADS}"));
        }
        let registers = reader.within(layout.registers, 1, MOST_REGISTERS)?;
        let warps = (threads as u32).div_ceil(WARP);
        let needed = registers.next_multiple_of(REGISTER_UNIT) * warps * WARP;
        if needed > REGISTERS {
            let name = layout.registers.name;
            return Err(format!("{name} = {registers}: {needed} for {threads} threads, of {REGISTERS}"));
        }
        let mut banks = Vec::new();
        for number in 0..BANKS {
            banks.extend(reader.bank(number)?);
        }
        let mut releases = Vec::new();
        for fields in layout.releases {
            releases.extend(reader.release(fields)?);
        }
        Ok(Qmd {
            grid,
            block,
            program: reader.halves(&layout.program, 0),
            registers,
            barriers: reader.within(layout.barriers, 0, MOST_BARRIERS)?,
            shared: reader.shared(class)?,
            local: reader.local()?,
            banks,
            releases,
            invalidate_instructions: reader.is_set(layout.invalidate_instructions),
            invalidate_constants: reader.is_set(layout.invalidate_constants),
        })
    }

    pub(crate) fn bank(&self, number: u32) -> Option<&Bank> {
        self.banks.iter().find(|bank| bank.number == number)
    }
}
