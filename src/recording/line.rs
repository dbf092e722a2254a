//! One recorded request: a JSON object a line.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// One recorded request. Keys it does not know are passed over, so labelled traffic reads as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Recorded {
    /// What the request was known by.
    #[serde(default)]
    pub id: String,
    /// When it came, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The route that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The API key's id, never the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Who owns the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The method.
    pub method: String,
    /// Path and query as they came.
    pub path: String,
    /// Header fields; several of one name are joined by commas.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, where it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body in base64, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_b64: Option<String>,
    /// Whether only the beginning of the body was kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub body_cut: bool,
    /// Why the body was left out, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What was decided then: `pass` or `block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The rules that had matched then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// What the traffic is known to be, such as `attack`; only in labelled traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Recorded {
    /// The body's bytes; `None` when its base64 is none.
    pub fn body_bytes(&self) -> Option<Vec<u8>> {
        match (&self.body, &self.body_b64) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(encoded)) => STANDARD.decode(encoded).ok(),
            (None, None) => Some(Vec::new()),
        }
    }

    /// Takes a body, as text where it is text.
    pub fn set_body(&mut self, body: Vec<u8>) {
        match String::from_utf8(body) {
            Ok(text) if text.is_empty() => {}
            Ok(text) => self.body = Some(text),
            Err(bytes) => self.body_b64 = Some(STANDARD.encode(bytes.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_it_was_written_and_labelled_traffic_reads_too() {
        for body in [&b"{\"a\": 1}"[..], b"\xff\xfe", b""] {
            let mut recorded = Recorded {
                id: "1".into(),
                method: "POST".into(),
                path: "/a?b=c".into(),
                headers: [("content-type".into(), "text/plain".into())].into(),
                ..Recorded::default()
            };
            recorded.set_body(body.to_vec());
            let line = serde_json::to_string(&recorded).unwrap();
            let read: Recorded = serde_json::from_str(&line).unwrap();
            assert_eq!(read, recorded);
            assert_eq!(read.body_bytes().unwrap(), body);
        }
        let labelled = r#"{"id":"x","label":"benign","class":"c","method":"GET","path":"/","headers":{"A":"b"},"chunked":3}"#;
        let read: Recorded = serde_json::from_str(labelled).unwrap();
        assert_eq!(read.label.as_deref(), Some("benign"));
    }
}
