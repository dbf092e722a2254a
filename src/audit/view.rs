//! The part of a stored event that searches look at, borrowed from its JSON.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use uuid::Uuid;

use super::event::{EventType, Severity, Source};
use super::{event, timestamp};

/// A string that is borrowed unless it holds escapes.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// What can be searched for without reading the JSON as text.
#[derive(Debug, Deserialize)]
pub(crate) struct EventView<'a> {
    #[serde(with = "event::uuid_text")]
    pub(crate) event_id: Uuid,
    #[serde(with = "timestamp::rfc3339")]
    pub(crate) timestamp: i64,
    pub(crate) event_type: EventType,
    pub(crate) severity: Severity,
    pub(crate) source_ip: Source,
    #[serde(borrow, default)]
    pub(crate) organization_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) api_key_id: Option<Text<'a>>,
    pub(crate) status_code: u16,
    #[serde(borrow, default)]
    pub(crate) request_id: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) decision_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) compliance_tags: Vec<Text<'a>>,
}

impl<'a> EventView<'a> {
    /// `None` when the bytes are no event this version knows.
    pub(crate) fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}
