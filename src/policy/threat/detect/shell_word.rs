//! One word of a shell's line, read as a shell reads it: without the quotes, carets and empty expansions in it.

use super::shell_words::strength;
use crate::policy::threat::bytes::{self, Classes, class_of};

/// Bytes of one word.
const WORD_BYTES_MAX: usize = 48;

/// What a command's name may be disguised with, or a pattern for it.
const DISGUISING: Classes = bytes::STRING
    | bytes::CARET
    | bytes::BACKSLASH
    | bytes::DOLLAR
    | bytes::SLASH
    | bytes::STAR
    | bytes::BRACKET;

/// Whether a text starts with a word that is no command's name, or with none, as far as that shows at once: nothing
/// in it could be a disguise. At the start of a value a name counts for nothing without one.
pub(super) fn is_other_word(text: &[u8], starts: bool) -> bool {
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let width = text.iter().position(|b| !is_name(b));
    let (word, after) = text
        .split_at_checked(width.unwrap_or(text.len()))
        .unwrap_or_default();
    let goes_on = after
        .first()
        .is_some_and(|b| *b == b'?' || class_of(*b) & DISGUISING != 0);
    let is_other = || {
        let word = word.strip_suffix(b".exe").unwrap_or(word);
        word.len() < WORD_BYTES_MAX && strength(word).is_none()
    };
    !goes_on && (starts || is_other())
}

/// A command's word as a shell reads it.
pub(super) struct Word {
    text: [u8; WORD_BYTES_MAX],
    pub(super) len: usize,
    /// Quotes, carets or empty expansions stood inside.
    pub(super) disguised: bool,
    pub(super) path: bool,
    pub(super) globs: usize,
    /// A comma ended it.
    pub(super) braced: bool,
    pub(super) end: usize,
}

impl Word {
    pub(super) fn name(&self) -> &[u8] {
        let word = self.text.get(..self.len).unwrap_or_default();
        word.strip_suffix(b".exe").unwrap_or(word)
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.text.get_mut(self.len) {
            *slot = byte.to_ascii_lowercase();
            self.len += 1;
        }
    }
}

pub(super) fn word(text: &[u8], from: usize) -> Word {
    let mut word = Word {
        text: [0; WORD_BYTES_MAX],
        len: 0,
        disguised: false,
        path: false,
        globs: 0,
        braced: false,
        end: from,
    };
    let (mut single, mut double) = (0_usize, 0_usize);
    let mut inside = false;
    while let Some(&byte) = text.get(word.end) {
        let rest = text.get(word.end..).unwrap_or_default();
        let width = match byte {
            b'\'' | b'"' | b'^' | b'\\' if rest.len() > 1 || byte == b'\'' || byte == b'"' => {
                single += usize::from(byte == b'\'');
                double += usize::from(byte == b'"');
                inside |= word.len > 0;
                1
            }
            b'$' => match expansion(rest) {
                0 => break,
                width => {
                    inside |= word.len > 0;
                    width
                }
            },
            b'/' => {
                word.len = 0;
                word.path = true;
                1
            }
            b'?' | b'*' => {
                word.globs += 1;
                word.push(byte);
                1
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'[' | b']' => {
                word.push(byte);
                1
            }
            _ => break,
        };
        word.end += width;
        if word.end - from > WORD_BYTES_MAX {
            break;
        }
    }
    word.braced = text.get(word.end) == Some(&b',');
    // Quotes that do not pair are apostrophes.
    word.disguised = inside && single % 2 == 0 && double % 2 == 0;
    word
}

/// The width of an expansion that is nothing: `$@`, `$*`, `$1`, `$()`.
fn expansion(rest: &[u8]) -> usize {
    match rest {
        [b'$', b'@' | b'*' | b'1'..=b'9', ..] => 2,
        [b'$', b'(', b')', ..] => 3,
        _ => 0,
    }
}
