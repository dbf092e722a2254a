//! Clients that say exactly what the test says: HTTP/1 byte by byte, HTTP/2 frame by frame.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::answer::{Answer, Answered};
use super::http1::{Head, Reader};
use super::within;

/// One HTTP/1 connection to the gateway.
pub(crate) struct Wire {
    reader: Reader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    answered: Answered,
}

impl Wire {
    pub(crate) async fn to(address: SocketAddr, answered: Answered) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the gateway accepts");
        stream.set_nodelay(true).expect("a TCP socket");
        let (reader, writer) = stream.into_split();
        Self {
            reader: Reader::new(reader),
            writer,
            answered,
        }
    }

    /// Sends these bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A gateway may refuse and close before it has read everything; the answer tells.
        let _refused_early = self.writer.write_all(bytes.as_ref()).await;
    }

    /// Sends the pieces apart, so that they arrive in reads of their own.
    pub(crate) async fn send_apart(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            self.send(piece).await;
            // Shapes the input only: no outcome depends on it.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The next answer to a request of this method, whole.
    pub(crate) async fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer_to(method)
            .await
            .expect("an answer, whole")
            .expect("an answer")
    }

    /// The next answer; `None` when the connection ended before its first byte.
    pub(crate) async fn try_answer_to(&mut self, method: &str) -> io::Result<Option<Answer>> {
        let mut interim = Vec::new();
        let head = loop {
            match within("an answer's head", self.reader.head()).await? {
                Some(head) if (100..200).contains(&head.status()) && head.status() != 101 => {
                    interim.push(head.status());
                }
                Some(head) => break head,
                None => return Ok(None),
            }
        };
        let mut body = Vec::new();
        let framing = head.answer_framing(method);
        within(
            "an answer's body",
            self.reader.body(framing, |piece| body.extend(piece)),
        )
        .await?;
        Ok(Some(self.answered.note(Answer {
            status: head.status(),
            fields: head.fields,
            body,
            interim,
        })))
    }

    /// The next head alone, interim ones included.
    pub(crate) async fn head(&mut self) -> Head {
        let head = within("a head", self.reader.head()).await;
        head.expect("a whole head").expect("a head")
    }

    /// Exactly this many bytes beyond the last head.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = self.reader.take_buffered();
        while bytes.len() < count {
            let read = within("more bytes", self.reader.fill())
                .await
                .expect("a live connection");
            assert_ne!(read, 0, "the connection ended after {bytes:?}");
            bytes.extend(self.reader.take_buffered());
        }
        bytes
    }

    /// Waits until the gateway has closed the connection, by whatever means.
    pub(crate) async fn closed(&mut self) {
        while let Ok(1..) = within("the end of the connection", self.reader.fill()).await {}
    }
}

/// Sends one request over HTTP/2, without an upgrade before it, its body in these DATA frames.
///
/// An error is a stream or connection the gateway reset without an answer.
pub(crate) async fn http2<S>(
    stream: S,
    request: Request<()>,
    pieces: Vec<Bytes>,
    answered: &Answered,
) -> Result<Answer, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = h2::client::handshake(stream).await?;
    let driving = tokio::spawn(connection);
    let outcome = within("an HTTP/2 answer", http2_exchange(client, request, pieces)).await;
    driving.abort();
    outcome.map(|answer| answered.note(answer))
}

async fn http2_exchange(
    client: h2::client::SendRequest<Bytes>,
    request: Request<()>,
    pieces: Vec<Bytes>,
) -> Result<Answer, h2::Error> {
    let mut client = client.ready().await?;
    let (response, mut body) = client.send_request(request, pieces.is_empty())?;
    let count = pieces.len();
    for (place, piece) in pieces.into_iter().enumerate() {
        // The gateway may have answered and reset the stream already; the answer tells.
        let _refused_early = body.send_data(piece, place + 1 == count);
        tokio::task::yield_now().await;
    }
    let (parts, mut incoming) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        bytes.extend(piece);
    }
    Ok(Answer {
        status: parts.status.as_u16(),
        fields: parts.headers,
        body: bytes,
        interim: Vec::new(),
    })
}
