//! Conditions that hold for every row of what was matched: they compare a thing with itself or with its least
//! value, ask whether a matched thing is there, or read nothing of the graph at all.
//!
//! Only what is certain is taken: anything else counts as a condition, so that no honest statement is stopped.

use super::constant::{constant, joins, opens_pattern};
use super::facts::is_clause;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Token, Tokens};

/// Tokens read of one condition.
pub(super) const TOKENS_MAX: usize = 48;

/// Tokens of a statement that is searched for what its conditions ask about; of a longer one nothing is certain.
const STATEMENT_TOKENS_MAX: usize = 1_024;

/// Conditions joined by AND that are read.
const JOINED_MAX: usize = 4;

/// Whether what is right of an OR at `or` holds for every row.
pub(super) fn beside(text: &[u8], list: &Tokens, or: usize) -> bool {
    joined(list, or + 1, |at| {
        constant(text, list, at).or_else(|| fact(text, list, at))
    })
    .is_some()
}

/// The end of a condition from `at` on that filters nothing.
pub(super) fn filters_nothing(text: &[u8], list: &Tokens, at: usize) -> Option<usize> {
    joined(list, at, |at| {
        let always = list.is(at, K::True).then_some(at + 1);
        always.or_else(|| fact(text, list, at))
    })
}

/// The end of conditions joined by AND that are all recognised.
fn joined(list: &Tokens, at: usize, one: impl Fn(usize) -> Option<usize>) -> Option<usize> {
    let mut at = at;
    for _ in 0..JOINED_MAX {
        let end = one(at)?;
        if !list.is(end, K::And) {
            return ends(list, end).then_some(end);
        }
        at = end + 1;
    }
    None
}

/// Whether a condition is over at a token.
pub(super) fn ends(list: &Tokens, at: usize) -> bool {
    list.at(at).is_none_or(|t| match t.kind {
        Kind::Sign(b')' | b']' | b'}' | b';') => true,
        Kind::Word => {
            matches!(t.keyword, K::Or | K::Xor | K::Order | K::Limit | K::Skip)
                || t.keyword.starts_clause() && is_clause(list, at)
        }
        _ => false,
    })
}

/// The end of one condition that every matched row fulfils.
fn fact(text: &[u8], list: &Tokens, from: usize) -> Option<usize> {
    let mut at = from;
    let (mut open, mut negated) = (0_usize, false);
    while at < from + JOINED_MAX {
        match list.at(at) {
            Some(t) if t.kind == Kind::Sign(b'(') && !opens_pattern(list, at) => open += 1,
            Some(t) if t.keyword == K::Not => negated = !negated,
            _ => break,
        }
        at += 1;
    }
    let mut end = if negated {
        is_there(text, list, at, true)?
    } else {
        is_there(text, list, at, false)
            .or_else(|| exists(list, at))
            .or_else(|| counts(text, list, at))
            .or_else(|| least(text, list, at))
            .or_else(|| any_text(text, list, at))
            .or_else(|| itself(text, list, at))?
    };
    for _ in 0..open {
        if !list.is_sign(end, b')') {
            return list.at(end).is_none().then_some(end);
        }
        end += 1;
    }
    Some(end)
}

/// `v IS NOT NULL`, `id(v) IS NOT NULL` of something matched; below a NOT `v IS NULL`.
fn is_there(text: &[u8], list: &Tokens, at: usize, negated: bool) -> Option<usize> {
    let token = list.at(at)?;
    let end = if list.is(at + 1, K::Is) {
        is_matched(text, list, at, token).then_some(at + 1)?
    } else {
        of_row(text, list, at)?
    };
    let null = end + 1 + usize::from(!negated);
    let asked =
        list.is(end, K::Is) && list.is(null, K::Null) && (negated || list.is(end + 1, K::Not));
    asked.then_some(null + 1)
}

/// Whether a name was bound by a pattern before `at` whose rows all have it.
fn is_matched(text: &[u8], list: &Tokens, at: usize, name: Token) -> bool {
    let named = matches!(name.kind, Kind::Word | Kind::Name) && !name.keyword.is_literal();
    if !named || list.list.len() > STATEMENT_TOKENS_MAX {
        return false;
    }
    let mut bound = false;
    for (index, token) in list.list.iter().enumerate() {
        // What an optional pattern or an expression binds may be null.
        if token.keyword == K::Optional && is_clause(list, index) {
            return false;
        }
        if index + 1 >= at
            || list
                .at(index + 1)
                .is_none_or(|t| t.of(text) != name.of(text))
        {
            continue;
        }
        if matches!(token.keyword, K::As | K::Yield) {
            return false;
        }
        let before = index.checked_sub(1).and_then(|i| list.at(i));
        let opens = match token.kind {
            Kind::Sign(b'(') => before.is_some_and(|t| t.kind != Kind::Word || is_pattern(t)),
            Kind::Sign(b'[') => before.is_some_and(|t| t.kind == Kind::Sign(b'-')),
            _ => false,
        };
        bound |= opens
            && list
                .at(index + 2)
                .is_some_and(|t| matches!(t.kind, Kind::Sign(b')' | b']' | b':' | b'{')));
    }
    bound
}

/// Whether a word stands before a pattern.
fn is_pattern(word: Token) -> bool {
    matches!(word.keyword, K::Match | K::Merge | K::Create)
}

/// The end of `id(v)`, `size(labels(v))`: a call on a matched thing itself, none of its properties.
fn of_row(text: &[u8], list: &Tokens, at: usize) -> Option<usize> {
    const CALLS: [&[u8]; 7] = [
        b"id",
        b"elementid",
        b"labels",
        b"keys",
        b"type",
        b"size",
        b"tostring",
    ];
    let token = list.at(at)?;
    let known = CALLS
        .iter()
        .any(|call| token.of(text).eq_ignore_ascii_case(call));
    if !known || !list.is_sign(at + 1, b'(') {
        return None;
    }
    if list.is_sign(at + 3, b')') && is_matched(text, list, at + 2, list.at(at + 2)?) {
        return Some(at + 4);
    }
    if list.is_sign(at + 3, b'(') {
        let end = of_row(text, list, at + 2)?;
        return list.is_sign(end, b')').then_some(end + 1);
    }
    None
}

/// The end of `() …`, `MATCH (x)`, `MATCH (x) RETURN x` in braces: any node at all.
fn any_node(list: &Tokens, open: usize) -> Option<usize> {
    let at = open + 1 + usize::from(list.is(open + 1, K::Match));
    let named = list
        .at(at + 1)
        .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Name));
    let close = at + 1 + usize::from(named);
    let node = list.is_sign(open, b'{') && list.is_sign(at, b'(') && list.is_sign(close, b')');
    let end = close + 1 + 2 * usize::from(list.is(close + 1, K::Return));
    (node && list.is_sign(end, b'}')).then_some(end + 1)
}

/// The end of `EXISTS { MATCH (v) }` or `exists((v))`.
fn exists(list: &Tokens, at: usize) -> Option<usize> {
    if !list.is(at, K::Exists) {
        return None;
    }
    let doubled = [(1, b'('), (2, b'('), (4, b')'), (5, b')')];
    let bare = doubled.iter().all(|(i, sign)| list.is_sign(at + i, *sign));
    any_node(list, at + 1).or_else(|| bare.then_some(at + 6))
}

/// The end of `COUNT { … } >= 0`, `COUNT { () } > 0`, `COLLECT { MATCH (x) RETURN x } <> []`.
fn counts(text: &[u8], list: &Tokens, at: usize) -> Option<usize> {
    if !(list.is(at, K::Count) || list.is(at, K::Collect)) || !list.is_sign(at + 1, b'{') {
        return None;
    }
    let any = any_node(list, at + 1);
    let tokens = list.list.iter().enumerate().skip(at + 2).take(TOKENS_MAX);
    let close = tokens
        .take_while(|(_, t)| t.kind != Kind::Sign(b'{'))
        .find(|(_, t)| t.kind == Kind::Sign(b'}'))
        .map(|(i, _)| i + 1);
    let end = any.or(close)?;
    let above = list.is_sign(end, b'>') && list.at(end + 1)?.of(text) == b"0";
    over_least(text, list, end).or_else(|| (any.is_some() && above).then_some(end + 2))
}

/// The end of `>= 0`, `> -1`, `<> -1`, `<> ''`, `<> []`: true of whatever numbers itself, names itself or is not empty.
fn over_least(text: &[u8], list: &Tokens, at: usize) -> Option<usize> {
    let apart = list.is_sign(at, b'<') && list.is_sign(at + 1, b'>');
    let least = list.is_sign(at, b'>') && list.is_sign(at + 1, b'=');
    let right = at + 1 + usize::from(apart || least);
    let number = |i: usize| list.at(i).is_some_and(|t| t.kind == Kind::Number);
    if (apart || list.is_sign(at, b'>')) && list.is_sign(right, b'-') && number(right + 1) {
        return Some(right + 2);
    }
    let value = list.at(right)?;
    if least && value.of(text) == b"0" || apart && is_empty_text(text, value) {
        return Some(right + 1);
    }
    let no_list = list.is_sign(right, b'[') && list.is_sign(right + 1, b']');
    (apart && no_list).then_some(right + 2)
}

fn is_empty_text(text: &[u8], token: Token) -> bool {
    token.kind == Kind::Text && token.inner(text).is_empty()
}

/// The end of `id(v) >= 0`, `0 <= id(v)`, `elementId(v) <> ''`.
fn least(text: &[u8], list: &Tokens, at: usize) -> Option<usize> {
    let token = list.at(at)?;
    if let Some(end) = of_row(text, list, at) {
        return over_least(text, list, end);
    }
    let zero = token.of(text) == b"0" && list.is_sign(at + 1, b'<') && list.is_sign(at + 2, b'=');
    let empty =
        is_empty_text(text, token) && list.is_sign(at + 1, b'<') && list.is_sign(at + 2, b'>');
    if zero || empty {
        return of_row(text, list, at + 3);
    }
    None
}

/// The end of `v.p =~ '[\s\S]*'`, `v.p >= ''`, `v.p IN [v.p]`, `v.p <> v.p + 1`.
fn any_text(text: &[u8], list: &Tokens, at: usize) -> Option<usize> {
    let path = path(text, list, at)?;
    let next = list.at(at + 3)?;
    let compared = list.is_sign(at + 4, b'~') || list.is_sign(at + 4, b'=');
    let right = list.at(at + 5);
    match next.kind {
        Kind::Sign(b'=') if compared => right
            .filter(|t| {
                matches!(
                    t.inner(text),
                    b"[\\s\\S]*" | b"[\\\\s\\\\S]*" | b"(.|\\\\n)*"
                )
            })
            .map(|_| at + 6),
        Kind::Sign(b'>') if compared => right.filter(|t| is_empty_text(text, *t)).map(|_| at + 6),
        Kind::Sign(b'<') if list.is_sign(at + 4, b'>') => {
            let more = list.is_sign(at + 8, b'+') || list.is_sign(at + 8, b'-');
            let number = list.at(at + 9).is_some_and(|t| t.kind == Kind::Number);
            let same = self::path(text, list, at + 5) == Some(path);
            (same && more && number).then_some(at + 10)
        }
        Kind::Word if next.keyword == K::In && list.is_sign(at + 4, b'[') => {
            let same = self::path(text, list, at + 5) == Some(path);
            (same && list.is_sign(at + 8, b']')).then_some(at + 9)
        }
        _ => None,
    }
}

/// The variable and property of `v.p` at a token.
fn path<'t>(text: &'t [u8], list: &Tokens, at: usize) -> Option<[&'t [u8]; 2]> {
    let part = |at: usize| {
        list.at(at)
            .filter(|t| matches!(t.kind, Kind::Word | Kind::Name))
            .map(|t| t.inner(text))
    };
    let further = list.is_sign(at + 3, b'.') || list.is_sign(at + 3, b'(');
    (list.is_sign(at + 1, b'.') && !further).then_some([part(at)?, part(at + 2)?])
}

/// The end of `x = x`, `x >= x` with the same tokens on both sides.
fn itself(text: &[u8], list: &Tokens, at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut width = 0;
    loop {
        let token = list.at(at + width).filter(|_| width < TOKENS_MAX / 2)?;
        match token.kind {
            Kind::Sign(b'=' | b'<' | b'>') if depth == 0 => break,
            Kind::Sign(b'(' | b'[' | b'{') => depth += 1,
            Kind::Sign(b')' | b']' | b'}') => depth = depth.checked_sub(1)?,
            Kind::Word if joins(token.keyword) || token.keyword.starts_clause() => return None,
            Kind::Word if token.of(text).eq_ignore_ascii_case(b"rand") => return None,
            _ => {}
        }
        width += 1;
    }
    let sign = at + width;
    let bounded = list.is_sign(sign + 1, b'=');
    let right = sign + 1 + usize::from(bounded);
    let equal = list.is_sign(sign, b'=') != bounded;
    let same = (0..width).all(|i| {
        let sides = list.at(at + i).zip(list.at(right + i));
        sides.is_some_and(|(a, b)| a.kind == b.kind && a.of(text) == b.of(text))
    });
    (width > 0 && equal && same).then_some(right + width)
}

/// `v.p IS NULL OR v.p IS NOT NULL`, `v.p = 1 OR v.p <> 1`: one of both is true.
pub(super) fn complements(text: &[u8], list: &Tokens, or: usize) -> bool {
    let Some(right) = compared(text, list, or + 1) else {
        return false;
    };
    let starts = [5, 6].into_iter().filter_map(|width| or.checked_sub(width));
    ends(list, right.end)
        && starts.into_iter().any(|at| {
            let first = at.checked_sub(1).is_some_and(|i| {
                list.is(i, K::Where) || list.is(i, K::Or) || list.is_sign(i, b'(')
            });
            first
                && compared(text, list, at).is_some_and(|left| {
                    left.end == or
                        && left.path == right.path
                        && left.value == right.value
                        && left.equal != right.equal
                })
        })
}

/// A property compared with null or with a literal.
struct Compared<'t> {
    path: [&'t [u8]; 2],
    value: &'t [u8],
    equal: bool,
    end: usize,
}

fn compared<'t>(text: &'t [u8], list: &Tokens, at: usize) -> Option<Compared<'t>> {
    let path = path(text, list, at)?;
    let is = list.is(at + 3, K::Is);
    let apart = list.is_sign(at + 3, b'<') && list.is_sign(at + 4, b'>');
    let not = apart || is && list.is(at + 4, K::Not);
    let value_at = at + 4 + usize::from(not);
    let value = list.at(value_at)?;
    let fits = if is {
        value.keyword == K::Null
    } else {
        (apart || list.is_sign(at + 3, b'=')) && matches!(value.kind, Kind::Text | Kind::Number)
    };
    fits.then_some(Compared {
        path,
        value: value.of(text),
        equal: !not,
        end: value_at + 1,
    })
}

#[cfg(test)]
mod tests {
    use crate::policy::cypher::{Finding, read};

    fn found(condition: &str) -> bool {
        let text = format!("MATCH (u:User)-[r]->(m) WHERE u.name = 'x' OR {condition} RETURN u");
        read(text.as_bytes()).1.has(Finding::Tautology)
    }

    #[test]
    fn what_every_matched_row_fulfils_is_found() {
        for condition in [
            "u IS NOT NULL",
            "NOT (u IS NULL)",
            "(r IS NOT NULL)",
            "u IS NOT NULL AND 2 > 1",
            "id(u) IS NOT NULL",
            "exists((u))",
            "EXISTS { (u) }",
            "EXISTS { MATCH (z) }",
            "id(u) >= 0",
            "id(u) > -1",
            "0 <= id(u)",
            "elementId(u) <> ''",
            "size(labels(u)) >= 0",
            "labels(u) <> []",
            "COUNT { MATCH (x) } >= 0",
            "COUNT { () } > 0",
            "u.a >= ''",
            "u.a IN [u.a]",
            "u.a <> u.a + 1",
            "$x = $x",
            "labels(u) = labels(u)",
            "u.id = 1 OR u.id <> 1",
            "u.id IS NULL OR u.id IS NOT NULL",
        ] {
            assert!(found(condition), "{condition}");
        }
    }

    #[test]
    fn what_reads_nothing_of_the_graph_is_found() {
        for condition in [
            "size([1]) = 1",
            "[1] = [1]",
            "{a: 1} = {a: 1}",
            "abs(-1) > 0",
            "toInteger(toString(1)) = 1",
            "any(x IN [1, 2] WHERE true)",
            "none(x IN [] WHERE x = 1)",
            "coalesce(null, true)",
            "CASE WHEN 1 = 1 THEN true ELSE false END",
        ] {
            assert!(found(condition), "{condition}");
        }
    }

    #[test]
    fn what_the_graph_is_asked_is_left_alone() {
        for condition in [
            "u.x IS NOT NULL",
            "m.y > 3",
            "z IS NOT NULL",
            "u IS NOT NULL AND u.x = 1",
            "u IS NULL",
            "id(u) IN [1, 2]",
            "id(u) > 5",
            "id(u) = 0",
            "size(labels(u)) > 0",
            "size(u.tags) = 0",
            "coalesce(u.a, 0) >= 0",
            "coalesce(u.flag, true)",
            "toInteger(u.a) >= 0",
            "any(t IN u.tags WHERE t = 'a')",
            "any(x IN [1, 2] WHERE x = u.id)",
            "all(x IN [1, 2] WHERE x IN u.tags)",
            "EXISTS { (u)-[:A]->() }",
            "EXISTS { MATCH (z:A) }",
            "exists((u)-->(m))",
            "COUNT { (u)-->() } > 0",
            "(u)-->()",
            "()-[:A]->(u)",
            "({a: 1})-->(u)",
            "$x = ''",
            "$all",
            "u = m",
            "u.x = u.y",
            "u.x <> u.y + 1",
            "u.x = 1 OR u.x = 2",
            "u.x = 1 OR u.y <> 1",
            "u.x IS NULL OR u.y IS NOT NULL",
            "u.a =~ '.*x.*'",
            "[1, 2] = u.ids",
            "CASE WHEN u.x THEN true ELSE false END",
            "CASE u.x WHEN 1 THEN true ELSE false END",
            "'a' STARTS WITH u.x",
            "false",
            "null",
            "NOT true",
        ] {
            assert!(!found(condition), "{condition}");
        }
        let optional =
            "MATCH (a) OPTIONAL MATCH (a)-->(m) WITH a, m WHERE a.x = 1 OR m IS NOT NULL RETURN a";
        assert!(!read(optional.as_bytes()).1.has(Finding::Tautology));
        let named = "MATCH (a) WITH a, a.x AS y WHERE a.x = 1 OR y IS NOT NULL RETURN a";
        assert!(!read(named.as_bytes()).1.has(Finding::Tautology));
    }
}
