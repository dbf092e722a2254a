//! One pass over the events of a report.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use super::controls::Measures;
use super::{Accesses, Counted, LISTED_MAX, Listed, Proof, Report, Scope, Subjects};
use crate::audit::event::{self, EventType, Severity};
use crate::audit::timestamp;
use crate::audit::view::Text;

/// The part of an event that reports are about.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(with = "event::uuid_text")]
    event_id: uuid::Uuid,
    #[serde(with = "timestamp::rfc3339")]
    timestamp: i64,
    event_type: EventType,
    severity: Severity,
    #[serde(borrow, default)]
    organization_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    api_key_id: Option<Text<'a>>,
    #[serde(borrow)]
    endpoint: Text<'a>,
    #[serde(borrow, default)]
    refusal_code: Option<Text<'a>>,
    #[serde(borrow, default)]
    compliance_tags: Vec<Text<'a>>,
    #[serde(borrow, default)]
    data_accessed: Option<Data<'a>>,
    #[serde(borrow, default)]
    geographic_location: Option<Place<'a>>,
    #[serde(borrow, default)]
    indicators: Vec<Found<'a>>,
    #[serde(borrow, default)]
    actor: Option<Text<'a>>,
    #[serde(borrow, default)]
    details: Option<&'a serde_json::value::RawValue>,
}

impl Seen<'_> {
    fn is_tagged(&self, tag: &str) -> bool {
        self.compliance_tags.iter().any(|own| **own == *tag)
    }
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    graph_ids: Vec<Text<'a>>,
    #[serde(borrow, default)]
    data_classification: Option<Text<'a>>,
    #[serde(default)]
    pii_kinds: BTreeMap<String, u64>,
    #[serde(default)]
    pii_response_kinds: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow, default)]
    country: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    indicator_type: Text<'a>,
}

/// What a change came to.
#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    transition: Option<String>,
    #[serde(default)]
    result: Option<String>,
}

/// What was gathered so far.
pub(super) struct Gathered<'s> {
    scope: &'s Scope,
    measures: Measures,
    events: BTreeMap<String, u64>,
    severities: BTreeMap<String, u64>,
    accesses: Accesses,
    subjects: Subjects,
    failures: Counted,
    threats: Counted,
    security_events: VecDeque<Listed>,
    changes: VecDeque<Listed>,
}

impl<'s> Gathered<'s> {
    pub(super) fn new(scope: &'s Scope) -> Self {
        Self {
            scope,
            measures: Measures::default(),
            events: BTreeMap::new(),
            severities: BTreeMap::new(),
            accesses: Accesses::default(),
            subjects: Subjects::default(),
            failures: Counted::default(),
            threats: Counted::default(),
            security_events: VecDeque::new(),
            changes: VecDeque::new(),
        }
    }

    /// Takes one event into account, if the report is about it.
    pub(super) fn take(&mut self, json: &str) {
        let Ok(seen) = serde_json::from_str::<Seen<'_>>(json) else {
            self.measures.unreadable += 1;
            return;
        };
        let scope = self.scope;
        let own = scope
            .organization
            .as_deref()
            .is_none_or(|wanted| seen.organization_id.as_deref() == Some(wanted));
        if !own || !(scope.from..scope.to).contains(&seen.timestamp) {
            return;
        }
        self.measures.events += 1;
        count(&mut self.events, seen.event_type.as_str());
        count(&mut self.severities, seen.severity.as_str());
        self.measures.critical += u64::from(seen.severity == Severity::Critical);
        if let Some(code) = &seen.refusal_code {
            self.failures.add(code, 1);
        }
        match seen.event_type {
            EventType::Authentication => self.measures.authentication_failures += 1,
            EventType::Authorization => self.measures.authorization_refusals += 1,
            EventType::SecurityEvent => self.take_threat(&seen),
            EventType::ConfigurationChange => self.take_change(&seen),
            EventType::SystemEvent => self.take_life(&seen),
            EventType::ApiRequest | EventType::DataAccess => {}
        }
        self.take_subject(&seen);
        if scope.standard.tag().is_none_or(|tag| seen.is_tagged(tag)) {
            self.take_personal_data(&seen);
            if seen.event_type == EventType::DataAccess {
                self.take_access(&seen);
            }
        }
    }

    /// Whoever asked: what came of a key, or of an organization without one.
    fn take_subject(&mut self, seen: &Seen<'_>) {
        let subjects = &mut self.subjects;
        let at = instant(seen.timestamp);
        for (of, name) in [
            (&mut subjects.organizations, &seen.organization_id),
            (&mut subjects.api_keys, &seen.api_key_id),
        ] {
            if let Some(name) = name.as_deref() {
                of.add(name, &at);
            }
        }
    }

    /// Personal data in an event of any type the standard is about.
    fn take_personal_data(&mut self, seen: &Seen<'_>) {
        let accesses = &mut self.accesses;
        accesses.with_personal_data += u64::from(seen.is_tagged("pii"));
        let Some(data) = &seen.data_accessed else {
            return;
        };
        for (kind, times) in data.pii_kinds.iter().chain(&data.pii_response_kinds) {
            accesses.personal_data.add(kind, *times);
        }
    }

    /// An access to data the standard is about.
    fn take_access(&mut self, seen: &Seen<'_>) {
        let accesses = &mut self.accesses;
        accesses.total += 1;
        accesses.modifications += u64::from(seen.is_tagged("data_modification"));
        let nobody = "unknown";
        let named = |text: &Option<Text<'_>>| text.as_deref().unwrap_or(nobody).to_owned();
        accesses.organizations.add(&named(&seen.organization_id), 1);
        accesses.api_keys.add(&named(&seen.api_key_id), 1);
        let country = seen.geographic_location.as_ref();
        let country = country.and_then(|place| place.country.as_deref());
        accesses.countries.add(country.unwrap_or(nobody), 1);
        let Some(data) = &seen.data_accessed else {
            return;
        };
        for graph in &data.graph_ids {
            accesses.graphs.add(graph, 1);
        }
        if let Some(classification) = &data.data_classification {
            accesses.classifications.add(classification, 1);
            self.measures.restricted += u64::from(&**classification == "restricted");
        }
    }

    fn take_threat(&mut self, seen: &Seen<'_>) {
        self.measures.security_events += 1;
        let mut kinds: Vec<&str> = seen
            .indicators
            .iter()
            .map(|found| &*found.indicator_type)
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            self.threats.add(kind, 1);
        }
        push(
            &mut self.security_events,
            listed(seen, seen.refusal_code.as_deref()),
        );
    }

    fn take_change(&mut self, seen: &Seen<'_>) {
        self.measures.changes += 1;
        self.measures.credential_changes += u64::from(&*seen.endpoint == "key.changed");
        let details: Details = seen
            .details
            .and_then(|details| serde_json::from_str(details.get()).ok())
            .unwrap_or_default();
        let result = details.transition.or(details.result);
        push(&mut self.changes, listed(seen, result.as_deref()));
    }

    fn take_life(&mut self, seen: &Seen<'_>) {
        let counter = match &*seen.endpoint {
            "gateway.started" => &mut self.measures.starts,
            "gateway.stopped" => &mut self.measures.stops,
            "audit.searched" | "audit.tailed" | "audit.exported" | "audit.proved"
            | "audit.explained" | "audit.reported" => &mut self.measures.log_reads,
            _ => return,
        };
        *counter += 1;
    }

    pub(super) fn into_report(mut self, proof: Proof, now_micros: i64) -> Report {
        let measures = &mut self.measures;
        measures.accesses = self.accesses.total;
        measures.modifications = self.accesses.modifications;
        measures.personal = self.accesses.with_personal_data;
        measures.callers = self.accesses.api_keys.by_name.len() as u64;
        measures.countries = self.accesses.countries.by_name.len() as u64;
        measures.graphs = self.accesses.graphs.by_name.len() as u64;
        measures.verified = proof.events;
        measures.bad_places = proof.bad_places;
        let standard = self.scope.standard;
        Report {
            standard: standard.as_str(),
            title: standard.title(),
            generated_at: instant(now_micros),
            from: instant(self.scope.from),
            to: instant(self.scope.to),
            organization: self.scope.organization.clone(),
            controls: standard.controls(&self.measures),
            events: self.events,
            severities: self.severities,
            accesses: self.accesses,
            subjects: self.subjects,
            failures: self.failures,
            threats: self.threats,
            security_events: self.security_events.into(),
            changes: self.changes.into(),
            proof,
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_owned(), 1)),
    }
}

fn push(list: &mut VecDeque<Listed>, listed: Listed) {
    if list.len() >= LISTED_MAX {
        list.pop_front();
    }
    list.push_back(listed);
}

fn listed(seen: &Seen<'_>, result: Option<&str>) -> Listed {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let who = seen.actor.as_deref().or(seen.api_key_id.as_deref());
    Listed {
        timestamp: instant(seen.timestamp),
        event_id: seen.event_id.to_string(),
        what: seen.endpoint.to_string(),
        who: owned(who),
        organization_id: owned(seen.organization_id.as_deref()),
        severity: seen.severity.as_str(),
        result: owned(result),
    }
}

fn instant(micros: i64) -> String {
    String::from_utf8_lossy(&timestamp::text(micros)).into_owned()
}
