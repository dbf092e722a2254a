//! Strings of a JSON document replaced in place; every other byte stays as it is.

use super::at::At;
use super::json::{self, Leaf};

/// A JSON document in which the strings of some names are replaced, strings in lists under the name too; `None`
/// when the text is no document the walker takes.
pub fn replace_named_strings(
    text: &[u8],
    named: &dyn Fn(&[u8]) -> bool,
    new: &str,
) -> Option<Vec<u8>> {
    let mut replaced = Vec::new();
    let mut index = 0;
    json::walk(text, &At::root("$"), &mut |leaf, at| {
        if let Leaf::Text(_) = leaf {
            if at.last_name().is_some_and(named) {
                replaced.push((index, encoded(new.as_bytes())));
            }
            index += 1;
        }
    })
    .ok()?;
    Some(splice(text, &replaced))
}

/// A string as it stands in a document, quotes included.
pub(super) fn encoded(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    serde_json::Value::from(text.as_ref())
        .to_string()
        .into_bytes()
}

/// The document with some string values replaced, by their number in order; keys are not counted.
///
/// The document is known to be JSON: it was walked before.
pub(super) fn splice(text: &[u8], replaced: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut replaced = replaced.iter().peekable();
    let (mut at, mut kept, mut index) = (0, 0, 0);
    while let Some(open) = memchr::memchr(b'"', text.get(at..).unwrap_or_default()) {
        let begin = at + open;
        let end = string_end(text, begin);
        at = end;
        if is_key(text, end) {
            continue;
        }
        if let Some((_, new)) = replaced.next_if(|(wanted, _)| *wanted == index) {
            out.extend_from_slice(text.get(kept..begin).unwrap_or_default());
            out.extend_from_slice(new);
            kept = end;
        }
        index += 1;
    }
    out.extend_from_slice(text.get(kept..).unwrap_or_default());
    out
}

/// The position behind a string's closing quote.
fn string_end(text: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn is_key(text: &[u8], end: usize) -> bool {
    let rest = text.get(end..).unwrap_or_default();
    let next = rest.iter().find(|b| !b" \n\r\t".contains(b));
    next == Some(&b':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_the_wanted_strings_change() {
        let text = br#"{"a" : "x\"y", "b": [1, "z", {"c": "\\"}], "d": 1e400}"#;
        let replaced = [(0, encoded(b"new\n")), (2, encoded(b""))];
        let spliced = String::from_utf8(splice(text, &replaced)).unwrap();
        assert_eq!(
            spliced,
            r#"{"a" : "new\n", "b": [1, "z", {"c": ""}], "d": 1e400}"#
        );
    }

    proptest! {
        #[test]
        fn every_string_value_can_be_replaced(
            keys in proptest::collection::vec("[ -~]{0,6}", 1..5),
            values in proptest::collection::vec("\\PC{0,8}", 1..5),
        ) {
            let items: Vec<Value> = keys.iter().zip(&values).map(|(k, v)| json!({k.as_str(): [v, 7]})).collect();
            let text = serde_json::to_vec(&items).unwrap();
            let new: Vec<(usize, Vec<u8>)> =
                (0..items.len()).map(|i| (i, encoded(format!("<{i}>\"").as_bytes()))).collect();
            let read: Value = serde_json::from_slice(&splice(&text, &new)).unwrap();
            for (index, (item, key)) in read.as_array().unwrap().iter().zip(&keys).enumerate() {
                prop_assert_eq!(&item[key.as_str()], &json!([format!("<{index}>\""), 7]));
            }
        }
    }
}
