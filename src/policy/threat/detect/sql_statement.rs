//! SQL statements that a value brings along: UNION SELECT, stacked ones, and values that are one.

use super::sql_token::{Kind, Token, kind, place, word_is, word_text};
use super::sql_tokens::Tokens;
use crate::policy::threat::predicate::{Found, Predicate};

/// UNION SELECT, stacked and bare statements.
pub(super) fn statement(text: &[u8], tokens: &Tokens, found: &mut Found) {
    added(text, tokens, found);
    let first = tokens
        .iter()
        .position(|t| t.kind != Kind::Open)
        .unwrap_or(0);
    if starts_statement(text, tokens, first) || subselect(tokens) || commented_expression(tokens) {
        found.note(Predicate::SqlStatement, place(tokens, first));
    }
}

/// An expression of values and operators only, and an empty comment that cuts off what follows.
fn commented_expression(tokens: &[Token]) -> bool {
    let Some((last, expression)) = tokens.split_last() else {
        return false;
    };
    let joins = |k: Kind| {
        matches!(
            k,
            Kind::Logic
                | Kind::Compare { .. }
                | Kind::Arithmetic
                | Kind::Star
                | Kind::Call
                | Kind::Not
                | Kind::Select
        )
    };
    last.kind == (Kind::Comment { empty: true })
        && expression.iter().all(|t| {
            t.kind.is_value()
                || joins(t.kind)
                || matches!(
                    t.kind,
                    Kind::Open | Kind::Close | Kind::Comma | Kind::Keyword
                )
        })
        && expression.iter().any(|t| t.kind.is_value())
        && expression.iter().any(|t| joins(t.kind))
        && expression
            .iter()
            .any(|t| matches!(t.kind, Kind::Open | Kind::Text { .. } | Kind::Logic))
}

/// What is added to a statement: UNION SELECT, or another statement after a semicolon.
pub(super) fn added(text: &[u8], tokens: &Tokens, found: &mut Found) {
    if !tokens.have(Kind::Union.bit() | Kind::Semicolon.bit()) {
        return;
    }
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Union => {
                let mut next = at + 1;
                while matches!(kind(tokens, next), Some(Kind::Open | Kind::Keyword))
                    || word_text(text, tokens, next) == b"+"
                {
                    next += 1;
                }
                let valued = at
                    .checked_sub(1)
                    .and_then(|i| kind(tokens, i))
                    .is_some_and(Kind::is_value);
                let bare = next + 1 >= tokens.len() || kind(tokens, next + 1) == Some(Kind::Number);
                if kind(tokens, next) == Some(Kind::Select)
                    && (select_list(tokens, next + 1) || valued && bare)
                {
                    found.note(Predicate::SqlUnion, token.at);
                }
            }
            Kind::Semicolon if starts_statement(text, tokens, at + 1) => {
                found.note(Predicate::SqlStacked, token.at)
            }
            _ => {}
        }
    }
}

/// `( select …` with a select list, anywhere.
fn subselect(tokens: &Tokens) -> bool {
    tokens.have(Kind::Select.bit())
        && tokens.windows(2).enumerate().any(|(at, pair)| {
            matches!(pair, [a, b] if a.kind == Kind::Open && b.kind == Kind::Select)
                && select_list(tokens, at + 2)
        })
}

/// What follows SELECT is a list of columns rather than prose.
pub(super) fn select_list(tokens: &[Token], from: usize) -> bool {
    let mut at = from;
    while matches!(
        kind(tokens, at),
        Some(Kind::Keyword | Kind::Open | Kind::Arithmetic | Kind::Not)
    ) {
        at += 1;
        if counts_first(tokens, at) {
            at += 1;
        }
    }
    match kind(tokens, at) {
        Some(Kind::Number) => matches!(
            kind(tokens, at + 1),
            None | Some(
                Kind::Comma
                    | Kind::From
                    | Kind::Comment { .. }
                    | Kind::Close
                    | Kind::Semicolon
                    | Kind::Union
                    | Kind::Logic
                    | Kind::Compare { .. }
                    | Kind::Arithmetic
                    | Kind::Star
                    | Kind::Keyword
            )
        ),
        Some(Kind::Text { .. } | Kind::Variable | Kind::Call | Kind::Select) => true,
        Some(Kind::Star) => !matches!(
            kind(tokens, at + 1),
            Some(Kind::Word | Kind::Compare { word: true })
        ),
        Some(Kind::Word) => {
            let mut next = at + 1;
            while kind(tokens, next) == Some(Kind::Dot) {
                next += 2;
            }
            if next > at + 1 && kind(tokens, next - 1) == Some(Kind::Call) {
                return true;
            }
            match kind(tokens, next) {
                Some(Kind::From) => from_list(tokens, next + 1),
                // `name as alias from`
                Some(Kind::Keyword) => {
                    kind(tokens, next + 1) == Some(Kind::Word)
                        && kind(tokens, next + 2) == Some(Kind::From)
                        && from_list(tokens, next + 3)
                }
                Some(Kind::Comma) => tokens
                    .iter()
                    .skip(next)
                    .take(COLUMN_TOKENS_MAX)
                    .any(|t| t.kind == Kind::From || matches!(t.kind, Kind::Comment { .. })),
                Some(Kind::Word) => {
                    kind(tokens, next + 1) == Some(Kind::From)
                        && from_list(tokens, next + 2)
                        && tokens
                            .iter()
                            .skip(next)
                            .any(|t| t.kind == Kind::Dot || t.kind == Kind::Keyword)
                }
                Some(Kind::Close | Kind::Comment { .. }) => true,
                Some(Kind::Logic | Kind::Arithmetic | Kind::Star) => columns(tokens, next),
                _ => false,
            }
        }
        _ => false,
    }
}

/// `TOP 1 name`, `TOP 1 f(x)`
fn counts_first(tokens: &[Token], at: usize) -> bool {
    kind(tokens, at) == Some(Kind::Number)
        && matches!(
            kind(tokens, at + 1),
            Some(Kind::Word | Kind::Call | Kind::Variable | Kind::Text { .. })
        )
}

/// The rest of a list of columns that holds operators, up to its FROM and a table.
fn columns(tokens: &[Token], from: usize) -> bool {
    let listed = |t: &&Token| {
        t.kind.is_value()
            || matches!(
                t.kind,
                Kind::Word
                    | Kind::Dot
                    | Kind::Comma
                    | Kind::Logic
                    | Kind::Arithmetic
                    | Kind::Star
                    | Kind::Open
                    | Kind::Close
            )
    };
    let end = from
        + tokens
            .iter()
            .skip(from)
            .take(COLUMN_TOKENS_MAX)
            .take_while(listed)
            .count();
    kind(tokens, end) == Some(Kind::From) && from_list(tokens, end + 1)
        || kind(tokens, end) == Some(Kind::Comment { empty: true })
            && tokens
                .iter()
                .take(end)
                .skip(from)
                .any(|t| t.kind == Kind::Comma)
}

/// A table, then nothing that is prose.
fn from_list(tokens: &[Token], at: usize) -> bool {
    matches!(kind(tokens, at), Some(Kind::Word | Kind::Open | Kind::Call))
        && matches!(
            kind(tokens, at + 1),
            None | Some(
                Kind::Keyword
                    | Kind::Comma
                    | Kind::Dot
                    | Kind::Comment { .. }
                    | Kind::Semicolon
                    | Kind::Close
                    | Kind::Union
                    | Kind::Logic
                    | Kind::Select
            )
        )
}

/// Tokens of one list of columns.
const COLUMN_TOKENS_MAX: usize = 64;

/// What a schema's statements are about.
const OBJECTS: [&str; 9] = [
    "table",
    "database",
    "user",
    "view",
    "procedure",
    "function",
    "schema",
    "trigger",
    "login",
];

/// The longest word a statement starts with.
const STATEMENT_WORD_BYTES_MAX: usize = 8;

/// Whether a statement starts at a token, with the syntax prose has not.
pub(super) fn starts_statement(text: &[u8], tokens: &[Token], at: usize) -> bool {
    if kind(tokens, at) == Some(Kind::Select) {
        return select_list(tokens, at + 1);
    }
    // No other kind of token is one of the words below.
    if !matches!(
        kind(tokens, at),
        Some(Kind::Keyword | Kind::Word | Kind::Call)
    ) {
        return false;
    }
    let word = word_text(text, tokens, at);
    let mut lower = [0; STATEMENT_WORD_BYTES_MAX];
    let Some(lower) = lower.get_mut(..word.len()) else {
        return false;
    };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    let word: &[u8] = lower;
    let here = Here { text, tokens, at };
    match word {
        b"insert" | b"update" | b"delete" => here.changes_rows(word),
        b"drop" | b"truncate" | b"alter" | b"create" => here.changes_schema(word),
        b"declare" => here.next() == Some(Kind::Variable),
        b"set" => {
            here.next() == Some(Kind::Variable)
                && matches!(here.kind(2), Some(Kind::Compare { .. }))
        }
        b"begin" => here.is(1, &["declare"]),
        b"waitfor" => here.is(1, &["delay", "time"]) && here.kind(2).is_some_and(Kind::is_text),
        _ => here.runs(word),
    }
}

/// A place in a statement, with what stands ahead of it.
struct Here<'t> {
    text: &'t [u8],
    tokens: &'t [Token],
    at: usize,
}

impl Here<'_> {
    fn kind(&self, ahead: usize) -> Option<Kind> {
        kind(self.tokens, self.at + ahead)
    }

    fn next(&self) -> Option<Kind> {
        self.kind(1)
    }

    fn is(&self, ahead: usize, words: &[&str]) -> bool {
        word_is(self.text, self.tokens, self.at + ahead, words)
    }

    fn changes_rows(&self, word: &[u8]) -> bool {
        match word {
            b"insert" => {
                self.is(1, &["into"])
                    && (self.is(3, &["values", "select"])
                        || self.kind(2) == Some(Kind::Call)
                        || self.kind(3) == Some(Kind::Open))
            }
            b"update" => {
                self.next() == Some(Kind::Word)
                    && self.is(2, &["set"])
                    && matches!(self.kind(4), Some(Kind::Compare { .. } | Kind::Dot))
            }
            _ => {
                self.is(1, &["from"])
                    && self.kind(2) == Some(Kind::Word)
                    && match self.kind(3) {
                        None | Some(Kind::Semicolon) => self.at > 0,
                        Some(k) => matches!(k, Kind::Keyword | Kind::Comment { .. }),
                    }
            }
        }
    }

    fn changes_schema(&self, word: &[u8]) -> bool {
        if word == b"create" {
            return self.is(1, &OBJECTS) && self.kind(2) == Some(Kind::Call)
                || self.is(1, &["user", "login"])
                    && (self.kind(3).is_some_and(Kind::is_text)
                        || self.is(3, &["identified", "with"]));
        }
        let cut = matches!(self.kind(2), Some(Kind::Comment { empty: true }));
        if self.next() == Some(Kind::Word) && cut {
            return true;
        }
        // `Drop table saloon` is a name; after something else it is a statement.
        self.is(1, &OBJECTS)
            && match self.kind(3) {
                None => self.at > 0,
                Some(k) => matches!(
                    k,
                    Kind::Comment { .. } | Kind::Semicolon | Kind::Text { .. }
                ),
            }
    }

    /// EXEC, IF, GRANT, SHUTDOWN.
    fn runs(&self, word: &[u8]) -> bool {
        match word {
            b"exec" | b"execute" => {
                let name = word_text(self.text, self.tokens, self.at + 1).to_ascii_lowercase();
                let argument = self.kind(2).is_some_and(Kind::is_value);
                self.next() == Some(Kind::Variable)
                    || self.next() == Some(Kind::Open) && argument
                    || self.kind(2) == Some(Kind::Dot)
                    || name.starts_with(b"sp_")
                    || name.starts_with(b"xp_")
            }
            b"if" => {
                let mut rest = self.tokens.iter().skip(self.at + 2);
                matches!(self.next(), Some(Kind::Number | Kind::Open))
                    && rest
                        .by_ref()
                        .take(3)
                        .any(|t| matches!(t.kind, Kind::Compare { word: false }))
                    && rest.any(|t| matches!(t.kind, Kind::Select | Kind::Keyword))
            }
            b"grant" | b"revoke" => {
                let rights = [
                    "all", "select", "insert", "update", "delete", "create", "execute",
                ];
                self.is(1, &rights) && (2..6).any(|i| self.is(i, &["on", "privileges"]))
            }
            b"shutdown" => match self.next() {
                None => self.at > 0,
                Some(Kind::Comment { empty: true } | Kind::Semicolon) => true,
                Some(_) => self.is(1, &["with"]) && self.is(2, &["nowait"]),
            },
            _ => false,
        }
    }
}
