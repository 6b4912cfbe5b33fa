//! The engine kinds that there are: which classes of objects each executes, and what stands behind one.
//!
//! [`ENGINE_CLASSES`] is the only place that lists them. The resource manager asks it which classes are engine
//! objects, how an object names its engine and which classes an engine has; the host gets what [`build`] returns and
//! knows the trait [`Engine`] alone.
//!
//! # What an engine of another kind adds
//!
//! An engine, of JPEG say, is a file beside `copy` and `compute`: a struct that implements [`Engine`], keeps the state
//! that methods set, and works on the launch method of its class through
//! [`EngineContext::memory`](super::engine::EngineContext::memory), asking
//! [`EngineContext::is_cancelled`](super::engine::EngineContext::is_cancelled) while it does. Its row is below
//! already, since the classes can be allocated: its `make` becomes a call of that struct's constructor. Semaphores,
//! interrupts, faults and stalls come with the context and the host. A kind without a row yet needs its classes in
//! `nvkernel_sys::class`, the row, engines of that kind in [`GpuModel`](crate::kernel::emulated::GpuModel), and a way
//! to name an engine if its objects have parameters of their own ([`Parameters`]).
//!
//! A program can do the same from outside with
//! [`Builder::with_engine_factory`](crate::kernel::emulated::Builder::with_engine_factory).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use nvkernel_sys::class::{self, ClassKind};
use nvkernel_sys::engine::{EngineKind, EngineType};

use super::compute::ComputeEngine;
use super::compute::class::ComputeClass;
use super::compute::kernels::Kernels;
use super::copy::CopyEngine;
use super::engine::{Engine, EngineContext};
use super::fault::EngineFault;
use super::video::VideoDecoder;

/// How the parameters of an engine object name the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameters {
    /// There are none: the object is on the first engine of the kind.
    None,
    /// `NVB0B5_ALLOCATION_PARAMETERS`: by engine type or instance.
    Copy,
    /// `NV_BSP_ALLOCATION_PARAMETERS`: by instance.
    Bsp,
    /// `NV_NVJPG_ALLOCATION_PARAMETERS`: by instance.
    Nvjpg,
    /// `NV_OFA_ALLOCATION_PARAMETERS`: by instance.
    Ofa,
}

/// Makes what executes a class; what a program attached to the kind comes with it, and the models of kernels.
type Make = fn(class: u32, attached: Option<Box<dyn Engine>>, kernels: &Arc<Kernels>) -> Box<dyn Engine>;

/// A kind of engine objects.
pub(crate) struct EngineClass {
    class: ClassKind,
    /// Kind of the engines that objects are meant for.
    pub(crate) engine: EngineKind,
    /// Kinds of all engines that execute the class.
    engines: &'static [EngineKind],
    pub(crate) parameters: Parameters,
    make: Make,
}

const ENGINE_CLASSES: &[EngineClass] = &[
    EngineClass {
        class: ClassKind::Copy,
        engine: EngineKind::Copy,
        // The graphics runlist is shared with a copy engine.
        engines: &[EngineKind::Copy, EngineKind::DecompressingCopy, EngineKind::Graphics],
        parameters: Parameters::Copy,
        make: |class, attached, _| attached.unwrap_or_else(|| Box::new(CopyEngine::new(class))),
    },
    EngineClass {
        class: ClassKind::Compute,
        engine: EngineKind::Graphics,
        engines: &[EngineKind::Graphics],
        parameters: Parameters::None,
        make: |class, attached, kernels| match (attached, ComputeClass::of(class)) {
            (None, Some(row)) => Box::new(ComputeEngine::new(row, kernels.clone())),
            (attached, _) => attached_alone(class, attached, kernels),
        },
    },
    EngineClass {
        class: ClassKind::VideoDecoder,
        engine: EngineKind::Nvdec,
        engines: &[EngineKind::Nvdec],
        parameters: Parameters::Bsp,
        // Semaphores are the same for every decoder that is attached.
        make: |class, attached, _| Box::new(VideoDecoder::new(class, attached)),
    },
    EngineClass {
        class: ClassKind::Nvjpg,
        engine: EngineKind::Nvjpg,
        engines: &[EngineKind::Nvjpg],
        parameters: Parameters::Nvjpg,
        make: attached_alone,
    },
    EngineClass {
        class: ClassKind::Ofa,
        engine: EngineKind::Ofa,
        engines: &[EngineKind::Ofa],
        parameters: Parameters::Ofa,
        make: attached_alone,
    },
];

/// The kind that `class` belongs to; `None` if its objects are not executed by an engine.
pub(crate) fn engine_class(class: u32) -> Option<&'static EngineClass> {
    let kind = class::class(class)?.kind;
    ENGINE_CLASSES.iter().find(|row| row.class == kind)
}

/// Whether engines of a kind execute `class`.
pub(crate) fn executes(engine: EngineKind, class: u32) -> bool {
    engine_class(class).is_some_and(|row| row.engines.contains(&engine))
}

/// The engine behind an object of `class` on a channel of `engine`.
pub(crate) fn build(engine: EngineType, class: u32, attached: &Attached) -> Box<dyn Engine> {
    let own = attached.factory(engine.kind()).map(|make| make(engine, class));
    let make = engine_class(class).map_or(attached_alone as Make, |row| row.make);
    make(class, own, &attached.kernels)
}

/// The engine that a program attached, or one that refuses every method.
fn attached_alone(class: u32, attached: Option<Box<dyn Engine>>, _: &Arc<Kernels>) -> Box<dyn Engine> {
    attached.unwrap_or_else(|| Box::new(Unattached { class }))
}

/// A class that can be allocated but that nothing executes.
struct Unattached {
    class: u32,
}

impl Engine for Unattached {
    fn class(&self) -> u32 {
        self.class
    }

    fn method(&mut self, _: &EngineContext<'_>, address: u32, _: u32) -> Result<(), EngineFault> {
        let name = class::name_of(self.class);
        Err(EngineFault::Exception(format!("no engine is attached to {name} (method {address:#06x})")))
    }
}

/// Makes an engine of some class, for an engine type.
pub(crate) type Factory = Arc<dyn Fn(EngineType, u32) -> Box<dyn Engine> + Send + Sync>;

/// What attached engines lack, in the terms of the program that attached them.
pub(crate) type Limits = Box<dyn Any + Send + Sync>;

/// An engine model attached to all engines of a kind.
pub(crate) struct Attachment {
    pub(crate) kind: EngineKind,
    pub(crate) make: Factory,
    pub(crate) limits: Option<Limits>,
}

/// Everything attached to a machine; of two for the same kind, the later.
#[derive(Clone)]
pub(crate) struct Attached {
    engines: Arc<Vec<Attachment>>,
    kernels: Arc<Kernels>,
}

impl Attached {
    pub(crate) fn new(engines: Vec<Attachment>, kernels: Kernels) -> Attached {
        Attached { engines: Arc::new(engines), kernels: Arc::new(kernels) }
    }

    fn of(&self, kind: EngineKind) -> Option<&Attachment> {
        self.engines.iter().rev().find(|attachment| attachment.kind == kind)
    }

    fn factory(&self, kind: EngineKind) -> Option<&Factory> {
        self.of(kind).map(|attachment| &attachment.make)
    }

    pub(crate) fn limits(&self, kind: EngineKind) -> Option<&(dyn Any + Send + Sync)> {
        self.of(kind)?.limits.as_deref()
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.engines.iter().map(|attachment| attachment.kind)).finish()
    }
}

#[cfg(test)]
mod tests {
    use nvkernel_sys::class::*;

    use super::*;

    #[test]
    fn every_engine_class_has_one_row_and_others_have_none() {
        let engine_kinds =
            [ClassKind::Copy, ClassKind::Compute, ClassKind::VideoDecoder, ClassKind::Nvjpg, ClassKind::Ofa];
        for row in ENGINE_CLASSES {
            assert_eq!(ENGINE_CLASSES.iter().filter(|other| other.class == row.class).count(), 1);
            assert!(engine_kinds.contains(&row.class) && row.engines.contains(&row.engine));
        }
        assert_eq!(ENGINE_CLASSES.len(), engine_kinds.len());
        assert!(
            executes(EngineKind::Graphics, HOPPER_COMPUTE_A)
                && executes(EngineKind::Graphics, HOPPER_DMA_COPY_A)
        );
        assert!(
            !executes(EngineKind::Copy, HOPPER_COMPUTE_A) && !executes(EngineKind::Nvdec, NVB8D1_VIDEO_NVJPG)
        );
        assert!(engine_class(HOPPER_CHANNEL_GPFIFO_A).is_none() && engine_class(FERMI_VASPACE_A).is_none());
    }
}
