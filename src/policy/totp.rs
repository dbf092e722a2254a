//! One-time codes of an authenticator: TOTP (RFC 6238) with SHA-1, 30 seconds and six digits, which
//! is what every authenticator app speaks.
//!
//! A code is accepted from one step before to one step after the clock's, once: a code of a step
//! that was used, or of an earlier one, is refused. Wrong codes are counted by key, whatever network
//! they come from, and a row of them closes the key's codes for a time that doubles.

use std::fmt;
use std::time::Duration;

use ring::hmac;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::penalty::{Terms, doubled};
use crate::now::Now;

/// Bytes of a secret: the length RFC 4226 recommends.
pub const SECRET_BYTES: usize = 20;
/// Seconds of a step.
const STEP_SECS: i64 = 30;
/// Digits of a code.
const DIGITS: usize = 6;
/// How long codes stay closed at most.
const LOCK_MAX: Duration = Duration::from_secs(86_400);

/// What authenticator and gateway share.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret([u8; SECRET_BYTES]);

impl TotpSecret {
    /// Takes random bytes.
    pub fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for whoever seals them.
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// The address that authenticator apps read from a QR code; it holds the secret.
    pub fn otpauth_uri(&self, organization: &str, key: &str) -> String {
        let issuer = percent_encoded("RocketGraph");
        format!(
            "otpauth://totp/{issuer}:{}%20{}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_SECS}",
            percent_encoded(organization),
            percent_encoded(key),
            self.base32(),
        )
    }

    /// The secret as people type it into an authenticator (RFC 4648, base 32).
    pub fn base32(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut text = String::with_capacity(32);
        for five in self.0.chunks(5) {
            let word = five
                .iter()
                .fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            for position in (0..8).rev() {
                let digit = usize::try_from(word >> (position * 5) & 31).unwrap_or(0);
                text.push(ALPHABET.get(digit).copied().map_or('A', char::from));
            }
        }
        text
    }

    /// The code of a step (RFC 4226, 5.3).
    fn code(&self, step: u64) -> [u8; DIGITS] {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag.last().copied().unwrap_or(0) & 15);
        let word = tag
            .get(offset..offset + 4)
            .and_then(|bytes| bytes.first_chunk().copied())
            .map_or(0, u32::from_be_bytes)
            & 0x7fff_ffff;
        let mut rest = word;
        let mut code = [b'0'; DIGITS];
        for digit in code.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        code
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What became of a presented code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// Right, and used up.
    Accepted,
    /// Wrong, or used before.
    Wrong,
    /// Not looked at: too many were wrong.
    Locked {
        /// Until then, in microseconds since 1970.
        until_micros: i64,
    },
}

/// Why a request of a key of which a code is demanded is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeRefusal {
    /// None was presented.
    Missing,
    /// The key has no authenticator.
    NotEnrolled,
    /// A wrong one was presented, or one that was used.
    Wrong,
    /// None is looked at for now.
    Locked {
        /// When one is again.
        retry_after: Duration,
    },
}

impl CodeRefusal {
    /// One sentence for the caller.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Missing => "A one-time code is required in X-RG-Verification.",
            Self::NotEnrolled => {
                "A one-time code is required, and the API key is not enrolled for codes."
            }
            Self::Wrong => "The one-time code is wrong, or was used before.",
            Self::Locked { .. } => "Too many one-time codes were wrong.",
        }
    }
}

/// What is remembered of the codes of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codes {
    /// The step of the last accepted code.
    last_step: u64,
    /// Wrong codes in a row.
    wrong: u32,
    /// Rows of wrong codes since the last right one.
    locks: u32,
    /// No code is looked at until then.
    locked_until_micros: i64,
}

impl Codes {
    /// Judges one presented code.
    pub fn present(
        &mut self,
        secret: &TotpSecret,
        code: &[u8],
        terms: &Terms,
        now: Now,
    ) -> Presented {
        if now.unix_micros < self.locked_until_micros {
            return Presented::Locked {
                until_micros: self.locked_until_micros,
            };
        }
        let current = now.unix_secs().div_euclid(STEP_SECS).max(1).cast_unsigned();
        let mut matched = None;
        for step in [current - 1, current, current + 1] {
            // All three are compared, so that timing does not tell which one it was.
            if bool::from(secret.code(step).ct_eq(code)) {
                matched = Some(step);
            }
        }
        match matched {
            Some(step) if step > self.last_step => {
                *self = Self {
                    last_step: step,
                    ..Self::default()
                };
                Presented::Accepted
            }
            _ => {
                self.count_wrong(terms, now);
                Presented::Wrong
            }
        }
    }

    /// Whether forgetting it changes nothing: no code it has accepted could be accepted again.
    pub fn is_idle(&self, now: Now) -> bool {
        let current = now.unix_secs().div_euclid(STEP_SECS).max(0).cast_unsigned();
        self.wrong == 0 && self.locks == 0 && self.last_step.saturating_add(2) < current
    }

    fn count_wrong(&mut self, terms: &Terms, now: Now) {
        self.wrong += 1;
        if self.wrong >= terms.wrong_codes_max {
            let lock = doubled(terms.wrong_codes_lock, self.locks).min(LOCK_MAX);
            self.locked_until_micros = now.plus(lock).unix_micros;
            self.locks = self.locks.saturating_add(1);
            self.wrong = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::penalty::tests::{secs, terms};

    /// The secret of RFC 6238, appendix B.
    fn secret() -> TotpSecret {
        TotpSecret::new(*b"12345678901234567890")
    }

    fn at(unix_secs: i64) -> Now {
        Now {
            mono_nanos: 0,
            unix_micros: unix_secs * 1_000_000,
        }
    }

    fn code_at(now: Now) -> [u8; DIGITS] {
        secret().code(now.unix_secs().div_euclid(STEP_SECS).cast_unsigned())
    }

    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        // Appendix B gives eight digits; six are their end.
        for (time, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code_at(at(time)), eight.as_bytes()[2..], "{time}");
        }
    }

    #[test]
    fn the_vectors_of_rfc_4226_hold() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (step, code) in (0..).zip(codes) {
            assert_eq!(secret().code(step), code.as_bytes());
        }
    }

    #[test]
    fn a_code_is_accepted_one_step_early_or_late_and_no_further() {
        let now = at(1_800_000_000);
        for (offset, accepted) in [
            (-60, false),
            (-30, true),
            (0, true),
            (30, true),
            (60, false),
        ] {
            let code = code_at(at(1_800_000_000 + offset));
            let presented = Codes::default().present(&secret(), &code, &terms(), now);
            assert_eq!(presented == Presented::Accepted, accepted, "{offset}");
        }
    }

    #[test]
    fn a_used_code_and_an_earlier_one_are_refused() {
        let now = at(1_800_000_000);
        let mut codes = Codes::default();
        let present = |codes: &mut Codes, offset: i64| {
            let code = code_at(at(1_800_000_000 + offset));
            codes.present(&secret(), &code, &terms(), now)
        };
        assert_eq!(present(&mut codes, 0), Presented::Accepted);
        assert_eq!(present(&mut codes, 0), Presented::Wrong);
        assert_eq!(present(&mut codes, -30), Presented::Wrong);
        assert_eq!(present(&mut codes, 30), Presented::Accepted);
    }

    #[test]
    fn wrong_codes_close_the_codes_for_a_time_that_doubles() {
        let (terms, mut now) = (terms(), at(1_800_000_000));
        let mut codes = Codes::default();
        for minutes in [15_u64, 30, 60] {
            for _ in 0..5 {
                assert_eq!(
                    codes.present(&secret(), b"000000", &terms, now),
                    Presented::Wrong
                );
            }
            let right = code_at(now);
            let locked = codes.present(&secret(), &right, &terms, now);
            let until_micros = now.plus(secs(minutes * 60)).unix_micros;
            assert_eq!(
                locked,
                Presented::Locked { until_micros },
                "even a right code"
            );
            now = now.plus(secs(minutes * 60));
        }
        assert!(!codes.is_idle(now.plus(secs(86_400))));
        assert_eq!(
            codes.present(&secret(), &code_at(now), &terms, now),
            Presented::Accepted
        );
        assert!(!codes.is_idle(now) && codes.is_idle(now.plus(secs(120))));
    }

    #[test]
    fn what_is_no_code_counts_as_a_wrong_one() {
        let now = at(1_800_000_000);
        let mut codes = Codes::default();
        for code in [&b""[..], b"12345", b"1234567", b"abcdef", &[0xff; 6]] {
            assert_eq!(
                codes.present(&secret(), code, &terms(), now),
                Presented::Wrong
            );
        }
        assert!(matches!(
            codes.present(&secret(), &code_at(now), &terms(), now),
            Presented::Locked { .. }
        ));
    }

    #[test]
    fn the_address_for_authenticators_is_as_they_read_it() {
        let uri = secret().otpauth_uri("acme & co", "ab12CD34");
        assert_eq!(
            uri,
            "otpauth://totp/RocketGraph:acme%20%26%20co%20ab12CD34?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=RocketGraph&algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(format!("{:?}", secret()), "[redacted]");
    }
}
