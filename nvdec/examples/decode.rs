//! Decodes an Annex B file and prints the MD5 of every picture in output order.
//!
//! ```text
//! cargo run --release --example decode -- clip.hevc
//! ```

use std::collections::VecDeque;
use std::fs::File;

use md5::{Digest, Md5};
use nvdec::{ByteStream, Codec, Context, Decoder, DecoderOptions, Download, Downloader};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: decode FILE")?;
    let context = Context::open_default()?;
    let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default())?;
    let downloader = Downloader::new(&context);
    // Copies to the host run behind the decode. Some frames are due before one is waited for, so that the engines have work.
    let mut pending: VecDeque<Download> = VecDeque::new();

    for frame in decoder.frames(ByteStream::new(File::open(path)?)).with_ahead(32) {
        pending.push_back(downloader.start(frame?)?);
        if pending.len() > 4
            && let Some(download) = pending.pop_front()
        {
            print(&download)?;
        }
    }
    for download in pending {
        print(&download)?;
    }
    while let Some(error) = decoder.take_error() {
        eprintln!("{error}");
    }
    Ok(())
}

fn print(download: &Download) -> nvdec::Result<()> {
    let mut planes = Vec::new();
    download.wait()?.write_planar(&mut planes);
    let frame = download.frame();
    let digest: String = Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect();
    println!("{:6} POC {:6} {digest}", frame.number(), frame.poc());
    Ok(())
}
