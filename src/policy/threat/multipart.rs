//! Splits a `multipart` body into its parts (RFC 7578, 2046), leniently: a part is what any server could take for one.
//!
//! Where servers may differ (a delimiter inside a line, a header given twice, a part without an end to its head) the
//! body is called malformed, and what any of them could read is among the parts all the same.

use std::borrow::Cow;

/// Parts of one body.
pub(super) const PARTS_MAX: usize = 256;

/// Names and file names of one part, and pieces of one name.
pub(super) const NAMES_MAX: usize = 8;

/// Bytes between a parameter's word and its `=`.
const FORM_BYTES_MAX: usize = 64;

/// One part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part<'b> {
    pub(super) names: Vec<Cow<'b, [u8]>>,
    pub(super) file_names: Vec<Cow<'b, [u8]>>,
    pub(super) content_type: &'b [u8],
    pub(super) encoding: Encoding,
    pub(super) body: &'b [u8],
}

/// How a part's body is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    #[default]
    None,
    Base64,
    QuotedPrintable,
}

/// A body split at its delimiters.
#[derive(Debug, Default)]
pub(super) struct Parts<'b> {
    pub(super) list: Vec<Part<'b>>,
    /// What stands before the first delimiter and after a closing one.
    pub(super) around: Vec<&'b [u8]>,
    /// There were more than [`PARTS_MAX`]: the last holds what follows.
    pub(super) more: bool,
    /// Servers may read it differently.
    pub(super) malformed: bool,
    /// The last part ends within its head: malformed, unless the body is only the beginning of one.
    pub(super) cut: bool,
}

/// The boundary a body starts with, where its type names none.
pub(super) fn boundary(body: &[u8]) -> Option<&[u8]> {
    let line = body.split(|b| *b == b'\n').next()?.trim_ascii();
    line.strip_prefix(b"--").filter(|b| !b.is_empty())
}

/// All parts of a body.
pub(super) fn parts<'b>(body: &'b [u8], boundary: &[u8]) -> Parts<'b> {
    let mut marker = b"--".to_vec();
    marker.extend_from_slice(boundary);
    let mut parts = Parts::default();
    let (mut from, mut inside, mut opened) = (0, false, 0);
    let mut crlf = None;
    for at in memchr::memmem::find_iter(body, &marker) {
        let before = body.get(..at).unwrap_or_default();
        let after = body.get(at + marker.len()..).unwrap_or_default();
        let Some(delimiter) = delimiter(before, after) else {
            parts.malformed = true;
            continue;
        };
        // One line end throughout, or what ends a part for one server is text of it for another.
        for this in [delimiter.begun_by_crlf, delimiter.ended_by_crlf] {
            parts.malformed |= this.is_some_and(|this| *crlf.get_or_insert(this) != this);
        }
        let piece = body.get(from..at).unwrap_or_default();
        parts.malformed |= parts.end_piece(piece, inside);
        from = at + marker.len() + delimiter.width;
        inside = !delimiter.closes;
        opened += usize::from(inside);
        if opened > PARTS_MAX {
            parts.more = true;
            break;
        }
    }
    if parts.more {
        // It is looked at, if not for what it is.
        parts.around.push(body.get(from..).unwrap_or_default());
        return parts;
    }
    parts.cut = parts.end_piece(body.get(from..).unwrap_or_default(), inside);
    parts
}

/// A line that ends a part.
struct Delimiter {
    /// No part follows.
    closes: bool,
    /// Bytes it takes up behind the marker.
    width: usize,
    begun_by_crlf: Option<bool>,
    ended_by_crlf: Option<bool>,
}

/// The delimiter that a marker between these makes, if any.
fn delimiter(before: &[u8], after: &[u8]) -> Option<Delimiter> {
    let begun_by_crlf = match before {
        [] => None,
        [.., b'\r', b'\n'] => Some(true),
        [.., b'\n'] => Some(false),
        _ => return None,
    };
    let of = |closes, width, ended_by_crlf| Delimiter {
        closes,
        width,
        begun_by_crlf,
        ended_by_crlf,
    };
    if after.starts_with(b"--") {
        return Some(of(true, 2, None));
    }
    let blanks = after.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    let blanks = blanks.count();
    match after.get(blanks..).unwrap_or_default() {
        [] => Some(of(false, blanks, None)),
        [b'\n', ..] => Some(of(false, blanks + 1, Some(false))),
        [b'\r', b'\n', ..] => Some(of(false, blanks + 2, Some(true))),
        _ => None,
    }
}

impl<'b> Parts<'b> {
    /// Takes what stands between two delimiters; true when it is malformed.
    fn end_piece(&mut self, piece: &'b [u8], inside: bool) -> bool {
        let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
        let piece = piece.strip_suffix(b"\r").unwrap_or(piece);
        if inside {
            let (part, malformed) = part(piece);
            self.list.push(part);
            return malformed;
        }
        if !piece.trim_ascii().is_empty() {
            self.around.push(piece);
        }
        false
    }
}

/// A part, and whether servers may read it differently.
fn part(inner: &[u8]) -> (Part<'_>, bool) {
    let Some((head, body)) = split_head(inner) else {
        // Some server takes it for a head, another for a body.
        let (part, _) = headed(inner, inner);
        return (part, !inner.is_empty());
    };
    headed(head, body)
}

fn headed<'b>(head: &'b [u8], body: &'b [u8]) -> (Part<'b>, bool) {
    let mut part = Part {
        body,
        ..Part::default()
    };
    let (mut dispositions, mut types) = (0, 0);
    let mut malformed = false;
    for line in unfolded(head) {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        let name = line.get(..colon).unwrap_or_default().trim_ascii();
        match name.to_ascii_lowercase().as_slice() {
            b"content-disposition" => {
                dispositions += 1;
                malformed |= !parameters(value, b"name", &mut part.names);
                malformed |= !parameters(value, b"filename", &mut part.file_names);
            }
            b"content-type" => {
                types += 1;
                part.content_type = value;
            }
            b"content-transfer-encoding" if value.eq_ignore_ascii_case(b"base64") => {
                part.encoding = Encoding::Base64;
            }
            b"content-transfer-encoding" if value.eq_ignore_ascii_case(b"quoted-printable") => {
                part.encoding = Encoding::QuotedPrintable;
            }
            _ => {}
        }
    }
    (part, malformed || dispositions > 1 || types > 1)
}

/// The lines of a head; one that begins with a blank goes on with the line before.
fn unfolded(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = memchr::memchr_iter(b'\n', rest).find(|at| {
            let next = rest.get(at + 1);
            !matches!(next, Some(b' ' | b'\t'))
        });
        let end = ends.map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(line)
    })
}

/// A head and what follows its empty line; `None` without one.
fn split_head(inner: &[u8]) -> Option<(&[u8], &[u8])> {
    let ends = |from: usize| match inner.get(from..)? {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    };
    if let Some(width) = ends(0) {
        return Some((&[], inner.get(width..)?));
    }
    memchr::memchr_iter(b'\n', inner).find_map(|at| {
        let width = ends(at + 1)?;
        Some((inner.get(..at)?, inner.get(at + 1 + width..)?))
    })
}

/// Appends every value a parameter is given: plainly, in the form of RFC 5987, in pieces (RFC 2231). False when they
/// are too many, or in a charset that is not known.
fn parameters<'v>(value: &'v [u8], key: &[u8], out: &mut Vec<Cow<'v, [u8]>>) -> bool {
    let lower = value.to_ascii_lowercase();
    let mut pieces: Vec<(u32, &[u8])> = Vec::new();
    let mut known = true;
    for at in memchr::memmem::find_iter(&lower, key) {
        let before = at.checked_sub(1).and_then(|i| lower.get(i));
        if !before.is_none_or(|b| matches!(b, b';' | b' ' | b'\t' | b'\r' | b'\n')) {
            continue;
        }
        let rest = value.get(at + key.len()..).unwrap_or_default();
        let Some((form, rest)) = form(rest) else {
            continue;
        };
        if out.len() >= NAMES_MAX || pieces.len() >= NAMES_MAX {
            return false;
        }
        let mut text = parameter(rest);
        if form.extended && form.section.unwrap_or(0) == 0 {
            let (charset, plain) = extended(text);
            known &= charset;
            text = plain;
        }
        match form.section {
            Some(section) => pieces.push((section, text)),
            None => out.push(Cow::Borrowed(text)),
        }
    }
    if !pieces.is_empty() {
        pieces.sort_by_key(|(section, _)| *section);
        let joined: Vec<&[u8]> = pieces.iter().map(|(_, text)| *text).collect();
        out.push(Cow::Owned(joined.concat()));
    }
    known
}

/// How a parameter's name goes on behind its word: `*`, `*1`, `*1*`.
struct Form {
    section: Option<u32>,
    extended: bool,
}

/// The form of a parameter, and what follows its `=`; `None` when it is another word.
fn form(rest: &[u8]) -> Option<(Form, &[u8])> {
    let equals = memchr::memchr(b'=', rest.get(..FORM_BYTES_MAX).unwrap_or(rest))?;
    let name = rest.get(..equals)?.trim_ascii();
    let (section, extended) = match name.split_first() {
        None => (None, false),
        Some((b'*', [])) => (None, true),
        Some((b'*', number)) => {
            let digits = number.strip_suffix(b"*");
            let number = std::str::from_utf8(digits.unwrap_or(number)).ok()?;
            (Some(number.parse().ok()?), digits.is_some())
        }
        Some(_) => return None,
    };
    let rest = rest.get(equals + 1..)?.trim_ascii_start();
    Some((Form { section, extended }, rest))
}

/// A parameter's value; in quotes a backslash escapes.
fn parameter(rest: &[u8]) -> &[u8] {
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        return rest.get(..end).unwrap_or_default().trim_ascii();
    };
    // Names with stray quotes are taken up to the last one: nothing of them may stay unseen.
    let end = memchr::memmem::find(quoted, b"\";")
        .unwrap_or_else(|| memchr::memrchr(b'"', quoted).unwrap_or(quoted.len()));
    quoted.get(..end).unwrap_or_default()
}

/// `charset'language'value`: whether the charset is known, and the value, still percent-encoded.
fn extended(text: &[u8]) -> (bool, &[u8]) {
    let mut pieces = text.splitn(3, |b| *b == b'\'');
    let (charset, _, value) = (pieces.next(), pieces.next(), pieces.next());
    let Some(value) = value else {
        return (true, text);
    };
    let charset = charset.unwrap_or_default().to_ascii_lowercase();
    let known: [&[u8]; 4] = [b"", b"utf-8", b"iso-8859-1", b"us-ascii"];
    (known.contains(&charset.as_slice()), value)
}

/// Quoted-printable undone (RFC 2045, 6.7).
pub(super) fn unquoted(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        let rest = body.get(at + 1..).unwrap_or_default();
        let hex = |b: &u8| char::from(*b).to_digit(16);
        let (byte, width) = match rest {
            [b'\r', b'\n', ..] if byte == b'=' => (None, 3),
            [b'\n', ..] if byte == b'=' => (None, 2),
            [high, low, ..] if byte == b'=' => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => (u8::try_from(high << 4 | low).ok(), 3),
                _ => (Some(byte), 1),
            },
            _ => (Some(byte), 1),
        };
        out.extend(byte);
        at += width;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts<'b>(names: &'b [Cow<'_, [u8]>]) -> Vec<Cow<'b, str>> {
        names.iter().map(|n| String::from_utf8_lossy(n)).collect()
    }

    fn file_names(disposition: &str) -> (Vec<String>, bool) {
        let head = format!("Content-Disposition: form-data; name=\"f\"; {disposition}\r\n\r\nx");
        let (part, malformed) = part(head.as_bytes());
        let names = texts(&part.file_names);
        (names.iter().map(ToString::to_string).collect(), malformed)
    }

    #[test]
    fn parts_come_with_names_and_bodies() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.csv\"\r\nContent-Type: text/csv\r\n\r\n1,2\r\n--B--\r\n";
        let parts = parts(body, b"B");
        assert!(!parts.more && !parts.malformed && !parts.cut);
        assert!(parts.around.is_empty());
        let [a, f] = &parts.list[..] else {
            panic!("{parts:?}")
        };
        assert_eq!((texts(&a.names), a.body), (vec!["a".into()], &b"one"[..]));
        assert_eq!(texts(&f.file_names), ["x.csv"]);
        assert_eq!((f.content_type, f.body), (&b"text/csv"[..], &b"1,2"[..]));
    }

    #[test]
    fn there_are_no_more_parts_than_their_bound() {
        for (count, beyond) in [(PARTS_MAX, false), (PARTS_MAX + 1, true)] {
            for end in ["", "--B--\r\n"] {
                let mut body = b"--B\r\n\r\nx\r\n".repeat(count);
                body.extend_from_slice(end.as_bytes());
                let found = parts(&body, b"B");
                assert_eq!((found.list.len(), found.more), (PARTS_MAX, beyond), "{end}");
                assert!(found.list.iter().all(|part| part.body == b"x"));
                assert_eq!(found.around.len(), usize::from(beyond));
            }
        }
    }

    #[test]
    fn the_boundary_is_found() {
        assert_eq!(boundary(b"--zz\r\n"), Some(&b"zz"[..]));
        assert_eq!(boundary(b"zz\r\n"), None);
    }

    #[test]
    fn every_file_name_is_seen() {
        for (disposition, expected) in [
            (
                "filename=\"a.txt\"; filename=\"b.php\"",
                &["a.txt", "b.php"][..],
            ),
            (
                "filename=\"a.txt\"; filename*=UTF-8''b%2Ephp",
                &["a.txt", "b%2Ephp"],
            ),
            ("filename = a.php ; x=y", &["a.php"]),
            ("\r\n\tFileName=\"a.php\"", &["a.php"]),
            ("filename*1=\"ll.php\"; filename*0=\"she\"", &["shell.php"]),
            (
                "filename*0*=UTF-8'en'she; filename*1=\"ll.php\"",
                &["shell.php"],
            ),
            ("filenames=\"a.php\"", &[]),
        ] {
            assert_eq!(file_names(disposition).0, expected, "{disposition}");
            assert!(!file_names(disposition).1, "{disposition}");
        }
        assert!(file_names("filename*=utf-16''a").1);
        assert!(file_names(&"filename=\"a\"; ".repeat(9)).1);
    }

    #[test]
    fn what_servers_read_differently_is_malformed() {
        let field = "Content-Disposition: form-data; name=\"a\"";
        for body in [
            format!("--B\r\n{field}\r\n{field}\r\n\r\nx\r\n--B--"),
            format!("--B\r\n{field}\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\nx\r\n--B--"),
            format!("--B\r\n{field}\r\n\r\nx --B y\r\n--B--"),
            format!("--B\r\n{field}\r\n\r\nx\r\n--BB\r\n--B--"),
            format!("--B\r\n{field}\r\n\r\nx\n--B\r\n\r\ny\r\n--B--"),
            format!("--B\r\n{field}\r\n\r\nx\n--B--"),
            format!("--B\r\n{field}\r\n--B--"),
        ] {
            assert!(parts(body.as_bytes(), b"B").malformed, "{body}");
        }
        for body in [
            format!("--B\r\n{field}\r\n\r\nx\r\n--B--"),
            format!("--B\n{field}\n\nx\n--B--\n"),
            format!("Preamble\r\n--B\r\n{field}\r\n\r\nx\r\n--B--\r\nand more"),
            format!("--B \r\n{field}\r\n\r\n\r\n--B--"),
        ] {
            assert!(!parts(body.as_bytes(), b"B").malformed, "{body}");
        }
    }

    #[test]
    fn what_stands_around_the_parts_is_kept() {
        let body = b"before\r\n--B\r\n\r\nx\r\n--B--\r\nbehind";
        let parts = parts(body, b"B");
        assert_eq!(parts.around, [&b"before"[..], b"\r\nbehind"]);
    }

    #[test]
    fn a_part_may_be_cut_within_its_head() {
        let cut = parts(b"--B\r\n\r\nx\r\n--B\r\nContent-Dis", b"B");
        assert!(cut.cut && !cut.malformed);
        assert_eq!(cut.list.len(), 2);
    }

    #[test]
    fn quoted_printable_is_undone() {
        assert_eq!(unquoted(b"=27 or=\r\n 1=3D1 =x="), b"' or 1=1 =x=");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in "[-B\\r\\n:;=*\"a-z ]{0,120}") {
            let _ = parts(body.as_bytes(), b"B");
        }
    }
}
