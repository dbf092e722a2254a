//! The limits together, as a request meets them.

use super::*;
use proptest::prelude::*;

const KEY: u32 = 7;

fn plan(second: Option<u32>, burst: Option<u32>, minute: Option<u32>, day: Option<u64>) -> Plan {
    Plan {
        requests_per_second: second,
        burst,
        requests_per_minute: minute,
        requests_per_day: day,
        ..Plan::unlimited("free")
    }
}

fn at(nanos: u64) -> Now {
    Now {
        mono_nanos: nanos,
        unix_micros: 0,
    }
}

fn secs(secs: u64) -> Now {
    at(secs * 1_000_000_000)
}

fn admit(table: &LimitTable, plan: &Plan, now: Now) -> Result<Admitted, Exceeded> {
    table.admit(Subject::key(KEY), plan, 1.0, 1, now)
}

#[test]
fn the_limit_with_the_least_left_is_told() {
    let table = LimitTable::new(10);
    let plan = plan(Some(5), Some(10), Some(12), Some(1_000));
    let status = |now| admit(&table, &plan, now).unwrap().status.unwrap();
    let first = status(secs(1_000));
    assert_eq!(first, LimitStatus::new(LimitType::PerSecond, 10, 9, 1, 2));
    for n in 1..=8 {
        assert!(admit(&table, &plan, secs(1_000 + n)).is_ok());
    }
    let tenth = status(secs(1_010));
    assert_eq!(
        (tenth.limit, tenth.quota, tenth.remaining, tenth.window_secs),
        (LimitType::PerMinute, 12, 2, 60)
    );
}

#[test]
fn the_longest_wait_is_told() {
    let table = LimitTable::new(10);
    let plan = plan(Some(5), Some(3), None, Some(3));
    for _ in 0..3 {
        assert!(admit(&table, &plan, secs(1)).is_ok());
    }
    let exceeded = admit(&table, &plan, secs(1)).unwrap_err();
    assert_eq!(
        (exceeded.limit, exceeded.status.limit),
        (LimitType::PerDay, LimitType::PerDay)
    );
    assert!(exceeded.retry_after >= Duration::from_secs(86_400));
    assert!(admit(&table, &plan, secs(1).plus(exceeded.retry_after)).is_ok());
}

#[test]
fn a_plan_without_limits_admits_and_tells_nothing() {
    let table = LimitTable::new(10);
    let admitted = admit(&table, &Plan::unlimited("enterprise"), secs(1)).unwrap();
    assert!(admitted.status.is_none() && admitted.lease.is_none());
}

#[test]
fn a_dropped_lease_gives_its_place_back() {
    let table = LimitTable::new(10);
    let plan = Plan {
        concurrency: Some(2),
        ..plan(Some(1), Some(9), None, None)
    };
    let held: Vec<_> = (0..2)
        .map(|_| admit(&table, &plan, secs(1)).unwrap())
        .collect();
    let exceeded = admit(&table, &plan, secs(1)).unwrap_err();
    assert_eq!(
        (exceeded.limit, exceeded.retry_after),
        (LimitType::Concurrency, Duration::from_secs(1))
    );
    drop(held);
    let third = admit(&table, &plan, secs(1)).unwrap();
    assert_eq!(
        third.status.unwrap().remaining,
        6,
        "the refused request used nothing up"
    );
}

#[test]
fn a_refused_rate_takes_no_lease() {
    let table = LimitTable::new(10);
    let plan = Plan {
        concurrency: Some(2),
        ..plan(Some(1), Some(1), None, None)
    };
    let held = admit(&table, &plan, secs(1)).unwrap();
    for _ in 0..5 {
        assert_eq!(
            admit(&table, &plan, secs(1)).unwrap_err().limit,
            LimitType::PerSecond
        );
    }
    assert!(admit(&table, &plan, secs(2)).is_ok());
    drop(held);
}

#[test]
fn a_reduction_takes_hold_at_once_and_ends_at_once() {
    let table = LimitTable::new(10);
    let plan = plan(None, None, Some(100), None);
    let passing = |factor| {
        (0..200)
            .filter(|_| {
                table
                    .admit(Subject::key(KEY), &plan, factor, 1, secs(9))
                    .is_ok()
            })
            .count()
    };
    assert_eq!(passing(0.1), 10);
    assert_eq!(passing(1.0), 90);
    assert_eq!(passing(0.0), 0);
}

#[test]
fn keys_do_not_share_limits() {
    let table = LimitTable::new(1_000);
    let plan = plan(None, None, Some(1), None);
    for index in 0..1_000 {
        assert!(
            table
                .admit(Subject::key(index), &plan, 1.0, 1, secs(1))
                .is_ok()
        );
        assert!(
            table
                .admit(Subject::key(index), &plan, 1.0, 1, secs(1))
                .is_err()
        );
    }
    assert_eq!((table.len(), table.evictions()), (1_000, 0));
}

#[test]
fn threads_together_never_pass_the_quota() {
    let table = LimitTable::new(10);
    let plan = Plan {
        concurrency: Some(3),
        ..plan(None, None, Some(1_000), None)
    };
    let passed = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..2_000)
                        .filter(|_| admit(&table, &plan, secs(1)).is_ok())
                        .count()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<usize>()
    });
    assert!(passed <= 1_000);
    let rest = (0..1_000)
        .filter(|_| admit(&table, &plan, secs(1)).is_ok())
        .count();
    assert_eq!(passed + rest, 1_000, "no unit is lost and none is made up");
}

proptest! {
    /// Every window of every limit, against a log of all that was admitted.
    #[test]
    fn no_limit_is_exceeded_in_any_window_and_a_refusal_costs_nothing(
        per_second in 1_u32..8, burst in 1_u32..8, minute in 1_u32..40, day in 1_u64..60,
        factor in 0.2_f32..1.2, steps in prop::collection::vec(0_u64..6_000, 1..150),
    ) {
        let (table, twin) = (LimitTable::new(4), LimitTable::new(4));
        let plan = plan(Some(per_second), Some(burst), Some(minute), Some(day));
        let scaled = |quota: f64| (quota * f64::from(factor.min(1.0)) + 1e-3).max(1.0);
        let (mut now_ms, mut log) = (0_u64, Vec::new());
        for step in steps {
            now_ms += step;
            let now = at(now_ms * 1_000_000);
            let subject = Subject::key(KEY);
            match table.admit(subject, &plan, factor, 1, now) {
                Ok(admitted) => {
                    // The twin is only asked what passed: were refusals charged, it would differ.
                    let twin = twin.admit(subject, &plan, factor, 1, now).map(|a| a.status);
                    prop_assert_eq!(Ok(admitted.status), twin);
                    log.push(now_ms);
                }
                Err(exceeded) => prop_assert!(exceeded.retry_after > Duration::ZERO),
            }
            let within = |ms: u64| log.iter().filter(|at| now_ms - **at < ms).count() as f64;
            prop_assert!(within(60_000) <= scaled(f64::from(minute)));
            prop_assert!(within(86_400_000) <= scaled(day as f64));
            for from in &log {
                let secs = (now_ms - from) as f64 / 1e3;
                let rate = f64::from(per_second) * f64::from(factor.min(1.0)) * (1.0 + 1e-6);
                let bound = scaled(f64::from(burst)) + rate * secs;
                prop_assert!(within(now_ms - from + 1) <= bound + 1e-6);
            }
        }
    }
}
