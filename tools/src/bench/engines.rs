//! Emulated engines that decode nothing and take their time over it: as long as those of an H200, or a multiple of
//! that, each at a speed of its own. They show how a stream spreads over engines where there are none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hcq::kernel::emulated::{EmulatedKernel, Engine, EngineContext, EngineFault};
use hcq::{Device, EngineKind};
use nvdec::{Context, EngineSet};
use nvkernel_sys::bits::Field;
use nvkernel_sys::video::{self, hevc_pic, nvdec_status};

use crate::exit::Failure;

/// Clock of an H200's engines, in cycles a second.
pub const CLOCK: f64 = 1545e6;
/// Cycles of an H200 for a block of 16x16, and for a byte of slice data.
const CYCLES: (u64, u64) = (113, 12);
/// A sleep may end as much later than it should: the rest is waited for.
const SLEEP_LATENESS: Duration = Duration::from_micros(150);
/// After so long an engine looks whether its result is still wanted.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
/// Bytes of the descriptor that are looked at.
const DESCRIPTOR_BYTES: usize = 0x60;

/// Cycles that such a picture takes.
pub fn cycles(blocks: u64, bytes: u64) -> u64 {
    CYCLES.0 * blocks + CYCLES.1 * bytes
}

struct Timed {
    class: u32,
    /// Seconds for a cycle.
    cycle: f64,
    methods: Vec<(u32, u32)>,
}

impl Engine for Timed {
    fn class(&self) -> u32 {
        self.class
    }

    fn launches(&self, address: u32, _: u32) -> bool {
        address == video::EXECUTE
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        self.methods.push((address, value));
        if address != video::EXECUTE {
            return Ok(());
        }
        let start = Instant::now();
        let methods = std::mem::take(&mut self.methods);
        let at = |method| {
            let found = methods.iter().find(|(m, _)| *m == method);
            found.map_or(0, |&(_, page)| u64::from(page) << 8)
        };
        let mut descriptor = [0; DESCRIPTOR_BYTES];
        context.memory().read(at(video::SET_DRV_PIC_SETUP_OFFSET), &mut descriptor)?;
        let field = |f: Field| f.read(&descriptor, 0).unwrap_or(0) as u64;
        let blocks = field(hevc_pic::pic_width_in_luma_samples).div_ceil(16)
            * field(hevc_pic::pic_height_in_luma_samples).div_ceil(16);
        let cycles = cycles(blocks, field(hevc_pic::stream_len));
        let status = at(video::SET_NVDEC_STATUS_OFFSET);
        let put = |field: Field, value: u64| {
            context
                .memory()
                .store_u32(status + u64::from(field.offset), u32::try_from(value).unwrap_or(u32::MAX))
        };
        put(nvdec_status::mbs_correctly_decoded, blocks)?;
        put(nvdec_status::cycle_count, cycles / 16)?;
        let time = Duration::try_from_secs_f64(self.cycle * cycles as f64).unwrap_or(Duration::MAX);
        while let Some(left) = time.checked_sub(start.elapsed())
            && !context.is_cancelled()
        {
            match left.checked_sub(SLEEP_LATENESS) {
                Some(sleep) => std::thread::sleep(sleep.min(LONGEST_SLEEP)),
                None => std::thread::yield_now(),
            }
        }
        Ok(())
    }
}

/// An emulated H200 whose engines take `scale` times as long as a real one's, divided by their speed, and the set of as
/// many engines as there are `speeds`.
///
/// # Errors
///
/// [`Failure::Usage`] for more speeds than there are engines.
pub fn timed(scale: f64, speeds: &[f64]) -> Result<(Arc<Context>, EngineSet), Failure> {
    let of = speeds.to_vec();
    let kernel = EmulatedKernel::builder()
        .with_engine_factory(EngineKind::Nvdec, move |engine, class| {
            // The H200 of the model has NVDEC1 to NVDEC7.
            let at = (engine.instance() as usize).saturating_sub(1);
            let speed = of.get(at).copied().unwrap_or(1.0);
            Box::new(Timed { class, cycle: scale / (speed * CLOCK), methods: Vec::new() })
        })
        .build()
        .map_err(|source| nvdec::Error::Emulation { source })?;
    let context = Context::new(Device::open(Arc::new(kernel), 0).map_err(nvdec::Error::from)?)?;
    let present = context.engines().len();
    if speeds.is_empty() || speeds.len() > present {
        let message = format!("{} speeds: name one for each of 1 to {present} engines", speeds.len());
        return Err(Failure::Usage(message));
    }
    let engines = context.engines().iter().copied().take(speeds.len()).collect();
    Ok((context, engines))
}
