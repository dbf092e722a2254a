//! Who asks, and whether they may: the key's format, its digest, the caller, the refusals.
//!
//! A request meets these files in this order: [`present`] finds the one key in the headers,
//! [`parse`] rejects a mistyped one by its checksum without any look-up, the key view finds the
//! [`Caller`] by [`Digest`], and [`authorise`] holds the caller against what the route needs.
//!
//! Everything here is pure: no I/O, no clock, no randomness of its own. Storage is `keys/`.

mod authorise;
mod caller;
mod digest;
mod grants;
mod key_format;
mod present;
mod refusal;

pub use authorise::{Need, authorise};
pub use caller::{Caller, KeyState};
pub use digest::{Digest, Pepper};
pub use grants::{GrantError, GraphAccess, Networks, Scope, ScopeSet};
pub use key_format::{
    Environment, KEY_BYTES, KeyId, Malformed, ParsedKey, has_our_prefix, mint, parse,
};
pub use present::{KEY_BYTES_MAX, Presented, PresentedBy, is_presentable, present};
pub use refusal::AuthRefusal;
