//! The downstream side of the wire: what a client may send, how fast, and where a message ends.
//!
//! Pingora parses what it is given; this module decides what it is given. Each HTTP/1 request head is
//! read whole under one deadline and checked strictly before Pingora sees a byte; then exactly the
//! bytes of that one message are handed on. Framing is thereby decided once, in
//! [`crate::policy::hygiene`], and pipelined bytes never reach a parser that might read them
//! otherwise.
//!
//! It does not decide who may ask for what: that is [`crate::proxy`]'s request phases.

mod connection;
mod http1;
mod linger;
mod socket;
mod timer;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub(crate) use connection::Connection;
pub(crate) use http1::serve as serve_http1;
pub(crate) use socket::Socket;

use crate::policy::hygiene::{HeadLimits, Violation};

#[cfg(test)]
mod tests;

/// What a connection is allowed, copied from the configuration it was accepted under.
#[derive(Clone, Debug)]
pub(crate) struct WireLimits {
    /// The whole request head, and a first byte on a new connection.
    pub header_timeout: Duration,
    /// Idle between two requests.
    pub keepalive_timeout: Duration,
    /// Between two reads of a body.
    pub body_stall_timeout: Duration,
    /// A whole body.
    pub body_timeout: Duration,
    /// A client that does not read its answer.
    pub write_stall_timeout: Duration,
    /// Sizes of a request head.
    pub head: HeadLimits,
}

/// What went wrong below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFault {
    /// The bytes are not a request RFC 9112 allows.
    Violation(Violation),
    /// The client closed within a head.
    Truncated,
    /// The head did not arrive in time.
    HeaderTimeout,
    /// The body stopped coming, or took too long altogether.
    BodyTimeout,
    /// The client stopped reading.
    WriteTimeout,
}

/// What the end of an answer waits for; false means that the answer must not end.
type Hold = Pin<Box<dyn Future<Output = bool> + Send>>;

/// What the rest of the gateway knows of a client's connection.
pub(crate) struct Downstream {
    /// The peer's address; a trusted proxy may speak for somebody else.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Set when the connection has become a tunnel (101).
    tunnel: AtomicBool,
    /// The first thing that went wrong with the current message.
    fault: Mutex<Option<WireFault>>,
    /// Bytes written from now on wait for it.
    hold: Mutex<Option<Hold>>,
}

impl fmt::Debug for Downstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downstream")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Downstream {
    pub(crate) fn new(address: SocketAddr, tls: bool) -> Self {
        Self {
            address,
            tls,
            tunnel: AtomicBool::new(false),
            fault: Mutex::new(None),
            hold: Mutex::new(None),
        }
    }

    /// From here on bytes pass unframed: the upstream has answered 101.
    pub(crate) fn become_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    fn record(&self, fault: WireFault) {
        let mut first = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(fault);
    }

    /// Keeps what is written from now on off the wire until `hold` completes: how an answer waits for
    /// its audit event to be on disk.
    pub(crate) fn hold_answer(&self, hold: impl Future<Output = bool> + Send + 'static) {
        let mut slot = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(Box::pin(hold));
    }

    /// Ready when nothing holds the answer back; an error when it must not be given.
    fn poll_held(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slot = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(hold) = slot.as_mut() else {
            return Poll::Ready(Ok(()));
        };
        let may_end = ready!(hold.as_mut().poll(cx));
        *slot = None;
        Poll::Ready(if may_end {
            Ok(())
        } else {
            Err(io::Error::other("the audit event is not on disk"))
        })
    }

    /// What went wrong with the message, if the wire is to blame.
    pub(crate) fn fault(&self) -> Option<WireFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
