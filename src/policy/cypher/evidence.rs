//! What in a statement's tokens speaks for a value that was pasted into it.

use super::facts::is_clause;
use super::keyword::{Keyword as K, keyword};
use super::lexer::{Kind, Token, Tokens, names};
use super::{Finding, Findings, NESTING_MAX, holds, regex};

/// More terms (operators between operands) than this in one statement are no honest client's.
const TERMS_MAX: usize = 1_000;

/// More items in the lists of one statement than this belong into a parameter.
const LITERALS_MAX: usize = 10_000;

pub(super) fn collect(text: &[u8], list: &Tokens, findings: &mut Findings) {
    if list.open.is_some() {
        findings.note(Finding::Unterminated, 0);
    }
    if list.cut {
        findings.note(Finding::Oversize, 0);
    }
    truncation(text, list, findings);
    walk(text, list, findings);
}

/// One walk over the tokens: clauses, nesting, terms, tautologies, regular expressions, doubling.
fn walk(text: &[u8], list: &Tokens, findings: &mut Findings) {
    let mut clause = K::None;
    let mut depth = 0_u32;
    let mut terms = 0_usize;
    let mut commas = 0_usize;
    let mut negations = 0_u32;
    let mut matched = false;
    let mut cases = 0_u32;
    for (index, token) in list.list.iter().enumerate() {
        match token.keyword {
            K::Case => cases += 1,
            K::End => cases = cases.saturating_sub(1),
            _ => {}
        }
        negations = if token.keyword == K::Not || token.kind == Kind::Sign(b'-') {
            negations + 1
        } else {
            0
        };
        if negations > NESTING_MAX || cases > NESTING_MAX {
            findings.note(Finding::Nesting, token.start);
        }
        match token.kind {
            Kind::Sign(b'(' | b'[' | b'{') => {
                depth += 1;
                if depth > NESTING_MAX {
                    findings.note(Finding::Nesting, token.start);
                }
            }
            Kind::Sign(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            Kind::Sign(b'+' | b'*' | b'/' | b'%' | b'^') => terms += 1,
            // A list of ten thousand literals belongs into a parameter.
            Kind::Sign(b',') => commas += 1,
            Kind::Sign(b'~') => repetition(text, list, index, findings),
            Kind::Word => match token.keyword {
                K::Or | K::Xor if filters(clause) && is_clause(list, index) => {
                    terms += 1;
                    let beside =
                        || always_true(text, list, index + 1) || holds::beside(text, list, index);
                    let always = !literal_before(list, index) && beside()
                        || takes_all(text, list, index + 1)
                        || holds::complements(text, list, index);
                    if always {
                        findings.note(Finding::Tautology, token.start);
                    }
                }
                K::Or | K::Xor | K::And | K::Not | K::When => terms += 1,
                K::Union if clause == K::Return && matched => union(list, index, findings),
                keyword
                    if (keyword.starts_clause() || keyword == K::Where)
                        && is_clause(list, index) =>
                {
                    matched |= keyword == K::Match;
                    clause = keyword;
                }
                _ => {}
            },
            _ => {}
        }
    }
    if terms > TERMS_MAX || commas > LITERALS_MAX {
        findings.note(Finding::Oversize, 0);
    }
}

/// Clauses in which a condition filters; a projection may well compute `TRUE OR FALSE`.
fn filters(clause: K) -> bool {
    matches!(
        clause,
        K::Where | K::Match | K::Set | K::Create | K::Merge | K::Optional
    )
}

fn literal_before(list: &Tokens, index: usize) -> bool {
    index
        .checked_sub(1)
        .and_then(|i| list.at(i))
        .is_some_and(|t| t.keyword.is_literal())
}

/// Whether the condition from `at` on is true whatever the graph holds.
pub(super) fn always_true(text: &[u8], list: &Tokens, at: usize) -> bool {
    let mut at = at;
    let mut negated = false;
    while let Some(token) = list.at(at) {
        match (token.kind, token.keyword) {
            (Kind::Sign(b'('), _) => {}
            (_, K::Not) => negated = !negated,
            _ => break,
        }
        at += 1;
    }
    if draws(text, list, at) {
        return false;
    }
    let Some(left) = constant(list, at) else {
        return same_twice(text, list, at);
    };
    let Some(next) = list.at(left) else {
        return is_boolean(list, at, negated)
            || list.at(at).is_some_and(|t| t.kind == Kind::Number);
    };
    match next.kind {
        Kind::Sign(b'=' | b'<' | b'>' | b'!') => {
            let right = (left + 1..left + 3).find(|i| {
                !matches!(
                    list.at(*i).map(|t| t.kind),
                    Some(Kind::Sign(b'=' | b'>' | b'~'))
                )
            });
            right.is_some_and(|right| constant(list, right).is_some())
        }
        Kind::Word if next.keyword == K::In => {
            constant(list, left + 1).is_some() || holds_itself(text, list, at, left)
        }
        Kind::Word if next.keyword == K::Contains => constant(list, left + 1).is_some(),
        Kind::Word if next.keyword == K::Is => true,
        Kind::Word if matches!(next.keyword, K::Starts | K::Ends) => {
            constant(list, left + 2).is_some()
        }
        _ => is_boolean(list, at, negated) && !matches!(next.kind, Kind::Sign(b'.' | b'[')),
    }
}

/// `rand() < 0.1`: what takes some of the rows is no constant, unless all of them are taken.
fn draws(text: &[u8], list: &Tokens, at: usize) -> bool {
    let draw = list
        .at(at)
        .is_some_and(|t| t.kind == Kind::Word && t.of(text).eq_ignore_ascii_case(b"rand"));
    let right = at + 4 + usize::from(list.is_sign(at + 4, b'='));
    let fraction = list.at(right).is_some_and(|t| {
        let number = t.of(text);
        let number = number.strip_prefix(b"0").unwrap_or(number);
        number.starts_with(b".") && number.iter().any(|b| matches!(b, b'1'..=b'9'))
    });
    let compared = list.is_sign(at + 3, b'<') || list.is_sign(at + 3, b'>');
    draw && list.is_sign(at + 1, b'(') && list.is_sign(at + 2, b')') && compared && fraction
}

/// `'x' IN ['x', n.y]`, `'x' IN n.y + 'x'`: the list holds what is looked for, whatever else it holds.
fn holds_itself(text: &[u8], list: &Tokens, at: usize, within: usize) -> bool {
    let Some(left) = list.at(at).filter(|_| within == at + 1) else {
        return false;
    };
    let list_tokens = list.list.iter().enumerate().skip(within + 1).take(16);
    list_tokens
        .take_while(|(_, t)| t.keyword == K::None && !matches!(t.kind, Kind::Sign(b'|' | b'(')))
        .any(|(i, t)| {
            let item = [b'[', b',', b'+'].iter().any(|s| list.is_sign(i - 1, *s));
            item && t.kind == left.kind && t.of(text) == left.of(text)
        })
}

/// `n.x =~ '.*'`, `n.x CONTAINS ''`: what every text fulfils.
fn takes_all(text: &[u8], list: &Tokens, at: usize) -> bool {
    let property = list
        .at(at)
        .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Name))
        && list.is_sign(at + 1, b'.');
    let right = match list.at(at + 3).map(|t| (t.kind, t.keyword)) {
        Some((Kind::Sign(b'='), _)) if list.is_sign(at + 4, b'~') => at + 5,
        Some((_, K::Contains)) => at + 4,
        Some((_, K::Starts | K::Ends)) if list.is(at + 4, K::With) => at + 5,
        _ => return false,
    };
    let pattern = list.is_sign(at + 4, b'~');
    property
        && list.at(right).is_some_and(|t| {
            t.kind == Kind::Text
                && match t.inner(text) {
                    b"" => !pattern,
                    inner => pattern && matches!(inner, b".*" | b"(?i).*" | b"(?s).*" | b"^.*$"),
                }
        })
}

fn is_boolean(list: &Tokens, at: usize, negated: bool) -> bool {
    list.is(at, if negated { K::False } else { K::True })
}

/// The position after a constant expression: literals, lists of them, calls on them, joined by arithmetic.
fn constant(list: &Tokens, at: usize) -> Option<usize> {
    let mut at = at;
    for _ in 0..8 {
        while list.is_sign(at, b'-') || list.is_sign(at, b'+') || list.is_sign(at, b'(') {
            at += 1;
        }
        at = operand(list, at)?;
        while list.is_sign(at, b')') {
            at += 1;
        }
        match list.at(at).map(|t| t.kind) {
            Some(Kind::Sign(b'+' | b'-' | b'*' | b'/' | b'%' | b'^')) => at += 1,
            _ => return Some(at),
        }
    }
    None
}

fn operand(list: &Tokens, at: usize) -> Option<usize> {
    let token = list.at(at)?;
    let literal = |t: Token| matches!(t.kind, Kind::Text | Kind::Number) || t.keyword.is_literal();
    if literal(token) {
        return Some(at + 1);
    }
    let open = match token.kind {
        Kind::Sign(b'[') => at,
        Kind::Word if list.is_sign(at + 1, b'(') && token.keyword != K::Exists => at + 1,
        _ => return None,
    };
    for next in open + 1..open + 16 {
        let inside = list.at(next)?;
        match inside.kind {
            Kind::Sign(b']' | b')') => return Some(next + 1),
            Kind::Sign(b',') => {}
            _ if literal(inside) => {}
            _ => return None,
        }
    }
    None
}

/// `n.x = n.x`: both sides are the same tokens.
fn same_twice(text: &[u8], list: &Tokens, at: usize) -> bool {
    let side = |from: usize| {
        list.list
            .iter()
            .skip(from)
            .take(3)
            .take_while(|t| {
                matches!(t.kind, Kind::Word | Kind::Name | Kind::Sign(b'.')) && t.keyword == K::None
            })
            .map(|t| t.of(text))
            .collect::<Vec<_>>()
    };
    let left = side(at);
    let equals = at + left.len();
    if left.is_empty() || left.len() == 2 || !list.is_sign(equals, b'=') {
        return false;
    }
    let right = side(equals + 1);
    left == right
        && !list.is_sign(equals + 1 + right.len(), b'.')
        && !list.is_sign(equals + 1 + right.len(), b'(')
}

/// A line comment that starts or is odd in a way only a cut-off template explains.
fn truncation(text: &[u8], list: &Tokens, findings: &mut Findings) {
    let last = list.list.last();
    for comment in list.comments.iter().filter(|c| c.kind == Kind::LineComment) {
        let rest = comment.of(text).get(2..).unwrap_or_default().trim_ascii();
        let odd = odd_quotes(rest);
        let before = text.get(..comment.start as usize).unwrap_or_default();
        let line = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
        let ends = last.is_none_or(|t| t.start < comment.start);
        let shares_line = ends && last.is_some_and(|t| t.end as usize > line);
        let closes = matches!(rest.first(), Some(b'\'' | b'"' | b'`' | b')' | b'}' | b']'));
        if closes && odd || shares_line && (odd || closes && closes_template(rest)) {
            findings.note(Finding::CommentTruncation, comment.start);
        }
    }
}

/// Whether a text that starts with a closing mark goes on as a template does: with nothing, another mark or a clause.
///
/// What a quote closes holds another quote or none; prose in quotes holds words.
fn closes_template(rest: &[u8]) -> bool {
    let Some((first, after)) = rest.split_first() else {
        return false;
    };
    let after = after.trim_ascii_start();
    if matches!(first, b'\'' | b'"') {
        return after.first() == Some(first);
    }
    let word = keyword(after.get(..names(after)).unwrap_or_default());
    after.first().is_none_or(u8::is_ascii_punctuation)
        || word.starts_clause()
        || matches!(
            word,
            K::Where | K::Order | K::Skip | K::Limit | K::And | K::Or | K::Xor | K::As | K::Yield
        )
}

/// Whether quotes of one kind are odd in number, apart from apostrophes of words and the signs of feet and inches.
fn odd_quotes(text: &[u8]) -> bool {
    let count = |quote: u8| {
        memchr::memchr_iter(quote, text)
            .filter(|at| !belongs_to_word(text, *at))
            .count()
    };
    count(b'\'') % 2 == 1 || count(b'"') % 2 == 1
}

/// Whether a quote is part of prose: `don't`, `rock 'n roll`, `the '90s`, `5' tall`.
fn belongs_to_word(text: &[u8], at: usize) -> bool {
    let (before, after) = text.split_at(at);
    let after = after.get(1..).unwrap_or_default();
    let letter = |b: &u8| b.is_ascii_alphanumeric() || *b >= 0x80;
    let follows = after.first().is_some_and(letter);
    if before.last().is_some_and(letter) {
        return follows || measures(before, after);
    }
    if !follows || !before.last().is_none_or(u8::is_ascii_whitespace) {
        return false;
    }
    let word = after.get(..names(after)).unwrap_or_default();
    let closed = matches!(after.get(word.len()), Some(b'\'' | b'"'));
    let decade = word
        .strip_suffix(b"s")
        .is_some_and(|digits| digits.len() == 2 && digits.iter().all(u8::is_ascii_digit));
    !closed && (decade || [&b"n"[..], b"til", b"em", b"cause", b"tis", b"twas"].contains(&word))
}

/// Whether a quote between two texts is the sign of a length: a number stands before it, and a word or a number after.
fn measures(before: &[u8], after: &[u8]) -> bool {
    let digits = before
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_digit())
        .count();
    let start = before.len() - digits;
    let apart = start == 0 || before.get(start - 1).is_some_and(u8::is_ascii_whitespace);
    let next = after.trim_ascii_start();
    let word = next.get(..names(next)).unwrap_or_default();
    digits > 0 && apart && next.len() < after.len() && !word.is_empty() && keyword(word) == K::None
}

/// `RETURN 1 AS x UNION … //` after a MATCH: columns are being counted.
fn union(list: &Tokens, index: usize, findings: &mut Findings) {
    let mut back = index;
    while let Some(token) = back.checked_sub(1).and_then(|i| list.at(i)) {
        back -= 1;
        let plain = matches!(token.kind, Kind::Text | Kind::Number | Kind::Sign(b','))
            || token.keyword.is_literal();
        let alias =
            token.keyword == K::As || back.checked_sub(1).is_some_and(|i| list.is(i, K::As));
        if token.keyword == K::Return {
            if list
                .comments
                .last()
                .is_some_and(|c| list.list.last().is_some_and(|t| t.end <= c.start))
            {
                findings.note(Finding::UnionAfterConstant, token.start);
            }
            return;
        }
        if !plain && !alias {
            return;
        }
    }
}

/// `=~ '…'` with repetition inside repetition.
fn repetition(text: &[u8], list: &Tokens, index: usize, findings: &mut Findings) {
    let after_equals = index > 0 && list.is_sign(index - 1, b'=');
    let pattern = list
        .list
        .iter()
        .skip(index + 1)
        .take(12)
        .take_while(|t| !t.keyword.starts_clause())
        .find(|t| t.kind == Kind::Text);
    let Some(pattern) = pattern.filter(|_| after_equals) else {
        return;
    };
    if regex::repeats_repetition(pattern.inner(text)) {
        findings.note(Finding::RegexRepetition, pattern.start);
    }
}
