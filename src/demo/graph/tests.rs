use super::super::cypher::plan;
use super::*;

fn run(graph: &mut Graph, text: &str) -> Result<Table, String> {
    let parameters = json!({"city": "London", "age": 40});
    graph.run(plan(text, parameters.as_object().unwrap())?)
}

fn rows(text: &str) -> Value {
    json!(run(&mut Graph::social(), text).unwrap().rows)
}

#[test]
fn the_statements_of_the_subset_answer_what_they_ask() {
    for (text, expected) in [
        ("MATCH (n:Person {name: 'Ada'}) RETURN n.age", json!([[36]])),
        (
            "match (n:Person {city: $city}) return n.name order by n.name",
            json!([["Ada"], ["Alan"]]),
        ),
        ("MATCH (n:Person) RETURN count(n)", json!([[8]])),
        ("MATCH (n) RETURN count(*) AS all", json!([[10]])),
        ("MATCH (n:Ghost) RETURN count(n)", json!([[0]])),
        (
            "MATCH (n:Person) WHERE n.age > $age AND n.city = 'New York' RETURN n.name ORDER BY n.name DESC;",
            json!([["Leslie"], ["Grace"]]),
        ),
        (
            "MATCH (a:Person {name: \"Ada\"})-[:KNOWS]->(b:Person) RETURN b.name ORDER BY b.name",
            json!([["Edsger"], ["Grace"]]),
        ),
        (
            "MATCH (c:Company)<-[w:WORKS_AT]-(p:Person) RETURN c.name AS name, count(p) ORDER BY name",
            json!([["Analytical", 4], ["Compilers", 4]]),
        ),
        (
            "MATCH (n:Person) WHERE n.name CONTAINS 'ara' RETURN n.name",
            json!([["Barbara"]]),
        ),
        ("MATCH (n:Person) WHERE n.age = '36' RETURN n", json!([])),
        (
            "MATCH (n:Person) RETURN n.name, n.height ORDER BY n.name LIMIT 1",
            json!([["Ada", null]]),
        ),
        (
            "MATCH (n:Company {name: 'Analytical'}) RETURN n",
            json!([[{"label": "Company", "properties": {"name": "Analytical", "city": "London"}}]]),
        ),
    ] {
        assert_eq!(rows(text), expected, "{text}");
    }
}

#[test]
fn a_created_node_is_found() {
    let mut graph = Graph::social();
    let made = run(
        &mut graph,
        "CREATE (n:Person {name: 'Tim', age: -1.5, at: $city})",
    )
    .unwrap();
    assert_eq!((made.nodes_created, graph.nodes()), (1, 11));
    let found = run(&mut graph, "MATCH (n {name: 'Tim'}) RETURN n.age, n.at").unwrap();
    assert_eq!(json!(found.rows), json!([[-1.5, "London"]]));
}

#[test]
fn what_is_not_understood_is_refused_with_a_reason() {
    for (text, reason) in [
        ("", "expected MATCH or CREATE"),
        ("DROP everything", "expected MATCH or CREATE"),
        ("MATCH (n:Person RETURN n", "expected `)`"),
        (
            "MATCH (n:Person) RETURN m.name",
            "nothing is named so in the pattern: m",
        ),
        (
            "MATCH (n) WHERE n.age ~ 3 RETURN n",
            "unexpected character: ~",
        ),
        (
            "MATCH (n) WHERE n.age > $nope RETURN n",
            "the parameter has no value: nope",
        ),
        ("MATCH (n {name: 'Ada) RETURN n", "a string is not closed"),
        (
            "MATCH (n) RETURN n.name ORDER BY n.age",
            "ORDER BY wants a returned column: n.age",
        ),
        (
            "MATCH (n) RETURN n LIMIT -1",
            "expected a number of rows after LIMIT",
        ),
        (
            "MATCH (n) RETURN n; MATCH (m) RETURN m",
            "unexpected after the statement",
        ),
        ("CREATE (n {name: 'x'})", "CREATE needs a label"),
    ] {
        let refused = run(&mut Graph::social(), text).unwrap_err();
        assert!(refused.starts_with(reason), "{text}: {refused}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[A-Za-z0-9(){}:,.'$<>=*; é\\[\\]-]{0,60}") {
        let _ = run(&mut Graph::social(), &text);
        let _ = run(&mut Graph::social(), &format!("MATCH (n) {text} RETURN n"));
    }
}
