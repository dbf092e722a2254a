//! The house rules that no compiler lint holds.
//!
//! Each test names every offending place at once, so that one run shows all there is to mend.

// Clippy lets test code unwrap and panic; this tells it that all of it is.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;

/// What the pure decisions in `src/policy/` must not reach for.
const IMPURE: [&str; 14] = [
    "async fn",
    "pingora",
    "tokio",
    "tracing::",
    "log::",
    "std::env",
    "std::fs",
    "std::io::std",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "Instant",
    "SystemTime",
    "Now::read",
];

/// Marks of unfinished or switched-off work.
const UNFINISHED: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ig", "nore"),
];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// A unit test's own file, `tests.rs` or below `tests/`.
    fn is_test(&self) -> bool {
        let mut parts = self.path.iter();
        parts.any(|part| part == "tests" || part == "tests.rs")
    }

    /// Each line with its number, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// The lines before the file's own unit tests, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust file below these folders of the project.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        // Not every project folder exists yet, such as `benches`.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            if path.is_dir() {
                // What was built there is nobody's source.
                if !path.ends_with("target") {
                    pending.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                let path = path.strip_prefix(root).expect("below the root").to_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(!found.is_empty(), "no sources below {folders:?}");
    found
}

fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn no_file_is_longer_than_fits_in_the_head() {
    let offences: Vec<String> = sources(&["src", "tests", "benches", "fuzz"])
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, count)| *count > LINES_MAX)
        .map(|(source, count)| {
            format!(
                "{}: {count} lines, {LINES_MAX} allowed",
                source.path.display()
            )
        })
        .collect();
    assert_none(&offences);
}

#[test]
fn decisions_are_pure() {
    let mut offences = Vec::new();
    for source in sources(&["src/policy"]) {
        if source.is_test() {
            continue;
        }
        for (number, line) in source.code() {
            for word in IMPURE.iter().filter(|word| contains_word(line, word)) {
                offences.push(format!("{}:{number}: {word}", source.path.display()));
            }
        }
    }
    assert_none(&offences);
}

/// True when the text stands in the line and is not the end of a longer word.
fn contains_word(line: &str, text: &str) -> bool {
    line.match_indices(text).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[test]
fn only_the_proxy_knows_pingora() {
    // The composition root and the listeners build what the proxy runs on.
    let allowed = [
        "src/proxy",
        "src/app",
        "src/listen",
        "src/serve",
        "src/main",
        "src/tls",
    ];
    let mut offences = Vec::new();
    for source in sources(&["src"]) {
        if allowed
            .iter()
            .any(|place| source.path.to_string_lossy().starts_with(place))
        {
            continue;
        }
        for (number, line) in source.code().filter(|(_, line)| line.contains("pingora::")) {
            offences.push(format!(
                "{}:{number}: {}",
                source.path.display(),
                line.trim()
            ));
        }
    }
    assert_none(&offences);
}

#[test]
fn nothing_is_unfinished_or_switched_off() {
    let mut offences = Vec::new();
    for source in sources(&["src", "tests", "benches", "fuzz"]) {
        for (number, line) in source.lines() {
            for word in UNFINISHED.iter().filter(|word| contains_word(line, word)) {
                offences.push(format!("{}:{number}: {word}", source.path.display()));
            }
        }
    }
    assert_none(&offences);
}

#[test]
fn every_file_says_what_it_is_for() {
    let offences: Vec<String> = sources(&["src", "tests"])
        .iter()
        .filter(|source| !(source.is_test() && source.path.starts_with("src")))
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| format!("{}: no module documentation", source.path.display()))
        .collect();
    assert_none(&offences);
}

#[test]
fn names_are_not_empty_words() {
    let empty = [
        "manager", "handler", "helper", "helpers", "util", "utils", "misc", "common",
    ];
    let offences: Vec<String> = sources(&["src", "tests"])
        .iter()
        .filter(|source| {
            let stem = source
                .path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            empty
                .iter()
                .any(|word| stem.split('_').any(|part| part == *word))
        })
        .map(|source| format!("{}: say what it is", source.path.display()))
        .collect();
    assert_none(&offences);
}

#[test]
fn no_test_sleeps_to_decide() {
    let mut offences = Vec::new();
    for source in sources(&["tests"]) {
        for (number, line) in source.lines() {
            if contains_word(line, concat!("thread::", "sleep(")) {
                offences.push(format!(
                    "{}:{number}: {}",
                    source.path.display(),
                    line.trim()
                ));
            }
        }
    }
    assert_none(&offences);
}

#[test]
fn no_path_of_a_machine_is_committed() {
    let places = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    let mut offences = Vec::new();
    for source in sources(&["src", "tests", "benches", "fuzz"]) {
        for (number, line) in source.lines() {
            for place in places.iter().filter(|place| line.contains(**place)) {
                offences.push(format!("{}:{number}: {place}", source.path.display()));
            }
        }
    }
    assert_none(&offences);
}

/// The words between double quotes that are names of events, such as `gateway.started`.
fn event_names(text: &str) -> BTreeSet<String> {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let literals = text.split(['"', '`']).skip(1).step_by(2);
    literals
        .filter(|literal| literal.contains('.') && literal.split('.').all(is_word))
        .map(str::to_owned)
        .collect()
}

#[test]
fn events_of_the_gateway_itself_are_documented() {
    let tellers = [
        "src/notes.rs",
        "src/damage.rs",
        "src/state/penalties/events.rs",
        "src/audit/log/dropping.rs",
        "src/audit/log/erase.rs",
        "src/audit/log/keeper.rs",
        "src/delivery/outage.rs",
        "src/delivery/untold.rs",
        "src/delivery/worker.rs",
    ];
    let mut told = BTreeSet::new();
    for source in sources(&["src"]) {
        if tellers.iter().any(|teller| source.path.ends_with(teller)) {
            for (_, line) in source.code() {
                told.extend(event_names(line));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/events.md")).expect("a document");
    let (_, table) = document
        .split_once("## Events of the gateway itself")
        .expect("its heading");
    let (table, _) = table.split_once("\n## ").expect("another heading");
    let cells = table.lines().filter_map(|line| line.split('|').nth(1));
    let documented: BTreeSet<String> = cells.flat_map(event_names).collect();
    assert_eq!(told, documented);
}
