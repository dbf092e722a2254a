//! Instants as RFC 3339 text: UTC, always six decimals, so that text order is time order.

/// Length of the text form, in bytes.
pub const TEXT_BYTES: usize = 27;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: what four year digits can say.
const MICROS_MIN: i64 = -62_135_596_800 * MICROS_PER_SECOND;
const MICROS_MAX: i64 = 253_402_300_800 * MICROS_PER_SECOND - 1;

/// Writes an instant as `2026-11-22T13:50:49.123456Z`.
///
/// Instants outside the years 1 to 9999 become the nearest one inside.
pub fn text(unix_micros: i64) -> [u8; TEXT_BYTES] {
    let micros = unix_micros.clamp(MICROS_MIN, MICROS_MAX);
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
    let mut out = *b"0000-00-00T00:00:00.000000Z";
    for (place, width, value) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, second_of_day / 3600),
        (14, 2, second_of_day / 60 % 60),
        (17, 2, second_of_day % 60),
        (20, 6, micros.rem_euclid(MICROS_PER_SECOND)),
    ] {
        let mut rest = value;
        for digit in out.iter_mut().skip(place).take(width).rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }
    out
}

/// Reads any RFC 3339 instant; `None` when it is none.
pub fn parse(text: &str) -> Option<i64> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(instant.as_microsecond())
}

/// Year, month and day of a day counted from 1970-01-01 (Hinnant, "chrono-compatible low-level date
/// algorithms": the year is shifted to begin in March, so that the leap day comes last).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
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
    let year = year_of_era + era * 400 + i64::from(month <= 2);
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
