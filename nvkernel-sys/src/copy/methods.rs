//! Method addresses of the copy engine, from clc5b5.h.

methods! {
    /// Does nothing.
    NOP = 0x100;
    /// Starts a performance measurement.
    PM_TRIGGER = 0x140;
    /// Upper half of the semaphore's address.
    SET_SEMAPHORE_A = 0x240;
    /// Lower half of the semaphore's address.
    SET_SEMAPHORE_B = 0x244;
    /// Payload of the semaphore.
    SET_SEMAPHORE_PAYLOAD = 0x248;
    /// Upper half of a 64-bit payload. Hopper and later.
    SET_SEMAPHORE_PAYLOAD_UPPER = 0x24c;
    /// Upper half of the address of a condition.
    SET_RENDER_ENABLE_A = 0x254;
    /// Lower half of that address.
    SET_RENDER_ENABLE_B = 0x258;
    /// The condition: 0 never, 1 always, 2 when non-zero, 3 when equal, 4 when not equal.
    SET_RENDER_ENABLE_C = 0x25c;
    /// Aperture of a physical source.
    SET_SRC_PHYS_MODE = 0x260;
    /// Aperture of a physical destination.
    SET_DST_PHYS_MODE = 0x264;
    /// Starts a copy ([`launch_dma`](super::launch_dma)).
    LAUNCH_DMA = 0x300;
    /// Upper half of the source's address.
    OFFSET_IN_UPPER = 0x400;
    /// Lower half of the source's address.
    OFFSET_IN_LOWER = 0x404;
    /// Upper half of the destination's address.
    OFFSET_OUT_UPPER = 0x408;
    /// Lower half of the destination's address.
    OFFSET_OUT_LOWER = 0x40c;
    /// Bytes from line to line of a pitch-linear source.
    PITCH_IN = 0x410;
    /// Bytes from line to line of a pitch-linear destination.
    PITCH_OUT = 0x414;
    /// Bytes of a line, or components when they are remapped.
    LINE_LENGTH_IN = 0x418;
    /// Lines.
    LINE_COUNT = 0x41c;
    /// First constant of a remap, the pattern of a fill.
    SET_REMAP_CONST_A = 0x700;
    /// Second constant of a remap.
    SET_REMAP_CONST_B = 0x704;
    /// The remap ([`set_remap_components`](super::set_remap_components)).
    SET_REMAP_COMPONENTS = 0x708;
    /// Block of a block-linear destination ([`block_size`](super::block_size)).
    SET_DST_BLOCK_SIZE = 0x70c;
    /// Bytes of a line of a block-linear destination.
    SET_DST_WIDTH = 0x710;
    /// Lines of a block-linear destination.
    SET_DST_HEIGHT = 0x714;
    /// Layers in depth of a block-linear destination.
    SET_DST_DEPTH = 0x718;
    /// Layer to write.
    SET_DST_LAYER = 0x71c;
    /// Where to write in a block-linear destination ([`origin`](super::origin)).
    SET_DST_ORIGIN = 0x720;
    /// Block of a block-linear source ([`block_size`](super::block_size)).
    SET_SRC_BLOCK_SIZE = 0x728;
    /// Bytes of a line of a block-linear source.
    SET_SRC_WIDTH = 0x72c;
    /// Lines of a block-linear source.
    SET_SRC_HEIGHT = 0x730;
    /// Layers in depth of a block-linear source.
    SET_SRC_DEPTH = 0x734;
    /// Layer to read.
    SET_SRC_LAYER = 0x738;
    /// Where to read in a block-linear source ([`origin`](super::origin)).
    SET_SRC_ORIGIN = 0x73c;
    /// The same as two 32-bit values: bytes from the left edge of the source.
    SRC_ORIGIN_X = 0x744;
    /// Lines from the top of the source.
    SRC_ORIGIN_Y = 0x748;
    /// Bytes from the left edge of the destination.
    DST_ORIGIN_X = 0x74c;
    /// Lines from the top of the destination.
    DST_ORIGIN_Y = 0x750;
    /// Ends a performance measurement.
    PM_TRIGGER_END = 0x1114;
}
