//! Who is told of findings: each becomes a sink of the audit log.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::uri::Scheme;

use super::{Compiler, Seen, text};
use crate::config::file::{
    FileShape, NotificationsShape, OrganizationShape, SecretShape, SecurityTeamShape, SinkShape,
    TlsClientShape,
};
use crate::config::findings::shown;
use crate::config::model::{AuditSettings, Secret};
use crate::config::notifications::{Audience, NOTIFY_PREFIX, NotifyForm, NotifySink};
use crate::config::placed::Placed;
use crate::config::sinks::{Server, SinkKind, SinkSettings, StartAt};

/// The path of Alertmanager's alerts.
const ALERTS_PATH: &str = "/api/v2/alerts";
/// Events looked at together; few of them become notifications.
const BATCH_EVENTS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 1 << 20;
/// A notification does not wait for others.
const LINGER: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(10);

impl Compiler<'_> {
    /// The audit log, and its sinks of either kind.
    pub(super) fn audit_and_notifications(&mut self, file: &FileShape) -> Option<AuditSettings> {
        let audit = self.audit(&file.audit.value);
        let notifications = self.notifications(&file.notifications.value);
        self.names_are_free(&file.audit.value.sinks.value);
        let mut audit = audit?;
        audit.sinks.extend(notifications?);
        Some(audit)
    }

    fn names_are_free(&mut self, sinks: &[Placed<SinkShape>]) {
        for sink in sinks {
            let name = &sink.value.name;
            if name.value.starts_with(NOTIFY_PREFIX) {
                let reason = format!(
                    "must not begin with {NOTIFY_PREFIX}: {}",
                    shown(&name.value)
                );
                self.error_with_hint(name, reason, "such names are those of notifications");
            }
        }
    }

    fn notifications(&mut self, shape: &NotificationsShape) -> Option<Vec<SinkSettings>> {
        let window = Duration::from_secs(shape.window_secs.value);
        let mut sinks = Vec::new();
        let mut sound = true;
        if let Some(security) = &shape.security {
            match self.security_team(security, window) {
                Some(sink) => sinks.push(sink),
                None => sound = false,
            }
        }
        let mut names = Seen::default();
        for organization in &shape.organizations.value {
            names.once(&organization.value.organization, self.findings);
            match self.organization(&organization.value, window) {
                Some(sink) => sinks.push(sink),
                None => sound = false,
            }
        }
        sound.then_some(sinks)
    }

    fn security_team(
        &mut self,
        shape: &Placed<SecurityTeamShape>,
        window: Duration,
    ) -> Option<SinkSettings> {
        let name = format!("{NOTIFY_PREFIX}security");
        let audience = Audience::SecurityTeam;
        match (&shape.value.webhook, &shape.value.alertmanager) {
            (Some(hook), None) => {
                let hook = &hook.value;
                let to = self.web_address(&hook.url, hook.tls.as_ref());
                let secret = self.webhook_secret(&hook.secret);
                let ((server, path), secret) = (to?, secret?);
                let form = NotifyForm::Webhook { secret };
                Some(sink(&name, audience, server, path, form, window))
            }
            (None, Some(alertmanager)) => {
                let alertmanager = &alertmanager.value;
                let (server, path) =
                    self.web_address(&alertmanager.url, alertmanager.tls.as_ref())?;
                let path = format!("{}{ALERTS_PATH}", path.trim_end_matches('/')).into();
                let form = NotifyForm::Alertmanager;
                Some(sink(&name, audience, server, path, form, window))
            }
            (None, None) if self.findings.names(&shape.path) => None,
            (None, None) => {
                self.error(
                    shape,
                    "must have exactly one of webhook, alertmanager: none",
                );
                None
            }
            (Some(_), Some(_)) => {
                let got = "webhook, alertmanager";
                self.error(shape, format!("must have exactly one of {got}: {got}"));
                None
            }
        }
    }

    fn organization(
        &mut self,
        shape: &OrganizationShape,
        window: Duration,
    ) -> Option<SinkSettings> {
        let organization = self.parsed(&shape.organization, text::name);
        let to = self.web_address(&shape.url, shape.tls.as_ref());
        let secret = self.webhook_secret(&shape.secret);
        let (organization, (server, path), secret) = (organization?, to?, secret?);
        // The security team's name has no such second word.
        let name = format!("{NOTIFY_PREFIX}org-{organization}");
        let form = NotifyForm::Webhook { secret };
        let audience = Audience::Organization(organization);
        Some(sink(&name, audience, server, path, form, window))
    }

    /// The server and the path of an address of the web.
    fn web_address(
        &mut self,
        url: &Placed<String>,
        tls: Option<&Placed<TlsClientShape>>,
    ) -> Option<(Server, Arc<str>)> {
        if url.value.contains('@') {
            self.error(url, "must have no user or password in it: [redacted]");
            return None;
        }
        let address = self.parsed(url, parse)?;
        let tls = match (tls, address.https) {
            (Some(tls), true) => Some(self.tls_client(&tls.value, &address.host)?),
            (None, true) => Some(self.tls_client(&TlsClientShape::default(), &address.host)?),
            (Some(tls), false) => {
                self.error(tls, "must be absent where the url is not https: http");
                return None;
            }
            (None, false) => None,
        };
        let (host, port) = (address.host, address.port);
        Some((Server { host, port, tls }, address.path))
    }

    fn webhook_secret(&mut self, shape: &Placed<SecretShape>) -> Option<Secret> {
        if !shape.stands_in_file() {
            // Reported as missing.
            return None;
        }
        let secret = self.secret(shape)?;
        let bytes = secret.expose().strip_prefix("whsec_");
        let bytes = bytes.and_then(|text| STANDARD.decode(text).ok());
        if bytes.is_some_and(|bytes| (24..=64).contains(&bytes.len())) {
            return Some(secret);
        }
        let reason = "must hold whsec_ and 24 to 64 bytes in base 64: [redacted]";
        let hint = "such as of `echo whsec_$(openssl rand -base64 32)`";
        self.error_with_hint(shape, reason, hint);
        None
    }
}

fn sink(
    name: &str,
    audience: Audience,
    server: Server,
    path: Arc<str>,
    form: NotifyForm,
    window: Duration,
) -> SinkSettings {
    SinkSettings {
        name: name.into(),
        // Nobody wants to be told of what happened before they asked.
        start: StartAt::Newest,
        batch_events_max: BATCH_EVENTS_MAX,
        batch_bytes_max: BATCH_BYTES_MAX,
        linger: LINGER,
        timeout: TIMEOUT,
        kind: SinkKind::Notify(NotifySink {
            audience,
            server,
            path,
            form,
            window,
        }),
    }
}

struct Address {
    https: bool,
    host: Arc<str>,
    port: u16,
    path: Arc<str>,
}

fn parse(text: &str) -> Result<Address, &'static str> {
    let must = "must be an address such as https://hooks.example/path";
    let uri: Uri = text.parse().map_err(|_| must)?;
    let https = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(must),
    };
    let authority = uri.authority().ok_or(must)?;
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(if https { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if host.is_empty() || port == 0 {
        return Err(must);
    }
    Ok(Address {
        https,
        host: host.to_ascii_lowercase().into(),
        port,
        path: path.into(),
    })
}
