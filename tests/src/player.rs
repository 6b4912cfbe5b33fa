//! Decoding a stream to its end, with whatever a test wants to know of each frame.

use std::sync::Arc;

use bitstream::split_annex_b;
use md5::{Digest, Md5};
use nvdec::{Context, DecoderOptions, Downloader, Frame, HevcDecoder, Input, Result, Sent};

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
    pub decoder: HevcDecoder,
    downloader: Downloader,
    /// What came out so far.
    pub shown: Vec<Shown>,
}

impl Player {
    /// A player on `context`.
    pub fn new(context: &Arc<Context>, options: DecoderOptions) -> Result<Player> {
        let decoder = HevcDecoder::new(context, options)?;
        Ok(Player { decoder, downloader: Downloader::new(context), shown: Vec::new() })
    }

    /// Copies a frame to the host and notes it.
    pub fn show(&mut self, frame: Frame) -> Result<()> {
        let (number, poc, pts) = (frame.number(), frame.poc, frame.pts);
        let download = self.downloader.start(frame)?;
        let host = download.wait()?;
        let mut planes = Vec::new();
        host.write_planar(&mut planes);
        let mark = host.luma[..8].try_into().map(u64::from_le_bytes).expect("eight bytes");
        let md5 = Md5::digest(&planes).iter().map(|b| format!("{b:02x}")).collect();
        self.shown.push(Shown { number, poc, pts, size: (host.width, host.height), mark, md5 });
        Ok(())
    }

    /// Shows what is due.
    pub fn receive(&mut self) -> Result<()> {
        while let Some(frame) = self.decoder.receive() {
            self.show(frame)?;
        }
        Ok(())
    }

    /// Sends a NAL unit, giving frames back as long as there is no surface for it.
    ///
    /// # Panics
    ///
    /// If there is no surface although no frame is held.
    pub fn send_nal(&mut self, nal: &[u8], pts: Option<i64>) -> Result<()> {
        while self.decoder.send_nal(nal, pts)? == Sent::NoSurface {
            let frame = self.decoder.receive().expect("no surface, and no frame to give back");
            self.show(frame)?;
        }
        self.receive()
    }

    /// As [`send_nal`](Self::send_nal), for bytes cut anywhere.
    ///
    /// # Panics
    ///
    /// If there is no surface although no frame is held.
    pub fn send(&mut self, data: &[u8]) -> Result<()> {
        while self.decoder.send(data)? == Sent::NoSurface {
            let frame = self.decoder.receive().expect("no surface, and no frame to give back");
            self.show(frame)?;
        }
        self.receive()
    }

    /// Ends the stream and shows the rest.
    ///
    /// # Panics
    ///
    /// If there is no surface although no frame is held.
    pub fn end(&mut self) -> Result<()> {
        while self.decoder.flush()? == Sent::NoSurface {
            let frame = self.decoder.receive().expect("no surface, and no frame to give back");
            self.show(frame)?;
        }
        self.receive()?;
        self.decoder.finish()
    }

    /// Plays a whole stream.
    pub fn play(&mut self, stream: &[u8]) -> Result<()> {
        for (i, nal) in split_annex_b(stream).enumerate() {
            self.send_nal(nal, Some(i as i64))?;
        }
        self.end()
    }

    /// As [`play`](Self::play), with slice data read by the engine where they are.
    ///
    /// # Panics
    ///
    /// If there is no surface although no frame is held.
    pub fn play_in_place(&mut self, stream: &Input) -> Result<()> {
        let nals = split_annex_b(stream);
        for (i, nal) in nals.clone().enumerate() {
            let at = nals.offset_of(nal);
            let (at, pts) = (at..at + nal.len(), Some(i as i64));
            while self.decoder.send_nal_of(stream, at.clone(), pts)? == Sent::NoSurface {
                let frame = self.decoder.receive().expect("no surface, and no frame to give back");
                self.show(frame)?;
            }
            self.receive()?;
        }
        self.end()
    }

    /// All errors of pictures and NAL units, as text.
    pub fn errors(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.decoder.take_error()).map(|e| e.to_string()).collect()
    }
}

/// Plays a stream on a context of its own making of errors.
pub fn play(context: &Arc<Context>, stream: &[u8]) -> Result<Vec<Shown>> {
    let mut player = Player::new(context, DecoderOptions::default())?;
    player.play(stream)?;
    Ok(player.shown)
}
