//! The view, and how it follows the store.

use super::*;

#[test]
fn a_created_key_is_recognised_with_all_its_terms() {
    let (_folder, mut store) = store();
    let issued = create(&mut store, "org_acme");
    let caller = view(&store).authenticate(&issued.secret, false).unwrap();
    assert_eq!(&*caller.key_id, issued.record.id.as_str());
    assert_eq!(
        (&*caller.organization_id, &*caller.plan),
        ("org_acme", "basic")
    );
    assert_eq!(caller.scopes, terms("").scopes);
    assert_eq!(caller.networks, terms("").networks);
    assert_eq!(
        (caller.industry.as_deref(), caller.index),
        (Some("finance"), 0)
    );
    assert_eq!(store.show(issued.record.id).unwrap(), issued.record);
}

#[test]
fn a_wrong_secret_and_a_wrong_id_look_alike() {
    let (_folder, mut store) = store();
    let issued = create(&mut store, "org_acme");
    let view = view(&store);
    let (_, stranger) = crate::policy::auth::mint(Environment::Live, &[9; 32]);
    assert_eq!(refusal(&view, &stranger), "key-unknown");

    // Another secret under the same id, with a checksum that holds.
    let body = format!("rg_live_{}_{}", issued.record.id, &stranger[17..49]);
    let forged = checksummed(&body);
    assert_eq!(refusal(&view, &forged), "key-unknown");
    assert_eq!(refusal(&view, &format!("{body}000000")), "key-malformed");
}

/// Adds the checksum as a client library would.
fn checksummed(body: &str) -> String {
    const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let crc = u64::from(crc32fast::hash(body.as_bytes()));
    let digits = (0..6_u32)
        .rev()
        .map(|at| char::from(BASE62[(crc / 62_u64.pow(at) % 62) as usize]));
    body.chars().chain(digits).collect()
}

#[test]
fn a_view_follows_every_change_of_another_connection() {
    let (folder, mut store) = store();
    let gateway = KeyStore::open(folder.path()).unwrap();
    let view = view(&gateway);
    assert!(view.is_empty());
    let issued = create(&mut store, "org_acme");
    let id = issued.record.id;
    let state = || {
        view.refresh(&gateway).unwrap();
        view.authenticate(&issued.secret, false)
            .unwrap()
            .state
            .clone()
    };
    assert_eq!(state(), KeyState::Active);
    assert_eq!(view.refresh(&gateway).unwrap().changed, 0);

    let until = Some(NOON.plus(HOUR).unix_micros);
    let change = store.suspend(id, until, "probing", "sentry", NOON).unwrap();
    let suspended = KeyState::Suspended {
        until,
        reason: Arc::from("probing"),
    };
    assert_eq!(
        (change.transition, &change.state),
        (Transition::Suspended, &suspended)
    );
    assert_eq!(
        (change.by.as_str(), change.reason.as_deref()),
        ("sentry", Some("probing"))
    );
    assert_eq!(state(), suspended);

    store.resume(id, "ada", NOON).unwrap();
    assert_eq!(state(), KeyState::Active);
    store.revoke(id, "ada", NOON).unwrap();
    assert_eq!(state(), KeyState::Revoked);
    assert_eq!(view.len(), 1);
}

#[test]
fn a_damaged_record_is_refused_and_spares_the_others() {
    let (folder, mut store) = store();
    let (good, bad) = (create(&mut store, "org_a"), create(&mut store, "org_b"));
    let view = view(&store);
    let db = rusqlite::Connection::open(folder.path().join("keys.db")).unwrap();
    let id = bad.record.id.as_str();
    db.execute(
        "UPDATE keys SET scopes = 'NOT A SCOPE', sequence = 50 WHERE id = ?1",
        [id],
    )
    .unwrap();
    let refreshed = view.refresh(&store).unwrap();
    assert_eq!((refreshed.changed, refreshed.damaged_count), (0, 1));
    assert!(refreshed.damaged[0].to_string().contains("scopes"));
    assert_eq!(refusal(&view, &bad.secret), "key-unknown");
    assert_eq!(refusal(&view, &good.secret), "admitted");
    assert_eq!(
        view.refresh(&store).unwrap().damaged_count,
        0,
        "it is told once"
    );
}

#[test]
fn a_restored_backup_is_read_anew() {
    let (folder, mut store) = store();
    let kept = create(&mut store, "org_a");
    store
        .import_key("an-older-systems-key", terms("org_old"), NOON)
        .unwrap();
    let view = view(&store);
    let db = rusqlite::Connection::open(folder.path().join("keys.db")).unwrap();
    db.execute("DELETE FROM keys WHERE environment IS NULL", [])
        .unwrap();
    let refreshed = view.refresh(&store).unwrap();
    assert!(refreshed.reloaded);
    assert_eq!(refusal(&view, "an-older-systems-key"), "key-unknown");
    assert_eq!(refusal(&view, &kept.secret), "admitted");
}

#[test]
fn active_keys_are_counted_by_plan_and_by_the_clock() {
    let (_folder, mut store) = store();
    for (plan, expires) in [
        ("free", None),
        ("free", Some(NOON.unix_micros + 5)),
        ("basic", None),
    ] {
        let terms = KeyTerms {
            plan: plan.into(),
            expires_at_micros: expires,
            ..terms("org_a")
        };
        store
            .create(
                NewKey {
                    environment: Environment::Live,
                    terms,
                },
                NOON,
            )
            .unwrap();
    }
    let revoked = create(&mut store, "org_a").record.id;
    store.revoke(revoked, "ada", NOON).unwrap();
    let gone = KeyTerms {
        plan: "premium".into(),
        ..terms("org_a")
    };
    let gone = store
        .import_key("an-older-systems-key", gone, NOON)
        .unwrap();
    store.revoke(gone.changes[0].key_id, "ada", NOON).unwrap();
    let view = view(&store);
    let count = |now| view.active_by_plan(now).into_iter().collect::<Vec<_>>();
    assert_eq!(
        count(NOON),
        [
            ("basic".into(), 1),
            ("free".into(), 2),
            ("premium".into(), 0)
        ]
    );
    assert_eq!(
        count(NOON.plus(HOUR)),
        [
            ("basic".into(), 1),
            ("free".into(), 1),
            ("premium".into(), 0)
        ]
    );
}
