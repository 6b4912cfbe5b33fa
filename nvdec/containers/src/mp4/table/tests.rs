use proptest::prelude::*;

use super::*;
use crate::mp4::boxes::Kind;

/// All tables written out, with an index for each sample.
fn naive(tables: &Tables) -> Vec<Sample> {
    let repeat = |runs: &[(u32, i64)]| -> Vec<i64> {
        runs.iter().flat_map(|&(count, value)| std::iter::repeat_n(value, count as usize)).collect()
    };
    let deltas =
        repeat(&tables.times.iter().map(|e| (e.sample_count, e.sample_delta.into())).collect::<Vec<_>>());
    let compositions =
        repeat(&tables.compositions.iter().map(|e| (e.sample_count, e.sample_offset)).collect::<Vec<_>>());
    let mut places = Vec::new();
    for (chunk, &offset) in tables.chunk_offsets.iter().enumerate() {
        let run = tables.chunks.iter().rfind(|run| run.first_chunk as usize <= chunk + 1);
        let Some(run) = run else { break };
        places.extend((0..run.samples_per_chunk).map(|i| (offset, i, run.sample_description_index)));
    }
    let count = (tables.sizes.count() as usize).min(places.len());
    let last = deltas.last().copied().unwrap_or(0);
    let delta = |i: usize| deltas.get(i).copied().unwrap_or(last);
    (0..count)
        .map(|i| {
            let (offset, in_chunk, entry) = places[i];
            let before =
                (i - in_chunk as usize..i).map(|j| u64::from(tables.sizes.get(j as u32))).sum::<u64>();
            Sample {
                offset: offset + before,
                size: tables.sizes.get(i as u32),
                dts: (0..i).map(delta).sum(),
                delta: delta(i) as u32,
                composition: compositions.get(i).copied().unwrap_or(0),
                sync: tables.sync.as_ref().is_none_or(|sync| sync.contains(&(i as u32 + 1))),
                entry,
            }
        })
        .collect()
}

fn sizes() -> impl Strategy<Value = Sizes> {
    prop_oneof![
        (0..60u32, 0..500u32).prop_map(|(count, size)| Sizes::Same { count, size }),
        prop::collection::vec(0..500u32, 0..60).prop_map(Sizes::Each),
    ]
}

prop_compose! {
    fn tables()(
        sizes in sizes(),
        times in prop::collection::vec((0..20u32, 0..2000u32), 0..6),
        compositions in prop::collection::vec((0..20u32, -3000..3000i64), 0..6),
        chunks in prop::collection::vec((1..5u32, 0..8u32, 1..3u32), 0..5),
        chunk_offsets in prop::collection::vec(0..1u64 << 40, 0..20),
        sync in prop::option::of(prop::collection::btree_set(0..70u32, 0..10)),
    ) -> Tables {
        let mut first_chunk = 1;
        let mut next = |step: u32| {
            first_chunk += step;
            first_chunk - step
        };
        let entry = |(step, samples_per_chunk, sample_description_index)| StscEntry {
            first_chunk: next(step), samples_per_chunk, sample_description_index,
        };
        Tables {
            sizes,
            times: times.into_iter().map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta }).collect(),
            compositions: compositions.into_iter()
                .map(|(sample_count, sample_offset)| CttsEntry { sample_count, sample_offset }).collect(),
            chunks: chunks.into_iter().map(entry).collect(),
            chunk_offsets,
            sync: sync.map(|sync| sync.into_iter().collect()),
        }
    }
}

proptest! {
    #[test]
    fn expands_as_the_naive_way_does(tables in tables()) {
        prop_assert_eq!(tables.samples().collect::<Vec<_>>(), naive(&tables));
    }
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

fn parse(stbl: &[u8], available: u64) -> Result<Tables> {
    Tables::new(Inner { kind: Kind(*b"stbl"), body: stbl, offset: 100 }, available)
}

#[test]
fn samples_that_no_file_holds_are_refused() {
    let stsz = boxed(b"stsz", b"\0\0\0\0\0\0\0\x01\xff\xff\xff\xff");
    let error = parse(&stsz, 1000).unwrap_err().to_string();
    assert!(error.starts_with(
        "stsz box at byte 100: it claims 4294967295 samples, more than the file has bytes (1000)"
    ));
}

#[test]
fn counts_that_a_box_does_not_hold_are_refused() {
    for kind in [b"stts", b"ctts", b"stsc", b"stco", b"co64", b"stss", b"stsz"] {
        let body = if kind == b"stsz" { &b"\0\0\0\0\0\0\0\0\0\0\x10\0"[..] } else { b"\0\0\0\0\0\0\x10\0" };
        let error = parse(&boxed(kind, body), 1 << 20).unwrap_err().to_string();
        let name = std::str::from_utf8(kind).unwrap();
        assert!(error.starts_with(&format!("{name} box at byte 100: ")), "{error}");
    }
}

#[test]
fn compact_sizes_have_4_8_or_16_bits() {
    let sizes = |body: &[u8]| {
        parse(&boxed(b"stz2", body), 1000).map(|tables| match tables.sizes {
            Sizes::Each(sizes) => sizes,
            Sizes::Same { .. } => Vec::new(),
        })
    };
    assert_eq!(sizes(b"\0\0\0\0\0\0\0\x04\0\0\0\x03\x12\x30").unwrap(), [1, 2, 3]);
    assert_eq!(sizes(b"\0\0\0\0\0\0\0\x08\0\0\0\x02\x12\x30").unwrap(), [0x12, 0x30]);
    assert_eq!(sizes(b"\0\0\0\0\0\0\0\x10\0\0\0\x01\x12\x30").unwrap(), [0x1230]);
    assert!(
        sizes(b"\0\0\0\0\0\0\0\x10\0\0\0\x02\x12\x30").unwrap_err().to_string().contains("1 of its 2 sizes")
    );
    assert!(sizes(b"\0\0\0\0\0\0\0\x05\0\0\0\x01\x12").unwrap_err().to_string().contains("field_size is 5"));
}

#[test]
fn offsets_of_version_0_may_be_negative() {
    let compositions = vec![CttsEntry { sample_count: 1, sample_offset: 0xffff_fe00 }];
    let chunks = vec![StscEntry { first_chunk: 1, samples_per_chunk: 1, sample_description_index: 1 }];
    let tables = Tables {
        sizes: Sizes::Each(vec![9]),
        compositions,
        chunks,
        chunk_offsets: vec![48],
        ..Tables::default()
    };
    assert_eq!(tables.samples().next().unwrap().composition, -512);
}
