//! Files that FFmpeg made, files that no muxer writes, and damaged ones.

mod common;
mod ffprobe;
mod matroska;
mod mp4;
mod mutations;
mod transport;
