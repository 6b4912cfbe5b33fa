//! [`Faults`]: what goes wrong on machines, on demand.

use std::sync::{Arc, Weak};
use std::time::Duration;

use nvkernel_sys::engine::EngineType;

use super::gpu::fault_plan::{Call, Failure, FaultPlan, LaunchFault};
use super::rm::Driver;

/// Plans faults of an [`EmulatedKernel`](super::EmulatedKernel). Clones share the plan; it may be changed while work is
/// in flight.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Arc<FaultPlan>,
    driver: Weak<Driver>,
}

impl Faults {
    pub(super) fn new(plan: Arc<FaultPlan>, driver: Weak<Driver>) -> Faults {
        Faults { plan, driver }
    }

    /// Lets `pass` calls like `call` succeed and fails the one after them, once.
    pub fn fail_call(&self, call: Call, pass: u32, failure: Failure) {
        self.plan.fail_call(call, pass, failure);
    }

    /// Failures of calls that are planned and have not struck.
    pub fn pending_calls(&self) -> usize {
        self.plan.pending_calls()
    }

    /// Ignores the next `count` doorbells. A channel then sleeps until its doorbell is rung again.
    pub fn lose_doorbells(&self, count: u32) {
        self.plan.lose_doorbells(count);
    }

    /// Keeps an engine of GPU `gpu` from launching anything until [`resume`](Self::resume). Freeing
    /// the channel does not end it. An engine that hangs in one launch is [`LaunchFault::Hang`].
    pub fn stall(&self, gpu: usize, engine: EngineType) {
        self.plan.edit(gpu, engine, |plan| plan.stalled = true);
    }

    /// Lets a stalled engine launch `count` times more.
    pub fn let_launch(&self, gpu: usize, engine: EngineType, count: u32) {
        self.plan.edit(gpu, engine, |plan| plan.allowed += count);
    }

    /// Ends a [`stall`](Self::stall), and the [`LaunchFault::Hang`] that an engine is in.
    pub fn resume(&self, gpu: usize, engine: EngineType) {
        self.plan.edit(gpu, engine, |plan| {
            (plan.stalled, plan.allowed) = (false, 0);
            plan.resumed += 1;
        });
    }

    /// Makes the channels of an engine pass over semaphores that are not reached, from now on: what a driver would see
    /// that forgets to wait.
    pub fn skip_acquires(&self, gpu: usize, engine: EngineType) {
        self.plan.edit(gpu, engine, |plan| plan.hasty = true);
    }

    /// Makes every launch of an engine take `delay` longer.
    pub fn slow_down(&self, gpu: usize, engine: EngineType, delay: Duration) {
        self.plan.edit(gpu, engine, |plan| plan.delay = delay);
    }

    /// Makes the next launch of an engine fail.
    pub fn fault_next_launch(&self, gpu: usize, engine: EngineType, fault: LaunchFault) {
        self.fault_launch(gpu, engine, 0, fault);
    }

    /// Lets `pass` launches of an engine succeed and makes the one after them fail, once.
    pub fn fault_launch(&self, gpu: usize, engine: EngineType, pass: u32, fault: LaunchFault) {
        self.plan.edit(gpu, engine, |plan| plan.faults.push((pass, fault)));
    }

    /// Lets GPU `gpu` fall off the bus: its engines stop, calls that concern it answer
    /// `NV_ERR_GPU_IS_LOST`, and polls of event descriptors report a hang-up.
    pub fn lose_gpu(&self, gpu: usize) {
        if let Some(driver) = self.driver.upgrade() {
            driver.lose_gpu(gpu);
        }
    }
}
