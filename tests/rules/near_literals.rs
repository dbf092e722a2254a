//! What a pattern matches holds one of the literals its rule is tried near: a pattern for which that is not so is
//! never tried on some of what it was written for, and nobody would notice.

use fastrand::Rng;
use regex::bytes::RegexBuilder;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};
use rg_gateway::shipped;
use serde::Deserialize;

/// Texts made of each pattern.
const SAMPLES: usize = 500;

/// Of these a member of a class is chosen, where the class has one.
const PLAIN: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \t\r\n!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// The parts of a rule this is about.
#[derive(Deserialize)]
struct Rule {
    id: String,
    #[serde(rename = "match")]
    matches: Match,
}

#[derive(Deserialize)]
struct Match {
    #[serde(default)]
    near: Vec<String>,
    #[serde(default)]
    regex: Vec<String>,
}

#[test]
fn whatever_a_pattern_matches_holds_a_literal_its_rule_is_tried_near() {
    let mut rng = Rng::with_seed(0x6e65_6172);
    let mut missed = Vec::new();
    for (file, text) in shipped::RULES {
        let rules: Vec<Rule> = serde_saphyr::from_str(text).unwrap();
        for rule in rules.iter().filter(|r| !r.matches.near.is_empty()) {
            let near = lowercase(&rule.matches.near);
            for pattern in &rule.matches.regex {
                let found = beside(pattern, &near, &mut rng);
                missed.extend(found.map(|text| {
                    let text = text.escape_ascii().to_string();
                    format!(
                        "{file}: {} holds none of its `near`: {text}\n    {pattern}",
                        rule.id
                    )
                }));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

fn lowercase(words: &[String]) -> Vec<Vec<u8>> {
    words
        .iter()
        .map(|w| w.to_ascii_lowercase().into_bytes())
        .collect()
}

/// A text the pattern matches that holds none of the literals.
fn beside(pattern: &str, near: &[Vec<u8>], rng: &mut Rng) -> Option<Vec<u8>> {
    let hir = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(pattern)
        .unwrap();
    let regex = RegexBuilder::new(pattern).unicode(false).build().unwrap();
    (0..SAMPLES)
        .map(|_| {
            let mut text = Vec::new();
            sample(&hir, rng, &mut text);
            text
        })
        .find(|text| {
            let lower = text.to_ascii_lowercase();
            let holds = |word: &Vec<u8>| lower.windows(word.len()).any(|w| w == word.as_slice());
            // Boundaries of words and ends of lines are not made, so a text may not match after all.
            !near.iter().any(holds) && regex.is_match(text)
        })
}

/// Appends a text of the pattern's form, with few repetitions.
fn sample(hir: &Hir, rng: &mut Rng, text: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
        HirKind::Class(class) => text.push(member(class, rng)),
        HirKind::Repetition(repetition) => {
            let more = u32::from(rng.u8(..4) == 0);
            let times = (repetition.min + more).min(repetition.max.unwrap_or(u32::MAX));
            for _ in 0..times {
                sample(&repetition.sub, rng, text);
            }
        }
        HirKind::Capture(capture) => sample(&capture.sub, rng, text),
        HirKind::Concat(parts) => parts.iter().for_each(|part| sample(part, rng, text)),
        HirKind::Alternation(parts) => {
            if let Some(part) = rng.choice(parts) {
                sample(part, rng, text);
            }
        }
    }
}

/// A byte of a class, a plain one where it has one.
fn member(class: &Class, rng: &mut Rng) -> u8 {
    let ranges: Vec<(u8, u8)> = match class {
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .map(|r| (r.start(), r.end()))
            .collect(),
        Class::Unicode(class) => {
            let ascii = |c: char| u8::try_from(c).unwrap_or(u8::MAX);
            class
                .ranges()
                .iter()
                .map(|r| (ascii(r.start()), ascii(r.end())))
                .collect()
        }
    };
    let plain = PLAIN.iter().filter(|b| {
        ranges
            .iter()
            .any(|(first, last)| (first..=last).contains(b))
    });
    rng.choice(plain.collect::<Vec<_>>())
        .copied()
        .or_else(|| ranges.first().map(|(first, _)| *first))
        .unwrap_or_default()
}
