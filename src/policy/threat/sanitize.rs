//! `sanitize_input`: the values that a rule wants cleaned are rewritten, and the request goes on without them.
//!
//! Strings of a JSON body, values of a form and of the query string can be rewritten; a statement never is, for
//! no rewriting keeps its meaning, and neither are names, headers, paths and other kinds of bodies. Rewriting
//! takes away and never escapes: what is escaped for one reader is the same attack for a reader that undoes it.
//! Everything else of the request stays byte for byte.
//!
//! It promises: the request that comes out was inspected again whole, and no rule wants it cleaned or blocked. A
//! request that cannot be brought to that is given up, and the caller blocks it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::at::At;
use super::context::Context;
use super::decode::undo;
use super::exclude::Exclusions;
use super::inflate::{self, Extent};
use super::inspect::{Inspector, NESTED_JSON_MAX};
use super::rules::RuleSet;
use super::spans::{self, encoded};
use super::{Inspect, Inspection, Mitigation, Mode, Verdict, clean, fields, inspect, json};
use crate::policy::cypher;

/// Times a request is rewritten; each takes the values found last.
const ROUNDS_MAX: usize = 3;

/// A request's parts in their cleaned form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sanitized {
    /// The query string, where it changed.
    pub query: Option<String>,
    /// The body without content encoding, where it changed.
    pub body: Option<Vec<u8>>,
    /// What was rewritten, in the order of the request.
    pub values: Vec<SanitizedValue>,
}

/// One value that was rewritten. The value itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SanitizedValue {
    /// Where it stands.
    pub field: String,
    /// The rules that wanted it.
    pub rules: Vec<Arc<str>>,
    /// SHA-256 of the value as it came, decoded once.
    pub before: [u8; 32],
    /// SHA-256 of what is forwarded instead.
    pub after: [u8; 32],
}

/// Rewrites what `found` wants cleaned; `None` when that cannot be done.
pub(super) fn sanitize(
    rules: &RuleSet,
    exclusions: &Exclusions,
    request: &Inspect<'_>,
    found: &Inspection,
) -> Option<Sanitized> {
    let mut out = Sanitized::default();
    let mut targets = targets(found);
    // What is forwarded has no encoding left, so it is inspected without.
    let mut headers = Cow::Borrowed(request.headers);
    for _ in 0..ROUNDS_MAX {
        let query = out
            .query
            .clone()
            .or_else(|| request.query.map(str::to_owned));
        let body = match &out.body {
            Some(body) => body.clone(),
            None => plain_body(request)?,
        };
        let cleaner = Cleaner {
            rules,
            exclusions,
            request,
            targets: &targets,
            impossible: Cell::new(false),
        };
        let query =
            query.and_then(|query| cleaner.pairs(&query, Context::Query, "query", &mut out));
        if let Some(query) = query {
            out.query = Some(query);
        }
        if let Some(body) = cleaner.body(&body, &mut out)? {
            out.body = Some(body);
            headers.to_mut().remove(http::header::CONTENT_ENCODING);
        }
        if cleaner.impossible.get() {
            return None;
        }
        let again = Inspect {
            query: out.query.as_deref().or(request.query),
            body: out.body.as_deref().unwrap_or(request.body),
            headers: &headers,
            ..*request
        };
        let again = inspect::inspect(rules, exclusions, &again);
        if again.verdict == Verdict::Block || again.refused_as.is_some() {
            return None;
        }
        if !again.mitigations.has(Mitigation::SanitizeInput) {
            return (!out.values.is_empty()).then_some(out);
        }
        targets = self::targets(&again);
    }
    None
}

/// The fields that are to be cleaned, each with the rules that want it.
fn targets(found: &Inspection) -> BTreeMap<String, Vec<Arc<str>>> {
    let mut targets: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
    for indicator in &found.indicators {
        let wanted = indicator.mode == Mode::Enforce
            && indicator.thresholds.acts(indicator.score)
            && indicator.mitigations.has(Mitigation::SanitizeInput);
        if wanted {
            let rules = targets.entry(indicator.field.clone()).or_default();
            rules.push(Arc::clone(&indicator.rule));
        }
    }
    targets
}

fn plain_body(request: &Inspect<'_>) -> Option<Vec<u8>> {
    let encodings = inflate::encodings(request.headers);
    let inflated = inflate::inflate(request.body, &encodings, Extent::Whole).ok()?;
    Some(inflated.unwrap_or_else(|| request.body.to_vec()))
}

struct Cleaner<'a> {
    rules: &'a RuleSet,
    exclusions: &'a Exclusions,
    request: &'a Inspect<'a>,
    targets: &'a BTreeMap<String, Vec<Arc<str>>>,
    /// Set where a value is to be cleaned and must not be rewritten.
    impossible: Cell<bool>,
}

impl Cleaner<'_> {
    /// The body rewritten, or `Some(None)` where nothing in it is to be cleaned.
    fn body(&self, body: &[u8], out: &mut Sanitized) -> Option<Option<Vec<u8>>> {
        let wants = |root: &str| self.targets.keys().any(|field| field.starts_with(root));
        if wants("$") {
            return self.json(body, &At::root("$"), 0, out).map(Some);
        }
        if wants("form") {
            let text = str::from_utf8(body).ok()?;
            let form = self.pairs(text, Context::Form, "form", out);
            return Some(form.map(String::into_bytes));
        }
        Some(None)
    }

    /// `a=b&c=d` rewritten; `None` where nothing changed.
    fn pairs(
        &self,
        text: &str,
        context: Context,
        root: &str,
        out: &mut Sanitized,
    ) -> Option<String> {
        let root = At::root(root);
        let mut changed = false;
        let pairs: Vec<Cow<'_, str>> = text
            .split('&')
            .map(|pair| {
                let Some((name, value)) = pair.split_once('=') else {
                    return Cow::Borrowed(pair);
                };
                let at = root.name(name.as_bytes());
                let plain = fields::form_decoded(value.as_bytes());
                let Some(clean) = self.value(&plain, context, &at, out) else {
                    return Cow::Borrowed(pair);
                };
                changed = true;
                Cow::Owned(format!("{name}={}", clean::percent_encoded(&clean)))
            })
            .collect();
        changed.then(|| pairs.join("&"))
    }

    /// A document rewritten; `None` when it cannot be.
    fn json(&self, text: &[u8], at: &At<'_>, nested: u8, out: &mut Sanitized) -> Option<Vec<u8>> {
        let mut replaced: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut count = 0;
        let walked = json::walk(text, at, &mut |leaf, at| {
            let json::Leaf::Text(value) = leaf else {
                return;
            };
            let index = count;
            count += 1;
            let field = at.to_string();
            if !self.is_target(&field) {
                return;
            }
            let inner = (nested < NESTED_JSON_MAX && !self.targets.contains_key(&field))
                .then(|| self.json(value.trim_ascii(), at, nested + 1, out));
            match inner {
                Some(Some(document)) => replaced.push((index, document)),
                Some(None) => self.impossible.set(true),
                None => {
                    let clean = self.value(value, Context::Json, at, out);
                    replaced.extend(clean.map(|clean| (index, clean)));
                }
            }
        });
        walked.ok()?;
        let replaced: Vec<(usize, Vec<u8>)> = replaced
            .into_iter()
            .map(|(index, clean)| (index, encoded(&clean)))
            .collect();
        Some(spans::splice(text, &replaced))
    }

    /// Whether a field, or one inside its string, is to be cleaned.
    fn is_target(&self, field: &str) -> bool {
        self.targets.keys().any(|target| {
            target
                .strip_prefix(field)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    fn is_statement(&self, value: &[u8], at: &At<'_>) -> bool {
        self.inspector().is_query_field(at) || cypher::is_statement(&undo(value, false).text, false)
    }

    fn inspector(&self) -> Inspector<'_> {
        Inspector::for_request(self.rules, self.exclusions, self.request)
    }

    /// A value in the mildest form that no rule minds; `None` where it is fine as it is.
    fn value(
        &self,
        raw: &[u8],
        context: Context,
        at: &At<'_>,
        out: &mut Sanitized,
    ) -> Option<Vec<u8>> {
        let field = at.to_string();
        let rules = self.targets.get(&field)?;
        if !self.offends(raw, context, at) {
            return None;
        }
        if self.is_statement(raw, at) {
            self.impossible.set(true);
            return None;
        }
        let clean = clean::milder_forms(raw)
            .into_iter()
            .find(|form| !self.offends(form, context, at))
            .unwrap_or_default();
        let mut rules = rules.clone();
        rules.sort();
        rules.dedup();
        out.values.push(SanitizedValue {
            field,
            rules,
            before: Sha256::digest(raw).into(),
            after: Sha256::digest(&clean).into(),
        });
        Some(clean)
    }

    /// Whether a rule wants a value cleaned, or blocks it.
    fn offends(&self, raw: &[u8], context: Context, at: &At<'_>) -> bool {
        let mut inspector = self.inspector();
        inspector.value(raw, context, at);
        inspector.out.verdict == Verdict::Block
            || inspector.out.mitigations.has(Mitigation::SanitizeInput)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use crate::policy::threat::{Engine, Hints, Inspect, Mitigation, RuleFile, Verdict};

    const RULES: &str = "
- id: markup
  name: markup that runs
  tags: [xss]
  type: XSS_ATTEMPT
  severity: medium
  confidence: 0.95
  match: {predicate: [html.script, html.event_handler, html.script_url, html.active_tag]}
  mitigations: [sanitize_input]
- id: tautology
  name: a filter is always true
  tags: [cypher]
  type: CYPHER_INJECTION
  severity: medium
  confidence: 0.95
  contexts: [cypher]
  match: {predicate: [cypher.tautology]}
  mitigations: [sanitize_input]
";

    const ATTACKS: [&str; 6] = [
        "<script>alert(1)</script>",
        "%3Cimg src=x onerror=alert(1)%3E",
        "<svg/onload=alert(1)",
        "&lt;script&gt;x&lt;/script&gt;",
        "<a href=\"javascript:alert(1)\">x</a>",
        "\u{200b}<scr\u{200b}ipt>x</script>",
    ];

    fn engine() -> Engine {
        let file = RuleFile {
            name: "x.yaml".into(),
            text: RULES.to_owned(),
        };
        Engine::compile(&[file], &[]).unwrap()
    }

    fn request<'a>(headers: &'a HeaderMap, query: Option<&'a str>, body: &'a [u8]) -> Inspect<'a> {
        Inspect {
            method: "POST",
            path: "/a",
            raw_path: "/a",
            query,
            headers,
            body,
            hints: Hints::default(),
        }
    }

    #[test]
    fn a_statement_is_never_rewritten_wherever_it_stands() {
        let engine = engine();
        let headers = HeaderMap::new();
        let statement = "MATCH (n) WHERE n.name = 'x' OR 1 = 1 RETURN n";
        let encoded = format!("q={}", statement.replace(' ', "%20"));
        let body = serde_json::to_vec(&json!({"note": statement})).unwrap();
        for request in [
            request(&headers, Some(&encoded), b""),
            request(&headers, None, &body),
        ] {
            let found = engine.inspect(&request);
            assert!(
                found.mitigations.has(Mitigation::SanitizeInput),
                "{found:?}"
            );
            assert_eq!(engine.sanitize(&request, &found), None);
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_clean_and_the_rest_is_as_it_was(
            values in proptest::collection::vec(("[a-z ]{0,8}", 0..12_usize), 1..8),
            nested in any::<bool>(),
        ) {
            let engine = engine();
            let headers = HeaderMap::new();
            let texts: Vec<String> = values
                .iter()
                .map(|(text, attack)| ATTACKS.get(*attack).map_or_else(|| text.clone(), |a| format!("{text}{a}")))
                .collect();
            let inner = json!({"list": texts, "n": 1});
            let document = if nested { json!({"inner": inner.to_string()}) } else { json!({"inner": inner}) };
            let body = serde_json::to_vec(&document).unwrap();
            let request = request(&headers, None, &body);
            let found = engine.inspect(&request);
            if !found.mitigations.has(Mitigation::SanitizeInput) {
                return Ok(());
            }
            let clean = engine.sanitize(&request, &found).unwrap().body.unwrap();
            let again = engine.inspect(&Inspect { body: &clean, ..request });
            prop_assert_eq!(again.verdict, Verdict::Pass);
            prop_assert!(!again.mitigations.has(Mitigation::SanitizeInput));
            let read: Value = serde_json::from_slice(&clean).unwrap();
            let inner = match &read["inner"] {
                Value::String(text) => serde_json::from_str(text).unwrap(),
                other => other.clone(),
            };
            for ((text, attack), value) in values.iter().zip(inner["list"].as_array().unwrap()) {
                let value = value.as_str().unwrap();
                if *attack >= ATTACKS.len() {
                    prop_assert_eq!(value, text);
                } else {
                    prop_assert!(!value.contains('<') && !value.contains("script>"), "{}", value);
                }
            }
        }
    }
}
