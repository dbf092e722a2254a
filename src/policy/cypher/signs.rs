//! Signs that the text after a closing mark is Cypher going on, and not prose that shares its words.

use super::evidence;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Open, Token, Tokens};
use super::syntax::{node, path, strong_at};

/// The signs of syntax in a tail.
pub(super) struct Signs {
    /// It ends in a comment that is not part of an address.
    pub(super) comment: bool,
    /// That comment is empty or starts with a closing mark.
    pub(super) cut: bool,
    /// One construct that has no other reading.
    pub(super) strong: bool,
    /// A property is read.
    pub(super) accesses: bool,
    pub(super) score: u32,
}

pub(super) fn signs(tail: &[u8], list: &Tokens, from: usize) -> Signs {
    let comment = ends_in_comment(tail, list);
    let open = list.open == Some(Open::Text) || list.open == Some(Open::Comment);
    let mut strong = false;
    let mut score = u32::from(comment) + u32::from(open);
    let (mut clauses, mut accesses, mut nodes, mut aliases) = (0_u32, 0_u32, 0_u32, 0_u32);
    for index in from..list.list.len().min(from + 80) {
        let Some(token) = list.at(index) else { break };
        strong |= strong_at(list, index, token);
        clauses += u32::from(index > from && token.keyword.starts_clause());
        accesses += u32::from(access(tail, list, index, token));
        nodes += u32::from(node(list, index, token));
        aliases += u32::from(
            token.keyword == K::As && list.at(index + 1).is_some_and(|t| t.kind == Kind::Word),
        );
    }
    let many = |n: u32| u32::from(n > 0);
    score += many(accesses)
        + many(nodes)
        + many(aliases).min(many(clauses))
        + u32::from(comment && clauses > 0);
    let cut = comment
        && list.comments.last().is_some_and(|c| {
            matches!(
                c.of(tail)
                    .get(2..)
                    .unwrap_or_default()
                    .trim_ascii_start()
                    .first(),
                None | Some(b'\'' | b'"' | b')' | b'}' | b']')
            )
        });
    Signs {
        comment,
        cut,
        strong: strong && (comment || open || clauses > 0 || accesses > 0 || nodes > 0),
        accesses: accesses > 0,
        score,
    }
}

fn ends_in_comment(tail: &[u8], list: &Tokens) -> bool {
    list.comments.last().is_some_and(|c| {
        let last = list.list.last().is_none_or(|t| t.end <= c.start);
        let address = c.start > 0 && tail.get(c.start as usize - 1) == Some(&b':');
        last && !address
    })
}

/// `x.y` without blanks around the dot, compared, called or aliased.
fn access(tail: &[u8], list: &Tokens, index: usize, token: Token) -> bool {
    let dotted = token.kind == Kind::Word
        && list.is_sign(index + 1, b'.')
        && list
            .at(index + 2)
            .is_some_and(|t| t.kind == Kind::Word && t.start == token.end + 1);
    let _ = tail;
    dotted
        && list.at(index + 3).is_some_and(|t| {
            matches!(
                t.kind,
                Kind::Sign(b'=' | b'<' | b'>' | b'(' | b')' | b',' | b'+')
            ) || matches!(
                t.keyword,
                K::As | K::Is | K::In | K::Starts | K::Contains | K::Ends
            )
        })
}

/// OR, AND, XOR: a comparison has to follow, and something that a template's rest would explain.
pub(super) fn connective(tail: &[u8], list: &Tokens, at: usize, signs: &Signs) -> bool {
    let starts_operand = list.at(at + 1).is_some_and(|t| {
        matches!(
            t.kind,
            Kind::Text
                | Kind::Number
                | Kind::Name
                | Kind::Parameter
                | Kind::Sign(b'(' | b'-' | b'[')
        ) || t.keyword.is_literal()
            || matches!(t.keyword, K::Not | K::Case | K::Exists)
            || t.kind == Kind::Word
                && matches!(
                    list.at(at + 2).map(|n| n.kind),
                    Some(Kind::Sign(
                        b'.' | b'(' | b'=' | b'<' | b'>' | b'!' | b'[' | b':'
                    ))
                )
            || t.kind == Kind::Word
                && list.at(at + 2).is_some_and(|n| {
                    matches!(n.keyword, K::Is | K::In | K::Starts | K::Contains | K::Ends)
                })
    });
    if !starts_operand {
        return false;
    }
    let open = matches!(list.open, Some(Open::Text | Open::Comment));
    if evidence::always_true(tail, list, at + 1)
        && (signs.comment
            || open
            || list.at(at + 1).is_some_and(|t| t.kind != Kind::Word) && compares(list, at))
    {
        return true;
    }
    let call = list
        .list
        .iter()
        .skip(at + 1)
        .take(12)
        .enumerate()
        .any(|(i, t)| t.kind == Kind::Word && list.is_sign(at + 2 + i, b'('));
    (compares(list, at) || call || tests_form(list, at + 1))
        && (signs.comment
            || open && signs.score >= 2
            || signs.strong
            || open && compares(list, at) && ends_operand(list))
}

/// `u:Admin`, `(u)--()`, `()-[]-(u)`: a condition on a label, written without blanks, or on a pattern.
fn tests_form(list: &Tokens, at: usize) -> bool {
    let Some(first) = list.at(at) else {
        return false;
    };
    let named = |t: Token| matches!(t.kind, Kind::Word | Kind::Name);
    let label = named(first)
        && list.is_sign(at + 1, b':')
        && list
            .at(at + 2)
            .is_some_and(|t| named(t) && t.start == first.end + 1);
    let empty = list.is_sign(at, b'(') && list.is_sign(at + 1, b')') && path(list, at + 2);
    label || empty || node(list, at, first)
}

/// Whether a comparison stands among the next tokens.
pub(super) fn compares(list: &Tokens, at: usize) -> bool {
    list.list.iter().skip(at + 1).take(16).any(|t| {
        matches!(t.kind, Kind::Sign(b'=' | b'<' | b'>'))
            || matches!(t.keyword, K::Is | K::In | K::Starts | K::Ends | K::Contains)
    })
}

/// Whether the text ends in an open literal right after a comparison: `… = 'x`.
fn ends_operand(list: &Tokens) -> bool {
    let count = list.list.len();
    count >= 2
        && list.at(count - 2).is_some_and(|t| {
            matches!(t.kind, Kind::Sign(b'=' | b'<' | b'>'))
                || matches!(t.keyword, K::With | K::Contains | K::In)
        })
}
