//! Headers of PES packets (ISO/IEC 13818-1, 2.4.3.6).

use mpeg2ts_reader::pes::{PesContents, PesHeader, PesLength, PtsDts, Timestamp, TimestampError};

/// What the header of a PES packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pes {
    /// In ticks of 90 kHz, of which 33 bits are there.
    pub(super) pts: Option<u64>,
    pub(super) dts: Option<u64>,
    /// Where its payload begins.
    pub(super) payload: usize,
    /// Where it ends, if it says.
    pub(super) end: Option<usize>,
}

impl Pes {
    /// Bytes up to `PES_packet_length` and with it.
    const FIXED: usize = 6;
    /// Bytes of the longest header.
    pub(super) const LONGEST_HEAD: usize = Self::FIXED + 3 + 255;

    /// The header that `bytes` begin with; `None` if that is none, or is cut.
    pub(super) fn parse(bytes: &[u8]) -> Option<Pes> {
        let header = PesHeader::from_bytes(bytes)?;
        let length = match header.pes_packet_length() {
            PesLength::Bounded(length) => Some(Self::FIXED + usize::from(length.get())),
            PesLength::Unbounded => None,
        };
        match header.contents() {
            PesContents::Parsed(parsed) => {
                let parsed = parsed?;
                let known = |time: Result<Timestamp, TimestampError>| time.ok().map(Timestamp::value);
                let (pts, dts) = match parsed.pts_dts() {
                    Ok(PtsDts::PtsOnly(pts)) => (known(pts), None),
                    Ok(PtsDts::Both { pts, dts }) => (known(pts), known(dts)),
                    _ => (None, None),
                };
                Some(Pes { pts, dts, payload: bytes.len() - parsed.payload().len(), end: length })
            }
            PesContents::Payload(payload) => {
                Some(Pes { pts: None, dts: None, payload: bytes.len() - payload.len(), end: length })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_are_found() {
        let head = b"\0\0\x01\xe0\0\x0f\x80\xc0\x0a\x31\x00\x07\xd8\x61\x11\x00\x07\xa8\x31data";
        let pes = Pes::parse(head).unwrap();
        let expected = Pes { pts: Some(126_000), dts: Some(119_832), payload: 19, end: Some(21) };
        assert_eq!(pes, expected);
        assert_eq!(Pes::parse(&head[..15]), None);
        assert_eq!(Pes::parse(b"\0\0\x02\xe0\0\0\x80\0\0"), None);
        assert_eq!(Pes::parse(b""), None);
        // Without times, and without a length.
        let expected = Pes { pts: None, dts: None, payload: 9, end: None };
        assert_eq!(Pes::parse(b"\0\0\x01\xe0\0\0\x80\0\0data"), Some(expected));
    }
}
