//! Where addresses are, from a MaxMind DB file (MMDB) the operator provides.
//!
//! The file is read whole and swapped whole, off the request path: when the gateway starts, when it reloads, and
//! when the file has changed. A file that cannot be used changes nothing: the database before it goes on
//! answering, and without one every place is unknown. A look-up is remembered per thread, so that a client costs
//! one walk of the tree for many requests.
//!
//! Nothing here decides anything by a place, and nothing is ever downloaded.

mod database;
mod watch;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

pub use database::{BYTES_MAX, Database, DatabaseError, Description};
pub(crate) use watch::{renew, watch};

/// Addresses remembered by a thread; a newer one takes the place of an older one.
const REMEMBERED: usize = 256;

/// Where an address is, as far as the database says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// ISO 3166-1 alpha-2.
    pub country: Option<Box<str>>,
    /// The largest subdivision's English name, or its code.
    pub region: Option<Box<str>>,
    /// English name.
    pub city: Option<Box<str>>,
}

/// What became of a look at the file.
#[derive(Debug)]
pub enum Renewal {
    /// No file is configured, or it is the one that answers.
    Unchanged,
    /// A new database answers.
    Loaded(Description),
    /// The file cannot be used; what answered before goes on.
    Refused {
        /// The file.
        file: PathBuf,
        /// Why.
        error: DatabaseError,
    },
    /// No file is configured any more.
    Removed,
}

/// The database that answers, and what is known of its file.
#[derive(Debug, Default)]
pub struct GeoIp {
    current: ArcSwapOption<Database>,
    seen: Mutex<Option<Seen>>,
}

/// The file as it was when it was looked at last.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    file: PathBuf,
    stamp: Option<Stamp>,
}

/// What changes when a file is replaced or rewritten.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

thread_local! {
    /// The last answers for addresses, each with the number of the database that gave it.
    static LATELY: RefCell<Vec<Option<Answer>>> = const { RefCell::new(Vec::new()) };
}

struct Answer {
    database: u64,
    address: IpAddr,
    location: Option<Arc<Location>>,
}

impl GeoIp {
    /// Where an address is; `None` when nothing is known of it.
    pub fn locate(&self, address: IpAddr) -> Option<Arc<Location>> {
        let current = self.current.load();
        let database = current.as_deref()?;
        let slot = slot(address);
        LATELY.with_borrow_mut(|lately| {
            if lately.is_empty() {
                lately.resize_with(REMEMBERED, || None);
            }
            let slot = lately.get_mut(slot)?;
            if let Some(known) = slot
                && known.database == database.number()
                && known.address == address
            {
                return known.location.clone();
            }
            let location = database.locate(address).map(Arc::new);
            *slot = Some(Answer {
                database: database.number(),
                address,
                location: location.clone(),
            });
            location
        })
    }

    /// The database that answers, if there is one.
    pub fn description(&self) -> Option<Description> {
        self.current.load().as_deref().map(Database::description)
    }

    /// Looks at the file, and reads it if it is not the one seen last. Blocks; not for the request path.
    pub fn renew(&self, file: Option<&Path>) -> Renewal {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = file else {
            return match seen.take() {
                Some(_) => {
                    self.current.store(None);
                    Renewal::Removed
                }
                None => Renewal::Unchanged,
            };
        };
        let now = Seen {
            file: file.to_owned(),
            stamp: stamp(file),
        };
        if seen.as_ref() == Some(&now) {
            return Renewal::Unchanged;
        }
        // A file that is refused is told of once, and read again when it changes.
        *seen = Some(now);
        match Database::read(file) {
            Ok(database) => {
                let description = database.description();
                self.current.store(Some(Arc::new(database)));
                Renewal::Loaded(description)
            }
            Err(error) => Renewal::Refused {
                file: file.to_owned(),
                error,
            },
        }
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(file).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
    })
}

/// The place of an address among those remembered. Neighbours get different ones.
fn slot(address: IpAddr) -> usize {
    let bits = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let [high, low] = [
                address.to_bits() >> 64,
                address.to_bits() & u128::from(u64::MAX),
            ];
            u64::try_from(high ^ low).unwrap_or_default()
        }
    };
    // Fibonacci hashing: the upper bits of the product depend on all bits.
    let [top, ..] = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    usize::from(top) % REMEMBERED
}
