//! A machine without a GPU for the tests of this crate: an engine that notes what it is told and decodes nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bitstream::split_annex_b;
use hcq::kernel::emulated::{EmulatedKernel, Engine, EngineContext, EngineFault, GpuModel};
use hcq::{Device, EngineKind, EngineType, SyncPoint};
use nvkernel_sys::video;

use crate::{Context, DecoderOptions, Frame, HevcDecoder, Sent, Surface};

/// Streams of the `hevc` crate, whose slice data is cut off, and of the self-test, which are whole.
macro_rules! stream {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../hevc/tests/data/", $name, ".hevc")).as_slice())
    };
}
pub(crate) const STREAMS: &[(&str, &[u8])] = &[
    stream!("h_ra_cra"),
    stream!("h_wp_ra"),
    stream!("s_lt_msb"),
    stream!("s_lt_sps"),
    stream!("s_rplm_perm"),
    stream!("x_radl"),
    stream!("h_pcm10"),
    stream!("h_sl_file"),
    stream!("s_slist_pps"),
    stream!("h_tiles_slices"),
    stream!("h_tiles_non"),
    stream!("h_depslice_wpp"),
    stream!("h_dbk_slice"),
    stream!("s_hdr_ext_wpp"),
    stream!("s_multi_ps"),
    stream!("hx_tools_a"),
    stream!("hx_cuchromaqp"),
    stream!("x_hdr10"),
];

pub(crate) fn stream(name: &str) -> &'static [u8] {
    STREAMS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no stream {name}")).1
}

/// One EXECUTE: what the engine was told, and what lay where it was told to look.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    pub(crate) engine: EngineType,
    /// State methods since the last EXECUTE, in order, and EXECUTE.
    pub(crate) methods: Vec<(u32, u32)>,
    pub(crate) descriptor: Vec<u8>,
    pub(crate) tiles: Vec<u8>,
    pub(crate) scaling_lists: Option<Vec<u8>>,
    /// `stream_len` bytes, and the 256 behind them.
    pub(crate) bitstream: Vec<u8>,
    /// The status memory as the engine found it.
    pub(crate) status: Vec<u8>,
}

impl Execution {
    /// The address that a method points at.
    pub(crate) fn address(&self, method: u32) -> Option<u64> {
        self.methods.iter().find(|(m, _)| *m == method).map(|&(_, value)| u64::from(value) << 8)
    }

    /// A word of the descriptor.
    pub(crate) fn word(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.descriptor[offset..offset + 4].try_into().unwrap())
    }
}

#[derive(Debug, Default)]
struct Log {
    executions: Vec<Execution>,
    /// Status structs to answer with, before falling back to a good one.
    answers: VecDeque<[u32; 14]>,
}

/// What all engines of a machine were told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Log>>);

impl Recorder {
    fn with<T>(&self, f: impl FnOnce(&mut Log) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn executions(&self) -> Vec<Execution> {
        self.with(|log| log.executions.clone())
    }

    /// Makes the next picture end with this status.
    pub(crate) fn answer(&self, status: [u32; 14]) {
        self.with(|log| log.answers.push_back(status));
    }
}

struct RecordingEngine {
    class: u32,
    methods: Vec<(u32, u32)>,
    recorder: Recorder,
}

impl Engine for RecordingEngine {
    fn class(&self) -> u32 {
        self.class
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        self.methods.push((address, value));
        if address != video::EXECUTE {
            return Ok(());
        }
        let methods = std::mem::take(&mut self.methods);
        let at = |method| methods.iter().find(|(m, _)| *m == method).map(|&(_, page)| u64::from(page) << 8);
        let read = |method, bytes: usize| -> Result<Vec<u8>, EngineFault> {
            let mut data = vec![0; bytes];
            let address =
                at(method).ok_or_else(|| EngineFault::Exception(format!("method {method:#x} is missing")))?;
            context.memory().read(address, &mut data)?;
            Ok(data)
        };
        let descriptor = read(video::SET_DRV_PIC_SETUP_OFFSET, 512)?;
        let stream_len = u32::from_le_bytes(descriptor[0x30..0x34].try_into().unwrap()) as usize;
        let blocks = {
            let size = |at: usize| u32::from(u16::from_le_bytes([descriptor[at], descriptor[at + 1]]));
            size(0x58).div_ceil(16) * size(0x5a).div_ceil(16)
        };
        let execution = Execution {
            engine: context.engine(),
            tiles: read(video::HEVC_SET_TILE_SIZES_OFFSET, 0x1000)?,
            scaling_lists: at(video::HEVC_SET_SCALING_LIST_OFFSET)
                .map(|_| read(video::HEVC_SET_SCALING_LIST_OFFSET, 1008))
                .transpose()?,
            bitstream: read(video::SET_IN_BUF_BASE_OFFSET, stream_len + 256)?,
            status: read(video::SET_NVDEC_STATUS_OFFSET, 56)?,
            descriptor,
            methods,
        };
        let status = execution.address(video::SET_NVDEC_STATUS_OFFSET).unwrap();
        let answer = self.recorder.with(|log| {
            log.executions.push(execution);
            log.answers.pop_front()
        });
        let mut good = [0; 14];
        (good[0], good[2]) = (blocks, 1000);
        for (i, word) in answer.unwrap_or(good).into_iter().enumerate() {
            context.memory().store_u32(status + 4 * i as u64, word)?;
        }
        Ok(())
    }
}

/// A model of a GPU with its context.
pub(crate) struct Machine {
    pub(crate) context: Arc<Context>,
    pub(crate) recorder: Recorder,
    pub(crate) kernel: EmulatedKernel,
}

impl Machine {
    pub(crate) fn new(gpu: GpuModel) -> Machine {
        let recorder = Recorder::default();
        let log = recorder.clone();
        let kernel = EmulatedKernel::builder()
            .gpu(gpu)
            .with_engine_factory(EngineKind::Nvdec, move |_, class| {
                Box::new(RecordingEngine { class, methods: Vec::new(), recorder: log.clone() })
            })
            .build()
            .unwrap();
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        Machine { context: Context::new(device).unwrap(), recorder, kernel }
    }

    pub(crate) fn h200() -> Machine {
        Machine::new(GpuModel::h200())
    }

    /// Decodes a stream; the frames are dropped as they come.
    pub(crate) fn decode(&self, stream: &[u8]) -> Vec<Execution> {
        // One engine, for the order of the executions to be that of the pictures.
        let options = DecoderOptions::on(self.context.engines()[0]);
        let mut decoder = HevcDecoder::new(&self.context, options).unwrap();
        for nal in split_annex_b(stream) {
            while send(&mut decoder, nal) == Sent::NoSurface {
                drop(receive(&mut decoder).expect("a frame to give back"));
            }
        }
        assert_eq!(decoder.flush().unwrap(), Sent::Accepted);
        while receive(&mut decoder).is_some() {}
        decoder.finish().unwrap();
        let log = self.kernel.log();
        assert!(log.is_empty(), "{log:?}");
        assert!(decoder.take_error().is_none());
        self.recorder.executions()
    }
}

/// What a write to a surface would wait for.
pub(crate) fn pending_uses(surface: &Surface) -> Vec<SyncPoint> {
    surface.uses().before_write().cloned().collect()
}

/// What a read of a surface would wait for.
pub(crate) fn pending_write(surface: &Surface) -> Option<SyncPoint> {
    surface.uses().before_read().next().cloned()
}

fn send(decoder: &mut HevcDecoder, nal: &[u8]) -> Sent {
    decoder.send_nal(nal, None).unwrap_or_else(|e| panic!("{e}"))
}

fn receive(decoder: &mut HevcDecoder) -> Option<Frame> {
    decoder.receive()
}
