//! How a stream spreads over engines, without any: emulated engines that take as long as those of an H200, or a multiple
//! of that, and decode nothing.
//!
//! ```text
//! cargo run --release --example schedule -- clip.hevc [LOOPS [SCALE]]
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use hcq::kernel::emulated::{EmulatedKernel, Engine, EngineContext, EngineFault};
use hcq::{Device, EngineKind};
use nvdec::{Context, DecoderOptions, EngineSet, Engines, HevcDecoder, Mode, Sent};
use nvkernel_sys::video::{self, hevc_pic as pic};

struct Timed {
    class: u32,
    scale: f64,
    methods: Vec<(u32, u32)>,
}

impl Engine for Timed {
    fn class(&self) -> u32 {
        self.class
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
            found.map(|&(_, page)| u64::from(page) << 8).unwrap_or(0)
        };
        let mut descriptor = [0; 276];
        context.memory().read(at(video::SET_DRV_PIC_SETUP_OFFSET), &mut descriptor)?;
        let field = |f: nvkernel_sys::bits::Field| f.read(&descriptor, 0).unwrap_or(0) as u64;
        let blocks = field(pic::pic_width_in_luma_samples).div_ceil(16)
            * field(pic::pic_height_in_luma_samples).div_ceil(16);
        let cycles = 113 * blocks + 12 * field(pic::stream_len);
        let time = Duration::from_secs_f64(self.scale * cycles as f64 / 1545e6);
        let status = at(video::SET_NVDEC_STATUS_OFFSET);
        context.memory().store_u32(status, blocks as u32)?;
        context.memory().store_u32(status + 8, (cycles / 16) as u32)?;
        // A sleep ends late: the rest is waited for.
        std::thread::sleep(time.saturating_sub(start.elapsed() + Duration::from_micros(150)));
        while start.elapsed() < time {
            std::thread::yield_now();
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: schedule FILE [LOOPS [SCALE]]")?;
    let loops: u32 = args.next().map_or(Ok(1), |n| n.parse())?;
    let scale: f64 = args.next().map_or(Ok(4.0), |n| n.parse())?;
    let data = std::fs::read(path)?;
    let mut one = None;
    for (mode, surfaces, count) in [
        (Mode::Balanced, None, 1),
        (Mode::LowLatency, Some(24), 7),
        (Mode::Balanced, Some(64), 7),
        (Mode::Throughput, Some(128), 7),
        (Mode::Throughput, Some(256), 7),
    ] {
        let kernel = EmulatedKernel::builder()
            .with_engine_factory(EngineKind::Nvdec, move |_, class| {
                Box::new(Timed { class, scale, methods: Vec::new() })
            })
            .build()?;
        let context = Context::new(Device::open(Arc::new(kernel), 0)?)?;
        let engines: EngineSet = context.engines().iter().copied().take(count).collect();
        let options = DecoderOptions { engines: Engines::Set(engines), mode, surfaces, held_frames: None };
        let mut decoder = HevcDecoder::new(&context, options)?;
        let start = Instant::now();
        let mut pictures = 0u64;
        for _ in 0..loops {
            for nal in hevc::nal::split_annex_b(&data) {
                while decoder.send_nal(nal, None)? == Sent::NoSurface {
                    pictures += u64::from(decoder.receive().is_some());
                }
                pictures += std::iter::from_fn(|| decoder.receive()).count() as u64;
            }
            while decoder.flush()? == Sent::NoSurface {
                pictures += u64::from(decoder.receive().is_some());
            }
            pictures += std::iter::from_fn(|| decoder.receive()).count() as u64;
        }
        decoder.finish()?;
        let seconds = start.elapsed().as_secs_f64();
        let statistics = decoder.statistics();
        let busy = scale * statistics.engine_cycles as f64 / 1545e6;
        let rate = pictures as f64 / seconds * scale;
        let base = *one.get_or_insert(rate);
        println!(
            "{count} engines, {mode:?}, {surfaces:?} surfaces: {rate:.0} pictures/s, {:.2} x one, engines busy {:.0} %",
            rate / base,
            100.0 * busy / seconds / count as f64
        );
    }
    Ok(())
}
