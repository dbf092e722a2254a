//! The threat engine: reads a request the way its upstream will, and says what speaks against it.
//!
//! A request's path, query string, headers and body are split into values with their places; each value
//! loses its disguises and is looked at in its own language: Cypher by its tokens, everything else by
//! literals, patterns and tokenisers. Rules (YAML, with their own tests) give every finding its weight,
//! and the judgement adds the weights up per value and category.
//!
//! It promises: pure and linear in the request's bytes; every bound that is hit is an indicator, never a
//! silent pass; no match without rule, place and excerpt. It does not decide what a caller may do and never
//! reads a clock. What it remembers between requests is only its own answer for statements and header values
//! found clean before (`cypher/memo.rs`): bounded, compared whole, without influence on any verdict.

mod at;
mod body;
mod bounds;
mod bytes;
mod clean;
mod conclude;
mod context;
mod decode;
mod detect;
mod exclude;
mod fields;
mod inflate;
mod inspect;
mod json;
mod judge;
mod kinds;
mod media;
mod multipart;
mod parts;
mod predicate;
#[cfg(any(test, fuzzing))]
pub mod properties;
mod rules;
mod sanitize;
mod selftest;
mod sniff;
mod spans;
mod threshold;
mod unescape;
mod work;
mod xml;

use std::sync::Arc;

pub use crate::policy::cypher::{ComplexityClass, QueryClass, QueryFacts};
pub use exclude::{Exclusion, FieldPattern, Origin, Target};
pub use kinds::{Mitigation, Mitigations, Mode, Severity, Verdict};
pub use sanitize::{Sanitized, SanitizedValue};
pub use selftest::{TestFailure, TestReport};
pub use spans::{Rewrite, rewrite};
pub use threshold::{CategoryThresholds, Thresholds};

use crate::diagnostic::Diagnostic;
use crate::policy::cypher::{AllowList, Procedures};
use crate::policy::pii;
use exclude::Exclusions;
use rules::RuleSet;

/// A rule file's name, as the operator knows it, and its text.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// The name diagnostics use.
    pub name: Arc<str>,
    /// YAML, see `docs/rules.md`.
    pub text: String,
}

/// What a rule says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleMeta {
    /// Unique, lowercase words joined by dashes.
    pub id: Arc<str>,
    /// One sentence: the description of its indicators.
    pub name: Arc<str>,
    /// The first is the category confidences are combined in.
    pub tags: Vec<Arc<str>>,
    /// The `indicator_type` of the specification, such as `SQL_INJECTION_ATTEMPT`.
    pub indicator_type: Arc<str>,
    /// How bad it is if true.
    pub severity: Severity,
    /// How sure the rule is, above 0 and at most 1.
    pub confidence: f32,
    /// Whether its findings count.
    pub mode: Mode,
    /// What follows from it once it counts.
    pub mitigations: Mitigations,
    /// Those of its category.
    pub thresholds: Thresholds,
    /// The file it stands in.
    pub file: Arc<str>,
}

impl RuleMeta {
    /// What confidences are combined in: the first tag.
    pub fn category(&self) -> Option<&str> {
        self.tags.first().map(|tag| &**tag)
    }
}

/// What a configuration says of what is found and how it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tuning<'a> {
    /// Where findings do not count.
    pub exclusions: &'a [Exclusion],
    /// From which confidence on they have consequences, by category.
    pub thresholds: &'a [CategoryThresholds],
    /// What statements may call, where it differs from what they may without a list.
    pub procedures: Option<&'a AllowList>,
}

/// Compiled rules. Immutable; one is shared by all requests.
#[derive(Debug)]
pub struct Engine {
    rules: RuleSet,
    exclusions: Exclusions,
}

impl Engine {
    /// Compiles rule files and runs every rule's own tests. Ids in `disabled` are switched off.
    ///
    /// # Errors
    /// Everything that is wrong with any of the files, each with its place; a failing test names its rule.
    pub fn compile(files: &[RuleFile], disabled: &[Arc<str>]) -> Result<Self, Vec<Diagnostic>> {
        let rules = rules::compile(files, disabled)?;
        let Some(rules) = RuleSet::new(rules) else {
            let place = crate::diagnostic::Place {
                file: "rules".into(),
                line: 0,
                column: 0,
            };
            return Err(vec![Diagnostic::error(
                place,
                "",
                "literals do not compile together",
            )]);
        };
        let engine = Self {
            rules,
            exclusions: Exclusions::default(),
        };
        let failures = engine.test_report().failures;
        if failures.is_empty() {
            Ok(engine)
        } else {
            Err(failures
                .into_iter()
                .map(TestFailure::into_diagnostic)
                .collect())
        }
    }

    /// Counts findings as a configuration says. The rules' own tests do not depend on it.
    ///
    /// # Errors
    /// Every exclusion and every category that is about no rule.
    pub fn tuned(mut self, tuning: &Tuning<'_>) -> Result<Self, Vec<Diagnostic>> {
        let mut lost = threshold::resolve(&mut self.rules, tuning.thresholds);
        match Exclusions::resolve(&self.rules, tuning.exclusions) {
            Ok(exclusions) => self.exclusions = exclusions,
            Err(of_exclusions) => lost.extend(of_exclusions),
        }
        if let Some(list) = tuning.procedures {
            self.rules.set_procedures(Procedures::new(list));
        }
        if lost.is_empty() { Ok(self) } else { Err(lost) }
    }

    /// The exclusions, expired ones too.
    pub fn exclusions(&self) -> &[Exclusion] {
        self.exclusions.list()
    }

    /// Every rule, in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = &RuleMeta> {
        self.rules.rules().iter().map(|r| &r.meta)
    }

    /// Runs every rule's own tests, those of shadowed rules too.
    pub fn test_report(&self) -> TestReport {
        selftest::run(&self.rules)
    }

    /// Rewrites what the rules want cleaned in a request they were asked about; `None` when that cannot be done.
    pub fn sanitize(&self, request: &Inspect<'_>, found: &Inspection) -> Option<Sanitized> {
        sanitize::sanitize(&self.rules, &self.exclusions, request, found)
    }

    /// Inspects one request whole.
    pub fn inspect(&self, request: &Inspect<'_>) -> Inspection {
        inspect::inspect(&self.rules, &self.exclusions, request)
    }
}

/// One request as received.
#[derive(Clone, Copy, Debug)]
pub struct Inspect<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The canonical path, percent-encoded.
    pub path: &'a str,
    /// The path as it came.
    pub raw_path: &'a str,
    /// The query string without `?`, raw.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a http::HeaderMap,
    /// The body as received, content encodings still on.
    pub body: &'a [u8],
    /// What the route knows.
    pub hints: Hints<'a>,
}

/// What the route knows about its requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// The route's kind.
    pub kind: Kind,
    /// Where the Cypher stands, when the route knows.
    pub query_text: Option<&'a FieldPath>,
    /// Whether a body that cannot be read is refused, rather than looked at as text.
    pub on_undecodable_refuse: bool,
    /// Whether a body too large to be looked at is let through, so that bounds on how much there is in one are not
    /// findings, and say only that not all was looked at.
    pub on_oversize_forward: bool,
    /// Whether the body is only the beginning of one, which ends anywhere.
    pub body_is_prefix: bool,
    /// Whose request it is, for exclusions.
    pub origin: Origin<'a>,
    /// Nanoseconds by some clock, where the time of each rule is wanted.
    pub clock: Option<fn() -> u64>,
    /// Whether personal data is looked for.
    pub pii: bool,
}

/// A route's kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Runs a query.
    Query,
    /// Takes files.
    Upload,
    /// Reads.
    Read,
    /// Writes.
    Write,
    /// Administers.
    Admin,
    /// Anything else.
    #[default]
    Other,
}

/// A place in a JSON body: `$`, then `.name` or `[index]` steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Arc<str>);

impl FieldPath {
    /// Reads a path such as `$.query`; `None` when it does not start with `$`.
    pub fn parse(text: &str) -> Option<Self> {
        (text.starts_with("$.") || text.starts_with("$[")).then(|| Self(text.into()))
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an inspection found.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Every rule that matched, at most [`INDICATORS_MAX`], in the order of the request.
    pub indicators: Vec<Indicator>,
    /// The sum.
    pub verdict: Verdict,
    /// What follows, from the rules that count.
    pub mitigations: Mitigations,
    /// The statement, when the request carries one; of several the dearest.
    pub query: Option<QueryFacts>,
    /// Bounds that were hit; each is an indicator too.
    pub bounds: Vec<BoundHit>,
    /// Rules whose patterns were tried, and the nanoseconds that took; empty without a clock.
    pub timings: Vec<(Arc<str>, u64)>,
    /// Some of the body was not looked at, or not as what it is, and the route lets that pass.
    pub uninspected: bool,
    /// Set when the body cannot be read and the route refuses such bodies.
    pub refused_as: Option<Unreadable>,
    /// The personal data in path, query string and body, where it was looked for. It says nothing against anybody.
    pub pii: pii::Counts,
}

/// Indicators kept of one request; a refusal needs one.
pub const INDICATORS_MAX: usize = 64;

/// One rule that matched at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Indicator {
    /// The rule's id.
    pub rule: Arc<str>,
    /// Such as `SQL_INJECTION_ATTEMPT`.
    pub indicator_type: Arc<str>,
    /// How bad it is if true.
    pub severity: Severity,
    /// The rule's confidence.
    pub confidence: f32,
    /// What the rule found, in a sentence.
    pub description: String,
    /// `$.parameters.name`, `query.q`, `header.user-agent`, `path`.
    pub field: String,
    /// The decoded value around the match, at most 200 characters, control characters escaped.
    pub excerpt: String,
    /// Whether it counted.
    pub mode: Mode,
    /// What the rule asks for.
    pub mitigations: Mitigations,
    /// The combined confidence of its category in this value, which the thresholds are compared with; 0 where
    /// it did not count.
    pub score: f32,
    /// Those of its category.
    pub thresholds: Thresholds,
}

impl Indicator {
    /// Whether it was part of what blocked the request.
    pub fn blocks(&self) -> bool {
        self.mode == Mode::Enforce
            && self.thresholds.blocks(self.score)
            && self.mitigations.has(Mitigation::BlockRequest)
    }

    /// The score from which on its category blocks, where that is not the default.
    pub fn blocks_from_where_unusual(&self) -> Option<f64> {
        let block = self.thresholds.block;
        (block != Thresholds::DEFAULT.block).then_some(block)
    }
}

/// A bound that was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundHit {
    /// The predicate's name, such as `bound.json_depth`.
    pub bound: &'static str,
    /// Where.
    pub field: String,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// 400, 413 or 415.
    pub status: u16,
    /// A stable code: `body-malformed`, `body-too-large`, `content-encoding`,
    /// `content-type`, `charset`.
    pub code: &'static str,
}

#[cfg(test)]
mod tests;
