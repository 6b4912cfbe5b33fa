// A mask is blurred, and a picture laid over a background by it, for `examples/composite.rs`. All planes are block-linear, of
// 8 bits and 4:2:0; the mask has the size and the layout of luma.

typedef unsigned char u8;
typedef unsigned int u32;

static const u32 THREADS = 256;

static __device__ __forceinline__ u32 at(u32 pitch, u32 x, u32 y) {
    const u32 gob = (y / 16) * (pitch / 64) * 2 + (x / 64) * 2 + (y / 8) % 2;
    return gob * 512 + ((x & 15) | (y & 3) << 4 | (x >> 4 & 1) << 6 | (y >> 2 & 1) << 7 | (x >> 5 & 1) << 8);
}

// The mean of `2 * radius + 1` samples along a line, or down a column, of a plane of `width` by `height`; samples at the edge are
// repeated. One line for each block.
extern "C" __global__ void blur(const u8 *from, u8 *to, u32 pitch, u32 width, u32 height, u32 radius, u32 is_vertical) {
    const u32 y = blockIdx.x;
    for (u32 x = threadIdx.x; x < width; x += THREADS) {
        u32 sum = 0;
        for (u32 i = 0; i <= 2 * radius; i++) {
            const int along = (int)(is_vertical ? y : x) + (int)i - (int)radius;
            const int last = (int)(is_vertical ? height : width) - 1;
            const u32 clamped = along < 0 ? 0 : along > last ? last : along;
            sum += from[is_vertical ? at(pitch, x, clamped) : at(pitch, clamped, y)];
        }
        to[at(pitch, x, y)] = (u8)((sum + radius) / (2 * radius + 1));
    }
}

static __device__ __forceinline__ u8 mixed(u32 over, u32 under, u32 alpha) {
    return (u8)((over * alpha + under * (255 - alpha) + 127) / 255);
}

// `to` becomes `over` where the mask is 255, `under` where it is 0. One line of luma for each block, with the line of chroma of
// every second one.
extern "C" __global__ void composite(const u8 *over, const u8 *under, u8 *to, const u8 *mask, u32 chroma, u32 pitch,
                                     u32 width) {
    const u32 y = blockIdx.x;
    for (u32 x = threadIdx.x; x < width; x += THREADS) {
        const u32 luma = at(pitch, x, y);
        to[luma] = mixed(over[luma], under[luma], mask[luma]);
        if (y % 2 == 0) {
            // Cb and Cr of two columns lie side by side, so a line of chroma has the bytes of one of luma.
            const u32 sample = chroma + at(pitch, x, y / 2);
            to[sample] = mixed(over[sample], under[sample], mask[at(pitch, x & ~1u, y)]);
        }
    }
}
