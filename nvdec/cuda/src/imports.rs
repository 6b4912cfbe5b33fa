//! [`Imports`]: what is imported elsewhere of allocations that come and go.

use std::sync::Arc;

use hcq::DeviceBuffer;

use crate::error::Result;

/// Imports of whole allocations, one each. `M` is what CUDA has of one; dropping it unmaps it there.
#[derive(Debug)]
pub(crate) struct Imports<M> {
    entries: Vec<Entry<M>>,
    most: usize,
    /// Counts the look-ups.
    now: u64,
}

#[derive(Debug)]
struct Entry<M> {
    /// Before the memory.
    import: Arc<M>,
    /// A handle of our own, by which an address is that of the same memory as long as the entry is there, and by which it
    /// shows that there is no other handle any more.
    memory: DeviceBuffer,
    /// Its first address on our device.
    start: u64,
    used: u64,
}

impl<M> Imports<M> {
    /// None yet, and never more than `most`.
    pub(crate) fn new(most: usize) -> Imports<M> {
        Imports { entries: Vec::new(), most: most.max(1), now: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The import of the allocation that `buffer` is a part of. The first time `make` makes it, and imports of memory that
    /// has no other owner go first, or, where there are too many, the one that was not used for the longest.
    pub(crate) fn get(&mut self, buffer: &DeviceBuffer, make: impl FnOnce() -> Result<M>) -> Result<Arc<M>> {
        self.now += 1;
        let now = self.now;
        let start = buffer.gpu_address() - buffer.offset_in_allocation();
        if let Some(known) = self.entries.iter_mut().find(|entry| entry.start == start) {
            known.used = now;
            return Ok(known.import.clone());
        }
        // CUDA waits for its context to unmap: all at once, and only where time is lost to an import anyway.
        self.forget_unused();
        while self.entries.len() >= self.most {
            let oldest = (0..self.entries.len()).min_by_key(|&at| self.entries[at].used);
            oldest.map(|at| self.entries.swap_remove(at));
        }
        let import = Arc::new(make()?);
        self.entries.push(Entry { import: import.clone(), memory: buffer.clone(), start, used: now });
        Ok(import)
    }

    /// Lets go of those whose memory has no other owner and is in no queue's use; how many.
    pub(crate) fn forget_unused(&mut self) -> usize {
        let before = self.entries.len();
        self.entries.retain_mut(|entry| !entry.memory.is_unused());
        before - self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use hcq::kernel::emulated::{EmulatedKernel, GpuModel};
    use hcq::{CopyCommands, CopyQueue, Device, Placement};

    use super::*;
    use crate::error::Error;

    /// Counts those that there are.
    struct Mapped(Rc<Cell<usize>>);

    impl Mapped {
        fn new(count: &Rc<Cell<usize>>) -> Result<Mapped> {
            count.set(count.get() + 1);
            Ok(Mapped(count.clone()))
        }
    }

    impl Drop for Mapped {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    fn device() -> (EmulatedKernel, Device) {
        let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
        (kernel.clone(), Device::open(Arc::new(kernel), 0).unwrap())
    }

    #[test]
    fn an_allocation_is_imported_once_and_goes_with_its_owner() {
        let (_kernel, device) = device();
        let allocate = || device.allocate(1 << 16, Placement::Vidmem).unwrap();
        let count = Rc::new(Cell::new(0));
        let mut imports = Imports::new(8);
        let (a, b) = (allocate(), allocate());
        let first = imports.get(&a, || Mapped::new(&count)).unwrap();
        // A part is of the same allocation.
        let again = imports.get(&a.slice(4096, 4096), || panic!("it is known")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let other = imports.get(&b, || Mapped::new(&count)).unwrap();
        assert!(!Arc::ptr_eq(&first, &other) && imports.len() == 2);

        // Its owner is gone, and its address is not free as long as the import is there.
        let start = a.gpu_address();
        drop((a, first, again, other));
        let c = allocate();
        assert_ne!(c.gpu_address(), start);
        imports.get(&b, || panic!("it is known")).unwrap();
        assert_eq!((imports.len(), count.get()), (2, 2), "nothing is unmapped where nothing is imported");
        imports.get(&c, || Mapped::new(&count)).unwrap();
        assert_eq!((imports.len(), count.get()), (2, 2), "c is there and a is gone");
        drop((b, c));
        assert_eq!((imports.forget_unused(), imports.len(), count.get()), (2, 0, 0));
    }

    #[test]
    fn memory_that_a_queue_works_in_stays() {
        let (kernel, device) = device();
        let queue = CopyQueue::new(&device, None).unwrap();
        let memory = device.allocate(1 << 16, Placement::Vidmem).unwrap();
        let count = Rc::new(Cell::new(0));
        let mut imports = Imports::new(8);
        imports.get(&memory, || Mapped::new(&count)).unwrap();
        kernel.faults().stall(0, queue.queue().engine());
        let mut commands = CopyCommands::new();
        commands.fill(&memory, 1).unwrap();
        let point = queue.submit(&[], &commands).unwrap();
        drop((commands, memory));
        assert_eq!((imports.forget_unused(), count.get()), (0, 1));
        kernel.faults().resume(0, queue.queue().engine());
        point.wait(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!((imports.forget_unused(), count.get()), (1, 0));
    }

    #[test]
    fn there_are_never_too_many() {
        let (_kernel, device) = device();
        let all: Vec<_> = (0..4).map(|_| device.allocate(1 << 16, Placement::Vidmem).unwrap()).collect();
        let count = Rc::new(Cell::new(0));
        let mut imports = Imports::new(3);
        for buffer in &all[..3] {
            imports.get(buffer, || Mapped::new(&count)).unwrap();
        }
        imports.get(&all[0], || panic!("it is known")).unwrap();
        imports.get(&all[3], || Mapped::new(&count)).unwrap();
        assert_eq!((imports.len(), count.get()), (3, 3));
        for (known, buffer) in [(true, &all[0]), (false, &all[1]), (true, &all[2]), (true, &all[3])] {
            assert_eq!(imports.entries.iter().any(|entry| entry.start == buffer.gpu_address()), known);
        }
    }

    #[test]
    fn one_that_fails_leaves_nothing() {
        let (_kernel, device) = device();
        let memory = device.allocate(1 << 16, Placement::Vidmem).unwrap();
        let mut imports = Imports::<()>::new(3);
        let failed = imports.get(&memory, || Err(Error::Capturing));
        assert!(matches!(failed, Err(Error::Capturing)) && imports.len() == 0);
    }
}
