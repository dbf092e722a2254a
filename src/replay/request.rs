//! A recorded request in the parts the threat engine looks at.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::policy::hygiene::CanonicalPath;
use crate::recording::Recorded;

/// One request, ready to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) method: Method,
    pub(crate) raw_path: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) host: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) client: Option<IpAddr>,
}

/// Why a request cannot be judged by rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unplayable {
    /// Method, header or body are no such.
    #[error("not a whole request: method, header fields or body are malformed")]
    Malformed,
    /// The gateway refuses the path before any rule sees it.
    #[error("refused before any rule sees it: the path has no single meaning")]
    Path,
}

impl TryFrom<&Recorded> for Parts {
    type Error = Unplayable;

    fn try_from(recorded: &Recorded) -> Result<Self, Unplayable> {
        let method = Method::from_bytes(recorded.method.as_bytes());
        let method = method.map_err(|_| Unplayable::Malformed)?;
        // Bytes beyond ASCII travel percent-encoded; a file may hold them plain.
        let (raw_path, query) = match recorded.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (recorded.path.as_str(), None),
        };
        let canonical = CanonicalPath::parse(raw_path).map_err(|_| Unplayable::Path)?;
        let mut headers = HeaderMap::with_capacity(recorded.headers.len());
        for (name, value) in &recorded.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Unplayable::Malformed);
            };
            headers.append(name, value);
        }
        let host = headers.get(http::header::HOST);
        Ok(Self {
            host: host.and_then(|host| host.to_str().ok()).map(str::to_owned),
            path: canonical.as_str().to_owned(),
            raw_path: raw_path.to_owned(),
            query: query.map(str::to_owned),
            method,
            headers,
            body: recorded.body_bytes().ok_or(Unplayable::Malformed)?,
            route: recorded.route.clone(),
            key: recorded.key.clone(),
            client: recorded.client,
        })
    }
}
