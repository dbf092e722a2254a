//! `rules replay` shows what another set of rules would have decided about recorded requests.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::run_to_end;

/// A rule that blocks what holds a word.
fn rule(word: &str) -> String {
    let mut text = format!("- id: no-{word}\n  name: {word} is said\n");
    text.push_str("  tags: [colour]\n  type: COLOUR\n  severity: high\n  confidence: 0.95\n");
    text + &format!("  match: {{contains: [{word}]}}\n  mitigations: [block_request]\n")
}

/// A folder with two sets of rules and a recording of so many requests of each kind.
fn folder(rounds: usize) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, text) in [
        ("new", rule("purple") + &rule("green")),
        ("old", rule("purple") + &rule("yellow")),
    ] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
        fs::write(folder.path().join(name).join("rules.yaml"), text).expect("a file");
    }
    let mut lines = String::new();
    let words = [
        ("purple", "k1"),
        ("green", "k1"),
        ("yellow", "k2"),
        ("white", "k2"),
    ];
    for round in 0..rounds {
        for (word, key) in words {
            let line = json!({
                "id": format!("{word}-{round}"), "method": "POST", "path": "/notes", "key": key,
                "label": "x", "headers": {"Content-Type": "application/json"},
                "body": json!({"note": format!("a {word} note")}).to_string(),
            });
            writeln!(lines, "{line}").expect("text");
        }
    }
    lines.push_str("no JSON\n\n");
    lines.push_str("{\"method\": \"GET\", \"path\": \"/a/%2e%2e/%2e%2e/b\"}\n");
    fs::write(folder.path().join("recording.jsonl"), lines).expect("a file");
    folder
}

fn replayed(folder: &Path, more: &[&str]) -> Value {
    let mut arguments = vec!["rules", "replay", "recording.jsonl", "--json"];
    arguments.extend(["--rules", "new"]);
    arguments.extend(more);
    let outcome = run_to_end(folder, &arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn the_difference_between_two_sets_of_rules_is_counted_by_rule_and_key() {
    let folder = folder(300);
    let report = replayed(folder.path(), &["--against", "old", "--threads", "3"]);
    let tally = &report["tally"];
    let counts = |requests: u64, [now, before, more, less]: [u64; 4]| {
        json!({"requests": requests, "blocked": now, "blocked_before": before,
               "newly_blocked": more, "newly_allowed": less})
    };
    for (got, expected) in [
        (&tally["all"], counts(1_200, [600, 600, 300, 300])),
        (&tally["rules"]["no-green"], counts(300, [300, 0, 300, 0])),
        (&tally["rules"]["no-yellow"], counts(300, [0, 300, 0, 300])),
        (&tally["rules"]["no-purple"], counts(300, [300, 300, 0, 0])),
        (&tally["keys"]["k1"], counts(600, [600, 300, 300, 0])),
        (&tally["keys"]["k2"], counts(600, [0, 300, 0, 300])),
        (&tally["unreadable"], json!(1)),
        (&tally["refused_before_rules"], json!(1)),
        (&tally["newly_blocked"][0]["rule"], json!("no-green")),
        (&tally["newly_allowed"][0]["field"], json!("$.note")),
    ] {
        assert_eq!(*got, expected, "{report}");
    }
    assert!(
        report["requests_per_second"].as_f64() > Some(0.0),
        "{report}"
    );
}

#[test]
fn the_same_rules_differ_in_nothing_and_a_table_says_so() {
    let folder = folder(2);
    let report = replayed(folder.path(), &["--against", "new"]);
    assert_eq!(report["tally"]["all"]["newly_blocked"], 0, "{report}");
    assert_eq!(report["tally"]["all"]["newly_allowed"], 0, "{report}");
    let arguments = ["rules", "replay", ".", "--rules", "new", "--against", "old"];
    let told = run_to_end(folder.path(), &arguments);
    for part in [
        "newly blocked         2",
        "newly allowed         2",
        "no-green",
        "8 requests in",
    ] {
        assert!(told.stdout.contains(part), "{part}: {told:?}");
    }
}

#[test]
fn a_configuration_brings_its_thresholds() {
    let folder = folder(2);
    let mut file = String::from("version: 1\nlisteners: [{name: a, address: 127.0.0.1:8080}]\n");
    file.push_str("clusters: [{name: b, endpoints: [{address: 127.0.0.1:8081}]}]\n");
    file.push_str("routes: [{name: notes, path: /notes}]\n");
    file.push_str("rules: {directory: new, thresholds: {colour: {block: 0.96}}}\n");
    fs::write(folder.path().join("gateway.yaml"), file).expect("a file");
    for (more, blocked) in [(&["-c", "gateway.yaml"][..], 0), (&[], 4)] {
        let report = replayed(folder.path(), more);
        assert_eq!(report["tally"]["all"]["blocked"], blocked, "{report}");
    }
}
