//! Takes what nobody may keep out of a recorded request. Pure.
//!
//! Names and values are told apart as the threat engine tells them apart, escapes and encodings undone: JSON by its
//! walk, JSON in a string or form value too, forms and query strings by their pairs. The value of a name that says
//! secret goes whole, whatever it is. From all other values [`mask`] takes API keys of ours, personal data and what
//! stands after such a name within the text.
//!
//! What it cannot read it does not keep: a body that names a secret and is neither JSON nor a form is left out, and
//! the recording says so.

use super::Recorded;
use crate::policy::cypher;
use crate::policy::mask;
use crate::policy::threat::{Rewrite, rewrite};

/// JSON within strings is followed this deep; what is deeper goes whole where it names a secret.
const NESTED_MAX: u8 = 4;

/// Takes out secrets and personal data; `words` in a name make it say secret, too.
pub(super) fn redact(recorded: &mut Recorded, words: &[String]) {
    let redactor = Redactor { words, nested: 0 };
    recorded.path = match recorded.path.split_once('?') {
        Some((path, query)) => {
            format!("{}?{}", mask::path(path, None), redactor.pairs(query))
        }
        None => mask::path(&recorded.path, None).into_owned(),
    };
    for (name, value) in &mut recorded.headers {
        *value = redactor.field(name, value);
    }
    let encoded = recorded.headers.contains_key("content-encoding");
    let body = recorded.body.take();
    if encoded || recorded.body_b64.is_some() {
        // Bytes that are no text, or not yet: names in them are not seen.
        recorded.body_b64 = None;
        return left_out(recorded, "the body is encoded or no text");
    }
    let Some(body) = body else { return };
    let kind = recorded.headers.get("content-type").cloned();
    match redactor.body(&body, &kind.unwrap_or_default()) {
        Some(body) => recorded.body = Some(body),
        None => left_out(
            recorded,
            "the body names a secret and cannot be read as its type says",
        ),
    }
}

fn left_out(recorded: &mut Recorded, why: &str) {
    recorded.body_cut = true;
    recorded.note = Some(why.to_owned());
}

#[derive(Clone, Copy)]
struct Redactor<'w> {
    words: &'w [String],
    nested: u8,
}

impl Redactor<'_> {
    /// The body without what is redacted; `None` when that cannot be told.
    fn body(self, body: &str, kind: &str) -> Option<String> {
        if let Some(redacted) = rewrite(body.as_bytes(), &self) {
            return String::from_utf8(redacted).ok();
        }
        let kind = kind.to_ascii_lowercase();
        if kind.starts_with("application/x-www-form-urlencoded") {
            return Some(self.pairs(body));
        }
        let framed = |line: &str| matches!(line.trim_start().as_bytes(), [b'{' | b'[', ..]);
        if framed(body) && body.trim_end().contains('\n') {
            let lines = body.split('\n').map(|line| {
                let redacted =
                    rewrite(line.as_bytes(), &self).and_then(|l| String::from_utf8(l).ok());
                redacted.or_else(|| self.plain(line))
            });
            return lines
                .collect::<Option<Vec<String>>>()
                .map(|lines| lines.join("\n"));
        }
        self.plain(body)
    }

    /// Text without names and values of its own; `None` where it names a secret.
    fn plain(self, text: &str) -> Option<String> {
        let named = mask::names_secrets(text.as_bytes()) || self.has_word(text.as_bytes());
        (!named).then(|| masked(b"", text))
    }

    /// A header field's value.
    fn field(self, name: &str, value: &str) -> String {
        if self.is_named(name.as_bytes()) {
            mask::SECRET.to_owned()
        } else {
            masked(name.as_bytes(), value)
        }
    }

    /// `a=b&c=d` without the values of redacted names.
    fn pairs(self, text: &str) -> String {
        let pairs = text.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = decoded(name);
            if self.is_named(plain.as_bytes()) && !value.is_empty() {
                return format!("{name}={}", mask::SECRET);
            }
            let new_name = self.name(plain.as_bytes());
            let new_value = self.text(plain.as_bytes(), decoded(value).as_bytes());
            if new_name.is_none() && new_value.is_none() {
                return pair.to_owned();
            }
            let sign = if pair.contains('=') { "=" } else { "" };
            let name = new_name.map_or_else(|| name.to_owned(), |name| encoded(&name));
            let value = new_value.map_or_else(|| value.to_owned(), |value| encoded(&value));
            format!("{name}{sign}{value}")
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    fn is_named(self, name: &[u8]) -> bool {
        mask::is_secret_name(name) || self.has_word(name)
    }

    fn has_word(self, text: &[u8]) -> bool {
        let lower = String::from_utf8_lossy(text).to_lowercase();
        self.words.iter().any(|word| lower.contains(word.as_str()))
    }
}

impl Rewrite for Redactor<'_> {
    fn value(&self, name: &[u8]) -> Option<&str> {
        self.is_named(name).then_some(mask::SECRET)
    }

    fn name(&self, name: &[u8]) -> Option<String> {
        let said = String::from_utf8_lossy(name);
        let masked = masked(b"", &said);
        (masked != said).then_some(masked)
    }

    fn text(&self, name: &[u8], text: &[u8]) -> Option<String> {
        let said = String::from_utf8_lossy(text);
        let trimmed = said.trim();
        if trimmed.starts_with(['{', '[', '"']) && self.nested < NESTED_MAX {
            let inner = Redactor {
                nested: self.nested + 1,
                ..*self
            };
            if let Some(redacted) = rewrite(trimmed.as_bytes(), &inner) {
                let redacted = String::from_utf8_lossy(&redacted).into_owned();
                return (redacted != trimmed).then_some(redacted);
            }
        }
        // Within a statement a name is no news, but a text beside it may be its value.
        let quotes = said.contains(['\'', '"']);
        if mask::tells_of_secrets(text) && (quotes || !cypher::is_statement(text, false)) {
            return Some(mask::SECRET.to_owned());
        }
        let masked = masked(name, &said);
        (masked != said).then_some(masked)
    }
}

fn masked(name: &[u8], text: &str) -> String {
    let masked = mask::part(text.as_bytes(), 0..text.len(), name);
    String::from_utf8_lossy(&masked).into_owned()
}

/// Undoes the encoding of a form.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail
            .get(..2)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = digits
            .filter(|_| *first == b'%')
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(code.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = tail
            .get(if code.is_some() { 2 } else { 0 }..)
            .unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Encodes for a form; the brackets of masks stay, so that they can be read.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-._~[]".contains(&byte) => {
                out.push(byte.into())
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::auth::{Environment, mint};

    fn redacted(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Recorded {
        let mut recorded = Recorded {
            path: path.into(),
            ..Recorded::default()
        };
        for (name, value) in headers {
            recorded.headers.insert((*name).into(), (*value).into());
        }
        recorded.set_body(body.to_vec());
        redact(&mut recorded, &["customer_no".into()]);
        recorded
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

    #[test]
    fn named_values_and_keys_are_taken_out_wherever_they_stand() {
        let json = br#"{"user": "ann", "Password": "hunter2", "list": [{"api_token": "s3cret"}], "n": 1.50}"#;
        let path = "/a?x=1&access%5Ftoken=s3cret&y=rg_live_abcdefgh_Zz9";
        let found = redacted(path, &[], json);
        assert_eq!(found.path, "/a?x=1&access%5Ftoken=[secret]&y=[api-key]");
        let expected = r#"{"user": "ann", "Password": "[secret]", "list": [{"api_token": "[secret]"}], "n": 1.50}"#;
        assert_eq!(found.body.as_deref(), Some(expected));
        let found = redacted(
            "/",
            &[FORM, ("x-note", "rg_test_abc!")],
            b"a=b&password=hunter2",
        );
        assert_eq!(found.body.as_deref(), Some("a=b&password=[secret]"));
        assert_eq!(found.headers["x-note"], "[api-key]!");
        let found = redacted("/", &[], br#"{"Customer_No": 77, "customer": 1}"#);
        let expected = r#"{"Customer_No": "[secret]", "customer": 1}"#;
        assert_eq!(found.body.as_deref(), Some(expected));
    }

    #[test]
    fn secrets_are_found_by_the_names_that_the_engine_sees() {
        let key = mint(Environment::Live, &[5; 32]).1;
        let escaped_key = key.replace('_', "\\u005f");
        let cases = [
            (r#"{"\u0070assword": "hunter2"}"#.to_owned(), "json"),
            (
                r#"{"secret": {"a": ["hunter2", {"b": "hunter2"}]}}"#.into(),
                "json",
            ),
            (r#"{"inner": "{\"password\": \"hunter2\"}"}"#.into(), "json"),
            (r#"{"inner": "a=b&p%61ssword=hunter2&c=d"}"#.into(), "json"),
            (
                r#"{"inner": "[\"{\\\"pin\\\": \\\"hunter2\\\"}\"]"}"#.into(),
                "json",
            ),
            (
                r#"{"pwd": "hunter2", "userPin": "hunter2", "cvv": "hunter2"}"#.into(),
                "json",
            ),
            (
                r#"{"q": "CREATE (u:User {password: 'hunter2', name: 'ann'})"}"#.into(),
                "json",
            ),
            (
                r#"{"q": "MATCH (u) SET u.password = 'hunter2' RETURN u"}"#.into(),
                "json",
            ),
            (
                r#"{"q": "WITH 'hunter2' AS password MERGE (u {p: password})"}"#.into(),
                "json",
            ),
            (r#"{"note": "my password is hunter2"}"#.into(), "json"),
            (r#"{"note": "the password hunter2 is mine"}"#.into(), "json"),
            (r#"{"password": hunter2"#.into(), "json"),
            ("{\"a\": 1}\n{\"pin\": \"hunter2\"}\n".into(), "json"),
            (format!("{{\"k\": \"{escaped_key}\"}}"), "json"),
            ("p%61ssword=hunter2".into(), "form"),
            ("data=%7B%22password%22%3A%22hunter2%22%7D".into(), "form"),
            (
                "data={\"a\":{\"token\":{\"b\":\"hunter2\"}}}".into(),
                "form",
            ),
            (
                "a=1&card=4111+1111+1111+1111&mail=hunter2%40example.com".into(),
                "form",
            ),
            (
                "Content-Disposition: form-data; name=\"password\"\r\n\r\nhunter2".into(),
                "text",
            ),
        ];
        for (body, kind) in cases {
            let headers = if kind == "form" { &[FORM][..] } else { &[] };
            let found = redacted("/", headers, body.as_bytes());
            let kept = serde_json::to_string(&found).unwrap();
            assert!(!kept.contains("hunter2"), "{body} -> {kept}");
            assert!(
                !kept.contains("1111") && !kept.contains(&key[20..40]),
                "{body} -> {kept}"
            );
        }
    }

    #[test]
    fn personal_data_goes_and_the_rest_stays_as_it_was() {
        let body = br#"{"to": "ann@example.com", "pan": 4111111111111111, "iban": "DE89370400440532013000", "n": 1e400, "t": [true, null]}"#;
        let found = redacted("/u/ann@example.com/x?tel=%2B14155550123", &[], body);
        let expected = r#"{"to": "[email]", "pan": "[card]", "iban": "[iban]", "n": 1e400, "t": [true, null]}"#;
        assert_eq!(found.body.as_deref(), Some(expected));
        assert_eq!(found.path, "/u/[email]/x?tel=%2B[phone]");
    }

    #[test]
    fn a_body_that_cannot_be_read_is_left_out_where_it_might_name_a_secret() {
        for (headers, body) in [
            (&[][..], &b"{\"password\": \"hunt"[..]),
            (&[], b"my password is hunter2"),
            (&[], b"\xff\xfe"),
            (&[("content-encoding", "gzip")], b"plain"),
        ] {
            let found = redacted("/", headers, body);
            assert_eq!((found.body, found.body_b64), (None, None));
            assert!(found.body_cut && found.note.is_some());
        }
        let found = redacted("/", &[], b"nothing to hide");
        assert_eq!(found.body.as_deref(), Some("nothing to hide"));
        assert_eq!(found.note, None);
    }
}
