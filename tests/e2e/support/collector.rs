//! A stand-in for an OpenTelemetry collector: takes OTLP over HTTP and keeps the bodies.
//!
//! It is not a collector: it shows that spans leave the gateway and which ids and names they
//! carry, not that another product accepts them.

use super::eventually;
use super::http1::find;
use super::upstream::{Reply, Upstream};

pub(crate) struct Collector(Upstream);

impl Collector {
    pub(crate) async fn start() -> Self {
        Self(Upstream::answering(|_| Reply::json("{}")).await)
    }

    /// What `telemetry.traces.otlp_endpoint` is set to.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Waits until a batch of spans has arrived that carries all of these byte strings.
    pub(crate) async fn batch_with(&self, wanted: &[&[u8]]) -> Vec<u8> {
        eventually("the spans to arrive", async || {
            let mut requests = self.0.requests().into_iter();
            let batch = requests.find(|request| {
                request.complete
                    && wanted
                        .iter()
                        .all(|text| find(&request.body, text).is_some())
            })?;
            assert_eq!(batch.target, "/v1/traces");
            assert_eq!(batch.field("content-type"), "application/x-protobuf");
            Some(batch.body)
        })
        .await
    }
}
