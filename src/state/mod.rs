//! State that outlives a request: penalties of callers, bytes held.

mod held;
pub mod penalties;

pub use held::HeldBytes;
pub use penalties::Penalties;
