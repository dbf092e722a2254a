//! An answer as a client got it, whichever protocol brought it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use serde_json::Value;

/// A complete answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Statuses of the interim answers before it.
    pub(crate) interim: Vec<u16>,
}

impl Answer {
    /// The first field of this name, or nothing.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map_or("", |v| v.to_str().expect("a text value"))
    }

    /// The request's id; every answer carries exactly one.
    pub(crate) fn request_id(&self) -> &str {
        let count = self.fields.get_all("x-request-id").iter().count();
        assert_eq!(count, 1, "an answer carries one X-Request-Id: {self:?}");
        self.field("x-request-id")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text body")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|cause| panic!("not JSON ({cause}): {self:?}"))
    }

    /// The refusal's problem document (RFC 9457), checked for what every refusal promises.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(
            self.field("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["request_id"], self.request_id(), "{problem}");
        for member in ["type", "title", "detail", "code", "decision_id"] {
            let text = problem[member].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "a problem has its {member}: {problem}");
        }
        problem
    }

    /// Asserts a refusal with this status, and returns its stable code.
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self.problem()["code"].as_str().expect("a code").to_owned()
    }
}

/// The request ids of every complete answer of one gateway: each must be audited.
#[derive(Clone)]
pub(crate) struct Answered(Option<Arc<Mutex<Vec<String>>>>);

impl Answered {
    /// Remembers the answers of a gateway.
    pub(crate) fn by_gateway() -> Self {
        Self(Some(Arc::default()))
    }

    /// For answers that no gateway gave.
    pub(crate) fn nobody() -> Self {
        Self(None)
    }

    /// Remembers an answer, and passes it on. One that says that nothing can be audited need not be audited.
    pub(crate) fn note(&self, answer: Answer) -> Answer {
        let unaudited = answer.status == 503 && answer.problem()["code"] == "audit-unavailable";
        if let Some(ids) = &self.0
            && !unaudited
        {
            ids.lock()
                .expect("not poisoned")
                .push(answer.request_id().to_owned());
        }
        answer
    }

    /// Forgets answers that need not be audited.
    pub(crate) fn forget<'a>(&self, ids: impl Iterator<Item = &'a String>) {
        let gone: HashSet<&String> = ids.collect();
        if let Some(ids) = &self.0 {
            let mut ids = ids.lock().expect("not poisoned");
            ids.retain(|id| !gone.contains(id));
        }
    }

    /// All ids so far.
    pub(crate) fn ids(&self) -> Vec<String> {
        let ids = self
            .0
            .as_ref()
            .map(|ids| ids.lock().expect("not poisoned").clone());
        ids.unwrap_or_default()
    }
}
