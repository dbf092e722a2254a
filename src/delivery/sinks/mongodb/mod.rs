//! MongoDB: events as documents of one collection, inserted unordered under their own ids.
//!
//! An event offered again meets its own `_id` and counts as delivered, so the collection holds one copy whatever
//! was repeated. Before the first batch the specification's seven indexes are created, and with `retention_days`
//! a TTL index beside them; indexes that are there already are left as they are, but for the TTL's length.
//!
//! The official driver finds the primary, pools connections and speaks TLS; it does not retry for us.

mod back;
mod document;
mod outcome;
pub(super) mod search;

use std::time::Duration;

use mongodb::bson::raw::RawDocumentBuf;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{
    Acknowledgment, ClientOptions, IndexOptions, Tls, TlsOptions, WriteConcern,
};
use mongodb::{Client, Collection, IndexModel};

use crate::config::MongodbSink;
use crate::delivery::{BoxFuture, Delivery, Record, Sink};

/// The specification's indexes: a member, then time.
const INDEXED: [&str; 6] = [
    "organization_id",
    "api_key_id",
    "event_type",
    "severity",
    "source_ip",
    "compliance_tags",
];

const RETENTION_INDEX: &str = "retention";
/// An index of this name or key has other options: here, another length of retention.
const INDEX_OPTIONS_CONFLICT: i32 = 85;
/// The collection is not there yet.
const NAMESPACE_NOT_FOUND: i32 = 26;
const SECONDS_PER_DAY: u64 = 86_400;

/// Delivers to one collection.
pub(in crate::delivery) struct Mongodb {
    settings: MongodbSink,
    /// How long a batch may take, so that the driver gives up, and says why, before the worker does.
    timeout: Duration,
    /// Set when the client is made; the driver connects and reconnects on its own. Absent during a call: one that is
    /// cut off leaves no client behind, for the connections it had begun may hold up all later ones.
    collection: Option<Collection<RawDocumentBuf>>,
    /// Whether the indexes are known to be there.
    prepared: bool,
}

impl Mongodb {
    pub(super) fn new(settings: &MongodbSink, timeout: Duration) -> Self {
        Self {
            settings: settings.clone(),
            timeout,
            collection: None,
            prepared: false,
        }
    }

    async fn insert(&mut self, batch: &[Record]) -> Delivery {
        let documents: Result<Vec<_>, _> = batch.iter().map(document::document).collect();
        let documents = match documents {
            Ok(documents) => documents,
            Err(error) => {
                return Delivery::Reject {
                    cause: error.to_string(),
                };
            }
        };
        let collection = match self.collection.take() {
            Some(collection) => collection,
            None => match self.connect().await {
                Ok(collection) => collection,
                Err(error) => return retry(&error),
            },
        };
        let delivery = match self.is_ready(&collection).await {
            Ok(()) => inserted(&collection, &documents, batch).await,
            Err(error) => retry(&error),
        };
        self.collection = Some(collection);
        delivery
    }

    /// Sees to the indexes, once.
    async fn is_ready(&mut self, collection: &Collection<RawDocumentBuf>) -> Result<(), Error> {
        if !self.prepared {
            self.prepare(collection).await?;
            self.prepared = true;
        }
        Ok(())
    }

    /// Creates what is not there: a user without the right to create indexes can insert where they are.
    async fn prepare(&self, collection: &Collection<RawDocumentBuf>) -> Result<(), Error> {
        let there = index_keys(collection).await?;
        let mut absent = indexes();
        absent.retain(|index| !there.contains(&index.keys));
        if !absent.is_empty() {
            collection.create_indexes(absent).await?;
        }
        let Some(days) = self.settings.retention_days else {
            return Ok(());
        };
        let seconds = u64::from(days) * SECONDS_PER_DAY;
        match collection.create_index(retention_index(seconds)).await {
            Err(error) if code(&error) == Some(INDEX_OPTIONS_CONFLICT) => {
                let database = collection.client().database(&self.settings.database);
                let changed = database.run_command(changed_retention(collection.name(), seconds));
                changed.await.map(drop)
            }
            created => created.map(drop),
        }
    }
}

async fn inserted(
    collection: &Collection<RawDocumentBuf>,
    documents: &[RawDocumentBuf],
    batch: &[Record],
) -> Delivery {
    match collection.insert_many(documents).ordered(false).await {
        Ok(_) => Delivery::Accepted,
        Err(error) => match missing(collection, &outcome::doubtful(&error), batch).await {
            Ok(missing) => outcome::delivery(&error, &missing, batch.len()),
            Err(error) => retry(&error),
        },
    }
}

/// The keys of the indexes that are there; none where there is no collection yet.
async fn index_keys(collection: &Collection<RawDocumentBuf>) -> Result<Vec<Document>, Error> {
    let mut cursor = match collection.list_indexes().await {
        Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
        cursor => cursor?,
    };
    let mut keys = Vec::new();
    while cursor.advance().await? {
        keys.push(cursor.deserialize_current()?.keys);
    }
    Ok(keys)
}

/// Those of the batch's events at these places that the collection does not have.
async fn missing(
    collection: &Collection<RawDocumentBuf>,
    doubtful: &[usize],
    batch: &[Record],
) -> Result<Vec<usize>, Error> {
    let mut missing = Vec::new();
    for index in doubtful {
        let Some(record) = batch.get(*index) else {
            continue;
        };
        let id = record.event_id.hyphenated().to_string();
        if collection.find_one(doc! {"_id": id}).await?.is_none() {
            missing.push(*index);
        }
    }
    Ok(missing)
}

fn retry(error: &Error) -> Delivery {
    Delivery::Retry {
        after: None,
        cause: error.kind.to_string(),
    }
}

impl Sink for Mongodb {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(self.insert(batch))
    }
}

impl Mongodb {
    async fn connect(&self) -> Result<Collection<RawDocumentBuf>, Error> {
        let mut options = ClientOptions::parse(&*self.settings.uri).await?;
        self.apply(&mut options);
        let client = Client::with_options(options)?;
        let database = client.database(&self.settings.database);
        Ok(database.collection(&self.settings.collection))
    }

    fn apply(&self, options: &mut ClientOptions) {
        options
            .app_name
            .get_or_insert_with(|| "rg-gateway".to_owned());
        options
            .write_concern
            .get_or_insert_with(|| WriteConcern::builder().w(Acknowledgment::Majority).build());
        options.retry_writes = Some(false);
        let patience = self.timeout.mul_f64(0.8);
        options.server_selection_timeout = Some(patience);
        options.connect_timeout = Some(patience);
        // One batch is on its way at a time.
        options.max_pool_size = Some(2);
        if let Some(password) = &self.settings.password {
            let credential = options.credential.get_or_insert_default();
            credential.password = Some(password.expose().to_owned());
        }
        if let Some(files) = &self.settings.tls {
            let mut tls = TlsOptions::default();
            tls.ca_file_path.clone_from(&files.ca_file);
            tls.cert_key_file_path
                .clone_from(&files.certificate_key_file);
            options.tls = Some(Tls::Enabled(tls));
        }
    }
}

fn indexes() -> Vec<IndexModel> {
    let by_time = IndexModel::builder().keys(doc! {"timestamp": -1}).build();
    let by_member = INDEXED.map(|member| {
        let keys = doc! {member: 1, "timestamp": -1};
        IndexModel::builder().keys(keys).build()
    });
    std::iter::once(by_time).chain(by_member).collect()
}

fn retention_index(seconds: u64) -> IndexModel {
    let options = IndexOptions::builder()
        .name(RETENTION_INDEX.to_owned())
        .expire_after(Duration::from_secs(seconds))
        .build();
    IndexModel::builder()
        .keys(doc! {"timestamp": 1})
        .options(options)
        .build()
}

fn changed_retention(collection: &str, seconds: u64) -> Document {
    let seconds = Bson::Int64(i64::try_from(seconds).unwrap_or(i64::MAX));
    doc! {
        "collMod": collection,
        "index": {"name": RETENTION_INDEX, "expireAfterSeconds": seconds},
    }
}

fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(refused) => Some(refused.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_seven_indexes_are_asked_for() {
        let keys: Vec<String> = indexes()
            .iter()
            .map(|index| index.keys.to_string())
            .collect();
        assert_eq!(keys.len(), 7);
        assert_eq!(keys[0], r#"{ "timestamp": -1 }"#);
        assert_eq!(keys[6], r#"{ "compliance_tags": 1, "timestamp": -1 }"#);
    }
}
