//! YAML text as a tree in which every key and value knows its place.
//!
//! The tree is bounded before it is built: file size, nesting, nodes, aliases. It keeps duplicate
//! keys, so that they can be reported with both places; what the keys mean is not decided here.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Spanned};

use super::findings::{Findings, Spot, shown};

/// Nested lists and mappings; the deepest key of the file shape stands at 6.
const DEPTH_MAX: usize = 16;
/// Keys and values of one file, aliases expanded. Some 5,000 routes.
const NODES_MAX: usize = 100_000;
/// Anchors, aliases and merge keys of one file.
const ALIASES_MAX: usize = 1_000;
/// Keys and values that aliases stand for, all together.
const ALIASED_NODES_MAX: usize = 10_000;

/// A value and where it stands.
pub(super) struct Node {
    /// Where the value begins.
    pub(super) spot: Spot,
    /// What stands there.
    pub(super) value: Value,
    /// Set once the value was reported as wrong: later readers pass it over.
    pub(super) struck: Cell<bool>,
}

/// The YAML core types.
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Whole(i128),
    /// Any other number.
    Float(f64),
    /// Text, plain or quoted.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in file order, duplicate keys included.
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping's entry.
pub(super) struct Key {
    /// Where the key begins.
    pub(super) spot: Spot,
    /// The key itself.
    pub(super) text: String,
}

/// Reads the text, or reports why it is no YAML and gives nothing.
pub(super) fn read(text: &str, findings: &mut Findings) -> Option<Node> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_merge_keys: ALIASES_MAX,
            max_documents: 1,
            flow_nesting_limit: DEPTH_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: ALIASED_NODES_MAX,
            max_replay_stack_depth: DEPTH_MAX,
            max_alias_expansions_per_anchor: ALIASES_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Merge,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(node) => Some(node),
        Err(error) => {
            let error = error.without_snippet();
            let spot = error.location().map_or(Spot::FILE_START, Spot::from);
            findings.error(spot, "", cause_of(error));
            None
        }
    }
}

/// Why the text is no YAML, or none within the bounds.
fn cause_of(error: &serde_saphyr::Error) -> String {
    let too_many = |max: usize, of: &str| format!("must have at most {max} {of}");
    match error {
        serde_saphyr::Error::Budget { breach, .. } => match breach {
            BudgetBreach::Documents { .. } => "must be one YAML document".to_owned(),
            BudgetBreach::Depth { .. } => too_many(DEPTH_MAX, "levels of nesting"),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
                too_many(NODES_MAX, "keys and values, aliases expanded")
            }
            _ => too_many(ALIASES_MAX, "anchors, aliases and merge keys"),
        },
        error => {
            let text = error.to_string();
            // The place stands before the message already.
            let cause = text.split(" at line ").next().unwrap_or(&text);
            in_our_words(cause).unwrap_or_else(|| format!("not valid YAML: {}", shown(cause)))
        }
    }
}

/// What the parser says of a bound, said as the other bounds are; its words for all else are good.
fn in_our_words(cause: &str) -> Option<String> {
    if cause.starts_with("recursion limit") {
        Some(format!("must have at most {DEPTH_MAX} levels of nesting"))
    } else if cause.starts_with("alias replay limit") {
        let what = "keys and values by aliases";
        Some(format!("must have at most {ALIASED_NODES_MAX} {what}"))
    } else if cause.starts_with("recursive references") {
        Some("an alias must not stand within its own anchor".to_owned())
    } else if cause.starts_with("expected string scalar")
        || cause.starts_with("cannot deserialize null")
    {
        // The tree asks for text only where a key stands.
        Some("every key must be text".to_owned())
    } else {
        None
    }
}

impl From<Location> for Spot {
    fn from(location: Location) -> Self {
        let at_least_one = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        Self {
            line: at_least_one(location.line()),
            column: at_least_one(location.column()),
        }
    }
}

impl Node {
    fn new(spanned: Spanned<Value>) -> Self {
        Self {
            spot: spanned.referenced.into(),
            value: spanned.value,
            struck: Cell::new(false),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self::new)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Whole(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let spot = key.referenced.into();
            let text = key.value;
            map.push((Key { spot, text }, entries.next_value()?));
        }
        Ok(Value::Map(map))
    }
}
