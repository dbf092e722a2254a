//! The collection read back: newest first by the index on `timestamp`, narrowed by the members that are indexed.
//!
//! What MongoDB cannot be asked exactly (parts of milliseconds, most networks, text) it is asked loosely or not at
//! all; whoever reads the events decides. Documents that are no events are passed over.

use mongodb::Cursor;
use mongodb::bson::raw::RawDocumentBuf;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::error::Error;

use super::Mongodb;
use super::back::found;
use crate::audit::{Search, SourceFilter};
use crate::delivery::BoxFuture;
use crate::delivery::search::{Found, Newest, Span};

/// Documents of one exchange with the server.
const BATCH: u32 = 500;

/// The events of a collection that a search may be about.
pub(in crate::delivery) struct Stored {
    sink: Mongodb,
    filter: Document,
    cursor: Option<Cursor<RawDocumentBuf>>,
}

impl Stored {
    pub(in crate::delivery) fn of(sink: Mongodb, search: &Search, span: Span) -> Self {
        Self {
            sink,
            filter: filter(search, span),
            cursor: None,
        }
    }

    async fn read(&mut self) -> Result<Vec<Found>, Error> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => {
                let collection = self.sink.connect().await?;
                let find = collection
                    .find(self.filter.clone())
                    .sort(doc! {"timestamp": -1})
                    .batch_size(BATCH);
                self.cursor.insert(find.await?)
            }
        };
        let mut events = Vec::new();
        while events.len() < BATCH as usize && cursor.advance().await? {
            events.extend(found(cursor.current()));
        }
        Ok(events)
    }
}

impl Newest for Stored {
    fn more(&mut self) -> BoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(async { self.read().await.map_err(|error| error.kind.to_string()) })
    }
}

fn filter(search: &Search, span: Span) -> Document {
    let mut filter = Document::new();
    let mut is = |member: &str, value: Option<Bson>| {
        if let Some(value) = value {
            filter.insert(member, value);
        }
    };
    let text = |value: &Option<String>| value.as_deref().map(Bson::from);
    is("timestamp", range(span));
    is("organization_id", text(&search.organization_id));
    is("api_key_id", text(&search.api_key_id));
    is("event_type", search.event_type.map(|of| of.as_str().into()));
    is("severity", search.severity.map(|of| of.as_str().into()));
    is("source_ip", search.source_ip.and_then(source));
    is("status_code", search.status.map(|of| i32::from(of).into()));
    is("request_id", text(&search.request_id));
    is("decision_id", text(&search.decision_id));
    let id = search.event_id.map(|id| id.hyphenated().to_string());
    is("_id", id.map(Bson::from));
    let tags = &search.compliance_tags;
    let any = || Bson::from(doc! {"$in": tags.clone()});
    is("compliance_tags", (!tags.is_empty()).then(any));
    filter
}

fn range(span: Span) -> Option<Bson> {
    let (from, to) = span.millis();
    let ends = [("$gte", from), ("$lte", to)];
    let mut range = Document::new();
    for (end, millis) in ends {
        if let Some(millis) = millis {
            range.insert(end, DateTime::from_millis(millis));
        }
    }
    (!range.is_empty()).then(|| range.into())
}

/// The texts that addresses of the source have, where they begin alike.
fn source(filter: SourceFilter) -> Option<Bson> {
    let network = match filter {
        SourceFilter::System => return Some("system".into()),
        SourceFilter::Network(network) => network,
    };
    if network.prefix_len() == network.max_prefix_len() {
        return Some(network.addr().to_string().into());
    }
    let std::net::IpAddr::V4(first) = network.network() else {
        // One IPv6 address is written in many ways of beginning.
        return None;
    };
    let whole = usize::from(network.prefix_len() / 8);
    let beginning: Vec<String> = first
        .octets()
        .iter()
        .take(whole)
        .map(|octet| format!("{octet}\\."))
        .collect();
    let pattern = format!("^{}", beginning.concat());
    (whole > 0).then(|| doc! {"$regex": pattern}.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_asked_for_by_the_octets_that_all_its_addresses_share() {
        for (text, expected) in [
            ("system", Some(Bson::from("system"))),
            ("10.0.0.7", Some("10.0.0.7".into())),
            (
                "10.1.2.0/24",
                Some(doc! {"$regex": "^10\\.1\\.2\\."}.into()),
            ),
            ("10.1.2.0/23", Some(doc! {"$regex": "^10\\.1\\."}.into())),
            ("10.0.0.0/7", None),
            ("2001:db8::1", Some("2001:db8::1".into())),
            ("2001:db8::/32", None),
        ] {
            assert_eq!(source(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn an_empty_search_asks_for_everything() {
        let span = Span {
            from: None,
            to: None,
        };
        assert_eq!(filter(&Search::default(), span), Document::new());
    }
}
