mod bodies;

use super::*;

/// One rule, its varying part first.
pub(super) fn rule(lines: &str) -> String {
    format!(
        "- id: a-rule\n  name: a rule\n  tags: [test]\n  type: TEST\n  severity: high\n  confidence: 0.95\n{lines}\n"
    )
}

pub(super) fn engine(text: &str) -> Result<Engine, Vec<Diagnostic>> {
    let file = RuleFile {
        name: "x.yaml".into(),
        text: text.to_owned(),
    };
    Engine::compile(&[file], &[])
}

fn refused(text: &str) -> String {
    let errors = engine(text).unwrap_err();
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn inspect(engine: &Engine, query: &str) -> Inspection {
    engine.inspect(&Inspect {
        method: "GET",
        path: "/a",
        raw_path: "/a",
        query: Some(query),
        headers: &http::HeaderMap::new(),
        body: b"",
        hints: Hints::default(),
    })
}

#[test]
fn a_failing_test_refuses_the_file_and_names_the_rule() {
    let message = refused(&rule(
        "  match: {contains: [purple]}\n  tests: {match: [some green words]}",
    ));
    assert!(message.starts_with("x.yaml:8:"), "{message}");
    assert!(
        message.contains("a-rule.tests: has a test that should match and does not"),
        "{message}"
    );
}

#[test]
fn unknown_keys_and_words_are_errors_with_their_place() {
    let key = refused(&rule("  match: {contians: [purple]}"));
    assert!(
        key.starts_with("x.yaml:7:") && key.contains("contians"),
        "{key}"
    );
    let word = refused(&rule("  match: {predicate: [sql.conditions]}"));
    assert!(word.contains("unknown word: sql.conditions"), "{word}");
    assert!(word.contains("did you mean `sql.condition`?"), "{word}");
    let body = refused(&rule("  match: {contains: [purple]}\n  contexts: [body]"));
    assert!(
        body.contains("unknown word: body") && body.contains("piece by piece"),
        "{body}"
    );
}

#[test]
fn every_wrong_value_of_a_rule_is_reported() {
    let text = rule("  mode: enforced\n  match: {regex: ['(?=x)']}").replace("0.95", "1.5");
    let message = refused(&text);
    for part in [
        "at most 1: 1.5",
        "unknown word: enforced",
        "not a pattern",
        "linear time",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn an_id_is_given_once_and_a_disabled_one_must_exist() {
    let twice = rule("  match: {contains: [purple]}").repeat(2);
    assert!(refused(&twice).contains("is taken by another rule: a-rule"));
    let file = RuleFile {
        name: "x.yaml".into(),
        text: rule("  match: {contains: [purple]}"),
    };
    let errors = Engine::compile(&[file], &["b-rule".into()]).unwrap_err();
    assert!(errors[0].to_string().contains("no such rule: b-rule"));
}

#[test]
fn a_shadowed_rule_is_seen_and_does_not_count() {
    let body = "  match: {contains: [purple]}\n  mitigations: [block_request]";
    let enforced = inspect(&engine(&rule(body)).unwrap(), "a=purple+words");
    assert_eq!(enforced.verdict, Verdict::Block);
    assert!(enforced.mitigations.has(Mitigation::BlockRequest));
    let shadow = inspect(
        &engine(&rule(&format!("{body}\n  mode: shadow"))).unwrap(),
        "a=purple+words",
    );
    assert_eq!(shadow.verdict, Verdict::Pass);
    assert_eq!(shadow.indicators[0].mode, Mode::Shadow);
    assert_eq!(shadow.indicators[0].field, "query.a");
    assert!(shadow.mitigations.is_empty());
}

#[test]
fn confidences_of_one_value_are_combined_and_of_two_are_not() {
    let one = |id: &str, word: &str| {
        rule(&format!(
            "  match: {{contains: [{word}]}}\n  mitigations: [block_request]"
        ))
        .replace("a-rule", id)
        .replace("0.95", "0.7")
    };
    let engine = engine(&format!(
        "{}{}",
        one("first", "purple"),
        one("second", "orange")
    ))
    .unwrap();
    assert_eq!(inspect(&engine, "a=purple+orange").verdict, Verdict::Block);
    assert_eq!(
        inspect(&engine, "a=purple+one&b=orange+one").verdict,
        Verdict::Pass
    );
}

/// Thresholds as a configuration gives them.
fn thresholds(category: &str, block: f64, act: f64) -> CategoryThresholds {
    CategoryThresholds {
        category: category.into(),
        thresholds: Thresholds { block, act },
        place: crate::diagnostic::Place {
            file: "gateway.yaml".into(),
            line: 7,
            column: 5,
        },
        path: format!("rules.thresholds.{category}"),
    }
}

/// Two rules of confidence 0.7, each of a category of its own.
fn of_two_categories(list: &[CategoryThresholds]) -> Result<Engine, Vec<Diagnostic>> {
    let one = |category: &str| {
        let mitigations = "  mitigations: [block_request, monitoring_increase]";
        rule(&format!(
            "  match: {{contains: [{category}]}}\n{mitigations}"
        ))
        .replace("a-rule", category)
        .replace("[test]", &format!("[{category}, colour]"))
        .replace("0.95", "0.7")
    };
    engine(&(one("purple") + &one("orange")))?.tuned(&Tuning {
        thresholds: list,
        ..Tuning::default()
    })
}

#[test]
fn a_category_has_its_own_thresholds_and_the_others_keep_theirs() {
    let said = |engine: &Engine, word: &str| {
        let found = inspect(engine, &format!("a={word}+words"));
        let monitored = found.mitigations.has(Mitigation::MonitoringIncrease);
        assert_eq!(
            found.indicators[0].blocks(),
            found.verdict == Verdict::Block
        );
        (found.verdict, monitored)
    };
    let default = of_two_categories(&[]).unwrap();
    assert_eq!(said(&default, "purple"), (Verdict::Pass, true));
    for (block, act, expected) in [
        (0.7, 0.5, (Verdict::Block, true)),
        (0.71, 0.7, (Verdict::Pass, true)),
        (0.9, 0.71, (Verdict::Pass, false)),
    ] {
        let engine = of_two_categories(&[thresholds("purple", block, act)]).unwrap();
        assert_eq!(said(&engine, "purple"), expected, "{block} {act}");
        assert_eq!(said(&engine, "orange"), (Verdict::Pass, true));
        let found = inspect(&engine, "a=purple+words");
        let unusual = (block != 0.9).then_some(block);
        assert_eq!(found.indicators[0].blocks_from_where_unusual(), unusual);
    }
}

#[test]
fn thresholds_of_no_category_and_exclusions_of_no_rule_are_told_together() {
    let wrong = [
        thresholds("purpel", 0.8, 0.5),
        // A tag, but not the first of any rule.
        thresholds("colour", 0.8, 0.5),
    ];
    let told = of_two_categories(&wrong).unwrap_err();
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    let place = "gateway.yaml:7:5: rules.thresholds";
    assert_eq!(
        told,
        [
            format!("{place}.purpel: no such category: purpel\n  hint: did you mean `purple`?"),
            format!(
                "{place}.colour: no such category: colour\n  hint: a category is the first tag of a rule: orange, purple"
            ),
        ]
    );
}

#[test]
fn repeated_names_are_looked_at_joined() {
    let engine = engine(&rule(
        "  match: {contains: [purple]}\n  mitigations: [block_request]",
    ))
    .unwrap();
    assert_eq!(
        inspect(&engine, "a=the+pur&a=ple+one").verdict,
        Verdict::Block
    );
}

fn body_of(engine: &Engine, content_type: &str, body: &[u8]) -> Inspection {
    let mut headers = http::HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert("content-type", content_type.parse().unwrap());
    }
    engine.inspect(&Inspect {
        method: "PUT",
        path: "/a",
        raw_path: "/a",
        query: None,
        headers: &headers,
        body,
        hints: Hints::default(),
    })
}

#[test]
fn a_binary_body_is_not_read_as_text() {
    let body = "  match: {contains: [purple]}\n  mitigations: [block_request]";
    let engine = engine(&rule(body)).unwrap();
    let verdict = |kind: &str, body: &[u8]| body_of(&engine, kind, body).verdict;
    let binary = b"\x89\x01purple\0\xff";
    for kind in ["application/octet-stream", "image/png", ""] {
        assert_eq!(verdict(kind, binary), Verdict::Pass, "{kind}");
    }
    assert_eq!(verdict("text/plain", binary), Verdict::Block);
    assert_eq!(verdict("", b"some purple words"), Verdict::Block);
    for hidden in [&b"{\"a\": \"purple words\"}"[..], b"<a>purple words</a>"] {
        assert_eq!(verdict("application/octet-stream", hidden), Verdict::Block);
    }
    assert_eq!(
        verdict("application/octet-stream", b"[purple\0"),
        Verdict::Pass
    );
}

#[test]
fn a_header_remembered_as_clean_is_looked_at_by_other_rules() {
    let clean = engine(&rule(
        "  match: {contains: [orange]}\n  mitigations: [block_request]",
    ));
    let other = engine(&rule(
        "  match: {contains: [purple]}\n  mitigations: [block_request]",
    ));
    let (clean, other) = (clean.unwrap(), other.unwrap());
    for _ in 0..4 {
        assert_eq!(agent(&clean, "purple agent"), Verdict::Pass);
    }
    assert_eq!(agent(&other, "purple agent"), Verdict::Block);
    assert_eq!(agent(&clean, "orange agent"), Verdict::Block);
}

fn agent(engine: &Engine, value: &str) -> Verdict {
    let mut headers = http::HeaderMap::new();
    headers.insert("user-agent", value.parse().unwrap());
    let request = Inspect {
        method: "GET",
        path: "/a",
        raw_path: "/a",
        query: None,
        headers: &headers,
        body: b"",
        hints: Hints::default(),
    };
    engine.inspect(&request).verdict
}

#[test]
fn indicators_of_shadowed_rules_are_few_and_hide_no_others() {
    let purple = "  match: {contains: [purple]}\n  mode: shadow";
    let orange = "  match: {contains: [orange]}\n  mitigations: [block_request]";
    let rules = rule(purple) + &rule(orange).replace("a-rule", "b-rule");
    let engine = engine(&rules).unwrap();
    let query: String = (0..20).map(|n| format!("a{n}=purple+words&")).collect();
    let seen = inspect(&engine, &format!("{query}z=orange+words"));
    assert_eq!(seen.verdict, Verdict::Block);
    assert_eq!(seen.indicators.len(), 5);
    assert_eq!(&*seen.indicators[4].rule, "b-rule");
}

#[test]
fn a_repeated_query_string_is_judged_the_same_each_time() {
    let engine = engine(&rule("  match: {contains: [purple]}")).unwrap();
    for _ in 0..4 {
        assert!(
            inspect(&engine, "colour=green-and-blue")
                .indicators
                .is_empty()
        );
        assert_eq!(
            inspect(&engine, "colour=purple-and-blue").indicators.len(),
            1
        );
        let statement = inspect(&engine, "query=MATCH%20(n)%20RETURN%20n");
        assert!(
            statement.query.is_some(),
            "what a statement does is not forgotten"
        );
    }
}

#[test]
fn a_query_string_clean_for_one_set_of_rules_is_looked_at_by_another() {
    let calm = engine(&rule("  match: {contains: [orange]}")).unwrap();
    let strict = engine(&rule("  match: {contains: [purple]}")).unwrap();
    for _ in 0..4 {
        assert!(
            inspect(&calm, "colour=purple-and-blue")
                .indicators
                .is_empty()
        );
    }
    assert_eq!(
        inspect(&strict, "colour=purple-and-blue").indicators.len(),
        1
    );
}

#[test]
fn a_name_that_breaks_out_of_a_statement_is_found() {
    let engine = engine(&rule(
        "  match: {predicate: [cypher.value_breakout, cypher.pattern_breakout]}\n  mitigations: [block_request]",
    ))
    .unwrap();
    let verdict = |name: &str| {
        let body = format!("{{\"properties\": {{\"{name}\": 1}}}}");
        body_of(&engine, "application/json", body.as_bytes()).verdict
    };
    for name in ["x'}) DETACH DELETE n //", "a`: 1}) RETURN n //"] {
        assert_eq!(verdict(name), Verdict::Block, "{name}");
    }
    for name in ["user's name", "match (a)", "a/b: c", "f(x)'s limit"] {
        assert_eq!(verdict(name), Verdict::Pass, "{name}");
    }
}

#[test]
fn literals_of_a_statement_are_read_as_they_were_sent() {
    let engine = engine(&rule(
        "  contexts: [cypher]\n  match: {predicate: [cypher.unterminated, cypher.unfiltered_write]}\n  mitigations: [block_request]",
    ))
    .unwrap();
    let verdict = |statement: &str| {
        let body = serde_json::json!({ "query": statement }).to_string();
        body_of(&engine, "application/json", body.as_bytes()).verdict
    };
    for statement in [
        "MATCH (n:A) SET n.t = 'it&#39;s'",
        "MATCH (n:A {t: \"a%22b\"}) RETURN n",
        "MATCH (n:A) WHERE n.t = 'O\u{ff07}Neil' RETURN n",
    ] {
        assert_eq!(verdict(statement), Verdict::Pass, "{statement}");
    }
    for statement in [
        "MATCH%20(n)%20DETACH%20DELETE%20n",
        "MATCH &#40;n&#41; DETACH DELETE n",
        "\u{ff2d}\u{ff21}TCH (n) DETACH DELETE n",
        "MATCH (n:A) SET n.t = 'x\\u0027'",
        "MATCH (n) SET n.t = 'it&#39;s'",
    ] {
        assert_eq!(verdict(statement), Verdict::Block, "{statement}");
    }
}

proptest::proptest! {
    #[test]
    fn parsers_keep_their_promises_for_any_bytes(
        raw in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..160),
        text in "[%&\\\\ux0-9a-f;#{}\\[\\]\":, \\-\\r\\n]{0,80}",
        parts in "--b(\\r\\n[-a-z:;=\" \\r\\nb]{0,40}){0,4}",
    ) {
        for bytes in [&raw[..], text.as_bytes(), parts.as_bytes()] {
            properties::decoding(bytes);
            properties::json(bytes);
            properties::parts(bytes);
        }
    }
}

#[test]
fn what_follows_an_unclosed_quote_is_still_seen() {
    let engine = engine(&rule(
        "  match: {contains: [\"purple, one\"]}\n  mitigations: [block_request]",
    ))
    .unwrap();
    // A separator parts the words, unless the line is looked at whole.
    let body = "a,b\n1,2\n\"x,y\nz,the purple, one\n";
    assert_eq!(
        body_of(&engine, "text/csv", body.as_bytes()).verdict,
        Verdict::Block
    );
}

#[test]
fn a_rule_matches_what_it_says_however_plain_or_short_the_value_is() {
    for (matches, context, value) in [
        ("{contains: [secret]}", "query", "secret"),
        ("{contains: [ab]}", "json", "AB"),
        ("{regex: [forbidden]}", "value", "this is forbidden fruit"),
        ("{regex: ['^[0-9]{16}$']}", "parameter", "4000123412341234"),
        ("{regex: ['^is_admin$']}", "key", "is_admin"),
        ("{contains: [is_admin]}", "identifier", "is_admin"),
        ("{regex: ['^old$']}", "url", "old"),
        ("{regex: ['^curl/']}", "user_agent", "curl/8.0"),
        ("{contains: [x-probe]}", "header_name", "x-probe-id"),
        (
            "{contains: [internal]}",
            "cypher",
            "MATCH (n:Internal) RETURN n",
        ),
        (
            "{regex: ['(?i)match \\(x\\)']}",
            "cypher",
            "MATCH (x) RETURN x",
        ),
    ] {
        let text = rule(&format!(
            "  match: {matches}\n  contexts: [{context}]\n  tests: {{match: ['{value}'], no_match: ['zz zz']}}"
        ));
        if let Err(errors) = engine(&text) {
            panic!("{matches} in {context}: {}", errors[0]);
        }
    }
}

#[test]
fn a_statement_seen_before_is_still_read_by_rules_for_its_text() {
    let text = rule(
        "  match: {contains: [internal]}\n  contexts: [cypher]\n  mitigations: [block_request]",
    );
    let engine = engine(&text).unwrap();
    for _ in 0..4 {
        assert_eq!(
            inspect(&engine, "query=MATCH+(n:Internal)+RETURN+n").verdict,
            Verdict::Block
        );
        assert_eq!(
            inspect(&engine, "query=MATCH+(n:Other)+RETURN+n").verdict,
            Verdict::Pass
        );
    }
}

#[test]
fn base64_inside_base64_is_undone() {
    use ::base64::Engine as _;
    let engine = engine(&rule(
        "  match: {contains: [purple rain]}\n  mitigations: [block_request]",
    ))
    .unwrap();
    let mut value = "<some purple rain here>".to_owned();
    for _ in 0..3 {
        value = ::base64::engine::general_purpose::STANDARD.encode(value);
        let query = format!("a={}", value.replace('+', "%2B"));
        assert_eq!(inspect(&engine, &query).verdict, Verdict::Block, "{value}");
    }
}

#[test]
fn literals_of_one_byte_are_found_among_others_of_their_class() {
    let text = rule("  match: {contains: [\"'\"], near: ['{', Z], regex: ['[a-z]+$']}");
    let engine = engine(&text).unwrap();
    let finds = |value: &str| {
        !inspect(&engine, &format!("a={value}"))
            .indicators
            .is_empty()
    };
    for value in ["it's so", "a {b c", "a (b} {c d", "z | so on"] {
        assert!(finds(value), "{value}");
    }
    for value in ["say \"so\"", "a (b c", "a [b] c", "a | so on", "z | 1"] {
        assert!(!finds(value), "{value}");
    }
}
