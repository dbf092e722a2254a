//! What happens where something is not looked at: a finding, a refusal, or a mark where the route lets it pass.

use super::at::At;
use super::context::Context;
use super::inspect::Inspector;
use super::predicate::Predicate;
use super::{BoundHit, INDICATORS_MAX, Unreadable, json};

impl Inspector<'_> {
    /// A bound that was hit: it is listed, and is a finding.
    pub(super) fn bound(&mut self, predicate: Predicate, at: &At<'_>) {
        if self.forwards_oversize && predicate.is_of_size() {
            self.out.uninspected = true;
            return;
        }
        if self.out.bounds.len() < INDICATORS_MAX
            && !self.out.bounds.iter().any(|b| b.bound == predicate.name())
        {
            self.out.bounds.push(BoundHit {
                bound: predicate.name(),
                field: at.to_string(),
            });
            self.found_at(predicate, b"", Context::Text, at);
        }
    }

    /// How far a JSON document of this request is walked.
    pub(super) fn json_limits(&self) -> json::Limits {
        let strict = json::Limits::default();
        json::Limits {
            keys_max: if self.forwards_oversize {
                usize::MAX
            } else {
                strict.keys_max
            },
            is_prefix: self.is_prefix,
        }
    }

    /// The body cannot be read. It is refused where the route says so.
    pub(super) fn unreadable(&mut self, status: u16, code: &'static str) {
        self.out.uninspected |= !self.refuses_undecodable;
        if self.refuses_undecodable && self.out.refused_as.is_none() {
            self.out.refused_as = Some(Unreadable { status, code });
        }
    }
}
