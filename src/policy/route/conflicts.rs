//! Which routes would take the same requests.

use std::collections::HashMap;

use http::Method;

use super::RouteKey;
use super::template::{PathTemplate, Segment};

/// Two routes that some request would take both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The index of the later route.
    pub route: usize,
    /// The index of the route it conflicts with.
    pub earlier: usize,
}

/// Each route that takes a request of an earlier one, with the first such.
///
/// Linear in the routes, but for those whose paths differ in case alone.
pub(super) fn among(routes: &[RouteKey<'_>]) -> Vec<Conflict> {
    let outlines: Vec<String> = routes.iter().map(|route| outline(route.path)).collect();
    let mut alike: HashMap<(Option<String>, String), Alike<'_>> = HashMap::new();
    let mut conflicts = Vec::new();
    for (index, (route, own)) in routes.iter().zip(&outlines).enumerate() {
        let host = route.host.map(str::to_ascii_lowercase);
        let alike = alike.entry((host, own.to_ascii_lowercase())).or_default();
        let same_path = |earlier: &&usize| {
            let (other, outline) = (routes.get(**earlier), outlines.get(**earlier));
            route.ignore_case || other.is_some_and(|o| o.ignore_case) || outline == Some(own)
        };
        if let Some(earlier) = alike.earliest(route.methods, same_path) {
            conflicts.push(Conflict {
                route: index,
                earlier,
            });
        }
        alike.add(index, route.methods);
    }
    conflicts
}

/// The routes of one host and one outline without regard to case, in order.
#[derive(Default)]
struct Alike<'a> {
    all: Vec<usize>,
    of_any_method: Vec<usize>,
    by_method: HashMap<&'a Method, Vec<usize>>,
}

impl<'a> Alike<'a> {
    /// The first route with a method in common that also passes the check.
    fn earliest(
        &self,
        methods: Option<&[Method]>,
        same_path: impl Fn(&&usize) -> bool,
    ) -> Option<usize> {
        let Some(methods) = methods else {
            return self.all.iter().find(&same_path).copied();
        };
        let named = methods
            .iter()
            .filter_map(|method| self.by_method.get(method));
        named
            .chain([&self.of_any_method])
            .filter_map(|routes| routes.iter().find(&same_path).copied())
            .min()
    }

    fn add(&mut self, index: usize, methods: Option<&'a [Method]>) {
        self.all.push(index);
        if methods.is_none() {
            self.of_any_method.push(index);
        }
        for method in methods.unwrap_or_default() {
            self.by_method.entry(method).or_default().push(index);
        }
    }
}

/// The template without its parameter names.
fn outline(path: &PathTemplate) -> String {
    let mut outline = String::new();
    for segment in &path.segments {
        outline.push('/');
        outline.push_str(match segment {
            Segment::Fixed(text) => text,
            Segment::Parameter(_) => "{}",
            Segment::Wildcard(_) => "{*}",
        });
    }
    outline
}
