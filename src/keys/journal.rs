//! The changes that the audit log has not taken yet.
//!
//! A change and its journal entry are one transaction, whoever makes it: the command line while the
//! gateway is down, or the gateway itself. The gateway takes entries from here into its audit log
//! and then forgets them, so that every change is audited at least once; an entry's sequence tells
//! a repetition apart.
//!
//! The journal holds [`JOURNAL_MAX`] changes; beyond that the oldest are dropped, which only a
//! store that no gateway has served for as many changes comes to. The sequence then has a gap.

use std::sync::Arc;

use rusqlite::{Connection, Row, named_params, params};

use super::record::{KeyChange, Transition};
use super::{KeyStore, KeysError, Result};
use crate::policy::auth::KeyState;

/// Changes that wait for the audit log at most.
pub const JOURNAL_MAX: i64 = 2_000_000;

/// Entries have the number of their change in `keys`.
pub(super) const CREATE: &str = "
    CREATE TABLE journal (
        sequence        INTEGER PRIMARY KEY,
        at              INTEGER NOT NULL,
        key_id          TEXT NOT NULL,
        organization_id TEXT NOT NULL,
        plan            TEXT NOT NULL,
        transition      TEXT NOT NULL,
        state           TEXT NOT NULL,
        state_until     INTEGER,
        state_reason    TEXT,
        counterpart     TEXT,
        by              TEXT NOT NULL,
        reason          TEXT
    ) STRICT;
";

impl KeyStore {
    /// The oldest changes that the audit log has not taken, at most `count_max`.
    ///
    /// # Errors
    ///
    /// An unreadable store; `Damaged` for an entry that this version cannot read.
    pub fn unaudited(&self, count_max: u32) -> Result<Vec<KeyChange>> {
        let mut statement = self.db().prepare_cached(
            "SELECT sequence, at, key_id, organization_id, plan, transition, state, state_until, \
             state_reason, counterpart, by, reason FROM journal ORDER BY sequence LIMIT ?1",
        )?;
        statement.query_and_then([count_max], read)?.collect()
    }

    /// Forgets the changes up to and including `sequence`: the audit log has them.
    ///
    /// # Errors
    ///
    /// An unwritable store.
    pub fn mark_audited(&self, sequence: i64) -> Result<()> {
        trim_to(self.db(), sequence)
    }
}

pub(super) fn write(db: &Connection, change: &KeyChange) -> Result<()> {
    let (until, reason) = match &change.state {
        KeyState::Active | KeyState::Revoked => (None, None),
        KeyState::Rotating { until } => (Some(*until), None),
        KeyState::Suspended { until, reason } => (*until, Some(&**reason)),
    };
    db.prepare_cached(
        "INSERT INTO journal VALUES (:sequence, :at, :key_id, :organization_id, :plan, \
         :transition, :state, :state_until, :state_reason, :counterpart, :by, :reason)",
    )?
    .execute(named_params! {
        ":sequence": change.sequence,
        ":at": change.at_micros,
        ":key_id": change.key_id.as_str(),
        ":organization_id": change.organization_id,
        ":plan": change.plan,
        ":transition": change.transition.as_str(),
        ":state": change.state.as_str(),
        ":state_until": until,
        ":state_reason": reason,
        ":counterpart": change.counterpart.as_ref().map(|id| id.as_str()),
        ":by": change.by,
        ":reason": change.reason,
    })?;
    Ok(())
}

/// Drops what exceeds the journal's bound.
pub(super) fn trim(db: &Connection, last_sequence: i64) -> Result<()> {
    trim_to(db, last_sequence.saturating_sub(JOURNAL_MAX))
}

fn trim_to(db: &Connection, sequence: i64) -> Result<()> {
    db.prepare_cached("DELETE FROM journal WHERE sequence <= ?1")?
        .execute(params![sequence])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<KeyChange> {
    let id: String = row.get(2)?;
    let damaged = |field: &'static str| KeysError::Damaged {
        id: id.clone(),
        field,
    };
    let word: String = row.get(5)?;
    let counterpart: Option<String> = row.get(9)?;
    Ok(KeyChange {
        sequence: row.get(0)?,
        transition: Transition::named(&word).ok_or_else(|| damaged("transition"))?,
        key_id: id.parse().map_err(|_| damaged("id"))?,
        organization_id: row.get(3)?,
        plan: row.get(4)?,
        state: state(row)?.ok_or_else(|| damaged("state"))?,
        counterpart: match counterpart {
            Some(id) => Some(id.parse().map_err(|_| damaged("counterpart"))?),
            None => None,
        },
        by: row.get(10)?,
        reason: row.get(11)?,
        at_micros: row.get(1)?,
    })
}

fn state(row: &Row<'_>) -> Result<Option<KeyState>> {
    let word: String = row.get(6)?;
    let until: Option<i64> = row.get(7)?;
    let reason: Option<String> = row.get(8)?;
    Ok(match word.as_str() {
        "active" => Some(KeyState::Active),
        "revoked" => Some(KeyState::Revoked),
        "rotating" => until.map(|until| KeyState::Rotating { until }),
        "suspended" => Some(KeyState::Suspended {
            until,
            reason: Arc::from(reason.unwrap_or_default()),
        }),
        _ => None,
    })
}
