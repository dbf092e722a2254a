//! The table and its store together: networks, bounds, restarts, lifts, ends.

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::policy::auth::{GraphAccess, KeyState, Networks, ScopeSet};
use crate::policy::penalty::tests::{secs, terms};
use crate::policy::threat::Mitigation;

fn start() -> Now {
    Now {
        mono_nanos: 1,
        unix_micros: 1_800_000_000_000_000,
    }
}

fn caller(key_id: &str) -> Caller {
    Caller {
        key_id: key_id.into(),
        organization_id: "acme".into(),
        plan: "free".into(),
        scopes: ScopeSet::default(),
        graphs: GraphAccess::All,
        networks: Networks::default(),
        industry: None,
        expires_at_micros: None,
        state: KeyState::Active,
        limits_exempt: false,
        index: 0,
    }
}

fn cause() -> Cause {
    Cause {
        rules: "one,two".to_owned(),
        event_id: Uuid::from_u128(7),
    }
}

fn of(kind: Kind) -> Mitigations {
    Mitigations::default().with(kind.mitigation())
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn open(folder: &TempDir) -> Penalties {
    Penalties::open(folder.path()).unwrap()
}

/// Waits until a change is on disk, as an answer does.
fn wait_for(penalties: &Penalties, version: u64) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.build().unwrap();
    runtime.block_on(penalties.written(version));
}

fn suspend(penalties: &Penalties, key: &str, from: &str, now: Now) -> Laid {
    let kind = of(Kind::TemporarySuspension);
    penalties.lay(&caller(key), address(from), kind, &cause(), &terms(), now);
    penalties.lay(&caller(key), address(from), kind, &cause(), &terms(), now)
}

fn suspended(penalties: &Penalties, key: &str, from: &str, now: Now) -> bool {
    let standing = penalties.standing(&caller(key), address(from), &terms(), now);
    standing.suspended_until_micros.is_some()
}

#[test]
fn a_suspension_is_bound_to_key_and_network() {
    let folder = TempDir::new().unwrap();
    let (penalties, now) = (open(&folder), start());
    suspend(&penalties, "key1", "203.0.113.7", now);
    suspend(&penalties, "key1", "2001:db8::1", now);
    for (key, from, expected) in [
        ("key1", "203.0.113.7", true),
        ("key1", "203.0.113.200", true),
        ("key1", "::ffff:203.0.113.9", true),
        ("key1", "203.0.114.7", false),
        ("key1", "2001:db8::ffff", true),
        ("key1", "2001:db8:0:1::1", false),
        ("key2", "203.0.113.7", false),
    ] {
        assert_eq!(
            suspended(&penalties, key, from, now),
            expected,
            "{key} {from}"
        );
    }
}

#[test]
fn what_an_answer_waited_for_is_there_after_a_crash() {
    let folder = TempDir::new().unwrap();
    let (penalties, now) = (open(&folder), start());
    let laid = suspend(&penalties, "key1", "203.0.113.7", now);
    wait_for(&penalties, laid.version.unwrap());
    // The first is not closed: what is not written by now is lost.
    let again = open(&folder);
    assert!(suspended(&again, "key1", "203.0.113.7", now));
    assert_eq!(again.list(now), penalties.list(now));
    assert!(!suspended(
        &again,
        "key1",
        "203.0.113.7",
        now.plus(secs(3_600))
    ));
}

#[test]
fn an_end_is_told_once_even_across_a_restart() {
    let folder = TempDir::new().unwrap();
    let (penalties, now) = (open(&folder), start());
    suspend(&penalties, "key1", "203.0.113.7", now);
    assert!(penalties.sweep(&terms(), now.plus(secs(3_599))).is_empty());
    penalties.close();
    let later = now.plus(secs(3_600));
    let again = open(&folder);
    assert_eq!(again.sweep(&terms(), later).len(), 1);
    assert!(again.sweep(&terms(), later).is_empty());
    again.close();
    let third = open(&folder);
    assert!(third.sweep(&terms(), later).is_empty());
    // Still remembered: the next finding suspends at once, for twice as long.
    let kind = of(Kind::TemporarySuspension);
    let from = address("203.0.113.7");
    third.lay(&caller("key1"), from, kind, &cause(), &terms(), later);
    let standing = third.standing(&caller("key1"), from, &terms(), later);
    let until = later.plus(secs(7_200)).unix_micros;
    assert_eq!(standing.suspended_until_micros, Some(until));
    third.sweep(&terms(), later.plus(secs(20_000)));
    assert_eq!(third.count.load(Ordering::Relaxed), 0);
    third.close();
    assert!(
        open(&folder).table().len() == 0,
        "what is forgotten leaves the disk"
    );
}

#[test]
fn a_lift_by_another_process_is_taken_over_and_told() {
    let folder = TempDir::new().unwrap();
    let (penalties, now) = (open(&folder), start());
    let laid = suspend(&penalties, "key1", "203.0.113.7", now);
    wait_for(&penalties, laid.version.unwrap());
    let mut other = PenaltyStore::open(folder.path()).unwrap();
    let id = other.list(now).unwrap()[0].penalty.id;
    assert_eq!(other.lift(id, "ada", now).unwrap().key_id, "key1".into());
    assert!(matches!(
        other.lift(id, "ada", now),
        Err(StoreError::NotFound(_))
    ));

    let lifts = penalties.lifts().unwrap();
    assert_eq!((lifts.len(), lifts[0].by.as_str()), (1, "ada"));
    assert_eq!(penalties.lift(id).unwrap().0.penalty.id, id);
    assert!(!suspended(&penalties, "key1", "203.0.113.7", now));
    penalties.forget_lifts(lifts[0].sequence).unwrap();
    assert!(penalties.lifts().unwrap().is_empty());
    penalties.close();
    assert!(open(&folder).list(now).is_empty());
}

#[test]
fn a_key_penalised_from_too_many_networks_is_penalised_everywhere() {
    let folder = TempDir::new().unwrap();
    let (penalties, now) = (open(&folder), start());
    for network in 0..NETWORKS_OF_KEY_MAX {
        suspend(&penalties, "key1", &format!("10.0.{network}.1"), now);
    }
    assert!(!suspended(&penalties, "key1", "192.0.2.1", now));
    suspend(&penalties, "key1", "10.1.0.1", now);
    assert!(suspended(&penalties, "key1", "192.0.2.1", now));
    assert!(!suspended(&penalties, "key2", "10.0.1.1", now));
    assert!(penalties.list(now).iter().any(|e| e.network.is_none()));
}

#[test]
fn an_exempt_key_is_spared_but_may_be_watched() {
    let folder = TempDir::new().unwrap();
    let (penalties, now) = (open(&folder), start());
    let exempt = Caller {
        limits_exempt: true,
        ..caller("key1")
    };
    let all = Kind::ALL
        .into_iter()
        .fold(Mitigations::default(), |all, kind| {
            all.with(kind.mitigation())
        });
    let from = address("203.0.113.7");
    for _ in 0..3 {
        penalties.lay(&exempt, from, all, &cause(), &terms(), now);
    }
    let standing = penalties.standing(&exempt, address("192.0.2.1"), &terms(), now);
    assert!(standing.monitored_by.is_some());
    assert_eq!(
        Standing {
            barred_by: None,
            monitored_by: None,
            ..standing
        },
        Standing::default()
    );
    let only_block = Mitigations::default().with(Mitigation::BlockRequest);
    let laid = penalties.lay(&caller("key2"), from, only_block, &cause(), &terms(), now);
    assert!(laid.changes.is_empty() && laid.version.is_none());
}

#[test]
fn a_full_table_forgets_what_is_over_and_else_says_so() {
    let (mut table, now) = (Table::default(), start());
    let network = network_of(address("203.0.113.7"));
    let strike = |table: &mut Table, key: usize, now| {
        let caller = caller(&format!("key{key}"));
        let kind = Kind::RateLimitReduction;
        table
            .strike(&caller, Some(network), kind, &cause(), &terms(), now)
            .is_some()
    };
    for key in 0..SUBJECTS_MAX {
        assert!(strike(&mut table, key, now));
    }
    assert!(!strike(&mut table, SUBJECTS_MAX, now));
    assert!(strike(&mut table, 0, now), "who is in it stays in it");
    let later = now.plus(secs(1_200));
    table.sweep(&terms(), later);
    assert!(strike(&mut table, SUBJECTS_MAX, later));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_store_of_a_later_version_is_refused_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    drop(PenaltyStore::open(folder.path()).unwrap());
    let path = folder.path().join("penalties.db");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let db = rusqlite::Connection::open(path).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    assert!(matches!(
        PenaltyStore::open(folder.path()),
        Err(StoreError::LaterSchema { found: 9 })
    ));
}

#[derive(Clone, Debug)]
enum Action {
    Lay(usize, usize, usize),
    Wait(u64),
    Sweep,
    LiftFirst,
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => (0..3_usize, 0..3_usize, 0..4_usize).prop_map(|(k, n, m)| Action::Lay(k, n, m)),
        3 => (0..5_000_u64).prop_map(Action::Wait),
        2 => Just(Action::Sweep),
        1 => Just(Action::LiftFirst),
        1 => Just(Action::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Memory and disk agree: a table that is restarted again and again is the table that never was.
    #[test]
    fn restarts_change_nothing(actions in prop::collection::vec(action(), 1..30)) {
        let (folder, spared) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let (mut restarted, steady, mut now) = (open(&folder), open(&spared), start());
        for action in actions {
            match action {
                Action::Lay(key, network, kind) => {
                    let (key, kind) = (caller(&format!("key{key}")), of(Kind::ALL[kind]));
                    let from = address(&format!("10.0.{network}.1"));
                    for penalties in [&restarted, &steady] {
                        penalties.lay(&key, from, kind, &cause(), &terms(), now);
                    }
                }
                Action::Wait(count) => now = now.plus(secs(count)),
                Action::Sweep => {
                    let ended = |penalties: &Penalties| penalties.sweep(&terms(), now).len();
                    prop_assert_eq!(ended(&restarted), ended(&steady));
                }
                Action::LiftFirst => {
                    let first = |penalties: &Penalties| {
                        let mut all = penalties.list(now);
                        all.sort_by_key(|e| (e.key_id.clone(), e.network, e.penalty.kind));
                        all.first().map(|entry| penalties.lift(entry.penalty.id).is_some())
                    };
                    prop_assert_eq!(first(&restarted), first(&steady));
                }
                Action::Restart => {
                    restarted.close();
                    restarted = open(&folder);
                }
            }
            for (key, network) in [(0, 0), (0, 1), (1, 0), (2, 2)] {
                let key = caller(&format!("key{key}"));
                let from = address(&format!("10.0.{network}.1"));
                let standing = |penalties: &Penalties| Standing {
                    barred_by: None,
                    monitored_by: None,
                    ..penalties.standing(&key, from, &terms(), now)
                };
                prop_assert_eq!(standing(&restarted), standing(&steady));
            }
        }
    }
}
