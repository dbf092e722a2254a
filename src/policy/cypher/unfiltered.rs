//! Writes to everything behind clauses that filter nothing: `MATCH (n) WITH collect(n) AS x UNWIND x AS y DELETE y`.
//!
//! A label, a property, a real condition, an order or a limit anywhere on the way ends the walk.

use super::holds;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Tokens};
use super::pattern::{Anchor, Component, Pattern};

/// Clauses between the pattern and the write.
const STEPS_MAX: usize = 6;

/// Patterns that do not hang together, of nodes only.
const NODES_MAX: usize = 3;

/// Whether everything a pattern over the whole graph found is deleted or changed.
pub(super) fn writes_all(text: &[u8], list: &Tokens, pattern: &Pattern<'_>) -> bool {
    let all = |hops: u32| {
        let whole = |c: &Component<'_>| c.best == Anchor::Nothing && c.hops == hops && !c.typed;
        pattern.components.iter().all(whole)
    };
    let count = pattern.components.len();
    let paths = count == 1 && all(1);
    if count == 0 || count > NODES_MAX || !paths && !all(0) {
        return false;
    }
    let named = pattern.components.iter().flat_map(|c| &c.variables);
    let mut names: Vec<&[u8]> = named.copied().collect();
    let mut at = pattern.end;
    for _ in 0..STEPS_MAX {
        let Some(token) = list.at(at) else {
            return false;
        };
        let next = match token.keyword {
            K::Where => holds::filters_nothing(text, list, at + 1),
            K::Detach | K::NoDetach => Some(at + 1),
            K::Delete => return deletes(text, list, at + 1, &names, paths),
            K::Set | K::Remove => return !paths && has(text, list, at + 1, &names),
            K::With if list.is_sign(at + 1, b'*') => Some(at + 2),
            _ if paths => None,
            _ => step(text, list, at, &mut names),
        };
        let Some(next) = next else {
            return false;
        };
        at = next;
    }
    false
}

/// Whether a token is one of some names.
fn has(text: &[u8], list: &Tokens, at: usize, names: &[&[u8]]) -> bool {
    let named = list.at(at);
    named.is_some_and(|t| {
        matches!(t.kind, Kind::Word | Kind::Name) && names.contains(&t.inner(text))
    })
}

/// Whether a list of names to delete has one of them, or every one.
fn deletes(text: &[u8], list: &Tokens, at: usize, names: &[&[u8]], every: bool) -> bool {
    let mut end = at;
    while list.is_sign(end + 1, b',') {
        end += 2;
    }
    let listed = |name: &[u8]| (at..=end).step_by(2).any(|i| has(text, list, i, &[name]));
    let property = list.is_sign(end + 1, b'.') || list.is_sign(end + 1, b'[');
    let count = names.iter().filter(|name| listed(name)).count();
    !property && count > 0 && (!every || count == names.len())
}

/// Where a clause that passes every row on ends; what it calls them takes the place of their names.
fn step<'t>(text: &'t [u8], list: &Tokens, at: usize, names: &mut Vec<&'t [u8]>) -> Option<usize> {
    let sign = |at: usize, sign: u8| list.is_sign(at, sign);
    let (renamed, end) = match list.at(at)?.keyword {
        K::With if list.is(at + 1, K::Collect) && sign(at + 2, b'(') => {
            let passed = has(text, list, at + 3, names) && sign(at + 4, b')');
            (
                (passed && list.is(at + 5, K::As)).then_some(at + 6)?,
                at + 7,
            )
        }
        K::With => (has(text, list, at + 1, names).then_some(at + 1)?, at + 2),
        K::Unwind => {
            let passed = has(text, list, at + 1, names) && list.is(at + 2, K::As);
            (passed.then_some(at + 3)?, at + 4)
        }
        K::Foreach if sign(at + 1, b'(') && list.is(at + 3, K::In) => {
            let single = usize::from(sign(at + 4, b'['));
            let bar = at + 5 + 2 * single;
            let passed = has(text, list, at + 4 + single, names) && sign(bar, b'|');
            (passed.then_some(at + 2)?, bar + 1)
        }
        K::Call if sign(at + 1, b'{') && list.is(at + 2, K::With) => {
            (has(text, list, at + 3, names).then_some(at + 3)?, at + 4)
        }
        K::Call if sign(at + 1, b'(') && sign(at + 3, b')') && sign(at + 4, b'{') => {
            (has(text, list, at + 2, names).then_some(at + 2)?, at + 5)
        }
        _ => return None,
    };
    *names = vec![list.at(renamed)?.inner(text)];
    Some(end)
}

#[cfg(test)]
mod tests {
    use crate::policy::cypher::{Finding, read};

    fn found(text: &str) -> bool {
        read(text.as_bytes()).1.has(Finding::UnfilteredWrite)
    }

    #[test]
    fn everything_is_found_behind_clauses_that_filter_nothing() {
        for text in [
            "MATCH (n) WHERE true DETACH DELETE n",
            "MATCH (n) WHERE 1 = 1 DELETE n",
            "MATCH (n) WHERE n IS NOT NULL AND id(n) >= 0 SET n.a = 1",
            "MATCH (n) WITH n DETACH DELETE n",
            "MATCH (n) WITH * DELETE n",
            "MATCH (n) WITH collect(n) AS x UNWIND x AS y DETACH DELETE y",
            "MATCH (n) WITH collect(n) AS x FOREACH (y IN x | DETACH DELETE y)",
            "MATCH (n) FOREACH (y IN [n] | DELETE y)",
            "MATCH (n) CALL { WITH n DETACH DELETE n } IN TRANSACTIONS OF 9 ROWS",
            "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS",
            "MATCH (n), (m) DETACH DELETE n, m",
            "MATCH (n)-[r]-() DELETE r, n",
            "MATCH (n)-[r]-(m) DELETE n, r, m",
        ] {
            assert!(found(text), "{text}");
        }
    }

    #[test]
    fn what_is_filtered_on_the_way_is_left_alone() {
        for text in [
            "MATCH (n:A) WITH n DETACH DELETE n",
            "MATCH (n {a: 1}) WITH n DETACH DELETE n",
            "MATCH (n) WHERE n.a = 1 WITH n DETACH DELETE n",
            "MATCH (n) WHERE false DETACH DELETE n",
            "MATCH (n) WHERE 1 = 2 DETACH DELETE n",
            "MATCH (n) WHERE NOT (n)--() DELETE n",
            "MATCH (n) WITH n LIMIT 10 DETACH DELETE n",
            "MATCH (n) WITH n ORDER BY n.a LIMIT 10 DETACH DELETE n",
            "MATCH (n) WITH n WHERE n.a DETACH DELETE n",
            "MATCH (n) WITH n, n.a AS a WHERE a > 1 DETACH DELETE n",
            "MATCH (n) WITH collect(n) AS x FOREACH (y IN tail(x) | DELETE y)",
            "MATCH (n) WITH collect(n) AS x DELETE x[0]",
            "MATCH (a)-[r]->(b) DELETE r",
            "MATCH (a)-[r:R]->(b) DELETE r, a, b",
            "MATCH (a)-[r]-(b) DELETE r, a, b RETURN count(*) AS c",
            "MATCH (a:A), (b) DELETE a, b",
        ] {
            assert!(!found(text), "{text}");
        }
    }
}
