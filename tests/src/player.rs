//! Decoding a stream to its end, with whatever a test wants to know of each frame.

use std::sync::Arc;

use md5::{Digest, Md5};
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, Downloader, Frame, Input, Packet, Result, Source, Units,
};

/// A frame as it came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Number in decoding order.
    pub number: u64,
    /// Picture order count.
    pub poc: i32,
    /// Presentation time that was sent with it.
    pub pts: Option<i64>,
    /// Size of the conformance window.
    pub size: (u32, u32),
    /// First eight bytes of luma: the strict engine's mark.
    pub mark: u64,
    /// MD5 of the window's samples.
    pub md5: String,
}

/// A decoder with the copies of its frames.
#[derive(Debug)]
pub struct Player {
    /// The decoder.
    pub decoder: Decoder,
    downloader: Downloader,
    /// What came out so far.
    pub shown: Vec<Shown>,
}

impl Player {
    /// A player on `context`.
    pub fn new(context: &Arc<Context>, options: DecoderOptions) -> Result<Player> {
        let decoder = Decoder::new(context, Codec::Hevc, options)?;
        Ok(Player { decoder, downloader: Downloader::new(context), shown: Vec::new() })
    }

    /// Copies a frame to the host and notes it.
    pub fn show(&mut self, frame: Frame) -> Result<()> {
        self.shown.push(show(&self.downloader, frame)?);
        Ok(())
    }

    /// Sends a packet and shows what is due then.
    pub fn send(&mut self, packet: Packet<'_>) -> Result<()> {
        let Player { decoder, downloader, shown } = self;
        decoder.push(packet, |frame| {
            shown.push(show(downloader, frame)?);
            Ok(())
        })
    }

    /// Ends the stream, shows the rest, and waits for the engines.
    pub fn end(&mut self) -> Result<()> {
        let Player { decoder, downloader, shown } = self;
        decoder.end(|frame| -> Result<()> {
            shown.push(show(downloader, frame)?);
            Ok(())
        })?;
        decoder.finish()
    }

    /// Shows all frames of `source`, and waits for the engines.
    pub fn play_from(&mut self, source: impl Source) -> Result<()> {
        let Player { decoder, downloader, shown } = self;
        for frame in decoder.frames(source) {
            shown.push(show(downloader, frame?)?);
        }
        decoder.finish()
    }

    /// Plays a whole stream. The presentation time of a picture is the number of the NAL unit in which it begins.
    pub fn play(&mut self, stream: &[u8]) -> Result<()> {
        self.play_from(Numbered { units: Units::new(stream), number: 0 })
    }

    /// As [`play`](Self::play), with slice data read by the engine where they are.
    pub fn play_in_place(&mut self, stream: &Input) -> Result<()> {
        self.play_from(Numbered { units: Units::of(stream), number: 0 })
    }

    /// All errors of pictures and NAL units, as text.
    pub fn errors(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.decoder.take_error()).map(|e| e.to_string()).collect()
    }
}

fn show(downloader: &Downloader, frame: Frame) -> Result<Shown> {
    let (number, poc, pts) = (frame.number(), frame.poc(), frame.pts());
    let host = downloader.start(frame)?.wait()?;
    let mut planes = Vec::new();
    host.write_planar(&mut planes);
    let mark = host.luma[..8].try_into().map(u64::from_le_bytes).expect("eight bytes");
    let md5 = Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect();
    Ok(Shown { number, poc, pts, size: (host.width, host.height), mark, md5 })
}

/// Units whose presentation time is their number.
#[derive(Debug)]
struct Numbered<'a> {
    units: Units<'a>,
    number: i64,
}

impl Source for Numbered<'_> {
    fn packet(&mut self) -> std::io::Result<Option<Packet<'_>>> {
        let number = self.number;
        Ok(self.units.packet()?.map(|packet| packet.with_pts(number)))
    }

    fn advance(&mut self) {
        self.units.advance();
        self.number += 1;
    }
}

/// Plays a stream on a context of its own making of errors.
pub fn play(context: &Arc<Context>, stream: &[u8]) -> Result<Vec<Shown>> {
    let mut player = Player::new(context, DecoderOptions::default())?;
    player.play(stream)?;
    Ok(player.shown)
}
