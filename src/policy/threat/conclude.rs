//! Turns what rules found in one value into indicators, mitigations and the verdict.

use std::sync::Arc;

use super::at::At;
use super::decode::undo;
use super::inspect::Inspector;
use super::rules::Hit;
use super::{INDICATORS_MAX, Indicator, Mode, Verdict, judge};
use crate::policy::mask;

/// Indicators of shadowed rules kept of one request: they count for nothing, and more of them say no more.
const SHADOWS_MAX: usize = 4;

/// Indicators of excluded findings kept of one request, for the same reason.
const EXCLUDED_MAX: usize = 16;

/// Excerpt characters.
const EXCERPT_CHARS_MAX: usize = 200;

/// Bytes before and after an excerpt that are searched for what begins or ends in it.
const MARGIN_BYTES: usize = 1_024;

/// Bytes of a document whose names are read; of a longer one nothing is kept.
const NAMES_BYTES_MAX: usize = 64 << 10;

impl Inspector<'_> {
    /// Turns the hits of one value into indicators and the verdict.
    pub(super) fn conclude(&mut self, text: &[u8], hits: &mut [Hit], at: &At<'_>) {
        self.seen |= self
            .watched
            .is_some_and(|w| hits.iter().any(|h| h.rule == w));
        if let Some((exclusions, origin)) = &self.excluding {
            exclusions.mark(hits, origin, at);
        }
        let (verdict, mitigations) = judge::judge(self.rules, hits, self.weight);
        if verdict == Verdict::Block {
            self.out.verdict = verdict;
        }
        self.out.mitigations = self.out.mitigations.union(mitigations);
        for hit in hits {
            let Some(rule) = self.rules.rule(hit.rule) else {
                continue;
            };
            if self.out.indicators.len() >= INDICATORS_MAX {
                return;
            }
            let mode = if hit.excluded {
                Mode::Excluded
            } else {
                rule.meta.mode
            };
            if !self.keeps(mode) {
                continue;
            }
            self.out.indicators.push(Indicator {
                rule: Arc::clone(&rule.meta.id),
                indicator_type: Arc::clone(&rule.meta.indicator_type),
                severity: rule.meta.severity,
                confidence: rule.meta.confidence,
                description: rule.meta.name.to_string(),
                field: at.to_string(),
                excerpt: kept(text, hit.at, at),
                mode,
                score: hit.score,
                thresholds: rule.meta.thresholds,
                mitigations: rule.meta.mitigations,
            });
        }
    }

    /// Nothing is kept of the values of a document that is split without the names of its values, if it names secrets.
    pub(super) fn hide_since(&mut self, indicators: usize, document: &[u8]) {
        let found = self
            .out
            .indicators
            .get_mut(indicators..)
            .unwrap_or_default();
        let unread = document.len() > NAMES_BYTES_MAX;
        if !found.is_empty() && (unread || mask::names_secrets(document)) {
            for indicator in found {
                mask::SECRET.clone_into(&mut indicator.excerpt);
            }
        }
    }

    /// Whether one more indicator of this mode is kept: of those that count for nothing, a few say it all.
    fn keeps(&mut self, mode: Mode) -> bool {
        let (kept, max) = match mode {
            Mode::Shadow => (&mut self.shadows, SHADOWS_MAX),
            Mode::Excluded => (&mut self.excluded, EXCLUDED_MAX),
            Mode::Enforce | Mode::Off => return true,
        };
        *kept += 1;
        *kept <= max
    }
}

/// What is kept of a value: nothing of a secret, the names of cookies, else the text around a byte.
fn kept(text: &[u8], hit: usize, at: &At<'_>) -> String {
    let name = at.last_name().unwrap_or_default();
    let is_name = !name.is_empty() && (name == text || undo(name, false).text == text);
    if at.is_within("cookie") && !is_name {
        return match name {
            b"" => excerpt(&mask::cookies(text), 0, name),
            _ => mask::SECRET.to_owned(),
        };
    }
    if at.is_secret(!is_name) {
        return mask::SECRET.to_owned();
    }
    excerpt(text, hit, if is_name { b"" } else { name })
}

/// The text around a byte, masked and escaped, with a little of what stands before it.
fn excerpt(text: &[u8], at: usize, name: &[u8]) -> String {
    let from = at.saturating_sub(40).min(text.len());
    let to = text.len().min(from + EXCERPT_CHARS_MAX * 4);
    // What is cut at either end is known only with what stands around it.
    let begin = from.saturating_sub(MARGIN_BYTES);
    let around = text
        .get(begin..text.len().min(to + MARGIN_BYTES))
        .unwrap_or_default();
    let window = mask::part(around, from - begin..to - begin, name);
    // Most are printable ASCII, and then a copy is all they need.
    if let Ok(plain) = str::from_utf8(&window)
        && plain.bytes().all(|b| matches!(b, b' '..=b'~'))
    {
        let end = plain.len().min(EXCERPT_CHARS_MAX);
        return plain.get(..end).unwrap_or_default().to_owned();
    }
    String::from_utf8_lossy(&window)
        .chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .take(EXCERPT_CHARS_MAX)
        .collect()
}
