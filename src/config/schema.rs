//! The JSON Schema of the file, made once from the file's structs.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use super::file::FileShape;

/// The schema without references and without `null`: an optional key is left out, not empty.
pub(super) static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<FileShape>()
        .to_value();
    tidy(&mut schema);
    schema
});

/// Removes what serde's `Option` and `Default` add and no reader needs. As deep as the structs.
fn tidy(schema: &mut Json) {
    let Json::Object(object) = schema else {
        return;
    };
    unwrap_option(object);
    object.remove("format");
    if object.get("default").is_some_and(Json::is_object) {
        object.remove("default");
    }
    let required: Vec<String> = object
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect();
    if let Some(Json::Object(properties)) = object.get_mut("properties") {
        for (key, property) in properties {
            tidy(property);
            if let Json::Object(property) = property
                && (required.contains(key) || property.get("default") == Some(&Json::Null))
            {
                property.remove("default");
            }
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(inner) {
            tidy(inner);
        }
    }
}

/// Turns "this or null" into "this".
fn unwrap_option(object: &mut Map<String, Json>) {
    if let Some(Json::Array(branches)) = object.get_mut("anyOf") {
        branches.retain(|branch| branch.get("type").and_then(Json::as_str) != Some("null"));
        if let [Json::Object(only)] = branches.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Json::Array(types)) = object.get("type") {
        let named: Vec<Json> = types.iter().filter(|t| *t != "null").cloned().collect();
        if let [only] = named.as_slice() {
            object.insert("type".to_owned(), only.clone());
        }
    }
    if let Some(Json::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::shape::of_any_key;

    /// What `shape` enforces, and what only describes.
    const KEYWORDS: &[&str] = &[
        "$schema",
        "additionalProperties",
        "const",
        "default",
        "description",
        "enum",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "oneOf",
        "properties",
        "propertyNames",
        "required",
        "title",
        "type",
        "writeOnly",
    ];

    /// Calls `look` with every schema in a schema.
    fn visit(schema: &Json, path: &str, look: &mut dyn FnMut(&Json, &str)) {
        look(schema, path);
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(property, &format!("{path}.{key}"), look);
        }
        for branch in schema["oneOf"].as_array().into_iter().flatten() {
            visit(branch, path, look);
        }
        if let Some(items) = schema.get("items") {
            visit(items, &format!("{path}[]"), look);
        }
        if let Some(values) = of_any_key(schema) {
            visit(values, &format!("{path}.NAME"), look);
        }
    }

    #[test]
    fn the_schema_has_no_keyword_that_is_not_enforced() {
        visit(&SCHEMA, "", &mut |schema, path| {
            for (keyword, _) in schema.as_object().unwrap() {
                assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: {keyword}");
            }
        });
    }

    #[test]
    fn every_key_is_described_and_every_number_bounded() {
        visit(&SCHEMA, "", &mut |schema, path| {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                let described = property["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty());
                assert!(described, "{path}.{key}");
            }
            let numeric = schema["type"] == "integer" || schema["type"] == "number";
            assert!(
                !numeric || schema["maximum"].is_number(),
                "{path} has no maximum"
            );
            let list = schema["type"] == "array";
            assert!(
                !list || schema["maxItems"].is_number(),
                "{path} has no bound"
            );
            let mapping = schema["type"] == "object";
            let names = schema["maxProperties"].is_number() && !schema["propertyNames"].is_null();
            assert!(
                !mapping || schema["additionalProperties"] == false || names,
                "{path} is open"
            );
        });
    }

    #[test]
    fn a_default_is_allowed_by_its_own_schema() {
        visit(&SCHEMA, "", &mut |schema, path| {
            let Some(default) = schema["default"].as_f64() else {
                return;
            };
            let fits = schema["minimum"].as_f64().is_none_or(|min| min <= default)
                && schema["maximum"].as_f64().is_none_or(|max| default <= max);
            assert!(fits, "{path}: {default}");
        });
    }
}
