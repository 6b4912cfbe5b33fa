//! A strict engine for the model: it takes pictures, finds fault with whatever a real engine would stumble over,
//! and decodes nothing. Of each picture it leaves a mark in the target surface.

use std::sync::{Arc, Mutex, PoisonError};

use bitstream::split_annex_b;
use hcq::EngineType;
use hcq::kernel::emulated::{Engine, EngineContext, EngineFault};
use nvkernel_sys::video;

const PLACES: usize = 16;
const DESCRIPTOR_BYTES: usize = 512;

/// A picture that an engine took.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The engine.
    pub engine: EngineType,
    /// Digest of the slice data, which is the mark in the surface.
    pub mark: u64,
    /// Coded size in luma samples.
    pub size: (u32, u32),
    /// Bytes of slice data with start codes.
    pub stream_len: usize,
    /// Address of the target's luma plane.
    pub target: u64,
    /// Addresses of the luma planes of the pictures that the lists name.
    pub references: Vec<u64>,
}

#[derive(Debug, Default)]
struct Log {
    taken: Vec<Taken>,
    violations: Vec<String>,
}

/// What all engines of a machine took and found. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Log>>);

impl Recorder {
    fn with<T>(&self, f: impl FnOnce(&mut Log) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The pictures so far, in the order in which engines took them.
    pub fn taken(&self) -> Vec<Taken> {
        self.with(|log| log.taken.clone())
    }

    /// What was wrong with pictures.
    pub fn violations(&self) -> Vec<String> {
        self.with(|log| log.violations.clone())
    }

    /// An engine that reports here.
    pub fn engine(&self, class: u32) -> StrictEngine {
        StrictEngine { class, state: Vec::new(), control: None, recorder: self.clone() }
    }
}

/// The mark of a picture: FNV-1a of its slice data.
pub fn mark(slice_data: &[u8]) -> u64 {
    slice_data
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// See the [module](self).
#[derive(Debug)]
pub struct StrictEngine {
    class: u32,
    /// State methods since the last EXECUTE.
    state: Vec<(u32, u32)>,
    /// Application and control word, which some classes keep.
    control: Option<(u32, u32)>,
    recorder: Recorder,
}

impl Engine for StrictEngine {
    fn class(&self) -> u32 {
        self.class
    }

    fn method(&mut self, context: &EngineContext<'_>, address: u32, value: u32) -> Result<(), EngineFault> {
        if address != video::EXECUTE {
            self.state.push((address, value));
            return Ok(());
        }
        let state = std::mem::take(&mut self.state);
        let find = |method: u32| state.iter().rev().find(|(m, _)| *m == method).map(|&(_, v)| v);
        if let (Some(application), Some(control)) =
            (find(video::SET_APPLICATION_ID), find(video::SET_CONTROL_PARAMS))
        {
            self.control = Some((application, control));
        }
        let picture = Picture { context, find: &find, control: self.control };
        let taken = picture.check().and_then(|taken| picture.finish(&taken).map(|()| taken));
        match taken {
            Ok(taken) => {
                self.recorder.with(|log| log.taken.push(taken));
                Ok(())
            }
            Err(violation) => {
                self.recorder.with(|log| log.violations.push(violation.clone()));
                Err(EngineFault::Exception(violation))
            }
        }
    }
}

type Checked<T> = Result<T, String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked<()> {
    if holds { Ok(()) } else { Err(what()) }
}

struct Picture<'a> {
    context: &'a EngineContext<'a>,
    find: &'a dyn Fn(u32) -> Option<u32>,
    control: Option<(u32, u32)>,
}

/// A descriptor, by byte offset and bits of the words of `nvdec_hevc_pic_s`.
struct Descriptor(Vec<u8>);

impl Descriptor {
    fn word(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.0[offset..offset + 4].try_into().expect("four bytes"))
    }

    fn bits(&self, offset: usize, high: u32, low: u32) -> u32 {
        (self.word(offset) >> low) & ((1 << (high - low + 1)) - 1)
    }
}

impl Picture<'_> {
    fn address(&self, method: u32) -> Checked<u64> {
        let page = (self.find)(method).ok_or_else(|| format!("method {method:#x} was not sent"))?;
        Ok(u64::from(page) << 8)
    }

    fn read(&self, what: &str, address: u64, bytes: usize) -> Checked<Vec<u8>> {
        let mut data = vec![0; bytes];
        self.context.memory().read(address, &mut data).map_err(|e| format!("{what}: {e}"))?;
        Ok(data)
    }

    /// That a range is mapped, by its first and last byte.
    fn mapped(&self, what: &str, address: u64, bytes: u64) -> Checked<()> {
        self.read(what, address, 1)?;
        self.read(what, address + bytes.max(1) - 1, 1).map(|_| ())
    }

    fn check(&self) -> Checked<Taken> {
        let (application, control) = self.control.ok_or("no application id or control word")?;
        ensure(application == 7 && control & 0xf == 7, || {
            format!("codec {application}, control {control:#x}")
        })?;
        let d = self.read("descriptor", self.address(video::SET_DRV_PIC_SETUP_OFFSET)?, DESCRIPTOR_BYTES)?;
        let d = Descriptor(d);
        let (width, height) = (d.bits(0x58, 15, 0), d.bits(0x58, 31, 16));
        self.check_ranges(&d, width, height)?;
        let stream_len = d.word(0x30) as usize;
        let slices = self.check_bitstream(stream_len)?;
        self.check_tables(&d, width, height)?;
        let (target, references) = self.check_places(&d, height)?;
        let status = self.read("status", self.address(video::SET_NVDEC_STATUS_OFFSET)?, 56)?;
        ensure(status.iter().all(|&b| b == 0), || {
            "the status is not zero: the picture would be skipped".into()
        })?;
        Ok(Taken {
            engine: self.context.engine(),
            mark: mark(&slices),
            size: (width, height),
            stream_len,
            target,
            references,
        })
    }

    fn check_ranges(&self, d: &Descriptor, width: u32, height: u32) -> Checked<()> {
        let (min_cb, ctb) = (d.bits(0x5c, 15, 12), d.bits(0x5c, 19, 16));
        let (min_tb, max_tb) = (d.bits(0x5c, 23, 20), d.bits(0x5c, 27, 24));
        let depth = d.bits(0x5c, 7, 4);
        let rows = [
            ("width", width, 8, 8192),
            ("height", height, 8, 8192),
            ("width modulo smallest coding block", width % (1 << min_cb), 0, 0),
            ("height modulo smallest coding block", height % (1 << min_cb), 0, 0),
            ("chroma_format_idc", d.bits(0x5c, 3, 0), 1, 3),
            ("bit_depth_luma", depth, 8, 12),
            ("bit_depth_chroma", d.bits(0x5c, 11, 8), depth, depth),
            ("log2_min_luma_coding_block_size", min_cb, 3, ctb),
            ("log2_max_luma_coding_block_size", ctb, 4, 6),
            ("log2_min_transform_block_size", min_tb, 2, min_cb - 1),
            ("log2_max_transform_block_size", max_tb, min_tb, ctb.min(5)),
            ("tileformat", d.bits(0x40, 1, 0), 1, 1),
            ("sw_start_code_e", d.bits(0x40, 15, 8), 1, 1),
            ("disp_output_mode", d.bits(0x40, 23, 16), u32::from(depth > 8), u32::from(depth > 8)),
            ("luma stride", d.word(0x44), width, width.next_multiple_of(64)),
            ("init_qp", d.bits(0x64, 21, 15), 0, 51 + 6 * (depth - 8)),
            ("num_ref_idx_l0_default_active", d.bits(0x64, 10, 7), 1, 15),
            ("num_ref_idx_l1_default_active", d.bits(0x64, 14, 11), 1, 15),
            ("log2_parallel_merge_level", d.bits(0x6c, 24, 22), 2, ctb),
            ("num_ref_frames", d.bits(0x70, 7, 0), 0, 16),
            ("curr_pic_idx", d.bits(0xb4, 23, 16), 0, 15),
            ("log2MaxTransformSkipSize", d.bits(0xe0, 3, 0), 2, 5),
            ("slot of motion vectors", d.word(0x4c) * 256, width * height / 16, u32::MAX),
            ("timer", d.word(0x3c), 10_000 * (width * height / 256), u32::MAX),
        ];
        for (what, value, least, most) in rows {
            ensure((least..=most).contains(&value), || format!("{what} = {value}, not {least}..={most}"))?;
        }
        let areas = [0x50, 0x54, 0xf0, 0xf4].map(|offset| d.word(offset));
        ensure(areas.is_sorted(), || format!("areas of the filter buffer are out of order: {areas:#x?}"))
    }

    /// The slice segments, with start codes of one length. What is left of another NAL unit before them, and NAL units that
    /// are none, are passed over, as an H200 does; bytes behind the end are looked at as well, whatever they are.
    fn check_bitstream(&self, stream_len: usize) -> Checked<Vec<u8>> {
        let address = self.address(video::SET_IN_BUF_BASE_OFFSET)?;
        let data = self.read("bitstream", address, stream_len + 256)?;
        let (slices, others): (Vec<&[u8]>, Vec<&[u8]>) =
            split_annex_b(&data[..stream_len]).partition(|nal| nal[0] >> 1 < 32);
        ensure(others.iter().all(|nal| nal[0] >> 1 <= 40), || {
            "unknown NAL units among slice segments".into()
        })?;
        let mut kinds: Vec<u8> = slices.iter().map(|nal| nal[0] >> 1).collect();
        kinds.dedup();
        let begun = slices.iter().filter(|nal| nal.get(2).is_some_and(|b| b & 0x80 != 0)).count();
        ensure(kinds.len() == 1 && begun <= 1, || format!("slice segments of several pictures: {kinds:?}"))?;
        Ok(slices.into_iter().flat_map(|nal| [&[0, 0, 0, 1], nal].concat()).collect())
    }

    fn check_tables(&self, d: &Descriptor, width: u32, height: u32) -> Checked<()> {
        let table = self.read("tile table", self.address(video::HEVC_SET_TILE_SIZES_OFFSET)?, 0x900)?;
        let entry = |at: usize| u32::from(u16::from_le_bytes([table[at], table[at + 1]]));
        let ctb = 1 << d.bits(0x5c, 19, 16);
        let columns = d.bits(0x6c, 10, 6).max(1) as usize;
        let rows = d.bits(0x6c, 15, 11).max(1) as usize;
        ensure(columns <= 20 && rows <= 22, || format!("{columns} by {rows} tiles"))?;
        let across: u32 = (0..columns).map(|i| entry(4 * i)).sum();
        let down: u32 = (0..rows).map(|i| entry(4 * i * columns + 2)).sum();
        ensure((across, down) == (width.div_ceil(ctb), height.div_ceil(ctb)), || {
            format!("tiles cover {across} by {down} coding tree blocks of a picture of {width}x{height}")
        })?;
        if d.bits(0x60, 6, 6) == 1 {
            let lists = self.address(video::HEVC_SET_SCALING_LIST_OFFSET)?;
            let lists = self.read("scaling lists", lists, 1008)?;
            let factors = lists.iter().enumerate().filter(|(i, _)| !(8..16).contains(i));
            ensure(factors.clone().all(|(_, &v)| v > 0), || "a scaling factor is 0".into())?;
        }
        let filter = self.address(video::HEVC_SET_FILTER_BUFFER_OFFSET)?;
        self.mapped("filter buffer", filter, u64::from(d.word(0xf4)) * 256 + u64::from(width))?;
        let coloc = self.address(video::SET_COLOC_DATA_OFFSET)?;
        self.mapped("motion vectors", coloc, u64::from(d.word(0x4c)) * 256 * (PLACES as u64 + 1))
    }

    /// The target's luma plane, and those of the references that the lists name.
    fn check_places(&self, d: &Descriptor, height: u32) -> Checked<(u64, Vec<u64>)> {
        let bytes = u64::from(1 + d.bits(0x40, 23, 16));
        let lines = u64::from(height.next_multiple_of(16));
        let chroma_lines = if d.bits(0x5c, 3, 0) == 1 { lines / 2 } else { lines };
        let plane = |place: u32| -> Checked<u64> {
            let luma = self.address(video::SET_PICTURE_LUMA_OFFSET + 4 * place)?;
            let chroma = self.address(video::SET_PICTURE_CHROMA_OFFSET + 4 * place)?;
            let (luma_size, chroma_size) =
                (u64::from(d.word(0x44)) * bytes * lines, u64::from(d.word(0x48)) * bytes * chroma_lines);
            self.mapped("luma plane", luma, luma_size)?;
            self.mapped("chroma plane", chroma, chroma_size)?;
            ensure(luma + luma_size <= chroma, || format!("planes of place {place} overlap"))?;
            Ok(luma)
        };
        let current = d.bits(0xb4, 23, 16);
        let target = plane(current)?;
        let references = d.bits(0x70, 7, 0);
        let mut named: Vec<u32> = d.0[0x74..0x94].iter().map(|&place| place.into()).collect();
        named.sort_unstable();
        named.dedup();
        ensure(named.iter().all(|&p| p < 16), || format!("lists name {named:?}"))?;
        if references == 0 {
            ensure(named == [current], || format!("without references, lists name {named:?}"))?;
            return Ok((target, Vec::new()));
        }
        let planes = named.iter().map(|&place| plane(place)).collect::<Checked<Vec<u64>>>()?;
        ensure(!named.contains(&current), || "the picture is its own reference".into())?;
        ensure(!planes.contains(&target), || "a reference lies where the picture is written".into())?;
        Ok((target, planes))
    }

    /// Leaves the mark and a good status, or the error that a test wants to see.
    fn finish(&self, taken: &Taken) -> Checked<()> {
        let memory = self.context.memory();
        memory.write(taken.target, &taken.mark.to_le_bytes()).map_err(|e| format!("target: {e}"))?;
        let status = self.address(video::SET_NVDEC_STATUS_OFFSET)?;
        let blocks = taken.size.0.div_ceil(16) * taken.size.1.div_ceil(16);
        let write = |offset: u64, value: u32| {
            memory.store_u32(status + offset, value).map_err(|e| format!("status: {e}"))
        };
        write(8, 1 + taken.stream_len as u32)?;
        match self.context.take_error_status() {
            None => write(0, blocks),
            Some(error_status) => {
                write(4, blocks)?;
                write(12, error_status)
            }
        }
    }
}
