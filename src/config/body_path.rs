//! Where a value stands in a JSON body: `$.query`, `$.statements.0.text`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Steps of one path.
const STEPS_MAX: usize = 8;

/// A path into a JSON body: `$`, then `.key` for each step down; a number steps into a list.
///
/// The keys are letters, digits, `_` and `-`; at most 8 steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyPath {
    steps: Arc<[Arc<str>]>,
}

/// Why a text is no [`BodyPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyPathError {
    /// Something else than `$.` stands at the beginning.
    #[error("must begin with `$.`")]
    Root,
    /// A step is empty or has another character than letters, digits, `_` and `-`.
    #[error("each step must be letters, digits, `_` or `-`")]
    Step,
    /// There are more steps than anything needs.
    #[error("must have at most {STEPS_MAX} steps")]
    TooDeep,
}

impl BodyPath {
    /// The steps from the root down; at least one.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &str> {
        self.steps.iter().map(|step| &**step)
    }
}

impl FromStr for BodyPath {
    type Err = BodyPathError;

    fn from_str(text: &str) -> Result<Self, BodyPathError> {
        let steps = text.strip_prefix("$.").ok_or(BodyPathError::Root)?;
        let may_stand = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let steps: Vec<Arc<str>> = steps.split('.').map(Arc::from).collect();
        if steps.len() > STEPS_MAX {
            return Err(BodyPathError::TooDeep);
        }
        if steps
            .iter()
            .any(|step| step.is_empty() || !step.chars().all(may_stand))
        {
            return Err(BodyPathError::Step);
        }
        Ok(Self {
            steps: steps.into(),
        })
    }
}

impl fmt::Display for BodyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.steps().try_for_each(|step| write!(f, ".{step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_steps_down_from_the_root() {
        let path: BodyPath = "$.statements.0.text".parse().unwrap();
        assert_eq!(
            path.steps().collect::<Vec<_>>(),
            ["statements", "0", "text"]
        );
        assert_eq!(path.to_string(), "$.statements.0.text");
    }

    #[test]
    fn what_is_no_path_is_refused_with_its_cause() {
        for (text, cause) in [
            ("", BodyPathError::Root),
            ("$", BodyPathError::Root),
            ("query", BodyPathError::Root),
            ("$.", BodyPathError::Step),
            ("$.a..b", BodyPathError::Step),
            ("$.a b", BodyPathError::Step),
            ("$.a[0]", BodyPathError::Step),
            ("$.1.2.3.4.5.6.7.8.9", BodyPathError::TooDeep),
        ] {
            assert_eq!(text.parse::<BodyPath>(), Err(cause), "{text}");
        }
    }
}
