//! Typed values out of the tree, each with its place and key path.
//!
//! [`super::shape`] has struck every node of a wrong shape before, so what is read here is either
//! right or absent; an absent key keeps its default. Serde does the mapping to the file's structs.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::{Serialize, Serializer};

use super::findings::Spot;
use super::tree::{Node, Value};

/// The newtype by which [`Placed`] asks the tree for the place.
const PLACED: &str = "rg_gateway::Placed";

/// A value of the file, or its default.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands; `None` for a default.
    pub(super) spot: Option<Spot>,
    /// Its key path; empty for a default.
    pub(super) path: String,
}

impl<T> Placed<T> {
    /// A value the file does not name.
    pub(super) fn default_of(value: T) -> Self {
        Self {
            value,
            spot: None,
            path: String::new(),
        }
    }

    /// Whether the file names this value.
    pub(super) fn stands_in_file(&self) -> bool {
        self.spot.is_some()
    }

    /// Where the value stands, or where the file begins.
    pub(super) fn spot(&self) -> Spot {
        self.spot.unwrap_or(Spot::FILE_START)
    }
}

impl<T: Default> Default for Placed<T> {
    fn default() -> Self {
        Self::default_of(T::default())
    }
}

impl<T: Serialize> Serialize for Placed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Placed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Placed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(PLACED, PlacedVisitor(PhantomData))
    }
}

struct PlacedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlacedVisitor<T> {
    type Value = Placed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the configuration tree")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Placed<T>, A::Error> {
        let incomplete = || de::Error::custom("a placed value has four parts");
        let line = parts.next_element()?.ok_or_else(incomplete)?;
        let column = parts.next_element()?.ok_or_else(incomplete)?;
        let path = parts.next_element()?.ok_or_else(incomplete)?;
        let value = parts.next_element()?.ok_or_else(incomplete)?;
        Ok(Placed {
            value,
            spot: Some(Spot { line, column }),
            path,
        })
    }
}

/// Why a tree of the right shape could not be read; its like is a mistake of ours.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(String);

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(cause: T) -> Self {
        Self(cause.to_string())
    }
}

/// Reads a typed value out of the tree.
pub(super) fn read<T: for<'de> Deserialize<'de>>(root: &Node) -> Result<T, Unreadable> {
    T::deserialize(NodeReader {
        node: root,
        path: String::new(),
    })
}

/// The key path of an entry of a mapping.
pub(super) fn entry_path(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The key path of an item of a list.
pub(super) fn item_path(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

struct NodeReader<'t> {
    node: &'t Node,
    path: String,
}

impl<'de> Deserializer<'de> for NodeReader<'de> {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Whole(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i128(*value),
            },
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(Items {
                items: items.iter().enumerate(),
                path: &self.path,
            }),
            Value::Map(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                value: None,
                path: &self.path,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        if name == PLACED {
            return visitor.visit_seq(Parts {
                node: self.node,
                path: self.path,
                next: 0,
            });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        let Value::Text(word) = &self.node.value else {
            return Err(de::Error::custom("a choice is not text"));
        };
        visitor.visit_enum(word.as_str().into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Line, column, path and value of a [`Placed`].
struct Parts<'t> {
    node: &'t Node,
    path: String,
    next: u8,
}

impl<'de> SeqAccess<'de> for Parts<'de> {
    type Error = Unreadable;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unreadable> {
        self.next += 1;
        let part = match self.next {
            1 => seed.deserialize(self.node.spot.line.into_deserializer()),
            2 => seed.deserialize(self.node.spot.column.into_deserializer()),
            3 => seed.deserialize(StrDeserializer::new(&self.path)),
            4 => seed.deserialize(NodeReader {
                node: self.node,
                path: std::mem::take(&mut self.path),
            }),
            _ => return Ok(None),
        };
        part.map(Some)
    }
}

/// A list without its struck items; those that stay keep their index in the file.
struct Items<'t, 'p> {
    items: std::iter::Enumerate<std::slice::Iter<'t, Node>>,
    path: &'p str,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Unreadable;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unreadable> {
        let item = self.items.find(|(_, node)| !node.struck.get());
        item.map(|(index, node)| {
            let path = item_path(self.path, index);
            seed.deserialize(NodeReader { node, path })
        })
        .transpose()
    }
}

/// A mapping without its struck entries.
struct Entries<'t, 'p> {
    entries: std::slice::Iter<'t, (super::tree::Key, Node)>,
    value: Option<NodeReader<'t>>,
    path: &'p str,
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Unreadable;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unreadable> {
        let Some((key, node)) = self.entries.find(|(_, node)| !node.struck.get()) else {
            return Ok(None);
        };
        let path = entry_path(self.path, &key.text);
        self.value = Some(NodeReader { node, path });
        seed.deserialize(StrDeserializer::new(&key.text)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Unreadable> {
        let Some(reader) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(reader)
    }
}
