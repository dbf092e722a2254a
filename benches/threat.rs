//! What one inspection by the shipped rules costs: small requests, a query seen before and not, honest bodies of 1 MiB
//! and the dearest we could construct. An argument picks those whose names hold it, a second says how often each runs.
//!
//! Where the machine is shared, compare instructions: under `valgrind --tool=callgrind` with
//! `--toggle-collect='*Engine::inspect*'`, one kind at a time, the total is that of all inspections.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// As the executable has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: usize = 1 << 20;

fn main() {
    // Cargo adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    let wanted = arguments.next().unwrap_or_default();
    let times: Option<usize> = arguments.next().and_then(|times| times.parse().ok());
    let is_wanted = |name: &str| name.contains(&wanted);
    println!(
        "{:<46}{:>12}{:>12}  ends",
        "one inspection", "median", "least"
    );
    for (name, bench) in small() {
        if is_wanted(name) {
            measure(name, times.unwrap_or(2_000), bench);
        }
    }
    let kinds = HONEST.iter().map(|kind| ("honest", kind));
    for (what, (name, frame, value)) in kinds.chain(WORST.iter().map(|kind| ("worst", kind))) {
        let name = format!("1 MiB, {what}: {name}");
        if is_wanted(&name) {
            let (content_type, body) = (frame.content_type(), frame.fill(value));
            measure(
                &name,
                times.unwrap_or(12),
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
    let mut last = Inspection::default();
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let began = Instant::now();
            last = black_box(bench());
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |index: usize| took.get(index).copied().unwrap_or_default();
    let (median, least) = (format!("{:.1?}", at(times / 2)), format!("{:.1?}", at(0)));
    let bound = last.bounds.first().map_or("", |hit| hit.bound);
    println!(
        "{name:<46}{median:>12}{least:>12}  {:?} {bound}",
        last.verdict
    );
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

/// How a body is made of values.
enum Frame {
    /// One after the other.
    Text,
    Cells,
    Lines,
    /// Strings of one JSON document.
    Strings,
    /// Strings of this many bytes, each of several values.
    Longer(usize),
    /// Strings whose base64 stands in the document.
    Base64,
    /// One object a line, with the value as a key.
    Keys,
    /// One object a line, with the value as its statement.
    Statements,
}

impl Frame {
    fn content_type(&self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Cells => "text/csv",
            Self::Strings | Self::Longer(_) | Self::Base64 => "application/json",
            Self::Lines | Self::Keys | Self::Statements => "application/x-ndjson",
        }
    }

    /// A mebibyte of a value, in which `#` is another number each time.
    fn fill(&self, value: &str) -> Vec<u8> {
        let mut body = String::from(self.opens());
        let mut numbers = 0..MIB;
        let mut next = || {
            let number = numbers.next().unwrap_or_default();
            value.replace('#', &format!("{number:x}"))
        };
        loop {
            let piece = self.piece(&mut next);
            if body.len() + piece.len() >= MIB {
                break;
            }
            body.push_str(&piece);
        }
        if !self.opens().is_empty() {
            body.pop();
            body.push(']');
        }
        body.into_bytes()
    }

    fn opens(&self) -> &'static str {
        match self {
            Self::Strings | Self::Longer(_) | Self::Base64 => "[",
            _ => "",
        }
    }

    fn piece(&self, next: &mut dyn FnMut() -> String) -> String {
        let quoted = |text: String| serde_json::Value::from(text).to_string();
        match self {
            Self::Text => next(),
            Self::Cells => next() + ",",
            Self::Lines => next() + "\n",
            Self::Strings => quoted(next()) + ",",
            Self::Longer(bytes) => {
                let mut text = next();
                while text.len() < *bytes {
                    text.push_str(&next());
                }
                quoted(text) + ","
            }
            Self::Base64 => quoted(STANDARD.encode(next())) + ",",
            Self::Keys => format!("{{{}: 1}}\n", quoted(next())),
            Self::Statements => format!("{{\"query\": {}}}\n", quoted(next())),
        }
    }
}

/// What clients send in bulk.
const HONEST: [(&str, Frame, &str); 7] = [
    ("names", Frame::Strings, "O'Neill #"),
    ("short notes", Frame::Strings, "R&D; # or 6 (2nd floor)"),
    (
        "addresses",
        Frame::Cells,
        "https://example.com/a/b#?c=d&e=f%20g",
    ),
    (
        "Markdown",
        Frame::Strings,
        "# Notes #\n\nUse `ls -la` and see. It's *fine*; see [docs](https://example.com/a?b=#&c=d).\n",
    ),
    (
        "markup",
        Frame::Strings,
        "<p>Hello <b>you #</b>, <a href=\"https://example.com/?a=#&amp;b=2\">this</a></p>",
    ),
    (
        "code",
        Frame::Longer(4_000),
        "fn f#() { let x = vec![1, 2]; println!(\"{} = {:?}\", x[0], &x); } // it's a test\n",
    ),
    (
        "statements",
        Frame::Statements,
        "MERGE (b:Book {id: #, title: 'It''s'}) SET b.year = 1999 RETURN b",
    ),
];

/// The dearest of some thousand kinds that were tried.
const WORST: [(&str, Frame, &str); 19] = [
    ("quoted conditions", Frame::Text, "' or 1=1x "),
    ("tags", Frame::Text, "<a on"),
    ("brackets", Frame::Text, "f(f("),
    ("percent signs", Frame::Text, "%25"),
    ("entities", Frame::Text, "&#x41;"),
    ("unclosed comments", Frame::Text, "/* "),
    (
        "words of every rule",
        Frame::Text,
        "alert document eval( sleep( concat( cat ls #",
    ),
    ("compatibility letters", Frame::Text, "\u{ff1c}\u{2460}"),
    ("short cells", Frame::Cells, "R&D #"),
    ("bracketed cells", Frame::Cells, "[#]"),
    ("lines of signs", Frame::Lines, "'<%&#"),
    ("closing brackets", Frame::Strings, "]]]]#"),
    ("styles", Frame::Strings, "<p style=#:"),
    ("styles, 64 bytes", Frame::Longer(64), "<p style=#:"),
    ("signs, 256 bytes", Frame::Longer(256), "'<%&#"),
    ("closed strings, 256 bytes", Frame::Longer(256), "') or #.a"),
    ("drive letters, 256 bytes", Frame::Longer(256), "c:/#"),
    ("base64 of quotes", Frame::Base64, "'\\#"),
    ("keys of markup", Frame::Keys, "<p style=#:"),
];
