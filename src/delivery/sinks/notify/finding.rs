//! What of an audit event a notification is made of; everything else in it is passed over.

use std::borrow::Cow;

use serde::Deserialize;

use crate::config::Audience;

/// An event that somebody is to be told of.
#[derive(Debug, Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) event_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) timestamp: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) source_ip: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) organization_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) api_key_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) endpoint: Cow<'a, str>,
    pub(super) status_code: u16,
    #[serde(borrow)]
    pub(super) request_id: Cow<'a, str>,
    #[serde(default, borrow)]
    pub(super) decision_id: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(super) refusal_code: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    indicators: Vec<Finding<'a>>,
}

/// One finding. The excerpt stays in the audit log: it may be a person's data.
#[derive(Debug, Deserialize)]
pub(super) struct Finding<'a> {
    #[serde(borrow)]
    pub(super) rule: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) indicator_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) severity: Cow<'a, str>,
    pub(super) confidence: f64,
    #[serde(borrow)]
    pub(super) description: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) field: Cow<'a, str>,
    #[serde(borrow)]
    mode: Cow<'a, str>,
    #[serde(default, borrow)]
    mitigations: Vec<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// Reads the event of a line; `None` when there is nothing in it for this audience.
    pub(super) fn of(json: &'a str, audience: &Audience) -> Option<Self> {
        let wanted = match audience {
            Audience::SecurityTeam => "alert_security_team",
            Audience::Organization(_) => "notification",
        };
        // Most events have no finding at all; those are not parsed.
        memchr::memmem::find(json.as_bytes(), wanted.as_bytes())?;
        let mut event: Self = serde_json::from_str(json).ok()?;
        if let Audience::Organization(organization) = audience
            && event.organization_id.as_deref() != Some(organization)
        {
            return None;
        }
        event.indicators.retain(|finding| {
            finding.mode == "enforce" && finding.mitigations.iter().any(|word| word == wanted)
        });
        // One rule may have found several places; the first tells of all.
        let mut seen: Vec<Cow<'a, str>> = Vec::new();
        event.indicators.retain(|finding| {
            let is_new = !seen.contains(&finding.rule);
            if is_new {
                seen.push(finding.rule.clone());
            }
            is_new
        });
        (!event.indicators.is_empty()).then_some(event)
    }

    /// The findings to tell of, one a rule.
    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding<'a>> {
        self.indicators.iter()
    }

    /// Whose findings are told once in a time: a key's, or an address's where there is no key.
    pub(super) fn subject(&self) -> &str {
        self.api_key_id.as_deref().unwrap_or(&self.source_ip)
    }
}
