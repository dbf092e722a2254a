//! Finds the one key a request presents.
//!
//! A key comes in `X-API-Key` or as `Authorization: Bearer` (RFC 6750, section 2.1), once. Two
//! keys are refused rather than ranked: whoever logs or caches in front of the gateway might rank
//! them otherwise. Keys in the query string are refused, because logs keep those.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::refusal::AuthRefusal;
use crate::policy::hygiene::values;

/// The longest key that is looked at, in bytes; longer ones are malformed.
pub const KEY_BYTES_MAX: usize = 512;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The key of a request, not yet recognised.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Presented<'a> {
    /// 1 to [`KEY_BYTES_MAX`] visible ASCII characters.
    pub key: &'a str,
    /// Where it stood.
    pub by: PresentedBy,
}

/// Where a key stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresentedBy {
    /// `X-API-Key`.
    ApiKeyHeader,
    /// `Authorization: Bearer`.
    Bearer,
}

impl std::fmt::Debug for Presented<'_> {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Presented({:?})", self.by)
    }
}

/// Finds the one key in headers, and makes sure that none is in the query string.
///
/// `Authorization` of another scheme than Bearer is no key of ours and is passed over.
///
/// # Errors
///
/// `InQuery`, `Ambiguous` (repeated, or both headers), `Missing`, `Malformed`.
pub fn present<'a>(
    headers: &'a HeaderMap,
    query: Option<&str>,
) -> Result<Presented<'a>, AuthRefusal> {
    if query.is_some_and(holds_key) {
        return Err(AuthRefusal::InQuery);
    }
    let api_key = the_only(headers, &X_API_KEY)?.map(HeaderValue::as_bytes);
    let bearer =
        the_only(headers, &AUTHORIZATION)?.and_then(|value| bearer_token(value.as_bytes()));
    let (key, by) = match (api_key, bearer) {
        (Some(_), Some(_)) => return Err(AuthRefusal::Ambiguous),
        (Some(key), None) => (key.trim_ascii(), PresentedBy::ApiKeyHeader),
        (None, Some(key)) => (key, PresentedBy::Bearer),
        (None, None) => return Err(AuthRefusal::Missing),
    };
    let key = std::str::from_utf8(key).map_err(|_| AuthRefusal::Malformed)?;
    if is_presentable(key) {
        Ok(Presented { key, by })
    } else {
        Err(AuthRefusal::Malformed)
    }
}

/// True for a text that can be presented as a key: 1 to [`KEY_BYTES_MAX`] visible ASCII characters.
pub fn is_presentable(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
}

fn the_only<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, AuthRefusal> {
    let mut values = values(headers, name.as_str());
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(AuthRefusal::Ambiguous),
    }
}

/// What follows the scheme `Bearer`, in any case; `None` for another scheme.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(b"bearer".len())?;
    let apart = rest.first().is_none_or(|b| *b == b' ' || *b == b'\t');
    (scheme.eq_ignore_ascii_case(b"bearer") && apart).then(|| rest.trim_ascii())
}

/// True when a query string has a parameter named like a key, or a value that begins like ours.
fn holds_key(query: &str) -> bool {
    query
        .as_bytes()
        .split(|b| matches!(b, b'&' | b';'))
        .any(|pair| {
            let split = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(split);
            is_key_name(name) || starts_like_our_key(value.get(1..).unwrap_or_default())
        })
}

/// `api_key`, `apikey`, `x-api-key` or `access_token`, in any case, spelling and encoding.
fn is_key_name(name: &[u8]) -> bool {
    let letters = || {
        decoded(name)
            .filter(u8::is_ascii_alphanumeric)
            .map(|b| b.to_ascii_lowercase())
    };
    // Most names differ in their first letter.
    letters()
        .next()
        .is_some_and(|first| matches!(first, b'a' | b'x'))
        && [&b"apikey"[..], b"xapikey", b"accesstoken"]
            .into_iter()
            .any(|known| letters().eq(known.iter().copied()))
}

fn starts_like_our_key(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'r' | b'%'))
        && [&b"rg_live_"[..], b"rg_test_"]
            .into_iter()
            .any(|prefix| decoded(value).take(prefix.len()).eq(prefix.iter().copied()))
}

/// The bytes of a query component with `%XX` resolved; a broken escape stands for itself.
fn decoded(component: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = component;
    std::iter::from_fn(move || {
        if let [b'%', high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        let (first, after) = rest.split_first()?;
        rest = after;
        Some(*first)
    })
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_static(name), value);
        }
        map
    }

    fn found(lines: &[(&'static str, &str)], query: Option<&str>) -> Result<String, &'static str> {
        present(&headers(lines), query)
            .map(|presented| presented.key.to_owned())
            .map_err(|refusal| refusal.code())
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        assert_eq!(found(&[("x-api-key", "k-1")], None), Ok("k-1".into()));
        assert_eq!(
            found(&[("authorization", "Bearer k-1")], None),
            Ok("k-1".into())
        );
        assert_eq!(
            found(&[("authorization", "bEARER   k-1 ")], None),
            Ok("k-1".into())
        );
        assert_eq!(
            found(
                &[("authorization", "Basic dTpw"), ("x-api-key", "k-1")],
                None
            ),
            Ok("k-1".into())
        );
    }

    #[test]
    fn none_two_or_a_broken_one_is_refused() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        let cases: [(&[(&'static str, &str)], &str); 11] = [
            (&[], "key-missing"),
            (&[("authorization", "Basic dTpw")], "key-missing"),
            (&[("authorization", "Bearerk-1")], "key-missing"),
            (&[("x-api-key", "a"), ("x-api-key", "a")], "key-ambiguous"),
            (
                &[("x-api-key", "a"), ("authorization", "Bearer a")],
                "key-ambiguous",
            ),
            (
                &[("authorization", "Bearer a"), ("authorization", "Basic b")],
                "key-ambiguous",
            ),
            (&[("x-api-key", "")], "key-malformed"),
            (&[("authorization", "Bearer ")], "key-malformed"),
            (&[("x-api-key", "a, b")], "key-malformed"),
            (&[("x-api-key", "schlüssel")], "key-malformed"),
            (&[("x-api-key", &long)], "key-malformed"),
        ];
        for (lines, expected) in cases {
            assert_eq!(found(lines, None), Err(expected), "{lines:?}");
        }
    }

    #[test]
    fn a_key_in_the_query_string_is_refused_in_any_spelling() {
        for query in [
            "api_key=x",
            "a=1&ApiKey=x",
            "X-API-KEY=x",
            "access_token",
            "%61pi%5Fkey=x",
            "a=1;api-key=",
            "key=rg_live_abc",
            "q=rg%5Ftest_abc",
        ] {
            assert_eq!(
                found(&[("x-api-key", "k-1")], Some(query)),
                Err("key-in-query"),
                "{query}"
            );
        }
        for query in [
            "",
            "q=1&page=2",
            "key=5",
            "apikeys=1",
            "monkey=rg_",
            "q=api_key",
            "%",
            "%zz=%4",
        ] {
            assert_eq!(
                found(&[("x-api-key", "k-1")], Some(query)),
                Ok("k-1".into()),
                "{query}"
            );
        }
    }

    #[test]
    fn a_presented_key_does_not_show_itself() {
        let map = headers(&[("x-api-key", "hidden")]);
        assert_eq!(
            format!("{:?}", present(&map, None).unwrap()),
            "Presented(ApiKeyHeader)"
        );
    }

    proptest! {
        #[test]
        fn any_header_and_query_is_answered(value: Vec<u8>, query in "\\PC{0,40}") {
            let mut map = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(AUTHORIZATION, value);
            }
            if let Ok(presented) = present(&map, Some(&query)) {
                prop_assert!(is_presentable(presented.key));
            }
        }
    }
}
