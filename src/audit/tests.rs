//! The trail as a whole, on a real directory: written, searched, read, verified, tampered with.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::log::format::{FRAME_HEADER_BYTES, Frame, HEADER_BYTES};
use super::log::frames::{Frames, Step};
use super::*;

const START: i64 = 1_790_000_000_000_000;

fn event(n: u64) -> AuditEvent<'static> {
    let ids = EventIds::new(n);
    let micros = START + i64::try_from(n).unwrap() * 1000;
    let kinds = EventType::ALL;
    let pick = |count: u64| usize::try_from(n % count).unwrap();
    AuditEvent {
        source_ip: match n % 11 {
            0 => Source::System,
            last => Source::Address(IpAddr::V4(Ipv4Addr::new(10, 0, pick(3) as u8, last as u8))),
        },
        user_agent: "curl/8 \"quoted\"\n".into(),
        organization_id: (n % 4 != 0).then(|| format!("org-{}", n % 5).into()),
        api_key_id: (n % 4 != 0).then(|| format!("key\"{}", n % 7).into()),
        endpoint: "/v1/graphs/g/query".into(),
        method: "POST".into(),
        status_code: [200, 200, 401, 403, 500][pick(5)],
        request_id: format!("request-{n}").into(),
        processing_time_ms: 1.2345678,
        compliance_tags: compliance_tags(
            ["US", "DE", "CH"].get(pick(3)).copied(),
            None,
            "/query",
            false,
        ),
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
fn the_specifications_fields_are_all_there_in_its_order() {
    let bare = AuditEvent::new(
        EventIds::new(1).next(START),
        START,
        EventType::ApiRequest,
        Severity::Info,
    );
    let json = serde_json::to_string(&bare).unwrap();
    let fields = [
        "schema_version",
        "event_id",
        "timestamp",
        "event_type",
        "severity",
        "source_ip",
        "user_agent",
        "organization_id",
        "api_key_id",
        "endpoint",
        "method",
        "status_code",
        "request_id",
        "processing_time_ms",
        "data_accessed",
        "error_details",
        "compliance_tags",
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
    let verification = verify(dir.path()).unwrap();
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
    assert_eq!(verify(dir.path()).unwrap().tail_bytes, 100);
    let (log, recovery) = Log::open(&options(dir.path())).unwrap();
    assert_eq!((recovery.torn_bytes, recovery.last_sequence), (100, 10));
    log.close();
    let torn: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".torn"))
        .collect();
    assert_eq!(torn.len(), 1);
    assert!(verify(dir.path()).unwrap().is_sound());
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
    assert!(verify(dir.path()).unwrap().is_sound());
}

#[test]
fn a_full_log_drops_the_oldest_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions {
        total_bytes_max: 256 << 10,
        when_full: WhenFull::DropOldest,
        ..options(dir.path())
    };
    let (log, _) = Log::open(&options).unwrap();
    for n in 1..=2000 {
        // A disk that cannot keep up is waited for; history is dropped only once it is synced.
        while log.append(&event(n)).is_err() {
            std::thread::yield_now();
        }
    }
    log.close();
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
    let verification = verify(dir.path()).unwrap();
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

/// The same question asked of the event itself.
fn naive(search: &Search, event: &AuditEvent<'_>, json: &str) -> bool {
    let is =
        |wanted: &Option<String>, got: Option<&str>| wanted.is_none() || wanted.as_deref() == got;
    search.from.is_none_or(|from| event.timestamp >= from)
        && search.to.is_none_or(|to| event.timestamp <= to)
        && is(&search.organization_id, event.organization_id.as_deref())
        && is(&search.api_key_id, event.api_key_id.as_deref())
        && is(&search.request_id, Some(&event.request_id))
        && is(&search.decision_id, event.decision_id.as_deref())
        && search.event_type.is_none_or(|of| of == event.event_type)
        && search.severity.is_none_or(|of| of == event.severity)
        && search.status.is_none_or(|of| of == event.status_code)
        && search.event_id.is_none_or(|id| id == event.event_id)
        && search
            .source_ip
            .is_none_or(|filter| match (filter, event.source_ip) {
                (SourceFilter::System, Source::System) => true,
                (SourceFilter::Network(net), Source::Address(address)) => net.contains(&address),
                _ => false,
            })
        && (search.compliance_tags.is_empty()
            || event
                .compliance_tags
                .iter()
                .any(|tag| search.compliance_tags.iter().any(|t| t == tag)))
        && search
            .text
            .as_deref()
            .is_none_or(|text| json.contains(text))
}

fn searches() -> impl Strategy<Value = Search> {
    let maybe = |text: &'static str| prop::option::weighted(0.3, text);
    let words = (
        maybe("org-[0-6]"),
        maybe("key\"[0-8]"),
        maybe("request-[0-9]{1,3}"),
        maybe("decision-[0-9]{1,3}"),
    );
    let kinds = (
        prop::option::weighted(0.2, prop::sample::select(EventType::ALL.to_vec())),
        prop::option::weighted(0.2, prop::sample::select(Severity::ALL.to_vec())),
        prop::option::weighted(0.2, prop::sample::select(vec![200, 401, 403, 404, 500])),
        prop::option::weighted(
            0.3,
            prop::sample::select(vec!["system", "10.0.1.0/24", "10.0.2.5", "::/0"]),
        ),
    );
    let rest = (
        prop::option::weighted(0.3, 0..700_i64),
        prop::option::weighted(0.3, 0..700_i64),
        prop::collection::vec(prop::sample::select(vec!["ccpa", "gdpr", "hipaa"]), 0..3),
        maybe("request-1|org-2|zzz"),
        prop::option::weighted(0.1, 0..600_u64),
    );
    (words, kinds, rest).prop_map(
        |((org, key, request, decision), (of, severity, status, source), rest)| {
            let (from, to, tags, text, id) = rest;
            Search {
                from: from.map(|n| START + n * 1000),
                to: to.map(|n| START + n * 1000),
                organization_id: org,
                api_key_id: key,
                event_type: of,
                severity,
                source_ip: source.map(|source| source.parse().unwrap()),
                status,
                request_id: request,
                decision_id: decision,
                event_id: id.map(|n| event(n).event_id),
                compliance_tags: tags.into_iter().map(str::to_owned).collect(),
                text,
                limit: LIMIT,
                cursor: None,
            }
        },
    )
}

const LIMIT: usize = 1000;

#[test]
fn search_equals_a_naive_filter() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let stored = |n| (event(n), serde_json::to_string(&event(n)).unwrap());
    let events: Vec<_> = (1..=600).map(stored).collect();
    for (event, _) in &events {
        log.append(event).unwrap();
    }
    let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
    let checked = runner.run(&searches(), |search| {
        let expected: Vec<String> = events
            .iter()
            .rev()
            .filter(|(event, json)| naive(&search, event, json))
            .map(|(event, _)| event.request_id.clone().into_owned())
            .collect();
        prop_assert_eq!(&request_ids(&log.search(&search).unwrap()), &expected);
        prop_assert_eq!(
            &request_ids(&search_dir(dir.path(), &search).unwrap()),
            &expected
        );
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_wrong_or_absent_index_changes_no_answer() {
    let dir = written(400);
    let search = Search {
        organization_id: Some("org-1".into()),
        limit: LIMIT,
        ..Search::default()
    };
    let expected = request_ids(&search_dir(dir.path(), &search).unwrap());
    assert!(!expected.is_empty());
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            fs::write(&path, b"nonsense").unwrap();
        }
    }
    assert_eq!(
        request_ids(&search_dir(dir.path(), &search).unwrap()),
        expected
    );
}

/// How somebody who knows the format tampers with a log.
#[derive(Clone, Copy, Debug)]
enum Tampering {
    Flip,
    Delete,
    Swap,
    Edit,
    Truncate,
}

fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    Frames::new(bytes, HEADER_BYTES)
        .filter_map(|step| match step {
            Step::Frame { offset, frame } => Some((offset, offset + frame.size())),
            Step::Damage { .. } => None,
        })
        .collect()
}

/// The bytes after tampering, and the first sequence that may be named; `None` when nothing changed.
fn tamper(bytes: &[u8], how: Tampering, at: usize, bit: u32) -> Option<Vec<u8>> {
    let frames = frames(bytes);
    let (start, end) = *frames.get(at % frames.len())?;
    let mut out = bytes.to_vec();
    match how {
        Tampering::Flip => {
            let at = at % bytes.len();
            // The zero bytes of the header mean nothing yet, but its checksum covers them.
            out[at] ^= 1 << (bit % 8);
        }
        Tampering::Delete => {
            out.drain(start..end);
        }
        Tampering::Swap => {
            let (next_start, next_end) = *frames.get(at % frames.len() + 1)?;
            out.splice(
                start..next_end,
                [&bytes[next_start..next_end], &bytes[start..end]].concat(),
            );
        }
        Tampering::Edit => {
            let frame = Frame::decode(&bytes[start..]).unwrap();
            let edited = String::from_utf8(frame.payload.to_vec())
                .unwrap()
                .replace("POST", "GETT");
            let mut forged = Vec::new();
            Frame {
                payload: edited.as_bytes(),
                ..frame
            }
            .encode(&mut forged);
            out.splice(start..end, forged);
        }
        Tampering::Truncate => out.truncate(start + bit as usize % FRAME_HEADER_BYTES),
    }
    (out != bytes).then_some(out)
}

#[test]
fn verify_names_every_flip_edit_deletion_swap_and_truncation() {
    let dir = written(250);
    let copy = tempfile::tempdir().unwrap();
    let files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for file in &files {
        fs::copy(file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    let segments: Vec<_> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    assert!(segments.len() > 2);
    let how = prop::sample::select(vec![
        Tampering::Flip,
        Tampering::Delete,
        Tampering::Swap,
        Tampering::Edit,
        Tampering::Truncate,
    ]);
    let mut runner = TestRunner::default();
    let checked = runner.run(
        &(
            how,
            any::<prop::sample::Index>(),
            any::<u32>(),
            any::<u32>(),
        ),
        |(how, segment, at, bit)| {
            let original = segments[segment.index(segments.len())];
            let bytes = fs::read(original).unwrap();
            let Some(tampered) = tamper(&bytes, how, at as usize, bit) else {
                return Ok(());
            };
            let target = copy.path().join(original.file_name().unwrap());
            fs::write(&target, tampered).unwrap();
            let verification = verify(copy.path()).unwrap();
            fs::write(&target, &bytes).unwrap();
            let bad = verification.first_bad;
            prop_assert!(bad.is_some(), "{how:?} was not noticed");
            let bad = bad.unwrap();
            let named: u64 = original
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            // What is cut off the end of a segment is missed where the next one begins.
            prop_assert!(
                bad.segment == named || bad.segment == named + 1,
                "{how:?} in {named}: {bad:?}"
            );
            Ok(())
        },
    );
    checked.unwrap();
    assert!(
        verify(copy.path()).unwrap().is_sound(),
        "the untouched copy is sound"
    );
}
