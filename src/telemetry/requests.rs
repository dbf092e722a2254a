//! The metrics of a finished request, found with one look-up.
//!
//! A request counts in up to five series. Which ones depends on five small things, so the series
//! are resolved once for each combination and remembered; the memory is bounded and only saves
//! time, forgetting it changes no figure.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use papaya::HashMap;
use prometheus_client::metrics::counter::Counter;

use super::families as table;
use super::series::{Family, Histogram, Registration, nanos};

/// Combinations remembered; beyond it the memory starts anew.
const REMEMBERED_MAX: usize = 4_096;

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub struct RequestOutcome<'a> {
    /// As received; unknown ones are counted as `OTHER`.
    pub method: &'a str,
    /// The route's template. Its series are remembered by address, so pass the route's own `Arc`.
    pub endpoint: &'a Arc<str>,
    /// The status answered.
    pub status: u16,
    /// The caller's organization. Remembered by address too: pass the key record's own `Arc`.
    pub organization: Option<&'a Arc<str>>,
    /// From the request head to the last byte of the answer.
    pub duration: Duration,
    /// Body bytes received.
    pub request_bytes: u64,
    /// Body bytes sent.
    pub response_bytes: u64,
    /// The stable code of what went wrong, if anything did.
    pub error_type: Option<&'static str>,
}

/// The families of [`RequestOutcome`].
pub(super) struct RequestMetrics {
    remembered: HashMap<RequestKey, RequestSeries, BuildHasherDefault<FoldHasher>>,
    requests: Family<4, Counter>,
    durations: Family<2, Histogram>,
    request_sizes: Family<2, Histogram>,
    response_sizes: Family<2, Histogram>,
    errors: Family<3, Counter>,
}

impl RequestMetrics {
    pub(super) fn new(r: &mut Registration) -> Self {
        Self {
            remembered: HashMap::default(),
            requests: r.family(&table::HTTP_REQUESTS),
            durations: r.family(&table::HTTP_REQUEST_DURATION),
            request_sizes: r.family(&table::HTTP_REQUEST_SIZE),
            response_sizes: r.family(&table::HTTP_RESPONSE_SIZE),
            errors: r.family(&table::ERRORS),
        }
    }

    /// Counts one request; `label` gives the label value of its organization.
    pub(super) fn count<'a>(
        &self,
        outcome: &RequestOutcome<'a>,
        label: impl FnOnce(Option<&'a str>) -> &'a str,
    ) {
        let key = RequestKey::of(outcome);
        let remembered = self.remembered.pin();
        if let Some(series) = remembered.get(&key) {
            series.count(outcome);
            return;
        }
        let organization = label(outcome.organization.map(|name| &**name));
        let series = self.resolve(outcome, organization);
        series.count(outcome);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(key, series);
    }

    fn resolve(&self, outcome: &RequestOutcome<'_>, organization: &str) -> RequestSeries {
        let method = METHODS.get(method_index(outcome.method)).unwrap_or(&OTHER);
        let endpoint = &**outcome.endpoint;
        let status = match outcome.status {
            100..=599 => outcome.status.to_string(),
            _ => OTHER.to_owned(),
        };
        RequestSeries {
            requests: self
                .requests
                .with([method, endpoint, &status, organization]),
            duration: self.durations.with([method, endpoint]),
            request_size: self.request_sizes.with([method, endpoint]),
            response_size: self.response_sizes.with([method, endpoint]),
            error: outcome
                .error_type
                .map(|code| self.errors.with([code, endpoint, organization])),
            _alive: (outcome.endpoint.clone(), outcome.organization.cloned()),
        }
    }
}

const OTHER: &str = "OTHER";
const METHODS: [&str; 10] = [
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT", OTHER,
];

/// The place of a method in [`METHODS`]; the last one for unknown methods.
fn method_index(method: &str) -> usize {
    let known = METHODS.iter().position(|known| *known == method);
    known.unwrap_or(METHODS.len() - 1)
}

/// What tells the series of one request from another's, in a form that is cheap to hash.
///
/// Strings are known by address. A remembered series keeps its strings alive, so an address
/// cannot come to mean another string while the key is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RequestKey {
    endpoint: usize,
    organization: usize,
    error_type: usize,
    method: usize,
    status: u16,
}

impl RequestKey {
    fn of(outcome: &RequestOutcome<'_>) -> Self {
        let address = |text: &str| text.as_ptr().addr();
        Self {
            endpoint: address(outcome.endpoint),
            organization: outcome.organization.map_or(0, |name| address(name)),
            error_type: outcome.error_type.map_or(0, address),
            method: method_index(outcome.method),
            status: outcome.status,
        }
    }
}

/// Every series one kind of request counts in.
struct RequestSeries {
    requests: Counter,
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
    error: Option<Counter>,
    _alive: (Arc<str>, Option<Arc<str>>),
}

impl RequestSeries {
    fn count(&self, outcome: &RequestOutcome<'_>) {
        self.requests.inc();
        self.duration.observe(nanos(outcome.duration));
        self.request_size.observe(outcome.request_bytes);
        self.response_size.observe(outcome.response_bytes);
        if let Some(error) = &self.error {
            error.inc();
        }
    }
}

/// Hashes a few integers by multiply and rotate. Its keys are addresses and codes of our own, so
/// nobody outside can choose them to collide.
#[derive(Default)]
struct FoldHasher(u64);

impl FoldHasher {
    fn fold(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(26) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.fold(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.fold(u64::try_from(value).unwrap_or(u64::MAX));
    }
}
