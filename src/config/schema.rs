//! The JSON Schema of the file, made once from the file's structs.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json};

use super::file::FileShape;

/// The schema without references and without `null`: an optional key is left out, not empty.
pub(super) static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<FileShape>().to_value();
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
    if let Some(items) = object.get_mut("items") {
        tidy(items);
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
