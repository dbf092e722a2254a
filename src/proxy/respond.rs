//! The one place that speaks HTTP about a refusal.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use pingora::ErrorType::HTTPStatus;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType};

use super::context::RequestContext;
use super::downstream::WireFault;
use super::finish;
use crate::app::App;
use crate::policy::limits::{RATELIMIT, RATELIMIT_POLICY};
use crate::policy::refusal::Refusal;

/// Answers with the refusal. The audit event is durable before the answer is written.
pub(super) async fn refuse(
    app: &App,
    session: &mut Session,
    ctx: &mut RequestContext,
    refusal: Refusal,
) -> pingora::Result<()> {
    let body = problem(&refusal, &ctx.request_id, &ctx.decision_id());
    let header = header_of(&refusal, ctx, body.len())?;
    ctx.status = refusal.status();
    let is_head = session.req_header().method == http::Method::HEAD;
    ctx.response_bytes = if is_head { 0 } else { body.len() as u64 };
    ctx.refusal = Some(refusal);
    finish::close(app, session, ctx);
    if !session.is_body_done() {
        session.set_keepalive(None);
    }
    session
        .write_response_header(Box::new(header), is_head)
        .await?;
    if !is_head {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

fn header_of(
    refusal: &Refusal,
    ctx: &RequestContext,
    length: usize,
) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(refusal.status(), Some(8))?;
    header.insert_header(CONTENT_TYPE, "application/problem+json")?;
    header.insert_header(CONTENT_LENGTH, length)?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    header.insert_header("x-request-id", &*ctx.request_id)?;
    if let Some(wait) = refusal.retry_after() {
        header.insert_header(RETRY_AFTER, wait.as_secs_f64().ceil().max(1.0).to_string())?;
    }
    match refusal {
        Refusal::Auth(auth) if auth.status() == 401 => {
            header.insert_header(WWW_AUTHENTICATE, "Bearer realm=\"rocketgraph\"")?;
        }
        Refusal::MethodNotAllowed { allow } => {
            header.insert_header(ALLOW, allow.as_str())?;
        }
        _ => {}
    }
    rate_limit_fields(&mut header, ctx)?;
    Ok(header)
}

/// The RateLimit fields of an answer (draft-ietf-httpapi-ratelimit-headers-11).
pub(super) fn rate_limit_fields(
    header: &mut ResponseHeader,
    ctx: &RequestContext,
) -> pingora::Result<()> {
    if let Some(status) = &ctx.limit_status {
        let mut value = String::with_capacity(64);
        status.write_policy(&mut value);
        header.insert_header(&RATELIMIT_POLICY, value.as_str())?;
        value.clear();
        status.write_state(&mut value);
        header.insert_header(&RATELIMIT, value.as_str())?;
    }
    Ok(())
}

/// The problem document (RFC 9457) of a refusal.
pub(super) fn problem(refusal: &Refusal, request_id: &str, decision_id: &str) -> Bytes {
    let status = refusal.status();
    let title = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let code = refusal.code();
    let detail = serde_json::Value::from(refusal.detail().as_ref());
    let mut text = String::with_capacity(320);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{{\"type\":\"https://rocketgraph.dev/problems/{code}\",\"title\":\"{title}\",\"status\":{status},\"detail\":{detail},\"code\":\"{code}\",\"request_id\":\"{request_id}\",\"decision_id\":\"{decision_id}\"}}"
    );
    Bytes::from(text)
}

/// What a failure inside Pingora means for the client.
pub(super) fn explain(error: &Error, ctx: &RequestContext) -> Refusal {
    if let Some(refusal) = wire_refusal(ctx) {
        return refusal;
    }
    match (error.esource(), error.etype()) {
        (_, HTTPStatus(503)) => Refusal::UpstreamUnavailable,
        (
            ErrorSource::Upstream,
            ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::BindError
            | ErrorType::SocketError
            | ErrorType::ConnectProxyFailure
            | ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout,
        ) => Refusal::UpstreamUnavailable,
        (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => {
            Refusal::UpstreamTimeout
        }
        (ErrorSource::Upstream, _) => Refusal::UpstreamFailed,
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Refusal::RequestTimeout,
        (ErrorSource::Downstream, _) => Refusal::ClientGone,
        _ => Refusal::Internal,
    }
}

/// Turns a failed read into what the wire knows about it.
pub(super) fn blame_wire(ctx: &RequestContext, refusal: Refusal) -> Refusal {
    wire_refusal(ctx).unwrap_or(refusal)
}

fn wire_refusal(ctx: &RequestContext) -> Option<Refusal> {
    match ctx.downstream.as_ref()?.fault()? {
        WireFault::Violation(violation) => Some(Refusal::Protocol(violation)),
        WireFault::HeaderTimeout | WireFault::BodyTimeout => Some(Refusal::RequestTimeout),
        WireFault::WriteTimeout | WireFault::Truncated => Some(Refusal::ClientGone),
    }
}

/// Whether an answer can still be given.
pub(super) fn can_answer(session: &ServerSession, refusal: &Refusal) -> bool {
    session.response_written().is_none() && !matches!(refusal, Refusal::ClientGone)
}
