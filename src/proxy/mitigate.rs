//! How a caller stands, and what a verdict lays upon it: the request's side of [`crate::state::penalties`].

use std::net::IpAddr;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use pingora::proxy::Session;
use serde_json::{Value, json};

use super::context::RequestContext;
use crate::app::App;
use crate::hex;
use crate::policy::auth::Caller;
use crate::policy::mask;
use crate::policy::penalty::Effect;
use crate::policy::refusal::Refusal;
use crate::policy::threat::{Inspection, Mitigation, Mode};
use crate::policy::totp::{CodeRefusal, Presented};
use crate::state::penalties::upkeep::Record;
use crate::state::penalties::{Cause, Laid, events};

/// Where a one-time code is presented.
static X_RG_VERIFICATION: HeaderName = HeaderName::from_static("x-rg-verification");
/// Rules named as the cause of a penalty at most.
const RULES_MAX: usize = 8;
/// Names of header fields, and of query parameters, in the event of a monitored key.
const NAMES_MAX: usize = 32;
/// Bytes of each of them.
const NAME_BYTES_MAX: usize = 64;

/// Refuses a caller that is suspended; notes how it stands otherwise.
pub(super) fn admit(
    app: &App,
    ctx: &mut RequestContext,
    caller: &Caller,
    address: IpAddr,
) -> Result<(), Refusal> {
    let terms = &ctx.snapshot.config.penalties;
    let standing = app.penalties.standing(caller, address, terms, ctx.now);
    if standing.monitored_by.is_some() {
        ctx.trace.sampled = true;
    }
    ctx.standing = standing;
    if let Some(until) = standing.suspended_until_micros {
        return Err(Refusal::Suspended {
            retry_after: left(until, ctx),
        });
    }
    if standing.demands_code {
        verify(app, ctx, caller, address)?;
    }
    Ok(())
}

/// Takes the one-time code out of the request, so that no rule, no log and no upstream sees it.
pub(super) fn take_code(session: &mut Session) -> Option<HeaderValue> {
    let request = session.req_header_mut();
    // Removing is dearer than looking, and hardly any request has one.
    request
        .headers
        .contains_key(&X_RG_VERIFICATION)
        .then_some(())?;
    request.remove_header(&X_RG_VERIFICATION)
}

/// Demands a code for the very request whose verdict asks for one, unless one has cleared the key already.
pub(super) fn verify_after(
    app: &App,
    ctx: &mut RequestContext,
    inspection: &Inspection,
    address: IpAddr,
) -> Result<(), Refusal> {
    if !inspection
        .mitigations
        .has(Mitigation::AdditionalVerification)
    {
        return Ok(());
    }
    let Some(caller) = ctx.caller.clone() else {
        return Ok(());
    };
    let terms = &ctx.snapshot.config.penalties;
    let standing = app.penalties.standing(&caller, address, terms, ctx.now);
    if standing.demands_code {
        verify(app, ctx, &caller, address)
    } else {
        Ok(())
    }
}

fn verify(
    app: &App,
    ctx: &mut RequestContext,
    caller: &Caller,
    address: IpAddr,
) -> Result<(), Refusal> {
    let refused = |why| Err(Refusal::Verification(why));
    let Some(secret) = app.keys.verification(&caller.key_id) else {
        return refused(CodeRefusal::NotEnrolled);
    };
    let Some(code) = ctx.code.take() else {
        return refused(CodeRefusal::Missing);
    };
    let terms = &ctx.snapshot.config.penalties;
    let presented = (&secret, code.as_bytes());
    let (presented, version) = app
        .penalties
        .present(caller, address, presented, terms, ctx.now);
    ctx.unwritten = ctx.unwritten.max(Some(version));
    match presented {
        Presented::Accepted => {
            app.metrics.verification_code("accepted");
            let record = Record {
                audit: &app.audit,
                metrics: &app.metrics,
            };
            record.append(&events::verified(caller, address, ctx.id, ctx.now));
            Ok(())
        }
        Presented::Wrong => {
            app.metrics.verification_code("wrong");
            refused(CodeRefusal::Wrong)
        }
        Presented::Locked { until_micros } => {
            app.metrics.verification_code("locked");
            refused(CodeRefusal::Locked {
                retry_after: left(until_micros, ctx),
            })
        }
    }
}

/// Lays what a verdict asks for. The end of the answer waits until it is on disk.
pub(super) fn lay(app: &App, ctx: &mut RequestContext, inspection: &Inspection, address: IpAddr) {
    if inspection.mitigations.is_empty() {
        return;
    }
    let Some(caller) = ctx.caller.clone() else {
        return;
    };
    let cause = Cause {
        rules: rules(inspection),
        event_id: ctx.id,
    };
    let asked = inspection.mitigations;
    let terms = &ctx.snapshot.config.penalties;
    let laid = app
        .penalties
        .lay(&caller, address, asked, &cause, terms, ctx.now);
    record(app, &laid, address, ctx);
    ctx.unwritten = ctx.unwritten.max(laid.version);
}

fn record(app: &App, laid: &Laid, address: IpAddr, ctx: &RequestContext) {
    for change in &laid.changes {
        let word = match change.effect {
            Effect::Laid => "laid",
            Effect::Raised => "raised",
            Effect::Noted | Effect::Prolonged | Effect::Unchanged => continue,
        };
        app.metrics
            .penalty(change.entry.penalty.kind.as_str(), word);
        if let Some(event) = events::laid(change, address, ctx.now) {
            let record = Record {
                audit: &app.audit,
                metrics: &app.metrics,
            };
            record.append(&event);
        }
    }
    for kind in &laid.no_room {
        app.metrics.penalty(kind.as_str(), "no_room");
    }
}

/// The rules that counted and asked for something, each once.
fn rules(inspection: &Inspection) -> String {
    let mut rules: Vec<&str> = Vec::new();
    for indicator in &inspection.indicators {
        let counted = indicator.mode == Mode::Enforce && !indicator.mitigations.is_empty();
        if counted && !rules.contains(&&*indicator.rule) && rules.len() < RULES_MAX {
            rules.push(&indicator.rule);
        }
    }
    rules.join(",")
}

fn left(until_micros: i64, ctx: &RequestContext) -> Duration {
    let micros = until_micros.saturating_sub(ctx.now.unix_micros).max(0);
    Duration::from_micros(micros.unsigned_abs())
}

/// What the event of a refused request says of the penalty that refused it.
pub(super) fn penalty(app: &App, ctx: &RequestContext) -> Option<Value> {
    let barred = matches!(
        ctx.refusal,
        Some(Refusal::Suspended { .. } | Refusal::Verification(_))
    );
    let id = ctx.standing.barred_by.filter(|_| barred)?;
    let entry = app.penalties.find(id)?;
    Some(json!({"penalty": events::details(&entry)}))
}

/// What the event of a monitored key says besides the usual: names, sizes and shapes, no values.
pub(super) fn details(session: &Session, ctx: &RequestContext) -> Option<Value> {
    let penalty_id = ctx.standing.monitored_by?;
    let request = session.req_header();
    let header_names: Vec<_> = request
        .headers
        .keys()
        .map(|name| mask::text(name.as_str()))
        .take(NAMES_MAX)
        .collect();
    let query_names: Vec<String> = request
        .uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .map(|pair| mask::text(pair.split('=').next().unwrap_or_default()))
        .map(|name| clipped(&name).to_owned())
        .take(NAMES_MAX)
        .collect();
    let content_type = request.headers.get(CONTENT_TYPE);
    let query = ctx
        .inspection
        .as_ref()
        .and_then(|found| found.query.as_ref());
    let query = query.map(|query| {
        json!({
            "class": query.class.name(),
            "statements": query.statements,
            "complexity": query.complexity,
            "complexity_class": query.complexity_class.name(),
            "fingerprint": hex::text(&query.fingerprint),
            "bytes": ctx.query_bytes,
        })
    });
    Some(json!({
        "monitoring": {
            "penalty_id": penalty_id.to_string(),
            "header_names": header_names,
            "query_parameter_names": query_names,
            "content_type": content_type.and_then(|value| value.to_str().ok())
                .map(|value| clipped(&mask::text(value)).to_owned()),
            "tls": ctx.downstream.as_ref().is_some_and(|peer| peer.tls),
            "http2": session.is_http2(),
            "attempts": ctx.tried.len(),
            "query": query,
        }
    }))
}

fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(NAME_BYTES_MAX))
        .unwrap_or(text)
}
