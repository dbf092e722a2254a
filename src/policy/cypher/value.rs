//! Looks at a value that is not a statement for text that would break out of one.
//!
//! A break-out is a closing quote or bracket, then Cypher that goes on: a clause or an operator with
//! the signs that only syntax has. A quote before an English word is none, nor is a clause keyword in
//! prose: every keyword is shared with some language, so it is the signs after it that count.

use super::keyword::{Keyword as K, keyword};
use super::lexer::{Kind, Reader, Tokens, names, tokens};
use super::signs::{compares, connective, signs};
use super::syntax::{is_command, node, path, strong_at};
use super::{Finding, Findings, evidence};

/// Closing marks tried in one value; later ones are not.
const MARKS_MAX: usize = 12;

/// Quotes and brackets.
const MARKS: [bool; 256] = {
    let mut table = [false; 256];
    let mut index = 0;
    let marks = b"'\"`()[]{}";
    while index < marks.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[marks[index] as usize] = true;
        }
        index += 1;
    }
    table
};

/// Bytes read after a mark.
const TAIL_BYTES_MAX: usize = 2_048;

/// Notes what in a value would break out of a literal, a pattern or a number, and says how many tokens it read.
pub fn collect(value: &[u8], findings: &mut Findings) -> usize {
    let mut read = 0;
    let mut open = 0_i32;
    let mut marks = 0;
    let mut closed_to = None;
    let mut quotes = [0_u32; 3];
    let marked = |b: u8| MARKS.get(usize::from(b)).copied().unwrap_or(false);
    for (at, byte) in value.iter().enumerate().filter(|(_, b)| marked(**b)) {
        let tail = tail(value, at);
        let quote = matches!(byte, b'\'' | b'"' | b'`');
        match byte {
            b'(' | b'[' | b'{' => {
                open += 1;
                continue;
            }
            b')' | b']' | b'}' if open > 0 => {
                open -= 1;
                continue;
            }
            // A quote that closes one the value opened itself closes nothing outside.
            b'\'' | b'"' | b'`' if closes_own(value, at, *byte, &mut quotes) => continue,
            _ => {}
        }
        // From a mark before it on, which nothing but closing marks followed, the same was read.
        if !quote && closed_to == Some(at) {
            closed_to = Some(at + 1);
            continue;
        }
        closed_to = (!quote).then_some(at + 1);
        marks += 1;
        if marks > MARKS_MAX || !tail.iter().any(|b| b.is_ascii_alphabetic() || *b == b'-') {
            return read;
        }
        if !may_go_on(tail) {
            continue;
        }
        let list = tokens(tail);
        read += READ_TOKENS + list.list.len();
        if goes_on(tail, &list, quote) {
            let kind = if quote {
                Finding::ValueBreakout
            } else {
                Finding::PatternBreakout
            };
            findings.note(kind, u32::try_from(at).unwrap_or(0));
            return read;
        }
    }
    // Without a closing mark something has to say early that this is no prose.
    let starts = value
        .first()
        .is_some_and(|b| b.is_ascii_digit() || *b == b'-');
    if starts || is_bare(value) || names_union(value) {
        // Its tokens are hardly looked at, which is half of the work.
        read += (READ_TOKENS + bare(value, findings)) / 2;
    }
    read
}

/// Bytes within which a sort key and its direction stand.
const SORT_KEY_BYTES_MAX: usize = 120;

/// Tokens of sort keys, their directions and a limit.
const SORT_KEY_TOKENS_MAX: usize = 24;

/// Whether UNION stands near the start, in any case.
fn names_union(value: &[u8]) -> bool {
    let head = value
        .get(..value.len().min(SORT_KEY_BYTES_MAX))
        .unwrap_or_default();
    memchr::memchr2_iter(b'u', b'U', head).any(|at| {
        head.get(at..at + 5)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"union"))
    })
}

/// Whether a value may start with a name and end in a comment. An address does not: nothing but its scheme stands
/// before the two slashes.
fn is_bare(value: &[u8]) -> bool {
    let name = value.trim_ascii_start();
    let starts = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'\\' | b'/' | 0x80..);
    let mut slashes = memchr::memchr_iter(b'/', value);
    if !name.first().is_some_and(starts) || !slashes.any(|at| value.get(at + 1) == Some(&b'/')) {
        return false;
    }
    let after = name.get(names(name)..).unwrap_or_default();
    !after.starts_with(b"://") || memchr::memchr2(b'\n', b'\r', after).is_some()
}

/// What a reading costs by itself, in tokens.
const READ_TOKENS: usize = 10;

/// Whether a quote pairs with an earlier one of the value; an escaped one is no pair of any.
fn closes_own(value: &[u8], at: usize, quote: u8, quotes: &mut [u32; 3]) -> bool {
    if at > 0 && value.get(at - 1) == Some(&b'\\') {
        return false;
    }
    let slot = match quote {
        b'\'' => quotes.first_mut(),
        b'"' => quotes.get_mut(1),
        _ => quotes.get_mut(2),
    };
    slot.is_some_and(|count| {
        *count += 1;
        *count % 2 == 0
    })
}

fn tail(value: &[u8], at: usize) -> &[u8] {
    beginning(value.get(at + 1..).unwrap_or_default())
}

/// The bytes of a text that are read.
fn beginning(text: &[u8]) -> &[u8] {
    text.get(..text.len().min(TAIL_BYTES_MAX))
        .unwrap_or_default()
}

/// A number or a name, then Cypher, then a comment: nothing had to be closed. Says how many tokens it read.
fn bare(value: &[u8], findings: &mut Findings) -> usize {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let mut reader = Reader::new(beginning(value));
    let head = reader.first(SORT_KEY_TOKENS_MAX);
    let first = head.at(0).filter(|t| !t.keyword.starts_clause());
    let named = first.is_some_and(|t| t.kind == Kind::Word);
    let unions = (1..head.list.len()).filter(|at| named && head.is(*at, K::Union));
    let unions: Vec<usize> = unions.collect();
    let plain = first.is_some_and(|t| matches!(t.kind, Kind::Number | Kind::Word));
    let clause = (1..4).find(|i| {
        head.at(*i)
            .is_some_and(|t| t.keyword.starts_clause() || is_connective(t.keyword))
    });
    let clause = clause.filter(|_| plain);
    if unions.is_empty() && clause.is_none() {
        return head.list.len();
    }
    let list = reader.whole();
    if unions.iter().any(|at| joins(&list, at + 1)) {
        findings.note(Finding::ValueBreakout, 0);
        return list.list.len();
    }
    let Some(clause) = clause else {
        return list.list.len();
    };
    let signs = signs(value, &list, clause);
    // Right after the number, or in another statement.
    let number = list.list.first().is_some_and(|t| t.kind == Kind::Number)
        && (clause == 1 || clause == 2 && list.is_sign(1, b';'));
    let connects = list.at(clause).is_some_and(|t| is_connective(t.keyword))
        && signs.accesses
        && compares(&list, clause);
    if signs.comment && (signs.score >= 2 || signs.strong) || number && (signs.strong || connects) {
        findings.note(Finding::ValueBreakout, 0);
    }
    list.list.len()
}

/// Whether a query follows UNION that no sentence about a union has: a clause with its syntax, and another clause or
/// a node's label with it.
fn joins(list: &Tokens, at: usize) -> bool {
    let at = at + usize::from(list.is(at, K::All));
    let Some(first) = list.at(at) else {
        return false;
    };
    let labelled = list.at(at + 1).is_some_and(|t| node(list, at + 1, t));
    let clauses = list
        .list
        .iter()
        .skip(at + 1)
        .filter(|t| t.keyword.starts_clause() || t.keyword == K::Yield)
        .count();
    strong_at(list, at, first)
        && (labelled || clauses > 0 || matches!(first.keyword, K::Load | K::Call))
}

/// Whether the first word or sign after closing marks is one that [`goes_on`] takes, as far as that shows without
/// reading tokens.
fn may_go_on(tail: &[u8]) -> bool {
    let at = tail.iter().position(|b| {
        !matches!(
            b,
            b'\t'..=b'\r' | 0x1c..=b' ' | b')' | b'}' | b']' | b',' | b';'
        )
    });
    let rest = at.and_then(|at| tail.get(at..)).unwrap_or_default();
    match rest.first() {
        Some(first) if first.is_ascii_alphabetic() => {
            let width = names(rest);
            let whole = rest.get(width).is_none_or(u8::is_ascii);
            let word = keyword(rest.get(..width).unwrap_or_default());
            !whole || goes_on_with(word)
        }
        Some(b'+' | b'|') => {
            memchr::memmem::find(rest, b"//").is_some()
                || comments(rest)
                || is_extension(rest.get(1..).unwrap_or_default())
        }
        Some(b'-') => follows(rest, b"[-(>"),
        Some(b'<') => follows(rest, b"-"),
        // A comment, an escape or an exotic blank may stand before what goes on.
        Some(b'/') => matches!(rest.get(1), Some(b'/' | b'*')),
        Some(b'\\' | 0x80..) => true,
        _ => false,
    }
}

/// Whether a name starts, after blanks, that only the database's extensions have.
fn is_extension(text: &[u8]) -> bool {
    let name = text.trim_ascii_start();
    let root = name.get(..names(name)).unwrap_or_default();
    [&b"apoc"[..], b"gds", b"dbms"]
        .iter()
        .any(|known| root.eq_ignore_ascii_case(known))
}

/// Whether a dotted name of such a kind is called at a token.
fn calls_extension(text: &[u8], list: &Tokens, at: usize) -> bool {
    let part = |at: usize| list.at(at).filter(|t| t.kind == Kind::Word);
    let known = part(at).is_some_and(|t| is_extension(t.of(text)));
    let mut end = at + 1;
    while list.is_sign(end, b'.') && part(end + 1).is_some() {
        end += 2;
    }
    known && end > at + 1 && list.is_sign(end, b'(')
}

/// Whether a block comment is opened.
fn comments(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"/*").is_some()
}

/// Whether one of some signs stands after the first, or something that may hide it.
fn follows(text: &[u8], signs: &[u8]) -> bool {
    let mut rest = text.iter().skip(1);
    let next = rest.find(|b| !matches!(b, b'\t'..=b'\r' | 0x1c..=b' '));
    next.is_some_and(|b| signs.contains(b) || matches!(b, b'/' | b'\\' | 0x80..))
}

/// Whether Cypher goes on with a keyword after a closing mark.
fn goes_on_with(keyword: K) -> bool {
    is_connective(keyword)
        || keyword.starts_clause()
        || is_command(keyword)
        || matches!(keyword, K::Where | K::Order | K::Limit | K::Skip)
}

/// Whether the text after a closing mark is Cypher going on.
fn goes_on(tail: &[u8], list: &Tokens, quote: bool) -> bool {
    let mut at = 0;
    while list
        .at(at)
        .is_some_and(|t| matches!(t.kind, Kind::Sign(b')' | b'}' | b']' | b',' | b';')))
    {
        at += 1;
    }
    let Some(first) = list.at(at) else {
        return false;
    };
    let closed = at > 0 || !quote;
    if closed && path(list, at) {
        return true;
    }
    let signs = signs(tail, list, at);
    if is_connective(first.keyword) {
        return connective(tail, list, at, &signs);
    }
    if first.kind == Kind::Sign(b'+') || first.kind == Kind::Sign(b'|') {
        return signs.comment && signs.score >= 2 || calls_extension(tail, list, at + 1);
    }
    if first.keyword == K::Where && compares(list, at) && evidence::always_true(tail, list, at + 1)
    {
        return true;
    }
    if !goes_on_with(first.keyword) {
        return false;
    }
    signs.strong || signs.score >= 2 || signs.cut && list.list.len() < at + 12
}

fn is_connective(keyword: K) -> bool {
    matches!(keyword, K::Or | K::And | K::Xor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn found(value: &str) -> bool {
        let mut findings = Findings::default();
        collect(value.as_bytes(), &mut findings);
        !findings.is_empty()
    }

    #[test]
    fn only_a_run_of_closing_marks_is_read_once() {
        for value in [
            "x)]})-[:A]-(b",
            "x) y) z})-->(b",
            "'}) ) MATCH (a) RETURN a //",
            "a)b)c)d) DETACH DELETE n //",
        ] {
            assert!(found(value), "{value}");
        }
        assert!(!found(&"]".repeat(2_000)));
    }

    #[test]
    fn a_sort_key_that_goes_on_is_told_from_unions_of_people() {
        for value in [
            "age DESC UNION MATCH (a:B) RETURN a.c",
            "a.b asc union all match (c) detach delete c",
            "age UNION LOAD CSV FROM 'x' AS l RETURN l",
            "age UNION CALL a.b.c() YIELD d RETURN d",
            "age UNION MERGE (:A {b: 1})",
            "age, labels(a) AS b LIMIT 9 UNION CALL a.b() YIELD c RETURN c",
            "a'}) SHOW USERS YIELD user RETURN user //",
            "a\"] DROP DATABASE b //",
            "7 WITH 1 AS a CREATE USER b SET PASSWORD 'c'",
        ] {
            assert!(found(value), "{value}");
        }
        for value in [
            "Rugby Union match (live)",
            "Western Union call centre (Berlin)",
            "Credit Union: return with (signed) form",
            "students' union creates a fund (again)",
            "(v2) Show users a message with the return date // todo",
            "it's') create user accounts with a set of roles",
            "the 'new' button: drop database support // later",
        ] {
            assert!(!found(value), "{value}");
        }
    }

    #[test]
    fn calls_and_conditions_without_a_comparison_go_on() {
        for value in [
            "1; MATCH (n) DETACH DELETE n",
            "7 ;match (n:A) set n.b = 1",
            "'+apoc.cypher.runFirstColumnSingle('MATCH (u:A) RETURN u.b',{})+'",
            "\" + Apoc . text.join([], '') + \"",
            "' + gds.version() + '",
            "x' OR u:Admin //",
            "x' or (u)--() //",
            "x' OR ()-[]-(u) //",
            "Person) WHERE 1=1 OR (n:Admin",
        ] {
            assert!(found(value), "{value}");
        }
        for value in [
            "1; match the colours (and shapes)",
            "5; create a list",
            "it's '+ apoc'",
            "the boys' + their friends (all)",
            "'a' + apoc + 'b'",
            "the boys' or girls: both //",
            "don't worry or rule:b // later",
            "(2) where x = 1 or more",
        ] {
            assert!(!found(value), "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_on_is_never_ruled_out_unread(parts in proptest::collection::vec(select(vec![
            "-", "[", "]", "(", ")", ">", "<", "--", "+", "|", "//", "/*", "*/", " ", "\n", ",", ";", "}", "'", "or",
            "and", "match", "return", "where", "limit", "n", "n.x", "=", "1", "'a'", "\\u006fr", "\u{a0}", "delete", "with",
            "apoc.a.b(", "gds", ".", ":",
        ]), 0..12), quote: bool) {
            let tail = parts.concat();
            let list = tokens(tail.as_bytes());
            if goes_on(tail.as_bytes(), &list, quote) {
                prop_assert!(may_go_on(tail.as_bytes()), "{tail:?}");
            }
        }
    }
}
