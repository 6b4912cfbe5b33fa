//! [`Pipeline`]: a picture is decoded, laid over a background by a mask that is blurred for it, and made a tensor, by four
//! launches that wait for each other on the GPU.
//!
//! Everything about a picture is submitted when its frame is due, which may be long before it is decoded. The host waits
//! for the copy of the oldest tensor when all memory is under way, and for nothing else.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use nvdec::class::Chroma;
use nvdec::hcq::{Arguments, ComputeCommands, CopyCommands, Kernel, Module, Patience};
use nvdec::surface::block_linear_offset;
use nvdec::tensor::Converter;
use nvdec::{
    Context, DeviceBuffer, Frame, Placement, Surface, SurfaceFormat, SurfaceGeometry, SyncPoint, TensorSpec,
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// `kernels/composite.cu`, compiled for each architecture.
pub(crate) static CUBINS: [&[u8]; 11] = [
    include_bytes!("../kernels/cubin/composite.sm_75.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_80.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_86.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_87.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_89.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_90.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_100.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_103.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_110.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_120.cubin"),
    include_bytes!("../kernels/cubin/composite.sm_121.cubin"),
];
pub(crate) const BLUR: &str = "blur";
pub(crate) const COMPOSITE: &str = "composite";
/// Threads of a block: the kernels are written for blocks of that size.
const THREADS: [u32; 3] = [256, 1, 1];

/// Samples to each side of which the mask's edges are the mean.
pub(crate) const RADIUS: u32 = 8;
/// Pictures under way, each of which takes a surface and a tensor.
const PICTURES: usize = 16;
/// How long the GPU may stand still.
const PATIENCE: Patience = Patience::WithoutProgress(Duration::from_secs(10));

/// The mask before it is blurred: the middle of the picture.
pub(crate) fn mask((x, y): (u32, u32), (width, height): (u32, u32)) -> u8 {
    let middle = |at: u32, size: u32| (size / 4..size - size / 4).contains(&at);
    if middle(x, width) && middle(y, height) { 255 } else { 0 }
}

/// The background: brighter to the right, and other colours further down.
pub(crate) fn luma(x: u32, width: u32) -> u8 {
    (16 + 219 * x / width) as u8
}

/// Cb and Cr of the background in line `y` of so many.
pub(crate) fn chroma(y: u32, height: u32) -> [u8; 2] {
    let step = (127 * y / height) as u8;
    [64 + step, 192 - step]
}

/// When each step of a picture is over.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    pub(crate) decoded: SyncPoint,
    pub(crate) composed: SyncPoint,
    pub(crate) converted: SyncPoint,
    pub(crate) copied: SyncPoint,
}

/// A tensor, and how it came about.
pub(crate) struct Made {
    pub(crate) tensor: Vec<u8>,
    pub(crate) steps: Steps,
}

/// Memory of one picture under way.
struct Slot {
    surface: Surface,
    tensor: DeviceBuffer,
    host: DeviceBuffer,
}

pub(crate) struct Pipeline {
    context: Arc<Context>,
    blur: Kernel,
    composite: Kernel,
    converter: Converter,
    geometry: SurfaceGeometry,
    background: Surface,
    mask: DeviceBuffer,
    /// The mask, blurred along lines, and then down columns. There is one for all pictures: on one queue, a submission
    /// begins when the one before it is over.
    blurred: [DeviceBuffer; 2],
    free: Vec<Slot>,
    under_way: VecDeque<(Slot, Steps)>,
}

impl Pipeline {
    /// A pipeline for frames such as `frame`.
    pub(crate) fn new(context: &Arc<Context>, frame: &Frame, spec: &TensorSpec) -> Result<Pipeline> {
        let geometry = *frame.surface().geometry();
        if geometry.format != SurfaceFormat::new(Chroma::C420, 8) {
            return Err(format!("pictures of {}, where the kernels read NV12 alone", geometry.format).into());
        }
        let module = Module::load_any(context.device(), CUBINS)?;
        let converter = Converter::new(context, spec)?;
        let bytes = converter.shape_of(frame)?.bytes();
        let plane = || context.allocate(geometry.luma_bytes(), Placement::Vidmem);
        let slot = |_| -> nvdec::Result<Slot> {
            let [tensor, host] =
                [Placement::Vidmem, Placement::Sysmem].map(|placement| context.allocate(bytes, placement));
            Ok(Slot { surface: context.surface(geometry)?, tensor: tensor?, host: host? })
        };
        let pipeline = Pipeline {
            blur: module.kernel(BLUR)?,
            composite: module.kernel(COMPOSITE)?,
            converter,
            geometry,
            background: context.surface(geometry)?,
            mask: plane()?,
            blurred: [plane()?, plane()?],
            free: (0..PICTURES).map(slot).collect::<nvdec::Result<_>>()?,
            under_way: VecDeque::new(),
            context: context.clone(),
        };
        pipeline.paint()?;
        Ok(pipeline)
    }

    /// Writes mask and background, once.
    fn paint(&self) -> Result<()> {
        let SurfaceGeometry { width, height, luma_pitch: pitch, .. } = self.geometry;
        let offset = |x, y| block_linear_offset(pitch, x, y) as usize;
        let (mut mask_bytes, mut luma_bytes) = (vec![0; self.mask.size() as usize], Vec::new());
        luma_bytes.resize(self.geometry.bytes() as usize, 0);
        let chroma_at = self.geometry.chroma_offset() as usize;
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            mask_bytes[offset(x, y)] = mask((x, y), (width, height));
            luma_bytes[offset(x, y)] = luma(x, width);
            luma_bytes[chroma_at + offset(x, y / 2)] = chroma(y / 2, height / 2)[x as usize % 2];
        }
        self.mask.view()?.copy_in(0, &mask_bytes);
        // It is being cleared.
        self.background.pending().iter().try_for_each(|point| point.wait(PATIENCE))?;
        self.background.buffer().view()?.copy_in(0, &luma_bytes);
        Ok(())
    }

    /// Submits all that is to be done with `frame`, which may be dropped then. `take` gets the tensor of a picture long before,
    /// if its memory is needed.
    pub(crate) fn push(&mut self, frame: &Frame, take: impl FnMut(Made)) -> Result<()> {
        if *frame.surface().geometry() != self.geometry {
            return Err(format!("{:?} behind pictures of {:?}", frame.surface(), self.background).into());
        }
        if self.free.is_empty() {
            self.collect(take)?;
        }
        let slot = self.free.pop().ok_or("a slot is free, or can be collected")?;
        let mut waits = slot.surface.pending();
        waits.push(frame.ready().clone());
        let composed = self.context.compute_queue()?.submit(&waits, &self.commands(frame, &slot)?)?;
        for surface in [frame.surface(), &slot.surface, &self.background] {
            surface.use_until(composed.clone());
        }
        let behind = std::slice::from_ref(&composed);
        let converted = self.converter.convert_surface(frame, &slot.surface, &slot.tensor, None, behind)?;
        let mut commands = CopyCommands::new();
        commands.copy(&slot.tensor, &slot.host)?;
        let behind = std::slice::from_ref(&converted);
        let copied = self.context.copy_queue()?.submit(behind, commands)?;
        let decoded = frame.ready().clone();
        self.under_way.push_back((slot, Steps { decoded, composed, converted, copied }));
        Ok(())
    }

    /// The launches that lay `frame` over the background.
    fn commands(&self, frame: &Frame, slot: &Slot) -> Result<ComputeCommands> {
        let SurfaceGeometry { width, height, luma_pitch: pitch, .. } = self.geometry;
        let [along, down] = &self.blurred;
        let grid = [height, 1, 1];
        let mut commands = ComputeCommands::new();
        for (from, to, is_vertical) in [(&self.mask, along, 0), (along, down, 1)] {
            let arguments = Arguments::new().buffer(from).buffer(to);
            let arguments = arguments.u32(pitch).u32(width).u32(height).u32(RADIUS).u32(is_vertical);
            // SAFETY: the kernel reads and writes samples of `width` by `height` in planes that were allocated for them, clamping
            // what it reads beyond an edge.
            unsafe { commands.launch(&self.blur, grid, THREADS, 0, arguments) }?;
            commands.barrier();
        }
        let arguments = Arguments::new()
            .buffer(frame.surface().buffer())
            .buffer(self.background.buffer())
            .buffer(slot.surface.buffer())
            .buffer(down)
            .u32(self.geometry.chroma_offset() as u32)
            .u32(pitch)
            .u32(width);
        // SAFETY: the three surfaces have the same geometry, of 8 bits and 4:2:0, in which the kernel reads and writes `width`
        // bytes of each line of luma and of each line of chroma; the mask is a plane like their luma.
        unsafe { commands.launch(&self.composite, grid, THREADS, 0, arguments) }?;
        Ok(commands)
    }

    /// Waits for what is under way.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(Made)) -> Result<()> {
        while !self.under_way.is_empty() {
            self.collect(&mut take)?;
        }
        Ok(())
    }

    /// Gives the oldest tensor. This is the one place where the host waits for the GPU.
    fn collect(&mut self, mut take: impl FnMut(Made)) -> Result<()> {
        let Some((slot, steps)) = self.under_way.pop_front() else { return Ok(()) };
        steps.copied.wait(PATIENCE)?;
        let mut tensor = vec![0; slot.host.size() as usize];
        slot.host.view()?.copy_out(0, &mut tensor);
        self.free.push(slot);
        take(Made { tensor, steps });
        Ok(())
    }
}
