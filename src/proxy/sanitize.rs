//! A request forwarded with its offending values rewritten.
//!
//! Where the upstream has not seen the head yet, lengths and digests are put right. A body that was held back is
//! announced already: it may only keep its length, so a JSON body is filled up with blanks, and what else
//! does not fit is blocked.

use bytes::Bytes;
use http::HeaderName;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::RequestHeader;
use serde_json::{Value, json};

use super::context::RequestContext;
use crate::hex;
use crate::policy::mask;
use crate::policy::refusal::Refusal;
use crate::policy::threat::{
    Engine, Inspect, Inspection, Mitigation, Sanitized, SanitizedValue, Verdict,
};

/// Digests of a body that is no longer forwarded.
static DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// What is forwarded in place of what was sent.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    query: Option<String>,
    body: Option<Bytes>,
    values: Vec<SanitizedValue>,
}

/// Rewrites the request where a rule wants that and nothing blocks it. `announced` says that the upstream has seen
/// its head.
pub(super) fn sanitize(
    engine: &Engine,
    request: &Inspect<'_>,
    found: &Inspection,
    announced: bool,
) -> Result<Option<Sanitized>, Refusal> {
    if found.verdict == Verdict::Block || !found.mitigations.has(Mitigation::SanitizeInput) {
        return Ok(None);
    }
    let mut clean = engine.sanitize(request, found).ok_or(Refusal::Threat)?;
    if announced && clean.query.is_some() {
        return Err(Refusal::Threat);
    }
    if announced && let Some(body) = clean.body.take() {
        clean.body = Some(fitted(body, request).ok_or(Refusal::Threat)?);
    }
    Ok(Some(clean))
}

/// A body in the framing that the upstream was told of.
fn fitted(mut body: Vec<u8>, request: &Inspect<'_>) -> Option<Vec<u8>> {
    let headers = request.headers;
    let describes = |name: &HeaderName| headers.contains_key(name);
    if describes(&CONTENT_ENCODING) || DIGESTS.iter().any(describes) {
        return None;
    }
    if !headers.contains_key(CONTENT_LENGTH) {
        return Some(body);
    }
    let announced = request.body.len();
    let is_json = matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    if body.len() > announced || body.len() < announced && !is_json {
        return None;
    }
    // Blanks after a document mean nothing (RFC 8259, 2).
    body.resize(announced, b' ');
    Some(body)
}

impl RequestContext {
    /// Has the cleaned parts forwarded.
    pub(super) fn adopt(&mut self, clean: Option<Sanitized>) {
        let Some(clean) = clean else { return };
        let rewritten = self.rewritten.get_or_insert_default();
        rewritten.query = clean.query.or_else(|| rewritten.query.take());
        rewritten.body = clean.body.map(Bytes::from);
        rewritten.values.extend(clean.values);
    }

    /// The query string that is forwarded, where it is another than was sent.
    pub(super) fn rewritten_query(&self) -> Option<&str> {
        self.rewritten.as_ref()?.query.as_deref()
    }

    /// The body that is forwarded, where it is another than was sent.
    pub(super) fn rewritten_body(&self) -> Option<Bytes> {
        self.rewritten.as_ref()?.body.clone()
    }

    /// What the audit event tells of it: where, by which rules, and hashes; never a value.
    pub(super) fn rewritten_values(&self) -> Option<Value> {
        let values = &self.rewritten.as_ref()?.values;
        let told = values.iter().map(|value| {
            let rules: Vec<&str> = value.rules.iter().map(|rule| &**rule).collect();
            json!({
                "field": mask::text(&value.field), "rules": rules,
                "before_sha256": hex::text(&value.before),
                "after_sha256": hex::text(&value.after),
            })
        });
        Some(json!({"sanitized": told.collect::<Vec<_>>()}))
    }
}

/// Puts the rewritten body in the place of the one that is replayed.
pub(super) fn replace(ctx: &RequestContext, body: &mut Option<Bytes>, end_of_stream: bool) {
    let Some(new) = ctx.rewritten_body() else {
        return;
    };
    // An empty chunk is not written; `None` would end the upstream's body.
    *body = Some(if end_of_stream { new } else { Bytes::new() });
}

/// Makes the head tell of the rewritten body.
pub(super) fn announce(request: &mut RequestHeader, ctx: &RequestContext) -> pingora::Result<()> {
    let Some(body) = ctx.rewritten_body() else {
        return Ok(());
    };
    request.remove_header(&CONTENT_ENCODING);
    for digest in &DIGESTS {
        request.remove_header(digest);
    }
    if request.remove_header(&CONTENT_LENGTH).is_some() {
        request.remove_header(&TRANSFER_ENCODING);
        request.insert_header(CONTENT_LENGTH, body.len())?;
    }
    Ok(())
}
