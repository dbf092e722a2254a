//! SQL injection by tokens: what a value does to the statement it would be pasted into.
//!
//! A value is read three times: as it is, as the inside of a single-quoted and of a double-quoted
//! string. Findings are shapes of tokens no honest value has: a condition after a closed string, a
//! UNION with a select list, a string that is closed and goes on as an expression.

use super::sql_breakout::{closed_text, cut, is_operator};
use super::sql_statement::{added, statement};
use super::sql_token::{Kind, Token, call_end, kind, place, word_is, word_text};
use super::sql_tokens::{TOKENS_MAX, Tokens, read};
use super::sql_words::joins;
use crate::policy::threat::bytes::{self, Classes};
use crate::policy::threat::predicate::{Found, Predicate};

/// Steps of reading a text, and for each token of it.
const READ_STEPS: usize = 60;
const TOKEN_STEPS: usize = 18;

/// Finds what a text of these classes of bytes does, read plain and from inside either quote.
///
/// Without a comment, or a word or sign that joins conditions or starts a statement, all there can be is an operator
/// after a closed string; tokens are read no further than to see that there is none.
pub(super) fn find(text: &[u8], classes: Classes, found: &mut Found) {
    look(text, classes, joins(text, classes), found);
}

fn look(text: &[u8], classes: Classes, joins: bool, found: &mut Found) {
    if joins {
        let tokens = read_whole(text, None, found);
        statement(text, &tokens, found);
        conditions(text, &tokens, false, found);
        if let Some(at) = bare_probe(text, &tokens) {
            found.note(at.0, at.1);
        }
    }
    if classes & bytes::STRING == 0 {
        return;
    }
    for quote in [b'\'', b'"'] {
        if memchr::memchr(quote, text).is_none() || !joins && !operates(text, quote, found) {
            continue;
        }
        let tokens = read_whole(text, Some(quote), found);
        added(text, &tokens, found);
        conditions(text, &tokens, true, found);
        closed_text(text, &tokens, found);
        // Where a backslash is no escape, an escaped quote closes.
        let escaped = memchr::memchr_iter(b'\\', text).find(|at| text.get(at + 1) == Some(&quote));
        if let Some(at) = escaped.filter(|_| joins) {
            let rest = text.get(at + 1..).unwrap_or_default();
            conditions(rest, &read_whole(rest, Some(quote), found), true, found);
        }
    }
}

/// All tokens of a text, as far as they are read at all.
fn read_whole(text: &[u8], inside: Option<u8>, found: &mut Found) -> Tokens {
    let tokens = read(text, inside, TOKENS_MAX);
    found.work.spend(READ_STEPS + TOKEN_STEPS * tokens.len());
    tokens
}

/// Tokens by which it shows what stands after a closed string.
const OPENING_TOKENS: usize = 6;

/// Whether an operator may stand after the string a text starts in, and the brackets that close with it.
fn operates(text: &[u8], quote: u8, found: &mut Found) -> bool {
    let tokens = read(text, Some(quote), OPENING_TOKENS);
    found.work.spend(READ_STEPS + TOKEN_STEPS * tokens.len());
    let after = tokens.iter().skip(1).find(|t| t.kind != Kind::Close);
    after.map_or(tokens.len() == OPENING_TOKENS, |t| is_operator(t.kind))
}

/// A value that is nothing but a number and the same again (`1 or 1`), or a number and an open UNION.
fn bare_probe(text: &[u8], tokens: &[Token]) -> Option<(Predicate, usize)> {
    let (last, rest) = tokens.split_last()?;
    let signed = matches!(rest.first().map(|t| t.kind), Some(Kind::Arithmetic));
    let negative = signed && text.first() == Some(&b'-') && rest.len() == 2;
    if last.kind == Kind::Union && negative && kind(rest, 1) == Some(Kind::Number) {
        return Some((Predicate::SqlUnion, last.at));
    }
    let cut = matches!(last.kind, Kind::Comment { .. });
    let expression = if cut { rest } else { tokens };
    let same = word_text(text, expression, 0) == word_text(text, expression, 2);
    let kinds = [0, 1, 2].map(|at| kind(expression, at));
    let probe = kinds == [Some(Kind::Number), Some(Kind::Logic), Some(Kind::Number)];
    (probe && same && expression.len() == 3)
        .then(|| (Predicate::SqlCondition, place(expression, 1)))
}

/// Conditions of one window; more of them are found by themselves.
const CONDITIONS_MAX: usize = 128;

/// AND/OR with a comparison after a closed string or a number.
fn conditions(text: &[u8], tokens: &Tokens, inside: bool, found: &mut Found) {
    if !tokens.have(Kind::Logic.bit()) {
        return;
    }
    let comment = tokens
        .last()
        .is_some_and(|t| matches!(t.kind, Kind::Comment { .. }));
    let logic = tokens
        .iter()
        .enumerate()
        .filter(|(_, t)| t.kind == Kind::Logic);
    for (count, (at, token)) in logic.enumerate() {
        if count >= CONDITIONS_MAX {
            return found.note(Predicate::BoundLeaves, token.at);
        }
        let before = at.checked_sub(1).and_then(|i| kind(tokens, i));
        let after_text = inside
            && (at == 1
                || tokens
                    .iter()
                    .take(at)
                    .skip(1)
                    .all(|t| t.kind == Kind::Close));
        let left = match before {
            None => true,
            Some(Kind::Number | Kind::Close | Kind::Variable) => true,
            // Quotes that pair within the value are its own: `"size" = "L" OR "size" = "M"`.
            Some(Kind::Text { closed: true, .. }) => {
                inside || word_text(text, tokens, at + 1) == word_text(text, tokens, at + 3)
            }
            Some(_) => false,
        };
        if !(left || before == Some(Kind::Word) && equal_numbers(text, tokens, at + 1)) {
            continue;
        }
        let mut next = at + 1;
        while matches!(
            kind(tokens, next),
            Some(Kind::Not | Kind::Open | Kind::Arithmetic)
        ) || word_is(text, tokens, next, &["binary", "case", "when"])
        {
            next += 1;
        }
        let twice = before.is_none()
            && word_text(text, tokens, next) == word_text(text, tokens, next + 2)
            && kind(tokens, next + 3).is_none();
        let words = before.is_none()
            && (comment || twice)
            && kind(tokens, next) == Some(Kind::Word)
            && matches!(kind(tokens, next + 1), Some(Kind::Compare { word: false }));
        let signs = text.get(token.at) == Some(&b'&') || text.get(token.at) == Some(&b'|');
        let code = signs
            && !after_text
            && !matches!(
                text.get(tokens.get(next + 1).map_or(0, |t| t.at)),
                Some(b'=')
            );
        if words || !code && condition(text, tokens, next, after_text, comment) {
            found.note(Predicate::SqlCondition, token.at);
        }
    }
}

/// `1=1`, and nothing after it that is prose.
fn equal_numbers(text: &[u8], tokens: &[Token], at: usize) -> bool {
    let same = word_text(text, tokens, at) == word_text(text, tokens, at + 2);
    let equals = word_text(text, tokens, at + 1) == b"=";
    let ends = match kind(tokens, at + 3) {
        None => true,
        Some(k) => matches!(
            k,
            Kind::Comment { .. } | Kind::Logic | Kind::Close | Kind::Semicolon
        ),
    };
    kind(tokens, at) == Some(Kind::Number) && equals && same && ends
}

/// Whether an expression from `at` on compares what no honest text would.
fn condition(text: &[u8], tokens: &[Token], at: usize, after_text: bool, comment: bool) -> bool {
    let Some(first) = kind(tokens, at) else {
        return false;
    };
    if first == Kind::Select
        || word_is(text, tokens, at, &["exists"]) && kind(tokens, at + 1) == Some(Kind::Open)
    {
        return true;
    }
    let operand = first.is_value() || first == Kind::Word;
    if !operand {
        return false;
    }
    let mut end = if first == Kind::Call {
        call_end(tokens, at + 1)
    } else {
        at + 1
    };
    while kind(tokens, end) == Some(Kind::Dot) {
        end += 2;
    }
    let plain = end;
    while matches!(kind(tokens, end), Some(Kind::Close | Kind::Not))
        || matches!(kind(tokens, end), Some(Kind::Arithmetic | Kind::Star))
            && kind(tokens, end + 1) == Some(Kind::Number)
    {
        end += if matches!(kind(tokens, end), Some(Kind::Arithmetic | Kind::Star)) {
            2
        } else {
            1
        };
    }
    match kind(tokens, end) {
        Some(Kind::Compare { word }) => {
            let mut right = end + 1;
            while matches!(
                kind(tokens, right),
                Some(Kind::Not | Kind::Open | Kind::Arithmetic | Kind::Compare { word: false })
            ) || word_is(text, tokens, right, &["all", "any", "binary"])
            {
                right += 1;
            }
            let value = kind(tokens, right).is_some_and(|k| k.is_value() || k == Kind::Select);
            // `… and 1 = 1, trivially`
            let told = !after_text
                && first == Kind::Number
                && matches!(kind(tokens, right + 1), Some(Kind::Comma | Kind::Word));
            let both = first.is_value() && value && !told;
            // `1 or 2 is`: words compare in prose as well, so both sides have to be values there.
            both && (!word
                || after_text
                || first != Kind::Number
                || kind(tokens, right)
                    != Some(Kind::Text {
                        closed: true,
                        empty: false,
                    }))
                || after_text
                    && (value || first.is_value() && kind(tokens, right) == Some(Kind::Word))
                || after_text && !word && cut(tokens) && kind(tokens, right) == Some(Kind::Word)
        }
        None | Some(Kind::Comment { .. }) if first == Kind::Number => after_text || comment,
        None => after_text && (first == Kind::Call || end > plain + 1),
        Some(Kind::Comment { .. }) => after_text && first.is_value(),
        Some(Kind::Logic) => after_text && first == Kind::Number,
        Some(Kind::Semicolon) => after_text && first == Kind::Number,
        Some(Kind::Arithmetic | Kind::Star) => {
            after_text && kind(tokens, end + 1).is_some_and(Kind::is_value)
        }
        _ => first == Kind::Call && known_call(text, tokens, at),
    }
}

fn known_call(text: &[u8], tokens: &[Token], at: usize) -> bool {
    word_is(
        text,
        tokens,
        at,
        &[
            "sleep",
            "benchmark",
            "pg_sleep",
            "ascii",
            "substring",
            "substr",
            "mid",
            "length",
            "char",
            "updatexml",
            "extractvalue",
            "json_keys",
            "if",
            "elt",
            "ord",
            "hex",
            "user",
            "database",
            "version",
        ],
    )
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn found(text: &str) -> Vec<&'static str> {
        let mut found = Found::default();
        find(text.as_bytes(), bytes::classes(text.as_bytes()), &mut found);
        found.iter().map(|(p, _)| p.name()).collect()
    }

    #[test]
    fn injections_are_found_in_every_quoting() {
        for text in [
            "1 or 1=1",
            "x' or 'a'='a",
            "x\" or \"a\"=\"a",
            "') or ('1'='1",
            "' or 1 -- ",
            "1)) and 7=7 and ((3=3",
            "z' and name <> 'x",
            "0 union all select null,null",
            "5 union select name from users",
            "a' UNION/**/SELECT 1",
            "1; drop table users--",
            "select * from users",
            "1;declare @x int",
            "q'||'z'||'",
            "a'-@@version",
            "root'-- ",
            "x'#",
            "' or exists(select 1)",
            "1' and sleep(5)='",
            "(select 1 from dual)",
            "9'/*!50000or*/1=1",
            "x' union select a || ':' || b from t",
            "3. union select.2 q",
            "(select a/2 from t limit 1,1)",
            "n'; desc t; -- ",
            "n' or a=a-- ",
            "'=0-- ",
            "n' = !0 = !!'0",
            "7\nunion\nselect\n7",
            "1 or 1",
            "7||7",
            "3 OR 3 --",
            "-7 union",
        ] {
            assert!(!found(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn prose_and_code_are_left_alone() {
        for text in [
            "Please select the best union of both lists and drop the rest",
            "1 or 2 = fine",
            "1 or 2",
            "1 and 1 make 2",
            "5 union",
            "O'Brien and 5 others",
            "rock 'n' roll or jazz",
            "Union Select Committee",
            "it's 5 o'clock and all is well",
            "n.name = 'Ann' OR n.name = 'Bob'",
            "x = 'a' + 'b'",
            "5' 11\"",
            "1/4\"-1\" wide ribbon",
            "Insert into the slot; select a size",
            "select one from the list",
            "a && b || c",
            "\"*\"",
            "He said \"no\".\n\t-- Somebody",
            "'yes', 'no' or 'maybe'",
            "update your profile and set a name",
            "Delete from cart; drop in",
            "price > 5 and < 10",
            "if (x > 0 && y < 1) { return 'a' || b; }",
            "select the item from the list where it's shown",
            "grant all wishes to everyone",
            "2 + 2 = 4 and 1 = 1, trivially",
            "shutdown -- maintenance tonight",
            "exec(utive) summary",
            "[a-z!#$%&'*+/=?^_`{|}~-]+",
            "\"or\" is a word; 'and' too",
        ] {
            // A weak finding alone blocks nothing.
            let strong = found(text)
                .into_iter()
                .find(|f| *f != Predicate::SqlWeakBreakout.name());
            assert_eq!(strong, None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_no_word_joins_is_rightly_left_unread(parts in vec(select(vec![
            " ", "  ", "a", "b2", "1", "0xf", "1.", ".5", "null", "TRUE", "and", "OR", "xor", "'", "\"", "`", "(", ")", "{", "}",
            "=", "<>", ",", ";", "@", "@a", "?", ":a", "like", "in", "is", "not", "*", "*/", "-", "+", "\\", "$", ".", "\u{a0}", "é",
            "from", "where", "sleep(", "\n", "!", "#", "--", "# a", "-- a", "---",
        ]), 0..12)) {
            let text = parts.concat();
            let (text, classes) = (text.as_bytes(), bytes::classes(text.as_bytes()));
            let (mut found, mut read) = (Found::default(), Found::default());
            find(text, classes, &mut found);
            look(text, classes, true, &mut read);
            prop_assert!(found.iter().eq(read.iter()));
        }
    }
}
