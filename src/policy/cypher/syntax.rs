//! Signs of Cypher's syntax that text in any language lacks.

use super::keyword::Keyword as K;
use super::lexer::{Kind, Token, Tokens};
use super::reach;

/// Whether a clause stands at a token with what no sentence has after its keyword.
pub(super) fn strong_at(list: &Tokens, index: usize, token: Token) -> bool {
    let word = |i: usize| {
        list.at(i)
            .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Name))
    };
    let paren = |i: usize| list.is_sign(i, b'(');
    match token.keyword {
        K::Match | K::Create | K::Merge => {
            administers(list, index)
                || paren(index + 1)
                    && (list.at(index + 1).is_some_and(|t| node(list, index + 1, t))
                        || list.is_sign(index + 2, b':')
                        || word(index + 2) && list.is_sign(index + 3, b')'))
        }
        K::Load => {
            list.is(index + 1, K::Csv)
                && (list.is(index + 2, K::From) || list.is(index + 2, K::With))
        }
        K::Call => word(index + 1) && list.is_sign(index + 2, b'.') && word(index + 3),
        K::Detach => list.is(index + 1, K::Delete) && word(index + 2),
        K::Delete => word(index + 1) && list.list.len() == index + 2,
        K::Set | K::Remove => {
            word(index + 1)
                && (list.is_sign(index + 2, b'.') && word(index + 3)
                    || list.is_sign(index + 2, b':'))
        }
        K::Foreach => paren(index + 1) && list.is(index + 3, K::In),
        K::Unwind => list.is_sign(index + 1, b'[') || list.is(index + 1, K::Range),
        keyword if is_command(keyword) => administers(list, index),
        K::Union => {
            list.is(index + 1, K::Match)
                || list.is(index + 1, K::Call)
                || list.is(index + 2, K::Match)
                || list.is(index + 1, K::Return)
        }
        _ => false,
    }
}

/// What commands of administration start with, beside CREATE.
pub(super) fn is_command(keyword: K) -> bool {
    matches!(
        keyword,
        K::Show | K::Drop | K::Alter | K::Grant | K::Deny | K::Revoke | K::Terminate
    )
}

/// Whether a command of administration stands at a token, with what follows it in one and in no sentence.
fn administers(list: &Tokens, at: usize) -> bool {
    if !reach::admin_command(list, at) {
        return false;
    }
    let word = |i: usize| {
        list.at(i)
            .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Name))
    };
    let first = list.at(at).map_or(K::None, |t| t.keyword);
    match first {
        K::Show => (at + 2..at + 4).any(|i| {
            list.at(i).is_none_or(|t| {
                matches!(t.keyword, K::Yield | K::Where) || t.kind == Kind::Sign(b';')
            })
        }),
        K::Create | K::Alter => {
            let named = at + 2 + 2 * usize::from(list.is(at + 1, K::Or));
            let guarded = list.is(named + 2, K::Not) && list.is(named + 3, K::Exists);
            word(named) && (list.is(named + 1, K::Set) || guarded)
        }
        K::Drop => word(at + 2) && list.list.len() == at + 3,
        K::Grant | K::Deny | K::Revoke => {
            list.is(at + 1, K::Role) && word(at + 2) && word(at + 3) && list.list.len() == at + 5
        }
        _ => list.at(at + 2).is_some_and(|t| t.kind == Kind::Text),
    }
}

/// `(x:Label`, `(:Label`, `(x)-[` or `(x {`.
pub(super) fn node(list: &Tokens, index: usize, token: Token) -> bool {
    if token.kind != Kind::Sign(b'(') {
        return false;
    }
    let word = list
        .at(index + 1)
        .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Name));
    let after = if word { index + 2 } else { index + 1 };
    let label = list.is_sign(after, b':')
        && list
            .at(after + 1)
            .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Name));
    label
        || word && list.is_sign(after, b'{')
        || word && list.is_sign(after, b')') && path(list, after + 1)
}

/// `)-[…]-(`, `)-->(`, `)<-[`: a path goes on after a closing bracket.
pub(super) fn path(list: &Tokens, at: usize) -> bool {
    let sign = |i: usize, s: u8| list.is_sign(i, s);
    let dash = if sign(at, b'<') { at + 1 } else { at };
    sign(dash, b'-')
        && (sign(dash + 1, b'[')
            || sign(dash + 1, b'-') && (sign(dash + 2, b'(') || sign(dash + 2, b'>'))
            || sign(dash + 1, b'(')
            || sign(dash + 1, b'>') && sign(dash + 2, b'('))
}
