//! The trail as a whole, on a real directory: written, searched, read, verified, tampered with.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::log::format::HEADER_BYTES;
use super::*;

mod beside;
mod erase;
mod follow;
mod mutate;
mod proof;
mod search;
mod tamper;

const START: i64 = 1_790_000_000_000_000;

fn event(n: u64) -> AuditEvent<'static> {
    let ids = EventIds::new(n);
    let micros = START + i64::try_from(n).unwrap() * 1000;
    let kinds = EventType::ALL;
    let pick = |count: u64| usize::try_from(n % count).unwrap();
    let byte = |part: u64| u8::try_from(part).unwrap();
    AuditEvent {
        source_ip: match n % 11 {
            0 => Source::System,
            last => Source::Address(IpAddr::V4(Ipv4Addr::new(10, 0, byte(n % 3), byte(last)))),
        },
        user_agent: "curl/8 \"quoted\"\n".into(),
        organization_id: (!n.is_multiple_of(4)).then(|| format!("org-{}", n % 5).into()),
        api_key_id: (!n.is_multiple_of(4)).then(|| format!("key\"{}", n % 7).into()),
        endpoint: "/v1/graphs/g/query".into(),
        method: "POST".into(),
        status_code: [200, 200, 401, 403, 500][pick(5)],
        request_id: format!("request-{n}").into(),
        processing_time_ms: 1.2345678,
        compliance_tags: compliance_tags(&Grounds {
            event_type: EventType::ApiRequest,
            country: ["US", "DE", "CH"].get(pick(3)).copied(),
            industry: None,
            path: "/query",
            data: false,
            modifies: false,
            pii: false,
        }),
        decision_id: (n % 5 == 3).then(|| format!("decision-{n}").into()),
        outcome: Some(Outcome::Forwarded),
        ..AuditEvent::new(
            ids.next(micros),
            micros,
            kinds[pick(7)],
            Severity::ALL[pick(4)],
        )
    }
}

fn options(dir: &Path) -> LogOptions {
    LogOptions {
        segment_bytes_max: 64 << 10,
        ..LogOptions::new(dir)
    }
}

/// A closed log of `count` events.
fn written(count: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (log, recovery) = Log::open(&options(dir.path())).unwrap();
    assert!(recovery.is_clean());
    for n in 1..=count {
        assert_eq!(log.append(&event(n)).unwrap(), Position(n));
    }
    log.close();
    dir
}

fn request_ids(page: &Page) -> Vec<String> {
    let id = |json: &serde_json::value::RawValue| {
        let event: Value = serde_json::from_str(json.get()).unwrap();
        event["request_id"].as_str().unwrap().to_owned()
    };
    page.events.iter().map(|event| id(event)).collect()
}

#[test]
fn the_specifications_fields_are_all_there_and_the_personal_ones_last() {
    let bare = AuditEvent::new(
        EventIds::new(1).next(START),
        START,
        EventType::ApiRequest,
        Severity::Info,
    );
    let json = serde_json::to_string(&bare).unwrap();
    // What may tell of a person comes last.
    let fields = [
        "schema_version",
        "event_id",
        "timestamp",
        "event_type",
        "severity",
        "organization_id",
        "endpoint",
        "method",
        "status_code",
        "request_id",
        "processing_time_ms",
        "data_accessed",
        "compliance_tags",
        "source_ip",
        "user_agent",
        "api_key_id",
        "error_details",
        "geographic_location",
    ];
    let places: Vec<_> = fields
        .iter()
        .map(|field| json.find(&format!("\"{field}\":")))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{json}"
    );
    assert_eq!(
        serde_json::from_str::<Value>(&json)
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        fields.len()
    );
    assert!(
        json.contains("\"timestamp\":\"2026-09-21T14:13:20.000000Z\""),
        "{json}"
    );
}

#[test]
fn a_log_of_another_version_is_refused_and_left_alone() {
    let dir = written(5);
    let path = dir.path().join("000000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 1;
    let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
    bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let refused = Log::open(&options(dir.path())).err().unwrap();
    let reason = std::error::Error::source(&refused).unwrap().to_string();
    assert!(reason.contains("another log format"), "{refused}: {reason}");
    assert!(verify(dir.path(), &Trust::default()).is_err());
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn an_event_is_one_line_and_is_read_back_as_written() {
    for n in 0..50 {
        let json = serde_json::to_string(&event(n)).unwrap();
        assert!(!json.contains('\n'));
        let mut back: AuditEvent<'static> = serde_json::from_str(&json).unwrap();
        assert!((back.processing_time_ms - 1.235).abs() < 1e-9);
        back.processing_time_ms = event(n).processing_time_ms;
        assert_eq!(back, event(n));
    }
}

#[test]
fn events_of_any_size_are_recorded_the_largest_ones_clipped() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let huge = AuditEvent {
        user_agent: "\u{1}é".repeat(300_000).into(),
        ..event(1)
    };
    log.append(&huge).unwrap();
    let page = log.search(&Search::default()).unwrap();
    let stored: AuditEvent<'_> = serde_json::from_str(page.events[0].get()).unwrap();
    assert_eq!(stored.details.unwrap()["clipped"], true);
    assert_eq!(stored.request_id, "request-1");
}

#[test]
fn a_log_is_continued_after_it_was_closed() {
    let dir = written(300);
    let (log, recovery) = Log::open(&options(dir.path())).unwrap();
    assert!(recovery.is_clean());
    assert_eq!(recovery.last_sequence, 300);
    assert_eq!(log.append(&event(301)).unwrap(), Position(301));
    drop(log);
    let sequences: Vec<u64> = read_all(dir.path())
        .map(|event| event.unwrap().position.0)
        .collect();
    assert_eq!(sequences, (1..=301).collect::<Vec<_>>());
    let verification = verify(dir.path(), &Trust::default()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    assert_eq!(
        (verification.events, verification.checkpoint_sequence),
        (301, Some(301))
    );
}

#[test]
fn one_process_writes_and_all_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let (log, _) = Log::open(&options(&dir)).unwrap();
    assert!(matches!(
        Log::open(&options(&dir)),
        Err(OpenError::InUse(_))
    ));
    log.append(&event(1)).unwrap();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(dir.clone()), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(mode(entry.unwrap().path()), 0o600);
    }
    drop(log);
    assert!(Log::open(&options(&dir)).is_ok());
}

#[test]
fn a_torn_tail_is_moved_aside_and_reported() {
    let dir = written(10);
    let path = dir.path().join("000000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&bytes.clone()[HEADER_BYTES..HEADER_BYTES + 100]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(
        verify(dir.path(), &Trust::default()).unwrap().tail_bytes,
        100
    );
    let (log, recovery) = Log::open(&options(dir.path())).unwrap();
    assert_eq!((recovery.torn_bytes, recovery.last_sequence), (100, 10));
    log.close();
    let torn: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".torn"))
        .collect();
    assert_eq!(torn.len(), 1);
    assert!(verify(dir.path(), &Trust::default()).unwrap().is_sound());
}

#[tokio::test]
async fn synced_completes_and_says_no_after_close() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        durability: Durability::Synced,
        ..options(dir.path())
    };
    let (log, _) = Log::open(&options).unwrap();
    let position = log.record(&event(1)).await.unwrap();
    assert!(log.stats().synced_sequence >= position.0);
    log.close();
    assert!(matches!(log.append(&event(2)), Err(AppendError::Closed)));
    assert!(matches!(log.writable(), Err(AppendError::Closed)));
    assert!(matches!(
        log.synced(Position(2)).await,
        Err(AppendError::Closed)
    ));
}

#[test]
fn a_full_log_refuses_and_keeps_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        total_bytes_max: 256 << 10,
        ..options(dir.path())
    };
    let (log, _) = Log::open(&options).unwrap();
    let refused = (1..).find(|n| log.append(&event(*n)).is_err()).unwrap();
    assert!(matches!(
        log.append(&event(refused)),
        Err(AppendError::Full)
    ));
    assert!(matches!(log.writable(), Err(AppendError::Full)));
    assert_eq!(log.stats().events_refused, 2);
    log.close();
    assert_eq!(read_all(dir.path()).count() as u64, refused - 1);
    assert!(verify(dir.path(), &Trust::default()).unwrap().is_sound());
}

/// A log of 256 KiB that drops the oldest events for new ones.
fn small(dir: &Path) -> LogOptions {
    LogOptions {
        total_bytes_max: 256 << 10,
        when_full: WhenFull::DropOldest,
        ..options(dir)
    }
}

/// Such a log, closed, that was given so many events.
fn dropping_oldest(dir: &Path, events: u64) -> Log {
    let (log, _) = Log::open(&small(dir)).unwrap();
    for n in 1..=events {
        // A disk that cannot keep up is waited for; history is dropped only once it is synced.
        while log.append(&event(n)).is_err() {
            std::thread::yield_now();
        }
    }
    log.close();
    log
}

#[test]
fn a_full_log_drops_the_oldest_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = dropping_oldest(dir.path(), 2000);
    let stats = log.stats();
    assert!(
        stats.segments_dropped > 0 && stats.bytes <= 256 << 10,
        "{stats:?}"
    );
    let told = search_dir(
        dir.path(),
        &Search {
            text: Some("audit.log.dropped".into()),
            ..Search::default()
        },
    );
    assert!(!told.unwrap().events.is_empty());
    let verification = verify(dir.path(), &Trust::default()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    assert_eq!(verification.first_sequence, stats.events_dropped + 1);
}

#[test]
fn the_tail_follows_the_log_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let mut read = Vec::new();
    let mut at = Position(0);
    for n in 1..=500 {
        log.append(&event(n)).unwrap();
        if n % 97 == 0 {
            loop {
                let tail = log.tail(at, 30).unwrap();
                let Some(last) = tail.events.last() else {
                    break;
                };
                at = last.position;
                read.extend(tail.events.iter().map(|event| event.position.0));
            }
        }
    }
    assert_eq!(read, (1..=485).collect::<Vec<_>>());
    assert!(log.stats().segments > 2);
}

#[test]
fn cursor_pages_are_complete_and_without_duplicates_while_appends_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let mut appended = 0;
    let mut append = |count: u64| {
        for _ in 0..count {
            appended += 1;
            log.append(&event(appended)).unwrap();
        }
    };
    append(1000);
    let mut search = Search {
        limit: 7,
        organization_id: Some("org-3".into()),
        ..Search::default()
    };
    let mut found = Vec::new();
    loop {
        let page = log.search(&search).unwrap();
        found.extend(request_ids(&page));
        append(5);
        search.cursor = page.next_cursor;
        if search.cursor.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (1..=1000)
        .rev()
        .filter(|n| n % 4 != 0 && n % 5 == 3)
        .map(|n| format!("request-{n}"))
        .collect();
    assert_eq!(found, expected);
}
