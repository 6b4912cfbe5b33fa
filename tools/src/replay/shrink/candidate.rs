//! Parts of a capture that are captures themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;

use bitstream::split_annex_b;
use hevc::{Parser, Unit};
use nvdec::hevc::audit::{BITSTREAM_SLACK, PLACES};
use nvkernel_sys::video::{self, hevc_pic};

use crate::exit::Failure;
use crate::replay::capture::{Capture, CaptureWriter, Picture, Pointee, Wait};

/// Start code in front of a slice segment.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What of a capture is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Pictures, in order.
    pub pictures: Vec<usize>,
    /// Slice segments that are left out, by picture.
    pub dropped: BTreeMap<usize, BTreeSet<usize>>,
}

/// Which pictures a picture needs: those that wrote what it reads.
#[derive(Clone, Debug)]
pub struct References {
    needs: Vec<Vec<usize>>,
}

impl References {
    /// Of every picture of a capture.
    ///
    /// # Errors
    ///
    /// Of reading the capture.
    pub fn of(capture: &Capture) -> Result<References, Failure> {
        let mut surfaces: HashMap<u32, usize> = HashMap::new();
        let mut slots: HashMap<(u32, u64), usize> = HashMap::new();
        let mut needs = Vec::new();
        for (index, picture) in capture.pictures().iter().enumerate() {
            let read = picture.places.iter().filter(|(_, surface)| *surface != picture.target);
            let mut of: Vec<usize> = read.filter_map(|(_, surface)| surfaces.get(surface).copied()).collect();
            let memory = match picture.pointee(video::SET_COLOC_DATA_OFFSET) {
                Some(&Pointee::Memory { id, offset, .. }) => (id, offset),
                _ => (0, 0),
            };
            if let Some(descriptor) = capture.data(picture, video::SET_DRV_PIC_SETUP_OFFSET)? {
                let field = |field: nvkernel_sys::bits::Field, i| field.read(&descriptor, i).unwrap_or(0);
                let size = field(hevc_pic::colMvBuffersize, 0) as u64 * 256;
                for copy in &picture.motion {
                    of.extend(copy.from.and_then(|from| slots.get(&(memory.0, from))));
                    slots.insert((memory.0, copy.to), index);
                }
                let slot = |place: i64| (memory.0, memory.1.saturating_add(place as u64 * size));
                if field(hevc_pic::num_ref_frames, 0) > 0 {
                    for list in [hevc_pic::initreflistidxl0, hevc_pic::initreflistidxl1] {
                        let listed = (0..PLACES).map(|i| field(list, i));
                        let read = listed.filter(|&place| match &picture.collocated {
                            Some(places) => places.iter().any(|&known| i64::from(known) == place),
                            None => true,
                        });
                        of.extend(read.filter_map(|place| slots.get(&slot(place))));
                    }
                }
                slots.insert(slot(field(hevc_pic::curr_pic_idx, 0)), index);
            }
            surfaces.insert(picture.target, index);
            // Its own are the motion vectors that were moved for it.
            of.retain(|other| *other != index);
            of.sort_unstable();
            of.dedup();
            needs.push(of);
        }
        Ok(References { needs })
    }

    /// Pictures with all that they need, directly or not, in order.
    pub fn closure(&self, pictures: &[usize]) -> Vec<usize> {
        let mut found: BTreeSet<usize> = pictures.iter().copied().collect();
        // What a picture needs comes before it.
        for index in (0..self.needs.len()).rev() {
            if found.contains(&index) {
                found.extend(&self.needs[index]);
            }
        }
        found.into_iter().collect()
    }

    /// What is left of `kept` without `pictures` and all that need them.
    pub fn without(&self, kept: &[usize], pictures: &[usize]) -> Vec<usize> {
        let mut gone: BTreeSet<usize> = pictures.iter().copied().collect();
        let mut left = Vec::new();
        for &index in kept {
            if gone.contains(&index) || self.needs[index].iter().any(|need| gone.contains(need)) {
                gone.insert(index);
            } else {
                left.push(index);
            }
        }
        left
    }
}

/// The slice segments of a picture, start codes not counted.
pub(super) fn segments(capture: &Capture, index: usize) -> Result<Vec<Vec<u8>>, Failure> {
    let picture = &capture.pictures()[index];
    let data = capture.data(picture, video::SET_IN_BUF_BASE_OFFSET)?.unwrap_or_default();
    let length = data.len().saturating_sub(BITSTREAM_SLACK);
    Ok(split_annex_b(&data[..length]).map(<[u8]>::to_vec).collect())
}

/// Writes a part of a capture as a capture. Pictures that lose slice segments, and those that need them, lose
/// what is expected of them.
///
/// # Errors
///
/// Of reading the capture, and of the writer.
pub fn write<W: Write>(
    capture: &Capture,
    references: &References,
    selection: &Selection,
    out: W,
) -> Result<W, Failure> {
    let failed = |source| Failure::Output { path: "the candidate".to_owned(), source };
    let mut writer = CaptureWriter::new(out, capture.head()).map_err(failed)?;
    let sets = parameter_sets(capture, &selection.pictures)?;
    let mut positions: HashMap<u32, u32> = HashMap::new();
    let mut changed: BTreeSet<usize> = BTreeSet::new();
    let mut next_set = 0;
    for &index in &selection.pictures {
        let mut picture = capture.pictures()[index].clone();
        let wanted = sets.partition_point(|number| *number < picture.nal_units);
        for number in &sets[next_set.min(wanted)..wanted] {
            writer.nal_unit(&capture.nal_unit(*number)?).map_err(failed)?;
        }
        next_set = next_set.max(wanted);
        picture.nal_units = wanted as u32;
        let dropped = selection.dropped.get(&index);
        if dropped.is_some() || references.needs[index].iter().any(|need| changed.contains(need)) {
            changed.insert(index);
            picture.expect_nothing();
        }
        copy_data(capture, index, &mut picture, dropped, &mut writer)?;
        picture.waits = std::mem::take(&mut picture.waits)
            .into_iter()
            .filter_map(|wait| match wait {
                Wait::Picture(other) => positions.get(&other).map(|position| Wait::Picture(*position)),
                other => Some(other),
            })
            .collect();
        positions.insert(index as u32, writer.pictures());
        writer.picture(&picture).map_err(failed)?;
    }
    let ended_by = capture.done().ended_by.clone();
    writer.finish(ended_by).map_err(failed)
}

/// Blobs of a picture, with fewer slice segments where some are dropped.
fn copy_data<W: Write>(
    capture: &Capture,
    index: usize,
    picture: &mut Picture,
    dropped: Option<&BTreeSet<usize>>,
    writer: &mut CaptureWriter<W>,
) -> Result<(), Failure> {
    let failed = |source| Failure::Output { path: "the candidate".to_owned(), source };
    let original = &capture.pictures()[index];
    let stream = match dropped {
        None => None,
        Some(dropped) => {
            let kept =
                segments(capture, index)?.into_iter().enumerate().filter(|(i, _)| !dropped.contains(i));
            let mut stream: Vec<u8> =
                kept.flat_map(|(_, segment)| START_CODE.into_iter().chain(segment)).collect();
            let length = stream.len();
            stream.resize(length + BITSTREAM_SLACK, 0);
            Some((stream, length))
        }
    };
    for record in &mut picture.methods {
        let Some(mut data) = capture.data(original, record.method)? else { continue };
        if let Some((stream, length)) = &stream {
            match record.method {
                video::SET_IN_BUF_BASE_OFFSET => data.clone_from(stream),
                video::SET_DRV_PIC_SETUP_OFFSET => {
                    // A descriptor too short for it is refused wherever it is looked at.
                    let _ = hevc_pic::stream_len.write(&mut data, 0, *length as i64);
                }
                _ => {}
            }
        }
        record.to = writer.data(&data).map_err(failed)?;
    }
    if let Some(hashes) = &mut picture.hashes {
        hashes.blocks = writer.blob(&capture.blob(hashes.blocks)?).map_err(failed)?;
    }
    Ok(())
}

/// Numbers of the NAL units that are in force for some of `pictures`: of parameter sets with one identifier
/// the last before a picture, and ends of sequences between pictures that are kept.
fn parameter_sets(capture: &Capture, pictures: &[usize]) -> Result<Vec<u32>, Failure> {
    let mut parser = Parser::new();
    let mut in_force: HashMap<(u8, u8), u32> = HashMap::new();
    let mut wanted: BTreeSet<u32> = BTreeSet::new();
    let mut ends: Vec<u32> = Vec::new();
    let mut next = 0;
    for &index in pictures {
        while next < capture.pictures()[index].nal_units {
            let nal = capture.nal_unit(next)?;
            let key = match parser.parse(&nal) {
                Ok(Unit::Vps(vps)) => Some((0, vps.vps_video_parameter_set_id)),
                Ok(Unit::Sps(sps)) => Some((1, sps.sps_seq_parameter_set_id)),
                Ok(Unit::Pps(pps)) => Some((2, pps.pps_pic_parameter_set_id)),
                _ => None,
            };
            match key {
                Some(key) => {
                    in_force.insert(key, next);
                }
                None => ends.push(next),
            }
            next += 1;
        }
        wanted.extend(in_force.values());
        wanted.extend(ends.drain(..));
    }
    Ok(wanted.into_iter().collect())
}
