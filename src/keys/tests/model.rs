//! Random lives of keys, against a model that keeps each key's fate in a few words.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Action {
    Create,
    Import,
    Rotate(usize),
    Revoke(usize),
    Suspend(usize, Option<u64>),
    Resume(usize),
    Wait(u64),
}

fn action() -> impl Strategy<Value = Action> {
    let key = 0_usize..6;
    prop_oneof![
        Just(Action::Create),
        Just(Action::Import),
        key.clone().prop_map(Action::Rotate),
        key.clone().prop_map(Action::Revoke),
        (key.clone(), prop::option::of(1_u64..7_200)).prop_map(|(k, s)| Action::Suspend(k, s)),
        key.prop_map(Action::Resume),
        (1_u64..3_000).prop_map(Action::Wait),
    ]
}

/// What the model knows of a key.
struct Fate {
    id: KeyId,
    secret: String,
    revoked: bool,
    ends: Option<Now>,
    /// `Some(None)`: until resumed.
    suspended: Option<Option<Now>>,
}

impl Fate {
    fn new(id: KeyId, secret: String) -> Self {
        Self {
            id,
            secret,
            revoked: false,
            ends: None,
            suspended: None,
        }
    }

    fn is_suspended(&self, now: Now) -> bool {
        self.suspended
            .is_some_and(|until| until.is_none_or(|until| now.unix_micros < until.unix_micros))
    }

    fn is_active(&self, now: Now) -> bool {
        let ended = self
            .ends
            .is_some_and(|end| now.unix_micros >= end.unix_micros);
        !self.revoked && !ended && !self.is_suspended(now)
    }
}

/// Does the action to store and model; true when both agree on whether it can be done.
fn act(action: Action, store: &mut KeyStore, fates: &mut Vec<Fate>, now: &mut Now) -> bool {
    let at = *now;
    match action {
        Action::Create => {
            let issued = create(store, "org_acme");
            fates.push(Fate::new(issued.record.id, issued.secret));
            true
        }
        Action::Import => {
            let secret = format!("older-key-{}", fates.len());
            let report = store.import_key(&secret, terms("org_old"), at).unwrap();
            fates.push(Fate::new(report.changes[0].key_id, secret));
            true
        }
        Action::Wait(secs) => {
            *now = at.plus(Duration::from_secs(secs));
            true
        }
        Action::Rotate(key) => {
            let Some(fate) = fates.get_mut(key) else {
                return true;
            };
            let can = fate.is_active(at) && fate.ends.is_none();
            let rotated = store.rotate(fate.id, HOUR, "ada", at);
            if can {
                fate.ends = Some(at.plus(HOUR));
            }
            let agreed = can == rotated.is_ok();
            fates.extend(rotated.map(|issued| Fate::new(issued.record.id, issued.secret)));
            agreed
        }
        Action::Revoke(key) => {
            let Some(fate) = fates.get_mut(key) else {
                return true;
            };
            let can = !std::mem::replace(&mut fate.revoked, true);
            can == store.revoke(fate.id, "ada", at).is_ok()
        }
        Action::Suspend(key, secs) => {
            let Some(fate) = fates.get_mut(key) else {
                return true;
            };
            let until = secs.map(|secs| at.plus(Duration::from_secs(secs)));
            if !fate.revoked {
                fate.suspended = Some(until);
            }
            let until = until.map(|until| until.unix_micros);
            fate.revoked != store.suspend(fate.id, until, "", "ada", at).is_ok()
        }
        Action::Resume(key) => {
            let Some(fate) = fates.get_mut(key) else {
                return true;
            };
            let can = !fate.revoked && fate.is_suspended(at);
            if can {
                fate.suspended = None;
            }
            can == store.resume(fate.id, "ada", at).is_ok()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// After any changes, a view that followed them and one loaded anew accept the same keys as the
    /// model does, now and later; and each change stands in the journal once.
    #[test]
    fn views_agree_with_the_model_after_any_changes(actions in prop::collection::vec(action(), 1..30)) {
        let (folder, mut store) = store();
        let gateway = KeyStore::open(folder.path()).unwrap();
        let following = view(&gateway);
        let (mut fates, mut now) = (Vec::new(), NOON);
        for action in actions {
            prop_assert!(act(action, &mut store, &mut fates, &mut now), "{:?}", action);
            following.refresh(&gateway).unwrap();
            let fresh = view(&gateway);
            prop_assert_eq!((following.len(), fresh.len()), (fates.len(), fates.len()));
            for fate in &fates {
                let caller = following.authenticate(&fate.secret, true).unwrap();
                prop_assert_eq!(&caller, &fresh.authenticate(&fate.secret, true).unwrap());
                for later in [0, 1_800, 3_600, 7_200].map(|secs| now.plus(Duration::from_secs(secs))) {
                    prop_assert_eq!(caller.is_active(later), fate.is_active(later));
                }
            }
        }
        let journal: Vec<i64> = store.unaudited(1_000).unwrap().iter().map(|change| change.sequence).collect();
        prop_assert_eq!(journal, (1..=store.sequence().unwrap()).collect::<Vec<_>>());
    }
}
