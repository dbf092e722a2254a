//! The host a request is for: its grammar, and the agreement of the places that name it.
//!
//! Of what RFC 3986, 3.2.2 allows, refused are: percent-encodings, which spell another name to a reader
//! that decodes; the comma, since two Host fields combined look like that; empty labels; user
//! information, zone identifiers and future address forms.

use std::net::Ipv6Addr;

use http::header::{HOST, HeaderMap};

use super::Violation;
use super::octets::{self, is};

/// The longest name DNS can carry, in octets; a longer host is refused.
pub const HOST_BYTES_MAX: usize = 255;

/// A host with an optional port, well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The name or address as sent; an IPv6 address without its brackets.
    pub host: &'a str,
    /// Absent, or empty after its colon: the scheme's own.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads the value of a Host field or the authority of a target.
    ///
    /// # Errors
    /// [`Violation::HostSyntax`].
    pub fn parse(value: &'a [u8]) -> Result<Self, Violation> {
        Self::read(value).ok_or(Violation::HostSyntax)
    }

    /// Whether both name the same origin, with `port_default` where no port is given.
    pub fn agrees_with(&self, other: &Authority<'_>, port_default: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(port_default) == other.port.unwrap_or(port_default)
    }

    fn read(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        if let Some(bracketed) = text.strip_prefix('[') {
            let (host, after) = bracketed.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            let port = match after {
                "" => None,
                _ => port(after.strip_prefix(':')?)?,
            };
            return Some(Self { host, port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, digits)) => (host, port(digits)?),
            None => (text, None),
        };
        is_name(host).then_some(Self { host, port })
    }
}

/// Checks that a decoded request names one host. Meant for HTTP/2; an HTTP/1 head that passed
/// [`super::check_head`] passes here too, unless it is HTTP/1.0 without Host.
///
/// # Errors
/// [`Violation::MissingHost`], [`Violation::DuplicateHost`], [`Violation::HostSyntax`] or
/// [`Violation::HostMismatch`] when `:authority` (or an absolute-form target) and Host differ.
pub fn check_authority(uri: &http::Uri, headers: &HeaderMap) -> Result<(), Violation> {
    let mut hosts = headers.get_all(HOST).iter();
    let field = hosts.next();
    if hosts.next().is_some() {
        return Err(Violation::DuplicateHost);
    }
    let field = field
        .map(|value| Authority::parse(value.as_bytes()))
        .transpose()?;
    let target = uri
        .authority()
        .map(|authority| Authority::parse(authority.as_str().as_bytes()))
        .transpose()?;
    let port_default = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    match (field, target) {
        (None, None) => Err(Violation::MissingHost),
        (Some(field), Some(target)) if !field.agrees_with(&target, port_default) => {
            Err(Violation::HostMismatch)
        }
        _ => Ok(()),
    }
}

/// `Some(None)` for the empty port, which RFC 3986, 3.2.3 allows.
fn port(digits: &str) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(Some)
}

/// A registered name or an IPv4 address: labels, none empty but the root's.
fn is_name(host: &str) -> bool {
    let mut previous = b'.';
    for octet in host.bytes() {
        if !is(octet, octets::HOST) || (octet == b'.' && previous == b'.') {
            return false;
        }
        previous = octet;
    }
    !host.is_empty() && host != "." && host.len() <= HOST_BYTES_MAX
}
