//! Messages about colour and light: for which display and surroundings a stream was made.

use super::Flagged;
use crate::BitReader;
use crate::error::Error;

/// A point of the CIE 1931 chromaticity diagram, x and y, in units of 0.00002.
pub type Chromaticity = (u16, u16);

/// `mastering_display_colour_volume()` (D.2.28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MasteringDisplay {
    /// `display_primaries_x` and `display_primaries_y`, of green, blue and red as D.3.28 suggests.
    pub display_primaries: [Chromaticity; 3],
    /// `white_point_x` and `white_point_y`.
    pub white_point: Chromaticity,
    /// `max_display_mastering_luminance`, in units of 0.0001 cd/m2.
    pub max_luminance: u32,
    /// `min_display_mastering_luminance`, in units of 0.0001 cd/m2.
    pub min_luminance: u32,
}

impl MasteringDisplay {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let mut primary = || point(r, "display_primaries_x", "display_primaries_y");
        Ok(Self {
            display_primaries: [primary()?, primary()?, primary()?],
            white_point: point(r, "white_point_x", "white_point_y")?,
            max_luminance: r.u(32, "max_display_mastering_luminance")?,
            min_luminance: r.u(32, "min_display_mastering_luminance")?,
        })
    }
}

/// `content_light_level_info()` (D.2.35).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ContentLightLevel {
    /// `max_content_light_level`, in cd/m2; 0 if unknown.
    pub max_content_light_level: u16,
    /// `max_pic_average_light_level`, in cd/m2; 0 if unknown.
    pub max_pic_average_light_level: u16,
}

impl ContentLightLevel {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        Ok(Self {
            max_content_light_level: r.u(16, "max_content_light_level")? as u16,
            max_pic_average_light_level: r.u(16, "max_pic_average_light_level")? as u16,
        })
    }
}

/// `alternative_transfer_characteristics()` (D.2.38).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AlternativeTransfer {
    /// `preferred_transfer_characteristics`: a code point as those of the VUI (Table E.4).
    pub preferred_transfer_characteristics: u8,
}

impl AlternativeTransfer {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let preferred_transfer_characteristics = r.u8(8, "preferred_transfer_characteristics")?;
        Ok(Self { preferred_transfer_characteristics })
    }
}

/// `ambient_viewing_environment()` (D.2.39).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AmbientViewing {
    /// `ambient_illuminance`, in units of 0.0001 lux; not 0.
    pub ambient_illuminance: u32,
    /// `ambient_light_x` and `ambient_light_y`; 50,000 at most.
    pub ambient_light: Chromaticity,
}

impl AmbientViewing {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Self, Error> {
        let ambient_illuminance = r.u(32, "ambient_illuminance")?;
        r.check("ambient_illuminance", i64::from(ambient_illuminance), 1, i64::from(u32::MAX))?;
        let ambient_light = point(r, "ambient_light_x", "ambient_light_y")?;
        r.check("ambient_light_x", i64::from(ambient_light.0), 0, 50_000)?;
        r.check("ambient_light_y", i64::from(ambient_light.1), 0, 50_000)?;
        Ok(Self { ambient_illuminance, ambient_light })
    }
}

/// `content_colour_volume()` (D.2.40).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ContentColourVolume {
    /// `ccv_primaries_x` and `ccv_primaries_y`, of green, blue and red as D.3.40 suggests, in units of 0.00002; -5,000,000 to
    /// 5,000,000.
    pub primaries: Option<[(i32, i32); 3]>,
    /// `ccv_min_luminance_value`, in units of 0.0000001 cd/m2.
    pub min_luminance: Option<u32>,
    /// `ccv_max_luminance_value`, in units of 0.0000001 cd/m2.
    pub max_luminance: Option<u32>,
    /// `ccv_avg_luminance_value`, in units of 0.0000001 cd/m2.
    pub avg_luminance: Option<u32>,
}

impl ContentColourVolume {
    pub(super) fn parse(r: &mut BitReader<'_>) -> Result<Flagged<Self>, Error> {
        if r.flag("ccv_cancel_flag")? {
            return Ok(Flagged::Cancelled);
        }
        let persistence_flag = r.flag("ccv_persistence_flag")?;
        let has_primaries = r.flag("ccv_primaries_present_flag")?;
        let has_min = r.flag("ccv_min_luminance_value_present_flag")?;
        let has_max = r.flag("ccv_max_luminance_value_present_flag")?;
        let has_avg = r.flag("ccv_avg_luminance_value_present_flag")?;
        r.u(2, "ccv_reserved_zero_2bits")?;
        let mut coordinate = |element| -> Result<i32, Error> {
            let value = r.i(32, element)?;
            r.check(element, i64::from(value), -5_000_000, 5_000_000)?;
            Ok(value)
        };
        let mut primary = || -> Result<(i32, i32), Error> {
            Ok((coordinate("ccv_primaries_x")?, coordinate("ccv_primaries_y")?))
        };
        let primaries = if has_primaries { Some([primary()?, primary()?, primary()?]) } else { None };
        let mut luminance = |present: bool, element| present.then(|| r.u(32, element)).transpose();
        let value = Self {
            primaries,
            min_luminance: luminance(has_min, "ccv_min_luminance_value")?,
            max_luminance: luminance(has_max, "ccv_max_luminance_value")?,
            avg_luminance: luminance(has_avg, "ccv_avg_luminance_value")?,
        };
        Ok(Flagged::new(value, persistence_flag))
    }
}

fn point(r: &mut BitReader<'_>, x: &'static str, y: &'static str) -> Result<Chromaticity, Error> {
    Ok((r.u(16, x)? as u16, r.u(16, y)? as u16))
}
