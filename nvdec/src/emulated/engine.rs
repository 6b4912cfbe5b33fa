//! The engine whatever it decodes: methods, the choice of the codec, and the status around each picture.

use hcq::EngineType;
use hcq::kernel::emulated::{Engine, EngineContext, EngineFault};
use nvkernel_sys::video::{self, set_control_params};

use super::application::{Application, MakeDecoder, PictureDecoder, Refusal};
use super::methods::Methods;
use super::status::{self, Status};
use super::{environment, hevc};
use crate::class::{Codec, EngineLimits, VideoClass};

/// What the engine decodes: a row for each codec.
const APPLICATIONS: &[Application] = &[hevc::APPLICATION];

/// What a [`NvdecEngine`] lacks of its class, and where it can do more. A decoder refuses streams beyond it by name,
/// before it submits anything; what is submitted all the same ends with `error_status` 8.
pub const LIMITS: EngineLimits =
    EngineLimits { name: "emulated", codecs: &[(Codec::Hevc, hevc::CHROMA)], hevc: hevc::LIMITS };

/// What the engines of one machine have in common.
pub(super) struct Machine {
    /// What of the environment keeps them from decoding.
    environment: Result<(), String>,
    /// As [`APPLICATIONS`].
    decoders: Vec<MakeDecoder>,
}

impl Machine {
    pub(super) fn new() -> Machine {
        Machine {
            environment: environment::check(std::env::vars_os()),
            decoders: APPLICATIONS.iter().map(|application| (application.share)()).collect(),
        }
    }

    /// An object of `class` on a channel of `engine`.
    pub(super) fn engine(&self, engine: EngineType, class: u32) -> NvdecEngine {
        NvdecEngine {
            engine,
            class,
            row: VideoClass::find(class),
            environment: self.environment.clone(),
            methods: Methods::default(),
            decoders: self.decoders.iter().map(|make| make()).collect(),
            refused: None,
        }
    }
}

/// A video decoder object on a channel: see the [module](super).
#[derive(Debug)]
pub struct NvdecEngine {
    engine: EngineType,
    class: u32,
    /// The row of the class, if there is one.
    row: Option<&'static VideoClass>,
    /// What of the environment keeps it from decoding.
    environment: Result<(), String>,
    methods: Methods,
    /// As [`APPLICATIONS`].
    decoders: Vec<Box<dyn PictureDecoder>>,
    /// What was refused last, so that a stream of such pictures is one line in the log.
    refused: Option<Refusal>,
}

impl NvdecEngine {
    /// An object of `class` on a channel of `engine`, that shares nothing with other engines.
    pub fn new(engine: EngineType, class: u32) -> NvdecEngine {
        Machine::new().engine(engine, class)
    }

    fn execute(&mut self, context: &EngineContext<'_>) -> Result<(), EngineFault> {
        self.environment.clone().map_err(EngineFault::Exception)?;
        let Some(class) = self.row else {
            return Err(EngineFault::Exception(format!(
                "class {:#06x} is not in the table of video classes",
                self.class
            )));
        };
        let methods = self.methods.take(class.keeps_control);
        let class = &LIMITS.shaped(class);
        let decoder = application(self.engine, &methods).map_err(EngineFault::Exception)?;
        let decoder = &mut self.decoders[decoder];
        let memory = context.memory();
        let status_at = methods.address(video::SET_NVDEC_STATUS_OFFSET);
        if !status::is_clear(memory, status_at)? {
            log::warn!("{}: the status of the picture is not clear; it is not decoded", self.engine);
            return Ok(());
        }
        let given_up = |decoder: &dyn PictureDecoder, error_status| {
            let in_error = decoder.blocks(memory, &methods)?;
            Status { in_error, error_status, cycles: status::cycles(0, 0), ..Status::default() }
                .write(memory, status_at)
        };
        if let Some(error_status) = context.take_error_status() {
            return Ok(given_up(&**decoder, error_status)?);
        }
        match decoder.decode(context, class, &methods)? {
            Ok(status) => Ok(status.write(memory, status_at)?),
            Err(refusal) => {
                if self.refused.as_ref() != Some(&refusal) {
                    log::warn!("{}: picture refused: {refusal}", self.engine);
                }
                given_up(&**decoder, refusal.error_status)?;
                self.refused = Some(refusal);
                Ok(())
            }
        }
    }
}

/// The place of the application in [`APPLICATIONS`], or what to say of one that is not there.
fn application(engine: EngineType, methods: &Methods) -> Result<usize, String> {
    let codec = set_control_params::CODEC_TYPE.get(methods.control);
    let selected = |a: &Application| a.id == methods.application && a.codec_type == codec;
    APPLICATIONS.iter().position(selected).ok_or_else(|| {
        let known =
            APPLICATIONS.iter().map(|a| format!("{} ({} and {})", a.codec.name(), a.id, a.codec_type));
        format!(
            "EXECUTE on {engine} with application {} and codec {codec}: the model decodes {}",
            methods.application,
            known.collect::<Vec<_>>().join(", ")
        )
    })
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
            _ if self.row.is_some_and(|class| class.has_method(address)) => {
                self.methods.set_buffer(address, value);
            }
            _ => return Err(EngineFault::UnknownMethod { address, value }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_application_is_one_row_and_has_limits() {
        for (i, row) in APPLICATIONS.iter().enumerate() {
            let keys = |a: &Application| (a.id, a.codec_type);
            assert!(APPLICATIONS[..i].iter().all(|other| keys(other) != keys(row)));
            assert!(!LIMITS.chroma(row.codec).is_empty(), "{}", row.codec.name());
        }
        assert_eq!(LIMITS.codecs.len(), APPLICATIONS.len());
    }

    #[test]
    fn applications_that_are_not_there_are_named() {
        let engine = EngineType::of(hcq::EngineKind::Nvdec, 1).unwrap();
        let set = |application, control| {
            let mut methods = Methods::default();
            (methods.application, methods.control) = (application, control);
            methods
        };
        assert_eq!(application(engine, &set(7, 7)), Ok(0));
        for (id, codec) in [(0, 0), (3, 3), (7, 3), (9, 7)] {
            let error = application(engine, &set(id, codec)).unwrap_err();
            let said = format!(
                "EXECUTE on NVDEC1 with application {id} and codec {codec}: the model decodes HEVC (7 and 7)"
            );
            assert_eq!(error, said);
        }
    }
}
