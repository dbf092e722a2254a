//! Addresses a server must not fetch: its own host, private networks, metadata services, odd schemes.
//!
//! Every literal form of an address is read: dotted, with hexadecimal or octal parts, with parts left
//! out, as one number, IPv6 with an IPv4 inside. Names are not resolved.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::inclusion;
use super::structure::pairs;
use crate::policy::threat::context::Context;
use crate::policy::threat::predicate::{Found, Predicate};

/// Addresses looked at in one value.
const ADDRESSES_MAX: usize = 8;

/// Steps of looking at one address.
const ADDRESS_STEPS: usize = 200;

/// Schemes that read files or speak other protocols.
const SCHEMES: &[&str] = &[
    "file",
    "gopher",
    "dict",
    "ldap",
    "ldaps",
    "tftp",
    "jar",
    "netdoc",
    "phar",
    "php",
    "expect",
    "redis",
    "ssh2",
    "smb",
    "zip",
    "glob",
    "ogg",
    "rar",
    "compress.zlib",
    "view-source",
    "rmi",
    "iiop",
    "corba",
    "dns",
    "nis",
    "nds",
    "imap",
    "smtp",
    "telnet",
    "unix",
    "jdbc",
    "ws+unix",
    "local_file",
    "data",
];

/// Names that lead to the host itself or to a cloud's metadata.
const NAMES: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "metadata",
    "metadata.google.internal",
    "instance-data",
    "metadata.azure.internal",
    "host.docker.internal",
    "gateway.docker.internal",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "rancher-metadata",
    "loopback",
    "bugbounty.dod.network",
    "instance-data.ec2.internal",
    "metadata.packet.net",
    "metadata.tencentyun.com",
    "metadata.oraclecloud.com",
    "broadcasthost",
];

/// Zones of which every name is inside, or carries its own address.
const ZONES: &[&str] = &[
    ".localhost",
    ".internal",
    ".local",
    ".localdomain",
    ".svc",
    ".cluster.local",
    ".intranet",
    ".corp",
    ".lan",
    ".nip.io",
    ".sslip.io",
    ".xip.io",
    ".localtest.me",
    ".lvh.me",
    ".vcap.me",
    ".lacolhost.com",
    ".burpcollaborator.net",
    ".oastify.com",
    ".interact.sh",
    ".oast.fun",
    ".oast.pro",
    ".oast.live",
    ".oast.site",
    ".oast.online",
    ".oast.me",
    ".dnslog.cn",
    ".ceye.io",
    ".bounceme.net",
    ".1u.ms",
    ".rbndr.us",
];

pub(super) fn find(text: &[u8], context: Context, name: Option<&[u8]>, found: &mut Found) {
    if context == Context::Header || context == Context::Cookie {
        return;
    }
    let named = name.is_some_and(is_url_name);
    let whole = !text.trim_ascii().iter().any(u8::is_ascii_whitespace);
    for at in pairs(text, b':', b"://").take(ADDRESSES_MAX) {
        found.work.spend(ADDRESS_STEPS);
        let scheme = scheme(text, at);
        let rest = text.get(at + 3..).unwrap_or_default();
        let hosts = hosts(rest);
        let starts = at == scheme.len() || named;
        if SCHEMES
            .iter()
            .any(|s| scheme.eq_ignore_ascii_case(s.as_bytes()))
            && (whole || named && at == scheme.len())
            && starts
        {
            found.note(Predicate::UrlScheme, at - scheme.len());
        }
        // A name without a dot is a host of the network where a server would go there; before an `@` it is a user's.
        let goes = named && is_web(scheme);
        let user = has_user(rest);
        for (index, host) in hosts.enumerate() {
            let label = goes && !(user && index == 0);
            if is_metadata(host) || named && is_internal(host, label) {
                found.note(Predicate::UrlInternal, at - scheme.len());
            }
        }
    }
    if whole && inclusion::is_inclusion(text, name.unwrap_or_default()) {
        found.note(Predicate::UrlInclusion, 0);
    }
    if named && whole && lax(text).any(|h| is_literal_internal(h) || is_name(h)) {
        found.note(Predicate::UrlInternal, 0);
    }
    if whole
        && (text.starts_with(b"//") || text.starts_with(b"\\\\"))
        && hosts(text.get(2..).unwrap_or_default()).any(|h| is_internal(h, false))
    {
        found.note(Predicate::UrlInternal, 0);
    }
    let spelled = text
        .iter()
        .position(|b| *b == b':')
        .filter(|_| whole && (named || text.len() < 400));
    if let Some(colon) = spelled {
        let scheme = text.get(..colon).unwrap_or_default();
        let odd = [
            "jar", "netdoc", "php", "expect", "phar", "file", "gopher", "dict",
        ]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s.as_bytes()));
        let tail = text.get(colon + 1..).unwrap_or_default();
        if odd
            && tail.len() > 1
            && (named || tail.starts_with(b"/") || memchr::memmem::find(tail, b"://").is_some())
        {
            found.note(Predicate::UrlScheme, 0);
        }
    }
    if name.is_some_and(is_address_name)
        && whole
        && pairs(text, b':', b"://").next().is_none()
        && hosts(text)
            .next()
            .is_some_and(|h| h.contains(&b'.') && is_literal_internal(h) || is_name(h))
    {
        found.note(Predicate::UrlInternal, 0);
    }
}

/// Hosts of an address that only lenient parsers read: `http:/h`, `http:h`, `http://a\@h`.
fn lax(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let scheme = [&b"https:"[..], b"http:"].into_iter().find(|s| {
        text.get(..s.len())
            .is_some_and(|t| t.eq_ignore_ascii_case(s))
    });
    let rest = scheme.and_then(|s| text.get(s.len()..)).unwrap_or_default();
    let tricked = memchr::memmem::find(rest, b"\\@").and_then(|i| rest.get(i + 2..));
    hosts(rest).chain(hosts(tricked.unwrap_or_default()))
}

/// Names of fields that hold addresses.
fn is_url_name(name: &[u8]) -> bool {
    const WORDS: [&str; 25] = [
        "url", "uri", "callback", "webhook", "endpoint", "source", "target", "dest", "redirect",
        "next", "return", "host", "proxy", "feed", "link", "href", "fetch", "import", "image",
        "avatar", "src", "site", "domain", "server", "load",
    ];
    holds_any(name, &WORDS)
}

/// Names of fields that hold nothing but addresses a server fetches; a bare `host` may be data.
pub(super) fn is_address_name(name: &[u8]) -> bool {
    holds_any(
        name,
        &["url", "uri", "callback", "webhook", "redirect", "proxy"],
    )
}

/// Whether one of the words, in lower case, stands in a name of any case. Names are short: no searcher pays off.
fn holds_any(name: &[u8], words: &[&str]) -> bool {
    (0..name.len()).any(|at| {
        let rest = name.get(at..).unwrap_or_default();
        let first = rest.first().map_or(0, u8::to_ascii_lowercase);
        words.iter().map(|w| w.as_bytes()).any(|word| {
            word.first() == Some(&first)
                && rest
                    .get(..word.len())
                    .is_some_and(|r| r.eq_ignore_ascii_case(word))
        })
    })
}

/// Whether a scheme is one that servers fetch by.
fn is_web(scheme: &[u8]) -> bool {
    ["http", "https", "ws", "wss", "ftp", "ftps", "rtsp"]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s.as_bytes()))
}

/// Whether the first of the [`hosts`] stands before an `@`.
fn has_user(rest: &[u8]) -> bool {
    let mut host = rest.iter().skip_while(|b| matches!(b, b'/' | b'\\'));
    let end = host.find(|b| b"@#&,;/?\\".contains(b) || b.is_ascii_whitespace());
    end == Some(&b'@')
}

fn scheme(text: &[u8], end: usize) -> &[u8] {
    let head = text.get(..end).unwrap_or_default();
    let from = head
        .iter()
        .rposition(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-' | b'_')))
        .map_or(0, |i| i + 1);
    head.get(from..).unwrap_or_default()
}

/// What could be taken for the host: what stands before a slash, on both sides of every `@`.
pub(super) fn hosts(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let rest = rest
        .iter()
        .position(|b| *b != b'/' && *b != b'\\')
        .and_then(|i| rest.get(i..))
        .unwrap_or_default();
    let end = rest
        .iter()
        .position(|b| {
            matches!(b, b'/' | b'?' | b'\\' | b'"' | b'\'' | b'<' | b'>') || b.is_ascii_whitespace()
        })
        .unwrap_or(rest.len());
    rest.get(..end.min(300))
        .unwrap_or_default()
        .split(|b| matches!(b, b'@' | b'#' | b'&' | b',' | b';'))
        .take(6)
        .filter(|h| !h.is_empty())
}

pub(super) fn without_port(host: &[u8]) -> (&[u8], bool) {
    if host.starts_with(b"[") {
        let end = memchr::memchr(b']', host).map_or(host.len(), |i| i + 1);
        return (host.get(..end).unwrap_or_default(), host.len() > end);
    }
    match memchr::memchr(b':', host) {
        Some(at) => (host.get(..at).unwrap_or_default(), true),
        None => (host, false),
    }
}

fn is_internal(host: &[u8], named: bool) -> bool {
    let (bare, _) = without_port(host);
    if is_literal_internal(host) {
        return true;
    }
    let lower = String::from_utf8_lossy(bare)
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let label = named
        && !lower.is_empty()
        && !lower.contains('.')
        && lower
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    label
        || NAMES.contains(&lower.as_str())
        || ZONES
            .iter()
            .any(|zone| lower.ends_with(zone) || lower == zone.get(1..).unwrap_or_default())
}

/// A literal address inside, also with something glued behind it.
fn is_literal_internal(host: &[u8]) -> bool {
    let (bare, _) = without_port(host);
    if let Some(inner) = bare.strip_prefix(b"[") {
        let inner = inner.strip_suffix(b"]").unwrap_or(inner);
        let text = String::from_utf8_lossy(inner);
        let text = text.split('%').next().unwrap_or_default();
        return text.parse::<Ipv6Addr>().is_ok_and(is_internal_v6);
    }
    let quad = bare
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    let prefix = bare.get(..quad).unwrap_or_default();
    if quad < bare.len()
        && prefix
            .split(|b| *b == b'.')
            .filter(|p| !p.is_empty())
            .count()
            == 4
        && loose_v4(prefix).is_some_and(is_internal_v4)
    {
        return true;
    }
    let digits = bare
        .iter()
        .take_while(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b'x' | b'X'))
        .count();
    let head = bare.get(..digits).unwrap_or_default();
    if digits < bare.len() && head.iter().filter(|b| **b == b'.').count() < 3 {
        return false;
    }
    loose_v4(head).is_some_and(is_internal_v4)
}

/// A name that leads to the host itself.
fn is_name(host: &[u8]) -> bool {
    let (bare, _) = without_port(host);
    let lower = String::from_utf8_lossy(bare).to_ascii_lowercase();
    NAMES.contains(&lower.as_str())
}

fn is_metadata(host: &[u8]) -> bool {
    let (bare, _) = without_port(host);
    let google = b"metadata.google";
    bare.get(..google.len())
        .is_some_and(|b| b.eq_ignore_ascii_case(google))
        || bare.first().is_some_and(u8::is_ascii_digit)
            && loose_v4(bare) == Some(Ipv4Addr::new(169, 254, 169, 254))
        || bare.eq_ignore_ascii_case(b"[fd00:ec2::254]")
}

/// An IPv4 address as `inet_aton` reads it: one to four parts, each decimal, octal or hexadecimal.
fn loose_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let text = std::str::from_utf8(text).ok()?.trim_end_matches('.');
    let parts: Vec<&str> = text.split('.').collect();
    if text.is_empty() || parts.len() > 4 || text.bytes().all(|b| b == b'.') {
        return None;
    }
    let mut value = 0_u64;
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let number = loose_number(part)?;
        let width = if last {
            u32::try_from(5 - parts.len()).ok()?
        } else {
            1
        };
        if !last && number > 255 {
            return None;
        }
        let modulus = 1_u64.checked_shl(8 * width)?;
        value = (value << (8 * width)) | (number % modulus);
    }
    u32::try_from(value).ok().map(Ipv4Addr::from)
}

fn loose_number(part: &str) -> Option<u64> {
    let lower = part.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u64::from_str_radix(
            hex.trim_start_matches('0')
                .get(..16.min(hex.trim_start_matches('0').len()))?,
            16,
        )
        .or(Ok::<u64, ()>(0))
        .ok();
    }
    if lower.len() > 1 && lower.starts_with('0') {
        return u64::from_str_radix(lower.trim_start_matches('0'), 8)
            .ok()
            .or_else(|| lower.bytes().all(|b| b == b'0').then_some(0));
    }
    lower.parse().ok()
}

fn is_internal_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || address.is_broadcast()
        || (a == 192 && b == 0)
        || (a == 198 && (18..20).contains(&b))
        || a >= 224
}

fn is_internal_v6(address: Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    let mapped = address
        .to_ipv4_mapped()
        .or_else(|| address.to_ipv4())
        .is_some_and(is_internal_v4);
    let translated = first == 0x64 && address.segments().get(1) == Some(&0xff9b);
    address.is_loopback()
        || address.is_unspecified()
        || mapped
        || translated
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first == 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, text: &str) -> bool {
        let mut found = Found::default();
        find(
            text.as_bytes(),
            Context::Json,
            Some(name.as_bytes()),
            &mut found,
        );
        !found.is_empty()
    }

    #[test]
    fn internal_addresses_are_found_in_every_form() {
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001",
            "http://0177.0.0.1",
            "http://127.1",
            "http://[::ffff:10.0.0.1]:80/",
            "http://[::1]",
            "http://a@localhost",
            "http://169.254.169.254/latest",
            "https://10.1.2.3:8443/x",
            "file:///x",
            "gopher://h:70/_",
            "http://x.127.0.0.1.nip.io",
            "http://db:5432/",
            "//127.0.0.1/x",
            "http://127.0.0.1#@example.com/",
            "http:/127.0.0.1/",
            "https:10.0.0.1",
            "http://example.com\\@127.0.0.1/",
            "http://good.example@10.0.0.1/",
            "http://good.example@db:5432/",
            "http://db#@example.com/",
            "http://127.0.0.1@example.com/",
            "ftp://files/x",
        ] {
            assert!(found("callback_url", text), "{text}");
        }
    }

    #[test]
    fn public_addresses_and_prose_are_left_alone() {
        for text in [
            "https://example.com/a?b=c",
            "http://www.kohl.com/",
            "https://8.8.8.8/",
            "see https://docs.example.com",
            "a:b",
            "12:30",
            "http://[2606:4700::1111]/",
            "https://user@example.org:8443/x",
            "https://user:pw@example.org/",
            "myapp://callback",
            "s3://bucket/key",
        ] {
            assert!(!found("url", text), "{text}");
        }
        assert!(!found("note", "http://localhost:3000"));
        assert!(!found("note", "run it on http://localhost:3000 and look"));
    }
}
