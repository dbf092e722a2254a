//! Cypher, read the way the database reads it: tokens first, meaning from their order.
//!
//! [`read`] takes the text of a statement and says what it does ([`QueryFacts`]: class, cost, shape)
//! and what speaks for an injection or an abuse ([`Finding`]s with their places). [`value`] looks at a
//! value that is *not* a statement for text that would break out of one. Nothing here parses a
//! grammar: a statement no grammar knows is no attack. All passes are linear in the text, which is
//! read up to [`TEXT_BYTES_MAX`].

mod allowance;
mod constant;
mod cost;
mod evidence;
mod facts;
mod holds;
mod keyword;
mod lexer;
pub(crate) mod memo;
mod pattern;
mod procedure;
mod reach;
mod regex;
mod signs;
mod syntax;
mod unfiltered;
pub mod value;

use std::cell::RefCell;

use memo::Memo;

pub use allowance::ComplexityAllowance;
pub use facts::{ComplexityClass, QueryClass, QueryFacts};
pub use keyword::Keyword;
pub use lexer::{Kind, Open, Token, Tokens, blank, tokens, unescape};
pub use procedure::{AllowList, ProcedurePattern, Procedures, WrongPattern};

/// A statement is analysed up to this; a longer one is [`Finding::Oversize`].
pub const TEXT_BYTES_MAX: usize = 65_536;

/// Brackets nest at most this deep; deeper is [`Finding::Nesting`].
pub const NESTING_MAX: u32 = 40;

/// One kind of evidence in a statement or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Finding {
    /// The last line comment hides the rest of a template: it starts with a closing quote or bracket.
    CommentTruncation,
    /// A literal, name or block comment is left open.
    Unterminated,
    /// OR/XOR with a condition that is always true.
    Tautology,
    /// A constant is returned, then UNION, and a comment ends it.
    UnionAfterConstant,
    /// `\uXXXX` outside a literal spells keywords or punctuation.
    EscapedSyntax,
    /// More than one statement.
    Stacked,
    /// LOAD CSV.
    LoadCsv,
    /// A procedure or function that reaches beyond the graph, runs text or administers.
    DeniedProcedure,
    /// An administration command.
    AdminCommand,
    /// Estimated work is extreme.
    ExtremeCost,
    /// A regular expression with nested repetition.
    RegexRepetition,
    /// A write over the whole graph without a filter.
    UnfilteredWrite,
    /// Brackets nest too deep.
    Nesting,
    /// The statement is too long to be read whole, or has too many terms.
    Oversize,
    /// A value breaks out of a string literal and goes on in Cypher.
    ValueBreakout,
    /// A value breaks out of a pattern or map and goes on in Cypher.
    PatternBreakout,
}

impl Finding {
    /// Every finding, in order.
    pub const ALL: [Self; 16] = [
        Self::CommentTruncation,
        Self::Unterminated,
        Self::Tautology,
        Self::UnionAfterConstant,
        Self::EscapedSyntax,
        Self::Stacked,
        Self::LoadCsv,
        Self::DeniedProcedure,
        Self::AdminCommand,
        Self::ExtremeCost,
        Self::RegexRepetition,
        Self::UnfilteredWrite,
        Self::Nesting,
        Self::Oversize,
        Self::ValueBreakout,
        Self::PatternBreakout,
    ];

    /// The name rules use for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommentTruncation => "cypher.comment_truncation",
            Self::Unterminated => "cypher.unterminated",
            Self::Tautology => "cypher.tautology",
            Self::UnionAfterConstant => "cypher.union_after_constant",
            Self::EscapedSyntax => "cypher.escaped_syntax",
            Self::Stacked => "cypher.stacked_statements",
            Self::LoadCsv => "cypher.load_csv",
            Self::DeniedProcedure => "cypher.denied_procedure",
            Self::AdminCommand => "cypher.admin_command",
            Self::ExtremeCost => "cypher.extreme_cost",
            Self::RegexRepetition => "cypher.regex_repetition",
            Self::UnfilteredWrite => "cypher.unfiltered_write",
            Self::Nesting => "cypher.nesting",
            Self::Oversize => "cypher.oversize",
            Self::ValueBreakout => "cypher.value_breakout",
            Self::PatternBreakout => "cypher.pattern_breakout",
        }
    }
}

/// Findings with the byte each stands at; at most one of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<(Finding, u32)>);

impl Findings {
    /// Notes a finding at a byte of the text; the first of its kind stays.
    pub fn note(&mut self, finding: Finding, at: u32) {
        if !self.has(finding) {
            self.0.push((finding, at));
        }
    }

    /// Whether a finding was noted.
    pub fn has(&self, finding: Finding) -> bool {
        self.0.iter().any(|(f, _)| *f == finding)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, in the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = (Finding, u32)> + '_ {
        self.0.iter().copied()
    }
}

thread_local! {
    /// Statements nothing spoke against, by what they may call.
    static CLEAN: RefCell<Memo<QueryFacts>> = const { RefCell::new(Memo::new()) };
}

/// What a statement does that this thread read before and found nothing in, where it may call the same.
pub fn recall(text: &[u8], procedures: &Procedures) -> Option<QueryFacts> {
    CLEAN.with_borrow(|clean| clean.recall(procedures.number(), text).cloned())
}

/// Reads a statement that may call what holds without a list.
pub fn read(text: &[u8]) -> (QueryFacts, Findings) {
    read_by(text, &Procedures::default())
}

/// Reads a statement: what it does, and what speaks against it.
pub fn read_by(text: &[u8], procedures: &Procedures) -> (QueryFacts, Findings) {
    if let Some(facts) = recall(text, procedures) {
        return (facts, Findings::default());
    }
    let (facts, findings) = read_anew(text, procedures);
    if findings.is_empty() {
        let scope = procedures.number();
        CLEAN.with_borrow_mut(|clean| clean.keep(scope, text, || facts.clone()));
    }
    (facts, findings)
}

fn read_anew(text: &[u8], procedures: &Procedures) -> (QueryFacts, Findings) {
    let mut findings = Findings::default();
    if text.len() > TEXT_BYTES_MAX {
        findings.note(Finding::Oversize, 0);
    }
    let text = text
        .get(..text.len().min(TEXT_BYTES_MAX))
        .unwrap_or_default();
    let mut list = tokens(text);
    let unescaped = if list.stray_backslash {
        unescape(text)
    } else {
        None
    };
    let read_text = unescaped.as_deref().unwrap_or(text);
    if unescaped.is_some() {
        findings.note(Finding::EscapedSyntax, 0);
        list = tokens(read_text);
    }
    evidence::collect(read_text, &list, &mut findings);
    let reach = reach::collect(read_text, &list, procedures, &mut findings);
    let cost = cost::estimate(read_text, &list, &mut findings);
    (facts::sum_up(read_text, &list, reach, cost), findings)
}

/// Whether a text reads as a statement, by its first words and the signs after them.
///
/// `expected` says the field is meant for queries, where the first keyword is enough.
pub fn is_statement(text: &[u8], expected: bool) -> bool {
    use Keyword as K;
    let text = skip_comments(text);
    if let Some(keyword) = first_word(text) {
        if expected && keyword.starts_clause() && keyword != K::Use {
            return true;
        }
        let opens = keyword.starts_clause()
            || matches!(keyword, K::Explain | K::Profile | K::Cypher | K::Using);
        if !expected && !opens {
            return false;
        }
    } else if !expected
        && text
            .first()
            .is_none_or(|b| b.is_ascii() && !b.is_ascii_alphabetic() && *b != b'\\')
    {
        // A sign or a number starts no statement.
        return false;
    }
    let most = if expected { 128 } else { 512 };
    let head = text.get(..text.len().min(most)).unwrap_or_default();
    let folded = if head.contains(&b'\\') {
        unescape(head)
    } else {
        None
    };
    let head = folded.as_deref().unwrap_or(head);
    let list = tokens(head);
    let Some(first) = reach::statement_start(&list, 0) else {
        return false;
    };
    let Some(token) = list.at(first) else {
        return false;
    };
    if expected {
        let command = token.kind == Kind::Sign(b':')
            && list.at(first + 1).is_some_and(|t| t.kind == Kind::Word);
        return token.keyword.starts_clause()
            || reach::admin_command(&list, first)
            || command
            || schema(token.keyword);
    }
    let paren = |i| list.is_sign(i, b'(');
    match token.keyword {
        K::Match | K::Merge => {
            paren(first + 1)
                || (list.is_sign(first + 2, b'=')
                    && list.at(first + 1).is_some_and(|t| t.kind == Kind::Word))
        }
        K::Create => paren(first + 1),
        K::Optional => list.is(first + 1, K::Match) && paren(first + 2),
        K::Foreach => paren(first + 1) && list.is(first + 3, K::In),
        K::Load => {
            list.is(first + 1, K::Csv)
                && (list.is(first + 2, K::From) || list.is(first + 2, K::With))
        }
        K::Call => {
            list.is_sign(first + 2, b'.')
                && list.at(first + 3).is_some_and(|t| t.kind == Kind::Word)
                || list.is_sign(first + 1, b'{')
        }
        K::Unwind => list.list.iter().take(40).any(|t| t.keyword == K::As),
        K::With => {
            list.list.iter().take(60).any(|t| t.keyword == K::As)
                && list
                    .list
                    .iter()
                    .any(|t| matches!(t.keyword, K::Match | K::Return | K::Unwind))
        }
        _ => false,
    }
}

/// Whether a text of a field for queries is a statement as it stands: it starts as one, its literals, names and
/// comments are closed, and outside of them nothing is escaped but by the sign of a remainder, `n.x %20 = 1`.
///
/// Cypher's own escapes may end a literal, so that a text with any of them is not taken for whole.
pub fn is_whole(text: &[u8]) -> bool {
    if memchr::memmem::find(text, b"\\u").is_some() || !is_statement(text, true) {
        return false;
    }
    let list = tokens(
        text.get(..text.len().min(TEXT_BYTES_MAX))
            .unwrap_or_default(),
    );
    list.open.is_none() && !(0..list.list.len()).any(|at| is_escape(text, &list, at))
}

/// Whether `&#39;`, `&lt;` or `%3d` begins at a token.
fn is_escape(text: &[u8], list: &Tokens, at: usize) -> bool {
    let adjoins = |at: usize| {
        list.at(at)
            .zip(list.at(at + 1))
            .is_some_and(|(one, next)| one.end == next.start)
    };
    if list.is_sign(at, b'&') {
        return adjoins(at)
            && (list.is_sign(at + 1, b'#') || adjoins(at + 1) && list.is_sign(at + 2, b';'));
    }
    if !list.is_sign(at, b'%') || !adjoins(at) {
        return false;
    }
    // A remainder is compared, joined or closed, or what follows it stands apart.
    let number = list.at(at + 1).is_some_and(|t| {
        t.kind == Kind::Number && t.of(text).iter().all(u8::is_ascii_digit) && !adjoins(at + 1)
            || matches!(
                list.at(at + 2).map(|t| t.kind),
                Some(Kind::Sign(b'=' | b'<' | b'>' | b')' | b']' | b','))
            ) && t.of(text).iter().all(u8::is_ascii_digit)
    });
    let escape = text
        .get(list.at(at).map_or(0, |t| t.end as usize)..)
        .and_then(|rest| rest.get(..2))
        .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    escape && !number
}

/// The keyword a text starts with, [`Keyword::None`] for another word; `None` where only the tokens can tell.
fn first_word(text: &[u8]) -> Option<Keyword> {
    let width = lexer::names(text);
    let plain = width > 0 && text.first().is_some_and(u8::is_ascii_alphabetic);
    let ends = text.get(width).is_none_or(|b| b.is_ascii() && *b != b'\\');
    (plain && ends).then(|| keyword::keyword(text.get(..width).unwrap_or_default()))
}

/// A text without the blanks and comments it starts with, however many.
fn skip_comments(text: &[u8]) -> &[u8] {
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        let exotic = blank(rest);
        let width = match rest {
            _ if exotic > 0 => exotic,
            [b'/', b'/', ..] => memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
            [b'/', b'*', inside @ ..] => match memchr::memmem::find(inside, b"*/") {
                Some(at) => at + 4,
                None => return rest,
            },
            [0x0b | 0x1c..=0x1f, ..] => 1,
            _ => return rest,
        };
        rest = rest.get(width..).unwrap_or_default();
    }
}

fn schema(keyword: Keyword) -> bool {
    matches!(keyword, Keyword::Drop | Keyword::Show | Keyword::Create)
}

#[cfg(test)]
mod tests;
