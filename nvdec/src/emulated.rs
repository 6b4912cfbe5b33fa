//! An NVDEC engine in software, for the emulated GPU of [`hcq::kernel::emulated`].
//!
//! It decodes as the hardware does: on `EXECUTE` it reads descriptor, tables, slice data, reference surfaces and
//! collocated motion vectors from the emulated GPU's memory, at the addresses that the methods gave, and writes
//! a block-linear surface, motion vectors and a status there. It knows nothing of the driver above it, so that a
//! wrong reference, order, offset, stride or length shows on a machine without a GPU.
//!
//! What it holds the driver to, all of it seen on an H200:
//!
//! - Addresses are forgotten with `EXECUTE`; one that is missing is address 0, which faults. Application and
//!   control word stay on classes that keep them.
//! - Of a slice segment header, `sw_hdr_skip_length` bits behind `slice_type` are skipped unseen. Reference
//!   lists, order count differences and long-term marks come from the descriptor.
//! - A status that is not clear keeps the engine from decoding.
//! - Damaged slice data end with `error_status` 0x5 or 0xd and a concealed picture.
//!
//! Where it is stricter than hardware, so that mistakes show:
//!
//! - Scratch areas are written in the sizes that hardware was seen to touch, and must stay as they are until the
//!   picture is done: areas that overlap anything stop the channel.
//! - Every picture of a reference list in use is read, and must be mapped, whether or not a block refers to it.
//! - Tile tables that do not fit the picture are refused.
//!
//! Where it knows less:
//!
//! - It decodes 4:2:0 of 8 to 12 bits without the tools of the range extensions, and says so ([`LIMITS`]). What
//!   it is told to decode beyond that ends with `error_status` 8, and the log names the field.
//! - `cycle_count` is a function of the picture's blocks and bytes. Codes of slice header errors, the order of
//!   bytes in the collocated motion vectors and what concealment shows are its own.
//! - Where slice data go wrong before they stop making sense is not known to it: the whole segment is lost.
//! - References with the same order count difference count as one picture, unless the difference is clipped.
//! - The event trace, histograms and slice-level decoding are missing.
//!
//! ```
//! use std::sync::Arc;
//! let kernel = Arc::new(nvdec::emulated::h200()?);
//! let context = nvdec::Context::new(hcq::Device::open(kernel, 0)?)?;
//! let decoder = nvdec::HevcDecoder::new(&context, nvdec::DecoderOptions::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use hcq::kernel::emulated::{Builder, EmulatedKernel, Engine, EngineContext, EngineFault, GpuModel};
use hcq::{EngineKind, EngineType};
use nvkernel_sys::video::{self, set_control_params};

use crate::class::{Chroma, Codec, EngineLimits, HevcLimits, Shapes, VideoClass};

mod decode;
mod environment;
mod motion;
mod reconstruction;
mod references;
mod scratch;
mod setup;
mod slice_header;
mod status;
mod surface;

use decode::Decoder;
use references::Conversions;
use surface::Surface;

/// A machine with one emulated H200 whose video engines decode.
///
/// # Errors
///
/// As [`Builder::build`]; [`io::ErrorKind::InvalidInput`] if the environment has a variable whose name begins with
/// `RH265_` and that could make pictures wrong.
pub fn h200() -> io::Result<EmulatedKernel> {
    environment::check(std::env::vars_os())
        .map_err(|refusal| io::Error::new(io::ErrorKind::InvalidInput, refusal))?;
    attach(EmulatedKernel::builder().gpu(GpuModel::h200())).build()
}

/// What a [`NvdecEngine`] lacks of its class, and where it can do more. A decoder refuses streams beyond it by name,
/// before it submits anything; what is submitted all the same ends with `error_status` 8.
pub const LIMITS: EngineLimits = EngineLimits {
    name: "emulated",
    codecs: &[(Codec::Hevc, Chroma::C420)],
    hevc: HevcLimits { range_extensions: false, shapes: Shapes::All },
};

/// Gives the video engines of all GPUs of a machine a [`NvdecEngine`] each, and states their [`LIMITS`].
///
/// Beside a variable of the environment for which [`h200`] is an error these engines decode nothing: a channel that
/// executes on one stops, and the log of the machine says why.
pub fn attach(builder: Builder) -> Builder {
    let conversions = Arc::<Conversions>::default();
    let environment = environment::check(std::env::vars_os());
    builder.with_limited_engine_factory(EngineKind::Nvdec, LIMITS, move |engine, class| {
        let decoder = Decoder::new(conversions.clone());
        Box::new(NvdecEngine {
            engine,
            class,
            environment: environment.clone(),
            methods: Methods::default(),
            decoder,
        })
    })
}

/// A video decoder object on a channel: see the [module](self).
#[derive(Debug)]
pub struct NvdecEngine {
    engine: EngineType,
    class: u32,
    /// What of the environment keeps it from decoding.
    environment: Result<(), String>,
    methods: Methods,
    decoder: Decoder,
}

#[cfg(test)]
pub(crate) use setup::ABSENT_TOOLS;

/// The field for which a picture would be refused, if any.
#[cfg(test)]
pub(crate) fn refuses(descriptor: &[u8], tiles: &[u8], class: &VideoClass) -> Option<&'static str> {
    let setup = setup::Setup::new(descriptor[..setup::Setup::BYTES].try_into().expect("a whole descriptor"));
    let checked = setup.check(class).and_then(|()| setup::TileSizes::read(tiles, &setup, class));
    checked.err().map(|refusal| refusal.field)
}

/// What was set by methods.
#[derive(Clone, Debug, Default)]
struct Methods {
    application: u32,
    control: u32,
    /// Data of the buffer methods, by address of the method. Gone after `EXECUTE`.
    buffers: BTreeMap<u32, u32>,
}

impl Methods {
    /// The GPU address that a buffer method gave: 0 if it was not sent.
    fn address(&self, method: u32) -> u64 {
        u64::from(self.buffers.get(&method).copied().unwrap_or(0)) << 8
    }

    /// The surface at a place of the picture table.
    fn picture(&self, place: u8) -> Surface {
        let offset = 4 * u32::from(place);
        Surface {
            luma: self.address(video::SET_PICTURE_LUMA_OFFSET + offset),
            chroma: self.address(video::SET_PICTURE_CHROMA_OFFSET + offset),
        }
    }
}

impl NvdecEngine {
    /// An object of `class` on a channel of `engine`.
    pub fn new(engine: EngineType, class: u32) -> NvdecEngine {
        let decoder = Decoder::new(Arc::default());
        let environment = environment::check(std::env::vars_os());
        NvdecEngine { engine, class, environment, methods: Methods::default(), decoder }
    }

    fn execute(&mut self, context: &EngineContext<'_>) -> Result<(), EngineFault> {
        self.environment.clone().map_err(EngineFault::Exception)?;
        let Some(class) = VideoClass::find(self.class) else {
            return Err(EngineFault::Exception(format!(
                "class {:#06x} is not in the table of video classes",
                self.class
            )));
        };
        let methods = std::mem::take(&mut self.methods);
        if class.keeps_control {
            (self.methods.application, self.methods.control) = (methods.application, methods.control);
        }
        let codec = set_control_params::CODEC_TYPE.get(methods.control);
        if methods.application != video::APPLICATION_ID_HEVC || codec != set_control_params::CODEC_TYPE_HEVC {
            return Err(EngineFault::Exception(format!(
                "EXECUTE on {} with application {} and codec {codec}: the model decodes HEVC (7 and 7)",
                self.engine, methods.application
            )));
        }
        self.decoder.execute(context, &LIMITS.shaped(class), &methods)
    }
}

impl Engine for NvdecEngine {
    fn class(&self) -> u32 {
        self.class
    }

    fn launches(&self, address: u32, _: u32) -> bool {
        address == video::EXECUTE
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        match address {
            video::EXECUTE => self.execute(context)?,
            video::SET_APPLICATION_ID => self.methods.application = value,
            video::SET_CONTROL_PARAMS => self.methods.control = value,
            _ if VideoClass::find(self.class).is_some_and(|class| class.has_method(address)) => {
                self.methods.buffers.insert(address, value);
            }
            _ => return Err(EngineFault::UnknownMethod { address, value }),
        }
        Ok(())
    }
}
