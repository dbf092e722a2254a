use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::policy::hygiene::{
    SINGLETONS, STRIPPED_FROM_CLIENTS, STRIPPED_PREFIXES, Violation, check_fields,
    is_client_forbidden,
};

const KEY: HeaderName = HeaderName::from_static("x-api-key");

fn check(fields: &[(&'static str, &'static str)]) -> Result<(), Violation> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    check_fields(&headers, 4, &[KEY])
}

#[test]
fn ordinary_fields_pass() {
    assert_eq!(check(&[]), Ok(()));
    let lists = [
        ("accept", "a"),
        ("accept", "b"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
    ];
    assert_eq!(check(&lists), Ok(()));
    assert_eq!(check(&[("x.odd_name~", "tab\tand \"quotes\"")]), Ok(()));
}

#[test]
fn what_must_be_alone_may_not_come_twice() {
    assert_eq!(
        check(&[("x-api-key", "a"), ("x-api-key", "b")]),
        Err(Violation::DuplicateField)
    );
    assert_eq!(
        check(&[("host", "a"), ("host", "a")]),
        Err(Violation::DuplicateHost)
    );
    assert_eq!(
        check(&[("content-length", "1"), ("content-length", "1")]),
        Err(Violation::DuplicateContentLength)
    );
    for name in SINGLETONS {
        assert!(check(&[(name, "a")]).is_ok(), "{name}");
        assert!(
            check(&[(name, "a"), ("x", "y"), (name, "a")]).is_err(),
            "{name}"
        );
    }
}

#[test]
fn a_lookalike_of_a_framing_field_is_refused() {
    for name in [
        "content_length",
        "transfer_encoding",
        "transfer.encoding",
        "content-length!",
    ] {
        assert_eq!(
            check(&[(name, "5")]),
            Err(Violation::FramingLookalike),
            "{name}"
        );
    }
    assert_eq!(
        check(&[("x-content-length", "5"), ("content_type", "b")]),
        Ok(())
    );
}

#[test]
fn the_number_of_fields_is_bounded() {
    let five = [("a", ""), ("a", ""), ("b", ""), ("c", ""), ("d", "")];
    assert_eq!(check(&five[..4]), Ok(()));
    assert_eq!(check(&five), Err(Violation::TooManyFields));
}

#[test]
fn a_client_may_not_say_who_or_where_it_is() {
    let forbidden = [
        "X-Forwarded-For",
        "x-forwarded-prefix",
        "Forwarded",
        "X-Real-IP",
        "X-Organization-Id",
        "x-organization-plan",
        "X.Organization.Id",
        "X-RG-Caller",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Client-IP",
        "X-Originating-IP",
        "X-Original-URL",
        "X-Host",
        "X-HTTP-Method-Override",
        "Proxy",
        "x_forwarded_for",
        "X_Api_Key",
        "anything_else",
    ];
    for name in forbidden {
        assert!(is_client_forbidden(name), "{name}");
    }
    let allowed = [
        "",
        "host",
        "X-Api-Key",
        "Authorization",
        "Content-Type",
        "traceparent",
        "X-Request-Id",
        "X-Forwarded",
        "forwarded-",
        "x-rg",
        "via",
        "x-organizations",
        "a-name-longer-than-any-of-those-that-are-compared-here",
    ];
    for name in allowed {
        let listed = STRIPPED_FROM_CLIENTS.contains(&name.to_ascii_lowercase().as_str());
        assert_eq!(is_client_forbidden(name), listed, "{name}");
    }
    assert!(is_client_forbidden(&format!("x-rg-{}", "y".repeat(99))));
}

#[test]
fn the_lists_are_sorted_lowercase_and_short_enough_to_compare() {
    assert!(STRIPPED_FROM_CLIENTS.is_sorted());
    assert!(STRIPPED_PREFIXES.is_sorted());
    assert!(SINGLETONS.is_sorted());
    for name in STRIPPED_FROM_CLIENTS.iter().chain(&STRIPPED_PREFIXES) {
        assert!(name.len() < 32, "{name}");
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        );
        assert!(is_client_forbidden(&name.to_ascii_uppercase()), "{name}");
    }
}
