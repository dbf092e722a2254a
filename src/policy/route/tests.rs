//! The router by table, and against an oracle that looks at every route.

use proptest::prelude::*;

use super::*;

fn template(text: &str) -> PathTemplate {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Routes as `host|METHOD,METHOD|template`; a leading `!` ignores case.
struct Table {
    rows: Vec<Row>,
}

/// Host, methods, path, and whether case is ignored.
type Row = (Option<String>, Option<Vec<Method>>, PathTemplate, bool);

impl Table {
    fn of(rows: &[&str]) -> Self {
        let rows = rows.iter().map(|row| {
            let (ignore_case, row) = match row.strip_prefix('!') {
                Some(row) => (true, row),
                None => (false, *row),
            };
            let mut parts = row.splitn(3, '|');
            let host = parts.next().filter(|host| !host.is_empty());
            let methods = parts.next().filter(|methods| !methods.is_empty());
            let methods = methods.map(|m| m.split(',').map(|m| m.parse().unwrap()).collect());
            (
                host.map(str::to_owned),
                methods,
                template(parts.next().unwrap()),
                ignore_case,
            )
        });
        Self {
            rows: rows.collect(),
        }
    }

    fn keys(&self) -> Vec<RouteKey<'_>> {
        let keys = self
            .rows
            .iter()
            .map(|(host, methods, path, ignore_case)| RouteKey {
                host: host.as_deref(),
                path,
                methods: methods.as_deref(),
                ignore_case: *ignore_case,
            });
        keys.collect()
    }

    fn router(&self) -> Router {
        Router::build(&self.keys()).unwrap()
    }
}

/// The route and its parameters, or what else became of the look-up, as text.
fn ask(router: &Router, host: Option<&str>, path: &str, method: &str) -> String {
    match router.find(host, path, &method.parse().unwrap()) {
        RouteMatch::Found { route, params } => params
            .iter()
            .fold(route.to_string(), |text, (name, value)| {
                format!("{text} {name}={value}")
            }),
        RouteMatch::MethodNotAllowed { allow } => format!("allow {allow}"),
        RouteMatch::NotFound => "none".to_owned(),
    }
}

#[test]
fn the_most_specific_path_takes_the_request() {
    let router = Table::of(&[
        "||/v1/graphs",
        "||/v1/graphs/{id}",
        "||/v1/graphs/{id}/query",
        "||/v1/graphs/main/{*rest}",
        "||/{*rest}",
        "||/",
        "||/v1/files/",
    ])
    .router();
    for (path, expected) in [
        ("/v1/graphs", "0"),
        ("/v1/graphs/g1", "1 id=g1"),
        ("/v1/graphs/main", "3 rest="),
        ("/v1/graphs/main/x/y", "3 rest=x/y"),
        ("/v1/graphs/main/query", "3 rest=query"),
        ("/v1/graphs/g1/query", "2 id=g1"),
        ("/v1/graphs/g1/else", "4 rest=v1/graphs/g1/else"),
        ("/v1/graphs/", "4 rest=v1/graphs/"),
        ("/v1/files/", "6"),
        ("/v1/files", "4 rest=v1/files"),
        ("/", "5"),
        ("//", "4 rest=/"),
        ("", "none"),
        ("*", "none"),
    ] {
        assert_eq!(ask(&router, None, path, "GET"), expected, "{path}");
    }
}

#[test]
fn a_path_without_a_route_for_the_method_is_not_allowed() {
    let router = Table::of(&["|POST,GET|/a/{x}", "|PUT|/a/{y}", "||/{*rest}"]).router();
    assert_eq!(ask(&router, None, "/a/1", "GET"), "0 x=1");
    assert_eq!(ask(&router, None, "/a/1", "HEAD"), "0 x=1");
    assert_eq!(ask(&router, None, "/a/1", "PUT"), "1 y=1");
    assert_eq!(
        ask(&router, None, "/a/1", "DELETE"),
        "allow GET, HEAD, POST, PUT"
    );
    assert_eq!(ask(&router, None, "/b", "DELETE"), "2 rest=b");
}

#[test]
fn a_route_of_the_host_beats_one_of_any_host() {
    let router = Table::of(&["api.test||/a", "||/a", "||/b", "other.test||/{*rest}"]).router();
    assert_eq!(ask(&router, Some("API.test"), "/a", "GET"), "0");
    assert_eq!(ask(&router, Some("elsewhere.test"), "/a", "GET"), "1");
    assert_eq!(ask(&router, None, "/a", "GET"), "1");
    assert_eq!(ask(&router, Some("api.test"), "/b", "GET"), "2");
    assert_eq!(ask(&router, Some("other.test"), "/b", "GET"), "3 rest=b");
}

#[test]
fn a_route_that_ignores_case_is_found_in_every_spelling() {
    let router = Table::of(&["!||/admin/{*rest}", "||/{*rest}", "||/admin/public"]).router();
    for path in ["/admin", "/ADMIN", "/Admin/", "/aDmin/users"] {
        assert!(ask(&router, None, path, "GET").starts_with('0'), "{path}");
    }
    assert_eq!(ask(&router, None, "/admin/public", "GET"), "2");
    assert_eq!(ask(&router, None, "/admin/publi", "GET"), "0 rest=publi");
    assert_eq!(
        ask(&router, None, "/administrator", "GET"),
        "1 rest=administrator"
    );
}

#[test]
fn routes_that_take_the_same_request_conflict() {
    for (rows, conflict) in [
        (&["||/a", "||/a"][..], true),
        (&["||/a/{x}", "||/a/{y}"], true),
        (&["|GET|/a", "||/a"], true),
        (&["|GET|/a", "|PUT|/a"], false),
        (&["|GET|/a", "|HEAD|/a"], false),
        (&["h.test||/a", "||/a"], false),
        (&["h.test||/a", "H.test||/a"], true),
        (&["||/a", "||/A"], false),
        (&["||/A", "!||/a"], true),
        (&["||/a/{*x}", "||/a/{y}"], false),
        (&["||/a/", "||/a"], false),
    ] {
        let table = Table::of(rows);
        let expected = conflict.then(|| {
            vec![Conflict {
                route: 1,
                earlier: 0,
            }]
        });
        assert_eq!(Router::build(&table.keys()).err(), expected, "{rows:?}");
    }
}

#[test]
fn what_is_no_template_is_refused_with_its_cause() {
    use TemplateError as E;
    for (text, cause) in [
        ("", E::Root),
        ("a", E::Root),
        ("//a", E::EmptySegment),
        ("/a//b", E::EmptySegment),
        ("/a/../b", E::DotSegment),
        ("/a/.", E::DotSegment),
        ("/{}", E::Parameter),
        ("/{a", E::Parameter),
        ("/a}", E::Parameter),
        ("/x{a}", E::Parameter),
        ("/{a b}", E::Parameter),
        ("/{*}", E::Parameter),
        ("/{a}/{a}", E::RepeatedParameter),
        ("/{*a}/b", E::WildcardNotLast),
        ("/a b", E::NotCanonical),
        ("/%41", E::NotCanonical),
        ("/%2f", E::NotCanonical),
        ("/%2", E::NotCanonical),
        ("/é", E::NotCanonical),
        ("/a?b", E::NotCanonical),
        ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", E::TooManyParameters),
        (&"/a".repeat(33), E::TooLong),
    ] {
        assert_eq!(text.parse::<PathTemplate>(), Err(cause), "{text}");
    }
    for text in ["/", "/a/", "/%2F", "/a:b@c", "/{a_1}/{*b}", "/~x"] {
        let template = template(text);
        assert_eq!(template.to_string(), text);
        assert!(
            ranks(&template.a_path(), &template, false).is_some(),
            "{text}"
        );
    }
}

/// How one template takes a path: the rank of each of its segments, and the parameters.
fn ranks(path: &str, row: &PathTemplate, ignore_case: bool) -> Option<(Vec<u8>, Vec<String>)> {
    let mut left: Option<Vec<&str>> = Some(path.strip_prefix('/')?.split('/').collect());
    let (mut ranks, mut values) = (Vec::new(), Vec::new());
    for segment in &row.segments {
        if let Segment::Wildcard(_) = segment {
            ranks.push(3);
            values.push(left.take().map_or_else(String::new, |left| left.join("/")));
            return Some((ranks, values));
        }
        let mut segments = left?;
        let text = segments.remove(0);
        left = (!segments.is_empty()).then_some(segments);
        match segment {
            Segment::Fixed(fixed) if ignore_case && fixed.eq_ignore_ascii_case(text) => {
                ranks.push(1)
            }
            Segment::Fixed(fixed) if !ignore_case && **fixed == *text => ranks.push(0),
            Segment::Parameter(_) if !text.is_empty() => {
                ranks.push(2);
                values.push(text.to_owned());
            }
            _ => return None,
        }
    }
    left.is_none().then_some((ranks, values))
}

/// Looks at every route: the best ranks of the request's host, else of any host, then the method.
fn oracle(table: &Table, host: Option<&str>, path: &str, method: &Method) -> String {
    for wanted in [host.map(str::to_ascii_lowercase), None] {
        let mut taken: Vec<_> = table
            .rows
            .iter()
            .enumerate()
            .filter_map(|(index, row)| {
                let of_host = row.0.as_ref().map(|host| host.to_ascii_lowercase()) == wanted;
                let (ranks, values) = ranks(path, &row.2, row.3)?;
                of_host.then_some((ranks, index, values))
            })
            .collect();
        taken.sort();
        let Some(best) = taken.first().map(|(ranks, ..)| ranks.clone()) else {
            continue;
        };
        taken.retain(|(ranks, ..)| *ranks == best);
        let allows = |index: usize, method: &Method| {
            table.rows[index]
                .1
                .as_ref()
                .is_none_or(|methods| methods.contains(method))
        };
        let found = taken.iter().find(|t| allows(t.1, method)).or_else(|| {
            let get = taken.iter().find(|t| allows(t.1, &Method::GET));
            get.filter(|_| method == Method::HEAD)
        });
        return match found {
            Some((_, index, values)) => {
                let names = table.rows[*index].2.parameters();
                names
                    .zip(values)
                    .fold(index.to_string(), |text, (name, value)| {
                        format!("{text} {name}={value}")
                    })
            }
            None => "allow".to_owned(),
        };
    }
    "none".to_owned()
}

fn a_row() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "A", "{p}", ""]);
    let path = prop::collection::vec(segment, 1..4);
    let end = prop::sample::select(vec!["", "/{*w}"]);
    let host = prop::sample::select(vec!["", "", "h.test"]);
    let methods = prop::sample::select(vec!["", "GET", "POST", "GET,PUT", "HEAD"]);
    let fold = prop::sample::select(vec!["", "", "!"]);
    (fold, host, methods, path, end).prop_map(|(fold, host, methods, path, end)| {
        let path = path
            .iter()
            .enumerate()
            .fold(String::new(), |text, (index, segment)| {
                let segment = if *segment == "{p}" {
                    format!("{{p{index}}}")
                } else {
                    (*segment).to_owned()
                };
                format!("{text}/{segment}")
            });
        format!("{fold}{host}|{methods}|{path}{end}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_router_equals_an_oracle_that_looks_at_every_route(
        rows in prop::collection::vec(a_row(), 1..12),
        paths in prop::collection::vec("(/(a|b|A|B|c|)){0,4}", 1..8),
        host in prop::sample::select(vec![None, Some("h.test"), Some("H.TEST"), Some("x.test")]),
        method in prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST, Method::DELETE]),
    ) {
        let mut kept: Vec<&str> = Vec::new();
        for row in &rows {
            // An empty segment before the end is no template; a conflict no table.
            if row.rsplit('|').next().unwrap().parse::<PathTemplate>().is_err() {
                continue;
            }
            kept.push(row);
            if Router::build(&Table::of(&kept).keys()).is_err() {
                kept.pop();
            }
        }
        let table = Table::of(&kept);
        let router = table.router();
        for path in &paths {
            let got = ask(&router, host, path, method.as_str());
            let got = if got.starts_with("allow") { "allow".to_owned() } else { got };
            prop_assert_eq!(got, oracle(&table, host, path, &method), "{:?} {}", kept, path);
        }
    }

    #[test]
    fn no_text_makes_the_template_parser_panic(text in "\\PC*") {
        if let Ok(template) = text.parse::<PathTemplate>() {
            prop_assert_eq!(template.to_string(), text);
        }
    }
}
