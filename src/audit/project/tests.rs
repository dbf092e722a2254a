use std::path::Path;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Format, project};
use crate::audit::event::*;

fn base(event_type: EventType, severity: Severity) -> AuditEvent<'static> {
    AuditEvent::new(
        Uuid::from_u128(0x019b_0000_0000_7000_8000_0000_0000_0001),
        1_795_000_000_123_456,
        event_type,
        severity,
    )
}

fn request(event_type: EventType, severity: Severity, status: u16) -> AuditEvent<'static> {
    AuditEvent {
        source_ip: Source::Address("203.0.113.9".parse().unwrap()),
        user_agent: "ada/1.0".into(),
        organization_id: Some("acme".into()),
        api_key_id: Some("ab12cd34".into()),
        endpoint: "/v1/graphs/people/query".into(),
        method: "POST".into(),
        status_code: status,
        request_id: "request-1".into(),
        processing_time_ms: 12.345,
        geographic_location: Some(GeographicLocation {
            country: Some("FR".into()),
            region: None,
            city: Some("Lyon".into()),
        }),
        route: Some("graph-query".into()),
        plan: Some("premium".into()),
        outcome: Some(if status < 400 {
            Outcome::Forwarded
        } else {
            Outcome::Refused
        }),
        request_bytes: 100,
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        inspection: Some(Inspection::Complete),
        ..base(event_type, severity)
    }
}

fn of_requests() -> Vec<(&'static str, AuditEvent<'static>)> {
    let access = AuditEvent {
        data_accessed: Some(DataAccessed {
            graph_ids: vec!["people".into()],
            query_hash: Some("ab".repeat(32).into()),
            result_count: Some(3),
            pii_detected: true,
            data_classification: Some("restricted".into()),
            pii_kinds: [("email".into(), 1)].into(),
            ..DataAccessed::default()
        }),
        compliance_tags: vec!["gdpr".into(), "data_access".into(), "pii".into()],
        upstream: Some("127.0.0.1:7474".into()),
        upstream_ms: Some(10.5),
        response_bytes: 2_000,
        ..request(EventType::DataAccess, Severity::Warning, 200)
    };
    let threat = AuditEvent {
        error_details: Some("the request was blocked".into()),
        refusal_code: Some("threat-blocked".into()),
        decision_id: Some("decision-1".into()),
        compliance_tags: vec!["security".into()],
        indicators: vec![IndicatorRecord {
            rule: "sql-union".into(),
            indicator_type: "SQL_INJECTION_ATTEMPT".into(),
            severity: "high".into(),
            confidence: 0.9,
            score: 0.9,
            blocks_from: None,
            description: "a UNION that reads another table".into(),
            field: "query.q".into(),
            evidence: "union select".into(),
            mode: "enforce".into(),
            mitigations: vec!["block_request".into()],
        }],
        ..request(EventType::SecurityEvent, Severity::Critical, 403)
    };
    let nobody = AuditEvent {
        organization_id: None,
        api_key_id: None,
        plan: None,
        refusal_code: Some("key-unknown".into()),
        error_details: Some("no such key".into()),
        compliance_tags: vec!["authentication".into(), "security".into()],
        ..request(EventType::Authentication, Severity::Warning, 401)
    };
    vec![
        ("data_access", access),
        ("security_event", threat),
        ("authentication", nobody),
    ]
}

fn events() -> Vec<(&'static str, AuditEvent<'static>)> {
    let change = AuditEvent {
        event_type: EventType::ConfigurationChange,
        organization_id: Some("acme".into()),
        api_key_id: Some("ab12cd34".into()),
        actor: Some("ann".into()),
        ..AuditEvent::system(
            Uuid::from_u128(2),
            1_795_000_000_000_000,
            Severity::Info,
            "key.changed",
            json!({"transition": "created"}),
        )
    };
    let started = AuditEvent::system(
        Uuid::from_u128(3),
        1_795_000_000_000_000,
        Severity::Info,
        "gateway.started",
        json!({"version": "0.1.0"}),
    );
    let mut all = of_requests();
    all.extend([("configuration_change", change), ("system_event", started)]);
    all
}

#[test]
fn each_type_of_event_is_told_as_its_golden_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events");
    for (name, event) in events() {
        let stored = serde_json::to_string(&event).unwrap();
        for (format, ending) in [(Format::Ecs, "ecs"), (Format::Ocsf, "ocsf")] {
            let told = project(&stored, format).unwrap();
            let text = serde_json::to_string_pretty(&told).unwrap() + "\n";
            let path = folder.join(format!("{name}.{ending}.json"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                text,
                "{}",
                path.display()
            );
        }
    }
}

/// Types the Elastic Common Schema 8.17 expects in each category used here.
fn expected_types(category: &str) -> &'static [&'static str] {
    match category {
        "api" => &[
            "access", "admin", "allowed", "change", "creation", "deletion", "denied", "end",
            "info", "start", "user",
        ],
        "authentication" => &["start", "end", "info"],
        "configuration" => &["access", "change", "creation", "deletion", "info"],
        "database" => &["access", "change", "info", "error"],
        "intrusion_detection" => &["allowed", "denied", "info"],
        "process" => &["access", "change", "end", "info", "start"],
        "web" => &["access", "error", "info"],
        other => panic!("no category of ours: {other}"),
    }
}

#[test]
fn every_type_is_one_that_a_category_of_the_event_expects() {
    let outcomes = [
        (Outcome::Forwarded, 200),
        (Outcome::Forwarded, 404),
        (Outcome::Refused, 403),
        (Outcome::Aborted, 499),
        (Outcome::Failed, 502),
    ];
    for event_type in EventType::ALL {
        for (outcome, status) in outcomes {
            let event = AuditEvent {
                outcome: Some(outcome),
                ..request(event_type, Severity::Warning, status)
            };
            let ecs = project(&serde_json::to_string(&event).unwrap(), Format::Ecs).unwrap();
            let words = |key: &str| -> Vec<String> {
                serde_json::from_value(ecs["event"][key].clone()).unwrap()
            };
            let (categories, types) = (words("category"), words("type"));
            for word in &types {
                let expects = |of: &String| expected_types(of).contains(&word.as_str());
                assert!(categories.iter().any(expects), "{word} in {categories:?}");
            }
            if categories.contains(&"web".to_owned()) {
                let told = |word: &str| types.contains(&word.to_owned());
                assert_eq!(told("denied"), outcome == Outcome::Refused, "{ecs}");
                let went_wrong = status >= 400 && outcome != Outcome::Refused;
                assert_eq!(told("error"), went_wrong, "{ecs}");
            }
        }
    }
}

#[test]
fn an_upstreams_address_and_port_stand_apart() {
    for (upstream, told) in [
        (
            "127.0.0.1:7474",
            json!({"address": "127.0.0.1", "ip": "127.0.0.1", "port": 7474}),
        ),
        (
            "[2001:db8::1]:443",
            json!({"address": "2001:db8::1", "ip": "2001:db8::1", "port": 443}),
        ),
        ("elsewhere", json!({"address": "elsewhere"})),
    ] {
        let event = AuditEvent {
            upstream: Some(upstream.into()),
            ..request(EventType::ApiRequest, Severity::Info, 200)
        };
        let ecs = project(&serde_json::to_string(&event).unwrap(), Format::Ecs).unwrap();
        assert_eq!(ecs["destination"], told);
    }
}

/// What Open Cybersecurity Schema Framework 1.8 requires of each class used here; of alternatives, one is enough.
fn required(class: u64) -> &'static [&'static [&'static str]] {
    match class {
        0 => &[],
        2004 => &[&["finding_info"]],
        3002 => &[&["user"], &["service", "dst_endpoint"]],
        3004 => &[&["entity"]],
        6002 => &[&["app"]],
        6003 => &[&["actor"], &["api"], &["src_endpoint"]],
        other => panic!("no class of ours: {other}"),
    }
}

#[test]
fn every_class_has_what_it_requires_whoever_asked() {
    let known = |event_type| request(event_type, Severity::Warning, 401);
    let unknown = |event_type| AuditEvent {
        organization_id: None,
        api_key_id: None,
        ..known(event_type)
    };
    let erased = |event_type| AuditEvent {
        source_ip: Source::Erased,
        api_key_id: None,
        geographic_location: None,
        ..known(event_type)
    };
    let requests = EventType::ALL
        .into_iter()
        .flat_map(|of| [known(of), unknown(of), erased(of)]);
    for event in requests.chain(events().into_iter().map(|(_, event)| event)) {
        let ocsf = project(&serde_json::to_string(&event).unwrap(), Format::Ocsf).unwrap();
        for alternatives in required(ocsf["class_uid"].as_u64().unwrap()) {
            let has = |key: &&str| ocsf.get(*key).is_some();
            assert!(alternatives.iter().any(has), "{alternatives:?} of {ocsf}");
        }
        for user in [&ocsf["user"], &ocsf["actor"]["user"]] {
            let named = user.get("uid").or_else(|| user.get("name"));
            assert!(user.is_null() || named.is_some(), "{ocsf}");
            let unknown = event.api_key_id.is_none() && !user.is_null();
            assert_eq!(user["type_id"] == 0, unknown, "{ocsf}");
        }
    }
}

#[test]
fn identity_time_and_class_are_kept() {
    for (name, event) in events() {
        let stored = serde_json::to_string(&event).unwrap();
        assert_eq!(
            project(&stored, Format::Event).unwrap(),
            serde_json::from_str::<Value>(&stored).unwrap()
        );
        let ecs = project(&stored, Format::Ecs).unwrap();
        let ocsf = project(&stored, Format::Ocsf).unwrap();
        assert_eq!(ecs["event"]["id"], ocsf["metadata"]["uid"], "{name}");
        assert_eq!(ocsf["time"], event.timestamp / 1_000, "{name}");
        let [class, activity] = ["class_uid", "activity_id"].map(|key| ocsf[key].as_u64().unwrap());
        assert_eq!(ocsf["type_uid"], class * 100 + activity, "{name}");
        assert_eq!(ocsf["category_uid"], class / 1_000, "{name}");
    }
    assert!(project("{}", Format::Ecs).is_none());
}
