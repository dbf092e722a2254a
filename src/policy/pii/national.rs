//! Numbers that states give to persons: their shapes and check digits.

/// The value of each digit.
fn values(digits: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone {
    digits.iter().map(|digit| u32::from(digit & 0x0f))
}

fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    values(digits)
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

fn number(digits: &[u8]) -> u64 {
    values(digits).fold(0, |sum, digit| sum * 10 + u64::from(digit))
}

/// United States: what was never assigned is none.
pub(super) fn us_ssn(digits: &[u8]) -> bool {
    let (Some(area), Some(group), Some(serial)) =
        (digits.get(..3), digits.get(3..5), digits.get(5..9))
    else {
        return false;
    };
    digits.len() == 9
        && !matches!(number(area), 0 | 666 | 900..)
        && number(group) != 0
        && number(serial) != 0
}

/// Germany: one of the first ten digits comes twice or thrice, and the last checks (ISO 7064, MOD 11,10).
pub(super) fn de_tax_id(digits: &[u8]) -> bool {
    let (Some(first), Some([check])) = (digits.get(..10), digits.get(10..)) else {
        return false;
    };
    let mut times = [0_u8; 10];
    for digit in values(first) {
        if let Some(times) = times.get_mut(digit as usize) {
            *times += 1;
        }
    }
    let repeated = times.iter().filter(|times| **times > 1).count();
    let at_most = times.iter().max().copied().unwrap_or(0);
    let product = values(first).fold(10, |product, digit| {
        let sum = match (digit + product) % 10 {
            0 => 10,
            sum => sum,
        };
        sum * 2 % 11
    });
    digits.first() != Some(&b'0')
        && repeated == 1
        && at_most <= 3
        && (11 - product) % 10 == u32::from(check & 0x0f)
}

/// France: sex, year, month, place, order, and 97 less the rest of all before.
pub(super) fn fr_nir(digits: &[u8]) -> bool {
    let (Some(body), Some(key)) = (digits.get(..13), digits.get(13..15)) else {
        return false;
    };
    let month = digits.get(3..5).map_or(0, number);
    let place = digits.get(5..7).map_or(0, number);
    digits.len() == 15
        && matches!(digits.first(), Some(b'1' | b'2'))
        && matches!(month, 1..=12 | 20..=42 | 50..=99)
        && place > 0
        && number(key) == 97 - number(body) % 97
}

/// Spain: eight digits, or X, Y or Z and seven, and the letter their rest modulo 23 stands for.
pub(super) fn es_dni(first: Option<u8>, digits: &[u8], letter: u8) -> bool {
    let prefix = match first {
        None => Some(0),
        Some(b'X') => Some(0),
        Some(b'Y') => Some(10_000_000),
        Some(b'Z') => Some(20_000_000),
        Some(_) => None,
    };
    let expected = if first.is_none() { 8 } else { 7 };
    let Some(prefix) = prefix.filter(|_| digits.len() == expected) else {
        return false;
    };
    let rest = usize::try_from((prefix + number(digits)) % 23).unwrap_or(0);
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(rest) == Some(&letter)
}

/// United Kingdom: two letters of those used, six digits, a letter from A to D.
pub(super) fn uk_nino(letters: [u8; 2], suffix: u8) -> bool {
    let [first, second] = letters;
    let used = |letter: u8| letter.is_ascii_uppercase() && !b"DFIQUV".contains(&letter);
    used(first)
        && used(second)
        && second != b'O'
        && ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&letters)
        && matches!(suffix, b'A'..=b'D')
}

/// Italy: name, birth and place in letters and digits, and a letter that checks all before.
pub(super) fn it_fiscal_code(code: &[u8]) -> bool {
    let shape = b"AAAAAA99A99A999A";
    let shaped = code.len() == shape.len()
        && code.iter().zip(shape).all(|(byte, of)| match of {
            b'9' => byte.is_ascii_digit(),
            _ => byte.is_ascii_uppercase(),
        });
    let month = code
        .get(8)
        .is_some_and(|month| b"ABCDEHLMPRST".contains(month));
    let odd = |value: usize| {
        const VALUES: [u32; 26] = [
            1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25,
            24, 23,
        ];
        VALUES.get(value).copied().unwrap_or(0)
    };
    let sum: u32 = code
        .iter()
        .take(15)
        .enumerate()
        .map(|(index, byte)| {
            let value = match byte {
                b'0'..=b'9' => byte - b'0',
                _ => byte.wrapping_sub(b'A'),
            };
            if index.is_multiple_of(2) {
                odd(usize::from(value))
            } else {
                u32::from(value)
            }
        })
        .sum();
    let letter = u8::try_from(sum % 26).unwrap_or(0) + b'A';
    shaped && month && code.last() == Some(&letter)
}

/// Netherlands: the weighted sum is a multiple of eleven.
pub(super) fn nl_bsn(digits: &[u8]) -> bool {
    let Some((check, rest)) = digits.split_last().filter(|_| digits.len() == 9) else {
        return false;
    };
    let sum = weighted(rest, &[9, 8, 7, 6, 5, 4, 3, 2]);
    sum > 0 && sum % 11 == u32::from(check & 0x0f)
}

/// Poland: a day of birth, and a last digit that makes the weighted sum a multiple of ten.
pub(super) fn pl_pesel(digits: &[u8]) -> bool {
    let month = digits.get(2..4).map_or(0, number) % 20;
    let day = digits.get(4..6).map_or(0, number);
    digits.len() == 11
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
}

/// Brazil: two last digits that check those before, and not one digit all over.
pub(super) fn br_cpf(digits: &[u8]) -> bool {
    let checks = |length: usize| {
        let Some((before, [check, ..])) = digits.split_at_checked(length) else {
            return false;
        };
        let sum: u32 = values(before)
            .rev()
            .zip(2..)
            .map(|(digit, weight)| digit * weight)
            .sum();
        let expected = match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        };
        u32::from(check & 0x0f) == expected
    };
    digits.len() == 11
        && digits.iter().any(|digit| Some(digit) != digits.first())
        && checks(9)
        && checks(10)
}
