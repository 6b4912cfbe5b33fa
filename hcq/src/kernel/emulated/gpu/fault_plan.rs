//! [`FaultPlan`]: what is to go wrong, and when.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use nvkernel_sys::engine::EngineType;
use nvkernel_sys::status::RmStatus;

use crate::kernel::emulated::engines::fault::EngineFault;
use crate::kernel::emulated::memory::address_space::{Access, FaultKind, MmuFault};
use crate::kernel::emulated::sync::lock;

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
    /// The engine hangs: the launch neither ends nor fails, and nothing else runs on the engine. It ends when the
    /// channel is freed or reset, which resets the engine: what is launched there is given up, and the engine's
    /// other channels go on. After [`Faults::resume`](crate::kernel::emulated::Faults::resume) it goes on as usual.
    Hang,
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

/// What is planned for one engine.
#[derive(Debug, Default)]
pub(crate) struct EnginePlan {
    /// Nothing is launched.
    pub(crate) stalled: bool,
    /// Launches that a stall lets pass.
    pub(crate) allowed: u32,
    /// How often a stalled or hanging engine was told to go on.
    pub(crate) resumed: u32,
    /// Acquires do not wait.
    pub(crate) hasty: bool,
    /// How much longer each launch takes.
    pub(crate) delay: Duration,
    /// Launches to let pass before, and what befalls the one after them.
    pub(crate) faults: Vec<(u32, LaunchFault)>,
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
pub(crate) struct FaultPlan {
    calls: Mutex<Vec<Planned>>,
    engines: Mutex<HashMap<(usize, EngineType), EnginePlan>>,
    changed: Condvar,
    lost_doorbells: AtomicU32,
}

impl FaultPlan {
    pub(crate) fn fail_call(&self, call: Call, pass: u32, failure: Failure) {
        lock(&self.calls).push(Planned { call, pass, failure });
    }

    /// Failures of calls that have not struck.
    pub(crate) fn pending_calls(&self) -> usize {
        lock(&self.calls).len()
    }

    pub(crate) fn lose_doorbells(&self, count: u32) {
        self.lost_doorbells.store(count, Ordering::Relaxed);
    }

    /// Changes what is planned for an engine, also of a launch that is being held up.
    pub(crate) fn edit(&self, gpu: usize, engine: EngineType, f: impl FnOnce(&mut EnginePlan)) {
        f(lock(&self.engines).entry((gpu, engine)).or_default());
        self.changed.notify_all();
    }

    /// The failure that is due for a call that each of `names` describes.
    pub(crate) fn due(&self, names: &[Call]) -> Option<Failure> {
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
    pub(crate) fn fail_plain(&self, call: Call) -> io::Result<()> {
        match self.due(&[call]) {
            None => Ok(()),
            Some(Failure::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Failure::Status(_)) => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        }
    }

    pub(crate) fn skips_acquires(&self, gpu: usize, engine: EngineType) -> bool {
        lock(&self.engines).get(&(gpu, engine)).is_some_and(|plan| plan.hasty)
    }

    pub(crate) fn loses_doorbell(&self) -> bool {
        self.lost_doorbells.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// Holds a launch up for as long as the plan says, or until `cancelled`; then the fault that is due, or the
    /// error that the engine is to report.
    pub(crate) fn before_launch(
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
        let hang = (fault == Some(LaunchFault::Hang)).then_some(plan.resumed);
        // Whether the launch is one of those that a stall lets pass.
        let mut passed = false;
        loop {
            let stalled = engines.get_mut(&(gpu, engine)).is_some_and(|plan| {
                if plan.stalled && !passed && plan.allowed > 0 {
                    plan.allowed -= 1;
                    passed = true;
                }
                plan.stalled && !passed || hang == Some(plan.resumed)
            });
            if cancelled() || (!stalled && delay.is_zero()) {
                break;
            }
            let nap = if stalled { NAP } else { NAP.min(delay) };
            let waited = self.changed.wait_timeout(engines, nap);
            engines = waited.unwrap_or_else(PoisonError::into_inner).0;
            if !stalled {
                delay = delay.saturating_sub(nap);
            }
        }
        match fault {
            None | Some(LaunchFault::Hang) => Ok(None),
            Some(LaunchFault::Status(status)) => Ok(Some(status)),
            Some(LaunchFault::Mmu { address }) => {
                Err(MmuFault { address, access: Access::Read, kind: FaultKind::Pte }.into())
            }
            Some(LaunchFault::Engine) => Err(EngineFault::Exception("injected engine error".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_fails_once() {
        let plan = FaultPlan::default();
        lock(&plan.calls).push(Planned { call: Call::Alloc(0x40), pass: 1, failure: Failure::Errno(5) });
        assert_eq!(plan.due(&[Call::Alloc(0x40)]), None);
        assert_eq!(plan.due(&[Call::Alloc(0x3e)]), None);
        assert_eq!(plan.due(&[Call::Ioctl(0x2b), Call::Alloc(0x40)]), Some(Failure::Errno(5)));
        assert_eq!(plan.due(&[Call::Alloc(0x40)]), None);
    }

    #[test]
    fn a_stall_ends_when_cancelled() {
        let plan = FaultPlan::default();
        lock(&plan.engines).insert((0, EngineType(9)), EnginePlan { stalled: true, ..Default::default() });
        assert_eq!(plan.before_launch(0, EngineType(9), || true), Ok(None));
    }

    #[test]
    fn a_hang_strikes_one_launch_and_ends_when_resumed() {
        let (plan, engine) = (FaultPlan::default(), EngineType(9));
        plan.edit(0, engine, |p| p.faults.push((1, LaunchFault::Hang)));
        assert_eq!(plan.before_launch(0, engine, || false), Ok(None), "not yet");
        let looks = AtomicU32::new(0);
        let hung = plan.before_launch(0, engine, || looks.fetch_add(1, Ordering::Relaxed) == 5);
        assert_eq!((hung, looks.into_inner()), (Ok(None), 6), "it hangs until cancelled");
        assert_eq!(plan.before_launch(0, engine, || false), Ok(None), "it strikes once");

        plan.edit(0, engine, |p| p.faults.push((0, LaunchFault::Hang)));
        std::thread::scope(|scope| {
            let launch = scope.spawn(|| plan.before_launch(0, engine, || false));
            while !lock(&plan.engines)[&(0, engine)].faults.is_empty() {
                std::thread::yield_now();
            }
            plan.edit(0, engine, |p| p.resumed += 1);
            assert_eq!(launch.join().unwrap(), Ok(None));
        });
    }

    #[test]
    fn the_nth_launch_fails_once() {
        let (plan, engine) = (FaultPlan::default(), EngineType(9));
        let faults = vec![(2, LaunchFault::Engine), (0, LaunchFault::Status(8)), (0, LaunchFault::Status(9))];
        lock(&plan.engines).insert((0, engine), EnginePlan { faults, ..Default::default() });
        let launch = || plan.before_launch(0, engine, || false);
        assert_eq!((launch(), launch()), (Ok(Some(8)), Ok(Some(9))));
        assert_eq!(plan.before_launch(1, engine, || false), Ok(None), "another GPU");
        assert!(matches!(launch(), Err(EngineFault::Exception(_))));
        assert_eq!(launch(), Ok(None));
    }
}
