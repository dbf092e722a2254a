//! Whatever becomes of `gateway.yaml`, reading it ends soon, without a panic, in a configuration
//! that may run or in errors that say where.

// Clippy lets test code unwrap, index and panic; this tells it that all of it is.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rg_gateway::config;
use rg_gateway::diagnostic::Diagnostic;

const MUTANTS: u64 = 1_200;

/// Typed nonsense: each fits some key and is wrong for most.
const NONSENSE: &[&str] = &[
    "",
    "~",
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    "99999999999999999999",
    ".nan",
    "-.inf",
    "1e400",
    "0x10",
    "\"\"",
    "text",
    "'quoted'",
    "[]",
    "{}",
    "[[]]",
    "{zebra: 1}",
    "[1, two, {three: 3}]",
    "*unknown",
    "&anchor 5",
    "!tag 5",
    "!!binary aGk=",
    "|\n  block",
    "2026-11-22",
    "127.0.0.1:0",
    "[::]:8080",
    "0.0.0.0/0",
    "/{a}/{a}",
    "${HOME}",
    "../../etc/passwd",
    "\u{202e}",
    "\"\\u0000\"",
    "😀",
    "#",
    "- -",
    "? :",
    "<<: *x",
];

/// Characters that mean something to YAML, or to no one.
const CHARS: &[&str] = &[
    ":",
    "-",
    " ",
    "\t",
    "\n",
    "\r",
    "#",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&",
    "*",
    "!",
    "|",
    ">",
    "'",
    "\"",
    "%",
    "@",
    "`",
    "\0",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "é",
    "\u{10ffff}",
];

/// A small generator of numbers (xorshift64*); the seed is the mutant's number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap() % bound.max(1)
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml")).unwrap()
}

/// Changes the text in one way.
fn mutate(text: &mut Vec<u8>, dice: &mut Dice) {
    if dice.below(3) == 0 {
        mutate_bytes(text, dice);
        return;
    }
    let lines = text.split(|byte| *byte == b'\n');
    let mut lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    mutate_lines(&mut lines, dice);
    *text = lines.join(&b'\n');
}

/// Flips a bit, puts a character in, takes some out, or breaks off.
fn mutate_bytes(text: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(text.len());
    match dice.below(4) {
        0 if !text.is_empty() => text[at] ^= 1 << dice.below(8),
        1 => drop(text.drain(at..(at + 1 + dice.below(40)).min(text.len()))),
        2 => text.truncate(at),
        _ => drop(text.splice(at..at, dice.one_of(CHARS).bytes())),
    }
}

/// Removes, doubles, swaps or indents a line, or changes its key or its value.
fn mutate_lines(lines: &mut Vec<Vec<u8>>, dice: &mut Dice) {
    let (at, other) = (dice.below(lines.len()), dice.below(lines.len()));
    let colon = lines[at].iter().position(|byte| *byte == b':');
    match dice.below(7) {
        0 => drop(lines.remove(at)),
        1 => {
            let copy = lines[at].clone();
            lines.insert(other, copy);
        }
        2 => lines.swap(at, other),
        3 => drop(lines[at].splice(0..0, b" ".repeat(1 + dice.below(4)))),
        4 => {
            let indentation = lines[at].iter().take_while(|byte| **byte == b' ').count();
            lines[at].drain(..dice.below(indentation + 1));
        }
        5 => lines[at].insert(dice.below(colon.unwrap_or(0)), b'x'),
        _ => {
            lines[at].truncate(colon.map_or(0, |colon| colon + 1));
            lines[at].push(b' ');
            lines[at].extend(dice.one_of(NONSENSE).bytes());
        }
    }
}

fn said(diagnostics: &[Diagnostic]) -> String {
    diagnostics
        .iter()
        .map(|diagnostic| format!("{diagnostic}\n"))
        .collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the bound is on real time")]
fn every_mutant_is_a_configuration_or_a_located_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    let (mut refused, mut accepted) = (0, 0);
    for seed in 1..=MUTANTS {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut text = example().into_bytes();
        for _ in 0..=dice.below(3) {
            mutate(&mut text, &mut dice);
        }
        fs::write(&file, &text).unwrap();
        let started = Instant::now();
        let loaded = config::load(&file);
        assert!(
            started.elapsed() < Duration::from_secs(1),
            "seed {seed} takes too long"
        );
        match loaded {
            Ok(loaded) => {
                accepted += 1;
                let printed = config::print(&loaded.config);
                let again = config::compile("printed", &printed, folder.path());
                let again = again.unwrap_or_else(|errors| panic!("seed {seed}: {}", said(&errors)));
                assert_eq!(config::print(&again.config), printed, "seed {seed}");
            }
            Err(errors) => {
                refused += 1;
                assert!(
                    !errors.is_empty(),
                    "seed {seed} is refused without a reason"
                );
                let lines = text
                    .iter()
                    .filter(|byte| **byte == b'\n' || **byte == b'\r')
                    .count()
                    + 1;
                for error in &errors {
                    let place = &error.place;
                    let inside = (1..=lines + 1).contains(&usize::try_from(place.line).unwrap());
                    assert!(inside && place.column > 0, "seed {seed}: {error}");
                    assert!(
                        !error.to_string().contains(['\0', '\r']),
                        "seed {seed}: {error:?}"
                    );
                }
            }
        }
    }
    // The mutants are worth something only if they meet both ends often.
    assert!(
        refused > MUTANTS / 4 && accepted > MUTANTS / 10,
        "{refused} refused, {accepted} accepted"
    );
}

/// The lines of the example that hold a key and its value: line number, before the value, value.
fn keys_with_values(text: &str) -> Vec<(usize, &str, &str)> {
    let lines = text.lines().enumerate();
    let keys = lines.filter_map(|(index, line)| {
        let (before, value) = line.split_once(": ")?;
        if value.trim_start().starts_with('#') {
            return None;
        }
        let is_key = before
            .trim_start()
            .trim_start_matches("- ")
            .chars()
            .all(|c| c.is_ascii_lowercase() || c == '_');
        is_key.then_some((index, before, value))
    });
    keys.collect()
}

fn with_line(text: &str, index: usize, line: &str) -> String {
    let lines = text.lines().enumerate();
    lines
        .map(|(at, old)| {
            if at == index {
                format!("{line}\n")
            } else {
                format!("{old}\n")
            }
        })
        .collect()
}

#[test]
fn every_value_of_the_wrong_type_is_found_where_it_stands() {
    let text = example();
    let keys = keys_with_values(&text);
    assert!(keys.len() > 50, "{} keys", keys.len());
    for (index, before, _) in keys {
        let mutant = with_line(&text, index, &format!("{before}: {{zebra: [1]}}"));
        let errors = config::compile("mutant", &mutant, Path::new("")).expect_err(before);
        let line = u32::try_from(index + 1).unwrap();
        assert!(
            errors.iter().any(|error| error.place.line == line),
            "{before}: {}",
            said(&errors)
        );
    }
}

#[test]
fn every_mistyped_key_is_found_where_it_stands() {
    let text = example();
    for (index, before, value) in keys_with_values(&text) {
        let mutant = with_line(&text, index, &format!("{before}x: {value}"));
        let errors = config::compile("mutant", &mutant, Path::new("")).expect_err(before);
        let line = u32::try_from(index + 1).unwrap();
        let key = before.trim_start().trim_start_matches("- ");
        let hint = format!("did you mean `{key}`?");
        let found = errors
            .iter()
            .any(|error| error.place.line == line && error.hint.as_deref() == Some(hint.as_str()));
        assert!(found, "{before}: {}", said(&errors));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the bound is on real time")]
fn a_hostile_file_ends_soon_in_a_located_error() {
    let size = config::FILE_BYTES_MAX - 16;
    let lines = |line: &str| line.repeat(size / line.len());
    let hostile = [
        lines("["),
        lines("{a: "),
        lines("- "),
        lines("? "),
        lines(": "),
        lines("!"),
        lines(" "),
        lines("\t"),
        lines("---\n"),
        lines("#\n"),
        lines("threads: 1\n"),
        lines("x: &x 1\n"),
        format!("{}: 1", lines("k")),
        format!("\"{}", lines("x")),
        format!("data_dir: {}", lines("x")),
        format!("a: \"{}\"", lines("\\0")),
        format!("trusted_proxies: [{}]", lines("1,")),
        format!("a: &a [{}]\nb: [{}]", lines("1,"), "*a,".repeat(4)),
        format!("a: &a {{b: 1}}\nc:\n{}", "  <<: *a\n".repeat(2_000)),
    ];
    for text in hostile {
        let start: String = text.chars().take(20).collect();
        let started = Instant::now();
        let errors = config::compile("hostile", &text, Path::new("")).expect_err(&start);
        // Unoptimised, on a busy machine; optimised it is a tenth of a second.
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{start:?} takes too long"
        );
        assert!(errors.iter().all(|error| error.place.line > 0), "{start:?}");
        assert!(said(&errors).len() < 100_000, "{start:?} says too much");
    }
}
