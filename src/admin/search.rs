//! Turns search parameters, of the admin API or the command line, into a search.

use serde::{Deserialize, Serialize};

use crate::audit::Search;

/// The filters of an audit search. All given ones must hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct SearchParameters {
    /// Events at or after this day or instant (2026-11-01 or RFC 3339, UTC).
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Events on or before this day, or at or before this instant (2026-11-30 or RFC 3339, UTC).
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
    /// Events that carry this compliance tag; given again, or as a list with commas, any of them.
    #[arg(long, value_delimiter = ',')]
    #[serde(deserialize_with = "tags", skip_serializing_if = "Vec::is_empty")]
    pub compliance_tag: Vec<String>,
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

const EVENT_TYPES: &str = "api_request, authentication, authorization, data_access, configuration_change, \
     security_event or system_event";

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
    let named = [
        ("organization_id", &p.organization_id),
        ("api_key_id", &p.api_key_id),
        ("request_id", &p.request_id),
        ("decision_id", &p.decision_id),
        ("text", &p.text),
    ];
    for (name, value) in named {
        // A variable that is not set must not mean all events.
        if value
            .as_deref()
            .is_some_and(|value| value.trim().is_empty())
        {
            return Err(format!("{name}: must not be empty"));
        }
    }
    let limit = p.limit.unwrap_or(100);
    if !(1..=1_000).contains(&limit) {
        return Err(format!("limit: must be 1 to 1000: {limit}"));
    }
    Ok(Search {
        from: instant("from", p.from.as_deref(), 0)?,
        to: instant("to", p.to.as_deref(), 1)?,
        organization_id: p.organization_id.clone(),
        api_key_id: p.api_key_id.clone(),
        event_type: word("event_type", p.event_type.as_deref(), EVENT_TYPES)?,
        severity: word(
            "severity",
            p.severity.as_deref(),
            "info, warning, error or critical",
        )?,
        source_ip: word(
            "source_ip",
            p.source_ip.as_deref(),
            "an address, a network such as 10.0.0.0/8, or system",
        )?,
        status: p.status,
        request_id: p.request_id.clone(),
        decision_id: p.decision_id.clone(),
        event_id: word("event_id", p.event_id.as_deref(), "a UUID")?,
        compliance_tags: p.compliance_tag.clone(),
        text: p.text.clone(),
        limit,
        cursor: p.cursor.clone(),
    })
}

/// Parses the parameters of an erasure, which has no pages.
///
/// # Errors
///
/// One sentence that names the parameter and its value.
pub fn erasure_of(parameters: &SearchParameters) -> Result<Search, String> {
    if parameters.cursor.is_some() || parameters.limit.is_some() {
        return Err("limit and cursor: an erasure has no pages, it takes all events".to_owned());
    }
    search_of(parameters)
}

/// An instant; of a day its first one, or as many days later the last one before.
fn instant(name: &str, text: Option<&str>, days_later: i64) -> Result<Option<i64>, String> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(Some(instant.as_microsecond()));
    }
    let begins = |day: jiff::civil::Date| {
        let days = jiff::Span::new().try_days(days_later).ok()?;
        let later = day
            .checked_add(days)
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC);
        Some(later.ok()?.timestamp().as_microsecond())
    };
    let day = text.parse::<jiff::civil::Date>().ok().and_then(begins);
    let wrong = || format!("{name}: neither a day (2026-11-01) nor an RFC 3339 instant: {text}");
    day.map(|at| Some(at - i64::from(days_later > 0)))
        .ok_or_else(wrong)
}

fn word<T: std::str::FromStr>(
    name: &str,
    text: Option<&str>,
    expected: &str,
) -> Result<Option<T>, String> {
    let Some(text) = text else { return Ok(None) };
    let parsed = text.parse().map(Some);
    parsed.map_err(|_| format!("{name}: must be {expected}: {text}"))
}

/// One tag, or several.
fn tags<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Tags {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Tags::deserialize(from)? {
        Tags::One(list) => list.split(',').map(str::to_owned).collect(),
        Tags::Many(tags) => tags,
    })
}

impl SearchParameters {
    /// Reads the query of a URL, given as names and values.
    ///
    /// # Errors
    ///
    /// One sentence that names the parameter, its value and what was expected.
    pub(super) fn of_query(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut read = Self::default();
        for (name, value) in pairs {
            read.set(&name, value)?;
        }
        Ok(read)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let text = match name {
            "compliance_tag" => {
                self.compliance_tag
                    .extend(value.split(',').map(str::to_owned));
                return Ok(());
            }
            "status" => return number(name, &value, &mut self.status, "an HTTP status"),
            "limit" => return number(name, &value, &mut self.limit, "a number from 1 to 1000"),
            "from" => &mut self.from,
            "to" => &mut self.to,
            "organization_id" => &mut self.organization_id,
            "api_key_id" => &mut self.api_key_id,
            "event_type" => &mut self.event_type,
            "severity" => &mut self.severity,
            "source_ip" => &mut self.source_ip,
            "request_id" => &mut self.request_id,
            "decision_id" => &mut self.decision_id,
            "event_id" => &mut self.event_id,
            "text" => &mut self.text,
            "store" => &mut self.store,
            "cursor" => &mut self.cursor,
            unknown => return Err(format!("unknown parameter: {unknown}; known are {NAMES}")),
        };
        match text.replace(value) {
            Some(_) => Err(format!("{name}: must be given once")),
            None => Ok(()),
        }
    }
}

/// What a search knows.
const NAMES: &str = "from, to, organization_id, api_key_id, event_type, severity, source_ip, status, request_id, \
     decision_id, event_id, compliance_tag, text, store, limit, cursor";

fn number<T: std::str::FromStr>(
    name: &str,
    value: &str,
    into: &mut Option<T>,
    expected: &str,
) -> Result<(), String> {
    if into.is_some() {
        return Err(format!("{name}: must be given once"));
    }
    let parsed = value.parse();
    *into = Some(parsed.map_err(|_| format!("{name}: must be {expected}: {value}"))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_query(query: &str) -> Result<SearchParameters, String> {
        let uri = format!("/?{query}").parse().unwrap();
        let pairs = axum::extract::Query::try_from_uri(&uri).unwrap();
        SearchParameters::of_query(pairs.0)
    }

    fn wrong(query: &str) -> String {
        let read = of_query(query);
        read.and_then(|parameters| search_of(&parameters).map(drop))
            .unwrap_err()
    }

    #[test]
    fn tags_may_be_repeated_or_listed() {
        let query = "compliance_tag=gdpr&compliance_tag=pii,hipaa&status=403";
        let search = search_of(&of_query(query).unwrap()).unwrap();
        assert_eq!(search.compliance_tags, ["gdpr", "pii", "hipaa"]);
        assert_eq!(search.status, Some(403));
        let json = serde_json::json!({"compliance_tag": "gdpr,pii"});
        let read: SearchParameters = serde_json::from_value(json).unwrap();
        assert_eq!(read.compliance_tag, ["gdpr", "pii"]);
    }

    #[test]
    fn a_day_is_from_its_first_instant_to_its_last() {
        let search = search_of(&of_query("from=2026-11-01&to=2026-11-01").unwrap());
        let search = search.unwrap();
        let day = 86_400_000_000;
        assert_eq!(search.to.unwrap() - search.from.unwrap(), day - 1);
        assert_eq!(search.from.unwrap() % day, 0);
    }

    #[test]
    fn a_wrong_parameter_is_named_with_its_value_and_what_was_expected() {
        for (query, expected) in [
            ("status=abc", "status: must be an HTTP status: abc"),
            ("limit=many", "limit: must be a number from 1 to 1000: many"),
            (
                "from=yesterday",
                "from: neither a day (2026-11-01) nor an RFC 3339 instant: yesterday",
            ),
            (
                "severity=loud",
                "severity: must be info, warning, error or critical: loud",
            ),
            ("text=a&text=b", "text: must be given once"),
            ("text=", "text: must not be empty"),
            ("organization_id=%20", "organization_id: must not be empty"),
        ] {
            assert_eq!(wrong(query), expected);
        }
        assert!(wrong("colour=red").starts_with("unknown parameter: colour; known are from, to,"));
    }
}
