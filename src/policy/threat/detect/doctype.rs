//! What an XML document declares that makes its reader fetch, expand or misread.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// What stands only where entities, types or inclusions are declared or used, and at last what begins a document type.
const MARKS: [&str; 8] = [
    "<!entity",
    "<!element",
    "<!attlist",
    "xi:include",
    "http://www.w3.org/2001/xinclude",
    "+adwaiq",
    "&xxe;",
    DOCTYPE,
];

const DOCTYPE: &str = "<!doctype";

/// Charsets of a declaration in which ASCII means ASCII.
const PLAIN: [&[u8]; 7] = [
    b"utf-8",
    b"utf8",
    b"iso-8859",
    b"us-ascii",
    b"windows-",
    b"ascii",
    b"latin",
];

static FINDER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let mut builder = AhoCorasick::builder();
    builder
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostFirst);
    builder.build(MARKS).ok()
});

/// Where a document declares entities or a type other than HTML's, or an encoding that hides them.
pub(in crate::policy::threat) fn doctype(text: &[u8]) -> Option<usize> {
    foreign_encoding(text).or_else(|| {
        let marks = FINDER.as_ref()?.find_iter(text);
        let mut marks = marks.filter(|mark| {
            let rest = text.get(mark.end()..).unwrap_or_default();
            MARKS.get(mark.pattern().as_usize()) != Some(&DOCTYPE) || !is_html(rest)
        });
        marks.next().map(|mark| mark.start())
    })
}

/// Whether a document type is HTML's, which declares nothing.
fn is_html(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    let head = rest.get(..20).unwrap_or(rest).to_ascii_lowercase();
    let html: [&[u8]; 3] = [b"html>", b"html public", b"html system \"about"];
    html.iter().any(|known| head.starts_with(known))
}

/// Where a document's declaration names an encoding in which it would read differently.
fn foreign_encoding(text: &[u8]) -> Option<usize> {
    let bare = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let bare = bare.trim_ascii_start();
    let declares = bare
        .get(..5)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"<?xml"));
    let end = memchr::memmem::find(bare, b"?>").unwrap_or(bare.len());
    let declaration = bare.get(..end).filter(|_| declares)?.to_ascii_lowercase();
    memchr::memmem::find_iter(&declaration, b"encoding").find_map(|at| {
        let rest = declaration.get(at + 8..)?.trim_ascii_start();
        let name = rest.strip_prefix(b"=")?.trim_ascii_start().get(1..)?;
        let plain = PLAIN.iter().any(|plain| name.starts_with(plain));
        (!plain).then_some(text.len() - bare.len() + at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_declarations_are_none() {
        for text in [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>",
            "<?xml version='1.0' encoding='utf-8'?><a>1</a>",
            "<?xml version=\"1.0\" encoding = \"ISO-8859-1\" standalone=\"yes\"?><a/>",
            "\u{feff}<?xml version=\"1.0\" encoding=\"US-ASCII\"?><a/>",
            "<?xml version=\"1.0\"?><a encoding=\"UTF-16\"/>",
            "<!DOCTYPE html><p>x",
            "<!doctype HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"><p>x",
            "<a/>",
            "",
        ] {
            assert_eq!(doctype(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn declarations_are_found_wherever_they_stand() {
        let far = format!(
            "<?xml version=\"1.0\"?><!--{}--><!DOCTYPE a>",
            "x".repeat(100_000)
        );
        for text in [
            "<?xml version=\"1.0\" encoding=\"UTF-16\"?><a/>",
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?>",
            "\u{feff} <?xml version=\"1.0\" encoding = 'UTF-7'?><a/>",
            "<!doctype\n a><a/>",
            "<!DOCTYPE html [<!ENTITY x \"y\">]>",
            "<!DOCTYPE html><!DOCTYPE a>",
            &far,
        ] {
            assert!(doctype(text.as_bytes()).is_some(), "{}", &text[..20]);
        }
    }
}
