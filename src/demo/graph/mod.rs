//! A property graph in memory, and the evaluation of a plan on it.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::cypher::{Column, Condition, Match, NodePattern, Plan, Term};

/// Nodes a graph may hold; CREATE is refused beyond.
const NODES_MAX: usize = 100_000;

/// Rows matched at most; the rest is left out and the answer says so.
const ROWS_MAX: usize = 10_000;

/// Nodes and the directed edges between them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// From, kind, to; ends are places in `nodes`.
    edges: Vec<(usize, &'static str, usize)>,
}

#[derive(Debug)]
struct Node {
    label: String,
    properties: Map<String, Value>,
}

/// What a statement answers.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
    pub(super) nodes_created: usize,
    pub(super) truncated: bool,
}

/// One match: the names of a pattern and the node each stands for.
type Bound<'g> = [(&'g str, Option<&'g Node>); 2];

impl Graph {
    /// People who know each other and the companies they work at.
    pub(super) fn social() -> Self {
        const PEOPLE: [(&str, i64, &str); 8] = [
            ("Ada", 36, "London"),
            ("Grace", 45, "New York"),
            ("Alan", 41, "London"),
            ("Edsger", 52, "Rotterdam"),
            ("Barbara", 39, "Los Angeles"),
            ("Donald", 60, "Milwaukee"),
            ("Radia", 33, "Portsmouth"),
            ("Leslie", 47, "New York"),
        ];
        const COMPANIES: [(&str, &str); 2] = [("Analytical", "London"), ("Compilers", "New York")];
        let mut nodes = Vec::new();
        for (name, age, city) in PEOPLE {
            nodes.push(Node::new(
                "Person",
                json!({"name": name, "age": age, "city": city}),
            ));
        }
        for (name, city) in COMPANIES {
            nodes.push(Node::new("Company", json!({"name": name, "city": city})));
        }
        let people = PEOPLE.len();
        let knows = (0..people).flat_map(|a| [(a, (a + 1) % people), (a, (a + 3) % people)]);
        let works = (0..people).map(|a| (a, "WORKS_AT", people + a % COMPANIES.len()));
        let edges = knows.map(|(a, b)| (a, "KNOWS", b)).chain(works).collect();
        Self { nodes, edges }
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn edges(&self) -> usize {
        self.edges.len()
    }

    /// Carries a statement out.
    pub(super) fn run(&mut self, plan: Plan) -> Result<Table, String> {
        match plan {
            Plan::Create(pattern) => self.create(pattern),
            Plan::Match(matching) => self.select(&matching),
        }
    }

    fn create(&mut self, pattern: NodePattern) -> Result<Table, String> {
        if self.nodes.len() >= NODES_MAX {
            return Err(format!("the graph holds no more than {NODES_MAX} nodes"));
        }
        self.nodes.push(Node {
            label: pattern.label.ok_or("CREATE needs a label")?,
            properties: pattern.properties,
        });
        Ok(Table {
            nodes_created: 1,
            ..Table::default()
        })
    }

    fn select(&self, matching: &Match) -> Result<Table, String> {
        let names = [
            Some(&matching.left),
            matching.edge.as_ref().map(|edge| &edge.right),
        ]
        .map(|pattern| pattern.map_or("", |pattern| &*pattern.name));
        let used = matching.columns.iter().filter_map(Column::name);
        let mut used = used.chain(matching.conditions.iter().map(|c| &*c.name));
        if let Some(unknown) = used.find(|name| !names.contains(name)) {
            return Err(format!("nothing is named so in the pattern: {unknown}"));
        }
        let mut matches = self.matches(matching);
        let bound: Vec<Bound<'_>> = matches.by_ref().take(ROWS_MAX).collect();
        let mut rows = project(&matching.columns, &bound);
        if let Some((place, descending)) = matching.order {
            rows.sort_by(|a, b| {
                let order = compare(a.get(place), b.get(place)).unwrap_or(Ordering::Equal);
                if descending { order.reverse() } else { order }
            });
        }
        rows.truncate(matching.limit.unwrap_or(ROWS_MAX));
        Ok(Table {
            columns: matching.columns.iter().map(|c| c.title.clone()).collect(),
            rows,
            nodes_created: 0,
            truncated: matches.next().is_some(),
        })
    }

    /// Every binding of the pattern that meets all conditions, one at a time.
    fn matches<'g>(&'g self, matching: &'g Match) -> Box<dyn Iterator<Item = Bound<'g>> + 'g> {
        let left_name = &*matching.left.name;
        let bindings: Box<dyn Iterator<Item = Bound<'g>> + 'g> = match &matching.edge {
            None => Box::new(
                self.nodes
                    .iter()
                    .map(move |n| [(left_name, Some(n)), ("", None)]),
            ),
            Some(edge) => Box::new(
                self.edges
                    .iter()
                    .filter(|(_, kind, _)| edge.kind.as_ref().is_none_or(|k| k == kind))
                    .map(move |(from, _, to)| {
                        let (left, right) = if edge.backwards {
                            (to, from)
                        } else {
                            (from, to)
                        };
                        let right_name = &*edge.right.name;
                        [
                            (left_name, self.nodes.get(*left)),
                            (right_name, self.nodes.get(*right)),
                        ]
                    }),
            ),
        };
        let right = matching.edge.as_ref().map(|edge| &edge.right);
        let patterns = [Some(&matching.left), right];
        Box::new(bindings.filter(move |bound| {
            let fits = |(pattern, (_, node)): (&Option<&NodePattern>, &(_, Option<&Node>))| {
                pattern.is_none_or(|pattern| node.is_some_and(|node| node.fits(pattern)))
            };
            patterns.iter().zip(bound).all(fits)
                && matching
                    .conditions
                    .iter()
                    .all(|condition| condition.holds(bound))
        }))
    }
}

impl Node {
    fn new(label: &str, properties: Value) -> Self {
        let properties = match properties {
            Value::Object(properties) => properties,
            _ => Map::new(),
        };
        Self {
            label: label.to_owned(),
            properties,
        }
    }

    fn fits(&self, pattern: &NodePattern) -> bool {
        let mut wanted = pattern.properties.iter();
        pattern
            .label
            .as_ref()
            .is_none_or(|label| *label == self.label)
            && wanted.all(|(key, value)| {
                compare(self.properties.get(key), Some(value)) == Some(Ordering::Equal)
            })
    }
}

/// The node a name stands for.
fn node<'g>(bound: &Bound<'g>, name: &str) -> Option<&'g Node> {
    bound.iter().find(|(bound_name, _)| *bound_name == name)?.1
}

fn property<'g>(bound: &Bound<'g>, name: &str, key: &str) -> Option<&'g Value> {
    node(bound, name)?.properties.get(key)
}

impl Condition {
    /// A comparison with something absent or of another type holds never, as in Cypher.
    fn holds(&self, bound: &Bound<'_>) -> bool {
        let actual = property(bound, &self.name, &self.key);
        if self.operator == "CONTAINS" {
            let texts = actual.and_then(Value::as_str).zip(self.value.as_str());
            return texts.is_some_and(|(text, part)| text.contains(part));
        }
        compare(actual, Some(&self.value)).is_some_and(|order| match &*self.operator {
            "=" => order.is_eq(),
            "<>" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            _ => order.is_ge(),
        })
    }
}

impl Column {
    /// The pattern's name this column needs.
    fn name(&self) -> Option<&str> {
        match &self.term {
            Term::Node(name) | Term::Property(name, _) => Some(name),
            Term::Count => None,
        }
    }

    fn value(&self, bound: &Bound<'_>) -> Value {
        match &self.term {
            Term::Node(name) => node(bound, name).map_or(
                Value::Null,
                |node| json!({"label": node.label, "properties": node.properties}),
            ),
            Term::Property(name, key) => property(bound, name, key).cloned().unwrap_or(Value::Null),
            Term::Count => json!(1),
        }
    }
}

/// Makes rows of matches; with a count among the columns, the others are what is counted by.
fn project(columns: &[Column], matches: &[Bound<'_>]) -> Vec<Vec<Value>> {
    let row = |bound| columns.iter().map(|column| column.value(bound)).collect();
    let is_count = |column: &Column| matches!(column.term, Term::Count);
    if !columns.iter().any(is_count) {
        return matches.iter().map(row).collect();
    }
    let mut groups: Vec<(Vec<Value>, usize)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    if columns.iter().all(is_count) {
        groups.push((columns.iter().map(|_| json!(1)).collect(), 0));
        places.insert(json!(vec![1; columns.len()]).to_string(), 0);
    }
    for values in matches.iter().map(row) {
        let place = *places
            .entry(json!(values).to_string())
            .or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => groups.push((values, 1)),
        }
    }
    let counted = |(values, count): (Vec<Value>, usize)| {
        let pairs = columns.iter().zip(values);
        pairs
            .map(|(column, value)| {
                if is_count(column) {
                    json!(count)
                } else {
                    value
                }
            })
            .collect()
    };
    groups.into_iter().map(counted).collect()
}

/// Orders two values of one type; different types have no order.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Option<Ordering> {
    match (a?, b?) {
        (Value::Number(a), Value::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
