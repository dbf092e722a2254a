use proptest::prelude::*;

use super::{Counts, Kind, find, find_in_form, find_in_json, find_in_path, marks, next_mark};

fn found(text: &str) -> Vec<(&'static str, u16)> {
    let mut counts = Counts::default();
    find_in_json(text.as_bytes(), &mut counts);
    counts
        .iter()
        .map(|(kind, count)| (kind.as_str(), count))
        .collect()
}

/// One of each kind and in each way of writing it, published as examples by whoever assigns them or made to check.
const WRITTEN: [(&str, &str); 52] = [
    ("email", "ann@example.com"),
    ("email", "mail Ann.O'Hara+news@mail.example.co.uk, please"),
    (
        "email",
        r#"{"email":"ann_smith%x@sub-domain.example.museum"}"#,
    ),
    ("email", "MATCH (p {email: 'ann@example.com'}) RETURN p"),
    ("email", "mailto:ann@example.org."),
    ("phone", "+4915112345678"),
    ("phone", "+49 151 1234 5678"),
    ("phone", "+49 (0)151 12345678"),
    ("phone", "call +44 20 7946 0958 now"),
    ("phone", "+1 (212) 555-0123"),
    ("phone", "+1-212-555-0123"),
    ("phone", r#"{"phone":"\u002B33123456789"}"#),
    ("phone", "(212) 555-0123"),
    ("phone", "212-555-0123"),
    ("phone", "212.555.0123"),
    ("phone", "1-212-555-0123"),
    ("phone", "01 23 45 67 89"),
    ("phone", "020 7946 0958"),
    ("phone", "07700 900123"),
    ("phone", "0171/1234567"),
    ("phone", r#"{"mobile_number": "01711234567"}"#),
    ("phone", r#"{"homePhone": 2125550123}"#),
    ("phone", "SET p.tel = '555 0123 99'"),
    ("iban", "DE89370400440532013000"),
    ("iban", "DE89 3704 0044 0532 0130 00"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("iban", r#"{"iban":"FR1420041010050500013M02606"}"#),
    ("iban", "NO9386011117947"),
    ("iban", "MT84MALT011000012345MTLCAST001S"),
    ("payment_card", "4111 1111 1111 1111"),
    ("payment_card", "5500-0000-0000-0004"),
    ("payment_card", "3782 822463 10005"),
    ("payment_card", "3056 930902 5904"),
    ("payment_card", r#"{"pan":4111111111111111}"#),
    ("payment_card", r#"{"number":"6011111111111117"}"#),
    ("payment_card", r#"{"card_id":"2223003122003222"}"#),
    ("us_ssn", "078-05-1120"),
    ("us_ssn", r#"{"ssn":"078051120"}"#),
    (
        "us_ssn",
        r#"{"social_security_number": 78051120 , "ssn": 219099999}"#,
    ),
    ("uk_nino", "QQ123456C is made up, AB123456C is written"),
    ("uk_nino", "AB 12 34 56 C"),
    ("de_tax_id", "86 095 742 719"),
    ("de_tax_id", r#"{"steuer_id":"47036892816"}"#),
    ("fr_nir", "2 55 08 14 168 025 38"),
    ("fr_nir", "255081416802538"),
    ("es_dni", r#"{"dni":"12345678Z"}"#),
    ("es_dni", r#"{"nie":"X1234567L"}"#),
    ("it_fiscal_code", "RSSMRA85T10A562S"),
    ("nl_bsn", r#"{"bsn":"111222333"}"#),
    ("pl_pesel", r#"{"pesel":"44051401359"}"#),
    ("br_cpf", "529.982.247-25"),
    ("br_cpf", r#"{"cpf":"52998224725"}"#),
];

/// What only looks like personal data.
const HONEST: [&str; 44] = [
    "MATCH (n:Person)-[:KNOWS*1..3]->(m) WHERE n.age > 30 RETURN m.name LIMIT 1000000",
    "RETURN datetime('2024-01-15T10:30:00.000000+01:00') AS at",
    r#"{"id":1700000000000,"at":1700000000,"micros":1700000000000000,"nanos":1700000000000000000}"#,
    r#"{"uuid":"550e8400-e29b-41d4-a716-446655440000"}"#,
    r#"{"order_id":"4539578763621486","orderId":"4111111111111111"}"#,
    r#"{"number":4539578763621486}"#,
    r#"{"total":1234567890,"rows":987654321}"#,
    "192.168.100.200 10.0.0.1:8080 2001:db8::1234:5678",
    "978-3-16-148410-0 and 0-306-40615-2 are books",
    "pkg@1.2.3 @types/node@20.11.5 logo@2x.png",
    "git@github.com:acme/project.git https://user:secret@host.example.com/path",
    "@Override @example.com ann@localhost ann@.com ann@example",
    "hotel: 1234567890, counter: 0123456789",
    r#"{"phone_verified_at":"2024-01-15","phone_id":1234567}"#,
    "-122.4194155,37.7749295 51.5072178,-0.1275862",
    "1.234.567.890,00 EUR and 1,234,567,890.00 USD",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "4111 1111 1111 1112 and 4111-1111-1111-1111-1111",
    "DE89370400440532013001 XX89370400440532013000",
    "GB82WEST12345698765432X",
    "000-12-3456 666-12-3456 900-12-3456 123-00-4567 123-45-0000",
    "1123-45-6789 123-45-67890",
    "AB123456E GB123456A OO123456A xAB123456C",
    "12345678Z X1234567L 111222333 44051401359 47036892816",
    "RSSMRA85T10A562T",
    "111.111.111-11",
    r#"{"cpf":"11111111111"}"#,
    "+0123456789 +28123456789 +12125550 1+4915112345678",
    "x+4915112345678 base64+12345678901/==",
    "version 2024.123.4567 build 20240115103000",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "01-02-2024 31/12/2023 2023/12/31 12:30:45",
    "12345-6789 ZIP, 123-4567890-1234567 order",
    "0.1234567890123456 1e10 6.02214076e23",
    "1900 2000 2100 2200",
    "3000 4000 5000 6000 7000",
    "CREATE (n {id: 4111111111111111, hash: '4111111111111111'})",
    "10000000-20000000 100-200-3000",
    "0x1234567890abcdef 1234567890abcdef",
    "/v1/graphs/4111111111111111/query",
    "LOT 123456789 PART 98-765-4321-0",
    "UNWIND range(1, 10000000) AS i RETURN i",
    "555-0123 and 5550123",
    "(1) 2 (3) 4567 (8) 9012",
];

#[test]
fn what_people_write_is_found_once() {
    for (kind, text) in WRITTEN {
        assert_eq!(found(text), [(kind, 1)], "{text}");
    }
    let all: String = WRITTEN.map(|(_, text)| text).join("\n");
    let mut counts = Counts::default();
    find_in_json(all.as_bytes(), &mut counts);
    for kind in Kind::ALL {
        let expected = WRITTEN
            .iter()
            .filter(|(of, _)| *of == kind.as_str())
            .count();
        assert!(expected > 0, "{kind:?}");
        let got = counts.iter().find(|(of, _)| *of == kind);
        assert_eq!(
            got.map_or(0, |(_, count)| usize::from(count)),
            expected,
            "{kind:?}"
        );
    }
}

#[test]
fn what_only_looks_like_it_is_not() {
    for text in HONEST {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn forms_are_read_as_servers_read_them() {
    let mut counts = Counts::default();
    find_in_form(
        b"a=ann%40example.com&phone=%2B49+151+12345678&x=4111+1111+1111+1111",
        &mut counts,
    );
    let kinds: Vec<Kind> = counts.iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [Kind::Email, Kind::Phone, Kind::PaymentCard]);
}

#[test]
fn counts_do_not_overflow() {
    let mut counts = Counts::default();
    for _ in 0..5 {
        find("a@b.cd ".repeat(35_000).as_bytes(), &mut counts);
    }
    let all: Vec<_> = counts.iter().collect();
    assert_eq!(all, [(Kind::Email, u16::MAX)]);
}

#[test]
fn what_stands_beyond_the_bound_is_not_looked_at() {
    let long = " ".repeat(super::TEXT_BYTES_MAX) + "ann@example.com";
    assert_eq!(found(&long), []);
}

#[test]
fn every_mark_is_looked_at_once() {
    let units = [
        "1 ",
        "12-34-",
        "@",
        "a@a.",
        "4111 1111 1111 111",
        "DE",
        "0171 12345678 ",
        "phone:12345678,",
        "1234567890",
    ];
    for unit in units {
        let text = unit.repeat(2_000);
        let mut counts = Counts::default();
        let mut at = 0;
        while let Some(next) = next_mark(text.as_bytes(), at) {
            let after = match text.as_bytes()[next] {
                b'@' => super::email::at(text.as_bytes(), next, &mut counts),
                _ => super::number::at(text.as_bytes(), at, next, &mut counts),
            };
            assert!(after > next, "{unit}: it goes on");
            at = after;
        }
    }
}

fn digits(length: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(0..10_u8, length)
        .prop_map(|digits| digits.iter().map(|d| char::from(b'0' + d)).collect())
}

/// Text around a value that neither opens nor ends it.
fn around() -> impl Strategy<Value = (String, String)> {
    let before = prop_oneof![
        Just(String::new()),
        Just("\"".to_owned()),
        Just("{\"x\":\"".to_owned()),
        Just("MATCH (n {v: '".to_owned()),
        "[a-z ]{0,40}[:;,(\"'] ?",
    ];
    let after = prop_oneof![
        Just(String::new()),
        Just("\"}".to_owned()),
        Just("') RETURN n".to_owned()),
        "[;,)\"'] ?[a-z ]{0,40}"
    ];
    (before, after)
}

#[test]
fn a_path_is_looked_at_segment_by_segment() {
    for (path, kind) in [
        ("/users/ann@example.com/orders", "email"),
        ("/users/ann%40example.com", "email"),
        ("/cards/4111111111111111/limits", "payment_card"),
        ("/accounts/DE89370400440532013000", "iban"),
        ("/calls/+14155550123", "phone"),
        ("/calls/%2B14155550123/x", "phone"),
        ("/ssn/078051120", "us_ssn"),
    ] {
        let mut counts = Counts::default();
        find_in_path(path, &mut counts);
        let found: Vec<_> = counts
            .iter()
            .map(|(kind, count)| (kind.as_str(), count))
            .collect();
        assert_eq!(found, [(kind, 1)], "{path}");
    }
    for path in [
        "/orders/20240101/items/78051120",
        "/v1/graphs/550e8400-e29b-41d4-a716-446655440000/query",
        "/static/logo@2x.png",
    ] {
        let mut counts = Counts::default();
        find_in_path(path, &mut counts);
        assert!(counts.is_empty(), "{path}");
    }
}

proptest! {
    #[test]
    fn a_value_is_found_in_any_text(which in 0..WRITTEN.len(), around in around()) {
        let (kind, text) = WRITTEN[which];
        // Those with words of their own are whole texts already.
        prop_assume!(!text.contains(['{', ':', '=']) && !text.starts_with("call"));
        let (before, after) = around;
        let whole = format!("{before}{text}{after}");
        let kinds: Vec<&str> = found(&whole).into_iter().map(|(kind, _)| kind).collect();
        prop_assert!(kinds.contains(&kind), "{whole}: {kinds:?}");
    }

    #[test]
    fn bare_numbers_are_nobodys(number in digits(1..=30), quote in prop_oneof![Just(""), Just("\"")]) {
        let as_value = if quote.is_empty() { number.clone() } else { format!("\"order_id\":\"{number}\"") };
        let kinds = found(&as_value);
        // Only the French number speaks for itself without a word: one in 3,000 of 15 digits.
        prop_assert!(kinds.iter().all(|(kind, _)| *kind == "fr_nir") , "{as_value}: {kinds:?}");
    }

    #[test]
    fn uuids_and_instants_are_nobodys(id in any::<u128>(), at in 1_000_000_000_000_000..4_000_000_000_000_000_u64) {
        let hex = format!("{id:032x}");
        let uuid = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        let text = format!("{{\"uuid\":\"{uuid}\",\"hash\":\"{hex}\",\"at\":{at},\"ms\":{},\"s\":{}}}", at / 1_000, at / 1_000_000);
        prop_assert_eq!(found(&text), [], "{}", text);
    }

    #[test]
    fn nothing_panics_and_marks_are_all_seen(text in prop::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9', Just(b'@'), Just(b' '), Just(b'.'), Just(b'\\'), Just(b'%')], 0..120)) {
        let mut counts = Counts::default();
        find(&text, &mut counts);
        find_in_json(&text, &mut counts);
        find_in_form(&text, &mut counts);
        let expected: Vec<usize> = (0..text.len()).filter(|at| text[*at].is_ascii_digit() || text[*at] == b'@').collect();
        let mut got = Vec::new();
        let mut at = 0;
        while let Some(next) = next_mark(&text, at) {
            got.push(next);
            at = next + 1;
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn one_wrong_digit_is_no_number(which in 0..WRITTEN.len(), place in any::<prop::sample::Index>(), by in 1..10_u8) {
        let (kind, text) = WRITTEN[which];
        prop_assume!(["iban", "de_tax_id", "it_fiscal_code", "nl_bsn", "br_cpf"].contains(&kind));
        let places: Vec<usize> = (0..text.len()).filter(|at| text.as_bytes()[*at].is_ascii_digit()).collect();
        let place = places[place.index(places.len())];
        let mut changed = text.as_bytes().to_vec();
        changed[place] = b'0' + (changed[place] - b'0' + by) % 10;
        let changed = String::from_utf8(changed).unwrap();
        prop_assert!(!found(&changed).iter().any(|(of, _)| *of == kind), "{changed}");
    }
}

#[test]
fn marks_are_digits_and_at_signs() {
    for byte in 0..=u8::MAX {
        let expected = byte.is_ascii_digit() || byte == b'@';
        assert_eq!(
            marks(u64::from(byte) | 0x2020_2020_2020_2000) & 0x80 != 0,
            expected,
            "{byte}"
        );
    }
}
