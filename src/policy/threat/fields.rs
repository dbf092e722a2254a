//! Splits path, query string and headers into values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use http::HeaderMap;

use super::Inspect;
use super::at::At;
use super::context::Context;
use super::inspect::Inspector;
use super::predicate::Predicate;
use super::sniff;

/// Pairs of one query string, form or field of cookies; more are a finding.
pub(super) const PAIRS_MAX: usize = 10_000;

/// Names that are compared one by one; later ones go into a map.
const COMPARED_MAX: usize = 32;

/// Segments from which on a path is tried as one value.
const TAILS_MAX: usize = 8;

/// Bytes of a path that may be one value.
const TAIL_BYTES_MIN: usize = 16;

/// Headers whose values no upstream interprets beyond HTTP, or that are secrets.
const SKIPPED: &[&str] = &[
    "host",
    "content-length",
    "authorization",
    "x-api-key",
    "connection",
    "traceparent",
    "tracestate",
    "if-none-match",
    "x-rg-verification",
    "sec-websocket-key",
];

/// Headers of which a client sends the same value with every request, and that are no secret.
const REPEATED: &[(&str, u8)] = &[
    ("user-agent", 0),
    ("accept", 1),
    ("accept-encoding", 2),
    ("accept-language", 3),
    ("content-type", 4),
    ("cache-control", 5),
    ("origin", 6),
    ("pragma", 7),
];

/// Beside the headers, what clients repeat.
const PATH: u8 = 8;
const QUERY: u8 = 9;

pub(super) fn path(inspector: &mut Inspector<'_>, request: &Inspect<'_>) {
    let at = At::root("path");
    let raw = if request.raw_path.is_empty() {
        request.path
    } else {
        request.raw_path
    };
    inspector.repeated(PATH, raw.as_bytes(), |inspector| {
        inspector.path(raw.as_bytes(), &at);
        let segments = request.path.split('/').filter(|s| !s.is_empty());
        for (index, segment) in segments.enumerate() {
            inspector.value(segment.as_bytes(), Context::Segment, &at.index(index));
        }
        for (index, tail) in tails(request.path) {
            if let Some(text) = super::decode::base64(tail.as_bytes()) {
                inspector.value(&text, Context::Segment, &at.index(index));
            }
        }
    });
}

/// The path from each of its first segments on: base64 has slashes, too, and they are no separators.
fn tails(path: &str) -> impl Iterator<Item = (usize, &str)> {
    let starts = memchr::memchr_iter(b'/', path.as_bytes()).take(TAILS_MAX);
    let tails = starts
        .enumerate()
        .filter_map(|(index, at)| Some((index, path.get(at + 1..)?)));
    tails.filter(|(_, tail)| tail.len() >= TAIL_BYTES_MIN && tail.contains('/'))
}

pub(super) fn query(inspector: &mut Inspector<'_>, query: Option<&str>) {
    let Some(query) = query.filter(|q| !q.is_empty()) else {
        return;
    };
    inspector.repeated(QUERY, query.as_bytes(), |inspector| {
        let at = At::root("query");
        pairs(inspector, query.as_bytes(), Context::Query, &at);
    });
}

/// `a=b&c=d`: each name, each value, and the values of a repeated name joined, as some servers do.
pub(super) fn pairs(inspector: &mut Inspector<'_>, text: &[u8], context: Context, at: &At<'_>) {
    let mut names = Names::default();
    let pairs = text.split(|b| *b == b'&').filter(|p| !p.is_empty());
    for (index, pair) in pairs.enumerate() {
        if index >= PAIRS_MAX {
            inspector.bound(Predicate::BoundPairs, at);
            break;
        }
        let split = memchr::memchr(b'=', pair);
        let name = pair.get(..split.unwrap_or(pair.len())).unwrap_or_default();
        let value = split.and_then(|i| pair.get(i + 1..)).unwrap_or_default();
        let here = at.name(name);
        form_value(inspector, value, context, &here);
        if split.is_none() {
            form_value(inspector, name, context, at);
        } else {
            inspector.key(name, &here);
            if is_cut(name) {
                form_value(inspector, pair, context, at);
            }
        }
        names.add(name, value);
    }
    for (name, joined) in names.joined {
        form_value(inspector, &joined, context, &at.name(name));
    }
}

/// Whether a name is the head of a text that its first `=` cut: no name has quotes, tags or blanks.
fn is_cut(name: &[u8]) -> bool {
    let marks = |text: &[u8]| {
        text.iter().any(|b| {
            matches!(
                b,
                b'\'' | b'"' | b'<' | b'(' | b';' | b'|' | b'`' | b'{' | b' '
            )
        })
    };
    marks(name) || memchr::memchr2(b'%', b'+', name).is_some() && marks(&form_decoded(name))
}

/// The names of one query string or form, and the values of those that stand there more than once.
#[derive(Default)]
struct Names<'t> {
    few: [(&'t [u8], First<'t>); COMPARED_MAX],
    count: usize,
    many: HashMap<&'t [u8], First<'t>>,
    joined: Vec<(&'t [u8], Vec<u8>)>,
}

/// A name's first value, and where its values are joined once there are more.
#[derive(Clone, Copy, Default)]
struct First<'t> {
    value: &'t [u8],
    joined: Option<usize>,
}

impl<'t> Names<'t> {
    fn add(&mut self, name: &'t [u8], value: &'t [u8]) {
        let new = First {
            value,
            joined: None,
        };
        let few = self.few.get_mut(..self.count).unwrap_or_default();
        let known = match few.iter_mut().find(|(n, _)| *n == name) {
            Some((_, first)) => first,
            None if self.count < COMPARED_MAX => {
                if let Some(free) = self.few.get_mut(self.count) {
                    *free = (name, new);
                    self.count += 1;
                }
                return;
            }
            None => match self.many.entry(name) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => {
                    free.insert(new);
                    return;
                }
            },
        };
        if let Some((_, joined)) = known.joined.and_then(|at| self.joined.get_mut(at)) {
            joined.extend_from_slice(value);
            return;
        }
        known.joined = Some(self.joined.len());
        self.joined.push((name, [known.value, value].concat()));
    }
}

/// A value in which `+` is a blank, unless it is base64.
fn form_value(inspector: &mut Inspector<'_>, raw: &[u8], context: Context, at: &At<'_>) {
    let decoded = form_decoded(raw);
    if sniff::is_serialized_object(&decoded) {
        inspector.found_at(Predicate::SerializedObject, b"", context, at);
    }
    inspector.value(&decoded, context, at);
}

/// A value of a query string or form as every server reads it.
pub(super) fn form_decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'+', b'%', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let spaced: Vec<u8> = raw
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    if !raw.contains(&b'%') && super::decode::base64(raw).is_some() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(percent_once(&spaced))
}

/// The one decoding every server makes; what remains is disguise.
fn percent_once(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        let digits = raw
            .get(at + 1..at + 3)
            .filter(|d| byte == b'%' && d.iter().all(u8::is_ascii_hexdigit));
        let code = digits
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 16).ok());
        out.push(code.unwrap_or(byte));
        at += if code.is_some() { 3 } else { 1 };
    }
    out
}

pub(super) fn headers(inspector: &mut Inspector<'_>, headers: &HeaderMap) {
    let root = At::root("header");
    for (name, value) in headers {
        let name = name.as_str();
        let at = root.name(name.as_bytes());
        // What is not looked at is still logged by some upstream.
        if SKIPPED.contains(&name) && memchr::memmem::find(value.as_bytes(), b"${").is_none() {
            continue;
        }
        if let Some(&(_, slot)) = REPEATED.iter().find(|(known, _)| *known == name) {
            let agent = name == "user-agent";
            let context = if agent {
                Context::UserAgent
            } else {
                Context::Header
            };
            inspector.repeated(slot, value.as_bytes(), |inspector| {
                inspector.value(value.as_bytes(), context, &at);
            });
            continue;
        }
        inspector.header_name(name.as_bytes(), &at);
        match name {
            "cookie" => cookies(inspector, value.as_bytes()),
            "referer" => referer(inspector, value.as_bytes(), &at),
            _ => inspector.value(value.as_bytes(), Context::Header, &at),
        }
    }
}

fn cookies(inspector: &mut Inspector<'_>, value: &[u8]) {
    let root = At::root("cookie");
    for (index, pair) in value.split(|b| *b == b';').enumerate() {
        if index >= PAIRS_MAX {
            inspector.bound(Predicate::BoundPairs, &root);
            break;
        }
        let pair = pair.trim_ascii();
        let split = memchr::memchr(b'=', pair);
        let name = pair.get(..split.unwrap_or(0)).unwrap_or_default();
        let at = root.name(name);
        form_value(
            inspector,
            pair.get(split.map_or(0, |i| i + 1)..).unwrap_or_default(),
            Context::Cookie,
            &at,
        );
        inspector.key(name, &at);
    }
    // A value may itself hold `;`, which splitting would hide.
    if value.len() > 24 && value.iter().any(|b| matches!(b, b'<' | b'(' | b'`')) {
        inspector.value(value, Context::Cookie, &root);
    }
}

/// An address with its own query string. A search at another site quotes anything, and is no attack on us.
fn referer(inspector: &mut Inspector<'_>, value: &[u8], at: &At<'_>) {
    let split = memchr::memchr(b'?', value);
    inspector.value(
        value
            .get(..split.unwrap_or(value.len()))
            .unwrap_or_default(),
        Context::Header,
        at,
    );
    if let Some(query) = split.and_then(|i| value.get(i + 1..)) {
        pairs(inspector, query, Context::Query, at);
        if query
            .iter()
            .any(|b| matches!(b, b'\'' | b'"' | b'<' | b'(' | b';'))
        {
            inspector.value(query, Context::Query, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{engine, rule};
    use super::super::{Hints, Inspect, Inspection, Verdict};
    use super::*;

    fn inspect(path: &str, query: &str) -> Inspection {
        let rules = rule(
            "  contexts: [all]\n  match: {contains: [purple], predicate: [bound.pairs]}\n  mitigations: [block_request]",
        );
        engine(&rules).unwrap().inspect(&Inspect {
            method: "GET",
            path,
            raw_path: path,
            query: Some(query),
            headers: &HeaderMap::new(),
            body: b"",
            hints: Hints::default(),
        })
    }

    #[test]
    fn pairs_beyond_their_bound_are_a_finding() {
        let pairs = "a=1&".repeat(PAIRS_MAX);
        assert_eq!(inspect("/a", &pairs).verdict, Verdict::Pass);
        let seen = inspect("/a", &format!("{pairs}z=1"));
        assert_eq!(seen.verdict, Verdict::Block);
        assert_eq!(seen.bounds.len(), 1);
    }

    #[test]
    fn the_last_of_many_names_is_joined_and_the_last_of_many_segments_seen() {
        let names: String = (0..500).map(|n| format!("n{n}=1&n{n}=2&")).collect();
        let seen = inspect("/a", &format!("{names}z=the+pur&z=ple+one"));
        assert_eq!(seen.verdict, Verdict::Block);
        let long = format!("a=the+pur&{}a=ple+one", "a=x&".repeat(9_000));
        assert_eq!(inspect("/a", &long).verdict, Verdict::Pass);
        let padded = format!("a={}&a=the+pur&a=ple+one", "x".repeat(9_000));
        assert_eq!(inspect("/a", &padded).verdict, Verdict::Block);
        let path = "/a".repeat(3_000) + "/the-purple-one";
        assert_eq!(inspect(&path, "").verdict, Verdict::Block);
    }
}
