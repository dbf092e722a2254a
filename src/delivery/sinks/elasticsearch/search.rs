//! The monthly indexes read back: newest first, narrowed by the members that the index template gives a type.
//!
//! What the store returns is the event to the letter, as it was sent. Text is not asked of the store, which finds
//! words and not letters; whoever reads the events looks for it. An answer that lacks the part of a shard is none.

use std::net::IpAddr;

use http::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::bulk::said;
use super::template::KEYWORD_CHARACTERS_MAX;
use crate::audit::search::identity;
use crate::audit::{Search, SourceFilter};
use crate::config::ElasticsearchSink;
use crate::delivery::BoxFuture;
use crate::delivery::http::{Ask, HttpClient};
use crate::delivery::search::{Found, Newest, Span};

/// Events of one question.
const SIZE: usize = 500;
/// Events of a question whose answer fits the bound on answers, however large each of them is.
const SIZE_OF_LARGEST: usize = 60;

/// The events of the indexes that a search may be about.
pub(in crate::delivery) struct Stored {
    client: HttpClient,
    path: String,
    query: Value,
    size: usize,
    /// Where the answer before ended.
    after: Option<Value>,
    at_the_end: bool,
}

#[derive(Deserialize)]
struct SearchAnswer {
    #[serde(default)]
    timed_out: bool,
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_source")]
    event: Box<RawValue>,
    sort: Value,
}

impl Stored {
    pub(in crate::delivery) fn of(
        settings: &ElasticsearchSink,
        search: &Search,
        span: Span,
    ) -> Self {
        // The years to come: a sink whose prefix begins with this one has indexes of its own.
        let indexes = format!("{}-2*", settings.index);
        let whole =
            "ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false";
        Self {
            client: HttpClient::of(&settings.service),
            path: format!("/{indexes}/_search?{whole}"),
            query: query(search, span),
            size: SIZE,
            after: None,
            at_the_end: false,
        }
    }

    async fn read(&mut self) -> Result<Vec<Found>, String> {
        // Hits that are none of ours are passed over, and an empty answer would be the end.
        while !self.at_the_end {
            let hits = match self.ask().await {
                // It may have been larger than answers may be.
                Err(_) if self.size > SIZE_OF_LARGEST => {
                    self.size = SIZE_OF_LARGEST;
                    self.ask().await?
                }
                answered => answered?,
            };
            self.at_the_end = hits.len() < self.size;
            self.after = hits.last().map(|hit| hit.sort.clone());
            let events: Vec<Found> = hits.into_iter().filter_map(found).collect();
            if !events.is_empty() {
                return Ok(events);
            }
        }
        Ok(Vec::new())
    }

    async fn ask(&mut self) -> Result<Vec<Hit>, String> {
        let mut body = json!({
            "size": self.size,
            "track_total_hits": false,
            "query": self.query,
            "sort": [
                {"timestamp": {"order": "desc", "unmapped_type": "date"}},
                {"event_id": {"order": "desc", "unmapped_type": "keyword"}},
            ],
        });
        if let (Some(after), Some(body)) = (&self.after, body.as_object_mut()) {
            body.insert("search_after".to_owned(), after.clone());
        }
        let ask = Ask::json(Method::POST, &self.path, body.to_string());
        let answer = self.client.send(ask).await?;
        if !answer.status.is_success() {
            return Err(said(&answer));
        }
        let answer: SearchAnswer = serde_json::from_slice(&answer.body)
            .map_err(|cause| format!("the answer is no search answer: {cause}"))?;
        if answer.timed_out {
            return Err("the store gave up before it had looked at everything".to_owned());
        }
        Ok(answer.hits.hits)
    }
}

fn found(hit: Hit) -> Option<Found> {
    let (id, micros) = identity(hit.event.get())?;
    let json = hit.event;
    Some(Found { micros, id, json })
}

impl Newest for Stored {
    fn more(&mut self) -> BoxFuture<'_, Result<Vec<Found>, String>> {
        Box::pin(self.read())
    }
}

fn query(search: &Search, span: Span) -> Value {
    let mut filters = Vec::new();
    let mut is = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            filters.push(json!({"term": {member: value}}));
        }
    };
    // What is longer was not indexed.
    let indexed = |text: &&String| text.chars().count() <= KEYWORD_CHARACTERS_MAX;
    let text = |value: &Option<String>| value.as_ref().filter(indexed).map(|t| t.as_str().into());
    is("organization_id", text(&search.organization_id));
    is("api_key_id", text(&search.api_key_id));
    is("event_type", search.event_type.map(|of| of.as_str().into()));
    is("severity", search.severity.map(|of| of.as_str().into()));
    is("status_code", search.status.map(Value::from));
    is("request_id", text(&search.request_id));
    is("decision_id", text(&search.decision_id));
    let id = search.event_id.map(|id| id.hyphenated().to_string());
    is("event_id", id.map(Value::from));
    match search.source_ip {
        None => {}
        // The gateway's own events have a word where others have an address.
        Some(SourceFilter::System) => is("source_ip.keyword", Some("system".into())),
        Some(SourceFilter::Network(network)) => {
            let address = match (network.prefix_len(), network.addr()) {
                // To the store, `::/0` is every address and not all IPv6 ones.
                (0, IpAddr::V6(_)) => None,
                _ => Some(network.trunc().to_string().into()),
            };
            is("source_ip", address);
        }
    }
    let tags = &search.compliance_tags;
    if !tags.is_empty() && tags.iter().all(|tag| indexed(&tag)) {
        filters.push(json!({"terms": {"compliance_tags": tags}}));
    }
    let (from, to) = span.millis();
    if from.is_some() || to.is_some() {
        let range = json!({"gte": from, "lte": to, "format": "epoch_millis"});
        filters.push(json!({"range": {"timestamp": range}}));
    }
    json!({"bool": {"filter": filters}})
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Span = Span {
        from: None,
        to: None,
    };

    fn filters(search: &Search, span: Span) -> Value {
        query(search, span)["bool"]["filter"].clone()
    }

    #[test]
    fn an_empty_search_asks_for_everything() {
        assert_eq!(filters(&Search::default(), ALWAYS), json!([]));
    }

    #[test]
    fn sources_are_asked_for_as_addresses_and_the_system_by_its_name() {
        let of = |text: &str| {
            let search = Search {
                source_ip: Some(text.parse().unwrap()),
                ..Search::default()
            };
            filters(&search, ALWAYS)
        };
        for (text, expected) in [
            ("system", json!([{"term": {"source_ip.keyword": "system"}}])),
            (
                "10.1.2.3/16",
                json!([{"term": {"source_ip": "10.1.0.0/16"}}]),
            ),
            ("10.1.2.3", json!([{"term": {"source_ip": "10.1.2.3/32"}}])),
            ("::/0", json!([])),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn time_is_asked_for_in_whole_milliseconds_and_what_is_not_indexed_not_at_all() {
        let search = Search {
            organization_id: Some("o".repeat(KEYWORD_CHARACTERS_MAX + 1)),
            ..Search::default()
        };
        let span = Span {
            from: Some(1_999),
            to: None,
        };
        let range = json!({"gte": 1, "lte": null, "format": "epoch_millis"});
        assert_eq!(
            filters(&search, span),
            json!([{"range": {"timestamp": range}}])
        );
    }
}
