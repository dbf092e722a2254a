//! What runs, but should be known about: advice with stable ids.
//!
//! Advice never stops a start. An id keeps its meaning for ever; `docs/configuration.md` lists
//! them all.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;

use super::file::FileShape;
use super::findings::Findings;
use super::model::{Cluster, Config, Durability, Kind, LogLevel, Otherwise, Protocol, WhenFull};
use super::placed::Placed;
use super::sinks::{LogstashSink, SinkKind};
use crate::geoip::Database;
use crate::now::Now;
use crate::policy::route::RouteMatch;

/// Every id of advice and what it means.
pub const ADVICE: &[(&str, &str)] = &[
    (
        "A101",
        "the admin listener is reachable from other machines and asks for no token",
    ),
    ("A102", "a token is short enough to be guessed"),
    (
        "A103",
        "a listener takes API keys in clear text from other machines",
    ),
    (
        "A104",
        "a range of trusted proxies is so broad that clients may forge their address",
    ),
    ("A105", "one address may take every connection"),
    (
        "A106",
        "failed authentications of an address are not limited",
    ),
    ("A107", "a plan has no limit at all"),
    ("A108", "a cluster has no health check"),
    ("A109", "an upstream may be silent for more than a minute"),
    (
        "A110",
        "requests travel to an upstream on a public address in clear text",
    ),
    ("A111", "bodies may be forwarded uninspected"),
    (
        "A112",
        "a query route does not say where the graph id stands",
    ),
    (
        "A113",
        "a query route does not say where the query text stands",
    ),
    ("A114", "a catch-all route forwards paths nobody has named"),
    ("A115", "a route is served without an API key"),
    (
        "A116",
        "a route asks for no scope: every valid key may use it",
    ),
    ("A117", "rules are disabled"),
    (
        "A118",
        "audit events of answered requests may be lost when the process crashes",
    ),
    ("A119", "a full audit log drops its oldest events"),
    ("A120", "spans go nowhere"),
    ("A121", "every request is traced"),
    ("A122", "debug logs are written for every request"),
    (
        "A123",
        "the data folder is relative to the configuration file",
    ),
    ("A124", "a body's stall deadline can never be reached"),
    (
        "A125",
        "a route of one host takes paths that another route refuses for every host",
    ),
    (
        "A140",
        "audit events do not know where clients are, nor which privacy law follows from it",
    ),
    ("A141", "the GeoIP database cannot be used"),
    ("A131", "an exclusion has expired and does nothing"),
    ("A132", "an exclusion holds for every request"),
    ("A133", "inspected requests are kept on disk"),
    (
        "A134",
        "credentials of a sink travel to another machine in clear text",
    ),
    ("A135", "the folder of a file sink does not exist"),
];

/// Tokens of fewer bytes are called short.
const TOKEN_BYTES_FEW: usize = 16;
/// Upstreams silent for longer are worth a question.
const READ_TIMEOUT_LONG: Duration = Duration::from_secs(60);

/// Gives advice on a configuration without errors.
pub(super) fn give(config: &Config, now: Now, findings: &mut Findings) {
    let mut adviser = Adviser {
        config,
        now,
        file: &config.effective,
        findings,
    };
    adviser.on_access();
    adviser.on_clients();
    adviser.on_clusters();
    adviser.on_inspection();
    adviser.on_routes();
    adviser.on_refusals();
    adviser.on_exclusions();
    adviser.on_records();
    adviser.on_sinks();
}

struct Adviser<'a> {
    config: &'a Config,
    now: Now,
    file: &'a FileShape,
    findings: &'a mut Findings,
}

impl Adviser<'_> {
    /// Advises on a value, or for a default on the section it belongs to.
    fn say<T>(&mut self, id: &'static str, at: &Placed<T>, section: &str, hint: &str) {
        let meaning = ADVICE.iter().find(|(known, _)| *known == id);
        let meaning = meaning.map_or("", |(_, meaning)| meaning);
        let path = if at.stands_in_file() {
            &at.path
        } else {
            section
        };
        self.findings.advise(id, at.spot(), path, meaning, hint);
    }

    fn on_access(&mut self) {
        let (admin, shape) = (&self.config.admin, &self.file.admin.value);
        if admin.token.is_none() && !admin.address.ip().is_loopback() {
            self.say(
                "A101",
                &shape.address,
                "admin",
                "set admin.token_file, or listen on 127.0.0.1",
            );
        }
        if let Some(token) = &admin.token
            && token.expose().len() < TOKEN_BYTES_FEW
        {
            let at = shape.token_file.as_ref().or(shape.token.as_ref());
            if let Some(at) = at {
                self.say(
                    "A102",
                    at,
                    "admin",
                    "take 32 random bytes, such as of `openssl rand -hex 32`",
                );
            }
        }
        for (listener, shape) in self.config.listeners.iter().zip(&self.file.listeners.value) {
            if listener.protocol != Protocol::Https && !listener.address.ip().is_loopback() {
                let hint = "use https, or let a proxy before it end TLS";
                self.say("A103", &shape.value.address, "listeners", hint);
            }
        }
    }

    fn on_clients(&mut self) {
        for (network, shape) in self
            .config
            .trusted_proxies
            .iter()
            .zip(&self.file.trusted_proxies.value)
        {
            let narrow_enough = if network.addr().is_ipv4() { 8 } else { 16 };
            if network.prefix_len() < narrow_enough {
                self.say(
                    "A104",
                    shape,
                    "trusted_proxies",
                    "name the proxies' own networks",
                );
            }
        }
        let (protocol, shape) = (&self.config.protocol, &self.file.protocol.value);
        if protocol.connections_per_address_max >= protocol.connections_max {
            let hint = "keep connections_per_address_max below connections_max";
            self.say("A105", &shape.connections_per_address_max, "protocol", hint);
        }
        if protocol.body_stall_timeout >= protocol.body_timeout {
            let hint = "keep body_stall_timeout_ms below body_timeout_ms";
            self.say("A124", &shape.body_stall_timeout_ms, "protocol", hint);
        }
        if self.config.auth.failures_per_minute_max.is_none() {
            let at = &self.file.auth.value.failures_per_minute_max;
            self.say(
                "A106",
                at,
                "auth",
                "600 a minute stop guessing and spare shared addresses",
            );
        }
        for (plan, shape) in self.config.plans.iter().zip(&self.file.plans.value) {
            let limited = plan.requests_per_second.is_some()
                || plan.requests_per_minute.is_some()
                || plan.requests_per_day.is_some()
                || plan.concurrency.is_some();
            // The plans of a file that names none are our own choice.
            if !limited && shape.stands_in_file() {
                let hint = "a concurrency limit alone keeps one caller from taking the upstream";
                self.say("A107", &shape.value.name, "plans", hint);
            }
        }
    }

    fn on_clusters(&mut self) {
        for (cluster, shape) in self.config.clusters.iter().zip(&self.file.clusters.value) {
            let shape = &shape.value;
            if cluster.health_check.is_none() {
                let hint = "add health_check, so that servers that do not answer are left out";
                self.say("A108", &shape.name, "clusters", hint);
            }
            if cluster.read_timeout > READ_TIMEOUT_LONG {
                let hint =
                    "keep read_timeout_ms at 60000 or below, and let single routes have more";
                self.say("A109", &shape.read_timeout_ms, "clusters", hint);
            }
            if cluster.tls.is_none() && leaves_the_site(cluster) {
                self.say(
                    "A110",
                    &shape.endpoints,
                    "clusters",
                    "add tls with the server's name",
                );
            }
        }
    }

    fn on_inspection(&mut self) {
        let shape = &self.file.inspection.value;
        let of_routes = self.file.routes.value.iter().filter_map(|route| {
            let own = &route.value.inspection.as_ref()?.value;
            Some([own.on_oversize.as_ref(), own.on_undecodable.as_ref()])
        });
        let of_file = [Some(&shape.on_oversize), Some(&shape.on_undecodable)];
        let all: Vec<_> = of_routes.chain([of_file]).flatten().flatten().collect();
        for otherwise in all {
            if otherwise.value == Otherwise::ForwardUninspected {
                let hint = "each one is marked in its audit event; refuse is the safe choice";
                self.say("A111", otherwise, "inspection", hint);
            }
        }
    }

    fn on_routes(&mut self) {
        for (route, shape) in self.config.routes.iter().zip(&self.file.routes.value) {
            let shape = &shape.value;
            if route.refuse {
                continue;
            }
            if route.kind == Kind::Query && route.graph_id.is_none() {
                let hint = "without graph_id a key's graphs are not enforced on this route";
                self.say("A112", &shape.name, "routes", hint);
            }
            if route.kind == Kind::Query && route.query_text.is_none() {
                let hint = "without query_text the query is inspected as plain text only";
                self.say("A113", &shape.name, "routes", hint);
            }
            if route.path.takes_every_path() {
                let hint = "name the paths the upstream serves; what nobody named gets 404";
                self.say("A114", &shape.path, "routes", hint);
            }
            if route.public {
                let hint = "no plan limits it and no caller is in its audit events";
                self.say("A115", &shape.public, "routes", hint);
            } else if route.scopes.is_empty() {
                self.say(
                    "A116",
                    &shape.name,
                    "routes",
                    "add scopes, such as [graph:read]",
                );
            }
            if route
                .read_timeout
                .is_some_and(|timeout| timeout > READ_TIMEOUT_LONG)
                && let Some(at) = &shape.read_timeout_ms
            {
                let hint = "a request may hold its connection and its concurrency for that long";
                self.say("A109", at, "routes", hint);
            }
        }
    }

    /// A route of the request's host beats one of any host, a refusal included.
    fn on_refusals(&mut self) {
        let routes = &self.config.routes;
        let mut hosts: Vec<&str> = routes.iter().filter_map(|r| r.host.as_deref()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        for refusal in routes.iter().filter(|r| r.refuse && r.host.is_none()) {
            let method = refusal.methods.as_ref().and_then(|methods| methods.first());
            let (path, method) = (refusal.path.a_path(), method.unwrap_or(&Method::GET));
            for host in &hosts {
                let found = self.config.router.find(Some(host), &path, method);
                let RouteMatch::Found { route, .. } = found else {
                    continue;
                };
                if routes.get(route).is_some_and(|route| !route.refuse)
                    && let Some(shape) = self.file.routes.value.get(route)
                {
                    let hint = format!("refuse {} for host {host}, too", refusal.endpoint);
                    self.say("A125", &shape.value.path, "routes", &hint);
                }
            }
        }
    }

    fn on_exclusions(&mut self) {
        if let Some(recording) = &self.file.rules.value.recording {
            let hint = "who may read the folder may read what clients sent; keep it for as long as it is needed";
            self.say("A133", recording, "rules", hint);
        }
        let shapes = &self.file.rules.value.exclusions.value;
        for (exclusion, shape) in self.config.rules.exclusions.iter().zip(shapes) {
            if exclusion.is_expired(self.now.unix_micros) {
                let hint = "remove it, or have its owner give it a later day";
                self.say("A131", &shape.value.expires, "rules", hint);
            }
            let everywhere = exclusion.route.is_none()
                && exclusion.field.is_none()
                && exclusion.key.is_none()
                && exclusion.network.is_none();
            if everywhere {
                let hint = "name the route, field, key or network that needs it";
                self.say("A132", shape, "rules", hint);
            }
        }
    }

    fn on_records(&mut self) {
        let file = self.file;
        if !self.config.rules.disabled.is_empty() {
            let hint = "mode: shadow keeps a rule watching without refusing";
            self.say("A117", &file.rules.value.disabled, "rules", hint);
        }
        let audit = &file.audit.value;
        if self.config.audit.durability == Durability::Relaxed {
            self.say(
                "A118",
                &audit.durability,
                "audit",
                "written costs little and survives crashes",
            );
        }
        if self.config.audit.when_full == WhenFull::DropOldest {
            self.say(
                "A119",
                &audit.when_full,
                "audit",
                "ship the log to a sink, and watch rg_audit_log_bytes",
            );
        }
        self.on_places();
        let telemetry = &file.telemetry.value;
        match &telemetry.traces {
            None => {
                self.say(
                    "A120",
                    &file.telemetry,
                    "telemetry",
                    "set telemetry.traces.otlp_endpoint",
                );
            }
            Some(traces) if traces.value.sample_ratio.value >= 1.0 => {
                let at = &traces.value.sample_ratio;
                self.say("A121", at, "telemetry", "0.1 is plenty under load");
            }
            Some(_) => {}
        }
        if self.config.telemetry.log_level == LogLevel::Debug {
            let hint = "audit events and spans are the voice of single requests";
            self.say("A122", &telemetry.log_level, "telemetry", hint);
        }
        if std::path::Path::new(&file.data_dir.value).is_relative() {
            let hint = "an absolute path stays the same whichever file is started";
            self.say("A123", &file.data_dir, "data_dir", hint);
        }
    }
}

impl Adviser<'_> {
    fn on_places(&mut self) {
        let (file, geoip) = (self.file, self.config.geoip.as_ref());
        let (Some(shape), Some(geoip)) = (&file.geoip, geoip) else {
            self.say(
                "A140",
                &file.audit,
                "audit",
                "set geoip.file to a city database in MMDB format",
            );
            return;
        };
        if let Err(error) = Database::read(&geoip.file) {
            self.say("A141", &shape.value.file, "geoip", &error.to_string());
        }
    }
}

/// Whether a cluster has a server beyond loopback and private networks.
fn leaves_the_site(cluster: &Cluster) -> bool {
    let on_site = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    cluster
        .endpoints
        .iter()
        .any(|endpoint| !on_site(endpoint.address.ip()))
}

impl Adviser<'_> {
    fn on_sinks(&mut self) {
        let shapes = &self.file.audit.value.sinks.value;
        for (sink, shape) in self.config.audit.sinks.iter().zip(shapes) {
            let shape = &shape.value;
            let (service, url) = match &sink.kind {
                SinkKind::File(file) => {
                    let folder = file.path.parent();
                    if folder
                        .is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
                        && let Some(file) = &shape.file
                    {
                        let hint =
                            "make it, writable by the gateway; until then events wait in the log";
                        self.say("A135", &file.value.path, "audit", hint);
                    }
                    continue;
                }
                SinkKind::Elasticsearch(sink) => (
                    &sink.service,
                    shape.elasticsearch.as_ref().map(|sink| &sink.value.url),
                ),
                SinkKind::Splunk(sink) => (
                    &sink.service,
                    shape.splunk.as_ref().map(|sink| &sink.value.url),
                ),
                SinkKind::Logstash(LogstashSink::Http(service)) => {
                    let logstash = shape.logstash.as_ref();
                    (service, logstash.and_then(|sink| sink.value.url.as_ref()))
                }
                _ => continue,
            };
            if service.authorization.is_some()
                && service.server.tls.is_none()
                && !is_this_machine(&service.server.host)
                && let Some(url) = url
            {
                let hint = "take https://; who sees the traffic has the credentials";
                self.say("A134", url, "audit", hint);
            }
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
