//! Which octets may stand where: one table, built at compile time.

/// A letter or digit of a token (RFC 9110, 5.6.2), or `-`.
pub(super) const WORD: u8 = 1;
/// A token octet that is not a word octet: ``!#$%&'*+.^_`|~``.
pub(super) const TOKEN_SIGN: u8 = 1 << 1;
/// Any token octet.
pub(super) const TOKEN: u8 = WORD | TOKEN_SIGN;
/// What a request target is made of before its query: printable ASCII but `#`, `<`, `>` and the backtick, which the
/// parser behind us refuses with an answer of its own. The path has a stricter alphabet of its own.
pub(super) const TARGET: u8 = 1 << 2;
/// RFC 3986 `unreserved`.
pub(super) const UNRESERVED: u8 = 1 << 3;
/// RFC 3986 `pchar` without `%` and without `;`, which asks for a closer look.
pub(super) const PATH: u8 = 1 << 4;
/// A hexadecimal digit.
pub(super) const HEX: u8 = 1 << 5;
/// RFC 3986 `reg-name` without `%` and without the comma.
pub(super) const HOST: u8 = 1 << 6;
/// What a query is made of, with its question mark: printable ASCII but `#`, `<`, `>` and the quotation mark, for
/// the same reason.
pub(super) const QUERY: u8 = 1 << 7;

static CLASSES: [u8; 256] = classes();

/// The classes an octet belongs to.
#[inline]
pub(super) fn classes_of(octet: u8) -> u8 {
    CLASSES.get(usize::from(octet)).copied().unwrap_or(0)
}

/// Whether an octet belongs to one of the classes.
#[inline]
pub(super) fn is(octet: u8, classes: u8) -> bool {
    classes_of(octet) & classes != 0
}

/// True when a field value holds an octet that RFC 9110, 5.5 forbids: a control other than the tab.
///
/// Written without a branch, so that the compiler makes it wide.
#[inline]
pub(super) fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, &octet| {
        found | ((octet < 0x20) & (octet != b'\t')) | (octet == 0x7f)
    })
}

/// The value of a hexadecimal digit.
#[inline]
pub(super) fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// A value without the blanks around it (RFC 9110, 5.6.3: space and tab, nothing else).
#[inline]
pub(super) fn trim_blanks(value: &[u8]) -> &[u8] {
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t');
    let start = value.iter().position(|octet| !blank(octet));
    let end = value.iter().rposition(|octet| !blank(octet));
    match (start, end) {
        (Some(start), Some(end)) => value.get(start..=end).unwrap_or_default(),
        _ => &[],
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "runs at compile time, where an index out of bounds does not build"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    let mut octet = 0_u8;
    while index < table.len() {
        table[index] = classify(octet);
        index += 1;
        octet = octet.wrapping_add(1);
    }
    table
}

const fn classify(octet: u8) -> u8 {
    let mut classes = match octet {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' => WORD | UNRESERVED | PATH,
        b'.' | b'_' | b'~' => TOKEN_SIGN | UNRESERVED | PATH,
        b'!' | b'$' | b'&' | b'\'' | b'*' | b'+' => TOKEN_SIGN | PATH,
        b'#' | b'%' | b'^' | b'`' | b'|' => TOKEN_SIGN,
        b'(' | b')' | b',' | b'=' | b':' | b'@' => PATH,
        _ => 0,
    };
    if octet > b' ' && octet < 0x7f && !matches!(octet, b'#' | b'<' | b'>') {
        classes |= match octet {
            b'`' => QUERY,
            b'"' => TARGET,
            _ => TARGET | QUERY,
        };
    }
    if octet.is_ascii_hexdigit() {
        classes |= HEX;
    }
    if (classes & PATH != 0 && !matches!(octet, b':' | b'@' | b',')) || octet == b';' {
        classes |= HOST;
    }
    classes
}
