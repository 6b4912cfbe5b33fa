//! What a sequence asks of the hardware, against what the class can do.

use hevc::{Pps, Sps};

use crate::class::{Chroma, Codec, EngineLimits, Shapes, VideoClass};
use crate::context::Context;
use crate::error::{Error, Result};

use Shapes::{All, Documented, Measured};

/// Whether the engines of `context` can decode pictures with these parameter sets.
pub(crate) fn check_picture(sps: &Sps, pps: &Pps, context: &Context) -> Result<()> {
    let class = context.class();
    check(sps, class)?;
    check_pps(pps, sps, class)?;
    context.limits().map_or(Ok(()), |limits| check_limits(pps, sps, class, limits))
}

/// Whether engines of `class` that lack some of it can decode pictures with these parameter sets, which the class
/// itself can.
///
/// # Errors
///
/// [`Error::CannotDecode`], naming the syntax element, the limit, and that it is not the hardware's.
pub fn check_limits(pps: &Pps, sps: &Sps, class: &VideoClass, limits: &EngineLimits) -> Result<()> {
    let refuse = |element, value: String, limit: String| {
        let limit = format!("{limit}; {} hardware can", class.generation);
        Err(Error::CannotDecode { class: limits.name, element, value, limit })
    };
    let chroma = limits.chroma(Codec::Hevc);
    if let Some(asked) = Chroma::from_chroma_format_idc(sps.chroma_format_idc)
        && !chroma.contains(asked)
    {
        let value = format!("{} ({})", sps.chroma_format_idc, asked.names()[0]);
        return refuse("chroma_format_idc", value, format!("it decodes {}", chroma.names().join(" and ")));
    }
    if sps.bit_depth_luma != sps.bit_depth_chroma && !limits.hevc.unequal_depths {
        let limit = format!("it decodes chroma of as many bits as luma, {}", sps.bit_depth_luma);
        return refuse("bit_depth_chroma_minus8", (sps.bit_depth_chroma - 8).to_string(), limit);
    }
    if limits.hevc.range_extensions {
        return Ok(());
    }
    let (s, p) = (&sps.range_extension, &pps.range_extension);
    for (element, value, without) in [
        ("transform_skip_rotation_enabled_flag", s.transform_skip_rotation_enabled_flag.into(), 0),
        ("transform_skip_context_enabled_flag", s.transform_skip_context_enabled_flag.into(), 0),
        ("implicit_rdpcm_enabled_flag", s.implicit_rdpcm_enabled_flag.into(), 0),
        ("explicit_rdpcm_enabled_flag", s.explicit_rdpcm_enabled_flag.into(), 0),
        ("extended_precision_processing_flag", s.extended_precision_processing_flag.into(), 0),
        ("intra_smoothing_disabled_flag", s.intra_smoothing_disabled_flag.into(), 0),
        ("high_precision_offsets_enabled_flag", s.high_precision_offsets_enabled_flag.into(), 0),
        ("persistent_rice_adaptation_enabled_flag", s.persistent_rice_adaptation_enabled_flag.into(), 0),
        ("cabac_bypass_alignment_enabled_flag", s.cabac_bypass_alignment_enabled_flag.into(), 0),
        ("log2_max_transform_skip_block_size_minus2", p.log2_max_transform_skip_size, 2),
        ("cross_component_prediction_enabled_flag", p.cross_component_prediction_enabled_flag.into(), 0),
        ("chroma_qp_offset_list_enabled_flag", p.chroma_qp_offset_list_enabled_flag.into(), 0),
        ("log2_sao_offset_scale_luma", p.log2_sao_offset_scale_luma, 0),
        ("log2_sao_offset_scale_chroma", p.log2_sao_offset_scale_chroma, 0),
    ] {
        if value > without {
            let limit = "it has no tools of the range extensions".into();
            return refuse(element, (value - without).to_string(), limit);
        }
    }
    Ok(())
}

/// Whether `class` can decode pictures with these parameter sets, as far as the picture's own set goes.
///
/// # Errors
///
/// [`Error::CannotDecode`], naming the syntax element and the limit.
pub fn check_pps(pps: &Pps, sps: &Sps, class: &VideoClass) -> Result<()> {
    let Some(tiles) = &pps.tiles else { return Ok(()) };
    let refuse = |element, value: String, limit: String| {
        Err(Error::CannotDecode { class: class.generation, element, value, limit })
    };
    // No profile before the high throughput ones has both (A.3.2 to A.3.5); the engine reports errors.
    if pps.entropy_coding_sync_enabled_flag && class.hevc.shapes != All {
        return refuse(
            "entropy_coding_sync_enabled_flag",
            "1".into(),
            "it decodes tiles or wavefronts, not both".into(),
        );
    }
    // The descriptor and the tile table hold what level 6.2 allows (table A.8).
    if tiles.num_tile_columns > 20 || tiles.num_tile_rows > 22 {
        let value = format!("{} ({} rows)", tiles.num_tile_columns - 1, tiles.num_tile_rows);
        return refuse("num_tile_columns_minus1", value, "it decodes up to 20 columns and 22 rows".into());
    }
    let columns = pps.tile_layout(sps).column_widths;
    let narrowest = columns.iter().map(|w| w * sps.ctb_size()).min().unwrap_or(0);
    if class.hevc.shapes == Measured && columns.len() > 1 && narrowest <= Shapes::NARROW {
        let narrow = Shapes::NARROW;
        let limit = format!("it decodes tile columns wider than {narrow} samples, one has {narrowest}");
        return refuse("column_width_minus1", (narrowest / sps.ctb_size() - 1).to_string(), limit);
    }
    Ok(())
}

/// Whether `class` can decode the sequence.
///
/// # Errors
///
/// [`Error::CannotDecode`], naming the syntax element and the limit.
pub fn check(sps: &Sps, class: &VideoClass) -> Result<()> {
    let refuse = |element, value: String, limit: String| {
        Err(Error::CannotDecode { class: class.generation, element, value, limit })
    };
    let Some(cap) = class.capability(Codec::Hevc) else {
        return Err(Error::Hardware(format!("{} engines do not decode HEVC", class.generation)));
    };
    let chroma = Chroma::from_chroma_format_idc(sps.chroma_format_idc);
    if !chroma.is_some_and(|c| cap.chroma.contains(c)) {
        let name = chroma.map_or("?", |c| c.names()[0]);
        return refuse(
            "chroma_format_idc",
            format!("{} ({name})", sps.chroma_format_idc),
            format!("it decodes {}", cap.chroma.names().join(" and ")),
        );
    }
    if sps.separate_colour_plane_flag {
        return refuse("separate_colour_plane_flag", "1".into(), "it decodes jointly coded planes".into());
    }
    for (element, depth) in
        [("bit_depth_luma_minus8", sps.bit_depth_luma), ("bit_depth_chroma_minus8", sps.bit_depth_chroma)]
    {
        if depth > cap.depth.1 {
            return refuse(
                element,
                (depth - 8).to_string(),
                format!("it decodes up to {} bits", cap.depth.1),
            );
        }
    }
    if !class.hevc.decodes_depths(sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma) {
        return refuse(
            "bit_depth_chroma_minus8",
            (sps.bit_depth_chroma - 8).to_string(),
            format!("it is not known to decode this beside luma of {} bits", sps.bit_depth_luma),
        );
    }
    // The syntax can say 8x8; no profile of version 1 or 2 allows it (A.3.2 to A.3.5).
    if sps.ctb_size() < 16 {
        return refuse(
            "log2_diff_max_min_luma_coding_block_size",
            sps.log2_diff_max_min_luma_coding_block_size.to_string(),
            format!("it decodes coding tree blocks of 16x16 to 64x64, not {0}x{0}", sps.ctb_size()),
        );
    }
    let (width, height) = (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
    let min = if class.hevc.shapes == Documented { cap.min } else { (0, 0) };
    if width < min.0 || width > cap.max.0 {
        let limit = format!("it decodes widths of {} to {}", min.0, cap.max.0);
        return refuse("pic_width_in_luma_samples", width.to_string(), limit);
    }
    if height < min.1 || height > cap.max.1 {
        let limit = format!("it decodes heights of {} to {}", min.1, cap.max.1);
        return refuse("pic_height_in_luma_samples", height.to_string(), limit);
    }
    if class.hevc.shapes == Measured {
        let (ctb, narrow) = (sps.ctb_size(), Shapes::NARROW);
        if width <= narrow && (ctb < 64 || height > 64) {
            let limit = format!("it decodes widths above {narrow}, or a single coding tree block of 64x64");
            return refuse("pic_width_in_luma_samples", width.to_string(), limit);
        }
        if ctb < 64 && sps.pic_height_in_ctbs() < 2 {
            let limit = format!("it decodes at least two rows of {ctb}x{ctb} coding tree blocks");
            return refuse("pic_height_in_luma_samples", height.to_string(), limit);
        }
    }
    let extension = &sps.range_extension;
    for (element, set) in [
        ("extended_precision_processing_flag", extension.extended_precision_processing_flag),
        ("cabac_bypass_alignment_enabled_flag", extension.cabac_bypass_alignment_enabled_flag),
    ] {
        if set {
            return refuse(element, "1".into(), "no NVDEC decodes the 16-bit profiles".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
