//! What lies beside a log for whoever wants to check it: its public keys and its newest signed checkpoint.

use std::io;
use std::path::Path;

use super::note::PublicKey;
pub use super::note::open_checkpoint;
use super::notes;
use crate::audit::log::storage::{Directory, Storage};

/// The public keys beside the log in a directory, newest last.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn keys(dir: &Path) -> io::Result<Vec<PublicKey>> {
    Ok(notes::keys(&Directory::read_only(dir))?.0)
}

/// The text of the newest checkpoint that one of those keys has signed.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn newest_checkpoint(dir: &Path) -> io::Result<Option<String>> {
    newest_in(&Directory::read_only(dir))
}

pub(crate) fn newest_in(storage: &dyn Storage) -> io::Result<Option<String>> {
    let (keys, _) = notes::keys(storage)?;
    let text = notes::read(storage, notes::NOTES_FILE)?.unwrap_or_default();
    let kept = notes::kept(&text);
    let newest = kept.iter().rev().find(|kept| kept.open(&keys).is_ok());
    Ok(newest.and_then(|kept| Some(kept.note?.text.to_owned())))
}
