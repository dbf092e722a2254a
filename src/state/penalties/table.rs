//! The table of penalties in memory, and what of it still has to be written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ipnet::IpNet;
use uuid::Uuid;

use super::codes::CodeBook;
use super::{Cause, Change, Entry, NETWORKS_OF_KEY_MAX, SUBJECTS_MAX, Standing};
use crate::now::Now;
use crate::policy::auth::Caller;
use crate::policy::penalty::{Effect, Kind, Penalty, Terms};
use crate::policy::totp::{Codes, Presented, TotpSecret};
use crate::random::time_ordered_id;

/// A key, and the network it was used from; `None` is anywhere.
type Subject = (Arc<str>, Option<IpNet>);

/// The penalties of one subject, at most one of each kind.
#[derive(Debug)]
struct Held {
    organization_id: Arc<str>,
    penalties: Vec<Penalty>,
}

/// All penalties. The set of what is unwritten is no larger than what is or lately was in the table.
#[derive(Debug, Default)]
pub(super) struct Table {
    subjects: HashMap<Subject, Held>,
    /// Networks with penalties of their own, by key.
    networks: HashMap<Arc<str>, usize>,
    codes: CodeBook,
    unwritten: Unwritten,
    version: u64,
}

/// What differs from the store: penalties and codes by identity; what is gone from the table has to
/// go from the store, too.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    pub(super) penalties: HashMap<Uuid, Option<Entry>>,
    pub(super) codes: HashMap<Arc<str>, Option<Codes>>,
    pub(super) version: u64,
}

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.penalties.is_empty() && self.codes.is_empty()
    }
}

impl Table {
    pub(super) fn of(entries: Vec<Entry>, codes: Vec<(Arc<str>, Codes)>) -> Self {
        let mut table = Self {
            codes: CodeBook::of(codes),
            ..Self::default()
        };
        for entry in entries {
            let subject = (entry.key_id, entry.network);
            table
                .held(subject, &entry.organization_id)
                .penalties
                .push(entry.penalty);
        }
        table
    }

    pub(super) fn len(&self) -> usize {
        self.subjects.len()
    }

    /// The number of the last change.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn standing(
        &self,
        key_id: &Arc<str>,
        network: IpNet,
        spared: bool,
        terms: &Terms,
        now: Now,
    ) -> Standing {
        let mut standing = Standing::default();
        for network in [None, Some(network)] {
            let held = self.subjects.get(&(key_id.clone(), network));
            for penalty in held.into_iter().flat_map(|held| &held.penalties) {
                if !(spared && penalty.kind.spares_exempt_keys()) {
                    standing.count(penalty, terms, now);
                }
            }
        }
        standing
    }

    /// Counts a finding; `None` when the table has no room.
    pub(super) fn strike(
        &mut self,
        caller: &Caller,
        network: Option<IpNet>,
        kind: Kind,
        cause: &Cause,
        terms: &Terms,
        now: Now,
    ) -> Option<Change> {
        let subject = self.subject(caller, network, terms, now)?;
        let (key_id, network) = subject.clone();
        let held = self.held(subject, &caller.organization_id);
        let organization_id = held.organization_id.clone();
        let known = held.penalties.iter().position(|known| known.kind == kind);
        let at = known.unwrap_or_else(|| {
            let id = time_ordered_id(now);
            held.penalties.push(Penalty::begin(id, kind, now));
            held.penalties.len() - 1
        });
        let penalty = held.penalties.get_mut(at)?;
        let effect = penalty.strike(terms, now);
        if effect == Effect::Unchanged {
            let penalty = penalty.clone();
            let entry = Entry {
                key_id,
                organization_id,
                network,
                penalty,
            };
            return Some(Change { entry, effect });
        }
        penalty.rules.clone_from(&cause.rules);
        penalty.event_id = cause.event_id;
        let entry = Entry {
            key_id,
            organization_id,
            network,
            penalty: penalty.clone(),
        };
        self.touch(entry.penalty.id, Some(entry.clone()));
        Some(Change { entry, effect })
    }

    /// The subject to penalise: with its network, or everywhere for a key that has too many of them.
    fn subject(
        &mut self,
        caller: &Caller,
        network: Option<IpNet>,
        terms: &Terms,
        now: Now,
    ) -> Option<Subject> {
        let key_id = caller.key_id.clone();
        let own = (key_id.clone(), network);
        if self.subjects.contains_key(&own) {
            return Some(own);
        }
        let networks = self.networks.get(&key_id).copied().unwrap_or(0);
        let subject = if networks >= NETWORKS_OF_KEY_MAX {
            (key_id, None)
        } else {
            own
        };
        if self.subjects.contains_key(&subject) {
            return Some(subject);
        }
        if self.subjects.len() >= SUBJECTS_MAX {
            self.forget(terms, now);
        }
        (self.subjects.len() < SUBJECTS_MAX).then_some(subject)
    }

    fn held(&mut self, subject: Subject, organization_id: &Arc<str>) -> &mut Held {
        if !self.subjects.contains_key(&subject) && subject.1.is_some() {
            *self.networks.entry(subject.0.clone()).or_default() += 1;
        }
        self.subjects.entry(subject).or_insert_with(|| Held {
            organization_id: organization_id.clone(),
            penalties: Vec::new(),
        })
    }

    pub(super) fn present(
        &mut self,
        key_id: &Arc<str>,
        secret: &TotpSecret,
        code: &[u8],
        terms: &Terms,
        now: Now,
    ) -> Presented {
        let presented = self.codes.present(key_id, secret, code, terms, now);
        self.version += 1;
        let codes = self.codes.of_key(key_id).cloned();
        self.unwritten.codes.insert(key_id.clone(), codes);
        presented
    }

    /// A right code clears the key where it was presented.
    pub(super) fn clear(&mut self, key_id: &Arc<str>, network: IpNet, terms: &Terms, now: Now) {
        let mut cleared = Vec::new();
        for network in [None, Some(network)] {
            let Some(held) = self.subjects.get_mut(&(key_id.clone(), network)) else {
                continue;
            };
            for penalty in &mut held.penalties {
                if penalty.demands_code(now) {
                    penalty.clear(terms, now);
                    cleared.push(Entry {
                        key_id: key_id.clone(),
                        organization_id: held.organization_id.clone(),
                        network,
                        penalty: penalty.clone(),
                    });
                }
            }
        }
        for entry in cleared {
            self.touch(entry.penalty.id, Some(entry));
        }
    }

    pub(super) fn list(&self, now: Now) -> Vec<Entry> {
        let mut entries: Vec<Entry> = self
            .entries()
            .filter(|entry| entry.penalty.is_in_force(now))
            .collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.penalty.last_micros));
        entries
    }

    pub(super) fn in_force(&self, now: Now) -> HashMap<Kind, usize> {
        let mut counts: HashMap<Kind, usize> = Kind::ALL.map(|kind| (kind, 0)).into();
        let penalties = self.subjects.values().flat_map(|held| &held.penalties);
        for penalty in penalties.filter(|penalty| penalty.is_in_force(now)) {
            *counts.entry(penalty.kind).or_default() += 1;
        }
        counts
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        self.subjects.iter().flat_map(|((key_id, network), held)| {
            held.penalties.iter().map(|penalty| Entry {
                key_id: key_id.clone(),
                organization_id: held.organization_id.clone(),
                network: *network,
                penalty: penalty.clone(),
            })
        })
    }

    pub(super) fn find(&self, id: Uuid) -> Option<Entry> {
        self.entries().find(|entry| entry.penalty.id == id)
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Entry> {
        let entry = self.find(id)?;
        self.drop_all(&HashSet::from([id]));
        Some(entry)
    }

    /// Marks what has ended as told, and forgets what is over.
    pub(super) fn sweep(&mut self, terms: &Terms, now: Now) -> Vec<Entry> {
        let mut ended = Vec::new();
        for ((key_id, network), held) in &mut self.subjects {
            for penalty in &mut held.penalties {
                if penalty.has_ended_untold(now) {
                    penalty.end_told = true;
                    ended.push(Entry {
                        key_id: key_id.clone(),
                        organization_id: held.organization_id.clone(),
                        network: *network,
                        penalty: penalty.clone(),
                    });
                }
            }
        }
        for entry in &ended {
            self.touch(entry.penalty.id, Some(entry.clone()));
        }
        self.forget(terms, now);
        for key_id in self.codes.forget_idle(now) {
            self.version += 1;
            self.unwritten.codes.insert(key_id, None);
        }
        ended
    }

    /// Forgets what is over; ends that nobody has recorded stay until they are.
    fn forget(&mut self, terms: &Terms, now: Now) {
        let over: HashSet<Uuid> = self
            .subjects
            .values()
            .flat_map(|held| &held.penalties)
            .filter(|penalty| penalty.is_forgotten(terms, now) && !penalty.has_ended_untold(now))
            .map(|penalty| penalty.id)
            .collect();
        self.drop_all(&over);
    }

    fn drop_all(&mut self, ids: &HashSet<Uuid>) {
        if ids.is_empty() {
            return;
        }
        let networks = &mut self.networks;
        self.subjects.retain(|(key_id, network), held| {
            held.penalties.retain(|penalty| !ids.contains(&penalty.id));
            if held.penalties.is_empty()
                && network.is_some()
                && let Some(count) = networks.get_mut(key_id)
            {
                *count = count.saturating_sub(1);
            }
            !held.penalties.is_empty()
        });
        networks.retain(|_, count| *count > 0);
        for id in ids {
            self.touch(*id, None);
        }
    }

    fn touch(&mut self, id: Uuid, entry: Option<Entry>) {
        self.version += 1;
        self.unwritten.penalties.insert(id, entry);
    }

    /// What has to be written, handed over.
    pub(super) fn take_unwritten(&mut self) -> Unwritten {
        let mut taken = std::mem::take(&mut self.unwritten);
        taken.version = self.version;
        taken
    }

    /// What could not be written, given back; what has changed since is newer.
    pub(super) fn give_back(&mut self, unwritten: Unwritten) {
        for (id, entry) in unwritten.penalties {
            self.unwritten.penalties.entry(id).or_insert(entry);
        }
        for (key_id, codes) in unwritten.codes {
            self.unwritten.codes.entry(key_id).or_insert(codes);
        }
    }
}

impl Standing {
    fn count(&mut self, penalty: &Penalty, terms: &Terms, now: Now) {
        match penalty.kind {
            Kind::TemporarySuspension if penalty.is_in_force(now) => {
                if penalty.until_micros > self.suspended_until_micros {
                    self.suspended_until_micros = penalty.until_micros;
                    self.barred_by = Some(penalty.id);
                }
            }
            Kind::RateLimitReduction => {
                let halvings = penalty.halvings(terms, now);
                self.factor = self.factor.min(0.5_f32.powi(halvings.cast_signed()));
            }
            Kind::AdditionalVerification if penalty.demands_code(now) => {
                self.demands_code = true;
                self.barred_by = self.barred_by.or(Some(penalty.id));
            }
            Kind::MonitoringIncrease if penalty.is_in_force(now) => {
                self.monitored_by = Some(penalty.id);
            }
            Kind::TemporarySuspension | Kind::AdditionalVerification | Kind::MonitoringIncrease => {
            }
        }
    }
}
