//! Step 11: which endpoint, and what it is told.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
    EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use http::request::Parts;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::{Error, ErrorType, OrErr};

use super::context::RequestContext;
use super::sanitize;
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
pub(super) fn peer(
    request: &RequestHeader,
    ctx: &mut RequestContext,
) -> pingora::Result<Box<HttpPeer>> {
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
    if !request.headers.keys().any(is_hop_by_hop) {
        // Where nothing is there to strip, Pingora need not look for it field by field.
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::preserve();
    }
    ctx.tried.push(endpoint);
    ctx.upstream = peer._address.as_inet().copied();
    Ok(Box::new(peer))
}

/// Whether a field speaks of the connection it came over (RFC 9110, 7.6.1), or names others that do.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
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
    sanitize::announce(request, ctx)?;
    if !request.raw_path_is_utf8() {
        return Error::e_explain(ErrorType::InternalError, "forwarding an unreadable path");
    }
    let trusted = ctx.downstream.as_ref().is_some_and(|peer| {
        client::is_trusted(
            peer.address.ip().to_canonical(),
            &ctx.snapshot.config.trusted_proxies,
        )
    });
    let forwarded_for = forwarded_for(session, ctx, trusted);
    let mut parts = take_parts(request);
    let headers = &mut parts.headers;
    strip(headers);
    join_cookies(headers)?;
    headers.insert(X_FORWARDED_FOR.clone(), value(forwarded_for.as_bytes())?);
    let scheme = if ctx.downstream.as_ref().is_some_and(|peer| peer.tls) {
        "https"
    } else {
        "http"
    };
    headers.insert(X_FORWARDED_PROTO.clone(), HeaderValue::from_static(scheme));
    if let Some(host) = session.req_header().headers.get(HOST) {
        headers.insert(X_FORWARDED_HOST.clone(), host.clone());
    }
    headers.insert(X_REQUEST_ID.clone(), value(ctx.request_id.as_bytes())?);
    let position = TraceContext {
        span_id: ctx.upstream_span,
        ..ctx.trace
    };
    headers.insert(TRACEPARENT.clone(), value(&position.format())?);
    if let Some(caller) = &ctx.caller {
        headers.insert(
            X_ORGANIZATION_ID.clone(),
            value(caller.organization_id.as_bytes())?,
        );
        headers.insert(X_RG_KEY_ID.clone(), value(caller.key_id.as_bytes())?);
    }
    *request = RequestHeader::from(parts);
    Ok(())
}

/// Forgets how the client capitalised field names, before Pingora copies what it remembers of it.
///
/// Names mean the same in any case (RFC 9110, 5.1), and those the gateway adds have none to preserve.
pub(super) fn forget_case(request: &mut RequestHeader) {
    // Parts know a target only by its URI, which is all there is to one in origin form.
    if request.has_case() && request.raw_path_is_utf8() && request.raw_path().starts_with(b"/") {
        *request = RequestHeader::from(take_parts(request));
    }
}

/// Takes a request apart; an empty one stays in its place.
fn take_parts(request: &mut RequestHeader) -> Parts {
    let empty = http::Request::new(()).into_parts().0;
    std::mem::replace(request, RequestHeader::from(empty)).into()
}

fn value(text: &[u8]) -> pingora::Result<HeaderValue> {
    HeaderValue::from_bytes(text).or_err(ErrorType::InternalError, "no field value")
}

fn rewrite_path(request: &mut RequestHeader, ctx: &RequestContext) -> pingora::Result<()> {
    let Some(path) = &ctx.path else {
        return Error::e_explain(ErrorType::InternalError, "forwarding without a path");
    };
    let query = ctx.rewritten_query();
    let unchanged = request.uri.scheme().is_none() && request.raw_path().starts_with(b"/");
    if unchanged && query.is_none() && request.uri.path() == &**path {
        return Ok(());
    }
    let mut target = String::with_capacity(path.len() + 64);
    target.push_str(path);
    if let Some(query) = query.or_else(|| request.uri.query()) {
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
fn strip(headers: &mut HeaderMap) {
    let doomed: Vec<HeaderName> = headers
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
        headers.remove(name);
    }
}

/// HTTP/2 clients may split `Cookie` (RFC 9113, 8.2.3); an HTTP/1 upstream gets one field.
fn join_cookies(headers: &mut HeaderMap) -> pingora::Result<()> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return Ok(());
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    headers.insert(COOKIE, value(&joined)?);
    Ok(())
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
        let values = hygiene::values(&session.req_header().headers, X_FORWARDED_FOR.as_str());
        for value in values.filter_map(|value| value.to_str().ok()) {
            chain.push_str(value);
            chain.push_str(", ");
        }
    }
    // Writing to a String cannot fail.
    let _ = write!(chain, "{peer}");
    chain
}
