//! Memory of CUDA on our queues: tensors that were allocated with a handle that can be exported.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use hcq::{Device, DeviceBuffer};

use crate::error::{Error, Result};
use crate::sys::PrimaryContext;

/// A mapping of CUDA's, whole. PyTorch's expandable segments are made of pieces of 20 MiB, or of 2 MiB for small tensors,
/// so that a tensor may begin within one and end in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// CUDA's address of its beginning.
    pub base: u64,
    /// Bytes of it.
    pub size: u64,
    /// CUDA's number of the allocation. An address that was freed and is mapped again has the same base and another number:
    /// then it is other memory.
    pub buffer_id: u64,
}

/// Who lends memory: CUDA, or what stands for it in a test.
pub trait Lender {
    /// The piece that an address lies in, `None` for memory without a handle that can be exported.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    fn piece_at(&self, address: u64) -> Result<Option<Piece>>;

    /// A descriptor of a piece.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`].
    fn lend(&self, piece: &Piece) -> Result<OwnedFd>;
}

impl Lender for PrimaryContext {
    fn piece_at(&self, address: u64) -> Result<Option<Piece>> {
        let Some((base, size)) = self.mapping_at(address)? else { return Ok(None) };
        if !self.is_exportable(address)? {
            return Ok(None);
        }
        Ok(self.buffer_id(address)?.map(|buffer_id| Piece { base, size, buffer_id }))
    }

    fn lend(&self, piece: &Piece) -> Result<OwnedFd> {
        self.export(piece.base)
    }
}

/// Memory of CUDA in the address space of a device of ours.
///
/// Pieces stay imported, since that takes up to a millisecond each, and stay *allocated* for as long: what PyTorch frees
/// and gives back is in use until it is dropped here as well, by [`forget_stale`](Self::forget_stale) or with the value.
#[derive(Debug)]
pub struct Borrowed {
    device: Device,
    pieces: HashMap<Piece, DeviceBuffer>,
}

impl Borrowed {
    /// Nothing yet, for queues of `device`.
    pub fn new(device: &Device) -> Borrowed {
        Borrowed { device: device.clone(), pieces: HashMap::new() }
    }

    /// The memory at `address` of CUDA, `length` bytes, as the parts of pieces that it is made of, in order. Pieces that
    /// are known and still the same memory are not imported again.
    ///
    /// The lender may free the memory, and use it for something else, without a word: whoever lends a tensor keeps it
    /// until the work in it is over.
    ///
    /// # Errors
    ///
    /// [`Error::NotExportable`] for memory without a handle, [`Error::Cuda`], and those of [`hcq::Device::import`].
    pub fn import(&mut self, lender: &impl Lender, address: u64, length: u64) -> Result<Vec<DeviceBuffer>> {
        let end = address.checked_add(length).ok_or(Error::NotExportable { address })?;
        let (mut at, mut parts) = (address, Vec::new());
        while at < end {
            let piece = lender
                .piece_at(at)?
                .filter(|piece| at.checked_sub(piece.base).is_some_and(|offset| offset < piece.size));
            let piece = piece.ok_or(Error::NotExportable { address: at })?;
            let offset = at - piece.base;
            let taken = (piece.size - offset).min(end - at);
            parts.push(self.whole(lender, piece)?.slice(offset, taken));
            at += taken;
        }
        Ok(parts)
    }

    fn whole(&mut self, lender: &impl Lender, piece: Piece) -> Result<&DeviceBuffer> {
        if !self.pieces.contains_key(&piece) {
            // What was there before is other memory.
            self.pieces.retain(|old, _| {
                old.base.saturating_add(old.size) <= piece.base
                    || piece.base.saturating_add(piece.size) <= old.base
            });
            let memory = self.device.import(lender.lend(&piece)?, Some(piece.size))?;
            self.pieces.insert(piece, memory);
        }
        Ok(&self.pieces[&piece])
    }

    /// Lets go of pieces that are not CUDA's memory any more. Queues that work in them keep them until they are done.
    ///
    /// # Errors
    ///
    /// [`Error::Cuda`], and nothing was let go of.
    pub fn forget_stale(&mut self, lender: &impl Lender) -> Result<()> {
        let mut stale = Vec::new();
        for piece in self.pieces.keys() {
            if lender.piece_at(piece.base)? != Some(*piece) {
                stale.push(*piece);
            }
        }
        for piece in stale {
            self.pieces.remove(&piece);
        }
        Ok(())
    }

    /// Pieces that are imported.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use hcq::Placement;
    use hcq::kernel::emulated::{EmulatedKernel, GpuModel};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Another client of the model in the place of CUDA: pieces of 2 MiB one behind the other.
    struct Other {
        pieces: Vec<(Piece, DeviceBuffer)>,
        lent: Cell<usize>,
    }

    impl Lender for Other {
        fn piece_at(&self, address: u64) -> Result<Option<Piece>> {
            let inside = |piece: &Piece| (piece.base..piece.base + piece.size).contains(&address);
            Ok(self.pieces.iter().map(|(piece, _)| *piece).find(inside))
        }

        fn lend(&self, piece: &Piece) -> Result<OwnedFd> {
            self.lent.set(self.lent.get() + 1);
            let found = self.pieces.iter().find(|(known, _)| known == piece);
            Ok(found.expect("it was named by piece_at").1.export()?.fd)
        }
    }

    #[test]
    fn a_tensor_is_made_of_parts_of_pieces() {
        let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
        let [theirs, ours] = [(); 2].map(|()| Device::open(Arc::new(kernel.clone()), 0).unwrap());
        let piece = |number: u64, buffer_id| {
            let memory = theirs.allocate(2 * MIB, Placement::Vidmem).unwrap();
            memory.view().unwrap().store(0, buffer_id as u32);
            (Piece { base: 0x7000_0000_0000 + number * 2 * MIB, size: 2 * MIB, buffer_id }, memory)
        };
        let mut other = Other { pieces: (0..4).map(|i| piece(i, 100 + i)).collect(), lent: Cell::new(0) };
        let mut borrowed = Borrowed::new(&ours);
        let address = 0x7000_0000_0000 + MIB;
        let parts = borrowed.import(&other, address, 4 * MIB).unwrap();
        let seen: Vec<_> = parts.iter().map(|part| (part.offset_in_allocation(), part.size())).collect();
        assert_eq!(seen, [(MIB, MIB), (0, 2 * MIB), (0, MIB)]);
        assert_eq!(parts[1].view().unwrap().load(0), 101);
        assert_eq!((other.lent.get(), borrowed.len()), (3, 3));

        // The same memory is not asked for again; the same address with other memory is.
        let again = borrowed.import(&other, address, MIB + 4).unwrap();
        assert!(again[0].same_allocation(&parts[0]) && other.lent.get() == 3);
        other.pieces[1] = piece(1, 200);
        let new = borrowed.import(&other, address, 4 * MIB).unwrap();
        assert!(new[0].same_allocation(&parts[0]) && !new[1].same_allocation(&parts[1]));
        assert_eq!([&new[1], &parts[1]].map(|part| part.view().unwrap().load(0)), [200, 101]);
        assert_eq!((other.lent.get(), borrowed.len()), (4, 3));

        // One that lies otherwise drives out all that it lies in.
        let wide = Piece { size: 6 * MIB, ..piece(0, 300).0 };
        other.pieces = vec![(wide, theirs.allocate(6 * MIB, Placement::Vidmem).unwrap())];
        borrowed.import(&other, address, 8).unwrap();
        assert_eq!(borrowed.len(), 1);
        other.pieces.clear();
        borrowed.forget_stale(&other).unwrap();
        assert!(borrowed.is_empty());
    }

    #[test]
    fn what_has_no_handle_is_named() {
        let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
        let ours = Device::open(Arc::new(kernel), 0).unwrap();
        let other = Other { pieces: Vec::new(), lent: Cell::new(0) };
        let mut borrowed = Borrowed::new(&ours);
        for (address, length) in [(0x1000, 4), (u64::MAX, 4)] {
            let error = borrowed.import(&other, address, length).unwrap_err();
            assert!(matches!(error, Error::NotExportable { address: at } if at == address), "{error}");
        }
        assert!(borrowed.import(&other, 0x1000, 0).unwrap().is_empty());
    }
}
