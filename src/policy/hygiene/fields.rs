//! Fields of a decoded request, whichever protocol version carried it.
//!
//! What is malformed or contradictory is refused by [`check_fields`]. What is well formed but not the
//! client's to say — who it is, where it comes from, which path or method is really meant — is not
//! refused, since proxies and browsers add such fields innocently: [`is_client_forbidden`] names it,
//! and the caller removes it before anything else looks.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Uri};

use super::head::is_framing_lookalike;
use super::octets::{TOKEN, has_control, is};
use super::{HeadLimits, Violation};

/// Fields that mean nothing twice, or that two readers would choose from differently.
///
/// The names that carry API keys are the configuration's, and are given to [`check_fields`].
pub const SINGLETONS: [&str; 17] = [
    "authorization",
    "content-length",
    "content-type",
    "expect",
    "from",
    "host",
    "idempotency-key",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "traceparent",
    "user-agent",
];

/// Names a client may not send to the upstream, sorted; [`STRIPPED_PREFIXES`] has the families.
pub const STRIPPED_FROM_CLIENTS: [&str; 41] = [
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ipcountry",
    "cf-pseudo-ipv4",
    "client-ip",
    "cluster-client-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "forwarded-for-ip",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "remote-addr",
    "remote-user",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-remote-addr",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-custom-ip-authorization",
    "x-forward-for",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-org-id",
    "x-proxy-user",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-remote-user",
    "x-rewrite-url",
    "x-true-client-ip",
];

/// Families of names a client may not send to the upstream.
pub const STRIPPED_PREFIXES: [&str; 12] = [
    "ssl-client-",
    "x-authenticated-",
    "x-client-cert",
    "x-consumer-",
    "x-envoy-",
    "x-forwarded-",
    "x-organization-",
    "x-original-",
    "x-originating-",
    "x-proxyuser-",
    "x-rg-",
    "x-ssl-client-",
];

/// More octets than any name above has; of a longer name only the family is compared.
const NAME_BYTES_COMPARED: usize = 32;

/// The values of a field that most requests lack. Names are compared, not hashed: requests have few.
pub fn values<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h HeaderValue> {
    headers
        .iter()
        .filter(move |(known, _)| known.as_str() == name)
        .map(|(_, value)| value)
}

/// Checks the fields of one request.
///
/// `key_names` are the fields an API key may come in: none of them may come twice, since a reader
/// that takes the first and one that takes the last would disagree on who is asking.
///
/// # Errors
/// [`Violation::TooManyFields`], [`Violation::FieldName`], [`Violation::FieldValue`],
/// [`Violation::FramingLookalike`], [`Violation::DuplicateHost`],
/// [`Violation::DuplicateContentLength`] or [`Violation::DuplicateField`].
pub fn check_fields(
    headers: &HeaderMap,
    fields_max: usize,
    key_names: &[HeaderName],
) -> Result<(), Violation> {
    if headers.len() > fields_max {
        return Err(Violation::TooManyFields);
    }
    for (name, value) in headers {
        let name = name.as_str().as_bytes();
        if !name.iter().all(|&octet| is(octet, TOKEN)) {
            return Err(Violation::FieldName);
        }
        if has_control(value.as_bytes()) {
            return Err(Violation::FieldValue);
        }
        let word = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'-';
        if !name.iter().all(word) && is_framing_lookalike(name) {
            return Err(Violation::FramingLookalike);
        }
    }
    // More values than names: something came twice. Few requests get past this line.
    if headers.len() > headers.keys_len() {
        refuse_repeated(headers, key_names)?;
    }
    Ok(())
}

/// Checks the sizes of a head that came as fields, in HTTP/2: as it would be written in HTTP/1.
///
/// # Errors
/// [`Violation::UriTooLong`] or [`Violation::HeadTooLarge`].
pub fn check_sizes(uri: &Uri, headers: &HeaderMap, limits: &HeadLimits) -> Result<(), Violation> {
    let target = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes_max {
        return Err(Violation::UriTooLong);
    }
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    if target + headers.iter().map(line).sum::<usize>() > limits.head_bytes_max {
        return Err(Violation::HeadTooLarge);
    }
    Ok(())
}

fn refuse_repeated(headers: &HeaderMap, key_names: &[HeaderName]) -> Result<(), Violation> {
    let singletons = SINGLETONS.into_iter();
    for name in singletons.chain(key_names.iter().map(HeaderName::as_str)) {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(match name {
                "host" => Violation::DuplicateHost,
                "content-length" => Violation::DuplicateContentLength,
                _ => Violation::DuplicateField,
            });
        }
    }
    Ok(())
}

/// Whether a field is to be removed from what a client sent, before the gateway sets its own.
///
/// Compared without case, and with every sign read as `-`. A name with `_` is always removed: a
/// back end in the manner of CGI (RFC 3875, 4.1.18) cannot tell it from the one with `-`, and no
/// registered field has one.
pub fn is_client_forbidden(name: &str) -> bool {
    if name.contains('_') {
        return true;
    }
    let mut spelled = [0; NAME_BYTES_COMPARED];
    for (plain, octet) in spelled.iter_mut().zip(name.bytes()) {
        *plain = match octet {
            b'0'..=b'9' | b'a'..=b'z' => octet,
            b'A'..=b'Z' => octet.to_ascii_lowercase(),
            _ => b'-',
        };
    }
    let spelled = spelled.get(..name.len()).unwrap_or(&spelled);
    STRIPPED_FROM_CLIENTS
        .binary_search_by(|known| known.as_bytes().cmp(spelled))
        .is_ok()
        || STRIPPED_PREFIXES
            .iter()
            .any(|family| spelled.starts_with(family.as_bytes()))
}
