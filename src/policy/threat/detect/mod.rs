//! What code finds in values: the findings that patterns cannot express.

mod address;
mod html;
mod script;
mod sql;
mod sql_tokens;
mod structure;

use super::bytes;
use super::context::Context;
use super::predicate::Found;

pub(super) use structure::{GRAPHQL_BATCH_MAX, doctype, graphql, is_graphql, key, path};

/// Bytes of a value the tokenisers read; literals and patterns read all of it.
const VALUE_BYTES_MAX: usize = 16_384;

/// Runs the detectors a value's bytes call for.
pub(super) fn value(text: &[u8], classes: u16, context: Context, name: Option<&[u8]>, found: &mut Found) {
    let head = text.get(..text.len().min(VALUE_BYTES_MAX)).unwrap_or_default();
    let has = |class: u16| classes & class != 0;
    if has(bytes::QUOTE | bytes::BRACKET | bytes::SIGN) || has(bytes::BLANK) && has(bytes::DIGIT | bytes::LINE) {
        sql::find(head, found);
    }
    if has(bytes::ANGLE) {
        html::find(text, found);
    }
    if has(bytes::QUOTE | bytes::SIGN) {
        html::find_attribute(head, found);
    }
    if text.contains(&b':') || text.starts_with(b"//") {
        script::find(head, found);
    }
    structure::climb(head, found);
    if context != Context::UserAgent {
        address::find(head, context, name, found);
    }
}
