//! Splits a body into values: by its declared type and by what it looks like.

use http::HeaderMap;

use super::Inspect;
use super::Kind;
use super::at::At;
use super::context::Context;
use super::fields::pairs;
use super::inflate::{InflateError, inflate};
use super::inspect::Inspector;
use super::json::{self as walker, JsonError, Leaf};
use super::multipart;
use super::predicate::Predicate;
use crate::policy::pii;

/// Cells or lines looked at in one upload.
const CELLS_MAX: usize = 400_000;

pub(super) fn body(inspector: &mut Inspector<'_>, request: &Inspect<'_>) {
    if request.body.is_empty() {
        return;
    }
    let header = |name: &str| header(request.headers, name);
    let encodings = header("content-encoding").unwrap_or_default();
    let inflated = match inflate(request.body, encodings) {
        Ok(inflated) => inflated,
        Err(InflateError::Bomb) => return inspector.unreadable(413, "body-too-large"),
        Err(InflateError::Unknown) => return inspector.unreadable(415, "content-encoding"),
        Err(InflateError::Broken) => return inspector.unreadable(400, "body-malformed"),
    };
    let text = inflated.as_deref().unwrap_or(request.body);
    let content_type = header("content-type").unwrap_or_default();
    if foreign_charset(content_type, text) {
        return inspector.unreadable(415, "charset");
    }
    if request.hints.pii {
        personal(inspector, text, content_type);
    }
    typed(inspector, text, content_type);
}

/// Looks for personal data in the whole of a body, however it is split into values afterwards.
fn personal(inspector: &mut Inspector<'_>, text: &[u8], content_type: &str) {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    let counts = &mut inspector.out.pii;
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => pii::find_in_json(text, counts),
        _ if kind == "application/x-www-form-urlencoded" => pii::find_in_form(text, counts),
        _ if !is_binary(&kind, text) => pii::find(text, counts),
        _ => {}
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// A charset in which the bytes mean something else than they do in UTF-8, declared or evident.
fn foreign_charset(content_type: &str, text: &[u8]) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let declared = lower
        .split("charset=")
        .nth(1)
        .map(|c| c.trim_matches(['"', ' ']));
    let foreign = declared.is_some_and(|c| {
        [
            "utf-16", "utf16", "utf-32", "utf32", "utf-7", "utf7", "ucs-2", "ibm", "cp037",
            "ebcdic",
        ]
        .iter()
        .any(|f| c.starts_with(f))
    });
    let wide = matches!(
        text,
        [0xff, 0xfe, ..]
            | [0xfe, 0xff, ..]
            | [b'{' | b'[' | b'"' | b'<', 0, ..]
            | [0, b'{' | b'[' | b'"' | b'<', ..]
    );
    foreign || wide
}

/// A body, or a part of one, of a declared type.
fn typed(inspector: &mut Inspector<'_>, text: &[u8], content_type: &str) {
    let lower = content_type.to_ascii_lowercase();
    let kind = lower.split(';').next().unwrap_or_default().trim();
    let at = At::root("$");
    if kind == "multipart/form-data" || kind == "multipart/mixed" {
        return parts(inspector, text, content_type);
    }
    if kind == "application/graphql" {
        return inspector.graphql_document(text, &at);
    }
    let first = text.trim_ascii_start().first().copied().unwrap_or(0);
    let declared_json = kind == "application/json" || kind.ends_with("+json");
    let binary = is_binary(kind, text);
    if declared_json || matches!(first, b'{' | b'[') {
        return match json(inspector, text, &at) {
            Ok(()) => {}
            Err(JsonError::Malformed) if binary => {}
            Err(JsonError::Malformed) if !declared_json || kind.contains("ndjson") => {
                lines(inspector, text)
            }
            Err(_) => inspector.unreadable(400, "body-malformed"),
        };
    }
    if binary && (first != b'<' || holds_nul(text)) {
        return;
    }
    match kind {
        "application/x-www-form-urlencoded" => {
            pairs(inspector, text, Context::Form, &At::root("form"));
            if text.trim_ascii_start().starts_with(b"<") {
                xml(inspector, text, &At::root("body"));
            }
        }
        "text/csv" | "text/tab-separated-values" => cells(inspector, text, &At::root("body")),
        _ if first == b'<' || kind.ends_with("xml") => xml(inspector, text, &At::root("body")),
        _ if kind.contains("ndjson") || kind.contains("jsonl") => lines(inspector, text),
        _ if inspector.kind == Kind::Upload => lines(inspector, text),
        _ => {
            let at = At::root("body");
            inspector.value(text, Context::Text, &at);
            if kind.is_empty() && memchr::memchr(b'=', text).is_some() {
                pairs(inspector, text, Context::Form, &At::root("form"));
            }
        }
    }
}

/// Bytes of a body in which a NUL tells that it is no text.
const HEAD_BYTES: usize = 1_024;

fn holds_nul(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(HEAD_BYTES)).unwrap_or_default();
    memchr::memchr(0, head).is_some()
}

/// Whether a body is no text: its type says so, or its bytes do where no type says that it is text.
///
/// Rules are about text, and in random bytes they find what nobody wrote. JSON and XML are looked at whatever
/// their type, since an upstream may read them whatever their type.
fn is_binary(kind: &str, text: &[u8]) -> bool {
    let (family, name) = kind.split_once('/').unwrap_or((kind, ""));
    let says_binary = match family {
        "image" => name != "svg+xml",
        "audio" | "video" | "font" => true,
        "application" => BINARY.contains(&name),
        _ => false,
    };
    let says_text = || {
        let words = [
            "json",
            "xml",
            "urlencoded",
            "yaml",
            "javascript",
            "sql",
            "cypher",
        ];
        family == "text" || words.iter().any(|word| name.contains(word))
    };
    says_binary || holds_nul(text) && !says_text()
}

/// Names of binary types below `application/`.
const BINARY: &[&str] = &[
    "octet-stream",
    "zip",
    "gzip",
    "x-gzip",
    "x-tar",
    "x-bzip2",
    "x-7z-compressed",
    "zstd",
    "pdf",
    "protobuf",
    "x-protobuf",
    "grpc",
    "msgpack",
    "x-msgpack",
    "cbor",
    "avro",
    "vnd.apache.parquet",
    "vnd.apache.arrow.stream",
    "vnd.apache.arrow.file",
    "wasm",
];

/// Walks JSON; keys and strings are looked at as they come.
pub(super) fn json(
    inspector: &mut Inspector<'_>,
    text: &[u8],
    at: &At<'_>,
) -> Result<(), JsonError> {
    let graphql_batch = inspector.graphql && text.trim_ascii_start().first() == Some(&b'[');
    let mut operations = 0_usize;
    let walked = walker::walk(text, at, &mut |leaf, at| match leaf {
        Leaf::Key(key) => {
            operations += usize::from(graphql_batch && key == b"query");
            inspector.key(key, at);
        }
        Leaf::Text(text) => inspector.value(text, Context::Json, at),
    });
    if operations > super::detect::GRAPHQL_BATCH_MAX {
        inspector.found_at(Predicate::GraphqlBatch, b"", Context::Graphql, at);
    }
    match walked {
        Err(JsonError::Depth) => inspector.bound(Predicate::BoundDepth, at),
        Err(JsonError::Keys) => inspector.bound(Predicate::BoundKeys, at),
        Err(JsonError::DuplicateKey) => inspector.bound(Predicate::DuplicateKey, at),
        _ => {}
    }
    walked
}

/// JSON documents line by line, else text line by line.
fn lines(inspector: &mut Inspector<'_>, text: &[u8]) {
    let root = At::root("body");
    for (index, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        let at = root.index(index);
        if index >= CELLS_MAX {
            return inspector.bound(Predicate::BoundLeaves, &at);
        }
        let framed = matches!(line.first(), Some(b'{' | b'['));
        if line.is_empty() || framed && json(inspector, line, &at).is_ok() {
            continue;
        }
        inspector.value(line, Context::Cell, &at);
    }
}

/// Comma, semicolon or tab separated cells; quotes may hold separators and line ends.
fn cells(inspector: &mut Inspector<'_>, text: &[u8], root: &At<'_>) {
    let head = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let count = |byte: u8| head.iter().filter(|b| **b == byte).count();
    let separator = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|s| count(*s))
        .unwrap_or(b',');
    let mut rest = text;
    let (mut row, mut cells) = (0_usize, 0_usize);
    while !rest.is_empty() {
        let Some((cell, width)) = cell(rest, separator) else {
            // From a quote that nothing closes on, lines are looked at whole: no reading of the rest as cells is
            // sure, and a cell must not swallow the file.
            return lines(inspector, rest);
        };
        cells += 1;
        let at = root.index(row);
        if cells > CELLS_MAX {
            return inspector.bound(Predicate::BoundLeaves, &at);
        }
        inspector.value(cell, Context::Cell, &at);
        row += usize::from(rest.get(width) == Some(&b'\n'));
        rest = rest.get(width + 1..).unwrap_or_default();
    }
}

/// One cell without its quotes, and the position of what ends it; `None` when its quote is never closed.
fn cell(rest: &[u8], separator: u8) -> Option<(&[u8], usize)> {
    let quoted = rest.first() == Some(&b'"');
    if !quoted {
        let end = memchr::memchr2(separator, b'\n', rest).unwrap_or(rest.len());
        let cell = rest.get(..end).unwrap_or_default().trim_ascii();
        return Some((unquote(cell), end));
    }
    let mut inside = true;
    for (index, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            b'"' => inside = !inside,
            b if !inside && (*b == separator || *b == b'\n') => {
                let cell = rest.get(..index).unwrap_or_default().trim_ascii();
                return Some((unquote(cell), index));
            }
            _ => {}
        }
    }
    (!inside).then(|| (unquote(rest.trim_ascii()), rest.len()))
}

fn unquote(cell: &[u8]) -> &[u8] {
    cell.strip_prefix(b"\"")
        .and_then(|c| c.strip_suffix(b"\""))
        .unwrap_or(cell)
}

/// XML: its document type, then its texts and attribute values.
pub(super) fn xml(inspector: &mut Inspector<'_>, text: &[u8], at: &At<'_>) {
    if let Some(place) = super::detect::doctype(text) {
        let tail = text.get(place..).unwrap_or_default();
        inspector.found_at(Predicate::XmlDoctype, tail, Context::Xml, at);
    }
    let mut rest = text;
    let mut values = 0_usize;
    while let Some(open) = memchr::memchr(b'<', rest) {
        let content = rest.get(..open).unwrap_or_default().trim_ascii();
        let tag = rest.get(open..).unwrap_or_default();
        let end = memchr::memchr(b'>', tag).map_or(tag.len(), |i| i + 1);
        let (tag, after) = (
            tag.get(..end).unwrap_or_default(),
            rest.get(open + end..).unwrap_or_default(),
        );
        if !content.is_empty() {
            inspector.value(content, Context::Xml, at);
        }
        for value in attribute_values(tag) {
            inspector.value(value, Context::Xml, at);
        }
        values += 1;
        if values > CELLS_MAX {
            return inspector.bound(Predicate::BoundLeaves, at);
        }
        rest = after;
    }
    inspector.value(rest.trim_ascii(), Context::Xml, at);
}

fn attribute_values(tag: &[u8]) -> impl Iterator<Item = &[u8]> {
    let quote = if tag.contains(&b'"') { b'"' } else { b'\'' };
    tag.split(move |b| *b == quote)
        .skip(1)
        .step_by(2)
        .filter(|v| !v.starts_with(b"http://www.w3.org/"))
}

fn parts(inspector: &mut Inspector<'_>, text: &[u8], content_type: &str) {
    let root = At::root("part");
    let Some(boundary) = multipart::boundary(content_type, text) else {
        return inspector.value(text, Context::Text, &root);
    };
    let (parts, more) = multipart::parts(text, boundary);
    if parts.is_empty() {
        return inspector.unreadable(400, "body-malformed");
    }
    for part in &parts {
        let at = root.name(part.name);
        inspector.key(part.name, &at);
        inspector.value(part.name, Context::Key, &at);
        if let Some(name) = part.file_name {
            inspector.value(name, Context::FileName, &at);
        }
        let decoded = if part.base64 {
            super::decode::base64(part.body)
        } else {
            None
        };
        let body = decoded.as_deref().unwrap_or(part.body);
        part_body(inspector, body, part, &at);
    }
    if more {
        inspector.bound(Predicate::BoundParts, &root);
    }
}

fn part_body(inspector: &mut Inspector<'_>, body: &[u8], part: &multipart::Part<'_>, at: &At<'_>) {
    let kind = String::from_utf8_lossy(part.content_type).to_ascii_lowercase();
    let name = String::from_utf8_lossy(part.file_name.unwrap_or_default()).to_ascii_lowercase();
    let first = body.trim_ascii_start().first().copied().unwrap_or(0);
    if kind.contains("csv") || name.ends_with(".csv") || name.ends_with(".tsv") {
        return cells(inspector, body, at);
    }
    if matches!(first, b'{' | b'[') && json(inspector, body, at).is_ok() {
        return;
    }
    if kind.contains("xml") || name.ends_with("ml") || body.trim_ascii_start().starts_with(b"<?xml")
    {
        return xml(inspector, body, at);
    }
    if part.file_name.is_some() && (kind.contains("json") || kind.contains("text")) {
        return lines(inspector, body);
    }
    let binary = part.file_name.is_some() && std::str::from_utf8(body).is_err();
    let seen = if binary {
        body.get(..body.len().min(4_096)).unwrap_or_default()
    } else {
        body
    };
    inspector.value(seen, Context::Form, at);
}
