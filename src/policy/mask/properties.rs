//! What holds of masking for any bytes: a fuzz target and the property tests assert this.

use super::{hidden, part, path, replaced, text};
use crate::policy::auth::{Environment, mint};

/// The quick look passes by nothing that the long one takes out, and a key among anything is taken out.
pub fn masking(bytes: &[u8]) {
    let around = String::from_utf8_lossy(bytes);
    let at_length = replaced(around.as_bytes(), &hidden(around.as_bytes(), b""));
    let at_length = String::from_utf8_lossy(&at_length);
    assert_eq!(text(&around), at_length, "{around:?} passed by");
    path(&around, None);
    part(bytes, bytes.len() / 3..bytes.len() / 2, b"name");
    let key = mint(Environment::Test, &[7; 32]).1;
    let kept = text(&format!("{around} {key} {around}")).into_owned();
    assert!(!kept.contains(&key), "{around:?} shows a key");
}
