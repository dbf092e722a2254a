//! What the store is told before the first event: how the members are indexed, and how long an index is kept.

use serde_json::{Map, Value, json};

/// Longest text that is indexed as one term; Lucene refuses terms beyond 32,766 bytes, and a character has up to 4.
pub(super) const KEYWORD_CHARACTERS_MAX: usize = 8_191;

/// Which product answers, for they keep indexes by different means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    Elasticsearch,
    OpenSearch,
}

impl Product {
    /// Told from the answer to `GET /`.
    pub(super) fn of(root: &Value) -> Self {
        match root
            .pointer("/version/distribution")
            .and_then(Value::as_str)
        {
            Some("opensearch") => Self::OpenSearch,
            _ => Self::Elasticsearch,
        }
    }
}

/// The index template for `PREFIX-*`, which names the lifecycle policy where Elasticsearch wants it named.
pub(super) fn index_template(prefix: &str, product: Product, retention: bool) -> Value {
    let mut index = json!({"number_of_shards": 1, "refresh_interval": "5s"});
    if let (true, Product::Elasticsearch, Some(index)) = (retention, product, index.as_object_mut())
    {
        let policy = json!({"name": policy_name(prefix)});
        index.insert("lifecycle".to_owned(), policy);
    }
    json!({
        "index_patterns": [format!("{prefix}-*")],
        "priority": 200,
        "template": {"settings": {"index": index}, "mappings": mappings()},
        "_meta": {"description": "audit events of rg-gateway"},
    })
}

pub(super) fn policy_name(prefix: &str) -> String {
    format!("{prefix}-retention")
}

/// Deletes an index `days` after its creation (Elasticsearch ILM).
pub(super) fn ilm_policy(days: u32) -> Value {
    json!({"policy": {"phases": {
        "hot": {"actions": {}},
        "delete": {"min_age": format!("{days}d"), "actions": {"delete": {}}},
    }}})
}

/// Deletes an index `days` after its creation (OpenSearch ISM).
pub(super) fn ism_policy(prefix: &str, days: u32) -> Value {
    json!({"policy": {
        "description": "audit events of rg-gateway",
        "default_state": "kept",
        "states": [
            {"name": "kept", "actions": [], "transitions": [
                {"state_name": "deleted", "conditions": {"min_index_age": format!("{days}d")}},
            ]},
            {"name": "deleted", "actions": [{"delete": {}}], "transitions": []},
        ],
        "ism_template": [{"index_patterns": [format!("{prefix}-*")], "priority": 200}],
    }})
}

/// Members that are one term, or a list of terms.
const KEYWORDS: [&str; 17] = [
    "event_id",
    "event_type",
    "severity",
    "organization_id",
    "api_key_id",
    "method",
    "request_id",
    "compliance_tags",
    "decision_id",
    "route",
    "plan",
    "outcome",
    "refusal_code",
    "upstream",
    "trace_id",
    "inspection",
    "actor",
];
/// Members that are searched by their words, and as a whole.
const TEXTS: [&str; 3] = ["user_agent", "endpoint", "error_details"];
/// Members that are numbers, with their types.
const NUMBERS: [(&str, &str); 6] = [
    ("schema_version", "integer"),
    ("status_code", "integer"),
    ("request_bytes", "long"),
    ("response_bytes", "long"),
    ("processing_time_ms", "double"),
    ("upstream_ms", "double"),
];

/// Members we know are indexed by type; what we do not know, and `details`, is kept but not indexed, so that no
/// event is refused for a member that another event had with another type.
fn mappings() -> Value {
    let mut members = Map::new();
    let mut add = |name: &str, mapping: Value| members.insert(name.to_owned(), mapping);
    for name in KEYWORDS {
        add(name, keyword());
    }
    for name in TEXTS {
        add(name, text());
    }
    for (name, kind) in NUMBERS {
        add(name, json!({"type": kind}));
    }
    add("timestamp", json!({"type": "date"}));
    // The gateway's own events have `system` where others have an address.
    add(
        "source_ip",
        json!({"type": "ip", "ignore_malformed": true, "fields": {"keyword": keyword()}}),
    );
    add(
        "data_accessed",
        json!({"properties": {
            "graph_ids": keyword(), "query_hash": keyword(), "result_count": {"type": "long"},
            "pii_detected": {"type": "boolean"}, "data_classification": keyword(),
            "pii_kinds": counts(), "pii_response_kinds": counts(),
        }}),
    );
    add(
        "geographic_location",
        json!({"properties": {"country": keyword(), "region": keyword(), "city": keyword()}}),
    );
    add(
        "indicators",
        json!({"properties": {
            "rule": keyword(), "indicator_type": keyword(), "severity": keyword(),
            "confidence": {"type": "double"}, "score": {"type": "double"},
            "blocks_from": {"type": "double"}, "description": text(), "field": keyword(),
            "evidence": {"properties": {"excerpt": text()}},
            "mode": keyword(), "mitigations": keyword(),
        }}),
    );
    add("details", json!({"type": "object", "enabled": false}));
    json!({"dynamic": false, "properties": members})
}

fn keyword() -> Value {
    json!({"type": "keyword", "ignore_above": KEYWORD_CHARACTERS_MAX})
}

/// Counts by kind, of which there are few.
fn counts() -> Value {
    json!({"type": "object", "dynamic": true})
}

fn text() -> Value {
    json!({"type": "text", "fields": {"keyword": keyword()}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{AuditEvent, DataAccessed, GeographicLocation, IndicatorRecord};
    use crate::audit::{EventType, Inspection, Outcome, Severity};

    #[test]
    fn the_product_is_told_from_its_root() {
        let of = |version: Value| Product::of(&json!({"version": version}));
        assert_eq!(
            of(json!({"distribution": "opensearch", "number": "2.19.1"})),
            Product::OpenSearch
        );
        assert_eq!(
            of(json!({"number": "8.15.0", "build_flavor": "default"})),
            Product::Elasticsearch
        );
    }

    #[test]
    fn only_elasticsearch_has_its_policy_named_in_the_template() {
        let named = |product, retention| {
            let template = index_template("audit-logs", product, retention);
            template["template"]["settings"]["index"]["lifecycle"]["name"]
                .as_str()
                .map(str::to_owned)
        };
        assert_eq!(
            named(Product::Elasticsearch, true).as_deref(),
            Some("audit-logs-retention")
        );
        assert_eq!(named(Product::Elasticsearch, false), None);
        assert_eq!(named(Product::OpenSearch, true), None);
    }

    /// Every member an event can have is in the mappings: one that is new must be given a type.
    #[test]
    fn every_member_of_an_event_has_a_type() {
        let full = AuditEvent {
            organization_id: Some("o".into()),
            api_key_id: Some("k".into()),
            data_accessed: Some(DataAccessed {
                graph_ids: vec!["g".into()],
                query_hash: Some("h".into()),
                result_count: Some(1),
                pii_detected: true,
                data_classification: Some("internal".into()),
                pii_kinds: [("email".into(), 1)].into(),
                pii_response_kinds: [("email".into(), 1)].into(),
            }),
            error_details: Some("e".into()),
            geographic_location: Some(GeographicLocation {
                country: Some("DE".into()),
                region: Some("BE".into()),
                city: Some("Berlin".into()),
            }),
            decision_id: Some("d".into()),
            route: Some("r".into()),
            plan: Some("p".into()),
            outcome: Some(Outcome::Forwarded),
            refusal_code: Some("c".into()),
            upstream: Some("u".into()),
            request_bytes: 1,
            response_bytes: 1,
            upstream_ms: Some(1.0),
            trace_id: Some("t".into()),
            inspection: Some(Inspection::Complete),
            indicators: vec![IndicatorRecord {
                rule: "r".into(),
                indicator_type: "t".into(),
                severity: "s".into(),
                confidence: 1.0,
                score: 1.0,
                blocks_from: Some(1.0),
                description: "d".into(),
                field: "f".into(),
                evidence: "e".into(),
                mode: "m".into(),
                mitigations: vec!["m".into()],
            }],
            actor: Some("a".into()),
            details: Some(json!({"anything": 1})),
            ..AuditEvent::new(uuid::Uuid::nil(), 0, EventType::ApiRequest, Severity::Info)
        };
        assert_typed(&serde_json::to_value(&full).unwrap(), &mappings(), "");
    }

    fn assert_typed(members: &Value, mapping: &Value, place: &str) {
        for (name, value) in members.as_object().unwrap() {
            let own = &mapping["properties"][name];
            assert!(own.is_object(), "{place}{name} has no type");
            let value = value.get(0).unwrap_or(value);
            let is_open = own["dynamic"] == json!(true) || own["enabled"] == json!(false);
            if value.is_object() && !is_open {
                assert_typed(value, own, &format!("{place}{name}."));
            }
        }
    }

    /// What a dashboard counts by must be indexed, and as a whole.
    #[test]
    fn the_dashboard_asks_for_members_that_are_indexed() {
        let objects = include_str!("../../../../dashboards/kibana/audit-logs.ndjson");
        let mappings = mappings();
        let mut fields = Vec::new();
        for line in objects.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            let attributes = &object["attributes"];
            if let Some(state) = attributes["visState"].as_str() {
                let state: Value = serde_json::from_str(state).unwrap();
                let parts = state["aggs"].as_array().unwrap().iter();
                let asked = parts.filter_map(|part| part["params"]["field"].as_str());
                fields.extend(asked.map(|field| (field.to_owned(), true)));
            }
            let columns = attributes["columns"].as_array().into_iter().flatten();
            let columns = columns.filter_map(Value::as_str);
            fields.extend(columns.map(|field| (field.to_owned(), false)));
        }
        assert!(fields.len() > 15, "{fields:?}");
        for (field, is_counted_by) in fields {
            let (members, subfield) = match field.strip_suffix(".keyword") {
                Some(members) => (members, "/fields/keyword"),
                None => (field.as_str(), ""),
            };
            let place = members.replace('.', "/properties/");
            let place = format!("/properties/{place}{subfield}/type");
            let kind = mappings.pointer(&place).and_then(Value::as_str);
            assert!(kind.is_some(), "{field}");
            assert!(!is_counted_by || kind != Some("text"), "{field}");
        }
    }
}
