//! The structures and numbers of the header.
//!
//! Structures have no padding, and grow at their end: `size` says how much of one the caller knows.

use std::ffi::c_char;

/// The version of the binary interface that this header declares. It counts up when something of it changes or goes, and not
/// when something comes. `nvdec_abi_version` says which one the library has.
pub const NVDEC_ABI_VERSION: u32 = 1;

/// In the place of a time that is not known.
pub const NVDEC_NO_TIME: i64 = i64::MIN;

/// As a memory limit: as much as there is.
pub const NVDEC_UNLIMITED: u64 = u64::MAX;

/// When the emulated GPU takes the place of a real one, for the device "auto".
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_fallback {
    /// Where there is neither a GPU of NVIDIA's nor its driver. A GPU that is there and cannot be used is an error.
    NVDEC_FALLBACK_IF_ABSENT = 0,
    /// Never: without a usable GPU, opening fails.
    NVDEC_FALLBACK_NEVER = 1,
    /// Also where a GPU is there and cannot be used.
    NVDEC_FALLBACK_IF_UNUSABLE = 2,
}

/// A codec.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_codec {
    /// H.265.
    NVDEC_CODEC_HEVC = 1,
}

/// What a decoder is to be good at.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_mode {
    /// Up to 64 surfaces, and half as many more pictures held back.
    NVDEC_MODE_BALANCED = 0,
    /// Pictures a second: up to 256 surfaces, and pictures held back.
    NVDEC_MODE_THROUGHPUT = 1,
    /// Each picture as soon as can be.
    NVDEC_MODE_LOW_LATENCY = 2,
}

/// What is done with pictures that are not exact.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_policy {
    /// They come out like the others, and their integrity says what they are.
    NVDEC_POLICY_DELIVER = 0,
    /// They do not come out. With this and those below, receiving a frame waits until it is decoded.
    NVDEC_POLICY_SKIP = 1,
    /// The first of them ends the stream with `NVDEC_NOT_EXACT`.
    NVDEC_POLICY_STOP = 2,
    /// In the place of each the last exact one comes out again.
    NVDEC_POLICY_FREEZE = 3,
}

/// At which pictures decoding may begin, and go on after a reset. From the strictest on: random access, recovery point, intra, any;
/// each allows what those before it do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_start {
    /// Also at a picture that refers to no other, as cameras send that know no random access points.
    NVDEC_START_INTRA = 0,
    /// At random access points alone.
    NVDEC_START_RANDOM_ACCESS = 1,
    /// Also where a recovery point message announces that pictures are refreshed bit by bit.
    NVDEC_START_RECOVERY_POINT = 2,
    /// At any picture.
    NVDEC_START_ANY = 3,
}

/// How the units of a stream are told apart in what is sent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_framing {
    /// By start codes; the bytes may begin and end anywhere in the stream. Pictures have no times.
    NVDEC_FRAMING_BYTE_STREAM = 1,
    /// By start codes; the bytes end where an access unit ends, so that its last picture is complete.
    NVDEC_FRAMING_ACCESS_UNIT = 2,
    /// The bytes are one unit (a NAL unit), without start code or length.
    NVDEC_FRAMING_UNIT = 3,
}

/// How far a picture is what its encoder made, as far as a decoder can tell.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_integrity_kind {
    /// All of it is there, and all that it is predicted from.
    NVDEC_INTEGRITY_EXACT = 0,
    /// Something of the picture itself is missing or wrong.
    NVDEC_INTEGRITY_DAMAGED = 1,
    /// It is predicted, in however many steps, from a picture that is not exact.
    NVDEC_INTEGRITY_TAINTED = 2,
    /// Decoding began within a sequence that refreshes pictures bit by bit, and this one is not refreshed yet.
    NVDEC_INTEGRITY_RECOVERING = 3,
    /// Something that this version of the interface has no number for; the text says what.
    NVDEC_INTEGRITY_OTHER = 4,
}

/// What an element of a tensor is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_dtype {
    /// A byte.
    NVDEC_U8 = 1,
    /// An IEEE 754 half.
    NVDEC_F16 = 2,
    /// The upper half of a float32.
    NVDEC_BF16 = 3,
    /// An IEEE 754 single.
    NVDEC_F32 = 4,
}

/// Which of channels, lines and columns of a tensor lie next to each other.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_layout {
    /// Channel after channel.
    NVDEC_NCHW = 1,
    /// Pixel after pixel.
    NVDEC_NHWC = 2,
}

/// What a consumer of a tensor works with, and so where it wants the tensor.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub enum nvdec_stream_kind {
    /// Nothing but the processor: the tensor is in host memory (`kDLCPU`), and complete.
    NVDEC_STREAM_NONE = 0,
    /// A stream of CUDA. This library hands out no tensors of CUDA, and says `NVDEC_UNSUPPORTED`: `nvdec_batch_signal` and
    /// `nvdec_batch_export_fd` are for those.
    NVDEC_STREAM_CUDA = 1,
}

/// How a context is opened.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_context_options {
    /// `sizeof` of the structure.
    pub size: usize,
    /// "auto", "nv:N" (the driver's GPU N, from 0) or "emulated". NULL: what the environment variable NVDEC_DEVICE says, and
    /// "auto" without it.
    pub device: *const c_char,
    /// Most bytes of GPU memory that all decoders and tensors of the context take together. 0: three quarters of what is free.
    pub memory_limit: u64,
    /// An `nvdec_fallback`.
    pub fallback: u32,
    /// 0.
    pub reserved: u32,
}

/// What a context is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_context_info {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// Bytes of GPU memory that are allocated.
    pub allocated_memory: u64,
    /// Most of them that may be; `NVDEC_UNLIMITED` without a limit.
    pub memory_limit: u64,
    /// A bit for each NVDEC engine, by its number. Numbers may have holes.
    pub engines: u32,
    /// Whether the GPU is a model in this process, which decodes in software, a hundred times slower.
    pub emulated: u32,
    /// Name of the GPU.
    pub name: [c_char; 96],
    /// Release of the driver.
    pub driver: [c_char; 32],
    /// PCI address.
    pub pci: [c_char; 32],
    /// Generation of the engines.
    pub generation: [c_char; 32],
}

/// How a stream is decoded. All zero but `size`: all engines, balanced, all pictures.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_decoder_options {
    /// `sizeof` of the structure.
    pub size: usize,
    /// A bit for each NVDEC engine that may be used; 0: all that the GPU has, fairly shared with other streams.
    pub engines: u32,
    /// Not 0: the engine with the least to do is used, and `engines` is 0.
    pub least_busy: u32,
    /// An `nvdec_mode`.
    pub mode: u32,
    /// An `nvdec_policy`.
    pub policy: u32,
    /// An `nvdec_start`.
    pub start: u32,
    /// Frames that the caller may hold while decoding goes on; 0: 6.
    pub held_frames: u32,
    /// Largest pictures, in luma samples; 0: those of level 6.2, 8192x4352. `NVDEC_UNLIMITED`: what the engine decodes.
    pub max_luma_samples: u64,
}

/// Most bytes of GPU memory that a decoder takes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_decoder_memory {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// All of those below.
    pub total: u64,
    /// Surfaces.
    pub surfaces: u64,
    /// Motion vectors.
    pub motion: u64,
    /// What the engines work in.
    pub scratch: u64,
    /// Status of pictures.
    pub status: u64,
}

/// A piece of a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_packet {
    /// `sizeof` of the structure.
    pub size: usize,
    /// The bytes. They are copied.
    pub data: *const u8,
    /// How many.
    pub length: usize,
    /// When the picture that begins in it is shown, in any unit; `NVDEC_NO_TIME` if unknown.
    pub pts: i64,
    /// When it is decoded, likewise.
    pub dts: i64,
    /// How long it is shown, likewise.
    pub duration: i64,
    /// What the caller knows the picture by: its frame has the same.
    pub opaque: u64,
    /// An `nvdec_framing`.
    pub framing: u32,
    /// 0.
    pub reserved: u32,
}

/// What a frame is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_frame_info {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// Width and height as coded, in luma samples.
    pub coded_width: u32,
    /// See `coded_width`.
    pub coded_height: u32,
    /// The part to be shown, in luma samples: first column.
    pub left: u32,
    /// First line.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// `chroma_format_idc` of H.265: 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_format_idc: u32,
    /// Bits of a luma sample.
    pub bit_depth: u32,
    /// Bits of a chroma sample.
    pub chroma_bit_depth: u32,
    /// Bytes of a sample in memory, 1 or 2.
    pub bytes_per_sample: u32,
    /// Code points of ITU-T H.273, 2 if unspecified: primaries.
    pub colour_primaries: u32,
    /// Transfer characteristics.
    pub transfer_characteristics: u32,
    /// Matrix coefficients.
    pub matrix_coefficients: u32,
    /// Not 0: samples use all values.
    pub full_range: u32,
    /// Not 0: decoding can begin with it.
    pub key: u32,
    /// Picture order count.
    pub poc: i32,
    /// Position in decoding order.
    pub number: u64,
    /// As they were sent; `NVDEC_NO_TIME` if there was none.
    pub pts: i64,
    /// Likewise.
    pub dts: i64,
    /// Likewise.
    pub duration: i64,
    /// As it was sent; 0 if nothing was.
    pub opaque: u64,
}

/// How far a picture is what its encoder made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_integrity {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// An `nvdec_integrity_kind`.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// The same in words, and what is wrong.
    pub text: [c_char; 240],
}

/// How a video is opened. All zero but `size`: the first track that can be decoded, whose index is made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_video_options {
    /// `sizeof` of the structure.
    pub size: usize,
    /// Not 0: `track` says which track, counted from 0.
    pub has_track: u32,
    /// See `has_track`.
    pub track: u32,
    /// An index from `nvdec_video_store_index` in the place of looking at all pictures; NULL for none. It is read during the
    /// call alone.
    pub index: *const u8,
    /// Its bytes.
    pub index_size: usize,
    /// How pictures are decoded; NULL for the usual way. `policy` and `start` are not looked at.
    pub decoder: *const nvdec_decoder_options,
}

/// What a video is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_video_info {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// Pictures that are shown.
    pub pictures: u64,
    /// From the beginning of the first picture to the end of the last, in seconds; NaN if nothing says so.
    pub duration: f64,
    /// When the first picture is shown, in seconds; NaN if nothing says so.
    pub start: f64,
    /// Pictures a second, as a fraction; 0/0 if nothing says so.
    pub frame_rate_num: u32,
    /// See `frame_rate_num`.
    pub frame_rate_den: u32,
    /// Seconds of a tick, as a fraction; 0/0 if there are no times.
    pub time_base_num: u32,
    /// See `time_base_num`.
    pub time_base_den: u32,
    /// Columns to be shown of the first picture.
    pub width: u32,
    /// Its lines to be shown.
    pub height: u32,
    /// Columns as coded.
    pub coded_width: u32,
    /// Lines as coded.
    pub coded_height: u32,
    /// An `nvdec_codec`.
    pub codec: u32,
    /// Degrees, clockwise, by which the container wants pictures turned: 0, 90, 180 or 270. Tensors are turned by the option
    /// `orientation`, and by nothing else.
    pub rotation: u32,
    /// Not 0: before that, left and right are exchanged.
    pub mirrored: u32,
    /// `chroma_format_idc` of H.265.
    pub chroma_format_idc: u32,
    /// Bits of a luma sample.
    pub bit_depth: u32,
    /// Bits of a chroma sample.
    pub chroma_bit_depth: u32,
    /// Code points of ITU-T H.273, 2 if unspecified: primaries.
    pub colour_primaries: u32,
    /// Transfer characteristics.
    pub transfer_characteristics: u32,
    /// Matrix coefficients.
    pub matrix_coefficients: u32,
    /// Not 0: samples use all values.
    pub full_range: u32,
    /// The container's format: "MP4", "Matroska" and so on.
    pub container: [c_char; 32],
}

/// What is known of a picture of a video without decoding it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_picture_info {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// When it is shown, in ticks of the time base; `NVDEC_NO_TIME` if nothing says so.
    pub pts: i64,
    /// How long, likewise.
    pub duration: i64,
    /// When it is shown, in seconds; NaN if nothing says so.
    pub seconds: f64,
    /// Position in decoding order.
    pub decoding_order: u64,
    /// Not 0: decoding can begin with it.
    pub key: u32,
    /// Not 0: others are predicted from it.
    pub reference: u32,
    /// Not 0: something that it is predicted from is not in the stream.
    pub incomplete: u32,
    /// `TemporalId`.
    pub temporal_layer: u32,
}

/// What pictures become as tensors.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_tensor_options {
    /// `sizeof` of the structure.
    pub size: usize,
    /// Options as the program nvdec-decode takes them for `--tensor`: "size=224x224,dtype=f16,mean=0.485:0.456:0.406". NULL or
    /// "": RGB bytes in the picture's own size, channel after channel.
    pub spec: *const c_char,
}

/// What a batch is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_batch_info {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// Pictures, then channels, lines and columns in the order of the layout. All elements lie side by side.
    pub shape: [u64; 4],
    /// Bytes of all elements.
    pub bytes: u64,
    /// Pictures that were decoded for it: its own, and what they are predicted from.
    pub decoded: u64,
    /// An `nvdec_dtype`.
    pub dtype: u32,
    /// An `nvdec_layout`.
    pub layout: u32,
}

/// A picture of a batch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_batch_picture {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// Its number in the video.
    pub number: u64,
    /// When it is shown, in ticks of the video; `NVDEC_NO_TIME` if nothing says so.
    pub pts: i64,
    /// How long, likewise.
    pub duration: i64,
    /// Not 0: decoding can begin with it.
    pub key: u32,
    /// 0.
    pub reserved: u32,
}

/// Memory of a batch or a semaphore for other programs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct nvdec_exported {
    /// `sizeof` of the structure, set by the caller.
    pub size: usize,
    /// Where the elements, or the record of the semaphore, begin in the allocation.
    pub offset: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of the whole allocation, which whoever imports the descriptor has to name (`cuImportExternalMemory`).
    pub allocation: u64,
    /// The descriptor. It is the caller's to close, and holds the memory until then.
    pub fd: i32,
    /// 0.
    pub reserved: u32,
}

/// A GPU opened for decoding. The one object that any number of threads may use at a time. What was made of it stays good when
/// it is closed.
pub struct nvdec_context {
    _private: [u8; 0],
}

/// A decoder for an elementary stream.
pub struct nvdec_decoder {
    _private: [u8; 0],
}

/// A decoded picture in GPU memory. Its decoder has a limited number of them: a frame that is not needed any more is released
/// soon.
pub struct nvdec_frame {
    _private: [u8; 0],
}

/// A track of pictures in a file, any of which can be had.
pub struct nvdec_video {
    _private: [u8; 0],
}

/// Pictures as tensors in GPU memory, side by side.
pub struct nvdec_batch {
    _private: [u8; 0],
}

/// Counts batches that are there, for streams of CUDA and other programs that wait without this library. What is exported of it
/// is a record of 16 bytes, as NVIDIA's engines write it: the value as 32 bits, 4 bytes of zeros, and in 64 bits the GPU's time
/// in nanoseconds.
pub struct nvdec_semaphore {
    _private: [u8; 0],
}

/// A tensor in the form of DLPack 1, which `dlpack.h` declares.
pub struct DLManagedTensorVersioned {
    _private: [u8; 0],
}
