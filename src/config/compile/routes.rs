//! The routes: templates, references to clusters, where things stand, and that no two collide.

use std::sync::Arc;

use http::Method;

use super::{Compiler, Seen, all, count, is_missing, text};
use crate::config::body_path::BodyPath;
use crate::config::file::{FileShape, InspectionOverride, RouteShape, SourceShape};
use crate::config::findings::shown;
use crate::config::model::{Inspection, ProtocolLimits, Route, RowCount, Source};
use crate::config::placed::Placed;
use crate::diagnostic::did_you_mean;
use crate::policy::route::{Conflict, PathTemplate, RouteKey, Router};

impl Compiler<'_> {
    pub(super) fn routes(
        &mut self,
        file: &FileShape,
        inspection: Inspection,
        protocol: &ProtocolLimits,
    ) -> Option<(Vec<Route>, Router)> {
        let shapes = &file.routes.value;
        let mut names = Seen::default();
        let routes: Vec<Option<Route>> = shapes
            .iter()
            .map(|shape| {
                names.once(&shape.value.name, self.findings);
                self.route(shape, file, inspection, protocol)
            })
            .collect();
        // Collisions are looked for among the routes that are right, so one wrong route hides none.
        let right: Vec<(usize, &Route)> = routes
            .iter()
            .enumerate()
            .filter_map(|(index, route)| Some((index, route.as_ref()?)))
            .collect();
        let keys: Vec<RouteKey<'_>> = right.iter().map(|(_, route)| route.key()).collect();
        let router = match Router::build(&keys) {
            Ok(router) => Some(router),
            Err(conflicts) => {
                let in_file = |index: usize| {
                    let (in_file, _) = right.get(index)?;
                    shapes.get(*in_file)
                };
                for Conflict { route, earlier } in conflicts {
                    if let (Some(route), Some(earlier)) = (in_file(route), in_file(earlier)) {
                        self.report_conflict(&route.value, &earlier.value);
                    }
                }
                None
            }
        };
        let routes: Option<Vec<Route>> = routes.into_iter().collect();
        routes.zip(router)
    }

    fn report_conflict(&mut self, route: &RouteShape, earlier: &RouteShape) {
        let path = &route.path;
        let reason = format!(
            "takes the same host, path and method as route {}: {}",
            shown(&earlier.name.value),
            shown(&path.value)
        );
        let hint = format!("that one is at line {}", earlier.path.spot().line);
        self.error_with_hint(path, reason, hint);
    }

    fn route(
        &mut self,
        placed: &Placed<RouteShape>,
        file: &FileShape,
        inspection: Inspection,
        protocol: &ProtocolLimits,
    ) -> Option<Route> {
        let shape = &placed.value;
        let name = self.parsed(&shape.name, text::name);
        let host = self.optional(shape.host.as_ref(), |c, host| c.parsed(host, text::host));
        let path = self.parsed(&shape.path, str::parse::<PathTemplate>);
        let methods = self.optional(shape.methods.as_ref(), |c, methods| {
            c.methods(&methods.value)
        });
        let scopes = self.scopes(shape);
        let cluster = self.cluster_of(placed, file);
        let graph_id = self.optional(shape.graph_id.as_ref(), |c, source| {
            c.source(source, path.as_ref())
        });
        let query_text = self.optional(shape.query_text.as_ref(), |c, text| {
            c.parsed(text, str::parse::<BodyPath>)
        });
        let row_count = self.optional(shape.row_count.as_ref(), |c, row_count| {
            let header = c.parsed(&row_count.value.header, text::header);
            header.map(RowCount::Header)
        });
        let inspection = match &shape.inspection {
            Some(own) => self.own_inspection(&own.value, inspection, protocol),
            None => inspection,
        };
        let path = path?;
        Some(Route {
            name: name?,
            endpoint: Arc::clone(path.text()),
            host: host?,
            path,
            methods: methods?,
            kind: shape.kind.value,
            scopes: scopes?,
            cluster: cluster?,
            websocket: shape.websocket.value,
            refuse: shape.refuse.value,
            public: shape.public.value,
            graph_id: graph_id?,
            query_text: query_text?,
            row_count: row_count?,
            inspection,
            body_bytes_max: match &shape.body_bytes_max {
                Some(own) => own.value,
                None => protocol.body_bytes_max,
            },
            read_timeout: shape.read_timeout_ms.as_ref().map(super::millis),
            write_timeout: shape.write_timeout_ms.as_ref().map(super::millis),
        })
    }

    /// Compiles what may be left out: `None` where it was reported, `Some(None)` where it is not there.
    pub(super) fn optional<S, T>(
        &mut self,
        shape: Option<&Placed<S>>,
        compile: impl FnOnce(&mut Self, &Placed<S>) -> Option<T>,
    ) -> Option<Option<T>> {
        match shape {
            Some(shape) => compile(self, shape).map(Some),
            None => Some(None),
        }
    }

    fn methods(&mut self, shapes: &[Placed<String>]) -> Option<Vec<Method>> {
        let mut seen = Seen::default();
        all(shapes.iter().map(|shape| {
            seen.once(shape, self.findings);
            self.parsed(shape, text::method)
        }))
    }

    fn scopes(&mut self, shape: &RouteShape) -> Option<Vec<Arc<str>>> {
        let scopes = &shape.scopes;
        if shape.public.value && !scopes.value.is_empty() {
            let reason = "must be empty on a public route, whose callers have no key";
            self.error(scopes, reason);
        }
        let mut seen = Seen::default();
        all(scopes.value.iter().map(|shape| {
            seen.once(shape, self.findings);
            self.parsed(shape, text::scope)
        }))
    }

    /// The index of the route's cluster.
    fn cluster_of(&mut self, placed: &Placed<RouteShape>, file: &FileShape) -> Option<usize> {
        let clusters = &file.clusters.value;
        let names = || clusters.iter().map(|cluster| &cluster.value.name);
        let known = || {
            names()
                .map(|name| name.value.as_str())
                .filter(|name| !name.is_empty())
        };
        let Some(upstream) = &placed.value.upstream else {
            if placed.value.refuse.value || clusters.len() == 1 {
                return Some(0);
            }
            // Without a cluster in the file, it is the clusters that are missing.
            let upstream_path = format!("{}.upstream", placed.path);
            if clusters.len() > 1 && !self.findings.names(&upstream_path) {
                let names: Vec<&str> = known().collect();
                let hint = format!("there are several clusters: {}", shown(names.join(", ")));
                self.error_with_hint(placed, "missing key: upstream", hint);
            }
            return None;
        };
        let found = names().position(|name| name.value == upstream.value);
        // A cluster whose name was reported as wrong may be the one that is meant.
        if found.is_none() && !clusters.is_empty() && !names().any(is_missing) {
            let reason = format!("unknown upstream: {}", shown(&upstream.value));
            let near = did_you_mean(&upstream.value, known());
            let near = near.and_then(|near| names().find(|name| name.value == near));
            let hint = match near {
                Some(name) => format!(
                    "did you mean `{}`? (declared at line {})",
                    name.value,
                    name.spot().line
                ),
                None => format!(
                    "clusters are {}",
                    shown(known().collect::<Vec<_>>().join(", "))
                ),
            };
            self.error_with_hint(upstream, reason, hint);
        }
        found
    }

    fn source(
        &mut self,
        placed: &Placed<SourceShape>,
        template: Option<&PathTemplate>,
    ) -> Option<Source> {
        match &placed.value {
            SourceShape {
                path: Some(name),
                query: None,
                header: None,
                body: None,
            } => self.path_source(name, template),
            SourceShape {
                path: None,
                query: Some(name),
                header: None,
                body: None,
            } => self.parsed(name, text::query_parameter).map(Source::Query),
            SourceShape {
                path: None,
                query: None,
                header: Some(name),
                body: None,
            } => self.parsed(name, text::header).map(Source::Header),
            SourceShape {
                path: None,
                query: None,
                header: None,
                body: Some(path),
            } => self.parsed(path, str::parse::<BodyPath>).map(Source::Body),
            _ => {
                if !self.findings.names(&placed.path) {
                    let hint =
                        "write {path: NAME}, {query: NAME}, {header: NAME} or {body: \"$.name\"}";
                    self.error_with_hint(placed, "must have exactly one key", hint);
                }
                None
            }
        }
    }

    fn path_source(
        &mut self,
        name: &Placed<String>,
        template: Option<&PathTemplate>,
    ) -> Option<Source> {
        let known: Vec<&Arc<str>> = template?.parameters().collect();
        if let Some(parameter) = known.iter().find(|known| known.as_ref() == name.value) {
            return Some(Source::Path(Arc::clone(parameter)));
        }
        let reason = format!("unknown path parameter: {}", shown(&name.value));
        let known: Vec<&str> = known.iter().map(|name| &***name).collect();
        let hint = match did_you_mean(&name.value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "the route's path has no parameters".to_owned(),
            None => format!("the route's path has {}", known.join(", ")),
        };
        self.error_with_hint(name, reason, hint);
        None
    }

    fn own_inspection(
        &mut self,
        own: &InspectionOverride,
        of_file: Inspection,
        protocol: &ProtocolLimits,
    ) -> Inspection {
        if let Some(body_bytes_max) = &own.body_bytes_max {
            self.inspection_fits_memory(body_bytes_max, protocol);
        }
        let on_oversize = own.on_oversize.as_ref().map(|own| own.value);
        let on_undecodable = own.on_undecodable.as_ref().map(|own| own.value);
        Inspection {
            body_bytes_max: own
                .body_bytes_max
                .as_ref()
                .map_or(of_file.body_bytes_max, count),
            on_oversize: on_oversize.unwrap_or(of_file.on_oversize),
            on_undecodable: on_undecodable.unwrap_or(of_file.on_undecodable),
            pii: own.pii.as_ref().map_or(of_file.pii, |own| own.value),
            pii_response_ratio: own
                .pii_response_ratio
                .as_ref()
                .map_or(of_file.pii_response_ratio, |own| own.value),
        }
    }
}

impl Route {
    /// What the router must know. A refusing route ignores case: upstreams may, too.
    fn key(&self) -> RouteKey<'_> {
        RouteKey {
            host: self.host.as_deref(),
            path: &self.path,
            methods: self.methods.as_deref(),
            ignore_case: self.refuse,
        }
    }
}
