//! What a caller's queries may cost.

use super::ComplexityClass;
use crate::policy::auth::{Scope, ScopeSet};

/// The dearest class of query that keys of one plan may send.
#[derive(Clone, Debug)]
pub struct ComplexityAllowance {
    /// For every key.
    pub max: ComplexityClass,
    /// For keys that have a scope, instead; of several the largest.
    pub by_scope: Vec<(Scope, ComplexityClass)>,
}

impl ComplexityAllowance {
    /// What a key with these scopes may send.
    pub fn of(&self, scopes: &ScopeSet) -> ComplexityClass {
        self.by_scope
            .iter()
            .filter(|(scope, _)| scopes.covers(scope))
            .map(|(_, max)| *max)
            .max()
            .unwrap_or(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_overrides_the_plan_and_the_largest_counts() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        let allowance = ComplexityAllowance {
            max: ComplexityClass::Medium,
            by_scope: vec![
                (scope("graph:analyse"), ComplexityClass::High),
                (scope("graph:guest"), ComplexityClass::Low),
            ],
        };
        let of = |scopes: &str| allowance.of(&scopes.parse().unwrap());
        assert_eq!(of("graph:query"), ComplexityClass::Medium);
        assert_eq!(of("graph:analyse"), ComplexityClass::High);
        assert_eq!(of("graph:guest"), ComplexityClass::Low);
        assert_eq!(of("graph:guest graph:analyse"), ComplexityClass::High);
        assert_eq!(of("*"), ComplexityClass::High);
    }
}
