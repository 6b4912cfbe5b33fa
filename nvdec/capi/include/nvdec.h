/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * nvdec: decoded video in GPU memory, straight from the NVDEC engines.
 *
 * This file is made of nvdec/capi/src by nvdec/capi/header.sh.
 */

#ifndef NVDEC_H
#define NVDEC_H

#include <stddef.h>
#include <stdint.h>

/* Rules for all calls.
 *
 * Pointers. Each may be NULL: where one is needed the call says NVDEC_NULL_ARGUMENT. One that is not NULL points to what
 * the call says, and to as much of it; nobody else writes there during the call. A pointer to an object came from this
 * library and was not released.
 *
 * Structures. `size` comes first and is set by the caller to sizeof, for options and for results. A field of options that
 * is 0 has its default: { .size = sizeof x } is always right. Fields are added at the end; an older library takes a newer
 * structure whose further fields are 0, a newer library takes an older structure.
 *
 * Results. 0 is NVDEC_OK; NVDEC_AGAIN and NVDEC_END are no failures. nvdec_last_error has the text. A call that was to
 * make an object and fails sets the pointer to NULL.
 *
 * Threads. Any two objects may be used by two threads at the same time, and a context by any number. Of any other object,
 * the second thread is told NVDEC_BUSY, and nothing happens. An object goes from thread to thread as the caller likes.
 * The library calls back from no thread of its own.
 *
 * Release. Each object is released by its own function, in any order; none needs another one to live. Releasing is a call
 * as well: what another thread is in a call of is not released, and stays good. After fork, the child leaves them alone.
 */

// The version of the binary interface that this header declares. It counts up when something of it changes or goes, and not
// when something comes. `nvdec_abi_version` says which one the library has.
#define NVDEC_ABI_VERSION 1

// In the place of a time that is not known.
#define NVDEC_NO_TIME INT64_MIN

// As a memory limit: as much as there is.
#define NVDEC_UNLIMITED UINT64_MAX

// What became of a call. Numbers are for ever: new ones come at the end of their group, and a program treats those that it
// does not know as errors.
typedef enum nvdec_result {
    // It did what it was asked to.
    NVDEC_OK = 0,
    // Nothing for now. From `receive`: send more. From `send` and `flush`: nothing was taken; receive and release frames first.
    NVDEC_AGAIN = 1,
    // The stream has ended, and all its frames were received.
    NVDEC_END = 2,
    // A pointer is NULL that must not be.
    NVDEC_NULL_ARGUMENT = 16,
    // An argument, or a field of an option structure, has a value that it cannot have.
    NVDEC_INVALID_ARGUMENT = 17,
    // The `size` of a structure is wrong, or the structure uses fields that this library does not have.
    NVDEC_INVALID_SIZE = 18,
    // The caller's buffer is too small; how large it has to be was written where the call was told to.
    NVDEC_BUFFER_TOO_SMALL = 19,
    // Another thread, or a callback of this one, is in a call with the same object. Nothing was done.
    NVDEC_BUSY = 20,
    // The pointer is no object of the kind that the call wants.
    NVDEC_WRONG_OBJECT = 21,
    // A fault of this library. The object can only be released.
    NVDEC_INTERNAL = 22,
    // There is no GPU that can be used.
    NVDEC_NO_DEVICE = 32,
    // The GPU, or its driver, failed.
    NVDEC_DEVICE_FAILED = 33,
    // The GPU, or this library, cannot do what was asked for.
    NVDEC_UNSUPPORTED = 34,
    // There is no memory, or the context's limit allows no more.
    NVDEC_OUT_OF_MEMORY = 35,
    // The frames that the caller holds leave no memory to go on with: release some.
    NVDEC_FRAMES_HELD = 36,
    // A picture was lost with the channel of its engine: its samples may be anything.
    NVDEC_LOST = 37,
    // A file could not be read or written.
    NVDEC_IO = 48,
    // The stream or the file is damaged.
    NVDEC_DAMAGED = 49,
    // There is no track with pictures that can be decoded.
    NVDEC_NO_VIDEO = 50,
    // There is no picture with that number, or at that time.
    NVDEC_NO_PICTURE = 51,
    // The stored index is not of this file, or of another version: open the file without it.
    NVDEC_STALE_INDEX = 52,
    // A picture is not exact, and the policy says that this ends the stream.
    NVDEC_NOT_EXACT = 53,
} nvdec_result;

// When the emulated GPU takes the place of a real one, for the device "auto".
typedef enum nvdec_fallback {
    // Where there is neither a GPU of NVIDIA's nor its driver. A GPU that is there and cannot be used is an error.
    NVDEC_FALLBACK_IF_ABSENT = 0,
    // Never: without a usable GPU, opening fails.
    NVDEC_FALLBACK_NEVER = 1,
    // Also where a GPU is there and cannot be used.
    NVDEC_FALLBACK_IF_UNUSABLE = 2,
} nvdec_fallback;

// A codec.
typedef enum nvdec_codec {
    // H.265.
    NVDEC_CODEC_HEVC = 1,
} nvdec_codec;

// What a decoder is to be good at.
typedef enum nvdec_mode {
    // Up to 64 surfaces, and half as many more pictures held back.
    NVDEC_MODE_BALANCED = 0,
    // Pictures a second: up to 256 surfaces, and pictures held back.
    NVDEC_MODE_THROUGHPUT = 1,
    // Each picture as soon as can be.
    NVDEC_MODE_LOW_LATENCY = 2,
} nvdec_mode;

// What is done with pictures that are not exact.
typedef enum nvdec_policy {
    // They come out like the others, and their integrity says what they are.
    NVDEC_POLICY_DELIVER = 0,
    // They do not come out. With this and those below, receiving a frame waits until it is decoded.
    NVDEC_POLICY_SKIP = 1,
    // The first of them ends the stream with `NVDEC_NOT_EXACT`.
    NVDEC_POLICY_STOP = 2,
    // In the place of each the last exact one comes out again.
    NVDEC_POLICY_FREEZE = 3,
} nvdec_policy;

// At which pictures decoding may begin, and go on after a reset. From the strictest on: random access, recovery point, intra, any;
// each allows what those before it do.
typedef enum nvdec_start {
    // Also at a picture that refers to no other, as cameras send that know no random access points.
    NVDEC_START_INTRA = 0,
    // At random access points alone.
    NVDEC_START_RANDOM_ACCESS = 1,
    // Also where a recovery point message announces that pictures are refreshed bit by bit.
    NVDEC_START_RECOVERY_POINT = 2,
    // At any picture.
    NVDEC_START_ANY = 3,
} nvdec_start;

// How the units of a stream are told apart in what is sent.
typedef enum nvdec_framing {
    // By start codes; the bytes may begin and end anywhere in the stream. Pictures have no times.
    NVDEC_FRAMING_BYTE_STREAM = 1,
    // By start codes; the bytes end where an access unit ends, so that its last picture is complete.
    NVDEC_FRAMING_ACCESS_UNIT = 2,
    // The bytes are one unit (a NAL unit), without start code or length.
    NVDEC_FRAMING_UNIT = 3,
} nvdec_framing;

// How far a picture is what its encoder made, as far as a decoder can tell.
typedef enum nvdec_integrity_kind {
    // All of it is there, and all that it is predicted from.
    NVDEC_INTEGRITY_EXACT = 0,
    // Something of the picture itself is missing or wrong.
    NVDEC_INTEGRITY_DAMAGED = 1,
    // It is predicted, in however many steps, from a picture that is not exact.
    NVDEC_INTEGRITY_TAINTED = 2,
    // Decoding began within a sequence that refreshes pictures bit by bit, and this one is not refreshed yet.
    NVDEC_INTEGRITY_RECOVERING = 3,
    // Something that this version of the interface has no number for; the text says what.
    NVDEC_INTEGRITY_OTHER = 4,
} nvdec_integrity_kind;

// What an element of a tensor is.
typedef enum nvdec_dtype {
    // A byte.
    NVDEC_U8 = 1,
    // An IEEE 754 half.
    NVDEC_F16 = 2,
    // The upper half of a float32.
    NVDEC_BF16 = 3,
    // An IEEE 754 single.
    NVDEC_F32 = 4,
} nvdec_dtype;

// Which of channels, lines and columns of a tensor lie next to each other.
typedef enum nvdec_layout {
    // Channel after channel.
    NVDEC_NCHW = 1,
    // Pixel after pixel.
    NVDEC_NHWC = 2,
} nvdec_layout;

// What a consumer of a tensor works with, and so where it wants the tensor.
typedef enum nvdec_stream_kind {
    // Nothing but the processor: the tensor is in host memory (`kDLCPU`), and complete.
    NVDEC_STREAM_NONE = 0,
    // A stream of CUDA. This library hands out no tensors of CUDA, and says `NVDEC_UNSUPPORTED`: `nvdec_batch_signal` and
    // `nvdec_batch_export_fd` are for those.
    NVDEC_STREAM_CUDA = 1,
} nvdec_stream_kind;

// A tensor in the form of DLPack 1, which `dlpack.h` declares.
typedef struct DLManagedTensorVersioned DLManagedTensorVersioned;

// Pictures as tensors in GPU memory, side by side.
typedef struct nvdec_batch nvdec_batch;

// A GPU opened for decoding. The one object that any number of threads may use at a time. What was made of it stays good when
// it is closed.
typedef struct nvdec_context nvdec_context;

// A decoder for an elementary stream.
typedef struct nvdec_decoder nvdec_decoder;

// A decoded picture in GPU memory. Its decoder has a limited number of them: a frame that is not needed any more is released
// soon.
typedef struct nvdec_frame nvdec_frame;

// Counts batches that are there, for streams of CUDA and other programs that wait without this library. What is exported of it
// is a record of 16 bytes, as NVIDIA's engines write it: the value as 32 bits, 4 bytes of zeros, and in 64 bits the GPU's time
// in nanoseconds.
typedef struct nvdec_semaphore nvdec_semaphore;

// A track of pictures in a file, any of which can be had.
typedef struct nvdec_video nvdec_video;

// How a context is opened.
typedef struct nvdec_context_options {
    // `sizeof` of the structure.
    size_t size;
    // "auto", "nv:N" (the driver's GPU N, from 0) or "emulated". NULL: what the environment variable NVDEC_DEVICE says, and
    // "auto" without it.
    const char *device;
    // Most bytes of GPU memory that all decoders and tensors of the context take together. 0: three quarters of what is free.
    uint64_t memory_limit;
    // An `nvdec_fallback`.
    uint32_t fallback;
    // 0.
    uint32_t reserved;
} nvdec_context_options;

// What a context is.
typedef struct nvdec_context_info {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // Bytes of GPU memory that are allocated.
    uint64_t allocated_memory;
    // Most of them that may be; `NVDEC_UNLIMITED` without a limit.
    uint64_t memory_limit;
    // A bit for each NVDEC engine, by its number. Numbers may have holes.
    uint32_t engines;
    // Whether the GPU is a model in this process, which decodes in software, a hundred times slower.
    uint32_t emulated;
    // Name of the GPU.
    char name[96];
    // Release of the driver.
    char driver[32];
    // PCI address.
    char pci[32];
    // Generation of the engines.
    char generation[32];
} nvdec_context_info;

// How a stream is decoded. All zero but `size`: all engines, balanced, all pictures.
typedef struct nvdec_decoder_options {
    // `sizeof` of the structure.
    size_t size;
    // A bit for each NVDEC engine that may be used; 0: all that the GPU has, fairly shared with other streams.
    uint32_t engines;
    // Not 0: the engine with the least to do is used, and `engines` is 0.
    uint32_t least_busy;
    // An `nvdec_mode`.
    uint32_t mode;
    // An `nvdec_policy`.
    uint32_t policy;
    // An `nvdec_start`.
    uint32_t start;
    // Frames that the caller may hold while decoding goes on; 0: 6.
    uint32_t held_frames;
    // Largest pictures, in luma samples; 0: those of level 6.2, 8192x4352. `NVDEC_UNLIMITED`: what the engine decodes.
    uint64_t max_luma_samples;
} nvdec_decoder_options;

// A piece of a stream.
typedef struct nvdec_packet {
    // `sizeof` of the structure.
    size_t size;
    // The bytes. They are copied.
    const uint8_t *data;
    // How many.
    size_t length;
    // When the picture that begins in it is shown, in any unit; `NVDEC_NO_TIME` if unknown.
    int64_t pts;
    // When it is decoded, likewise.
    int64_t dts;
    // How long it is shown, likewise.
    int64_t duration;
    // What the caller knows the picture by: its frame has the same.
    uint64_t opaque;
    // An `nvdec_framing`.
    uint32_t framing;
    // 0.
    uint32_t reserved;
} nvdec_packet;

// Most bytes of GPU memory that a decoder takes.
typedef struct nvdec_decoder_memory {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // All of those below.
    uint64_t total;
    // Surfaces.
    uint64_t surfaces;
    // Motion vectors.
    uint64_t motion;
    // What the engines work in.
    uint64_t scratch;
    // Status of pictures.
    uint64_t status;
} nvdec_decoder_memory;

// What a frame is.
typedef struct nvdec_frame_info {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // Width and height as coded, in luma samples.
    uint32_t coded_width;
    // See `coded_width`.
    uint32_t coded_height;
    // The part to be shown, in luma samples: first column.
    uint32_t left;
    // First line.
    uint32_t top;
    // Columns.
    uint32_t width;
    // Lines.
    uint32_t height;
    // `chroma_format_idc` of H.265: 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    uint32_t chroma_format_idc;
    // Bits of a luma sample.
    uint32_t bit_depth;
    // Bits of a chroma sample.
    uint32_t chroma_bit_depth;
    // Bytes of a sample in memory, 1 or 2.
    uint32_t bytes_per_sample;
    // Code points of ITU-T H.273, 2 if unspecified: primaries.
    uint32_t colour_primaries;
    // Transfer characteristics.
    uint32_t transfer_characteristics;
    // Matrix coefficients.
    uint32_t matrix_coefficients;
    // Not 0: samples use all values.
    uint32_t full_range;
    // Not 0: decoding can begin with it.
    uint32_t key;
    // Picture order count.
    int32_t poc;
    // Position in decoding order.
    uint64_t number;
    // As they were sent; `NVDEC_NO_TIME` if there was none.
    int64_t pts;
    // Likewise.
    int64_t dts;
    // Likewise.
    int64_t duration;
    // As it was sent; 0 if nothing was.
    uint64_t opaque;
} nvdec_frame_info;

// How far a picture is what its encoder made.
typedef struct nvdec_integrity {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // An `nvdec_integrity_kind`.
    uint32_t kind;
    // 0.
    uint32_t reserved;
    // The same in words, and what is wrong.
    char text[240];
} nvdec_integrity;

// How a video is opened. All zero but `size`: the first track that can be decoded, whose index is made.
typedef struct nvdec_video_options {
    // `sizeof` of the structure.
    size_t size;
    // Not 0: `track` says which track, counted from 0.
    uint32_t has_track;
    // See `has_track`.
    uint32_t track;
    // An index from `nvdec_video_store_index` in the place of looking at all pictures; NULL for none. It is read during the
    // call alone.
    const uint8_t *index;
    // Its bytes.
    size_t index_size;
    // How pictures are decoded; NULL for the usual way. `policy` and `start` are not looked at.
    const struct nvdec_decoder_options *decoder;
} nvdec_video_options;

// Where the bytes of a video are, for those that are neither in a file nor in memory. Functions are called by the threads that
// call the video, during those calls, one at a time. They do not call the
// video, and return: no exception and no `longjmp` leaves them.
typedef struct nvdec_source {
    // `sizeof` of the structure.
    size_t size;
    // Passed to the functions.
    void *user;
    // Reads up to `length` bytes to `buffer`: how many, 0 at the end, a negative number if it fails.
    int64_t (*read)(void *user, uint8_t *buffer, size_t length);
    // Goes to `offset` bytes from the beginning (`whence` 0), from where it stands (1) or from the end (2), as `lseek` does:
    // where it stands then, or a negative number if it fails.
    int64_t (*seek)(void *user, int64_t offset, int32_t whence);
} nvdec_source;

// What a video is.
typedef struct nvdec_video_info {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // Pictures that are shown.
    uint64_t pictures;
    // From the beginning of the first picture to the end of the last, in seconds; NaN if nothing says so.
    double duration;
    // When the first picture is shown, in seconds; NaN if nothing says so.
    double start;
    // Pictures a second, as a fraction; 0/0 if nothing says so.
    uint32_t frame_rate_num;
    // See `frame_rate_num`.
    uint32_t frame_rate_den;
    // Seconds of a tick, as a fraction; 0/0 if there are no times.
    uint32_t time_base_num;
    // See `time_base_num`.
    uint32_t time_base_den;
    // Columns to be shown of the first picture.
    uint32_t width;
    // Its lines to be shown.
    uint32_t height;
    // Columns as coded.
    uint32_t coded_width;
    // Lines as coded.
    uint32_t coded_height;
    // An `nvdec_codec`.
    uint32_t codec;
    // Degrees, clockwise, by which the container wants pictures turned: 0, 90, 180 or 270. Tensors are turned by the option
    // `orientation`, and by nothing else.
    uint32_t rotation;
    // Not 0: before that, left and right are exchanged.
    uint32_t mirrored;
    // `chroma_format_idc` of H.265.
    uint32_t chroma_format_idc;
    // Bits of a luma sample.
    uint32_t bit_depth;
    // Bits of a chroma sample.
    uint32_t chroma_bit_depth;
    // Code points of ITU-T H.273, 2 if unspecified: primaries.
    uint32_t colour_primaries;
    // Transfer characteristics.
    uint32_t transfer_characteristics;
    // Matrix coefficients.
    uint32_t matrix_coefficients;
    // Not 0: samples use all values.
    uint32_t full_range;
    // The container's format: "MP4", "Matroska" and so on.
    char container[32];
} nvdec_video_info;

// What is known of a picture of a video without decoding it.
typedef struct nvdec_picture_info {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // When it is shown, in ticks of the time base; `NVDEC_NO_TIME` if nothing says so.
    int64_t pts;
    // How long, likewise.
    int64_t duration;
    // When it is shown, in seconds; NaN if nothing says so.
    double seconds;
    // Position in decoding order.
    uint64_t decoding_order;
    // Not 0: decoding can begin with it.
    uint32_t key;
    // Not 0: others are predicted from it.
    uint32_t reference;
    // Not 0: something that it is predicted from is not in the stream.
    uint32_t incomplete;
    // `TemporalId`.
    uint32_t temporal_layer;
} nvdec_picture_info;

// What pictures become as tensors.
typedef struct nvdec_tensor_options {
    // `sizeof` of the structure.
    size_t size;
    // Options as the program nvdec-decode takes them for `--tensor`: "size=224x224,dtype=f16,mean=0.485:0.456:0.406". NULL or
    // "": RGB bytes in the picture's own size, channel after channel.
    const char *spec;
} nvdec_tensor_options;

// What a batch is.
typedef struct nvdec_batch_info {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // Pictures, then channels, lines and columns in the order of the layout. All elements lie side by side.
    uint64_t shape[4];
    // Bytes of all elements.
    uint64_t bytes;
    // Pictures that were decoded for it: its own, and what they are predicted from.
    uint64_t decoded;
    // An `nvdec_dtype`.
    uint32_t dtype;
    // An `nvdec_layout`.
    uint32_t layout;
} nvdec_batch_info;

// A picture of a batch.
typedef struct nvdec_batch_picture {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // Its number in the video.
    uint64_t number;
    // When it is shown, in ticks of the video; `NVDEC_NO_TIME` if nothing says so.
    int64_t pts;
    // How long, likewise.
    int64_t duration;
    // Not 0: decoding can begin with it.
    uint32_t key;
    // 0.
    uint32_t reserved;
} nvdec_batch_picture;

// Memory of a batch or a semaphore for other programs.
typedef struct nvdec_exported {
    // `sizeof` of the structure, set by the caller.
    size_t size;
    // Where the elements, or the record of the semaphore, begin in the allocation.
    uint64_t offset;
    // Bytes of them.
    uint64_t bytes;
    // Bytes of the whole allocation, which whoever imports the descriptor has to name (`cuImportExternalMemory`).
    uint64_t allocation;
    // The descriptor. It is the caller's to close, and holds the memory until then.
    int32_t fd;
    // 0.
    uint32_t reserved;
} nvdec_exported;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the binary interface that the library has. A program that was compiled for another one than
// `NVDEC_ABI_VERSION` says does not go on.
uint32_t nvdec_abi_version(void);

// The version of the library, as "0.1.0".
const char *nvdec_version(void);

// A few words for a result, also for one that is unknown.
const char *nvdec_result_text(uint32_t result);

// Why a call failed. Of an object, its last call that did; if the last failure in this thread was of that object, that one. With
// NULL, the last failure in this thread, also of a call that was to make an object. Empty if nothing failed. The text is good
// until the thread asks again.
const char *nvdec_last_error(const void *object);

// The GPUs of this machine as JSON: what each is and decodes, or what keeps it from that. Nothing stays open. The text is
// released with `nvdec_string_release`.
enum nvdec_result nvdec_probe_json(char **json);

// Releases a text that is the caller's; NULL is nothing.
void nvdec_string_release(char *text);

// Opens a GPU for decoding; `options` may be NULL. Where the emulated one takes the place of a GPU that is not there, a line on
// standard error says so, once in the life of the process.
enum nvdec_result nvdec_context_open(const struct nvdec_context_options *options,
                                     struct nvdec_context **context);

// Closes a context; NULL is nothing. Decoders, frames, videos and batches of it stay good, and with them the GPU stays open.
enum nvdec_result nvdec_context_close(struct nvdec_context *context);

// What the context is, and how much memory it has allocated.
enum nvdec_result nvdec_context_describe(const struct nvdec_context *context,
                                         struct nvdec_context_info *info);

// Gives memory that decoders have given back, and that is kept for those to come, back to the driver.
enum nvdec_result nvdec_context_release_memory(const struct nvdec_context *context);

// Makes a decoder for a stream of `codec`, an `nvdec_codec`; `options` may be NULL. Memory for pictures is allocated when the
// first one tells their size.
enum nvdec_result nvdec_decoder_open(const struct nvdec_context *context,
                                     uint32_t codec,
                                     const struct nvdec_decoder_options *options,
                                     struct nvdec_decoder **decoder);

// Releases a decoder; NULL is nothing. Its frames stay good.
enum nvdec_result nvdec_decoder_release(struct nvdec_decoder *decoder);

// Sends a piece of the stream: `NVDEC_OK` if it was taken, `NVDEC_AGAIN` if nothing of it was, since frames are to be received
// and released first. What is wrong with single units or pictures is for `nvdec_decoder_take_error` to say.
// `NVDEC_UNSUPPORTED` if a sequence begins that the GPU cannot decode: the packet was taken, and a later sequence may be one that
// it can.
enum nvdec_result nvdec_decoder_send(struct nvdec_decoder *decoder,
                                     const struct nvdec_packet *packet);

// The next frame in the order of showing: `NVDEC_AGAIN` if none is due, `NVDEC_END` after the last one behind
// `nvdec_decoder_flush`. The frame may still be decoded; nothing waits for that here.
enum nvdec_result nvdec_decoder_receive(struct nvdec_decoder *decoder, struct nvdec_frame **frame);

// Ends the stream: all frames become due. `NVDEC_AGAIN` as in `nvdec_decoder_send`. Another stream may be sent afterwards.
enum nvdec_result nvdec_decoder_flush(struct nvdec_decoder *decoder);

// Most GPU memory that the decoder takes for the present sequence, which includes what it has: `NVDEC_AGAIN` before the first
// picture of a stream told. It becomes less when further decoders share the GPU.
enum nvdec_result nvdec_decoder_price(const struct nvdec_decoder *decoder,
                                      struct nvdec_decoder_memory *memory);

// Forgets everything that was sent and has not come out, as for a seek.
enum nvdec_result nvdec_decoder_reset(struct nvdec_decoder *decoder);

// The next fault of a unit or a picture that did not end the stream: its number, and its text by `nvdec_last_error`.
// `NVDEC_OK` if there is none.
enum nvdec_result nvdec_decoder_take_error(struct nvdec_decoder *decoder);

// What a frame is. It waits for nothing.
enum nvdec_result nvdec_frame_describe(const struct nvdec_frame *frame, struct nvdec_frame_info *info);

// How far a frame is what its encoder made, waiting until it is decoded.
enum nvdec_result nvdec_frame_integrity(const struct nvdec_frame *frame, struct nvdec_integrity *integrity);

// Copies the part of a frame that is to be shown to host memory, waiting for it: planes Y, Cb and Cr, without gaps. Samples of
// more than 8 bits are 16-bit words, little-endian, with the sample in the lower bits.
//
// Bytes that are needed are written to `needed`, if that is not NULL; with `data` NULL nothing else is done.
// `NVDEC_BUFFER_TOO_SMALL` if `capacity` is less.
enum nvdec_result nvdec_frame_download(const struct nvdec_frame *frame,
                                       uint8_t *data,
                                       size_t capacity,
                                       size_t *needed);

// Releases a frame; NULL is nothing.
enum nvdec_result nvdec_frame_release(struct nvdec_frame *frame);

// Opens a video in a file: MP4 and QuickTime, Matroska and WebM, MPEG transport streams, HEVC with start codes, HEIF.
// `options` may be NULL. Without a stored index all pictures are looked at once: of MP4 and
// Matroska their headers are read, of other formats all bytes.
enum nvdec_result nvdec_video_open(const struct nvdec_context *context,
                                   const char *path,
                                   const struct nvdec_video_options *options,
                                   struct nvdec_video **video);

// Opens a video in memory, which is copied.
enum nvdec_result nvdec_video_open_memory(const struct nvdec_context *context,
                                          const uint8_t *data,
                                          size_t length,
                                          const struct nvdec_video_options *options,
                                          struct nvdec_video **video);

// Opens a video that functions of the caller's read. They, and what `user` points to, have to be good until the video is
// released; the structure itself only during this call.
enum nvdec_result nvdec_video_open_source(const struct nvdec_context *context,
                                          const struct nvdec_source *source,
                                          const struct nvdec_video_options *options,
                                          struct nvdec_video **video);

// Releases a video; NULL is nothing. Its batches stay good.
enum nvdec_result nvdec_video_release(struct nvdec_video *video);

// What a video is.
enum nvdec_result nvdec_video_describe(const struct nvdec_video *video, struct nvdec_video_info *info);

// What is known of picture `number`, counted from 0 in the order of showing.
enum nvdec_result nvdec_video_picture(const struct nvdec_video *video,
                                      size_t number,
                                      struct nvdec_picture_info *info);

// The number of the picture that is shown at a time. `NVDEC_NO_PICTURE` before the first, behind the end of the last, and where
// nothing says when pictures are shown.
enum nvdec_result nvdec_video_at(const struct nvdec_video *video,
                                 double seconds,
                                 size_t *number);

// The pictures that are shown from `start` on and before `stop`, in seconds; with `rate` not 0, those that are shown at `start`
// and at each step of 1/`rate` seconds. How many there are is written to `count`. With `numbers` NULL nothing else is;
// `NVDEC_BUFFER_TOO_SMALL` if `capacity` is less than that.
enum nvdec_result nvdec_video_between(const struct nvdec_video *video,
                                      double start,
                                      double stop,
                                      double rate,
                                      size_t *numbers,
                                      size_t capacity,
                                      size_t *count);

// The index of a video as bytes, about ten for each picture, for `nvdec_video_options.index` when it is opened again. `data`,
// `capacity` and `needed` as in `nvdec_frame_download`. `NVDEC_STALE_INDEX` for a file that has changed since it was opened, or is a
// pipe.
enum nvdec_result nvdec_video_store_index(const struct nvdec_video *video,
                                          uint8_t *data,
                                          size_t capacity,
                                          size_t *needed);

// Most GPU memory that the decoder of a video takes besides batches. It is made with the first batch, and stays: `NVDEC_AGAIN`
// before that. See `nvdec_decoder_price`.
enum nvdec_result nvdec_video_decoder_price(const struct nvdec_video *video,
                                            struct nvdec_decoder_memory *memory);

// What a batch of `count` pictures will be: its four sizes, and bytes of GPU memory for it. Both places may be NULL. What the
// decoder takes comes to that: `nvdec_video_decoder_price`. Nothing is decoded or allocated.
enum nvdec_result nvdec_video_price(const struct nvdec_video *video,
                                    const struct nvdec_tensor_options *options,
                                    size_t count,
                                    uint64_t *shape,
                                    uint64_t *bytes);

// Decodes pictures and makes tensors of them, side by side in GPU memory: picture `numbers[n]` at place `n`. Numbers may come in
// any order, and more than once. `options` may be NULL. The tensors need not be complete when this returns:
// `nvdec_batch_wait` waits for them, and downloads do.
//
// Pictures that are damaged are in the batch as well; `nvdec_batch_integrity` says which. `NVDEC_UNSUPPORTED` if pictures have
// different sizes and the options name none.
enum nvdec_result nvdec_video_read(struct nvdec_video *video,
                                   const struct nvdec_tensor_options *options,
                                   const size_t *numbers,
                                   size_t count,
                                   struct nvdec_batch **batch);

// What a batch is. It waits for nothing.
enum nvdec_result nvdec_batch_describe(const struct nvdec_batch *batch, struct nvdec_batch_info *info);

// Which picture is at `place` of a batch. It waits for nothing.
enum nvdec_result nvdec_batch_picture_at(const struct nvdec_batch *batch,
                                         size_t place,
                                         struct nvdec_batch_picture *picture);

// How far the picture at `place` is what its encoder made, waiting until it is decoded.
enum nvdec_result nvdec_batch_integrity(const struct nvdec_batch *batch,
                                        size_t place,
                                        struct nvdec_integrity *integrity);

// Waits until the tensors are there. `NVDEC_LOST` if a picture was lost with the channel of its engine, so that its elements may
// be anything.
enum nvdec_result nvdec_batch_wait(const struct nvdec_batch *batch);

// Copies all elements to host memory, waiting for them. `data`, `capacity` and `needed` as in `nvdec_frame_download`.
enum nvdec_result nvdec_batch_download(const struct nvdec_batch *batch,
                                       void *data,
                                       size_t capacity,
                                       size_t *needed);

// Has the GPU count a semaphore one on when the tensors are there, and gives the value that it has then: what a stream of CUDA
// waits for before it reads the memory of `nvdec_batch_export_fd`. It waits for nothing. Values are written in the order of these
// calls, 1 first; a batch that is ready early has its value written behind those before it. One that is lost has as well: call
// `nvdec_batch_wait` before the results are trusted, or when a value does not come. A value that the GPU lost is written by that
// call alone: a batch that was released before may never have one, until a later one comes.
enum nvdec_result nvdec_batch_signal(const struct nvdec_batch *batch,
                                     const struct nvdec_semaphore *semaphore,
                                     uint32_t *value);

// A descriptor of the memory that the tensors are in, for other processes and for CUDA (`cuImportExternalMemory` with an opaque
// descriptor). Who has it reads and writes all of the allocation, which is this batch's alone. Before the elements are read, call
// `nvdec_batch_wait`, or have a stream wait for what `nvdec_batch_signal` gives.
enum nvdec_result nvdec_batch_export_fd(const struct nvdec_batch *batch,
                                        struct nvdec_exported *exported);

// The batch as a tensor of DLPack 1, whose deleter the consumer calls once, on whatever thread. `kind` is an
// `nvdec_stream_kind`: with `NVDEC_STREAM_NONE` the tensor is a copy in host memory, which this call waits for, `stream` is 0,
// and the batch is no longer needed for it. With `NVDEC_STREAM_CUDA` it is `NVDEC_UNSUPPORTED`.
enum nvdec_result nvdec_batch_to_dlpack(const struct nvdec_batch *batch,
                                        uint64_t stream,
                                        uint32_t kind,
                                        struct DLManagedTensorVersioned **tensor);

// Releases a batch; NULL is nothing. Its memory goes when the GPU is done with it, and when all descriptors of it are closed.
enum nvdec_result nvdec_batch_release(struct nvdec_batch *batch);

// Makes a semaphore, with the value 0. One does for all batches of a context.
enum nvdec_result nvdec_semaphore_create(const struct nvdec_context *context,
                                         struct nvdec_semaphore **semaphore);

// The value of a semaphore, as the host sees it. A `value` of `nvdec_batch_signal` is reached when `(int32_t)(this - value) >= 0`.
enum nvdec_result nvdec_semaphore_value(const struct nvdec_semaphore *semaphore,
                                        uint32_t *value);

// A descriptor of the memory that the record of a semaphore is in; nothing else is. It is imported once (`cuImportExternalMemory`
// with an opaque descriptor), and `cuStreamWaitValue32` with `CU_STREAM_WAIT_VALUE_GEQ` then waits for values at `offset`. Who has
// it can write the record as well, and so let those go on who wait: the library itself waits for no semaphore.
enum nvdec_result nvdec_semaphore_export_fd(const struct nvdec_semaphore *semaphore,
                                            struct nvdec_exported *exported);

// Releases a semaphore; NULL is nothing. What was signalled is written all the same, and waited for here if the batches are
// released already. The memory goes when all descriptors and imports of it are gone.
enum nvdec_result nvdec_semaphore_release(struct nvdec_semaphore *semaphore);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NVDEC_H */
