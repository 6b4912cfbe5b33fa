//! Decodes an Annex B file and prints the MD5 of every picture in output order.
//!
//! ```text
//! cargo run --release --example decode -- clip.hevc
//! ```

use std::collections::VecDeque;

use md5::{Digest, Md5};
use nvdec::{Context, DecoderOptions, Download, Downloader, Frame, HevcDecoder, Sent};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: decode FILE")?;
    let data = std::fs::read(path)?;

    let context = Context::open_default()?;
    let mut decoder = HevcDecoder::new(&context, DecoderOptions::default())?;
    let downloader = Downloader::new(&context);
    // Copies to the host run behind the decode; a few in flight keep the engine busy.
    let mut pending: VecDeque<Download> = VecDeque::new();

    for nal in bitstream::split_annex_b(&data) {
        while decoder.send_nal(nal, None)? == Sent::NoSurface {
            take(&mut decoder, &downloader, &mut pending)?;
            print(pending.pop_front())?;
        }
        take(&mut decoder, &downloader, &mut pending)?;
    }
    while decoder.flush()? == Sent::NoSurface {
        take(&mut decoder, &downloader, &mut pending)?;
        print(pending.pop_front())?;
    }
    take(&mut decoder, &downloader, &mut pending)?;
    for download in pending {
        print(Some(download))?;
    }
    while let Some(error) = decoder.take_error() {
        eprintln!("{error}");
    }
    Ok(())
}

fn take(
    decoder: &mut HevcDecoder,
    downloader: &Downloader,
    pending: &mut VecDeque<Download>,
) -> nvdec::Result<()> {
    while let Some(frame) = decoder.receive() {
        pending.push_back(downloader.start(frame)?);
        if pending.len() > 4 {
            print(pending.pop_front())?;
        }
    }
    Ok(())
}

fn print(download: Option<Download>) -> nvdec::Result<()> {
    let download = download.expect("no surface is free although no frame is held");
    let mut planes = Vec::new();
    download.wait()?.write_planar(&mut planes);
    let frame: &Frame = download.frame();
    let digest: String = Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect();
    println!("{:6} POC {:6} {digest}", frame.number(), frame.poc);
    Ok(())
}
