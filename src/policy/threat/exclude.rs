//! Exclusions: where the findings of a rule do not count, for a time, and who answers for it.
//!
//! They are looked at only where a rule has matched, so a clean request never pays for them. What is
//! excluded is still an indicator, of mode `excluded`. An exclusion that has expired does nothing; no
//! clock is read here, the request says when it is.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::RuleMeta;
use super::at::At;
use super::rules::{Hit, RuleSet};
use crate::diagnostic::{Diagnostic, Place, did_you_mean};

/// Characters of a field pattern.
const PATTERN_CHARS_MAX: usize = 256;
/// Wildcards of a field pattern.
const WILDCARDS_MAX: usize = 4;

/// What of the rules an exclusion is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One rule, by its id.
    Rule(Arc<str>),
    /// Every rule with this tag.
    Tag(Arc<str>),
}

/// Where the findings of some rules do not count. What is `None` holds for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exclusion {
    /// The rules.
    pub target: Target,
    /// The route's name.
    pub route: Option<Arc<str>>,
    /// The field's path.
    pub field: Option<FieldPattern>,
    /// The API key's id.
    pub key: Option<Arc<str>>,
    /// The client's network.
    pub network: Option<IpNet>,
    /// Who answers for it.
    pub owner: Arc<str>,
    /// Why it is right.
    pub reason: Arc<str>,
    /// The first microsecond since 1970 at which it no longer holds.
    pub expires_at_micros: i64,
    /// Where it was written, for messages.
    pub place: Place,
    /// Its key path in that file.
    pub path: String,
}

/// Whose request it is and when: what exclusions are compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    /// The route's name.
    pub route: Option<&'a str>,
    /// The API key's id.
    pub key: Option<&'a str>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// Microseconds since 1970.
    pub unix_micros: i64,
}

impl Exclusion {
    /// Whether it has expired by then.
    pub fn is_expired(&self, unix_micros: i64) -> bool {
        unix_micros >= self.expires_at_micros
    }

    /// Whether it holds for a request, whatever the field.
    fn holds_for(&self, origin: &Origin<'_>) -> bool {
        let same = |wanted: &Option<Arc<str>>, got: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| got == Some(wanted))
        };
        !self.is_expired(origin.unix_micros)
            && same(&self.route, origin.route)
            && same(&self.key, origin.key)
            && self.network.is_none_or(|network| {
                origin
                    .client
                    .is_some_and(|client| network.contains(&client.to_canonical()))
            })
    }

    fn is_about(&self, rule: &RuleMeta) -> bool {
        match &self.target {
            Target::Rule(id) => rule.id == *id,
            Target::Tag(tag) => rule.tags.contains(tag),
        }
    }

    fn unknown(&self, rules: &RuleSet) -> Diagnostic {
        let (what, key, got) = match &self.target {
            Target::Rule(id) => ("rule", "rule", id),
            Target::Tag(tag) => ("tag of any rule", "tag", tag),
        };
        let path = format!("{}.{key}", self.path);
        let error = Diagnostic::error(
            self.place.clone(),
            path,
            format!("no such {what}: {}", got.escape_debug()),
        );
        let metas = || rules.rules().iter().map(|rule| &rule.meta);
        let near = match &self.target {
            Target::Rule(id) => did_you_mean(id, metas().map(|rule| &*rule.id)),
            Target::Tag(tag) => {
                did_you_mean(tag, metas().flat_map(|rule| &rule.tags).map(|t| &**t))
            }
        };
        match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`rg-gateway rules list` names them"),
        }
    }
}

/// A field's path in which `*` stands for any one name or number, and `**` at the end for all that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPattern(Arc<str>);

impl FieldPattern {
    /// Reads a pattern such as `$.items[*].note`.
    ///
    /// # Errors
    ///
    /// What it must be and is not.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let body = text.strip_suffix("**").unwrap_or(text);
        if body.contains("**") {
            return Err("must have `**` only at the end");
        }
        if body.matches('*').count() > WILDCARDS_MAX {
            return Err("must have at most 4 wildcards");
        }
        if body == text && !brackets_close(text) {
            return Err("must close every `[`, around a number, a name or `*`");
        }
        let plain = !text.is_empty() && !text.chars().any(char::is_control);
        if plain && text.chars().count() <= PATTERN_CHARS_MAX {
            Ok(Self(text.into()))
        } else {
            Err("must be a field such as $.items[*].note, query.q or header.user-agent")
        }
    }

    /// Whether a field is meant.
    pub fn matches(&self, field: &str) -> bool {
        fits(self.0.as_bytes(), field.as_bytes())
    }
}

/// Whether each bracket is closed, with something in it.
fn brackets_close(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('[') {
        match after.split_once(']') {
            Some((inside, behind)) if !inside.is_empty() => rest = behind,
            _ => return false,
        }
    }
    true
}

/// Walks pattern and field together. A `*` ends with its step, which bounds the attempts.
fn fits(pattern: &[u8], field: &[u8]) -> bool {
    match pattern {
        [] => field.is_empty(),
        b"**" => true,
        [b'*', rest @ ..] => {
            let step = field
                .iter()
                .take_while(|b| !matches!(b, b'.' | b'[' | b']'))
                .count();
            (0..=step).any(|taken| fits(rest, field.get(taken..).unwrap_or_default()))
        }
        [first, rest @ ..] => field
            .split_first()
            .is_some_and(|(byte, field)| byte == first && fits(rest, field)),
    }
}

/// The exclusions of one engine, found by rule.
#[derive(Debug, Default)]
pub(super) struct Exclusions {
    list: Vec<Exclusion>,
    /// For each rule, those that are about it; empty where there are none at all.
    by_rule: Vec<Vec<usize>>,
}

impl Exclusions {
    /// Finds the rules that are meant.
    pub(super) fn resolve(rules: &RuleSet, list: &[Exclusion]) -> Result<Self, Vec<Diagnostic>> {
        let metas = || rules.rules().iter().map(|rule| &rule.meta);
        let lost: Vec<Diagnostic> = list
            .iter()
            .filter(|exclusion| !metas().any(|rule| exclusion.is_about(rule)))
            .map(|exclusion| exclusion.unknown(rules))
            .collect();
        if !lost.is_empty() {
            return Err(lost);
        }
        if list.is_empty() {
            return Ok(Self::default());
        }
        let about = |rule: &RuleMeta| {
            let all = list.iter().enumerate();
            all.filter(|(_, exclusion)| exclusion.is_about(rule))
                .map(|(index, _)| index)
                .collect()
        };
        Ok(Self {
            by_rule: metas().map(about).collect(),
            list: list.to_vec(),
        })
    }

    pub(super) fn list(&self) -> &[Exclusion] {
        &self.list
    }

    /// Marks the hits in one value that do not count.
    pub(super) fn mark(&self, hits: &mut [Hit], origin: &Origin<'_>, at: &At<'_>) {
        if self.list.is_empty() {
            return;
        }
        let mut field = None;
        for hit in hits {
            let about = self.by_rule.get(hit.rule).map(Vec::as_slice);
            let mut about = about
                .unwrap_or_default()
                .iter()
                .filter_map(|index| self.list.get(*index))
                .filter(|exclusion| exclusion.holds_for(origin));
            hit.excluded = about.any(|exclusion| {
                exclusion.field.as_ref().is_none_or(|pattern| {
                    pattern.matches(field.get_or_insert_with(|| at.to_string()))
                })
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_step_and_two_for_the_rest() {
        let cases = [
            ("$.note", "$.note", true),
            ("$.note", "$.notes", false),
            ("$.items[*].note", "$.items[12].note", true),
            ("$.items[*].note", "$.items[12].other", false),
            ("$.*.note", "$.a.note", true),
            ("$.*.note", "$.a.b.note", false),
            ("$.*", "$.a[0]", false),
            ("$.doc**", "$.doc.a[0].b", true),
            ("$.doc**", "$.do", false),
            ("header.x-*", "header.x-note", true),
            ("**", "anything", true),
        ];
        for (pattern, field, expected) in cases {
            let parsed = FieldPattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(field), expected, "{pattern} on {field}");
        }
        for wrong in ["", "items[", "$.a[]", "$.**.a", "*.*.*.*.*", "a\nb"] {
            assert!(FieldPattern::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
