//! What is remembered of one-time codes, by key.

use std::collections::HashMap;
use std::sync::Arc;

use crate::now::Now;
use crate::policy::penalty::Terms;
use crate::policy::totp::{Codes, Presented, TotpSecret};

/// Keys whose codes are remembered. Only keys with an authenticator get here; beyond it codes are
/// refused as if closed for a minute: fail closed.
const KEYS_MAX: usize = 65_536;
/// How long a key waits that found no room.
const NO_ROOM_MICROS: i64 = 60_000_000;

/// The codes of every key that presented one lately.
#[derive(Debug, Default)]
pub(super) struct CodeBook(HashMap<Arc<str>, Codes>);

impl CodeBook {
    pub(super) fn of(codes: Vec<(Arc<str>, Codes)>) -> Self {
        Self(codes.into_iter().collect())
    }

    pub(super) fn present(
        &mut self,
        key_id: &Arc<str>,
        secret: &TotpSecret,
        code: &[u8],
        terms: &Terms,
        now: Now,
    ) -> Presented {
        if self.0.len() >= KEYS_MAX && !self.0.contains_key(key_id) {
            self.0.retain(|_, codes| !codes.is_idle(now));
            if self.0.len() >= KEYS_MAX {
                return Presented::Locked {
                    until_micros: now.unix_micros.saturating_add(NO_ROOM_MICROS),
                };
            }
        }
        self.0
            .entry(key_id.clone())
            .or_default()
            .present(secret, code, terms, now)
    }

    /// What has to be stored of a key; `None` when nothing is remembered.
    pub(super) fn of_key(&self, key_id: &str) -> Option<&Codes> {
        self.0.get(key_id)
    }

    /// Forgets what changes nothing, and says of which keys.
    pub(super) fn forget_idle(&mut self, now: Now) -> Vec<Arc<str>> {
        let idle: Vec<Arc<str>> = self
            .0
            .iter()
            .filter(|(_, codes)| codes.is_idle(now))
            .map(|(key_id, _)| key_id.clone())
            .collect();
        for key_id in &idle {
            self.0.remove(key_id);
        }
        idle
    }
}
