//! A machine without a GPU for the tests of this crate: an engine that notes what it is told and decodes nothing. And
//! [`codec`], which tests what all codecs share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use hcq::kernel::emulated::{EmulatedKernel, Engine, EngineContext, EngineFault, GpuModel};
use hcq::{Device, EngineKind, EngineType, SyncPoint};
use nvkernel_sys::video;

use crate::{Codec, Context, Decoder, DecoderOptions, Surface, Units};

pub(crate) mod codec;

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
    /// Of HEVC, as are the scaling lists.
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

    /// `bytes` bytes of the memory that a method points at.
    fn read(&self, context: &EngineContext<'_>, method: u32, bytes: usize) -> Result<Vec<u8>, EngineFault> {
        let missing = || EngineFault::Exception(format!("method {method:#x} is missing"));
        let mut data = vec![0; bytes];
        context.memory().read(self.address(method).ok_or_else(missing)?, &mut data)?;
        Ok(data)
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

/// What the engine has to know of a codec.
pub(crate) struct Layout {
    /// `SET_APPLICATION_ID`.
    application: u32,
    /// Bytes of the descriptor.
    descriptor: usize,
    /// Where in it the bytes of slice data are counted.
    stream_len: usize,
    /// The 16x16 blocks of the picture that it describes.
    blocks: fn(&[u8]) -> u32,
    /// What is read, and written, besides.
    decode: fn(&EngineContext<'_>, &mut Execution) -> Result<(), EngineFault>,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        application: video::APPLICATION_ID_HEVC,
        descriptor: 512,
        stream_len: 0x30,
        blocks: |descriptor| {
            let size = |at: usize| u32::from(u16::from_le_bytes([descriptor[at], descriptor[at + 1]]));
            size(0x58).div_ceil(16) * size(0x5a).div_ceil(16)
        },
        decode: |context, execution| {
            execution.tiles = execution.read(context, video::HEVC_SET_TILE_SIZES_OFFSET, 0x1000)?;
            execution.scaling_lists = execution
                .address(video::HEVC_SET_SCALING_LIST_OFFSET)
                .map(|_| execution.read(context, video::HEVC_SET_SCALING_LIST_OFFSET, 1008))
                .transpose()?;
            Ok(())
        },
    },
    codec::LAYOUT,
];

struct RecordingEngine {
    class: u32,
    /// The application that it was told last.
    application: u32,
    methods: Vec<(u32, u32)>,
    recorder: Recorder,
}

impl Engine for RecordingEngine {
    fn class(&self) -> u32 {
        self.class
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        self.methods.push((address, value));
        if address == video::SET_APPLICATION_ID {
            self.application = value;
        }
        if address != video::EXECUTE {
            return Ok(());
        }
        let known = LAYOUTS.iter().find(|layout| layout.application == self.application);
        let layout = known
            .ok_or_else(|| EngineFault::Exception(format!("application {} is unknown", self.application)))?;
        let mut execution = Execution {
            engine: context.engine(),
            methods: std::mem::take(&mut self.methods),
            descriptor: Vec::new(),
            tiles: Vec::new(),
            scaling_lists: None,
            bitstream: Vec::new(),
            status: Vec::new(),
        };
        execution.descriptor = execution.read(context, video::SET_DRV_PIC_SETUP_OFFSET, layout.descriptor)?;
        let stream_len = execution.word(layout.stream_len) as usize;
        let blocks = (layout.blocks)(&execution.descriptor);
        execution.bitstream = execution.read(context, video::SET_IN_BUF_BASE_OFFSET, stream_len + 256)?;
        execution.status = execution.read(context, video::SET_NVDEC_STATUS_OFFSET, 56)?;
        (layout.decode)(context, &mut execution)?;
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
                Box::new(RecordingEngine {
                    class,
                    application: 0,
                    methods: Vec::new(),
                    recorder: log.clone(),
                })
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
        let mut decoder = Decoder::new(&self.context, Codec::Hevc, options).unwrap();
        for frame in decoder.frames(Units::new(stream)) {
            drop(frame.unwrap_or_else(|e| panic!("{e}")));
        }
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
