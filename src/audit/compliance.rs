//! Severities and compliance tags by the specification's rules.

use std::borrow::Cow;

use super::event::Severity;

/// The European Union, the rest of the European Economic Area, and the United Kingdom, where the
/// GDPR or its copy applies; ISO 3166-1 alpha-2.
const GDPR_COUNTRIES: [&str; 31] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU", "IE",
    "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// The severity of an answered request: server errors are errors, client errors warnings.
pub fn severity_for_status(status: u16) -> Severity {
    match status {
        500.. => Severity::Error,
        400..=499 => Severity::Warning,
        _ => Severity::Info,
    }
}

/// The tags of an event, each at most once, in the specification's order.
///
/// `country` is ISO 3166-1 alpha-2 in capitals, `industry` the organization's, `path` the canonical
/// path, `pii` whether personal data was seen.
pub fn compliance_tags(
    country: Option<&str>,
    industry: Option<&str>,
    path: &str,
    pii: bool,
) -> Vec<Cow<'static, str>> {
    let european = country.is_some_and(|country| GDPR_COUNTRIES.contains(&country));
    let rules = [
        ("ccpa", matches!(country, Some("US" | "CA")) || pii),
        ("gdpr", european || pii),
        ("hipaa", industry == Some("healthcare")),
        ("pci_dss", industry == Some("finance")),
        ("data_access", path.contains("query")),
        ("data_modification", path.contains("upload")),
        ("pii", pii),
    ];
    rules
        .into_iter()
        .filter(|(_, applies)| *applies)
        .map(|(tag, _)| Cow::Borrowed(tag))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_country_industry_path_and_pii() {
        for (country, industry, path, pii, expected) in [
            (None, None, "/v1/graphs", false, vec![]),
            (Some("US"), None, "/", false, vec!["ccpa"]),
            (Some("CA"), None, "/", false, vec!["ccpa"]),
            (Some("DE"), None, "/", false, vec!["gdpr"]),
            (Some("NO"), None, "/", false, vec!["gdpr"]),
            (Some("GB"), None, "/", false, vec!["gdpr"]),
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
            assert_eq!(compliance_tags(country, industry, path, pii), expected);
        }
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
