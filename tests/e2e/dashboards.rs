//! The dashboards that operators import: they ask for what is there.
//!
//! No Grafana and no Kibana runs here. What is checked is what would show as an empty panel: a metric, label or
//! member that does not exist, a query that Prometheus does not take, a reference to nothing.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::part;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of the repository")
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Every text under a key of this name.
fn texts_under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == key => found.push(text),
                    _ => texts_under(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts_under(item, key, found)),
        _ => {}
    }
}

/// The words of a query that may name metrics.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn grafana_asks_for_metrics_that_are_documented() {
    let documented = text("docs/metrics.md");
    let dashboard = json_of(&text("dashboards/grafana/audit.json"));
    let mut queries = Vec::new();
    texts_under(&dashboard, "expr", &mut queries);
    texts_under(&dashboard, "definition", &mut queries);
    assert!(queries.len() > 15, "{queries:?}");
    for query in queries {
        let names: Vec<&str> = words(query)
            .filter(|word| word.starts_with("rg_"))
            .collect();
        assert!(!names.is_empty(), "{query}");
        for name in names {
            let family = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(documented.contains(&format!("| `{family}` |")), "{query}");
        }
    }
}

#[test]
fn grafana_panels_have_ids_of_their_own_and_do_not_overlap() {
    let dashboard = json_of(&text("dashboards/grafana/audit.json"));
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: HashSet<u64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_u64())
        .collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = HashSet::new();
    for panel in panels {
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        assert!(at("x") + at("w") <= 24, "{panel}");
        for cell in (at("y")..at("y") + at("h"))
            .flat_map(|y| (at("x")..at("x") + at("w")).map(move |x| (x, y)))
        {
            assert!(taken.insert(cell), "{} overlaps", panel["title"]);
        }
    }
}

#[tokio::test]
async fn prometheus_takes_every_query_of_the_dashboard() {
    let dashboard = json_of(&text("dashboards/grafana/audit.json"));
    let mut queries = Vec::new();
    texts_under(&dashboard, "expr", &mut queries);
    let rules: Vec<Value> = queries
        .iter()
        .enumerate()
        .map(|(number, query)| {
            let query = query
                .replace("$__rate_interval", "5m")
                .replace("$__range", "6h");
            json!({"record": format!("panel:{number}"), "expr": query})
        })
        .collect();
    let file = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("rules.json");
    fs::write(&path, file.to_string()).expect("a writable folder");
    let path = path.to_str().expect("a text path").to_owned();
    let arguments = vec!["check".to_owned(), "rules".to_owned(), path];
    if let Some(said) = part("promtool", arguments, String::new()).await {
        let all = format!("SUCCESS: {} rules found", queries.len());
        assert!(said.contains(&all), "{said}");
    }
}

fn saved_objects() -> Vec<Value> {
    text("dashboards/kibana/audit-logs.ndjson")
        .lines()
        .map(json_of)
        .collect()
}

#[test]
fn kibana_objects_refer_to_each_other() {
    let objects = saved_objects();
    let id = |object: &Value| (object["type"].clone(), object["id"].clone());
    let known: Vec<_> = objects.iter().map(id).collect();
    for object in &objects {
        for reference in object["references"].as_array().expect("references") {
            assert!(known.contains(&id(reference)), "{reference}");
        }
    }
    let dashboard = objects.last().expect("objects");
    assert_eq!(dashboard["type"], "dashboard");
    let panels = json_of(
        dashboard["attributes"]["panelsJSON"]
            .as_str()
            .expect("a text"),
    );
    let panels = panels.as_array().expect("panels");
    assert_eq!(
        panels.len(),
        known.len() - 2,
        "all but the data view and the dashboard itself"
    );
    for panel in panels {
        let references = dashboard["references"].as_array().expect("references");
        let refers = |reference: &&Value| reference["name"] == panel["panelRefName"];
        assert_eq!(references.iter().filter(refers).count(), 1, "{panel}");
    }
}
