use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::audit::Outcome;
use crate::audit::event::{DataAccessed, GeographicLocation};

fn event<'a>(endpoint: &'a str, agent: &'a str, organization: &'a str) -> AuditEvent<'a> {
    AuditEvent {
        source_ip: Source::Address("192.0.2.7".parse().unwrap()),
        endpoint: endpoint.into(),
        user_agent: agent.into(),
        organization_id: Some(organization.into()),
        method: "POST".into(),
        status_code: 403,
        outcome: Some(Outcome::Refused),
        ..AuditEvent::new(
            Uuid::from_u128(7),
            1_790_000_000_123_456,
            EventType::Authorization,
            Severity::Warning,
        )
    }
}

/// What a reader of either format makes of a value.
fn unescaped(value: &str) -> String {
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next().unwrap() {
                'n' => text.push('\n'),
                'r' => text.push('\r'),
                other => text.push(other),
            },
            (c, false) => text.push(c),
        }
    }
    text
}

/// Splits at a character that no backslash precedes.
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == at && !escaped {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts
}

/// The fields of a LEEF line.
fn read_leef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let parts: Vec<&str> = line.splitn(7, '|').collect();
    let fields = parts[6].split('\t').map(|pair| {
        let pair = split(pair, '=');
        assert_eq!(pair.len(), 2, "{line}");
        (pair[0].clone(), unescaped(&pair[1]))
    });
    let header = parts[..6].iter().map(|part| (*part).to_owned());
    (header.collect(), fields.collect())
}

/// The fields of a CEF line: a value ends where the next ` key=` begins.
fn read_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let parts = split(line, '|');
    // Pipes of the extension are plain there.
    let extension = parts[7..].join("|");
    let pieces = split(&extension, '=');
    let mut fields = BTreeMap::new();
    let mut key = pieces[0].clone();
    for (index, piece) in pieces.iter().enumerate().skip(1) {
        let (value, next) = match piece.rsplit_once(' ') {
            Some((value, next)) if index + 1 < pieces.len() => (value, next),
            _ => (piece.as_str(), ""),
        };
        assert!(fields.insert(key, unescaped(value)).is_none(), "{line}");
        key = next.to_owned();
    }
    (parts[..7].to_vec(), fields)
}

/// As a value is to be read back.
fn tamed(text: &str) -> String {
    let keeps = |c: char| {
        if c.is_control() && c != '\n' && c != '\r' {
            ' '
        } else {
            c
        }
    };
    text.chars().map(keeps).collect()
}

proptest! {
    #[test]
    fn no_value_ends_its_field_or_begins_another(
        endpoint in any::<String>(),
        agent in "[ -~\\\\|=\t\r\n]{0,60}",
        organization in "([a-z]{1,4}=|\\||\\\\|\n| src=1.2.3.4){0,8}",
    ) {
        let event = event(&endpoint, &agent, &organization);
        let lines = [cef(&event), leef(&event)];
        for line in &lines {
            prop_assert!(!line.contains(['\n', '\r']), "{line}");
        }
        let (header, fields) = read_cef(&lines[0]);
        prop_assert_eq!(header.len(), 7);
        prop_assert_eq!(&fields["src"], "192.0.2.7");
        for (key, value) in [("request", &endpoint), ("requestClientApplication", &agent), ("cs1", &organization)] {
            prop_assert_eq!(fields.get(key).cloned().unwrap_or_default(), tamed(value));
        }
        let (header, fields) = read_leef(&lines[1]);
        prop_assert_eq!(header.len(), 6);
        prop_assert_eq!(&fields["src"], "192.0.2.7");
        for (key, value) in [("url", &endpoint), ("userAgent", &agent), ("organizationId", &organization)] {
            prop_assert_eq!(fields.get(key).cloned().unwrap_or_default(), tamed(value));
        }
    }
}

/// The event of [`event`] with all that is known of the data it touched.
fn touching<'a>(graph: &'a str, classification: &'a str, details: Value) -> AuditEvent<'a> {
    AuditEvent {
        data_accessed: Some(DataAccessed {
            graph_ids: vec![graph.into(), "people".into()],
            query_hash: Some("ab12".into()),
            result_count: Some(0),
            pii_detected: true,
            data_classification: Some(classification.into()),
            ..DataAccessed::default()
        }),
        geographic_location: Some(GeographicLocation {
            country: Some("FR".into()),
            ..GeographicLocation::default()
        }),
        compliance_tags: vec!["gdpr".into(), "pii".into()],
        details: Some(details),
        ..event("/a", "curl", "acme")
    }
}

proptest! {
    #[test]
    fn what_a_request_touched_is_read_back(
        graph in "[ -~\\\\|=\t\r\n]{1,60}",
        classification in "([a-z]{1,4}=|\\||\\\\|\n| src=1.2.3.4){1,8}",
        value in "[ -~\\\\|=\t\r\n]{0,60}",
    ) {
        let details = json!({"key": value, "n": [1, null]});
        let event = touching(&graph, &classification, details.clone());
        let (_, cef) = read_cef(&cef(&event));
        let (_, leef) = read_leef(&leef(&event));
        let graphs = tamed(&format!("{graph},people"));
        for (of_cef, of_leef, value) in [
            ("RocketGraphGatewayCountry", "country", "FR"),
            ("flexString1", "graphs", &*graphs),
            ("RocketGraphGatewayQueryHash", "queryHash", "ab12"),
            ("cn2", "resultCount", "0"),
            ("RocketGraphGatewayPiiDetected", "piiDetected", "true"),
            ("flexString2", "dataClassification", &*tamed(&classification)),
            ("cs4", "complianceTags", "gdpr,pii"),
            ("RocketGraphGatewayDetails", "details", &*details.to_string()),
        ] {
            prop_assert_eq!(&cef[of_cef], value);
            prop_assert_eq!(&leef[of_leef], value);
            if let Some(label) = cef.get(&format!("{of_cef}Label")) {
                prop_assert_eq!(label, of_leef);
            }
        }
    }
}

#[test]
fn details_that_are_too_long_are_cut_between_characters_and_say_so() {
    // `{"key":""}` is 10 bytes; the bound falls within an `é`.
    let long = format!("x{}", "é".repeat(2_000));
    for (text, is_cut) in [("x".repeat(1_014), false), (long, true)] {
        let details = json!({ "key": text });
        let whole = details.to_string();
        let event = touching("g", "public", details);
        let (_, leef) = read_leef(&leef(&event));
        let (_, cef) = read_cef(&cef(&event));
        let told = &leef["details"];
        assert_eq!(told, &cef["RocketGraphGatewayDetails"]);
        match told.strip_suffix('…') {
            Some(begin) => assert!(whole.starts_with(begin) && begin.len() == 1_023),
            None => assert_eq!(*told, whole),
        }
        assert_eq!(told.ends_with('…'), is_cut);
    }
}

#[test]
fn an_event_of_the_gateway_tells_what_it_is_about() {
    let system = AuditEvent::system(
        Uuid::from_u128(8),
        1_790_000_000_000_000,
        Severity::Info,
        "key.changed",
        json!({"transition": "created"}),
    );
    let change = AuditEvent {
        event_type: EventType::ConfigurationChange,
        ..system.clone()
    };
    for event in [system, change] {
        let (cef, leef) = (cef(&event), leef(&event));
        let expected = r#" RocketGraphGatewayDetails={"transition":"created"}"#;
        assert!(cef.ends_with(expected), "{cef}");
        assert!(
            leef.contains("\tdetails={\"transition\":\"created\"}"),
            "{leef}"
        );
        assert!(!cef.contains("PiiDetected") && !leef.contains("piiDetected"));
    }
}

#[test]
fn a_known_event_is_written_as_known_lines() {
    let event = event("/v1/graphs/a|b", "curl\\8 a=b", "acme");
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "CEF:0|RocketGraph|RocketGraph Gateway|{version}|authorization|Authorization|5|\
         rt=1790000000123 externalId=00000000-0000-0000-0000-000000000007 cat=authorization \
         src=192.0.2.7 requestMethod=POST request=/v1/graphs/a|b \
         requestClientApplication=curl\\\\8 a\\=b outcome=refused in=0 out=0 cn1=403 \
         cn1Label=statusCode cfp1=0 cfp1Label=processingTimeMs cs1=acme cs1Label=organizationId"
    );
    assert_eq!(cef(&event), expected);
    let expected = format!(
        "LEEF:2.0|RocketGraph|RocketGraph Gateway|{version}|authorization|x09|devTime=1790000000123\t\
         cat=authorization\tsev=5\tsrc=192.0.2.7\tsrcBytes=0\tdstBytes=0\turl=/v1/graphs/a\\|b\t\
         method=POST\tuserAgent=curl\\\\8 a\\=b\tstatusCode=403\tprocessingTimeMs=0\t\
         eventId=00000000-0000-0000-0000-000000000007\tseverityName=warning\torganizationId=acme\t\
         action=refused"
    );
    assert_eq!(leef(&event), expected);
}
