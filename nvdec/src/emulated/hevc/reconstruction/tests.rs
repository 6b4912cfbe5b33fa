use super::*;

fn setup() -> Setup {
    let mut bytes = [0; Setup::BYTES];
    for (field, value) in [
        (pic::pic_width_in_luma_samples, 128),
        (pic::pic_height_in_luma_samples, 64),
        (pic::chroma_format_idc, 1),
        (pic::bit_depth_luma, 8),
        (pic::bit_depth_chroma, 8),
        (pic::log2_min_luma_coding_block_size, 3),
        (pic::log2_max_luma_coding_block_size, 6),
        (pic::log2_min_transform_block_size, 2),
        (pic::log2_max_transform_block_size, 5),
        (pic::init_qp, 30),
        (pic::log2_parallel_merge_level, 2),
    ] {
        field.write(&mut bytes, 0, value).unwrap();
    }
    Setup::new(bytes)
}

/// A P slice whose list has no entry: the library indexes it all the same.
#[test]
fn a_panic_of_the_library_is_an_error_of_the_segment() {
    let header = SliceHeader {
        dependent: false,
        address: 0,
        slice_address: 0,
        slice_type: SliceType::P,
        temporal_mvp: false,
        sao: [false; 2],
        num_ref_idx: [1, 0],
        list_entries: [Vec::new(), Vec::new()],
        mvd_l1_zero: false,
        cabac_init: false,
        collocated_from_l0: true,
        collocated_ref_idx: 0,
        weights: None,
        max_num_merge_cand: 5,
        slice_qp_delta: 0,
        cb_qp_offset: 0,
        cr_qp_offset: 0,
        deblocking_disabled: false,
        beta_offset_div2: 0,
        tc_offset_div2: 0,
        loop_filter_across: true,
        data: 0,
    };
    let (setup, tiles) = (setup(), TileSizes { columns: vec![2], rows: vec![1] });
    let mut reconstructor = Reconstructor::default();
    let mut panics = 0;
    for byte in 0..=255 {
        reconstructor.begin(&setup, &tiles, None, Samples::new(128, 64, 8)).unwrap();
        let payload = Payload::new(&[byte; 64]);
        let result = reconstructor.segment(&header, &payload, &[Vec::new(), Vec::new()]);
        panics += u32::from(result == Err(SegmentError::Panic));
        reconstructor.filter().unwrap();
        reconstructor.conceal(None);
        let (samples, motion, _) = reconstructor.finish();
        assert_eq!((samples.planes()[1].len(), motion.len()), (64 * 32, 8 * 4));
    }
    assert!(panics > 0);
}

/// Planes without room behind them are read past their end: `tools/memcheck.sh` shows where.
#[test]
fn planes_keep_room_behind_them() {
    let room = |samples: &Samples| samples.0.planes.each_ref().map(|p| p.data.len() - p.stride * p.height);
    let (setup, tiles) = (setup(), TileSizes { columns: vec![2], rows: vec![1] });
    let fresh = Samples::new(128, 64, 8);
    assert_eq!(room(&fresh), [ROOM; 3]);
    let mut shared = fresh.clone();
    shared.set_motion(0, &[BlockMotion::default(); 32]);
    assert_eq!(room(&shared), [ROOM; 3], "a copy with motion");
    let mut reconstructor = Reconstructor::default();
    reconstructor.begin(&setup, &tiles, None, fresh.clone()).unwrap();
    reconstructor.conceal(Some(&fresh));
    let (decoded, _, _) = reconstructor.finish();
    assert_eq!(room(&decoded), [ROOM; 3], "a decoded picture");
    assert_eq!(decoded.planes().map(<[u16]>::len), [128 * 64, 64 * 32, 64 * 32]);
}

#[test]
fn order_counts_stay_apart() {
    assert_eq!(order_counts(&[(0, 3), (4, -2)]), [(0, -3), (4, 2)]);
    let far = order_counts(&[(0, 127), (1, 127), (2, -128), (3, 127), (5, -128)]);
    assert_eq!(far, [(0, -127), (1, -128), (2, 128), (3, -129), (5, 129)]);
}
