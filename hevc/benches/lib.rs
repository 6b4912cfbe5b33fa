//! What the benchmarks of `hevc` read.

#![forbid(unsafe_code)]

use std::path::Path;

/// The variable that names a stream (Annex B) to read as well.
pub const VARIABLE: &str = "HEVC_BENCH_STREAM";

/// Streams of the repository, whole ones with their slice data, so that start codes are as far apart as they are in life.
const CLIPS: [(&str, &[u8]); 3] = [
    ("x_wpp", include_bytes!("../../tools/clips/x_wpp.hevc")),
    ("k_10b_tiles", include_bytes!("../../tools/clips/k_10b_tiles.hevc")),
    ("x_size_202x150", include_bytes!("../../tools/clips/x_size_202x150.hevc")),
];

/// A stream to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The clips of the repository, and the stream that [`VARIABLE`] names.
///
/// # Panics
///
/// If that cannot be read.
pub fn inputs() -> Vec<Input> {
    let mut inputs: Vec<Input> =
        CLIPS.iter().map(|(name, data)| Input { name: (*name).to_owned(), data: data.to_vec() }).collect();
    if let Some(path) = std::env::var_os(VARIABLE) {
        let path = Path::new(&path);
        let data = std::fs::read(path).unwrap_or_else(|e| panic!("{VARIABLE}: {}: {e}", path.display()));
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push(Input { name, data });
    }
    inputs
}
