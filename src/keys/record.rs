//! A key as the store keeps it, and what its changes are called.

use std::fmt;
use std::sync::Arc;

use super::verification::Sealed;
use super::{KeysError, Result};
use crate::policy::auth::{Digest, Environment, GraphAccess, KeyId, KeyState, Networks, ScopeSet};

/// Bytes of an organization id, a plan, an industry, a name, an author or a reason.
const WORD_BYTES_MAX: usize = 128;

/// What a key is given: everything about it but its identity and its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTerms {
    /// Who owns it: 1 to 128 visible ASCII characters, fit for a header.
    pub organization_id: String,
    /// The plan's name: as `organization_id`.
    pub plan: String,
    /// What it may do.
    pub scopes: ScopeSet,
    /// What it may do it to.
    pub graphs: GraphAccess,
    /// Where it may come from.
    pub networks: Networks,
    /// The organization's trade; at most 128 bytes.
    pub industry: Option<String>,
    /// When it ends, in microseconds since 1970.
    pub expires_at_micros: Option<i64>,
    /// What people call it; at most 128 bytes.
    pub name: String,
    /// Who made it; at most 128 bytes.
    pub created_by: String,
    /// True for keys that no limit and no suspension touches.
    pub limits_exempt: bool,
}

impl KeyTerms {
    /// Makes sure that the store and the headers can hold the terms.
    ///
    /// # Errors
    ///
    /// `Invalid` names the first field that does not fit.
    pub fn check(&self) -> Result<()> {
        check_word("organization_id", &self.organization_id)?;
        check_word("plan", &self.plan)?;
        check_text("name", &self.name)?;
        check_text("created_by", &self.created_by)?;
        check_text("industry", self.industry.as_deref().unwrap_or_default())
    }
}

fn check_word(field: &'static str, word: &str) -> Result<()> {
    let fits =
        (1..=WORD_BYTES_MAX).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    let reason = format!("must be 1 to {WORD_BYTES_MAX} visible ASCII characters: {word:?}");
    Err(KeysError::Invalid { field, reason })
}

/// Refuses what would spoil tables and logs: control characters and long texts.
pub(super) fn check_text(field: &'static str, text: &str) -> Result<()> {
    if text.len() <= WORD_BYTES_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let reason =
        format!("must be at most {WORD_BYTES_MAX} bytes without control characters: {text:?}");
    Err(KeysError::Invalid { field, reason })
}

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// `live` or `test`.
    pub environment: Environment,
    /// What it is given.
    pub terms: KeyTerms,
}

/// A key of the store. The secret is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its public part; of an imported key of another form, an id made up for it.
    pub id: KeyId,
    /// `None` for an imported key of another form.
    pub environment: Option<Environment>,
    /// What it was given.
    pub terms: KeyTerms,
    /// When it was made or imported, in microseconds since 1970.
    pub created_at_micros: i64,
    /// When it last changed.
    pub changed_at_micros: i64,
    /// When it was revoked.
    pub revoked_at_micros: Option<i64>,
    /// Why and until when it is suspended.
    pub suspension: Option<Suspension>,
    /// End of its grace, once it was replaced.
    pub rotating_until_micros: Option<i64>,
    /// The key it replaces.
    pub replaces: Option<KeyId>,
    /// Its row in the limit table, which it shares with the keys it replaces.
    pub index: u32,
    /// The number of its last change.
    pub sequence: i64,
    pub(super) digest: Digest,
    /// The secret of its one-time codes, where it is enrolled for them.
    pub(super) verification: Option<Sealed>,
}

/// A suspension as it was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// When it ends by itself.
    pub until_micros: Option<i64>,
    /// Why.
    pub reason: String,
}

impl KeyRecord {
    /// Where it stands: revoked before suspended before rotating.
    pub fn state(&self) -> KeyState {
        if self.revoked_at_micros.is_some() {
            return KeyState::Revoked;
        }
        if let Some(suspension) = &self.suspension {
            let reason = Arc::from(suspension.reason.as_str());
            return KeyState::Suspended {
                until: suspension.until_micros,
                reason,
            };
        }
        match self.rotating_until_micros {
            Some(until) => KeyState::Rotating { until },
            None => KeyState::Active,
        }
    }

    /// When it ends: its expiry or the end of its grace, whichever comes first.
    pub fn ends_at_micros(&self) -> Option<i64> {
        let ends = [self.terms.expires_at_micros, self.rotating_until_micros];
        ends.into_iter().flatten().min()
    }

    /// The key as people may see it: `rg_live_ab12CD34_…`, or `opaque ab12CD34`.
    pub fn display(&self) -> String {
        match self.environment {
            Some(environment) => format!("rg_{environment}_{}_…", self.id),
            None => format!("opaque {}", self.id),
        }
    }
}

/// A key just made, with its secret: the only moment at which anybody sees it.
#[derive(Clone)]
pub struct Issued {
    /// The new key.
    pub record: KeyRecord,
    /// The whole key. It is kept nowhere.
    pub secret: String,
    /// For the audit log, in the order they happened.
    pub changes: Vec<KeyChange>,
}

impl fmt::Debug for Issued {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("record", &self.record)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Made.
    Created,
    /// Brought in from another system.
    Imported,
    /// Replaced, and accepted until its grace ends.
    Rotated,
    /// Withdrawn for good.
    Revoked,
    /// Withdrawn for now.
    Suspended,
    /// Accepted again.
    Resumed,
    /// Given a secret for one-time codes.
    VerificationEnrolled,
    /// Deprived of it.
    VerificationRemoved,
}

impl Transition {
    pub(super) fn named(word: &str) -> Option<Self> {
        let all = [
            Self::Created,
            Self::Imported,
            Self::Rotated,
            Self::Revoked,
            Self::Suspended,
            Self::Resumed,
            Self::VerificationEnrolled,
            Self::VerificationRemoved,
        ];
        all.into_iter()
            .find(|transition| transition.as_str() == word)
    }

    /// The word for audit events and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Imported => "imported",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::VerificationEnrolled => "verification_enrolled",
            Self::VerificationRemoved => "verification_removed",
        }
    }
}

/// One change of one key: what its audit event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// Its number; the same change has the same number wherever it is told again.
    pub sequence: i64,
    /// What happened.
    pub transition: Transition,
    /// To which key.
    pub key_id: KeyId,
    /// Whose key.
    pub organization_id: String,
    /// Of which plan.
    pub plan: String,
    /// What it is now.
    pub state: KeyState,
    /// Its successor if it was rotated, its predecessor if it was created by a rotation.
    pub counterpart: Option<KeyId>,
    /// Who did it.
    pub by: String,
    /// Why, where a reason was given.
    pub reason: Option<String>,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
}
