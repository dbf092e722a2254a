//! Penalties on disk: `penalties.db`, SQLite, shared by the gateway and the command line.
//!
//! Every change is one transaction, synced before its call returns. The command line takes a penalty
//! away here and leaves a note of it; the gateway takes the note over into memory and audit log, at
//! least once.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use uuid::Uuid;

use super::Entry;
use super::table::Unwritten;
use crate::now::Now;
use crate::policy::totp::Codes;

/// The newest schema this version reads and writes.
const SCHEMA: i64 = 1;
/// Lifts waiting for a gateway; beyond it the command line is told to start one.
const LIFTS_MAX: i64 = 65_536;
/// How long a change waits for another process's change.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const CREATE: &str = "
    CREATE TABLE penalties (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
    CREATE TABLE codes (key_id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
    CREATE TABLE lifts (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        by       TEXT NOT NULL,
        at       INTEGER NOT NULL,
        record   TEXT NOT NULL
    ) STRICT;
";

/// Why something could not be done with the stored penalties.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be made or opened.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database could not be read or written.
    #[error("the stored penalties: {0}")]
    Database(#[from] rusqlite::Error),
    /// Written by a later version of the gateway.
    #[error("the stored penalties have schema {found}, this version knows up to {SCHEMA}")]
    LaterSchema {
        /// The schema in the file.
        found: i64,
    },
    /// No penalty has the id.
    #[error("no penalty in force has the id {0}")]
    NotFound(Uuid),
    /// No gateway has taken over earlier lifts.
    #[error("{LIFTS_MAX} lifts wait for a gateway to take them over")]
    Full,
    /// The thread that writes could not be started.
    #[error("the thread that keeps penalties: {0}")]
    Thread(io::Error),
}

/// A penalty that the command line took away.
#[derive(Clone, Debug)]
pub struct Lift {
    /// Its number, for [`PenaltyStore::forget_lifts`].
    pub sequence: i64,
    /// Who did it.
    pub by: String,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
    /// What was taken away.
    pub entry: Entry,
}

/// The penalties on disk.
#[derive(Debug)]
pub struct PenaltyStore {
    db: Connection,
}

/// What a store holds.
pub(super) type Stored = (Vec<Entry>, Vec<(Arc<str>, Codes)>);

impl PenaltyStore {
    /// Opens the store of a data folder, made if it is not there.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or written, a schema of a later version.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let path = data_dir.join("penalties.db");
        private(&path).map_err(|source| StoreError::File {
            path: path.clone(),
            source,
        })?;
        let mut db = Connection::open(&path)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let found: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found > SCHEMA {
            return Err(StoreError::LaterSchema { found });
        }
        if found == 0 {
            change.execute_batch(CREATE)?;
            change.pragma_update(None, "user_version", SCHEMA)?;
        }
        change.commit()?;
        db.pragma_update(None, "journal_mode", "wal")?;
        db.pragma_update(None, "synchronous", "full")?;
        Ok(Self { db })
    }

    /// Every penalty and every key's codes. What cannot be read is logged and left out.
    ///
    /// # Errors
    ///
    /// An unreadable store.
    pub(super) fn load(&self) -> Result<Stored, StoreError> {
        let mut statement = self.db.prepare("SELECT record FROM penalties")?;
        let records: Vec<String> = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let entries = records.iter().filter_map(|record| read(record)).collect();
        let mut statement = self.db.prepare("SELECT key_id, record FROM codes")?;
        let records: Vec<(String, String)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let codes = records
            .iter()
            .filter_map(|(key_id, record)| Some((Arc::from(key_id.as_str()), read(record)?)))
            .collect();
        Ok((entries, codes))
    }

    /// Penalties in force, the newest finding first.
    ///
    /// # Errors
    ///
    /// An unreadable store.
    pub fn list(&self, now: Now) -> Result<Vec<Entry>, StoreError> {
        let (mut entries, _) = self.load()?;
        entries.retain(|entry| entry.penalty.is_in_force(now));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.penalty.last_micros));
        Ok(entries)
    }

    /// Makes the store what the table is.
    ///
    /// # Errors
    ///
    /// An unwritable store, which is then unchanged.
    pub(super) fn write(&mut self, unwritten: &Unwritten) -> Result<(), StoreError> {
        let change = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut put =
                change.prepare_cached("INSERT OR REPLACE INTO penalties VALUES (?1, ?2)")?;
            let mut remove = change.prepare_cached("DELETE FROM penalties WHERE id = ?1")?;
            for (id, entry) in &unwritten.penalties {
                match entry.as_ref().and_then(text) {
                    Some(record) => put.execute(params![id.to_string(), record])?,
                    None => remove.execute([id.to_string()])?,
                };
            }
            let mut put = change.prepare_cached("INSERT OR REPLACE INTO codes VALUES (?1, ?2)")?;
            let mut remove = change.prepare_cached("DELETE FROM codes WHERE key_id = ?1")?;
            for (key_id, codes) in &unwritten.codes {
                match codes.as_ref().and_then(text) {
                    Some(record) => put.execute(params![&**key_id, record])?,
                    None => remove.execute([&**key_id])?,
                };
            }
        }
        change.commit()?;
        Ok(())
    }

    /// Takes a penalty away from the command line, and leaves word for the gateway.
    ///
    /// # Errors
    ///
    /// `NotFound`, `Full`, an unwritable store.
    pub fn lift(&mut self, id: Uuid, by: &str, now: Now) -> Result<Entry, StoreError> {
        let change = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let record: Option<String> = change
            .query_row(
                "SELECT record FROM penalties WHERE id = ?1",
                [id.to_string()],
                |row| row.get(0),
            )
            .optional()?;
        let entry: Option<Entry> = record.as_deref().and_then(read);
        let (Some(record), Some(entry)) = (record, entry) else {
            return Err(StoreError::NotFound(id));
        };
        if !entry.penalty.is_in_force(now) {
            return Err(StoreError::NotFound(id));
        }
        let waiting: i64 = change.query_row("SELECT count(*) FROM lifts", [], |row| row.get(0))?;
        if waiting >= LIFTS_MAX {
            return Err(StoreError::Full);
        }
        change.execute("DELETE FROM penalties WHERE id = ?1", [id.to_string()])?;
        change.execute(
            "INSERT INTO lifts (by, at, record) VALUES (?1, ?2, ?3)",
            params![by, now.unix_micros, record],
        )?;
        change.commit()?;
        Ok(entry)
    }

    /// The lifts no gateway has taken over, oldest first.
    ///
    /// # Errors
    ///
    /// An unreadable store.
    pub fn lifts(&self) -> Result<Vec<Lift>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT sequence, by, at, record FROM lifts ORDER BY sequence")?;
        let rows: Vec<(i64, String, i64, String)> = statement
            .query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<Result<_, _>>()?;
        let lifts = rows.into_iter().filter_map(|(sequence, by, at, record)| {
            Some(Lift {
                sequence,
                by,
                at_micros: at,
                entry: read(&record)?,
            })
        });
        Ok(lifts.collect())
    }

    /// Forgets the lifts up to and including this number.
    ///
    /// # Errors
    ///
    /// An unwritable store.
    pub fn forget_lifts(&self, sequence: i64) -> Result<(), StoreError> {
        self.db
            .execute("DELETE FROM lifts WHERE sequence <= ?1", [sequence])?;
        Ok(())
    }
}

fn text(value: &impl serde::Serialize) -> Option<String> {
    // Invariant: text, numbers and words alone; serialising those cannot fail.
    serde_json::to_string(value).ok()
}

fn read<T: serde::de::DeserializeOwned>(record: &str) -> Option<T> {
    match serde_json::from_str(record) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "a stored penalty cannot be read and is left out");
            None
        }
    }
}

/// Makes an empty file for its owner alone, if there is none. SQLite gives its journals the same permissions.
fn private(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
