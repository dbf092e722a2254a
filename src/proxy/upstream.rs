//! Step 11: which endpoint, and what it is told.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
    EXPECT, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use super::context::RequestContext;
use crate::policy::{client, hygiene};
use crate::telemetry::trace::TraceContext;

static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_ORGANIZATION_ID: HeaderName = HeaderName::from_static("x-organization-id");
static X_RG_KEY_ID: HeaderName = HeaderName::from_static("x-rg-key-id");
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What nearly every request carries and nobody forges: spares the comparison with what is stripped.
static UNSUSPICIOUS: [HeaderName; 7] = [
    HOST,
    ACCEPT,
    ACCEPT_ENCODING,
    CONTENT_TYPE,
    CONTENT_LENGTH,
    USER_AGENT,
    CONNECTION,
];
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Chooses the endpoint of this attempt. The permit is the proof that it may be asked at all.
pub(super) fn peer(ctx: &mut RequestContext) -> pingora::Result<Box<HttpPeer>> {
    let Some(permit) = &ctx.permit else {
        return Error::e_explain(ErrorType::InternalError, "forwarding without a permit");
    };
    let cluster = ctx.snapshot.clusters.get(permit.cluster);
    let Some((endpoint, peer)) = cluster.and_then(|cluster| cluster.choose(&ctx.tried)) else {
        return Error::e_explain(ErrorType::HTTPStatus(503), "no healthy endpoint");
    };
    let mut peer = peer;
    if let Some(route) = ctx.route() {
        let options = &mut peer.options;
        options.read_timeout = route.read_timeout.or(options.read_timeout);
        options.write_timeout = route.write_timeout.or(options.write_timeout);
    }
    ctx.tried.push(endpoint);
    ctx.upstream = peer._address.as_inet().copied();
    Ok(Box::new(peer))
}

/// Whether another attempt is allowed after a connection could not be made.
pub(super) fn may_retry(ctx: &RequestContext) -> bool {
    let cluster = ctx.permit.as_ref().map(|permit| permit.cluster);
    cluster
        .and_then(|cluster| ctx.snapshot.clusters.get(cluster))
        .is_some_and(|cluster| ctx.tried.len() <= cluster.retries)
}

/// Rewrites the request for the upstream: one canonical path, no secrets, our identity fields.
pub(super) fn rewrite(
    session: &Session,
    request: &mut RequestHeader,
    ctx: &RequestContext,
) -> pingora::Result<()> {
    rewrite_path(request, ctx)?;
    let trusted = ctx.downstream.as_ref().is_some_and(|peer| {
        client::is_trusted(
            peer.address.ip().to_canonical(),
            &ctx.snapshot.config.trusted_proxies,
        )
    });
    let forwarded_for = forwarded_for(session, ctx, trusted);
    strip(request);
    join_cookies(request)?;
    request.insert_header(&X_FORWARDED_FOR, forwarded_for)?;
    let scheme = if ctx.downstream.as_ref().is_some_and(|peer| peer.tls) {
        "https"
    } else {
        "http"
    };
    request.insert_header(&X_FORWARDED_PROTO, HeaderValue::from_static(scheme))?;
    if let Some(host) = session.req_header().headers.get(HOST) {
        request.insert_header(&X_FORWARDED_HOST, host.clone())?;
    }
    request.insert_header(&X_REQUEST_ID, &*ctx.request_id)?;
    let position = TraceContext {
        span_id: ctx.upstream_span,
        ..ctx.trace
    };
    request.insert_header(&TRACEPARENT, &position.format()[..])?;
    if let Some(caller) = &ctx.caller {
        request.insert_header(&X_ORGANIZATION_ID, &*caller.organization_id)?;
        request.insert_header(&X_RG_KEY_ID, &*caller.key_id)?;
    }
    Ok(())
}

fn rewrite_path(request: &mut RequestHeader, ctx: &RequestContext) -> pingora::Result<()> {
    let Some(path) = &ctx.path else {
        return Error::e_explain(ErrorType::InternalError, "forwarding without a path");
    };
    let unchanged = request.uri.scheme().is_none() && request.raw_path().starts_with(b"/");
    if unchanged && request.uri.path() == &**path {
        return Ok(());
    }
    let mut target = String::with_capacity(path.len() + 64);
    target.push_str(path);
    if let Some(query) = request.uri.query() {
        // Writing to a String cannot fail.
        let _ = write!(target, "?{query}");
    }
    match target.parse() {
        Ok(uri) => {
            request.set_uri(uri);
            Ok(())
        }
        Err(_) => Error::e_explain(ErrorType::InternalError, "canonical path is no URI"),
    }
}

/// Removes what a client must not say and what the upstream must not learn.
fn strip(request: &mut RequestHeader) {
    let doomed: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| !UNSUSPICIOUS.contains(name))
        .filter(|name| {
            hygiene::is_client_forbidden(name.as_str())
                || *name == AUTHORIZATION
                || *name == X_API_KEY
                || *name == EXPECT
        })
        .cloned()
        .collect();
    for name in doomed {
        request.remove_header(&name);
    }
}

/// HTTP/2 clients may split `Cookie` (RFC 9113, 8.2.3); an HTTP/1 upstream gets one field.
fn join_cookies(request: &mut RequestHeader) -> pingora::Result<()> {
    let mut crumbs = request.headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return Ok(());
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    request.insert_header(COOKIE, joined)
}

/// Our word on where the request came from: the chain of a trusted proxy plus that proxy, or the
/// peer alone.
fn forwarded_for(session: &Session, ctx: &RequestContext, trusted: bool) -> String {
    let peer = ctx
        .downstream
        .as_ref()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip())
        .to_canonical();
    let mut chain = String::with_capacity(48);
    if trusted {
        let values = session.req_header().headers.get_all(&X_FORWARDED_FOR);
        for value in values.iter().filter_map(|value| value.to_str().ok()) {
            chain.push_str(value);
            chain.push_str(", ");
        }
    }
    // Writing to a String cannot fail.
    let _ = write!(chain, "{peer}");
    chain
}
