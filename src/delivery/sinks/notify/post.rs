//! One HTTP/1.1 POST on a connection of its own. Notifications are rare; nothing is kept open for them.
//!
//! No deadline here: the worker gives one to the whole batch. Redirects are not followed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Server;
use crate::delivery::net::Connector;

/// Bytes of an answer's head; its body is not read.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Longest wait a receiver may ask for.
const AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Where notifications are posted.
pub(super) struct Poster {
    connector: Connector,
    host: String,
    path: Arc<str>,
}

/// What a receiver said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// How long it asks to wait.
    pub(super) after: Option<Duration>,
}

impl Poster {
    pub(super) fn to(server: &Server, path: &Arc<str>) -> Self {
        let Server { host, port, .. } = server;
        Self {
            connector: Connector::to(server),
            host: if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            },
            path: path.clone(),
        }
    }

    /// Posts JSON with further header fields, each with its line end.
    pub(super) async fn post(&mut self, fields: &str, body: &str) -> io::Result<Answer> {
        let mut stream = self.connector.connect().await?;
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: rg-gateway/{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n{fields}\r\n{body}",
            self.path,
            self.host,
            env!("CARGO_PKG_VERSION"),
            body.len(),
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        let mut piece = [0; 1024];
        loop {
            let read = stream.read(&mut piece).await?;
            head.extend_from_slice(piece.get(..read).unwrap_or_default());
            if let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") {
                let answer = parse(head.get(..end).unwrap_or_default());
                match answer {
                    // An interim answer; the last one is still to come.
                    Some(Answer {
                        status: 100..=199, ..
                    }) => drop(head.drain(..end + 4)),
                    Some(answer) => return Ok(answer),
                    None => return Err(io::Error::other("the answer is no HTTP")),
                }
            } else if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            } else if head.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("the answer's head does not end"));
            }
        }
    }
}

/// Status and `Retry-After` of an answer's head.
fn parse(head: &[u8]) -> Option<Answer> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let status = status.parse().ok().filter(|s| (100..=599).contains(s))?;
    let after = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(AFTER_MAX));
    Some(Answer { status, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_the_wait_it_asks_for() {
        let after = |secs| Some(Duration::from_secs(secs));
        for (head, expected) in [
            ("HTTP/1.1 200 OK", Some((200, None))),
            ("HTTP/1.0 503 No\r\nretry-after:  7", Some((503, after(7)))),
            (
                "HTTP/1.1 429 x\r\nRetry-After: 99999",
                Some((429, after(3_600))),
            ),
            ("HTTP/1.1 429 x\r\nRetry-After: tomorrow", Some((429, None))),
            ("HTTP/1.1 99 x", None),
            ("HTTP/2 200", None),
            ("", None),
        ] {
            let expected = expected.map(|(status, after)| Answer { status, after });
            assert_eq!(parse(head.as_bytes()), expected, "{head}");
        }
    }
}
