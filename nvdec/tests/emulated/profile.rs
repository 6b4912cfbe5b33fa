//! Times of pictures on their engines ([`Context::profile`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use hcq::{Device, EngineKind, EngineType};
use nvdec::{Context, DecoderOptions, Priority, emulated};

use crate::support::{decode_on, stream, sums};

/// Every picture and every copy has its times, on queues that were there and on those that came later; the pictures are
/// what they are without.
#[test]
fn profiled_pictures_have_their_times() {
    let kernel = emulated::h200().unwrap();
    let context = Context::new(Device::open(Arc::new(kernel.clone()), 0).unwrap()).unwrap();
    let (early, late) = context.engines().split_at(3);
    let open = |engine: &EngineType| drop(context.video_queue(*engine, Priority::Bulk).unwrap());
    early.iter().for_each(open);
    let profiler = context.profile().clone();
    late.iter().for_each(open);
    let before = context.device().timestamp().unwrap();
    let expected = sums("h_ra_cra");
    let decoded = decode_on(&context, &stream("h_ra_cra"), DecoderOptions::default(), 2);
    assert_eq!(decoded.sums, expected);
    assert!(kernel.log().is_empty(), "{:?}", kernel.log());
    let after = context.device().timestamp().unwrap();

    let mut engines: BTreeMap<(EngineType, u64), Vec<(u64, u64)>> = BTreeMap::new();
    for span in profiler.take() {
        let timeline = span.point.timeline();
        engines.entry((timeline.engine(), timeline.id())).or_default().push((span.begin, span.end));
    }
    for spans in engines.values() {
        assert!(spans[0].0 >= before && spans.last().unwrap().1 <= after);
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
    }
    let count =
        |kind| engines.iter().filter(|((e, _), _)| e.kind() == kind).map(|(_, s)| s.len()).sum::<usize>();
    assert_eq!(count(EngineKind::Nvdec), expected.len());
    assert!(count(EngineKind::Copy) >= expected.len(), "each was copied to the host");
    assert!(
        engines.keys().filter(|(engine, _)| engine.kind() == EngineKind::Nvdec).count() > 1,
        "{engines:?}"
    );
}
