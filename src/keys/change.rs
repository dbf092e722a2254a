//! One change of the store: a transaction that numbers what it does and journals it.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::record::{KeyChange, KeyRecord, KeyTerms, Transition};
use super::verification::Sealed;
use super::{KEYS_MAX, KeysError, Result, journal, rows};
use crate::now::Now;
use crate::policy::auth::{Digest, Environment, KeyId, Pepper};

/// Attempts at an id that is not taken. With a full store one attempt in 10^8 meets a taken one.
const ID_ATTEMPTS_MAX: u32 = 8;

/// A transaction that nobody else's change can come between; dropped, it changes nothing.
pub(super) struct Change<'a> {
    db: Transaction<'a>,
    pepper: &'a Pepper,
    now: Now,
    /// The number of the last change.
    sequence: i64,
    /// The next free place in the limit table.
    index: u32,
    /// Records in the store.
    records: i64,
}

/// A key to be added.
pub(super) struct Draft {
    pub(super) id: KeyId,
    pub(super) environment: Option<Environment>,
    pub(super) digest: Digest,
    pub(super) terms: KeyTerms,
    /// The key it replaces, whose place in the limit table it takes.
    pub(super) replaces: Option<(KeyId, u32)>,
    /// The secret of its one-time codes.
    pub(super) verification: Option<Sealed>,
}

/// What the journal says of a change besides the key itself.
pub(super) struct Note<'a> {
    pub(super) transition: Transition,
    pub(super) by: &'a str,
    pub(super) reason: Option<&'a str>,
    pub(super) counterpart: Option<KeyId>,
}

impl<'a> Change<'a> {
    /// Begins a change; waits for another process's.
    pub(super) fn begin(db: &'a mut Connection, pepper: &'a Pepper, now: Now) -> Result<Self> {
        let db = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (sequence, index, records) = db
            .prepare_cached(
                "SELECT ifnull((SELECT max(sequence) FROM keys), 0), \
                 ifnull((SELECT max(slot) + 1 FROM keys), 0), \
                 ifnull((SELECT max(rowid) FROM keys), 0)",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(Self {
            db,
            pepper,
            now,
            sequence,
            index,
            records,
        })
    }

    pub(super) fn pepper(&self) -> &Pepper {
        self.pepper
    }

    /// The digest under which the store keeps a key.
    pub(super) fn digest(&self, key: &str) -> Digest {
        Digest::of(self.pepper, key.as_bytes())
    }

    /// The key of an id, without a suspension that has ended by itself.
    pub(super) fn find(&self, id: KeyId) -> Result<KeyRecord> {
        let mut record = find(&self.db, id)?;
        let now = self.now.unix_micros;
        record.suspension = record
            .suspension
            .filter(|suspension| suspension.until_micros.is_none_or(|until| now < until));
        Ok(record)
    }

    pub(super) fn has_id(&self, id: KeyId) -> Result<bool> {
        let mut statement = self.db.prepare_cached("SELECT 1 FROM keys WHERE id = ?1")?;
        Ok(statement.exists([id.as_str()])?)
    }

    pub(super) fn has_digest(&self, digest: &Digest) -> Result<bool> {
        let mut statement = self
            .db
            .prepare_cached("SELECT 1 FROM keys WHERE digest = ?1")?;
        Ok(statement.exists([&digest.as_bytes()[..]])?)
    }

    /// A candidate whose id no key has yet.
    pub(super) fn unused<T>(&self, make: impl Fn() -> Result<(KeyId, T)>) -> Result<(KeyId, T)> {
        for _ in 0..ID_ATTEMPTS_MAX {
            let (id, rest) = make()?;
            if !self.has_id(id)? {
                return Ok((id, rest));
            }
        }
        Err(KeysError::Full)
    }

    /// Adds a key.
    pub(super) fn add(&mut self, draft: Draft, note: &Note<'_>) -> Result<(KeyRecord, KeyChange)> {
        if self.records >= KEYS_MAX {
            return Err(KeysError::Full);
        }
        self.records += 1;
        self.sequence += 1;
        let index = match draft.replaces {
            Some((_, index)) => index,
            None => {
                self.index += 1;
                self.index - 1
            }
        };
        let record = KeyRecord {
            id: draft.id,
            environment: draft.environment,
            terms: draft.terms,
            created_at_micros: self.now.unix_micros,
            changed_at_micros: self.now.unix_micros,
            revoked_at_micros: None,
            suspension: None,
            rotating_until_micros: None,
            replaces: draft.replaces.map(|(id, _)| id),
            index,
            sequence: self.sequence,
            digest: draft.digest,
            verification: draft.verification,
        };
        rows::insert(&self.db, &record)?;
        let change = self.journal(&record, note)?;
        Ok((record, change))
    }

    /// Saves the state of a key.
    pub(super) fn save(&mut self, record: &mut KeyRecord, note: &Note<'_>) -> Result<KeyChange> {
        self.sequence += 1;
        record.sequence = self.sequence;
        record.changed_at_micros = self.now.unix_micros;
        rows::update_state(&self.db, record)?;
        self.journal(record, note)
    }

    /// Makes the change durable.
    pub(super) fn commit(self) -> Result<()> {
        journal::trim(&self.db, self.sequence)?;
        Ok(self.db.commit()?)
    }

    fn journal(&self, record: &KeyRecord, note: &Note<'_>) -> Result<KeyChange> {
        let change = KeyChange {
            sequence: record.sequence,
            transition: note.transition,
            key_id: record.id,
            organization_id: record.terms.organization_id.clone(),
            plan: record.terms.plan.clone(),
            state: record.state(),
            counterpart: note.counterpart,
            by: note.by.to_owned(),
            reason: note.reason.map(str::to_owned),
            at_micros: record.changed_at_micros,
        };
        journal::write(&self.db, &change)?;
        Ok(change)
    }
}

/// The record of an id.
pub(super) fn find(db: &Connection, id: KeyId) -> Result<KeyRecord> {
    db.prepare_cached(&format!("SELECT {} FROM keys WHERE id = ?1", rows::COLUMNS))?
        .query_row([id.as_str()], |row| Ok(rows::read(row)))
        .optional()?
        .ok_or(KeysError::NotFound(id))?
}
