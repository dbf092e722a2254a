//! What two judgements of the same requests come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::policy::threat::{Inspection, Verdict};

/// Keys, and labels, told apart; the rest is counted as `__overflow__`.
const GROUPS_MAX: usize = 10_000;
/// Differences of each kind shown whole.
pub(crate) const EXAMPLES_MAX: usize = 10;
/// The group of what no bound leaves room for.
const OVERFLOW: &str = "__overflow__";

/// How often one side, the other, or only one of them blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Requests, or for a rule those it took part in blocking on either side.
    pub(crate) requests: u64,
    /// Blocked by the rules asked about.
    pub(crate) blocked: u64,
    /// Blocked by the rules they are compared with.
    pub(crate) blocked_before: u64,
    /// Blocked only by the rules asked about.
    pub(crate) newly_blocked: u64,
    /// Blocked only by the rules they are compared with.
    pub(crate) newly_allowed: u64,
}

impl Counts {
    fn note(&mut self, now: bool, before: bool) {
        self.requests += 1;
        self.blocked += u64::from(now);
        self.blocked_before += u64::from(before);
        self.newly_blocked += u64::from(now && !before);
        self.newly_allowed += u64::from(before && !now);
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.blocked += other.blocked;
        self.blocked_before += other.blocked_before;
        self.newly_blocked += other.newly_blocked;
        self.newly_allowed += other.newly_allowed;
    }
}

/// One request that is judged differently, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Example {
    /// What the request was known by.
    pub(crate) id: String,
    /// The rule that blocks on the side that does.
    pub(crate) rule: Arc<str>,
    /// Where.
    pub(crate) field: String,
    /// What stands there, decoded.
    pub(crate) excerpt: String,
}

/// Everything counted.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// All requests that were judged.
    pub(crate) all: Counts,
    /// By rule that was part of a block on one side.
    pub(crate) rules: BTreeMap<String, Counts>,
    /// By API key, where recorded.
    pub(crate) keys: BTreeMap<String, Counts>,
    /// By label, where traffic is labelled.
    pub(crate) labels: BTreeMap<String, Counts>,
    /// Some that are newly blocked.
    pub(crate) newly_blocked: Vec<Example>,
    /// Some that are newly allowed.
    pub(crate) newly_allowed: Vec<Example>,
    /// Lines that are no recorded request.
    pub(crate) unreadable: u64,
    /// Requests that are refused before any rule sees them.
    pub(crate) refused_before_rules: u64,
}

/// What a tally needs to know of a request.
pub(crate) struct Labels<'a> {
    pub(crate) id: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) label: Option<&'a str>,
}

impl Tally {
    /// Counts one request; `before` is missing where nothing is compared.
    pub(crate) fn note(&mut self, of: &Labels<'_>, now: &Inspection, before: Option<&Inspection>) {
        let blocks = |inspection: &Inspection| inspection.verdict == Verdict::Block;
        let was = before.unwrap_or(now);
        let (is, was_blocked) = (blocks(now), blocks(was));
        self.all.note(is, was_blocked);
        for (groups, name) in [(&mut self.keys, of.key), (&mut self.labels, of.label)] {
            if let Some(name) = name {
                group(groups, name).note(is, was_blocked);
            }
        }
        if !is && !was_blocked {
            return;
        }
        let (now_by, before_by) = (blocking(now), blocking(was));
        let mut either: Vec<&Arc<str>> = now_by.iter().chain(&before_by).copied().collect();
        either.sort();
        either.dedup();
        for rule in either {
            let counts = group(&mut self.rules, rule);
            counts.note(now_by.contains(&rule), before_by.contains(&rule));
        }
        let (list, inspection) = match (is, was_blocked) {
            (true, false) => (&mut self.newly_blocked, now),
            (false, true) => (&mut self.newly_allowed, was),
            _ => return,
        };
        let first = inspection.indicators.iter().find(|found| found.blocks());
        if let Some(found) = first.filter(|_| list.len() < EXAMPLES_MAX) {
            list.push(Example {
                id: of.id.to_owned(),
                rule: Arc::clone(&found.rule),
                field: found.field.clone(),
                excerpt: found.excerpt.clone(),
            });
        }
    }

    /// Adds what another worker counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.all.add(other.all);
        self.unreadable += other.unreadable;
        self.refused_before_rules += other.refused_before_rules;
        for (mine, others) in [
            (&mut self.rules, other.rules),
            (&mut self.keys, other.keys),
            (&mut self.labels, other.labels),
        ] {
            for (name, counts) in others {
                group(mine, &name).add(counts);
            }
        }
        for (mine, others) in [
            (&mut self.newly_blocked, other.newly_blocked),
            (&mut self.newly_allowed, other.newly_allowed),
        ] {
            mine.extend(others);
            // Workers race; what is shown must not depend on it more than it has to.
            mine.sort_by(|a, b| a.id.cmp(&b.id));
            mine.truncate(EXAMPLES_MAX);
        }
    }
}

fn blocking(inspection: &Inspection) -> Vec<&Arc<str>> {
    let blocking = inspection.indicators.iter().filter(|found| found.blocks());
    blocking.map(|found| &found.rule).collect()
}

fn group<'g>(groups: &'g mut BTreeMap<String, Counts>, name: &str) -> &'g mut Counts {
    let known = groups.len() < GROUPS_MAX || groups.contains_key(name);
    let name = if known { name } else { OVERFLOW };
    groups.entry(name.to_owned()).or_default()
}
