//! Turns what rules found in one value into indicators, mitigations and the verdict.

use std::sync::Arc;

use super::at::At;
use super::inspect::Inspector;
use super::rules::Hit;
use super::{INDICATORS_MAX, Indicator, Mode, Verdict, judge};

/// Indicators of shadowed rules kept of one request: they count for nothing, and more of them say no more.
const SHADOWS_MAX: usize = 4;

/// Indicators of excluded findings kept of one request, for the same reason.
const EXCLUDED_MAX: usize = 16;

/// Excerpt characters.
const EXCERPT_CHARS_MAX: usize = 200;

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
                excerpt: excerpt(text, hit.at),
                mode,
                score: hit.score,
                thresholds: rule.meta.thresholds,
                mitigations: rule.meta.mitigations,
            });
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

/// The text around a byte, escaped, with a little of what stands before it.
fn excerpt(text: &[u8], at: usize) -> String {
    let from = at.saturating_sub(40);
    let window = text
        .get(from..text.len().min(from + EXCERPT_CHARS_MAX * 4))
        .unwrap_or_default();
    // Most are printable ASCII, and then a copy is all they need.
    if let Ok(plain) = str::from_utf8(window)
        && plain.bytes().all(|b| matches!(b, b' '..=b'~'))
    {
        let end = plain.len().min(EXCERPT_CHARS_MAX);
        return plain.get(..end).unwrap_or_default().to_owned();
    }
    String::from_utf8_lossy(window)
        .chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .take(EXCERPT_CHARS_MAX)
        .collect()
}
