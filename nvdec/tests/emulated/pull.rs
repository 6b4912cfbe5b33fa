//! Streams that are left in the middle, and frames on the host.

use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::Device;
use hevc::nal::NalHeader;
use md5::{Digest, Md5};
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, Downloader, Error, Frame, HostFrame, Packet, Rect, Units,
};

use crate::support::{stream, sums};

fn context() -> Arc<Context> {
    Context::new(Device::open(Arc::new(nvdec::emulated::h200().unwrap()), 0).unwrap()).unwrap()
}

fn sum(downloader: &Downloader, frame: Frame) -> String {
    let mut planes = Vec::new();
    downloader.start(frame).unwrap().wait().unwrap().write_planar(&mut planes);
    Md5::digest(&planes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A player that seeks drops the stream in the middle, with pictures in all states, and goes on at another key
/// picture: what comes out is what a new decoder gives there.
#[test]
fn a_seek_leaves_nothing_behind() {
    for (name, options) in [
        ("h_ra_cra", DecoderOptions::default()),
        ("h_ra_cra", DecoderOptions::default().with_engines(nvdec::Engines::LeastBusy)),
        ("k_lp_temporal", DecoderOptions::default()),
    ] {
        let data = stream(name);
        let context = context();
        let downloader = Downloader::new(&context);
        let nals: Vec<&[u8]> = split_annex_b(&data).collect();
        let is_key = |nal: &[u8]| NalHeader::parse(nal).is_ok_and(|h| h.nal_unit_type.is_irap());
        let key = nals.iter().rposition(|nal| is_key(nal)).unwrap();
        // Parameter sets stand at the beginning.
        let behind = |decoder: &mut Decoder, from: usize| {
            let mut found = Vec::new();
            let mut take = |frame| {
                found.push(sum(&downloader, frame));
                Ok::<_, Error>(())
            };
            for nal in &nals[from..] {
                decoder.push(Packet::unit(nal), &mut take).unwrap();
            }
            decoder.end(&mut take).unwrap();
            found
        };
        let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
        assert_eq!(behind(&mut decoder, 0), sums(name));
        let expected = behind(&mut decoder, key);
        let first = nals.iter().position(|nal| is_key(nal)).unwrap();
        assert!(!expected.is_empty(), "{name}");
        assert_eq!(expected.len() < sums(name).len(), key > first, "{name}");
        for sent in [nals.len() / 4, nals.len() / 2, nals.len() - 1] {
            for nal in &nals[..sent] {
                decoder.push(Packet::unit(nal), |_| Ok::<_, Error>(())).unwrap();
            }
            decoder.reset();
            assert_eq!(behind(&mut decoder, key), expected, "{name}: {sent} units before");
            for nal in &nals[..sent] {
                decoder.push(Packet::unit(nal), |_| Ok::<_, Error>(())).unwrap();
            }
            decoder.reset();
            assert_eq!(behind(&mut decoder, 0), sums(name), "{name}: {sent} units before");
        }
        // Half a NAL unit of a byte stream is forgotten as well.
        decoder.push(Packet::byte_stream(&data[..data.len() / 2]), |_| Ok::<_, Error>(())).unwrap();
        decoder.reset();
        assert_eq!(behind(&mut decoder, 0), sums(name), "{name}");
        decoder.finish().unwrap();
        assert!(decoder.take_error().is_none());
    }
}

/// Frames of a stream on the host, by a downloader that others may have used.
fn host_frames(context: &Arc<Context>, downloader: &Downloader, name: &str) -> Vec<HostFrame> {
    let mut decoder = Decoder::new(context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let data = stream(name);
    let frames = decoder.frames(Units::new(&data));
    frames.map(|frame| downloader.start(frame.unwrap()).unwrap().wait().unwrap()).collect()
}

/// What lies between the lines of a frame on the host is zero, and not what another stream left in the buffer.
#[test]
fn padding_holds_nothing_of_another_stream() {
    let context = context();
    let shared = Downloader::new(&context);
    for name in ["x_wpp", "h_confwin", "x_size_24x18", "h_10b_ra", "x_wpp"] {
        let alone = host_frames(&context, &Downloader::new(&context), name);
        let mut padding = 0;
        for (frame, alone) in host_frames(&context, &shared, name).iter().zip(&alone) {
            assert!(frame.luma == alone.luma && frame.chroma == alone.chroma, "{name}");
            let bytes = frame.format.bytes_per_sample() as usize;
            let (sub_width, _) = frame.format.subsampling();
            let right = frame.left + frame.width;
            let widths = [right as usize * bytes, (2 * right.div_ceil(sub_width)) as usize * bytes];
            let planes = [(&frame.luma, frame.luma_pitch), (&frame.chroma, frame.chroma_pitch)];
            for ((plane, pitch), width) in planes.into_iter().zip(widths) {
                for line in plane.chunks_exact(pitch) {
                    assert!(line[width..].iter().all(|&byte| byte == 0), "{name}");
                    padding += line.len() - width;
                }
            }
        }
        assert!(!alone.is_empty());
        if name == "h_confwin" {
            assert!(padding > 0, "{name} has padding");
        }
    }
}

/// A part of a picture is the same as in the whole, and one that does not lie in it is refused, however large its
/// numbers.
#[test]
fn windows_lie_in_their_pictures() {
    let context = context();
    let downloader = Downloader::new(&context);
    let data = stream("h_confwin");
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let frame = decoder.frames(Units::new(&data)).next().unwrap().unwrap();
    let coded = frame.coded();
    assert!(frame.crop() != coded && frame.crop().lies_in(coded));
    let plane = |window: Rect| {
        let host = downloader.start_window(frame.clone(), window).unwrap().wait().unwrap();
        let mut luma = Vec::new();
        host.write_plane(0, &mut luma);
        luma
    };
    let whole = plane(coded);
    assert_eq!(whole.len() as u32, coded.width * coded.height);
    for window in [
        coded,
        frame.crop(),
        Rect { left: 2, top: 4, width: 6, height: 10 },
        Rect { left: coded.width - 1, top: coded.height - 1, width: 1, height: 1 },
    ] {
        let lines = whole.chunks_exact(coded.width as usize);
        let lines = lines.skip(window.top as usize).take(window.height as usize);
        let expected: Vec<u8> =
            lines.flat_map(|line| &line[window.left as usize..][..window.width as usize]).copied().collect();
        assert!(plane(window) == expected, "{window:?}");
    }
    for empty in [Rect::default(), Rect { left: coded.width, top: coded.height, width: 0, height: 0 }] {
        assert!(plane(empty).is_empty());
    }
    let (width, height) = (coded.width, coded.height);
    for window in [
        Rect { width: width + 1, ..coded },
        Rect { height: height + 1, ..coded },
        Rect { left: 1, ..coded },
        Rect { top: 1, ..coded },
        Rect { left: width, top: height, width: 1, height: 1 },
        Rect { left: u32::MAX, top: 0, width: 1, height: 1 },
        Rect { left: 2, top: 0, width: u32::MAX, height: 1 },
        Rect { left: 0, top: 1, width: 1, height: u32::MAX },
        Rect { left: u32::MAX, top: u32::MAX, width: u32::MAX, height: u32::MAX },
    ] {
        let error = downloader.start_window(frame.clone(), window).unwrap_err();
        assert!(
            matches!(error, Error::OutsidePicture { window: said, size } if (said, size) == (window, (width, height))),
            "{error}"
        );
    }
}
