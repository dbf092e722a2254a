//! An event as the document MongoDB keeps: the event's own members, with `_id` and a date.
//!
//! `_id` is the event's id, so that an event offered twice is there once. `timestamp` becomes a BSON date, which
//! TTL and range queries need and which holds milliseconds; `timestamp_micros` keeps the rest. `sequence` is the
//! event's place in the log. Everything else keeps its name, order and value.
//!
//! Member names are changed only where a server would refuse them: a dot, a dollar sign at the front and a NUL
//! become their full-width and pictured forms. What cannot be a signed 64-bit integer becomes a double.

use std::borrow::Cow;
use std::fmt;

use mongodb::bson::DateTime;
use mongodb::bson::raw::{CString, RawArrayBuf, RawBson, RawDocumentBuf, cstr};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use crate::delivery::Record;

const DOT: char = '.';
const DOLLAR: char = '$';
const NUL: char = '\0';
/// What stands for [`DOT`], [`DOLLAR`] and [`NUL`] in member names.
const STAND_INS: [char; 3] = ['\u{ff0e}', '\u{ff04}', '\u{2400}'];

/// The document of one event.
///
/// # Errors
///
/// The event is no JSON object.
pub(super) fn document(record: &Record) -> Result<RawDocumentBuf, serde_json::Error> {
    let mut document = RawDocumentBuf::new();
    let mut id = uuid::Uuid::encode_buffer();
    let id: &str = record.event_id.hyphenated().encode_lower(&mut id);
    document.append(cstr!("_id"), id);
    let sequence = i64::try_from(record.sequence).unwrap_or(i64::MAX);
    document.append(cstr!("sequence"), sequence);
    let members = Members {
        into: document,
        taken: &["_id", "sequence", "timestamp_micros"],
        date: Some(record.timestamp),
    };
    let mut json = serde_json::Deserializer::from_str(&record.json);
    let document = members.deserialize(&mut json)?;
    json.end()?;
    Ok(document)
}

/// The members of one object, appended to a document.
struct Members<'a> {
    into: RawDocumentBuf,
    /// Names the document has already, which an event cannot give again.
    taken: &'a [&'a str],
    /// At the top of an event: the instant that its `timestamp` says as text.
    date: Option<i64>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = RawDocumentBuf;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = RawDocumentBuf;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            match self.date {
                Some(micros) if name == "timestamp" => {
                    members.next_value::<IgnoredAny>()?;
                    let date = DateTime::from_millis(micros.div_euclid(1000));
                    self.into.append(cstr!("timestamp"), date);
                    self.into.append(cstr!("timestamp_micros"), micros);
                }
                _ => {
                    let name = self.free_name(&name);
                    let name = CString::try_from(name).map_err(A::Error::custom)?;
                    self.into.append(&name, members.next_value_seed(Element)?);
                }
            }
        }
        Ok(self.into)
    }
}

impl Members<'_> {
    /// The name a member has in the document: acceptable, and not there yet.
    fn free_name(&self, name: &str) -> String {
        let mut free = acceptable(name).into_owned();
        let changed = free.contains(STAND_INS);
        while self.taken.contains(&free.as_str())
            || changed && self.into.get(&free).is_ok_and(|there| there.is_some())
        {
            free.push('_');
        }
        free
    }
}

/// A member name without what servers refuse.
fn acceptable(name: &str) -> Cow<'_, str> {
    if !name.contains([DOT, DOLLAR, NUL]) {
        return Cow::Borrowed(name);
    }
    let [dot, dollar, nul] = STAND_INS;
    let characters = name.char_indices().map(|(at, character)| match character {
        DOT => dot,
        DOLLAR if at == 0 => dollar,
        NUL => nul,
        other => other,
    });
    Cow::Owned(characters.collect())
}

/// The name that became this one by [`acceptable`].
pub(super) fn plain_name(name: &str) -> Cow<'_, str> {
    if !name.contains(STAND_INS) {
        return Cow::Borrowed(name);
    }
    let [dot, dollar, nul] = STAND_INS;
    let characters = name.char_indices().map(|(at, character)| match character {
        _ if character == dot => DOT,
        _ if character == dollar && at == 0 => DOLLAR,
        _ if character == nul => NUL,
        other => other,
    });
    Cow::Owned(characters.collect())
}

/// One JSON value as BSON.
struct Element;

impl<'de> DeserializeSeed<'de> for Element {
    type Value = RawBson;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element {
    type Value = RawBson;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<RawBson, E> {
        Ok(RawBson::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawBson, E> {
        Ok(RawBson::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawBson, E> {
        Ok(RawBson::Int64(value))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "BSON has no unsigned integers; a double is the nearest it can say"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<RawBson, E> {
        Ok(i64::try_from(value).map_or(RawBson::Double(value as f64), RawBson::Int64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawBson, E> {
        Ok(RawBson::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawBson, E> {
        Ok(RawBson::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawBson, A::Error> {
        let mut array = RawArrayBuf::new();
        while let Some(item) = items.next_element_seed(Self)? {
            array.push(item);
        }
        Ok(RawBson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<RawBson, A::Error> {
        let members_of = Members {
            into: RawDocumentBuf::new(),
            taken: &[],
            date: None,
        };
        members_of.visit_map(members).map(RawBson::Document)
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, Document};
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};
    use uuid::Uuid;

    use super::*;

    fn of(json: &Value) -> Document {
        let record = Record {
            sequence: 7,
            event_id: Uuid::from_u128(1),
            timestamp: 1_795_354_000_123_456,
            json: json.to_string().into(),
        };
        let document = document(&record).unwrap();
        Document::try_from(document).unwrap()
    }

    /// The part of a document that came from the event, back as JSON.
    fn back(document: &Document) -> Value {
        let ours = ["_id", "sequence", "timestamp", "timestamp_micros"];
        let members = document
            .iter()
            .filter(|(name, _)| !ours.contains(&name.as_str()));
        Value::Object(
            members
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect(),
        )
    }

    fn plain(value: &Bson) -> Value {
        match value {
            Bson::Null => Value::Null,
            Bson::Boolean(value) => json!(value),
            Bson::Int64(value) => json!(value),
            Bson::Double(value) => json!(value),
            Bson::String(value) => json!(value),
            Bson::Array(items) => items.iter().map(plain).collect(),
            Bson::Document(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), plain(value)))
                    .collect(),
            ),
            other => panic!("no JSON: {other:?}"),
        }
    }

    #[test]
    fn an_event_keeps_its_members_beside_its_id_and_date() {
        let event = json!({"event_id": "x", "timestamp": "2026-11-22T…", "status_code": 200, "tags": ["a", null, 1.5]});
        let document = of(&event);
        assert_eq!(
            document.keys().collect::<Vec<_>>(),
            [
                "_id",
                "sequence",
                "event_id",
                "status_code",
                "tags",
                "timestamp",
                "timestamp_micros"
            ]
        );
        assert_eq!(
            document.get_str("_id").unwrap(),
            Uuid::from_u128(1).to_string()
        );
        assert_eq!(document.get_i64("sequence").unwrap(), 7);
        assert_eq!(
            document.get_i64("timestamp_micros").unwrap(),
            1_795_354_000_123_456
        );
        let date = document.get_datetime("timestamp").unwrap();
        assert_eq!(date.timestamp_millis(), 1_795_354_000_123);
        assert_eq!(
            back(&document),
            json!({"event_id": "x", "status_code": 200, "tags": ["a", null, 1.5]})
        );
    }

    #[test]
    fn names_that_servers_refuse_are_changed_and_stay_apart() {
        let inner = json!({"a.b": 1, "a\u{ff0e}b": 2, "$set": 3, "x\0": 4, "c$": 5, "": 6});
        let document = of(&json!({"details": inner, "_id": "mine", "timestamp_micros": "mine"}));
        let details = document.get_document("details").unwrap();
        let expected = [
            ("", 6),
            ("a\u{ff0e}b", 1),
            ("a\u{ff0e}b_", 2),
            ("c$", 5),
            ("x\u{2400}", 4),
            ("\u{ff04}set", 3),
        ];
        let mut found: Vec<_> = details
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_i64().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(document.get_str("_id_").unwrap(), "mine");
        assert_eq!(document.get_str("timestamp_micros_").unwrap(), "mine");
    }

    #[test]
    fn what_looks_like_extended_json_stays_what_it_is() {
        let document = of(&json!({"details": {"$date": 1, "$oid": "0"}}));
        let details = document.get_document("details").unwrap();
        assert_eq!(details.get_i64("\u{ff04}date").unwrap(), 1);
        assert_eq!(details.get_str("\u{ff04}oid").unwrap(), "0");
    }

    #[test]
    fn integers_beyond_64_bits_with_sign_become_doubles() {
        let document = of(&json!({"a": u64::MAX, "b": i64::MIN, "c": i64::MAX}));
        assert_eq!(document.get_f64("a").unwrap(), u64::MAX as f64);
        assert_eq!(document.get_i64("b").unwrap(), i64::MIN);
        assert_eq!(document.get_i64("c").unwrap(), i64::MAX);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["[]", "1", "{", "{} {}", ""] {
            let record = Record {
                sequence: 0,
                event_id: Uuid::nil(),
                timestamp: 0,
                json: json.into(),
            };
            assert!(document(&record).is_err(), "{json}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z$]{0,4}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// What the document must say, by the rules of the module's first lines.
    fn expected(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(expected).collect(),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| {
                        let name = match name.strip_prefix('$') {
                            Some(rest) => format!("\u{ff04}{rest}"),
                            None => name.clone(),
                        };
                        (name, expected(value))
                    })
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn every_value_survives(members in prop::collection::btree_map("[a-z]{1,8}", values(), 0..8)) {
            let event: Value = Value::Object(members.into_iter().collect());
            prop_assume!(event.get("timestamp").is_none() && event.get("sequence").is_none());
            prop_assert_eq!(back(&of(&event)), expected(&event));
        }
    }
}
