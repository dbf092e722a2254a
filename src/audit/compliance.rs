//! Severities and compliance tags by the specification's rules.

use std::borrow::Cow;

use super::event::{EventType, Severity};

/// Where the GDPR or its copy applies: the European Union with the parts of it that have codes of their own, the
/// rest of the European Economic Area, and the United Kingdom; ISO 3166-1 alpha-2, sorted.
const GDPR_COUNTRIES: [&str; 38] = [
    "AT", "AX", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GF", "GP", "GR",
    "HR", "HU", "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MF", "MQ", "MT", "NL", "NO", "PL", "PT",
    "RE", "RO", "SE", "SI", "SK", "YT",
];

/// The severity of an answered request: server errors are errors, client errors warnings.
pub fn severity_for_status(status: u16) -> Severity {
    match status {
        500.. => Severity::Error,
        400..=499 => Severity::Warning,
        _ => Severity::Info,
    }
}

/// What the tags of an event follow from.
#[derive(Clone, Copy, Debug)]
pub struct Grounds<'a> {
    /// What kind of thing happened.
    pub event_type: EventType,
    /// Where the client is, ISO 3166-1 alpha-2 in capitals.
    pub country: Option<&'a str>,
    /// The organization's trade.
    pub industry: Option<&'a str>,
    /// The canonical path.
    pub path: &'a str,
    /// Whether data was asked for or sent, whatever else the event is about.
    pub data: bool,
    /// Whether data was to be changed.
    pub modifies: bool,
    /// Whether personal data was seen.
    pub pii: bool,
}

/// The tags of an event, each at most once, in the specification's order.
///
/// The specification goes by words of the path; what a statement does and what an event is about count beside
/// them, so that a route named otherwise is tagged as well.
pub fn compliance_tags(of: &Grounds<'_>) -> Vec<Cow<'static, str>> {
    let european =
        (of.country).is_some_and(|country| GDPR_COUNTRIES.binary_search(&country).is_ok());
    let authentication = of.event_type == EventType::Authentication;
    let data = of.data;
    let rules = [
        ("ccpa", matches!(of.country, Some("US" | "CA")) || of.pii),
        ("gdpr", european || of.pii),
        ("hipaa", of.industry == Some("healthcare")),
        ("pci_dss", of.industry == Some("finance")),
        ("data_access", data || of.path.contains("query")),
        (
            "data_modification",
            data && of.modifies || of.path.contains("upload"),
        ),
        ("pii", of.pii),
        ("authentication", authentication),
        (
            "security",
            authentication || of.event_type == EventType::SecurityEvent,
        ),
    ];
    rules
        .into_iter()
        .filter(|(_, applies)| *applies)
        .map(|(tag, _)| Cow::Borrowed(tag))
        .collect()
}

/// Adds what kinds of threat a security event is about, each once.
pub fn tag_threats<'a>(
    tags: &mut Vec<Cow<'a, str>>,
    event_type: EventType,
    threats: impl Iterator<Item = &'a str>,
) {
    if event_type != EventType::SecurityEvent {
        return;
    }
    for threat in threats {
        if !tags.iter().any(|tag| tag == threat) {
            tags.push(Cow::Borrowed(threat));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Grounds<'_> = Grounds {
        event_type: EventType::ApiRequest,
        country: None,
        industry: None,
        path: "/",
        data: false,
        modifies: false,
        pii: false,
    };

    #[test]
    fn tags_follow_country_industry_path_and_pii() {
        for (country, industry, path, pii, expected) in [
            (None, None, "/v1/graphs", false, vec![]),
            (Some("US"), None, "/", false, vec!["ccpa"]),
            (Some("CA"), None, "/", false, vec!["ccpa"]),
            (Some("DE"), None, "/", false, vec!["gdpr"]),
            (Some("NO"), None, "/", false, vec!["gdpr"]),
            (Some("GB"), None, "/", false, vec!["gdpr"]),
            (Some("RE"), None, "/", false, vec!["gdpr"]),
            (Some("CH"), None, "/", false, vec![]),
            (None, Some("healthcare"), "/", false, vec!["hipaa"]),
            (None, Some("finance"), "/", false, vec!["pci_dss"]),
            (None, None, "/v1/graphs/g/query", false, vec!["data_access"]),
            (
                None,
                None,
                "/v1/graphs/g/upload",
                false,
                vec!["data_modification"],
            ),
            (
                Some("FR"),
                None,
                "/x/query",
                true,
                vec!["ccpa", "gdpr", "data_access", "pii"],
            ),
        ] {
            let grounds = Grounds {
                country,
                industry,
                path,
                pii,
                ..NONE
            };
            assert_eq!(compliance_tags(&grounds), expected);
        }
    }

    #[test]
    fn tags_follow_what_the_event_is_about() {
        for (event_type, modifies, expected) in [
            (EventType::ApiRequest, true, vec![]),
            (
                EventType::Authentication,
                false,
                vec!["authentication", "security"],
            ),
            (EventType::SecurityEvent, false, vec!["security"]),
            (EventType::DataAccess, false, vec!["data_access"]),
            (
                EventType::DataAccess,
                true,
                vec!["data_access", "data_modification"],
            ),
        ] {
            let grounds = Grounds {
                event_type,
                data: event_type == EventType::DataAccess,
                modifies,
                ..NONE
            };
            assert_eq!(compliance_tags(&grounds), expected);
        }
    }

    #[test]
    fn a_security_event_names_its_threats_once() {
        let threats = || ["sql_injection", "sql_injection", "path_traversal"].into_iter();
        let mut tags = vec!["security".into()];
        tag_threats(&mut tags, EventType::SecurityEvent, threats());
        assert_eq!(tags, ["security", "sql_injection", "path_traversal"]);
        let mut tags = Vec::new();
        tag_threats(&mut tags, EventType::ApiRequest, threats());
        assert_eq!(tags, [""; 0]);
    }

    #[test]
    fn the_countries_are_sorted() {
        assert!(GDPR_COUNTRIES.is_sorted());
    }

    #[test]
    fn severity_follows_the_status() {
        for (status, expected) in [
            (0, Severity::Info),
            (200, Severity::Info),
            (302, Severity::Info),
            (401, Severity::Warning),
            (499, Severity::Warning),
            (500, Severity::Error),
            (503, Severity::Error),
        ] {
            assert_eq!(severity_for_status(status), expected);
        }
    }
}
