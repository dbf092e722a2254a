//! A document back as the event it was made from: the reverse of `document`.
//!
//! Members keep their order; `_id`, `sequence` and `timestamp_micros` go, `timestamp` is its text again. Names that
//! were changed for servers get their dots, dollar signs and NULs back, so a name that really had a look-alike in it
//! comes back with the character that it looks like.

use mongodb::bson::raw::{RawArray, RawBsonRef, RawDocument};
use serde::Serialize;
use serde::ser::{Error as _, SerializeMap, SerializeSeq, Serializer};
use uuid::Uuid;

use super::document::plain_name;
use crate::audit::timestamp;
use crate::delivery::search::Found;

/// `None` when the document is none of ours.
pub(super) fn found(document: &RawDocument) -> Option<Found> {
    let id = Uuid::try_parse(document.get_str("_id").ok()?).ok()?;
    let micros = document.get_i64("timestamp_micros").ok()?;
    let event = Members {
        document,
        micros: Some(micros),
    };
    let json = serde_json::value::to_raw_value(&event).ok()?;
    Some(Found { micros, id, json })
}

/// The members of a document, as JSON.
struct Members<'a> {
    document: &'a RawDocument,
    /// Of an event itself: the instant its `timestamp` says.
    micros: Option<i64>,
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut members = to.serialize_map(None)?;
        for member in self.document {
            let (name, value) = member.map_err(S::Error::custom)?;
            match (name.as_str(), self.micros) {
                ("_id" | "sequence" | "timestamp_micros", Some(_)) => {}
                ("timestamp", Some(micros)) => {
                    let text = timestamp::text(micros);
                    members.serialize_entry(name.as_str(), &String::from_utf8_lossy(&text))?;
                }
                (name, _) => members.serialize_entry(&plain_name(name), &Element(value))?,
            }
        }
        members.end()
    }
}

struct Items<'a>(&'a RawArray);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut items = to.serialize_seq(None)?;
        for item in self.0 {
            items.serialize_element(&Element(item.map_err(S::Error::custom)?))?;
        }
        items.end()
    }
}

/// One value as JSON.
struct Element<'a>(RawBsonRef<'a>);

impl Serialize for Element<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            RawBsonRef::Null => to.serialize_unit(),
            RawBsonRef::Boolean(value) => to.serialize_bool(value),
            RawBsonRef::Int32(value) => to.serialize_i32(value),
            RawBsonRef::Int64(value) => to.serialize_i64(value),
            RawBsonRef::Double(value) => to.serialize_f64(value),
            RawBsonRef::String(text) => to.serialize_str(text),
            RawBsonRef::Array(items) => Items(items).serialize(to),
            RawBsonRef::Document(document) => Members {
                document,
                micros: None,
            }
            .serialize(to),
            _ => Err(S::Error::custom("a value that no event has")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::document::document;
    use super::*;
    use crate::audit::{AuditEvent, EventType, Severity};
    use crate::delivery::Record;

    fn there_and_back(json: &str, micros: i64) -> Found {
        let record = Record {
            sequence: 7,
            event_id: Uuid::from_u128(1),
            timestamp: micros,
            json: json.into(),
        };
        found(&document(&record).unwrap()).unwrap()
    }

    proptest! {
        /// To the letter: text is searched for in what comes back.
        #[test]
        fn an_event_comes_back_to_the_letter(
            micros in 0..4_000_000_000_000_000_i64,
            ms in 0.0..1e9_f64,
            text in any::<String>(),
            numbers in prop::collection::vec(any::<i64>(), 0..4),
            ratio in any::<i32>().prop_map(|eighths| f64::from(eighths) / 8.0),
        ) {
            let event = AuditEvent {
                user_agent: text.clone().into(),
                status_code: 200,
                processing_time_ms: ms,
                compliance_tags: vec![text.clone().into()],
                organization_id: Some(text.clone().into()),
                details: Some(json!({"a.b": text, "$set": numbers, "n\0": {"x": [ratio, null, true]}})),
                ..AuditEvent::new(Uuid::from_u128(1), micros, EventType::ApiRequest, Severity::Info)
            };
            let written = serde_json::to_string(&event).unwrap();
            let back = there_and_back(&written, micros);
            prop_assert_eq!(back.json.get(), written);
            prop_assert_eq!((back.micros, back.id), (micros, Uuid::from_u128(1)));
        }
    }

    #[test]
    fn what_is_none_of_ours_is_passed_over() {
        let mut none = mongodb::bson::raw::RawDocumentBuf::new();
        assert!(found(&none).is_none());
        none.append(mongodb::bson::raw::cstr!("_id"), "not an id");
        assert!(found(&none).is_none());
    }

    #[test]
    fn members_of_an_event_that_are_not_ours_stay() {
        let event = json!({"timestamp": "2026-11-22T00:00:00.000000Z", "later": {"timestamp": 1}});
        let back = there_and_back(&event.to_string(), 0);
        let back: Value = serde_json::from_str(back.json.get()).unwrap();
        assert_eq!(back["later"], event["later"]);
        assert_eq!(back["timestamp"], "1970-01-01T00:00:00.000000Z");
    }
}
