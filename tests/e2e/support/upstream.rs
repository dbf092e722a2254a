//! The API behind the gateway, as a recording server that answers by script.
//!
//! It keeps the exact bytes of every connection, and counts as *body bytes* all that arrived after
//! a head that announces a body: what a blocked request must never cause.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{future, io};

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::http1::{Framing, Head, Reader, chunked, find};

/// A request as it reached the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: HeaderMap,
    /// What has arrived of the decoded body.
    pub(crate) body: Vec<u8>,
    /// The body has ended as its framing says.
    pub(crate) complete: bool,
}

impl Received {
    /// The first field of this name, or nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map_or("", |v| v.to_str().expect("a text value"))
    }
}

/// What the upstream does once a request is complete.
pub(crate) enum Reply {
    /// An answer with a Content-Length.
    Whole(u16, Vec<(&'static str, String)>, Bytes),
    /// A status without a body, for 204 and 304.
    Bare(u16),
    /// A 200 in chunks.
    Chunked(Vec<Bytes>),
    /// A 200 in chunks that the test hands over one by one.
    Fed(mpsc::Receiver<Bytes>),
    /// The reply after a pause.
    After(Duration, Box<Self>),
    /// Silence until the gateway gives up.
    Never,
    /// The connection is closed without an answer.
    Close,
    /// Half of a promised body, then the connection is closed.
    Truncated,
    /// 101, then every byte is sent back.
    Echo,
}

impl Reply {
    /// A 200 with a JSON body.
    pub(crate) fn json(body: &'static str) -> Self {
        let json = ("Content-Type", "application/json".to_owned());
        Self::Whole(200, vec![json], Bytes::from_static(body.as_bytes()))
    }
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;

#[derive(Default)]
struct Record {
    requests: Mutex<Vec<Received>>,
    bytes: Mutex<Vec<Vec<u8>>>,
}

/// A running upstream; it stops when dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    record: Arc<Record>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// Answers every request with 200 and a small JSON body.
    pub(crate) async fn start() -> Self {
        Self::answering(|_| Reply::json(r#"{"rows":[["Ada"]]}"#)).await
    }

    /// Answers by script.
    pub(crate) async fn answering(
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let record = Arc::new(Record::default());
        let (script, kept): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&record));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Connection::new(stream, Arc::clone(&kept), Arc::clone(&script));
                tokio::spawn(connection.serve());
            }
        });
        Self {
            address,
            record,
            accepting,
        }
    }

    /// An address nobody listens on.
    pub(crate) async fn absent() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        listener.local_addr().expect("an address")
    }

    /// All requests whose head has arrived, in order.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.record.requests.lock().expect("not poisoned").clone()
    }

    /// The one request that arrived.
    pub(crate) fn only_request(&self) -> Received {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    /// On all connections, every byte after the first head that announces a body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.bytes().iter().map(|bytes| beyond_heads(bytes)).sum()
    }

    /// The exact bytes of every connection.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.record.bytes.lock().expect("not poisoned").clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn beyond_heads(bytes: &[u8]) -> usize {
    match find(bytes, b"\r\n\r\n") {
        None => 0,
        Some(end) => {
            let (head, rest) = bytes.split_at(end + 4);
            match Head::parse(head).request_framing() {
                Framing::Nothing => beyond_heads(rest),
                _ => rest.len(),
            }
        }
    }
}

/// Copies what is read into the record before anybody looks at it.
struct Tap {
    stream: OwnedReadHalf,
    record: Arc<Record>,
    connection: usize,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let arrived = &buffer.filled()[before..];
        self.record.bytes.lock().expect("not poisoned")[self.connection].extend(arrived);
        outcome
    }
}

struct Connection {
    reader: Reader<Tap>,
    writer: OwnedWriteHalf,
    record: Arc<Record>,
    script: Arc<Script>,
}

impl Connection {
    fn new(stream: TcpStream, record: Arc<Record>, script: Arc<Script>) -> Self {
        let (stream, writer) = stream.into_split();
        let connection = {
            let mut bytes = record.bytes.lock().expect("not poisoned");
            bytes.push(Vec::new());
            bytes.len() - 1
        };
        let tap = Tap {
            stream,
            record: Arc::clone(&record),
            connection,
        };
        Self {
            reader: Reader::new(tap),
            writer,
            record,
            script,
        }
    }

    async fn serve(mut self) {
        while let Ok(Some(head)) = self.reader.head().await {
            let Ok(received) = self.receive(&head).await else {
                return;
            };
            let reply = (self.script)(&received);
            if !self.answer(reply, &received.method).await.unwrap_or(false) {
                return;
            }
        }
    }

    /// Records the request while its body arrives.
    async fn receive(&mut self, head: &Head) -> io::Result<Received> {
        if head.field("expect").is_some() {
            self.writer
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        let framing = head.request_framing();
        let place = {
            let mut requests = self.record.requests.lock().expect("not poisoned");
            requests.push(Received {
                method: head.word(0).to_owned(),
                target: head.word(1).to_owned(),
                fields: head.fields.clone(),
                body: Vec::new(),
                complete: framing == Framing::Nothing,
            });
            requests.len() - 1
        };
        let record = Arc::clone(&self.record);
        let keep = |piece: &[u8]| {
            record.requests.lock().expect("not poisoned")[place]
                .body
                .extend(piece);
        };
        self.reader.body(framing, keep).await?;
        let mut requests = self.record.requests.lock().expect("not poisoned");
        requests[place].complete = true;
        Ok(requests[place].clone())
    }

    /// Answers; true when the connection can be used again.
    async fn answer(&mut self, reply: Reply, method: &str) -> io::Result<bool> {
        let mut reply = reply;
        while let Reply::After(pause, later) = reply {
            tokio::time::sleep(pause).await;
            reply = *later;
        }
        match reply {
            Reply::Whole(status, fields, body) => self.whole(status, &fields, &body, method).await,
            Reply::Bare(status) => {
                let head = format!("HTTP/1.1 {status} Status\r\nETag: \"1\"\r\n\r\n");
                self.writer.write_all(head.as_bytes()).await.map(|()| true)
            }
            Reply::Chunked(pieces) => {
                self.writer.write_all(CHUNKED_HEAD).await?;
                let body = chunked(pieces.iter().map(AsRef::as_ref));
                self.writer.write_all(&body).await.map(|()| true)
            }
            Reply::Fed(pieces) => self.fed(pieces).await.map(|()| true),
            Reply::Never => future::pending().await,
            Reply::Truncated => {
                let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
                self.writer.write_all(half).await.map(|()| false)
            }
            Reply::Echo => self.echo().await.map(|()| false),
            Reply::Close | Reply::After(..) => Ok(false),
        }
    }

    async fn whole(
        &mut self,
        status: u16,
        fields: &[(&str, String)],
        body: &[u8],
        method: &str,
    ) -> io::Result<bool> {
        let mut message = format!(
            "HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in fields {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        message.push_str("\r\n");
        let mut message = message.into_bytes();
        if method != "HEAD" {
            message.extend(body);
        }
        self.writer.write_all(&message).await.map(|()| true)
    }

    async fn fed(&mut self, mut pieces: mpsc::Receiver<Bytes>) -> io::Result<()> {
        self.writer.write_all(CHUNKED_HEAD).await?;
        while let Some(piece) = pieces.recv().await {
            let size = format!("{:x}\r\n", piece.len());
            let chunk = [size.as_bytes(), &piece, b"\r\n"].concat();
            self.writer.write_all(&chunk).await?;
        }
        self.writer.write_all(b"0\r\n\r\n").await
    }

    async fn echo(&mut self) -> io::Result<()> {
        // The sample exchange of RFC 6455, section 1.3.
        let accepted = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        self.writer.write_all(accepted).await?;
        loop {
            let bytes = self.reader.take_buffered();
            self.writer.write_all(&bytes).await?;
            if self.reader.fill().await? == 0 {
                return Ok(());
            }
        }
    }
}

const CHUNKED_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
