//! What of a request is recorded, once it is judged.

use pingora::proxy::Session;

use super::context::RequestContext;
use crate::app::App;
use crate::audit::timestamp;
use crate::policy::threat::{Inspection, Verdict};
use crate::recording::{Recorded, Recorder};

/// Hands the request over to be recorded, where the configuration says so and this is its last judgement.
pub(super) fn record(
    app: &App,
    session: &Session,
    ctx: &RequestContext,
    found: &Inspection,
    body: &[u8],
) {
    let Some(recorder) = &ctx.snapshot.recorder else {
        return;
    };
    let blocked = found.verdict == Verdict::Block;
    // A body that is held back is judged once more, with the body.
    let body_follows = body.is_empty() && !ctx.body.is_released();
    if recorder.wants(ctx.id) && (blocked || !body_follows) {
        let recorded = recorded(recorder, session, ctx, found, body);
        app.metrics.recording(recorder.record(recorded));
    }
}

fn recorded(
    recorder: &Recorder,
    session: &Session,
    ctx: &RequestContext,
    found: &Inspection,
    body: &[u8],
) -> Recorded {
    let settings = recorder.settings();
    let request = session.req_header();
    let mut rules: Vec<String> = found
        .indicators
        .iter()
        .map(|i| i.rule.to_string())
        .collect();
    rules.dedup();
    let mut recorded = Recorded {
        id: ctx.decision_id().to_string(),
        at: String::from_utf8(timestamp::text(ctx.now.unix_micros).to_vec()).ok(),
        route: ctx.route().map(|route| route.name.to_string()),
        key: ctx.caller.as_ref().map(|caller| caller.key_id.to_string()),
        organization: ctx
            .caller
            .as_ref()
            .map(|caller| caller.organization_id.to_string()),
        client: ctx.client,
        method: request.method.to_string(),
        path: match request.uri.query() {
            Some(query) => format!("{}?{query}", ctx.kept_path(request.uri.path())),
            None => ctx.kept_path(request.uri.path()).into_owned(),
        },
        verdict: Some(
            if found.verdict == Verdict::Block {
                "block"
            } else {
                "pass"
            }
            .to_owned(),
        ),
        body_cut: body.len() > settings.body_bytes_max,
        rules,
        ..Recorded::default()
    };
    for name in &settings.headers {
        let values: Vec<&str> = request
            .headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        if !values.is_empty() {
            recorded
                .headers
                .insert(name.as_str().to_owned(), values.join(", "));
        }
    }
    let mut kept = body.len().min(settings.body_bytes_max);
    // Not in the middle of a character, or text would be none.
    while kept < body.len() && body.get(kept).is_some_and(|byte| byte & 0xc0 == 0x80) && kept > 0 {
        kept -= 1;
    }
    recorded.set_body(body.get(..kept).unwrap_or_default().to_vec());
    recorded
}
