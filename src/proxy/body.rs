//! Holding a request body back until it is found harmless.
//!
//! Two paths, one promise: not one byte of a body goes upstream before the whole of it, up to the
//! route's inspection limit, has been judged.
//!
//! * A body that surely fits Pingora's replay buffer is read before the upstream is even chosen
//!   ([`read_ahead`]); Pingora replays it from there.
//! * A larger or open-ended one is held in [`crate::proxy`]'s `request_body_filter` until its end:
//!   the upstream has seen the head by then, but no body, and a refusal drops that connection.

use bytes::{Bytes, BytesMut};
use pingora::proxy::Session;

use crate::app::HeldBytes;
use crate::policy::refusal::Refusal;

/// What Pingora replays to the upstream after a body was read ahead (its `BODY_BUF_LIMIT`).
const REPLAY_BYTES_MAX: u64 = 64 * 1024;

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

/// Whether the whole body can be read before an upstream is chosen.
///
/// Pingora loses what does not fit its replay buffer, so only a body whose declared length fits is
/// read ahead. Its length is known and checked by then.
pub(super) fn fits_read_ahead(content_length: Option<u64>) -> bool {
    content_length.is_some_and(|length| length <= REPLAY_BYTES_MAX)
}

/// Reads the whole body into Pingora's replay buffer and returns a copy to judge.
pub(super) async fn read_ahead(
    session: &mut Session,
    length: u64,
    within: std::time::Duration,
) -> Result<Bytes, Refusal> {
    session.enable_retry_buffering();
    let all = async {
        let Some(first) = session
            .read_request_body()
            .await
            .map_err(|_| Refusal::ClientGone)?
        else {
            return Ok(Bytes::new());
        };
        if first.len() as u64 == length {
            // The usual case: one read, no copy. The end still has to be seen by Pingora.
            while session
                .read_request_body()
                .await
                .map_err(|_| Refusal::ClientGone)?
                .is_some()
            {}
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
        whole.extend_from_slice(&first);
        while let Some(more) = session
            .read_request_body()
            .await
            .map_err(|_| Refusal::ClientGone)?
        {
            whole.extend_from_slice(&more);
        }
        Ok(whole.freeze())
    };
    // HTTP/2 has no deadline of its own on body reads; HTTP/1 connections also enforce theirs.
    match tokio::time::timeout(within, all).await {
        Ok(read) => read,
        Err(_) => Err(Refusal::RequestTimeout),
    }
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
