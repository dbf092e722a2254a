//! Who is told of what, how often, and how it is signed.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::config::{Audience, Secret};

const SECOND: i64 = 1_000_000;

fn event(organization: &str, rules: &[(&str, &str, &str)]) -> String {
    let indicators: Vec<Value> = rules
        .iter()
        .map(|(rule, mode, mitigation)| {
            json!({
                "rule": rule, "indicator_type": "SQL_INJECTION_ATTEMPT", "severity": "high",
                "confidence": 0.97, "description": "a \"quoted\" sentence", "field": "query.q",
                "excerpt": "an excerpt", "mode": mode, "mitigations": ["block_request", mitigation],
            })
        })
        .collect();
    json!({
        "event_id": "0199", "timestamp": "2026-11-22T12:00:00.000000Z", "source_ip": "203.0.113.7",
        "organization_id": organization, "api_key_id": "ab12CD34", "method": "GET",
        "endpoint": "/v1/graphs", "status_code": 403, "request_id": "r-1",
        "decision_id": "d-1", "refusal_code": "threat-blocked", "indicators": indicators,
        "details": {"anything": "else"},
    })
    .to_string()
}

fn rules<'a>(event: &'a Event<'_>) -> Vec<&'a str> {
    event.findings().map(|finding| &*finding.rule).collect()
}

#[test]
fn the_security_team_and_organizations_are_told_of_what_asks_for_them() {
    let json = event(
        "acme",
        &[
            ("one", "enforce", "alert_security_team"),
            ("two", "shadow", "alert_security_team"),
            ("three", "enforce", "notification"),
            ("one", "enforce", "alert_security_team"),
            ("four", "excluded", "alert_security_team"),
        ],
    );
    let of = |audience: &Audience| {
        Event::of(&json, audience).map(|event| {
            let rules = rules(&event).into_iter().map(str::to_owned);
            rules.collect::<Vec<_>>()
        })
    };
    assert_eq!(of(&Audience::SecurityTeam), Some(vec!["one".to_owned()]));
    let acme = Audience::Organization(Arc::from("acme"));
    assert_eq!(of(&acme), Some(vec!["three".to_owned()]));
    assert_eq!(of(&Audience::Organization(Arc::from("other"))), None);
    let calm = event("acme", &[("one", "enforce", "block_request")]);
    assert!(Event::of(&calm, &Audience::SecurityTeam).is_none());
    assert!(Event::of("no JSON: alert_security_team", &Audience::SecurityTeam).is_none());
}

#[test]
fn the_documents_say_what_was_found_and_hold_no_excerpt() {
    let json = event("acme", &[("one", "enforce", "alert_security_team")]);
    let event = Event::of(&json, &Audience::SecurityTeam).unwrap();
    let fresh: Vec<_> = event.findings().map(|finding| (finding, 3)).collect();
    let hook: Value = serde_json::from_str(&payload::webhook(&event, &fresh)).unwrap();
    assert_eq!(hook["type"], "threat.detected");
    assert_eq!(hook["data"]["decision_id"], "d-1");
    assert_eq!(hook["data"]["findings"][0]["held_back"], 3);
    let alerts = payload::alerts(&event, &fresh, 0, 300 * SECOND);
    let alerts: Value = serde_json::from_str(&alerts).unwrap();
    assert_eq!(alerts[0]["labels"]["rule"], "one");
    assert_eq!(alerts[0]["startsAt"], "1970-01-01T00:00:00Z");
    assert_eq!(alerts[0]["endsAt"], "1970-01-01T00:05:00Z");
    assert!(!hook.to_string().contains("an excerpt"));
    assert!(!alerts.to_string().contains("an excerpt"));
}

#[test]
fn the_published_signature_of_standard_webhooks_is_ours_too() {
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    let fields = payload::signature(&secret, id, 1_614_265_330, r#"{"test": 2432232314}"#);
    assert_eq!(
        fields,
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\r\nwebhook-timestamp: 1614265330\r\n\
         webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=\r\n"
    );
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[test]
fn a_pair_is_told_once_in_a_time_and_then_how_many_there_were() {
    let mut recent = Recent::within(Duration::from_secs(300));
    let not = |held_back| Told::Not { held_back };
    assert_eq!(recent.ask("r", "k", id(1), 0), not(0));
    assert_eq!(recent.ask("r", "k", id(1), 0), not(0), "not told yet");
    recent.told("r", "k", id(1), 0);
    assert_eq!(recent.ask("r", "k", id(1), 0), Told::Lately);
    assert_eq!(recent.ask("r", "k", id(2), SECOND), Told::Lately);
    assert_eq!(recent.ask("r", "k", id(3), 299 * SECOND), Told::Lately);
    assert_eq!(recent.ask("r", "other", id(4), SECOND), not(0));
    assert_eq!(recent.ask("other", "k", id(5), SECOND), not(0));
    assert_eq!(recent.ask("r", "k", id(6), 300 * SECOND), not(2));
}

#[test]
fn a_flood_from_ever_new_keys_is_told_once_in_a_time() {
    let mut recent = Recent::within(Duration::from_secs(300));
    let mut told = 0;
    for n in 0..20_000_u128 {
        let key = n.to_string();
        if recent.ask("r", &key, id(n), 0) != Told::Lately {
            recent.told("r", &key, id(n), 0);
            told += 1;
        }
    }
    assert_eq!(told, 10_001);
    assert!(recent.ask("r", "new", id(1), 300 * SECOND) != Told::Lately);
}

proptest! {
    /// No two notifications of one pair within the time, whatever comes.
    #[test]
    fn never_twice_within_the_time(
        steps in prop::collection::vec((0..3_usize, 0..200_i64), 1..60),
    ) {
        let mut recent = Recent::within(Duration::from_secs(300));
        let mut last = [None; 3];
        let mut now = 0;
        for (number, (key, gap)) in (1_u128..).zip(steps) {
            now += gap * SECOND;
            let name = ["a", "b", "c"][key];
            let told = recent.ask("r", name, id(number), now) != Told::Lately;
            let due = last[key].is_none_or(|at| now - at >= 300 * SECOND);
            prop_assert_eq!(told, due);
            if told {
                recent.told("r", name, id(number), now);
                last[key] = Some(now);
            }
        }
    }
}
