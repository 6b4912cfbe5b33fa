//! A decoder of an elementary stream, and its frames, as C has them.

use std::collections::VecDeque;
use std::sync::Arc;

use nvdec::{
    Codec, Decoder, DecoderOptions, Engines, Frame, Integrity, Mode, Packet, Policy, Price, Sent, Start,
    Times,
};

use crate::context::{Shared, engine_set, letters};
use crate::result::{Failure, NVDEC_AGAIN, NVDEC_END, NVDEC_OK, Result, nvdec_result};
use crate::types::*;

/// A decoder, and the frames that came out while it was sent to.
#[derive(Debug)]
pub(crate) struct Decoding {
    shared: Arc<Shared>,
    decoder: Decoder,
    due: VecDeque<Frame>,
    has_ended: bool,
}

/// A frame that C holds.
#[derive(Debug)]
pub(crate) struct HeldFrame {
    shared: Arc<Shared>,
    frame: Frame,
}

/// What the options ask for.
pub(crate) fn decoder_options(given: &nvdec_decoder_options) -> Result<DecoderOptions> {
    let no = |field: &str, value: u32| Failure::invalid(format!("{field}: {value} is no nvdec_{field}"));
    let engines = match (given.engines, given.least_busy) {
        (0, 0) => Engines::All,
        (0, _) => Engines::LeastBusy,
        (bits, 0) => Engines::Set(engine_set(bits)),
        _ => {
            return Err(Failure::invalid(
                "least_busy: it chooses an engine itself, engines has to be 0 then",
            ));
        }
    };
    let mode = match given.mode {
        0 => Mode::Balanced,
        1 => Mode::Throughput,
        2 => Mode::LowLatency,
        other => return Err(no("mode", other)),
    };
    let policy = match given.policy {
        0 => Policy::Deliver,
        1 => Policy::Skip,
        2 => Policy::Stop,
        3 => Policy::Freeze,
        other => return Err(no("policy", other)),
    };
    let start = match given.start {
        0 => Start::Intra,
        1 => Start::RandomAccess,
        2 => Start::RecoveryPoint,
        3 => Start::Any,
        other => return Err(no("start", other)),
    };
    let options = DecoderOptions::default()
        .with_engines(engines)
        .with_mode(mode)
        .with_policy(policy)
        .with_start(start)
        .with_held_frames((given.held_frames > 0).then_some(given.held_frames as usize));
    Ok(match given.max_luma_samples {
        0 => options,
        NVDEC_UNLIMITED => options.with_max_luma_samples(None),
        samples => options.with_max_luma_samples(samples),
    })
}

fn time(ticks: i64) -> Option<i64> {
    (ticks != NVDEC_NO_TIME).then_some(ticks)
}

impl Decoding {
    pub(crate) fn open(shared: Arc<Shared>, codec: u32, options: &nvdec_decoder_options) -> Result<Decoding> {
        if codec != nvdec_codec::NVDEC_CODEC_HEVC as u32 {
            return Err(Failure::invalid(format!("codec: {codec} is no nvdec_codec")));
        }
        let decoder = Decoder::new(&shared.context, Codec::Hevc, decoder_options(options)?)?;
        Ok(Decoding { shared, decoder, due: VecDeque::new(), has_ended: false })
    }

    pub(crate) fn send(&mut self, given: &nvdec_packet, bytes: &[u8]) -> Result<nvdec_result> {
        let packet = match given.framing {
            1 => Packet::byte_stream(bytes),
            2 => Packet::access_unit(bytes),
            3 if bytes.is_empty() => return Err(Failure::invalid("a unit has a byte at least")),
            3 => Packet::unit(bytes),
            other => return Err(Failure::invalid(format!("framing: {other} is no nvdec_framing"))),
        };
        let packet = packet.with_times(Times {
            pts: time(given.pts),
            dts: time(given.dts),
            duration: time(given.duration),
            opaque: Some(given.opaque),
        });
        let result = self.offer(
            |decoder| decoder.send(packet.clone()),
            |decoder, due| {
                decoder.push(packet.clone(), |frame| {
                    due.push_back(frame);
                    Ok::<_, nvdec::Error>(())
                })
            },
        );
        // What was taken, even if it is wrong, belongs to another stream than that which has ended.
        if !matches!(result, Ok(NVDEC_AGAIN)) {
            self.has_ended = false;
        }
        result
    }

    pub(crate) fn flush(&mut self) -> Result<nvdec_result> {
        let result = self.offer(Decoder::flush, |decoder, due| {
            decoder.end(|frame| {
                due.push_back(frame);
                Ok::<_, nvdec::Error>(())
            })
        })?;
        self.has_ended = result == NVDEC_OK;
        Ok(result)
    }

    /// Tries `once`. If no surface is free, frames that are due go to the caller first; only when all of them are the caller's
    /// does `grow` take more memory.
    fn offer(
        &mut self,
        once: impl Fn(&mut Decoder) -> nvdec::Result<Sent>,
        grow: impl FnOnce(&mut Decoder, &mut VecDeque<Frame>) -> nvdec::Result<()>,
    ) -> Result<nvdec_result> {
        if !self.due.is_empty() {
            return Ok(NVDEC_AGAIN);
        }
        if once(&mut self.decoder)? == Sent::Accepted {
            return Ok(NVDEC_OK);
        }
        if let Some(frame) = self.decoder.receive() {
            self.due.push_back(frame);
            return Ok(NVDEC_AGAIN);
        }
        grow(&mut self.decoder, &mut self.due)?;
        Ok(NVDEC_OK)
    }

    /// The next frame, or why there is none.
    pub(crate) fn receive(&mut self) -> Result<HeldFrame, nvdec_result> {
        match self.due.pop_front().or_else(|| self.decoder.receive()) {
            Some(frame) => Ok(HeldFrame { shared: self.shared.clone(), frame }),
            None if self.has_ended => Err(NVDEC_END),
            None => Err(NVDEC_AGAIN),
        }
    }

    /// What was wrong with a unit or a picture, and did not end the stream.
    pub(crate) fn take_error(&mut self) -> Result<nvdec_result> {
        self.decoder.take_error().map_or(Ok(NVDEC_OK), |error| Err(error.into()))
    }

    /// What the present sequence takes at most, once its first picture told.
    pub(crate) fn price(&self) -> Option<nvdec_decoder_memory> {
        self.decoder.price().map(priced)
    }

    pub(crate) fn reset(&mut self) {
        self.due.clear();
        self.has_ended = false;
        self.decoder.reset();
    }
}

/// What the header has of a price.
pub(crate) fn priced(price: Price) -> nvdec_decoder_memory {
    let Price { surfaces, motion, scratch, status, .. } = price;
    nvdec_decoder_memory { size: 0, total: price.total(), surfaces, motion, scratch, status }
}

impl HeldFrame {
    /// What the header has of it.
    pub(crate) fn info(&self) -> nvdec_frame_info {
        let HeldFrame { frame, .. } = self;
        let (format, crop, coded, colour) = (frame.format(), frame.crop(), frame.coded(), frame.colour());
        let times = frame.times();
        nvdec_frame_info {
            size: 0,
            coded_width: coded.width,
            coded_height: coded.height,
            left: crop.left,
            top: crop.top,
            width: crop.width,
            height: crop.height,
            chroma_format_idc: format.chroma.chroma_format_idc().into(),
            bit_depth: format.bit_depth.into(),
            chroma_bit_depth: format.chroma_bit_depth.into(),
            bytes_per_sample: format.bytes_per_sample(),
            colour_primaries: colour.primaries.into(),
            transfer_characteristics: colour.transfer.into(),
            matrix_coefficients: colour.matrix.into(),
            full_range: colour.full_range.into(),
            key: frame.is_key().into(),
            poc: frame.poc(),
            number: frame.number(),
            pts: times.pts.unwrap_or(NVDEC_NO_TIME),
            dts: times.dts.unwrap_or(NVDEC_NO_TIME),
            duration: times.duration.unwrap_or(NVDEC_NO_TIME),
            opaque: times.opaque.unwrap_or(0),
        }
    }

    pub(crate) fn integrity(&self) -> Result<nvdec_integrity> {
        Ok(integrity(self.frame.integrity()?))
    }

    /// Bytes of the planes Y, Cb and Cr of the part to be shown.
    pub(crate) fn planar_bytes(&self) -> usize {
        let (format, crop) = (self.frame.format(), self.frame.crop());
        let (sub_width, sub_height) = format.subsampling();
        let samples = |width: u32, height: u32| width as usize * height as usize;
        let chroma = samples(crop.width.div_ceil(sub_width), crop.height.div_ceil(sub_height));
        (samples(crop.width, crop.height) + 2 * chroma) * format.bytes_per_sample() as usize
    }

    /// The planes, to `room`, which is as large as [`planar_bytes`](Self::planar_bytes) says.
    pub(crate) fn download(&self, room: &mut [u8]) -> Result<()> {
        let picture = self.shared.downloader.start(self.frame.clone())?.wait()?;
        let mut planes = Vec::with_capacity(room.len());
        picture.write_planar(&mut planes);
        room.copy_from_slice(&planes);
        Ok(())
    }
}

/// What the header has of an integrity.
pub(crate) fn integrity(integrity: Integrity) -> nvdec_integrity {
    let kind = match integrity {
        Integrity::Exact => nvdec_integrity_kind::NVDEC_INTEGRITY_EXACT,
        Integrity::Damaged { .. } => nvdec_integrity_kind::NVDEC_INTEGRITY_DAMAGED,
        Integrity::Tainted { .. } => nvdec_integrity_kind::NVDEC_INTEGRITY_TAINTED,
        Integrity::Recovering { .. } => nvdec_integrity_kind::NVDEC_INTEGRITY_RECOVERING,
        _ => nvdec_integrity_kind::NVDEC_INTEGRITY_OTHER,
    };
    nvdec_integrity { size: 0, kind: kind as u32, reserved: 0, text: letters(&integrity.to_string()) }
}
