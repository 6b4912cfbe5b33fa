use std::collections::BTreeSet;

use bitstream::split_annex_b;
use nvkernel_sys::video;

use crate::testing::{Machine, stream};
use crate::{Codec, DecodeStatus, Decoder, DecoderOptions, Error, Frame, PictureFault, Units};

/// Decodes a stream and returns the frames' statuses.
fn run(decoder: &mut Decoder, stream: &[u8]) -> Vec<(u64, Result<DecodeStatus, Error>)> {
    let mut statuses = Vec::new();
    let mut take = |frame: Frame| statuses.push((frame.number(), frame.status()));
    for frame in decoder.frames(Units::new(stream)) {
        take(frame.unwrap());
    }
    decoder.finish().unwrap();
    statuses
}

#[test]
fn errors_belong_to_their_pictures() {
    let machine = Machine::h200();
    let mut good = [0; 14];
    (good[0], good[2]) = (13 * 8, 100);
    let faulty = |changes: &[(usize, u32)]| {
        let mut status = good;
        for &(at, value) in changes {
            status[at] = value;
        }
        status
    };
    let answers = [
        good,
        faulty(&[(13, 5), (11, 2 << 16 | 1)]),
        good,
        faulty(&[(1, 3), (3, 0x88)]),
        [0; 14],
        faulty(&[(0, 50)]),
    ];
    answers.iter().for_each(|&answer| machine.recorder.answer(answer));
    let mut decoder = Decoder::new(&machine.context, Codec::Hevc, DecoderOptions::default()).unwrap();
    let statuses = run(&mut decoder, stream("h_ra_cra"));
    let faults = [
        (1, PictureFault::SliceHeader { code: 5, ctb: (2, 1) }),
        (3, PictureFault::SliceData { error_status: 0x88, mbs_in_error: 3, ctb: (0, 0) }),
        (4, PictureFault::NoStatus),
        (5, PictureFault::Incomplete { decoded: 50, expected: 104 }),
    ];
    let is = |error: &Error, expected: (u64, PictureFault)| matches!(error, Error::Picture { number, fault, .. } if (*number, *fault) == expected);
    for expected in faults {
        let error = decoder.take_error().expect("an error for each");
        assert!(is(&error, expected) && error.is_picture_error(), "{error}");
    }
    assert!(decoder.take_error().is_none());
    assert_eq!(statuses.len(), 33);
    for (number, status) in statuses {
        match (status, faults.iter().find(|f| f.0 == number)) {
            (Ok(status), None) => assert_eq!(status.mbs_correctly_decoded, 104),
            (Err(error), Some(&expected)) => assert!(is(&error, expected), "{error}"),
            (status, expected) => panic!("picture {number}: {status:?}, expected {expected:?}"),
        }
    }
    let statistics = decoder.statistics();
    assert_eq!((statistics.pictures, statistics.tally.damaged), (33, 4));
    let executions = machine.recorder.executions();
    let bytes: u64 = executions.iter().map(|e| u64::from(e.word(0x30))).sum();
    assert_eq!(statistics.bitstream_bytes, bytes);
    // 16 clock cycles a unit: 5 pictures of 100, one without, the rest of 1000.
    assert_eq!(statistics.engine_cycles, 16 * (5 * 100 + 27 * 1000));
}

#[test]
fn the_engine_finds_status_zero_and_slices_with_start_codes() {
    let machine = Machine::h200();
    // More pictures than there is status memory.
    let name = "h_ra_cra";
    let stream = stream(name).repeat(20);
    let executions = machine.decode(&stream);
    assert_eq!(executions.len(), 660);
    let mut addresses = BTreeSet::new();
    for (i, execution) in executions.iter().enumerate() {
        assert_eq!(execution.status, [0; 56], "picture {i}: the engine skips pictures with an old status");
        let length = execution.word(0x30) as usize;
        let (slices, slack) = execution.bitstream.split_at(length);
        assert!(slices.starts_with(&[0, 0, 0, 1]) && slack.iter().all(|&b| b == 0), "picture {i}");
        for nal in split_annex_b(slices) {
            assert!(nal[0] >> 1 < 32, "only slice segments");
        }
        assert_eq!(execution.address(video::SET_IN_BUF_BASE_OFFSET).unwrap() % 256, 0);
        addresses.insert(execution.address(video::SET_NVDEC_STATUS_OFFSET).unwrap());
    }
    assert!(addresses.len() <= 384, "status memory is used again");
}

#[test]
fn every_slice_reaches_the_engine() {
    for name in ["h_tiles_slices", "h_depslice_wpp", "s_sc3_like", "x_radl"] {
        // Three-byte start codes and zero bytes make no difference to what is uploaded.
        let data = match name {
            "s_sc3_like" => {
                split_annex_b(stream("h_dbk_slice")).flat_map(|n| [&[0, 0, 1], n].concat()).collect()
            }
            name => stream(name).to_vec(),
        };
        let uploaded: Vec<u8> = {
            let executions = Machine::h200().decode(&data);
            let parts = executions.iter().map(|e| &e.bitstream[..e.word(0x30) as usize]);
            parts.flat_map(<[u8]>::to_vec).collect()
        };
        let slices: Vec<u8> = split_annex_b(&data)
            .filter(|nal| nal[0] >> 1 < 32)
            .flat_map(|nal| [&[0, 0, 0, 1], nal].concat())
            .collect();
        assert!(uploaded == slices, "{name}: {} bytes uploaded of {}", uploaded.len(), slices.len());
    }
}

/// Nobody frees status memory while all of it is in flight: the session waits for the engine.
#[test]
fn more_pictures_than_status_memory() {
    let machine = Machine::h200();
    let engine = machine.context.engines()[2];
    let options = DecoderOptions { held_frames: Some(100), ..DecoderOptions::on(engine) };
    let mut decoder = Decoder::new(&machine.context, Codec::Hevc, options).unwrap();
    machine.kernel.faults().slow_down(0, engine, std::time::Duration::from_micros(200));
    let frames = run(&mut decoder, &stream("h_ra_cra").repeat(8));
    assert_eq!(frames.len(), 264);
    assert!(frames.iter().all(|(_, status)| status.is_ok()));
    assert_eq!(decoder.statistics().pictures, 264);
}
