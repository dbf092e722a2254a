//! What holds of the engine's parsers for any bytes: the fuzz targets and the property tests assert these.
//!
//! Each panics where its parser breaks its promise. They exist in tests and under fuzzing only.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a property fails by panicking, and only where something is tested"
)]

use super::at::At;
use super::decode::{base64, undo};
use super::json::{self, JsonError, Leaf};
use super::multipart;

/// Decoding ends, grows nothing beyond its bound, and leaves nothing to decode unless it says so.
pub fn decoding(raw: &[u8]) {
    let once = undo(raw, false);
    assert!(once.text.len() <= raw.len() * 3, "{} grew", raw.len());
    if !once.unsettled {
        let again = undo(&once.text, false);
        assert_eq!(again.text, once.text, "not a fixed point: {raw:?}");
    }
    if let Some(text) = base64(raw) {
        assert!(text.len() <= raw.len(), "base64 grew");
    }
    // Encoding a text hides nothing of it. A NUL within a spelled-out dot is gone a round later, and the dot with it.
    let escapes = |b: &u8| matches!(b, 0 | b'%' | b'\\' | b'&' | b'+') || *b >= 0x80;
    if raw.len() < 256 && !raw.iter().any(escapes) {
        let encoded: String = raw.iter().map(|b| format!("%{b:02x}")).collect();
        assert_eq!(undo(encoded.as_bytes(), false).text, once.text, "{raw:?}");
    }
}

/// The walker accepts only what a strict reader accepts, and sees every string that reader sees.
pub fn json(text: &[u8]) {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    let walked = json::walk(text, &At::root("$"), &mut |leaf, _| {
        let (Leaf::Key(bytes) | Leaf::Text(bytes)) = leaf;
        seen.push(bytes.to_vec());
    });
    let bare = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let read = serde_json::from_slice::<serde_json::Value>(bare);
    match (walked, read) {
        (Ok(()), Ok(value)) => {
            let mut expected = Vec::new();
            strings(&value, &mut expected);
            expected.sort();
            seen.sort();
            assert_eq!(seen, expected, "{:?}", String::from_utf8_lossy(text));
        }
        (Ok(()), Err(error)) => {
            let cause = error.to_string();
            let known = ["out of range", "surrogate", "escape", "code point"];
            assert!(known.iter().any(|k| cause.contains(k)), "{cause}: {text:?}");
        }
        (Err(JsonError::Malformed), Ok(value)) => panic!("refused: {value}"),
        (Err(_), _) => {}
    }
}

fn strings(value: &serde_json::Value, out: &mut Vec<Vec<u8>>) {
    match value {
        serde_json::Value::String(text) => out.push(text.clone().into_bytes()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        serde_json::Value::Object(fields) => {
            for (key, item) in fields {
                out.push(key.clone().into_bytes());
                strings(item, out);
            }
        }
        _ => {}
    }
}

/// Parts are pieces of the body, in order and without overlap, and no more than their bound.
pub fn parts(body: &[u8]) {
    let Some(boundary) = multipart::boundary(body) else {
        return;
    };
    let multipart::Parts { list: parts, .. } = multipart::parts(body, boundary);
    assert!(parts.len() <= multipart::PARTS_MAX, "too many parts");
    let mut end = 0;
    for part in &parts {
        for piece in [part.content_type, part.body] {
            assert!(place(body, piece).is_some(), "a piece from elsewhere");
        }
        for name in part.names.iter().chain(&part.file_names) {
            let most = multipart::NAMES_MAX * body.len();
            assert!(name.len() <= most, "a name of more than its pieces");
        }
        if !part.body.is_empty() {
            let from = place(body, part.body).unwrap_or_default();
            assert!(from >= end, "parts overlap");
            end = from + part.body.len();
        }
    }
    // A body built anew from its parts' bodies has the same bodies.
    if let Some(part) = parts
        .first()
        .filter(|p| p.body.len() < 4_096 && !holds(p.body, b"--zz"))
    {
        let rebuilt = [
            &b"--zz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"[..],
            part.body,
            b"\r\n--zz--\r\n",
        ]
        .concat();
        let again = multipart::parts(&rebuilt, b"zz");
        assert_eq!(again.list[0].body, part.body, "a body changed");
    }
}

/// Whatever stands in a document is seen, and not more often than twice.
pub fn xml(text: &[u8]) {
    let mut seen = 0;
    super::xml::values(text, &mut |value| seen += value.len());
    assert!(seen <= 2 * text.len(), "seen too often: {text:?}");
    let plain = |b: &u8| !matches!(b, b'<' | b'>' | b'=');
    if text.iter().all(plain) {
        assert_eq!(seen, text.len(), "not seen: {text:?}");
    }
    // A word that an element holds is seen, whatever stands before it closed.
    let word = b"zqzqzq";
    let document = [text, b"-->]]>?>'\">\">'><a>", word, b"</a>"].concat();
    let mut found = false;
    super::xml::values(&document, &mut |value| found |= holds(value, word));
    assert!(found, "hidden: {text:?}");
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

/// Where a piece lies within a whole; an empty one lies anywhere.
fn place(whole: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    let from = (piece.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    (from + piece.len() <= whole.len()).then_some(from)
}
