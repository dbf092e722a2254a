//! Thresholds: the combined confidence from which on a category of rules has consequences.
//!
//! They are given for a category and resolved once to numbers of each rule, so that judging a request looks
//! nothing up.

use std::sync::Arc;

use super::RuleMeta;
use super::rules::RuleSet;
use crate::diagnostic::{Diagnostic, Place, did_you_mean};

/// What is lost where confidences, which have few decimals, are combined as binary fractions.
const LOST: f64 = 5e-7;

/// From which combined confidence on something follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// From here on a rule that asks for it blocks.
    pub block: f64,
    /// From here on the other mitigations of its rules follow; at most `block`.
    pub act: f64,
}

impl Thresholds {
    /// Those of every category the configuration does not name.
    pub const DEFAULT: Self = Self {
        block: 0.9,
        act: 0.5,
    };

    /// Whether a category of this combined confidence blocks.
    pub fn blocks(self, score: f32) -> bool {
        f64::from(score) + LOST >= self.block
    }

    /// Whether a category of this combined confidence has consequences at all.
    pub fn acts(self, score: f32) -> bool {
        f64::from(score) + LOST >= self.act
    }
}

/// The thresholds of one category, as a configuration gives them.
#[derive(Clone, Debug, PartialEq)]
pub struct CategoryThresholds {
    /// The first tag of the rules they are about.
    pub category: Arc<str>,
    /// The thresholds.
    pub thresholds: Thresholds,
    /// Where they were written, for messages.
    pub place: Place,
    /// Their key path in that file.
    pub path: String,
}

impl CategoryThresholds {
    /// What is wrong with thresholds of no category.
    fn unknown(&self, rules: &RuleSet) -> Diagnostic {
        let reason = format!("no such category: {}", self.category.escape_debug());
        let error = Diagnostic::error(self.place.clone(), self.path.clone(), reason);
        let metas = rules.rules().iter().map(|rule| &rule.meta);
        let mut known: Vec<&str> = metas.filter_map(RuleMeta::category).collect();
        known.sort_unstable();
        known.dedup();
        match did_you_mean(&self.category, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!(
                "a category is the first tag of a rule: {}",
                known.join(", ")
            )),
        }
    }
}

/// Gives every rule the thresholds of its category; what is about no rule is reported.
pub(super) fn resolve(rules: &mut RuleSet, list: &[CategoryThresholds]) -> Vec<Diagnostic> {
    let mut lost = Vec::new();
    for given in list {
        let mut known = false;
        let of_category = |meta: &&mut RuleMeta| meta.category() == Some(&*given.category);
        for meta in rules.metas_mut().filter(of_category) {
            meta.thresholds = given.thresholds;
            known = true;
        }
        if !known {
            lost.push(given.unknown(rules));
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_reached_by_what_its_decimals_say() {
        // 0.3 is not what 1 - (1 - 0.3) gives in binary fractions.
        for hundredths in 1..=100_u8 {
            let (exact, confidence) =
                (f64::from(hundredths) / 100.0, f32::from(hundredths) / 100.0);
            let thresholds = Thresholds {
                block: exact,
                act: exact,
            };
            let alone = 1.0 - (1.0 - confidence);
            assert!(
                thresholds.blocks(alone) && thresholds.acts(alone),
                "{exact}"
            );
            let below = 1.0 - (1.0 - (confidence - 0.000_01));
            assert!(
                !thresholds.blocks(below) && !thresholds.acts(below),
                "{exact}"
            );
        }
    }
}
