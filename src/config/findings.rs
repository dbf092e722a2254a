//! What is wrong or doubtful in one file, collected while it is read.

use std::fmt::Display;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Place};
use crate::policy::mask;

/// Errors and advice kept of one run each; further errors are counted, further advice is not given.
const FINDINGS_MAX: usize = 200;
/// Characters of a wrong value shown in a message.
const SHOWN_CHARS_MAX: usize = 80;

/// 1-based line and column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Spot {
    /// Where a file begins.
    pub(super) const FILE_START: Self = Self { line: 1, column: 1 };
}

/// The diagnostics of one file.
pub(super) struct Findings {
    file: Arc<str>,
    errors: Vec<Diagnostic>,
    advice: Vec<Diagnostic>,
    left_out: usize,
}

impl Findings {
    /// Nothing found yet in the file of this name.
    pub(super) fn of(file_name: &str) -> Self {
        Self {
            file: file_name.into(),
            errors: Vec::new(),
            advice: Vec::new(),
            left_out: 0,
        }
    }

    /// Reports a wrong value.
    pub(super) fn error(&mut self, spot: Spot, path: &str, reason: impl Into<String>) {
        let error = Diagnostic::error(self.place(spot), path, reason);
        self.keep_error(error);
    }

    /// Reports a wrong value and what to do about it.
    pub(super) fn error_with_hint(
        &mut self,
        spot: Spot,
        path: &str,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let error = Diagnostic::error(self.place(spot), path, reason).hint(hint);
        self.keep_error(error);
    }

    /// Reports a value that runs but should be known about; once, however many inherit it.
    pub(super) fn advise(
        &mut self,
        id: &'static str,
        spot: Spot,
        path: &str,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let advice = Diagnostic::advice(id, self.place(spot), path, reason).hint(hint);
        if self.advice.len() < FINDINGS_MAX && !self.advice.contains(&advice) {
            self.advice.push(advice);
        }
    }

    /// Whether a value at this path, or one below it, was already reported.
    pub(super) fn names(&self, path: &str) -> bool {
        self.errors.iter().any(|error| {
            error.path.strip_prefix(path).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('.') || rest.starts_with('[')
            })
        })
    }

    /// Whether further errors would only be counted.
    pub(super) fn are_full(&self) -> bool {
        self.errors.len() >= FINDINGS_MAX
    }

    /// Whether nothing stops the start.
    pub(super) fn permit_start(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors in file order; if some were left out, a last one says how many.
    pub(super) fn into_errors(mut self) -> Vec<Diagnostic> {
        self.errors.sort_by(|a, b| a.place.cmp(&b.place));
        if self.left_out > 0 {
            let last = self.errors.last().map_or(Spot::FILE_START, |error| Spot {
                line: error.place.line,
                column: error.place.column,
            });
            let reason = format!("further errors are not shown: {}", self.left_out);
            self.errors
                .push(Diagnostic::error(self.place(last), "", reason));
        }
        self.errors
    }

    /// The advice in file order.
    pub(super) fn into_advice(mut self) -> Vec<Diagnostic> {
        self.advice.sort_by(|a, b| a.place.cmp(&b.place));
        self.advice
    }

    fn keep_error(&mut self, error: Diagnostic) {
        if self.errors.len() < FINDINGS_MAX {
            self.errors.push(error);
        } else {
            self.left_out += 1;
        }
    }

    /// A place in this file, for messages that come later.
    pub(super) fn place(&self, spot: Spot) -> Place {
        Place {
            file: Arc::clone(&self.file),
            line: spot.line,
            column: spot.column,
        }
    }
}

/// A value as it may stand in a message: one line, no control characters, bounded, no password in it.
pub(super) fn shown(value: impl Display) -> String {
    let value = value.to_string();
    let value = mask::credentials(&value);
    if value.is_empty() {
        return "\"\"".to_owned();
    }
    let mut line = String::new();
    for (count, c) in value.chars().enumerate() {
        if count == SHOWN_CHARS_MAX {
            line.push('…');
            break;
        }
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
