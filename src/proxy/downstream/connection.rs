//! One client connection as Pingora sees it: a stream that ends where its message ends.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, BufMut, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::timer::Timer;
use super::{Downstream, Socket, WireFault, WireLimits, linger};
use crate::policy::hygiene::{ChunkedScanner, Framing, HeadScanner, Violation};

/// What an HTTP/2 client says first.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes read from the socket at once while a head or a chunked body is scanned.
const READ_BYTES: usize = 8 * 1024;
/// Bytes of a chunked message handed out at once.
const RELEASE_BYTES_MAX: usize = 16 * 1024;
/// Pipelined bytes kept while a request is being answered; beyond it TCP makes the client wait.
const PIPELINED_BYTES_MAX: usize = 16 * 1024;
/// Written bytes gathered before the socket is asked to take them.
const GATHER_BYTES: usize = 16 * 1024;

/// What remains of the current message.
#[derive(Debug)]
enum Rest {
    /// The message is over; nothing more is handed out.
    Over,
    /// A body of known length.
    Length(u64),
    /// A chunked body; so many received bytes are already found good.
    Chunked {
        scanner: ChunkedScanner,
        good: usize,
        done: bool,
    },
    /// Bytes pass unframed: HTTP/2, or a tunnel after 101.
    Raw,
}

/// A request head, complete and checked, at the front of the connection.
pub(super) enum NextHead {
    /// It is here and well formed.
    Ready,
    /// The client is gone or idle for too long, between messages.
    Closed,
    /// It is refused; the bytes received of it are at the front.
    Refused(WireFault),
}

/// A client connection.
pub(crate) struct Connection {
    /// Taken only when the connection is dropped.
    socket: Option<Socket>,
    downstream: Arc<Downstream>,
    digest: Arc<ProxyDigest>,
    limits: Arc<WireLimits>,
    received: BytesMut,
    /// Bytes of the checked head not handed out yet.
    head_left: usize,
    rest: Rest,
    outgoing: BytesMut,
    stall: Timer,
    whole_body: Timer,
    write_stall: Timer,
    wrote: bool,
    http2: bool,
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        downstream: Arc<Downstream>,
        limits: Arc<WireLimits>,
        http2: bool,
    ) -> pingora::Result<Self> {
        let response = Box::new(pingora::http::ResponseHeader::build(200, Some(0))?);
        let identity: Box<Arc<Downstream>> = Box::new(downstream.clone());
        Ok(Self {
            socket: Some(socket),
            digest: Arc::new(ProxyDigest::new(response, Some(identity))),
            downstream,
            limits,
            received: BytesMut::new(),
            head_left: 0,
            rest: if http2 { Rest::Raw } else { Rest::Over },
            outgoing: BytesMut::new(),
            stall: Timer::default(),
            whole_body: Timer::default(),
            write_stall: Timer::default(),
            wrote: false,
            http2,
        })
    }

    pub(super) fn downstream(&self) -> &Arc<Downstream> {
        &self.downstream
    }

    /// The bytes at the front; what a refused head looked like.
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Whether the message was taken to its last byte, so that another may follow.
    pub(super) fn is_message_over(&self) -> bool {
        self.head_left == 0 && matches!(self.rest, Rest::Over)
    }

    /// Waits for the client's first words and turns to HTTP/2 if they are its preface (RFC 9113, 3.4).
    ///
    /// False when the client said nothing in time.
    pub(crate) async fn greet(&mut self) -> bool {
        self.stall.start(self.limits.header_timeout);
        while self.received.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&self.received)
        {
            match std::future::poll_fn(|cx| self.poll_receive(cx)).await {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        self.stall.stop();
        if self.received.starts_with(HTTP2_PREFACE) {
            self.http2 = true;
            self.rest = Rest::Raw;
        }
        true
    }

    /// Whether the connection speaks HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.http2
    }

    /// Waits for the next request head: complete, checked, under one deadline.
    pub(super) async fn next_head(&mut self, first: bool) -> NextHead {
        let mut scanner = HeadScanner::new(self.limits.head);
        self.stall.stop();
        loop {
            match scanner.find_end(&self.received) {
                Ok(Some(end)) => return self.accept_head(end),
                Ok(None) => {}
                Err(violation) => return NextHead::Refused(WireFault::Violation(violation)),
            }
            let begun = !self.received.is_empty();
            if begun {
                // Invariant: the wait for the head is started once; reads do not prolong it.
                self.stall.start(self.limits.header_timeout);
            } else if first {
                self.stall.start(self.limits.header_timeout);
            } else {
                self.stall.start(self.limits.keepalive_timeout);
            }
            match std::future::poll_fn(|cx| self.poll_receive(cx)).await {
                Ok(0) if begun => return NextHead::Refused(WireFault::Truncated),
                Ok(0) => return NextHead::Closed,
                Ok(_) if !begun => self.stall.stop(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut && begun => {
                    return NextHead::Refused(WireFault::HeaderTimeout);
                }
                Err(_) => return NextHead::Closed,
            }
        }
    }

    fn accept_head(&mut self, end: usize) -> NextHead {
        self.stall.stop();
        let Some(head) = self.received.get(..end) else {
            return NextHead::Closed;
        };
        match crate::policy::hygiene::check_head(head, &self.limits.head) {
            Ok(head) => {
                self.received.advance(head.leading_bytes);
                self.head_left = end - head.leading_bytes;
                self.rest = match head.framing {
                    Framing::None | Framing::Length(0) => Rest::Over,
                    Framing::Length(length) => Rest::Length(length),
                    Framing::Chunked => Rest::Chunked {
                        scanner: ChunkedScanner::new(),
                        good: 0,
                        done: false,
                    },
                };
                self.whole_body.stop();
                NextHead::Ready
            }
            Err(violation) => NextHead::Refused(WireFault::Violation(violation)),
        }
    }

    /// Reads from the socket into `received`; an error of kind `TimedOut` when the wait that was
    /// started is over.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.received.reserve(READ_BYTES);
        let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        match poll_read_into(socket, cx, &mut self.received) {
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => match self.stall.poll_expired(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    /// How many received bytes the session may have now; advances the chunk scanner.
    fn releasable(&mut self) -> Result<usize, Violation> {
        if self.head_left == 0 && self.downstream.is_tunnel() {
            self.rest = Rest::Raw;
        }
        let head = self.head_left;
        let after_head = self.received.get(head..).unwrap_or_default();
        let body = match &mut self.rest {
            Rest::Over => 0,
            Rest::Raw => after_head.len(),
            Rest::Length(left) => usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .min(after_head.len()),
            Rest::Chunked {
                scanner,
                good,
                done,
            } => {
                if !*done && head == 0 {
                    // The head goes first, so that a bad body is answered as a request's body.
                    let fresh = after_head.get(*good..).unwrap_or_default();
                    let progress = scanner.advance(fresh)?;
                    *good += progress.consumed;
                    *done = progress.done;
                }
                *good
            }
        };
        Ok(head + body)
    }

    /// Hands received bytes to the session.
    fn release(&mut self, available: usize, buf: &mut ReadBuf<'_>) {
        // What reads ahead relies on a bounded read of an open-ended body.
        let most = match self.rest {
            Rest::Chunked { .. } => RELEASE_BYTES_MAX,
            _ => usize::MAX,
        };
        let n = available.min(buf.remaining()).min(most);
        buf.put_slice(self.received.get(..n).unwrap_or_default());
        self.received.advance(n);
        let of_head = n.min(self.head_left);
        self.head_left -= of_head;
        self.spend(n - of_head);
        self.stall.stop();
    }

    /// Counts body bytes handed out.
    fn spend(&mut self, n: usize) {
        match &mut self.rest {
            Rest::Length(left) => {
                *left = left.saturating_sub(n as u64);
                if *left == 0 {
                    self.rest = Rest::Over;
                }
            }
            Rest::Chunked { good, done, .. } => {
                *good = good.saturating_sub(n);
                if *good == 0 && *done {
                    self.rest = Rest::Over;
                }
            }
            Rest::Over | Rest::Raw => {}
        }
    }

    fn fail(&self, fault: WireFault, kind: io::ErrorKind) -> Poll<io::Result<()>> {
        self.downstream.record(fault);
        Poll::Ready(Err(io::Error::new(kind, format!("{fault:?}"))))
    }

    /// Waits for more of the message.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self.rest {
            Rest::Over => {
                // Only watched for the client going away; what it pipelines waits its turn.
                self.stall.stop();
                if self.received.len() >= PIPELINED_BYTES_MAX {
                    return Poll::Pending;
                }
                return self.poll_receive(cx);
            }
            Rest::Raw => self.stall.stop(),
            Rest::Length(_) | Rest::Chunked { .. } => {
                self.stall.start(self.limits.body_stall_timeout);
                self.whole_body.start(self.limits.body_timeout);
            }
        }
        let read = self.poll_receive(cx);
        if read.is_pending() && self.whole_body.poll_expired(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }

    fn poll_drain_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.downstream.poll_held(cx))?;
        while !self.outgoing.is_empty() {
            let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            let written = match Pin::new(socket).poll_write(cx, &self.outgoing) {
                Poll::Ready(written) => written?,
                Poll::Pending => return self.poll_write_stalled(cx).map(Err),
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.write_stall.stop();
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.write_stall.start(self.limits.write_stall_timeout);
        ready!(self.write_stall.poll_expired(cx));
        self.downstream.record(WireFault::WriteTimeout);
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let available = match this.releasable() {
                Ok(available) => available,
                Err(violation) => {
                    return this.fail(WireFault::Violation(violation), io::ErrorKind::InvalidData);
                }
            };
            if available > 0 {
                this.release(available, buf);
                return Poll::Ready(Ok(()));
            }
            match ready!(this.poll_more(cx)) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return this.fail(WireFault::BodyTimeout, io::ErrorKind::TimedOut);
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.wrote = true;
        if this.outgoing.len() + buf.len() <= GATHER_BYTES {
            this.outgoing.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        ready!(this.poll_drain_outgoing(cx))?;
        let socket = this.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        match Pin::new(socket).poll_write(cx, buf) {
            Poll::Ready(written) => {
                this.write_stall.stop();
                Poll::Ready(written)
            }
            Poll::Pending => this.poll_write_stalled(cx).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain_outgoing(cx))?;
        match self.socket.as_mut() {
            Some(socket) => Pin::new(socket).poll_flush(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain_outgoing(cx))?;
        match self.socket.as_mut() {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take()
            && self.wrote
            && (!self.is_message_over() || !self.received.is_empty())
        {
            linger::close(socket);
        }
    }
}

/// Reads once, at most [`READ_BYTES`], onto the end of `into`.
fn poll_read_into(
    socket: &mut Socket,
    cx: &mut Context<'_>,
    into: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut limited = into.limit(READ_BYTES);
    let read = socket.read_buf(&mut limited);
    std::pin::pin!(read).poll(cx)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("downstream", &self.downstream)
            .field("head_left", &self.head_left)
            .field("rest", &self.rest)
            .finish_non_exhaustive()
    }
}

impl UniqueID for Connection {
    fn id(&self) -> i32 {
        self.socket.as_ref().map_or(-1, Socket::descriptor)
    }
}

impl Ssl for Connection {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(if self.http2 { ALPN::H2 } else { ALPN::H1 })
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        use tokio::io::AsyncWriteExt;
        // The connection is over either way.
        drop(AsyncWriteExt::shutdown(self).await);
    }
}

impl Peek for Connection {}
