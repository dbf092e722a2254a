//! Instants as RFC 3339 text: UTC, always six decimals, so that text order is time order.

use std::cell::Cell;

/// Length of the text form, in bytes.
pub const TEXT_BYTES: usize = 27;

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: what four year digits can say.
const MICROS_MIN: i64 = -62_135_596_800_000_000;
const MICROS_MAX: i64 = 253_402_300_799_999_999;

/// Length of the text up to the fraction's digits, in bytes.
const WHOLE_BYTES: usize = 20;

thread_local! {
    /// The last second written by this thread: most events of a busy thread share it with the one before.
    static LAST_SECOND: Cell<(u64, [u8; WHOLE_BYTES])> = const { Cell::new((u64::MAX, [0; WHOLE_BYTES])) };
}

/// Writes an instant as `2026-11-22T13:50:49.123456Z`.
///
/// Instants outside the years 1 to 9999 become the nearest one inside.
pub fn text(unix_micros: i64) -> [u8; TEXT_BYTES] {
    let micros = unix_micros.clamp(MICROS_MIN, MICROS_MAX);
    // Counted from the year 1, all that follows is unsigned.
    let since = micros.abs_diff(MICROS_MIN);
    let (seconds, fraction) = (since / MICROS_PER_SECOND, since % MICROS_PER_SECOND);
    let (mut second, mut whole) = LAST_SECOND.get();
    if second != seconds {
        (second, whole) = (seconds, whole_text(seconds));
        LAST_SECOND.set((second, whole));
    }
    let mut out = [b'Z'; TEXT_BYTES];
    let (front, back) = out.split_at_mut(WHOLE_BYTES);
    front.copy_from_slice(&whole);
    let pairs = [fraction / 10_000, fraction / 100 % 100, fraction % 100].map(two);
    for (place, pair) in back.as_chunks_mut().0.iter_mut().zip(pairs) {
        *place = pair;
    }
    out
}

/// The text of a second counted from the year 1, up to the point.
fn whole_text(seconds: u64) -> [u8; WHOLE_BYTES] {
    let second_of_day = seconds % SECONDS_PER_DAY;
    let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year % 100));
    let ([m1, m2], [d1, d2]) = (two(month), two(day));
    let [h1, h2] = two(second_of_day / 3600);
    let [i1, i2] = two(second_of_day / 60 % 60);
    let [s1, s2] = two(second_of_day % 60);
    [
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'.',
    ]
}

/// The two decimal digits of a number below 100.
fn two(number: u64) -> [u8; 2] {
    let [number, ..] = number.to_le_bytes();
    [b'0' + number / 10, b'0' + number % 10]
}

/// Reads any RFC 3339 instant; `None` when it is none.
pub fn parse(text: &str) -> Option<i64> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(instant.as_microsecond())
}

/// Year, month and day of a day counted from 0001-01-01 (Hinnant, "chrono-compatible low-level date
/// algorithms": the year is shifted to begin in March, so that the leap day comes last).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 306;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// For `#[serde(with)]` on a field of microseconds since 1970.
pub(crate) mod rfc3339 {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature serde asks for"
    )]
    pub(crate) fn serialize<S: Serializer>(micros: &i64, to: S) -> Result<S::Ok, S::Error> {
        let text = super::text(*micros);
        to.serialize_str(std::str::from_utf8(&text).map_err(S::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        super::parse(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 instant"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(micros: i64) -> String {
        String::from_utf8(text(micros).to_vec()).unwrap()
    }

    #[test]
    fn known_instants_are_written_in_full() {
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(951_782_400_000_001), "2000-02-29T00:00:00.000001Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(shown(i64::MAX), "9999-12-31T23:59:59.999999Z");
        assert_eq!(shown(i64::MIN), "0001-01-01T00:00:00.000000Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in MICROS_MIN..MICROS_MAX - 86_400_000_000) {
            prop_assert_eq!(parse(&shown(micros)), Some(micros));
        }
    }
}
