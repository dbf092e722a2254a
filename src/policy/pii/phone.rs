//! Telephone numbers: E.164, and the ways they are written at home.

use super::number::Phrase;

/// How many digits an international number has (ITU-T E.164), its country code included.
const INTERNATIONAL: std::ops::RangeInclusive<usize> = 8..=15;

/// After a `+`: as many groups as make a number, if its country code is assigned.
pub(super) fn international(phrase: &Phrase<'_>) -> Option<usize> {
    let mut groups = 0;
    let mut digits = 0;
    for group in phrase.groups() {
        if digits + group.len() > *INTERNATIONAL.end() {
            break;
        }
        digits += group.len();
        groups += 1;
    }
    let number = phrase.digits(0, groups);
    let number = number.as_slice();
    let assigned = match number {
        [b'1', area, _, _, exchange, ..] => {
            digits == 11 && (b'2'..=b'9').contains(area) && (b'2'..=b'9').contains(exchange)
        }
        [b'0', ..] | [b'2', b'8', ..] | [b'8', b'3' | b'9', ..] => false,
        _ => true,
    };
    (INTERNATIONAL.contains(&digits) && assigned).then_some(groups)
}

/// A number without country code that its grouping gives away, from a group on; how many groups it takes.
pub(super) fn national(phrase: &Phrase<'_>, from: usize, lengths: &[u8; 7]) -> Option<usize> {
    match lengths {
        [1, 3, 3, 4, ..] => north_american(phrase, from, 4),
        [3, 3, 4, ..] => {
            north_american(phrase, from, 3).or_else(|| with_area_code(phrase, from, 3))
        }
        [2, 2, 2, 2, 2, ..] => french(phrase, from),
        [area @ 3..=5, line @ 3..=6, rest @ 3..=6, ..]
            if (10..=12).contains(&(area + line + rest)) =>
        {
            with_area_code(phrase, from, 3)
        }
        [area @ 3..=5, line @ 5..=9, ..] if (10..=12).contains(&(area + line)) => {
            with_area_code(phrase, from, 2)
        }
        _ => None,
    }
}

/// `212-555-0123`, `(212) 555-0123`, `212.555.0123`, a `1` before it or not.
fn north_american(phrase: &Phrase<'_>, from: usize, groups: usize) -> Option<usize> {
    let first = from + groups - 3;
    let (to_exchange, to_line) = (phrase.separator(first + 1), phrase.separator(first + 2));
    let written = match to_exchange {
        b'-' | b'.' => to_line == to_exchange,
        b'(' => matches!(to_line, b'-' | b' ' | b'.'),
        _ => false,
    };
    if !written || !phrase.stands_alone(from, groups) {
        return None;
    }
    let number = phrase.digits(from, groups);
    let plan = match (groups, number.as_slice()) {
        (4, [b'1', area, _, _, exchange, ..]) | (3, [area, _, _, exchange, ..]) => {
            (b'2'..=b'9').contains(area) && (b'2'..=b'9').contains(exchange)
        }
        _ => false,
    };
    plan.then_some(groups)
}

/// `01 23 45 67 89`
fn french(phrase: &Phrase<'_>, from: usize) -> Option<usize> {
    let written = matches!(phrase.separator(from + 1), b' ' | b'.' | b'-')
        && phrase.is_uniform(from, 5)
        && phrase.stands_alone(from, 5);
    let number = phrase.digits(from, 1);
    (written && matches!(number.as_slice(), [b'0', b'1'..=b'9'])).then_some(5)
}

/// `0171/1234567`, `020 7946 0958`, `030-1234567`: an area code that begins with 0, then the line.
fn with_area_code(phrase: &Phrase<'_>, from: usize, groups: usize) -> Option<usize> {
    let written = matches!(phrase.separator(from + 1), b' ' | b'/' | b'-')
        && phrase.is_uniform(from, groups)
        && phrase.stands_alone(from, groups);
    let area = phrase.digits(from, 1);
    (written && matches!(area.as_slice(), [b'0', b'1'..=b'9', ..])).then_some(groups)
}
