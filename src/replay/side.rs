//! One set of rules, with what a configuration knows of routes and exclusions.

use std::path::Path;

use super::request::Parts;
use crate::app::rule_files;
use crate::config::{self, Config};
use crate::diagnostic::Diagnostic;
use crate::policy::route::RouteMatch;
use crate::policy::threat::{Engine, Hints, Inspect, Inspection, Origin};
use crate::rules::{self, InspectedRoute};

/// A set of rules that judges.
pub(crate) struct Side {
    engine: Engine,
    routes: Option<Routes>,
}

/// What a configuration knows.
struct Routes {
    config: Config,
    inspected: Vec<InspectedRoute>,
}

impl Side {
    /// Reads rules, and a configuration where there is one; its folder of rules unless another is given.
    pub(crate) fn load(
        config: Option<&Path>,
        rules: Option<&Path>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let Some(path) = config else {
            let files = rule_files(rules.unwrap_or_else(|| Path::new("./rules")))?;
            let engine = Engine::compile(&files, &[])?;
            return Ok(Self {
                engine,
                routes: None,
            });
        };
        let config = config::load(path)?.config;
        let files = rule_files(rules.unwrap_or(&config.rules.directory))?;
        let engine = rules::engine(&files, &config.rules)?;
        let inspected = config.routes.iter().map(InspectedRoute::of).collect();
        Ok(Self {
            engine,
            routes: Some(Routes { config, inspected }),
        })
    }

    /// Judges one request, as of this time.
    pub(crate) fn judge(&self, parts: &Parts, unix_micros: i64) -> Inspection {
        let route = self.route_of(parts);
        let named = route.and_then(|(routes, index)| routes.config.routes.get(index));
        let hints = route
            .and_then(|(routes, index)| routes.inspected.get(index))
            .map_or_else(Hints::default, InspectedRoute::hints);
        self.engine.inspect(&Inspect {
            method: parts.method.as_str(),
            path: &parts.path,
            raw_path: &parts.raw_path,
            query: parts.query.as_deref(),
            headers: &parts.headers,
            body: &parts.body,
            hints: Hints {
                origin: Origin {
                    route: named.map(|route| &*route.name).or(parts.route.as_deref()),
                    key: parts.key.as_deref(),
                    client: parts.client,
                    unix_micros,
                },
                ..hints
            },
        })
    }

    /// The name of the route that takes a request.
    pub(crate) fn route_name(&self, parts: &Parts) -> Option<&str> {
        let (routes, index) = self.route_of(parts)?;
        Some(&routes.config.routes.get(index)?.name)
    }

    fn route_of(&self, parts: &Parts) -> Option<(&Routes, usize)> {
        let routes = self.routes.as_ref()?;
        let host = parts.host.as_deref();
        match routes.config.router.find(host, &parts.path, &parts.method) {
            RouteMatch::Found { route, .. } => Some((routes, route)),
            _ => None,
        }
    }
}
