//! Adds up what the rules found in one value.
//!
//! Confidences of one category in one value are combined as independent evidence: 1 - product of (1 - c).
//! Values are never added up: a long honest text must not become an attack by its length.

use super::rules::{Hit, RuleSet};
use super::{Mitigation, Mitigations, Mode, Verdict};

/// Code that is shown or stored counts this much: one rule alone does not block, three that are sure do.
pub(super) const SHOWN_WEIGHT: f32 = 0.65;

/// The judgement of one value, whose confidences are multiplied with `weight`.
///
/// Each hit that counts is given the combined confidence it was part of as its score.
pub(super) fn judge(rules: &RuleSet, hits: &mut [Hit], weight: f32) -> (Verdict, Mitigations) {
    let mut verdict = Verdict::Pass;
    let mut mitigations = Mitigations::default();
    let counted = |hit: &Hit| {
        rules
            .rule(hit.rule)
            .filter(|rule| rule.meta.mode == Mode::Enforce && !hit.excluded)
    };
    for index in 0..hits.len() {
        let Some(rule) = hits.get(index).and_then(counted) else {
            continue;
        };
        let category = rule.meta.category();
        let doubt: f32 = hits
            .iter()
            .filter_map(|hit| Some((hit, counted(hit)?)))
            .filter(|(_, rule)| rule.meta.category() == category)
            .map(|(hit, rule)| {
                let doubt = if hit.doubted { SHOWN_WEIGHT } else { 1.0 };
                1.0 - rule.meta.confidence * weight.min(doubt)
            })
            .product();
        let confidence = 1.0 - doubt;
        if let Some(hit) = hits.get_mut(index) {
            hit.score = confidence;
        }
        let thresholds = rule.meta.thresholds;
        if !thresholds.acts(confidence) {
            continue;
        }
        let blocks =
            thresholds.blocks(confidence) && rule.meta.mitigations.has(Mitigation::BlockRequest);
        if blocks {
            verdict = Verdict::Block;
        }
        for mitigation in rule
            .meta
            .mitigations
            .iter()
            .filter(|m| blocks || *m != Mitigation::BlockRequest)
        {
            mitigations = mitigations.with(mitigation);
        }
    }
    (verdict, mitigations)
}
