use hevc::Parser;
use proptest::prelude::*;

use super::*;
use crate::pictures::side_data::MAX_BYTES;

const UUID: [u8; 16] = [7; 16];

fn messages(payload_type: u8, payload: &[u8]) -> Vec<SeiMessage> {
    let sizes = std::iter::repeat_n(255, payload.len() / 255).chain([(payload.len() % 255) as u8]);
    let rbsp: Vec<u8> =
        [payload_type].into_iter().chain(sizes).chain(payload.iter().copied()).chain([0x80]).collect();
    sei::parse(&rbsp, false).unwrap()
}

/// A picture with this order count, of this sequence.
fn picture(poc: i32, sequence: u64) -> Picture {
    let stream = include_bytes!("../../../tests/data/x_size_24x18.hevc");
    let mut parser = Parser::new();
    let found = bitstream::split_annex_b(stream).find_map(|nal| match parser.parse(nal) {
        Ok(hevc::Unit::Slice(slice)) => slice.picture,
        _ => None,
    });
    let mut picture = (*found.unwrap()).clone();
    (picture.pic_order_cnt_val, picture.sequence) = (poc, sequence);
    picture.no_rasl_output_flag = false;
    picture
}

#[derive(Default)]
struct Stream(Side);

impl Stream {
    /// Begins a picture behind these messages.
    fn begin(&mut self, poc: i32, sequence: u64, news: &[(u8, &[u8])]) -> Option<Arc<SideData>> {
        for message in news.iter().flat_map(|(payload_type, payload)| messages(*payload_type, payload)) {
            assert!(is_shown(&message));
            self.0.add(message);
        }
        self.0.begin(&picture(poc, sequence))
    }
}

const LIGHT: (u8, &[u8]) = (144, &[0x03, 0xe8, 0x01, 0x90]);
/// A quarter turn, with `display_orientation_persistence_flag` as it is given.
const TURN_FROM_HERE: (u8, &[u8]) = (47, &[0b0000_1000, 0, 0b0001_1000]);
const TURN_ONCE: (u8, &[u8]) = (47, &[0b0000_1000, 0, 0b0000_1000]);
const TURN_CANCELLED: (u8, &[u8]) = (47, &[0x80]);

fn is_turned(data: &Option<Arc<SideData>>) -> bool {
    data.as_ref().is_some_and(|data| data.display_orientation.is_some())
}

#[test]
fn what_holds_for_the_sequence_is_shared_until_it_ends() {
    let mut stream = Stream::default();
    assert!(stream.begin(0, 0, &[]).is_none());
    let first = stream.begin(1, 0, &[LIGHT]).unwrap();
    let expected = ContentLightLevel { max_content: 1000, max_picture_average: 400 };
    assert_eq!(first.content_light_level, Some(expected));
    let second = stream.begin(2, 0, &[]).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "no allocation without news");
    let with_code = stream.begin(3, 0, &[(136, &[0])]).unwrap();
    assert_eq!(with_code.content_light_level, Some(expected));
    assert!(Arc::ptr_eq(&first, &stream.begin(4, 0, &[]).unwrap()));
    assert!(stream.begin(0, 1, &[]).is_none(), "another sequence");
    // Pictures that are skipped before the first sequence have its number.
    assert!(stream.begin(1, 1, &[LIGHT]).is_some());
    let mut first = picture(2, 1);
    first.no_rasl_output_flag = true;
    assert!(stream.0.begin(&first).is_none());
}

#[test]
fn user_data_is_of_one_picture() {
    let mut stream = Stream::default();
    let payload = [&UUID[..], b"abc"].concat();
    let captions = [&[0xb5, 0, 0x31][..], b"GA94", &[3, 0x41, 0xff, 0xfc, 1, 2, 0xff]].concat();
    let hdr = [0xb5, 0, 0x3c, 0, 1, 4, 1];
    let other = [0xb4, 1, 2, 3];
    let data = stream.begin(0, 0, &[(5, &payload), (4, &captions), (4, &hdr), (4, &other)]).unwrap();
    assert_eq!(data.user_data().collect::<Vec<_>>(), [(&UUID, &b"abc"[..])]);
    assert_eq!(data.captions().collect::<Vec<_>>(), [[0xfc, 1, 2]]);
    assert_eq!(data.hdr10_plus(), Some(&hdr[..]));
    assert_eq!(data.payloads.len(), 4);
    assert_eq!(data.payloads[3].kind, PayloadKind::Registered);
    assert_eq!(data.dolby_vision_rpu(), None);
    let data = stream.begin(1, 0, &[]).unwrap();
    assert_eq!((data.hdr10_plus(), data.payloads.len()), (Some(&hdr[..]), 1), "the rest is");
}

#[test]
fn hdr10_plus_holds_in_decoding_order_until_there_is_another() {
    let mut stream = Stream::default();
    let hdr = |number: u8| [0xb5, 0, 0x3c, 0, 1, 4, 1, number];
    let of = |data: Option<Arc<SideData>>| data?.hdr10_plus().and_then(|payload| payload.last().copied());
    assert_eq!(of(stream.begin(0, 0, &[])), None);
    let first = stream.begin(8, 0, &[(4, &hdr(1))]);
    assert_eq!(of(first.clone()), Some(1));
    // Shown before it.
    let second = stream.begin(4, 0, &[]);
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()), "no allocation without news");
    assert_eq!(of(stream.begin(16, 0, &[(4, &hdr(2)), (4, &hdr(3))])), Some(3), "the last of several");
    let with_light = stream.begin(12, 0, &[LIGHT]);
    assert!(with_light.as_ref().unwrap().content_light_level.is_some());
    assert_eq!((with_light.as_ref().unwrap().payloads.len(), of(with_light)), (1, Some(3)));
    assert_eq!(of(stream.begin(0, 1, &[])), None, "another sequence");
}

#[test]
fn what_persists_does_so_in_output_order() {
    let mut stream = Stream::default();
    assert!(!is_turned(&stream.begin(0, 0, &[])));
    assert!(is_turned(&stream.begin(8, 0, &[TURN_FROM_HERE])));
    assert!(!is_turned(&stream.begin(4, 0, &[])), "shown before picture 8");
    let ninth = stream.begin(9, 0, &[]);
    assert!(is_turned(&ninth) && Arc::ptr_eq(&ninth.unwrap(), &stream.begin(10, 0, &[]).unwrap()));
    assert!(!is_turned(&stream.begin(16, 0, &[TURN_CANCELLED])));
    assert!(is_turned(&stream.begin(12, 0, &[])) && !is_turned(&stream.begin(17, 0, &[])));
    assert!(is_turned(&stream.begin(20, 0, &[TURN_ONCE])) && !is_turned(&stream.begin(21, 0, &[])));
    assert!(is_turned(&stream.begin(30, 0, &[TURN_FROM_HERE])));
    assert!(is_turned(&stream.begin(31, 0, &[TURN_ONCE])));
    assert!(!is_turned(&stream.begin(32, 0, &[])), "a message for one picture ends what was before");
    assert!(is_turned(&stream.begin(33, 0, &[TURN_FROM_HERE])) && !is_turned(&stream.begin(0, 1, &[])));
}

#[test]
fn many_turns_stay_few() {
    let mut stream = Stream::default();
    for poc in 0..100 {
        let news = if poc % 2 == 0 { TURN_FROM_HERE } else { TURN_CANCELLED };
        assert_eq!(is_turned(&stream.begin(poc, 0, &[news])), poc % 2 == 0);
        assert!(stream.0.turns.len() <= MAX_TURNS);
    }
}

#[test]
fn beyond_the_limit_messages_are_dropped_and_counted() {
    let mut stream = Stream::default();
    let large = [&UUID[..], &[0; 30_000]].concat();
    let data = stream.begin(0, 0, &[(5, &large), (5, &large), (5, &large), (5, &large), LIGHT]).unwrap();
    assert_eq!((data.payloads.len(), data.dropped), (2, 2));
    assert!(data.content_light_level.is_some(), "what still fits");
    // The picture has no more room for these either.
    let mut data = Some(data);
    add_rpu(&mut data, &[0; 10_000]);
    messages(5, &large).into_iter().for_each(|message| add_suffix(&mut data, message));
    add_rpu(&mut data, &[1; 100]);
    let data = data.unwrap();
    assert_eq!((data.dropped, data.dolby_vision_rpu()), (4, Some(&[1; 100][..])));
    // The next picture begins anew.
    assert_eq!(stream.begin(1, 0, &[]).unwrap().dropped, 0);
    let data = stream.begin(2, 0, &vec![(5, &UUID[..]); 2000]).unwrap();
    assert_eq!(data.payloads.len() + data.dropped as usize, 2000);
    assert!(data.payloads.len() < MAX_BYTES / 64);
}

#[test]
fn what_comes_behind_a_picture_does_not_change_others() {
    let mut stream = Stream::default();
    let first = stream.begin(0, 0, &[LIGHT]).unwrap();
    let mut second = stream.begin(1, 0, &[]);
    add_rpu(&mut second, &[1, 2, 3]);
    assert_eq!(second.unwrap().dolby_vision_rpu(), Some(&[1, 2, 3][..]));
    assert_eq!(first.dolby_vision_rpu(), None);
    let third = stream.begin(2, 0, &[]).unwrap();
    assert!(Arc::ptr_eq(&first, &third));
}

#[test]
fn orientation_is_in_degrees() {
    let data = Stream::default().begin(0, 0, &[TURN_FROM_HERE]).unwrap();
    let orientation = data.display_orientation.unwrap();
    assert_eq!((orientation.degrees(), orientation.is_flipped_horizontally), (90.0, false));
}

proptest! {
    #[test]
    fn no_messages_panic_or_exceed_the_limit(
        units in prop::collection::vec((0..160u8, prop::collection::vec(any::<u8>(), 0..400), -20..20i32, 0..4u64), 1..60),
        copies in 1..40usize,
    ) {
        let mut side = Side::default();
        for (payload_type, payload, poc, sequence) in units {
            for _ in 0..copies {
                messages(payload_type, &payload).into_iter().filter(is_shown).for_each(|message| side.add(message));
            }
            let data = side.begin(&picture(poc, sequence));
            prop_assert!(side.next.is_empty() && side.turns.len() <= MAX_TURNS);
            if let Some(data) = data {
                let bytes: usize = data.payloads.iter().map(|payload| payload.bytes.len() + 16).sum();
                prop_assert!(bytes <= MAX_BYTES && !data.is_empty());
            }
        }
    }
}
