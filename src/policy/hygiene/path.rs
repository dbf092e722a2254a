//! The one form of a path that routing, rules and the upstream all see.
//!
//! Spellings that RFC 3986, 6.2.2 calls equivalent are brought to one: unreserved octets decoded, the
//! remaining percent-encodings in upper case, dot segments removed, and, as file systems and most
//! back ends have it, empty segments merged. Spellings that only *some* reader takes for another path
//! (an encoded separator, a second encoding, `..;`) are refused, since no form fits every reader.
//!
//! What stays open are parameters and tails that careless readers cut off: `/admin;v=1`,
//! `/admin%23x`, `/admin.`. They occur honestly, so they pass; whoever protects a place compares
//! [`CanonicalPath::names`] or asks [`CanonicalPath::lies_under`], whoever captures a value takes it
//! from [`CanonicalPath::segments`].

use std::borrow::Cow;
use std::fmt;

use memchr::{memchr_iter, memchr2_iter};

use super::octets::{HEX, PATH, UNRESERVED, hex_value, is};

/// Why a path has no single meaning. Each is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.reason())]
pub enum PathRefusal {
    /// It does not start with `/`.
    NotRooted,
    /// An octet no path may hold: a control, a space, `#`, `?`, or beyond ASCII.
    Character,
    /// `%` without two hexadecimal digits; `%u002e` too.
    PercentSyntax,
    /// A control character, encoded.
    Control,
    /// `\`, or an encoded `/` or `\`.
    Separator,
    /// Decoded once, it could be decoded again.
    DoubleEncoding,
    /// The decoded octets are not UTF-8; overlong forms among them.
    NotUtf8,
    /// A character that becomes `/`, `\`, `.` or `%` when it is folded to ASCII.
    Lookalike,
    /// A segment that is blank or dots once what some readers cut off is gone, or starts with a blank.
    Disguised,
    /// More `..` than segments before it.
    ClimbsAboveRoot,
}

impl PathRefusal {
    /// A stable name for logs, metrics and the client.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotRooted => "path-not-rooted",
            Self::Character => "path-character",
            Self::PercentSyntax => "path-percent-syntax",
            Self::Control => "path-control",
            Self::Separator => "path-separator",
            Self::DoubleEncoding => "path-double-encoding",
            Self::NotUtf8 => "path-not-utf-8",
            Self::Lookalike => "path-lookalike",
            Self::Disguised => "path-disguised",
            Self::ClimbsAboveRoot => "path-climbs-above-root",
        }
    }

    /// One sentence for the client, lowercase and without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotRooted => "the path does not start with a slash",
            Self::Character => "the path holds a character that must be encoded",
            Self::PercentSyntax => "a percent sign in the path is not followed by two digits",
            Self::Control => "the path holds an encoded control character",
            Self::Separator => "the path holds a backslash or an encoded separator",
            Self::DoubleEncoding => "the path is encoded twice",
            Self::NotUtf8 => "the decoded path is not UTF-8",
            Self::Lookalike => "the path holds a character that resembles a separator",
            Self::Disguised => "a segment of the path is blank or made of dots",
            Self::ClimbsAboveRoot => "the path climbs above its root",
        }
    }
}

/// A path in canonical form: parsing it again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

impl<'a> CanonicalPath<'a> {
    /// Brings the path of a target (without query) to its canonical form.
    ///
    /// Linear in the length; borrows when nothing is to be changed, and does not allocate for a path
    /// without encodings and parameters. Printable octets that RFC 3986 does not allow (`"<>[]^{|}` and
    /// the grave accent) are encoded rather than refused. The result is at most three times as long.
    ///
    /// # Errors
    /// The first refusal found, segment by segment.
    pub fn parse(raw: &'a str) -> Result<Self, PathRefusal> {
        if is_plain(raw.as_bytes()) {
            return Ok(Self(Cow::Borrowed(raw)));
        }
        let path = rebuild(raw)?;
        Ok(Self(if path == raw {
            Cow::Borrowed(raw)
        } else {
            Cow::Owned(path)
        }))
    }

    /// The whole path; starts with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the client sent it in another spelling.
    pub fn was_changed(&self) -> bool {
        matches!(self.0, Cow::Owned(_))
    }

    /// The segments as forwarded, still percent-encoded and never empty; none for `/`. A final slash adds none.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }

    /// The segments as the most careless back end may read them, for comparison with what is protected.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.segments().map(plain_name)
    }

    /// Whether any back end may take this path for the place `prefix` or one below it.
    ///
    /// Errs on the side of yes: letter case, parameters and cut tails are ignored. `prefix` is canonical.
    pub fn lies_under(&self, prefix: &str) -> bool {
        let mut names = self.names();
        prefix
            .split('/')
            .filter(|segment| !segment.is_empty())
            .all(|wanted| {
                names
                    .next()
                    .is_some_and(|name| name.eq_ignore_ascii_case(wanted))
            })
    }

    /// The same path, kept longer than the request line it came from.
    pub fn into_owned(self) -> CanonicalPath<'static> {
        CanonicalPath(Cow::Owned(self.0.into_owned()))
    }
}

impl fmt::Display for CanonicalPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A canonical segment without what some back end cuts off: parameters (`;`), what looks like a query
/// or fragment once decoded, and blanks and dots at the end.
pub fn plain_name(segment: &str) -> &str {
    let octets = segment.as_bytes();
    let cut = memchr2_iter(b';', b'%', octets).find(|&at| {
        matches!(
            octets.get(at..),
            Some([b';', ..] | [b'%', b'3', b'B' | b'F', ..] | [b'%', b'2', b'3', ..])
        )
    });
    let mut name = cut.and_then(|end| segment.get(..end)).unwrap_or(segment);
    while let Some(shorter) = name.strip_suffix('.').or_else(|| name.strip_suffix("%20")) {
        name = shorter;
    }
    name
}

/// True for a path that is canonical at first sight: no encoding, no parameter, no empty segment, no
/// segment that ends in a dot.
fn is_plain(path: &[u8]) -> bool {
    let Some((b'/', rest)) = path.split_first() else {
        return false;
    };
    let mut previous = b'/';
    for &octet in rest {
        let ends_segment = octet == b'/' && previous != b'/' && previous != b'.';
        if !ends_segment && !is(octet, PATH) {
            return false;
        }
        previous = octet;
    }
    previous != b'.'
}

fn rebuild(raw: &str) -> Result<String, PathRefusal> {
    let rest = raw.strip_prefix('/').ok_or(PathRefusal::NotRooted)?;
    let mut path = String::with_capacity(raw.len() + 8);
    let mut segment = Segment::default();
    let mut ends_in_slash = false;
    for spelling in rest.split('/') {
        segment.read(spelling)?;
        ends_in_slash = true;
        match segment.text.as_str() {
            "" | "." => {}
            ".." => {
                let parent = path.rfind('/').ok_or(PathRefusal::ClimbsAboveRoot)?;
                path.truncate(parent);
            }
            text => {
                segment.refuse_other_readings()?;
                path.push('/');
                path.push_str(text);
                ends_in_slash = false;
            }
        }
    }
    if ends_in_slash || path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

/// One segment, decoded and in canonical spelling. Reused for the next.
#[derive(Default)]
struct Segment {
    decoded: Vec<u8>,
    text: String,
}

impl Segment {
    fn read(&mut self, spelling: &str) -> Result<(), PathRefusal> {
        self.decoded.clear();
        self.text.clear();
        let mut octets = spelling.bytes();
        while let Some(octet) = octets.next() {
            if octet == b'%' {
                let mut digit = || octets.next().and_then(hex_value);
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(PathRefusal::PercentSyntax);
                };
                self.push(high << 4 | low, UNRESERVED)?;
            } else if matches!(octet, 0..=b' ' | b'#' | b'?' | 0x7f..) {
                return Err(PathRefusal::Character);
            } else {
                self.push(octet, PATH)?;
            }
        }
        Ok(())
    }

    /// Adds a decoded octet, which stands for itself when it is in the classes or starts parameters.
    fn push(&mut self, octet: u8, plain: u8) -> Result<(), PathRefusal> {
        match octet {
            b'/' | b'\\' => return Err(PathRefusal::Separator),
            0..0x20 | 0x7f => return Err(PathRefusal::Control),
            _ => self.decoded.push(octet),
        }
        if is(octet, plain) || (octet == b';' && plain == PATH) {
            self.text.push(char::from(octet));
        } else {
            self.text.push('%');
            self.text.push(upper_hex(octet >> 4));
            self.text.push(upper_hex(octet & 15));
        }
        Ok(())
    }

    /// Refuses a segment that is neither empty nor dots, but may be to somebody.
    fn refuse_other_readings(&self) -> Result<(), PathRefusal> {
        let decoded = std::str::from_utf8(&self.decoded).map_err(|_| PathRefusal::NotUtf8)?;
        if !decoded.is_ascii() {
            refuse_beyond_ascii(decoded)?;
        }
        if decoded.starts_with(' ') || plain_name(&self.text).is_empty() {
            return Err(PathRefusal::Disguised);
        }
        if self.decodes_again() {
            return Err(PathRefusal::DoubleEncoding);
        }
        Ok(())
    }

    /// An encoded `%` before what completes an encoding: two digits, or the `u` of `%u002f`.
    fn decodes_again(&self) -> bool {
        let octets = self.text.as_bytes();
        memchr_iter(b'%', octets).any(|at| match octets.get(at..) {
            Some([b'%', b'2', b'5', b'u' | b'U', ..]) => true,
            Some(&[b'%', b'2', b'5', high, low, ..]) => is(high, HEX) && is(low, HEX),
            _ => false,
        })
    }
}

/// Controls of Latin-1, lookalikes, and blanks that a Unicode trim would take off.
fn refuse_beyond_ascii(decoded: &str) -> Result<(), PathRefusal> {
    if decoded.chars().any(char::is_control) {
        return Err(PathRefusal::Control);
    }
    if decoded.chars().any(is_lookalike) {
        return Err(PathRefusal::Lookalike);
    }
    let inner = decoded.trim_matches(' ');
    if inner.len() != inner.trim().len() {
        return Err(PathRefusal::Disguised);
    }
    Ok(())
}

/// Characters that compatibility folding or a legacy code page turns into `/`, `\`, `.`, `%`, `;`, `?` or `#`.
fn is_lookalike(character: char) -> bool {
    matches!(
        character,
        '\u{ff0f}' | '\u{2044}' | '\u{2215}' | '\u{29f8}' // slashes
            | '\u{ff3c}' | '\u{fe68}' | '\u{2216}' | '\u{29f5}' // backslashes
            | '\u{ff0e}' | '\u{fe52}' | '\u{2024}' | '\u{2025}' // dots
            | '\u{ff05}' | '\u{fe6a}' // percent signs
            | '\u{ff1b}' | '\u{fe54}' | '\u{ff1f}' | '\u{fe56}' | '\u{ff03}' | '\u{fe5f}'
    )
}

fn upper_hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16)
        .unwrap_or('0')
        .to_ascii_uppercase()
}
