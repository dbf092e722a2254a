//! What happens to penalties, as audit events.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Change, Entry};
use crate::audit::{AuditEvent, EventType, Severity, Source};
use crate::now::Now;
use crate::policy::auth::Caller;
use crate::policy::penalty::Effect;
use crate::random::time_ordered_id;

/// A penalty was laid or raised; `None` where the finding's own event says all there is.
pub fn laid(change: &Change, address: IpAddr, now: Now) -> Option<AuditEvent<'static>> {
    let what = match change.effect {
        Effect::Laid => "penalty.laid",
        Effect::Raised => "penalty.raised",
        Effect::Noted | Effect::Prolonged | Effect::Unchanged => return None,
    };
    Some(AuditEvent {
        source_ip: Source::Address(address),
        ..event(
            &change.entry,
            EventType::SecurityEvent,
            Severity::Warning,
            what,
            now,
        )
    })
}

/// A right one-time code was presented with the request of this event.
pub fn verified(caller: &Caller, address: IpAddr, event_id: Uuid, now: Now) -> AuditEvent<'static> {
    let details = json!({"event_id": event_id.to_string()});
    let (what, severity) = ("verification.accepted", Severity::Info);
    AuditEvent {
        event_type: EventType::Authentication,
        source_ip: Source::Address(address),
        organization_id: Some(caller.organization_id.to_string().into()),
        api_key_id: Some(caller.key_id.to_string().into()),
        ..AuditEvent::system(
            time_ordered_id(now),
            now.unix_micros,
            severity,
            what,
            details,
        )
    }
}

/// A penalty has ended by itself.
pub fn ended(entry: &Entry, now: Now) -> AuditEvent<'static> {
    let what = "penalty.ended";
    event(entry, EventType::SecurityEvent, Severity::Info, what, now)
}

/// Somebody took a penalty away.
pub fn lifted(entry: &Entry, by: &str, now: Now) -> AuditEvent<'static> {
    AuditEvent {
        actor: Some(by.to_owned().into()),
        ..event(
            entry,
            EventType::ConfigurationChange,
            Severity::Info,
            "penalty.lifted",
            now,
        )
    }
}

fn event(
    entry: &Entry,
    event_type: EventType,
    severity: Severity,
    what: &'static str,
    now: Now,
) -> AuditEvent<'static> {
    let id = time_ordered_id(now);
    AuditEvent {
        event_type,
        compliance_tags: tags(event_type, what),
        organization_id: Some(entry.organization_id.to_string().into()),
        api_key_id: Some(entry.key_id.to_string().into()),
        ..AuditEvent::system(id, now.unix_micros, severity, what, details(entry))
    }
}

/// A penalty follows from a threat and is tagged as one; lifting it is a change.
fn tags(event_type: EventType, what: &'static str) -> Vec<Cow<'static, str>> {
    let is_threat = event_type == EventType::SecurityEvent;
    let security = is_threat.then_some(Cow::Borrowed("security"));
    security
        .into_iter()
        .chain(is_threat.then_some(Cow::Borrowed(what)))
        .collect()
}

/// A penalty as events, the admin API and the command line show it.
pub fn details(entry: &Entry) -> Value {
    let penalty = &entry.penalty;
    json!({
        "penalty_id": penalty.id.to_string(),
        "kind": penalty.kind.as_str(),
        "key_id": &*entry.key_id,
        "organization_id": &*entry.organization_id,
        "network": entry.network.map(|network| network.to_string()),
        "strikes": penalty.strikes,
        "level": penalty.level,
        "since": time(penalty.since_micros),
        "last_finding": time(penalty.last_micros),
        "until": penalty.until_micros.map(time),
        "verified_until": penalty.verified_until_micros.map(time),
        "rules": penalty.rules.split(',').collect::<Vec<_>>(),
        "event_id": penalty.event_id.to_string(),
    })
}

/// A time as RFC 3339, to the second.
pub fn time(unix_micros: i64) -> String {
    let secs = unix_micros.div_euclid(1_000_000);
    jiff::Timestamp::from_second(secs).map_or_else(|_| "out of range".into(), |at| at.to_string())
}
