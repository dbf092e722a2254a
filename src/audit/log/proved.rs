//! What an open log shows of its proof: key, checkpoint, and the proof of one event.

use std::io;

use uuid::Uuid;

use super::live::{Log, Synced};
use super::report::{AppendError, Position};
use crate::audit::proof::PublicKey;
use crate::audit::proof::prove::{Proof, ProofError, Prover};
use crate::audit::proof::signed_by::newest_in;
use crate::audit::search::{RawEvent, Search, SearchError};

impl Log {
    /// Completes when a signed checkpoint covers the event at this position.
    ///
    /// # Errors
    ///
    /// When the log closes before that.
    pub async fn signed(&self, position: Position) -> Result<(), AppendError> {
        let shared = &self.owner.shared;
        let mut synced = shared.synced.subscribe();
        if synced.borrow().signed < position.0 {
            shared.lock().signature_wanted = true;
            shared.hurry();
        }
        let reached = |synced: &Synced| synced.signed >= position.0 || synced.closed;
        match synced.wait_for(reached).await {
            Ok(synced) if synced.signed >= position.0 => Ok(()),
            _ => Err(AppendError::Closed),
        }
    }

    /// The key that checks the log's signatures.
    pub fn public_key(&self) -> &PublicKey {
        &self.owner.shared.public_key
    }

    /// The text of the newest signed checkpoint.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn checkpoint(&self) -> io::Result<Option<String>> {
        newest_in(&*self.owner.shared.storage)
    }

    /// The event with this id.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn find(&self, id: Uuid) -> Result<Option<RawEvent>, SearchError> {
        let search = Search {
            event_id: Some(id),
            limit: 1,
            ..Search::default()
        };
        Ok(self.search(&search)?.into_first())
    }

    /// The proof of an event under the newest checkpoint, and that the checkpoint over the first `from` events
    /// is its beginning.
    ///
    /// # Errors
    ///
    /// When it is not [`signed`](Self::signed) yet, or the disk cannot be read.
    pub fn prove(&self, event: &RawEvent, from: Option<u64>) -> Result<Proof, ProofError> {
        let mut prover = Prover::open(&*self.owner.shared.storage)?;
        prover.prove(event, from)
    }
}
