//! The grammars of single values. Each cause is a requirement: `must …`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, Method, Uri};
use ipnet::IpNet;

/// A name of something: it stands in logs, labels and references.
pub(super) fn name(text: &str) -> Result<Arc<str>, &'static str> {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.chars().all(may_stand) {
        Ok(text.into())
    } else {
        Err("must be letters, digits, `-`, `_` or `.`")
    }
}

/// One line of text for people.
pub(super) fn line(text: &str) -> Result<Arc<str>, &'static str> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        Err("must be one line of text")
    } else {
        Ok(text.into())
    }
}

/// A day, such as 2027-03-31: the microsecond since 1970 with which it is over in UTC.
pub(super) fn end_of_day(text: &str) -> Result<i64, &'static str> {
    const DAY_MICROS: i64 = 86_400_000_000;
    let begin = format!("{text}T00:00:00Z").parse::<jiff::Timestamp>();
    match begin {
        Ok(begin) if text.len() == 10 => Ok(begin.as_microsecond().saturating_add(DAY_MICROS)),
        _ => Err("must be a day such as 2027-03-31"),
    }
}

/// What to do about a text that is no address with a port.
pub(super) fn address_hint(text: &str) -> &'static str {
    if text.parse::<IpAddr>().is_ok() {
        return "add the port, such as 127.0.0.1:8080 or [::1]:8080";
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    let is_name = host.chars().any(|c| c.is_ascii_alphabetic()) && !host.contains(':');
    if is_name && !text.contains("//") {
        return "host names are not resolved; give the IP address";
    }
    "such as 127.0.0.1:8080 or [::1]:8080"
}

/// A host name without port, lower case.
pub(super) fn host(text: &str) -> Result<Arc<str>, &'static str> {
    let label = |label: &str| {
        let may_stand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        !label.is_empty() && label.len() <= 63 && label.chars().all(may_stand)
    };
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let is_ipv6 = bare.is_some_and(|bare| bare.parse::<std::net::Ipv6Addr>().is_ok());
    if is_ipv6 || text.split('.').all(label) {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err("must be a host name or IP address without a port")
    }
}

/// A host name or IP address, and a port.
pub(super) fn host_and_port(text: &str) -> Result<(Arc<str>, u16), &'static str> {
    let must = "must be a host and a port such as siem.example:6514 or [::1]:6514";
    let (name, port) = text.rsplit_once(':').ok_or(must)?;
    let name = host(name).map_err(|_| must)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or(must)?;
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    Ok((bare.into(), port))
}

/// A network in CIDR notation.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(format!(
            "must have a prefix length, such as {}",
            IpNet::from(address)
        ));
    }
    let must = "must be a network such as 10.0.0.0/8 or fd00::/8";
    let network: IpNet = text.parse().map_err(|_| must.to_owned())?;
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(format!(
            "must have no bits beyond its prefix, as {}",
            network.trunc()
        ))
    }
}

/// A method a route can take.
pub(super) fn method(text: &str) -> Result<Method, String> {
    let method = Method::from_bytes(text.as_bytes());
    let method = method.map_err(|_| "must be a method such as GET".to_owned())?;
    if method == Method::CONNECT {
        return Err("must not be CONNECT, which is never forwarded".to_owned());
    }
    // Methods are case-sensitive (RFC 9110 section 9.1), and no registered one has lower case.
    if text.chars().any(|c| c.is_ascii_lowercase()) {
        return Err(format!(
            "must be in upper case, {}",
            text.to_ascii_uppercase()
        ));
    }
    Ok(method)
}

/// A scope: `resource:action`, either part `*`, or `*` alone.
pub(super) fn scope(text: &str) -> Result<Arc<str>, &'static str> {
    let part = |part: &str| {
        let may_stand =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        part == "*" || (!part.is_empty() && part.chars().all(may_stand))
    };
    let fits = match text.split_once(':') {
        Some((resource, action)) => part(resource) && part(action),
        None => text == "*",
    };
    if fits && text.len() <= 64 {
        Ok(text.into())
    } else {
        Err("must be a scope such as graph:query, graph:* or *")
    }
}

/// The name of a header field.
pub(super) fn header(text: &str) -> Result<HeaderName, &'static str> {
    text.parse().map_err(|_| "must be a header name")
}

/// The name of a parameter of the query string.
pub(super) fn query_parameter(text: &str) -> Result<Arc<str>, &'static str> {
    let reserved = |c: char| c.is_control() || c.is_whitespace() || "&=#%+".contains(c);
    if text.is_empty() || text.contains(reserved) {
        Err("must be a parameter name, not encoded")
    } else {
        Ok(text.into())
    }
}

/// A path and query to ask a server for.
pub(super) fn request_path(text: &str) -> Result<Arc<str>, &'static str> {
    match text.parse::<PathAndQuery>() {
        Ok(_) if text.starts_with('/') && !text.contains('#') => Ok(text.into()),
        _ => Err("must be a path such as /healthz"),
    }
}

/// The address of an HTTP service, without a trailing slash. The caller has looked for passwords.
pub(super) fn http_endpoint(text: &str) -> Result<Arc<str>, &'static str> {
    let must = "must be an address such as http://127.0.0.1:4318";
    let uri: Uri = text.parse().map_err(|_| must)?;
    let known = uri.scheme() == Some(&Scheme::HTTP) || uri.scheme() == Some(&Scheme::HTTPS);
    let authority = uri.authority().ok_or(must)?;
    if !known || authority.host().is_empty() || uri.query().is_some() {
        return Err(must);
    }
    Ok(text.trim_end_matches('/').into())
}

/// Where an HTTP service is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpBase {
    /// Whether TLS is spoken.
    pub(super) tls: bool,
    /// Host name or IP address, without brackets.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
    /// Without a slash at the end; empty for the root.
    pub(super) path: Arc<str>,
}

/// The address of an HTTP service in its parts. The caller has looked for passwords.
pub(super) fn http_base(text: &str) -> Result<HttpBase, &'static str> {
    let must = "must be an address such as https://search.example:9200";
    let uri: Uri = text.parse().map_err(|_| must)?;
    http_endpoint(text).map_err(|_| must)?;
    let authority = uri.authority().ok_or(must)?;
    let tls = uri.scheme() == Some(&Scheme::HTTPS);
    let port = match authority.port_u16() {
        Some(port) => port,
        None if tls => 443,
        None => 80,
    };
    let name = host(authority.host()).map_err(|_| must)?;
    Ok(HttpBase {
        tls,
        host: name.trim_start_matches('[').trim_end_matches(']').into(),
        port,
        path: uri.path().trim_end_matches('/').into(),
    })
}

/// What the names of Elasticsearch indexes may begin with.
pub(super) fn index_prefix(text: &str) -> Result<Arc<str>, &'static str> {
    let may_stand =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(may_stand)
    {
        Ok(text.into())
    } else {
        Err("must be lower case letters, digits, `-`, `_` or `.`, and begin with a letter or digit")
    }
}

/// The name of a MongoDB database.
pub(super) fn database(text: &str) -> Result<Arc<str>, &'static str> {
    name(text)
        .ok()
        .filter(|name| !name.contains('.'))
        .ok_or("must be letters, digits, `-` or `_`")
}

/// The name of a MongoDB collection.
pub(super) fn collection(text: &str) -> Result<Arc<str>, &'static str> {
    match name(text) {
        Ok(name) if !text.starts_with("system.") && !text.starts_with('.') => Ok(name),
        _ => Err("must be letters, digits, `-`, `_` or `.`, and not one of the server's own"),
    }
}

/// Whether two addresses cannot both be listened on.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    let any = |address: SocketAddr| address.ip().is_unspecified();
    // `[::]` takes IPv4, too.
    let overlap = a.ip() == b.ip()
        || (same_family && (any(a) || any(b)))
        || (a.is_ipv6() && any(a))
        || (b.is_ipv6() && any(b));
    a.port() == b.port() && a.port() != 0 && overlap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_collide_where_one_listener_would_take_the_others_connections() {
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::1]:80", false),
            ("127.0.0.1:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ] {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(collide(a, b), expected, "{a} {b}");
            assert_eq!(collide(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn good_values_are_taken_as_they_are_meant() {
        assert_eq!(host("API.Test").as_deref(), Ok("api.test"));
        assert_eq!(host("[::1]").as_deref(), Ok("[::1]"));
        assert_eq!(
            http_endpoint("https://collector:4318/").as_deref(),
            Ok("https://collector:4318")
        );
        assert_eq!(
            request_path("/healthz?deep=1").as_deref(),
            Ok("/healthz?deep=1")
        );
        assert_eq!(
            method("PURGE").map(|method| method.to_string()),
            Ok("PURGE".to_owned())
        );
        for text in [
            "graph:query",
            "graph:*",
            "*:read",
            "*",
            "graph-2.x:read_all",
        ] {
            assert_eq!(scope(text).as_deref(), Ok(text));
        }
        for text in ["10.0.0.0/8", "::/0", "192.0.2.1/32"] {
            assert_eq!(
                network(text).map(|network| network.to_string()),
                Ok(text.to_owned())
            );
        }
    }

    #[test]
    fn a_host_and_port_may_be_a_name_or_an_address() {
        for (text, name, port) in [
            ("siem.example:6514", "siem.example", 6514),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            assert_eq!(host_and_port(text), Ok((name.into(), port)));
        }
        for text in [
            "siem",
            ":1",
            "siem:",
            "siem:0",
            "siem:65536",
            "::1:1",
            "a b:1",
            "http://a:1",
        ] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_may_have_a_path() {
        let base = |tls, host: &str, port, path: &str| {
            Ok(HttpBase {
                tls,
                host: host.into(),
                port,
                path: path.into(),
            })
        };
        assert_eq!(http_base("http://es:9200"), base(false, "es", 9200, ""));
        assert_eq!(http_base("https://ES/"), base(true, "es", 443, ""));
        assert_eq!(
            http_base("http://[::1]/a/b/"),
            base(false, "::1", 80, "/a/b")
        );
        for wrong in ["", "es:9200", "ftp://es", "http://es/?a=b", "http://", "/x"] {
            assert!(http_base(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_in_stores_are_those_that_stores_take() {
        for (name, fits) in [
            ("audit-logs", true),
            ("a.b_c", true),
            ("", false),
            ("-a", false),
            ("A", false),
            ("a*", false),
        ] {
            assert_eq!(index_prefix(name).is_ok(), fits, "{name}");
        }
        for (name, fits) in [
            ("rocketgraph", true),
            ("a.b", false),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(database(name).is_ok(), fits, "{name}");
        }
        for (name, fits) in [
            ("audit_logs", true),
            ("a.b", true),
            ("system.users", false),
            ("$a", false),
        ] {
            assert_eq!(collection(name).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for text in ["", "http://", "ftp://a", "http://a?b", "a:4318", "/a"] {
            assert!(http_endpoint(text).is_err(), "{text}");
        }
        for text in ["", "healthz", "/a b", "/a#b", "*"] {
            assert!(request_path(text).is_err(), "{text}");
        }
        for text in ["", ".", "a..b", "a:80", "[::1", "*.test", "a/b"] {
            assert!(host(text).is_err(), "{text}");
        }
        for text in ["", "a b", "a/b", "é", "{a}"] {
            assert!(name(text).is_err(), "{text}");
        }
        for text in ["", "a=b", "a&b", "a b", "%41"] {
            assert!(query_parameter(text).is_err(), "{text}");
        }
    }
}
