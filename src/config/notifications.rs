//! Notifications as the gateway uses them: sinks that tell people of single findings.

use std::sync::Arc;
use std::time::Duration;

use super::model::Secret;
use super::sinks::Server;

/// Names of sinks that begin so are notifications.
pub(super) const NOTIFY_PREFIX: &str = "notify-";

/// Somebody who is told of findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifySink {
    /// Who.
    pub audience: Audience,
    /// Where.
    pub server: Server,
    /// Path and query there.
    pub path: Arc<str>,
    /// In which form.
    pub form: NotifyForm,
    /// One notification for each rule and key in that time.
    pub window: Duration,
}

/// Who is told, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The security team, of findings that ask for `alert_security_team`.
    SecurityTeam,
    /// An organization, of findings in its own requests that ask for `notification`.
    Organization(Arc<str>),
}

/// How a notification is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyForm {
    /// JSON, signed as the Standard Webhooks specification has it.
    Webhook {
        /// `whsec_` and base 64.
        secret: Secret,
    },
    /// Alerts of Alertmanager's API, version 2.
    Alertmanager,
}
