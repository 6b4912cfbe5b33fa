// What tests of compute queues run, on the model and on hardware. Blocks have 256 threads.

typedef unsigned int u32;

static const u32 THREADS = 256;

__constant__ u32 primes[4] = {2, 3, 5, 7};

// Word `i` of `count` becomes `value + i`.
extern "C" __global__ void fill(u32 *to, u32 count, u32 value) {
    const u32 i = blockIdx.x * THREADS + threadIdx.x;
    if (i < count) {
        to[i] = value + i;
    }
}

// The sum of 256 words for each block: shared memory, and barriers.
extern "C" __global__ void sum(const u32 *from, u32 *to) {
    __shared__ u32 part[THREADS];
    part[threadIdx.x] = from[blockIdx.x * THREADS + threadIdx.x];
    __syncthreads();
    for (u32 half = THREADS / 2; half; half /= 2) {
        if (threadIdx.x < half) {
            part[threadIdx.x] += part[threadIdx.x + half];
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        to[blockIdx.x] = part[0];
    }
}

// Words of `from` in reverse, through shared memory that the launch brings.
extern "C" __global__ void reverse(const u32 *from, u32 *to, u32 count) {
    extern __shared__ u32 words[];
    for (u32 i = threadIdx.x; i < count; i += THREADS) {
        words[i] = from[i];
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < count; i += THREADS) {
        to[i] = words[count - 1 - i];
    }
}

// Words of a constant bank, by an index that is not known before.
extern "C" __global__ void constants(u32 *to, u32 count) {
    for (u32 i = threadIdx.x; i < count; i += THREADS) {
        to[i] = primes[i % 4];
    }
}

// A long computation, so that it can be seen whether what comes behind waits.
extern "C" __global__ void slow(u32 *to, u32 rounds, u32 value) {
    u32 x = value;
    for (u32 i = 0; i < rounds; i++) {
        x = x * 1664525u + 1013904223u;
    }
    to[blockIdx.x * THREADS + threadIdx.x] = x;
}
