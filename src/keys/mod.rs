//! The API keys: where they are kept, how they change, and the view of them that requests use.
//!
//! ```text
//!  rg-gateway keys ──> KeyStore ── keys.db (SQLite, WAL) <── KeyStore <── refresh ── KeyView
//!  another process                 pepper                    the gateway             every request
//! ```
//!
//! - [`KeyStore`] is the truth, on disk, shared by the command line and the gateway at once. A
//!   change is durable when its call returns. No secret is in it, only keyed digests.
//! - [`KeyView`] is the same in memory. Requests read it without waiting; it follows the store by
//!   its sequence of changes.
//! - Every change waits in the store's journal until the gateway's audit log has taken it.
//! - Records are never deleted: a revoked key is still told apart from an unknown one, and audit
//!   events keep a name to point to.
//!
//! Losing `pepper` makes every key unknown, so it is backed up with `keys.db`, and the store
//! refuses to open with another one.

mod args;
mod change;
mod cli;
mod csv;
mod files;
mod import;
mod journal;
mod record;
mod render;
mod rows;
mod store;
mod verification;
mod view;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

pub use cli::{KeysCommand, run};
pub use import::{ImportError, ImportReport};
pub use journal::JOURNAL_MAX;
pub use record::{Issued, KeyChange, KeyRecord, KeyTerms, NewKey, Suspension, Transition};
pub use store::{KEYS_MAX, KeyFilter, KeyStore};
pub use verification::VerificationCommand;
pub use view::{KeyView, Refreshed};

use crate::policy::auth::{GrantError, KeyId};

/// Why something could not be done with the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file of the store could not be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database could not be read or written.
    #[error("the key store")]
    Database(#[from] rusqlite::Error),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    /// The pepper file holds something else than 64 hexadecimal digits.
    #[error("not a pepper, 64 hexadecimal digits expected: {}", .0.display())]
    Pepper(PathBuf),
    /// The pepper beside the store is not the one its digests were made with.
    #[error("the pepper does not belong to this key store; restore both from one backup")]
    PepperMismatch,
    /// Written by a later version of the gateway.
    #[error("the key store has schema {found}, this version knows up to {known}")]
    LaterSchema {
        /// The schema in the file.
        found: i64,
        /// The newest one this version reads.
        known: i64,
    },
    /// No key has the id.
    #[error("no key has the id {0}")]
    NotFound(KeyId),
    /// The key's state does not allow the change.
    #[error("cannot {action} key {id}: it is {state}")]
    WrongState {
        /// Which key.
        id: KeyId,
        /// What was asked.
        action: &'static str,
        /// What it is.
        state: &'static str,
    },
    /// A value no key can have.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A scope, graph or network list that cannot be read.
    #[error("{field}: {source}")]
    Grant {
        /// Which of them.
        field: &'static str,
        /// What is wrong with it.
        source: GrantError,
    },
    /// A record that this version cannot read; the others are not affected.
    #[error("the record of key {id} cannot be read: {field}")]
    Damaged {
        /// Which record.
        id: String,
        /// Which of its fields.
        field: &'static str,
    },
    /// The store holds [`KEYS_MAX`] keys.
    #[error("the key store is full, at most {KEYS_MAX} keys")]
    Full,
    /// The file to import has errors, which were listed; nothing was imported.
    #[error("nothing was imported: {0} errors")]
    ImportRefused(u64),
    /// The command's output could not be written.
    #[error("output: {0}")]
    Output(io::Error),
}

/// The result of what is done here.
pub type Result<T, E = KeysError> = std::result::Result<T, E>;
