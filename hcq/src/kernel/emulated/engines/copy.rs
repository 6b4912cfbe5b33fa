//! The copy engine: pitch and block-linear transfers, remaps and semaphores.

use nvkernel_sys::class::HOPPER_DMA_COPY_A;
use nvkernel_sys::copy::{self, block_size, launch_dma, origin, set_remap_components};

use super::engine::{Engine, EngineContext};
use super::fault::EngineFault;
use crate::kernel::emulated::memory::address_space::Tlb;
use crate::kernel::emulated::memory::semaphore::{SemaphoreRecord, reduction};

/// Bytes of a line of a GOB.
const GOB_WIDTH: u64 = 64;
/// Lines of a GOB.
const GOB_HEIGHT: u64 = 8;
/// Bytes of a GOB.
const GOB_BYTES: u64 = GOB_WIDTH * GOB_HEIGHT;
/// Bytes that are contiguous within a GOB.
const SECTOR_BYTES: u64 = 16;
/// Bytes that are moved at a time. The parameters of a launch do not change it.
const CHUNK_BYTES: u64 = 64 << 10;
/// More than any GPU moves before the driver's context switch timeout ends it.
const LAUNCH_LIMIT: u64 = 256 << 30;
/// One past the highest register that is kept.
const REGISTER_END: usize = 0x800;

fn exception<T>(message: String) -> Result<T, EngineFault> {
    Err(EngineFault::Exception(message))
}

/// An object of a copy engine class.
pub(crate) struct CopyEngine {
    class: u32,
    registers: Box<[u32; REGISTER_END / 4]>,
}

impl CopyEngine {
    pub(crate) fn new(class: u32) -> CopyEngine {
        CopyEngine { class, registers: Box::new([0; REGISTER_END / 4]) }
    }

    fn get(&self, address: u32) -> u32 {
        self.registers[address as usize / 4]
    }

    fn set(&mut self, address: u32, value: u32) {
        if let Some(register) = self.registers.get_mut(address as usize / 4) {
            *register = value;
        }
    }

    /// The GPU address in a pair of registers, upper half first.
    fn address(&self, upper: u32) -> u64 {
        let bits = if self.class >= HOPPER_DMA_COPY_A { 25 } else { 17 };
        u64::from(self.get(upper) & ((1 << bits) - 1)) << 32 | u64::from(self.get(upper + 4))
    }

    fn launch(&mut self, context: &EngineContext<'_>, launch: u32) -> Result<(), EngineFault> {
        use launch_dma::*;
        match DATA_TRANSFER_TYPE.get(launch) {
            DATA_TRANSFER_TYPE_NONE => {}
            DATA_TRANSFER_TYPE_PIPELINED | DATA_TRANSFER_TYPE_NON_PIPELINED => {
                self.transfer(context, launch)?
            }
            other => return exception(format!("LAUNCH_DMA with data transfer type {other}")),
        }
        self.semaphore(context, launch)?;
        if INTERRUPT_TYPE.get(launch) != INTERRUPT_TYPE_NONE {
            context.raise_interrupt();
        }
        Ok(())
    }

    fn semaphore(&self, context: &EngineContext<'_>, launch: u32) -> Result<(), EngineFault> {
        use launch_dma::*;
        let address = self.address(copy::SET_SEMAPHORE_A);
        let low = self.get(copy::SET_SEMAPHORE_PAYLOAD);
        let wide = self.class >= HOPPER_DMA_COPY_A
            && SEMAPHORE_PAYLOAD_SIZE.get(launch) == SEMAPHORE_PAYLOAD_SIZE_TWO_WORD;
        let high = if wide { self.get(copy::SET_SEMAPHORE_PAYLOAD_UPPER) } else { 0 };
        let payload = u64::from(high) << 32 | u64::from(low);
        let kind = SEMAPHORE_TYPE.get(launch);
        if kind != SEMAPHORE_TYPE_NONE && SEMAPHORE_REDUCTION_ENABLE.get(launch) == 1 {
            let signed = SEMAPHORE_REDUCTION_SIGN.get(launch) == SEMAPHORE_REDUCTION_SIGN_SIGNED;
            return match reduction(SEMAPHORE_REDUCTION.get(launch), signed) {
                Some(f) if !wide => context.reduce(address, |old| f(old, low)),
                _ => exception(format!("LAUNCH_DMA {launch:#x} with an unknown semaphore reduction")),
            };
        }
        match (kind, wide) {
            (SEMAPHORE_TYPE_NONE, _) => Ok(()),
            (SEMAPHORE_TYPE_RELEASE_ONE_WORD_SEMAPHORE, false) => {
                context.release(address, payload, SemaphoreRecord::Word)
            }
            (SEMAPHORE_TYPE_RELEASE_ONE_WORD_SEMAPHORE, true) => {
                context.release(address, payload, SemaphoreRecord::DoubleWord)
            }
            (SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE, false) => {
                context.release(address, payload, SemaphoreRecord::Stamped)
            }
            (SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE, true) => {
                context.release(address, payload, SemaphoreRecord::StampedDoubleWord)
            }
            _ => exception(format!("LAUNCH_DMA {launch:#x} with semaphore type {kind}")),
        }
    }

    fn transfer(&self, context: &EngineContext<'_>, launch: u32) -> Result<(), EngineFault> {
        use launch_dma::*;
        if SRC_TYPE.get(launch) != SRC_TYPE_VIRTUAL || DST_TYPE.get(launch) != DST_TYPE_VIRTUAL {
            return exception("LAUNCH_DMA with physical addresses on an unprivileged channel".into());
        }
        let remap = match REMAP_ENABLE.get(launch) {
            REMAP_ENABLE_TRUE => Some(Remap::new(self)?),
            _ => None,
        };
        let (source_unit, target_unit) =
            remap.as_ref().map_or((1, 1), |r| (r.source_bytes(), r.target_bytes()));
        let source = Surface {
            address: self.address(copy::OFFSET_IN_UPPER),
            layout: match SRC_MEMORY_LAYOUT.get(launch) {
                SRC_MEMORY_LAYOUT_PITCH => Layout::Pitch(self.get(copy::PITCH_IN)),
                _ => Layout::Block(BlockLinear::new(self, &SOURCE_REGISTERS, source_unit)?),
            },
        };
        let target = Surface {
            address: self.address(copy::OFFSET_OUT_UPPER),
            layout: match DST_MEMORY_LAYOUT.get(launch) {
                DST_MEMORY_LAYOUT_PITCH => Layout::Pitch(self.get(copy::PITCH_OUT)),
                _ => Layout::Block(BlockLinear::new(self, &TARGET_REGISTERS, target_unit)?),
            },
        };
        let elements = u64::from(self.get(copy::LINE_LENGTH_IN));
        let lines = match MULTI_LINE_ENABLE.get(launch) {
            MULTI_LINE_ENABLE_TRUE => u64::from(self.get(copy::LINE_COUNT)),
            _ => 1,
        };
        let total = u128::from(elements) * u128::from(lines) * u128::from(source_unit.max(target_unit));
        if total > u128::from(LAUNCH_LIMIT) {
            return Err(EngineFault::Timeout(format!("LAUNCH_DMA of {lines} lines of {elements} elements")));
        }

        let step = (CHUNK_BYTES / source_unit.max(target_unit)).min(elements);
        let mut input = vec![0; (step * source_unit) as usize];
        let mut output = vec![0; if remap.is_some() { (step * target_unit) as usize } else { 0 }];
        let (mut from, mut to) = (context.memory().tlb(), context.memory().tlb());
        for line in 0..lines {
            let mut done = 0;
            while done < elements {
                if context.is_cancelled() {
                    return Ok(());
                }
                let count = step.min(elements - done);
                let input = &mut input[..(count * source_unit) as usize];
                if remap.as_ref().is_none_or(Remap::reads_source) {
                    source.read(&mut from, done * source_unit, line, input)?;
                }
                match &remap {
                    None => target.write(&mut to, done * target_unit, line, input)?,
                    Some(remap) => {
                        let output = &mut output[..(count * target_unit) as usize];
                        if remap.keeps_some() {
                            target.read(&mut from, done * target_unit, line, output)?;
                        }
                        remap.apply(input, output);
                        target.write(&mut to, done * target_unit, line, output)?;
                    }
                }
                done += count;
            }
        }
        Ok(())
    }
}

impl Engine for CopyEngine {
    fn class(&self) -> u32 {
        self.class
    }

    fn launches(&self, address: u32, _: u32) -> bool {
        address == copy::LAUNCH_DMA
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        match address {
            copy::LAUNCH_DMA => self.launch(context, value),
            copy::SET_SRC_ORIGIN | copy::SET_DST_ORIGIN => {
                let x = if address == copy::SET_SRC_ORIGIN { copy::SRC_ORIGIN_X } else { copy::DST_ORIGIN_X };
                self.set(x, origin::X.get(value));
                self.set(x + 4, origin::Y.get(value));
                Ok(())
            }
            // Mode 1 is "always"; conditions are not modelled.
            copy::SET_RENDER_ENABLE_C if value != 1 => {
                exception(format!("SET_RENDER_ENABLE_C with mode {value}"))
            }
            _ if copy::method_name(address).method().is_some() => {
                self.set(address, value);
                Ok(())
            }
            _ => Err(EngineFault::UnknownMethod { address, value }),
        }
    }
}

/// Where the geometry of a block-linear surface is set.
struct SurfaceRegisters {
    block: u32,
    width: u32,
    height: u32,
    layer: u32,
    x: u32,
    y: u32,
}

const SOURCE_REGISTERS: SurfaceRegisters = SurfaceRegisters {
    block: copy::SET_SRC_BLOCK_SIZE,
    width: copy::SET_SRC_WIDTH,
    height: copy::SET_SRC_HEIGHT,
    layer: copy::SET_SRC_LAYER,
    x: copy::SRC_ORIGIN_X,
    y: copy::SRC_ORIGIN_Y,
};

const TARGET_REGISTERS: SurfaceRegisters = SurfaceRegisters {
    block: copy::SET_DST_BLOCK_SIZE,
    width: copy::SET_DST_WIDTH,
    height: copy::SET_DST_HEIGHT,
    layer: copy::SET_DST_LAYER,
    x: copy::DST_ORIGIN_X,
    y: copy::DST_ORIGIN_Y,
};

/// A block-linear surface: GOBs of 64 bytes by 8 lines, stacked into blocks one GOB wide, blocks in rows.
#[derive(Clone, Copy, Debug)]
struct BlockLinear {
    blocks_wide: u64,
    blocks_high: u64,
    log2_height: u32,
    log2_depth: u32,
    layer: u64,
    x: u64,
    y: u64,
}

impl BlockLinear {
    /// Widths and horizontal origins count elements of `unit` bytes.
    fn new(engine: &CopyEngine, at: &SurfaceRegisters, unit: u64) -> Result<BlockLinear, EngineFault> {
        use block_size::*;
        let block = engine.get(at.block);
        let (log2_height, log2_depth) = (HEIGHT.get(block), DEPTH.get(block));
        if WIDTH.get(block) != WIDTH_ONE_GOB
            || GOB_HEIGHT.get(block) != GOB_HEIGHT_GOB_HEIGHT_FERMI_8
            || log2_height > HEIGHT_THIRTYTWO_GOBS
            || log2_depth > DEPTH_THIRTYTWO_GOBS
        {
            return exception(format!("block size {block:#x} is not known"));
        }
        let (width, height) = (u64::from(engine.get(at.width)) * unit, u64::from(engine.get(at.height)));
        if width == 0 || height == 0 {
            return exception(format!("block-linear surface of {width} bytes by {height} lines"));
        }
        Ok(BlockLinear {
            blocks_wide: width.div_ceil(GOB_WIDTH),
            blocks_high: height.div_ceil(self::GOB_HEIGHT << log2_height),
            log2_height,
            log2_depth,
            layer: engine.get(at.layer).into(),
            x: u64::from(engine.get(at.x)) * unit,
            y: engine.get(at.y).into(),
        })
    }

    /// Offset of byte `x` of line `y`, counted from the origin. Wraps for surfaces beyond any address.
    fn offset(&self, x: u64, y: u64) -> u64 {
        let (x, y) = (self.x + x, self.y + y);
        let layer_in_block = self.layer & ((1 << self.log2_depth) - 1);
        let gob_in_block = (y / GOB_HEIGHT) & ((1 << self.log2_height) - 1);
        let row = (self.layer >> self.log2_depth)
            .wrapping_mul(self.blocks_high)
            .wrapping_add((y / GOB_HEIGHT) >> self.log2_height);
        let block = row.wrapping_mul(self.blocks_wide).wrapping_add(x / GOB_WIDTH);
        let gob = (block << self.log2_depth | layer_in_block) << self.log2_height | gob_in_block;
        let (x, y) = (x % GOB_WIDTH, y % GOB_HEIGHT);
        // Address bits, from the lowest: x0 x1 x2 x3 y0 y1 x4 y2 x5.
        let within = x / 32 * 256 + y / 4 * 128 + x % 32 / 16 * 64 + y % 4 * 16 + x % 16;
        gob.wrapping_mul(GOB_BYTES).wrapping_add(within)
    }
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    /// Bytes from line to line.
    Pitch(u32),
    Block(BlockLinear),
}

#[derive(Clone, Copy, Debug)]
struct Surface {
    address: u64,
    layout: Layout,
}

impl Surface {
    /// Calls `f` with the address and the range of every contiguous piece of `length` bytes at `x` of a line.
    fn pieces(
        &self,
        x: u64,
        line: u64,
        length: usize,
        mut f: impl FnMut(u64, std::ops::Range<usize>) -> Result<(), EngineFault>,
    ) -> Result<(), EngineFault> {
        let block = match &self.layout {
            Layout::Pitch(pitch) => {
                let offset = line.wrapping_mul(u64::from(*pitch)).wrapping_add(x);
                return f(self.address.wrapping_add(offset), 0..length);
            }
            Layout::Block(block) => block,
        };
        let mut done = 0;
        while done < length {
            let at = x + done as u64;
            let piece = (SECTOR_BYTES - (block.x + at) % SECTOR_BYTES).min((length - done) as u64) as usize;
            f(self.address.wrapping_add(block.offset(at, line)), done..done + piece)?;
            done += piece;
        }
        Ok(())
    }

    fn read(&self, tlb: &mut Tlb<'_>, x: u64, line: u64, into: &mut [u8]) -> Result<(), EngineFault> {
        self.pieces(x, line, into.len(), |address, range| Ok(tlb.read(address, &mut into[range])?))
    }

    fn write(&self, tlb: &mut Tlb<'_>, x: u64, line: u64, bytes: &[u8]) -> Result<(), EngineFault> {
        self.pieces(x, line, bytes.len(), |address, range| Ok(tlb.write(address, &bytes[range])?))
    }
}

/// Where a component of the destination comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Component {
    Source(usize),
    Constant([u8; 4]),
    Kept,
}

/// A remap of components, which is also how memory is filled.
#[derive(Clone, Debug)]
struct Remap {
    component_bytes: usize,
    source_components: usize,
    target: Vec<Component>,
}

impl Remap {
    fn new(engine: &CopyEngine) -> Result<Remap, EngineFault> {
        use set_remap_components::*;
        let word = engine.get(copy::SET_REMAP_COMPONENTS);
        let source_components = NUM_SRC_COMPONENTS.get(word) as usize + 1;
        let selected = [DST_X, DST_Y, DST_Z, DST_W].map(|field| field.get(word));
        let target =
            selected[..NUM_DST_COMPONENTS.get(word) as usize + 1].iter().map(|&select| match select {
                DST_X_CONST_A => Ok(Component::Constant(engine.get(copy::SET_REMAP_CONST_A).to_le_bytes())),
                DST_X_CONST_B => Ok(Component::Constant(engine.get(copy::SET_REMAP_CONST_B).to_le_bytes())),
                DST_X_NO_WRITE => Ok(Component::Kept),
                source if (source as usize) < source_components => Ok(Component::Source(source as usize)),
                _ => {
                    exception(format!("SET_REMAP_COMPONENTS {word:#x} selects a component that is not there"))
                }
            });
        Ok(Remap {
            component_bytes: COMPONENT_SIZE.get(word) as usize + 1,
            source_components,
            target: target.collect::<Result<_, _>>()?,
        })
    }

    fn source_bytes(&self) -> u64 {
        (self.component_bytes * self.source_components) as u64
    }

    fn target_bytes(&self) -> u64 {
        (self.component_bytes * self.target.len()) as u64
    }

    fn reads_source(&self) -> bool {
        self.target.iter().any(|c| matches!(c, Component::Source(_)))
    }

    fn keeps_some(&self) -> bool {
        self.target.contains(&Component::Kept)
    }

    fn apply(&self, input: &[u8], output: &mut [u8]) {
        let size = self.component_bytes;
        let sources = input.chunks_exact(self.source_bytes() as usize);
        let targets = output.chunks_exact_mut(self.target_bytes() as usize);
        for (source, target) in sources.zip(targets) {
            for (component, out) in self.target.iter().zip(target.chunks_exact_mut(size)) {
                match component {
                    Component::Source(i) => out.copy_from_slice(&source[i * size..(i + 1) * size]),
                    Component::Constant(bytes) => out.copy_from_slice(&bytes[..size]),
                    Component::Kept => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> CopyEngine {
        CopyEngine::new(HOPPER_DMA_COPY_A)
    }

    #[test]
    fn block_linear_offsets_are_a_permutation() {
        let mut e = engine();
        e.set(copy::SET_SRC_BLOCK_SIZE, block_size::HEIGHT.of(1) | block_size::GOB_HEIGHT.of(1));
        e.set(copy::SET_SRC_WIDTH, 192);
        e.set(copy::SET_SRC_HEIGHT, 32);
        let block = BlockLinear::new(&e, &SOURCE_REGISTERS, 1).unwrap();
        let mut seen = vec![false; 192 * 32];
        for y in 0..32 {
            for x in 0..192 {
                assert!(!std::mem::replace(&mut seen[block.offset(x, y) as usize], true), "{x},{y}");
            }
        }
        // Second GOB column of the first block row, second GOB of that block, line 1, byte 17.
        assert_eq!(block.offset(64 + 17, 8 + 1), 1024 + 512 + 64 + 16 + 1);
    }

    #[test]
    fn geometry_that_is_not_known_is_refused() {
        let mut e = engine();
        assert!(BlockLinear::new(&e, &SOURCE_REGISTERS, 1).is_err(), "no GOB height");
        e.set(copy::SET_SRC_BLOCK_SIZE, block_size::GOB_HEIGHT.of(1));
        assert!(BlockLinear::new(&e, &SOURCE_REGISTERS, 1).is_err(), "no size");
        let huge = BlockLinear {
            blocks_wide: u64::MAX,
            blocks_high: u64::MAX,
            log2_height: 5,
            log2_depth: 5,
            layer: u64::MAX,
            x: 1 << 33,
            y: 1 << 33,
        };
        huge.offset(1 << 40, 1 << 40);
    }

    #[test]
    fn remap_selects_and_keeps() {
        use set_remap_components::*;
        let mut e = engine();
        e.set(copy::SET_REMAP_CONST_A, 0x0403_0201);
        e.set(
            copy::SET_REMAP_COMPONENTS,
            DST_X.of(DST_X_SRC_Y)
                | DST_Y.of(DST_Y_CONST_A)
                | DST_Z.of(DST_Z_NO_WRITE)
                | COMPONENT_SIZE.of(COMPONENT_SIZE_TWO)
                | NUM_SRC_COMPONENTS.of(NUM_SRC_COMPONENTS_TWO)
                | NUM_DST_COMPONENTS.of(NUM_DST_COMPONENTS_THREE),
        );
        let remap = Remap::new(&e).unwrap();
        assert!(remap.reads_source() && remap.keeps_some());
        let mut output = [0xee; 12];
        remap.apply(&[1, 1, 2, 2, 3, 3, 4, 4], &mut output);
        assert_eq!(output, [2, 2, 1, 2, 0xee, 0xee, 4, 4, 1, 2, 0xee, 0xee]);
        e.set(copy::SET_REMAP_COMPONENTS, DST_X.of(DST_X_SRC_W));
        assert!(Remap::new(&e).is_err());
    }
}
