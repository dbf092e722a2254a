//! Steps 3 to 10 of a request's life: from checked bytes to a permit or a refusal.
//!
//! Each step asks pure code in [`crate::policy`] and notes in the context what was learned, so that
//! a refused request is audited as fully as an allowed one.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, HOST, HeaderName};
use pingora::proxy::Session;

use super::body::{self, Ahead};
use super::context::{Permit, RequestContext};
use super::mitigate;
use super::record;
use super::sanitize;
use super::weigh;
use crate::app::App;
use crate::config::{Otherwise, Source};
use crate::hex;
use crate::now::Now;
use crate::policy::auth::{self, AuthRefusal, GraphAccess, Need};
use crate::policy::hygiene::{self, CanonicalPath, Violation};
use crate::policy::limits::Subject;
use crate::policy::refusal::Refusal;
use crate::policy::route::RouteMatch;
use crate::policy::threat::{Inspect, Verdict};
use crate::policy::{client, threat};
use crate::telemetry::metrics::{AuthResult, AuthType};

/// The fields a key may come in.
static KEY_FIELDS: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), AUTHORIZATION];

/// Decides the request. Cheap checks come first; the only waits are for the request's own body.
pub(super) async fn decide(
    app: &App,
    session: &mut Session,
    ctx: &mut RequestContext,
) -> Result<Permit, Refusal> {
    identify_client(session, ctx);
    ctx.code = mitigate::take_code(session);
    let limits = ctx.snapshot.wire.head;
    if session.is_http2() {
        let request = session.req_header();
        hygiene::check_sizes(&request.uri, &request.headers, &limits).map_err(Refusal::Protocol)?;
    }
    let fields_max = limits.fields_max;
    hygiene::check_fields(&session.req_header().headers, fields_max, &KEY_FIELDS)
        .map_err(Refusal::Protocol)?;
    find_route(session, ctx)?;
    check_upgrade_and_expectation(session, ctx)?;
    authenticate(app, session, ctx)?;
    limit(app, ctx)?;
    let cluster = admit_route(app, ctx)?;
    inspect(app, session, ctx).await?;
    Ok(Permit { cluster })
}

/// Step 4: who the client is.
fn identify_client(session: &Session, ctx: &mut RequestContext) {
    let peer = ctx
        .downstream
        .as_ref()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip());
    let trusted = &ctx.snapshot.config.trusted_proxies;
    let headers = &session.req_header().headers;
    ctx.client = Some(client::address(peer, headers, trusted));
    if !trusted.is_empty() && client::is_trusted(peer.to_canonical(), trusted) {
        adopt_request_id(headers, ctx);
    }
}

fn address(ctx: &RequestContext) -> IpAddr {
    ctx.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// A trusted proxy may have named the request already.
fn adopt_request_id(headers: &http::HeaderMap, ctx: &mut RequestContext) {
    let named = hygiene::values(headers, "x-request-id")
        .next()
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (8..=64).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    if let Some(id) = named {
        ctx.request_id = Arc::from(id);
    }
}

/// Step 5: one canonical path, then the route that owns it.
fn find_route(session: &Session, ctx: &mut RequestContext) -> Result<(), Refusal> {
    let request = session.req_header();
    if session.is_http2() {
        hygiene::check_authority(&request.uri, &request.headers).map_err(Refusal::Protocol)?;
    }
    let canonical = CanonicalPath::parse(raw_path(session)).map_err(Refusal::Path)?;
    let path: Arc<str> = Arc::from(canonical.as_str());
    ctx.path = Some(path.clone());
    let snapshot = ctx.snapshot.clone();
    // Back ends read `/admin;x` or `/admin.` as `/admin`, so what is refused is refused by name.
    if let Some((route, _)) = snapshot
        .refused
        .iter()
        .find(|(_, prefix)| canonical.lies_under(prefix))
    {
        ctx.route = Some(*route);
        return Err(Refusal::RouteRefused);
    }
    match snapshot
        .config
        .router
        .find(host(session), &path, &request.method)
    {
        RouteMatch::Found { route, params } => {
            ctx.route = Some(route);
            let Some(route) = snapshot.config.routes.get(route) else {
                return Err(Refusal::Internal);
            };
            if let Some(Source::Path(name)) = &route.graph_id {
                ctx.graph_id = params.named(name).map(Arc::from);
            }
            Ok(())
        }
        RouteMatch::MethodNotAllowed { allow } => Err(Refusal::MethodNotAllowed { allow }),
        RouteMatch::NotFound => Err(Refusal::RouteNotFound),
    }
}

/// The path as it was sent, without query.
fn raw_path(session: &Session) -> &str {
    session.req_header().uri.path()
}

fn host(session: &Session) -> Option<&str> {
    let request = session.req_header();
    let value = request
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    value.or_else(|| request.uri.authority().map(http::uri::Authority::as_str))
}

fn check_upgrade_and_expectation(session: &Session, ctx: &RequestContext) -> Result<(), Refusal> {
    let route = ctx.route().ok_or(Refusal::Internal)?;
    if route.refuse {
        return Err(Refusal::RouteRefused);
    }
    if session.is_upgrade_req() && !route.websocket {
        return Err(Refusal::UpgradeRefused);
    }
    match session.req_header().headers.get(EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(Refusal::ExpectationFailed)
        }
        _ => Ok(()),
    }
}

/// Steps 6 and 7: who asks, and whether they may.
fn authenticate(app: &App, session: &Session, ctx: &mut RequestContext) -> Result<(), Refusal> {
    let route = ctx.route().ok_or(Refusal::Internal)?;
    if route.public {
        return Ok(());
    }
    let request = session.req_header();
    let address = address(ctx);
    if let Some(failures) = &app.failures {
        failures.admit(address, ctx.now).map_err(Refusal::Limited)?;
    }
    let opaque = ctx.snapshot.config.auth.opaque_keys;
    let presented = auth::present(&request.headers, request.uri.query());
    let auth_type = match &presented {
        Ok(presented) if auth::has_our_prefix(presented.key) => AuthType::ApiKey,
        Ok(_) => AuthType::Opaque,
        Err(AuthRefusal::Missing) => AuthType::None,
        Err(_) => AuthType::ApiKey,
    };
    let known = presented.and_then(|presented| app.keys.authenticate(presented.key, opaque));
    let caller = match known {
        Ok(caller) => caller,
        Err(refusal) => {
            if let Some(failures) = &app.failures
                && refusal.is_failed_authentication()
            {
                failures.record_failure(address, ctx.now);
            }
            app.metrics.auth_attempt(AuthResult::Failure, auth_type);
            return Err(Refusal::Auth(refusal));
        }
    };
    ctx.caller = Some(caller.clone());
    name_graph(session, ctx);
    let need = Need {
        scopes: ctx
            .route
            .and_then(|route| ctx.snapshot.scopes.get(route))
            .map_or(&[], |s| s),
        graph: ctx.graph_id.as_deref(),
        client: address,
    };
    auth::authorise(&caller, &need, ctx.now).map_err(|refusal| {
        app.metrics.auth_attempt(AuthResult::Failure, auth_type);
        Refusal::Auth(refusal)
    })?;
    app.metrics.auth_attempt(AuthResult::Success, auth_type);
    mitigate::admit(app, ctx, &caller, address)
}

/// Finds the graph where the route says it stands, when that is neither path nor body.
fn name_graph(session: &Session, ctx: &mut RequestContext) {
    let request = session.req_header();
    let found: Option<Arc<str>> = match ctx.route().and_then(|route| route.graph_id.as_ref()) {
        Some(Source::Query(name)) => request.uri.query().and_then(|query| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == &**name)
                .map(|(_, value)| Arc::from(value))
        }),
        Some(Source::Header(name)) => request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(Arc::from),
        Some(Source::Path(_) | Source::Body(_)) | None => None,
    };
    if found.is_some() {
        ctx.graph_id = found;
    }
}

/// Step 8: the limits of the plan, reduced where a mitigation says so.
fn limit(app: &App, ctx: &mut RequestContext) -> Result<(), Refusal> {
    let Some(caller) = ctx.caller.clone() else {
        return Ok(());
    };
    let Some(plan) = ctx.snapshot.plans.get(&caller.plan) else {
        return Err(Refusal::Auth(AuthRefusal::PlanUnknown {
            plan: caller.plan.clone(),
        }));
    };
    if caller.limits_exempt {
        return Ok(());
    }
    let factor = ctx.standing.factor;
    match app
        .limits
        .admit(Subject::key(caller.index), plan, factor, 1, ctx.now)
    {
        Ok(admitted) => {
            ctx.limit_status = admitted.status;
            ctx.lease = admitted.lease;
            Ok(())
        }
        Err(exceeded) => {
            let (key, organization) = (&*caller.key_id, &*caller.organization_id);
            let limit = exceeded.limit.as_str();
            app.metrics
                .rate_limit_violation(Some(key), limit, Some(organization));
            ctx.limit_status = Some(exceeded.status);
            Err(Refusal::Limited(exceeded))
        }
    }
}

/// What a route needs before work is spent on it.
fn admit_route(app: &App, ctx: &mut RequestContext) -> Result<usize, Refusal> {
    app.audit
        .writable()
        .map_err(|_| Refusal::AuditUnavailable)?;
    ctx.admitted = true;
    ctx.route()
        .map(|route| route.cluster)
        .ok_or(Refusal::Internal)
}

/// Steps 9 and 10: everything that is known now, and the body if it can be read ahead.
async fn inspect(
    app: &App,
    session: &mut Session,
    ctx: &mut RequestContext,
) -> Result<(), Refusal> {
    let length = declared_length(session);
    let hard_max = ctx.route().ok_or(Refusal::Internal)?.body_bytes_max;
    if length.is_some_and(|length| length > hard_max) {
        return Err(Refusal::BodyTooLarge { max: hard_max });
    }
    if length == Some(0) && session.is_http2() {
        // HTTP/2 frames a body by itself; what a length of 0 denies must not be there.
        return no_body(app, session, ctx).await;
    }
    if session.is_upgrade_req() || session.is_body_empty() {
        ctx.body.release();
        return judge_whole(app, session, ctx, &[]);
    }
    let inspection = ctx.route().ok_or(Refusal::Internal)?.inspection;
    let inspected_max = inspection.body_bytes_max as u64;
    let over = length.is_some_and(|length| length > inspected_max);
    if over && inspection.on_oversize == Otherwise::Refuse {
        return Err(Refusal::UninspectableBody { max: inspected_max });
    }
    if session.req_header().headers.contains_key(EXPECT) {
        let continued = session.write_continue_response().await;
        continued.map_err(|_| Refusal::ClientGone)?;
    }
    if body::may_fit(length) {
        let within = ctx.snapshot.config.protocol.body_timeout;
        let read = body::read_ahead(session, length, within, &app.held_bytes).await;
        let read = read.map_err(|refusal| super::respond::blame_wire(ctx, refusal))?;
        if let Ahead::Whole(whole) = read {
            ctx.body.release();
            return judge_whole(app, session, ctx, &whole);
        }
    }
    // The rest is held back in `request_body_filter`.
    judge(app, session, ctx, &[], Extent::Whole)
}

/// A request that declares an empty body, and is held to it.
async fn no_body(
    app: &App,
    session: &mut Session,
    ctx: &mut RequestContext,
) -> Result<(), Refusal> {
    let within = ctx.snapshot.config.protocol.body_stall_timeout;
    match body::read_ahead(session, Some(0), within, &app.held_bytes).await {
        Ok(Ahead::Whole(body)) if body.is_empty() => {
            ctx.body.release();
            judge_whole(app, session, ctx, &[])
        }
        Err(Refusal::RequestTimeout) => Err(Refusal::RequestTimeout),
        _ => Err(Refusal::Protocol(Violation::ContentLengthSyntax)),
    }
}

fn declared_length(session: &Session) -> Option<u64> {
    let value = session.req_header().headers.get(CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// How much of a body is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// Its beginning; the rest is forwarded without being looked at.
    Prefix,
}

/// Judges a request whose body is here whole.
fn judge_whole(
    app: &App,
    session: &Session,
    ctx: &mut RequestContext,
    body: &[u8],
) -> Result<(), Refusal> {
    judge(app, session, ctx, body, Extent::Whole)?;
    ctx.note_coverage(Extent::Whole);
    Ok(())
}

/// Runs the threat engine over the request and acts on its verdict.
pub(super) fn judge(
    app: &App,
    session: &Session,
    ctx: &mut RequestContext,
    body: &[u8],
    extent: Extent,
) -> Result<(), Refusal> {
    name_graph_in_body(ctx, body)?;
    let request = session.req_header();
    let snapshot = ctx.snapshot.clone();
    let inspected = ctx.route.and_then(|route| snapshot.inspected.get(route));
    let hints = threat::Hints {
        origin: weigh::origin(ctx),
        clock: weigh::clock(ctx),
        body_is_prefix: extent == Extent::Prefix,
        ..inspected.ok_or(Refusal::Internal)?.hints()
    };
    let began = Now::read();
    let inspect = Inspect {
        method: request.method.as_str(),
        path: ctx.path.as_deref().unwrap_or("/"),
        raw_path: raw_path(session),
        query: ctx.rewritten_query().or_else(|| request.uri.query()),
        headers: &request.headers,
        body,
        hints,
    };
    let inspection = snapshot.engine.inspect(&inspect);
    app.metrics.inspection(Now::read().since(began));
    let announced = ctx.forwarded_at.is_some();
    let clean = sanitize::sanitize(&snapshot.engine, &inspect, &inspection, announced);
    record::record(app, session, ctx, &inspection, body);
    note(app, ctx, &inspection);
    let refused_as = inspection.refused_as;
    let verdict = inspection.verdict;
    let admitted = weigh::admit_query(ctx, &inspection);
    mitigate::lay(app, ctx, &inspection, address(ctx));
    let verified = mitigate::verify_after(app, ctx, &inspection, address(ctx));
    ctx.inspection = Some(inspection);
    if verdict == Verdict::Block {
        return Err(Refusal::Threat);
    }
    admitted?;
    ctx.adopt(clean?);
    verified?;
    match refused_as {
        Some(unreadable) if !body.is_empty() => Err(Refusal::Unreadable {
            status: unreadable.status,
            code: unreadable.code,
        }),
        _ => Ok(()),
    }
}

/// Finds the graph where the route says it stands in the body, and holds the caller to it.
///
/// A key confined to graphs is refused when the body names none: fail closed.
fn name_graph_in_body(ctx: &mut RequestContext, body: &[u8]) -> Result<(), Refusal> {
    let Some(Source::Body(path)) = ctx.route().and_then(|route| route.graph_id.as_ref()) else {
        return Ok(());
    };
    if body.is_empty() {
        return Ok(());
    }
    let whole: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let found = path.steps().try_fold(&whole, |at, step| match at {
        serde_json::Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    });
    ctx.graph_id = found.and_then(serde_json::Value::as_str).map(Arc::from);
    let allowed = ctx.caller.as_ref().is_none_or(|caller| {
        caller.graphs == GraphAccess::All
            || (ctx.graph_id.as_ref()).is_some_and(|graph| caller.graphs.allows(graph))
    });
    if allowed {
        Ok(())
    } else {
        Err(Refusal::Auth(AuthRefusal::GraphDenied))
    }
}

/// Counts what was found and remembers what the query was.
fn note(app: &App, ctx: &mut RequestContext, inspection: &threat::Inspection) {
    for (rule, nanos) in &inspection.timings {
        app.metrics.rule_time(rule, *nanos);
    }
    for indicator in &inspection.indicators {
        app.metrics.rule_hit(&indicator.rule, indicator.mode.name());
        if indicator.blocks() {
            app.metrics.rule_block(&indicator.rule);
        }
        if indicator.mode == threat::Mode::Enforce {
            app.metrics
                .suspicious_activity(&indicator.indicator_type, indicator.severity.name());
        }
    }
    let Some(query) = &inspection.query else {
        return;
    };
    ctx.query_hash = Some(hex::text(&query.sha256));
    ctx.query_bytes = query.text_bytes;
    if ctx.active_query.is_none() {
        ctx.active_query = Some(app.metrics.active_query());
    }
}

/// Whether a method may be sent twice without harm (RFC 9110, 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}
