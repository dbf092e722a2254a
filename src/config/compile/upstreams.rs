//! The clusters routes lead to.

use std::net::SocketAddr;

use rustls_pki_types::ServerName;

use super::{Compiler, Seen, all, count, millis, text};
use crate::config::file::{ClusterShape, EndpointShape, FileShape, HealthCheckShape};
use crate::config::findings::shown;
use crate::config::model::{Cluster, Endpoint, HealthCheck, UpstreamTls};
use crate::config::placed::Placed;

impl Compiler<'_> {
    pub(super) fn clusters(&mut self, shapes: &[Placed<ClusterShape>]) -> Option<Vec<Cluster>> {
        let mut names = Seen::default();
        all(shapes.iter().map(|shape| {
            names.once(&shape.value.name, self.findings);
            self.cluster(&shape.value)
        }))
    }

    fn cluster(&mut self, shape: &ClusterShape) -> Option<Cluster> {
        let name = self.parsed(&shape.name, text::name);
        let mut seen = Seen::default();
        let endpoints = all(shape.endpoints.value.iter().map(|endpoint| {
            seen.once(&endpoint.value.address, self.findings);
            self.endpoint(&endpoint.value)
        }));
        let tls = shape.tls.as_ref().map(|tls| {
            let server_name = self.parsed(&tls.value.server_name, server_name);
            let ca_file = tls.value.ca_file.as_ref();
            let ca_file = ca_file.map(|file| self.certificates(file).map(|_| self.path(file)));
            Some(UpstreamTls {
                server_name: server_name?.into(),
                ca_file: match ca_file {
                    Some(file) => Some(file?),
                    None => None,
                },
            })
        });
        let health_check = shape
            .health_check
            .as_ref()
            .map(|check| self.health_check(check));
        Some(Cluster {
            name: name?,
            endpoints: endpoints?,
            tls: match tls {
                Some(tls) => Some(tls?),
                None => None,
            },
            connect_timeout: millis(&shape.connect_timeout_ms),
            read_timeout: millis(&shape.read_timeout_ms),
            write_timeout: millis(&shape.write_timeout_ms),
            idle_timeout: millis(&shape.idle_timeout_ms),
            retries: count(&shape.retries),
            health_check: match health_check {
                Some(check) => Some(check?),
                None => None,
            },
        })
    }

    fn endpoint(&mut self, shape: &EndpointShape) -> Option<Endpoint> {
        let address = self.address(&shape.address)?;
        if address.port() == 0 || address.ip().is_unspecified() {
            let reason = format!("must be an address to connect to: {address}");
            self.error(&shape.address, reason);
        }
        Some(Endpoint {
            address,
            weight: count(&shape.weight),
        })
    }

    fn health_check(&mut self, shape: &Placed<HealthCheckShape>) -> Option<HealthCheck> {
        let (interval, timeout) = (&shape.value.interval_ms, &shape.value.timeout_ms);
        if timeout.value > interval.value && !self.findings.names(&shape.path) {
            let at = if timeout.stands_in_file() {
                timeout
            } else {
                interval
            };
            let reason = format!(
                "timeout_ms must be at most interval_ms, {}: {}",
                interval.value, timeout.value
            );
            self.error(at, reason);
        }
        Some(HealthCheck {
            path: self.parsed(&shape.value.path, text::request_path)?,
            interval: millis(interval),
            timeout: millis(timeout),
            healthy_after: count(&shape.value.healthy_after),
            unhealthy_after: count(&shape.value.unhealthy_after),
        })
    }

    /// Reports endpoints that are the gateway itself: a request would go round until it times out.
    pub(super) fn upstreams_are_not_listeners(&mut self, file: &FileShape) {
        let own = file
            .listeners
            .value
            .iter()
            .map(|shape| &shape.value.address);
        let own: Vec<(SocketAddr, u32)> = own
            .chain([&file.admin.value.address])
            .filter_map(|text| Some((text.value.parse().ok()?, text.spot().line)))
            .collect();
        for cluster in &file.clusters.value {
            for endpoint in &cluster.value.endpoints.value {
                let text = &endpoint.value.address;
                let Ok(address) = text.value.parse::<SocketAddr>() else {
                    continue;
                };
                let listener = own
                    .iter()
                    .find(|(own, _)| *own == address && own.port() != 0);
                if let Some((_, line)) = listener {
                    let reason = format!("must not be the gateway itself: {}", shown(address));
                    let hint = format!("it listens there by line {line}");
                    self.error_with_hint(text, reason, hint);
                }
            }
        }
    }
}

fn server_name(text: &str) -> Result<String, &'static str> {
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_ascii_lowercase()),
        Err(_) => Err("must be a host name or an IP address"),
    }
}
