//! Tensors of a clip, made in memory of `nvdec`, read where they lie by a kernel that cudarc launches in CUDA's context: no copy, and
//! the two sides wait for each other on the GPU.
//!
//! candle has the same `CudaSlice` below its tensors (`CudaStorage::wrap_cuda_slice`), but its CUDA backend links CUDA's libraries and
//! compiles its kernels with nvcc when it is built, and a tensor frees its slice, which an import does not allow. So this is cudarc
//! alone, which builds and loads without either.
//!
//! ```text
//! cd nvdec/cuda/examples/cudarc && cargo run --release -- ../../../../tools/clips/x_wpp.hevc
//! ```

use std::fs::File;

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use nvdec::hcq::SharedWord;
use nvdec::tensor::{TensorPool, TensorSpec};
use nvdec::{
    ByteStream, Codec, Context, Decoder, DecoderOptions, DeviceChoice, Fallback, OpenOptions, Placement,
};
use nvdec_cuda::{Cuda, Imported, Promised};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The kernel that counts bytes, as on our own queue in the example `scene_cuts`.
static CUBINS: [&[u8]; 6] = [
    include_bytes!("../../../../examples/kernels/cubin/histogram.sm_75.cubin"),
    include_bytes!("../../../../examples/kernels/cubin/histogram.sm_80.cubin"),
    include_bytes!("../../../../examples/kernels/cubin/histogram.sm_89.cubin"),
    include_bytes!("../../../../examples/kernels/cubin/histogram.sm_90.cubin"),
    include_bytes!("../../../../examples/kernels/cubin/histogram.sm_100.cubin"),
    include_bytes!("../../../../examples/kernels/cubin/histogram.sm_120.cubin"),
];
/// Columns and lines of a picture. The kernel takes bytes to lie in blocks of 64 by 16, which makes no difference to the count of
/// all of them where both are multiples of that.
const SIDE: u32 = 256;

fn main() -> Result<()> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "tools/clips/x_wpp.hevc".to_owned());
    let stream = File::open(&file).map_err(|error| format!("{file}: {error}"))?;
    let context = Context::open(OpenOptions::new(DeviceChoice::from_env()?).fallback(Fallback::Never))?;
    let cuda = Cuda::load()?.context_of(context.device())?;
    // The same primary context, and the same stream: the legacy one.
    let driver = CudaContext::new(cuda.ordinal() as usize)?;
    let (queue, theirs) = (cuda.legacy_stream(), driver.default_stream());
    let load = |cubin: &&[u8]| driver.load_module(Ptx::from_binary(cubin.to_vec())).ok();
    let module = CUBINS.iter().find_map(load).ok_or("none of the cubins is for this GPU")?;
    let kernel = module.load_function("luma_histogram")?;

    // Words by which the two sides wait for each other, in memory that both have.
    let memory = context.allocate(2 << 20, Placement::Vidmem)?;
    let (ready, read) = (SharedWord::new(&memory, 0)?, SharedWord::new(&memory, 64)?);
    ready.store(0)?;
    read.store(0)?;
    let words = Imported::new(&cuda, &memory)?;

    let spec = TensorSpec::new().size(SIDE, SIDE).channels(nvdec::tensor::Channels::Grey);
    let pool = TensorPool::new(&context, &spec, 4, 2)?;
    let decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
    let mut imported: Option<Imported> = None;
    let (mut pictures, mut wrong) = (0, 0);
    for (number, tensor) in (1u32..).zip(decoder.into_frames(ByteStream::new(stream)).into_tensors(&pool)) {
        let tensor = tensor?;
        // Once for all tensors of the pool.
        let imported = match &mut imported {
            Some(imported) => imported,
            none => none.insert(Imported::new(&cuda, tensor.memory().0)?),
        };
        // Before the stream is told to wait, since allocations may wait for it.
        let mut counts = theirs.alloc_zeros::<u32>(256)?;
        let promised = Promised::mark(context.compute_queue()?.queue(), tensor.ready(), ready.at(number))?;
        words.wait(&queue, &promised)?;
        let length = tensor.buffer().size() as usize;
        // SAFETY: the import maps the tensor's memory at that address, and holds it until the program ends; as many bytes are
        // there once the stream has waited.
        let elements =
            unsafe { theirs.upgrade_device_ptr::<u8>(imported.pointer(&tensor.buffer())?, length) };
        let lines = length as u32 / SIDE;
        let config = LaunchConfig { grid_dim: (lines, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 };
        let mut launch = theirs.launch_builder(&kernel);
        launch.arg(&elements).arg(&mut counts).arg(&SIDE).arg(&SIDE);
        // SAFETY: the kernel reads `SIDE` bytes of so many lines, which are all elements, and adds to 256 words.
        unsafe { launch.launch(config) }?;
        // The memory is not CUDA's to free.
        elements.leak();
        // The tensor's memory is written again behind this word.
        words.write(&queue, &read.at(number))?;
        tensor.use_until_word(&read.at(number))?;

        let mut expected = vec![0u32; 256];
        tensor.to_host()?.iter().for_each(|&byte| expected[usize::from(byte)] += 1);
        wrong += usize::from(theirs.clone_dtoh(&counts)? != expected);
        pictures += tensor.pictures().len();
        promised.settle(std::time::Duration::from_secs(10))?;
    }
    println!("{pictures} pictures, {wrong} tensors with other counts than on the host");
    if wrong > 0 || pictures == 0 { Err("CUDA saw something else".into()) } else { Ok(()) }
}
