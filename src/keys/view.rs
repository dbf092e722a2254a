//! The keys in memory, as requests meet them: recognised without waiting for anything.
//!
//! The view follows a [`KeyStore`] by its sequence: [`KeyView::refresh`] reads what is newer than
//! the last change it has seen. Between two refreshes a revoked key is still accepted, so the
//! gateway refreshes every second, and at once after a change it made itself. It holds every
//! record of the store, about 600 bytes each, and so is bounded by [`super::KEYS_MAX`].
//!
//! A record that cannot be read is not in the view: its key is refused, the others are not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use super::record::KeyRecord;
use super::store::KeyStore;
use super::{KeysError, Result};
use crate::now::Now;
use crate::policy::auth::{
    AuthRefusal, Caller, Digest, KeyId, Pepper, ScopeSet, has_our_prefix, is_presentable, parse,
};
use crate::policy::totp::TotpSecret;

/// Records read in one go.
const BATCH_MAX: u32 = 4_096;

/// Every key of a store, in memory.
#[derive(Debug)]
pub struct KeyView {
    pepper: Pepper,
    /// Every key, by its id.
    by_id: papaya::HashMap<KeyId, Entry, BuildHasherDefault<WordHasher>>,
    /// Imported keys of another form, which carry no id, by their digest.
    by_digest: papaya::HashMap<Digest, Arc<Caller>, BuildHasherDefault<WordHasher>>,
    /// The last change seen. Held while refreshing, so that two refreshes do not mix.
    seen: Mutex<i64>,
}

#[derive(Debug)]
struct Entry {
    digest: Digest,
    opaque: bool,
    verification: Option<TotpSecret>,
    caller: Arc<Caller>,
}

/// What a refresh found.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Keys new or changed.
    pub changed: usize,
    /// Records that could not be read; at most 100 of them, see `damaged_count`.
    pub damaged: Vec<KeysError>,
    /// How many could not be read.
    pub damaged_count: usize,
    /// True when the store's sequence went back, as after restoring a backup, and all was read anew.
    pub reloaded: bool,
}

/// Damaged records that are named.
const DAMAGED_NAMED_MAX: usize = 100;

impl KeyView {
    /// Reads the whole store.
    ///
    /// # Errors
    ///
    /// An unreadable store.
    pub fn load(store: &KeyStore) -> Result<(Self, Refreshed)> {
        let view = Self {
            pepper: store.pepper().clone(),
            by_id: papaya::HashMap::default(),
            by_digest: papaya::HashMap::default(),
            seen: Mutex::new(0),
        };
        let refreshed = view.refresh(store)?;
        Ok((view, refreshed))
    }

    /// Takes over what changed in the store since the last time. Costs one look-up when nothing did.
    ///
    /// # Errors
    ///
    /// An unreadable store; what was taken over before the error stays.
    pub fn refresh(&self, store: &KeyStore) -> Result<Refreshed> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refreshed = Refreshed::default();
        let last = store.sequence()?;
        if last == *seen {
            return Ok(refreshed);
        }
        if last < *seen {
            *seen = 0;
            refreshed.reloaded = true;
        }
        let mut present = refreshed.reloaded.then(HashSet::new);
        let mut words = Words::default();
        loop {
            let batch = store.changes_since(*seen, BATCH_MAX)?;
            let Some((newest, _)) = batch.last() else {
                break;
            };
            *seen = *newest;
            for (_, record) in batch {
                match record {
                    Ok(record) => {
                        if let Some(present) = &mut present {
                            present.insert(record.id);
                        }
                        self.put(&record, &mut words);
                        refreshed.changed += 1;
                    }
                    Err(damage) => self.drop_damaged(damage, &mut refreshed),
                }
            }
        }
        if let Some(present) = present {
            self.keep_only(&present);
        }
        Ok(refreshed)
    }

    /// Recognises a presented key. Whether it may be used now is for
    /// [`crate::policy::auth::authorise`] to say: revoked and expired keys are recognised too.
    ///
    /// A key of our own form is checked offline first. An unknown id costs the same hash as a known
    /// one, and digests are compared in constant time, so that timing tells nothing about either.
    ///
    /// # Errors
    ///
    /// `Malformed`: over-long, not visible ASCII, a wrong checksum, or not of our form where that
    /// is the only one accepted. `Unknown`: no such key, or another secret.
    pub fn authenticate(
        &self,
        presented: &str,
        opaque_allowed: bool,
    ) -> Result<Arc<Caller>, AuthRefusal> {
        if has_our_prefix(presented) {
            let parsed = parse(presented).map_err(|_| AuthRefusal::Malformed)?;
            let digest = Digest::of(&self.pepper, presented.as_bytes());
            let keys = self.by_id.pin();
            return match keys.get(&parsed.id) {
                Some(entry) if entry.digest == digest => Ok(Arc::clone(&entry.caller)),
                _ => Err(AuthRefusal::Unknown),
            };
        }
        if !opaque_allowed || !is_presentable(presented) {
            return Err(AuthRefusal::Malformed);
        }
        // The index is keyed by digest: finding anything there takes the pepper, so its timing is
        // of no use to a guesser.
        let digest = Digest::of(&self.pepper, presented.as_bytes());
        let keys = self.by_digest.pin();
        keys.get(&digest).cloned().ok_or(AuthRefusal::Unknown)
    }

    /// The caller of a key id.
    pub fn caller(&self, id: KeyId) -> Option<Arc<Caller>> {
        self.by_id
            .pin()
            .get(&id)
            .map(|entry| Arc::clone(&entry.caller))
    }

    /// The secret of a key's one-time codes, where it is enrolled for them.
    pub fn verification(&self, key_id: &str) -> Option<TotpSecret> {
        let id: KeyId = key_id.parse().ok()?;
        self.by_id.pin().get(&id)?.verification.clone()
    }

    /// Keys accepted now, by plan; 0 for a plan whose keys are all over. Looks at every key: for a
    /// scrape, not for a request.
    pub fn active_by_plan(&self, now: Now) -> BTreeMap<Arc<str>, u64> {
        let mut counts = BTreeMap::new();
        for (_, Entry { caller, .. }) in &self.by_id.pin() {
            let active = u64::from(caller.is_active(now));
            match counts.get_mut(&caller.plan) {
                Some(count) => *count += active,
                None => _ = counts.insert(Arc::clone(&caller.plan), active),
            }
        }
        counts
    }

    /// Keys in the view, revoked ones included.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when the store has no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put(&self, record: &KeyRecord, words: &mut Words) {
        let caller = Arc::new(words.caller(record));
        let opaque = record.environment.is_none();
        if opaque {
            self.by_digest
                .pin()
                .insert(record.digest, Arc::clone(&caller));
        }
        self.by_id.pin().insert(
            record.id,
            Entry {
                digest: record.digest,
                opaque,
                verification: record
                    .verification
                    .as_ref()
                    .and_then(|sealed| sealed.open(&self.pepper, record.id)),
                caller,
            },
        );
    }

    fn drop_damaged(&self, damage: KeysError, refreshed: &mut Refreshed) {
        if let KeysError::Damaged { id, .. } = &damage
            && let Ok(id) = id.parse()
        {
            self.remove(id);
        }
        refreshed.damaged_count += 1;
        if refreshed.damaged.len() < DAMAGED_NAMED_MAX {
            refreshed.damaged.push(damage);
        }
    }

    fn remove(&self, id: KeyId) {
        if let Some(entry) = self.by_id.pin().remove(&id)
            && entry.opaque
        {
            self.by_digest.pin().remove(&entry.digest);
        }
    }

    fn keep_only(&self, present: &HashSet<KeyId>) {
        let gone: Vec<KeyId> = self
            .by_id
            .pin()
            .keys()
            .filter(|id| !present.contains(*id))
            .copied()
            .collect();
        for id in gone {
            self.remove(id);
        }
    }
}

/// Words that many keys share, kept once.
#[derive(Default)]
struct Words {
    words: HashSet<Arc<str>>,
    scopes: HashMap<Arc<str>, ScopeSet>,
}

impl Words {
    fn caller(&mut self, record: &KeyRecord) -> Caller {
        let terms = &record.terms;
        Caller {
            key_id: record.id.as_str().into(),
            organization_id: self.shared(&terms.organization_id),
            plan: self.shared(&terms.plan),
            scopes: self.shared_scopes(&terms.scopes),
            graphs: terms.graphs.clone(),
            networks: terms.networks.clone(),
            industry: terms
                .industry
                .as_deref()
                .map(|industry| self.shared(industry)),
            expires_at_micros: record.ends_at_micros(),
            state: record.state(),
            limits_exempt: terms.limits_exempt,
            index: record.index,
        }
    }

    fn shared(&mut self, word: &str) -> Arc<str> {
        if let Some(shared) = self.words.get(word) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = word.into();
        self.words.insert(Arc::clone(&shared));
        shared
    }

    fn shared_scopes(&mut self, scopes: &ScopeSet) -> ScopeSet {
        let text = scopes.to_string();
        if let Some(shared) = self.scopes.get(text.as_str()) {
            return shared.clone();
        }
        self.scopes.insert(text.into(), scopes.clone());
        scopes.clone()
    }
}

/// Spreads one word over all bits.
///
/// Ids and digests are random, and clients, whose requests only look up, choose none of those in
/// the table; so this is enough, and nobody can crowd it.
#[derive(Debug, Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, word: u64) {
        // The finalizer of MurmurHash3 with its two constants.
        let mut spread = word ^ self.0;
        spread = (spread ^ (spread >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        spread = (spread ^ (spread >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        self.0 = spread ^ (spread >> 33);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
}
