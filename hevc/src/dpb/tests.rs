use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::parser::{Parser, Unit};
use crate::rps::ReferencePictureSet;

/// What an SPS says of its buffer.
#[derive(Debug, Clone, Copy)]
struct Declared {
    max_dec_pic_buffering_minus1: u8,
    max_num_reorder_pics: u8,
    max_latency_increase_plus1: u32,
}

/// A picture with its references, all of them order counts.
#[derive(Debug, Clone)]
struct Coded {
    poc: i32,
    references: Vec<i32>,
}

/// Pictures in decoding order, groups of them one behind the other: the last picture of a group in output order is decoded
/// first, then those before it, the middle one of each interval before both of its halves. Depth first or, with `wide`,
/// all of one depth before the next.
fn group(from: i32, size: i32, wide: bool) -> Vec<i32> {
    let mut order = vec![from + size];
    let mut intervals = vec![(from, from + size)];
    while !intervals.is_empty() {
        let (low, high) = if wide { intervals.remove(0) } else { intervals.pop().expect("there is one") };
        let middle = (low + high) / 2;
        if middle == low {
            continue;
        }
        order.push(middle);
        let halves = [(low, middle), (middle, high)];
        if wide { intervals.extend(halves) } else { intervals.extend(halves.into_iter().rev()) }
    }
    order
}

/// A stream: groups as (size, which references are kept, one bit each).
fn stream(wide: bool) -> impl Strategy<Value = Vec<Coded>> {
    let groups = prop::collection::vec((1i32..=8, prop::collection::vec(any::<u16>(), 8)), 1..6);
    groups.prop_map(move |groups| {
        let mut coded = vec![Coded { poc: 0, references: Vec::new() }];
        let mut from = 0;
        for (size, keeps) in groups {
            for (poc, keep) in group(from, size, wide).into_iter().zip(keeps) {
                let before = coded.last().expect("not empty");
                let held = before.references.iter().copied().chain([before.poc]).enumerate();
                let references =
                    held.filter(|&(at, _)| keep >> at & 1 != 0).map(|(_, poc)| poc).take(8).collect();
                coded.push(Coded { poc, references });
            }
            from += size;
        }
        coded
    })
}

/// Most pictures that precede one in decoding order and follow it in output order.
fn reorder(stream: &[Coded]) -> u8 {
    let before = |at: usize| stream[..at].iter().filter(|other| other.poc > stream[at].poc).count();
    (0..stream.len()).map(before).max().unwrap_or(0) as u8
}

/// A picture of a fixture, for all that does not matter here.
fn template() -> Picture {
    let mut parser = Parser::new();
    let stream = include_bytes!("../../tests/data/h_confwin.hevc");
    let found = bitstream::split_annex_b(stream).find_map(|nal| match parser.parse(nal) {
        Ok(Unit::Slice(slice)) => slice.picture,
        _ => None,
    });
    Picture::clone(&found.expect("the fixture has a picture"))
}

fn pocs(output: Vec<Output<()>>) -> Vec<i32> {
    output.into_iter().map(|output| output.poc).collect()
}

/// What comes out of the buffer before, and with, each picture, and at the end.
fn play(stream: &[Coded], declared: Declared) -> Vec<Vec<i32>> {
    let template = template();
    let mut sps = (*template.sps).clone();
    for ordering in &mut sps.sub_layer_ordering {
        ordering.max_dec_pic_buffering_minus1 = declared.max_dec_pic_buffering_minus1;
        ordering.max_num_reorder_pics = declared.max_num_reorder_pics;
        ordering.max_latency_increase_plus1 = declared.max_latency_increase_plus1;
    }
    let sps = Arc::new(sps);
    let mut dpb = DecodedPictureBuffer::new();
    let mut out = Vec::new();
    for (at, coded) in stream.iter().enumerate() {
        let [before, after] = [true, false].map(|is_before| -> Vec<i32> {
            coded.references.iter().copied().filter(|&poc| (poc < coded.poc) == is_before).collect()
        });
        let picture = Picture {
            sps: sps.clone(),
            pic_order_cnt_val: coded.poc,
            no_rasl_output_flag: at == 0,
            has_prior_pictures: at > 0,
            rps: ReferencePictureSet::of_short_term(&before, &after),
            ..template.clone()
        };
        let [mut before, mut behind] = [Vec::new(), Vec::new()];
        let rps = dpb.begin(&picture, &mut before);
        assert!(rps.initial_list0().all(|entry| entry.index.is_some()), "a reference was dropped");
        assert!(dpb.len() <= MAX_DPB_SIZE);
        dpb.insert(&picture, (), &mut behind);
        out.extend([before, behind].map(pocs));
    }
    let mut last = Vec::new();
    dpb.flush(&mut last);
    out.push(pocs(last));
    out
}

/// The same by the letter of C.5.2.2 to C.5.2.4. `None`: the stream is none that it applies to, since a picture finds no
/// place.
fn by_the_letter(stream: &[Coded], declared: Declared) -> Option<Vec<Vec<i32>>> {
    #[derive(Clone, Copy)]
    struct Held {
        poc: i32,
        reference: bool,
        waits: bool,
        latency: u64,
    }
    let reorder = usize::from(declared.max_num_reorder_pics);
    let max_latency = match declared.max_latency_increase_plus1 {
        0 => u64::MAX,
        plus1 => u64::from(declared.max_num_reorder_pics) + u64::from(plus1) - 1,
    };
    let size = usize::from(declared.max_dec_pic_buffering_minus1) + 1;
    let mut held: Vec<Held> = Vec::new();
    let bump = |held: &mut Vec<Held>, is_full: &dyn Fn(usize) -> bool| {
        let mut out = Vec::new();
        loop {
            held.retain(|picture| picture.reference || picture.waits);
            let waiting = held.iter().filter(|picture| picture.waits);
            let late = waiting.clone().any(|picture| picture.latency >= max_latency);
            if !(late || waiting.clone().count() > reorder || is_full(held.len())) {
                return Some(out);
            }
            // Bumping makes no room where nothing waits.
            let poc = waiting.map(|picture| picture.poc).min()?;
            held.iter_mut().filter(|picture| picture.poc == poc).for_each(|picture| picture.waits = false);
            out.push(poc);
        }
    };
    let mut out = Vec::new();
    for coded in stream {
        held.iter_mut().for_each(|picture| picture.reference = coded.references.contains(&picture.poc));
        out.push(bump(&mut held, &|count| count >= size)?);
        held.iter_mut()
            .filter(|picture| picture.waits && picture.poc > coded.poc)
            .for_each(|p| p.latency += 1);
        held.push(Held { poc: coded.poc, reference: true, waits: true, latency: 0 });
        out.push(bump(&mut held, &|_| false)?);
    }
    let mut rest: Vec<i32> = held.iter().filter(|picture| picture.waits).map(|picture| picture.poc).collect();
    rest.sort_unstable();
    out.push(rest);
    Some(out)
}

fn is_in_order(output: &[Vec<i32>], stream: &[Coded]) -> bool {
    let all: Vec<i32> = output.iter().flatten().copied().collect();
    all.is_sorted() && all.len() == stream.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where the rules of C.5.2 give pictures in order, in a buffer as large as the SPS says, each comes out when they say.
    #[test]
    fn streams_that_conform_are_output_by_the_letter(
        stream in any::<bool>().prop_flat_map(stream),
        max_dec_pic_buffering_minus1 in 0u8..12,
        more in 0u8..3,
        max_latency_increase_plus1 in 0u32..4,
    ) {
        let max_num_reorder_pics = reorder(&stream) + more;
        let declared = Declared { max_dec_pic_buffering_minus1, max_num_reorder_pics, max_latency_increase_plus1 };
        let conforms = max_num_reorder_pics <= max_dec_pic_buffering_minus1
            && stream.iter().all(|coded| coded.references.len() <= max_dec_pic_buffering_minus1.into());
        if conforms
            && let Some(expected) = by_the_letter(&stream, declared)
            && is_in_order(&expected, &stream)
        {
            prop_assert_eq!(play(&stream, declared), expected);
        }
    }

    /// An SPS whose buffer cannot hold as many pictures as wait does not spoil the order.
    #[test]
    fn an_sps_that_contradicts_itself_spoils_no_order(
        stream in any::<bool>().prop_flat_map(stream),
        less in 1u8..9,
    ) {
        let max_num_reorder_pics = reorder(&stream);
        let max_dec_pic_buffering_minus1 = max_num_reorder_pics.saturating_sub(less);
        let declared = Declared { max_dec_pic_buffering_minus1, max_num_reorder_pics, max_latency_increase_plus1: 0 };
        if max_dec_pic_buffering_minus1 < max_num_reorder_pics {
            let output = play(&stream, declared);
            prop_assert!(is_in_order(&output, &stream), "{:?}", output);
        }
    }

    /// Nor does one that only understates the buffer, with pictures decoded depth first, as encoders do.
    #[test]
    fn an_understated_buffer_spoils_no_order(stream in stream(false), max_dec_pic_buffering_minus1 in 0u8..16) {
        let max_num_reorder_pics = reorder(&stream);
        let declared = Declared { max_dec_pic_buffering_minus1, max_num_reorder_pics, max_latency_increase_plus1: 0 };
        let output = play(&stream, declared);
        prop_assert!(is_in_order(&output, &stream), "{:?}", output);
    }
}

/// That the first property says something.
#[test]
fn a_full_buffer_puts_pictures_out_before_their_number_does() {
    let coded = |poc, references: &[i32]| Coded { poc, references: references.to_vec() };
    let stream = [coded(0, &[]), coded(1, &[0]), coded(2, &[0, 1]), coded(3, &[0, 1])];
    let declared =
        Declared { max_dec_pic_buffering_minus1: 2, max_num_reorder_pics: 2, max_latency_increase_plus1: 0 };
    let expected: [&[i32]; 9] = [&[], &[], &[], &[], &[], &[0], &[1, 2], &[], &[3]];
    assert_eq!(by_the_letter(&stream, declared).expect("it conforms"), expected);
    assert_eq!(play(&stream, declared), expected);
}
