//! International bank account numbers (ISO 13616): length by country, check digits modulo 97.

use super::closes;

/// The longest registered number.
const BYTES_MAX: usize = 34;

/// Registered countries and the length of their numbers, sorted.
const LENGTHS: [(&[u8; 2], u8); 79] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NL", 18),
    (b"NO", 15),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

/// Where the number that begins at a place ends; written in one piece or in groups of four.
pub(super) fn end(text: &[u8], at: usize) -> Option<usize> {
    let country = text.get(at..)?.first_chunk::<2>()?;
    let known = LENGTHS.binary_search_by(|(known, _)| (*known).cmp(country));
    let length = usize::from(LENGTHS.get(known.ok()?)?.1);
    let mut characters = [0; BYTES_MAX];
    let mut end = at;
    for (index, kept) in characters.iter_mut().take(length).enumerate() {
        if index > 0 && index.is_multiple_of(4) && text.get(end) == Some(&b' ') {
            end += 1;
        }
        *kept = *text.get(end).filter(|byte| byte.is_ascii_alphanumeric())?;
        end += 1;
    }
    let characters = characters.get(..length)?;
    (closes(text, end) && remainder(characters) == 1).then_some(end)
}

/// The number with its first four characters at the end and letters as 10 to 35, modulo 97.
fn remainder(characters: &[u8]) -> u32 {
    let (head, tail) = characters.split_at(4.min(characters.len()));
    tail.iter().chain(head).fold(0, |rest, character| {
        let value = char::from(*character).to_digit(36).unwrap_or(0);
        let shifted = if value > 9 { rest * 100 } else { rest * 10 };
        (shifted + value) % 97
    })
}
