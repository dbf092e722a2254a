//! The part of the model that says what audit events know beyond the request: places, classifications,
//! personal data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where addresses are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoIpSettings {
    /// The MMDB file. Whether it can be read is seen when it is.
    pub file: PathBuf,
    /// Time between two looks whether it has changed.
    pub check: Duration,
}

/// How sensitive data is, mildest first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Classification {
    /// Meant for everybody.
    #[default]
    Public,
    /// For the organization.
    Internal,
    /// For those who need it.
    Confidential,
    /// For those who are named.
    Restricted,
}

impl Classification {
    /// The word used in configuration and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }
}

/// How sensitive the data of some graphs is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphClassification {
    /// A graph's id; `*` stands for any characters.
    pub graph: Arc<str>,
    /// What its events say.
    pub classification: Classification,
}

/// The highest classification of a graph; `None` where nothing is said of it.
pub fn classify(graphs: &[GraphClassification], graph: &str) -> Option<Classification> {
    graphs
        .iter()
        .filter(|rule| fits(rule.graph.as_bytes(), graph.as_bytes()))
        .map(|rule| rule.classification)
        .max()
}

/// Whether a text fits a pattern in which `*` stands for any bytes.
///
/// Only the last `*` is ever tried again, so a text costs at most its length times the pattern's.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                again = Some((at + 1, seen));
                at += 1;
            }
            Some(byte) if text.get(seen) == Some(byte) => {
                at += 1;
                seen += 1;
            }
            _ => match again {
                Some((after, from)) => {
                    again = Some((after, from + 1));
                    at = after;
                    seen = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Which text is looked at for personal data.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Pii {
    /// None.
    Off,
    /// That of requests, where it is inspected anyway.
    #[default]
    Request,
    /// That of requests, and of a share of the answers.
    RequestAndResponse,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_highest_of_all_that_fit_counts() {
        let rule = |graph: &str, classification| GraphClassification {
            graph: graph.into(),
            classification,
        };
        let rules = [
            rule("*", Classification::Internal),
            rule("patients-*", Classification::Restricted),
            rule("patients-demo", Classification::Public),
            rule("*-eu-*", Classification::Confidential),
        ];
        for (graph, expected) in [
            ("orders", Classification::Internal),
            ("patients-1", Classification::Restricted),
            ("patients-demo", Classification::Restricted),
            ("orders-eu-1", Classification::Confidential),
            ("orders-eu", Classification::Internal),
        ] {
            assert_eq!(classify(&rules, graph), Some(expected), "{graph}");
        }
        assert_eq!(classify(&rules[1..], "orders"), None);
        assert_eq!(classify(&[], "orders"), None);
    }

    proptest! {
        #[test]
        fn stars_stand_for_what_a_regular_expression_would_let_them(
            pattern in "[ab*]{0,8}", text in "[ab]{0,10}",
        ) {
            let regex = format!("^{}$", pattern.replace('*', ".*"));
            let expected = regex::Regex::new(&regex).unwrap().is_match(&text);
            prop_assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected);
        }
    }
}
