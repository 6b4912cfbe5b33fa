//! Methods of the copy engine (CE), Turing to Blackwell. From clc5b5.h and clc8b5.h of open-gpu-kernel-modules.
//!
//! Offsets are GPU addresses in two words. The upper word holds 17 bits up to Ada and 25 bits from Hopper on.

mod methods;

pub use methods::*;

bits! {
    /// Data of [`LAUNCH_DMA`](LAUNCH_DMA): starts a copy.
    pub mod launch_dma (4 bytes) {
        /// Copy, or only release a semaphore.
        DATA_TRANSFER_TYPE = 0x0 [1:0] {
            DATA_TRANSFER_TYPE_NONE = 0,
            DATA_TRANSFER_TYPE_PIPELINED = 1,
            DATA_TRANSFER_TYPE_NON_PIPELINED = 2,
        };
        /// Make the copy visible before the semaphore is released.
        FLUSH_ENABLE = 0x0 [2:2] {
            FLUSH_ENABLE_FALSE = 0,
            FLUSH_ENABLE_TRUE = 1,
        };
        /// What to release at the end.
        SEMAPHORE_TYPE = 0x0 [4:3] {
            SEMAPHORE_TYPE_NONE = 0,
            SEMAPHORE_TYPE_RELEASE_ONE_WORD_SEMAPHORE = 1,
            SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE = 2,
            SEMAPHORE_TYPE_RELEASE_CONDITIONAL_INTR_SEMAPHORE = 3,
        };
        /// Interrupt at the end.
        INTERRUPT_TYPE = 0x0 [6:5] {
            INTERRUPT_TYPE_NONE = 0,
            INTERRUPT_TYPE_BLOCKING = 1,
            INTERRUPT_TYPE_NON_BLOCKING = 2,
        };
        /// Layout of the source.
        SRC_MEMORY_LAYOUT = 0x0 [7:7] {
            SRC_MEMORY_LAYOUT_BLOCKLINEAR = 0,
            SRC_MEMORY_LAYOUT_PITCH = 1,
        };
        /// Layout of the destination.
        DST_MEMORY_LAYOUT = 0x0 [8:8] {
            DST_MEMORY_LAYOUT_BLOCKLINEAR = 0,
            DST_MEMORY_LAYOUT_PITCH = 1,
        };
        /// Copy `LINE_COUNT` lines, not one.
        MULTI_LINE_ENABLE = 0x0 [9:9] {
            MULTI_LINE_ENABLE_FALSE = 0,
            MULTI_LINE_ENABLE_TRUE = 1,
        };
        /// Replace or reorder components; also how memory is filled.
        REMAP_ENABLE = 0x0 [10:10] {
            REMAP_ENABLE_FALSE = 0,
            REMAP_ENABLE_TRUE = 1,
        };
        /// No read-modify-write of partial sectors.
        FORCE_RMWDISABLE = 0x0 [11:11] {
            FORCE_RMWDISABLE_FALSE = 0,
            FORCE_RMWDISABLE_TRUE = 1,
        };
        /// The source is a virtual or a physical address.
        SRC_TYPE = 0x0 [12:12] {
            SRC_TYPE_VIRTUAL = 0,
            SRC_TYPE_PHYSICAL = 1,
        };
        /// The destination is a virtual or a physical address.
        DST_TYPE = 0x0 [13:13] {
            DST_TYPE_VIRTUAL = 0,
            DST_TYPE_PHYSICAL = 1,
        };
        /// Operation on the semaphore.
        SEMAPHORE_REDUCTION = 0x0 [17:14] {
            SEMAPHORE_REDUCTION_IMIN = 0,
            SEMAPHORE_REDUCTION_IMAX = 1,
            SEMAPHORE_REDUCTION_IXOR = 2,
            SEMAPHORE_REDUCTION_IAND = 3,
            SEMAPHORE_REDUCTION_IOR = 4,
            SEMAPHORE_REDUCTION_IADD = 5,
            SEMAPHORE_REDUCTION_INC = 6,
            SEMAPHORE_REDUCTION_DEC = 7,
            SEMAPHORE_REDUCTION_FADD = 0xa,
        };
        /// Signedness of that operation.
        SEMAPHORE_REDUCTION_SIGN = 0x0 [18:18] {
            SEMAPHORE_REDUCTION_SIGN_SIGNED = 0,
            SEMAPHORE_REDUCTION_SIGN_UNSIGNED = 1,
        };
        /// Operate on the semaphore instead of storing the payload.
        SEMAPHORE_REDUCTION_ENABLE = 0x0 [19:19] {
            SEMAPHORE_REDUCTION_ENABLE_FALSE = 0,
            SEMAPHORE_REDUCTION_ENABLE_TRUE = 1,
        };
        /// Do not compress what is written.
        DISABLE_PLC = 0x0 [26:26] {
            DISABLE_PLC_FALSE = 0,
            DISABLE_PLC_TRUE = 1,
        };
        /// Which memory a flush covers. Hopper and later.
        FLUSH_TYPE = 0x0 [25:25] { FLUSH_TYPE_SYS = 0, FLUSH_TYPE_GL = 1 };
        /// Protected copies of confidential computing. Hopper and later (the bypass bits of older classes).
        COPY_TYPE = 0x0 [21:20] {
            COPY_TYPE_PROT2PROT = 0,
            COPY_TYPE_SECURE = 1,
            COPY_TYPE_NONPROT2NONPROT = 2,
        };
        /// Words of the semaphore's payload. Hopper and later.
        SEMAPHORE_PAYLOAD_SIZE = 0x0 [27:27] { SEMAPHORE_PAYLOAD_SIZE_ONE_WORD = 0, SEMAPHORE_PAYLOAD_SIZE_TWO_WORD = 1 };
    }

    /// Data of [`SET_REMAP_COMPONENTS`](SET_REMAP_COMPONENTS).
    pub mod set_remap_components (4 bytes) {
        /// What the first component becomes.
        DST_X = 0x0 [2:0] {
            DST_X_SRC_X = 0,
            DST_X_SRC_Y = 1,
            DST_X_SRC_Z = 2,
            DST_X_SRC_W = 3,
            DST_X_CONST_A = 4,
            DST_X_CONST_B = 5,
            DST_X_NO_WRITE = 6,
        };
        /// What the second component becomes.
        DST_Y = 0x0 [6:4] {
            DST_Y_SRC_X = 0,
            DST_Y_SRC_Y = 1,
            DST_Y_SRC_Z = 2,
            DST_Y_SRC_W = 3,
            DST_Y_CONST_A = 4,
            DST_Y_CONST_B = 5,
            DST_Y_NO_WRITE = 6,
        };
        /// What the third component becomes.
        DST_Z = 0x0 [10:8] {
            DST_Z_SRC_X = 0,
            DST_Z_SRC_Y = 1,
            DST_Z_SRC_Z = 2,
            DST_Z_SRC_W = 3,
            DST_Z_CONST_A = 4,
            DST_Z_CONST_B = 5,
            DST_Z_NO_WRITE = 6,
        };
        /// What the fourth component becomes.
        DST_W = 0x0 [14:12] {
            DST_W_SRC_X = 0,
            DST_W_SRC_Y = 1,
            DST_W_SRC_Z = 2,
            DST_W_SRC_W = 3,
            DST_W_CONST_A = 4,
            DST_W_CONST_B = 5,
            DST_W_NO_WRITE = 6,
        };
        /// Bytes of one component.
        COMPONENT_SIZE = 0x0 [17:16] {
            COMPONENT_SIZE_ONE = 0,
            COMPONENT_SIZE_TWO = 1,
            COMPONENT_SIZE_THREE = 2,
            COMPONENT_SIZE_FOUR = 3,
        };
        /// Components of the source.
        NUM_SRC_COMPONENTS = 0x0 [21:20] {
            NUM_SRC_COMPONENTS_ONE = 0,
            NUM_SRC_COMPONENTS_TWO = 1,
            NUM_SRC_COMPONENTS_THREE = 2,
            NUM_SRC_COMPONENTS_FOUR = 3,
        };
        /// Components of the destination.
        NUM_DST_COMPONENTS = 0x0 [25:24] {
            NUM_DST_COMPONENTS_ONE = 0,
            NUM_DST_COMPONENTS_TWO = 1,
            NUM_DST_COMPONENTS_THREE = 2,
            NUM_DST_COMPONENTS_FOUR = 3,
        };
    }

    /// Data of [`SET_DST_BLOCK_SIZE`](SET_DST_BLOCK_SIZE) and [`SET_SRC_BLOCK_SIZE`](SET_SRC_BLOCK_SIZE): the block of a block-linear surface.
    pub mod block_size (4 bytes) {
        /// GOBs side by side.
        WIDTH = 0x0 [3:0] {
            WIDTH_ONE_GOB = 0,
        };
        /// GOBs on top of each other, as a power of two.
        HEIGHT = 0x0 [7:4] {
            HEIGHT_ONE_GOB = 0,
            HEIGHT_TWO_GOBS = 1,
            HEIGHT_FOUR_GOBS = 2,
            HEIGHT_EIGHT_GOBS = 3,
            HEIGHT_SIXTEEN_GOBS = 4,
            HEIGHT_THIRTYTWO_GOBS = 5,
        };
        /// GOBs behind each other.
        DEPTH = 0x0 [11:8] {
            DEPTH_ONE_GOB = 0,
            DEPTH_TWO_GOBS = 1,
            DEPTH_FOUR_GOBS = 2,
            DEPTH_EIGHT_GOBS = 3,
            DEPTH_SIXTEEN_GOBS = 4,
            DEPTH_THIRTYTWO_GOBS = 5,
        };
        /// Lines of a GOB.
        GOB_HEIGHT = 0x0 [15:12] {
            GOB_HEIGHT_GOB_HEIGHT_FERMI_8 = 1,
        };
    }

    /// Data of [`SET_DST_ORIGIN`](SET_DST_ORIGIN) and [`SET_SRC_ORIGIN`](SET_SRC_ORIGIN) of Turing and
    /// Ampere; later classes may give the two halves as separate methods
    /// ([`SRC_ORIGIN_X`](SRC_ORIGIN_X) and on).
    pub mod origin (4 bytes) {
        /// Bytes from the left edge.
        X = 0x0 [15:0];
        /// Lines from the top.
        Y = 0x0 [31:16];
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn words_of_a_flushed_copy_with_timestamp() {
        use super::launch_dma::*;
        let word = DATA_TRANSFER_TYPE.of(DATA_TRANSFER_TYPE_NON_PIPELINED)
            | FLUSH_ENABLE.of(FLUSH_ENABLE_TRUE)
            | SEMAPHORE_TYPE.of(SEMAPHORE_TYPE_RELEASE_FOUR_WORD_SEMAPHORE)
            | SRC_MEMORY_LAYOUT.of(SRC_MEMORY_LAYOUT_PITCH)
            | DST_MEMORY_LAYOUT.of(DST_MEMORY_LAYOUT_PITCH);
        assert_eq!(word, 0x196);
    }
}
