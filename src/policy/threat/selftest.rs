//! Runs the test cases that rules carry.

use std::sync::Arc;

use super::inspect::rule_matches;
use super::rules::RuleSet;
use crate::diagnostic::{Diagnostic, Place};

/// What the rules' own tests gave.
#[derive(Clone, Debug, Default)]
pub struct TestReport {
    /// Cases that were run.
    pub run: usize,
    /// Those that gave something else than they say.
    pub failures: Vec<TestFailure>,
}

/// A test case that gave something else than it says.
#[derive(Clone, Debug)]
pub struct TestFailure {
    /// The rule.
    pub rule: Arc<str>,
    /// The text that was tried.
    pub text: String,
    /// Whether a match was expected.
    pub expected: bool,
    /// Where the case stands.
    pub place: Place,
}

impl TestFailure {
    pub(super) fn into_diagnostic(self) -> Diagnostic {
        let reason = if self.expected {
            "has a test that should match and does not"
        } else {
            "has a test that should not match and does"
        };
        Diagnostic::error(
            self.place,
            format!("{}.tests", self.rule),
            format!("{reason}: {}", self.text.escape_debug()),
        )
    }
}

pub(super) fn run(rules: &RuleSet) -> TestReport {
    let mut report = TestReport::default();
    for (index, rule) in rules
        .rules()
        .iter()
        .enumerate()
        .filter(|(_, r)| r.meta.mode != super::Mode::Off)
    {
        for test in &rule.tests {
            report.run += 1;
            if rule_matches(rules, index, test.text.as_bytes()) != test.expected {
                report.failures.push(TestFailure {
                    rule: Arc::clone(&rule.meta.id),
                    text: test.text.clone(),
                    expected: test.expected,
                    place: test.place.clone(),
                });
            }
        }
    }
    report
}
