//! SQL that goes on after a string the value closes.

use super::sql_statement::{select_list, starts_statement};
use super::sql_token::{Kind, Token, call_end, kind, place};
use crate::policy::threat::predicate::{Found, Predicate};

/// A string that the value closes, and what it goes on with.
pub(super) fn closed_text(text: &[u8], tokens: &[Token], found: &mut Found) {
    let Some(Kind::Text { closed: true, .. }) = kind(tokens, 0) else {
        return;
    };
    let closes = tokens.iter().skip(1).take_while(|t| t.kind == Kind::Close);
    let at = 1 + closes.count();
    let finding = match kind(tokens, at) {
        Some(Kind::Keyword | Kind::Select) if starts_statement(text, tokens, at) => {
            Some(Predicate::SqlStacked)
        }
        Some(Kind::Comment { empty: true }) if at + 1 == tokens.len() => {
            // `12" --` is a measure more often than an injection.
            let quote = tokens.first().map_or(0, |t| t.end);
            let digit = quote
                .checked_sub(2)
                .and_then(|i| text.get(i))
                .is_some_and(u8::is_ascii_digit);
            let inches = digit && text.get(quote - 1) == Some(&b'"');
            Some(if inches {
                Predicate::SqlWeakBreakout
            } else {
                Predicate::SqlCommentTail
            })
        }
        Some(Kind::Semicolon) if cut(tokens) && tokens.len() > at + 2 => {
            Some(Predicate::SqlStacked)
        }
        Some(Kind::Semicolon) if cut(tokens) => Some(Predicate::SqlCommentTail),
        Some(k) if is_operator(k) => expression(text, tokens, at),
        _ => None,
    };
    if let Some(finding) = finding {
        found.note(finding, place(tokens, at));
    }
}

pub(super) fn is_operator(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Compare { .. } | Kind::Arithmetic | Kind::Logic | Kind::Not | Kind::Star
    )
}

/// Operators before one operand.
const OPERATORS_MAX: usize = 3;

/// What an expression after a closed string is: `'||'x`, `'-@a`, or too weak to say alone.
fn expression(text: &[u8], tokens: &[Token], at: usize) -> Option<Predicate> {
    let words = tokens
        .iter()
        .skip(at)
        .take(3)
        .any(|t| matches!(t.kind, Kind::Compare { word: true }));
    let mut next = at;
    while kind(tokens, next).is_some_and(|k| is_operator(k) || k == Kind::Open) {
        next += 1;
    }
    let operand = kind(tokens, next)?;
    // A class of a pattern lists signs; `"or"` is a quoted word.
    let touches = tokens.first().is_some_and(|t| t.end == place(tokens, at));
    let word = text
        .get(place(tokens, at))
        .is_some_and(u8::is_ascii_alphabetic);
    let quoted = touches
        && word
        && next == at + 1
        && tokens.get(at).is_some_and(|t| t.end == place(tokens, next));
    let lists_signs = next > at + OPERATORS_MAX && text.get(place(tokens, next)) == Some(&b'?');
    if lists_signs || quoted && matches!(operand, Kind::Text { closed: false, .. }) {
        return None;
    }
    if operand == Kind::Select && select_list(tokens, next + 1) {
        return Some(Predicate::SqlBreakout);
    }
    let after = if operand == Kind::Call {
        call_end(tokens, next + 1)
    } else {
        next + 1
    };
    let goes_on = match kind(tokens, after) {
        None => true,
        Some(k) => {
            is_operator(k)
                || matches!(
                    k,
                    Kind::Comment { .. } | Kind::Union | Kind::Semicolon | Kind::Close
                )
        }
    };
    if !goes_on || !operand.is_value() {
        return None;
    }
    let open = matches!(operand, Kind::Text { closed: false, .. });
    let empty = |k: Option<Kind>| matches!(k, Some(Kind::Text { empty: true, .. }));
    let nothing = empty(kind(tokens, 0)) && empty(Some(operand));
    let sum = matches!(kind(tokens, at), Some(Kind::Arithmetic | Kind::Star)) && next == at + 1;
    let joined = operand.is_text()
        && !(sum && (open || !touches && searches(text, tokens)))
        && !nothing
        && (open || kind(tokens, after).is_some());
    // `"LIKE"` is a quoted word; `'NOT LIKE'` is not.
    let quoted_word = nothing && next == at + 1;
    let compared = matches!(kind(tokens, at), Some(Kind::Compare { word: false }));
    let chained = compared && (cut(tokens) || compares_on(tokens, after));
    let strong = words && !quoted_word
        || matches!(operand, Kind::Variable | Kind::Call)
        || joined
        || chained;
    Some(if strong {
        Predicate::SqlBreakout
    } else {
        Predicate::SqlWeakBreakout
    })
}

/// Whether a string closes with `"`: `a" + "b" + "c"` is how one searches for words that must all be there.
fn searches(text: &[u8], tokens: &[Token]) -> bool {
    let last = tokens.first().and_then(|t| t.end.checked_sub(1));
    last.and_then(|i| text.get(i)) == Some(&b'"')
}

/// Whether a comparison goes on with another, and ends in a string the template closes.
fn compares_on(tokens: &[Token], at: usize) -> bool {
    matches!(kind(tokens, at), Some(Kind::Compare { word: false }))
        && tokens
            .iter()
            .skip(at)
            .all(|t| is_operator(t.kind) || t.kind.is_value())
        && matches!(
            tokens.last().map(|t| t.kind),
            Some(Kind::Text { closed: false, .. })
        )
}

/// Whether an empty comment cuts off what follows.
pub(super) fn cut(tokens: &[Token]) -> bool {
    tokens.last().map(|t| t.kind) == Some(Kind::Comment { empty: true })
}
