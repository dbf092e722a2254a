//! What is learned of one request on its way, whatever becomes of it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use uuid::Uuid;

use super::answer::AnswerText;
use super::body::HeldBody;
use super::decide::Extent;
use super::downstream::Downstream;
use super::sanitize::Rewritten;
use crate::app::Snapshot;
use crate::now::Now;
use crate::policy::auth::Caller;
use crate::policy::limits::{ConcurrencyLease, LimitStatus};
use crate::policy::mask;
use crate::policy::pii;
use crate::policy::refusal::Refusal;
use crate::policy::threat::Inspection;
use crate::state::penalties::Standing;
use crate::telemetry::metrics::Held;
use crate::telemetry::trace::TraceContext;

/// Proof that the request was decided in its favour; forwarding demands it.
#[derive(Debug)]
pub(super) struct Permit {
    /// The cluster that serves the route.
    pub cluster: usize,
}

/// How much of the body was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coverage {
    /// Nothing was forwarded, or nothing was looked at yet.
    #[default]
    None,
    /// All of it.
    Complete,
    /// Some of it passed uninspected, as the route allows.
    Uninspected,
}

/// One request's evidence and progress.
pub(crate) struct RequestContext {
    /// When the request began.
    pub(super) now: Now,
    /// The id of the request and of its audit event; also the decision id of a refusal.
    pub(super) id: Uuid,
    /// What the client, the upstream and the audit trail know the request by.
    pub(super) request_id: Arc<str>,
    /// The configuration the request began under.
    pub(super) snapshot: Arc<Snapshot>,
    /// The client's connection.
    pub(super) downstream: Option<Arc<Downstream>>,
    /// The client, seen through trusted proxies.
    pub(super) client: Option<IpAddr>,
    /// Index of the route in the snapshot's configuration.
    pub(super) route: Option<usize>,
    /// The graph the request is about.
    pub(super) graph_id: Option<Arc<str>>,
    /// The one form of the path; `None` while it has not been parsed.
    pub(super) path: Option<Arc<str>>,
    /// Who asks.
    pub(super) caller: Option<Arc<Caller>>,
    /// The one-time code that was presented, taken out of the request before anything looks at it.
    pub(super) code: Option<HeaderValue>,
    /// How the caller stands: its penalties.
    pub(super) standing: Standing,
    /// The last change of penalties by this request; its answer waits for it to be on disk.
    pub(super) unwritten: Option<u64>,
    /// The concurrency slot, given back when the request ends.
    pub(super) lease: Option<ConcurrencyLease>,
    /// For the RateLimit fields of the answer.
    pub(super) limit_status: Option<LimitStatus>,
    /// The body while it is being inspected.
    pub(super) body: HeldBody,
    /// How much of the body was inspected.
    pub(super) coverage: Coverage,
    /// What the rules found.
    pub(super) inspection: Option<Inspection>,
    /// What is forwarded in place of what was sent.
    pub(super) rewritten: Option<Box<Rewritten>>,
    /// SHA-256 of the query text.
    pub(super) query_hash: Option<String>,
    /// Bytes of the query text.
    pub(super) query_bytes: usize,
    /// Counts the query as running until the request ends.
    pub(super) active_query: Option<Held>,
    /// The audit log had room for the request's event when it was accepted.
    pub(super) admitted: bool,
    /// The decision in favour.
    pub(super) permit: Option<Permit>,
    /// The decision against.
    pub(super) refusal: Option<Refusal>,
    /// W3C trace context of the request's span.
    pub(super) trace: TraceContext,
    /// The span of the attempt at the upstream.
    pub(super) upstream_span: [u8; 8],
    /// The span it continues.
    pub(super) parent_span: Option<[u8; 8]>,
    /// Upstream attempts so far; endpoints tried, by index.
    pub(super) tried: Vec<usize>,
    /// The endpoint that answers.
    pub(super) upstream: Option<std::net::SocketAddr>,
    /// When the request went to the upstream.
    pub(super) forwarded_at: Option<Now>,
    /// How long the upstream took to its response head.
    pub(super) upstream_latency: Option<Duration>,
    /// The status the client was sent.
    pub(super) status: u16,
    /// Rows of the answer, where the route says how to know.
    pub(super) rows: Option<u64>,
    /// Text of the answer that is looked at for personal data.
    pub(super) answer: Option<AnswerText>,
    /// Personal data in the answer.
    pub(super) answer_pii: pii::Counts,
    /// Response body bytes so far.
    pub(super) response_bytes: u64,
    /// Whether the audit event, the metrics and the span are written.
    pub(super) closed: bool,
}

impl RequestContext {
    pub(super) fn new(snapshot: Arc<Snapshot>, now: Now) -> Self {
        let id = crate::random::time_ordered_id(now);
        Self {
            now,
            id,
            request_id: hyphenated(id),
            snapshot,
            downstream: None,
            client: None,
            route: None,
            graph_id: None,
            path: None,
            caller: None,
            code: None,
            standing: Standing::default(),
            unwritten: None,
            lease: None,
            limit_status: None,
            body: HeldBody::default(),
            coverage: Coverage::None,
            inspection: None,
            rewritten: None,
            query_hash: None,
            query_bytes: 0,
            active_query: None,
            admitted: false,
            permit: None,
            refusal: None,
            trace: TraceContext::new_root(),
            upstream_span: [0; 8],
            parent_span: None,
            tried: Vec::new(),
            upstream: None,
            forwarded_at: None,
            upstream_latency: None,
            status: 0,
            rows: None,
            answer: None,
            answer_pii: pii::Counts::default(),
            response_bytes: 0,
            closed: false,
        }
    }

    /// Notes how much of the body, which was judged and is forwarded, was looked at.
    pub(super) fn note_coverage(&mut self, extent: Extent) {
        let uninspected = self.inspection.as_ref().is_some_and(|i| i.uninspected);
        self.coverage = if uninspected || extent == Extent::Prefix {
            Coverage::Uninspected
        } else {
            Coverage::Complete
        };
    }

    /// The matched route.
    pub(super) fn route(&self) -> Option<&crate::config::Route> {
        self.snapshot.config.routes.get(self.route?)
    }

    /// A path as it is kept: without what looks like a secret or personal data, nor what the route calls a secret.
    pub(super) fn kept_path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let template = self.route().map(|route| &route.path);
        mask::path(path, template.filter(|template| template.names_secrets()))
    }

    /// The decision id: the id of the audit event that records the decision.
    pub(super) fn decision_id(&self) -> Arc<str> {
        hyphenated(self.id)
    }
}

fn hyphenated(id: Uuid) -> Arc<str> {
    let mut text = Uuid::encode_buffer();
    Arc::from(&*id.hyphenated().encode_lower(&mut text))
}
