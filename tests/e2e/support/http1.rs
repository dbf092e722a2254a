//! HTTP/1.1 as bytes, for both ends of a test: the recording upstream and the byte-exact client.
//!
//! It reads strictly and panics on ill-formed messages: a gateway that emits one has failed the
//! test. It never normalises anything.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A message's first line and fields.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: HeaderMap,
}

/// How the body that follows a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Head {
    /// Reads a head with its empty line.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("a head is text");
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().expect("a first line").to_owned();
        let fields = lines
            .map(|line| {
                let (name, value) = line.split_once(':').expect("a field has a colon");
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
                (
                    name,
                    HeaderValue::from_str(value.trim()).expect("a field value"),
                )
            })
            .collect();
        Self { start, fields }
    }

    /// The word of the first line at this position, counted from 0.
    pub(crate) fn word(&self, position: usize) -> &str {
        self.start.split(' ').nth(position).unwrap_or_default()
    }

    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .get(name)
            .map(|v| v.to_str().expect("a text value"))
    }

    fn is_chunked(&self) -> bool {
        self.field("transfer-encoding")
            .is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    }

    fn content_length(&self) -> Option<usize> {
        self.field("content-length")
            .map(|v| v.parse().expect("a length"))
    }

    /// How a request's body is delimited.
    pub(crate) fn request_framing(&self) -> Framing {
        match self.content_length() {
            _ if self.is_chunked() => Framing::Chunked,
            None | Some(0) => Framing::Nothing,
            Some(length) => Framing::Length(length),
        }
    }

    /// How the body of an answer to `method` is delimited.
    pub(crate) fn answer_framing(&self, method: &str) -> Framing {
        let status = self.status();
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Framing::Nothing;
        }
        match self.content_length() {
            _ if self.is_chunked() => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        }
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.word(1).parse().expect("a status")
    }
}

/// Reads messages from a stream, keeping what arrived beyond the current one.
pub(crate) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// What has arrived and belongs to no message yet.
    pub(crate) fn take_buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// The next head; `None` when the stream ended before its first byte.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Ok(Some(Head::parse(&bytes)));
            }
            if self.fill().await? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// The body; each decoded piece is shown as it arrives.
    pub(crate) async fn body(
        &mut self,
        framing: Framing,
        mut piece: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match framing {
            Framing::Nothing => Ok(()),
            Framing::Length(length) => self.exactly(length, &mut piece).await,
            Framing::Chunked => self.chunks(&mut piece).await,
            Framing::UntilClose => loop {
                piece(&self.take_buffered());
                if self.fill().await? == 0 {
                    return Ok(());
                }
            },
        }
    }

    async fn chunks(&mut self, piece: &mut impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(digits, 16).expect("a chunk size");
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.exactly(size, piece).await?;
            assert_eq!(self.line().await?, "", "a chunk ends with an empty line");
        }
    }

    async fn exactly(&mut self, length: usize, piece: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let mut missing = length;
        while missing > 0 {
            if self.buffer.is_empty() && self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let available = missing.min(self.buffer.len());
            piece(&self.buffer[..available]);
            self.buffer.drain(..available);
            missing -= available;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let bytes: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8(bytes[..end].to_vec()).expect("a text line"));
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads once; 0 at the end of the stream.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.buffer).await
    }
}

/// Where `needle` first stands in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// The pieces as one chunked body, a chunk each.
pub(crate) fn chunked<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        out.extend(piece);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}
