//! What becomes of a body, by its headers and by its bytes.

use std::io::Write;

use super::*;

/// Blocks the word purple, and what the shipped rules block of a body's form.
fn strict() -> Engine {
    let purple = rule("  match: {contains: [purple]}\n  mitigations: [block_request]");
    let form = rule(
        "  contexts: [all]\n  match: {predicate: [xml.doctype, object.serialized, bound.json_depth, \
         bound.json_keys, bound.json_duplicate_key, bound.json_nesting, bound.leaves, bound.parts, bound.pairs]}\n  \
         mitigations: [block_request]",
    );
    engine(&format!("{purple}{}", form.replace("a-rule", "b-rule"))).unwrap()
}

const REFUSING: Hints<'_> = Hints {
    kind: Kind::Other,
    query_text: None,
    on_undecodable_refuse: true,
    on_oversize_forward: false,
    body_is_prefix: false,
    origin: Origin {
        route: None,
        key: None,
        client: None,
        unix_micros: 0,
    },
    clock: None,
    pii: false,
};

fn with(hints: Hints<'_>, fields: &[(&'static str, &str)], body: &[u8]) -> Inspection {
    let mut headers = http::HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().unwrap());
    }
    strict().inspect(&Inspect {
        method: "POST",
        path: "/a",
        raw_path: "/a",
        query: None,
        headers: &headers,
        body,
        hints,
    })
}

fn sent(fields: &[(&'static str, &str)], body: &[u8]) -> Inspection {
    with(REFUSING, fields, body)
}

fn refused(seen: &Inspection) -> Option<(u16, &'static str)> {
    seen.refused_as
        .map(|refused| (refused.status, refused.code))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const TYPE: &str = "content-type";
const ENCODING: &str = "content-encoding";
const PURPLE: &[u8] = b"{\"a\": \"some purple words\"}";

#[test]
fn no_field_of_encodings_hides_another() {
    for first in ["", "identity", "IDENTITY, "] {
        let fields = [(TYPE, "text/plain"), (ENCODING, first), (ENCODING, "gzip")];
        assert_eq!(
            sent(&fields, &gzip(PURPLE)).verdict,
            Verdict::Block,
            "{first}"
        );
    }
    let fields = [(ENCODING, "gzip"), (ENCODING, "gzip")];
    assert_eq!(sent(&fields, &gzip(&gzip(PURPLE))).verdict, Verdict::Block);
    let fields = [(ENCODING, "gzip"), (ENCODING, "foo")];
    let seen = sent(&fields, &gzip(PURPLE));
    assert_eq!(refused(&seen), Some((415, "content-encoding")));
}

#[test]
fn a_body_of_two_types_is_refused_and_looked_at_as_both() {
    let form = b"a=%70urple%20words";
    let types = [
        (TYPE, "text/plain"),
        (TYPE, "application/x-www-form-urlencoded"),
    ];
    let seen = sent(&types, form);
    assert_eq!(refused(&seen), Some((415, "content-type")));
    assert!(seen.indicators.iter().any(|i| i.field == "form.a"));
    assert_eq!(refused(&sent(&[(TYPE, "a/b"), (TYPE, "a/b")], b"x")), None);
}

#[test]
fn what_cannot_be_decoded_is_marked_where_it_passes() {
    let lenient = Hints {
        on_undecodable_refuse: false,
        ..REFUSING
    };
    for (fields, body) in [
        (&[(ENCODING, "foo")][..], &b"words"[..]),
        (&[(ENCODING, "gzip")], b"words"),
        (&[(TYPE, "application/json")], b"{\"a\":"),
        (&[(TYPE, "text/plain; charset=cp500")], b"words"),
        (&[(TYPE, "multipart/form-data; boundary=B")], b"words"),
    ] {
        assert!(refused(&sent(fields, body)).is_some(), "{fields:?}");
        let seen = with(lenient, fields, body);
        assert!(seen.uninspected && refused(&seen).is_none(), "{fields:?}");
        assert!(!sent(&[], body).uninspected);
    }
    // It is looked at as text all the same.
    let seen = with(lenient, &[(ENCODING, "foo")], b"some purple words");
    assert_eq!(seen.verdict, Verdict::Block);
    let seen = with(
        lenient,
        &[(TYPE, "application/json")],
        b"{\"a\": x, purple words",
    );
    assert_eq!(seen.verdict, Verdict::Block);
}

#[test]
fn a_beginning_is_judged_as_one() {
    let prefix = Hints {
        on_oversize_forward: true,
        body_is_prefix: true,
        ..REFUSING
    };
    let json = [(TYPE, "application/json")];
    for body in [
        &b"{\"a\": [1, {\"b\": \"some wor"[..],
        b"[1, tr",
        b"{\"a\"",
        b"[1.5e",
    ] {
        let seen = with(prefix, &json, body);
        assert_eq!((refused(&seen), seen.verdict), (None, Verdict::Pass));
    }
    let attack = b"{\"a\": 1, \"b\": \"the purple wor";
    assert_eq!(with(prefix, &json, attack).verdict, Verdict::Block);
    assert!(refused(&with(prefix, &json, b"{a")).is_some());

    let noise: String = (0..40_000_u32)
        .map(|n| format!("{},", n.wrapping_mul(2_654_435_761)))
        .collect();
    let text = gzip(format!("{{\"a\": \"purple words\", \"b\": [{noise}1]}}").as_bytes());
    let fields = [(TYPE, "application/json"), (ENCODING, "gzip")];
    let seen = with(prefix, &fields, &text[..text.len() / 2]);
    assert_eq!((refused(&seen), seen.verdict), (None, Verdict::Block));

    let parts =
        b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--B\r\nContent-Disp";
    let seen = with(prefix, &[(TYPE, "multipart/form-data; boundary=B")], parts);
    assert_eq!((refused(&seen), seen.verdict), (None, Verdict::Pass));
}

#[test]
fn how_much_there_is_in_a_body_marks_it_where_large_ones_pass() {
    let keys: Vec<String> = (0..10_001).map(|n| format!("\"k{n}\":1")).collect();
    let body = |last: &str| format!("{{{},\"z\":\"{last}\"}}", keys.join(","));
    assert_eq!(sent(&[], body("x").as_bytes()).verdict, Verdict::Block);
    let large = Hints {
        on_oversize_forward: true,
        ..REFUSING
    };
    assert_eq!(
        with(large, &[], body("x").as_bytes()).verdict,
        Verdict::Pass
    );
    assert_eq!(
        with(large, &[], body("purple words").as_bytes()).verdict,
        Verdict::Block
    );
    let form = "a=1&".repeat(10_001);
    let urlencoded = [(TYPE, "application/x-www-form-urlencoded")];
    assert_eq!(sent(&urlencoded, form.as_bytes()).verdict, Verdict::Block);
    let seen = with(large, &urlencoded, form.as_bytes());
    assert_eq!((seen.verdict, seen.uninspected), (Verdict::Pass, true));
    let deep = "[".repeat(70) + &"]".repeat(70);
    assert_eq!(with(large, &[], deep.as_bytes()).verdict, Verdict::Block);
}

#[test]
fn text_is_looked_at_whatever_it_claims_to_be() {
    for kind in [
        "image/png",
        "application/octet-stream",
        "application/grpc",
        "application/grpc+proto",
        "x/y",
    ] {
        for body in [
            &b"some purple words"[..],
            b"a=%70urple%20words",
            "\u{e9} purple words".as_bytes(),
        ] {
            let seen = sent(&[(TYPE, kind)], body);
            let formless = kind == "x/y" && body.contains(&b'=');
            assert!(
                formless || seen.verdict == Verdict::Block,
                "{kind}: {body:?}"
            );
        }
    }
    let png = [
        &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR purple words"[..],
        &[0x9c, 0x01, 0xff, 0x17].repeat(50),
    ]
    .concat();
    assert_eq!(sent(&[(TYPE, "image/png")], &png).verdict, Verdict::Pass);
    let polyglot = [&png[..], b"<?php purple(); ?>"].concat();
    assert_eq!(
        sent(&[(TYPE, "image/png")], &polyglot).verdict,
        Verdict::Block
    );
}

#[test]
fn what_is_compressed_unasked_is_looked_into_where_it_is_no_file() {
    let zstd = zstd::encode_all(PURPLE, 3).unwrap();
    for body in [gzip(PURPLE), zstd] {
        for kind in [
            "application/gzip",
            "application/octet-stream",
            "text/plain",
            "",
        ] {
            assert_eq!(
                sent(&[(TYPE, kind)], &body).verdict,
                Verdict::Block,
                "{kind}"
            );
        }
        let upload = Hints {
            kind: Kind::Upload,
            ..REFUSING
        };
        let seen = with(upload, &[(TYPE, "application/gzip")], &body);
        assert_eq!(seen.verdict, Verdict::Pass);
    }
    let bomb = gzip(&vec![b' '; 9 << 20]);
    let seen = sent(&[(TYPE, "application/gzip")], &bomb);
    assert_eq!(refused(&seen), Some((413, "body-too-large")));
}

#[test]
fn a_serialized_object_is_found_raw() {
    let object = b"\xac\xed\x00\x05sr\x00\x17java.util.PriorityQueue";
    for kind in [
        "application/octet-stream",
        "text/plain",
        "application/x-java-serialized-object",
        "",
    ] {
        assert_eq!(
            sent(&[(TYPE, kind)], object).verdict,
            Verdict::Block,
            "{kind}"
        );
    }
    let form = b"a=%AC%ED%00%05sr";
    let kind = "application/x-www-form-urlencoded";
    assert_eq!(sent(&[(TYPE, kind)], form).verdict, Verdict::Block);
    assert_eq!(
        sent(&[(ENCODING, "gzip")], &gzip(object)).verdict,
        Verdict::Block
    );
}

#[test]
fn json_in_strings_is_followed_and_its_end_is_a_finding() {
    let nested = |levels: usize| {
        (0..levels).fold("[\"some purple words\"]".to_owned(), |inner, _| {
            serde_json::to_string(&serde_json::json!({ "a": inner })).unwrap()
        })
    };
    for levels in [1, 5, 6, 9] {
        let seen = sent(&[], nested(levels).as_bytes());
        assert_eq!(seen.verdict, Verdict::Block, "{levels}");
        assert_eq!(
            seen.bounds.is_empty(),
            levels <= 5,
            "{levels}: {:?}",
            seen.bounds
        );
    }
    // The deepest there may be, on a stack as small as a worker's.
    let deep = |inner: String| "[".repeat(60) + &inner + &"]".repeat(60);
    let deepest = (0..5).fold(deep("1".to_owned()), |inner, _| {
        deep(serde_json::to_string(&inner).unwrap())
    });
    assert_eq!(sent(&[], deepest.as_bytes()).verdict, Verdict::Pass);
}

#[test]
fn every_place_of_xml_is_looked_at() {
    for body in [
        "<a><![CDATA[purple words]]></a>",
        "<a b=\"x\" c='purple words'/>",
        "<a><!-- purple words --></a>",
        "<a><?b purple words?></a>",
        "<a>pur<!-- -->ple words</a>",
        "<a b='http://www.w3.org/ purple words'/>",
    ] {
        let seen = sent(&[(TYPE, "application/xml")], body.as_bytes());
        assert_eq!(seen.verdict, Verdict::Block, "{body}");
    }
    let honest = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>";
    assert_eq!(
        sent(&[(TYPE, "application/xml")], honest).verdict,
        Verdict::Pass
    );
}

#[test]
fn every_place_of_a_part_is_looked_at() {
    let body = |head: &str, body: &str| format!("--B\r\n{head}\r\n\r\n{body}\r\n--B--\r\n");
    let field = "Content-Disposition: form-data; name=\"a\"";
    let blocked = |text: &str| {
        let seen = sent(
            &[(TYPE, "multipart/form-data; boundary=B")],
            text.as_bytes(),
        );
        seen.verdict == Verdict::Block
    };
    for text in [
        body(
            &format!("{field}; filename=\"x\"; filename=\"purple words\""),
            "x",
        ),
        body(
            &format!("{field}; filename=\"x\"; filename*=utf-8''purple%20words"),
            "x",
        ),
        body(&format!("{field};\r\n filename=\"purple words\""), "x"),
        body(
            &format!("{field}; filename=\"purple words\"\r\n{field}; filename=\"x\""),
            "x",
        ),
        body(
            &format!("{field}\r\nContent-Type: multipart/mixed; boundary=C"),
            "--C\r\nContent-Disposition: file; filename=\"purple words\"\r\n\r\nx\r\n--C--",
        ),
        body(
            &format!("{field}\r\nContent-Transfer-Encoding: quoted-printable"),
            "=70urple=20words",
        ),
        body(
            &format!("{field}\r\nContent-Type: application/octet-stream"),
            "purple words",
        ),
        body(field, "x") + "purple words",
        "purple words\r\n".to_owned() + &body(field, "x"),
    ] {
        assert!(blocked(&text), "{text}");
        assert!(
            !blocked(&text.replace("purple", "green").replace("=70urple", "green")),
            "{text}"
        );
    }
    let two = body(&format!("{field}\r\n{field}"), "x");
    let seen = sent(&[(TYPE, "multipart/form-data; boundary=B")], two.as_bytes());
    assert_eq!(refused(&seen), Some((400, "body-malformed")));
    let seen = sent(
        &[(TYPE, "multipart/form-data; boundary=Z; boundary=B")],
        body(field, "x").as_bytes(),
    );
    assert_eq!(refused(&seen), Some((400, "body-malformed")));
}

#[test]
fn in_a_file_that_is_no_text_only_text_is_looked_at() {
    let part = |bytes: &[u8]| {
        let head = b"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\n\r\n";
        let body = [&head[..], &[0x9c, 0x01, 0xff, 0x17].repeat(50), bytes].concat();
        let body = [&body[..], &[0x9c; 50], b"\x01\r\n--B--\r\n"].concat();
        sent(&[(TYPE, "multipart/form-data; boundary=B")], &body).verdict
    };
    assert_eq!(part(b"{{purple}}"), Verdict::Pass);
    assert_eq!(part(b"the purple words of a comment"), Verdict::Block);
    let far = [&[0x9c, 0x01].repeat(2_500)[..], b"<?php purple(); ?>"].concat();
    assert_eq!(part(&far), Verdict::Block);
    assert_eq!(
        part(
            &[
                &[0x9c, 0x01].repeat(2_500)[..],
                b"the purple words of a font"
            ]
            .concat()
        ),
        Verdict::Pass
    );
}
