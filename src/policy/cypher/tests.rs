use super::*;
use proptest::prelude::*;

fn found(text: &str) -> Vec<Finding> {
    read(text.as_bytes()).1.iter().map(|(f, _)| f).collect()
}

fn value(text: &str) -> bool {
    let mut findings = Findings::default();
    value::collect(text.as_bytes(), &mut findings);
    findings.iter().next().is_some()
}

#[test]
fn honest_statements_have_no_findings() {
    for text in [
        "MATCH (n:Person {name: 'OR 1=1 //'}) RETURN n",
        "MATCH (n) WHERE n.a = n.b OR n.c = 1 RETURN n",
        "MATCH (n) WHERE 1 = 1 AND n.x = 'it''s' RETURN n // don't care",
        "RETURN true OR false AS x",
        "// What's 'new'?\nMATCH (a:Tag)<-[:HAS*0..]-(b:Post) RETURN a, count(b)",
        "UNWIND range(1, 1000) AS i CREATE (:N {i: i})",
        "MATCH (n:User) WHERE n.last < date() DETACH DELETE n",
        "RETURN 1 AS x UNION ALL RETURN 2 AS x",
        "MATCH (a:A), (b:B {id: 1}) CREATE (a)-[:R]->(b)",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn pasted_conditions_are_found() {
    for text in [
        "MATCH (u:User) WHERE u.name = '' OR 1=1 //' RETURN u",
        "MATCH (u:User) WHERE u.name = 'x' or  not false //' RETURN u",
        "MATCH (u:User {name: '' XOR 'a'='a' //'}) RETURN u",
        "MATCH (u) WHERE u.a = '' OR u.x = u.x RETURN u",
    ] {
        assert!(found(text).contains(&Finding::Tautology), "{text}");
    }
}

#[test]
fn constants_that_the_graph_is_asked_about_are_no_tautologies() {
    let statement = |condition: &str| format!("MATCH (u) WHERE u.a = 1 OR {condition} RETURN u");
    for condition in [
        "'x' IN u.tags",
        "'admin' IN labels(u)",
        "NOT 'x' IN u.tags",
        "('x' IN u.tags AND u.b)",
        "\"x\" IN [t IN u.tags | toLower(t)]",
        "toLower('X') IN u.tags",
        "'abc' CONTAINS u.x",
        "rand() < 0.1",
        "rand() >= .75",
    ] {
        let text = statement(condition);
        assert!(!found(&text).contains(&Finding::Tautology), "{text}");
    }
    for condition in [
        "'x' IN ['x', 'y']",
        "1 IN [2, 1, u.x]",
        "'x' IN u.tags + 'x'",
        "1 IN range(1, 3)",
        "'abc' CONTAINS ''",
        "'abc' CONTAINS 'b'",
        "1 IS NOT NULL",
        "rand() < 2",
        "rand() >= 0",
        "rand() > 0.0",
    ] {
        let text = statement(condition);
        assert!(found(&text).contains(&Finding::Tautology), "{text}");
    }
}

#[test]
fn a_comment_that_quotes_is_told_from_the_rest_of_a_template() {
    let cut = |comment: &str| {
        found(&format!("MATCH (n) RETURN n //{comment}")).contains(&Finding::CommentTruncation)
    };
    for comment in [
        " 'quoted'",
        " \"quoted\" end",
        " ) closing",
        " 5' tall",
        " rock 'n roll",
        " from the '90s on",
        " wait 'til then",
        " don't",
    ] {
        assert!(!cut(comment), "{comment}");
    }
    for comment in [
        "'",
        "' RETURN n",
        "'}) RETURN n",
        "', role: 'x'}) RETURN n",
        "'' RETURN n",
        ")",
        " ) RETURN n",
        "}) WHERE n.a = 1 RETURN n",
        "] AS x",
        " 5' RETURN n",
        " 5'})",
        " n' RETURN n",
        " 'n'' RETURN n",
    ] {
        assert!(cut(comment), "{comment}");
    }
}

#[test]
fn a_text_is_whole_where_it_is_escaped_in_its_literals_only() {
    for text in [
        "MATCH (n) SET n.t = 'it&#39;s'",
        "MATCH (n {t: \"a%22b\"}) RETURN n",
        "MATCH (n) SET n.t = 'O%27Neil' // 5%27",
        "MATCH (n {t: '48\u{b0}12\u{2032}30\u{2033}N'}) RETURN n",
        "MATCH (n:`a%27`) RETURN n",
        "MATCH (n:A&B) WHERE n.x %27 = 0 AND n.x%20=1 RETURN n",
    ] {
        assert!(is_whole(text.as_bytes()), "{text}");
    }
    for text in [
        "MATCH%20(n)%20DETACH%20DELETE%20n",
        "MATCH (n)%20DETACH%20DELETE%20n",
        "MATCH (n) WHERE n.a=1%20OR%201%3D1 RETURN n",
        "MATCH (n) WHERE n.a = &#39;x&#39; RETURN n",
        "MATCH (n) WHERE n.a &lt; 1 RETURN n",
        "MATCH (n) SET n.t = 'x\\u0027'",
        "MATCH (n) SET n.t = 'it&#39;s",
        "\u{ff2d}ATCH (n) RETURN n",
        "it&#39;s",
    ] {
        assert!(!is_whole(text.as_bytes()), "{text}");
    }
}

#[test]
fn reach_is_found_through_blanks_comments_backticks_and_escapes() {
    for text in [
        "CALL apoc.load.json('http://h/') YIELD value RETURN value",
        "CALL apoc /**/ . load\u{2003}. `json`('x')",
        "RETURN apoc.cypher.runFirstColumnSingle('x', {})",
        "CALL ap\\u006fc.load.json('x')",
        "CALL dbms.listConfig",
        "CALL tx.setMetaData({a: 1})",
        "RETURN [1, 2][0..apoc.cypher.runFirstColumnSingle('RETURN 1', {})]",
        "MATCH (n) RETURN n.list[n.from .. dbms.cluster.role()]",
    ] {
        assert!(found(text).contains(&Finding::DeniedProcedure), "{text}");
    }
    assert!(found("LOAD /*x*/ CSV FROM 'file:///a' AS l RETURN l").contains(&Finding::LoadCsv));
}

#[test]
fn what_only_tells_of_itself_may_be_called() {
    for text in [
        "CALL db.info()",
        "RETURN apoc.version()",
        "CALL apoc.help('text')",
        "CALL tx.getMetaData()",
        "CALL db.index.fulltext.createNodeIndex('i', ['A'], ['b'])",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

/// What a list allows.
fn allowing(allow: &[&str], only: bool) -> Procedures {
    let allow = allow
        .iter()
        .map(|text| ProcedurePattern::parse(text).unwrap());
    Procedures::new(&AllowList {
        allow: allow.collect(),
        only,
    })
}

fn denied(text: &str, procedures: &Procedures) -> bool {
    read_by(text.as_bytes(), procedures)
        .1
        .has(Finding::DeniedProcedure)
}

#[test]
fn what_a_list_names_may_be_called_however_it_is_written() {
    let list = allowing(&["apoc.load.json", "dbms.components"], false);
    for text in [
        "CALL apoc.load.json('http://h/') YIELD value RETURN value",
        "CALL APOC /**/ . load\u{2003}. `Json`('x')",
        "CALL dbms.components",
    ] {
        assert!(denied(text, &Procedures::default()), "{text}");
        assert!(!denied(text, &list), "{text}");
    }
    assert!(denied("CALL apoc.load.jsonArray('x')", &list));
    // What it does is told whether it may be called or not.
    let (facts, _) = read_by(b"CALL dbms.components", &list);
    assert_eq!(facts.class, QueryClass::Admin);
}

#[test]
fn where_only_a_list_holds_nothing_else_is_called() {
    let list = allowing(&["gds.*", "apoc.coll.*", "my.proc", "alone"], true);
    for text in [
        "CALL gds.pageRank.stream('g') YIELD nodeId RETURN nodeId",
        "CALL GDS.graph . `project`('g', 'N', 'R')",
        "RETURN apoc.coll.sum([1, 2])",
        "CALL my.proc",
        "CALL alone()",
        "MATCH (n) WHERE n.name = toUpper('x') AND (n.a > 1) RETURN count(n), n.list[n.from..n.to]",
        "RETURN date.truncate('day', datetime.realtime()), point.distance(a.at, b.at)",
        "MATCH (n) CALL { WITH n RETURN 1 AS x } RETURN n.call AS call, x ORDER BY call DESC",
        "MATCH (n) CALL (n) { RETURN n.x AS x } RETURN x",
        "WITH 1 AS call WHERE call IN [1] RETURN call, (call)",
        "MATCH (c:Call) WHERE c.call = c.date RETURN c {.name, call: c.x}",
    ] {
        assert!(!denied(text, &list), "{text}");
    }
    let long = format!("RETURN my.{}(1)", "x".repeat(500));
    for text in [
        "CALL db.labels()",
        "CALL my . /* */ procedure()",
        "CALL `another`()",
        "CALL another",
        "MATCH (n) CALL another(n) YIELD x RETURN x",
        "CALL date.truncate()",
        "RETURN a.b(1)",
        "RETURN [1][0..my.other(1)]",
        "RETURN `my`.`proc`.more()",
        "CALL gds.graph.export('g', {})",
        "CALL apoc.load.json('x')",
        "RETURN m\\u0079.other(1)",
        &long,
    ] {
        assert!(denied(text, &list), "{text}");
    }
    assert!(denied(
        "CALL gds.pageRank.stream('g')",
        &allowing(&[], true)
    ));
}

#[test]
fn a_statement_found_clean_by_one_list_is_read_anew_by_another() {
    let text = "CALL apoc.load.json('http://memo/') YIELD value RETURN value";
    let (some, other) = (
        allowing(&["apoc.load.json"], false),
        allowing(&["apoc.load.json"], false),
    );
    for _ in 0..3 {
        assert!(!denied(text, &some));
        assert!(denied(text, &Procedures::default()));
        assert!(denied(text, &allowing(&["my.proc"], true)));
    }
    assert!(recall(text.as_bytes(), &some).is_some());
    // Even one that says the same is another.
    assert!(recall(text.as_bytes(), &other).is_none());
    assert!(recall(text.as_bytes(), &Procedures::default()).is_none());
}

#[test]
fn administration_is_found_at_statement_starts_only() {
    for text in [
        "SHOW USERS",
        "EXPLAIN SHOW ALL PRIVILEGES",
        "CREATE OR REPLACE USER x SET PASSWORD 'y'",
        "USE system SHOW DATABASES",
        ":server status",
        "GRANT ROLE a TO b",
    ] {
        assert!(found(text).contains(&Finding::AdminCommand), "{text}");
    }
    for text in [
        "MATCH (n:User) SET n.role = 'x'",
        "CREATE (user:User)",
        "SHOW INDEXES",
        "CREATE INDEX i FOR (n:A) ON (n.b)",
    ] {
        assert!(!found(text).contains(&Finding::AdminCommand), "{text}");
    }
}

#[test]
fn extreme_work_is_found() {
    for text in [
        "MATCH (a)-[*]-(b) RETURN a",
        "MATCH (a), (b), (c), (d), (e) RETURN count(*)",
        "UNWIND range(1, 10000) AS i UNWIND range(1, 10000) AS j RETURN i, j",
        "RETURN reduce(s = 'x', i IN range(1, 40) | s + s)",
    ] {
        assert!(found(text).contains(&Finding::ExtremeCost), "{text}");
    }
    assert!(found("MATCH (n) WHERE n.x =~ '(b+)+c' RETURN n").contains(&Finding::RegexRepetition));
    assert!(
        found(&format!("RETURN {}1{}", "(".repeat(50), ")".repeat(50))).contains(&Finding::Nesting)
    );
}

#[test]
fn classes_are_told_apart() {
    let class = |text: &str| read(text.as_bytes()).0.class;
    assert_eq!(
        class("MATCH (n) WHERE n.set = 1 RETURN n.create AS delete"),
        QueryClass::Read
    );
    assert_eq!(class("MATCH (n) SET n.x = 1"), QueryClass::Write);
    assert_eq!(
        class("CREATE VECTOR INDEX i FOR (n:A) ON n.e"),
        QueryClass::Schema
    );
    assert_eq!(class("DROP DATABASE x"), QueryClass::Admin);
}

#[test]
fn a_fingerprint_ignores_literals_comments_blanks_and_case() {
    let print = |text: &str| read(text.as_bytes()).0.fingerprint;
    assert_eq!(
        print("MATCH (n {a: 1}) RETURN n"),
        print("match (n {a:'x'}) /* c */\nreturn n;")
    );
    assert_eq!(print("RETURN [1, 2, 3]"), print("RETURN [1]"));
    assert_ne!(print("MATCH (n) RETURN n"), print("MATCH (m) RETURN m"));
}

#[test]
fn values_that_break_out_are_found() {
    for text in [
        "x' OR 1=1 //",
        "x' RETURN n //",
        "a'}) DETACH DELETE n //",
        "y\" OR \"1\"=\"1",
        "x' or 2>1 or 'x'='y",
        "z' SET u.role = 'admin' RETURN u //",
        "Robot)-[]-(x",
        "q' WITH 1 AS a CALL db.labels() YIELD label RETURN label //",
        "7 RETURN 1 AS x UNION MATCH (u:User) RETURN u.pw AS x //",
    ] {
        assert!(value(text), "{text}");
    }
}

#[test]
fn values_that_only_quote_are_left_alone() {
    for text in [
        "'yes', 'no' or 'maybe'",
        "load csv tutorial",
        "Rock 'n' roll and match (sticks)",
        "She said \"with love\", and set off (see https://example.com/a)",
        "it's; the union and return of O'Brien (2 of 3)",
        "(x)-->(y)",
        "5' 11\" or taller",
        "a) first b) set the table c) return home",
    ] {
        assert!(!value(text), "{text}");
    }
}

#[test]
fn statements_are_told_from_prose() {
    assert!(is_statement(b"// x\nMATCH (n) RETURN n", false));
    assert!(is_statement(b"RETURN 1", true));
    assert!(!is_statement(b"Return to sender", false));
    assert!(!is_statement(b"Match me if you can", false));
    assert!(!is_statement(b"graph databases", true));
}

proptest! {
    #[test]
    fn no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&text);
        let mut findings = Findings::default();
        value::collect(&text, &mut findings);
    }

    #[test]
    fn no_order_of_tokens_panics(words in proptest::collection::vec(proptest::sample::select(vec![
        "MATCH", "(", ")", "[", "]", "{", "}", "-", "*", "..", "1", "'x'", "'", "OR", "=", "n", ".", ":", "WHERE",
        "RETURN", "UNION", "CALL", "apoc", "range", "//", "/*", "*/", "\n", "USE", "CYPHER", "=~", "+", "`",
    ]), 0..60)) {
        let _ = read(words.join(" ").as_bytes());
        let _ = is_statement(words.join(" ").as_bytes(), true);
    }

    #[test]
    fn blanks_comments_and_case_do_not_hide_a_tautology(
        blank in proptest::sample::select(vec![" ", "\t", "\n", "/**/", " /* x */ ", "\u{2003}"]),
        or in proptest::sample::select(vec!["OR", "or", "oR", "XOR"]),
        n in 0_u32..1000,
    ) {
        let text = format!("MATCH (u) WHERE u.n = ''{blank}{or}{blank}{n}{blank}={blank}{n}{blank}RETURN u");
        prop_assert!(found(&text).contains(&Finding::Tautology));
    }
}
