//! What a key is allowed: scopes, graphs, networks. Each reads from and writes to one line of text,
//! which is what the store keeps and the command line takes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;

/// Scopes of one key at most.
const SCOPES_MAX: usize = 64;
/// Graphs one key can be confined to at most.
const GRAPHS_MAX: usize = 1024;
/// Networks one key can be confined to at most.
const NETWORKS_MAX: usize = 256;
/// Bytes of one scope's half.
const WORD_BYTES_MAX: usize = 64;
/// Bytes of one graph id.
const GRAPH_ID_BYTES_MAX: usize = 256;

/// Why a text is no scope, graph or network list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not `resource:action`, `resource:*`, `*:action` or `*`.
    #[error("not a scope of the form resource:action: {0:?}")]
    Scope(String),
    /// Empty, over-long, or with characters that no graph id has.
    #[error("not a graph id: {0:?}")]
    Graph(String),
    /// Neither an address nor a CIDR network.
    #[error("not an address or a network such as 10.0.0.0/8: {0:?}")]
    Network(String),
    /// More entries than one key may have.
    #[error("too many entries, at most {0}")]
    TooMany(usize),
}

/// A right of the form `resource:action`; either half may be `*`, and `*` alone is both.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    resource: Arc<str>,
    action: Arc<str>,
}

impl Scope {
    /// True when holding this scope grants `needed`.
    pub fn covers(&self, needed: &Self) -> bool {
        covers_word(&self.resource, &needed.resource) && covers_word(&self.action, &needed.action)
    }
}

fn covers_word(held: &str, needed: &str) -> bool {
    held == "*" || held == needed
}

impl FromStr for Scope {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let (resource, action) = match text {
            "*" => ("*", "*"),
            _ => text.split_once(':').unwrap_or_default(),
        };
        if is_scope_word(resource) && is_scope_word(action) {
            Ok(Self {
                resource: resource.into(),
                action: action.into(),
            })
        } else {
            Err(GrantError::Scope(text.to_owned()))
        }
    }
}

/// `*`, or 1 to 64 lower-case letters, digits, `_`, `-`, `.`.
fn is_scope_word(word: &str) -> bool {
    let plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.');
    word == "*" || ((1..=WORD_BYTES_MAX).contains(&word.len()) && word.bytes().all(plain))
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if &*self.resource == "*" && &*self.action == "*" {
            return f.write_str("*");
        }
        write!(f, "{}:{}", self.resource, self.action)
    }
}

/// The scopes a key holds, at most 64; none grants nothing. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(Arc<[Scope]>);

impl ScopeSet {
    /// True when one of the scopes covers the needed one.
    pub fn covers(&self, needed: &Scope) -> bool {
        self.0.iter().any(|held| held.covers(needed))
    }

    /// The scopes, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromStr for ScopeSet {
    type Err = GrantError;

    /// Reads scopes parted by spaces or commas.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let scopes: Vec<Scope> = words(text).map(str::parse).collect::<Result<_, _>>()?;
        at_most(SCOPES_MAX, scopes.len())?;
        Ok(Self(scopes.into()))
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_joined(f, self.0.iter())
    }
}

/// The graphs a key reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GraphAccess {
    /// Every graph of its organization; the upstream knows which these are.
    #[default]
    All,
    /// These alone, at most 1,024.
    Only(Arc<BTreeSet<Box<str>>>),
}

impl GraphAccess {
    /// True when the key reaches the graph.
    pub fn allows(&self, graph: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(graphs) => graphs.contains(graph),
        }
    }
}

impl FromStr for GraphAccess {
    type Err = GrantError;

    /// Reads `*`, or graph ids parted by spaces or commas. An empty text is every graph.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let mut graphs = BTreeSet::new();
        for word in words(text) {
            if word == "*" {
                return Ok(Self::All);
            }
            if word.len() > GRAPH_ID_BYTES_MAX || !word.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(GrantError::Graph(word.to_owned()));
            }
            graphs.insert(Box::from(word));
            at_most(GRAPHS_MAX, graphs.len())?;
        }
        Ok(if graphs.is_empty() {
            Self::All
        } else {
            Self::Only(Arc::new(graphs))
        })
    }
}

impl fmt::Display for GraphAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Only(graphs) => write_joined(f, graphs.iter()),
        }
    }
}

/// The client addresses a key may be used from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Networks {
    /// Any address.
    #[default]
    Any,
    /// These networks alone, at most 256.
    Only(Arc<[IpNet]>),
}

impl Networks {
    /// True when the address may use the key; `::ffff:10.0.0.1` is `10.0.0.1`.
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Only(networks) => {
                let address = address.to_canonical();
                networks.iter().any(|network| network.contains(&address))
            }
        }
    }
}

impl FromStr for Networks {
    type Err = GrantError;

    /// Reads `*`, or addresses and networks parted by spaces or commas. An empty text is any.
    fn from_str(text: &str) -> Result<Self, GrantError> {
        let mut networks = Vec::new();
        for word in words(text) {
            if word == "*" {
                return Ok(Self::Any);
            }
            let network = word
                .parse::<IpNet>()
                .or_else(|_| {
                    word.parse::<IpAddr>()
                        .map(|address| IpNet::from(address.to_canonical()))
                })
                .map_err(|_| GrantError::Network(word.to_owned()))?;
            networks.push(network.trunc());
            at_most(NETWORKS_MAX, networks.len())?;
        }
        Ok(if networks.is_empty() {
            Self::Any
        } else {
            Self::Only(networks.into())
        })
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Only(networks) => write_joined(f, networks.iter()),
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\t']).filter(|word| !word.is_empty())
}

fn at_most(max: usize, count: usize) -> Result<(), GrantError> {
    if count > max {
        Err(GrantError::TooMany(max))
    } else {
        Ok(())
    }
}

fn write_joined<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
) -> fmt::Result {
    for (at, item) in items.enumerate() {
        if at > 0 {
            f.write_str(" ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    #[test]
    fn wildcards_cover_what_they_say_and_no_more() {
        let cases = [
            ("graph:read", "graph:read", true),
            ("graph:*", "graph:read", true),
            ("*:read", "graph:read", true),
            ("*", "graph:read", true),
            ("graph:read", "graph:write", false),
            ("graph:read", "graph:*", false),
            ("*:read", "graph:write", false),
            ("graph:*", "graphs:read", false),
        ];
        for (held, needed, expected) in cases {
            assert_eq!(
                scope(held).covers(&scope(needed)),
                expected,
                "{held} for {needed}"
            );
        }
        assert!(!ScopeSet::default().covers(&scope("graph:read")));
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for text in [
            "",
            ":",
            "graph",
            "graph:",
            ":read",
            "Graph:read",
            "a:b:c",
            "gr*ph:read",
            "é:read",
        ] {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
        assert!("a:b ".repeat(SCOPES_MAX + 1).parse::<ScopeSet>().is_err());
    }

    #[test]
    fn lists_survive_being_written_and_read() {
        for text in ["graph:query *", "graph:*"] {
            assert_eq!(text.parse::<ScopeSet>().unwrap().to_string(), text);
        }
        assert_eq!("b, a".parse::<GraphAccess>().unwrap().to_string(), "a b");
        assert_eq!("".parse::<GraphAccess>().unwrap(), GraphAccess::All);
        assert_eq!(
            "10.1.2.3/8,::1".parse::<Networks>().unwrap().to_string(),
            "10.0.0.0/8 ::1/128"
        );
        assert_eq!("*".parse::<Networks>().unwrap(), Networks::Any);
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_self() {
        let networks: Networks = "10.0.0.0/8".parse().unwrap();
        assert!(networks.allows("10.9.9.9".parse().unwrap()));
        assert!(networks.allows("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!networks.allows("11.0.0.1".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<Networks>().is_err());
    }

    proptest! {
        #[test]
        fn reading_any_text_never_panics_and_what_is_read_reads_again(text in "\\PC{0,60}") {
            if let Ok(scopes) = text.parse::<ScopeSet>() {
                prop_assert_eq!(scopes.to_string().parse::<ScopeSet>().unwrap(), scopes);
            }
            if let Ok(graphs) = text.parse::<GraphAccess>() {
                prop_assert_eq!(graphs.to_string().parse::<GraphAccess>().unwrap(), graphs);
            }
            let _ = text.parse::<Networks>();
        }
    }
}
