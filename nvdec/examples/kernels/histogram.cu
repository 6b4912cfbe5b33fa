// The histogram of a picture's luma, for `examples/scene_cuts.rs`.
//
// Blocks have 256 threads by definition, so that no kernel asks for its block's size: where that lies is not known for every
// GPU.

typedef unsigned char u8;
typedef unsigned int u32;

static const u32 THREADS = 256;

// Where byte `x` of line `y` lies in a block-linear plane: GOBs of 64 bytes by 8 lines, two of them one above the other in a
// block, in 16-byte pieces.
static __device__ __forceinline__ u32 at(u32 pitch, u32 x, u32 y) {
    const u32 gob = (y / 16) * (pitch / 64) * 2 + (x / 64) * 2 + (y / 8) % 2;
    return gob * 512 + ((x & 15) | (y & 3) << 4 | (x >> 4 & 1) << 6 | (y >> 2 & 1) << 7 | (x >> 5 & 1) << 8);
}

// Adds the samples of 8 bits of one line for each block to `counts`, which has 256 words and was cleared.
extern "C" __global__ void luma_histogram(const u8 *luma, u32 *counts, u32 pitch, u32 width) {
    __shared__ u32 own[256];
    own[threadIdx.x] = 0;
    __syncthreads();
    for (u32 x = threadIdx.x; x < width; x += THREADS) {
        atomicAdd(&own[luma[at(pitch, x, blockIdx.x)]], 1);
    }
    __syncthreads();
    atomicAdd(&counts[threadIdx.x], own[threadIdx.x]);
}
