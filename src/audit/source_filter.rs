//! Where events come from, as searches ask for it: an address, a network, or the gateway itself.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::event::Source;

/// An address, a network, or the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFilter {
    /// Events of no client.
    System,
    /// Clients of a network; an address is a network of one.
    Network(IpNet),
}

impl SourceFilter {
    pub(super) fn admits(self, source: Source) -> bool {
        match (self, source) {
            (Self::System, Source::System) => true,
            (Self::Network(network), Source::Address(address)) => network.contains(&address),
            _ => false,
        }
    }
}

impl fmt::Display for SourceFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// What is neither an address, nor a network, nor `system`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor a network: {0}")]
pub struct NotASource(String);

impl FromStr for SourceFilter {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Self, NotASource> {
        if text == "system" {
            return Ok(Self::System);
        }
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let network = address().or_else(|_| text.parse::<IpNet>());
        network
            .map(Self::Network)
            .map_err(|_| NotASource(text.to_owned()))
    }
}
