//! Turns search parameters, of the admin API or the command line, into a search.

use serde::{Deserialize, Serialize};

use crate::audit::Search;

/// The filters of an audit search. All given ones must hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct SearchParameters {
    /// Events at or after this instant (RFC 3339).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Events at or before this instant (RFC 3339).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Of this organization.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// By this API key.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<String>,
    /// `api_request`, `authentication`, `authorization`, `data_access`, `configuration_change`, `security_event` or `system_event`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// `info`, `warning`, `error` or `critical`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// An address, a network (CIDR) or `system`.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// The HTTP status.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The request's id.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The decision's id.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// The event's id.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// Events that carry this compliance tag.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compliance_tag: Option<String>,
    /// Events that contain this text.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The sink whose store is searched instead of the log; only a search has one.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Events a page, 1 to 1000; 100 unless told.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Parses the parameters.
///
/// # Errors
///
/// One sentence that names the parameter and its value.
pub fn search_of(parameters: &SearchParameters) -> Result<Search, String> {
    let p = parameters;
    if let Some(store) = &p.store {
        return Err(format!("store: only a search may name one: {store}"));
    }
    let limit = p.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(format!("limit: must be 1 to 1000: {limit}"));
    }
    Ok(Search {
        from: instant("from", p.from.as_deref())?,
        to: instant("to", p.to.as_deref())?,
        organization_id: p.organization_id.clone(),
        api_key_id: p.api_key_id.clone(),
        event_type: word("event_type", p.event_type.as_deref())?,
        severity: word("severity", p.severity.as_deref())?,
        source_ip: word("source_ip", p.source_ip.as_deref())?,
        status: p.status,
        request_id: p.request_id.clone(),
        decision_id: p.decision_id.clone(),
        event_id: word("event_id", p.event_id.as_deref())?,
        compliance_tags: p.compliance_tag.iter().cloned().collect(),
        text: p.text.clone(),
        limit,
        cursor: p.cursor.clone(),
    })
}

fn instant(name: &str, text: Option<&str>) -> Result<Option<i64>, String> {
    let Some(text) = text else { return Ok(None) };
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    match parsed {
        Ok(instant) => Ok(Some(instant.as_microsecond())),
        Err(_) => Err(format!("{name}: not an RFC 3339 instant: {text}")),
    }
}

fn word<T: std::str::FromStr>(name: &str, text: Option<&str>) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|_| format!("{name}: not known: {text}"))
}
