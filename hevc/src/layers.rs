//! Extensions of parameter sets for the layers above the base layer (annexes F to I). They say nothing of pictures of the
//! base layer, and are read for what stands behind them.

use crate::BitReader;
use crate::error::Error;

/// Most reference layer location offsets: one for each layer below the highest (`vps_max_layers_minus1`).
const MAX_REF_LOC_OFFSETS: u32 = 62;

/// `pps_multilayer_extension()` (F.7.3.2.3.4). `false`: it has a `colour_mapping_table()`, which is not read.
///
/// # Errors
/// [`Error::Syntax`]
pub(crate) fn pps_multilayer_extension(r: &mut BitReader<'_>) -> Result<bool, Error> {
    r.skip(1, "poc_reset_info_present_flag")?;
    if r.flag("pps_infer_scaling_list_flag")? {
        r.skip(6, "pps_scaling_list_ref_layer_id")?;
    }
    for _ in 0..r.ue_max(MAX_REF_LOC_OFFSETS, "num_ref_loc_offsets")? {
        r.skip(6, "ref_loc_offset_layer_id")?;
        for (present, element) in [
            ("scaled_ref_layer_offset_present_flag", "scaled_ref_layer_offset"),
            ("ref_region_offset_present_flag", "ref_region_offset"),
        ] {
            if r.flag(present)? {
                for _ in 0..4 {
                    r.se(element)?;
                }
            }
        }
        if r.flag("resample_phase_set_present_flag")? {
            for element in
                ["phase_hor_luma", "phase_ver_luma", "phase_hor_chroma_plus8", "phase_ver_chroma_plus8"]
            {
                r.ue(element)?;
            }
        }
    }
    Ok(!r.flag("colour_mapping_enabled_flag")?)
}

/// `pps_3d_extension()` (I.7.3.2.3.7). `false`: it has depth lookup tables, which are not read.
///
/// # Errors
/// [`Error::Syntax`]
pub(crate) fn pps_3d_extension(r: &mut BitReader<'_>) -> Result<bool, Error> {
    Ok(!r.flag("dlts_present_flag")?)
}

/// `sps_3d_extension()` (I.7.3.2.2.5).
///
/// # Errors
/// [`Error::Syntax`]
pub(crate) fn sps_3d_extension(r: &mut BitReader<'_>) -> Result<(), Error> {
    let flags = |r: &mut BitReader<'_>, elements: &[&'static str]| {
        elements.iter().try_for_each(|&element| r.flag(element).map(|_| ()))
    };
    // Of texture.
    flags(r, &["iv_di_mc_enabled_flag", "iv_mv_scal_enabled_flag"])?;
    r.ue("log2_ivmc_sub_pb_size_minus3")?;
    flags(
        r,
        &["iv_res_pred_enabled_flag", "depth_ref_enabled_flag", "vsp_mc_enabled_flag", "dbbp_enabled_flag"],
    )?;
    // Of depth.
    flags(r, &["iv_di_mc_enabled_flag", "iv_mv_scal_enabled_flag", "tex_mc_enabled_flag"])?;
    r.ue("log2_texmc_sub_pb_size_minus3")?;
    flags(
        r,
        &[
            "intra_contour_enabled_flag",
            "intra_dc_only_wedge_enabled_flag",
            "cqt_cu_part_pred_enabled_flag",
            "inter_dc_only_enabled_flag",
            "skip_intra_enabled_flag",
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Place, Structure};

    /// Bits from text, spaces left out, with 1s behind, so that an element too many is read as something.
    fn read<T>(bits: &str, parse: impl Fn(&mut BitReader<'_>) -> T) -> (T, usize) {
        let bits: Vec<u8> = bits.bytes().filter(|&b| b != b' ').map(|b| b - b'0').collect();
        let count = bits.len();
        let padded: Vec<u8> = bits.into_iter().chain([1; 64]).collect();
        let bytes: Vec<u8> =
            padded.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
        let r = &mut BitReader::new(&bytes, Place::new(Structure::Pps));
        let result = parse(r);
        (result, r.position().abs_diff(count))
    }

    #[test]
    fn extensions_are_read_to_their_end() {
        // Two reference layers, one with every offset and phase.
        let full =
            "0 1 000001 011  000010 1 00101 1 1 010 0 0  000011 1 1111 1 1 1 010 011 1 1 00101 0001001 1  0";
        for (bits, ends) in [("0 0 1 0", true), ("1 0 1 1", false), (full, true)] {
            let (result, off) = read(bits, pps_multilayer_extension);
            assert_eq!((result.expect("valid"), off), (ends, 0), "{bits}");
        }
        assert!(read("0", pps_3d_extension).0.expect("valid"));
        assert!(!read("1", pps_3d_extension).0.expect("valid"));
        let (result, off) = read("11 00101 1111 000 010 11111", sps_3d_extension);
        assert_eq!((result, off), (Ok(()), 0));
    }

    /// More offsets than there can be layers; and as many, of which most are not there.
    #[test]
    fn damage_ends() {
        for bits in ["0 0 0000001000000", "0 0 00000111111"] {
            assert!(read(bits, pps_multilayer_extension).0.is_err(), "{bits}");
        }
    }
}
