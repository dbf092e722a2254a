//! Checks JSON against a JSON Schema: the words our own schemas use, and none that it does not know.

use serde_json::Value;

/// Why a value is not what a schema says, with the place; `None` when it is.
///
/// Members a mapping does not name are wrong as well: the schema is to name all there are.
pub(crate) fn departs(schema: &Value, value: &Value, at: &str) -> Option<String> {
    let words = match schema {
        Value::Bool(true) => return None,
        Value::Object(words) => words,
        other => return Some(format!("{at}: no schema: {other}")),
    };
    words
        .iter()
        .find_map(|(word, rule)| {
            let wrong = |holds: bool| (!holds).then(|| format!("{at}: {word} {rule}: {value}"));
            match word.as_str() {
                "$schema" | "$id" | "title" | "description" | "default" | "properties" => None,
                "type" => wrong(match rule {
                    Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                    kind => is(kind, value),
                }),
                "format" => wrong(
                    match rule.as_str() {
                        Some("uuid") => value.as_str().is_some_and(|text| text.len() == 36),
                        Some("date-time") => value
                            .as_str()
                            .is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
                        Some("uint8" | "uint16" | "uint32" | "uint64" | "double") => true,
                        _ => false,
                    } || value.is_null(),
                ),
                "const" => wrong(rule == value),
                "enum" => wrong(rule.as_array().is_some_and(|words| words.contains(value))),
                "minimum" => wrong(value.is_null() || value.as_f64() >= rule.as_f64()),
                "maximum" => wrong(value.is_null() || value.as_f64() <= rule.as_f64()),
                "oneOf" | "anyOf" => {
                    let branches = rule.as_array().expect("a list of branches");
                    let fits = branches
                        .iter()
                        .filter(|branch| departs(branch, value, at).is_none())
                        .count();
                    wrong(fits == 1 || word == "anyOf" && fits > 1)
                }
                "items" => {
                    let items = value.as_array().into_iter().flatten();
                    items
                        .enumerate()
                        .find_map(|(n, item)| departs(rule, item, &format!("{at}[{n}]")))
                }
                "required" => {
                    let names = rule.as_array().expect("a list of names").iter();
                    names
                        .filter_map(Value::as_str)
                        .find(|name| value.is_object() && value.get(*name).is_none())
                        .map(|name| format!("{at}: no {name}"))
                }
                "additionalProperties" => {
                    let members = value.as_object().into_iter().flatten();
                    members
                        .filter(|(name, _)| schema["properties"].get(name.as_str()).is_none())
                        .find_map(|(name, member)| departs(rule, member, &format!("{at}.{name}")))
                }
                _ => Some(format!("{at}: a word nobody checks: {word}")),
            }
        })
        .or_else(|| members(schema, value, at))
}

fn members(schema: &Value, value: &Value, at: &str) -> Option<String> {
    let named = schema.get("properties")?;
    let members = value.as_object().into_iter().flatten();
    members
        .into_iter()
        .find_map(|(name, member)| match named.get(name) {
            Some(schema) => departs(schema, member, &format!("{at}.{name}")),
            None if schema.get("additionalProperties").is_some() => None,
            None => Some(format!("{at}: the schema does not name {name}")),
        })
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}
