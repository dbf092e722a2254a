use super::*;
use proptest::prelude::*;
use std::time::Duration;

const EXAMPLE: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn the_example_of_the_recommendation_is_read_and_written_back() {
    let context = TraceContext::parse(EXAMPLE).unwrap();
    assert_eq!(context.trace_id[..3], [0x0a, 0xf7, 0x65]);
    assert_eq!(context.span_id[6..], [0x33, 0x31]);
    assert!(context.sampled);
    assert_eq!(context.format(), EXAMPLE);
}

#[test]
fn only_what_the_recommendation_allows_is_read() {
    let cases: &[(&str, bool)] = &[
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            true,
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
            true,
        ),
        (
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            false,
        ),
        (
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            false,
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            false,
        ),
        (
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            false,
        ),
        (
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            true,
        ),
        (
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            true,
        ),
        (
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
            false,
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            false,
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            false,
        ),
        (
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            false,
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            false,
        ),
        (
            "00-0af7651916cd43dd8448eb211c80319cb7ad6b7169203331--01",
            false,
        ),
        ("", false),
    ];
    for (value, valid) in cases {
        assert_eq!(
            TraceContext::parse(value.as_bytes()).is_some(),
            *valid,
            "{value}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) {
        prop_assume!(trace_id != [0; 16] && span_id != [0; 8]);
        let context = TraceContext { trace_id, span_id, sampled };
        prop_assert_eq!(TraceContext::parse(&context.format()), Some(context));
    }

    #[test]
    fn arbitrary_bytes_never_panic(value: Vec<u8>) {
        let _ = TraceContext::parse(&value);
        let kept = bounded_tracestate(&value);
        prop_assert!(kept.is_none_or(|kept| kept.len() <= 512));
    }

    #[test]
    fn a_changed_byte_is_never_read_as_the_same_context(place in 0..55_usize, byte: u8) {
        let mut value = EXAMPLE.to_vec();
        prop_assume!(value[place] != byte);
        value[place] = byte;
        // Only the version and the unused flag bits may differ unseen.
        if !matches!(place, 0..=1 | 53..=54) {
            prop_assert_ne!(TraceContext::parse(&value), TraceContext::parse(EXAMPLE));
        }
    }
}

#[test]
fn a_long_tracestate_loses_whole_members_from_the_right() {
    let member = format!("vendor={}", "x".repeat(93));
    let long = vec![member.clone(); 8].join(",");
    let kept = bounded_tracestate(long.as_bytes()).unwrap();
    assert_eq!(kept, vec![member; 5].join(",").as_bytes());
    assert_eq!(bounded_tracestate("x".repeat(600).as_bytes()), None);
    assert_eq!(bounded_tracestate(b"a=1"), Some(&b"a=1"[..]));
    assert_eq!(bounded_tracestate(b"a=\r\n1"), None);
    assert_eq!(bounded_tracestate(b""), None);
}

fn sampler(ratio: f64) -> Sampler {
    Sampler::new(SamplerSettings {
        ratio,
        inbound_per_second_max: 2,
        failures_per_second_max: 3,
    })
}

#[test]
fn about_the_stated_share_of_traces_is_sampled() {
    let sampler = sampler(0.1);
    let sampled = (0..20_000)
        .filter(|_| sampler.begin(None, Now::default()).context.sampled)
        .count();
    // Six standard deviations around 2,000.
    assert!((1_745..=2_255).contains(&sampled), "{sampled}");
    let all = self::sampler(1.0);
    assert!((0..100).all(|_| all.begin(None, Now::default()).context.sampled));
    let none = self::sampler(0.0);
    assert!((0..100).all(|_| !none.begin(None, Now::default()).context.sampled));
}

#[test]
fn a_binary_fraction_is_exact() {
    assert_eq!(binary_fraction(0.5), 1 << 63);
    assert_eq!(binary_fraction(0.25), 1 << 62);
    assert_eq!(binary_fraction(-1.0), 0);
    assert_eq!(binary_fraction(f64::NAN), 0);
    assert_eq!(binary_fraction(7.0), u64::MAX);
}

#[test]
fn the_same_trace_is_decided_alike_everywhere() {
    let inbound = TraceContext {
        sampled: false,
        ..TraceContext::new_root()
    };
    let (a, b) = (sampler(0.5), sampler(0.5));
    for _ in 0..10 {
        let one = a.begin(Some(inbound), Now::default());
        let other = b.begin(Some(inbound), Now::default());
        assert_eq!(one.context.sampled, other.context.sampled);
        assert_eq!(one.context.trace_id, inbound.trace_id);
        assert_eq!(one.parent, Some(inbound.span_id));
        assert_ne!(one.context.span_id, other.context.span_id);
    }
}

#[test]
fn callers_get_their_wish_only_so_often_a_second() {
    let sampler = sampler(0.0);
    let wish = TraceContext {
        sampled: true,
        ..TraceContext::new_root()
    };
    let now = Now::default().plus(Duration::from_secs(5));
    let granted = |now| {
        (0..10)
            .filter(|_| sampler.begin(Some(wish), now).context.sampled)
            .count()
    };
    assert_eq!(granted(now), 2);
    assert_eq!(granted(now.plus(Duration::from_secs(1))), 2);
    assert_eq!(granted(now), 0);
    assert_eq!((0..10).filter(|_| sampler.record_failure(now)).count(), 3);
}

#[test]
fn ids_do_not_repeat_across_threads() {
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(|| (0..5_000).map(|_| random_id::<8>()).collect::<Vec<_>>()))
        .collect();
    let ids: std::collections::HashSet<[u8; 8]> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    assert_eq!(ids.len(), 20_000);
}
