//! Methods of the compute classes and their launch descriptors (QMD).
//!
//! Only what a launch needs. Methods and QMD V04 are those of clcbc0.h and clcbc0qmd.h of open-gpu-doc
//! (HOPPER_COMPUTE_A); the other QMD versions are those of Ampere and Ada (V03) and Blackwell (V05).

mod qmd;

pub use qmd::{qmd_v03, qmd_v04, qmd_v05};

methods! {
    /// Binds the class to the subchannel.
    SET_OBJECT = 0x0;
    /// Does nothing.
    NO_OPERATION = 0x100;
    /// Waits until the engine is idle.
    WAIT_FOR_IDLE = 0x110;
    /// Destination of an inline upload, upper half.
    OFFSET_OUT_UPPER = 0x188;
    /// Destination of an inline upload, lower half.
    OFFSET_OUT = 0x18c;
    /// Invalidates shader caches after a wait ([`invalidate_shader_caches`]).
    INVALIDATE_SHADER_CACHES = 0x21c;
    /// Invalidates texture headers.
    INVALIDATE_TEXTURE_HEADER_CACHE_NO_WFI = 0x244;
    /// Invalidates the caches of the scheduler.
    INVALIDATE_SKED_CACHES = 0x298;
    /// Upper half of the shared memory window: non-zero, 4 GiB wide and aligned.
    SET_SHADER_SHARED_MEMORY_WINDOW_A = 0x2a0;
    /// Lower half of the shared memory window.
    SET_SHADER_SHARED_MEMORY_WINDOW_B = 0x2a4;
    /// Address of a QMD, divided by 256.
    SEND_PCAS_A = 0x2b4;
    /// Schedules it ([`send_signaling_pcas2_b`]).
    SEND_SIGNALING_PCAS2_B = 0x2c0;
    /// Local memory of a TPC, upper half of the size.
    SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_A = 0x2e4;
    /// Local memory of a TPC, lower half of the size.
    SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_B = 0x2e8;
    /// Local memory of a TPC, streaming multiprocessors.
    SET_SHADER_LOCAL_MEMORY_NON_THROTTLED_C = 0x2ec;
    /// Upper half of the address for an inline QMD.
    SET_INLINE_QMD_ADDRESS_A = 0x318;
    /// Lower half of that address, divided by 256.
    SET_INLINE_QMD_ADDRESS_B = 0x31c;
    /// Words of an inline QMD.
    LOAD_INLINE_QMD_DATA[96; 4] = 0x320;
    /// Upper half of the local memory's address.
    SET_SHADER_LOCAL_MEMORY_A = 0x790;
    /// Lower half of the local memory's address.
    SET_SHADER_LOCAL_MEMORY_B = 0x794;
    /// Upper half of the local memory window, 16 MiB wide.
    SET_SHADER_LOCAL_MEMORY_WINDOW_A = 0x7b0;
    /// Lower half of the local memory window.
    SET_SHADER_LOCAL_MEMORY_WINDOW_B = 0x7b4;
    /// Invalidates texture samplers.
    INVALIDATE_SAMPLER_CACHE_NO_WFI = 0x1424;
    /// Invalidates shader caches without a wait ([`invalidate_shader_caches`]).
    INVALIDATE_SHADER_CACHES_NO_WFI = 0x1698;
    /// Upper half of the report semaphore's address.
    SET_REPORT_SEMAPHORE_A = 0x1b00;
    /// Lower half of the report semaphore's address.
    SET_REPORT_SEMAPHORE_B = 0x1b04;
    /// Payload of the report semaphore.
    SET_REPORT_SEMAPHORE_C = 0x1b08;
    /// Runs an operation on it ([`set_report_semaphore_d`]).
    SET_REPORT_SEMAPHORE_D = 0x1b0c;
}

bits! {
    /// Data of [`INVALIDATE_SHADER_CACHES`](INVALIDATE_SHADER_CACHES) and
    /// [`INVALIDATE_SHADER_CACHES_NO_WFI`](INVALIDATE_SHADER_CACHES_NO_WFI).
    pub mod invalidate_shader_caches (4 bytes) {
        /// Instructions.
        INSTRUCTION = 0x0 [0:0];
        /// Global data.
        GLOBAL_DATA = 0x0 [4:4];
        /// Constants.
        CONSTANT = 0x0 [12:12];
    }

    /// Data of [`SEND_SIGNALING_PCAS2_B`](SEND_SIGNALING_PCAS2_B).
    pub mod send_signaling_pcas2_b (4 bytes) {
        /// What the scheduler does with the QMD.
        PCAS_ACTION = 0x0 [3:0] {
            PCAS_ACTION_NOP = 0,
            PCAS_ACTION_INVALIDATE = 1,
            PCAS_ACTION_SCHEDULE = 2,
            PCAS_ACTION_INVALIDATE_COPY_SCHEDULE = 3,
            PCAS_ACTION_PREFETCH_SCHEDULE = 9,
            PCAS_ACTION_INVALIDATE_PREFETCH_COPY_SCHEDULE = 10,
        };
    }

    /// Data of [`SET_REPORT_SEMAPHORE_D`](SET_REPORT_SEMAPHORE_D).
    pub mod set_report_semaphore_d (4 bytes) {
        /// Release, or only an interrupt.
        OPERATION = 0x0 [1:0] { OPERATION_RELEASE = 0, OPERATION_TRAP = 3 };
        /// Do not flush before it.
        FLUSH_DISABLE = 0x0 [2:2];
        /// Operate on the semaphore instead of storing the payload.
        REDUCTION_ENABLE = 0x0 [3:3];
        /// Raise a non-stalling interrupt.
        AWAKEN_ENABLE = 0x0 [20:20];
        /// Words stored: four with a timestamp, or one.
        STRUCTURE_SIZE = 0x0 [28:28] { STRUCTURE_SIZE_FOUR_WORDS = 0, STRUCTURE_SIZE_ONE_WORD = 1 };
    }
}
