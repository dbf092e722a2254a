//! Conditions that read nothing of the graph, so that they say the same of every row.

use super::holds::{TOKENS_MAX, ends};
use super::keyword::Keyword as K;
use super::lexer::{Kind, Tokens};

/// The end of a condition that reads nothing of the graph: literals, lists and maps of them, and calls on those.
pub(super) fn constant(text: &[u8], list: &Tokens, from: usize) -> Option<usize> {
    let mut inside: Vec<&[u8]> = Vec::new();
    let (mut depth, mut operands, mut decides) = (0_usize, 0_usize, false);
    for at in from..from + TOKENS_MAX {
        let Some(token) = list.at(at) else {
            return (decides && operands > 0).then_some(at);
        };
        let ended = depth == 0 && (token.keyword == K::And || ends(list, at));
        if ended && !follows_side(list, at) {
            return (decides && operands > 0).then_some(at);
        }
        match token.kind {
            Kind::Sign(b'(' | b'[' | b'{') if !opens_pattern(list, at) => depth += 1,
            Kind::Sign(b')' | b']' | b'}') => depth = depth.checked_sub(1)?,
            Kind::Sign(b'=' | b'<' | b'>') => decides = true,
            Kind::Sign(b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b',' | b':' | b'|' | b'~') => {}
            Kind::Text | Kind::Number => operands += 1,
            Kind::Word if token.keyword.is_literal() => operands += 1,
            Kind::Word if joins(token.keyword) => {
                decides |= compares(token.keyword) || at == from && token.keyword == K::Case;
            }
            Kind::Word if is_call(list, at) => {
                if token.of(text).eq_ignore_ascii_case(b"rand") {
                    return None;
                }
                decides |= at == from;
            }
            Kind::Word if list.is(at + 1, K::In) && list.at(at + 2).is_some() && depth > 0 => {
                inside.push(token.of(text));
            }
            Kind::Word if depth > 0 && list.is_sign(at + 1, b':') => {}
            Kind::Word if inside.contains(&token.of(text)) => {}
            _ => return None,
        }
    }
    None
}

/// Whether WITH stands behind STARTS or ENDS, where it is no clause.
fn follows_side(list: &Tokens, at: usize) -> bool {
    let before = at.checked_sub(1);
    list.is(at, K::With) && before.is_some_and(|i| list.is(i, K::Starts) || list.is(i, K::Ends))
}

/// Words that compare what stands beside them; a lone `false` or `NOT true` decides nothing.
fn compares(keyword: K) -> bool {
    matches!(keyword, K::In | K::Is | K::Contains | K::Starts | K::Ends)
}

/// Words between operands.
pub(super) fn joins(keyword: K) -> bool {
    matches!(
        keyword,
        K::Not
            | K::And
            | K::Or
            | K::Xor
            | K::In
            | K::Is
            | K::Contains
            | K::Starts
            | K::Ends
            | K::With
            | K::Case
            | K::When
            | K::Then
            | K::Else
            | K::End
            | K::Where
    )
}

/// Whether a function is called that computes from its arguments only.
fn is_call(list: &Tokens, at: usize) -> bool {
    list.is_sign(at + 1, b'(')
        && list
            .at(at)
            .is_some_and(|t| !matches!(t.keyword, K::Exists | K::Count | K::Collect))
}

/// `()` that is no call, or `({`: a node of a pattern.
pub(super) fn opens_pattern(list: &Tokens, at: usize) -> bool {
    let called = at
        .checked_sub(1)
        .and_then(|i| list.at(i))
        .is_some_and(|t| t.kind == Kind::Word);
    list.is_sign(at, b'(') && !called && (list.is_sign(at + 1, b')') || list.is_sign(at + 1, b'{'))
}
