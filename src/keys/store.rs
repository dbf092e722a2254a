//! The embedded key store: SQLite in WAL mode, shared by processes.
//!
//! Every change runs in one immediate transaction, is synced to disk before its call returns, and
//! takes the next number of the store's sequence. A reader that keeps the highest number it has
//! seen asks for what is newer; see [`KeyStore::changes_since`].

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

use super::change::{Change, Draft, Note, find};
use super::record::{
    Issued, KeyChange, KeyRecord, KeyTerms, NewKey, Suspension, Transition, check_text,
};
use super::{KeysError, Result, files, journal, rows};
use crate::now::Now;
use crate::policy::auth::{Digest, Environment, KeyId, KeyState, Pepper, mint};

/// Keys a store holds, revoked ones included; a further one is refused.
pub const KEYS_MAX: i64 = 2_000_000;

/// How long a change waits for another process's change.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Which keys to list; the default is all, up to 1,000.
#[derive(Clone, Debug)]
pub struct KeyFilter {
    /// Of this organization alone.
    pub organization_id: Option<String>,
    /// Of this plan alone.
    pub plan: Option<String>,
    /// After this id, for the next page.
    pub after: Option<KeyId>,
    /// At most so many.
    pub count_max: u32,
}

impl Default for KeyFilter {
    fn default() -> Self {
        Self {
            organization_id: None,
            plan: None,
            after: None,
            count_max: 1_000,
        }
    }
}

/// The keys on disk.
#[derive(Debug)]
pub struct KeyStore {
    db: Connection,
    pepper: Pepper,
}

impl KeyStore {
    /// Opens the store of a data folder, made if it is not there.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or written, a pepper that belongs to another store, a schema of a
    /// later version.
    pub fn open(data_dir: &Path) -> Result<Self> {
        files::ensure_folder(data_dir)?;
        let pepper = files::pepper(data_dir)?;
        let path = data_dir.join("keys.db");
        files::ensure_private_file(&path)?;
        let mut db = Connection::open(&path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.set_prepared_statement_cache_capacity(32);
        ensure_schema(&mut db, &pepper)?;
        // Only now: changing the journal's mode does not wait for others, who could hold the lock
        // while they make the schema. Both settings hold from the next transaction on.
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "full")?;
        Ok(Self { db, pepper })
    }

    /// What the digests of this store are made with.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// Makes a key. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    ///
    /// `Invalid` terms, a full or unwritable store.
    pub fn create(&mut self, new: NewKey, now: Now) -> Result<Issued> {
        new.terms.check()?;
        let by = new.terms.created_by.clone();
        let note = note(Transition::Created, &by);
        let mut change = self.begin(now)?;
        let (id, secret) = change.unused(|| Ok(mint(new.environment, &files::random()?)))?;
        let draft = Draft {
            id,
            environment: Some(new.environment),
            digest: change.digest(&secret),
            terms: new.terms,
            replaces: None,
            verification: None,
        };
        let (record, created) = change.add(draft, &note)?;
        change.commit()?;
        Ok(Issued {
            record,
            secret,
            changes: vec![created],
        })
    }

    /// Replaces a key: a new one with the same terms, and the old one valid until its grace ends.
    /// A key of another form is replaced by one of ours.
    ///
    /// # Errors
    ///
    /// `WrongState` unless the key is active and has not expired.
    pub fn rotate(&mut self, id: KeyId, grace: Duration, by: &str, now: Now) -> Result<Issued> {
        check_text("by", by)?;
        let mut change = self.begin(now)?;
        let mut old = change.find(id)?;
        if old.state() != KeyState::Active {
            return Err(wrong_state(&old, "rotate"));
        }
        if old
            .ends_at_micros()
            .is_some_and(|end| now.unix_micros >= end)
        {
            return Err(KeysError::WrongState {
                id,
                action: "rotate",
                state: "expired",
            });
        }
        let environment = old.environment.unwrap_or(Environment::Live);
        let (new_id, secret) = change.unused(|| Ok(mint(environment, &files::random()?)))?;
        let verification = old.verification.as_ref();
        let verification = verification
            .map(|sealed| sealed.for_successor(change.pepper(), id, new_id))
            .transpose()?;
        let draft = Draft {
            id: new_id,
            environment: Some(environment),
            digest: change.digest(&secret),
            terms: KeyTerms {
                created_by: by.to_owned(),
                ..old.terms.clone()
            },
            replaces: Some((id, old.index)),
            verification,
        };
        old.rotating_until_micros = Some(now.plus(grace).unix_micros);
        let rotated = Note {
            counterpart: Some(new_id),
            ..note(Transition::Rotated, by)
        };
        let rotated = change.save(&mut old, &rotated)?;
        let created = Note {
            counterpart: Some(id),
            ..note(Transition::Created, by)
        };
        let (record, created) = change.add(draft, &created)?;
        change.commit()?;
        Ok(Issued {
            record,
            secret,
            changes: vec![rotated, created],
        })
    }

    /// Withdraws a key for good.
    ///
    /// # Errors
    ///
    /// `WrongState` if it was revoked before.
    pub fn revoke(&mut self, id: KeyId, by: &str, now: Now) -> Result<KeyChange> {
        self.transition(id, &note(Transition::Revoked, by), now, |record| {
            record.revoked_at_micros = Some(now.unix_micros);
            Ok(())
        })
    }

    /// Withdraws a key for now: until a time in microseconds since 1970, or until it is resumed.
    /// A later suspension takes the place of an earlier one.
    ///
    /// # Errors
    ///
    /// `WrongState` if it is revoked; `Invalid` for an end that has passed.
    pub fn suspend(
        &mut self,
        id: KeyId,
        until_micros: Option<i64>,
        reason: &str,
        by: &str,
        now: Now,
    ) -> Result<KeyChange> {
        check_text("reason", reason)?;
        if until_micros.is_some_and(|until| until <= now.unix_micros) {
            return Err(KeysError::Invalid {
                field: "until",
                reason: "must be in the future".into(),
            });
        }
        let note = Note {
            reason: Some(reason),
            ..note(Transition::Suspended, by)
        };
        self.transition(id, &note, now, |record| {
            record.suspension = Some(Suspension {
                until_micros,
                reason: reason.to_owned(),
            });
            Ok(())
        })
    }

    /// Accepts a suspended key again.
    ///
    /// # Errors
    ///
    /// `WrongState` unless it is suspended.
    pub fn resume(&mut self, id: KeyId, by: &str, now: Now) -> Result<KeyChange> {
        self.transition(
            id,
            &note(Transition::Resumed, by),
            now,
            |record| match record.suspension.take() {
                Some(_) => Ok(()),
                None => Err(wrong_state(record, "resume")),
            },
        )
    }

    /// One key.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Damaged`.
    pub fn show(&self, id: KeyId) -> Result<KeyRecord> {
        find(&self.db, id)
    }

    /// Keys in the order of their ids.
    ///
    /// # Errors
    ///
    /// `Damaged` for the first record that cannot be read.
    pub fn list(&self, filter: &KeyFilter) -> Result<Vec<KeyRecord>> {
        let mut statement = self.db.prepare_cached(&format!(
            "SELECT {} FROM keys WHERE (?1 IS NULL OR organization_id = ?1) \
             AND (?2 IS NULL OR plan = ?2) AND id > ?3 ORDER BY id LIMIT ?4",
            rows::COLUMNS
        ))?;
        let after = filter.after.as_ref().map_or("", KeyId::as_str);
        let found = statement.query_and_then(
            params![filter.organization_id, filter.plan, after, filter.count_max],
            rows::read,
        )?;
        found.collect()
    }

    /// The number of the last change; 0 before the first.
    ///
    /// # Errors
    ///
    /// An unreadable store.
    pub fn sequence(&self) -> Result<i64> {
        let last = self
            .db
            .prepare_cached("SELECT ifnull(max(sequence), 0) FROM keys")?
            .query_row([], |row| row.get(0))?;
        Ok(last)
    }

    /// The keys changed after `sequence`, oldest change first, at most `count_max`; ask again with
    /// the last one's sequence until none comes. A record that cannot be read is an `Err` in the
    /// list, so that it does not keep the others from being seen.
    ///
    /// # Errors
    ///
    /// An unreadable store.
    pub fn changes_since(
        &self,
        sequence: i64,
        count_max: u32,
    ) -> Result<Vec<(i64, Result<KeyRecord>)>> {
        let mut statement = self.db.prepare_cached(&format!(
            "SELECT {} FROM keys WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            rows::COLUMNS
        ))?;
        let changes = statement.query_and_then(params![sequence, count_max], |row| {
            Ok((row.get(4)?, rows::read(row)))
        })?;
        changes.collect()
    }

    /// The connection, for reading.
    pub(super) fn db(&self) -> &Connection {
        &self.db
    }

    pub(super) fn begin(&mut self, now: Now) -> Result<Change<'_>> {
        Change::begin(&mut self.db, &self.pepper, now)
    }

    pub(super) fn transition(
        &mut self,
        id: KeyId,
        note: &Note<'_>,
        now: Now,
        apply: impl FnOnce(&mut KeyRecord) -> Result<()>,
    ) -> Result<KeyChange> {
        check_text("by", note.by)?;
        let mut change = self.begin(now)?;
        let mut record = change.find(id)?;
        if record.state() == KeyState::Revoked {
            return Err(wrong_state(&record, "change"));
        }
        apply(&mut record)?;
        let outcome = change.save(&mut record, note)?;
        change.commit()?;
        Ok(outcome)
    }
}

pub(super) fn note(transition: Transition, by: &str) -> Note<'_> {
    Note {
        transition,
        by,
        reason: None,
        counterpart: None,
    }
}

fn ensure_schema(db: &mut Connection, pepper: &Pepper) -> Result<()> {
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > rows::SCHEMA {
        return Err(KeysError::LaterSchema {
            found,
            known: rows::SCHEMA,
        });
    }
    if found == 0 {
        change.execute_batch(rows::CREATE)?;
        change.execute_batch(journal::CREATE)?;
        let mark = pepper.mark();
        change.execute(
            "INSERT INTO meta VALUES ('pepper_mark', ?1)",
            [mark.as_bytes()],
        )?;
        change.pragma_update(None, "user_version", rows::SCHEMA)?;
    }
    if found == 1 {
        change.execute_batch(rows::FROM_1)?;
        change.pragma_update(None, "user_version", rows::SCHEMA)?;
    }
    let mark = change.query_row(
        "SELECT value FROM meta WHERE name = 'pepper_mark'",
        [],
        |row| row.get(0),
    )?;
    if Digest::from_bytes(mark) != pepper.mark() {
        return Err(KeysError::PepperMismatch);
    }
    change.commit()?;
    Ok(())
}

pub(super) fn wrong_state(record: &KeyRecord, action: &'static str) -> KeysError {
    KeysError::WrongState {
        id: record.id,
        action,
        state: record.state().as_str(),
    }
}
