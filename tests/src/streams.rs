//! The streams that the tests decode.

/// A stream with what is known of its output.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Name of the file.
    pub name: &'static str,
    /// The byte stream.
    pub data: &'static [u8],
    /// For each picture that is output, its number in decoding order, by FFmpeg.
    pub order: Option<&'static str>,
    /// MD5 of every picture in the form that FFmpeg's `framemd5` muxer gives, for streams whose slices are whole.
    pub md5: Option<&'static str>,
}

macro_rules! ordered {
    ($($name:literal),* $(,)?) => {
        &[$(Stream {
            name: $name,
            data: include_bytes!(concat!("../../hevc/tests/data/", $name, ".hevc")),
            order: Some(include_str!(concat!("../../hevc/tests/data/", $name, ".order"))),
            md5: None,
        }),*]
    };
}

macro_rules! whole {
    ($($name:literal),* $(,)?) => {
        &[$(Stream {
            name: $name,
            data: include_bytes!(concat!("../../tools/clips/", $name, ".hevc")),
            order: None,
            md5: Some(include_str!(concat!("../../tools/clips/", $name, ".hevc.framemd5"))),
        }),*]
    };
}

macro_rules! damaged {
    ($($name:literal),* $(,)?) => {
        &[$(Stream {
            name: $name,
            data: include_bytes!(concat!("../data/", $name, ".hevc")),
            order: None,
            md5: None,
        }),*]
    };
}

/// Streams with their slice data cut off: headers, order and references are as encoded.
pub const CUT: &[Stream] = ordered![
    "h_ra_cra",
    "h_recpoint_o",
    "h_wp_ra",
    "h_tiles_non",
    "h_tiles_slices",
    "h_depslice_wpp",
    "s_lt_msb",
    "s_lt_sps",
    "s_multi_ps",
    "s_rplm_perm",
    "s_slist_pps",
    "s_noprior",
    "s_pic_output0",
    "s_eos_cra",
    "s_bla_w_lp",
    "x_hdr10",
    "x_radl",
    "hx_tools_a",
    "hx_cuchromaqp",
];

/// Whole streams.
pub const WHOLE: &[Stream] = whole!["x_size_202x150", "k_10b_tiles", "x_wpp", "x_444_cqp"];

/// Damaged streams.
pub const DAMAGED: &[Stream] = damaged![
    "dep_without_indep",
    "flip_data_depslice",
    "flip_data_wp",
    "flip_pps_rext4445",
    "flip_slicehdr_tiles",
    "flip_sps_rext4445",
    "pps_tilecols",
    "ps_only",
    "random4k",
    "random_typed",
    "trunc_nals_depslice",
    "trunc_rext444",
    "trunc_tiles",
];

/// The stream of that name.
///
/// # Panics
///
/// If there is none.
pub fn find(name: &str) -> &'static Stream {
    let mut all = CUT.iter().chain(WHOLE).chain(DAMAGED);
    all.find(|stream| stream.name == name).unwrap_or_else(|| panic!("no stream {name}"))
}
