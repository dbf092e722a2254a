//! Looking at answers for personal data: a share of them, where the route asks for it.
//!
//! The head of a text answer is copied as it passes, within [`pii::TEXT_BYTES_MAX`] and the budget for held bodies,
//! and looked at when the answer ends. Nothing is held back and nothing changed; an answer that comes encoded is not
//! looked at, and one without room in the budget neither.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use pingora::http::ResponseHeader;

use super::context::RequestContext;
use crate::app::{App, HeldBytes};
use crate::config::Pii;
use crate::policy::pii;

/// The head of an answer, as far as it has passed.
pub(super) struct AnswerText {
    bytes: Vec<u8>,
    budget: HeldBytes,
    json: bool,
}

/// Whether this answer is one of those that are looked at.
pub(super) fn begin(
    app: &App,
    response: &ResponseHeader,
    ctx: &RequestContext,
) -> Option<AnswerText> {
    let inspection = ctx.route()?.inspection;
    if inspection.pii != Pii::RequestAndResponse
        || response.headers.contains_key(CONTENT_ENCODING)
        || fastrand::f64() >= inspection.pii_response_ratio
    {
        return None;
    }
    let kind = response.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next()?.trim().to_ascii_lowercase();
    let json = kind.ends_with("json") || kind.ends_with("jsonl");
    let text = json || kind.starts_with("text/") || kind.ends_with("xml");
    text.then(|| AnswerText {
        bytes: Vec::new(),
        budget: app.held_bytes.none(),
        json,
    })
}

/// Copies what passes, and looks at it when it was all.
pub(super) fn look(chunk: Option<&[u8]>, end_of_stream: bool, ctx: &mut RequestContext) {
    let Some(answer) = &mut ctx.answer else {
        return;
    };
    let room = pii::TEXT_BYTES_MAX.saturating_sub(answer.bytes.len());
    let chunk = chunk.unwrap_or_default();
    let kept = chunk.get(..room.min(chunk.len())).unwrap_or_default();
    if !answer.budget.grow(kept.len()) {
        ctx.answer = None;
        return;
    }
    answer.bytes.extend_from_slice(kept);
    if !end_of_stream {
        return;
    }
    if answer.json {
        pii::find_in_json(&answer.bytes, &mut ctx.answer_pii);
    } else {
        pii::find(&answer.bytes, &mut ctx.answer_pii);
    }
    ctx.answer = None;
}
