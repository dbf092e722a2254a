//! What is wrong with a file somebody wrote, said so that they can mend it.
//!
//! Configuration and rule files report every wrong value of one run as a list of these; nothing
//! here decides what is wrong.

use std::fmt;
use std::sync::Arc;

/// A place in a file: 1-based line and column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the operator named it.
    pub file: Arc<str>,
    /// 1-based; 0 when the file as a whole is meant.
    pub line: u32,
    /// 1-based; 0 when the file as a whole is meant.
    pub column: u32,
}

/// Whether a diagnostic stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Nothing starts until it is mended.
    Error,
    /// It runs, but the operator should know.
    Advice,
}

/// One wrong or doubtful value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the start.
    pub weight: Weight,
    /// A stable id for advice (`A101`), absent for errors.
    pub id: Option<&'static str>,
    /// Where it stands.
    pub place: Place,
    /// The key path inside the file, such as `routes[2].upstream`.
    pub path: String,
    /// Lowercase, no full stop, ends with the offending value where there is one.
    pub reason: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(place: Place, path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            weight: Weight::Error,
            id: None,
            place,
            path: path.into(),
            reason: reason.into(),
            hint: None,
        }
    }

    /// Advice with its stable id.
    pub fn advice(
        id: &'static str,
        place: Place,
        path: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            weight: Weight::Advice,
            id: Some(id),
            ..Self::error(place, path, reason)
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place.file)?;
        if self.place.line > 0 {
            write!(f, ":{}:{}", self.place.line, self.place.column)?;
        }
        if let Some(id) = self.id {
            write!(f, ": advice {id}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.reason)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// The known word nearest to a mistyped one, if it is near enough to be meant.
pub fn did_you_mean<'a>(got: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (got.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (edit_distance(got, word), word))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Levenshtein distance; both words are short.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let substituted = corner + usize::from(ca != *cb);
            corner = *cell;
            left = substituted.min(corner + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_names_place_path_reason_and_hint() {
        let place = Place {
            file: "gateway.yaml".into(),
            line: 41,
            column: 15,
        };
        let d = Diagnostic::error(place, "routes[2].upstream", "unknown upstream: billing-v2")
            .hint("did you mean `billing`? (declared at line 12)");
        assert_eq!(
            d.to_string(),
            "gateway.yaml:41:15: routes[2].upstream: unknown upstream: billing-v2\n  hint: did you mean `billing`? (declared at line 12)"
        );
    }

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        assert_eq!(did_you_mean("lisen", ["listen", "plans"]), Some("listen"));
        assert_eq!(did_you_mean("zebra", ["listen", "plans"]), None);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
