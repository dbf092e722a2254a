//! Refusing what HTTP could not begin with: the bytes are answered, counted and audited here,
//! because no request exists that could go through the phases.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;

use super::context::RequestContext;
use super::downstream::{Downstream, WireFault};
use super::{finish, respond};
use crate::app::App;
use crate::now::Now;
use crate::policy::refusal::Refusal;

/// Audits the refused bytes and returns the whole answer; empty when nobody waits for one.
pub(super) fn refuse(
    app: &App,
    downstream: &Arc<Downstream>,
    fault: WireFault,
    received: &[u8],
) -> Bytes {
    let refusal = match fault {
        WireFault::Violation(violation) => Refusal::Protocol(violation),
        WireFault::HeaderTimeout | WireFault::BodyTimeout => Refusal::RequestTimeout,
        WireFault::Truncated | WireFault::WriteTimeout => Refusal::ClientGone,
    };
    let mut ctx = RequestContext::new(app.snapshot(), Now::read());
    ctx.client = Some(downstream.address.ip().to_canonical());
    ctx.downstream = Some(downstream.clone());
    ctx.status = refusal.status();
    let answer = if matches!(refusal, Refusal::ClientGone) {
        Bytes::new()
    } else {
        answer(&refusal, &ctx)
    };
    app.metrics.protocol_violation(refusal.code());
    ctx.refusal = Some(refusal);
    finish::close_unparsed(app, &mut ctx, received);
    answer
}

fn answer(refusal: &Refusal, ctx: &RequestContext) -> Bytes {
    let body = respond::problem(refusal, &ctx.request_id, &ctx.decision_id());
    let status = refusal.status();
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let mut head = String::with_capacity(256 + body.len());
    // Writing to a String cannot fail.
    let _ = write!(
        head,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\nCache-Control: no-store\r\nX-Request-Id: {}\r\nConnection: close\r\n\r\n",
        body.len(),
        ctx.request_id
    );
    let mut whole = head.into_bytes();
    whole.extend_from_slice(&body);
    Bytes::from(whole)
}
