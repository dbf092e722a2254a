//! Values of a JSON document replaced in place; every other byte stays as it is.

use super::at::At;
use super::json;

/// What becomes of the parts of a JSON document that is rewritten.
pub trait Rewrite {
    /// What stands in the place of a name's whole value, whatever it is; `None` keeps it.
    fn value(&self, name: &[u8]) -> Option<&str>;
    /// What stands in the place of a name; `None` keeps it.
    fn name(&self, name: &[u8]) -> Option<String>;
    /// What stands in the place of a string or number below a name; `None` keeps it.
    fn text(&self, name: &[u8], text: &[u8]) -> Option<String>;
}

/// A JSON document, rewritten; every other byte stays as it is. `None` when it is no document the walker takes.
pub fn rewrite(text: &[u8], by: &dyn Rewrite) -> Option<Vec<u8>> {
    json::walk(text, &At::root("$"), &mut |_, _| ()).ok()?;
    let mut rewriter = Rewriter {
        text,
        at: 0,
        out: Vec::with_capacity(text.len()),
        by,
    };
    rewriter.value(b"")?;
    rewriter.blank();
    Some(rewriter.out)
}

/// Walks a document that is known to be one, so it looks no further than it must. As deep as the walker goes.
struct Rewriter<'t> {
    text: &'t [u8],
    at: usize,
    out: Vec<u8>,
    by: &'t dyn Rewrite,
}

impl<'t> Rewriter<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Copies up to a place.
    fn copy(&mut self, end: usize) {
        self.out
            .extend_from_slice(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    fn blank(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let blank = |byte: &u8| b" \n\r\t\xef\xbb\xbf".contains(byte);
        let length = rest.iter().position(|byte| !blank(byte));
        self.copy(self.at + length.unwrap_or(rest.len()));
    }

    fn value(&mut self, name: &[u8]) -> Option<()> {
        self.blank();
        match self.peek()? {
            b'{' | b'[' => self.list(name),
            b'"' => self.string(|by, said| by.text(name, said)).map(drop),
            _ => {
                let rest = self.text.get(self.at..)?;
                let length = rest.iter().position(|byte| b",]} \n\r\t".contains(byte));
                let scalar = rest.get(..length.unwrap_or(rest.len()))?;
                self.replace_or_copy(self.at + scalar.len(), self.by.text(name, scalar));
                Some(())
            }
        }
    }

    /// An object or an array.
    fn list(&mut self, name: &[u8]) -> Option<()> {
        let object = self.peek() == Some(b'{');
        self.copy(self.at + 1);
        self.blank();
        while !matches!(self.peek()?, b'}' | b']') {
            if object {
                let key = self.string(|by, key| by.name(key))?;
                self.blank();
                self.copy(self.at + 1);
                self.member(&key)?;
            } else {
                self.value(name)?;
            }
            self.blank();
            if self.peek()? == b',' {
                self.copy(self.at + 1);
            }
            self.blank();
        }
        self.copy(self.at + 1);
        Some(())
    }

    /// The value of a key.
    fn member(&mut self, key: &[u8]) -> Option<()> {
        let Some(new) = self.by.value(key) else {
            return self.value(key);
        };
        self.blank();
        let kept = self.out.len();
        self.value(b"")?;
        self.out.truncate(kept);
        self.out.extend(encoded(new.as_bytes()));
        Some(())
    }

    /// A string; gives what it says.
    fn string(&mut self, new: impl Fn(&dyn Rewrite, &[u8]) -> Option<String>) -> Option<Vec<u8>> {
        let end = string_end(self.text, self.at);
        let said: String = serde_json::from_slice(self.text.get(self.at..end)?).ok()?;
        self.replace_or_copy(end, new(self.by, said.as_bytes()));
        Some(said.into_bytes())
    }

    fn replace_or_copy(&mut self, end: usize, new: Option<String>) {
        match new {
            Some(new) => {
                self.out.extend(encoded(new.as_bytes()));
                self.at = end;
            }
            None => self.copy(end),
        }
    }
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
