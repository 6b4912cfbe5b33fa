// From a decoded surface to the elements of a tensor: one thread makes one pixel, with all its channels.
//
// There are integers alone up to the very end, and then one conversion and one multiplication by a power of two: nothing
// that a compiler may contract or order otherwise. So every GPU gives the same bits, and the model of nvdec as well
// (`nvdec/src/tensor/model.rs`). What is computed is said in `nvdec/src/tensor/spec.rs`.
//
// There is no #include, so that a cubin depends on this file and the compiler alone (`build.py`).

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;

// Weights have 28 bits behind the point, samples and channels 30, coefficients of colours 29.
static const u32 WEIGHT_BITS = 28;
static const u32 SAMPLE_BITS = 30;
static const u32 COLOUR_BITS = 29;
static const i64 ONE = 1ll << SAMPLE_BITS;

// Threads of a block, as `nvdec/src/tensor/plan.rs` has them. A kernel that asked for them would have to be told where, and that
// is not known for every GPU.
static const u32 BLOCK_COLUMNS = 32, BLOCK_LINES = 4;

// The samples of one axis of a plane, and their weights, for each of `length` pixels: `starts[i]` is the first sample,
// `weights[tap * length + i]` the weight of sample `starts[i] + tap`. The weights of a pixel sum to 2^28.
struct Taps {
    const u32 *starts;   // 0
    const i32 *weights;  // 8
    u32 count;           // 16: taps of each pixel
    u32 length;          // 20: pixels
};

// A channel: clamp(y * Y + cb * Cb + cr * Cr + offset), and what makes a number of it.
struct Channel {
    i32 y;         // 0: 29 bits behind the point
    i32 cb;        // 4
    i32 cr;        // 8
    i32 scale;     // 12: of floating-point numbers, (value * scale + bias) * 2^-exponent
    i64 offset;    // 16: 59 bits behind the point
    i64 bias;      // 24
    i32 exponent;  // 32
    i32 fill;      // 36: value around the picture, 30 bits behind the point
};

enum Type { U8 = 0, F16 = 1, BF16 = 2, F32 = 3 };

// `nvdec/src/tensor/params.rs` has the same structure.
struct Params {
    const u8 *luma;       // 0: block-linear plane
    const u8 *chroma;     // 8: block-linear plane, Cb and Cr interleaved
    u8 *output;           // 16
    i64 channel_stride;   // 24: bytes, and so the next two
    i64 line_stride;      // 32
    i64 column_stride;    // 40
    Taps luma_columns;    // 48
    Taps luma_lines;      // 72
    Taps chroma_columns;  // 96
    Taps chroma_lines;    // 120
    u32 luma_pitch;       // 144: bytes per line
    u32 chroma_pitch;     // 148
    u32 width;            // 152: of the output, in pixels
    u32 height;           // 156
    u32 left;             // 160: where the picture lies in the output
    u32 top;              // 164
    u32 picture_width;    // 168
    u32 picture_height;   // 172
    u32 is_transposed;    // 176: columns of the output are lines of the surface
    u32 has_chroma;       // 180: chroma is read at all
    u32 channels;         // 184: 1 or 3
    u32 type;             // 188: a `Type`
    Channel channel[3];   // 192
};

static_assert(sizeof(Taps) == 24 && sizeof(Channel) == 40 && sizeof(Params) == 312, "sizes as in params.rs");
static_assert(__builtin_offsetof(Params, luma_columns) == 48, "offsets as in params.rs");
static_assert(__builtin_offsetof(Params, luma_pitch) == 144, "offsets as in params.rs");
static_assert(__builtin_offsetof(Params, is_transposed) == 176, "offsets as in params.rs");
static_assert(__builtin_offsetof(Params, channel) == 192, "offsets as in params.rs");

// Where byte `x` of a line lies, and where a line begins: the sum of both is the offset within a block-linear plane.
// Of a GOB, 64 bytes by 8 lines, the address bits are x0 x1 x2 x3 y0 y1 x4 y2 x5; two GOBs are a block.
static __device__ __forceinline__ u32 byte_offset(u32 x) {
    return (x & 15) | (x & 16) << 2 | (x & 32) << 3 | (x & ~63u) << 4;
}

static __device__ __forceinline__ u32 line_offset(u32 pitch, u32 y) {
    return (y >> 4) * pitch * 16 | (y & 8) << 6 | (y & 4) << 5 | (y & 3) << 4;
}

// The sum over lines of a sum over columns. Weights of either axis have absolute values that sum to less than 2^28 * 1.41,
// which the plan checks: what a line comes to is below 2^31, and so is the whole.
template <typename Sample>
static __device__ __forceinline__ i32 luma_at(const Params &p, u32 column, u32 line) {
    const u32 bits = 8 * sizeof(Sample);
    const Taps &columns = p.luma_columns, &lines = p.luma_lines;
    const u32 x = columns.starts[column], y = lines.starts[line];
    if (columns.count == 1 && lines.count == 1) {
        // The weight is 1: multiplying by it and rounding changes nothing.
        const u32 at = line_offset(p.luma_pitch, y) + byte_offset(x * sizeof(Sample));
        return (i32)*(const Sample *)(p.luma + at) << (SAMPLE_BITS - bits);
    }
    i64 sum = 1ll << (WEIGHT_BITS - 1);
#pragma unroll 1
    for (u32 j = 0; j < lines.count; j++) {
        const i32 weight = lines.weights[j * lines.length + line];
        if (weight == 0) {
            continue;
        }
        const u8 *row = p.luma + line_offset(p.luma_pitch, y + j);
        const i32 *weights = columns.weights + column;
        i64 of_line = 1ll << (WEIGHT_BITS + bits - SAMPLE_BITS - 1);
#pragma unroll 4
        for (u32 i = 0; i < columns.count; i++) {
            const i32 sample = *(const Sample *)(row + byte_offset((x + i) * sizeof(Sample)));
            of_line += (i64)*weights * sample;
            weights += columns.length;
        }
        sum += (i64)weight * (i32)(of_line >> (WEIGHT_BITS + bits - SAMPLE_BITS));
    }
    return (i32)(sum >> WEIGHT_BITS);
}

// The same for Cb and Cr, which one load gives: `Pair` holds Cb in its lower half.
template <typename Sample, typename Pair>
static __device__ __forceinline__ void chroma_at(const Params &p, u32 column, u32 line, i32 &cb, i32 &cr) {
    const u32 bits = 8 * sizeof(Sample);
    const Taps &columns = p.chroma_columns, &lines = p.chroma_lines;
    const u32 x = columns.starts[column], y = lines.starts[line];
    if (columns.count == 1 && lines.count == 1) {
        const u32 at = line_offset(p.chroma_pitch, y) + byte_offset(x * sizeof(Pair));
        const u32 pair = *(const Pair *)(p.chroma + at);
        cb = (i32)(Sample)pair << (SAMPLE_BITS - bits);
        cr = (i32)(Sample)(pair >> bits) << (SAMPLE_BITS - bits);
        return;
    }
    const u32 shift = WEIGHT_BITS + bits - SAMPLE_BITS;
    i64 sum_cb = 1ll << (WEIGHT_BITS - 1), sum_cr = sum_cb;
    if (columns.count == 2 && lines.count == 2) {
        // The picture's own size, from 4:2:0: the same sums without loops.
        const i64 left = columns.weights[column], right = columns.weights[columns.length + column];
        const u32 from = byte_offset(x * sizeof(Pair)), to = byte_offset((x + 1) * sizeof(Pair));
#pragma unroll
        for (u32 j = 0; j < 2; j++) {
            const u8 *row = p.chroma + line_offset(p.chroma_pitch, y + j);
            const u32 first = *(const Pair *)(row + from), second = *(const Pair *)(row + to);
            const i64 half = 1ll << (shift - 1), weight = lines.weights[j * lines.length + line];
            sum_cb += weight * (i32)((half + left * (i32)(Sample)first + right * (i32)(Sample)second) >> shift);
            sum_cr += weight
                * (i32)((half + left * (i32)(Sample)(first >> bits) + right * (i32)(Sample)(second >> bits)) >> shift);
        }
        cb = (i32)(sum_cb >> WEIGHT_BITS);
        cr = (i32)(sum_cr >> WEIGHT_BITS);
        return;
    }
#pragma unroll 1
    for (u32 j = 0; j < lines.count; j++) {
        const i32 weight = lines.weights[j * lines.length + line];
        if (weight == 0) {
            continue;
        }
        const u8 *row = p.chroma + line_offset(p.chroma_pitch, y + j);
        const i32 *weights = columns.weights + column;
        i64 line_cb = 1ll << (WEIGHT_BITS + bits - SAMPLE_BITS - 1), line_cr = line_cb;
#pragma unroll 4
        for (u32 i = 0; i < columns.count; i++) {
            const u32 pair = *(const Pair *)(row + byte_offset((x + i) * sizeof(Pair)));
            line_cb += (i64)*weights * (i32)(Sample)pair;
            line_cr += (i64)*weights * (i32)(Sample)(pair >> bits);
            weights += columns.length;
        }
        sum_cb += (i64)weight * (i32)(line_cb >> (WEIGHT_BITS + bits - SAMPLE_BITS));
        sum_cr += (i64)weight * (i32)(line_cr >> (WEIGHT_BITS + bits - SAMPLE_BITS));
    }
    cb = (i32)(sum_cb >> WEIGHT_BITS);
    cr = (i32)(sum_cr >> WEIGHT_BITS);
}

// `value` is of 0 to 2^30.
static __device__ __forceinline__ void store(const Channel &channel, u32 type, u8 *at, i64 value) {
    if (type == U8) {
        *at = (u8)((value * 255 + (ONE >> 1)) >> SAMPLE_BITS);
        return;
    }
    // Rounded once: multiplying by a power of two is exact, since the plan keeps results away from subnormal numbers.
    const float rounded = (float)(value * channel.scale + channel.bias);
    const float number = rounded * __int_as_float((127 - channel.exponent) << 23);
    if (type == F32) {
        *(float *)at = number;
    } else if (type == F16) {
        u16 half;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(number));
        *(u16 *)at = half;
    } else {
        const u32 word = __float_as_int(number);
        *(u16 *)at = (u16)((word + 0x7fff + (word >> 16 & 1)) >> 16);
    }
}

template <typename Sample, typename Pair>
static __device__ __forceinline__ void convert(const Params &p) {
    const u32 x = blockIdx.x * BLOCK_COLUMNS + threadIdx.x;
    const u32 y = blockIdx.y * BLOCK_LINES + threadIdx.y;
    if (x >= p.width || y >= p.height) {
        return;
    }
    u8 *at = p.output + (i64)y * p.line_stride + (i64)x * p.column_stride;
    // Columns left of the picture, and lines above it, become large numbers.
    const u32 in_x = x - p.left, in_y = y - p.top;
    const bool is_inside = in_x < p.picture_width && in_y < p.picture_height;
    i32 luma = 0, cb = 0, cr = 0;
    if (is_inside) {
        const u32 column = p.is_transposed ? in_y : in_x;
        const u32 line = p.is_transposed ? in_x : in_y;
        luma = luma_at<Sample>(p, column, line);
        if (p.has_chroma) {
            chroma_at<Sample, Pair>(p, column, line, cb, cr);
        }
    }
#pragma unroll 1
    for (u32 c = 0; c < 3; c++) {
        if (c >= p.channels) {
            break;
        }
        const Channel &channel = p.channel[c];
        i64 value = channel.fill;
        if (is_inside) {
            const i64 sum = (i64)channel.y * luma + (i64)channel.cb * cb + (i64)channel.cr * cr + channel.offset;
            value = (sum + (1ll << (COLOUR_BITS - 1))) >> COLOUR_BITS;
            value = value < 0 ? 0 : value > ONE ? ONE : value;
        }
        store(channel, p.type, at, value);
        at += p.channel_stride;
    }
}

// Samples of one byte.
extern "C" __global__ void nvdec_convert_8(const Params p) { convert<u8, u16>(p); }

// Samples of two bytes, in the upper bits.
extern "C" __global__ void nvdec_convert_16(const Params p) { convert<u16, u32>(p); }
