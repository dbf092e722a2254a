//! Names that say their value is a secret: one list for audit events and recordings.

/// A name says secret where it contains one of these, whatever its case and the signs between its words.
pub(crate) const WORDS: [&str; 17] = [
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "authorization",
    "authentication",
    "apikey",
    "credential",
    "privatekey",
    "accesskey",
    "signature",
    "cookie",
    "session",
    "sessid",
];

/// A name says secret where one of its words is one of these; within a word they mean nothing (`shipping`).
const WHOLE: [&[u8]; 18] = [
    b"pwd", b"pw", b"pass", b"pswd", b"pin", b"cvv", b"cvv2", b"cvc", b"cvc2", b"otp", b"totp",
    b"mfa", b"auth", b"jwt", b"sid", b"psk", b"bearer", b"passkey",
];

/// Bytes of a name that are looked at; a longer one is no name.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// Whether a name says that its value is a secret: `password`, `X-Api-Key`, `userPin`, `n.pwd`.
pub(crate) fn says_secret(name: &[u8]) -> bool {
    let name = name
        .get(..name.len().min(NAME_BYTES_MAX))
        .unwrap_or_default();
    let mut joined = [0; NAME_BYTES_MAX];
    let mut length = 0;
    for (free, byte) in joined
        .iter_mut()
        .zip(name.iter().filter(|b| b.is_ascii_alphanumeric()))
    {
        *free = byte.to_ascii_lowercase();
        length += 1;
    }
    let joined = joined.get(..length).unwrap_or_default();
    let begins = |at: usize| {
        let rest = joined.get(at..).unwrap_or_default();
        matches!(rest.first(), Some(b'a' | b'c' | b'p' | b's' | b't'))
            && WORDS.iter().any(|word| rest.starts_with(word.as_bytes()))
    };
    (0..joined.len()).any(begins) || has_whole_word(name)
}

/// Words end at signs, and where a capital follows a small letter.
fn has_whole_word(name: &[u8]) -> bool {
    let (mut begin, mut before) = (0, b'_');
    let is = |word: &[u8]| WHOLE.iter().any(|known| known.eq_ignore_ascii_case(word));
    for (at, byte) in name.iter().enumerate() {
        let hump = before.is_ascii_lowercase() && byte.is_ascii_uppercase();
        if hump || !byte.is_ascii_alphanumeric() {
            if name.get(begin..at).is_some_and(is) {
                return true;
            }
            begin = if hump { at } else { at + 1 };
        }
        before = *byte;
    }
    name.get(begin..).is_some_and(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_secret_in_any_spelling_and_others_do_not() {
        for name in [
            "password",
            "PASSWORD",
            "user.passwd",
            "pwd",
            "userPin",
            "card_cvv",
            "X-Api-Key",
            "api_key",
            "apiKey",
            "Authorization",
            "access_token",
            "JSESSIONID",
            "PHPSESSID",
            "connect.sid",
            "client-secret",
            "set-cookie",
            "newPassword[0]",
            "pin",
        ] {
            assert!(says_secret(name.as_bytes()), "{name}");
        }
        for name in [
            "shipping",
            "opinion",
            "compass",
            "author",
            "spinning",
            "key",
            "query",
            "name",
            "",
            "considered",
        ] {
            assert!(!says_secret(name.as_bytes()), "{name}");
        }
    }
}
