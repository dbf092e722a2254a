//! HTML character references, numeric ones with and without their semicolon.

use super::{Rewrite, push_char};
use crate::policy::words::Words;

/// The named references that matter to syntax. Long enough for every markup trick, far from HTML's 2,231.
static NAMED: Words<u32, 128> = Words::new(&[
    (&["lt"], 0x3c),
    (&["gt"], 0x3e),
    (&["amp"], 0x26),
    (&["quot"], 0x22),
    (&["apos"], 0x27),
    (&["nbsp"], 0x20),
    (&["tab"], 0x09),
    (&["newline"], 0x0a),
    (&["colon"], 0x3a),
    (&["semi"], 0x3b),
    (&["lpar"], 0x28),
    (&["rpar"], 0x29),
    (&["sol"], 0x2f),
    (&["bsol"], 0x5c),
    (&["period"], 0x2e),
    (&["comma"], 0x2c),
    (&["equals"], 0x3d),
    (&["plus"], 0x2b),
    (&["num"], 0x23),
    (&["excl"], 0x21),
    (&["quest"], 0x3f),
    (&["lsqb"], 0x5b),
    (&["lbrack"], 0x5b),
    (&["rsqb"], 0x5d),
    (&["rbrack"], 0x5d),
    (&["lcub"], 0x7b),
    (&["lbrace"], 0x7b),
    (&["rcub"], 0x7d),
    (&["rbrace"], 0x7d),
    (&["grave"], 0x60),
    (&["dollar"], 0x24),
    (&["percnt"], 0x25),
    (&["ast"], 0x2a),
    (&["commat"], 0x40),
    (&["vert"], 0x7c),
    (&["verbar"], 0x7c),
    (&["lowbar"], 0x5f),
    (&["hat"], 0x5e),
    (&["zerowidthspace"], 0x200b),
    (&["shy"], 0xad),
]);

/// The longest reference read: `&ZeroWidthSpace;`, or a number.
const REFERENCE_BYTES_MAX: usize = 16;

/// Leading zeros of a number.
const ZEROS_MAX: usize = 256;

pub(super) fn entities(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Rewrite::new(text);
    for at in memchr::memchr_iter(b'&', text) {
        let rest = text.get(at + 1..).unwrap_or_default();
        if let Some((code, width)) = reference(rest) {
            push_char(out.replace(at, at + 1 + width), code);
        }
    }
    out.finish()
}

/// The character a reference after `&` stands for, and its width.
fn reference(rest: &[u8]) -> Option<(u32, usize)> {
    let (radix, mark) = match rest {
        [b'#', b'x' | b'X', ..] => (16, 2),
        [b'#', ..] => (10, 1),
        _ => (0, 0),
    };
    // Browsers take any number of leading zeros.
    let zeros = rest
        .iter()
        .skip(mark)
        .take(if mark > 0 { ZEROS_MAX } else { 0 })
        .take_while(|b| **b == b'0')
        .count();
    let from = mark + zeros.saturating_sub(1);
    let rest = rest
        .get(from..rest.len().min(from + REFERENCE_BYTES_MAX))
        .unwrap_or_default();
    match radix {
        10 | 16 => number(rest, radix).map(|(code, width)| (code, width + from)),
        _ => {
            let width = rest.iter().position(|b| !b.is_ascii_alphanumeric())?;
            let semicolon = rest.get(width) == Some(&b';');
            let code = NAMED.meaning(rest.get(..width)?)?;
            let old = matches!(code, 0x3c | 0x3e | 0x22);
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
