//! Reads the patterns of MATCH clauses into the few numbers the cost needs.

use super::facts::is_clause;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Tokens};

/// Variables remembered in one statement; later ones count as new.
const VARIABLES_MAX: usize = 256;

/// Components kept of one MATCH; with more the work is extreme long since.
const COMPONENTS_MAX: usize = 256;

/// How a node is found.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) enum Anchor {
    /// Bound by an earlier clause.
    Bound,
    /// By properties, a parameter map or an equality.
    Property,
    /// By label only.
    Label,
    /// Any node.
    Nothing,
}

/// A part of a pattern that hangs together.
#[derive(Clone, Debug)]
pub(super) struct Component<'t> {
    pub(super) best: Anchor,
    pub(super) hops: u32,
    /// Sum of the upper bounds of bounded variable-length relationships.
    pub(super) stretch: u32,
    /// Whether a relationship names its type.
    pub(super) typed: bool,
    /// A variable-length relationship without an upper bound and without a type.
    pub(super) unbounded_any: bool,
    /// One with a type.
    pub(super) unbounded_typed: bool,
    pub(super) shortest: bool,
    pub(super) variables: Vec<&'t [u8]>,
}

/// One MATCH clause.
#[derive(Clone, Debug, Default)]
pub(super) struct Pattern<'t> {
    pub(super) components: Vec<Component<'t>>,
    pub(super) start: u32,
    /// The token after the pattern.
    pub(super) end: usize,
}

/// What earlier clauses bound.
#[derive(Debug, Default)]
pub(super) struct Bound<'t>(Vec<&'t [u8]>);

impl<'t> Bound<'t> {
    pub(super) fn add(&mut self, name: &'t [u8]) {
        if self.0.len() < VARIABLES_MAX && !self.has(name) {
            self.0.push(name);
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.0.contains(&name)
    }
}

/// Reads the pattern after a MATCH at `at`.
pub(super) fn read<'t>(text: &'t [u8], list: &Tokens, at: usize, bound: &Bound<'t>) -> Pattern<'t> {
    let mut reader = Reader {
        text,
        list,
        bound,
        out: Pattern::default(),
        linked: false,
        shortest: false,
    };
    reader.out.start = list.at(at).map_or(0, |t| t.start);
    let mut at = at;
    let mut depth = 0_u32;
    while let Some(token) = list.at(at) {
        match token.kind {
            Kind::Sign(b'(') if reader.is_node(at) => {
                at = reader.node(at);
                continue;
            }
            Kind::Sign(b'[') if reader.linked || is_dash(list, at) => {
                at = reader.relationship(at);
                continue;
            }
            Kind::Sign(b'(' | b'{' | b'[') => depth += 1,
            Kind::Sign(b')' | b'}' | b']') if depth == 0 => break,
            Kind::Sign(b')' | b'}' | b']') => depth -= 1,
            Kind::Sign(b',') if depth == 0 => (reader.linked, reader.shortest) = (false, false),
            Kind::Sign(b'-') if list.is_sign(at + 1, b'-') => reader.hop(),
            Kind::Sign(b'+' | b'*')
                if at > 0
                    && (list.is_sign(at - 1, b'>')
                        || list.is_sign(at - 1, b')')
                        || list.is_sign(at - 1, b'-')) =>
            {
                reader.quantified()
            }
            Kind::Word if token.keyword == K::Where || token.keyword == K::Using => break,
            Kind::Word
                if token.keyword.starts_clause()
                    && is_clause(list, at)
                    && token.keyword != K::All =>
            {
                break;
            }
            Kind::Word => {
                reader.shortest |= token
                    .of(text)
                    .to_ascii_lowercase()
                    .ends_with(b"shortestpath")
                    || token.of(text).eq_ignore_ascii_case(b"shortest")
            }
            Kind::Sign(b';') => break,
            _ => {}
        }
        at += 1;
    }
    reader.out.end = at;
    reader.out
}

fn is_dash(list: &Tokens, at: usize) -> bool {
    at > 0 && list.is_sign(at - 1, b'-')
}

struct Reader<'r, 't> {
    text: &'t [u8],
    list: &'r Tokens,
    bound: &'r Bound<'t>,
    out: Pattern<'t>,
    linked: bool,
    shortest: bool,
}

impl<'t> Reader<'_, 't> {
    fn is_node(&self, at: usize) -> bool {
        let list = self.list;
        let call = at > 0
            && list
                .at(at - 1)
                .is_some_and(|t| t.kind == Kind::Word && t.keyword == K::None);
        let next = list.at(at + 1).map(|t| t.kind);
        !call && !matches!(next, Some(Kind::Sign(b'(')) | None)
    }

    /// Reads `( … )` as a node and returns the position after it.
    fn node(&mut self, open: usize) -> usize {
        let list = self.list;
        let mut anchor = Anchor::Nothing;
        let mut name: Option<&'t [u8]> = None;
        let mut depth = 0_u32;
        let mut at = open;
        while let Some(token) = list.at(at) {
            match token.kind {
                Kind::Sign(b'(' | b'[') => depth += 1,
                Kind::Sign(b')' | b']') => {
                    depth -= 1;
                    if depth == 0 {
                        at += 1;
                        break;
                    }
                }
                Kind::Sign(b'{') if !list.is_sign(at + 1, b'}') => {
                    anchor = min(anchor, Anchor::Property)
                }
                Kind::Parameter | Kind::Sign(b'=') => anchor = min(anchor, Anchor::Property),
                Kind::Sign(b':') if depth == 1 => anchor = min(anchor, Anchor::Label),
                Kind::Word | Kind::Name if at == open + 1 => name = Some(token.inner(self.text)),
                _ => {}
            }
            at += 1;
        }
        if name.is_some_and(|n| self.bound.has(n)) {
            anchor = Anchor::Bound;
        }
        self.join(name, anchor);
        at
    }

    /// Puts a node into the component it belongs to.
    fn join(&mut self, name: Option<&'t [u8]>, anchor: Anchor) {
        let components = &mut self.out.components;
        if components.len() >= COMPONENTS_MAX {
            return;
        }
        let by_name = name.and_then(|n| components.iter().position(|c| c.variables.contains(&n)));
        let target = if self.linked {
            components.len().checked_sub(1)
        } else {
            by_name
        };
        let target = match (target, by_name) {
            (Some(last), Some(other)) if last != other => {
                let moved = components.remove(last);
                let keep = if other < last { other } else { other - 1 };
                if let Some(kept) = components.get_mut(keep) {
                    merge(kept, moved);
                }
                let kept = components.remove(keep);
                components.push(kept);
                Some(components.len() - 1)
            }
            (found, _) => found,
        };
        let index = target.unwrap_or_else(|| {
            components.push(Component {
                best: anchor,
                hops: 0,
                stretch: 0,
                typed: false,
                unbounded_any: false,
                unbounded_typed: false,
                shortest: false,
                variables: Vec::new(),
            });
            components.len() - 1
        });
        if index + 1 != components.len() {
            let found = components.remove(index);
            components.push(found);
        }
        if let Some(component) = components.last_mut() {
            component.best = min(component.best, anchor);
            component.shortest |= self.shortest;
            if let Some(name) = name.filter(|n| {
                component.variables.len() < VARIABLES_MAX && !component.variables.contains(n)
            }) {
                component.variables.push(name);
            }
        }
        self.linked = true;
    }

    /// A quantified path pattern without an upper bound.
    fn quantified(&mut self) {
        if let Some(last) = self.out.components.last_mut() {
            last.unbounded_any |= !last.typed;
            last.unbounded_typed |= last.typed;
        }
    }

    fn hop(&mut self) {
        if let Some(last) = self.out.components.last_mut() {
            last.hops += 1;
        }
        self.linked = true;
    }

    /// Reads `[ … ]` and returns the position after it.
    fn relationship(&mut self, open: usize) -> usize {
        let list = self.list;
        let (mut typed, mut star, mut dots) = (false, None, false);
        let (mut low, mut high) = (None, None);
        let mut braces = 0_u32;
        let mut at = open + 1;
        while let Some(token) = list.at(at) {
            match token.kind {
                Kind::Sign(b']') => break,
                Kind::Sign(b'{') => braces += 1,
                Kind::Sign(b'}') => braces = braces.saturating_sub(1),
                Kind::Sign(b':') if braces == 0 => typed = true,
                Kind::Sign(b'*') if braces == 0 => star = Some(at),
                Kind::Sign(b'.') if star.is_some() && braces == 0 => dots = true,
                Kind::Number if star.is_some() && braces == 0 => {
                    let number = std::str::from_utf8(token.of(self.text))
                        .ok()
                        .and_then(|n| n.parse::<u32>().ok())
                        .unwrap_or(u32::MAX);
                    if dots {
                        high = Some(number)
                    } else {
                        low = Some(number)
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.hop();
        if let Some(last) = self.out.components.last_mut() {
            last.typed |= typed;
        }
        if star.is_some() {
            let upper = if dots { high } else { low };
            if let Some(last) = self.out.components.last_mut() {
                match upper {
                    Some(most) => {
                        last.stretch = last.stretch.saturating_add(most.saturating_sub(1))
                    }
                    None if typed => last.unbounded_typed = true,
                    None => last.unbounded_any = true,
                }
            }
        }
        at + 1
    }
}

fn merge<'t>(kept: &mut Component<'t>, moved: Component<'t>) {
    kept.best = min(kept.best, moved.best);
    kept.hops += moved.hops;
    kept.stretch = kept.stretch.saturating_add(moved.stretch);
    kept.typed |= moved.typed;
    kept.unbounded_any |= moved.unbounded_any;
    kept.unbounded_typed |= moved.unbounded_typed;
    kept.shortest |= moved.shortest;
    kept.variables.extend(moved.variables);
    kept.variables.truncate(VARIABLES_MAX);
}

fn min(a: Anchor, b: Anchor) -> Anchor {
    if a <= b { a } else { b }
}
