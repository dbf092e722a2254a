//! Every configuration error, word for word, and the documents that must agree with the code.
//!
//! `tests/golden/config/<case>.yaml` gives exactly `<case>.txt`. `UPDATE_GOLDEN=1` writes what is
//! there instead: the texts, the schema and the key tables; then read the difference.

// Clippy lets test code unwrap, index and panic; this tells it that all of it is.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use rg_gateway::config::{self, Loaded};
use rg_gateway::diagnostic::Diagnostic;
use serde_json::Value as Json;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares a file with what it should hold, or writes it.
fn compare(path: &Path, expected: &str) -> Result<(), String> {
    if updating() {
        fs::write(path, expected).unwrap();
        return Ok(());
    }
    let got = fs::read_to_string(path).unwrap_or_default();
    if got == expected {
        return Ok(());
    }
    let path = path.display();
    Err(format!(
        "{path} differs\n--- in the file\n{got}\n--- from the code\n{expected}\n"
    ))
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| format!("{diagnostic}\n"))
        .collect()
}

/// Loads a case; its diagnostics name the file alone.
fn load(case: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let name = case.file_name().unwrap().to_str().unwrap();
    let mut loaded = config::load(case);
    let diagnostics = match &mut loaded {
        Ok(loaded) => &mut loaded.advice,
        Err(errors) => errors,
    };
    for diagnostic in diagnostics {
        diagnostic.place.file = name.into();
    }
    loaded
}

fn cases() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("tests/golden/config")).unwrap();
    let mut cases: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    cases.sort();
    cases
}

#[test]
fn every_case_says_what_its_golden_file_says() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let text = match load(case) {
                Ok(loaded) => lines(&loaded.advice) + "it may start\n",
                Err(errors) => {
                    assert!(!errors.is_empty(), "{}: no reason given", case.display());
                    lines(&errors)
                }
            };
            compare(&case.with_extension("txt"), &text).err()
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.concat());
}

#[test]
fn every_error_has_its_place_in_the_file() {
    for case in cases() {
        for error in load(&case).err().into_iter().flatten() {
            assert!(error.place.line > 0 && error.place.column > 0, "{error}");
        }
    }
}

#[test]
fn no_message_shows_a_secret() {
    for case in cases() {
        let text = match load(&case) {
            Ok(loaded) => format!("{:?}{}", loaded, config::print(&loaded.config)),
            Err(errors) => format!("{errors:?}"),
        };
        for secret in ["s3cret", "hunter2", "123456789"] {
            assert!(!text.contains(secret), "{}: {secret}", case.display());
        }
    }
}

#[test]
fn every_id_of_advice_is_given_by_some_case_and_documented() {
    let document = fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let given: String = cases()
        .iter()
        .filter_map(|case| load(case).ok())
        .map(|l| lines(&l.advice))
        .collect();
    for (id, meaning) in config::ADVICE {
        assert!(
            given.contains(&format!("advice {id}:")),
            "{id} is given by no case"
        );
        assert!(
            document.contains(&format!("| {id} | {meaning}")),
            "{id} is not documented as: {meaning}"
        );
    }
}

fn example() -> Loaded {
    config::load(&root().join("gateway.yaml")).unwrap_or_else(|errors| panic!("{}", lines(&errors)))
}

#[test]
fn a_missing_or_oversized_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.yaml");
    let large = folder.path().join("large.yaml");
    fs::write(&large, "#".repeat(10 << 20)).unwrap();
    let reason = |path: &Path| lines(&config::load(path).unwrap_err());
    assert_eq!(
        reason(&missing),
        format!("{}: no such file\n", missing.display())
    );
    assert_eq!(
        reason(&large),
        format!(
            "{}: cannot be read: larger than {} bytes\n",
            large.display(),
            config::FILE_BYTES_MAX
        )
    );
    assert!(reason(folder.path()).ends_with(": cannot be read: not a regular file\n"));
}

#[test]
fn the_example_shows_every_default() {
    let example = config::print(&example().config);
    // The least a file may say: all the rest is default.
    let least = "version: 1\n\
        listeners: [{name: public, address: 127.0.0.1:8080}]\n\
        clusters: [{name: rocketgraph, endpoints: [{address: 127.0.0.1:8081}]}]\n\
        routes: [{name: graphs, path: /}]\n";
    let least = config::compile("least.yaml", least, root()).unwrap();
    let least = config::print(&least.config);
    let outside_routes = |text: &str| {
        let (before, rest) = text.split_once("\nroutes:").unwrap();
        let (_, after) = rest.split_once("\ninspection:").unwrap();
        format!("{before}{after}")
    };
    assert_eq!(outside_routes(&example), outside_routes(&least));
}

#[test]
fn what_is_printed_compiles_to_what_is_printed() {
    let mut texts = vec![config::print(&example().config)];
    texts.extend(
        cases()
            .iter()
            .filter_map(|case| Some(config::print(&load(case).ok()?.config))),
    );
    for text in texts {
        let base = root().join("tests/golden/config");
        let again = config::compile("printed.yaml", &text, &base);
        let again = again.unwrap_or_else(|errors| panic!("{text}\n{}", lines(&errors)));
        assert_eq!(config::print(&again.config), text);
    }
}

#[test]
fn the_schema_file_is_that_of_the_code() {
    let schema = serde_json::to_string_pretty(&config::schema()).unwrap() + "\n";
    compare(&root().join("gateway.schema.json"), &schema).unwrap();
}

#[test]
fn the_example_points_editors_to_the_schema() {
    let example = fs::read_to_string(root().join("gateway.yaml")).unwrap();
    let first = example.lines().next();
    assert_eq!(
        first,
        Some("# yaml-language-server: $schema=./gateway.schema.json")
    );
}

#[test]
fn the_example_names_every_key() {
    let example = fs::read_to_string(root().join("gateway.yaml")).unwrap();
    let mut unnamed = Vec::new();
    name_keys(&config::schema(), &mut |key| {
        if !example.contains(&format!("{key}:")) {
            unnamed.push(key.to_owned());
        }
    });
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

/// Calls `look` with every key of a schema and of the schemas in it.
fn name_keys(schema: &Json, look: &mut dyn FnMut(&str)) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        look(key);
        name_keys(within(property).1, look);
    }
}

/// What stands in a list, or under any name of a mapping, with how a key path says so; else the schema itself.
fn within(schema: &Json) -> (&'static str, &Json) {
    let of_any_key = schema.get("additionalProperties");
    match (schema.get("items"), of_any_key.filter(|of| of.is_object())) {
        (Some(items), _) => ("[]", items),
        (None, Some(values)) => (".NAME", values),
        (None, None) => ("", schema),
    }
}

#[test]
fn the_document_describes_every_key() {
    let path = root().join("docs/configuration.md");
    let document = fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- keys: begin -->\n", "<!-- keys: end -->");
    let (before, rest) = document.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let mut tables = String::new();
    write_tables("", &config::schema(), &mut tables);
    compare(&path, &format!("{before}{begin}{tables}{end}{after}")).unwrap();
}

/// Writes a table of a mapping's keys, then those of the mappings in it.
fn write_tables(section: &str, schema: &Json, out: &mut String) {
    let name = if section.is_empty() {
        "The file"
    } else {
        section
    };
    let code = if section.is_empty() {
        name.to_owned()
    } else {
        format!("`{name}`")
    };
    out.push_str(&format!(
        "\n### {code}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
    ));
    let required = |key: &str| {
        let required = schema["required"].as_array();
        required.is_some_and(|keys| keys.iter().any(|required| required == key))
    };
    let mut inner = Vec::new();
    for (key, property) in schema["properties"].as_object().unwrap() {
        let (step, below) = within(property);
        if below.get("properties").is_some() {
            let dot = if section.is_empty() { "" } else { "." };
            inner.push((format!("{section}{dot}{key}{step}"), below));
        }
        let default = match property.get("default") {
            _ if required(key) => "required".to_owned(),
            Some(default) if default.as_array().is_some_and(|d| d.len() > 1) => {
                "see the example".to_owned()
            }
            Some(default) => format!("`{}`", default.to_string().trim_matches('"')),
            None => String::new(),
        };
        let meaning = property["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        out.push_str(&format!(
            "| `{key}` | {} | {default} | {meaning} |\n",
            value_of(property)
        ));
    }
    for (section, schema) in inner {
        write_tables(&section, schema, out);
    }
}

/// What a value may be, in a table's cell.
fn value_of(schema: &Json) -> String {
    if let Some(branches) = schema["oneOf"].as_array() {
        let words: Vec<String> = branches
            .iter()
            .map(|branch| format!("`{}`", branch["const"].as_str().unwrap()))
            .collect();
        return words.join(", ");
    }
    let range = match (schema.get("minimum"), schema.get("maximum")) {
        (Some(min), Some(max)) if min == max => format!(" {min}"),
        (Some(min), Some(max)) => format!(" {min} to {max}"),
        _ => String::new(),
    };
    match schema["type"].as_str().unwrap() {
        "object" if within(schema).0.is_empty() => "mapping".to_owned(),
        "object" => "mapping of names".to_owned(),
        "array" => format!("list of {}", value_of(&schema["items"])),
        "boolean" => "`true`, `false`".to_owned(),
        "string" => "text".to_owned(),
        kind => format!("{kind}{range}"),
    }
}

#[test]
fn the_schema_of_events_is_that_of_the_code() {
    let schema = serde_json::to_string_pretty(&rg_gateway::audit::schema()).unwrap() + "\n";
    compare(&root().join("docs/audit-event.schema.json"), &schema).unwrap();
}
