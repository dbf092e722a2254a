//! The few Cypher statements the demo upstream knows, read into a plan.
//!
//! ```text
//! MATCH (a[:Label] [{key: value, …}]) [-[:KIND]->(b…) | <-[:KIND]-(b…)]
//!   [WHERE a.key op value [AND …]] RETURN a | a.key | count(a|*) [AS name], …
//!   [ORDER BY column [DESC]] [LIMIT n]
//! CREATE (a:Label {key: value, …})
//! ```
//! A value is a string (without escapes), number, `true`, `false`, `null` or `$parameter`; `op` one of
//! `= <> < <= > >= CONTAINS`. Everything else is refused with what was expected.

use std::iter::Peekable;
use std::vec::IntoIter;

use serde_json::{Map, Value};

/// Longest statement read, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A statement, its parameters filled in.
#[derive(Debug)]
pub(super) enum Plan {
    Match(Match),
    Create(NodePattern),
}

#[derive(Debug)]
pub(super) struct Match {
    pub(super) left: NodePattern,
    pub(super) edge: Option<EdgePattern>,
    pub(super) conditions: Vec<Condition>,
    pub(super) columns: Vec<Column>,
    /// A column's place, and whether the greatest comes first.
    pub(super) order: Option<(usize, bool)>,
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct NodePattern {
    pub(super) name: String,
    pub(super) label: Option<String>,
    pub(super) properties: Map<String, Value>,
}

#[derive(Debug)]
pub(super) struct EdgePattern {
    pub(super) kind: Option<String>,
    /// Whether the edge points from the right node to the left one.
    pub(super) backwards: bool,
    pub(super) right: NodePattern,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) operator: String,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: String,
    pub(super) term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Node(String),
    Property(String, String),
    Count,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// Identifiers and keywords.
    Word(String),
    Literal(Value),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 20] = [
    "<-[", "]->", "-[", "]-", "<>", "<=", ">=", "(", ")", "{", "}", ":", ",", ".", "=", "<", ">",
    "*", "$", ";",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            found.push(Token::Symbol(symbol));
            symbol.len()
        } else if first == '\'' || first == '"' {
            let inside = rest.get(1..).unwrap_or_default();
            let end = inside.find(first).ok_or("a string is not closed")?;
            let string = inside.get(..end).unwrap_or_default();
            found.push(Token::Literal(string.into()));
            end + 2
        } else {
            let (token, length) = word_or_number(rest, first)?;
            found.push(token);
            length
        };
        rest = rest.get(length..).unwrap_or_default().trim_start();
    }
    Ok(found)
}

/// The word, literal name or number that `text` begins with, and its length in bytes.
fn word_or_number(text: &str, first: char) -> Result<(Token, usize), String> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let part_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let is_number = first.is_ascii_digit() || first == '-';
    if !is_number && !part_of_word(first) {
        return Err(format!("unexpected character: {first}"));
    }
    let belongs = |c| {
        if is_number {
            part_of_number(c)
        } else {
            part_of_word(c)
        }
    };
    let first_bytes = first.len_utf8();
    let tail = text.get(first_bytes..).unwrap_or_default();
    let length = first_bytes + tail.find(|c| !belongs(c)).unwrap_or(tail.len());
    let word = text.get(..length).unwrap_or_default();
    let token = match serde_json::from_str(&word.to_ascii_lowercase()) {
        Ok(literal) => Token::Literal(literal),
        Err(_) if is_number => return Err(format!("not a number: {word}")),
        Err(_) => Token::Word(word.to_owned()),
    };
    Ok((token, length))
}

/// Reads a statement; the error says what was expected.
pub(super) fn plan(text: &str, parameters: &Map<String, Value>) -> Result<Plan, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("the query is longer than {TEXT_BYTES_MAX} bytes"));
    }
    let tokens = tokens(text)?.into_iter().peekable();
    let mut parser = Parser { tokens, parameters };
    let plan = if parser.keyword("CREATE") {
        Plan::Create(parser.node()?)
    } else if parser.keyword("MATCH") {
        Plan::Match(parser.matching()?)
    } else {
        return Err("expected MATCH or CREATE".to_owned());
    };
    parser.symbol(";");
    match parser.tokens.next() {
        None => Ok(plan),
        Some(token) => Err(format!("unexpected after the statement: {token:?}")),
    }
}

struct Parser<'a> {
    tokens: Peekable<IntoIter<Token>>,
    parameters: &'a Map<String, Value>,
}

impl Parser<'_> {
    fn matching(&mut self) -> Result<Match, String> {
        let left = self.node()?;
        let edge = self.edge()?;
        let mut conditions = Vec::new();
        if self.keyword("WHERE") {
            conditions.push(self.condition()?);
            while self.keyword("AND") {
                conditions.push(self.condition()?);
            }
        }
        if !self.keyword("RETURN") {
            return Err("expected RETURN".to_owned());
        }
        let mut columns = vec![self.column()?];
        while self.symbol(",") {
            columns.push(self.column()?);
        }
        let order = self.order(&columns)?;
        let limit = if self.keyword("LIMIT") {
            let value = self.value()?.as_u64();
            let value = value.ok_or("expected a number of rows after LIMIT")?;
            Some(usize::try_from(value).unwrap_or(usize::MAX))
        } else {
            None
        };
        Ok(Match {
            left,
            edge,
            conditions,
            columns,
            order,
            limit,
        })
    }

    fn node(&mut self) -> Result<NodePattern, String> {
        self.expect("(")?;
        let mut node = NodePattern {
            name: self.word().unwrap_or_default(),
            ..NodePattern::default()
        };
        if self.symbol(":") {
            node.label = Some(self.word().ok_or("expected a label after `:`")?);
        }
        if self.symbol("{") && !self.symbol("}") {
            loop {
                let key = self.word().ok_or("expected a property name")?;
                self.expect(":")?;
                node.properties.insert(key, self.value()?);
                if !self.symbol(",") {
                    break;
                }
            }
            self.expect("}")?;
        }
        self.expect(")")?;
        Ok(node)
    }

    fn edge(&mut self) -> Result<Option<EdgePattern>, String> {
        let backwards = self.symbol("<-[");
        if !backwards && !self.symbol("-[") {
            return Ok(None);
        }
        self.word();
        let kind = if self.symbol(":") {
            Some(
                self.word()
                    .ok_or("expected a relationship type after `:`")?,
            )
        } else {
            None
        };
        self.expect(if backwards { "]-" } else { "]->" })?;
        let right = self.node()?;
        Ok(Some(EdgePattern {
            kind,
            backwards,
            right,
        }))
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let name = self
            .word()
            .ok_or("expected a condition such as n.age > 30")?;
        self.expect(".")?;
        let key = self.word().ok_or("expected a property name after `.`")?;
        let operator = match self.tokens.next() {
            Some(Token::Symbol(symbol @ ("=" | "<>" | "<" | "<=" | ">" | ">="))) => {
                symbol.to_owned()
            }
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("CONTAINS") => {
                "CONTAINS".to_owned()
            }
            _ => return Err("expected one of = <> < <= > >= CONTAINS".to_owned()),
        };
        let value = self.value()?;
        Ok(Condition {
            name,
            key,
            operator,
            value,
        })
    }

    fn column(&mut self) -> Result<Column, String> {
        let word = self.word().ok_or("expected something to return")?;
        let (mut title, term) = if word.eq_ignore_ascii_case("count") && self.symbol("(") {
            let counted = if self.symbol("*") { None } else { self.word() };
            self.expect(")")?;
            (
                format!("count({})", counted.as_deref().unwrap_or("*")),
                Term::Count,
            )
        } else if self.symbol(".") {
            let key = self.word().ok_or("expected a property name after `.`")?;
            (format!("{word}.{key}"), Term::Property(word, key))
        } else {
            (word.clone(), Term::Node(word))
        };
        if self.keyword("AS") {
            title = self.word().ok_or("expected a name after AS")?;
        }
        Ok(Column { title, term })
    }

    fn order(&mut self, columns: &[Column]) -> Result<Option<(usize, bool)>, String> {
        if !self.keyword("ORDER") {
            return Ok(None);
        }
        if !self.keyword("BY") {
            return Err("expected BY after ORDER".to_owned());
        }
        let title = self.column()?.title;
        let place = columns.iter().position(|column| column.title == title);
        let place = place.ok_or_else(|| format!("ORDER BY wants a returned column: {title}"))?;
        let descending = self.keyword("DESC");
        if !descending {
            self.keyword("ASC");
        }
        Ok(Some((place, descending)))
    }

    fn value(&mut self) -> Result<Value, String> {
        match self.tokens.next() {
            Some(Token::Literal(value)) => Ok(value),
            Some(Token::Symbol("$")) => {
                let name = self.word().ok_or("expected a parameter name after `$`")?;
                let value = self.parameters.get(&name).cloned();
                value.ok_or_else(|| format!("the parameter has no value: {name}"))
            }
            _ => Err("expected a value".to_owned()),
        }
    }

    fn word(&mut self) -> Option<String> {
        match self
            .tokens
            .next_if(|token| matches!(token, Token::Word(_)))?
        {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let is_it =
            |t: &Token| matches!(t, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.tokens.next_if(is_it).is_some()
    }

    fn symbol(&mut self, symbol: &'static str) -> bool {
        self.tokens
            .next_if(|token| *token == Token::Symbol(symbol))
            .is_some()
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), String> {
        match self.symbol(symbol) {
            true => Ok(()),
            false => Err(format!("expected `{symbol}`")),
        }
    }
}
