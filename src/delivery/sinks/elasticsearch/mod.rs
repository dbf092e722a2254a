//! Elasticsearch and OpenSearch: events as documents of one index a month, created in bulk under their own ids.
//!
//! An event offered again is answered with a conflict of its id and counts as delivered, so the indexes hold one
//! copy whatever was repeated. Before the first batch the store is given an index template and, with
//! `retention_days`, a lifecycle policy: ILM on Elasticsearch, ISM on OpenSearch. A store that has no means to keep
//! that promise is told so in the cause, and gets nothing until the setting or the store is changed.

mod bulk;
pub(super) mod search;
mod template;

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::config::ElasticsearchSink;
use crate::delivery::http::{Answer, Ask, HttpClient};
use crate::delivery::{BoxFuture, Delivery, Record, Sink};
use template::Product;

/// The parts of the answer that are looked at, which is a tenth of it.
const BULK_PATH: &str = "/_bulk?filter_path=items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by";

/// Delivers to monthly indexes.
pub(super) struct Elasticsearch {
    client: HttpClient,
    index: String,
    gzip: bool,
    manage_template: bool,
    retention_days: Option<u32>,
    /// Whether template and policy are known to be there.
    prepared: bool,
}

/// Which version of a policy is there.
#[derive(Deserialize)]
struct Version {
    #[serde(rename = "_seq_no")]
    number: u64,
    #[serde(rename = "_primary_term")]
    term: u64,
}

/// Why the store could not be prepared: always worth another attempt.
struct Unprepared {
    after: Option<Duration>,
    cause: String,
}

impl Elasticsearch {
    pub(super) fn new(settings: &ElasticsearchSink) -> Self {
        Self {
            client: HttpClient::of(&settings.service),
            index: settings.index.to_string(),
            gzip: settings.gzip,
            manage_template: settings.manage_template,
            retention_days: settings.retention_days,
            prepared: !settings.manage_template,
        }
    }

    async fn create(&mut self, batch: &[Record]) -> Delivery {
        if !self.prepared {
            if let Err(Unprepared { after, cause }) = self.prepare().await {
                return Delivery::Retry { after, cause };
            }
            self.prepared = true;
        }
        let body = bulk::body(&self.index, batch);
        let ask = Ask {
            content_type: "application/x-ndjson",
            fields: if self.gzip { &GZIPPED } else { &PLAIN },
            ..Ask::json(Method::POST, BULK_PATH, self.encoded(body))
        };
        let answer = match self.client.send(ask).await {
            Ok(answer) => answer,
            Err(cause) => return Delivery::Retry { after: None, cause },
        };
        if answer.status == StatusCode::NOT_FOUND {
            // Another store than the one that was prepared may answer now.
            self.prepared = !self.manage_template;
        }
        bulk::delivery(&answer, batch.len())
    }

    fn encoded(&self, body: String) -> Bytes {
        if !self.gzip {
            return body.into();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory cannot fail.
        let _ = encoder.write_all(body.as_bytes());
        encoder.finish().unwrap_or_default().into()
    }

    async fn prepare(&mut self) -> Result<(), Unprepared> {
        let root = self.asked(Ask::get("/")).await?;
        let root: Value = serde_json::from_slice(&root.body).unwrap_or_default();
        let product = Product::of(&root);
        if let Some(days) = self.retention_days {
            match product {
                Product::Elasticsearch => self.put_ilm(days).await?,
                Product::OpenSearch => self.put_ism(days).await?,
            }
        }
        let path = format!("/_index_template/{}", self.index);
        let template =
            template::index_template(&self.index, product, self.retention_days.is_some());
        let ask = Ask::json(Method::PUT, &path, template.to_string());
        self.asked(ask).await.map(drop)
    }

    async fn put_ilm(&mut self, days: u32) -> Result<(), Unprepared> {
        let path = format!("/_ilm/policy/{}", template::policy_name(&self.index));
        let policy = template::ilm_policy(days).to_string();
        let put = self.asked(Ask::json(Method::PUT, &path, policy)).await;
        put.map(drop)
            .map_err(|refused| refused.without("index lifecycle management"))
    }

    /// A policy that is there is replaced only under the numbers of the version that was read.
    async fn put_ism(&mut self, days: u32) -> Result<(), Unprepared> {
        let name = template::policy_name(&self.index);
        let path = format!("/_plugins/_ism/policies/{name}");
        let there = self
            .client
            .send(Ask::get(&path))
            .await
            .map_err(Unprepared::by)?;
        let policy = template::ism_policy(&self.index, days);
        let path = match serde_json::from_slice(&there.body) {
            Ok(Version { number, term }) if there.status == StatusCode::OK => {
                format!("{path}?if_seq_no={number}&if_primary_term={term}")
            }
            _ => path,
        };
        let put = self
            .asked(Ask::json(Method::PUT, &path, policy.to_string()))
            .await;
        put.map(drop)
            .map_err(|refused| refused.without("index state management"))
    }

    /// A success, or why not.
    async fn asked(&mut self, ask: Ask<'_>) -> Result<Answer, Unprepared> {
        let answer = self.client.send(ask).await.map_err(Unprepared::by)?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(Unprepared {
            after: answer.retry_after,
            cause: bulk::said(&answer),
        })
    }
}

impl Unprepared {
    fn by(cause: String) -> Self {
        Self { after: None, cause }
    }

    /// Adds what the operator has to know about a policy that was not taken.
    fn without(self, means: &str) -> Self {
        let cause = format!(
            "retention_days needs {means}, which the store refuses ({})",
            self.cause
        );
        Self { cause, ..self }
    }
}

impl Sink for Elasticsearch {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(self.create(batch))
    }
}

const PLAIN: [(HeaderName, HeaderValue); 1] =
    [(ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
const GZIPPED: [(HeaderName, HeaderValue); 2] = [
    (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    (CONTENT_ENCODING, HeaderValue::from_static("gzip")),
];
