//! Turns rule files into rules that are valid by construction, or into everything that is wrong with them.

use std::collections::HashSet;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use serde_saphyr::{Location, Spanned};

use super::file::{MatchText, RuleText};
use crate::diagnostic::{Diagnostic, Place, did_you_mean};
use crate::policy::threat::context::Contexts;
use crate::policy::threat::predicate::Predicate;
use crate::policy::threat::{
    Mitigation, Mitigations, Mode, RuleFile, RuleMeta, Severity, Thresholds,
};

/// Rules of one engine.
pub(crate) const RULES_MAX: usize = 1_024;

/// A compiled pattern's memory.
const REGEX_BYTES_MAX: usize = 8 << 20;

/// A rule ready to match.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) meta: RuleMeta,
    pub(crate) contexts: Contexts,
    pub(crate) predicates: Vec<Predicate>,
    pub(crate) contains: Vec<String>,
    pub(crate) near: Vec<String>,
    pub(crate) regexes: Vec<Regex>,
    pub(crate) except: Option<Regex>,
    pub(crate) skips_prose: bool,
    /// Whether a program that is stored counts less.
    pub(crate) doubts_programs: bool,
    pub(crate) tests: Vec<Test>,
}

/// One of a rule's own test cases.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) text: String,
    pub(crate) expected: bool,
    pub(crate) place: Place,
}

/// Compiles every file; the errors of all of them come together.
pub(crate) fn compile(
    files: &[RuleFile],
    disabled: &[Arc<str>],
) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    let mut compiler = Compiler {
        file: "".into(),
        errors: Vec::new(),
        ids: HashSet::new(),
    };
    let mut rules = Vec::new();
    for file in files {
        compiler.file = Arc::clone(&file.name);
        let options = serde_saphyr::options! { strict_booleans: true };
        let texts: Vec<RuleText> = match serde_saphyr::from_str_with_options(&file.text, options) {
            Ok(texts) => texts,
            Err(error) => {
                let place = compiler.place(error.location());
                compiler
                    .errors
                    .push(Diagnostic::error(place, "", first_line(&error.to_string())));
                continue;
            }
        };
        for (index, text) in texts.iter().enumerate() {
            if let Some(mut rule) = compiler.rule(index, text) {
                if disabled.contains(&rule.meta.id) {
                    rule.meta.mode = Mode::Off;
                }
                rules.push(rule);
            }
        }
    }
    for id in disabled
        .iter()
        .filter(|id| !compiler.ids.contains(id.as_ref()))
    {
        let place = Place {
            file: "rules.disabled".into(),
            line: 0,
            column: 0,
        };
        let mut error = Diagnostic::error(place, "", format!("no such rule: {id}"));
        if let Some(near) = did_you_mean(id, compiler.ids.iter().map(String::as_str)) {
            error = error.hint(format!("did you mean `{near}`?"));
        }
        compiler.errors.push(error);
    }
    if rules.len() > RULES_MAX {
        let place = compiler.place(None);
        compiler.errors.push(Diagnostic::error(
            place,
            "",
            format!("more than {RULES_MAX} rules: {}", rules.len()),
        ));
    }
    if compiler.errors.is_empty() {
        Ok(rules)
    } else {
        Err(compiler.errors)
    }
}

/// All patterns of a rule as one, so that a value is walked once; as they are where that is too large.
fn joined(regexes: Vec<Regex>) -> Vec<Regex> {
    if regexes.len() < 2 {
        return regexes;
    }
    let parts: Vec<String> = regexes
        .iter()
        .map(|r| format!("(?:{})", r.as_str()))
        .collect();
    match builder(&parts.join("|")).build() {
        Ok(one) => vec![one],
        Err(_) => regexes,
    }
}

fn builder(pattern: &str) -> RegexBuilder {
    let mut builder = RegexBuilder::new(pattern);
    builder
        .unicode(false)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX);
    builder
}

fn first_line(message: &str) -> String {
    message
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_owned()
}

struct Compiler {
    file: Arc<str>,
    errors: Vec<Diagnostic>,
    ids: HashSet<String>,
}

impl Compiler {
    fn place(&self, location: Option<Location>) -> Place {
        let part = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let (line, column) = location.map_or((0, 0), |l| (part(l.line()), part(l.column())));
        Place {
            file: Arc::clone(&self.file),
            line,
            column,
        }
    }

    fn error<T>(&mut self, at: &Spanned<T>, path: String, reason: String, hint: Option<String>) {
        let mut error = Diagnostic::error(self.place(Some(at.referenced)), path, reason);
        error.hint = hint;
        self.errors.push(error);
    }

    fn rule(&mut self, index: usize, text: &RuleText) -> Option<Rule> {
        let before = self.errors.len();
        let key = |name: &str| format!("[{index}].{name}");
        self.identity(text, &key);
        let severity = self.word(
            &text.severity,
            key("severity"),
            &Severity::ALL.map(|s| (s.name(), s)),
        );
        let mode = text.mode.as_ref().map_or(Some(Mode::Enforce), |mode| {
            self.word(mode, key("mode"), &Mode::OF_RULES.map(|m| (m.name(), m)))
        });
        let known = Mitigation::ALL.map(|m| (m.name(), m));
        let mitigations = text
            .mitigations
            .iter()
            .filter_map(|word| self.word(word, key("mitigations"), &known))
            .fold(Mitigations::default(), Mitigations::with);
        let contexts = self.contexts(&text.contexts, &key("contexts"));
        let prose = text
            .prose
            .as_ref()
            .map(|p| self.word(p, key("prose"), &[("skip", true), ("match", false)]));
        let program = text
            .program
            .as_ref()
            .map(|p| self.word(p, key("program"), &[("doubt", true), ("match", false)]));
        let except = text
            .except
            .as_ref()
            .and_then(|e| self.regex(e, key("except")));
        let (predicates, regexes) = self.matches(&text.matches, &key("match"));
        if self.errors.len() > before {
            return None;
        }
        let words =
            |list: &[Spanned<String>]| list.iter().map(|w| w.value.to_ascii_lowercase()).collect();
        Some(Rule {
            contexts,
            predicates,
            regexes,
            except,
            contains: words(&text.matches.value.contains),
            near: words(&text.matches.value.near),
            skips_prose: prose.flatten().unwrap_or(false),
            doubts_programs: program.flatten().unwrap_or(false),
            tests: self.tests(text),
            meta: RuleMeta {
                id: text.id.value.as_str().into(),
                name: text.name.as_str().into(),
                tags: text
                    .tags
                    .value
                    .iter()
                    .map(|t| Arc::from(t.as_str()))
                    .collect(),
                indicator_type: text.indicator_type.value.as_str().into(),
                severity: severity?,
                confidence: text.confidence.value,
                mode: mode?,
                mitigations,
                thresholds: Thresholds::DEFAULT,
                file: Arc::clone(&self.file),
            },
        })
    }

    /// Checks what a rule says of itself: id, confidence, tags.
    fn identity(&mut self, text: &RuleText, key: &dyn Fn(&str) -> String) {
        let id = &text.id.value;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if id.is_empty() || !id.bytes().all(plain) {
            let reason = format!("must be lowercase words joined by dashes: {id}");
            self.error(&text.id, key("id"), reason, None);
        } else if !self.ids.insert(id.clone()) {
            self.error(
                &text.id,
                key("id"),
                format!("is taken by another rule: {id}"),
                None,
            );
        }
        let confidence = text.confidence.value;
        if !(confidence > 0.0 && confidence <= 1.0) {
            let reason = format!("must be above 0 and at most 1: {confidence}");
            self.error(&text.confidence, key("confidence"), reason, None);
        }
        if text.tags.value.is_empty() {
            let reason = "the first tag is the category and must be there".to_owned();
            self.error(&text.tags, key("tags"), reason, None);
        }
    }

    fn tests(&self, text: &RuleText) -> Vec<Test> {
        let matching = text.tests.matching.iter().map(|t| (t, true));
        let others = text.tests.no_match.iter().map(|t| (t, false));
        matching
            .chain(others)
            .map(|(t, expected)| Test {
                text: t.value.clone(),
                expected,
                place: self.place(Some(t.referenced)),
            })
            .collect()
    }

    fn word<T: Copy>(
        &mut self,
        word: &Spanned<String>,
        path: String,
        known: &[(&'static str, T)],
    ) -> Option<T> {
        let found = known
            .iter()
            .find(|(name, _)| *name == word.value)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(n, _)| *n).collect();
            let raw = "the body is looked at decoded, piece by piece: name `json`, `form`, `text`, `xml` or `cell`";
            let hint = (word.value == "body").then(|| raw.to_owned());
            let hint = hint.unwrap_or_else(|| {
                did_you_mean(&word.value, names.iter().copied()).map_or_else(
                    || format!("one of: {}", names.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                )
            });
            self.error(
                word,
                path,
                format!("unknown word: {}", word.value),
                Some(hint),
            );
        }
        found
    }

    fn contexts(&mut self, words: &[Spanned<String>], path: &str) -> Contexts {
        if words.is_empty() {
            return Contexts::VALUES;
        }
        let known: Vec<(&'static str, Contexts)> = Contexts::words()
            .filter_map(|w| Contexts::named(w).map(|c| (w, c)))
            .collect();
        words
            .iter()
            .filter_map(|w| self.word(w, path.to_owned(), &known))
            .fold(Contexts::NONE, Contexts::with)
    }

    fn matches(&mut self, text: &Spanned<MatchText>, path: &str) -> (Vec<Predicate>, Vec<Regex>) {
        let wanted = &text.value;
        if wanted.predicate.is_empty() && wanted.contains.is_empty() && wanted.regex.is_empty() {
            self.error(
                text,
                path.to_owned(),
                "matches nothing".to_owned(),
                Some("give predicate, contains or regex".to_owned()),
            );
        }
        if !wanted.near.is_empty() && wanted.regex.is_empty() {
            self.error(
                text,
                format!("{path}.near"),
                "is only for a regex".to_owned(),
                None,
            );
        }
        for word in wanted
            .near
            .iter()
            .chain(&wanted.contains)
            .filter(|w| w.value.is_empty())
        {
            self.error(
                word,
                path.to_owned(),
                "a literal must not be empty".to_owned(),
                None,
            );
        }
        let known: Vec<(&'static str, Predicate)> =
            Predicate::all().map(|p| (p.name(), p)).collect();
        let predicates = wanted
            .predicate
            .iter()
            .filter_map(|w| self.word(w, format!("{path}.predicate"), &known))
            .collect();
        let regexes: Vec<Regex> = wanted
            .regex
            .iter()
            .filter_map(|r| self.regex(r, format!("{path}.regex")))
            .collect();
        (predicates, joined(regexes))
    }

    /// Patterns match bytes, and ASCII classes unless they say `(?u)`; look-around and back references do not
    /// exist, which keeps every match linear.
    fn regex(&mut self, text: &Spanned<String>, path: String) -> Option<Regex> {
        let built = builder(&text.value).build();
        match built {
            Ok(regex) => Some(regex),
            Err(error) => {
                let message = error.to_string();
                let reason = message
                    .lines()
                    .rev()
                    .find(|l| !l.trim().is_empty())
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                let linear = message.contains("look-around") || message.contains("backreferences");
                let hint = linear.then(|| {
                    "patterns run in linear time; look-around and back references cannot".to_owned()
                });
                self.error(text, path, format!("not a pattern: {reason}"), hint);
                None
            }
        }
    }
}
