//! The word before a number: what it says the number is.

/// How far before a number its word may begin.
const WINDOW_BYTES: usize = 40;

/// What words say. Bits, since a key such as `"mobile_phone_id"` says several things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints(u16);

pub(super) const PHONE: Hints = Hints(1);
pub(super) const CARD: Hints = Hints(1 << 1);
pub(super) const SSN: Hints = Hints(1 << 2);
pub(super) const TAX: Hints = Hints(1 << 3);
pub(super) const DNI: Hints = Hints(1 << 4);
pub(super) const BSN: Hints = Hints(1 << 5);
pub(super) const PESEL: Hints = Hints(1 << 6);
pub(super) const CPF: Hints = Hints(1 << 7);
/// It names a thing or an instant.
pub(super) const THING: Hints = Hints(1 << 8);

impl Hints {
    pub(super) fn say(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }
}

/// What the words say that stand before a number, in its own pair, cell or sentence.
pub(super) fn before(text: &[u8], at: usize) -> Hints {
    let window = text
        .get(at.saturating_sub(WINDOW_BYTES)..at)
        .unwrap_or_default();
    let begin = window
        .iter()
        .rposition(|byte| matches!(byte, b',' | b';' | b'{' | b'&' | b'\n' | b'|'))
        .map_or(0, |at| at + 1);
    let own = window.get(begin..).unwrap_or_default();
    let mut hints = Hints::default();
    for (index, first) in own.iter().enumerate() {
        let rest = own.get(index..).unwrap_or_default();
        let previous = index.checked_sub(1).and_then(|at| own.get(at));
        for (word, what) in beginning_with(first.to_ascii_lowercase()) {
            if says(rest, word, previous) {
                hints.add(*what);
            }
        }
    }
    hints
}

/// Short words count only where they stand alone, as in `home_tel`, `orderId` or `ssn:`; not in `hotel`.
fn says(rest: &[u8], word: &[u8], previous: Option<&u8>) -> bool {
    let Some((head, tail)) = rest.split_at_checked(word.len()) else {
        return false;
    };
    if !head.eq_ignore_ascii_case(word) {
        return false;
    }
    if word.len() >= 5 {
        return true;
    }
    let starts = previous.is_none_or(|byte| {
        !byte.is_ascii_alphabetic()
            || byte.is_ascii_lowercase() && head.first().is_some_and(u8::is_ascii_uppercase)
    });
    let ends = tail.first().is_none_or(|byte| {
        !byte.is_ascii_alphabetic()
            || byte.is_ascii_uppercase() && head.last().is_some_and(u8::is_ascii_lowercase)
    });
    starts && ends
}

/// The words that begin with a letter, and what they say.
fn beginning_with(letter: u8) -> &'static [(&'static [u8], Hints)] {
    match letter {
        b'b' => &[(b"bsn", BSN), (b"burgerservice", BSN)],
        b'c' => &[
            (b"card", CARD),
            (b"cc", CARD),
            (b"credit", CARD),
            (b"cell", PHONE),
            (b"cpf", CPF),
            (b"created", THING),
        ],
        b'd' => &[(b"dni", DNI), (b"debit", CARD)],
        b'f' => &[(b"fax", PHONE)],
        b'h' => &[(b"handy", PHONE), (b"hash", THING)],
        b'i' => &[
            (b"id", THING),
            (b"ids", THING),
            (b"idnr", TAX),
            (b"index", THING),
        ],
        b'k' => &[(b"karte", CARD), (b"key", THING)],
        b'm' => &[(b"mobile", PHONE), (b"msisdn", PHONE), (b"mob", PHONE)],
        b'n' => &[(b"nif", DNI), (b"nie", DNI)],
        b'p' => &[(b"phone", PHONE), (b"pan", CARD), (b"pesel", PESEL)],
        b'r' => &[(b"ref", THING)],
        b's' => &[
            (b"ssn", SSN),
            (b"social", SSN),
            (b"steuer", TAX),
            (b"sofi", BSN),
            (b"sequence", THING),
            (b"serial", THING),
        ],
        b't' => &[
            (b"tel", PHONE),
            (b"telefon", PHONE),
            (b"telephone", PHONE),
            (b"tax", TAX),
            (b"tin", TAX),
            (b"time", THING),
            (b"timestamp", THING),
            (b"ts", THING),
        ],
        b'u' => &[(b"uuid", THING), (b"updated", THING)],
        b'v' => &[(b"visa", CARD), (b"version", THING)],
        b'w' => &[(b"whatsapp", PHONE)],
        _ => &[],
    }
}
