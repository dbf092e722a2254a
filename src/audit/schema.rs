//! The JSON Schema of an audit event, made from its struct.

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::event::{AuditEvent, SCHEMA_VERSION};

/// The schema of events as they are stored, searched, exported and delivered.
///
/// Fields may be added within a version; a field that changes its meaning raises it.
pub fn schema() -> Json {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    settings.inline_subschemas = true;
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<AuditEvent<'static>>()
        .to_value();
    if let Json::Object(schema) = &mut schema {
        schema.insert("title".into(), "RocketGraph Gateway audit event".into());
        schema.insert(
            "$id".into(),
            format!("urn:rg-gateway:audit-event:{SCHEMA_VERSION}").into(),
        );
    }
    schema
}
