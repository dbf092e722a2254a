//! What SQL's tokens are, and what is asked of a row of them.

/// What a token is, as far as injections care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A string; false when it is still open at the end of the text.
    Text {
        closed: bool,
        empty: bool,
    },
    /// `@x`, `@@x`, `:x`, `?`
    Variable,
    /// A word right before a bracket.
    Call,
    Word,
    /// AND, OR, XOR, `&&`, `||`
    Logic,
    Not,
    /// Comparisons, in signs and words.
    Compare {
        word: bool,
    },
    Arithmetic,
    Union,
    Select,
    From,
    Keyword,
    /// What is in it after its mark is blank.
    Comment {
        empty: bool,
    },
    Semicolon,
    Open,
    Close,
    Comma,
    Dot,
    Star,
    Other,
}

impl Kind {
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text { .. })
    }

    /// One of thirty-two bits. Kinds that nobody asks for share the first.
    pub(super) const fn bit(self) -> u32 {
        match self {
            Self::Logic => 1 << 1,
            Self::Union => 1 << 2,
            Self::Select => 1 << 3,
            Self::Semicolon => 1 << 4,
            _ => 1,
        }
    }

    /// A value that is not a bare word.
    pub(super) fn is_value(self) -> bool {
        matches!(
            self,
            Self::Number | Self::Text { .. } | Self::Variable | Self::Call
        )
    }
}

/// A token and the byte it starts at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) end: usize,
}

/// The kind at a position.
pub(super) fn kind(tokens: &[Token], at: usize) -> Option<Kind> {
    tokens.get(at).map(|t| t.kind)
}

/// The byte at which the token at a position starts.
pub(super) fn place(tokens: &[Token], at: usize) -> usize {
    tokens.get(at).map_or(0, |t| t.at)
}

/// The text of the token at a position.
pub(super) fn word_text<'t>(text: &'t [u8], tokens: &[Token], at: usize) -> &'t [u8] {
    tokens
        .get(at)
        .and_then(|t| text.get(t.at..t.end))
        .unwrap_or_default()
}

/// Whether the token at a position is one of these words, in any case.
pub(super) fn word_is(text: &[u8], tokens: &[Token], at: usize, words: &[&str]) -> bool {
    let word = word_text(text, tokens, at);
    words
        .iter()
        .any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
}

/// The position after the bracket that closes the one at `open`.
pub(super) fn call_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_u32;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}
