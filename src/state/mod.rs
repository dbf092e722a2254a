//! State that outlives a request: penalties of callers, bytes held.

mod held;
mod penalties;

pub use held::HeldBytes;
pub use penalties::{Penalties, Penalty};
