//! Findings of a value's form: paths that climb, names that mean something to a server, GraphQL and XML.

use crate::policy::cypher::{self, Kind as Cypher};
use crate::policy::threat::predicate::{Found, Predicate};

/// Operations in one GraphQL batch.
pub(in crate::policy::threat) const GRAPHQL_BATCH_MAX: usize = 10;

const GRAPHQL_ALIASES_MAX: usize = 15;
const GRAPHQL_DEPTH_MAX: usize = 10;
const GRAPHQL_DIRECTIVES_MAX: usize = 50;

/// `..` steps that a value takes towards the root; one suffices in the name of a file.
pub(super) fn climb(text: &[u8], named: bool, found: &mut Found) {
    let (steps, at) = steps(text);
    if steps >= if named { 1 } else { 2 } {
        found.note(Predicate::PathClimbs, at);
    }
}

/// The decoded path of a request: honest clients resolve `..` themselves.
pub(in crate::policy::threat) fn path(text: &[u8], found: &mut Found) {
    let (steps, at) = steps(text);
    if steps > 0 {
        found.note(Predicate::PathClimbs, at);
    }
}

/// Where a short mark stands that begins with a byte, without overlaps: on short texts no searcher pays off.
pub(super) fn pairs<'t>(
    text: &'t [u8],
    first: u8,
    mark: &'t [u8],
) -> impl Iterator<Item = usize> + 't {
    let mut from = 0;
    memchr::memchr_iter(first, text).filter(move |at| {
        let is = *at >= from && text.get(*at..).is_some_and(|rest| rest.starts_with(mark));
        if is {
            from = at + mark.len();
        }
        is
    })
}

fn steps(text: &[u8]) -> (usize, usize) {
    let mut count = 0;
    let mut first = 0;
    let dots = pairs(text, b'.', b"..").take(256);
    for at in dots {
        let before = at.checked_sub(1).and_then(|i| text.get(i));
        let escaped = at
            .checked_sub(3)
            .and_then(|from| text.get(from))
            .is_some_and(|b| *b == b'%');
        let opens = escaped
            || before.is_none_or(|b| {
                !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'*' | b'[' | b'_')
            }) && !names_module(text.get(..at).unwrap_or_default());
        let after = text.get(at + 2);
        let rest = text.get(at + 2..).unwrap_or_default();
        // Bytes of no character, or an escape no decoder knows: some server takes them for a separator.
        let noise = matches!(
            rest,
            [0xc0 | 0xc1 | 0xfe | 0xff, ..] | [0xef, 0xbf, 0xbd, ..] | [b'%', ..]
        );
        let closes = noise
            || matches!(after, Some(b'/' | b'\\'))
            || after == Some(&b';') && text.get(at + 3) == Some(&b'/')
            || after.is_none() && count > 0;
        if opens && closes {
            first = if count == 0 { at } else { first };
            count += 1;
        }
    }
    (count, first)
}

/// Whether a text ends where the address of a module or a link starts: `from "`, `import '`, `](`.
fn names_module(head: &[u8]) -> bool {
    if head.ends_with(b"](") {
        return true;
    }
    let Some(head) = head.strip_suffix(b"\"").or_else(|| head.strip_suffix(b"'")) else {
        return false;
    };
    let head = head.strip_suffix(b"(").unwrap_or(head).trim_ascii_end();
    head.ends_with(b"from") || head.ends_with(b"import")
}

/// Names that a server takes for more than a name.
pub(in crate::policy::threat) fn key(name: &[u8], found: &mut Found) {
    let lower = name.to_ascii_lowercase();
    let operators: [&[u8]; 22] = [
        b"$ne",
        b"$gt",
        b"$gte",
        b"$lt",
        b"$lte",
        b"$eq",
        b"$in",
        b"$nin",
        b"$or",
        b"$and",
        b"$not",
        b"$nor",
        b"$exists",
        b"$regex",
        b"$where",
        b"$expr",
        b"$function",
        b"$jsonschema",
        b"$type",
        b"$mod",
        b"$all",
        b"$elemmatch",
    ];
    let bracketed =
        memchr::memmem::find(&lower, b"[$").map(|i| lower.get(i + 1..).unwrap_or_default());
    let bare = bracketed.unwrap_or(&lower);
    let word = bare
        .get(
            ..1 + bare
                .iter()
                .skip(1)
                .take_while(|b| b.is_ascii_alphabetic())
                .count(),
        )
        .unwrap_or_default();
    if operators.contains(&word) {
        found.note(Predicate::OperatorKey, 0);
    }
    let has = |part: &[u8]| memchr::memmem::find(&lower, part).is_some();
    if has(b"__proto__")
        || has(b"constructor.prototype")
        || has(b"constructor[prototype")
        || has(b"prototype.constructor")
    {
        found.note(Predicate::PrototypeKey, 0);
    }
}

/// Whether a text reads as a GraphQL document.
pub(in crate::policy::threat) fn is_graphql(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let word = |w: &[u8]| {
        text.strip_prefix(w).is_some_and(|rest| {
            rest.first()
                .is_some_and(|b| matches!(b, b' ' | b'{' | b'(' | b'\n' | b'\t'))
                && rest.contains(&b'{')
        })
    };
    word(b"query") || word(b"mutation") || word(b"subscription") || word(b"fragment")
}

/// A GraphQL document's depth, aliases, directives and introspection. Its tokens are like Cypher's.
pub(in crate::policy::threat) fn graphql(text: &[u8], found: &mut Found) {
    let list = cypher::tokens(
        text.get(..text.len().min(cypher::TEXT_BYTES_MAX))
            .unwrap_or_default(),
    );
    let (mut depth, mut round, mut aliases, mut directives) = (0_usize, 0_usize, 0_usize, 0_usize);
    for (index, token) in list.list.iter().enumerate() {
        match token.kind {
            Cypher::Sign(b'{') if round == 0 => {
                depth += 1;
                if depth > GRAPHQL_DEPTH_MAX {
                    found.note(Predicate::GraphqlDepth, token.start as usize);
                }
            }
            Cypher::Sign(b'}') if round == 0 => depth = depth.saturating_sub(1),
            Cypher::Sign(b'(') => round += 1,
            Cypher::Sign(b')') => round = round.saturating_sub(1),
            Cypher::Sign(b'@') => directives += 1,
            Cypher::Sign(b':') if round == 0 && depth > 0 => aliases += 1,
            Cypher::Word
                if depth <= 3
                    && matches!(token.of(text), b"__schema" | b"__type")
                    && !list.is_sign(index + 1, b':') =>
            {
                found.note(Predicate::GraphqlIntrospection, token.start as usize);
            }
            _ => {}
        }
    }
    if aliases > GRAPHQL_ALIASES_MAX || directives > GRAPHQL_DIRECTIVES_MAX || circular(text, &list)
    {
        found.note(Predicate::GraphqlAliases, 0);
    }
}

/// The strings of a GraphQL document: what its resolvers receive.
pub(in crate::policy::threat) fn graphql_texts(text: &[u8]) -> Vec<&[u8]> {
    let list = cypher::tokens(
        text.get(..text.len().min(cypher::TEXT_BYTES_MAX))
            .unwrap_or_default(),
    );
    list.list
        .iter()
        .filter(|token| token.kind == Cypher::Text)
        .map(|token| token.inner(text))
        .filter(|inner| inner.len() > 3)
        .collect()
}

/// Spreads of fragments in fragments that are followed.
const GRAPHQL_SPREADS_MAX: usize = 64;

/// Fragments that spread each other in a ring, however long.
fn circular(text: &[u8], list: &cypher::Tokens) -> bool {
    let mut spreads = spreads(text, list);
    // What is spread and spreads nothing is in no ring; what is left when nothing else is, is.
    loop {
        let before = spreads.len();
        let spreading: Vec<&[u8]> = spreads.iter().map(|(from, _)| *from).collect();
        spreads.retain(|(_, to)| spreading.contains(to));
        if spreads.len() == before {
            return before > 0;
        }
    }
}

/// Which fragment spreads which.
fn spreads<'t>(text: &'t [u8], list: &cypher::Tokens) -> Vec<(&'t [u8], &'t [u8])> {
    let mut spreads = Vec::new();
    let mut inside: Option<&[u8]> = None;
    let mut depth = 0_usize;
    for (index, token) in list.list.iter().enumerate().take(4_096) {
        let next = list
            .at(index + 1)
            .filter(|t| t.kind == Cypher::Word)
            .map(|t| t.of(text));
        match token.kind {
            Cypher::Word if depth == 0 && token.of(text) == b"fragment" => inside = next,
            Cypher::Sign(b'{') => depth += 1,
            Cypher::Sign(b'}') => {
                depth = depth.saturating_sub(1);
                inside = inside.filter(|_| depth > 0);
            }
            _ => {}
        }
        let spread = token.kind == Cypher::Sign(b'.')
            && index >= 2
            && list.is_sign(index - 1, b'.')
            && list.is_sign(index - 2, b'.');
        if let (true, Some(from), Some(to)) = (spread, inside, next)
            && spreads.len() < GRAPHQL_SPREADS_MAX
        {
            spreads.push((from, to));
        }
    }
    spreads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(text: &str) -> bool {
        circular(text.as_bytes(), &cypher::tokens(text.as_bytes()))
    }

    #[test]
    fn fragments_in_a_ring_are_told_from_those_defined_first() {
        for text in [
            "fragment F on U { ...F } query { u { ...F } }",
            "query { u { ...A } } fragment A on U { ...B } fragment B on U { v { ...A } }",
            "fragment A on U { ...B } fragment B on U { ...C } fragment C on U { ...A } { a { ...A } }",
            "fragment Z on U { ...A } fragment A on U { ...B } fragment B on U { ...C ...D } fragment D on U { ...B }",
        ] {
            assert!(rings(text), "{text}");
        }
        for text in [
            "fragment F on U { id } query { u { ...F } }",
            "fragment A on U { id } fragment B on U { ...A name } query { u { ...B ...A } }",
            "fragment F on U { id } { me { ...F } you { ...F } }",
            "query { fragment { ...F } } fragment F on U { fragment F }",
            "{ u { ... on A { ...F } } } fragment F on A { b { ... on C { ...G } } } fragment G on C { id }",
        ] {
            assert!(!rings(text), "{text}");
        }
    }
}
