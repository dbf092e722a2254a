//! The standards' headings, and which numbers of the log speak to each.

use super::Control;

/// A standard a report can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Standard {
    /// EU General Data Protection Regulation.
    Gdpr,
    /// US Health Insurance Portability and Accountability Act, Security Rule.
    Hipaa,
    /// Payment Card Industry Data Security Standard 4.
    PciDss,
    /// California Consumer Privacy Act.
    Ccpa,
    /// SOC 2, Trust Services Criteria.
    Soc2,
}

/// What the log says in numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Measures {
    pub(super) events: u64,
    pub(super) unreadable: u64,
    pub(super) accesses: u64,
    pub(super) modifications: u64,
    pub(super) personal: u64,
    pub(super) restricted: u64,
    pub(super) callers: u64,
    pub(super) graphs: u64,
    pub(super) countries: u64,
    pub(super) authentication_failures: u64,
    pub(super) authorization_refusals: u64,
    pub(super) security_events: u64,
    pub(super) critical: u64,
    pub(super) changes: u64,
    pub(super) credential_changes: u64,
    pub(super) log_reads: u64,
    pub(super) starts: u64,
    pub(super) stops: u64,
    pub(super) verified: u64,
    pub(super) bad_places: u64,
}

/// A number of the log, by the name reports give it.
type Measure = (&'static str, fn(&Measures) -> u64);

const EVENTS: Measure = ("events_recorded", |m| m.events);
const UNREADABLE: Measure = ("events_unreadable", |m| m.unreadable);
const ACCESSES: Measure = ("data_accesses", |m| m.accesses);
const MODIFICATIONS: Measure = ("data_modifications", |m| m.modifications);
const PERSONAL: Measure = ("accesses_with_personal_data", |m| m.personal);
const RESTRICTED: Measure = ("accesses_to_restricted_data", |m| m.restricted);
const CALLERS: Measure = ("api_keys_that_accessed_data", |m| m.callers);
const GRAPHS: Measure = ("graphs_accessed", |m| m.graphs);
const COUNTRIES: Measure = ("countries_of_access", |m| m.countries);
const AUTHENTICATION: Measure = ("failed_authentications", |m| m.authentication_failures);
const AUTHORIZATION: Measure = ("refused_authorizations", |m| m.authorization_refusals);
const SECURITY: Measure = ("security_events", |m| m.security_events);
const CRITICAL: Measure = ("critical_events", |m| m.critical);
const CHANGES: Measure = ("configuration_changes", |m| m.changes);
const CREDENTIALS: Measure = ("credential_changes", |m| m.credential_changes);
const LOG_READS: Measure = ("audit_log_reads", |m| m.log_reads);
const STARTS: Measure = ("gateway_starts", |m| m.starts);
const STOPS: Measure = ("gateway_stops", |m| m.stops);
const VERIFIED: Measure = ("events_verified", |m| m.verified);
const BAD: Measure = ("bad_places_in_the_log", |m| m.bad_places);

type Row = (&'static str, &'static str, &'static [Measure]);

const GDPR: &[Row] = &[
    (
        "Art. 5(2)",
        "Accountability: processing can be demonstrated",
        &[EVENTS, VERIFIED, BAD, UNREADABLE],
    ),
    (
        "Art. 30",
        "Records of processing activities",
        &[ACCESSES, MODIFICATIONS, PERSONAL, GRAPHS, CALLERS],
    ),
    (
        "Art. 32(1)(b)",
        "Security of processing: confidentiality and integrity",
        &[AUTHENTICATION, AUTHORIZATION, SECURITY],
    ),
    (
        "Art. 32(1)(d)",
        "Security of processing: regular testing and evaluation",
        &[LOG_READS, CHANGES],
    ),
    (
        "Art. 33",
        "Notification of a breach: what would have to be assessed",
        &[CRITICAL, SECURITY, RESTRICTED],
    ),
    (
        "Art. 44",
        "Transfers: countries personal data was accessed from",
        &[COUNTRIES],
    ),
];

const HIPAA: &[Row] = &[
    (
        "164.308(a)(1)(ii)(D)",
        "Information system activity review",
        &[EVENTS, LOG_READS],
    ),
    (
        "164.308(a)(5)(ii)(C)",
        "Log-in monitoring",
        &[AUTHENTICATION],
    ),
    (
        "164.308(a)(6)(ii)",
        "Response and reporting of security incidents",
        &[SECURITY, CRITICAL],
    ),
    (
        "164.312(a)(1)",
        "Access control",
        &[ACCESSES, AUTHORIZATION, CALLERS],
    ),
    (
        "164.312(b)",
        "Audit controls",
        &[EVENTS, ACCESSES, MODIFICATIONS, UNREADABLE],
    ),
    ("164.312(c)(1)", "Integrity", &[VERIFIED, BAD]),
    (
        "164.312(d)",
        "Person or entity authentication",
        &[AUTHENTICATION, CREDENTIALS],
    ),
];

const PCI_DSS: &[Row] = &[
    (
        "10.2.1.1",
        "Individual user access to cardholder data",
        &[ACCESSES, CALLERS, PERSONAL],
    ),
    (
        "10.2.1.2",
        "Actions by individuals with administrative access",
        &[CHANGES],
    ),
    ("10.2.1.3", "Access to audit logs", &[LOG_READS]),
    (
        "10.2.1.4",
        "Invalid logical access attempts",
        &[AUTHENTICATION, AUTHORIZATION],
    ),
    (
        "10.2.1.5",
        "Changes to identification and authentication credentials",
        &[CREDENTIALS],
    ),
    (
        "10.2.1.6",
        "Initialization, stopping or pausing of audit logs",
        &[STARTS, STOPS],
    ),
    (
        "10.2.1.7",
        "Creation and deletion of system-level objects",
        &[CHANGES],
    ),
    (
        "10.3.4",
        "Integrity of audit logs",
        &[VERIFIED, BAD, UNREADABLE],
    ),
    ("10.4.1", "Review of security events", &[SECURITY, CRITICAL]),
];

const CCPA: &[Row] = &[
    (
        "1798.100(e)",
        "Reasonable security procedures",
        &[AUTHENTICATION, AUTHORIZATION, SECURITY],
    ),
    (
        "1798.110",
        "Categories of personal information that was accessed",
        &[ACCESSES, PERSONAL, GRAPHS],
    ),
    (
        "1798.130",
        "Accesses to disclose on request",
        &[ACCESSES, CALLERS],
    ),
    (
        "1798.150",
        "Security breaches: what would have to be assessed",
        &[CRITICAL, RESTRICTED],
    ),
    (
        "11 CCR 7101",
        "Record keeping",
        &[EVENTS, VERIFIED, BAD, UNREADABLE],
    ),
];

const SOC2: &[Row] = &[
    (
        "CC6.1",
        "Logical access security",
        &[AUTHENTICATION, AUTHORIZATION, ACCESSES],
    ),
    (
        "CC6.2",
        "Credentials are issued and removed by authorization",
        &[CREDENTIALS],
    ),
    ("CC6.6", "Threats from outside the boundary", &[SECURITY]),
    (
        "CC7.2",
        "Anomalies are monitored",
        &[EVENTS, SECURITY, CRITICAL],
    ),
    (
        "CC7.3",
        "Security events are evaluated",
        &[CRITICAL, LOG_READS],
    ),
    ("CC8.1", "Changes are authorized and recorded", &[CHANGES]),
    (
        "PI1.4",
        "Records are complete and accurate",
        &[VERIFIED, BAD, UNREADABLE],
    ),
];

impl Standard {
    /// The word of the command line and the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gdpr => "gdpr",
            Self::Hipaa => "hipaa",
            Self::PciDss => "pci_dss",
            Self::Ccpa => "ccpa",
            Self::Soc2 => "soc2",
        }
    }

    /// Its full name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Gdpr => "General Data Protection Regulation (EU) 2016/679",
            Self::Hipaa => "HIPAA Security Rule, 45 CFR Part 164 Subpart C",
            Self::PciDss => "PCI DSS v4.0.1, Requirement 10",
            Self::Ccpa => "California Consumer Privacy Act, Civ. Code 1798.100 ff.",
            Self::Soc2 => "SOC 2, Trust Services Criteria",
        }
    }

    /// The tag of the accesses it is about; `None`: all.
    pub(super) fn tag(self) -> Option<&'static str> {
        (self != Self::Soc2).then(|| self.as_str())
    }

    pub(super) fn controls(self, measures: &Measures) -> Vec<Control> {
        let rows = match self {
            Self::Gdpr => GDPR,
            Self::Hipaa => HIPAA,
            Self::PciDss => PCI_DSS,
            Self::Ccpa => CCPA,
            Self::Soc2 => SOC2,
        };
        rows.iter()
            .map(|(id, title, recorded)| Control {
                id,
                title,
                recorded: recorded
                    .iter()
                    .map(|(name, of)| (*name, of(measures)))
                    .collect(),
            })
            .collect()
    }
}
