//! Pictures made by hand, and a writer to look into.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use nvdec::class::Chroma;
use nvdec::{HostFrame, SurfaceFormat};

use super::Output;
use crate::decode::{Picture, StreamInfo};

/// A 4x4 picture, 8-bit 4:2:0, with a 2x2 window at (2, 2). Inside the window are Y 10, 11, 14, 15 (each plus
/// `index`), Cb 103 and Cr 203; the line padding is 255.
pub(crate) fn picture(index: u64) -> Picture {
    let luma = |i: u8| i + index as u8;
    Picture {
        index,
        poc: index as i32,
        times: nvdec::Times::default(),
        colour: nvdec::Colour::default(),
        integrity: nvdec::Integrity::Exact,
        side_data: None,
        hash: None,
        host: HostFrame {
            format: SurfaceFormat::new(Chroma::C420, 8),
            left: 2,
            top: 2,
            width: 2,
            height: 2,
            luma: (0..4)
                .flat_map(|y| [luma(4 * y), luma(4 * y + 1), luma(4 * y + 2), luma(4 * y + 3), 255])
                .collect(),
            luma_pitch: 5,
            chroma: vec![100, 200, 101, 201, 255, 102, 202, 103, 203, 255],
            chroma_pitch: 5,
        },
        coded_size: (4, 4),
        stream: Arc::new(StreamInfo::default()),
    }
}

/// A picture without window, of samples `planes` in its format's depth.
pub(crate) fn picture_of(
    chroma: Chroma,
    bit_depth: u8,
    width: u32,
    height: u32,
    planes: [&[u16]; 3],
) -> Picture {
    let format = SurfaceFormat::new(chroma, bit_depth);
    let store = |samples: &mut dyn Iterator<Item = u16>| -> Vec<u8> {
        match bit_depth {
            8 => samples.map(|s| s as u8).collect(),
            depth => samples.flat_map(|s| (s << (16 - depth)).to_le_bytes()).collect(),
        }
    };
    let (sub_width, _) = format.subsampling();
    let bytes = format.bytes_per_sample() as usize;
    let mut pairs = planes[1].iter().zip(planes[2]).flat_map(|(&cb, &cr)| [cb, cr]);
    Picture {
        index: 0,
        poc: 0,
        times: nvdec::Times::default(),
        colour: nvdec::Colour::default(),
        integrity: nvdec::Integrity::Exact,
        side_data: None,
        hash: None,
        host: HostFrame {
            format,
            left: 0,
            top: 0,
            width,
            height,
            luma: store(&mut planes[0].iter().copied()),
            luma_pitch: width as usize * bytes,
            chroma: store(&mut pairs),
            chroma_pitch: 2 * width.div_ceil(sub_width) as usize * bytes,
        },
        coded_size: (width, height),
        stream: Arc::new(StreamInfo::default()),
    }
}

#[derive(Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(crate) fn output(&self) -> Output {
        Output::new("memory", Box::new(self.clone()))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
