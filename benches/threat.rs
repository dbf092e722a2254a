//! What one inspection by the shipped rules costs: small requests, a query seen before and not, and the dearest
//! bodies of 1 MiB. An argument picks those whose names hold it. Where the machine is shared, compare instructions
//! (`valgrind --tool=callgrind`).

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use rg_gateway::policy::threat::{Engine, FieldPath, Hints, Inspect, Inspection, Kind, RuleFile};
use rg_gateway::shipped;

#[expect(clippy::panic, reason = "without rules there is nothing to measure")]
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let files: Vec<RuleFile> = shipped::RULES
        .iter()
        .map(|(name, text)| RuleFile {
            name: (*name).into(),
            text: (*text).to_owned(),
        })
        .collect();
    Engine::compile(&files, &[]).unwrap_or_else(|_| panic!("the shipped rules do not compile"))
});

static QUERY_TEXT: LazyLock<Option<FieldPath>> = LazyLock::new(|| FieldPath::parse("$.query"));

const MIB: usize = 1 << 20;

fn main() {
    let wanted = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|w| name.contains(w.as_str()));
    println!("{:<42}{:>12}{:>12}", "one inspection", "median", "least");
    for (name, bench) in small() {
        if is_wanted(name) {
            measure(name, 2_000, bench);
        }
    }
    for (name, content_type, unit) in WORST {
        let name = format!("1 MiB of {name}");
        if is_wanted(&name) {
            let body: Vec<u8> = unit.bytes().cycle().take(MIB).collect();
            measure(
                &name,
                12,
                Box::new(move || inspect(None, content_type, &body)),
            );
        }
    }
}

type Bench = Box<dyn FnMut() -> Inspection>;

#[expect(
    clippy::disallowed_methods,
    reason = "a bench is about the time that passes"
)]
fn measure(name: &str, times: usize, mut bench: Bench) {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let began = Instant::now();
            black_box(bench());
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |index: usize| took.get(index).copied().unwrap_or_default();
    let (median, least) = (format!("{:.1?}", at(times / 2)), format!("{:.1?}", at(0)));
    println!("{name:<42}{median:>12}{least:>12}");
}

/// Small requests.
fn small() -> [(&'static str, Bench); 4] {
    let seen = statement(1900);
    let mut salt = 0;
    let row = r#"{"id": 17, "name": "Siobhan O'Neill", "note": "R&D; 5 or 6 (2nd floor)", "tags": ["a", "b"]},"#;
    let rows = row.repeat(65_536 / row.len());
    let rows = format!("[{}]", rows.trim_end_matches(','));
    [
        (
            "GET of 100 bytes",
            Box::new(|| inspect(Some("ids=1,2,3&sort=-created_at&limit=20"), "", b"")),
        ),
        (
            "query of 1 KB, seen before",
            Box::new(move || inspect(None, "application/json", &seen)),
        ),
        (
            "query of 1 KB, never seen",
            Box::new(move || {
                salt += 1;
                inspect(None, "application/json", &statement(salt))
            }),
        ),
        (
            "JSON of 64 KB",
            Box::new(move || inspect(None, "application/json", rows.as_bytes())),
        ),
    ]
}

fn inspect(query: Option<&str>, content_type: &'static str, body: &[u8]) -> Inspection {
    let mut headers = HeaderMap::new();
    headers.insert(
        "user-agent",
        HeaderValue::from_static("python-httpx/0.27.0"),
    );
    headers.insert("content-type", HeaderValue::from_static(content_type));
    ENGINE.inspect(&Inspect {
        method: if body.is_empty() { "GET" } else { "POST" },
        path: "/v1/graphs/books/query",
        raw_path: "/v1/graphs/books/query",
        query,
        headers: &headers,
        body,
        hints: Hints {
            kind: Kind::Query,
            query_text: QUERY_TEXT.as_ref(),
            ..Hints::default()
        },
    })
}

/// A statement of a kilobyte; `salt` makes it another one.
fn statement(salt: u64) -> Vec<u8> {
    let clause = format!(
        "MATCH (b:Book)-[:WRITTEN_BY]->(a:Author {{name: $name}}) WHERE b.year > {salt} AND b.title CONTAINS $word "
    );
    let query = clause.repeat(8) + "RETURN b.title, a.name ORDER BY b.year LIMIT 10";
    format!(r#"{{"query": "{query}", "parameters": {{"name": "Ann", "word": "graph"}}}}"#)
        .into_bytes()
}

/// Bodies of 1 MiB, by what they are made of.
const WORST: [(&str, &str, &str); 12] = [
    ("quoted conditions", "text/plain", "' or 1=1x "),
    ("tags", "text/plain", "<a on"),
    ("brackets", "text/plain", "f(f("),
    ("percent signs", "text/plain", "%25"),
    ("entities", "text/plain", "&#x41;"),
    ("unclosed comments", "text/plain", "/* "),
    (
        "words of every rule",
        "text/plain",
        "alert document eval( sleep( concat( cat ls ",
    ),
    ("addresses", "text/csv", "http://a/ ,"),
    ("quoted cells", "text/csv", "\"a,\"b,\"c,"),
    ("short cells", "text/csv", "'<%&,"),
    ("compatibility letters", "text/plain", "\u{ff1c}\u{2460}"),
    (
        "tokens of Cypher",
        "application/x-ndjson",
        "{\"query\":\"MATCH (a)-[:B]->(c) RETURN a\"}\n",
    ),
];
