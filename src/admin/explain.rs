//! Why a request was decided as it was, told from its audit event.

use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::{Page, Search, SearchError};

/// Why a request was decided as it was.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// One sentence.
    summary: String,
    /// What would have made the difference, where the request was not served.
    would_have_passed: Option<String>,
    /// What the rules found.
    findings: Vec<Value>,
    /// The whole event.
    event: Value,
}

/// Finds the event of a decision and tells its story; `None` when there is no such decision.
///
/// # Errors
///
/// One sentence when the search itself fails.
pub fn explain(
    id: &str,
    search: impl Fn(&Search) -> Result<Page, SearchError>,
) -> Result<Option<Explanation>, String> {
    let request = Search {
        request_id: Some(id.to_owned()),
        limit: 1,
        ..Search::default()
    };
    let event = id.parse().ok().map(|id| Search {
        event_id: Some(id),
        limit: 1,
        ..Search::default()
    });
    for by in event.into_iter().chain([request]) {
        let page = search(&by).map_err(|error| error.to_string())?;
        if let Some(event) = page.events.first() {
            let event: Value =
                serde_json::from_str(event.get()).map_err(|error| error.to_string())?;
            return Ok(Some(story(event)));
        }
    }
    Ok(None)
}

fn story(event: Value) -> Explanation {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let status = event
        .get("status_code")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let summary = match text("outcome") {
        "refused" => format!(
            "{} {} was refused with {status} ({}).",
            text("method"),
            text("endpoint"),
            text("refusal_code")
        ),
        "failed" => format!(
            "{} {} was admitted but could not be served: {status} ({}).",
            text("method"),
            text("endpoint"),
            text("refusal_code")
        ),
        "aborted" => format!(
            "{} {} was given up by the client.",
            text("method"),
            text("endpoint")
        ),
        _ => format!(
            "{} {} was forwarded and answered {status}.",
            text("method"),
            text("endpoint")
        ),
    };
    let indicators = event.get("indicators").and_then(Value::as_array);
    let findings: Vec<Value> = indicators.into_iter().flatten().map(finding).collect();
    Explanation {
        summary,
        would_have_passed: would_have_passed(text("refusal_code"), &findings),
        findings,
        event,
    }
}

fn finding(indicator: &Value) -> Value {
    let text = |name: &str| {
        indicator
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    json!({
        "rule": text("rule"),
        "type": text("indicator_type"),
        "mode": text("mode"),
        "field": text("field"),
        "evidence": text("excerpt"),
        "confidence": indicator.get("confidence"),
        "description": text("description"),
        "exclude_with": format!("rules.disabled: [{}]", text("rule")),
    })
}

/// What would have made the difference.
fn would_have_passed(code: &str, findings: &[Value]) -> Option<String> {
    let advice = match code {
        "" => return None,
        "threat-blocked" => {
            let mut fields: Vec<&str> = findings
                .iter()
                .filter(|finding| finding.get("mode").and_then(Value::as_str) == Some("enforce"))
                .filter_map(|finding| finding.get("field").and_then(Value::as_str))
                .collect();
            fields.dedup();
            format!(
                "the same request without the flagged content in {}",
                fields.join(", ")
            )
        }
        "key-missing" => {
            "the same request with a key in X-API-Key or Authorization: Bearer".to_owned()
        }
        "quota-exceeded" => "the same request after Retry-After, or under a larger plan".to_owned(),
        "scope-missing" => "the same request by a key that has the scope".to_owned(),
        "route-not-found" => "a path that a route of the configuration matches".to_owned(),
        other => format!("a request without the cause named by {other}"),
    };
    Some(advice)
}
