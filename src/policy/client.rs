//! Who the client is when proxies stand in between.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use super::hygiene;

/// Hops of `X-Forwarded-For` that are looked at; more are refused trust, not an error.
const HOPS_MAX: usize = 32;

/// The client's address: the peer's, or, when the peer is a trusted proxy, the rightmost address of
/// `X-Forwarded-For` that is not itself a trusted proxy.
///
/// A field that cannot be read ends the walk at the last hop that could: what stands left of it was
/// written by somebody nobody vouches for.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(peer, trusted) {
        return peer;
    }
    let mut client = peer;
    let fields: Vec<&HeaderValue> = hygiene::values(headers, "x-forwarded-for").collect();
    let hops = fields
        .iter()
        .rev()
        .flat_map(|value| value.to_str().unwrap_or("?").rsplit(','))
        .take(HOPS_MAX);
    for hop in hops {
        let Ok(address) = hop.trim().parse::<IpAddr>() else {
            return client;
        };
        client = address.to_canonical();
        if !is_trusted(client, trusted) {
            return client;
        }
    }
    client
}

/// Whether an address belongs to the trusted proxies.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_peer_is_the_client_unless_it_is_trusted() {
        assert_eq!(seen("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        let trusted = ["10.0.0.0/8"];
        assert_eq!(
            seen("203.0.113.9", &["198.51.100.1"], &trusted),
            "203.0.113.9"
        );
        assert_eq!(
            seen("10.1.1.1", &["198.51.100.1"], &trusted),
            "198.51.100.1"
        );
        assert_eq!(
            seen("::ffff:10.1.1.1", &["198.51.100.1"], &trusted),
            "198.51.100.1"
        );
    }

    #[test]
    fn the_rightmost_untrusted_hop_wins_over_what_a_client_wrote() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(
            seen("10.1.1.1", &["1.1.1.1, 198.51.100.1, 10.2.2.2"], &trusted),
            "198.51.100.1"
        );
        assert_eq!(
            seen("10.1.1.1", &["1.1.1.1", "198.51.100.1"], &trusted),
            "198.51.100.1"
        );
    }

    #[test]
    fn an_unreadable_hop_ends_the_walk() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(
            seen("10.1.1.1", &["1.1.1.1, nonsense, 10.2.2.2"], &trusted),
            "10.2.2.2"
        );
        assert_eq!(seen("10.1.1.1", &["nonsense"], &trusted), "10.1.1.1");
        assert_eq!(seen("10.1.1.1", &[""], &trusted), "10.1.1.1");
    }
}
