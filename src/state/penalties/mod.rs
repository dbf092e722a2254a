//! Every penalty in force or noted: in memory for requests, on disk for the next start.
//!
//! ```text
//!  request ── standing ──> table (memory) ── keeper, off the request path ──> penalties.db
//!          ── lay ──────>    │  ^                                              ^    │
//!  admin API ── lift ───>    │  └──────── once a second: lifts ────────────────│────┘
//!                            └ ends ──> audit log       rg-gateway penalties ──┘
//! ```
//!
//! - A penalty is bound to a key *and* the network (/24 or /64) it was used from, so that one
//!   attacker behind a shared key does not silence the others. A key that is penalised in
//!   [`NETWORKS_OF_KEY_MAX`] networks at once is penalised everywhere: whoever hops networks with a
//!   stolen key gains nothing. Monitoring holds for the key wherever it is used from.
//! - [`written`](Penalties::written) tells when a change is on disk; the answer of the request that
//!   laid a penalty waits for it, so that a crash does not free an attacker.
//! - The table holds [`SUBJECTS_MAX`] subjects. When it is full, forgotten ones go; if there is none,
//!   a new penalty is not laid, which is counted, and the request itself is still judged.

mod codes;
pub mod events;
mod keeper;
mod store;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod upkeep;

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::now::Now;
use crate::policy::auth::Caller;
use crate::policy::penalty::{Effect, Kind, Penalty, Terms};
use crate::policy::threat::Mitigations;
use crate::policy::totp::{Presented, TotpSecret};
use keeper::Keeper;
pub use store::{Lift, PenaltyStore, StoreError};
use table::Table;

/// Keys and networks penalised at once.
pub const SUBJECTS_MAX: usize = 65_536;
/// Networks of one key with penalties of their own.
pub const NETWORKS_OF_KEY_MAX: usize = 64;

/// All penalties. Shared by all threads.
#[derive(Debug)]
pub struct Penalties {
    table: Arc<Mutex<Table>>,
    /// Spares the lock while nobody is penalised.
    count: AtomicUsize,
    keeper: Keeper,
}

/// One penalty and whom it is laid upon: what is stored, listed and lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Of which key.
    pub key_id: Arc<str>,
    /// Whose key.
    pub organization_id: Arc<str>,
    /// From which network; `None` is anywhere.
    pub network: Option<IpNet>,
    /// The penalty.
    #[serde(flatten)]
    pub penalty: Penalty,
}

/// Why a penalty is laid.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The rules, parted by commas.
    pub rules: String,
    /// The audit event of the request.
    pub event_id: Uuid,
}

/// One thing that happened to a penalty.
#[derive(Clone, Debug)]
pub struct Change {
    /// The penalty as it is now.
    pub entry: Entry,
    /// What the finding did.
    pub effect: Effect,
}

/// What a verdict led to.
#[derive(Debug, Default)]
pub struct Laid {
    /// Penalties that were touched.
    pub changes: Vec<Change>,
    /// Kinds for which the table had no room.
    pub no_room: Vec<Kind>,
    /// For [`Penalties::written`], where something has to be written.
    pub version: Option<u64>,
}

/// How a caller stands at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Refused until then, in microseconds since 1970.
    pub suspended_until_micros: Option<i64>,
    /// What the limits are multiplied with: 1, or halved so often.
    pub factor: f32,
    /// Whether a one-time code is demanded.
    pub demands_code: bool,
    /// The suspension that ends last, or else what demands a code.
    pub barred_by: Option<Uuid>,
    /// The monitoring that is in force.
    pub monitored_by: Option<Uuid>,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            suspended_until_micros: None,
            factor: 1.0,
            demands_code: false,
            barred_by: None,
            monitored_by: None,
        }
    }
}

impl Penalties {
    /// Opens the store of a data folder and takes over what it holds.
    ///
    /// # Errors
    ///
    /// An unreadable store. A record that cannot be read is logged and passed over.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let store = PenaltyStore::open(data_dir)?;
        let (entries, codes) = store.load()?;
        let table = Table::of(entries, codes);
        let count = AtomicUsize::new(table.len());
        let table = Arc::new(Mutex::new(table));
        let keeper = Keeper::start(store, table.clone())?;
        Ok(Self {
            table,
            count,
            keeper,
        })
    }

    /// How a caller stands; costs one atomic read while nobody is penalised.
    pub fn standing(&self, caller: &Caller, address: IpAddr, terms: &Terms, now: Now) -> Standing {
        if self.count.load(Ordering::Acquire) == 0 {
            return Standing::default();
        }
        let spared = caller.limits_exempt;
        self.table()
            .standing(&caller.key_id, network_of(address), spared, terms, now)
    }

    /// Lays what a verdict asks for.
    pub fn lay(
        &self,
        caller: &Caller,
        address: IpAddr,
        asked: Mitigations,
        cause: &Cause,
        terms: &Terms,
        now: Now,
    ) -> Laid {
        let mut laid = Laid::default();
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| asked.has(kind.mitigation()))
            .filter(|kind| !(caller.limits_exempt && kind.spares_exempt_keys()));
        let mut table = None;
        for kind in kinds {
            let table = table.get_or_insert_with(|| self.table());
            let network = (!kind.is_key_wide()).then(|| network_of(address));
            match table.strike(caller, network, kind, cause, terms, now) {
                Some(change) => laid.changes.push(change),
                None => laid.no_room.push(kind),
            }
        }
        if let Some(table) = table {
            self.count.store(table.len(), Ordering::Release);
            laid.version = Some(table.version());
            drop(table);
            self.keeper.wake();
        }
        laid
    }

    /// Judges a one-time code for a caller of whom one is demanded.
    ///
    /// The number is for [`Self::written`]: an answer that says "accepted" waits until the code
    /// can no longer be used again.
    pub fn present(
        &self,
        caller: &Caller,
        address: IpAddr,
        (secret, code): (&TotpSecret, &[u8]),
        terms: &Terms,
        now: Now,
    ) -> (Presented, u64) {
        let mut table = self.table();
        let presented = table.present(&caller.key_id, secret, code, terms, now);
        if presented == Presented::Accepted {
            table.clear(&caller.key_id, network_of(address), terms, now);
        }
        let version = table.version();
        drop(table);
        self.keeper.wake();
        (presented, version)
    }

    /// Every penalty in force, the newest finding first.
    pub fn list(&self, now: Now) -> Vec<Entry> {
        self.table().list(now)
    }

    /// The penalty of this id.
    pub fn find(&self, id: Uuid) -> Option<Entry> {
        self.table().find(id)
    }

    /// Takes a penalty away; `None` when there is none of this id.
    pub fn lift(&self, id: Uuid) -> Option<(Entry, u64)> {
        let mut table = self.table();
        let entry = table.remove(id)?;
        let version = table.version();
        self.count.store(table.len(), Ordering::Release);
        drop(table);
        self.keeper.wake();
        Some((entry, version))
    }

    /// Penalties that have ended since the last call; forgets what need not be remembered.
    pub fn sweep(&self, terms: &Terms, now: Now) -> Vec<Entry> {
        let mut table = self.table();
        let ended = table.sweep(terms, now);
        self.count.store(table.len(), Ordering::Release);
        drop(table);
        self.keeper.wake();
        ended
    }

    /// How many penalties of each kind are in force; 0 for a kind of which there is none.
    pub fn in_force(&self, now: Now) -> HashMap<Kind, usize> {
        self.table().in_force(now)
    }

    /// Lifts that the command line has left; they stay until [`Self::forget_lifts`].
    ///
    /// # Errors
    ///
    /// An unreadable store.
    pub fn lifts(&self) -> Result<Vec<Lift>, StoreError> {
        self.keeper.store().lifts()
    }

    /// Forgets the lifts up to and including this number: the audit log has them.
    ///
    /// # Errors
    ///
    /// An unwritable store.
    pub fn forget_lifts(&self, sequence: i64) -> Result<(), StoreError> {
        self.keeper.store().forget_lifts(sequence)
    }

    /// Completes when the change of this number is on disk, or could not be put there, which is logged.
    pub fn written(&self, version: u64) -> impl Future<Output = ()> + Send + 'static {
        self.keeper.written(version)
    }

    /// Writes what is left and ends the keeper.
    pub fn close(&self) {
        self.keeper.close();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network an address is penalised with: /24 or /64.
fn network_of(address: IpAddr) -> IpNet {
    let bits = match address.to_canonical() {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    };
    let address = address.to_canonical();
    // Invariant: both lengths fit their family; the address alone would be the narrower choice.
    IpNet::new(address, bits).map_or_else(|_| address.into(), |network| network.trunc())
}
