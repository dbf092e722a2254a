//! HTML character references, numeric ones with and without their semicolon.

use super::push_char;

/// The named references that matter to syntax. Long enough for every markup trick, far from HTML's 2,231.
const NAMED: &[(&[u8], u32)] = &[
    (b"lt", 0x3c),
    (b"gt", 0x3e),
    (b"amp", 0x26),
    (b"quot", 0x22),
    (b"apos", 0x27),
    (b"nbsp", 0x20),
    (b"tab", 0x09),
    (b"newline", 0x0a),
    (b"colon", 0x3a),
    (b"semi", 0x3b),
    (b"lpar", 0x28),
    (b"rpar", 0x29),
    (b"sol", 0x2f),
    (b"bsol", 0x5c),
    (b"period", 0x2e),
    (b"comma", 0x2c),
    (b"equals", 0x3d),
    (b"plus", 0x2b),
    (b"num", 0x23),
    (b"excl", 0x21),
    (b"quest", 0x3f),
    (b"lsqb", 0x5b),
    (b"lbrack", 0x5b),
    (b"rsqb", 0x5d),
    (b"rbrack", 0x5d),
    (b"lcub", 0x7b),
    (b"lbrace", 0x7b),
    (b"rcub", 0x7d),
    (b"rbrace", 0x7d),
    (b"grave", 0x60),
    (b"dollar", 0x24),
    (b"percnt", 0x25),
    (b"ast", 0x2a),
    (b"commat", 0x40),
    (b"vert", 0x7c),
    (b"verbar", 0x7c),
    (b"lowbar", 0x5f),
    (b"hat", 0x5e),
    (b"zerowidthspace", 0x200b),
    (b"shy", 0xad),
];

/// The longest reference read: `&ZeroWidthSpace;`, or a number with leading zeros.
const REFERENCE_BYTES_MAX: usize = 16;

pub(super) fn entities(text: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'&', text)?;
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let mut changed = false;
    while let Some(&byte) = text.get(at) {
        let found = if byte == b'&' {
            reference(text.get(at + 1..).unwrap_or_default())
        } else {
            None
        };
        match found {
            Some((code, _)) => push_char(&mut out, code),
            None => out.push(byte),
        }
        changed |= found.is_some();
        at += found.map_or(1, |(_, width)| width + 1);
    }
    changed.then_some(out)
}

/// The character a reference after `&` stands for, and its width.
fn reference(rest: &[u8]) -> Option<(u32, usize)> {
    let rest = rest
        .get(..rest.len().min(REFERENCE_BYTES_MAX))
        .unwrap_or_default();
    match rest {
        [b'#', b'x' | b'X', digits @ ..] => {
            number(digits, 16).map(|(code, width)| (code, width + 2))
        }
        [b'#', digits @ ..] => number(digits, 10).map(|(code, width)| (code, width + 1)),
        _ => {
            let width = rest.iter().position(|b| !b.is_ascii_alphanumeric())?;
            let semicolon = rest.get(width) == Some(&b';');
            let name = rest.get(..width)?.to_ascii_lowercase();
            let old = matches!(name.as_slice(), b"lt" | b"gt" | b"quot");
            let code = NAMED
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, code)| *code)?;
            (semicolon || old).then_some((code, width + usize::from(semicolon)))
        }
    }
}

fn number(digits: &[u8], radix: u32) -> Option<(u32, usize)> {
    let width = digits
        .iter()
        .take_while(|b| char::from(**b).is_digit(radix))
        .count();
    let text = std::str::from_utf8(digits.get(..width)?).ok()?;
    let code = u32::from_str_radix(text, radix).ok()?;
    let semicolon = digits.get(width) == Some(&b';');
    Some((code, width + usize::from(semicolon)))
}
