//! The life of a request, in wire order. The only code that knows Pingora.
//!
//! ```text
//! downstream/   accept, head deadline, framing         (before Pingora sees a byte)
//! early_request_filter   stamp: id, time, snapshot, trace context
//! request_filter         decide: client, route, caller, limits, inspection -> permit or refusal
//! upstream_peer          an endpoint, for the permit
//! upstream_request_filter   one canonical path, no secrets, our identity fields
//! request_body_filter    hold back what could not be read ahead, then judge it
//! response_filter        status, rows, RateLimit fields
//! response_body_filter   count; at the end: the audit event, before the last byte leaves
//! fail_to_proxy          what could not be served, said as a problem document
//! logging                close whatever is still open
//! ```

mod answer;
mod body;
pub(crate) mod cluster;
mod context;
mod decide;
pub(crate) mod downstream;
mod finish;
mod mitigate;
mod record;
mod respond;
mod sanitize;
mod threats;
mod upstream;
mod weigh;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::StatusCode;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};

use crate::app::App;
use crate::config::{Otherwise, RowCount};
use crate::now::Now;
use crate::policy::hygiene;
use crate::policy::refusal::Refusal;
use crate::telemetry::trace::TraceContext;
use context::RequestContext;
use decide::Extent;
use downstream::Downstream;

/// The gateway as Pingora runs it.
pub(crate) type HttpGateway = HttpProxy<Gateway>;

/// `request_filter` has answered; nothing is forwarded.
const ANSWERED: bool = true;
/// `request_filter` lets the request go on.
const CONTINUE: bool = false;

/// The request phases.
pub(crate) struct Gateway {
    app: Arc<App>,
}

impl Gateway {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    // Boxed: Pingora moves it through several futures.
    type CTX = Box<RequestContext>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(RequestContext::new(self.app.snapshot(), Now::read()))
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {
        // None: bodies pass as they are.
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        ctx.downstream = downstream_of(session);
        upstream::forget_case(session.req_header_mut());
        let inbound = hygiene::values(&session.req_header().headers, "traceparent").next();
        let inbound = inbound.and_then(|value| TraceContext::parse(value.as_bytes()));
        let begun = self.app.sampler.begin(inbound, ctx.now);
        ctx.trace = begun.context;
        ctx.parent_span = begun.parent;
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        match decide::decide(&self.app, session, ctx).await {
            Ok(permit) => {
                ctx.permit = Some(permit);
                Ok(CONTINUE)
            }
            Err(refusal) => {
                respond::refuse(&self.app, session, ctx, refusal).await?;
                Ok(ANSWERED)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        ctx.body.rewind();
        ctx.forwarded_at = Some(Now::read());
        ctx.upstream_span = ctx.trace.child().span_id;
        upstream::peer(session.req_header(), ctx)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        upstream::rewrite(session, request, ctx)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        let max = ctx.route().map_or(0, |route| route.body_bytes_max);
        if session.body_bytes_read() as u64 > max && !session.was_upgraded() {
            ctx.refusal = Some(Refusal::BodyTooLarge { max });
            return Error::e_explain(ErrorType::HTTPStatus(413), "the body is too large");
        }
        if ctx.body.is_released() {
            sanitize::replace(ctx, body, end_of_stream);
            return Ok(());
        }
        match self.hold_back(session, body, end_of_stream, ctx) {
            Ok(()) => Ok(()),
            Err(refusal) => {
                let status = refusal.status();
                ctx.refusal = Some(refusal);
                Error::e_explain(ErrorType::HTTPStatus(status), "the body is refused")
            }
        }
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
        {
            return Ok(());
        }
        self.note_answer(response, ctx);
        ctx.answer = answer::begin(&self.app, response, ctx);
        response.insert_header("x-request-id", &*ctx.request_id)?;
        respond::rate_limit_fields(response, ctx)?;
        if response.status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(downstream) = &ctx.downstream
        {
            downstream.become_tunnel();
        }
        // A tunnel may last for days; that it was opened is what is recorded.
        if response.status == StatusCode::SWITCHING_PROTOCOLS || has_no_body(session, response) {
            finish::close(&self.app, session, ctx);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        ctx.response_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
        answer::look(body.as_deref(), end_of_stream, ctx);
        if end_of_stream {
            finish::close(&self.app, session, ctx);
        }
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        mut error: Box<Error>,
    ) -> Box<Error> {
        // Nothing was sent, so even a POST may go to another endpoint.
        error.set_retry(upstream::may_retry(ctx));
        error
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut Self::CTX,
        client_reused: bool,
    ) -> Box<Error> {
        let safe = decide::is_idempotent(&session.req_header().method)
            && !session.as_ref().retry_buffer_truncated()
            && session.as_ref().response_written().is_none()
            && ctx.refusal.is_none()
            && upstream::may_retry(ctx);
        let gave_up = matches!(
            error.etype(),
            ErrorType::ReadTimedout | ErrorType::WriteTimedout
        );
        if !safe || (gave_up && !client_reused) {
            error.set_retry(false);
        } else {
            // No answer has begun and the method may be repeated (RFC 9110, 9.2.2).
            error.set_retry(*error.esource() == ErrorSource::Upstream);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Self::CTX,
    ) -> FailToProxy {
        let unfinished = !session.is_body_done();
        let refusal = match ctx.refusal.take() {
            Some(refusal) => refusal,
            // The upstream waited for a body that did not come.
            None if unfinished && *error.etype() == ErrorType::ReadTimedout => {
                Refusal::RequestTimeout
            }
            None => respond::explain(error, ctx),
        };
        let error_code = refusal.status();
        if respond::can_answer(session.as_ref(), &refusal) {
            session.set_keepalive(None);
            // A failed write means that the client is gone; `logging` closes the record.
            drop(respond::refuse(&self.app, session, ctx, refusal).await);
        } else {
            ctx.refusal = Some(refusal);
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, ctx: &mut Self::CTX) {
        finish::close(&self.app, session, ctx);
    }

    fn suppress_error_log(&self, _session: &Session, _ctx: &Self::CTX, _error: &Error) -> bool {
        // The audit event and the span are the voice of a request, failed ones included.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Self::CTX,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

impl Gateway {
    /// Takes body bytes into custody, and lets them go once all are judged.
    fn hold_back(
        &self,
        session: &Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut RequestContext,
    ) -> std::result::Result<(), Refusal> {
        let chunk = body.take().unwrap_or_default();
        let held = ctx.body.hold(&chunk, &self.app.held_bytes)?;
        let inspection = ctx.route().ok_or(Refusal::Internal)?.inspection;
        let over = held > inspection.body_bytes_max;
        if over && inspection.on_oversize == Otherwise::Refuse {
            return Err(Refusal::UninspectableBody {
                max: inspection.body_bytes_max as u64,
            });
        }
        if !end_of_stream && !over {
            // An empty chunk is not written; `None` would end the upstream's body.
            *body = Some(Bytes::new());
            return Ok(());
        }
        let whole = ctx.body.release();
        let extent = if over { Extent::Prefix } else { Extent::Whole };
        decide::judge(&self.app, session, ctx, &whole, extent)?;
        ctx.note_coverage(extent);
        let whole = match ctx.rewritten_body() {
            // What follows the inspected part would not be clean.
            Some(_) if over => return Err(Refusal::Threat),
            Some(clean) => clean,
            None => whole,
        };
        // Writing an empty chunk would end the upstream's body twice.
        *body = (!whole.is_empty()).then_some(whole);
        Ok(())
    }

    fn note_answer(&self, response: &ResponseHeader, ctx: &mut RequestContext) {
        ctx.status = response.status.as_u16();
        ctx.upstream_latency = ctx.forwarded_at.map(|at| Now::read().since(at));
        ctx.rows = ctx.route().and_then(|route| {
            let RowCount::Header(name) = route.row_count.as_ref()?;
            response.headers.get(name)?.to_str().ok()?.parse().ok()
        });
    }
}

/// The connection a session came over, handed through Pingora as its proxy digest.
fn downstream_of(session: &Session) -> Option<Arc<Downstream>> {
    let digest = session.as_ref().digest()?.proxy_digest.as_ref()?;
    let identity = digest.user_data.as_ref()?;
    identity.downcast_ref::<Arc<Downstream>>().cloned()
}

/// Whether the answer ends with its head, so that no body filter will be called at its end.
fn has_no_body(session: &Session, response: &ResponseHeader) -> bool {
    session.req_header().method == http::Method::HEAD
        || matches!(response.status.as_u16(), 204 | 304)
        || response
            .headers
            .get(http::header::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() == b"0")
}
