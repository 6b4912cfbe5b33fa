use super::*;

const MICRO: Duration = Duration::from_micros(1);

fn waited(micros: u32) -> Wait {
    Wait { least: MICRO * micros, most: Some(MICRO * micros) }
}

/// An engine that works for `busy` of every `period` microseconds: the wait of a sample at `time`, when an
/// idle engine takes `idle`.
fn periodic(time: f64, period: f64, busy: f64, idle: f64) -> Wait {
    let rest = (busy - time.rem_euclid(period)).max(0.0);
    waited((rest + idle) as u32)
}

#[test]
fn arrivals_are_exponential() {
    let gaps: Vec<f64> = Arrivals::seeded(50.0, 7).take(20_000).map(|gap| gap.as_secs_f64()).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
    assert!((mean - 0.02).abs() < 0.001, "{mean}");
    // The deviation of an exponential distribution is its mean, that of a fixed beat would be 0.
    assert!((deviation - 0.02).abs() < 0.001, "{deviation}");
    let beyond = gaps.iter().filter(|&&gap| gap > 0.04).count() as f64 / gaps.len() as f64;
    assert!((beyond - (-2.0f64).exp()).abs() < 0.01, "{beyond}");
    // A gap says nothing of the next one.
    let together: f64 = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    assert!((together / gaps.len() as f64 / (deviation * deviation)).abs() < 0.03);
    assert_ne!(Arrivals::new(50.0).next(), Arrivals::new(50.0).next(), "each is seeded anew");
    for never in [0.0, -1.0, f64::NAN] {
        assert_eq!(Arrivals::new(never).next(), Some(Duration::MAX));
    }
}

/// The busy share comes out, also for work of the same mean period as the samples, and for work that comes in
/// step with what would be the beat of regular ones.
#[test]
fn random_times_see_the_busy_share() {
    for (period, busy) in [(1000.0, 700.0), (20_000.0, 10_000.0), (20_000.0, 1000.0), (3000.0, 0.0)] {
        let mut time = 0.0;
        let waits: Vec<Wait> = Arrivals::seeded(50.0, 3)
            .take(4000)
            .map(|gap| {
                time += gap.as_secs_f64() * 1e6;
                periodic(time, period, busy, 15.0)
            })
            .collect();
        let load = Load::of(&waits, 50 * MICRO);
        // Rests of work that are shorter than the limit allows are not seen.
        let seen = (busy - 35.0_f64).max(0.0) / period;
        let (low, high) = load.confidence();
        assert!(low - 0.01 <= seen && seen <= high + 0.01, "{period} {busy}: {load:?}, {low} to {high}");
        assert!(high - low < 0.04);
    }
}

#[test]
fn waits_are_late_only_if_that_is_sure() {
    let limit = 50 * MICRO;
    let wait = |least, most: Option<u32>| Wait { least: MICRO * least, most: most.map(|most| MICRO * most) };
    assert_eq!(wait(20, Some(25)).is_late(limit), Some(false));
    assert_eq!(wait(51, Some(70)).is_late(limit), Some(true));
    assert_eq!(wait(20, Some(70)).is_late(limit), None);
    assert_eq!(wait(20, None).is_late(limit), None);
    assert_eq!(wait(51, None).is_late(limit), Some(true));
    assert_eq!(Wait::UNKNOWN.is_late(limit), None);

    let waits = [
        wait(20, Some(25)),
        wait(300, Some(310)),
        Wait::UNKNOWN,
        wait(400, None),
        wait(30, Some(30)),
        wait(5, None),
    ];
    let load = Load::of(&waits, limit);
    let expected = Load {
        samples: 4,
        late: 2,
        unclear: 2,
        unanswered: 1,
        median: Some(310 * MICRO),
        longest: Some(400 * MICRO),
    };
    assert_eq!(load, expected);
    assert_eq!(load.busy(), Some(0.5));
}

#[test]
fn nothing_is_made_of_no_samples() {
    for waits in [&[][..], &[Wait::UNKNOWN]] {
        let load = Load::of(waits, 50 * MICRO);
        assert_eq!((load.busy(), load.confidence(), load.median), (None, (0.0, 1.0), None));
    }
}

/// Values of Wilson's formula, computed apart from the code.
#[test]
fn confidence_is_wilsons() {
    for (late, samples, low, high) in
        [(24, 50, 0.348_0, 0.614_9), (0, 50, 0.0, 0.071_3), (50, 50, 0.928_7, 1.0), (1, 10, 0.017_9, 0.404_2)]
    {
        let load = Load { samples, late, ..Load::default() };
        let (l, h) = load.confidence();
        assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{late} of {samples}: {l} to {h}");
    }
}

#[test]
fn the_shortest_wait_is_remembered_for_a_while() {
    let mut idle = Idle::default();
    assert_eq!((idle.shortest(), idle.limit()), (None, MARGIN));
    let start = Instant::now();
    for (second, wait, shortest) in [
        (0, 30, 30),
        (1, 900, 30),
        (2, 20, 20),
        (29, 25, 20),
        (31, 40, 20),
        // The minute is over: clocks have fallen.
        (62, 42, 40),
        (63, 41, 40),
        (95, 44, 41),
        // Nothing was answered for long: better an old measure than none.
        (900, 4000, 44),
        (931, 4000, 4000),
        (932, 21, 21),
    ] {
        idle.learn(start + Duration::from_secs(second), MICRO * wait);
        assert_eq!(idle.shortest(), Some(MICRO * shortest), "after {second} s");
    }
    assert_eq!(idle.limit(), 42 * MICRO + MARGIN);
    idle.learn(start, Duration::MAX); // a clock that goes back
    assert_eq!(idle.shortest(), Some(21 * MICRO));
}

/// An engine that never is idle lets the wait of an idle one be seen all the same.
#[test]
fn full_load_has_a_shortest_wait() {
    let (mut idle, mut time) = (Idle::default(), 0.0);
    let start = Instant::now();
    let mut waits = Vec::new();
    for gap in Arrivals::seeded(350.0, 11).take(2000) {
        time += gap.as_secs_f64() * 1e6;
        let wait = periodic(time, 700.0, 700.0, 15.0);
        idle.learn(start + MICRO * time as u32, wait.least);
        waits.push(wait);
    }
    assert!(idle.shortest().unwrap() < 20 * MICRO, "{idle:?}");
    let load = Load::of(&waits, idle.limit());
    assert!(load.busy().unwrap() > 0.9, "{load:?}");
}

#[test]
fn waits_are_bounded_by_both_clocks() {
    let host = Instant::now();
    let asked = Asked { clock: 1000 * MICRO, host, took: 5 * MICRO };
    let wait = |least, most| Wait { least: MICRO * least, most: Some(MICRO * most) };
    assert_eq!(asked.answered(1020 * MICRO), wait(20, 25));
    // Answered before the clock was read.
    assert_eq!(asked.answered(998 * MICRO), wait(0, 3));
    // By another clock.
    assert_eq!(asked.answered(3 * MICRO), Wait::UNKNOWN);
    assert_eq!(asked.answered_from(host + 100 * MICRO, 3 * MICRO), Wait::UNKNOWN);
    // Due 100 us later, executed with the one in front.
    assert_eq!(asked.answered_from(host + 100 * MICRO, 1400 * MICRO), wait(295, 300));
    assert_eq!(asked.answered_from(host + 100 * MICRO, 1100 * MICRO), wait(0, 0));
    assert_eq!(asked.answered_from(host + 200 * MICRO, 1100 * MICRO), wait(0, 0));
}
