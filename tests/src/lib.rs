//! End-to-end tests. [`bodies`] run on whatever [`Backend`] they are given: the model of a GPU, where a
//! [strict engine](engine) takes the pictures, or a GPU of this machine.

use std::sync::Arc;

use hcq::kernel::emulated::{EmulatedKernel, GpuModel, Usage};
use hcq::{Device, EngineKind, KernelInterface};
use nvdec::Context;

pub mod bodies;
pub mod engine;
pub mod kernels;
pub mod player;
pub mod streams;

use engine::Recorder;

/// Where a test runs.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The way to the driver.
    pub kernel: Arc<dyn KernelInterface>,
    /// What the engines of a model were told; `None` on hardware.
    pub recorder: Option<Recorder>,
}

impl Backend {
    /// Opens the first GPU.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn device(&self) -> Device {
        Device::open(self.kernel.clone(), 0).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Opens the first GPU for decoding.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub fn context(&self) -> Arc<Context> {
        Context::new(self.device()).unwrap_or_else(|e| panic!("{e}"))
    }
}

/// A machine with a model of a GPU whose engines are strict.
#[derive(Debug)]
pub struct Machine {
    /// The machine as its owner sees it.
    pub kernel: EmulatedKernel,
    /// What the engines were told.
    pub recorder: Recorder,
}

impl Machine {
    /// A machine with one GPU.
    ///
    /// # Panics
    ///
    /// If the operating system has no memory files left.
    pub fn new(gpu: GpuModel) -> Machine {
        let recorder = Recorder::default();
        let factory = recorder.clone();
        let builder = EmulatedKernel::builder()
            .gpu(gpu)
            .with_kernels(kernels::models())
            .with_engine_factory(EngineKind::Nvdec, move |_, class| Box::new(factory.engine(class)));
        Machine { kernel: builder.build().unwrap_or_else(|e| panic!("{e}")), recorder }
    }

    /// The machine as a test body sees it.
    pub fn backend(&self) -> Backend {
        Backend { kernel: Arc::new(self.kernel.clone()), recorder: Some(self.recorder.clone()) }
    }

    /// Opens the GPU for decoding.
    pub fn context(&self) -> Arc<Context> {
        self.backend().context()
    }

    /// Asserts that nothing is left of any client.
    pub fn assert_empty(&self, what: &str) {
        assert_eq!(self.kernel.usage(), Usage::default(), "left behind: {what}");
    }

    /// Asserts that the engines found nothing wrong and no channel stopped.
    pub fn assert_content(&self, what: &str) {
        let (violations, log) = (self.recorder.violations(), self.kernel.log());
        assert!(violations.is_empty() && log.is_empty(), "{what}: {violations:#?} {log:#?}");
    }
}

/// Makes a test of each body: `for_each_body!(run)` calls `run(body)`.
#[macro_export]
macro_rules! for_each_body {
    ($run:ident) => {
        $crate::tests_of! { $run;
            device {
                is_described, engines_are_listed, what_is_not_there_is_refused, the_clock_runs,
                devices_are_independent,
            }
            memory {
                holds_what_is_written, lines_are_read_anew, buffers_lie_apart, freed_memory_is_used_again, slices_share,
                large_and_small_sizes, inputs_are_filled_once,
            }
            copy {
                any_length_and_alignment, fills_repeat, batches_go_through_many_engines, what_does_not_fit_is_refused,
            }
            compute {
                kernels_run, kernels_are_waited_for, kernels_see_what_others_write, launches_do_not_mix,
                launches_are_lent, bad_launches_are_refused,
            }
            timeline {
                values_grow_by_one, a_ring_and_its_memory_wrap, queues_wait_for_each_other,
                many_threads_submit_and_wait, points_outlive_their_queue,
            }
            decode {
                pictures_come_in_output_order, whole_streams_decode, streams_decode_in_place, resolution_changes,
                every_engine_decodes, chunks_make_no_difference, time_stamps_stay_with_their_pictures,
                held_frames_hold_back, two_sessions_share_a_context, frames_outlive_the_decoder,
                dropped_in_every_order, damaged_streams_end, a_decoder_takes_another_stream,
                what_the_engine_cannot_do_is_named,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! tests_of {
    ($run:ident; $($module:ident { $($body:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[test]
            fn $body() {
                super::$run($crate::bodies::$module::$body);
            })*
        })*
    };
}
