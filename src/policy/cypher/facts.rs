//! What a statement does, in the few words the rest of the gateway needs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::cost::Cost;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Tokens};
use super::reach::Reach;

/// What a statement may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueryClass {
    /// It only reads.
    Read,
    /// It changes nodes or relationships.
    Write,
    /// It changes indexes or constraints.
    Schema,
    /// It administers the database.
    Admin,
}

impl QueryClass {
    /// The label of it in metrics and audit events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Schema => "schema",
            Self::Admin => "admin",
        }
    }
}

/// The estimated work of a statement, in four classes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ComplexityClass {
    /// Below 6: an anchored look-up, a short path.
    #[default]
    Low,
    /// Below 12: a label scan with a few hops.
    Medium,
    /// Below 24: a product of scans, a long path.
    High,
    /// 24 and beyond: no server answers it.
    Extreme,
}

impl ComplexityClass {
    /// The class of a score.
    pub fn of(score: f32) -> Self {
        match score {
            s if s < 6.0 => Self::Low,
            s if s < 12.0 => Self::Medium,
            s if s < super::cost::EXTREME => Self::High,
            _ => Self::Extreme,
        }
    }

    /// The value of the `query_complexity` label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Extreme => "extreme",
        }
    }
}

impl std::fmt::Display for ComplexityClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What one statement does.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryFacts {
    /// What it may change.
    pub class: QueryClass,
    /// How many statements the text holds; 0 for an empty one.
    pub statements: u32,
    /// log10 of the estimated rows touched, see `docs/rules.md`.
    pub complexity: f32,
    /// The class of `complexity`.
    pub complexity_class: ComplexityClass,
    /// BLAKE3 (first 16 bytes) of the tokens with literals, numbers and parameters folded to `?` and comments left out.
    pub fingerprint: [u8; 16],
    /// SHA-256 of the statement as it was read: unescaped, at most [`super::TEXT_BYTES_MAX`] bytes.
    pub sha256: [u8; 32],
    /// Length of what the digest is of.
    pub text_bytes: usize,
}

pub(super) fn sum_up(text: &[u8], list: &Tokens, reach: Reach, cost: Cost) -> QueryFacts {
    QueryFacts {
        class: class(list, reach),
        statements: reach.statements,
        complexity: cost.score,
        complexity_class: ComplexityClass::of(cost.score),
        fingerprint: fingerprint(text, list),
        sha256: Sha256::digest(text).into(),
        text_bytes: text.len(),
    }
}

fn class(list: &Tokens, reach: Reach) -> QueryClass {
    if reach.admin {
        return QueryClass::Admin;
    }
    let mut class = if reach.writes_by_procedure {
        QueryClass::Write
    } else {
        QueryClass::Read
    };
    for (index, token) in list.list.iter().enumerate() {
        let telling = token.keyword.writes() || token.keyword == K::Drop;
        if !telling || !is_clause(list, index) {
            continue;
        }
        if matches!(token.keyword, K::Create | K::Drop) && is_schema(list, index + 1) {
            return QueryClass::Schema;
        }
        if token.keyword.writes() {
            class = QueryClass::Write;
        }
    }
    class
}

fn is_schema(list: &Tokens, from: usize) -> bool {
    list.list
        .iter()
        .skip(from)
        .take(5)
        .take_while(|t| t.kind == Kind::Word)
        .any(|t| {
            matches!(
                t.keyword,
                K::Index | K::Constraint | K::Indexes | K::Constraints
            )
        })
}

/// Whether a keyword stands as a clause, not as a property, label, map key or alias.
pub(super) fn is_clause(list: &Tokens, index: usize) -> bool {
    let Some(token) = list.at(index) else {
        return false;
    };
    if token.keyword == K::None {
        return false;
    }
    let before = index.checked_sub(1).and_then(|i| list.at(i));
    let named = before.is_some_and(|t| {
        matches!(t.kind, Kind::Sign(b'.' | b':' | b'|' | b'&' | b'!')) || t.keyword == K::As
    });
    let key = list.is_sign(index + 1, b':') || list.is_sign(index + 1, b'.');
    !named && !key
}

fn fingerprint(text: &[u8], list: &Tokens) -> [u8; 16] {
    let mut folded = Vec::with_capacity(text.len() + text.len() / 4);
    for (index, token) in list.list.iter().enumerate() {
        match token.kind {
            Kind::Text | Kind::Number | Kind::Parameter => {
                if folded.ends_with(b"? , ") {
                    folded.truncate(folded.len() - 2);
                } else {
                    folded.extend_from_slice(b"? ");
                }
                continue;
            }
            Kind::Word if token.keyword != K::None && is_clause(list, index) => {
                let from = folded.len();
                folded.extend_from_slice(token.of(text));
                folded
                    .get_mut(from..)
                    .unwrap_or_default()
                    .make_ascii_uppercase();
            }
            Kind::Sign(b';') if index + 1 == list.list.len() => continue,
            _ => folded.extend_from_slice(token.of(text)),
        }
        folded.push(b' ');
    }
    let digest = blake3::hash(&folded);
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    short
}
