//! The part of the shape that says who is told of findings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use super::sinks::{SecretShape, TlsClientShape};
use crate::config::placed::Placed;

/// Who is told of findings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct NotificationsShape {
    /// One notification for each rule and key in that time; the next one tells how many there were.
    #[schemars(range(min = 1, max = 86_400))]
    pub(in crate::config) window_secs: Placed<u64>,
    /// Who is told of findings that ask for `alert_security_team`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) security: Option<Placed<SecurityTeamShape>>,
    /// Organizations that are told of findings in their requests that ask for `notification`.
    #[schemars(length(max = 256))]
    pub(in crate::config) organizations: Placed<Vec<Placed<OrganizationShape>>>,
}

impl Default for NotificationsShape {
    fn default() -> Self {
        Self {
            window_secs: by_default(300_u64),
            security: None,
            organizations: Placed::default(),
        }
    }
}

/// The security team; exactly one of its sections.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct SecurityTeamShape {
    /// A signed webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) webhook: Option<Placed<WebhookShape>>,
    /// An Alertmanager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) alertmanager: Option<Placed<AlertmanagerShape>>,
}

/// A webhook, signed as the Standard Webhooks specification has it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url", "secret"]))]
pub(in crate::config) struct WebhookShape {
    /// Where notifications are posted, `https://HOST/PATH`.
    #[schemars(length(min = 1, max = 2_048))]
    pub(in crate::config) url: Placed<String>,
    /// What they are signed with: `whsec_` and 24 to 64 bytes in base 64.
    pub(in crate::config) secret: Placed<SecretShape>,
    /// What differs from the system's certificate authorities; for `https` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
}

/// An Alertmanager.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub(in crate::config) struct AlertmanagerShape {
    /// Its address, such as `http://127.0.0.1:9093`; alerts go to `/api/v2/alerts` below it.
    #[schemars(length(min = 1, max = 2_048))]
    pub(in crate::config) url: Placed<String>,
    /// What differs from the system's certificate authorities; for `https` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
}

/// The webhook of an organization.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["organization", "url", "secret"]))]
pub(in crate::config) struct OrganizationShape {
    /// The organization's id, as API keys carry it.
    #[schemars(length(min = 1, max = 57))]
    pub(in crate::config) organization: Placed<String>,
    /// Where notifications are posted, `https://HOST/PATH`.
    #[schemars(length(min = 1, max = 2_048))]
    pub(in crate::config) url: Placed<String>,
    /// What they are signed with: `whsec_` and 24 to 64 bytes in base 64.
    pub(in crate::config) secret: Placed<SecretShape>,
    /// What differs from the system's certificate authorities; for `https` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
}
