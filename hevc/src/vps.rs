//! `video_parameter_set_rbsp()` (7.3.2.1).

use crate::BitReader;
use crate::error::{Error, Place, Structure};
use crate::hrd::HrdParameters;
use crate::ptl::ProfileTierLevel;
use crate::vui::TimingInfo;

/// Buffering of one temporal sub-layer (7.4.3.1 and 7.4.3.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SubLayerOrdering {
    /// `max_dec_pic_buffering_minus1`, 0 to 15.
    pub max_dec_pic_buffering_minus1: u8,
    /// `max_num_reorder_pics`, 0 to 15.
    pub max_num_reorder_pics: u8,
    /// `max_latency_increase_plus1`; 0 means no limit.
    pub max_latency_increase_plus1: u32,
}

impl SubLayerOrdering {
    /// Reads the loop over sub-layers, the same in VPS and SPS; sub-layers not coded take the values of the highest.
    pub(crate) fn parse_all(r: &mut BitReader<'_>, max_sub_layers_minus1: u8) -> Result<Vec<Self>, Error> {
        let all_present = r.flag("sub_layer_ordering_info_present_flag")?;
        let count = usize::from(max_sub_layers_minus1) + 1;
        let mut ordering = vec![Self::default(); count];
        let first = if all_present { 0 } else { count - 1 };
        for entry in &mut ordering[first..] {
            // MaxDpbSize is 16 at most (A.4.2).
            entry.max_dec_pic_buffering_minus1 = r.ue8(15, "max_dec_pic_buffering_minus1")?;
            entry.max_num_reorder_pics = r.ue8(15, "max_num_reorder_pics")?;
            entry.max_latency_increase_plus1 = r.ue("max_latency_increase_plus1")?;
        }
        let highest = ordering[count - 1];
        ordering[..first].fill(highest);
        Ok(ordering)
    }

    /// `SpsMaxLatencyPictures` (7-9), `None` without a limit.
    pub fn max_latency_pictures(&self) -> Option<u64> {
        let increase = u64::from(self.max_latency_increase_plus1).checked_sub(1)?;
        Some(u64::from(self.max_num_reorder_pics) + increase)
    }
}

/// HRD parameters of a VPS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VpsHrd {
    /// `hrd_layer_set_idx`.
    pub hrd_layer_set_idx: u32,
    /// `hrd_parameters()`.
    pub parameters: HrdParameters,
}

/// A video parameter set.
///
/// Decoding the base layer needs nothing of it, so the parser does not require one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Vps {
    /// `vps_video_parameter_set_id`.
    pub vps_video_parameter_set_id: u8,
    /// `vps_base_layer_internal_flag`.
    pub vps_base_layer_internal_flag: bool,
    /// `vps_base_layer_available_flag`.
    pub vps_base_layer_available_flag: bool,
    /// `vps_max_layers_minus1`.
    pub vps_max_layers_minus1: u8,
    /// `vps_max_sub_layers_minus1`.
    pub vps_max_sub_layers_minus1: u8,
    /// `vps_temporal_id_nesting_flag`.
    pub vps_temporal_id_nesting_flag: bool,
    /// `profile_tier_level()`.
    pub profile_tier_level: ProfileTierLevel,
    /// One entry per sub-layer.
    pub sub_layer_ordering: Vec<SubLayerOrdering>,
    /// `vps_max_layer_id`.
    pub vps_max_layer_id: u8,
    /// `layer_id_included_flag[i][j]` is bit j of entry i; entry 0 is layer set 0.
    pub layer_sets: Vec<u64>,
    /// `vps_timing_info_present_flag` and what depends on it.
    pub timing_info: Option<TimingInfo>,
    /// HRD parameters.
    pub hrd: Vec<VpsHrd>,
    /// `vps_extension_flag`: a multilayer extension follows, which is not read.
    pub vps_extension_flag: bool,
}

impl Vps {
    /// Parses a VPS.
    ///
    /// # Errors
    /// [`Error::Syntax`].
    pub fn parse(rbsp: &[u8]) -> Result<Self, Error> {
        let r = &mut BitReader::new(rbsp, Place::new(Structure::Vps));
        let vps_video_parameter_set_id = r.u8(4, "vps_video_parameter_set_id")?;
        r.place_mut().id = Some(vps_video_parameter_set_id);
        let vps_base_layer_internal_flag = r.flag("vps_base_layer_internal_flag")?;
        let vps_base_layer_available_flag = r.flag("vps_base_layer_available_flag")?;
        let vps_max_layers_minus1 = r.u8(6, "vps_max_layers_minus1")?;
        let vps_max_sub_layers_minus1 = r.u8(3, "vps_max_sub_layers_minus1")?;
        r.check("vps_max_sub_layers_minus1", i64::from(vps_max_sub_layers_minus1), 0, 6)?;
        let vps_temporal_id_nesting_flag = r.flag("vps_temporal_id_nesting_flag")?;
        let reserved = r.u(16, "vps_reserved_0xffff_16bits")?;
        r.check("vps_reserved_0xffff_16bits", i64::from(reserved), 0xffff, 0xffff)?;
        let profile_tier_level = ProfileTierLevel::parse(r, vps_max_sub_layers_minus1)?;
        let sub_layer_ordering = SubLayerOrdering::parse_all(r, vps_max_sub_layers_minus1)?;
        let vps_max_layer_id = r.u8(6, "vps_max_layer_id")?;
        let vps_num_layer_sets_minus1 = r.ue_max(1023, "vps_num_layer_sets_minus1")?;
        let mut layer_sets = vec![1u64];
        for _ in 0..vps_num_layer_sets_minus1 {
            let mut set = 0;
            for layer in 0..=vps_max_layer_id {
                set |= u64::from(r.flag("layer_id_included_flag")?) << layer;
            }
            layer_sets.push(set);
        }
        let mut timing_info = None;
        let mut hrd: Vec<VpsHrd> = Vec::new();
        if r.flag("vps_timing_info_present_flag")? {
            timing_info = Some(TimingInfo::parse(r)?);
            let count = r.ue_max(vps_num_layer_sets_minus1 + 1, "vps_num_hrd_parameters")?;
            for i in 0..count {
                let hrd_layer_set_idx = r.ue_max(vps_num_layer_sets_minus1, "hrd_layer_set_idx")?;
                let common_inf_present_flag = i == 0 || r.flag("cprms_present_flag")?;
                let parameters = HrdParameters::parse(
                    r,
                    common_inf_present_flag,
                    vps_max_sub_layers_minus1,
                    hrd.last().map(|hrd| &hrd.parameters),
                )?;
                hrd.push(VpsHrd { hrd_layer_set_idx, parameters });
            }
        }
        let vps_extension_flag = r.flag("vps_extension_flag")?;
        Ok(Self {
            vps_video_parameter_set_id,
            vps_base_layer_internal_flag,
            vps_base_layer_available_flag,
            vps_max_layers_minus1,
            vps_max_sub_layers_minus1,
            vps_temporal_id_nesting_flag,
            profile_tier_level,
            sub_layer_ordering,
            vps_max_layer_id,
            layer_sets,
            timing_info,
            hrd,
            vps_extension_flag,
        })
    }
}
