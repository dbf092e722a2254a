//! What a configuration becomes: references, defaults and paths resolved.

use std::time::Duration;

use http::Method;

use super::*;
use crate::policy::route::RouteMatch;

/// A file with these routes and clusters, and more.
fn compiled(clusters: &str, routes: &str, more: &str) -> Config {
    let text = format!(
        "version: 1\nlisteners: [{{name: public, address: 127.0.0.1:0}}]\n\
         clusters: {clusters}\nroutes: {routes}\n{more}\n"
    );
    match compile("gateway.yaml", &text, Path::new("/etc/gateway")) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors:?}"),
    }
}

const ONE: &str = "[{name: one, endpoints: [{address: 127.0.0.1:1}]}]";
const TWO: &str = "[{name: one, endpoints: [{address: 127.0.0.1:1}]}, \
                    {name: two, endpoints: [{address: 127.0.0.1:2}]}]";

#[test]
fn an_upstream_is_the_index_of_its_cluster() {
    let routes = "[{name: a, path: /a, upstream: two}, {name: b, path: /b, upstream: one}]";
    let config = compiled(TWO, routes, "");
    let clusters: Vec<usize> = config.routes.iter().map(|route| route.cluster).collect();
    assert_eq!(clusters, [1, 0]);
}

#[test]
fn the_only_cluster_need_not_be_named() {
    let config = compiled(ONE, "[{name: a, path: /a}]", "");
    assert_eq!(config.routes[0].cluster, 0);
    assert!(print(&config).contains("upstream: one"));
}

#[test]
fn a_route_overrides_single_keys_of_the_inspection() {
    let routes = "[{name: a, path: /a, inspection: {on_oversize: forward_uninspected}}, \
                   {name: b, path: /b}]";
    let config = compiled(ONE, routes, "inspection: {body_bytes_max: 77}");
    let expected = Inspection {
        body_bytes_max: 77,
        on_oversize: Otherwise::ForwardUninspected,
        on_undecodable: Otherwise::Refuse,
        pii: Pii::Request,
        pii_response_ratio: 0.1,
    };
    assert_eq!(config.routes[0].inspection, expected);
    assert_eq!(config.routes[1].inspection, config.inspection);
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file() {
    let config = compiled(
        ONE,
        "[{name: a, path: /a}]",
        "rules: {directory: /srv/rules}",
    );
    assert_eq!(config.data_dir, Path::new("/etc/gateway/./data"));
    assert_eq!(config.rules.directory, Path::new("/srv/rules"));
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = compiled(
        ONE,
        "[{name: a, path: /a}]",
        "plans: [{name: p, requests_per_second: 3}]",
    );
    assert!(config.threads >= 1);
    assert_eq!(config.plans[0].burst, Some(3));
    assert_eq!(config.plans[0].requests_per_day, None);
    assert_eq!(config.auth.failures_per_minute_max, Some(600));
    assert_eq!(config.clusters[0].read_timeout, Duration::from_secs(30));
    assert_eq!(
        config.routes[0].body_bytes_max,
        config.protocol.body_bytes_max
    );
    assert_eq!(config.routes[0].kind, Kind::Other);
}

#[test]
fn the_router_leads_to_the_route_and_its_parameters() {
    let routes = "[{name: a, path: \"/g/{id}\", methods: [GET]}, {name: b, path: \"/{*rest}\"}, \
                   {name: c, path: \"/admin/{*rest}\", refuse: true}]";
    let config = compiled(ONE, routes, "");
    let found = |path| match config.router.find(None, path, &Method::GET) {
        RouteMatch::Found { route, params } => (
            config.routes[route].name.to_string(),
            params.named("id").map(str::to_owned),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(found("/g/7"), ("a".to_owned(), Some("7".to_owned())));
    assert_eq!(found("/g"), ("b".to_owned(), None));
    assert_eq!(found("/ADMIN/x"), ("c".to_owned(), None));
}

#[test]
fn a_token_comes_from_the_environment_and_is_shown_nowhere() {
    // The test runner sets the variable; its value is this crate's folder.
    let folder = env!("CARGO_MANIFEST_DIR");
    let config = compiled(
        ONE,
        "[{name: a, path: /a}]",
        "admin: {token: \"${CARGO_MANIFEST_DIR}\"}",
    );
    assert_eq!(
        config.admin.token.as_ref().map(Secret::expose),
        Some(folder)
    );
    assert!(!format!("{config:?}{}", print(&config)).contains(folder));
}

#[test]
fn a_large_file_of_right_routes_is_read_whole() {
    let routes: Vec<String> = (0..1_000)
        .map(|n| format!("{{name: r{n}, path: \"/v{n}/{{id}}\", methods: [GET]}}"))
        .collect();
    let config = compiled(ONE, &format!("[{}]", routes.join(", ")), "");
    let found = config.router.find(None, "/v999/x", &Method::GET);
    assert!(matches!(found, RouteMatch::Found { route: 999, .. }));
}
