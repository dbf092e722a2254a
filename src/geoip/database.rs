//! One MMDB file in memory, and the few fields of it that are asked for.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use maxminddb::{MaxMindDbError, Reader};
use serde::{Deserialize, Serialize};

use super::Location;

/// The largest file that is read: it is held in memory whole.
pub const BYTES_MAX: u64 = 1 << 30;

/// Numbers databases, so that answers of one are never taken for another's.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Why a file is not a database that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is larger than what is held in memory.
    #[error("larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// It is damaged, cut short or something else.
    #[error("not a usable MMDB file: {0}")]
    NotADatabase(#[from] MaxMindDbError),
}

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Such as `GeoLite2-City`.
    pub database_type: String,
    /// When it was made, seconds since 1970.
    pub build_epoch: u64,
}

/// A database in memory.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Vec<u8>>,
    number: u64,
}

/// The part of a record that is asked for; MaxMind's layout, which others follow.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, default)]
    country: Coded<'a>,
    #[serde(borrow, default)]
    subdivisions: Vec<Coded<'a>>,
    #[serde(borrow, default)]
    city: Coded<'a>,
}

#[derive(Default, Deserialize)]
struct Coded<'a> {
    #[serde(borrow, default)]
    iso_code: Option<&'a str>,
    #[serde(borrow, default)]
    names: Names<'a>,
}

#[derive(Default, Deserialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    en: Option<&'a str>,
}

impl Database {
    /// Reads a file whole.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`].
    pub fn read(file: &Path) -> Result<Self, DatabaseError> {
        let mut bytes = Vec::new();
        File::open(file)?
            .take(BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > BYTES_MAX {
            return Err(DatabaseError::TooLarge);
        }
        Self::from_bytes(bytes)
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::NotADatabase`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, DatabaseError> {
        Ok(Self {
            reader: Reader::from_source(bytes)?,
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Where an address is. A damaged record is as good as none.
    pub fn locate(&self, address: IpAddr) -> Option<Location> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        let record: Record<'_> = found.decode().ok()??;
        let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Box::from);
        let region = record.subdivisions.first();
        let location = Location {
            country: owned(record.country.iso_code),
            region: owned(region.and_then(|region| region.names.en.or(region.iso_code))),
            city: owned(record.city.names.en),
        };
        (location != Location::default()).then_some(location)
    }

    /// What the database says of itself.
    pub fn description(&self) -> Description {
        let metadata = self.reader.metadata();
        Description {
            database_type: metadata.database_type.clone(),
            build_epoch: metadata.build_epoch,
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }
}
