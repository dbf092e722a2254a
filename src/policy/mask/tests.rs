use proptest::prelude::*;

use super::{cookies, part, path, text};
use crate::policy::auth::{Environment, mint};

fn masked(value: &str) -> String {
    String::from_utf8(part(value.as_bytes(), 0..value.len(), b"")).unwrap()
}

#[test]
fn each_kind_is_replaced_by_its_word_and_the_rest_stays() {
    let key = mint(Environment::Live, &[9; 32]).1;
    let cases = [
        (format!("key {key}, then"), "key [api-key], then"),
        (key.replace('_', "%5F"), "[api-key]"),
        (key.replace('_', r"\u005f"), "[api-key]"),
        (key.replace("rg_", "RG\\_"), "[api-key]"),
        ("' OR 1=1 -- ann@example.com".into(), "' OR 1=1 -- [email]"),
        ("ann%2540example.com/x".into(), "[email]/x"),
        ("4111 1111 1111 1111 <script>".into(), "[card] <script>"),
        ("x4111111111111111y".into(), "x[card]y"),
        ("to de89370400440532013000".into(), "to [iban]"),
        ("call +1 (212) 555-0123 now".into(), "call +[phone] now"),
        ("ssn: 078-05-1120".into(), "ssn: [national-id]"),
        (
            "a=1&password=hunter2&b=2".into(),
            "a=1&password=[secret]&b=2",
        ),
        (
            r#"{"userPin":"1234","b":2}"#.into(),
            r#"{"userPin":[secret],"b":2}"#,
        ),
        (
            "CREATE ({password: 'hun''ter2', n: 1})".into(),
            "CREATE ({password: [secret], n: 1})",
        ),
        (
            "SET u.password = 'x' RETURN u".into(),
            "SET u.password = [secret] RETURN u",
        ),
        (
            "<password>hunter2</password>".into(),
            "<password>[secret]</password>",
        ),
        (
            "Authorization: Bearer abcdefgh12".into(),
            "Authorization: [secret]",
        ),
        (
            "then Bearer abcdefgh12, and".into(),
            "then Bearer [secret], and",
        ),
        (
            "at https://ann:pw@host/x".into(),
            "at https://[secret]@host/x",
        ),
        (
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc".into(),
            "[secret]",
        ),
        (
            r#"{"secret": {"a": {"b": "x"}}, "c": 1}"#.into(),
            r#"{"secret": [secret], "c": 1}"#,
        ),
        (
            "password='never closed <script>".into(),
            "password=[secret]",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(masked(&value), expected, "{value}");
        assert_eq!(text(&value), expected, "{value}, looked at quickly");
    }
}

#[test]
fn the_quick_look_stops_at_no_browser() {
    for agent in [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:121.0) Gecko/20100101 Firefox/121.0",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15",
        "python-httpx/0.27.0",
        "graph-client/3.2",
    ] {
        assert!(!super::may_hold(agent.as_bytes()), "{agent}");
    }
}

#[test]
fn the_quick_look_knows_every_form() {
    for (value, expected) in [
        ("the password is hunter2", "the password is [secret]"),
        ("pwd != 'x', pin~=7", "pwd != [secret], pin~=[secret]"),
        ("pin <> 7", "pin <> [secret]"),
        ("nino AB 12 34 56 C", "nino [national-id]"),
        ("is RSSMRA85T10A562S", "is [national-id]"),
        ("pwd&equals;x", "pwd&equals;[secret]"),
    ] {
        assert_eq!(text(value), expected, "{value}");
    }
}

#[test]
fn what_is_no_secret_is_left_alone_and_masks_are_stable() {
    for value in [
        "' UNION SELECT username, password FROM users --",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.6478.127 Safari/537.36",
        "/v1/graphs/550e8400-e29b-41d4-a716-446655440000/query",
        "2026-11-30T17:48:51Z order 20240101 at 10.1.2.3:8080",
        "<script>alert(1)</script>",
        "shipping=fast&opinion=good",
        "[secret] [api-key] [card] [email] password=[secret]",
    ] {
        assert_eq!(masked(value), value);
        assert_eq!(text(value), value);
    }
}

#[test]
fn a_path_is_masked_segment_by_segment() {
    for (value, expected) in [
        ("/users/ann@example.com/orders", "/users/[email]/orders"),
        ("/users/ann%40example.com/x", "/users/[email]/x"),
        ("/cards/4111111111111111/x", "/cards/[card]/x"),
        ("/ssn/078-05-1120", "/ssn/[national-id]"),
        ("/tel/+14155550123", "/tel/+[phone]"),
        ("/a/rg_live_abcdefgh_x", "/a/[api-key]"),
        ("/orders/20240101/items/7", "/orders/20240101/items/7"),
    ] {
        assert_eq!(path(value, None), expected);
    }
    let template: crate::policy::route::PathTemplate = "/reset/{token}/x".parse().unwrap();
    assert_eq!(path("/reset/abc/x", Some(&template)), "/reset/[secret]/x");
}

#[test]
fn cookies_keep_their_names() {
    assert_eq!(
        cookies(b"a=1; session=x=y"),
        b"a=[secret]; session=[secret]"
    );
}

#[test]
fn a_part_hides_what_begins_before_it() {
    let text = b"password='aaaaaaaaaaaaaaaa<script>' rest";
    assert_eq!(part(text, 20..40, b""), b"[secret] rest");
    assert_eq!(part(b"219-09-9999", 0..11, b"ssn"), b"[national-id]");
}

/// Percent encoding, JSON escapes, or none, byte by byte.
fn disguised(secret: &str, how: &[u8]) -> String {
    let bytes = secret.bytes().zip(how.iter().cycle());
    bytes
        .map(|(byte, how)| match how % 5 {
            0 => format!("%{byte:02x}"),
            1 => format!("%{byte:02X}"),
            2 => format!("\\u{byte:04x}"),
            3 => format!("%25{byte:02x}"),
            _ => char::from(byte).to_string(),
        })
        .collect()
}

proptest! {
    #[test]
    fn planted_secrets_never_show(
        seed: [u8; 32],
        which in 0..11_usize,
        how in prop::collection::vec(any::<u8>(), 1..20),
        before in "[ -~]{0,30}[ ,;]",
        after in "[ ,;<&][ -~]{0,30}",
    ) {
        let key = mint(Environment::Test, &seed).1;
        let (secret, shown) = match which {
            0 => (key.clone(), &key[17..]),
            1 => ("ann.smith@example.com".to_owned(), "smith"),
            2 => ("4111 1111 1111 1111".to_owned(), "1111"),
            3 => ("GB82WEST12345698765432".to_owned(), "456987"),
            4 => ("+49 151 12345678".to_owned(), "1234567"),
            5 => ("PassWord=hunter2hunter".to_owned(), "hunter2"),
            6 => ("\"api_key\":\"hunter2hunter\"".to_owned(), "hunter2"),
            7 => ("AB123456C".to_owned(), "123456"),
            8 => ("RSSMRA85T10A562S".to_owned(), "85T10"),
            9 => ("passphrase is hunter2hunter".to_owned(), "hunter2"),
            _ => ("{pin: 'hunter2hunter'}".to_owned(), "hunter2"),
        };
        let value = format!("{before}{}{after}", disguised(&secret, &how));
        let kept = masked(&value);
        super::properties::masking(value.as_bytes());
        for reading in super::readings(kept.as_bytes()) {
            let reading = String::from_utf8_lossy(reading.bytes()).into_owned();
            prop_assert!(!reading.contains(shown) || before.contains(shown) || after.contains(shown), "{value} -> {kept}");
        }
    }

    #[test]
    fn masking_never_panics(value in "\\PC{0,60}", from in 0..60_usize, length in 0..60_usize) {
        let to = value.len().min(from + length);
        part(value.as_bytes(), from.min(to)..to, b"name");
        text(&value);
        path(&value, Some(&"/{*token}".parse().unwrap()));
    }

    #[test]
    fn the_quick_look_passes_nothing_by(value in "[ -~]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        super::properties::masking(value.as_bytes());
        super::properties::masking(&bytes);
    }
}
