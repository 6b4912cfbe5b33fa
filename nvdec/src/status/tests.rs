use super::*;
use hcq::Placement;

use crate::testing::Machine;

/// Reads a struct of the given words, behind it bytes that are not part of it.
fn verdict(words: [u32; 14], expected: u32) -> (DecodeStatus, Result<(), PictureFault>) {
    let mut bytes = [0xee; LINE];
    bytes[..56].copy_from_slice(words.map(u32::to_le_bytes).as_flattened());
    read(&bytes, expected)
}

/// A good status of 100 blocks, with words changed.
fn with(changes: &[(usize, u32)]) -> [u32; 14] {
    let mut words = [0; 14];
    (words[0], words[2]) = (100, 5000);
    for &(offset, value) in changes {
        words[offset / 4] = value;
    }
    words
}

#[test]
fn a_good_picture() {
    let (status, verdict) = verdict(with(&[(0x10, 11), (0x14, 22), (0x18, 33)]), 100);
    assert_eq!(verdict, Ok(()));
    let expected = DecodeStatus { mbs_correctly_decoded: 100, cycle_count: 5000, ..DecodeStatus::default() };
    assert_eq!(status, expected);
}

#[test]
fn every_fault_is_told_from_the_others() {
    let none = (0, 0);
    let fault = |changes: &[(usize, u32)]| verdict(with(changes), 100).1.unwrap_err();
    assert_eq!(verdict([0; 14], 100).1, Err(PictureFault::NoStatus));
    // error_ctb_pos: column in the upper half, row in the lower.
    assert_eq!(
        fault(&[(0x34, 0x21), (0x2c, 7 << 16 | 3)]),
        PictureFault::SliceHeader { code: 0x21, ctb: (7, 3) }
    );
    assert_eq!(
        fault(&[(0x0c, 0x400), (0x04, 6), (0x2c, 1 << 16 | 2)]),
        PictureFault::SliceData { error_status: 0x400, mbs_in_error: 6, ctb: (1, 2) }
    );
    assert_eq!(fault(&[(0x04, 1)]), PictureFault::SliceData { error_status: 0, mbs_in_error: 1, ctb: none });
    assert_eq!(fault(&[(0x0c, 9)]), PictureFault::SliceData { error_status: 9, mbs_in_error: 0, ctb: none });
    assert_eq!(fault(&[(0x00, 99)]), PictureFault::Incomplete { decoded: 99, expected: 100 });
    // A header that was refused is the cause of all else.
    let all = fault(&[(0x34, 1), (0x0c, 2), (0x04, 3), (0x00, 4)]);
    assert_eq!(all, PictureFault::SliceHeader { code: 1, ctb: none });
    assert_eq!(verdict(with(&[(0x00, 101)]), 100).1, Ok(()), "more blocks than expected are no fault");
}

#[test]
fn an_engine_that_wrote_only_its_time_skipped_the_picture() {
    let mut words = [0; 14];
    words[2] = 40;
    assert_eq!(verdict(words, 100).1, Err(PictureFault::Incomplete { decoded: 0, expected: 100 }));
}

#[test]
fn clearing_makes_no_status_of_an_old_one() {
    let machine = Machine::h200();
    let buffer = machine.context.device().allocate(STATUS_BYTES, Placement::Vidmem).unwrap();
    let view = buffer.view().unwrap();
    view.fill(0, STATUS_BYTES as usize, 0xff);
    clear(view);
    let mut line = [[0; LINE]];
    hcq::load_lines([view], &mut line);
    assert_eq!(read(&line[0], 1).1, Err(PictureFault::NoStatus));
    assert_eq!(line, [[0; LINE]], "the struct is shorter than a line");
}

#[test]
fn messages_name_cause_and_place() {
    let text = |fault: PictureFault| fault.to_string();
    let header = text(PictureFault::SliceHeader { code: 0x2a, ctb: (3, 4) });
    assert!(header.contains("0x2a") && header.contains("(3, 4)"), "{header}");
    let data = text(PictureFault::SliceData { error_status: 0x77, mbs_in_error: 12, ctb: (5, 6) });
    assert!(data.contains("0x77") && data.contains("12 blocks") && data.contains("(5, 6)"), "{data}");
    let incomplete = text(PictureFault::Incomplete { decoded: 7, expected: 8 });
    assert!(incomplete.contains("7 of 8"), "{incomplete}");
}
