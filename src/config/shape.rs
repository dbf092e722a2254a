//! Checks a file's tree against the JSON Schema that editors are given.
//!
//! The schema is the one statement of the shape: keys, types, choices, ranges, what is required.
//! Every departure is reported with its place and struck from the tree, so that one run also
//! reports what else is wrong. Only keywords our own schema uses are understood; how many of our
//! keys a mapping must have (`minProperties`) is left to [`super::compile`], which says it better.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::findings::{Findings, Spot, shown};
use super::placed::{entry_path, item_path};
use super::tree::{Key, Node, Value};
use crate::diagnostic::did_you_mean;

/// Longer keys are compared with none of the known ones, and are no names.
const KEY_BYTES_MAX: usize = 64;

/// Reports and strikes whatever of `node` the schema does not allow. Values of secrets are never shown.
pub(super) fn check(node: &Node, schema: &Json, path: &str, findings: &mut Findings) {
    check_within(node, schema, path, false, findings);
}

/// The same below a secret or not. The recursion is as deep as the schema, which is not recursive.
fn check_within(node: &Node, schema: &Json, path: &str, secret: bool, findings: &mut Findings) {
    let secret = secret || is_secret(schema);
    match (&node.value, schema.get("type").and_then(Json::as_str)) {
        (Value::Map(entries), Some("object")) => {
            check_entries(node, entries, schema, (path, secret), findings);
        }
        (Value::List(items), Some("array")) => {
            check_items(node, items, schema, (path, secret), findings);
        }
        _ => {
            if let Err(wrong) = check_scalar(&node.value, schema) {
                wrong.report(node, schema, (path, secret), findings);
                node.struck.set(true);
            }
        }
    }
}

fn check_entries(
    node: &Node,
    entries: &[(Key, Node)],
    schema: &Json,
    (path, secret): (&str, bool),
    findings: &mut Findings,
) {
    let properties = schema.get("properties").and_then(Json::as_object);
    let open = of_any_key(schema);
    if open.is_some() && has_too_many(node, entries.len(), schema, path, findings) {
        return;
    }
    let mut seen: HashMap<&str, Spot> = HashMap::new();
    for (key, value) in entries {
        if findings.are_full() {
            return;
        }
        let name = &key.text;
        let known = properties.and_then(|p| p.get(name));
        let Some(schema) = known.or_else(|| open.filter(|_| is_name(name))) else {
            value.struck.set(true);
            if open.is_some() {
                report_no_name(key, path, findings);
                continue;
            }
            if let Some(meant) = report_unknown(key, properties, (path, secret), findings) {
                // Reported once: not also as missing.
                seen.entry(meant).or_insert(key.spot);
            }
            continue;
        };
        let here = entry_path(path, name);
        if let Some(first) = seen.get(name.as_str()) {
            value.struck.set(true);
            let reason = format!("duplicate key: {name}");
            let hint = format!("first given at line {}", first.line);
            findings.error_with_hint(key.spot, &here, reason, hint);
            continue;
        }
        seen.insert(name, key.spot);
        check_within(value, schema, &here, secret, findings);
    }
    for required in strings(schema, "required").filter(|key| !seen.contains_key(key)) {
        let reason = format!("missing key: {required}");
        match description(schema, required) {
            Some(meaning) => findings.error_with_hint(node.spot, path, reason, meaning),
            None => findings.error(node.spot, path, reason),
        }
    }
}

/// What values are like in a mapping whose keys the operator chooses; `None` where the keys are ours.
pub(super) fn of_any_key(schema: &Json) -> Option<&Json> {
    schema
        .get("additionalProperties")
        .filter(|schema| schema.is_object())
}

/// Reports and strikes a mapping of more keys than it may have.
fn has_too_many(
    node: &Node,
    keys: usize,
    schema: &Json,
    path: &str,
    findings: &mut Findings,
) -> bool {
    let Some(max) = bound(schema, "maxProperties").filter(|max| keys > *max) else {
        return false;
    };
    let reason = format!("must have at most {max} keys: {keys}");
    findings.error(node.spot, path, reason);
    node.struck.set(true);
    true
}

/// Whether a key the operator chose may stand in key paths: the schema's `propertyNames`.
fn is_name(key: &str) -> bool {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.chars().all(may_stand)
}

fn report_no_name(key: &Key, path: &str, findings: &mut Findings) {
    let must = format!("every key must be 1 to {KEY_BYTES_MAX} letters, digits, `-`, `_` or `.`");
    findings.error(key.spot, path, format!("{must}: {}", shown(&key.text)));
}

/// Reports an unknown key; gives the known one that was meant.
fn report_unknown<'s>(
    key: &Key,
    properties: Option<&'s Map<String, Json>>,
    (path, secret): (&str, bool),
    findings: &mut Findings,
) -> Option<&'s str> {
    let known = || {
        properties
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str())
    };
    // A longer key is no slip of the finger, and comparing it is not free.
    let mistyped = Some(key.text.as_str()).filter(|key| key.len() <= KEY_BYTES_MAX);
    let meant = mistyped.and_then(|key| did_you_mean(key, known()));
    let hint = match meant {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("known keys are {}", known().collect::<Vec<_>>().join(", ")),
    };
    let reason = match secret && meant.is_none() {
        true => "unknown key; it is not shown, since it may be the secret".to_owned(),
        false => format!("unknown key: {}", shown(&key.text)),
    };
    findings.error_with_hint(key.spot, path, reason, hint);
    meant
}

/// Whether the schema says that what it describes is a secret.
fn is_secret(schema: &Json) -> bool {
    schema.get("writeOnly").and_then(Json::as_bool) == Some(true)
}

/// Whether a secret may stand somewhere in what the schema describes.
fn holds_secret(schema: &Json) -> bool {
    let properties = schema.get("properties").and_then(Json::as_object);
    is_secret(schema)
        || schema.get("items").is_some_and(holds_secret)
        || of_any_key(schema).is_some_and(holds_secret)
        || properties.is_some_and(|properties| properties.values().any(holds_secret))
}

fn check_items(
    node: &Node,
    items: &[Node],
    schema: &Json,
    (path, secret): (&str, bool),
    findings: &mut Findings,
) {
    if let Some(min) = bound(schema, "minItems")
        && items.len() < min
    {
        let reason = format!("must have at least {min} items: {}", items.len());
        findings.error(node.spot, path, reason.replace("1 items", "1 item"));
    }
    if let Some(max) = bound(schema, "maxItems")
        && items.len() > max
    {
        let reason = format!("must have at most {max} items: {}", items.len());
        findings.error(node.spot, path, reason);
        node.struck.set(true);
        return;
    }
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            if findings.are_full() {
                return;
            }
            check_within(item, schema, &item_path(path, index), secret, findings);
        }
    }
}

/// How a value departs from its schema.
enum Wrong {
    /// Another type than this one.
    Type(&'static str),
    /// None of these words.
    Choice(Vec<String>),
    /// Beside these numbers.
    Range(Option<f64>, Option<f64>),
    /// Text of another length.
    Length(usize, usize),
}

fn check_scalar(value: &Value, schema: &Json) -> Result<(), Wrong> {
    match (schema.get("type").and_then(Json::as_str), value) {
        (Some("string") | None, Value::Text(text)) => check_text(text, schema),
        (Some("integer" | "number"), Value::Whole(whole)) => {
            // Bounds are far below 2^53, where f64 is exact; a value beyond stays beyond.
            #[expect(
                clippy::cast_precision_loss,
                reason = "only compared with small bounds"
            )]
            check_range(*whole as f64, schema)
        }
        (Some("number"), Value::Float(float)) => check_range(*float, schema),
        (Some("boolean"), Value::Bool(_)) => Ok(()),
        (kind, _) => match choices(schema) {
            words if words.is_empty() => Err(Wrong::Type(type_name(kind))),
            words => Err(Wrong::Choice(owned(words))),
        },
    }
}

fn check_text(text: &str, schema: &Json) -> Result<(), Wrong> {
    let words = choices(schema);
    if !words.is_empty() && !words.contains(&text) {
        return Err(Wrong::Choice(owned(words)));
    }
    let min = bound(schema, "minLength").unwrap_or(0);
    let max = bound(schema, "maxLength").unwrap_or(usize::MAX);
    if (min..=max).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(Wrong::Length(min, max))
    }
}

fn check_range(number: f64, schema: &Json) -> Result<(), Wrong> {
    let limit = |key| schema.get(key).and_then(Json::as_f64);
    let (min, max) = (limit("minimum"), limit("maximum"));
    // Written so that NaN is in no range.
    let fits = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
    if fits {
        Ok(())
    } else {
        Err(Wrong::Range(min, max))
    }
}

impl Wrong {
    fn report(
        self,
        node: &Node,
        schema: &Json,
        (path, secret): (&str, bool),
        findings: &mut Findings,
    ) {
        // Somebody who writes text where a section belongs may have written the section's secret.
        let scalar = !matches!(node.value, Value::Null | Value::List(_) | Value::Map(_));
        if secret || scalar && holds_secret(schema) {
            return self.report_unshown(node, schema, path, findings);
        }
        let got = describe(&node.value);
        let (reason, hint) = match self {
            Self::Type(expected) => {
                let hint = type_hint(node, expected);
                (format!("must be {expected}: {got}"), hint)
            }
            Self::Choice(words) => {
                let near = did_you_mean(&got, words.iter().map(String::as_str));
                let hint = near.map(|word| format!("did you mean `{word}`?"));
                (format!("must be one of {}: {got}", words.join(", ")), hint)
            }
            Self::Range(Some(min), Some(max)) if min == max => {
                (format!("must be {min}: {got}"), None)
            }
            Self::Range(Some(min), Some(max)) => (format!("must be {min} to {max}: {got}"), None),
            Self::Range(Some(min), None) => (format!("must be at least {min}: {got}"), None),
            Self::Range(None, max) => (
                format!("must be at most {}: {got}", max.unwrap_or(f64::MAX)),
                None,
            ),
            Self::Length(min, max) => (format!("must have {min} to {max} characters: {got}"), None),
        };
        let spot: Spot = node.spot;
        match hint {
            Some(hint) => findings.error_with_hint(spot, path, reason, hint),
            None => findings.error(spot, path, reason),
        }
    }
}

impl Wrong {
    /// Says what must stand there, and nothing of what does.
    fn report_unshown(&self, node: &Node, schema: &Json, path: &str, findings: &mut Findings) {
        let must = match self {
            Self::Type(expected) => format!("be {expected}"),
            Self::Choice(words) => format!("be one of {}", words.join(", ")),
            Self::Range(..) => "be within its bounds".to_owned(),
            Self::Length(min, max) => format!("have {min} to {max} characters"),
        };
        let got = match &node.value {
            Value::Null => "it is empty".to_owned(),
            Value::List(_) | Value::Map(_) => format!("not {}", describe(&node.value)),
            _ => "its value is not shown".to_owned(),
        };
        let hint = match schema.get("type").and_then(Json::as_str) {
            Some("object") if is_secret(schema) => "write {file: /run/secrets/name} or {env: NAME}",
            Some("object") => "write one `key: value` a line below it",
            Some("array") => "write one `- value` a line below it",
            _ if is_secret(schema) => "write ${NAME} for an environment variable",
            _ => "name a file or variable, in quotes; the secret itself does not belong here",
        };
        findings.error_with_hint(node.spot, path, format!("must {must}; {got}"), hint);
    }
}

/// What to do about a value of the wrong type, where that is plain.
fn type_hint(node: &Node, expected: &str) -> Option<String> {
    match &node.value {
        Value::Null => Some("remove the key, or give it a value".to_owned()),
        Value::Whole(_) | Value::Float(_) | Value::Bool(_) if expected == "text" => {
            Some("put it in quotes".to_owned())
        }
        Value::Text(_) if expected == "a list" => {
            Some("write [value], or one `- value` a line".to_owned())
        }
        Value::Text(text) if expected == "a whole number" && text.parse::<u64>().is_ok() => {
            Some("write it without quotes".to_owned())
        }
        _ => None,
    }
}

fn type_name(kind: Option<&str>) -> &'static str {
    match kind {
        Some("object") => "a mapping",
        Some("array") => "a list",
        Some("integer") => "a whole number",
        Some("number") => "a number",
        Some("boolean") => "true or false",
        _ => "text",
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Whole(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(value) => shown(value),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// The words a value may be: `enum`, or `oneOf` of described constants.
fn choices(schema: &Json) -> Vec<&str> {
    let described = schema
        .get("oneOf")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    let described = described.flat_map(|branch| {
        let constant = branch.get("const").and_then(Json::as_str);
        constant.into_iter().chain(strings(branch, "enum"))
    });
    strings(schema, "enum").chain(described).collect()
}

fn owned(words: Vec<&str>) -> Vec<String> {
    words.into_iter().map(str::to_owned).collect()
}

fn strings<'s>(schema: &'s Json, key: &str) -> impl Iterator<Item = &'s str> {
    let list = schema
        .get(key)
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    list.filter_map(Json::as_str)
}

fn bound(schema: &Json, key: &str) -> Option<usize> {
    let bound = schema.get(key).and_then(Json::as_u64)?;
    usize::try_from(bound).ok()
}

/// The first sentence of what a key means.
fn description(schema: &Json, key: &str) -> Option<String> {
    let property = schema.get("properties")?.get(key)?;
    let text = property.get("description")?.as_str()?;
    let sentence = text.split(". ").next().unwrap_or(text);
    Some(sentence.trim_end_matches('.').replace('\n', " "))
}
