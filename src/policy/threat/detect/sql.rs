//! SQL injection by tokens: what a value does to the statement it would be pasted into.
//!
//! A value is read three times: as it is, as the inside of a single-quoted and of a double-quoted
//! string. Findings are shapes of tokens no honest value has: a condition after a closed string, a
//! UNION with a select list, a string that is closed and goes on as an expression.

use super::sql_tokens::{Kind, Token, read};
use crate::policy::threat::predicate::{Found, Predicate};

pub(super) fn find(text: &[u8], found: &mut Found) {
    let mut tokens = read(text, None);
    statement(text, &tokens, found);
    conditions(text, &tokens, false, found);
    for quote in [b'\'', b'"'] {
        let Some(first) = memchr::memchr(quote, text) else { continue };
        tokens = read(text, Some(quote));
        conditions(text, &tokens, true, found);
        closed_text(&tokens, found);
        // What stands before the quote may hold others; the last break-out counts as well.
        let tail = text.get(first + 1..).unwrap_or_default();
        if let Some(second) = memchr::memchr(quote, tail).filter(|_| tail.len() < 2_048) {
            let rest = tail.get(second..).unwrap_or_default();
            conditions(text, &read(rest, Some(quote)), true, found);
        }
    }
}

fn kind(tokens: &[Token], at: usize) -> Option<Kind> {
    tokens.get(at).map(|t| t.kind)
}

fn place(tokens: &[Token], at: usize) -> usize {
    tokens.get(at).map_or(0, |t| t.at)
}

/// UNION SELECT, stacked and bare statements.
fn statement(text: &[u8], tokens: &[Token], found: &mut Found) {
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Union => {
                let mut next = at + 1;
                while matches!(kind(tokens, next), Some(Kind::Open | Kind::Keyword)) {
                    next += 1;
                }
                if kind(tokens, next) == Some(Kind::Select) && select_list(tokens, next + 1) {
                    found.note(Predicate::SqlUnion, token.at);
                }
            }
            Kind::Semicolon if starts_statement(text, tokens, at + 1) => found.note(Predicate::SqlStacked, token.at),
            _ => {}
        }
    }
    let first = tokens.iter().position(|t| t.kind != Kind::Open).unwrap_or(0);
    if starts_statement(text, tokens, first) || subselect(tokens) {
        found.note(Predicate::SqlStatement, place(tokens, first));
    }
}

/// `( select …` with a select list, anywhere.
fn subselect(tokens: &[Token]) -> bool {
    tokens.windows(2).enumerate().any(|(at, pair)| {
        matches!(pair, [a, b] if a.kind == Kind::Open && b.kind == Kind::Select) && select_list(tokens, at + 2)
    })
}

/// What follows SELECT is a list of columns rather than prose.
fn select_list(tokens: &[Token], from: usize) -> bool {
    let mut at = from;
    while matches!(kind(tokens, at), Some(Kind::Keyword | Kind::Open | Kind::Arithmetic)) {
        at += 1;
    }
    match kind(tokens, at) {
        Some(Kind::Number) => matches!(kind(tokens, at + 1), None | Some(Kind::Comma | Kind::From | Kind::Comment { .. } | Kind::Close | Kind::Semicolon | Kind::Union | Kind::Logic | Kind::Compare { .. } | Kind::Arithmetic | Kind::Star | Kind::Keyword)),
        Some(Kind::Text { .. } | Kind::Variable | Kind::Call | Kind::Star | Kind::Select) => true,
        Some(Kind::Word) => {
            let mut next = at + 1;
            while kind(tokens, next) == Some(Kind::Dot) {
                next += 2;
            }
            match kind(tokens, next) {
                Some(Kind::From) => from_list(tokens, next + 1),
                Some(Kind::Comma) => tokens.iter().skip(next).any(|t| t.kind == Kind::From || matches!(t.kind, Kind::Comment { .. })),
                Some(Kind::Word) => kind(tokens, next + 1) == Some(Kind::From) && tokens.iter().skip(next).any(|t| t.kind == Kind::Dot || t.kind == Kind::Keyword),
                Some(Kind::Close | Kind::Comment { .. } | Kind::Compare { .. } | Kind::Arithmetic) => true,
                _ => false,
            }
        }
        _ => false,
    }
}

/// A table, then nothing that is prose.
fn from_list(tokens: &[Token], at: usize) -> bool {
    matches!(kind(tokens, at), Some(Kind::Word | Kind::Open | Kind::Call))
        && matches!(kind(tokens, at + 1), None | Some(Kind::Keyword | Kind::Comma | Kind::Dot | Kind::Comment { .. } | Kind::Semicolon | Kind::Close | Kind::Union | Kind::Logic | Kind::Select))
}

fn word_is(text: &[u8], tokens: &[Token], at: usize, words: &[&str]) -> bool {
    let word = tokens.get(at).and_then(|t| text.get(t.at..t.end)).unwrap_or_default();
    words.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()))
}

fn starts_statement(text: &[u8], tokens: &[Token], at: usize) -> bool {
    let is = |ahead: usize, words: &[&str]| word_is(text, tokens, at + ahead, words);
    let next = kind(tokens, at + 1);
    if kind(tokens, at) == Some(Kind::Select) {
        return select_list(tokens, at + 1);
    }
    if is(0, &["insert"]) {
        return is(1, &["into"]) && tokens.iter().skip(at + 2).any(|t| word_is(text, std::slice::from_ref(t), 0, &["values", "select"]));
    }
    if is(0, &["update"]) {
        return next == Some(Kind::Word) && is(2, &["set"]) && matches!(kind(tokens, at + 4), Some(Kind::Compare { .. } | Kind::Dot));
    }
    if is(0, &["delete"]) {
        return is(1, &["from"]) && kind(tokens, at + 2) == Some(Kind::Word) && matches!(kind(tokens, at + 3), None | Some(Kind::Keyword | Kind::Comment { .. } | Kind::Semicolon));
    }
    let object = &["table", "database", "user", "view", "procedure", "function", "schema", "trigger", "login"];
    if is(0, &["drop", "truncate", "alter"]) {
        return is(1, object) && matches!(kind(tokens, at + 3), None | Some(Kind::Comment { .. } | Kind::Semicolon | Kind::Text { .. } | Kind::Keyword));
    }
    if is(0, &["create"]) {
        return is(1, object) && matches!(kind(tokens, at + 2), Some(Kind::Call)) || is(1, &["user", "login"]) && kind(tokens, at + 3).is_some_and(Kind::is_text);
    }
    if is(0, &["declare"]) {
        return next == Some(Kind::Variable);
    }
    if is(0, &["set"]) {
        return next == Some(Kind::Variable) && matches!(kind(tokens, at + 2), Some(Kind::Compare { .. }));
    }
    if is(0, &["exec", "execute"]) {
        return matches!(next, Some(Kind::Variable | Kind::Open)) || kind(tokens, at + 2) == Some(Kind::Dot) || is(1, &["xp_cmdshell", "sp_executesql"]);
    }
    if is(0, &["waitfor"]) {
        return is(1, &["delay", "time"]) && kind(tokens, at + 2).is_some_and(Kind::is_text);
    }
    is(0, &["shutdown"]) && matches!(next, None | Some(Kind::Comment { .. } | Kind::Semicolon))
}

/// AND/OR with a comparison after a closed string or a number.
fn conditions(text: &[u8], tokens: &[Token], inside: bool, found: &mut Found) {
    let comment = tokens.last().is_some_and(|t| matches!(t.kind, Kind::Comment { .. }));
    for (at, token) in tokens.iter().enumerate().filter(|(_, t)| t.kind == Kind::Logic) {
        let before = at.checked_sub(1).and_then(|i| kind(tokens, i));
        let after_text = inside && (at == 1 || tokens.iter().take(at).skip(1).all(|t| t.kind == Kind::Close));
        let left = match before {
            None => true,
            Some(Kind::Number | Kind::Close | Kind::Variable | Kind::Text { closed: true, .. }) => true,
            Some(_) => false,
        };
        if !left {
            continue;
        }
        let mut next = at + 1;
        while matches!(kind(tokens, next), Some(Kind::Not | Kind::Open | Kind::Arithmetic)) || word_is(text, tokens, next, &["binary", "case", "when"]) {
            next += 1;
        }
        if condition(text, tokens, next, after_text, comment) {
            found.note(Predicate::SqlCondition, token.at);
        }
    }
}

/// Whether an expression from `at` on compares what no honest text would.
fn condition(text: &[u8], tokens: &[Token], at: usize, after_text: bool, comment: bool) -> bool {
    let Some(first) = kind(tokens, at) else { return false };
    if first == Kind::Select || word_is(text, tokens, at, &["exists"]) && kind(tokens, at + 1) == Some(Kind::Open) {
        return true;
    }
    let operand = first.is_value() || first == Kind::Word;
    if !operand {
        return false;
    }
    let mut end = if first == Kind::Call { call_end(tokens, at + 1) } else { at + 1 };
    while kind(tokens, end) == Some(Kind::Dot) {
        end += 2;
    }
    while matches!(kind(tokens, end), Some(Kind::Close | Kind::Not)) || matches!(kind(tokens, end), Some(Kind::Arithmetic | Kind::Star)) && kind(tokens, end + 1) == Some(Kind::Number) {
        end += if matches!(kind(tokens, end), Some(Kind::Arithmetic | Kind::Star)) { 2 } else { 1 };
    }
    match kind(tokens, end) {
        Some(Kind::Compare { word }) => {
            let mut right = end + 1;
            while matches!(kind(tokens, right), Some(Kind::Not | Kind::Open | Kind::Arithmetic | Kind::Compare { word: false })) || word_is(text, tokens, right, &["all", "any", "binary"]) {
                right += 1;
            }
            let value = kind(tokens, right).is_some_and(|k| k.is_value() || k == Kind::Select);
            let both = first.is_value() && value;
            // `1 or 2 is`: words compare in prose as well, so both sides have to be values there.
            both && (!word || after_text || first != Kind::Number || kind(tokens, right) != Some(Kind::Text { closed: true, empty: false }))
                || after_text && (value || first.is_value() && kind(tokens, right) == Some(Kind::Word))
        }
        None | Some(Kind::Comment { .. }) if first == Kind::Number => after_text || comment,
        None => after_text && first == Kind::Call,
        Some(Kind::Comment { .. }) => after_text && first.is_value(),
        Some(Kind::Logic) => after_text && first == Kind::Number,
        Some(Kind::Semicolon) => after_text && first == Kind::Number,
        _ => first == Kind::Call && known_call(text, tokens, at),
    }
}

fn known_call(text: &[u8], tokens: &[Token], at: usize) -> bool {
    word_is(text, tokens, at, &["sleep", "benchmark", "pg_sleep", "ascii", "substring", "substr", "mid", "length", "char", "updatexml", "extractvalue", "json_keys", "if", "elt", "ord", "hex", "user", "database", "version"])
}

/// The position after the bracket that closes the one at `open`.
fn call_end(tokens: &[Token], open: usize) -> usize {
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

/// A string that the value closes, and what it goes on with.
fn closed_text(tokens: &[Token], found: &mut Found) {
    let Some(Kind::Text { closed: true, empty: first_empty }) = kind(tokens, 0) else { return };
    let mut at = 1;
    while kind(tokens, at) == Some(Kind::Close) {
        at += 1;
    }
    match kind(tokens, at) {
        Some(Kind::Comment { empty: true }) if at + 1 == tokens.len() => found.note(Predicate::SqlCommentTail, place(tokens, at)),
        Some(Kind::Compare { .. } | Kind::Arithmetic | Kind::Logic | Kind::Not | Kind::Star) => {
            let words = tokens.iter().skip(at).take(3).any(|t| matches!(t.kind, Kind::Compare { word: true }));
            let mut next = at;
            while matches!(kind(tokens, next), Some(Kind::Compare { .. } | Kind::Arithmetic | Kind::Logic | Kind::Not | Kind::Star | Kind::Open)) {
                next += 1;
            }
            let Some(operand) = kind(tokens, next) else { return };
            let after = if operand == Kind::Call { call_end(tokens, next + 1) } else { next + 1 };
            let goes_on = matches!(kind(tokens, after), None | Some(Kind::Comment { .. } | Kind::Logic | Kind::Arithmetic | Kind::Compare { .. } | Kind::Union | Kind::Semicolon | Kind::Close | Kind::Star));
            let open = matches!(operand, Kind::Text { closed: false, .. });
            let last_empty = matches!(operand, Kind::Text { empty: true, .. });
            if !goes_on || !operand.is_value() {
                return;
            }
            let strong = words || matches!(operand, Kind::Variable | Kind::Call) || operand.is_text() && next > at && !(first_empty && last_empty) && (open || kind(tokens, after).is_some());
            found.note(if strong { Predicate::SqlBreakout } else { Predicate::SqlWeakBreakout }, place(tokens, at));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        let mut found = Found::default();
        find(text.as_bytes(), &mut found);
        found.iter().map(|(p, _)| p.name()).collect()
    }

    #[test]
    fn injections_are_found_in_every_quoting() {
        for text in [
            "1 or 1=1", "x' or 'a'='a", "x\" or \"a\"=\"a", "') or ('1'='1", "' or 1 -- ", "1)) and 7=7 and ((3=3", "z' and name <> 'x",
            "0 union all select null,null", "5 union select name from users", "a' UNION/**/SELECT 1", "1; drop table users--", "select * from users",
            "1;declare @x int", "q'||'z'||'", "a'-@@version", "root'-- ", "x'#", "' or exists(select 1)", "1' and sleep(5)='", "(select 1 from dual)",
            "9'/*!50000or*/1=1",
        ] {
            assert!(!found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn prose_and_code_are_left_alone() {
        for text in [
            "Please select the best union of both lists and drop the rest", "1 or 2 = fine", "O'Brien and 5 others", "rock 'n' roll or jazz",
            "Union Select Committee", "it's 5 o'clock and all is well", "n.name = 'Ann' OR n.name = 'Bob'", "x = 'a' + 'b'", "5' 11\"", "1/4\"-1\" wide ribbon",
            "Insert into the slot; select a size", "select one from the list", "a && b || c", "\"*\"", "He said \"no\".\n\t-- Somebody", "'yes', 'no' or 'maybe'",
            "update your profile and set a name", "Delete from cart; drop in", "price > 5 and < 10", "if (x > 0 && y < 1) { return 'a' || b; }",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
