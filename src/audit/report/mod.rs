//! Compliance reports: what the log says about one stretch of time, under the headings of one standard.
//!
//! A report is gathered in one pass over the log, oldest event first, in memory that does not grow with it: names are
//! counted up to `NAMES_MAX` of a kind and the rest together, the latest `LISTED_MAX` changes and threats are
//! listed, and the numbers are of all. It states what was recorded, and whether the record can be trusted; whether a
//! control is met is for the auditor to say.

mod controls;
mod gather;
mod html;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::proof::Trust;
use super::verify::verify;
pub use controls::Standard;
use gather::Gathered;
pub use html::html;

/// Names of a kind that are counted one by one.
const NAMES_MAX: usize = 1_000;
/// Changes and threats that are listed.
const LISTED_MAX: usize = 500;

/// What a report is about.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The standard whose headings it has.
    pub standard: Standard,
    /// Not before this instant, microseconds since 1970.
    pub from: i64,
    /// Before this instant, microseconds since 1970.
    pub to: i64,
    /// Only events of this organization.
    pub organization: Option<String>,
}

/// A report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The standard's short name.
    pub standard: &'static str,
    /// Its full name.
    pub title: &'static str,
    /// When it was made, RFC 3339.
    pub generated_at: String,
    /// Events at or after this instant, RFC 3339.
    pub from: String,
    /// Events before this instant, RFC 3339.
    pub to: String,
    /// The organization, when it is about one.
    pub organization: Option<String>,
    /// Each control, with what was recorded for it.
    pub controls: Vec<Control>,
    /// Events of each type.
    pub events: BTreeMap<String, u64>,
    /// Events of each severity.
    pub severities: BTreeMap<String, u64>,
    /// Accesses to data the standard is about.
    pub accesses: Accesses,
    /// Who is told of in the events.
    pub subjects: Subjects,
    /// Requests refused, by the code of the refusal.
    pub failures: Counted,
    /// Threats found, by type.
    pub threats: Counted,
    /// The latest events of threats.
    pub security_events: Vec<Listed>,
    /// The latest changes of configuration, rules and keys.
    pub changes: Vec<Listed>,
    /// Whether the record can be trusted.
    pub proof: Proof,
}

/// One control of a standard.
#[derive(Clone, Debug, Serialize)]
pub struct Control {
    /// Its number in the standard.
    pub id: &'static str,
    /// What it asks for.
    pub title: &'static str,
    /// What was recorded, by name.
    pub recorded: BTreeMap<&'static str, u64>,
}

/// Accesses to data.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Accesses {
    /// All of them.
    pub total: u64,
    /// Those that changed data.
    pub modifications: u64,
    /// Events of any type the standard is about in which personal data was seen: those tagged `pii` too.
    pub with_personal_data: u64,
    /// How often each kind of personal data was seen in events of any type the standard is about.
    pub personal_data: Counted,
    /// By organization.
    pub organizations: Counted,
    /// By API key.
    pub api_keys: Counted,
    /// By graph.
    pub graphs: Counted,
    /// By the data's classification.
    pub classifications: Counted,
    /// By the client's country.
    pub countries: Counted,
}

/// Whose events there are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Subjects {
    /// By organization.
    pub organizations: Met,
    /// By API key.
    pub api_keys: Met,
}

/// When each name was met. Beyond `NAMES_MAX` names, new ones are counted together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Met {
    /// By name.
    pub by_name: BTreeMap<String, Meetings>,
    /// Events under names beyond the bound.
    pub others: u64,
}

/// The events of one name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Meetings {
    /// How many.
    pub events: u64,
    /// The first in time, RFC 3339.
    pub first: String,
    /// The last.
    pub last: String,
}

impl Met {
    fn add(&mut self, name: &str, at: &str) {
        if !self.by_name.contains_key(name) && self.by_name.len() >= NAMES_MAX {
            self.others += 1;
            return;
        }
        let met = self.by_name.entry(name.to_owned()).or_default();
        met.events += 1;
        // Instants of one form, so that their texts are in their order.
        if met.first.is_empty() || *at < *met.first {
            at.clone_into(&mut met.first);
        }
        if *at > *met.last {
            at.clone_into(&mut met.last);
        }
    }
}

/// How often each name was met. Beyond `NAMES_MAX` names, new ones are counted together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counted {
    /// By name.
    pub by_name: BTreeMap<String, u64>,
    /// Under names beyond the bound.
    pub others: u64,
}

impl Counted {
    fn add(&mut self, name: &str, count: u64) {
        if let Some(known) = self.by_name.get_mut(name) {
            *known += count;
        } else if self.by_name.len() < NAMES_MAX {
            self.by_name.insert(name.to_owned(), count);
        } else {
            self.others += count;
        }
    }
}

/// One event of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// When, RFC 3339.
    pub timestamp: String,
    /// The event's id.
    pub event_id: String,
    /// What happened: the path, or our name for it.
    pub what: String,
    /// Who did it, as far as is known: an actor, else a key.
    pub who: Option<String>,
    /// Of which organization.
    pub organization_id: Option<String>,
    /// How much it matters.
    pub severity: &'static str,
    /// Transition, refusal or result.
    pub result: Option<String>,
}

/// Whether the record can be trusted: the whole log's verification, not only of the report's time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Proof {
    /// Every frame, sequence and chain is as it was written, up to the checkpoint.
    pub sound: bool,
    /// Events checked.
    pub events: u64,
    /// Segments checked.
    pub segments: u64,
    /// The first sequence kept.
    pub first_sequence: u64,
    /// The last sequence.
    pub last_sequence: u64,
    /// The last sequence a signed checkpoint covers.
    pub signed_up_to: Option<u64>,
    /// Bad places.
    pub bad_places: u64,
    /// The first of them.
    pub first_bad: Option<String>,
}

/// Makes a report of the log in a directory, whether or not a gateway writes to it.
///
/// # Errors
///
/// The directory cannot be read.
pub fn report(dir: &Path, scope: &Scope, now_micros: i64) -> std::io::Result<Report> {
    let proof = proof(dir)?;
    let mut gathered = Gathered::new(scope);
    for event in super::read_all(dir).flatten() {
        gathered.take(event.json.get());
    }
    Ok(gathered.into_report(proof, now_micros))
}

fn proof(dir: &Path) -> std::io::Result<Proof> {
    let trust = dir.parent().map(Trust::of_data_folder);
    let found = verify(dir, &trust.unwrap_or_default())?;
    Ok(Proof {
        sound: found.is_sound(),
        events: found.events,
        segments: found.segments,
        first_sequence: found.first_sequence,
        last_sequence: found.last_sequence,
        signed_up_to: found.signed.as_ref().map(|head| head.size),
        bad_places: found.bad_total,
        first_bad: found.first_bad.as_ref().map(ToString::to_string),
    })
}
