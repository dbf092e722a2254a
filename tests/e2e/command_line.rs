//! The executable's own manners: exit codes, and errors that say what to mend.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Outcome, default_file, run_to_end};

fn check(text: &str) -> Outcome {
    let folder = TempDir::new().expect("a temporary folder");
    std::fs::write(folder.path().join("gateway.yaml"), text).expect("a writable folder");
    run_to_end(folder.path(), &["check", "-c", "gateway.yaml"])
}

#[test]
fn usage_errors_exit_64() {
    for arguments in [
        &["no-such-command"][..],
        &["run", "--no-such-option"],
        &["keys", "create"],
    ] {
        let outcome = run_to_end(Path::new("."), arguments);
        assert_eq!(outcome.code, Some(64), "{arguments:?}: {outcome:?}");
        assert!(
            outcome.stderr.contains("Usage"),
            "{arguments:?}: {outcome:?}"
        );
    }
}

#[test]
fn help_and_version_exit_0() {
    for argument in ["--help", "--version"] {
        let outcome = run_to_end(Path::new("."), &[argument]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("rg-gateway"), "{outcome:?}");
    }
}

#[test]
fn a_good_file_exits_0() {
    let file = default_file(&["127.0.0.1:1".parse().expect("an address")]);
    let outcome = check(&file.to_string());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn the_commented_example_is_valid() {
    let outcome = run_to_end(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        &["check", "-c", "gateway.yaml"],
    );
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
fn every_wrong_value_is_reported_in_one_run_with_its_place_and_exit_78() {
    let mut file = default_file(&["127.0.0.1:1".parse().expect("an address")]);
    file["routes"][0]["kind"] = json!("qery");
    file["plans"][0]["burst"] = json!(0);
    file["admin"]["address"] = json!("nowhere");
    let text = serde_json::to_string_pretty(&file).expect("JSON");
    let outcome = check(&text);
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    for (path, word) in [
        ("routes[0]", "qery"),
        ("plans[0]", "\"burst\""),
        ("admin", "nowhere"),
    ] {
        let line = 1 + text
            .lines()
            .position(|line| line.contains(word))
            .expect("the value");
        let place = format!("gateway.yaml:{line}:");
        let reported = outcome
            .stderr
            .lines()
            .any(|l| l.contains(&place) && l.contains(path));
        assert!(reported, "{place} {path} in:\n{}", outcome.stderr);
    }
    assert!(
        outcome.stderr.contains("did you mean"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn nothing_starts_with_a_bad_file() {
    let folder = TempDir::new().expect("a temporary folder");
    for text in [
        "",
        "version: 2\n",
        "version: 1\nrouts: []\n",
        "a: [",
        "\u{0}",
    ] {
        std::fs::write(folder.path().join("gateway.yaml"), text).expect("a writable folder");
        let outcome = run_to_end(folder.path(), &["run", "-c", "gateway.yaml"]);
        assert_eq!(outcome.code, Some(78), "{text:?}: {outcome:?}");
        assert!(
            outcome.stderr.contains("gateway.yaml"),
            "{text:?}: {outcome:?}"
        );
    }
    let outcome = run_to_end(folder.path(), &["run", "-c", "absent.yaml"]);
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
}

#[test]
fn the_schema_is_json() {
    let outcome = run_to_end(Path::new("."), &["check", "--schema"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let schema: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert!(
        schema["properties"]["version"]["description"].is_string(),
        "{schema}"
    );
}

#[test]
fn the_shipped_rules_pass_their_own_tests() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let outcome = run_to_end(Path::new("."), &["rules", "test", "--dir", rules]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}
