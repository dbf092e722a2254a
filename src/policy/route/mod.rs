//! Which route a request takes: by host, canonical path and method.
//!
//! The most specific path decides, segment by segment from the left: a fixed segment beats a
//! parameter, a parameter beats a wildcard. A route of the request's host beats one of any host.
//! Only then is the method looked at: a path without a route for the method is *not allowed*, and
//! no less specific path is tried, so that a refusal cannot be walked around by another method.
//!
//! A look-up allocates nothing unless the method is not allowed, visits each node of the segment
//! tree at most once, and goes no deeper than [`SEGMENTS_MAX`]. Canonical form is the caller's
//! work: here paths are compared as they are, but for routes that ignore case.

mod conflicts;
mod template;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::sync::Arc;

use http::Method;

pub use self::conflicts::Conflict;
use self::template::Segment;
pub use self::template::{PARAMETERS_MAX, PathTemplate, SEGMENTS_MAX, TemplateError};

/// What the router must know of a route.
#[derive(Clone, Copy, Debug)]
pub struct RouteKey<'a> {
    /// Lower case, no port; `None` is any host.
    pub host: Option<&'a str>,
    /// The path template.
    pub path: &'a PathTemplate,
    /// `None` is every method.
    pub methods: Option<&'a [Method]>,
    /// Whether fixed segments are compared without regard to ASCII case. An exact segment of
    /// another route is still the more specific one.
    pub ignore_case: bool,
}

/// The compiled routes.
#[derive(Debug)]
pub struct Router {
    /// Roots by host, sorted.
    hosts: Vec<(Box<str>, usize)>,
    any_host: usize,
    nodes: Vec<Node>,
    /// The parameter names of each route.
    names: Vec<Box<[Arc<str>]>>,
}

/// What became of a look-up.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteMatch<'p> {
    /// A route takes the request.
    Found {
        /// Its index in the list the router was built from.
        route: usize,
        /// What the path's parameters are.
        params: Params<'p>,
    },
    /// The path is known, but not for this method.
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: String,
    },
    /// No route has this path.
    NotFound,
}

/// The parameters of a matched path, raw as they stand in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'p> {
    names: &'p [Arc<str>],
    values: [&'p str; PARAMETERS_MAX],
}

impl<'p> Params<'p> {
    /// The raw text of a parameter.
    pub fn named(&self, name: &str) -> Option<&'p str> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// Names and raw texts from left to right.
    pub fn iter(&self) -> impl Iterator<Item = (&'p str, &'p str)> {
        let names = self.names.iter().map(|name| &**name);
        names.zip(self.values)
    }
}

/// A place in the segment tree; children are indices into [`Router::nodes`].
#[derive(Debug, Default)]
struct Node {
    /// Sorted by segment.
    fixed: Vec<(Box<str>, usize)>,
    /// Lower case, sorted: segments of routes that ignore case.
    folded: Vec<(Box<str>, usize)>,
    parameter: Option<usize>,
    /// The routes whose template ends here.
    here: Option<Methods>,
    /// The routes whose wildcard begins here.
    rest: Option<Methods>,
}

/// The routes of one template by method.
#[derive(Debug, Default)]
struct Methods {
    any: Option<usize>,
    named: Vec<(Method, usize)>,
}

impl Router {
    /// Compiles the routes; their order does not matter.
    ///
    /// # Errors
    ///
    /// Every pair of routes with the same host, path and method. Parameter names make no
    /// difference, nor does case where one of the two ignores it.
    pub fn build(routes: &[RouteKey<'_>]) -> Result<Self, Vec<Conflict>> {
        let conflicts = conflicts::among(routes);
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let mut router = Self {
            hosts: Vec::new(),
            any_host: 0,
            nodes: vec![Node::default()],
            names: Vec::with_capacity(routes.len()),
        };
        for (index, route) in routes.iter().enumerate() {
            router
                .names
                .push(route.path.parameters().cloned().collect());
            router.insert(index, route);
        }
        Ok(router)
    }

    /// Finds the route of a request.
    ///
    /// The host is without its port, the path canonical and without the query.
    pub fn find<'p>(
        &'p self,
        host: Option<&str>,
        path: &'p str,
        method: &Method,
    ) -> RouteMatch<'p> {
        let Some(rest) = path.strip_prefix('/') else {
            return RouteMatch::NotFound;
        };
        let of_host = host.and_then(|host| child_ignoring_case(&self.hosts, host));
        let roots = of_host.into_iter().chain([self.any_host]);
        let mut walk = Walk {
            nodes: &self.nodes,
            values: [""; PARAMETERS_MAX],
            count: 0,
        };
        let Some(methods) = roots
            .into_iter()
            .find_map(|root| walk.descend(root, Some(rest)))
        else {
            return RouteMatch::NotFound;
        };
        match methods.route(method) {
            Some(route) => RouteMatch::Found {
                route,
                params: Params {
                    names: self.names.get(route).map_or(&[], |names| names),
                    values: walk.values,
                },
            },
            None => RouteMatch::MethodNotAllowed {
                allow: methods.allow(),
            },
        }
    }

    fn insert(&mut self, index: usize, route: &RouteKey<'_>) {
        let mut at = self.root_of(route.host);
        for segment in &route.path.segments {
            at = match segment {
                Segment::Fixed(text) => self.fixed_child(at, text, route.ignore_case),
                Segment::Parameter(_) => self.parameter_child(at),
                Segment::Wildcard(_) => {
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.rest.get_or_insert_default().add(index, route.methods);
                    }
                    return;
                }
            };
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.here.get_or_insert_default().add(index, route.methods);
        }
    }

    fn root_of(&mut self, host: Option<&str>) -> usize {
        let Some(host) = host else {
            return self.any_host;
        };
        let host = host.to_ascii_lowercase();
        let fresh = self.nodes.len();
        let (root, added) = child_or_insert(&mut self.hosts, &host, fresh);
        self.add_node_if(added);
        root
    }

    fn fixed_child(&mut self, at: usize, text: &str, ignore_case: bool) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else {
            return at;
        };
        let (child, added) = if ignore_case {
            child_or_insert(&mut node.folded, &text.to_ascii_lowercase(), fresh)
        } else {
            child_or_insert(&mut node.fixed, text, fresh)
        };
        self.add_node_if(added);
        child
    }

    fn parameter_child(&mut self, at: usize) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else {
            return at;
        };
        let added = node.parameter.is_none();
        let child = *node.parameter.get_or_insert(fresh);
        self.add_node_if(added);
        child
    }

    fn add_node_if(&mut self, added: bool) {
        if added {
            self.nodes.push(Node::default());
        }
    }
}

/// A look-up on its way down; the values are those of the branch being tried.
struct Walk<'r, 'p> {
    nodes: &'r [Node],
    values: [&'p str; PARAMETERS_MAX],
    count: usize,
}

impl<'r, 'p> Walk<'r, 'p> {
    /// Finds the most specific template below a node; `rest` is what is left of the path, without
    /// its slash. The recursion is as deep as the deepest template.
    fn descend(&mut self, at: usize, rest: Option<&'p str>) -> Option<&'r Methods> {
        let node = self.nodes.get(at)?;
        let Some(text) = rest else {
            return node.here.as_ref().or_else(|| self.take_rest(node, ""));
        };
        let (segment, next) = match text.split_once('/') {
            Some((segment, next)) => (segment, Some(next)),
            None => (text, None),
        };
        if let Some(child) = child(&node.fixed, segment)
            && let Some(methods) = self.descend(child, next)
        {
            return Some(methods);
        }
        if let Some(child) = child_ignoring_case(&node.folded, segment)
            && let Some(methods) = self.descend(child, next)
        {
            return Some(methods);
        }
        if let Some(child) = node.parameter
            && !segment.is_empty()
        {
            self.push(segment);
            if let Some(methods) = self.descend(child, next) {
                return Some(methods);
            }
            self.count -= 1;
        }
        self.take_rest(node, text)
    }

    fn take_rest(&mut self, node: &'r Node, text: &'p str) -> Option<&'r Methods> {
        let methods = node.rest.as_ref()?;
        self.push(text);
        Some(methods)
    }

    fn push(&mut self, value: &'p str) {
        // Invariant: a template has at most PARAMETERS_MAX parameters, so the slot is there.
        if let Some(slot) = self.values.get_mut(self.count) {
            *slot = value;
        }
        self.count += 1;
    }
}

impl Methods {
    fn add(&mut self, route: usize, methods: Option<&[Method]>) {
        match methods {
            None => self.any = Some(route),
            Some(methods) => {
                let named = methods.iter().map(|method| (method.clone(), route));
                self.named.extend(named);
            }
        }
    }

    fn route(&self, method: &Method) -> Option<usize> {
        let of = |method: &Method| {
            let entry = self.named.iter().find(|(named, _)| named == method);
            entry.map(|(_, route)| *route)
        };
        of(method)
            // RFC 9110 section 9.3.2: HEAD is GET without the content.
            .or_else(|| of(&Method::GET).filter(|_| method == Method::HEAD))
            .or(self.any)
    }

    fn allow(&self) -> String {
        let mut words: Vec<&str> = self
            .named
            .iter()
            .map(|(method, _)| method.as_str())
            .collect();
        if words.contains(&"GET") {
            words.push("HEAD");
        }
        words.sort_unstable();
        words.dedup();
        words.join(", ")
    }
}

fn child(children: &[(Box<str>, usize)], segment: &str) -> Option<usize> {
    let found = children
        .binary_search_by(|(text, _)| (**text).cmp(segment))
        .ok()?;
    children.get(found).map(|(_, child)| *child)
}

/// The child of a list in lower case.
fn child_ignoring_case(children: &[(Box<str>, usize)], segment: &str) -> Option<usize> {
    let order = |text: &str| -> Ordering {
        let lower = segment.bytes().map(|byte| byte.to_ascii_lowercase());
        text.bytes().cmp(lower)
    };
    let found = children.binary_search_by(|(text, _)| order(text)).ok()?;
    children.get(found).map(|(_, child)| *child)
}

/// The child of this segment, or `fresh` in its place; whether it was added.
fn child_or_insert(
    children: &mut Vec<(Box<str>, usize)>,
    segment: &str,
    fresh: usize,
) -> (usize, bool) {
    match children.binary_search_by(|(text, _)| (**text).cmp(segment)) {
        Ok(found) => (
            children.get(found).map_or(fresh, |(_, child)| *child),
            false,
        ),
        Err(place) => {
            children.insert(place, (segment.into(), fresh));
            (fresh, true)
        }
    }
}
