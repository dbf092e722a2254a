//! Splits a body into values: by its declared type and by what it looks like.

use super::Inspect;
use super::Kind;
use super::at::At;
use super::context::Context;
use super::fields::pairs;
use super::inflate::{self, Extent, InflateError};
use super::inspect::Inspector;
use super::json::{self as walker, JsonError, Leaf};
use super::predicate::Predicate;
use super::xml::xml;
use super::{media, parts, sniff};
use crate::policy::pii;

/// Cells, lines or values of XML looked at in one body.
pub(super) const CELLS_MAX: usize = 400_000;

/// Types of one body that it is looked at as.
const TYPES_MAX: usize = 4;

pub(super) fn body(inspector: &mut Inspector<'_>, request: &Inspect<'_>) {
    if request.body.is_empty() {
        return;
    }
    inspector.forwards_oversize = request.hints.on_oversize_forward;
    inspector.is_prefix = request.hints.body_is_prefix;
    let encodings = inflate::encodings(request.headers);
    let extent = if inspector.is_prefix {
        Extent::Prefix
    } else {
        Extent::Whole
    };
    let inflated = match inflate::inflate(request.body, &encodings, extent) {
        Ok(inflated) => inflated,
        Err(error) => {
            let (status, code) = match error {
                InflateError::Bomb => (413, "body-too-large"),
                InflateError::Unknown => (415, "content-encoding"),
                InflateError::Broken => (400, "body-malformed"),
            };
            inspector.unreadable(status, code);
            inspector.run.work.grant(request.body.len());
            return readable_as_text(inspector, request.body, &At::root("body"));
        }
    };
    let text = inflated.as_deref().unwrap_or(request.body);
    inspector.run.work.grant(text.len());
    let mut types = media::declared(request.headers);
    if types.len() > 1 {
        // Which of them counts is the upstream's choice: it is looked at as each.
        inspector.unreadable(415, "content-type");
    }
    types.truncate(TYPES_MAX);
    if request.hints.pii {
        let first = types.first().map(String::as_str).unwrap_or_default();
        personal(inspector, text, &media::kind(first));
    }
    if types.is_empty() {
        declared(inspector, text, "", true);
    }
    for content_type in &types {
        declared(inspector, text, content_type, true);
    }
}

/// Looks for personal data in the whole of a body, however it is split into values afterwards.
fn personal(inspector: &mut Inspector<'_>, text: &[u8], kind: &str) {
    let counts = &mut inspector.out.pii;
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => pii::find_in_json(text, counts),
        _ if kind == "application/x-www-form-urlencoded" => pii::find_in_form(text, counts),
        _ if !sniff::is_binary(kind, text) => pii::find(text, counts),
        _ => {}
    }
}

/// Bytes that could not be taken for what they are said to be: as text, where they are one.
pub(super) fn readable_as_text(inspector: &mut Inspector<'_>, bytes: &[u8], at: &At<'_>) {
    if sniff::is_text(bytes) {
        inspector.value(bytes, Context::Text, at);
    }
}

/// A body of a declared type, whose content encodings are undone. `undo` says whether one that nobody declared is, too.
fn declared(inspector: &mut Inspector<'_>, text: &[u8], content_type: &str, undo: bool) {
    let at = At::root("body");
    if media::is_foreign(content_type, text) {
        inspector.unreadable(415, "charset");
        return readable_as_text(inspector, text, &at);
    }
    if sniff::is_serialized_object(text) {
        inspector.found_at(Predicate::SerializedObject, b"", Context::Text, &at);
    }
    // A file that is compressed is a file; elsewhere some server undoes it unasked.
    let unasked = sniff::compression(text).filter(|_| undo && inspector.kind != Kind::Upload);
    if let Some(encoding) = unasked
        && let Ok(Some(inner)) = inflate::inflate(text, encoding, Extent::Prefix)
    {
        if inflate::is_at_bound(text, &inner) {
            inspector.unreadable(413, "body-too-large");
        }
        inspector.run.work.grant(inner.len());
        let kind = media::kind(content_type);
        let kept = if sniff::is_declared_text(&kind) {
            content_type
        } else {
            ""
        };
        declared(inspector, &inner, kept, false);
        if kept.is_empty() {
            return;
        }
    }
    typed(inspector, text, content_type);
}

/// A body, or a part of one, of a declared type.
fn typed(inspector: &mut Inspector<'_>, text: &[u8], content_type: &str) {
    let kind = media::kind(content_type);
    let at = At::root("$");
    if kind.starts_with("multipart/") {
        return parts::parts(inspector, text, content_type, 0);
    }
    if kind == "application/graphql" {
        return inspector.graphql_document(text, &at);
    }
    let binary = sniff::is_binary(&kind, text);
    // A text that claims to be something else is taken for what it looks like.
    let kind = if sniff::is_declared_binary(&kind) && !binary {
        ""
    } else {
        &*kind
    };
    let first = text.trim_ascii_start().first().copied().unwrap_or(0);
    let declared_json = kind == "application/json" || kind.ends_with("+json");
    if declared_json || matches!(first, b'{' | b'[') {
        match json(inspector, text, &at) {
            Ok(()) => return,
            Err(JsonError::Malformed) if binary => {}
            Err(JsonError::Malformed) if !declared_json || kind.contains("ndjson") => {
                return lines(inspector, text);
            }
            Err(_) => {
                inspector.unreadable(400, "body-malformed");
                if !inspector.refuses_undecodable {
                    readable_as_text(inspector, text, &At::root("body"));
                }
                return;
            }
        }
    }
    if binary && (first != b'<' || sniff::holds_nul(text)) {
        for run in sniff::code(text) {
            inspector.value(run, Context::Text, &At::root("body"));
        }
        return;
    }
    text_body(inspector, text, kind);
}

/// A body that is text, and no JSON.
fn text_body(inspector: &mut Inspector<'_>, text: &[u8], kind: &str) {
    let at = At::root("body");
    let marked_up = text.trim_ascii_start().starts_with(b"<");
    match kind {
        "application/x-www-form-urlencoded" => {
            pairs(inspector, text, Context::Form, &At::root("form"));
            if marked_up {
                xml(inspector, text, &at);
            }
        }
        "text/csv" | "text/tab-separated-values" => cells(inspector, text, &at),
        _ if marked_up || kind.ends_with("xml") => xml(inspector, text, &at),
        _ if kind.contains("ndjson") || kind.contains("jsonl") => lines(inspector, text),
        _ if inspector.kind == Kind::Upload => lines(inspector, text),
        _ => {
            inspector.value(text, Context::Text, &at);
            if kind.is_empty() && memchr::memchr(b'=', text).is_some() {
                pairs(inspector, text, Context::Form, &At::root("form"));
            }
        }
    }
}

/// Walks JSON; keys and strings are looked at as they come.
pub(super) fn json(
    inspector: &mut Inspector<'_>,
    text: &[u8],
    at: &At<'_>,
) -> Result<(), JsonError> {
    let graphql_batch = inspector.graphql && text.trim_ascii_start().first() == Some(&b'[');
    let mut operations = 0_usize;
    let limits = inspector.json_limits();
    let walked = walker::walk_within(text, at, limits, &mut |leaf, at| match leaf {
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
pub(super) fn lines(inspector: &mut Inspector<'_>, text: &[u8]) {
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
pub(super) fn cells(inspector: &mut Inspector<'_>, text: &[u8], root: &At<'_>) {
    let before = inspector.out.indicators.len();
    let head = text.split(|b| *b == b'\n').next().unwrap_or_default();
    cell_values(inspector, text, head, root);
    inspector.hide_since(before, head);
}

fn cell_values(inspector: &mut Inspector<'_>, text: &[u8], head: &[u8], root: &At<'_>) {
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
