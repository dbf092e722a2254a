//! Splits XML into texts, attribute values, comments and instructions, as leniently as any reader would.
//!
//! It is no parser: it accepts what is malformed, and puts together the text that comments, CDATA sections and
//! instructions interrupt, since a reader does. Nothing of a document is in none of its values but names.

use std::borrow::Cow;

use super::at::At;
use super::body::CELLS_MAX;
use super::context::Context;
use super::inspect::Inspector;
use super::predicate::Predicate;

/// Bytes of an XML declaration that says nothing else.
const DECLARATION_BYTES_MAX: usize = 128;

/// XML: its document type, then its values.
pub(super) fn xml(inspector: &mut Inspector<'_>, text: &[u8], at: &At<'_>) {
    let before = inspector.out.indicators.len();
    look_at_values(inspector, text, at);
    inspector.hide_since(before, text);
}

fn look_at_values(inspector: &mut Inspector<'_>, text: &[u8], at: &At<'_>) {
    if let Some(place) = super::detect::doctype(text) {
        let tail = text.get(place..).unwrap_or_default();
        inspector.found_at(Predicate::XmlDoctype, tail, Context::Xml, at);
    }
    let mut count = 0;
    let mut over = false;
    values(text, &mut |value| {
        let value = value.trim_ascii();
        if over || value.is_empty() || is_namespace(value) {
            return;
        }
        count += 1;
        over = count > CELLS_MAX;
        if over {
            inspector.bound(Predicate::BoundLeaves, at);
        } else {
            inspector.value(value, Context::Xml, at);
        }
    });
}

/// The address of a vocabulary, which is in nearly every document.
fn is_namespace(value: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_' | b'#');
    value
        .strip_prefix(b"http://www.w3.org/")
        .is_some_and(|rest| rest.iter().all(plain))
}

/// Calls for every value of a document.
pub(super) fn values<'t>(text: &'t [u8], look: &mut dyn FnMut(&[u8])) {
    let mut rest = text;
    // The text of an element so far, over what interrupts it.
    let mut run: Cow<'t, [u8]> = Cow::Borrowed(&[]);
    while let Some((before, markup, after)) = next_markup(rest) {
        append(&mut run, before);
        match markup {
            Markup::Cdata(content) => append(&mut run, content),
            Markup::Comment(content) | Markup::Instruction(content) => look(content),
            Markup::Tag(tag) => {
                look(&run);
                run = Cow::Borrowed(&[]);
                attributes(tag, look);
            }
        }
        rest = after;
    }
    append(&mut run, rest);
    look(&run);
}

fn append<'t>(run: &mut Cow<'t, [u8]>, text: &'t [u8]) {
    if run.is_empty() {
        *run = Cow::Borrowed(text);
    } else if !text.is_empty() {
        run.to_mut().extend_from_slice(text);
    }
}

enum Markup<'t> {
    Cdata(&'t [u8]),
    Comment(&'t [u8]),
    /// With its `<?`, which says what it is.
    Instruction(&'t [u8]),
    /// What stands between `<` and `>`.
    Tag(&'t [u8]),
}

/// The text before the next markup, that markup, and what follows it.
fn next_markup(text: &[u8]) -> Option<(&[u8], Markup<'_>, &[u8])> {
    // A `<` before a blank or a digit is one that nobody escaped.
    let open = memchr::memchr_iter(b'<', text).find(|at| {
        let next = text.get(at + 1);
        next.is_some_and(|b| {
            b.is_ascii_alphabetic() || matches!(b, b'!' | b'?' | b'/' | b'_' | b':' | 0x80..)
        })
    })?;
    let (before, from) = text.split_at_checked(open)?;
    let closed = |start: &[u8], end: &[u8]| {
        let inner = from.strip_prefix(start)?;
        let close = memchr::memmem::find(inner, end);
        let content = inner.get(..close.unwrap_or(inner.len()))?;
        let after = close.map_or(inner.len(), |close| close + end.len());
        Some((content, inner.get(after..)?))
    };
    let (markup, after) = if let Some((content, after)) = closed(b"<![CDATA[", b"]]>") {
        (Markup::Cdata(content), after)
    } else if let Some((content, after)) = closed(b"<!--", b"-->") {
        (Markup::Comment(content), after)
    } else if let Some((content, after)) = closed(b"<?", b"?>") {
        let whole = from.get(..content.len() + 2)?;
        // The declaration, which a byte order mark may precede.
        let declares = content.starts_with(b"xml ")
            && content.len() <= DECLARATION_BYTES_MAX
            && before.trim_ascii().len() <= 3;
        let shown = if declares { &[][..] } else { whole };
        (Markup::Instruction(shown), after)
    } else {
        let end = tag_end(from);
        let tag = from.get(1..end)?;
        (Markup::Tag(tag), from.get(end + 1..).unwrap_or_default())
    };
    Some((before, markup, after))
}

/// Where a tag ends: at the first `>` that stands in no attribute's value.
fn tag_end(tag: &[u8]) -> usize {
    let mut at = 1;
    while let Some(step) = memchr::memchr2(b'>', b'=', tag.get(at..).unwrap_or_default()) {
        at += step;
        if tag.get(at) == Some(&b'>') {
            return at;
        }
        at += 1 + value_at(tag.get(at + 1..).unwrap_or_default()).1;
    }
    tag.len()
}

/// The values of a tag's attributes.
fn attributes(tag: &[u8], look: &mut dyn FnMut(&[u8])) {
    let mut rest = tag;
    while let Some(equals) = memchr::memchr(b'=', rest) {
        let after = rest.get(equals + 1..).unwrap_or_default();
        let (value, width) = value_at(after);
        look(value);
        rest = after.get(width..).unwrap_or_default();
    }
    // Quotes of a declaration follow no `=`.
    if let Some(declaration) = tag.strip_prefix(b"!") {
        look(declaration);
    }
}

/// The attribute value that follows a `=`, and the bytes it takes up.
fn value_at(after: &[u8]) -> (&[u8], usize) {
    let blanks = after.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let text = after.get(blanks..).unwrap_or_default();
    let (value, width) = match text.split_first() {
        Some((quote @ (b'"' | b'\''), inner)) => {
            let end = memchr::memchr(*quote, inner);
            let value = inner.get(..end.unwrap_or(inner.len())).unwrap_or_default();
            (value, end.map_or(text.len(), |end| end + 2))
        }
        _ => {
            let is_end = |b: &u8| b.is_ascii_whitespace() || *b == b'>';
            let end = text.iter().position(is_end).unwrap_or(text.len());
            (text.get(..end).unwrap_or_default(), end)
        }
    };
    (value, blanks + width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        values(text.as_bytes(), &mut |value| {
            if !value.trim_ascii().is_empty() {
                out.push(String::from_utf8_lossy(value.trim_ascii()).into_owned());
            }
        });
        out
    }

    #[test]
    fn every_place_of_a_document_is_a_value() {
        for (text, expected) in [
            ("<a>x<b/>y</a>z", &["x", "y", "z"][..]),
            (
                "<a b=\"1\" c='2>\"3' d = \"it's\" e=4>5</a>",
                &["1", "2>\"3", "it's", "4", "5"],
            ),
            ("<a>x<![CDATA[<y> & z]]></a>", &["x<y> & z"]),
            (
                "<a>UN<!-- c -->ION<?p i?> SELECT</a>",
                &["c", "<?p i", "UNION SELECT"],
            ),
            ("<?xml version='1.0'?><?php x ?><a/>", &["<?php x"]),
            ("a < b, 1<2, <a>c</a>", &["a < b, 1<2,", "c"]),
            ("<a b=\"x>y", &["x>y"]),
            ("<![CDATA[x", &["x"]),
            ("<!-- x", &["x"]),
            ("<!ENTITY x 'y>z'>", &["ENTITY x 'y", "z'>"]),
        ] {
            assert_eq!(seen(text), expected, "{text}");
        }
    }

    #[test]
    fn only_the_address_of_a_vocabulary_is_one() {
        assert!(is_namespace(b"http://www.w3.org/2001/XMLSchema-instance"));
        assert!(!is_namespace(b"http://www.w3.org/' UNION SELECT 1"));
    }

    proptest! {
        #[test]
        fn any_text_is_walked_and_nothing_is_hidden(text in "[<>?!='\" a\\[\\]CDATA/-]{0,60}") {
            super::super::properties::xml(text.as_bytes());
        }
    }
}
