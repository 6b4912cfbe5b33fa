//! Every picture of every stream, bit by bit.

use std::thread;

use hcq::{EngineKind, EngineType};
use nvdec::emulated;

use crate::support::{decode, stream, sums};

fn exact(name: &str) {
    let kernel = emulated::h200().unwrap();
    let decoded = decode(&kernel, &stream(name), None);
    assert!(decoded.fatal.is_none(), "{name}: {:?}; {:?}", decoded.fatal, kernel.log());
    assert!(decoded.errors.is_empty(), "{name}: {:?}", decoded.errors);
    let expected = sums(name);
    let wrong = decoded.sums.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((wrong, decoded.sums.len()), (None, expected.len()), "{name}: first wrong picture, pictures");
}

macro_rules! exact {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            exact(stringify!($name));
        }
    )*};
}

exact! {
    k_lp_temporal h_ld_b h_ra_cra
    h_10b_ra x_fmt_yuv420p12le
    h_tiles_non h_tiles_slices
    h_wpp x_wpp h_depslice_wpp s_hdr_ext_wpp
    h_slice_ctu h_depslice_ctu
    h_wp_p h_wp_ra
    h_sl_file x_slist_file
    h_pic8x8_o h_ctu8 x_size_24x18 k_tiles_wpp
    h_pcm10 h_lossless h_cip h_dqp h_slice_cqp_o h_dbk_slice
    s_lt_rplm h_tmvp2_o h_confwin
    f_aud_in_picture f_sei_in_picture f_reorder_over_dpb
    x_hdr_sei f_dovi_iphone f_fmp4_captions
}

/// Seven streams of different kinds at the same time, an engine each, in one address space.
#[test]
fn seven_engines_at_once() {
    let kernel = emulated::h200().unwrap();
    let names = ["h_ra_cra", "h_10b_ra", "h_tiles_non", "h_wp_ra", "h_sl_file", "h_tmvp2_o", "k_lp_temporal"];
    thread::scope(|scope| {
        for (i, name) in names.into_iter().enumerate() {
            let engine = EngineType::of(EngineKind::Nvdec, 1 + i as u32);
            let kernel = &kernel;
            scope.spawn(move || {
                let decoded = decode(kernel, &stream(name), engine);
                assert_eq!(decoded.sums, sums(name), "{name}: {:?} {:?}", decoded.fatal, decoded.errors);
            });
        }
    });
}
