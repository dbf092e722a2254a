#![no_main]
//! One request through the shipped rules: bounded in what it says, and blind to harmless re-encoding.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue};
use rg_gateway::policy::threat::{
    Engine, Hints, INDICATORS_MAX, Inspect, Inspection, Kind, Mode, RuleFile,
};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../rules");
    let mut files: Vec<RuleFile> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| RuleFile {
            name: path.to_string_lossy().into(),
            text: std::fs::read_to_string(&path).unwrap(),
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Engine::compile(&files, &[]).unwrap_or_else(|errors| panic!("{}", errors[0]))
});

const TYPES: [&str; 7] = [
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "text/xml",
    "text/csv",
    "application/x-ndjson",
    "",
];

fn inspect(query: &str, content_type: &str, body: &[u8]) -> Inspection {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_str(content_type).unwrap());
    ENGINE.inspect(&Inspect {
        method: "POST",
        path: "/v1/x",
        raw_path: "/v1/x",
        query: Some(query),
        headers: &headers,
        body,
        hints: Hints {
            kind: Kind::Other,
            query_text: None,
            on_undecodable_refuse: true,
            ..Hints::default()
        },
    })
}

/// The rules that count, and where.
fn hits(inspection: &Inspection) -> Vec<(String, String)> {
    let counted = inspection
        .indicators
        .iter()
        .filter(|i| i.mode == Mode::Enforce);
    counted
        .map(|i| (i.rule.to_string(), i.field.clone()))
        .collect()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let content_type = TYPES[usize::from(*choice) % TYPES.len()];
    let inspection = inspect("a=b", content_type, rest);
    assert!(
        inspection.indicators.len() <= INDICATORS_MAX,
        "more indicators than the bound"
    );
    for indicator in &inspection.indicators {
        assert!(!indicator.field.is_empty(), "an indicator without a place");
        assert!(
            indicator.excerpt.chars().count() <= 200,
            "an excerpt beyond its bound"
        );
    }
    if rest.len() < 512 {
        let kept = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
        let lean: String = rest
            .iter()
            .map(|b| {
                if kept(b) {
                    char::from(*b).to_string()
                } else {
                    format!("%{b:02X}")
                }
            })
            .collect();
        let full: String = rest.iter().map(|b| format!("%{b:02x}")).collect();
        let (lean, full) = (
            inspect(&format!("q={lean}"), "", b""),
            inspect(&format!("q={full}"), "", b""),
        );
        assert_eq!(
            lean.verdict, full.verdict,
            "another encoding, another verdict"
        );
        assert_eq!(hits(&lean), hits(&full), "another encoding, other findings");
    }
});
