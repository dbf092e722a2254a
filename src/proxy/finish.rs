//! Step 13: one audit event, one metrics update, one span. Written once, before the answer ends.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use http::header::USER_AGENT;
use pingora::proxy::Session;
use serde_json::Value;

use super::context::{Coverage, RequestContext};
use super::mitigate;
use super::threats::{enforced, followed};
use crate::app::App;
use crate::audit::{
    AppendError, AuditEvent, DataAccessed, Durability, EventType, GeographicLocation, Grounds,
    IndicatorRecord, Inspection, Outcome, Position, Severity, Source, compliance_tags,
    severity_for_status, tag_threats,
};
use crate::config::{Kind, classify};
use crate::geoip::Location;
use crate::hex;
use crate::now::Now;
use crate::policy::auth::AuthRefusal;
use crate::policy::limits::LimitType;
use crate::policy::mask;
use crate::policy::pii;
use crate::policy::refusal::Refusal;
use crate::policy::threat::{self, Mode, QueryClass};
use crate::telemetry::metrics::RequestOutcome;
use crate::telemetry::spans::{QueryFacts, SpanRecord, UpstreamCall};

/// Longest user agent and path kept in an event, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// The endpoint label of requests that no route claimed.
const NO_ENDPOINT: &str = "unmatched";

/// Closes the request's record. Later calls do nothing.
pub(super) fn close(app: &App, session: &Session, ctx: &mut RequestContext) {
    if std::mem::replace(&mut ctx.closed, true) {
        return;
    }
    let request = session.req_header();
    let user_agent = request
        .headers
        .get(USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .unwrap_or_default();
    let path = ctx.path.clone();
    // Masked whole, then cut: what is cut in two is not told any more.
    let path = match &path {
        Some(path) => ctx.kept_path(path),
        None => ctx.kept_path(request.uri.path()),
    };
    let user_agent = mask::text(&user_agent);
    let method = mask::text(request.method.as_str());
    let monitored = mitigate::details(session, ctx);
    let details = joined(monitored, ctx.rewritten_values());
    let details = joined(details, mitigate::penalty(app, ctx));
    let seen = Seen {
        details,
        method: clipped(&method),
        path: if ctx.path.is_some() {
            &path
        } else {
            clipped(&path)
        },
        user_agent: clipped(&user_agent),
        request_bytes: session.body_bytes_read() as u64,
        protocol_version: if session.is_http2() { "2" } else { "1.1" },
    };
    record(app, ctx, &seen);
}

/// Closes the record of bytes that never became a request.
pub(super) fn close_unparsed(app: &App, ctx: &mut RequestContext, received: &[u8]) {
    ctx.closed = true;
    let line = received.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let method = words
        .next()
        .filter(|word| word.len() <= 16 && word.bytes().all(|b| b.is_ascii_uppercase()))
        .unwrap_or("UNKNOWN");
    // The query may hold secrets; an unparsed target is kept without it.
    let target = words.next().unwrap_or_default();
    let path = ctx.kept_path(target.split(['?', '#']).next().unwrap_or_default());
    let seen = Seen {
        details: None,
        method,
        path: clipped(&path),
        user_agent: "",
        request_bytes: received.len() as u64,
        protocol_version: "1.1",
    };
    record(app, ctx, &seen);
}

/// What two parts of the gateway have to tell in one object.
fn joined(one: Option<Value>, other: Option<Value>) -> Option<Value> {
    match (one, other) {
        (Some(Value::Object(mut one)), Some(Value::Object(other))) => {
            one.extend(other);
            Some(Value::Object(one))
        }
        (one, other) => one.or(other),
    }
}

/// What the request looked like.
struct Seen<'a> {
    /// For the event of a monitored key.
    details: Option<Value>,
    method: &'a str,
    path: &'a str,
    user_agent: &'a str,
    request_bytes: u64,
    protocol_version: &'static str,
}

fn record(app: &App, ctx: &RequestContext, seen: &Seen<'_>) {
    let ended = Now::read();
    let took = ended.since(ctx.now);
    let place = ctx.client.and_then(|address| app.geoip.locate(address));
    let event = event(ctx, seen, took, place.as_deref());
    // A full log keeps room for what it accepted before; those it refuses must not use that up.
    let appended = if ctx.admitted {
        app.audit.append(&event)
    } else {
        app.audit.append_unless_full(&event)
    };
    match appended {
        Ok(position) => {
            hold_until_kept(app, ctx, position);
            app.metrics.audit_event(Now::read().since(ended));
        }
        Err(error) => unrecorded(app, ctx, &error),
    }
    count(app, ctx, seen, took);
    let failed = ctx.status == 0 || error_type(ctx).is_some();
    if let Some(spans) = &app.spans
        && (ctx.trace.sampled || (failed && app.sampler.record_failure(ctx.now)))
    {
        spans.submit(span(ctx, seen, took));
    }
}

/// The event is in no log: the answer to a request that was accepted does not end.
fn unrecorded(app: &App, ctx: &RequestContext, error: &AppendError) {
    app.metrics.audit_error(error.reason());
    if !ctx.admitted {
        tracing::debug!(%error, request_id = %ctx.request_id, "refused request not audited");
        return;
    }
    tracing::error!(%error, request_id = %ctx.request_id, "audit event not written, the answer is cut");
    if let Some(downstream) = &ctx.downstream {
        downstream.hold_answer(std::future::ready(false));
    }
}

/// With `durability: synced`, the answer does not end before a power cut can no longer take its event;
/// one that laid a penalty never ends before that is on disk.
fn hold_until_kept(app: &App, ctx: &RequestContext, position: Position) {
    let synced = app.audit.durability() == Durability::Synced;
    if !synced && ctx.unwritten.is_none() {
        return;
    }
    if let Some(downstream) = &ctx.downstream {
        let log = app.audit.clone();
        let written = ctx.unwritten.map(|version| app.penalties.written(version));
        downstream.hold_answer(async move {
            if let Some(written) = written {
                written.await;
            }
            !synced || log.synced(position).await.is_ok()
        });
    }
}

fn event<'a>(
    ctx: &'a RequestContext,
    seen: &Seen<'a>,
    took: Duration,
    place: Option<&'a Location>,
) -> AuditEvent<'a> {
    let refusal = ctx.refusal.as_ref();
    let caller = ctx.caller.as_deref();
    let data_accessed = data_accessed(ctx);
    let pii = data_accessed.as_ref().is_some_and(|data| data.pii_detected);
    let data = ctx.graph_id.is_some() || ctx.query_hash.is_some();
    let event_type = event_type(ctx, data);
    let mut tags = compliance_tags(&Grounds {
        event_type,
        country: place.and_then(|place| place.country.as_deref()),
        industry: caller.and_then(|caller| caller.industry.as_deref()),
        path: seen.path,
        // A refusal that is not about a threat has touched no data.
        data: data && matches!(event_type, EventType::DataAccess | EventType::SecurityEvent),
        modifies: modifies(ctx),
        pii,
    });
    let threats = enforced(ctx).map(|found| &*found.indicator_type);
    tag_threats(&mut tags, event_type, threats);
    AuditEvent {
        source_ip: ctx.client.map_or(Source::System, Source::Address),
        user_agent: seen.user_agent.into(),
        organization_id: caller.map(|caller| (&*caller.organization_id).into()),
        api_key_id: caller.map(|caller| (&*caller.key_id).into()),
        endpoint: seen.path.into(),
        method: seen.method.into(),
        status_code: ctx.status,
        request_id: (&*ctx.request_id).into(),
        processing_time_ms: millis(took),
        data_accessed,
        error_details: refusal.map(Refusal::detail),
        compliance_tags: tags,
        geographic_location: place.map(location),
        decision_id: refusal.map(|_| Cow::Owned(ctx.decision_id().to_string())),
        route: ctx.route().map(|route| (&*route.name).into()),
        plan: caller.map(|caller| (&*caller.plan).into()),
        outcome: Some(outcome(ctx)),
        refusal_code: refusal.map(|refusal| refusal.code().into()),
        upstream: ctx.upstream.map(|address| address.to_string().into()),
        request_bytes: seen.request_bytes,
        response_bytes: ctx.response_bytes,
        upstream_ms: ctx.upstream_latency.map(millis),
        trace_id: Some(hex::text(&ctx.trace.trace_id).into()),
        inspection: Some(match ctx.coverage {
            // What blocks a request was seen by looking at it, however early.
            Coverage::None if matches!(ctx.refusal, Some(Refusal::Threat)) => Inspection::Complete,
            Coverage::None => Inspection::None,
            Coverage::Complete => Inspection::Complete,
            Coverage::Uninspected => Inspection::Uninspected,
        }),
        indicators: indicators(ctx),
        details: seen.details.clone(),
        ..AuditEvent::new(
            ctx.id,
            ctx.now.unix_micros,
            event_type,
            severity(ctx, event_type, pii),
        )
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn data_accessed(ctx: &RequestContext) -> Option<DataAccessed<'_>> {
    let asked = ctx
        .inspection
        .as_ref()
        .map(|found| found.pii)
        .unwrap_or_default();
    let pii_detected = !asked.is_empty() || !ctx.answer_pii.is_empty();
    if ctx.graph_id.is_none() && ctx.query_hash.is_none() && !pii_detected {
        return None;
    }
    Some(DataAccessed {
        graph_ids: ctx.graph_id.iter().map(|graph| mask::text(graph)).collect(),
        query_hash: ctx.query_hash.as_deref().map(Into::into),
        result_count: ctx.rows,
        data_classification: ctx.graph_id.as_deref().and_then(|graph| {
            let found = classify(&ctx.snapshot.config.audit.graphs, graph)?;
            Some(found.as_str().into())
        }),
        pii_detected,
        pii_kinds: kinds(&asked),
        pii_response_kinds: kinds(&ctx.answer_pii),
    })
}

fn kinds(counts: &pii::Counts) -> BTreeMap<Cow<'static, str>, u32> {
    let pairs = counts.iter();
    pairs
        .map(|(kind, count)| (kind.as_str().into(), u32::from(count)))
        .collect()
}

fn location(place: &Location) -> GeographicLocation<'_> {
    fn text(part: &Option<Box<str>>) -> Option<Cow<'_, str>> {
        part.as_deref().map(Cow::Borrowed)
    }
    GeographicLocation {
        country: text(&place.country),
        region: text(&place.region),
        city: text(&place.city),
    }
}

/// Whether the request was to change data, as far as its statement or its route tell.
fn modifies(ctx: &RequestContext) -> bool {
    match query_facts(ctx) {
        Some(query) => query.class != QueryClass::Read,
        None => ctx.route().is_some_and(|route| route.kind == Kind::Upload),
    }
}

/// One event a request: its type says what mattered most about it.
fn event_type(ctx: &RequestContext, data: bool) -> EventType {
    match &ctx.refusal {
        Some(Refusal::Auth(refusal)) if refusal.status() == 401 => EventType::Authentication,
        Some(Refusal::Auth(AuthRefusal::InQuery | AuthRefusal::Ambiguous)) => {
            EventType::Authentication
        }
        Some(Refusal::Limited(exceeded)) if exceeded.limit == LimitType::Address => {
            EventType::Authentication
        }
        Some(
            Refusal::Auth(_)
            | Refusal::RouteRefused
            | Refusal::Suspended { .. }
            | Refusal::QueryTooComplex { .. },
        ) => EventType::Authorization,
        Some(Refusal::Verification(_)) => EventType::Authentication,
        Some(Refusal::Threat | Refusal::Protocol(_) | Refusal::Path(_)) => EventType::SecurityEvent,
        None if followed(ctx) => EventType::SecurityEvent,
        None if data => EventType::DataAccess,
        _ => EventType::ApiRequest,
    }
}

fn severity(ctx: &RequestContext, event_type: EventType, pii: bool) -> Severity {
    let critical = enforced(ctx).any(|indicator| indicator.severity == threat::Severity::Critical);
    match event_type {
        EventType::SecurityEvent if critical => Severity::Critical,
        EventType::SecurityEvent | EventType::Authentication | EventType::Authorization => {
            Severity::Warning
        }
        // However well it began.
        _ if outcome(ctx) == Outcome::Failed => Severity::Error,
        _ if pii => severity_for_status(ctx.status).max(Severity::Warning),
        _ => severity_for_status(ctx.status),
    }
}

fn outcome(ctx: &RequestContext) -> Outcome {
    match &ctx.refusal {
        None if ctx.status == 0 => Outcome::Aborted,
        None => Outcome::Forwarded,
        Some(Refusal::ClientGone) => Outcome::Aborted,
        Some(refusal) if refusal.is_decision() => Outcome::Refused,
        Some(_) => Outcome::Failed,
    }
}

fn indicators(ctx: &RequestContext) -> Vec<IndicatorRecord<'_>> {
    // What a rule that counts asks for does not follow from a single weak finding.
    let followed = ctx
        .inspection
        .as_ref()
        .map(|found| found.mitigations)
        .unwrap_or_default();
    let found = ctx.inspection.iter().flat_map(|found| &found.indicators);
    found
        .map(|found| IndicatorRecord {
            rule: (&*found.rule).into(),
            indicator_type: (&*found.indicator_type).into(),
            severity: found.severity.name().into(),
            confidence: three_decimals(found.confidence),
            description: (&*found.description).into(),
            field: mask::text(&found.field),
            evidence: (&*found.excerpt).into(),
            mode: found.mode.name().into(),
            score: three_decimals(found.score),
            blocks_from: found.blocks_from_where_unusual(),
            mitigations: found
                .mitigations
                .iter()
                .filter(|word| found.mode != Mode::Enforce || followed.has(*word))
                .map(|word| word.name().into())
                .collect(),
        })
        .collect()
}

/// Three decimals are what a rule states; the rest is the binary fraction.
fn three_decimals(confidence: f32) -> f64 {
    (f64::from(confidence) * 1_000.0).round() / 1_000.0
}

fn count(app: &App, ctx: &RequestContext, seen: &Seen<'_>, took: Duration) {
    let endpoint = match ctx.route() {
        Some(route) => route.endpoint.clone(),
        None => app.unmatched_endpoint.clone(),
    };
    debug_assert_eq!(&*app.unmatched_endpoint, NO_ENDPOINT);
    app.metrics.request(&RequestOutcome {
        method: seen.method,
        endpoint: &endpoint,
        status: ctx.status,
        organization: ctx.caller.as_ref().map(|caller| &caller.organization_id),
        duration: took,
        request_bytes: seen.request_bytes,
        response_bytes: ctx.response_bytes,
        error_type: error_type(ctx),
    });
    if let (Some(permit), Some(_)) = (&ctx.permit, ctx.forwarded_at)
        && let Some(cluster) = ctx.snapshot.clusters.get(permit.cluster)
    {
        app.metrics.upstream_request(&cluster.name, attempt(ctx));
    }
    if let Some(refusal) = &ctx.refusal {
        app.metrics.refusal(refusal.code());
    }
    if ctx.coverage == Coverage::Uninspected {
        app.metrics.uninspected();
    }
    if let (Some(query), 1..=399) = (query_facts(ctx), ctx.status) {
        let graph = ctx.graph_id.as_deref().unwrap_or("unknown");
        app.metrics
            .query(graph, query.complexity_class.name(), took, ctx.rows);
    }
}

/// The stable code of what went wrong, the upstream's own failures included.
fn error_type(ctx: &RequestContext) -> Option<&'static str> {
    match &ctx.refusal {
        Some(refusal) => Some(refusal.code()),
        None if ctx.status >= 500 => Some("upstream-error"),
        None => None,
    }
}

/// How the last attempt at the upstream ended.
fn attempt(ctx: &RequestContext) -> &'static str {
    match &ctx.refusal {
        None => "answered",
        Some(Refusal::UpstreamUnavailable) => "unavailable",
        Some(Refusal::UpstreamTimeout) => "timeout",
        Some(Refusal::UpstreamFailed) => "failed",
        Some(_) => "cut",
    }
}

fn span(ctx: &RequestContext, seen: &Seen<'_>, took: Duration) -> SpanRecord {
    let caller = ctx.caller.as_deref();
    SpanRecord {
        context: ctx.trace,
        parent: ctx.parent_span,
        method: seen.method.to_owned(),
        route: ctx.route().map(|route| route.endpoint.clone()),
        start_unix_micros: ctx.now.unix_micros,
        duration: took,
        status: ctx.status,
        url_scheme: if ctx.downstream.as_ref().is_some_and(|peer| peer.tls) {
            "https"
        } else {
            "http"
        },
        url_path: seen.path.to_owned(),
        protocol_version: seen.protocol_version,
        client_address: ctx.client,
        user_agent: Some(seen.user_agent.to_owned()).filter(|agent| !agent.is_empty()),
        organization: caller.map(|caller| caller.organization_id.clone()),
        api_key_id: caller.map(|caller| caller.key_id.clone()),
        request_id: Some(ctx.request_id.to_string()),
        decision_id: ctx.refusal.as_ref().map(|_| ctx.decision_id().to_string()),
        error_type: error_type(ctx),
        upstream: upstream_call(ctx, took),
        query: ctx.query_hash.clone().map(|hash| QueryFacts {
            graph_id: ctx.graph_id.clone(),
            length_bytes: ctx.query_bytes,
            hash,
            complexity: query_facts(ctx).map(|query| query.complexity_class.name()),
            rows: ctx.rows,
        }),
    }
}

fn upstream_call(ctx: &RequestContext, took: Duration) -> Option<UpstreamCall> {
    let at = ctx.forwarded_at?;
    let cluster = ctx.snapshot.clusters.get(ctx.permit.as_ref()?.cluster)?;
    let answered = ctx.upstream_latency.is_some();
    Some(UpstreamCall {
        span_id: ctx.upstream_span,
        start_unix_micros: at.unix_micros,
        duration: took.saturating_sub(at.since(ctx.now)),
        cluster: cluster.name.clone(),
        peer: ctx.upstream,
        status: answered.then_some(ctx.status),
        error_type: ctx.refusal.as_ref().map(Refusal::code),
        retries: u32::try_from(ctx.tried.len().saturating_sub(1)).unwrap_or(u32::MAX),
    })
}

fn query_facts(ctx: &RequestContext) -> Option<&threat::QueryFacts> {
    ctx.inspection.as_ref()?.query.as_ref()
}

fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX))
        .unwrap_or(text)
}
