//! Puts changes of the table on disk, on a thread of its own.
//!
//! There is no queue to overflow: the table itself knows what is unwritten, and whatever came
//! together is written together. What cannot be written is tried again with the next change, and at
//! the latest with the gateway's next look at its penalties, a second later.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use super::store::{PenaltyStore, StoreError};
use super::table::Table;

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<Mutex<PenaltyStore>>,
    /// One waiting wake-up is as good as many.
    wake: Mutex<Option<SyncSender<()>>>,
    /// The number of the last change that was written, or that writing was tried of.
    attempted: watch::Receiver<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    pub(super) fn start(store: PenaltyStore, table: Arc<Mutex<Table>>) -> Result<Self, StoreError> {
        let store = Arc::new(Mutex::new(store));
        let (wake, woken) = sync_channel(1);
        let (attempted, seen) = watch::channel(0);
        let kept = store.clone();
        let thread = thread::Builder::new()
            .name("rg-penalties".to_owned())
            .spawn(move || run(&woken, &kept, &table, &attempted))
            .map_err(StoreError::Thread)?;
        Ok(Self {
            store,
            wake: Mutex::new(Some(wake)),
            attempted: seen,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Something has changed.
    pub(super) fn wake(&self) {
        if let Some(wake) = &*locked(&self.wake) {
            // A full channel holds a wake-up already.
            let _ = wake.try_send(());
        }
    }

    pub(super) fn written(&self, version: u64) -> impl Future<Output = ()> + Send + 'static {
        let mut attempted = self.attempted.clone();
        async move {
            // An error means that the thread has ended, and has written what there was.
            let _ = attempted.wait_for(|seen| *seen >= version).await;
        }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, PenaltyStore> {
        locked(&self.store)
    }

    pub(super) fn close(&self) {
        drop(locked(&self.wake).take());
        if let Some(thread) = locked(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that keeps penalties has failed");
        }
    }
}

fn run(
    woken: &Receiver<()>,
    store: &Mutex<PenaltyStore>,
    table: &Mutex<Table>,
    attempted: &watch::Sender<u64>,
) {
    let mut failing = false;
    loop {
        // An error means that the gateway ends; what is left is written a last time.
        let last = woken.recv().is_err();
        let unwritten = locked(table).take_unwritten();
        let version = unwritten.version;
        if !unwritten.is_empty() {
            let written = locked(store).write(&unwritten);
            let failed_before = std::mem::replace(&mut failing, written.is_err());
            match written {
                Ok(()) if failed_before => tracing::info!("penalties are stored again"),
                Ok(()) => {}
                Err(error) => {
                    if !failed_before {
                        tracing::error!(%error, "penalties not stored; they hold until the next start");
                    }
                    locked(table).give_back(unwritten);
                }
            }
        }
        // Nobody waiting is fine.
        let _ = attempted.send(version);
        if last {
            return;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
