//! Events in the words of others: the Elastic Common Schema and the Open Cybersecurity Schema Framework.
//!
//! A projection is a pure function of a stored event and loses nothing that its target has a word for; what it has
//! none for stands below `rg` (ECS) or `unmapped` (OCSF).

mod ecs;
mod ocsf;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::event::{AuditEvent, Outcome};

/// The words an event is told in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Our own, as stored.
    #[default]
    Event,
    /// Elastic Common Schema 8.17.
    Ecs,
    /// Open Cybersecurity Schema Framework 1.8.
    Ocsf,
}

/// A stored event in other words; `None` when the bytes are no event this version knows.
pub fn project(json: &str, format: Format) -> Option<Value> {
    match format {
        Format::Event => serde_json::from_str(json).ok(),
        Format::Ecs => Some(ecs::ecs(&serde_json::from_str(json).ok()?)),
        Format::Ocsf => Some(ocsf::ocsf(&serde_json::from_str(json).ok()?)),
    }
}

/// Removes what says nothing: nulls, and what is empty once they are gone.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members
                .into_iter()
                .map(|(key, value)| (key, without_nothing(value)))
                .filter(|(_, value)| !says_nothing(value));
            Value::Object(kept.collect())
        }
        other => other,
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Whether what was asked for was had; `None` where nothing was asked for.
fn succeeded(event: &AuditEvent<'_>) -> Option<bool> {
    match (event.outcome, event.status_code) {
        (Some(Outcome::Refused | Outcome::Failed | Outcome::Aborted), _) | (_, 400..) => {
            Some(false)
        }
        (Some(Outcome::Forwarded), _) => Some(true),
        (None, _) => event
            .details
            .as_ref()
            .and_then(|details| details.get("result"))
            .map(|result| result != "refused"),
    }
}

/// The fields of ours that no word of the target holds.
fn ours(event: &AuditEvent<'_>) -> Map<String, Value> {
    let mut rest = Map::new();
    let mut put = |key: &str, value: Value| {
        if !says_nothing(&value) {
            rest.insert(key.to_owned(), value);
        }
    };
    put("schema_version", event.schema_version.into());
    put("decision_id", event.decision_id.as_deref().into());
    put("route", event.route.as_deref().into());
    put("plan", event.plan.as_deref().into());
    put("upstream_ms", event.upstream_ms.into());
    put(
        "inspection",
        event
            .inspection
            .map(|inspection| inspection.as_str())
            .into(),
    );
    put("actor", event.actor.as_deref().into());
    put(
        "data_accessed",
        serde_json::to_value(&event.data_accessed).unwrap_or_default(),
    );
    put(
        "indicators",
        serde_json::to_value(&event.indicators).unwrap_or_default(),
    );
    put("details", event.details.clone().unwrap_or_default());
    rest
}
