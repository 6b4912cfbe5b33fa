//! A parsed stream for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use hevc::{Pps, Sps, Vps};
use serde_json::Value;

use super::{ParsedMessage, ParsedPicture, ParsedStream};
use crate::decode::StreamInfo;
use crate::probe::report::plural;

/// Characters of a value that are printed of each message.
const CHARACTERS_SHOWN: usize = 60;

/// A VPS in words.
pub(crate) fn vps(vps: &Vps) -> String {
    format!(
        "{}, {}, {}",
        vps.profile_tier_level,
        plural(usize::from(vps.vps_max_sub_layers_minus1) + 1, "sub-layer"),
        plural(usize::from(vps.vps_max_layers_minus1) + 1, "layer"),
    )
}

/// An SPS in words.
pub(crate) fn sps(sps: &Sps) -> String {
    let crop = sps.crop();
    let chroma = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"][usize::from(sps.chroma_format_idc & 3)];
    let mut out = format!("{}; {}x{}", sps.profile_tier_level, crop.width, crop.height);
    let coded = (sps.pic_width_in_luma_samples, sps.pic_height_in_luma_samples);
    if coded != (crop.width, crop.height) {
        let _ = write!(out, " (coded {}x{}, window at {},{})", coded.0, coded.1, crop.left, crop.top);
    }
    let _ = write!(out, " {chroma} {}-bit", sps.bit_depth_luma);
    if sps.bit_depth_chroma != sps.bit_depth_luma {
        let _ = write!(out, " luma, {}-bit chroma", sps.bit_depth_chroma);
    }
    let ordering = sps.highest_sub_layer_ordering();
    let _ = write!(
        out,
        "; CTB {}, CB from {}, TB {} to {}; DPB {}, reorder {}",
        sps.ctb_size(),
        sps.min_cb_size(),
        1u32 << sps.log2_min_luma_transform_block_size,
        1u32 << sps.max_tb_log2_size(),
        sps.max_dec_pic_buffering(),
        ordering.max_num_reorder_pics,
    );
    list(&mut out, &sps_tools(sps));
    if let Some(vui) = &sps.vui {
        let info = StreamInfo::of(sps, None);
        let _ = write!(
            out,
            "; VUI primaries {}, transfer {}, matrix {}, {} range",
            vui.colour.colour_primaries,
            vui.colour.transfer_characteristics,
            vui.colour.matrix_coeffs,
            if vui.colour.video_full_range_flag { "full" } else { "limited" },
        );
        if let Some((rate, per)) = info.frame_rate {
            let _ = write!(out, ", {:.5} pictures/s", f64::from(rate) / f64::from(per));
        }
        if let Some((width, height)) = info.sample_aspect_ratio {
            let _ = write!(out, ", samples {width}:{height}");
        }
        if let Some(location) = info.chroma_sample_loc_type {
            let _ = write!(out, ", chroma location {location}");
        }
        if info.field_seq {
            out.push_str(", pictures are fields");
        }
    }
    if let Some(error) = &sps.vui_error {
        let _ = write!(out, "; VUI unreadable ({error})");
    }
    out
}

/// A PPS in words.
pub(crate) fn pps(pps: &Pps) -> String {
    let mut out = format!("SPS {}", pps.pps_seq_parameter_set_id);
    if let Some(tiles) = &pps.tiles {
        let _ = write!(out, "; {}x{} tiles", tiles.num_tile_columns, tiles.num_tile_rows);
        out.push_str(if tiles.explicit_sizes.is_some() { " of given sizes" } else { " evenly spaced" });
    }
    list(&mut out, &pps_tools(pps));
    out
}

/// The coding tools that an SPS allows.
pub(crate) fn sps_tools(sps: &Sps) -> Vec<&'static str> {
    let extension = &sps.range_extension;
    set(&[
        ("AMP", sps.amp_enabled_flag),
        ("SAO", sps.sample_adaptive_offset_enabled_flag),
        ("PCM", sps.pcm.is_some()),
        ("scaling lists", sps.scaling_list_enabled_flag),
        ("long-term references", sps.long_term_ref_pics_present_flag),
        ("TMVP", sps.sps_temporal_mvp_enabled_flag),
        ("strong intra smoothing", sps.strong_intra_smoothing_enabled_flag),
        ("separate_colour_plane_flag", sps.separate_colour_plane_flag),
        ("transform_skip_rotation_enabled_flag", extension.transform_skip_rotation_enabled_flag),
        ("transform_skip_context_enabled_flag", extension.transform_skip_context_enabled_flag),
        ("implicit_rdpcm_enabled_flag", extension.implicit_rdpcm_enabled_flag),
        ("explicit_rdpcm_enabled_flag", extension.explicit_rdpcm_enabled_flag),
        ("extended_precision_processing_flag", extension.extended_precision_processing_flag),
        ("intra_smoothing_disabled_flag", extension.intra_smoothing_disabled_flag),
        ("high_precision_offsets_enabled_flag", extension.high_precision_offsets_enabled_flag),
        ("persistent_rice_adaptation_enabled_flag", extension.persistent_rice_adaptation_enabled_flag),
        ("cabac_bypass_alignment_enabled_flag", extension.cabac_bypass_alignment_enabled_flag),
        ("sps_multilayer_extension_flag", sps.sps_multilayer_extension_flag),
        ("sps_3d_extension_flag", sps.sps_3d_extension_flag),
    ])
}

/// The coding tools that a PPS allows besides tiles.
pub(crate) fn pps_tools(pps: &Pps) -> Vec<&'static str> {
    set(&[
        ("wavefronts", pps.entropy_coding_sync_enabled_flag),
        ("dependent slice segments", pps.dependent_slice_segments_enabled_flag),
        ("weighted P", pps.weighted_pred_flag),
        ("weighted B", pps.weighted_bipred_flag),
        ("transform skip", pps.transform_skip_enabled_flag),
        ("lossless CUs", pps.transquant_bypass_enabled_flag),
        ("CU QP delta", pps.cu_qp_delta_enabled_flag),
        ("sign hiding", pps.sign_data_hiding_enabled_flag),
        ("constrained intra", pps.constrained_intra_pred_flag),
        ("scaling lists", pps.scaling_list_data.is_some()),
        ("no deblocking", pps.pps_deblocking_filter_disabled_flag),
        ("lists modification", pps.lists_modification_present_flag),
        ("pps_multilayer_extension_flag", pps.pps_multilayer_extension_flag),
        ("pps_3d_extension_flag", pps.pps_3d_extension_flag),
    ])
}

/// The names whose flag is set.
fn set(flags: &[(&'static str, bool)]) -> Vec<&'static str> {
    flags.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect()
}

/// Appends names, if there are any.
fn list(out: &mut String, names: &[&str]) {
    if !names.is_empty() {
        let _ = write!(out, "; {}", names.join(", "));
    }
}

/// The stream as text: parameter sets, a line for each picture, totals.
pub fn render(name: &str, stream: &ParsedStream) -> String {
    let mut out = format!(
        "{name}: {} bytes, {}, {}\n\n",
        stream.bytes,
        plural(stream.nal_units as usize, "NAL unit"),
        plural(stream.pictures.len(), "picture")
    );
    if let Some(container) = &stream.container {
        container.render(&mut out);
        out.push('\n');
    }
    for set in &stream.parameter_sets {
        let _ = writeln!(out, "{} {:<2} {}", set.kind, set.id, set.summary);
    }
    if !stream.pictures.is_empty() {
        out.push_str("\n   no    out      POC  type        tid  slices      bytes  references by POC\n");
    }
    for picture in &stream.pictures {
        row(&mut out, picture);
    }
    totals(&mut out, stream);
    out
}

fn row(out: &mut String, picture: &ParsedPicture) {
    let position = match picture.output {
        Some(position) => position.to_string(),
        None if picture.skipped => "skipped".to_owned(),
        None => "-".to_owned(),
    };
    let mut slices = format!("{} {}", picture.slices, picture.slice_types);
    if picture.dependent_slice_segments > 0 {
        let _ = write!(slices, "+{}", picture.dependent_slice_segments);
    }
    let _ = write!(
        out,
        "{:>5} {position:>7} {:>7}  {:11} {:>3}  {slices:<9} {:>8}",
        picture.number, picture.poc, picture.nal_unit_type, picture.temporal_id, picture.bytes
    );
    for (title, pocs) in [
        ("before", &picture.references_before),
        ("after", &picture.references_after),
        ("long-term", &picture.references_long_term),
        ("missing", &picture.references_missing),
    ] {
        if !pocs.is_empty() {
            let pocs: Vec<_> = pocs.iter().map(i32::to_string).collect();
            let _ = write!(out, "  {title} {}", pocs.join(" "));
        }
    }
    out.push('\n');
    for message in &picture.messages {
        self::message(out, message);
    }
    if picture.more_messages > 0 {
        let _ = writeln!(out, "        and {} more messages", picture.more_messages);
    }
}

/// A message on a line of its own.
fn message(out: &mut String, message: &ParsedMessage) {
    out.push_str("        ");
    if let Some(payload_type) = message.payload_type {
        let _ = write!(out, "{}SEI {payload_type} ", if message.suffix { "suffix " } else { "" });
    }
    let _ = write!(out, "{}, {}", message.name, plural(message.bytes, "byte"));
    for (at, (name, value)) in message.values.iter().enumerate() {
        let value = match value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let _ = write!(out, "{} {name} ", if at == 0 { ":" } else { "," });
        out.extend(value.chars().take(CHARACTERS_SHOWN));
        if value.chars().nth(CHARACTERS_SHOWN).is_some() {
            out.push('…');
        }
    }
    out.push('\n');
}

fn totals(out: &mut String, stream: &ParsedStream) {
    let count = |letter| stream.pictures.iter().filter(|p| p.kind() == letter).count();
    let shown = stream.pictures.iter().filter(|p| p.output.is_some()).count();
    let skipped = stream.pictures.iter().filter(|p| p.skipped).count();
    let hashed = stream.pictures.iter().filter(|p| p.hash).count();
    let _ = write!(
        out,
        "\n{}: {} I, {} P, {} B; {shown} are output",
        plural(stream.pictures.len(), "picture"),
        count('I'),
        count('P'),
        count('B')
    );
    if skipped > 0 {
        let _ = write!(out, ", {skipped} skipped");
    }
    let _ = writeln!(out, "; {hashed} carry a hash");
    let mut messages = BTreeMap::new();
    for message in stream.pictures.iter().flat_map(|picture| &picture.messages) {
        *messages.entry((message.payload_type, message.name)).or_insert(0u64) += 1;
    }
    for ((payload_type, name), count) in messages {
        let number = payload_type.map_or_else(String::new, |payload_type| format!("SEI {payload_type} "));
        let _ = writeln!(out, "messages: {count} x {number}{name}");
    }
    for (name, count) in &stream.ignored {
        let _ = writeln!(out, "ignored: {count} x {name}");
    }
    for error in &stream.errors {
        let _ = writeln!(out, "error: {error}");
    }
    let more = stream.error_count - stream.errors.len() as u64;
    if more > 0 {
        let _ = writeln!(out, "error: and {more} more");
    }
}
