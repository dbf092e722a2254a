use std::path::Path;

use serde_json::json;
use uuid::Uuid;

use super::{Counted, NAMES_MAX, Scope, Standard, html, report};
use crate::audit::event::*;
use crate::audit::{Log, LogOptions};

const DAY: i64 = 86_400_000_000;
/// 2026-11-01T00:00:00Z
const BEGIN: i64 = 1_793_491_200_000_000;

fn event(n: u128, day: i64, event_type: EventType, severity: Severity) -> AuditEvent<'static> {
    AuditEvent {
        source_ip: Source::Address("203.0.113.9".parse().unwrap()),
        organization_id: Some("acme".into()),
        api_key_id: Some("ab12cd34".into()),
        endpoint: "/v1/graphs/people/query".into(),
        method: "POST".into(),
        status_code: 200,
        ..AuditEvent::new(Uuid::from_u128(n), BEGIN + day * DAY, event_type, severity)
    }
}

fn access(n: u128, day: i64, organization: &'static str) -> AuditEvent<'static> {
    AuditEvent {
        organization_id: Some(organization.into()),
        compliance_tags: vec!["gdpr".into(), "data_access".into(), "pii".into()],
        data_accessed: Some(DataAccessed {
            graph_ids: vec!["people".into()],
            pii_detected: true,
            data_classification: Some("restricted".into()),
            pii_kinds: [("email".into(), 2)].into(),
            ..DataAccessed::default()
        }),
        geographic_location: Some(GeographicLocation {
            country: Some("FR".into()),
            ..GeographicLocation::default()
        }),
        ..event(n, day, EventType::DataAccess, Severity::Warning)
    }
}

fn events() -> Vec<AuditEvent<'static>> {
    let system = |n: u128, what: &'static str, event_type: EventType, details| AuditEvent {
        event_type,
        ..AuditEvent::system(
            Uuid::from_u128(n),
            BEGIN + DAY,
            Severity::Info,
            what,
            details,
        )
    };
    let threat = AuditEvent {
        endpoint: "/v1/<script>".into(),
        refusal_code: Some("threat-blocked".into()),
        indicators: vec![IndicatorRecord {
            rule: "xss-1".into(),
            indicator_type: "XSS_ATTEMPT".into(),
            severity: "high".into(),
            confidence: 0.9,
            score: 0.9,
            blocks_from: None,
            description: "a script".into(),
            field: "path".into(),
            evidence: "<script>".into(),
            mode: "enforce".into(),
            mitigations: Vec::new(),
        }],
        ..event(4, 2, EventType::SecurityEvent, Severity::Critical)
    };
    let nobody = AuditEvent {
        organization_id: None,
        api_key_id: None,
        refusal_code: Some("key-unknown".into()),
        ..event(5, 2, EventType::Authentication, Severity::Warning)
    };
    vec![
        access(1, -1, "acme"),
        access(2, 0, "acme"),
        access(3, 1, "other"),
        system(10, "gateway.started", EventType::SystemEvent, json!({})),
        AuditEvent {
            actor: Some("ann".into()),
            ..system(
                11,
                "key.changed",
                EventType::ConfigurationChange,
                json!({"transition": "created"}),
            )
        },
        threat,
        nobody,
        event(6, 2, EventType::DataAccess, Severity::Info),
        access(7, 30, "acme"),
    ]
}

fn log(dir: &Path, events: &[AuditEvent<'_>]) {
    let (log, _) = Log::open(&LogOptions::new(dir)).unwrap();
    for event in events {
        log.append(event).unwrap();
    }
    log.close();
}

fn november(standard: Standard, organization: Option<&str>) -> Scope {
    Scope {
        standard,
        from: BEGIN,
        to: BEGIN + 30 * DAY,
        organization: organization.map(str::to_owned),
    }
}

#[test]
fn a_report_says_what_its_golden_file_says() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), &events());
    let made = report(
        folder.path(),
        &november(Standard::Gdpr, None),
        BEGIN + 31 * DAY,
    )
    .unwrap();
    let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events/report.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn an_organizations_report_holds_nothing_of_others() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), &events());
    let scope = november(Standard::Soc2, Some("other"));
    let made = report(folder.path(), &scope, BEGIN).unwrap();
    assert_eq!(made.accesses.total, 1);
    assert_eq!(made.events.values().sum::<u64>(), 1);
    let page = html(&made);
    assert!(!page.contains("acme") && page.contains("other"));
    assert_eq!(made.proof.events, 9, "the proof is of the whole log");
}

#[test]
fn only_tagged_accesses_are_a_standards_own() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), &events());
    let total = |standard| {
        let made = report(folder.path(), &november(standard, None), BEGIN).unwrap();
        assert!(!made.controls.is_empty());
        (made.accesses.total, made.events.values().sum::<u64>())
    };
    assert_eq!(total(Standard::Gdpr), (2, 7));
    assert_eq!(total(Standard::Soc2), (3, 7));
    for other in [Standard::Hipaa, Standard::PciDss, Standard::Ccpa] {
        assert_eq!(total(other), (0, 7), "{other:?}");
    }
}

#[test]
fn the_page_escapes_what_was_sent_and_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), &events());
    let page = html(&report(folder.path(), &november(Standard::PciDss, None), BEGIN).unwrap());
    assert!(page.contains("/v1/&lt;script&gt;") && !page.contains("<script"));
    assert!(page.contains("10.2.1.4") && page.contains("The log verifies"));
    assert!(!page.contains("http"), "nothing from elsewhere");
}

#[test]
fn a_damaged_log_is_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), &events());
    let mut files = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let segment = files
        .find(|path| path.extension().is_some_and(|end| end == "seg"))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let made = report(folder.path(), &november(Standard::Gdpr, None), BEGIN).unwrap();
    assert!(!made.proof.sound && made.proof.bad_places > 0);
    assert!(html(&made).contains("does not verify"));
}

#[test]
fn personal_data_counts_in_events_of_any_type_and_subjects_are_told_with_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let tagged = |n, day, event_type| AuditEvent {
        compliance_tags: vec!["gdpr".into(), "pii".into()],
        ..event(n, day, event_type, Severity::Warning)
    };
    let events = [
        tagged(1, 3, EventType::ApiRequest),
        tagged(2, 1, EventType::SecurityEvent),
        event(3, 2, EventType::DataAccess, Severity::Info),
    ];
    log(folder.path(), &events);
    let made = report(folder.path(), &november(Standard::Gdpr, None), BEGIN).unwrap();
    assert_eq!(made.accesses.with_personal_data, 2);
    let (name, met) = made.subjects.organizations.by_name.iter().next().unwrap();
    assert_eq!(met.events, 3, "{name}");
    assert!(
        met.first.starts_with("2026-11-02") && met.last.starts_with("2026-11-04"),
        "{met:?}"
    );
}

#[test]
fn personal_data_is_that_of_the_standards_own_events_whatever_their_type() {
    let folder = tempfile::tempdir().unwrap();
    let event = |n, event_type, kind: &'static str, tags: &[&'static str]| AuditEvent {
        compliance_tags: tags.iter().map(|tag| (*tag).into()).collect(),
        data_accessed: Some(DataAccessed {
            pii_detected: true,
            pii_kinds: [(kind.into(), 1)].into(),
            pii_response_kinds: [(kind.into(), 2)].into(),
            ..DataAccessed::default()
        }),
        ..event(n, 1, event_type, Severity::Warning)
    };
    let events = [
        event(1, EventType::DataAccess, "email", &["gdpr", "pii"]),
        event(2, EventType::Authorization, "phone", &["gdpr", "pii"]),
        event(3, EventType::SecurityEvent, "ssn", &["hipaa", "pii"]),
        event(4, EventType::DataAccess, "card", &["pii"]),
    ];
    log(folder.path(), &events);
    let found = |standard| {
        let made = report(folder.path(), &november(standard, None), BEGIN).unwrap();
        let of = made.accesses;
        let kinds: Vec<_> = of.personal_data.by_name.into_iter().collect();
        (of.total, of.with_personal_data, kinds)
    };
    let three = |kinds: &[&str]| -> Vec<(String, u64)> {
        kinds.iter().map(|kind| ((*kind).to_owned(), 3)).collect()
    };
    assert_eq!(found(Standard::Gdpr), (1, 2, three(&["email", "phone"])));
    assert_eq!(found(Standard::Hipaa), (0, 1, three(&["ssn"])));
    for other in [Standard::PciDss, Standard::Ccpa] {
        assert_eq!(found(other), (0, 0, Vec::new()), "{other:?}");
    }
    let all = three(&["card", "email", "phone", "ssn"]);
    assert_eq!(found(Standard::Soc2), (2, 4, all));
}

#[test]
fn names_beyond_the_bound_are_counted_together() {
    let mut counted = Counted::default();
    for n in 0..NAMES_MAX + 10 {
        counted.add(&n.to_string(), 1);
        counted.add("0", 1);
    }
    assert_eq!(counted.by_name.len(), NAMES_MAX);
    assert_eq!(counted.others, 10);
    assert_eq!(counted.by_name["0"], NAMES_MAX as u64 + 11);
}
