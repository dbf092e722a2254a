use proptest::prelude::*;

use crate::policy::hygiene::{Framing, Head, HeadLimits, HeadScanner, Violation, check_head};

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 2048,
    fields_max: 20,
    uri_bytes_max: 256,
};

fn check(head: &str) -> Result<Head, Violation> {
    check_head(head.as_bytes(), &LIMITS)
}

/// A head with one field line beside Host.
fn with(field: &str) -> Result<Head, Violation> {
    check(&format!(
        "POST /q HTTP/1.1\r\nHost: a.test\r\n{field}\r\n\r\n"
    ))
}

/// The outcome of scanner and check when the bytes arrive in pieces.
fn read(pieces: &[&[u8]]) -> Result<Option<(usize, Head)>, Violation> {
    let mut scanner = HeadScanner::new(LIMITS);
    let mut received = Vec::new();
    for piece in pieces {
        received.extend_from_slice(piece);
        if let Some(end) = scanner.find_end(&received)? {
            return check_head(&received[..end], &LIMITS).map(|head| Some((end, head)));
        }
    }
    Ok(None)
}

#[test]
fn a_plain_request_passes() {
    let head = check("GET /graphs?limit=2 HTTP/1.1\r\nHost: a.test\r\nAccept:*/*\r\n\r\n").unwrap();
    let expected = Head {
        framing: Framing::None,
        keep_alive: true,
        expects_continue: false,
        upgrade: false,
        http_minor: 1,
        leading_bytes: 0,
    };
    assert_eq!(head, expected);
}

#[test]
fn the_body_is_framed_by_one_field() {
    let framing = |field| with(field).map(|head| head.framing);
    assert_eq!(framing("Content-Length: 5"), Ok(Framing::Length(5)));
    assert_eq!(framing("content-length:\t007 "), Ok(Framing::Length(7)));
    assert_eq!(framing("Content-Length: 0"), Ok(Framing::Length(0)));
    assert_eq!(
        framing("Content-Length: 9223372036854775807"),
        Ok(Framing::Length(i64::MAX.unsigned_abs()))
    );
    assert_eq!(framing("Transfer-Encoding: cHuNkEd"), Ok(Framing::Chunked));
    assert_eq!(framing("X-Length: 5"), Ok(Framing::None));
}

#[test]
fn doubtful_framing_is_refused() {
    use Violation as V;
    let cases = [
        ("Content-Length: ", V::ContentLengthSyntax),
        ("Content-Length: +5", V::ContentLengthSyntax),
        ("Content-Length: 5, 5", V::ContentLengthSyntax),
        ("Content-Length: 0x5", V::ContentLengthSyntax),
        ("Content-Length: 5 5", V::ContentLengthSyntax),
        (
            "Content-Length: 9223372036854775808",
            V::ContentLengthSyntax,
        ),
        (
            "Content-Length: 18446744073709551621",
            V::ContentLengthSyntax,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 5",
            V::DuplicateContentLength,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            V::TransferEncodingAndContentLength,
        ),
        ("Transfer-Encoding:", V::TransferEncodingSyntax),
        ("Transfer-Encoding: identity", V::TransferEncodingSyntax),
        ("Transfer-Encoding: chunked,", V::TransferEncodingSyntax),
        (
            "Transfer-Encoding: chunked, chunked",
            V::TransferEncodingSyntax,
        ),
        (
            "Transfer-Encoding: chunked, gzip",
            V::TransferEncodingSyntax,
        ),
        ("Transfer-Encoding: chunked;q=1", V::TransferEncodingSyntax),
        ("Transfer-Encoding: \"chunked\"", V::TransferEncodingSyntax),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            V::TransferEncodingSyntax,
        ),
        (
            "Transfer-Encoding: gzip, chunked",
            V::TransferEncodingUnsupported,
        ),
        ("Transfer_Encoding: chunked", V::FramingLookalike),
        ("Content.Length: 5", V::FramingLookalike),
        ("Content-Length~: 5", V::FramingLookalike),
    ];
    for (field, violation) in cases {
        assert_eq!(with(field), Err(violation), "{field:?}");
    }
    assert_eq!(
        check("POST /q HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(V::TransferEncodingInHttp10)
    );
}

#[test]
fn a_malformed_field_line_is_refused() {
    use Violation as V;
    let cases = [
        ("X-A : b", V::FieldName),
        (": b", V::FieldName),
        ("X-A", V::FieldName),
        ("X A: b", V::FieldName),
        ("X(A): b", V::FieldName),
        ("X-\u{e9}: b", V::FieldName),
        ("X-A\0: b", V::FieldName),
        (" X-A: b", V::ObsFold),
        ("X-A: b\r\n\tc", V::ObsFold),
        ("X-A: a\0b", V::FieldValue),
        ("X-A: a\x7f", V::FieldValue),
        ("X-A: a\x0bb", V::FieldValue),
        ("X-A: a\rX-B: b", V::BareCarriageReturn),
        ("X-A\r: b", V::BareCarriageReturn),
        ("X-A: b\r", V::BareCarriageReturn),
        ("X-A: a\nX-B: b", V::BareLineFeed),
    ];
    for (field, violation) in cases {
        assert_eq!(with(field), Err(violation), "{field:?}");
    }
    with("X-A: tab\there, \u{e9} and \"\"").unwrap();
    with("X-Empty:").unwrap();
    with("x_a.b!: c").unwrap();
}

#[test]
fn a_malformed_request_line_is_refused() {
    use Violation as V;
    let long = format!("GET /{} HTTP/1.1", "x".repeat(256));
    let cases = [
        ("GET /x", V::RequestLine),
        ("GET", V::RequestLine),
        ("GET /x http/1.1", V::RequestLine),
        ("GET /x HTTP/1.10", V::RequestLine),
        ("GET /x HTTP/1.1 ", V::Target),
        ("GET  /x HTTP/1.1", V::Target),
        ("GET /x y HTTP/1.1", V::Target),
        ("GET /x#f HTTP/1.1", V::Target),
        ("GET /x?q=<script> HTTP/1.1", V::Target),
        ("GET /x?q=\"a\" HTTP/1.1", V::Target),
        ("GET /\u{e9} HTTP/1.1", V::Target),
        ("GET /x\x01 HTTP/1.1", V::Target),
        ("GET * HTTP/1.1", V::Target),
        ("GET x HTTP/1.1", V::Target),
        ("GET ?a HTTP/1.1", V::Target),
        ("GET ftp://a.test/ HTTP/1.1", V::Target),
        ("GET http:/a.test/ HTTP/1.1", V::Target),
        ("G(T /x HTTP/1.1", V::Method),
        (" GET /x HTTP/1.1", V::Method),
        ("CONNECT a.test:80 HTTP/1.1", V::Connect),
        ("GET /x HTTP/1.2", V::Version),
        ("PRI * HTTP/2.0", V::Version),
        (long.as_str(), V::UriTooLong),
        ("GET /x\ry HTTP/1.1", V::BareCarriageReturn),
    ];
    for (line, violation) in cases {
        let outcome = check(&format!("{line}\r\nHost: a.test\r\n\r\n"));
        assert_eq!(outcome, Err(violation), "{line:?}");
    }
    let method = "M".repeat(33);
    assert_eq!(
        check(&format!("{method} / HTTP/1.1\r\nHost: a.test\r\n\r\n")),
        Err(V::MethodTooLong)
    );
    check("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
    check("BREW-IT /x?a[]={'b'}|`%zz HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
}

/// Whatever passes here, the parser behind understands: else it would answer by itself, and nobody would know.
#[test]
fn every_target_that_passes_is_one_that_the_parser_behind_takes() {
    for octet in 0x21..0x7f_u8 {
        let octet = char::from(octet);
        for target in [format!("/a{octet}b"), format!("/a?b={octet}c?{octet}")] {
            let passes = check(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).is_ok();
            let is_taken = http::uri::PathAndQuery::try_from(target.as_str()).is_ok();
            assert_eq!(passes, is_taken && octet != '#', "{target}");
        }
    }
}

#[test]
fn one_host_is_named_and_every_place_agrees() {
    use Violation as V;
    let to = |target: &str, hosts: &str| {
        check(&format!("GET {target} HTTP/1.1\r\n{hosts}\r\n")).map(|head| head.http_minor)
    };
    assert_eq!(to("/", ""), Err(V::MissingHost));
    assert_eq!(to("/", "Host:\r\n"), Err(V::HostSyntax));
    assert_eq!(to("/", "Host: a\r\nhost: a\r\n"), Err(V::DuplicateHost));
    assert_eq!(to("/", "Host: a@b\r\n"), Err(V::HostSyntax));
    assert_eq!(to("http://a.test/x", "Host: A.TEST:80\r\n"), Ok(1));
    assert_eq!(to("HTTPS://a.test?x", "Host: a.test:443\r\n"), Ok(1));
    assert_eq!(
        to("http://a.test/", "Host: b.test\r\n"),
        Err(V::HostMismatch)
    );
    assert_eq!(
        to("http://a.test:81/", "Host: a.test\r\n"),
        Err(V::HostMismatch)
    );
    assert_eq!(
        to("http://a.test@b.test/", "Host: a.test\r\n"),
        Err(V::HostSyntax)
    );
    assert_eq!(to("http:///x", "Host: a.test\r\n"), Err(V::HostSyntax));
    assert_eq!(check("GET / HTTP/1.0\r\n\r\n").unwrap().http_minor, 0);
    assert_eq!(
        check("GET / HTTP/1.0\r\nHost: /\r\n\r\n"),
        Err(V::HostSyntax)
    );
}

#[test]
fn the_connection_is_kept_as_the_version_has_it() {
    let kept = |version, options: &str| {
        check(&format!("GET / HTTP/{version}\r\nHost: a\r\n{options}\r\n"))
            .unwrap()
            .keep_alive
    };
    assert!(kept("1.1", ""));
    assert!(!kept("1.1", "Connection: foo ,\tClose\r\n"));
    assert!(!kept(
        "1.1",
        "Connection: keep-alive\r\nConnection: close\r\n"
    ));
    assert!(!kept("1.0", ""));
    assert!(kept("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!kept("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn expectation_and_upgrade_belong_to_http_1_1() {
    let fields = "Host: a\r\nExpect: 100-Continue\r\nUpgrade: websocket\r\n\r\n";
    let head = check(&format!("GET / HTTP/1.1\r\n{fields}")).unwrap();
    assert!(head.expects_continue && head.upgrade);
    let head = check(&format!("GET / HTTP/1.0\r\n{fields}")).unwrap();
    assert!(!head.expects_continue && !head.upgrade);
}

#[test]
fn one_empty_line_may_come_first() {
    let plain = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let led = format!("\r\n{plain}");
    let (end, head) = read(&[led.as_bytes()]).unwrap().unwrap();
    assert_eq!((end, head.leading_bytes), (led.len(), 2));
    let twice = format!("\r\n\r\n{plain}");
    assert_eq!(read(&[twice.as_bytes()]), Err(Violation::LeadingLines));
    assert_eq!(check(&twice), Err(Violation::LeadingLines));
}

#[test]
fn only_one_whole_head_is_taken() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(check(&format!("{head}x")), Err(Violation::HeadUnfinished));
    assert_eq!(
        check(&head[..head.len() - 2]),
        Err(Violation::HeadUnfinished)
    );
    assert_eq!(check(""), Err(Violation::HeadUnfinished));
    let piped = format!("{head}{head}");
    assert_eq!(read(&[piped.as_bytes()]).unwrap().unwrap().0, head.len());
}

#[test]
fn what_cannot_become_a_head_is_refused_before_it_ends() {
    let early = |bytes: &[u8]| HeadScanner::new(LIMITS).find_end(bytes);
    assert_eq!(early(b"\x16\x03\x01\x02"), Err(Violation::Method));
    assert_eq!(early(b"GET /x\r\n"), Err(Violation::RequestLine));
    assert_eq!(early(b"GET /x HTTP/1.1\n"), Err(Violation::BareLineFeed));
    assert_eq!(
        early(b"GET /x HTTP/1.1\rH"),
        Err(Violation::BareCarriageReturn)
    );
    assert_eq!(early(b"\r\n\r\n"), Err(Violation::LeadingLines));
    assert_eq!(
        early(b"GET /x HTTP/1.1\r\nBad Name: x\r\n"),
        Err(Violation::FieldName)
    );
    assert_eq!(early(b"GET /x HTTP/1.1\r\nHost: a\r\nBad"), Ok(None));
    assert_eq!(early(b"GET /x HTTP/1.1\r"), Ok(None));
    assert_eq!(early(b""), Ok(None));
}

#[test]
fn each_limit_holds_to_the_octet() {
    let fields = |n| "X: y\r\n".repeat(n);
    let head = |n| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(n));
    assert!(read(&[head(19).as_bytes()]).is_ok());
    assert_eq!(read(&[head(20).as_bytes()]), Err(Violation::TooManyFields));
    assert_eq!(check(&head(20)), Err(Violation::TooManyFields));

    let around = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    let sized = |n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "y".repeat(n - around)
        )
    };
    assert!(read(&[sized(2048).as_bytes()]).unwrap().is_some());
    assert_eq!(
        read(&[sized(2049).as_bytes()]),
        Err(Violation::HeadTooLarge)
    );
    assert_eq!(check(&sized(2049)), Err(Violation::HeadTooLarge));

    let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(n - 1));
    assert!(read(&[target(256).as_bytes()]).unwrap().is_some());
    assert_eq!(read(&[target(257).as_bytes()]), Err(Violation::UriTooLong));
    let most = target(256).replacen("GET", &"M".repeat(32), 1);
    assert!(read(&[most.as_bytes()]).unwrap().is_some());
    let endless = format!("GET /{}", "x".repeat(400));
    assert_eq!(read(&[endless.as_bytes()]), Err(Violation::UriTooLong));
}

/// Lines that are nearly right, so that accidents happen at every place.
fn nearly_a_head() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => Just("Host: a.test\r\n".to_owned()),
        2 => Just("Content-Length: 3\r\n".to_owned()),
        2 => Just("Transfer-Encoding: chunked\r\n".to_owned()),
        2 => "[A-Za-z_-]{1,6}:[ -~]{0,8}\r\n",
        1 => "[\\x00-\\x7f]{0,8}\r\n",
        1 => "[ -~\r\n]{0,8}",
    ];
    let first = prop_oneof![
        6 => Just("GET /x HTTP/1.1\r\n".to_owned()),
        1 => "(\r\n){0,2}[A-Z]{1,4} [/x*?#]{0,3} HTTP/1\\.[0-2]\r\n",
    ];
    (first, prop::collection::vec(line, 0..6), ".{0,3}").prop_map(|(first, lines, after)| {
        format!("{first}{}\r\n{after}", lines.concat()).into_bytes()
    })
}

proptest! {
    #[test]
    fn any_octets_are_read_without_panic(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = check_head(&octets, &LIMITS);
        let _ = read(&[&octets]);
    }

    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(
        octets in nearly_a_head(),
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let singly: Vec<&[u8]> = octets.chunks(1).collect();
        let whole = read(&[&octets]);
        prop_assert_eq!(read(&super::cut(&octets, &places)), whole);
        prop_assert_eq!(read(&singly), whole);
    }

    #[test]
    fn a_limit_met_in_pieces_is_the_limit_met_at_once(
        target in 200..300_usize,
        fields in 0..25_usize,
        value in 0..200_usize,
        ending in "(\r\n|\n|\r)",
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let field = format!("X: {}\r\n", "y".repeat(value));
        let head = format!("GET /{}{ending}{}\r\n", "x".repeat(target), field.repeat(fields));
        prop_assert_eq!(read(&super::cut(head.as_bytes(), &places)), read(&[head.as_bytes()]));
    }
}
