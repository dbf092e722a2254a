//! A client for sinks that speak HTTP: one kept-alive HTTP/1.1 connection, a whole answer or a reason.
//!
//! A connection that was not used to the end is closed with the call that was dropped. A request is sent again
//! only when an idle connection turned out to be closed before any of it had left.
//!
//! It follows no redirects, reads no proxy settings from the environment and keeps no cookies.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::net::{Connector, Stream};
use crate::config::{Server, Service};

/// Largest answer that is read: far beyond what a batch of the largest size is answered with.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A shorter secret would be found in any answer.
const SECRET_BYTES_MIN: usize = 4;
/// Longest wait a `Retry-After` may ask for; the worker's own bound may be lower.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// How long the service asks to wait.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// What is asked of a service.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Path and query below the base address.
    pub(super) path: &'a str,
    pub(super) content_type: &'static str,
    pub(super) fields: &'a [(HeaderName, HeaderValue)],
    pub(super) body: Bytes,
}

impl Ask<'_> {
    /// A question without a body.
    pub(super) fn get(path: &str) -> Ask<'_> {
        Ask {
            method: Method::GET,
            path,
            content_type: "",
            fields: &[],
            body: Bytes::new(),
        }
    }

    /// JSON to be put or posted.
    pub(super) fn json(method: Method, path: &str, body: impl Into<Bytes>) -> Ask<'_> {
        Ask {
            method,
            path,
            content_type: "application/json",
            fields: &[],
            body: body.into(),
        }
    }
}

/// One service and the connection to it.
pub(super) struct HttpClient {
    connector: Connector,
    /// The `Host` field.
    host: String,
    /// What every path begins with.
    path: Arc<str>,
    authorization: Option<HeaderValue>,
    /// What of it no answer may say again, since what a service answers is told in logs.
    secrets: Vec<Vec<u8>>,
    idle: Option<Connection>,
}

impl HttpClient {
    /// Nothing is contacted yet.
    pub(super) fn of(service: &Service) -> Self {
        let Server { host, port, .. } = &service.server;
        let secret = service.authorization.as_ref();
        let mut authorization =
            secret.and_then(|secret| HeaderValue::from_str(secret.expose()).ok());
        if let Some(field) = &mut authorization {
            field.set_sensitive(true);
        }
        Self {
            connector: Connector::to(&service.server),
            host: match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            },
            path: Arc::clone(&service.path),
            authorization,
            secrets: secret.map_or_else(Vec::new, |secret| secrets_of(secret.expose())),
            idle: None,
        }
    }

    /// Whether the address has a path of its own, beside which nothing need be named.
    pub(super) fn has_path(&self) -> bool {
        !self.path.is_empty()
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// Why there is no whole answer; whether the request was taken is then unknown.
    pub(super) async fn send(&mut self, ask: Ask<'_>) -> Result<Answer, String> {
        let request = self.request(ask).map_err(|cause| cause.to_string())?;
        let request = match self.idle.take() {
            Some(connection) if !connection.sender.is_closed() => {
                match self.over(connection, request).await? {
                    Sent::Answered(answer) => return Ok(answer),
                    Sent::NotAtAll(request) => request,
                }
            }
            _ => request,
        };
        let connection = self.connect().await.map_err(|cause| chain(&cause))?;
        match self.over(connection, request).await? {
            Sent::Answered(answer) => Ok(answer),
            Sent::NotAtAll(_) => {
                Err("the connection closed before the request was sent".to_owned())
            }
        }
    }

    fn request(&self, ask: Ask<'_>) -> http::Result<Request<Full<Bytes>>> {
        let path = format!("{}{}", self.path, ask.path);
        let path: PathAndQuery = path.try_into()?;
        let mut request = Request::builder()
            .method(ask.method)
            .uri(Uri::from(path))
            .header(HOST, &self.host)
            .header(
                USER_AGENT,
                concat!("rg-gateway/", env!("CARGO_PKG_VERSION")),
            );
        if !ask.content_type.is_empty() {
            request = request.header(CONTENT_TYPE, ask.content_type);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (name, value) in ask.fields {
            request = request.header(name, value);
        }
        request.body(Full::new(ask.body))
    }

    /// Sends over this connection, and keeps it when the answer was read to its end.
    async fn over(
        &mut self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Sent, String> {
        if connection.sender.ready().await.is_err() {
            return Ok(Sent::NotAtAll(request));
        }
        let response = match connection.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut unsent) => {
                return match unsent.take_message() {
                    Some(request) => Ok(Sent::NotAtAll(request)),
                    None => Err(chain(unsent.error())),
                };
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|cause| chain(cause.as_ref()))?.to_bytes();
        self.idle = Some(connection);
        Ok(Sent::Answered(Answer {
            status: head.status,
            retry_after: retry_after(&head.headers),
            body: self.without_secrets(body),
        }))
    }

    /// An answer that does not repeat what it was asked with.
    fn without_secrets(&self, mut answer: Bytes) -> Bytes {
        for secret in &self.secrets {
            while let Some(at) = memchr::memmem::find(&answer, secret) {
                let (before, rest) = answer.split_at(at);
                let after = rest.get(secret.len()..).unwrap_or_default();
                answer = [before, b"[secret]", after].concat().into();
            }
        }
        answer
    }

    async fn connect(&mut self) -> io::Result<Connection> {
        Connection::over(self.connector.connect().await?).await
    }
}

enum Sent {
    Answered(Answer),
    /// Nothing has left; the request as it was.
    NotAtAll(Request<Full<Bytes>>),
}

/// A connection and the task that moves its bytes, which ends with it.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Connection {
    async fn over(stream: Stream) -> io::Result<Self> {
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            // Whoever waits for an answer hears of the failure itself.
            let _told = connection.await;
        });
        Ok(Self { sender, task })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The credential of an `Authorization` field and, of a user and password, the password.
fn secrets_of(authorization: &str) -> Vec<Vec<u8>> {
    let credential = authorization
        .split_once(' ')
        .map_or(authorization, |(_, is)| is);
    let pair = STANDARD.decode(credential).unwrap_or_default();
    let password = memchr::memchr(b':', &pair).and_then(|at| pair.get(at + 1..));
    let secrets = [Some(credential.as_bytes()), password]
        .into_iter()
        .flatten();
    secrets
        .filter(|secret| secret.len() >= SECRET_BYTES_MIN)
        .map(<[u8]>::to_vec)
        .collect()
}

/// The seconds a service asks to wait; dates are not understood.
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    let seconds = fields
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// An error with its sources, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        let _ = write!(said, ": {cause}");
        source = cause.source();
    }
    said
}

#[cfg(test)]
mod tests;
