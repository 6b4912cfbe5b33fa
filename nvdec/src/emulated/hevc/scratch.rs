//! The areas that the engine works in: written for every picture, read back at its end.
//!
//! Nothing depends on what is in them. They are written so that an area too small, or at a wrong offset, is a
//! fault of the MMU or shows: what was put there must still be there when the picture is done. Sizes are what
//! an H200 was seen to write.

use hcq::kernel::emulated::{AddressSpace, EngineFault};
use nvkernel_sys::video::{self, hevc_pic as pic};

use super::setup::{Setup, TileSizes};
use crate::class::VideoClass;
use crate::emulated::methods::Methods;

/// Bytes at `SET_INTRA_TOP_BUF_OFFSET` on classes that have it.
const INTRA_TOP_BYTES: u64 = 64 << 10;
/// Bytes written or read at a time.
const PIECE: usize = 16 << 10;

/// A range of GPU memory that the engine has to itself while it works on a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    name: &'static str,
    start: u64,
    bytes: u64,
}

/// The areas of one picture.
#[derive(Debug)]
pub(super) struct Scratch {
    areas: Vec<Area>,
    /// What distinguishes this picture's contents from others'.
    seed: u64,
}

impl Scratch {
    /// The areas that a picture needs, at the addresses given by methods and descriptor.
    pub(super) fn new(
        setup: &Setup,
        tiles: &TileSizes,
        methods: &Methods,
        class: &VideoClass,
        seed: u64,
    ) -> Scratch {
        let base = methods.address(video::HEVC_SET_FILTER_BUFFER_OFFSET);
        let (ctb, rows) = (u64::from(setup.ctb()), u64::from(setup.ctb_rows()));
        let width = u64::from(setup.width());
        let deep = setup.bit_depth() > 8;
        let filter = match (deep, ctb) {
            (false, 16) => 12,
            (false, _) => 11,
            (true, 16) => 16,
            (true, _) => 15,
        };
        let sao = match ctb {
            64 => 3,
            32 => 4,
            _ => 8,
        };
        // Left edges of the tiles but the first, in rows of coding tree blocks.
        let edges = rows * (tiles.columns.len() as u64 - 1) * ctb;
        let mut areas = vec![
            Area {
                name: "filter above",
                start: base + setup.offset(pic::HevcFltAboveOffset),
                bytes: (rows - 1) * (width / ctb + 1) * ctb * filter,
            },
            Area {
                name: "SAO above",
                start: base + setup.offset(pic::HevcSaoAboveOffset),
                bytes: (rows - 1) * width * sao,
            },
            Area { name: "filter left", start: base, bytes: edges * 16 },
            Area {
                name: "SAO left",
                start: base + setup.offset(pic::HevcSaoBufferOffset),
                bytes: edges * if deep { 32 } else { 26 },
            },
            Area {
                name: "BSD control",
                start: base + setup.offset(pic::HevcBsdCtrlOffset),
                bytes: edges * if deep { 6 } else { 5 },
            },
        ];
        if class.hevc.intra_top {
            let start = methods.address(video::SET_INTRA_TOP_BUF_OFFSET);
            areas.push(Area { name: "intra top", start, bytes: INTRA_TOP_BYTES });
        }
        if class.hevc.scratch_4dc > 0 {
            let start = methods.address(video::UNNAMED_SCRATCH_OFFSET_4DC);
            areas.push(Area { name: "method 0x4dc", start, bytes: class.hevc.scratch_4dc });
        }
        areas.retain(|area| area.bytes > 0);
        Scratch { areas, seed }
    }

    fn pattern(&self, index: usize) -> [u8; PIECE] {
        let word = (self.seed << 3 | index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        std::array::from_fn(|i| word[i % 8])
    }

    /// Writes all areas.
    pub(super) fn fill(&self, memory: &AddressSpace) -> Result<(), EngineFault> {
        let mut tlb = memory.tlb();
        for (i, area) in self.areas.iter().enumerate() {
            let pattern = self.pattern(i);
            for (at, length) in pieces(area) {
                tlb.write(at, &pattern[..length])?;
            }
        }
        Ok(())
    }

    /// Looks whether everything is still there.
    ///
    /// # Errors
    ///
    /// [`EngineFault::Exception`] naming the area: it overlaps another one, or a surface, or the motion
    /// vectors, or another engine works in it. Hardware would go on with wrong samples.
    pub(super) fn verify(&self, memory: &AddressSpace) -> Result<(), EngineFault> {
        let mut tlb = memory.tlb();
        let mut piece = vec![0; PIECE];
        for (i, area) in self.areas.iter().enumerate() {
            let pattern = self.pattern(i);
            for (at, length) in pieces(area) {
                tlb.read(at, &mut piece[..length])?;
                if piece[..length] != pattern[..length] {
                    return Err(EngineFault::Exception(format!(
                        "the {} area ({:#x} bytes at {:#x}) was overwritten during the picture, near {at:#x}",
                        area.name, area.bytes, area.start
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Addresses and lengths that make up an area.
fn pieces(area: &Area) -> impl Iterator<Item = (u64, usize)> {
    let &Area { start, bytes, .. } = area;
    (0..bytes).step_by(PIECE).map(move |at| (start + at, (bytes - at).min(PIECE as u64) as usize))
}
