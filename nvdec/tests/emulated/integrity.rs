//! What is said of pictures of streams that are not whole, and what is done with them.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bitstream::split_annex_b;
use hcq::kernel::emulated::LaunchFault;
use hcq::{Device, EngineKind};
use nvdec::{
    Codec, Context, Decoder, DecoderOptions, Downloader, Engines, Error, Integrity, Mode, PictureFault,
    Policy, Start, Taint, Tally, Units,
};
use proptest::prelude::*;

use crate::support::{stream, sum, sums};

fn context() -> Arc<Context> {
    let kernel = nvdec::emulated::h200().unwrap();
    Context::new(Device::open(Arc::new(kernel), 0).unwrap()).unwrap()
}

fn is_slice(unit: &[u8]) -> bool {
    unit[0] >> 1 < 32
}

/// The stream without the slices at these positions, counted over slices.
fn without(stream: &[u8], lost: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut slices = 0;
    let mut left = Vec::new();
    for unit in split_annex_b(stream) {
        let number = slices;
        slices += usize::from(is_slice(unit));
        if !is_slice(unit) || !lost(number) {
            left.extend_from_slice(&[0, 0, 0, 1]);
            left.extend_from_slice(unit);
        }
    }
    left
}

#[derive(Debug, Default)]
struct Outcome {
    /// MD5 and what is said of each frame, and whether it is repeated.
    frames: Vec<(String, Integrity, bool)>,
    tally: Tally,
    errors: Vec<Error>,
    ended: Option<Error>,
}

fn decode(data: &[u8], options: DecoderOptions) -> Outcome {
    let context = context();
    let downloader = Downloader::new(&context);
    let mut decoder = Decoder::new(&context, Codec::Hevc, options).unwrap();
    let mut outcome = Outcome::default();
    for frame in decoder.frames(Units::new(data)) {
        match frame {
            Ok(frame) => {
                let (integrity, repeated) = (frame.integrity().unwrap(), frame.is_repeated());
                outcome.frames.push((sum(&downloader, frame).unwrap(), integrity, repeated));
            }
            Err(error) => outcome.ended = Some(error),
        }
    }
    decoder.finish().unwrap();
    outcome.errors = std::iter::from_fn(|| decoder.take_error()).collect();
    outcome.tally = decoder.statistics().tally;
    outcome
}

/// One picture of a low-delay stream is lost: the next one names it, those behind go back to that one.
#[test]
fn a_lost_picture_is_named_by_those_that_miss_it() {
    let (data, expected) = (stream("h_ld_b"), sums("h_ld_b"));
    let damaged = without(&data, |slice| slice == 4);
    let outcome = decode(&damaged, DecoderOptions::default());
    assert_eq!(outcome.frames.len(), expected.len() - 1);
    for (number, (md5, integrity, _)) in outcome.frames.iter().enumerate() {
        match number {
            0..4 => assert_eq!((md5, *integrity), (&expected[number], Integrity::Exact)),
            4 => assert_eq!(
                *integrity,
                Integrity::Damaged { cause: PictureFault::MissingReference { poc: 4 } },
                "it comes behind the one that is lost"
            ),
            _ => assert!(!integrity.is_exact(), "picture {number}: {integrity}"),
        }
    }
    let last = outcome.frames.last().unwrap().1;
    let Integrity::Tainted { by } = last else { panic!("{last}") };
    assert_eq!(by.number, 4);
    assert!(matches!(
        outcome.errors[0],
        Error::Picture { number: 4, fault: PictureFault::MissingReference { poc: 4 }, .. }
    ));
    assert_eq!((outcome.tally.exact, outcome.tally.total()), (4, expected.len() as u64 - 1));
    assert_eq!(outcome.tally.damaged, outcome.errors.len() as u64);
}

#[test]
fn what_is_not_exact_is_done_with_as_the_caller_says() {
    let (data, expected) = (stream("h_ld_b"), sums("h_ld_b"));
    let damaged = without(&data, |slice| slice == 4);
    let with = |policy| decode(&damaged, DecoderOptions::default().with_policy(policy));
    let all = expected.len() - 1;

    let skip = with(Policy::Skip);
    assert_eq!(skip.frames.iter().map(|(md5, ..)| md5.as_str()).collect::<Vec<_>>(), expected[..4]);
    assert_eq!((skip.tally.exact, skip.tally.decoded()), (4, all as u64), "they are decoded all the same");

    let stop = with(Policy::Stop);
    assert_eq!(stop.frames.len(), 4);
    assert!(matches!(stop.ended, Some(Error::NotExact { number: 4, .. })), "{:?}", stop.ended);

    let freeze = with(Policy::Freeze);
    assert_eq!(freeze.frames.len(), all);
    for (number, (md5, integrity, repeated)) in freeze.frames.iter().enumerate() {
        assert_eq!((md5, integrity.is_exact(), *repeated), (&expected[number.min(3)], true, number > 3));
    }

    for policy in [Policy::Skip, Policy::Stop, Policy::Freeze] {
        let whole = decode(&data, DecoderOptions::default().with_policy(policy));
        assert_eq!(whole.frames.len(), expected.len(), "{policy:?}");
        assert!(whole.ended.is_none() && whole.frames.iter().all(|(.., repeated)| !repeated));
    }
}

/// A stream whose first picture is lost: there is nothing to begin with but what the caller allows.
#[test]
fn decoding_begins_where_the_caller_allows() {
    let data = without(&stream("h_ld_b"), |slice| slice == 0);
    let pictures = sums("h_ld_b").len() - 1;
    for start in [Start::RandomAccess, Start::RecoveryPoint, Start::Intra] {
        let outcome = decode(&data, DecoderOptions::default().with_start(start));
        assert_eq!(outcome.frames.len(), 0, "{start:?}");
        assert_eq!(outcome.tally.dropped.before_start, pictures as u64);
        assert_eq!(outcome.tally.total(), pictures as u64);
    }
    let outcome = decode(&data, DecoderOptions::default().with_start(Start::Any));
    assert_eq!(outcome.frames.len(), pictures);
    assert!(outcome.frames.iter().all(|(_, integrity, _)| !integrity.is_exact()));
}

/// Pictures that are refreshed bit by bit, joined in the midst: nothing of them counts as damage.
#[test]
fn a_refresh_is_joined() {
    let data = stream("f_refresh_join");
    let outcome = decode(&data, DecoderOptions::default());
    assert_eq!(outcome.frames.len(), 36);
    // Its refresh is an approximate one.
    assert!(outcome.frames.iter().all(|(_, integrity, _)| matches!(integrity, Integrity::Recovering { .. })));
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    let none = decode(&data, DecoderOptions::default().with_start(Start::RandomAccess));
    assert_eq!((none.frames.len(), none.tally.dropped.before_start), (0, outcome.tally.recovering));
}

/// Pictures that are all intra, and no random access point.
#[test]
fn an_intra_picture_is_begun_with() {
    let data = stream("f_intra_join");
    let outcome = decode(&data, DecoderOptions::default());
    assert_eq!((outcome.frames.len(), outcome.tally.exact, outcome.tally.total()), (20, 20, 20));
    let none = decode(&data, DecoderOptions::default().with_start(Start::RecoveryPoint));
    assert_eq!(none.frames.len(), 0);
    // Joined later, the pictures before the next one of them are passed over.
    let later = decode(&without(&data, |slice| slice == 0), DecoderOptions::default());
    assert!(later.tally.dropped.before_start > 0 && later.tally.exact == later.tally.decoded());
    assert_eq!(later.tally.total(), outcome.tally.total() - 1);
}

/// The stream without its SEI messages, hashes of pictures among them.
fn without_messages(stream: &[u8]) -> Vec<u8> {
    let units = split_annex_b(stream).filter(|unit| !matches!(unit[0] >> 1, 39 | 40));
    units.flat_map(|unit| [&[0, 0, 0, 1], unit].concat()).collect()
}

/// How many pictures of a stream are right and said not to be, when slices are lost, over all of `lost`. None may be said to be exact
/// that is not.
fn doubted(
    (data, whole): (&[u8], &[String]),
    options: DecoderOptions,
    lost: impl Iterator<Item = Range<usize>>,
) -> usize {
    let lost = lost.map(|lost| {
        let outcome = decode(&without(data, |slice| lost.contains(&slice)), options);
        let is_right = |md5: &String| whole.contains(md5);
        for (number, (md5, integrity, _)) in outcome.frames.iter().enumerate() {
            assert!(is_right(md5) || !integrity.is_exact(), "picture {number} without {lost:?}, {options:?}");
        }
        let doubted = || outcome.frames.iter().filter(|(_, integrity, _)| !integrity.is_exact());
        let Tally { damaged, tainted, .. } = outcome.tally;
        assert_eq!(
            (doubted().count(), outcome.errors.len()),
            ((damaged + tainted) as usize, damaged as usize)
        );
        doubted().filter(|(md5, ..)| is_right(md5)).count()
    });
    lost.sum()
}

/// A picture may be in the lists of others, and no block of them be predicted from it: two pictures in a row are lost, and five.
#[test]
fn a_lost_picture_that_nothing_is_predicted_from_taints_none() {
    let (data, whole) = (without_messages(&stream("h_10b_ra")), sums("h_10b_ra"));
    let all = context().engines().iter().copied().collect();
    let count = |engines: Engines, taint| {
        let lost = (1..17).flat_map(|at| [2, 5].map(|length| at..at + length));
        let options = DecoderOptions::default().with_engines(engines).with_taint(taint);
        doubted((&data, &whole), options, lost)
    };
    let by_lists = count(Engines::LeastBusy, Taint::ByLists);
    assert!(by_lists > 10, "{by_lists}: this stream shows nothing");
    assert_eq!(count(Engines::LeastBusy, Taint::BySamples), 0);
    assert_eq!(count(Engines::Set(all), Taint::BySamples), 0);
}

/// What a second decoding does not tell, the hash of the picture does: what it took its motion from is lost, or it came out right
/// by chance.
#[test]
fn a_hash_decides_what_is_doubtful() {
    let options = DecoderOptions::default();
    let (mut with, mut without) = (0, 0);
    for name in ["h_ctu8", "h_ld_b", "h_wp_ra", "h_ra_cra"] {
        let (data, whole) = (stream(name), sums(name));
        let lost = || (1..16).flat_map(|at| [1, 3].map(|length| at..at + length));
        with += doubted((&data, &whole), options, lost());
        without += doubted((&without_messages(&data), &whole), options, lost());
    }
    assert!(without > 0, "these streams show nothing");
    assert_eq!(with, 0);
}

/// The stream with a bit turned over in the slice at this position, three quarters in.
fn with_wrong_bit(stream: &[u8], wrong: usize) -> Vec<u8> {
    let mut units: Vec<Vec<u8>> = split_annex_b(stream).map(<[u8]>::to_vec).collect();
    let slice = units.iter_mut().filter(|unit| is_slice(unit)).nth(wrong).expect("there is one");
    let at = slice.len() * 3 / 4;
    slice[at] ^= 8;
    units.into_iter().flat_map(|unit| [vec![0, 0, 0, 1], unit].concat()).collect()
}

/// A bit that is turned over in slice data may break no rule. The engine has nothing to say then, and only the hash tells, if the
/// caller wants it asked: of the picture itself, and of those behind it, which may be right all the same.
#[test]
fn a_hash_tells_what_the_engine_does_not() {
    // Some of its samples are not coded but written down.
    let (data, whole) = (stream("h_pcm10"), sums("h_pcm10"));
    let all = context().engines().iter().copied().collect();
    let usual = DecoderOptions::default().with_engines(Engines::LeastBusy);
    let (mut silent, mut contradicted) = (0, 0);
    for wrong in 0..whole.len() {
        let damaged = with_wrong_bit(&data, wrong);
        let outcome = decode(&damaged, usual);
        silent += outcome.frames.iter().filter(|(md5, i, _)| i.is_exact() && !whole.contains(md5)).count();
        for options in [usual, usual.with_engines(Engines::Set(all)), usual.with_mode(Mode::LowLatency)] {
            let outcome = decode(&damaged, options.with_verification(true));
            assert_eq!(outcome.frames.len(), whole.len());
            for (number, (md5, integrity, _)) in outcome.frames.iter().enumerate() {
                // What the engine cannot read it conceals, now and then rightly.
                let is_unread =
                    matches!(integrity, Integrity::Damaged { cause: PictureFault::SliceData { .. } });
                assert!(
                    is_unread || integrity.is_exact() == whole.contains(md5),
                    "slice {wrong}, picture {number}: {integrity}"
                );
            }
            let by_hash =
                |error: &&Error| matches!(error, Error::Picture { fault: PictureFault::HashMismatch, .. });
            contradicted += outcome.errors.iter().filter(by_hash).count();
            assert_eq!(outcome.tally.damaged, outcome.errors.len() as u64);
        }
        let skip = decode(&damaged, usual.with_verification(true).with_policy(Policy::Skip));
        assert!(skip.frames.iter().all(|(md5, ..)| whole.contains(md5)), "slice {wrong}");
    }
    assert!(silent > 0 && contradicted > 0, "{silent}, {contradicted}: this stream shows nothing");
}

/// A picture contradicts its hash, which is known when those behind it are submitted already. By their own hashes they are right; whether
/// their motion vectors are no hash says, so one that has none itself is not exact.
#[test]
fn what_a_hash_says_of_samples_holds_for_no_others() {
    let (data, whole) = (stream("h_ld_b"), sums("h_ld_b"));
    for (wrong, bare) in (0..whole.len()).flat_map(|bare| (0..bare).map(move |wrong| (wrong, bare))) {
        let mut hashes = 0;
        let units = split_annex_b(&data).map(<[u8]>::to_vec).filter_map(|mut unit| {
            if unit[0] >> 1 == 40 {
                hashes += 1;
                let last = unit.len() - 2;
                unit[last] ^= u8::from(hashes - 1 == wrong) * 0x10;
                return (hashes - 1 != bare).then_some(unit);
            }
            Some(unit)
        });
        let data: Vec<u8> = units.flat_map(|unit| [vec![0, 0, 0, 1], unit].concat()).collect();
        let outcome = decode(&data, DecoderOptions::default().with_verification(true));
        assert_eq!(outcome.frames.len(), whole.len());
        for (number, (_, integrity, _)) in outcome.frames.iter().enumerate() {
            match *integrity {
                Integrity::Damaged { cause } => {
                    assert_eq!((number, cause), (wrong, PictureFault::HashMismatch));
                }
                Integrity::Tainted { by } => assert_eq!((number, by.number), (bare, wrong as u64)),
                other => assert!(
                    other.is_exact() && number != wrong && number != bare,
                    "{wrong} is wrong, {bare} has no hash, {number}: {other}"
                ),
            }
        }
    }
}

/// Whole streams are what their hashes say, of whatever kind these are, and so are lost ones as far as they are right.
#[test]
fn hashes_are_for_whole_pictures() {
    let options = DecoderOptions::default().with_verification(true);
    for name in ["h_ctu8", "h_wp_ra", "h_ra_cra", "h_10b_ra"] {
        let (data, whole) = (stream(name), sums(name));
        let outcome = decode(&data, options);
        assert_eq!((outcome.tally.exact, outcome.errors.len()), (whole.len() as u64, 0), "{name}");
        assert_eq!(doubted((&data, &whole), options, [2..3, 5..8].into_iter()), 0, "{name}");
    }
}

/// Channels of the video engine and of each copy engine die at launches of pictures, of second decodings, of what is put in the place
/// of samples or compares them; and the engine gives pictures up. Nothing passes for exact by that.
#[test]
fn a_second_decoding_that_is_lost_proves_nothing() {
    // Of the pictures behind this one some come out right and others do not.
    let (data, whole) = (without_messages(&stream("s_lt_rplm")), sums("s_lt_rplm"));
    let data = without(&data, |slice| slice == 3);
    let video = context().engines()[0];
    let copies = context().device().engines_of(EngineKind::Copy).unwrap();
    let (mut exact, mut struck) = (HashSet::new(), 0);
    for engine in copies.into_iter().chain([video]) {
        let faults: Vec<_> = match engine == video {
            true => (0..24)
                .step_by(3)
                .flat_map(|at| [(at, LaunchFault::Engine), (at, LaunchFault::Status(5))])
                .collect(),
            false => (0..3).map(|at| (at, LaunchFault::Engine)).collect(),
        };
        for (pass, fault) in faults {
            let kernel = nvdec::emulated::h200().unwrap();
            kernel.faults().fault_launch(0, engine, pass, fault);
            let context = Context::new(Device::open(Arc::new(kernel), 0).unwrap()).unwrap();
            let downloader = Downloader::new(&context);
            let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::on(video)).unwrap();
            let mut right = 0;
            for frame in decoder.frames(Units::new(&data)).map(Result::unwrap) {
                if frame.integrity().unwrap().is_exact() {
                    let md5 = sum(&downloader, frame).unwrap();
                    assert!(whole.contains(&md5), "{engine:?} dies at launch {pass}, {fault:?}");
                    right += 1;
                }
            }
            decoder.finish().unwrap();
            let Tally { exact: counted, .. } = decoder.statistics().tally;
            assert_eq!(counted, right);
            struck += usize::from(std::iter::from_fn(|| decoder.take_error()).any(|error| {
                let of = |fault| matches!(fault, PictureFault::ChannelLost | PictureFault::SliceData { .. });
                matches!(error, Error::Picture { fault, .. } if of(fault))
            }));
            exact.insert(right);
        }
    }
    assert!(struck > 10 && exact.len() > 3, "{struck} runs lost a picture; {exact:?} pictures were exact");
}

/// Where the budget has no room for a second decoding, lists decide, and the stream comes out all the same.
#[test]
fn without_memory_lists_decide() {
    let data = without(&without_messages(&stream("h_10b_ra")), |slice| (2..7).contains(&slice));
    let outcome = |limit| {
        let context = context();
        let mut decoder = Decoder::new(&context, Codec::Hevc, DecoderOptions::default()).unwrap();
        context.set_memory_limit(limit);
        let frames: Vec<Integrity> =
            decoder.frames(Units::new(&data)).map(|frame| frame.unwrap().integrity().unwrap()).collect();
        decoder.finish().unwrap();
        (frames.len(), decoder.statistics().tally.exact, decoder.price().unwrap().total())
    };
    let (frames, by_samples, price) = outcome(None);
    let (as_many, by_lists, _) = outcome(Some(price));
    assert_eq!(frames, as_many);
    assert!(by_lists < by_samples, "{by_lists} of {frames} are exact by lists, {by_samples} by samples");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever slices are lost: what is said to be exact is a picture of the whole stream, and all that were seen are
    /// accounted for.
    #[test]
    fn what_is_said_to_be_exact_is(
        name in prop::sample::select(&["h_ld_b", "h_ra_cra", "h_10b_ra", "x_wpp", "h_tmvp2_o", "s_lt_rplm"][..]),
        lost in prop::collection::hash_set(0..40usize, 1..5),
        engines in 1..4usize,
    ) {
        let whole: HashSet<String> = sums(name).into_iter().collect();
        let data = without(&stream(name), |slice| lost.contains(&slice));
        let context = context();
        let engines = context.engines()[..engines].iter().copied().collect();
        let options = DecoderOptions::default().with_engines(Engines::Set(engines));
        let outcome = decode(&data, options);
        for (number, (md5, integrity, _)) in outcome.frames.iter().enumerate() {
            prop_assert!(!integrity.is_exact() || whole.contains(md5), "picture {number} of {name}: {lost:?}");
        }
        prop_assert_eq!(outcome.tally.decoded(), outcome.frames.len() as u64);
    }
}
