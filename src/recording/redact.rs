//! Takes what nobody may keep out of a recorded request. Pure.
//!
//! What it cannot read it cannot redact: a body in which a redacted name occurs and that is neither a JSON
//! document nor a form is left out.

use super::Recorded;
use crate::policy::threat::replace_named_strings;

/// What stands in the place of a value.
const REDACTED: &str = "[redacted]";
/// What stands in the place of something that looks like one of our API keys.
const KEY: &str = "[key]";
/// How our API keys begin.
const KEY_PREFIXES: [&str; 2] = ["rg_live_", "rg_test_"];

/// Redacts values whose names contain one of these lowercase words, and our API keys wherever they stand.
pub(super) fn redact(recorded: &mut Recorded, words: &[String]) {
    if let Some((path, query)) = recorded.path.split_once('?') {
        recorded.path = format!("{path}?{}", pairs(query, words));
    }
    recorded.path = without_keys(&recorded.path);
    for value in recorded.headers.values_mut() {
        *value = without_keys(value);
    }
    let encoded = recorded.headers.contains_key("content-encoding");
    let body = recorded.body.take();
    if encoded || recorded.body_b64.is_some() {
        // Bytes that are no text, or not yet: names in them are not seen.
        recorded.body_b64 = None;
        recorded.body_cut = true;
        return;
    }
    let Some(body) = body else { return };
    let kind = recorded.headers.get("content-type").cloned();
    match readable(&body, &kind.unwrap_or_default(), words) {
        Some(body) => recorded.body = Some(without_keys(&body)),
        None => recorded.body_cut = true,
    }
}

/// The body without what is redacted; `None` when that cannot be told.
fn readable(body: &str, kind: &str, words: &[String]) -> Option<String> {
    if !is_named(body, words) {
        return Some(body.to_owned());
    }
    let named = |name: &[u8]| is_named(&String::from_utf8_lossy(name), words);
    if let Some(replaced) = replace_named_strings(body.as_bytes(), &named, REDACTED) {
        return String::from_utf8(replaced).ok();
    }
    kind.to_ascii_lowercase()
        .starts_with("application/x-www-form-urlencoded")
        .then(|| pairs(body, words))
}

fn is_named(text: &str, words: &[String]) -> bool {
    let lower = text.to_ascii_lowercase();
    words.iter().any(|word| lower.contains(word.as_str()))
}

/// `a=b&c=d` without the values of redacted names.
fn pairs(text: &str, words: &[String]) -> String {
    let pairs: Vec<String> = text
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_named(&percent_decoded(name), words) => {
                format!("{name}={REDACTED}")
            }
            _ => pair.to_owned(),
        })
        .collect();
    pairs.join("&")
}

fn percent_decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| *first == b'%');
        let code = digits
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = tail
            .get(if code.is_some() { 2 } else { 0 }..)
            .unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn without_keys(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let found = KEY_PREFIXES
            .iter()
            .filter_map(|prefix| rest.find(prefix))
            .min();
        let Some(at) = found else {
            out.push_str(rest);
            return out;
        };
        let (before, key) = rest.split_at(at);
        out.push_str(before);
        out.push_str(KEY);
        let end = key.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        rest = key.get(end.unwrap_or(key.len())..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Recorded {
        let mut recorded = Recorded {
            path: path.into(),
            ..Recorded::default()
        };
        for (name, value) in headers {
            recorded.headers.insert((*name).into(), (*value).into());
        }
        recorded.set_body(body.to_vec());
        redact(&mut recorded, &["password".into(), "token".into()]);
        recorded
    }

    #[test]
    fn named_values_and_keys_are_taken_out_wherever_they_stand() {
        let json = br#"{"user": "ann", "Password": "hunter2", "list": [{"api_token": "s3cret"}], "n": 1.50}"#;
        let found = redacted(
            "/a?x=1&access%5Ftoken=s3cret&y=rg_live_abcdefgh_Zz9",
            &[],
            json,
        );
        assert_eq!(found.path, "/a?x=1&access%5Ftoken=[redacted]&y=[key]");
        let expected = r#"{"user": "ann", "Password": "[redacted]", "list": [{"api_token": "[redacted]"}], "n": 1.50}"#;
        assert_eq!(found.body.as_deref(), Some(expected));
        let form = ("content-type", "application/x-www-form-urlencoded");
        let found = redacted(
            "/",
            &[form, ("x-note", "rg_test_abc!")],
            b"a=b&password=hunter2",
        );
        assert_eq!(found.body.as_deref(), Some("a=b&password=[redacted]"));
        assert_eq!(found.headers["x-note"], "[key]!");
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
            assert!(found.body_cut);
        }
        let found = redacted("/", &[], b"nothing to hide");
        assert_eq!(found.body.as_deref(), Some("nothing to hide"));
    }
}
