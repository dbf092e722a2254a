//! What in a statement's tokens speaks for a value that was pasted into it.

use super::facts::is_clause;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Token, Tokens};
use super::{Finding, Findings, NESTING_MAX};

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
            Kind::Sign(b'~') => regex(text, list, index, findings),
            Kind::Word => match token.keyword {
                K::Or | K::Xor if filters(clause) && is_clause(list, index) => {
                    terms += 1;
                    let always = always_true(text, list, index + 1) && !literal_before(list, index)
                        || takes_all(text, list, index + 1);
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
        Kind::Word if matches!(next.keyword, K::In | K::Is | K::Contains) => true,
        Kind::Word if matches!(next.keyword, K::Starts | K::Ends) => {
            constant(list, left + 2).is_some()
        }
        _ => is_boolean(list, at, negated) && !matches!(next.kind, Kind::Sign(b'.' | b'[')),
    }
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
        let closes = matches!(rest.first(), Some(b'\'' | b'"' | b'`' | b')' | b'}' | b']'));
        let odd = odd_quotes(rest);
        let before = text.get(..comment.start as usize).unwrap_or_default();
        let line = memchr::memrchr(b'\n', before).map_or(0, |i| i + 1);
        let ends = last.is_none_or(|t| t.start < comment.start);
        let shares_line = ends && last.is_some_and(|t| t.end as usize > line);
        if closes && odd || shares_line && (closes || odd) {
            findings.note(Finding::CommentTruncation, comment.start);
        }
    }
}

/// Whether quotes of one kind, apostrophes within words apart, are odd in number.
fn odd_quotes(text: &[u8]) -> bool {
    let count = |quote: u8| {
        text.iter()
            .enumerate()
            .filter(|(i, b)| {
                let around = |j: Option<usize>| {
                    j.and_then(|j| text.get(j))
                        .is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80)
                };
                **b == quote && !(around(i.checked_sub(1)) && around(Some(i + 1)))
            })
            .count()
    };
    count(b'\'') % 2 == 1 || count(b'"') % 2 == 1
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
fn regex(text: &[u8], list: &Tokens, index: usize, findings: &mut Findings) {
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
    if repeats_repetition(pattern.inner(text)) {
        findings.note(Finding::RegexRepetition, pattern.start);
    }
}

/// Whether a backtracking matcher may take exponential time: a repeated group that repeats or branches inside.
pub(super) fn repeats_repetition(pattern: &[u8]) -> bool {
    let mut groups: [bool; 32] = [false; 32];
    let mut depth = 0_usize;
    let mut at = 0;
    let repeats = |at: usize| match pattern.get(at) {
        Some(b'*' | b'+') => true,
        Some(b'{') => {
            pattern.get(at + 1).is_some_and(u8::is_ascii_digit)
                && !matches!(pattern.get(at + 1..at + 3), Some([b'0' | b'1', b'}']))
        }
        _ => false,
    };
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => {
                at += memchr::memchr(b']', pattern.get(at + 1..).unwrap_or_default())
                    .map_or(0, |i| i + 1)
            }
            b'(' => {
                depth += 1;
                if let Some(group) = groups.get_mut(depth) {
                    *group = false;
                }
            }
            b')' => {
                let inner = groups.get(depth).copied().unwrap_or(false);
                if inner && repeats(at + 1) {
                    return true;
                }
                depth = depth.saturating_sub(1);
                if let Some(group) = groups.get_mut(depth).filter(|_| inner) {
                    *group = true;
                }
            }
            b'|' | b'*' | b'+' => groups.get_mut(depth).into_iter().for_each(|g| *g = true),
            b'{' if repeats(at) => groups.get_mut(depth).into_iter().for_each(|g| *g = true),
            _ => {}
        }
        at += 1;
    }
    false
}
