use http::HeaderMap;
use http::Uri;
use http::header::HOST;

use crate::policy::hygiene::{Authority, HOST_BYTES_MAX, Violation, check_authority};

fn host_and_port(value: &str) -> Option<(&str, Option<u16>)> {
    Authority::parse(value.as_bytes())
        .ok()
        .map(|authority| (authority.host, authority.port))
}

#[test]
fn names_and_addresses_are_hosts() {
    let cases = [
        ("a.test", ("a.test", None)),
        ("a.test.", ("a.test.", None)),
        ("a_b-c.test:8080", ("a_b-c.test", Some(8080))),
        ("a.test:", ("a.test", None)),
        ("a=b;c*(d)", ("a=b;c*(d)", None)),
        ("127.0.0.1:80", ("127.0.0.1", Some(80))),
        ("[::1]", ("::1", None)),
        ("[2001:db8::1]:65535", ("2001:db8::1", Some(65535))),
        ("[::ffff:192.0.2.1]:", ("::ffff:192.0.2.1", None)),
    ];
    for (value, expected) in cases {
        assert_eq!(host_and_port(value), Some(expected), "{value:?}");
    }
}

#[test]
fn what_is_not_one_host_is_refused() {
    let long = "a".repeat(HOST_BYTES_MAX + 1);
    let cases = [
        "",
        ".",
        ":80",
        ".a",
        "a..b",
        "a b",
        "a,b",
        "a%2eb",
        "a@b",
        "u:p@a",
        "a/b",
        "a?b",
        "a#b",
        "<a>",
        "a:-1",
        "a:+1",
        "a:65536",
        "a:80:80",
        "a:8x",
        "\u{e9}.test",
        "a\0",
        "::1",
        "[::1",
        "[::1]x",
        "[::1]80",
        "[fe80::1%25eth0]",
        "[v1.a]",
        "[1.2.3.4]",
        "[]",
        long.as_str(),
    ];
    for value in cases {
        assert_eq!(host_and_port(value), None, "{value:?}");
    }
    assert!(Authority::parse(&[0xe9]).is_err());
}

#[test]
fn a_decoded_request_names_one_host() {
    let check = |uri: &'static str, hosts: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, http::HeaderValue::from_static(host));
        }
        check_authority(&Uri::from_static(uri), &headers)
    };
    assert_eq!(check("/x", &["a.test"]), Ok(()));
    assert_eq!(check("https://a.test/x", &[]), Ok(()));
    assert_eq!(check("https://a.test/x", &["A.test:443"]), Ok(()));
    assert_eq!(check("/x", &[]), Err(Violation::MissingHost));
    assert_eq!(check("/x", &["a", "a"]), Err(Violation::DuplicateHost));
    assert_eq!(check("/x", &["a b"]), Err(Violation::HostSyntax));
    assert_eq!(check("http://u@a.test/", &[]), Err(Violation::HostSyntax));
    assert_eq!(
        check("http://a.test/x", &["a.test:443"]),
        Err(Violation::HostMismatch)
    );
}
