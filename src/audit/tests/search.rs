//! Searches against a filter that reads every event.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{START, event, options, request_ids, written};
use crate::audit::*;

/// The same question asked of the event itself.
fn naive(search: &Search, event: &AuditEvent<'_>, json: &str) -> bool {
    let is =
        |wanted: &Option<String>, got: Option<&str>| wanted.is_none() || wanted.as_deref() == got;
    search.from.is_none_or(|from| event.timestamp >= from)
        && search.to.is_none_or(|to| event.timestamp <= to)
        && is(&search.organization_id, event.organization_id.as_deref())
        && is(&search.api_key_id, event.api_key_id.as_deref())
        && is(&search.request_id, Some(&event.request_id))
        && is(&search.decision_id, event.decision_id.as_deref())
        && search.event_type.is_none_or(|of| of == event.event_type)
        && search.severity.is_none_or(|of| of == event.severity)
        && search.status.is_none_or(|of| of == event.status_code)
        && search.event_id.is_none_or(|id| id == event.event_id)
        && search
            .source_ip
            .is_none_or(|filter| match (filter, event.source_ip) {
                (SourceFilter::System, Source::System) => true,
                (SourceFilter::Network(net), Source::Address(address)) => net.contains(&address),
                _ => false,
            })
        && (search.compliance_tags.is_empty()
            || event
                .compliance_tags
                .iter()
                .any(|tag| search.compliance_tags.iter().any(|t| t == tag)))
        && search
            .text
            .as_deref()
            .is_none_or(|text| json.contains(text))
}

fn searches() -> impl Strategy<Value = Search> {
    let maybe = |text: &'static str| prop::option::weighted(0.3, text);
    let words = (
        maybe("org-[0-6]"),
        maybe("key\"[0-8]"),
        maybe("request-[0-9]{1,3}"),
        maybe("decision-[0-9]{1,3}"),
    );
    let kinds = (
        prop::option::weighted(0.2, prop::sample::select(EventType::ALL.to_vec())),
        prop::option::weighted(0.2, prop::sample::select(Severity::ALL.to_vec())),
        prop::option::weighted(0.2, prop::sample::select(vec![200, 401, 403, 404, 500])),
        prop::option::weighted(
            0.3,
            prop::sample::select(vec!["system", "10.0.1.0/24", "10.0.2.5", "::/0"]),
        ),
    );
    let rest = (
        prop::option::weighted(0.3, 0..700_i64),
        prop::option::weighted(0.3, 0..700_i64),
        prop::collection::vec(prop::sample::select(vec!["ccpa", "gdpr", "hipaa"]), 0..3),
        maybe("request-1|org-2|zzz"),
        prop::option::weighted(0.1, 0..600_u64),
    );
    (words, kinds, rest).prop_map(
        |((org, key, request, decision), (of, severity, status, source), rest)| {
            let (from, to, tags, text, id) = rest;
            Search {
                from: from.map(|n| START + n * 1000),
                to: to.map(|n| START + n * 1000),
                organization_id: org,
                api_key_id: key,
                event_type: of,
                severity,
                source_ip: source.map(|source| source.parse().unwrap()),
                status,
                request_id: request,
                decision_id: decision,
                event_id: id.map(|n| event(n).event_id),
                compliance_tags: tags.into_iter().map(str::to_owned).collect(),
                text,
                limit: LIMIT,
                cursor: None,
            }
        },
    )
}

const LIMIT: usize = 1000;

#[test]
fn search_equals_a_naive_filter() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let stored = |n| (event(n), serde_json::to_string(&event(n)).unwrap());
    let events: Vec<_> = (1..=600).map(stored).collect();
    for (event, _) in &events {
        log.append(event).unwrap();
    }
    let mut runner = TestRunner::new(ProptestConfig::with_cases(64));
    let checked = runner.run(&searches(), |search| {
        let expected: Vec<String> = events
            .iter()
            .rev()
            .filter(|(event, json)| naive(&search, event, json))
            .map(|(event, _)| event.request_id.clone().into_owned())
            .collect();
        prop_assert_eq!(&request_ids(&log.search(&search).unwrap()), &expected);
        prop_assert_eq!(
            &request_ids(&search_dir(dir.path(), &search).unwrap()),
            &expected
        );
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_wrong_or_absent_index_changes_no_answer() {
    let dir = written(400);
    let search = Search {
        organization_id: Some("org-1".into()),
        limit: LIMIT,
        ..Search::default()
    };
    let expected = request_ids(&search_dir(dir.path(), &search).unwrap());
    assert!(!expected.is_empty());
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            fs::write(&path, b"nonsense").unwrap();
        }
    }
    assert_eq!(
        request_ids(&search_dir(dir.path(), &search).unwrap()),
        expected
    );
}

/// The ordinals of the files with this extension.
fn ordinals(dir: &std::path::Path, extension: &str) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap();
    let mut ordinals: Vec<String> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    ordinals.sort();
    ordinals
}

#[test]
fn a_closed_log_has_an_index_of_every_segment_and_an_open_one_none_that_is_out_of_date() {
    let dir = written(400);
    let segments = ordinals(dir.path(), "seg");
    assert!(segments.len() > 2);
    assert_eq!(ordinals(dir.path(), "idx"), segments);
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    assert!(!ordinals(dir.path(), "idx").contains(&segments[segments.len() - 1]));
    log.append(&event(401)).unwrap();
    log.close();
    assert_eq!(ordinals(dir.path(), "idx"), ordinals(dir.path(), "seg"));
    let search = Search {
        request_id: Some("request-401".into()),
        ..Search::default()
    };
    let found = search_dir(dir.path(), &search).unwrap();
    assert_eq!(request_ids(&found), ["request-401"]);
}
