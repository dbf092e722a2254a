//! Upstream clusters: weights, health, one prepared peer an endpoint.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::http::RequestHeader;
use pingora::lb::health_check::HttpHealthCheck;
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, Backends, LoadBalancer, discovery};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use crate::config;

/// How many candidates are looked at before a cluster counts as down.
const CANDIDATES_MAX: usize = 64;

/// One cluster, ready to choose from.
pub(crate) struct Cluster {
    pub(crate) name: Arc<str>,
    /// Further attempts after the first.
    pub(crate) retries: usize,
    endpoints: Vec<(SocketAddr, HttpPeer)>,
    balancer: Arc<LoadBalancer<RoundRobin>>,
    /// Checks health while the cluster lives.
    checker: Option<tokio::task::JoinHandle<()>>,
}

impl Cluster {
    /// Prepares a cluster; its health checks, if it has any, run on `runtime`.
    pub(crate) fn start(
        settings: &config::Cluster,
        runtime: &tokio::runtime::Handle,
    ) -> pingora::Result<Self> {
        let mut backends = BTreeSet::new();
        let mut endpoints = Vec::with_capacity(settings.endpoints.len());
        for endpoint in &settings.endpoints {
            let address = endpoint.address.to_string();
            backends.insert(Backend::new_with_weight(&address, endpoint.weight)?);
            endpoints.push((endpoint.address, prepared_peer(settings, endpoint.address)));
        }
        let mut balancer =
            LoadBalancer::from_backends(Backends::new(discovery::Static::new(backends)));
        let checked = settings.health_check.as_ref();
        if let Some(check) = checked {
            balancer.set_health_check(health_check(settings, check)?);
        }
        let balancer = Arc::new(balancer);
        // Static discovery completes at once; without it the balancer has no endpoints yet.
        futures_ready(balancer.update())?;
        let checker = checked.map(|check| {
            let balancer = balancer.clone();
            let interval = check.interval;
            runtime.spawn(async move {
                loop {
                    balancer.backends().run_health_check(true).await;
                    tokio::time::sleep(interval).await;
                }
            })
        });
        Ok(Self {
            name: settings.name.clone(),
            retries: settings.retries,
            endpoints,
            balancer,
            checker,
        })
    }

    /// An endpoint that is healthy and, if there is a choice, was not tried yet.
    pub(crate) fn choose(&self, tried: &[usize]) -> Option<(usize, HttpPeer)> {
        if let ([(_, only)], None) = (&self.endpoints[..], &self.checker) {
            return Some((0, only.clone()));
        }
        let mut second_choice = None;
        for _ in 0..CANDIDATES_MAX.min(self.endpoints.len() * 4) {
            let backend = self.balancer.select(b"", CANDIDATES_MAX)?;
            let address = backend.addr.as_inet()?;
            let index = self
                .endpoints
                .iter()
                .position(|(known, _)| known == address)?;
            if !tried.contains(&index) {
                second_choice = Some(index);
                break;
            }
            second_choice.get_or_insert(index);
        }
        let index = second_choice?;
        self.endpoints
            .get(index)
            .map(|(_, peer)| (index, peer.clone()))
    }

    /// Every endpoint with its health.
    pub(crate) fn health(&self) -> impl Iterator<Item = (SocketAddr, bool)> {
        let backends = self.balancer.backends();
        let ready: BTreeSet<String> = backends
            .get_backend()
            .iter()
            .filter(|backend| backends.ready(backend))
            .map(|backend| backend.addr.to_string())
            .collect();
        self.endpoints
            .iter()
            .map(move |(address, _)| (*address, ready.contains(&address.to_string())))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(checker) = &self.checker {
            checker.abort();
        }
    }
}

fn prepared_peer(settings: &config::Cluster, address: SocketAddr) -> HttpPeer {
    let name = settings.tls.as_ref().map(|tls| tls.server_name.to_string());
    let mut peer = HttpPeer::new(address, name.is_some(), name.unwrap_or_default());
    let options = &mut peer.options;
    options.connection_timeout = Some(settings.connect_timeout);
    options.total_connection_timeout = Some(settings.connect_timeout * 2);
    options.read_timeout = Some(settings.read_timeout);
    options.write_timeout = Some(settings.write_timeout);
    options.idle_timeout = Some(settings.idle_timeout);
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::default();
    peer
}

fn health_check(
    settings: &config::Cluster,
    check: &config::HealthCheck,
) -> pingora::Result<Box<HttpHealthCheck>> {
    let tls = settings.tls.as_ref();
    let host = tls.map_or_else(
        || "rocketgraph".to_owned(),
        |tls| tls.server_name.to_string(),
    );
    let mut http = HttpHealthCheck::new(&host, tls.is_some());
    let mut request = RequestHeader::build("GET", check.path.as_bytes(), None)?;
    request.insert_header("host", host.as_str())?;
    request.insert_header("user-agent", "rg-gateway-health")?;
    http.req = request;
    http.consecutive_success = check.healthy_after;
    http.consecutive_failure = check.unhealthy_after;
    http.peer_template.options.connection_timeout = Some(check.timeout);
    http.peer_template.options.read_timeout = Some(check.timeout);
    http.peer_template.options.total_connection_timeout =
        Some(check.timeout.max(Duration::from_millis(1)));
    Ok(Box::new(http))
}

/// The output of a future that never waits.
fn futures_ready<T>(future: impl Future<Output = pingora::Result<T>>) -> pingora::Result<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => pingora::Error::e_explain(
            pingora::ErrorType::InternalError,
            "static discovery had to wait",
        ),
    }
}
