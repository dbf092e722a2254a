//! The parts of a `multipart` body as values: names, file names, and each part as what it is.

use std::borrow::Cow;

use super::at::At;
use super::body::{cells, json, lines, readable_as_text};
use super::context::Context;
use super::inspect::Inspector;
use super::multipart::{self, Encoding, Part};
use super::predicate::Predicate;
use super::{media, sniff, xml};

/// Multipart bodies inside one another.
const LEVELS_MAX: u8 = 3;

/// Bytes of a file that is no text in which every run of text is looked at: there polyglots show what they are.
const BINARY_HEAD_BYTES: usize = 4_096;

/// A multipart body.
pub(super) fn parts(inspector: &mut Inspector<'_>, text: &[u8], content_type: &str, level: u8) {
    let root = At::root("part");
    let mut named = media::parameters(content_type, "boundary");
    let first = named.next();
    // Of two boundaries one server takes the first and another the last; pieces of one (RFC 2231) few put together.
    let mut malformed =
        named.next().is_some() || first.as_ref().is_some_and(|(rest, _)| !rest.is_empty());
    let first = first.map_or("", |(_, boundary)| boundary).as_bytes();
    let first = Some(first).filter(|boundary| !boundary.is_empty());
    let Some(boundary) = first.or_else(|| multipart::boundary(text)) else {
        return inspector.value(text, Context::Text, &root);
    };
    let parts = multipart::parts(text, boundary);
    malformed |= parts.malformed || parts.list.is_empty() || parts.cut && !inspector.is_prefix;
    if malformed {
        inspector.unreadable(400, "body-malformed");
    }
    for piece in parts.around {
        readable_as_text(inspector, piece, &root);
    }
    for part in &parts.list {
        look(inspector, part, &root, level);
    }
    if parts.more {
        inspector.bound(Predicate::BoundParts, &root);
    }
}

fn look(inspector: &mut Inspector<'_>, part: &Part<'_>, root: &At<'_>, level: u8) {
    let name = part.names.first().map(Cow::as_ref).unwrap_or_default();
    let at = root.name(name);
    for name in &part.names {
        inspector.key(name, &at);
        inspector.value(name, Context::Key, &at);
    }
    for name in &part.file_names {
        inspector.value(name, Context::FileName, &at);
    }
    let decoded = match part.encoding {
        Encoding::None => None,
        Encoding::Base64 => super::decode::base64(part.body),
        Encoding::QuotedPrintable => Some(multipart::unquoted(part.body)),
    };
    let body = decoded.as_deref().unwrap_or(part.body);
    let content_type = String::from_utf8_lossy(part.content_type);
    let kind = media::kind(&content_type);
    if kind.starts_with("multipart/") {
        if level < LEVELS_MAX {
            return parts(inspector, body, &content_type, level + 1);
        }
        inspector.bound(Predicate::BoundParts, &at);
    }
    let reads_as_text = match &*kind {
        "" => part.file_names.is_empty(),
        kind => sniff::is_declared_text(kind),
    };
    if reads_as_text && media::is_foreign(&content_type, body) {
        inspector.unreadable(415, "charset");
    }
    if sniff::is_serialized_object(body) {
        inspector.found_at(Predicate::SerializedObject, b"", Context::Form, &at);
    }
    part_body(inspector, body, part, &content_type, &at);
}

fn part_body(
    inspector: &mut Inspector<'_>,
    body: &[u8],
    part: &Part<'_>,
    content_type: &str,
    at: &At<'_>,
) {
    let kind = content_type.to_ascii_lowercase();
    let is_file = !part.file_names.is_empty();
    let named = |ends: &[&str]| {
        part.file_names.iter().any(|name| {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            ends.iter().any(|end| name.ends_with(end))
        })
    };
    let trimmed = body.trim_ascii_start();
    if kind.contains("csv") || named(&[".csv", ".tsv"]) {
        return cells(inspector, body, at);
    }
    let framed = matches!(trimmed.first(), Some(b'{' | b'['));
    if framed && json(inspector, body, at).is_ok() {
        return;
    }
    if kind.contains("xml") || named(&["ml"]) || trimmed.starts_with(b"<?xml") {
        return xml::xml(inspector, body, at);
    }
    if is_file && (kind.contains("json") || kind.contains("text")) {
        return lines(inspector, body);
    }
    if !is_file || sniff::is_text(body) {
        return inspector.value(body, Context::Form, at);
    }
    let (head, rest) = body
        .split_at_checked(BINARY_HEAD_BYTES)
        .unwrap_or((body, &[]));
    for run in sniff::runs(head).chain(sniff::code(rest)) {
        inspector.value(run, Context::Form, at);
    }
}
