//! YUV4MPEG2, with the header that FFmpeg writes. Only the interlacing tag can differ: FFmpeg takes it from picture
//! timing SEI messages; here it is progressive, or unknown where the VUI says that pictures are fields.

use nvdec::class::Chroma;

use super::{Output, Sink};
use crate::decode::Picture;
use crate::exit::Failure;

/// What one header holds for all pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    width: u32,
    height: u32,
    chroma: Chroma,
    bit_depth: u8,
}

/// A YUV4MPEG2 writer. Depths above 8 bits use FFmpeg's tags (`420p10`), which mjpegtools does not know.
pub struct Y4m {
    output: Output,
    buffer: Vec<u8>,
    shape: Option<Shape>,
}

impl Y4m {
    /// A writer to `output`.
    pub fn new(output: Output) -> Y4m {
        Y4m { output, buffer: Vec::new(), shape: None }
    }
}

impl Sink for Y4m {
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure> {
        let host = &picture.host;
        let shape = Shape {
            width: host.width,
            height: host.height,
            chroma: host.format.chroma,
            bit_depth: host.format.bit_depth,
        };
        if host.format.one_depth().is_none() {
            let reason = "y4m has one depth for luma and chroma, these have two; use yuv";
            return Err(Failure::Format { picture: picture.index, reason: reason.to_owned() });
        }
        if picture.colour.matrix == 0 && shape.chroma == Chroma::C444 {
            let reason = "the planes are G, B, R (matrix_coeffs 0), for which y4m has no tag; use yuv or png";
            return Err(Failure::Format { picture: picture.index, reason: reason.to_owned() });
        }
        self.buffer.clear();
        match self.shape {
            None => {
                self.shape = Some(shape);
                self.buffer.extend_from_slice(header(picture).as_bytes());
            }
            Some(first) if first != shape => {
                return Err(Failure::Format {
                    picture: picture.index,
                    reason: format!(
                        "y4m holds pictures of one size and format, they change from {}x{} {}-bit to {}x{} {}-bit here",
                        first.width,
                        first.height,
                        first.bit_depth,
                        shape.width,
                        shape.height,
                        shape.bit_depth
                    ),
                });
            }
            Some(_) => {}
        }
        self.buffer.extend_from_slice(b"FRAME\n");
        picture.write_planar(&mut self.buffer);
        self.output.write(&self.buffer)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush()
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.output.commit()
    }
}

fn header(picture: &Picture) -> String {
    let (rate, per) = picture.stream.frame_rate_or_default();
    let (sar_width, sar_height) = picture.stream.sample_aspect_ratio.unwrap_or((0, 0));
    // Which field of a pair a picture is, only the timing SEI messages say.
    let interlacing = if picture.stream.field_seq { '?' } else { 'p' };
    let range = if picture.colour.full_range { "FULL" } else { "LIMITED" };
    format!(
        "YUV4MPEG2 W{} H{} F{rate}:{per} I{interlacing} A{sar_width}:{sar_height} {} XCOLORRANGE={range}\n",
        picture.host.width,
        picture.host.height,
        colour_space(picture),
    )
}

/// The colour space tags. 8-bit 4:2:0 has one for each chroma siting; full range counts as JPEG's.
fn colour_space(picture: &Picture) -> String {
    let depth = picture.host.format.bit_depth;
    let base = match picture.host.format.chroma {
        Chroma::C400 if depth == 8 => return "Cmono".to_owned(),
        Chroma::C400 => return format!("Cmono{depth}"),
        Chroma::C420 => "420",
        Chroma::C422 => "422",
        _ => "444",
    };
    let siting = match (base, depth) {
        ("420", 8) if picture.colour.full_range => "jpeg",
        ("420", 8) => match picture.stream.chroma_sample_loc_type.unwrap_or(0) {
            0 => "mpeg2",
            2 => "paldv",
            _ => "jpeg",
        },
        (_, 8) => "",
        _ => return format!("C{base}p{depth} XYSCSS={base}P{depth}"),
    };
    format!("C{base}{siting} XYSCSS={base}{}", siting.to_uppercase())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Shared, picture, picture_of};
    use super::*;
    use crate::decode::StreamInfo;

    #[test]
    fn a_stream_of_two() {
        let shared = Shared::default();
        let mut sink = Box::new(Y4m::new(shared.output()));
        sink.picture(&picture(0)).unwrap();
        sink.picture(&picture(1)).unwrap();
        sink.finish().unwrap();
        let mut expected =
            b"YUV4MPEG2 W2 H2 F25:1 Ip A0:0 C420mpeg2 XYSCSS=420MPEG2 XCOLORRANGE=LIMITED\nFRAME\n".to_vec();
        expected.extend([10, 11, 14, 15, 103, 203]);
        expected.extend(b"FRAME\n");
        expected.extend([11, 12, 15, 16, 103, 203]);
        assert_eq!(shared.bytes(), expected);
    }

    /// Headers that FFmpeg 5.1 writes for streams of these kinds.
    #[test]
    fn headers_are_ffmpegs() {
        let mut full = picture(0);
        full.colour.full_range = true;
        full.stream = Arc::new(StreamInfo { sample_aspect_ratio: Some((16, 11)), ..StreamInfo::default() });
        assert!(header(&full).ends_with(" A16:11 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL\n"));
        let mut sited = picture(0);
        for (kind, tag) in
            [(0, "C420mpeg2 XYSCSS=420MPEG2"), (1, "C420jpeg "), (2, "C420paldv XYSCSS=420PALDV")]
        {
            sited.stream =
                Arc::new(StreamInfo { chroma_sample_loc_type: Some(kind), ..StreamInfo::default() });
            assert!(header(&sited).contains(tag), "{}", header(&sited));
        }
        let tags = |chroma, depth| header(&picture_of(chroma, depth, 2, 1, [&[0, 0], &[0, 0], &[0, 0]]));
        assert!(tags(Chroma::C420, 10).contains(" C420p10 XYSCSS=420P10 "));
        assert!(tags(Chroma::C444, 8).contains(" C444 XYSCSS=444 "));
        assert!(tags(Chroma::C444, 12).contains(" C444p12 XYSCSS=444P12 "));
        assert!(tags(Chroma::C422, 10).contains(" C422p10 XYSCSS=422P10 "));
        assert!(tags(Chroma::C400, 10).contains(" Cmono10 XCOLORRANGE"));
        assert!(tags(Chroma::C400, 8).contains(" Cmono XCOLORRANGE"));
    }

    #[test]
    fn rgb_is_refused() {
        let mut rgb = picture_of(Chroma::C444, 8, 1, 1, [&[1], &[2], &[3]]);
        rgb.colour.matrix = 0;
        let failure = Y4m::new(Shared::default().output()).picture(&rgb).unwrap_err();
        assert!(failure.to_string().contains("matrix_coeffs 0"), "{failure}");
    }

    #[test]
    fn a_change_of_size_is_refused() {
        let mut sink = Y4m::new(Shared::default().output());
        sink.picture(&picture(0)).unwrap();
        let failure =
            sink.picture(&picture_of(Chroma::C420, 8, 4, 2, [&[0; 8], &[0; 2], &[0; 2]])).unwrap_err();
        assert!(failure.to_string().contains("change from 2x2 8-bit to 4x2 8-bit"), "{failure}");
    }
}
