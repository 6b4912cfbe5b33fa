//! What every channel understands: ring entries, push-buffer headers and the methods of the host (PBDMA).
//!
//! From clc46f.h, clc56f.h, clc86f.h and clca6f.h of open-gpu-kernel-modules. The methods are the same from Turing to
//! Blackwell; the upper half of a semaphore's address holds 8 bits up to Ada and 25 bits from Hopper on.

pub use crate::generated::engine::Nvc36fControl;

/// Bytes of the USERD block of a channel, [`Nvc36fControl`].
pub const USERD_SIZE: usize = 512;
/// Offset of `GPGet` in USERD: the next ring entry the host will fetch.
pub const USERD_GP_GET: usize = 0x88;
/// Offset of `GPPut` in USERD: one past the last ring entry written.
pub const USERD_GP_PUT: usize = 0x8c;
/// Bytes of one ring entry ([`gp_entry`]).
pub const GP_ENTRY_SIZE: usize = 8;
/// Bytes of the register window of a `*_USERMODE_A` object (NVC361_NV_USERMODE__SIZE, clc361.h).
pub const USERMODE_SIZE: usize = 0x1_0000;
/// Usermode register: low half of the GPU's time in nanoseconds (NVC361_TIME_0).
pub const USERMODE_TIME_0: usize = 0x80;
/// Usermode register: high half of the GPU's time (NVC361_TIME_1).
pub const USERMODE_TIME_1: usize = 0x84;
/// Usermode register: the doorbell; takes a work-submit token (NVC361_NOTIFY_CHANNEL_PENDING).
pub const USERMODE_NOTIFY_CHANNEL_PENDING: usize = 0x90;
/// Subchannels of a channel (NVC36F_NUMBER_OF_SUBCHANNELS).
pub const NUMBER_OF_SUBCHANNELS: u32 = 8;

methods! {
    /// Binds a class to the header's subchannel; class id in bits 15:0.
    SET_OBJECT = 0x0;
    /// Raises an error.
    ILLEGAL = 0x4;
    /// Does nothing.
    NOP = 0x8;
    /// Upper half of the address of the 32-bit semaphore of [`SEMAPHORED`].
    SEMAPHOREA = 0x10;
    /// Lower half of that address.
    SEMAPHOREB = 0x14;
    /// Payload of it.
    SEMAPHOREC = 0x18;
    /// Runs an operation on it: bits 4:0 are 1 acquire, 2 release, 4 acquire greater or equal, 8 and, 16 reduction.
    SEMAPHORED = 0x1c;
    /// Raises a non-stalling interrupt of the engine; the data is ignored.
    NON_STALL_INTERRUPT = 0x20;
    /// Flushes what was written to video memory.
    FB_FLUSH = 0x24;
    /// First word of a memory operation ([`mem_op_a`]).
    MEM_OP_A = 0x28;
    /// Second word: high half of an address.
    MEM_OP_B = 0x2c;
    /// Third word ([`mem_op_c`]).
    MEM_OP_C = 0x30;
    /// Last word, which runs it ([`mem_op_d`]).
    MEM_OP_D = 0x34;
    /// Stores its data in `Reference` of USERD.
    SET_REFERENCE = 0x50;
    /// Low half of a semaphore's address, 4-byte aligned.
    SEM_ADDR_LO = 0x5c;
    /// High half of a semaphore's address.
    SEM_ADDR_HI = 0x60;
    /// Low half of a semaphore's payload.
    SEM_PAYLOAD_LO = 0x64;
    /// High half of a semaphore's payload.
    SEM_PAYLOAD_HI = 0x68;
    /// Runs a semaphore operation ([`sem_execute`]).
    SEM_EXECUTE = 0x6c;
    /// Waits until the engine is idle ([`wfi`]).
    WFI = 0x78;
    /// Lets another channel run; data 3 yields to another channel group, 0 does nothing.
    YIELD = 0x80;
    /// Resumes a faulted channel.
    CLEAR_FAULTED = 0x84;
}

bits! {
    /// A ring entry (NVC56F_GP_ENTRY0 and _GP_ENTRY1, clc56f.h): a piece of a push buffer, or a control entry when
    /// `LENGTH` is 0.
    pub mod gp_entry (8 bytes) {
        /// Fetch always, or only when a condition holds.
        FETCH = 0x0 [0:0] { FETCH_UNCONDITIONAL = 0, FETCH_CONDITIONAL = 1 };
        /// Bits 31:2 of the push buffer's address.
        GET = 0x0 [31:2];
        /// Bits 39:32 of the push buffer's address.
        GET_HI = 0x4 [7:0] | OPCODE;
        /// What a control entry does.
        OPCODE = 0x4 [7:0] | GET_HI {
            OPCODE_NOP = 0,
            OPCODE_ILLEGAL = 1,
            OPCODE_GP_CRC = 2,
            OPCODE_PB_CRC = 3,
            /// The entry's first word holds bits 56:40 of the addresses that follow. Hopper and later.
            OPCODE_SET_PB_SEGMENT_EXTENDED_BASE = 4,
        };
        /// Main push buffer or subroutine.
        LEVEL = 0x4 [9:9] { LEVEL_MAIN = 0, LEVEL_SUBROUTINE = 1 };
        /// 32-bit words of the piece.
        LENGTH = 0x4 [30:10];
        /// Wait until earlier pieces have been consumed.
        SYNC = 0x4 [31:31] { SYNC_PROCEED = 0, SYNC_WAIT = 1 };
    }

    /// A push-buffer method header (NVC56F_DMA, clc56f.h).
    pub mod method_header (4 bytes) {
        /// Method address in words, its byte address divided by four.
        METHOD_ADDRESS = 0x0 [11:0];
        /// Subchannel.
        METHOD_SUBCHANNEL = 0x0 [15:13];
        /// Data words that follow.
        METHOD_COUNT = 0x0 [28:16] | IMMD_DATA;
        /// The data of an immediate method.
        IMMD_DATA = 0x0 [28:16] | METHOD_COUNT;
        /// How the words after the header are used.
        SEC_OP = 0x0 [31:29] {
            /// Old headers and subdevice masks.
            SEC_OP_GRP0_USE_TERT = 0,
            /// Each word to the next method.
            SEC_OP_INC_METHOD = 1,
            /// Old headers.
            SEC_OP_GRP2_USE_TERT = 2,
            /// Every word to the same method.
            SEC_OP_NON_INC_METHOD = 3,
            /// One word, in the header.
            SEC_OP_IMMD_DATA_METHOD = 4,
            /// The first word to the method, the rest to the next one.
            SEC_OP_ONE_INC = 5,
            /// The rest of the piece is skipped.
            SEC_OP_END_PB_SEGMENT = 7,
        };
    }

    /// Data of [`SEM_EXECUTE`](SEM_EXECUTE).
    pub mod sem_execute (4 bytes) {
        /// What is done with the word at SEM_ADDR and the payload. The header of Hopper lists ACQUIRE, RELEASE and ACQ_CIRC_GEQ only.
        OPERATION = 0x0 [2:0] {
            OPERATION_ACQUIRE = 0,
            OPERATION_RELEASE = 1,
            OPERATION_ACQ_STRICT_GEQ = 2,
            OPERATION_ACQ_CIRC_GEQ = 3,
            OPERATION_ACQ_AND = 4,
            OPERATION_ACQ_NOR = 5,
            OPERATION_REDUCTION = 6,
        };
        /// Let another channel run while an acquire waits.
        ACQUIRE_SWITCH_TSG = 0x0 [12:12] {
            ACQUIRE_SWITCH_TSG_DIS = 0,
            ACQUIRE_SWITCH_TSG_EN = 1,
        };
        /// Wait until the engine is idle before a release.
        RELEASE_WFI = 0x0 [20:20] {
            RELEASE_WFI_DIS = 0,
            RELEASE_WFI_EN = 1,
        };
        /// Bits of the payload.
        PAYLOAD_SIZE = 0x0 [24:24] {
            PAYLOAD_SIZE_32BIT = 0,
            PAYLOAD_SIZE_64BIT = 1,
        };
        /// Release 16 bytes: the payload as 64 bits, then the time in nanoseconds.
        RELEASE_TIMESTAMP = 0x0 [25:25] {
            RELEASE_TIMESTAMP_DIS = 0,
            RELEASE_TIMESTAMP_EN = 1,
        };
        /// Operation of OPERATION_REDUCTION.
        REDUCTION = 0x0 [30:27] {
            REDUCTION_IMIN = 0,
            REDUCTION_IMAX = 1,
            REDUCTION_IXOR = 2,
            REDUCTION_IAND = 3,
            REDUCTION_IOR = 4,
            REDUCTION_IADD = 5,
            REDUCTION_INC = 6,
            REDUCTION_DEC = 7,
        };
        /// Signedness of that operation.
        REDUCTION_FORMAT = 0x0 [31:31] {
            REDUCTION_FORMAT_SIGNED = 0,
            REDUCTION_FORMAT_UNSIGNED = 1,
        };
    }

    /// Data of [`WFI`](WFI).
    pub mod wfi (4 bytes) {
        /// What to wait for.
        SCOPE = 0x0 [0:0] {
            SCOPE_CURRENT_SCG_TYPE = 0,
            SCOPE_CURRENT_VEID = 0,
            SCOPE_ALL = 1,
        };
    }

    /// Data of [`MEM_OP_A`](MEM_OP_A), as far as translation invalidates use it.
    pub mod mem_op_a (4 bytes) {
        /// Pages to invalidate, as a power of two.
        TLB_INVALIDATE_INVALIDATION_SIZE = 0x0 [5:0];
        /// Which translation caches.
        TLB_INVALIDATE_INVAL_SCOPE = 0x0 [7:6] {
            TLB_INVALIDATE_INVAL_SCOPE_ALL_TLBS = 0,
            TLB_INVALIDATE_INVAL_SCOPE_LINK_TLBS = 1,
            TLB_INVALIDATE_INVAL_SCOPE_NON_LINK_TLBS = 2,
            TLB_INVALIDATE_INVAL_SCOPE_RSVRVD = 3,
        };
        /// Order before accesses to system memory.
        TLB_INVALIDATE_SYSMEMBAR = 0x0 [11:11] {
            TLB_INVALIDATE_SYSMEMBAR_EN = 1,
            TLB_INVALIDATE_SYSMEMBAR_DIS = 0,
        };
        /// Low part of the address.
        TLB_INVALIDATE_TARGET_ADDR_LO = 0x0 [31:12];
    }

    /// Data of [`MEM_OP_C`](MEM_OP_C); which fields count depends on the operation.
    pub mod mem_op_c (4 bytes) {
        /// Reach of a barrier.
        MEMBAR_TYPE = 0x0 [2:0] | TLB_INVALIDATE_PDB | TLB_INVALIDATE_GPC | TLB_INVALIDATE_REPLAY {
            MEMBAR_TYPE_SYS_MEMBAR = 0,
            MEMBAR_TYPE_MEMBAR = 1,
        };
        /// One page directory, or all.
        TLB_INVALIDATE_PDB = 0x0 [0:0] | MEMBAR_TYPE {
            TLB_INVALIDATE_PDB_ONE = 0,
            TLB_INVALIDATE_PDB_ALL = 1,
        };
        /// Include graphics processing clusters.
        TLB_INVALIDATE_GPC = 0x0 [1:1] | MEMBAR_TYPE {
            TLB_INVALIDATE_GPC_ENABLE = 0,
            TLB_INVALIDATE_GPC_DISABLE = 1,
        };
        /// What happens to replayable faults.
        TLB_INVALIDATE_REPLAY = 0x0 [4:2] | MEMBAR_TYPE {
            TLB_INVALIDATE_REPLAY_NONE = 0,
            TLB_INVALIDATE_REPLAY_START = 1,
            TLB_INVALIDATE_REPLAY_START_ACK_ALL = 2,
            TLB_INVALIDATE_REPLAY_CANCEL_TARGETED = 3,
            TLB_INVALIDATE_REPLAY_CANCEL_GLOBAL = 4,
            TLB_INVALIDATE_REPLAY_CANCEL_VA_GLOBAL = 5,
        };
        /// Who acknowledges.
        TLB_INVALIDATE_ACK_TYPE = 0x0 [6:5] {
            TLB_INVALIDATE_ACK_TYPE_NONE = 0,
            TLB_INVALIDATE_ACK_TYPE_GLOBALLY = 1,
            TLB_INVALIDATE_ACK_TYPE_INTRANODE = 2,
        };
        /// How deep.
        TLB_INVALIDATE_PAGE_TABLE_LEVEL = 0x0 [9:7] {
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_ALL = 0,
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_PTE_ONLY = 1,
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_UP_TO_PDE0 = 2,
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_UP_TO_PDE1 = 3,
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_UP_TO_PDE2 = 4,
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_UP_TO_PDE3 = 5,
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_UP_TO_PDE4 = 6,
            TLB_INVALIDATE_PAGE_TABLE_LEVEL_UP_TO_PDE5 = 7,
        };
        /// Where the page directory is.
        TLB_INVALIDATE_PDB_APERTURE = 0x0 [11:10] {
            TLB_INVALIDATE_PDB_APERTURE_VID_MEM = 0,
            TLB_INVALIDATE_PDB_APERTURE_SYS_MEM_COHERENT = 2,
            TLB_INVALIDATE_PDB_APERTURE_SYS_MEM_NONCOHERENT = 3,
        };
        /// Low part of its address.
        TLB_INVALIDATE_PDB_ADDR_LO = 0x0 [31:12];
    }

    /// Data of [`MEM_OP_D`](MEM_OP_D), which runs the operation.
    pub mod mem_op_d (4 bytes) {
        /// High part of the page directory's address.
        TLB_INVALIDATE_PDB_ADDR_HI = 0x0 [26:0];
        /// The operation.
        OPERATION = 0x0 [31:27] {
            OPERATION_MEMBAR = 5,
            OPERATION_MMU_TLB_INVALIDATE = 9,
            OPERATION_MMU_TLB_INVALIDATE_TARGETED = 0xa,
            OPERATION_L2_PEERMEM_INVALIDATE = 0xd,
            OPERATION_L2_SYSMEM_INVALIDATE = 0xe,
            OPERATION_L2_CLEAN_COMPTAGS = 0xf,
            OPERATION_L2_FLUSH_DIRTY = 0x10,
            OPERATION_L2_WAIT_FOR_SYS_PENDING_READS = 0x15,
            OPERATION_ACCESS_COUNTER_CLR = 0x16,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn userd_offsets() {
        assert_eq!(size_of::<Nvc36fControl>(), USERD_SIZE);
        assert_eq!(offset_of!(Nvc36fControl, GPGet), USERD_GP_GET);
        assert_eq!(offset_of!(Nvc36fControl, GPPut), USERD_GP_PUT);
    }

    #[test]
    fn header_words() {
        use method_header::*;
        // One incrementing method SET_OBJECT on subchannel 4.
        let word = SEC_OP.of(SEC_OP_INC_METHOD)
            | METHOD_COUNT.of(1)
            | METHOD_SUBCHANNEL.of(4)
            | METHOD_ADDRESS.of(SET_OBJECT / 4);
        assert_eq!(word, 0x2001_8000);
    }

    #[test]
    fn ring_entry_words() {
        use gp_entry::*;
        let mut entry = [0; GP_ENTRY_SIZE];
        GET.write(&mut entry, 0, 0x1000 >> 2).unwrap();
        GET_HI.write(&mut entry, 0, 0x12).unwrap();
        LENGTH.write(&mut entry, 0, 7).unwrap();
        assert_eq!(u64::from_le_bytes(entry), 0x12_0000_1000 | 7 << 42);
    }
}
