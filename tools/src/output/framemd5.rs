//! MD5 sums: of every picture in FFmpeg's framemd5 form, and of the whole output.
//!
//! Compared with `ffmpeg -flags unaligned -i X -autoscale 0 -f framemd5 -` the data lines of a byte stream are the same, and of
//! the header all but `#software`. FFmpeg takes the frame rate from the stream, as here, and 25 where it has none. Where
//! pictures are not output, such as leading pictures at a random access point, FFmpeg leaves gaps in the time stamps
//! (columns dts and pts); here they count pictures.
//!
//! The times of a film are those of its container, in the container's unit. FFmpeg has the same with
//! `ffmpeg -flags unaligned -copyts -noautorotate -i X -map 0:v:0 -autoscale 0 -enc_time_base -1 -f framemd5 -`. Without `-copyts`
//! it has the first one at 0, without `-enc_time_base -1` it rounds them to whole pictures at the frame rate, and without
//! `-noautorotate` it turns pictures as the container says. Its last picture may last as long as the frame rate says.
//! Without `-flags unaligned` FFmpeg rounds the left edge of a conformance window; without `-autoscale 0` it scales
//! pictures to the size of the first one.

use std::fmt::Write;

use md5::{Digest, Md5};

use super::{Output, Sink};
use crate::decode::Picture;
use crate::exit::Failure;

/// Lower-case hexadecimal digits of the MD5 of `bytes`.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// FFmpeg's framemd5, version 2.
pub struct FrameMd5 {
    output: Output,
    buffer: Vec<u8>,
    any: bool,
}

impl FrameMd5 {
    /// A writer to `output`.
    pub fn new(output: Output) -> FrameMd5 {
        FrameMd5 { output, buffer: Vec::new(), any: false }
    }

    fn header(&mut self, picture: &Picture) -> Result<(), Failure> {
        let (rate, per) = picture.stream.frame_rate_or_default();
        let (tick, second) = picture.stream.time_base.unwrap_or((per, rate));
        let (sar_width, sar_height) = picture.stream.sample_aspect_ratio.unwrap_or((0, 1));
        let header = format!(
            "#format: frame checksums\n\
             #version: 2\n\
             #hash: MD5\n\
             #software: nvdec-decode {version}\n\
             #tb 0: {tick}/{second}\n\
             #media_type 0: video\n\
             #codec_id 0: rawvideo\n\
             #dimensions 0: {width}x{height}\n\
             #sar 0: {sar_width}/{sar_height}\n\
             #stream#, dts,        pts, duration,     size, hash\n",
            version = env!("CARGO_PKG_VERSION"),
            width = picture.host.width,
            height = picture.host.height,
        );
        self.output.write(header.as_bytes())
    }
}

impl Sink for FrameMd5 {
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.any, true) {
            self.header(picture)?;
        }
        self.buffer.clear();
        picture.write_planar(&mut self.buffer);
        let (size, hash) = (self.buffer.len(), md5_hex(&self.buffer));
        // What has no times is counted: of a film all its pictures, of a stream those that come out.
        let number = picture.times.opaque.unwrap_or(picture.index) as i64;
        let (pts, duration) = (picture.times.pts.unwrap_or(number), picture.times.duration.unwrap_or(1));
        self.output.write(format!("0, {pts:>10}, {pts:>10}, {duration:>8}, {size:>8}, {hash}\n").as_bytes())
    }

    fn remark(&mut self, text: &str) -> Result<(), Failure> {
        self.output.write(format!("#{text}\n").as_bytes())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.output.flush()
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        self.output.commit()
    }
}

/// The MD5 of everything that the yuv format would write, as one line of hexadecimal digits.
pub struct WholeMd5 {
    output: Output,
    buffer: Vec<u8>,
    md5: Md5,
}

impl WholeMd5 {
    /// A writer to `output`.
    pub fn new(output: Output) -> WholeMd5 {
        WholeMd5 { output, buffer: Vec::new(), md5: Md5::new() }
    }
}

impl Sink for WholeMd5 {
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure> {
        self.buffer.clear();
        picture.write_planar(&mut self.buffer);
        self.md5.update(&self.buffer);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Failure> {
        let WholeMd5 { mut output, md5, .. } = *self;
        output.write(format!("{}\n", hex(&md5.finalize())).as_bytes())?;
        output.commit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::testing::{Shared, picture};
    use super::*;
    use crate::decode::StreamInfo;

    // ffmpeg 5.1: printf '\x0a\x0b\x0e\x0f\x67\xcb\x0b\x0c\x0f\x10\x67\xcb' |
    //     ffmpeg -f rawvideo -pix_fmt yuv420p -s 2x2 -r 24 -i - -f framemd5 -
    const FFMPEG: &str = "\
#format: frame checksums
#version: 2
#hash: MD5
#software: Lavf59.27.100
#tb 0: 1/24
#media_type 0: video
#codec_id 0: rawvideo
#dimensions 0: 2x2
#sar 0: 0/1
#stream#, dts,        pts, duration,     size, hash
0,          0,          0,        1,        6, 8b3b3e78315e8622040d4d4cf01236ce
0,          1,          1,        1,        6, fd5891efec8a80b5a7b8ce5e88f9f1e3
";

    #[test]
    fn framemd5_is_what_ffmpeg_writes() {
        let shared = Shared::default();
        let mut sink = Box::new(FrameMd5::new(shared.output()));
        for index in 0..2 {
            let mut picture = picture(index);
            picture.stream = Arc::new(StreamInfo { frame_rate: Some((24, 1)), ..StreamInfo::default() });
            sink.picture(&picture).unwrap();
        }
        sink.finish().unwrap();
        let comparable = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with("#software")).map(str::to_owned).collect()
        };
        assert_eq!(comparable(&shared.text()), comparable(FFMPEG));
    }

    #[test]
    fn whole_md5_is_that_of_the_concatenation() {
        let shared = Shared::default();
        let mut sink = Box::new(WholeMd5::new(shared.output()));
        for index in 0..2 {
            sink.picture(&picture(index)).unwrap();
        }
        sink.finish().unwrap();
        // printf … | md5sum, over the bytes above.
        assert_eq!(shared.text(), "fffd1d231b82cc91873a946d117e43b9\n");
    }

    #[test]
    fn md5_of_nothing() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
