//! `hrd_parameters()` and `sub_layer_hrd_parameters()` (E.2.2, E.2.3).

use crate::BitReader;
use crate::error::Error;

/// One entry of `sub_layer_hrd_parameters()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CpbParameters {
    /// `bit_rate_value_minus1`.
    pub bit_rate_value_minus1: u32,
    /// `cpb_size_value_minus1`.
    pub cpb_size_value_minus1: u32,
    /// `cpb_size_du_value_minus1`, 0 without sub-picture parameters.
    pub cpb_size_du_value_minus1: u32,
    /// `bit_rate_du_value_minus1`, 0 without sub-picture parameters.
    pub bit_rate_du_value_minus1: u32,
    /// `cbr_flag`.
    pub cbr_flag: bool,
}

/// HRD parameters of one sub-layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SubLayerHrd {
    /// `fixed_pic_rate_general_flag`.
    pub fixed_pic_rate_general_flag: bool,
    /// `fixed_pic_rate_within_cvs_flag`, inferred where absent.
    pub fixed_pic_rate_within_cvs_flag: bool,
    /// `elemental_duration_in_tc_minus1`.
    pub elemental_duration_in_tc_minus1: Option<u32>,
    /// `low_delay_hrd_flag`.
    pub low_delay_hrd_flag: bool,
    /// NAL HRD, one entry per CPB; empty when absent.
    pub nal: Vec<CpbParameters>,
    /// VCL HRD, one entry per CPB; empty when absent.
    pub vcl: Vec<CpbParameters>,
}

/// `sub_pic_hrd_params_present_flag` and what depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SubPicHrd {
    /// `tick_divisor_minus2`.
    pub tick_divisor_minus2: u8,
    /// `du_cpb_removal_delay_increment_length_minus1`.
    pub du_cpb_removal_delay_increment_length_minus1: u8,
    /// `sub_pic_cpb_params_in_pic_timing_sei_flag`.
    pub sub_pic_cpb_params_in_pic_timing_sei_flag: bool,
    /// `dpb_output_delay_du_length_minus1`.
    pub dpb_output_delay_du_length_minus1: u8,
    /// `cpb_size_du_scale`.
    pub cpb_size_du_scale: u8,
}

/// The part of `hrd_parameters()` that depends on `commonInfPresentFlag`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CommonHrd {
    /// `nal_hrd_parameters_present_flag`.
    pub nal_hrd_parameters_present_flag: bool,
    /// `vcl_hrd_parameters_present_flag`.
    pub vcl_hrd_parameters_present_flag: bool,
    /// Sub-picture parameters.
    pub sub_pic: Option<SubPicHrd>,
    /// `bit_rate_scale`.
    pub bit_rate_scale: u8,
    /// `cpb_size_scale`.
    pub cpb_size_scale: u8,
    /// `initial_cpb_removal_delay_length_minus1`.
    pub initial_cpb_removal_delay_length_minus1: u8,
    /// `au_cpb_removal_delay_length_minus1`.
    pub au_cpb_removal_delay_length_minus1: u8,
    /// `dpb_output_delay_length_minus1`.
    pub dpb_output_delay_length_minus1: u8,
}

/// `hrd_parameters()`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HrdParameters {
    /// The common part; in a VPS it may be inherited from the `hrd_parameters()` before.
    pub common: CommonHrd,
    /// One entry per sub-layer.
    pub sub_layers: Vec<SubLayerHrd>,
}

fn parse_cpbs(r: &mut BitReader<'_>, count: u32, sub_pic: bool) -> Result<Vec<CpbParameters>, Error> {
    (0..count)
        .map(|_| {
            let mut cpb = CpbParameters {
                bit_rate_value_minus1: r.ue("bit_rate_value_minus1")?,
                cpb_size_value_minus1: r.ue("cpb_size_value_minus1")?,
                ..CpbParameters::default()
            };
            if sub_pic {
                cpb.cpb_size_du_value_minus1 = r.ue("cpb_size_du_value_minus1")?;
                cpb.bit_rate_du_value_minus1 = r.ue("bit_rate_du_value_minus1")?;
            }
            cpb.cbr_flag = r.flag("cbr_flag")?;
            Ok(cpb)
        })
        .collect()
}

impl CommonHrd {
    fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let mut common = Self {
            nal_hrd_parameters_present_flag: r.flag("nal_hrd_parameters_present_flag")?,
            vcl_hrd_parameters_present_flag: r.flag("vcl_hrd_parameters_present_flag")?,
            ..Self::default()
        };
        if !common.nal_hrd_parameters_present_flag && !common.vcl_hrd_parameters_present_flag {
            return Ok(common);
        }
        if r.flag("sub_pic_hrd_params_present_flag")? {
            common.sub_pic = Some(SubPicHrd {
                tick_divisor_minus2: r.u8(8, "tick_divisor_minus2")?,
                du_cpb_removal_delay_increment_length_minus1: r
                    .u8(5, "du_cpb_removal_delay_increment_length_minus1")?,
                sub_pic_cpb_params_in_pic_timing_sei_flag: r
                    .flag("sub_pic_cpb_params_in_pic_timing_sei_flag")?,
                dpb_output_delay_du_length_minus1: r.u8(5, "dpb_output_delay_du_length_minus1")?,
                cpb_size_du_scale: 0,
            });
        }
        common.bit_rate_scale = r.u8(4, "bit_rate_scale")?;
        common.cpb_size_scale = r.u8(4, "cpb_size_scale")?;
        if let Some(sub_pic) = &mut common.sub_pic {
            sub_pic.cpb_size_du_scale = r.u8(4, "cpb_size_du_scale")?;
        }
        common.initial_cpb_removal_delay_length_minus1 =
            r.u8(5, "initial_cpb_removal_delay_length_minus1")?;
        common.au_cpb_removal_delay_length_minus1 = r.u8(5, "au_cpb_removal_delay_length_minus1")?;
        common.dpb_output_delay_length_minus1 = r.u8(5, "dpb_output_delay_length_minus1")?;
        Ok(common)
    }
}

impl HrdParameters {
    /// Reads `hrd_parameters(common_inf_present_flag, max_sub_layers_minus1)`; without the common part the one of
    /// `previous` is used.
    pub(crate) fn parse(
        r: &mut BitReader<'_>,
        common_inf_present_flag: bool,
        max_sub_layers_minus1: u8,
        previous: Option<&HrdParameters>,
    ) -> Result<Self, Error> {
        let common = if common_inf_present_flag {
            CommonHrd::parse(r)?
        } else {
            previous.map(|hrd| hrd.common).unwrap_or_default()
        };
        let mut sub_layers = Vec::with_capacity(usize::from(max_sub_layers_minus1) + 1);
        for _ in 0..=max_sub_layers_minus1 {
            let mut sub_layer = SubLayerHrd {
                fixed_pic_rate_general_flag: r.flag("fixed_pic_rate_general_flag")?,
                ..SubLayerHrd::default()
            };
            sub_layer.fixed_pic_rate_within_cvs_flag =
                sub_layer.fixed_pic_rate_general_flag || r.flag("fixed_pic_rate_within_cvs_flag")?;
            if sub_layer.fixed_pic_rate_within_cvs_flag {
                sub_layer.elemental_duration_in_tc_minus1 = Some(r.ue("elemental_duration_in_tc_minus1")?);
            } else {
                sub_layer.low_delay_hrd_flag = r.flag("low_delay_hrd_flag")?;
            }
            let cpb_cnt = if sub_layer.low_delay_hrd_flag { 1 } else { r.ue_max(31, "cpb_cnt_minus1")? + 1 };
            let sub_pic = common.sub_pic.is_some();
            if common.nal_hrd_parameters_present_flag {
                sub_layer.nal = parse_cpbs(r, cpb_cnt, sub_pic)?;
            }
            if common.vcl_hrd_parameters_present_flag {
                sub_layer.vcl = parse_cpbs(r, cpb_cnt, sub_pic)?;
            }
            sub_layers.push(sub_layer);
        }
        Ok(Self { common, sub_layers })
    }
}
