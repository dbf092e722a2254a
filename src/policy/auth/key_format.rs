//! The form of our own API keys: `rg_{live|test}_{id}_{secret}{checksum}`.
//!
//! ```text
//! rg_live_ab12CD34_0123456789abcdefghijABCDEFGHIJ01_checksum is 6 more, joined to the secret
//! ------- -------- -------------------------------- ------
//! 7       8        32 base62, 190 bits              6 base62: CRC-32 of all before it
//! ```
//!
//! The prefix lets secret scanners find a leaked key, the id names the key in the clear, and the
//! checksum refuses a mistyped key without a look-up. The checksum is no defence: anybody can
//! compute it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Length of every key of our own format, in bytes.
pub const KEY_BYTES: usize = PREFIX_BYTES + ID_BYTES + 1 + SECRET_BYTES + CHECKSUM_BYTES;

const PREFIX_BYTES: usize = 8;
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 6;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key is meant for. The gateway treats both alike; the prefix is for people and scanners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Environment {
    /// `rg_live_`: real traffic.
    Live,
    /// `rg_test_`: trials.
    Test,
}

impl Environment {
    /// The word inside the key: `live` or `test`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Live => "rg_live_",
            Self::Test => "rg_test_",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "live" => Ok(Self::Live),
            "test" => Ok(Self::Test),
            _ => Err(Malformed::Prefix),
        }
    }
}

/// The public part of a key: eight base62 characters, safe to log and to show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Invariant: only base62 bytes get in, so this is always UTF-8.
        std::str::from_utf8(&self.0).unwrap_or("")
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let id = <[u8; ID_BYTES]>::try_from(bytes).map_err(|_| Malformed::Length)?;
        all_base62(&id)
            .then_some(Self(id))
            .ok_or(Malformed::Alphabet)
    }
}

impl Hash for KeyId {
    /// One word, so that a map may take it as it is.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_le_bytes(self.0));
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.as_str())
    }
}

impl FromStr for KeyId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::from_bytes(text.as_bytes())
    }
}

/// A key of our own format whose checksum holds. It says nothing about whether the key exists.
#[derive(Clone, Copy)]
pub struct ParsedKey<'a> {
    /// `live` or `test`.
    pub environment: Environment,
    /// The public part.
    pub id: KeyId,
    /// The whole key, secret included.
    pub whole: &'a str,
}

impl fmt::Debug for ParsedKey<'_> {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParsedKey(rg_{}_{}_…)", self.environment, self.id)
    }
}

/// Why a text is no key of our own format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither `rg_live_` nor `rg_test_`.
    #[error("the key does not begin with rg_live_ or rg_test_")]
    Prefix,
    /// Not [`KEY_BYTES`] long, or the id is not eight characters.
    #[error("the key is too short or too long")]
    Length,
    /// A character outside base62, or no underscore after the id.
    #[error("the key has a character that keys do not have")]
    Alphabet,
    /// All of the right form, yet mistyped.
    #[error("the key's checksum does not hold")]
    Checksum,
}

/// True when a text claims to be a key of our own format, whole or not.
pub fn has_our_prefix(text: &str) -> bool {
    split_prefix(text).is_some()
}

/// Reads a key offline: prefix, length, alphabet, checksum.
///
/// # Errors
///
/// The first of these that does not hold, as [`Malformed`].
pub fn parse(text: &str) -> Result<ParsedKey<'_>, Malformed> {
    let (environment, rest) = split_prefix(text).ok_or(Malformed::Prefix)?;
    if text.len() != KEY_BYTES {
        return Err(Malformed::Length);
    }
    let (id, rest) = rest
        .as_bytes()
        .split_at_checked(ID_BYTES)
        .ok_or(Malformed::Length)?;
    let Some((b'_', secret_and_checksum)) = rest.split_first() else {
        return Err(Malformed::Alphabet);
    };
    let id = KeyId::from_bytes(id)?;
    if !all_base62(secret_and_checksum) {
        return Err(Malformed::Alphabet);
    }
    let (body, claimed) = text
        .split_at_checked(KEY_BYTES - CHECKSUM_BYTES)
        .ok_or(Malformed::Length)?;
    if checksum(body.as_bytes()) != claimed.as_bytes() {
        return Err(Malformed::Checksum);
    }
    Ok(ParsedKey {
        environment,
        id,
        whole: text,
    })
}

/// Makes a new key out of 32 random bytes; the same bytes make the same key.
///
/// The seed is stretched with BLAKE3's extendable output, and bytes from 248 up are passed over,
/// so every base62 character is equally likely. 40 of them carry 238 bits, less than the seed has.
pub fn mint(environment: Environment, seed: &[u8; 32]) -> (KeyId, String) {
    let mut stream = blake3::Hasher::new_keyed(seed).finalize_xof();
    let id = KeyId(std::array::from_fn(|_| random_base62(&mut stream)));
    let secret: [u8; SECRET_BYTES] = std::array::from_fn(|_| random_base62(&mut stream));

    let mut key = String::with_capacity(KEY_BYTES);
    key.push_str(environment.prefix());
    key.push_str(id.as_str());
    key.push('_');
    key.extend(secret.map(char::from));
    let checksum = checksum(key.as_bytes());
    key.extend(checksum.map(char::from));
    (id, key)
}

fn split_prefix(text: &str) -> Option<(Environment, &str)> {
    [Environment::Live, Environment::Test]
        .into_iter()
        .find_map(|environment| Some((environment, text.strip_prefix(environment.prefix())?)))
}

fn all_base62(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_alphanumeric)
}

/// CRC-32 (ISO-HDLC) as six base62 digits, the most significant first; 62^6 exceeds 2^32.
fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; CHECKSUM_BYTES];
    for digit in digits.iter_mut().rev() {
        *digit = base62_digit(rest % 62);
        rest /= 62;
    }
    digits
}

fn random_base62(stream: &mut blake3::OutputReader) -> u8 {
    // Unbounded in form only: a round repeats with probability 8/256.
    loop {
        let mut byte = [0_u8];
        stream.fill(&mut byte);
        let [byte] = byte;
        if byte < 248 {
            return base62_digit(u32::from(byte % 62));
        }
    }
}

fn base62_digit(value: u32) -> u8 {
    usize::try_from(value)
        .ok()
        .and_then(|at| BASE62.get(at))
        .copied()
        .unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minted(environment: Environment) -> String {
        mint(environment, &[7; 32]).1
    }

    #[test]
    fn a_minted_key_parses_to_its_own_id() {
        for environment in [Environment::Live, Environment::Test] {
            let (id, key) = mint(environment, &[3; 32]);
            let parsed = parse(&key).unwrap();
            assert_eq!((parsed.environment, parsed.id), (environment, id));
            assert_eq!((parsed.whole, key.len()), (key.as_str(), KEY_BYTES));
            assert!(!format!("{parsed:?}").contains(&key[20..40]));
        }
    }

    #[test]
    fn the_checksum_is_zero_padded_crc32_in_base62() {
        // CRC-32 of "123456789" is 0xCBF43926 = 3421780262.
        let mut value = 0_u64;
        for digit in checksum(b"123456789") {
            let at = BASE62.iter().position(|&b| b == digit).unwrap();
            value = value * 62 + at as u64;
        }
        assert_eq!(value, 3_421_780_262);
        assert_eq!(&checksum(b""), b"000000");
    }

    #[test]
    fn each_kind_of_damage_is_named() {
        let key = minted(Environment::Live);
        let wrong_last = if key.ends_with('0') { "1" } else { "0" };
        let cases = [
            (String::new(), Malformed::Prefix),
            (key.replace("rg_live_", "rg_prod_"), Malformed::Prefix),
            (format!("{key}0"), Malformed::Length),
            (key[..KEY_BYTES - 1].to_owned(), Malformed::Length),
            (format!("rg_live_{}", "é".repeat(47)), Malformed::Length),
            (
                format!("{}-{}", &key[..20], &key[21..]),
                Malformed::Alphabet,
            ),
            (
                format!("{}x{}", &key[..16], &key[17..]),
                Malformed::Alphabet,
            ),
            (
                format!("{}{wrong_last}", &key[..KEY_BYTES - 1]),
                Malformed::Checksum,
            ),
            (key.replace("rg_live_", "rg_test_"), Malformed::Checksum),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(&text).unwrap_err(), expected, "{text}");
        }
    }

    #[test]
    fn no_character_is_favoured() {
        let mut seen = [0_u32; 128];
        for n in 0_u32..2_000 {
            let mut seed = [0; 32];
            seed[..4].copy_from_slice(&n.to_le_bytes());
            for byte in mint(Environment::Live, &seed)
                .1
                .bytes()
                .skip(17)
                .take(SECRET_BYTES)
            {
                seen[usize::from(byte)] += 1;
            }
        }
        // 64,000 draws over 62 characters: 1,032 each, standard deviation 32.
        for byte in BASE62 {
            assert!((870..1_195).contains(&seen[usize::from(*byte)]), "{byte}");
        }
    }

    #[test]
    fn an_id_keeps_its_width_in_tables() {
        let id: KeyId = "ab12CD34".parse().unwrap();
        assert_eq!(format!("{id:>10}|"), "  ab12CD34|");
        assert!("ab12CD3".parse::<KeyId>().is_err() && "ab12CD3_".parse::<KeyId>().is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_admits_only_whole_keys(text in ".{0,80}") {
            prop_assert!(parse(&text).is_err());
        }

        #[test]
        fn one_changed_character_is_always_caught(seed: [u8; 32], at in 17..KEY_BYTES, to in "[0-9A-Za-z]") {
            let (_, key) = mint(Environment::Live, &seed);
            prop_assume!(key[at..=at] != to);
            let changed = format!("{}{to}{}", &key[..at], &key[at + 1..]);
            prop_assert_eq!(parse(&changed).unwrap_err(), Malformed::Checksum);
        }
    }
}
