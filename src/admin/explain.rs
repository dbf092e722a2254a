//! Why a request was decided as it was, told from its audit event.

use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::{Page, Search, SearchError, timestamp};
use crate::policy::threat::Thresholds;

/// How long a proposed exclusion holds: ninety days.
const EXCLUDED_FOR_MICROS: i64 = 90 * 86_400_000_000;
/// Characters of a field that a proposed exclusion names.
const FIELD_CHARS_MAX: usize = 200;
/// Wildcards an exclusion may have.
const WILDCARDS_MAX: usize = 4;

/// What stands in a field in the place of what is not kept, behind the bracket.
const MASKS: [&str; 7] = [
    "secret]",
    "api-key]",
    "email]",
    "card]",
    "iban]",
    "phone]",
    "national-id]",
];

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
            return Ok(Some(tell(event)));
        }
    }
    Ok(None)
}

/// Tells the story of an audit event.
pub fn tell(event: Value) -> Explanation {
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
    let summary = summary + &penalty(&event).unwrap_or_default();
    let findings = findings(&event);
    Explanation {
        summary,
        would_have_passed: would_have_passed(text("refusal_code"), &findings),
        findings,
        event,
    }
}

/// The penalty that refused a request, where one did.
fn penalty(event: &Value) -> Option<String> {
    let penalty = event.pointer("/details/penalty")?;
    let text = |name: &str| penalty.get(name).and_then(Value::as_str);
    let until = text("until").map_or_else(String::new, |until| format!(" until {until}"));
    let rules = penalty.get("rules").and_then(Value::as_array)?;
    let rules: Vec<&str> = rules.iter().filter_map(Value::as_str).collect();
    Some(format!(
        " Penalty {} ({}) holds{until}: laid for {} by event {}.",
        text("penalty_id")?,
        text("kind")?,
        rules.join(", "),
        text("event_id")?,
    ))
}

fn findings(event: &Value) -> Vec<Value> {
    let indicators = event.get("indicators").and_then(Value::as_array);
    let indicators = indicators.map(Vec::as_slice).unwrap_or_default();
    let finding = |indicator| finding(indicator, indicators, event);
    indicators.iter().map(finding).collect()
}

fn number(indicator: &Value, name: &str) -> f64 {
    indicator.get(name).and_then(Value::as_f64).unwrap_or(0.0)
}

/// How much of the score of its category in its value a finding makes up, in hundredths.
fn share(indicator: &Value, all: &[Value]) -> f64 {
    // Confidences combine as 1 - (1 - a)(1 - b)…, so their parts add up as logarithms.
    let part = |found: &Value| -(1.0 - number(found, "confidence").min(0.999)).ln();
    let score = number(indicator, "score");
    let same = |name: &str, other: &Value| indicator.get(name) == other.get(name);
    let whole: f64 = all
        .iter()
        .filter(|other| same("field", other) && same("score", other) && same("mode", other))
        .map(part)
        .sum();
    if score > 0.0 && whole > 0.0 {
        (part(indicator) / whole * 100.0).round()
    } else {
        0.0
    }
}

/// What to paste into the configuration so that this finding no longer counts.
fn exclusion(indicator: &Value, event: &Value) -> String {
    let text = |of: &Value, name: &str| {
        of.get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let at = timestamp::parse(&text(event, "timestamp")).unwrap_or(0);
    let until = timestamp::text(at.saturating_add(EXCLUDED_FOR_MICROS));
    let until = String::from_utf8_lossy(until.get(..10).unwrap_or_default()).into_owned();
    let quoted = |text: String| Value::from(text).to_string();
    let field = any_item(&text(indicator, "field"));
    let mut lines = vec![
        "rules:".to_owned(),
        "  exclusions:".to_owned(),
        format!("    - rule: {}", text(indicator, "rule")),
    ];
    let route = text(event, "route");
    if !route.is_empty() {
        lines.push(format!("      route: {route}"));
    }
    lines.push(format!("      field: {}", quoted(field)));
    let key = text(event, "api_key_id");
    if !key.is_empty() {
        lines.push(format!("      # key: {key}"));
    }
    lines.push("      owner: who answers for it".to_owned());
    lines.push("      reason: why it is right".to_owned());
    lines.push(format!("      expires: {until}"));
    lines.join("\n")
}

/// The field in every item of the lists it stands in, and below where its path is too long to be told.
fn any_item(field: &str) -> String {
    let mut pattern = String::new();
    let mut rest = field;
    let mut wildcards = 0;
    while let Some((before, after)) = rest.split_once('[') {
        let number = after.split_once(']');
        let number = number.filter(|(digits, _)| digits.bytes().all(|b| b.is_ascii_digit()));
        pattern.push_str(before);
        // What was masked is in no field, and what nothing closes no pattern: it ends before.
        if !after.contains(']') || MASKS.iter().any(|mask| after.starts_with(mask)) {
            return format!("{pattern}**");
        }
        pattern.push('[');
        rest = after;
        if let Some((_, behind)) = number.filter(|_| wildcards < WILDCARDS_MAX) {
            wildcards += 1;
            pattern.push_str("*]");
            rest = behind;
        }
    }
    pattern.push_str(rest);
    match pattern.char_indices().nth(FIELD_CHARS_MAX) {
        Some((end, _)) => format!("{}**", pattern.get(..end).unwrap_or_default()),
        None => pattern,
    }
}

fn finding(indicator: &Value, all: &[Value], event: &Value) -> Value {
    let text = |name: &str| {
        indicator
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let blocks_from = indicator.get("blocks_from").and_then(Value::as_f64);
    json!({
        "rule": text("rule"),
        "type": text("indicator_type"),
        "mode": text("mode"),
        "field": text("field"),
        "evidence": indicator.pointer("/evidence/excerpt"),
        "confidence": indicator.get("confidence"),
        "description": text("description"),
        "score": number(indicator, "score"),
        "blocks_from": blocks_from.unwrap_or(Thresholds::DEFAULT.block),
        "share_percent": share(indicator, all),
        "mitigations": indicator.get("mitigations"),
        "exclude_with": exclusion(indicator, event),
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
            fields.sort_unstable();
            fields.dedup();
            format!(
                "the same request without the flagged content in {}, or with an exclusion of what was found",
                fields.join(", ")
            )
        }
        "key-missing" => {
            "the same request with a key in X-API-Key or Authorization: Bearer".to_owned()
        }
        "quota-exceeded" => "the same request after Retry-After, or under a larger plan".to_owned(),
        "scope-missing" => "the same request by a key that has the scope".to_owned(),
        "key-suspended" => "the same request after Retry-After, or once the suspension is lifted \
             (rg-gateway penalties lift ID, or keys resume where an operator ordered it)"
            .to_owned(),
        "verification-required" => {
            "the same request with a one-time code in X-RG-Verification by a key that is enrolled \
             (rg-gateway keys verification enrol), or once the demand is lifted"
                .to_owned()
        }
        "query-too-complex" => {
            "a query of a lower complexity class, or a plan or scope that allows this one"
                .to_owned()
        }
        "route-not-found" => "a path that a route of the configuration matches".to_owned(),
        other => format!("a request without the cause named by {other}"),
    };
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposed_field_is_the_same_field_of_any_item() {
        assert_eq!(any_item("$.items[12].a[0].note"), "$.items[*].a[*].note");
        assert_eq!(any_item("$.a[b].c"), "$.a[b].c");
        assert_eq!(any_item("$.to.[email].note"), "$.to.**");
        assert_eq!(any_item("a[1][2][3][4][5]"), "a[*][*][*][*][5]");
        let long = any_item(&format!("$.{}", "x".repeat(300)));
        assert_eq!(long.len(), 202);
        assert!(crate::policy::threat::FieldPattern::parse(&long).is_ok());
    }
}
