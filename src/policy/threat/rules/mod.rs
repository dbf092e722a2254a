//! Rules: how they are written ([`file`]), checked and compiled ([`compile`]), and matched ([`set`]).

mod compile;
mod file;
mod set;
mod timer;

pub(super) use compile::compile;
pub(super) use set::{Hit, RuleSet, Run};
pub(super) use timer::Timer;
