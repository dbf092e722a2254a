//! Holding a request body back until it is found harmless.
//!
//! Two paths, one promise: not one byte of a body goes upstream before the whole of it, up to the
//! route's inspection limit, has been judged.
//!
//! * A body that fits Pingora's replay buffer is read before the upstream is even chosen
//!   ([`read_ahead`]); Pingora replays it from there.
//! * A larger one is held in [`crate::proxy`]'s `request_body_filter` until its end: the upstream has
//!   seen the head by then, but no body, and a refusal drops that connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pingora::proxy::Session;

use crate::app::HeldBytes;
use crate::policy::refusal::Refusal;

/// What Pingora replays to the upstream after a body was read ahead (its `BODY_BUF_LIMIT`).
const REPLAY_BYTES_MAX: u64 = 64 * 1024;

/// The most a single read of a body without a length returns: a released piece of a chunked body
/// ([`Connection`](super::downstream::Connection)), or a DATA frame of the default size (RFC 9113, 4.2).
const READ_BYTES_MAX: u64 = 16 * 1024;

/// The body of a request, as far as it is held.
#[derive(Default)]
pub(super) enum HeldBody {
    /// Nothing is held yet.
    #[default]
    Waiting,
    /// Bytes wait for the end of the body; the bytes are counted against the gateway's budget.
    Holding { bytes: BytesMut, budget: HeldBytes },
    /// Judged; later bytes pass.
    Released,
}

/// What reading ahead came to.
pub(super) enum Ahead {
    /// The whole body is here, and Pingora will replay it.
    Whole(Bytes),
    /// It goes on beyond what can be replayed; what was read comes again, first, through the filter.
    Begun,
}

/// Whether reading ahead makes sense: the body is not known to exceed what Pingora replays.
pub(super) fn may_fit(content_length: Option<u64>) -> bool {
    content_length.is_none_or(|length| length <= REPLAY_BYTES_MAX)
}

/// Reads the body into Pingora's replay buffer before an upstream is chosen.
///
/// Pingora loses what does not fit that buffer, so a body without a length is read only while the
/// next read surely fits.
pub(super) async fn read_ahead(
    session: &mut Session,
    length: Option<u64>,
    within: Duration,
    budget: &HeldBytes,
) -> Result<Ahead, Refusal> {
    session.enable_retry_buffering();
    // HTTP/2 has no deadline of its own on body reads; HTTP/1 connections also enforce theirs.
    let read = tokio::time::timeout(within, read_while_it_fits(session, length, budget.none()));
    read.await.unwrap_or(Err(Refusal::RequestTimeout))
}

async fn read_while_it_fits(
    session: &mut Session,
    length: Option<u64>,
    mut budget: HeldBytes,
) -> Result<Ahead, Refusal> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    let mut held = 0;
    while length.is_some() || held + READ_BYTES_MAX <= REPLAY_BYTES_MAX {
        let read = session.read_request_body().await;
        let Some(chunk) = read.map_err(|_| Refusal::ClientGone)? else {
            let whole = if joined.is_empty() {
                first
            } else {
                joined.freeze()
            };
            return Ok(Ahead::Whole(whole));
        };
        if !budget.grow(chunk.len()) {
            return Err(Refusal::InspectionBusy);
        }
        held += chunk.len() as u64;
        if first.is_empty() {
            // The usual body comes in one piece and is not copied.
            first = chunk;
        } else {
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&chunk);
        }
    }
    Ok(Ahead::Begun)
}

impl HeldBody {
    /// Takes a chunk into custody.
    ///
    /// # Errors
    ///
    /// The bytes do not fit the gateway's budget for held bodies.
    pub(super) fn hold(&mut self, chunk: &[u8], budget: &HeldBytes) -> Result<usize, Refusal> {
        if matches!(self, Self::Waiting) {
            *self = Self::Holding {
                bytes: BytesMut::new(),
                budget: budget.none(),
            };
        }
        let Self::Holding { bytes, budget } = self else {
            return Ok(0);
        };
        if !budget.grow(chunk.len()) {
            return Err(Refusal::InspectionBusy);
        }
        bytes.extend_from_slice(chunk);
        Ok(bytes.len())
    }

    /// Gives up custody: everything held so far.
    pub(super) fn release(&mut self) -> Bytes {
        match std::mem::replace(self, Self::Released) {
            Self::Holding { bytes, .. } => bytes.freeze(),
            Self::Waiting | Self::Released => Bytes::new(),
        }
    }

    /// Whether later bytes pass.
    pub(super) fn is_released(&self) -> bool {
        matches!(self, Self::Released)
    }

    /// A new attempt begins: Pingora replays the body from its start, so what was held is dropped;
    /// a body judged before stays judged.
    pub(super) fn rewind(&mut self) {
        if matches!(self, Self::Holding { .. }) {
            *self = Self::Waiting;
        }
    }
}
