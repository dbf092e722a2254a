//! Open Cybersecurity Schema Framework.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ours, succeeded, without_nothing};
use crate::audit::event::{AuditEvent, EventType, Severity, Source};

const VERSION: &str = "1.8.0";
const PRODUCT: &str = "RocketGraph Gateway";

/// A class of the framework, with what was done in its words.
struct Class {
    category: u32,
    class: u32,
    activity: u32,
}

pub(super) fn ocsf(event: &AuditEvent<'_>) -> Value {
    let class = class(event);
    let (severity, severity_name) = match event.severity {
        Severity::Info => (1, "Informational"),
        Severity::Warning => (3, "Medium"),
        Severity::Error => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    let (status, status_name) = match succeeded(event) {
        Some(true) => (1, "Success"),
        Some(false) => (2, "Failure"),
        None => (0, "Unknown"),
    };
    let user = user(event, class.class);
    let mut told = json!({
        "activity_id": class.activity,
        "category_uid": class.category,
        "class_uid": class.class,
        "type_uid": class.class * 100 + class.activity,
        "time": event.timestamp / 1_000,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "status_code": (event.status_code > 0).then(|| event.status_code.to_string()),
        "status_detail": event.error_details,
        "metadata": {
            "version": VERSION,
            "uid": event.event_id.to_string(),
            "correlation_uid": event.request_id,
            "event_code": event.event_type.as_str(),
            "labels": event.compliance_tags,
            "product": {"name": PRODUCT, "vendor_name": "RocketGraph"},
        },
        "actor": {"user": user.clone(), "app_name": event.actor},
        "src_endpoint": source(event),
        "dst_endpoint": destination(event),
        "unmapped": ours(event),
    });
    if let Some(told) = told.as_object_mut() {
        let own = match class.class {
            3002 => json!({
                "user": user,
                "service": {"name": PRODUCT},
                "auth_protocol": "API key",
                "http_request": request(event),
            }),
            2004 => detection(event),
            3004 => json!({"entity": {"name": event.endpoint, "uid": event.api_key_id}}),
            6002 => json!({"app": {"name": PRODUCT}}),
            6003 => api(event),
            _ => json!({"message": event.endpoint}),
        };
        if let Value::Object(own) = own {
            told.extend(own);
        }
    }
    without_nothing(told)
}

fn class(event: &AuditEvent<'_>) -> Class {
    let (class, activity) = match event.event_type {
        EventType::Authentication => (3002, 1),
        EventType::SecurityEvent => (2004, 1),
        EventType::ConfigurationChange => (3004, 3),
        EventType::SystemEvent => match &*event.endpoint {
            "gateway.started" => (6002, 3),
            "gateway.stopped" => (6002, 4),
            _ => (0, 99),
        },
        EventType::ApiRequest | EventType::Authorization | EventType::DataAccess => {
            (6003, activity(event))
        }
    };
    Class {
        category: class / 1_000,
        class,
        activity,
    }
}

/// Create, read, update, delete or other; a query is told by what its statement does.
fn activity(event: &AuditEvent<'_>) -> u32 {
    let modifies = event
        .compliance_tags
        .iter()
        .any(|tag| tag == "data_modification");
    let data = event.event_type == EventType::DataAccess;
    match &*event.method {
        "GET" | "HEAD" => 2,
        "POST" if data && !modifies => 2,
        "POST" if data => 3,
        "POST" => 1,
        "PUT" | "PATCH" => 3,
        "DELETE" => 4,
        _ => 99,
    }
}

/// Who asked. Two classes want a user, and every user a name or an id: nobody known is a user of unknown type.
fn user(event: &AuditEvent<'_>, class: u32) -> Value {
    let org = json!({"uid": event.organization_id});
    match &event.api_key_id {
        Some(key) => json!({"uid": key, "org": org}),
        None if event.organization_id.is_none() && !matches!(class, 3002 | 6003) => Value::Null,
        None => json!({"name": "unknown", "type": "Unknown", "type_id": 0, "org": org}),
    }
}

/// Where it came from. A request has an endpoint even where its address is not known, for its class wants one.
fn source(event: &AuditEvent<'_>) -> Value {
    let ip = match event.source_ip {
        Source::Address(ip) => ip,
        Source::Erased => return json!({"name": "erased"}),
        Source::System if event.request_id.is_empty() => return Value::Null,
        Source::System => return json!({"name": "unknown"}),
    };
    let place = event.geographic_location.as_ref();
    json!({
        "ip": ip,
        "location": {
            "country": place.and_then(|place| place.country.as_deref()),
            "region": place.and_then(|place| place.region.as_deref()),
            "city": place.and_then(|place| place.city.as_deref()),
        },
    })
}

fn destination(event: &AuditEvent<'_>) -> Value {
    let address = event.upstream.as_deref().and_then(|text| text.parse().ok());
    address.map_or(
        Value::Null,
        |address: SocketAddr| json!({"ip": address.ip(), "port": address.port()}),
    )
}

fn request(event: &AuditEvent<'_>) -> Value {
    json!({
        "http_method": event.method,
        "uid": event.request_id,
        "url": {"path": event.endpoint},
        "user_agent": event.user_agent,
    })
}

fn api(event: &AuditEvent<'_>) -> Value {
    let data = event.data_accessed.as_ref();
    let graphs = data.map_or(&[][..], |data| &data.graph_ids);
    let resources: Vec<Value> = graphs
        .iter()
        .map(|graph| {
            let label = data.and_then(|data| data.data_classification.as_deref());
            without_nothing(
                json!({"uid": graph, "type": "graph", "labels": label.map(|label| vec![label])}),
            )
        })
        .collect();
    json!({
        "api": {
            "operation": event.route.as_deref().unwrap_or(&event.method),
            "request": {"uid": event.request_id},
            "response": {"code": event.status_code, "error": event.refusal_code},
        },
        "http_request": request(event),
        "http_response": {"code": event.status_code},
        "resources": resources,
        "trace": {"uid": event.trace_id},
    })
}

fn detection(event: &AuditEvent<'_>) -> Value {
    let found = event
        .indicators
        .iter()
        .find(|found| found.mode == "enforce");
    let found = found.or_else(|| event.indicators.first());
    let title = match found {
        Some(found) => &*found.description,
        None => event.refusal_code.as_deref().unwrap_or("security event"),
    };
    json!({
        "finding_info": {
            "uid": event.event_id.to_string(),
            "title": title,
            "types": found.map(|found| vec![&found.indicator_type]),
            "analytic": found.map(|found| json!({"uid": found.rule, "type_id": 1, "type": "Rule"})),
        },
        "confidence_score": found.map(|found| percent(found.confidence)),
        // A finding's status is that of its handling, not of the request it was found in.
        "status_id": 1,
        "status": "New",
        "action_id": if succeeded(event) == Some(false) { 2 } else { 1 },
        "disposition_id": if succeeded(event) == Some(false) { 2 } else { 1 },
        "evidences": [without_nothing(json!({"http_request": request(event), "src_endpoint": source(event)}))],
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a hundred"
)]
fn percent(share: f64) -> u8 {
    (share * 100.0).round().clamp(0.0, 100.0) as u8
}
