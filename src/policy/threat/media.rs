//! What a body says it is: its `Content-Type`, and its charset.

use http::HeaderMap;

/// Charsets in which ASCII means ASCII, byte for byte.
const PLAIN: &[&str] = &[
    "",
    "utf-8",
    "utf8",
    "us-ascii",
    "ascii",
    "iso-8859-1",
    "latin1",
    "windows-1252",
];

/// The types a request declares that differ: one field may hold several, and there may be several fields.
pub(super) fn declared(headers: &HeaderMap) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for field in headers.get_all(http::header::CONTENT_TYPE) {
        let field = String::from_utf8_lossy(field.as_bytes());
        let pieces: Vec<&str> = split(&field, b',').collect();
        // A comma inside a parameter that is not quoted parts nothing.
        let several = pieces.iter().all(|piece| kind(piece).contains('/'));
        let pieces = if several { pieces } else { vec![&*field] };
        for piece in pieces {
            let piece = piece.trim();
            if !types.iter().any(|known| known.eq_ignore_ascii_case(piece)) {
                types.push(piece.to_owned());
            }
        }
    }
    types
}

/// A type without its parameters, in lower case.
pub(super) fn kind(content_type: &str) -> String {
    let kind = content_type.split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// The parameters whose names begin with a word: the rest of the name, and the value.
pub(super) fn parameters<'t>(
    content_type: &'t str,
    word: &'t str,
) -> impl Iterator<Item = (String, &'t str)> {
    split(content_type, b';').skip(1).filter_map(move |piece| {
        let (name, value) = piece.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let rest = name.strip_prefix(word)?.to_owned();
        let value = value.trim();
        let quoted = value.strip_prefix('"');
        Some((
            rest,
            quoted.map_or(value, |v| v.split('"').next().unwrap_or_default()),
        ))
    })
}

/// A charset in which the bytes mean something else than they do in UTF-8, declared or evident.
pub(super) fn is_foreign(content_type: &str, text: &[u8]) -> bool {
    let is_json = kind(content_type).contains("json");
    let declared = parameters(content_type, "charset").any(|(rest, charset)| {
        let charset = charset.trim_matches(['\'', ' ']).to_ascii_lowercase();
        let is_utf8 = matches!(charset.as_str(), "" | "utf-8" | "utf8");
        // JSON is UTF-8 (RFC 8259, 8.1); what claims less of it and holds only ASCII is that, too.
        let fits = PLAIN.contains(&charset.as_str()) && (is_utf8 || !is_json || text.is_ascii());
        !rest.is_empty() || !fits
    });
    let wide = matches!(
        text,
        [0xff, 0xfe, ..]
            | [0xfe, 0xff, ..]
            | [b'{' | b'[' | b'"' | b'<', 0, ..]
            | [0, b'{' | b'[' | b'"' | b'<', ..]
            | [0, 0, 0, b'{' | b'[' | b'"' | b'<', 0, 0, 0, ..]
    );
    declared || wide
}

/// The pieces between separators that stand outside of quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |char: char| {
        let parts = !quoted && char == char::from(separator);
        quoted ^= char == '"' && !escaped;
        escaped = quoted && char == '\\' && !escaped;
        parts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(fields: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("content-type", field.parse().unwrap());
        }
        declared(&headers)
    }

    #[test]
    fn types_that_differ_are_all_named() {
        assert_eq!(types(&["text/plain", "TEXT/plain"]), ["text/plain"]);
        assert_eq!(
            types(&["text/plain", "application/json"]),
            ["text/plain", "application/json"]
        );
        assert_eq!(types(&["text/plain, a/b"]), ["text/plain", "a/b"]);
        for one in [
            "multipart/form-data; boundary=\"a, b/c\"",
            "multipart/form-data; boundary=a,b",
        ] {
            assert_eq!(types(&[one]), [one]);
        }
    }

    #[test]
    fn only_charsets_that_are_ascii_and_more_are_known() {
        for (declared, foreign) in [
            ("", false),
            ("; charset=utf-8", false),
            ("; Charset = \"UTF-8\"", false),
            ("; charset=iso-8859-1", false),
            ("; charset=UTF-16le", true),
            ("; charset = \"UTF-16\"", true),
            ("; charset='utf-7'", true),
            ("; charset=cp500", true),
            ("; charset=shift_jis", true),
            ("; charset=utf-8; charset=ibm037", true),
            ("; charset*=utf-8''utf-8", true),
            ("; header=\"charset=utf-16\"", false),
        ] {
            let kind = format!("text/plain{declared}");
            assert_eq!(is_foreign(&kind, b"x"), foreign, "{kind}");
        }
        let latin = "application/json; charset=ISO-8859-1";
        assert!(!is_foreign(latin, b"{}") && is_foreign(latin, "\"é\"".as_bytes()));
        assert!(is_foreign("text/plain", b"\xff\xfea\0") && is_foreign("", b"\0{"));
    }
}
