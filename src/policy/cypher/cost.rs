//! Estimates a statement's work as log10 of the rows it touches.
//!
//! A node bound earlier costs 0, one found by properties 1, by label 4, any node 6; each hop adds 1, a
//! bounded path its length, an unbounded one 8 (with a type) or 20 (without) unless an end is anchored.
//! Components that do not hang together multiply, so their logarithms add. The score is the dearest
//! MATCH, plus the literal ranges that multiply each other. From [`EXTREME`] on no server answers.

use super::facts::is_clause;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Token, Tokens};
use super::pattern::{Anchor, Bound, Component, Pattern, read};
use super::{Finding, Findings, unfiltered};

/// From this score on the work is extreme.
pub(super) const EXTREME: f32 = 24.0;

/// A product of literal ranges of this many rows is extreme.
const RANGE_ROWS_MAX: f64 = 5.0e6;

/// This many patterns that neither hang together nor are anchored are extreme.
const UNCONNECTED_MAX: usize = 5;

/// A value doubled this often in one statement grows beyond memory.
const DOUBLINGS_MAX: u32 = 8;

/// The estimate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) score: f32,
}

pub(super) fn estimate(text: &[u8], list: &Tokens, findings: &mut Findings) -> Cost {
    let mut bound = Bound::default();
    let mut score = 0.0_f32;
    let mut unconnected = 0_usize;
    let last_return = list.list.iter().rposition(|t| t.keyword == K::Return);
    let mut at = 0;
    while let Some(token) = list.at(at) {
        if token.keyword == K::Match && is_clause(list, at) {
            let pattern = read(text, list, at + 1, &bound);
            let filtered = filtered(text, list, pattern.end);
            let matched = pattern_cost(&pattern, &filtered);
            unconnected += pattern
                .components
                .iter()
                .filter(|c| anchor(c, &filtered) >= Anchor::Label)
                .count();
            score = score.max(matched);
            if matched >= EXTREME {
                findings.note(Finding::ExtremeCost, pattern.start);
            }
            let returns = last_return.is_some_and(|r| r >= pattern.end);
            unfiltered_write(list, &pattern, &filtered, returns, findings);
            if !returns && unfiltered::writes_all(text, list, &pattern) {
                findings.note(Finding::UnfilteredWrite, pattern.start);
            }
            for component in &pattern.components {
                component.variables.iter().for_each(|v| bound.add(v));
            }
            at = pattern.end.max(at + 1);
            continue;
        }
        bind(text, list, at, token, &mut bound);
        let ends = token.kind == Kind::Sign(b';');
        if ends || token.keyword == K::Union {
            unconnected = 0;
        }
        if ends {
            bound = Bound::default();
        }
        at += 1;
    }
    if unconnected >= UNCONNECTED_MAX && products(list) {
        findings.note(Finding::ExtremeCost, 0);
        score = score.max(EXTREME);
    }
    let doubled = if list.sums {
        doubling(text, list, findings)
    } else {
        0.0
    };
    let rows = if list.ranges {
        ranges(text, list, findings)
    } else {
        0.0
    };
    Cost {
        score: score + doubled + rows,
    }
}

/// Variables that WITH, UNWIND, YIELD, CREATE and MERGE bind.
fn bind<'t>(text: &'t [u8], list: &Tokens, at: usize, token: Token, bound: &mut Bound<'t>) {
    let opens_node = token.kind == Kind::Sign(b'(') && at > 0 && !list.is_sign(at - 1, b'.');
    if !opens_node && !matches!(token.keyword, K::As | K::Yield) {
        return;
    }
    let next = list.at(at + 1);
    if let Some(name) = next.filter(|t| matches!(t.kind, Kind::Word | Kind::Name)) {
        bound.add(name.inner(text));
    }
}

/// Variables a WHERE after a pattern compares or calls on.
fn filtered<'t>(text: &'t [u8], list: &Tokens, at: usize) -> Vec<&'t [u8]> {
    let mut names = Vec::new();
    if !list.is(at, K::Where) {
        return names;
    }
    for index in at + 1..list.list.len() {
        let Some(token) = list.at(index) else { break };
        if token.keyword.starts_clause() && is_clause(list, index) {
            break;
        }
        let word = matches!(token.kind, Kind::Word | Kind::Name) && token.keyword == K::None;
        if word && names.len() < 64 && is_filter(list, index) {
            names.push(token.inner(text));
        }
    }
    names
}

/// `x.p = 1`, `x:Label`, `id(x) = …`; a comparison of two variables' properties filters neither.
fn is_filter(list: &Tokens, index: usize) -> bool {
    if list.is_sign(index + 1, b':') || list.is_sign(index + 1, b')') {
        return true;
    }
    let operator = (index + 3..index + 6).find(|i| {
        !list.at(*i).is_some_and(|t| {
            matches!(t.kind, Kind::Sign(b'=' | b'<' | b'>' | b'~'))
                || matches!(
                    t.keyword,
                    K::Starts | K::Ends | K::With | K::Contains | K::In
                )
        })
    });
    let other = operator.is_some_and(|i| {
        list.at(i).is_some_and(|t| t.kind == Kind::Word) && list.is_sign(i + 1, b'.')
    });
    let selective = list.is_sign(index + 3, b'=')
        || list
            .at(index + 3)
            .is_some_and(|t| matches!(t.keyword, K::In | K::Starts));
    list.is_sign(index + 1, b'.') && selective && !other
}

fn anchor(component: &Component<'_>, filtered: &[&[u8]]) -> Anchor {
    let named = component.variables.iter().any(|v| filtered.contains(v));
    match component.best {
        Anchor::Label | Anchor::Nothing if named => Anchor::Property,
        best => best,
    }
}

fn pattern_cost(pattern: &Pattern<'_>, filtered: &[&[u8]]) -> f32 {
    pattern
        .components
        .iter()
        .map(|component| component_cost(component, anchor(component, filtered)))
        .sum()
}

fn component_cost(component: &Component<'_>, anchor: Anchor) -> f32 {
    let start = match anchor {
        Anchor::Bound => 0.0,
        Anchor::Property => 1.0,
        Anchor::Label => 4.0,
        Anchor::Nothing => 5.9,
    };
    let anchored = anchor <= Anchor::Property;
    let count = |n: u32| f32::from(u16::try_from(n).unwrap_or(u16::MAX));
    let hops = count(component.hops).min(40.0);
    let stretch = if component.shortest {
        count(component.stretch).min(3.0)
    } else {
        count(component.stretch)
    };
    let unbounded = match (component.unbounded_any, component.unbounded_typed) {
        (true, _) if anchored || component.shortest && anchor < Anchor::Nothing => 8.0,
        (true, _) => 20.0,
        (_, true) if anchored => 4.0,
        (_, true) if anchor == Anchor::Label => 8.0,
        (_, true) => 20.0,
        _ => 0.0,
    };
    start + hops + stretch + unbounded
}

/// DELETE, SET or REMOVE right after `MATCH (n)` over everything.
fn unfiltered_write(
    list: &Tokens,
    pattern: &Pattern<'_>,
    filtered: &[&[u8]],
    returns: bool,
    findings: &mut Findings,
) {
    let [only] = pattern.components.as_slice() else {
        return;
    };
    let all = only.best == Anchor::Nothing && filtered.is_empty() && only.hops == 0;
    let anonymous = only.variables.is_empty() && only.hops == 1 && !only.typed;
    let all_relationships =
        anonymous && !returns && only.best == Anchor::Nothing && filtered.is_empty();
    let next = list.at(pattern.end).map_or(K::None, |t| t.keyword);
    let deletes = matches!(next, K::Detach | K::NoDetach | K::Delete);
    if (all && (deletes || matches!(next, K::Set | K::Remove))) || (all_relationships && deletes) {
        findings.note(Finding::UnfilteredWrite, pattern.start);
    }
}

/// Whether the statement has one MATCH with commas, or several, rather than a chain of bound ones.
fn products(list: &Tokens) -> bool {
    list.list.iter().any(|t| t.keyword == K::Match)
}

/// log10 of the product of literal ranges, in which every range of the text counts, and a range that is
/// walked inside itself counts each time.
fn ranges(text: &[u8], list: &Tokens, findings: &mut Findings) -> f32 {
    let repeats = repeats(list);
    let mut product = 1.0_f64;
    let mut largest = 1.0_f64;
    for (index, token) in list.list.iter().enumerate() {
        if token.keyword != K::Range || !list.is_sign(index + 1, b'(') {
            continue;
        }
        if let Some(rows) = range_rows(text, list, index + 2) {
            product *= rows.max(1.0);
            largest = largest.max(rows);
            product = product.max(largest.powi(repeats));
            if product >= RANGE_ROWS_MAX {
                findings.note(Finding::ExtremeCost, token.start);
            }
        }
    }
    let extreme = product >= RANGE_ROWS_MAX;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a logarithm of a finite f64 fits"
    )]
    let rows = product.min(1e300).log10() as f32;
    if extreme { rows + EXTREME - 6.0 } else { rows }
}

/// How often lists are walked inside each other: nested comprehensions, or UNWIND of a variable after UNWIND.
fn repeats(list: &Tokens) -> i32 {
    let (mut nested, mut deepest, mut unwinds) = (0_i32, 0_i32, 0_i32);
    let mut open = Vec::new();
    for (index, token) in list.list.iter().enumerate() {
        let walks = list.is(index + 2, K::In);
        match token.kind {
            Kind::Sign(b'[' | b'(') if open.len() < 256 => {
                open.push(walks);
                nested += i32::from(walks);
                deepest = deepest.max(nested);
            }
            Kind::Sign(b']' | b')') => nested -= i32::from(open.pop().unwrap_or(false)),
            _ => {}
        }
        let variable = list
            .at(index + 1)
            .is_some_and(|t| t.kind == Kind::Word && t.keyword == K::None)
            && list.is(index + 2, K::As);
        unwinds += i32::from(token.keyword == K::Unwind && variable);
    }
    deepest.max(unwinds).min(16)
}

fn range_rows(text: &[u8], list: &Tokens, at: usize) -> Option<f64> {
    let (first, at) = number(text, list, at)?;
    let at = list.is_sign(at, b',').then_some(at + 1)?;
    let (last, at) = number(text, list, at)?;
    let step = if list.is_sign(at, b',') {
        number(text, list, at + 1).map_or(1.0, |(s, _)| s)
    } else {
        1.0
    };
    Some(((last - first).abs() / step.abs().max(1.0)) + 1.0)
}

/// A number, perhaps negative, perhaps a product of numbers, perhaps `toInteger(…)` around it.
fn number(text: &[u8], list: &Tokens, at: usize) -> Option<(f64, usize)> {
    let mut at = at;
    let wrapped = list.at(at).is_some_and(|t| t.kind == Kind::Word) && list.is_sign(at + 1, b'(');
    at += if wrapped { 2 } else { 0 };
    let negative = list.is_sign(at, b'-');
    at += usize::from(negative);
    let mut value = literal(text, list.at(at)?)?;
    at += 1;
    for _ in 0..8 {
        let sign = list.at(at).map(|t| t.kind);
        let Some(next) = list.at(at + 1).and_then(|t| literal(text, t)) else {
            break;
        };
        value = match sign {
            Some(Kind::Sign(b'*')) => value * next,
            Some(Kind::Sign(b'^')) => value.powf(next),
            Some(Kind::Sign(b'+')) => value + next,
            Some(Kind::Sign(b'-')) => value - next,
            _ => break,
        };
        at += 2;
    }
    at += usize::from(wrapped && list.is_sign(at, b')'));
    Some((if negative { -value } else { value }, at))
}

fn literal(text: &[u8], token: Token) -> Option<f64> {
    if !matches!(token.kind, Kind::Number | Kind::Text) {
        return None;
    }
    let digits: String = String::from_utf8_lossy(token.inner(text))
        .chars()
        .filter(|c| *c != '_')
        .take(40)
        .collect();
    if let Some(hex) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        return u64::from_str_radix(hex, 16).ok().map(|n| n as f64);
    }
    digits.parse().ok()
}

/// `x + x` again and again: text that doubles with every step of a reduce or WITH.
fn doubling(text: &[u8], list: &Tokens, findings: &mut Findings) -> f32 {
    let mut doublings = 0_u32;
    let mut first = None;
    let mut in_reduce = false;
    for (index, token) in list.list.iter().enumerate() {
        in_reduce |= token.keyword == K::Reduce;
        let word = token.kind == Kind::Word && token.keyword == K::None;
        let next = list.at(index + 2);
        if word
            && list.is_sign(index + 1, b'+')
            && next.is_some_and(|t| t.kind == Kind::Word && t.of(text) == token.of(text))
            && !list.is_sign(index + 3, b'.')
            && (index == 0 || !list.is_sign(index - 1, b'.'))
        {
            doublings += 1;
            first = first.or(Some((token.start, in_reduce)));
        }
    }
    let Some((at, by_reduce)) = first else {
        return 0.0;
    };
    let times = if by_reduce {
        reduce_steps(text, list).unwrap_or(0.0)
    } else {
        f64::from(doublings)
    };
    if times >= f64::from(DOUBLINGS_MAX) {
        findings.note(Finding::ExtremeCost, at);
        return EXTREME;
    }
    0.0
}

/// The rows of the first literal range after a reduce.
fn reduce_steps(text: &[u8], list: &Tokens) -> Option<f64> {
    let at = list.list.iter().position(|t| t.keyword == K::Range)?;
    range_rows(text, list, at + 2)
}
