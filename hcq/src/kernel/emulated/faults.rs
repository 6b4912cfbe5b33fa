//! Fault injection: what goes wrong on machines, on demand.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use nvkernel_sys::engine::EngineType;
use nvkernel_sys::status::RmStatus;

use super::address_space::{Access, FaultKind, MmuFault};
use super::engine::EngineFault;
use super::{Shared, lock};

/// A call into the kernel, as far as faults tell calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// Opening a device node.
    Open,
    /// `mmap` of a descriptor.
    Mmap,
    /// Any ioctl, by its number (`nvkernel_sys::ioctl::NV_ESC_*`).
    Ioctl(u32),
    /// RM_ALLOC of this class.
    Alloc(u32),
    /// RM_CONTROL with this command.
    Control(u32),
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The system call itself fails with this `errno`.
    Errno(i32),
    /// The resource manager answers with this status. [`Call::Open`] and [`Call::Mmap`], which have none, and
    /// ioctls without one fail with `EINVAL`, as they do in the driver.
    Status(RmStatus),
}

/// What befalls an engine at a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaunchFault {
    /// Its MMU refuses this address.
    Mmu {
        /// GPU address.
        address: u64,
    },
    /// The engine itself fails.
    Engine,
    /// The engine gives the work up and reports this error in the status that its class has; the channel goes on.
    /// Of video engines this is `error_status` of the picture. One that reports no status stops its channel.
    Status(u32),
}

#[derive(Debug)]
struct Planned {
    call: Call,
    /// Matching calls to let pass before.
    pass: u32,
    failure: Failure,
}

#[derive(Debug, Default)]
struct EnginePlan {
    stalled: bool,
    /// Launches that a stall lets pass.
    allowed: u32,
    hasty: bool,
    delay: Duration,
    /// Launches to let pass before, and what befalls the one after them.
    faults: Vec<(u32, LaunchFault)>,
}

impl EnginePlan {
    /// The fault that is due at this launch; of several, the one planned first.
    fn due(&mut self) -> Option<LaunchFault> {
        let mut due = None;
        self.faults.retain_mut(|(pass, fault)| {
            if due.is_some() || *pass > 0 {
                *pass = pass.saturating_sub(1);
                return true;
            }
            due = Some(*fault);
            false
        });
        due
    }
}

/// The faults that are planned, as the model asks for them.
#[derive(Debug, Default)]
pub(super) struct Plan {
    calls: Mutex<Vec<Planned>>,
    engines: Mutex<HashMap<(usize, EngineType), EnginePlan>>,
    changed: Condvar,
    lost_doorbells: AtomicU32,
}

impl Plan {
    /// The failure that is due for a call that each of `names` describes.
    pub(super) fn due(&self, names: &[Call]) -> Option<Failure> {
        let mut calls = lock(&self.calls);
        let mut due = None;
        calls.retain_mut(|planned| {
            if due.is_some() || !names.contains(&planned.call) {
                return true;
            }
            if planned.pass > 0 {
                planned.pass -= 1;
                return true;
            }
            due = Some(planned.failure);
            false
        });
        due
    }

    /// Fails a call that has no status to answer with.
    pub(super) fn fail_plain(&self, call: Call) -> io::Result<()> {
        match self.due(&[call]) {
            None => Ok(()),
            Some(Failure::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Failure::Status(_)) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    pub(super) fn skips_acquires(&self, gpu: usize, engine: EngineType) -> bool {
        lock(&self.engines).get(&(gpu, engine)).is_some_and(|plan| plan.hasty)
    }

    pub(super) fn loses_doorbell(&self) -> bool {
        self.lost_doorbells.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// Holds a launch up for as long as the plan says, or until `cancelled`; then the fault that is due, or the
    /// error that the engine is to report.
    pub(super) fn before_launch(
        &self,
        gpu: usize,
        engine: EngineType,
        cancelled: impl Fn() -> bool,
    ) -> Result<Option<u32>, EngineFault> {
        const NAP: Duration = Duration::from_millis(1);
        let mut engines = lock(&self.engines);
        let Some(plan) = engines.get_mut(&(gpu, engine)) else { return Ok(None) };
        let mut delay = plan.delay;
        let fault = plan.due();
        // Whether the launch is one of those that a stall lets pass.
        let mut passed = false;
        loop {
            let plan = engines.get_mut(&(gpu, engine)).filter(|plan| plan.stalled && !passed);
            let stalled = plan.is_some_and(|plan| {
                passed = plan.allowed > 0;
                plan.allowed -= u32::from(passed);
                !passed
            });
            if cancelled() || (!stalled && delay.is_zero()) {
                break;
            }
            let nap = if stalled { NAP } else { NAP.min(delay) };
            let waited = self.changed.wait_timeout(engines, nap);
            engines = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            if !stalled {
                delay = delay.saturating_sub(nap);
            }
        }
        match fault {
            None => Ok(None),
            Some(LaunchFault::Status(status)) => Ok(Some(status)),
            Some(LaunchFault::Mmu { address }) => {
                Err(MmuFault { address, access: Access::Read, kind: FaultKind::Pte }.into())
            }
            Some(LaunchFault::Engine) => Err(EngineFault::Exception("injected engine error".into())),
        }
    }
}

/// Plans faults of an [`EmulatedKernel`](super::EmulatedKernel). Clones share the plan; it may be changed while
/// work is in flight.
#[derive(Clone, Debug)]
pub struct Faults {
    pub(super) plan: Arc<Plan>,
    pub(super) kernel: Weak<Shared>,
}

impl Faults {
    /// Lets `pass` calls like `call` succeed and fails the one after them, once.
    pub fn fail_call(&self, call: Call, pass: u32, failure: Failure) {
        lock(&self.plan.calls).push(Planned { call, pass, failure });
    }

    /// Failures of calls that are planned and have not struck.
    pub fn pending_calls(&self) -> usize {
        lock(&self.plan.calls).len()
    }

    /// Ignores the next `count` doorbells. A channel then sleeps until its doorbell is rung again.
    pub fn lose_doorbells(&self, count: u32) {
        self.plan.lost_doorbells.store(count, Ordering::Relaxed);
    }

    fn edit(&self, gpu: usize, engine: EngineType, f: impl FnOnce(&mut EnginePlan)) {
        f(lock(&self.plan.engines).entry((gpu, engine)).or_default());
        self.plan.changed.notify_all();
    }

    /// Keeps an engine of GPU `gpu` from launching anything until [`resume`](Self::resume).
    pub fn stall(&self, gpu: usize, engine: EngineType) {
        self.edit(gpu, engine, |plan| plan.stalled = true);
    }

    /// Lets a stalled engine launch `count` times more.
    pub fn let_launch(&self, gpu: usize, engine: EngineType, count: u32) {
        self.edit(gpu, engine, |plan| plan.allowed += count);
    }

    /// Ends a [`stall`](Self::stall).
    pub fn resume(&self, gpu: usize, engine: EngineType) {
        self.edit(gpu, engine, |plan| (plan.stalled, plan.allowed) = (false, 0));
    }

    /// Makes the channels of an engine pass over semaphores that are not reached, from now on: what a driver would see
    /// that forgets to wait.
    pub fn skip_acquires(&self, gpu: usize, engine: EngineType) {
        self.edit(gpu, engine, |plan| plan.hasty = true);
    }

    /// Makes every launch of an engine take `delay` longer.
    pub fn slow_down(&self, gpu: usize, engine: EngineType, delay: Duration) {
        self.edit(gpu, engine, |plan| plan.delay = delay);
    }

    /// Makes the next launch of an engine fail.
    pub fn fault_next_launch(&self, gpu: usize, engine: EngineType, fault: LaunchFault) {
        self.fault_launch(gpu, engine, 0, fault);
    }

    /// Lets `pass` launches of an engine succeed and makes the one after them fail, once.
    pub fn fault_launch(&self, gpu: usize, engine: EngineType, pass: u32, fault: LaunchFault) {
        self.edit(gpu, engine, |plan| plan.faults.push((pass, fault)));
    }

    /// Lets GPU `gpu` fall off the bus: its engines stop, calls that concern it answer
    /// `NV_ERR_GPU_IS_LOST`, and polls of event descriptors report a hang-up.
    pub fn lose_gpu(&self, gpu: usize) {
        if let Some(kernel) = self.kernel.upgrade() {
            kernel.lose_gpu(gpu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_fails_once() {
        let plan = Plan::default();
        lock(&plan.calls).push(Planned { call: Call::Alloc(0x40), pass: 1, failure: Failure::Errno(5) });
        assert_eq!(plan.due(&[Call::Alloc(0x40)]), None);
        assert_eq!(plan.due(&[Call::Alloc(0x3e)]), None);
        assert_eq!(plan.due(&[Call::Ioctl(0x2b), Call::Alloc(0x40)]), Some(Failure::Errno(5)));
        assert_eq!(plan.due(&[Call::Alloc(0x40)]), None);
    }

    #[test]
    fn a_stall_ends_when_cancelled() {
        let plan = Plan::default();
        lock(&plan.engines).insert((0, EngineType(9)), EnginePlan { stalled: true, ..Default::default() });
        assert_eq!(plan.before_launch(0, EngineType(9), || true), Ok(None));
    }

    #[test]
    fn the_nth_launch_fails_once() {
        let (plan, engine) = (Plan::default(), EngineType(9));
        let faults = vec![(2, LaunchFault::Engine), (0, LaunchFault::Status(8)), (0, LaunchFault::Status(9))];
        lock(&plan.engines).insert((0, engine), EnginePlan { faults, ..Default::default() });
        let launch = || plan.before_launch(0, engine, || false);
        assert_eq!((launch(), launch()), (Ok(Some(8)), Ok(Some(9))));
        assert_eq!(plan.before_launch(1, engine, || false), Ok(None), "another GPU");
        assert!(matches!(launch(), Err(EngineFault::Exception(_))));
        assert_eq!(launch(), Ok(None));
    }
}
