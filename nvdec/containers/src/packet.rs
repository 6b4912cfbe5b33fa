//! [`PacketInfo`]: where a packet is, and when it is shown.

/// A packet of a track, without its bytes. Times are in ticks of the track's [time base](crate::Track::time_base), on the
/// time line of the presentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PacketInfo {
    /// Where it begins in the source, in bytes.
    pub offset: u64,
    /// Bytes that it takes in the source. [`Container::read`](crate::Container::read) may give fewer (in MPEG-TS, where it is the span
    /// of the transport packets, with those of other tracks between them) or more (in Matroska, if the track's
    /// frames have their first bytes stripped).
    pub size: u64,
    /// When its picture is shown; `None` if the container does not say.
    pub pts: Option<i64>,
    /// When it is decoded; `None` if the container does not say. Never behind `pts` in MP4, which may say otherwise.
    pub dts: Option<i64>,
    /// For how long its picture is shown, or in MP4 until when the next one is decoded; `None` if the container does not
    /// say.
    pub duration: Option<i64>,
    /// Whether the container calls it a key frame. It may err: what the packet's NAL units say counts.
    pub key: bool,
    /// Whether its picture is part of the presentation. Those that an edit list cuts out are in the list all the same,
    /// since others may need them.
    pub shown: bool,
}
