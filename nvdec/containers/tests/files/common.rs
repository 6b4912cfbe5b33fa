//! The files of the tests, of which each test has its own use.

use std::path::PathBuf;

/// All files that FFmpeg lists the packets of.
pub(crate) const FILES: [&str; 21] = [
    "colour.mkv",
    "colour.mp4",
    "faststart.mp4",
    "fragmented.mp4",
    "h264.mp4",
    "hev1.mp4",
    "matroska.mkv",
    "mixed.mp4",
    "negative.mp4",
    "plain.mp4",
    "quicktime.mov",
    "rotated.mp4",
    "stream.hevc",
    "traf.mp4",
    "transport.m2ts",
    "transport.ts",
    "trimmed.mp4",
    "two_fragmented.mp4",
    "two_tracks.mkv",
    "two_tracks.mp4",
    "vfr.mp4",
];

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
