//! Markup that runs: tags and attributes that execute, told from those that only show.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::memmem;

use super::html_idle::is_idle;
use crate::policy::threat::bytes::{self, class_of};
use crate::policy::threat::predicate::{Found, Predicate};
use crate::policy::words::Words;

/// Tags looked at in one value; a value with more is a finding by itself.
const TAGS_MAX: usize = 4_000;

/// Steps of looking at one tag, and for each byte of it.
const TAG_STEPS: usize = 60;
const TAG_BYTE_STEPS: usize = 6;

/// Steps of looking at a tag's attributes.
const ATTRIBUTES_STEPS: usize = 200;

/// Bytes of one tag.
const TAG_BYTES_MAX: usize = 1_024;

/// Tags that run or load something by themselves.
static ACTIVE: Words<(), 128> = Words::new(&[(
    &[
        "iframe",
        "object",
        "embed",
        "applet",
        "meta",
        "base",
        "link",
        "svg",
        "math",
        "frame",
        "frameset",
        "isindex",
        "bgsound",
        "layer",
        "ilayer",
        "xml",
        "xss",
        "style",
        "animate",
        "animatetransform",
        "animatemotion",
        "set",
        "foreignobject",
        "import",
        "event-source",
        "portal",
        "handler",
        "noembed",
        "plaintext",
        "comment",
        "vmlframe",
        "scriptlet",
        "fencedframe",
        "param",
        "html:script",
    ],
    (),
)]);

/// What the names of events start with.
const EVENT_STEMS: &[&str] = &[
    "click",
    "mouse",
    "load",
    "error",
    "focus",
    "blur",
    "key",
    "pointer",
    "touch",
    "animation",
    "toggle",
    "scroll",
    "drag",
    "drop",
    "change",
    "input",
    "submit",
    "begin",
    "end",
    "wheel",
    "copy",
    "cut",
    "paste",
    "resize",
    "hash",
    "message",
    "storage",
    "page",
    "transition",
    "finish",
    "start",
    "select",
    "invalid",
    "search",
    "aux",
    "context",
    "dblclick",
    "canplay",
    "play",
    "pop",
    "reset",
    "ready",
    "activate",
    "before",
    "after",
    "bounce",
    "cell",
    "control",
    "data",
    "filter",
    "help",
    "lose",
    "move",
    "propertychange",
    "repeat",
    "row",
    "seek",
    "stop",
    "time",
    "track",
    "unload",
    "volume",
    "show",
    "cancel",
    "close",
    "abort",
    "ended",
    "pause",
    "rate",
];

pub(super) fn find(text: &[u8], found: &mut Found) {
    let mut at = 0;
    for _ in 0..TAGS_MAX {
        let Some(open) = text.get(at..).and_then(|rest| memchr::memchr(b'<', rest)) else {
            return;
        };
        let start = at + open;
        let rest = text.get(start + 1..).unwrap_or_default();
        let tag = tag(rest);
        found.work.spend(TAG_STEPS + TAG_BYTE_STEPS * tag.len());
        if found.work.is_spent() {
            return;
        }
        let content = rest.get(tag.len()..).unwrap_or_default();
        let before = start.checked_sub(1).and_then(|i| text.get(i)).copied();
        judge(tag, content, before, start, found);
        at = start + 1;
    }
    found.note(Predicate::BoundLeaves, at);
}

/// The tag after `<`, up to its `>` outside quotes; to the first `>` when quotes are not paired.
fn tag(rest: &[u8]) -> &[u8] {
    let rest = rest
        .get(..rest.len().min(TAG_BYTES_MAX))
        .unwrap_or_default();
    let mut quote = 0_u8;
    let marks = rest.iter().enumerate();
    for (at, byte) in marks.filter(|(_, b)| class_of(**b) & (bytes::STRING | bytes::ANGLE) != 0) {
        match byte {
            b'"' | b'\''
                if quote == 0
                    && at > 0
                    && rest
                        .get(..at)
                        .unwrap_or_default()
                        .trim_ascii_end()
                        .ends_with(b"=") =>
            {
                quote = *byte
            }
            b if *b == quote => quote = 0,
            b'>' | b'<' if quote == 0 => return rest.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    if quote == 0 {
        rest
    } else {
        rest.get(..memchr::memchr(b'>', rest).unwrap_or(rest.len()))
            .unwrap_or_default()
    }
}

/// Elements that are types of programs as well: `List<Object>`.
const TYPES_TOO: [&[u8]; 10] = [
    b"object", b"set", b"comment", b"link", b"base", b"frame", b"layer", b"handler", b"param",
    b"meta",
];

fn judge(tag: &[u8], content: &[u8], before: Option<u8>, at: usize, found: &mut Found) {
    let is_type = before.is_some_and(|b| b.is_ascii_alphanumeric()) && content.starts_with(b">");
    let body = tag.strip_prefix(b"/").unwrap_or(tag);
    let body = body.trim_ascii_start();
    let width = body
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'_'))
        .count();
    let name = body.get(..width).unwrap_or_default().to_ascii_lowercase();
    if body.starts_with(b"?xml-stylesheet")
        || body.starts_with(b"?import")
        || body.starts_with(b"!ENTITY")
        || body.starts_with(b"!--#")
    {
        return found.note(Predicate::HtmlActiveTag, at);
    }
    if name.is_empty() || !name.first().is_some_and(u8::is_ascii_alphabetic) {
        return;
    }
    let touches = body.len() == tag.len() || tag.starts_with(b"/");
    if name.ends_with(b"script") && (touches || name == b"script") {
        return found.note(Predicate::HtmlScript, at);
    }
    let plain = name.rsplit(|b| *b == b':').next().unwrap_or_default();
    if touches
        && (ACTIVE.meaning(plain).is_some() || ACTIVE.meaning(&name).is_some())
        && !tag.starts_with(b"/")
        && !(is_type && body.len() == width && TYPES_TOO.contains(&plain))
        && !is_idle(plain, tag, content)
    {
        found.note(Predicate::HtmlActiveTag, at);
    }
    let values = body.get(width..).unwrap_or_default();
    if values.is_empty() {
        return;
    }
    let sends = [&b"form"[..], b"marquee", b"button", b"input"].contains(&plain);
    if sends && touches && memchr::memchr(b'=', values).is_some() {
        found.note(Predicate::HtmlActiveTag, at);
    }
    attributes(values, !touches, at, found);
}

/// Schemes that run or load what follows them, without blanks.
const SCHEMES: [&[u8]; 5] = [
    b"javascript:",
    b"vbscript:",
    b"livescript:",
    b"mocha:",
    b"mhtml:",
];

/// What `data:` holds that runs.
const TYPES: [&[u8]; 4] = [b"text/html", b"application/x", b"text/javascript", b","];

/// Style that runs or loads something.
pub(super) const STYLES: [&str; 9] = [
    "expression(",
    "-moz-binding",
    "behavior:",
    "behaviour:",
    "-o-link",
    "url(javascript",
    "@import",
    "image-set(",
    "animation-name",
];

/// All of them in one pass; without it, which would take words that do not compile, every style is taken for one.
static STYLE_WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasick::builder();
    // Styles are short: setting up a faster search takes longer than to look.
    builder.prefilter(false).kind(Some(AhoCorasickKind::DFA));
    builder.build(STYLES).ok()
});

/// Shorter attributes say nothing: `on` and a value, or a scheme, are longer.
const ATTRIBUTE_BYTES_MIN: usize = 5;

/// What a tag's attributes do; `known` asks for the names of events.
fn attributes(values: &[u8], known: bool, at: usize, found: &mut Found) {
    if values.len() < ATTRIBUTE_BYTES_MIN {
        return;
    }
    if memchr::memchr(b'=', values).is_some() && handler(values, known, JOINS_IN_TAGS).is_some() {
        found.note(Predicate::HtmlHandler, at);
    }
    let addressed = memchr::memchr(b':', values).is_some();
    if !addressed && memchr::memchr(b'=', values).is_none() {
        return;
    }
    found.work.spend(ATTRIBUTES_STEPS);
    let squeezed = squeeze(values);
    let has = |word: &str| memmem::find(&squeezed, word.as_bytes()).is_some();
    let (mut runs, mut drawing, mut styled, mut schemes) = (false, false, false, 0);
    for mark in memchr::memchr2_iter(b':', b'=', &squeezed) {
        let (head, after) = squeezed.split_at_checked(mark + 1).unwrap_or_default();
        if head.ends_with(b"=") {
            runs |= head.ends_with(b"srcdoc=");
            styled |= head.ends_with(b"style=");
        } else if head.ends_with(b"data:") {
            runs |= TYPES.iter().any(|kind| after.starts_with(kind));
            drawing |= after.starts_with(b"image/svg");
        } else if SCHEMES.iter().any(|s| head.ends_with(s)) {
            schemes += 1;
            runs |= schemes > SCHEMES_MAX || !is_idle_address(after);
        }
    }
    drawing = drawing && ["onload", "onerror", "script"].iter().any(|w| has(w));
    if runs || drawing {
        found.note(Predicate::HtmlScriptUrl, at);
    }
    let acts = || STYLE_WORDS.as_ref().is_none_or(|w| w.is_match(&squeezed));
    if styled && acts() {
        found.note(Predicate::HtmlStyle, at);
    }
}

/// Addresses of scripts in one tag that may be idle; no honest tag has as many.
const SCHEMES_MAX: usize = 16;

/// Whether what follows a scheme runs nothing: `javascript:void(0)` is how a link says that it is none.
fn is_idle_address(after: &[u8]) -> bool {
    let idle = [&b"void(0)"[..], b"void0", b";", b"\"", b"'"];
    idle.iter().any(|word| {
        after
            .strip_prefix(*word)
            .is_some_and(|rest| !rest.iter().any(|b| matches!(b, b'(' | b'`')))
    })
}

/// Lower case without blanks, control characters, backslashes and comments' inside.
pub(super) fn squeeze(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'/' && text.get(at + 1) == Some(&b'*') {
            let rest = text.get(at + 2..).unwrap_or_default();
            at += 2 + memmem::find(rest, b"*/").map_or(rest.len(), |i| i + 2);
            continue;
        }
        if byte > b' ' && byte != b'\\' && byte != 0x7f {
            out.push(byte.to_ascii_lowercase());
        }
        at += 1;
    }
    out
}

/// What makes the name after it the end of another one.
const JOINS: &[u8] = b"_-?&";

/// In a tag, `.on…=` and `:on…=` are attributes of their own names: how templates bind properties.
const JOINS_IN_TAGS: &[u8] = b"_-?&.:@";

/// The first `on…=` of a text that is not the end of a longer name; `known` asks for the name of an event.
fn handler(text: &[u8], known: bool, joins: &[u8]) -> Option<usize> {
    for at in memchr::memchr2_iter(b'o', b'O', text) {
        let rest = text.get(at..).unwrap_or_default();
        let second = matches!(rest.get(1), Some(b'n' | b'N'));
        let before = at.checked_sub(1).and_then(|i| text.get(i));
        if !second || before.is_some_and(|b| b.is_ascii_alphanumeric() || joins.contains(b)) {
            continue;
        }
        let word: Vec<u8> = rest
            .iter()
            .skip(2)
            .take(24)
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            .map(u8::to_ascii_lowercase)
            .collect();
        let after = rest.get(2 + word.len()..).unwrap_or_default();
        let gap = after.iter().take(10).position(|b| *b == b'=');
        let clean = gap.is_some_and(|g| {
            after
                .get(..g)
                .unwrap_or_default()
                .iter()
                .all(|b| !b.is_ascii_alphanumeric() || g <= 3)
        });
        let event = EVENT_STEMS
            .iter()
            .any(|stem| word.starts_with(stem.as_bytes()))
            || word == b"x";
        if clean && (event || !known && word.len() >= 3) {
            return Some(at);
        }
    }
    None
}

/// A quote that is closed and an event handler after it: the value leaves an attribute, without a tag of its own.
pub(super) fn find_attribute(text: &[u8], found: &mut Found) {
    let Some(at) = handler(text, true, JOINS) else {
        return;
    };
    let before = text.get(..at).unwrap_or_default();
    let after = text.get(at..).unwrap_or_default();
    let value = memchr::memchr(b'=', after)
        .and_then(|i| after.get(i + 1..))
        .unwrap_or_default();
    let runs = value
        .iter()
        .take(60)
        .any(|b| matches!(b, b'(' | b'`' | b'&'))
        || value.trim_ascii_start().starts_with(b"\"")
        || memmem::find(value, b"script:").is_some();
    let left = before
        .iter()
        .any(|b| matches!(b, b'"' | b'\'' | b'`' | b'>'))
        || at == 0;
    if runs && left {
        found.note(Predicate::HtmlAttribute, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        let mut found = Found::default();
        find(text.as_bytes(), &mut found);
        find_attribute(text.as_bytes(), &mut found);
        found.iter().map(|(p, _)| p.name()).collect()
    }

    #[test]
    fn markup_that_runs_is_found() {
        for text in [
            "<script>x()</script>",
            "<ScRiPt/src=//h>",
            "<img src=x onerror=f()>",
            "<a href='java\tscript:f()'>x</a>",
            "<svg/onload=f()>",
            "<p style=\"width:expression(f())\">",
            "\" onmouseover=\"f()",
            "<iframe srcdoc='<b>'>",
            "<b/onclick\n=\nf()>",
            "<details ontoggle=f()>",
            "<meta http-equiv=refresh content='0;url=//h'>",
            "<style>@im\\port '//h'</style>",
            "<style>p{background:url(//h)}</style>",
            "<a src=mhtml:x>",
            "<svg>",
            "<svg><path/><animate attributeName=x>",
            "<math><mi/><a href=\"javascript:f()\">x",
            "<link rel=import href=//h>",
            "<?import namespace=x>",
            "<a href=\"data:,x\">",
            "<a href=data:image/svg+xml,onload=f()>",
        ] {
            assert!(!found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn idle_addresses_do_not_hide_one_that_runs() {
        let idle = "h=javascript:void(0) ".repeat(20);
        assert!(!found(&format!("<a {idle} href=javascript:f()>")).is_empty());
    }

    #[test]
    fn markup_that_shows_is_left_alone() {
        for text in [
            "<p>Hello <b>you</b></p>",
            "<a href=\"https://example.com/?a=1\">x</a>",
            "<img src=\"a.png\" alt=\"on the hill\">",
            "a < b and c > d",
            "<h2>Agenda</h2><ol><li>one</li></ol>",
            "<jack> online = true",
            "the onset=2024 of \"it\"",
            "Vec<_> and <T: Copy>",
            "<me@example.com>",
            "if left < right:\n  one_third = (a + b)",
            "Map<Object> and List<Set>",
            "turn it on=yes",
            "<a href=\"javascript:void(0)\">x</a>",
            "<img src=\"data:image/svg+xml;base64,PHN2Zz4=\">",
            "<template><div>{{ msg }}</div></template>",
            "<p .ondone=${f()}><my-list :online=\"a()\" @onward=\"b()\">",
            "<meta charset=\"utf-8\"><meta name=viewport content=x>",
            "<style>p{color:red}</style>",
            "<svg viewBox=\"0 0 9 9\">\n<title>x</title><path d=\"M0 0\"/></svg>",
            "<math><mi>x</mi></math>",
            "<meta itemprop=\"name\" content=\"x\"><link rel=\"canonical\" href=\"https://example.com/\">",
            "<!--[if mso]><p>x</p><![endif]-->",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
