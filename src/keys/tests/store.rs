//! The store: what it keeps, and what its changes are.

use super::*;

#[test]
fn no_secret_reaches_the_disk() {
    let (folder, mut store) = store();
    let issued = create(&mut store, "org_acme");
    store
        .import_key("an-older-systems-key", terms("org_old"), NOON)
        .unwrap();
    drop(store);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [&issued.secret.as_bytes()[17..], b"an-older-systems-key"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
    assert!(!format!("{issued:?}").contains(&issued.secret[17..]));
}

#[test]
fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, mut store) = store();
    create(&mut store, "org_acme");
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(
            file.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["keys.db", "keys.db-shm", "keys.db-wal", "pepper"]);
}

#[test]
fn a_rotated_key_leaves_a_successor_with_its_terms_and_its_limits() {
    let (_folder, mut store) = store();
    create(&mut store, "org_other");
    let old = create(&mut store, "org_acme");
    let new = store.rotate(old.record.id, HOUR, "grace", NOON).unwrap();
    let transitions: Vec<_> = new
        .changes
        .iter()
        .map(|change| (change.transition, change.key_id, change.counterpart))
        .collect();
    assert_eq!(
        transitions,
        [
            (Transition::Rotated, old.record.id, Some(new.record.id)),
            (Transition::Created, new.record.id, Some(old.record.id)),
        ]
    );
    let view = view(&store);
    let before = view.authenticate(&old.secret, false).unwrap();
    let after = view.authenticate(&new.secret, false).unwrap();
    let end = NOON.plus(HOUR);
    assert_eq!(
        before.state,
        KeyState::Rotating {
            until: end.unix_micros
        }
    );
    assert!(before.is_active(NOON) && !before.is_active(end) && after.is_active(end));
    assert_eq!((before.index, after.index), (1, 1));
    assert_eq!(
        (&after.scopes, &after.organization_id),
        (&before.scopes, &before.organization_id)
    );

    // A suspension during the grace does not lengthen it.
    store
        .suspend(old.record.id, Some(NOON.unix_micros + 1), "x", "ada", NOON)
        .unwrap();
    view.refresh(&store).unwrap();
    assert!(
        !view
            .authenticate(&old.secret, false)
            .unwrap()
            .is_active(end)
    );
}

#[test]
fn a_change_that_a_state_forbids_changes_nothing() {
    let (_folder, mut store) = store();
    let id = create(&mut store, "org_acme").record.id;
    assert!(matches!(
        store.resume(id, "ada", NOON),
        Err(KeysError::WrongState { .. })
    ));
    store.suspend(id, None, "", "ada", NOON).unwrap();
    assert!(matches!(
        store.rotate(id, HOUR, "ada", NOON),
        Err(KeysError::WrongState { .. })
    ));
    assert!(
        store
            .suspend(id, Some(NOON.unix_micros), "", "ada", NOON)
            .is_err()
    );
    store.revoke(id, "ada", NOON).unwrap();
    let before = store.show(id).unwrap();
    assert!(matches!(
        store.revoke(id, "ada", NOON),
        Err(KeysError::WrongState { .. })
    ));
    assert!(store.suspend(id, None, "", "ada", NOON).is_err());
    assert!(store.resume(id, "ada", NOON).is_err());
    assert!(store.rotate(id, HOUR, "ada", NOON).is_err());
    assert_eq!(store.show(id).unwrap(), before);
    let nobody = "00000000".parse().unwrap();
    assert!(matches!(store.show(nobody), Err(KeysError::NotFound(_))));
}

#[test]
fn terms_that_no_header_can_carry_are_refused() {
    let (_folder, mut store) = store();
    for organization in ["", "two words", "line\nend", "schlüssel", &"x".repeat(129)] {
        let new = NewKey {
            environment: Environment::Test,
            terms: terms(organization),
        };
        assert!(
            matches!(store.create(new, NOON), Err(KeysError::Invalid { .. })),
            "{organization}"
        );
    }
    assert!(store.list(&KeyFilter::default()).unwrap().is_empty());
}

#[test]
fn a_list_is_filtered_and_paged() {
    let (_folder, mut store) = store();
    for n in 0..7 {
        create(&mut store, if n < 5 { "org_acme" } else { "org_other" });
    }
    let of = |organization: &str, after, count_max| {
        let organization_id = Some(organization.to_owned());
        store
            .list(&KeyFilter {
                organization_id,
                after,
                count_max,
                ..KeyFilter::default()
            })
            .unwrap()
    };
    assert_eq!(of("org_other", None, 10).len(), 2);
    let first = of("org_acme", None, 3);
    let rest = of("org_acme", first.last().map(|key| key.id), 3);
    assert_eq!((first.len(), rest.len()), (3, 2));
    assert!(first[2].id < rest[0].id);
}

#[test]
fn another_pepper_or_a_later_schema_is_refused() {
    let (folder, store) = store();
    drop(store);
    let pepper = folder.path().join("pepper");
    let kept = std::fs::read(&pepper).unwrap();
    std::fs::remove_file(&pepper).unwrap();
    assert!(matches!(
        KeyStore::open(folder.path()),
        Err(KeysError::PepperMismatch)
    ));
    std::fs::write(&pepper, kept).unwrap();
    assert!(KeyStore::open(folder.path()).is_ok());
    let db = rusqlite::Connection::open(folder.path().join("keys.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(
        KeyStore::open(folder.path()),
        Err(KeysError::LaterSchema { found: 99, .. })
    ));
}

#[test]
fn a_store_of_the_first_schema_is_brought_up_to_date() {
    let (folder, mut store) = store();
    let key = create(&mut store, "acme");
    drop(store);
    let db = rusqlite::Connection::open(folder.path().join("keys.db")).unwrap();
    db.execute_batch("ALTER TABLE keys DROP COLUMN verification; PRAGMA user_version = 1")
        .unwrap();
    drop(db);
    let mut store = KeyStore::open(folder.path()).unwrap();
    let id = key.record.id;
    assert_eq!(store.show(id).unwrap(), key.record);
    store.enrol_verification(id, false, "ada", NOON).unwrap();
    drop(store);
    assert!(KeyStore::open(folder.path()).is_ok());
}

#[test]
fn many_processes_open_and_change_one_store_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let path = folder.path();
            scope.spawn(move || {
                let mut store = KeyStore::open(path).unwrap();
                for _ in 0..10 {
                    create(&mut store, &format!("org_{n}"));
                }
            });
        }
    });
    let store = KeyStore::open(folder.path()).unwrap();
    let changes = store.changes_since(0, 1_000).unwrap();
    let sequences: Vec<i64> = changes.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (1..=60).collect::<Vec<_>>());
    let view = view(&store);
    let mut rows: Vec<u32> = changes
        .into_iter()
        .map(|(_, record)| view.caller(record.unwrap().id).unwrap().index)
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..60).collect::<Vec<_>>());
}

#[test]
fn every_change_waits_for_the_audit_log_until_it_is_taken() {
    let (folder, mut store) = store();
    let first = create(&mut store, "org_acme");
    let id = first.record.id;
    let mut told = first.changes;
    let until = Some(NOON.plus(HOUR).unix_micros);
    told.push(store.suspend(id, until, "probing", "sentry", NOON).unwrap());
    told.push(store.resume(id, "ada", NOON).unwrap());
    told.extend(store.rotate(id, HOUR, "ada", NOON).unwrap().changes);
    told.push(store.revoke(id, "ada", NOON).unwrap());
    told.extend(
        store
            .import_key("an-older-systems-key", terms("org_old"), NOON)
            .unwrap()
            .changes,
    );

    let gateway = KeyStore::open(folder.path()).unwrap();
    assert_eq!(gateway.unaudited(100).unwrap(), told);
    let two = gateway.unaudited(2).unwrap();
    gateway.mark_audited(two[1].sequence).unwrap();
    assert_eq!(store.unaudited(100).unwrap(), told[2..]);
    store.mark_audited(i64::MAX).unwrap();
    assert!(gateway.unaudited(100).unwrap().is_empty());
}

#[test]
fn a_refused_change_is_not_journalled() {
    let (_folder, mut store) = store();
    let id = create(&mut store, "org_acme").record.id;
    store.mark_audited(i64::MAX).unwrap();
    store.resume(id, "ada", NOON).unwrap_err();
    store
        .import_lines(&b"acme long-enough-key\nacme short\n"[..], &terms(""), NOON)
        .unwrap();
    assert!(store.unaudited(100).unwrap().is_empty());
}

#[test]
fn a_suspension_that_has_ended_hinders_nothing() {
    let (_folder, mut store) = store();
    let id = create(&mut store, "org_acme").record.id;
    let until = NOON.plus(HOUR);
    store
        .suspend(id, Some(until.unix_micros), "probing", "ada", NOON)
        .unwrap();
    assert!(store.rotate(id, HOUR, "ada", NOON).is_err());
    assert!(matches!(
        store.resume(id, "ada", until),
        Err(KeysError::WrongState {
            state: "active",
            ..
        })
    ));
    let issued = store.rotate(id, HOUR, "ada", until).unwrap();
    assert_eq!(
        issued.changes[0].state,
        KeyState::Rotating {
            until: until.plus(HOUR).unix_micros
        }
    );
}

#[test]
fn a_key_ends_at_its_expiry_or_with_its_grace_whichever_is_first() {
    let (_folder, mut store) = store();
    for (expires, ends) in [(HOUR / 2, HOUR / 2), (HOUR * 2, HOUR)] {
        let terms = KeyTerms {
            expires_at_micros: Some(NOON.plus(expires).unix_micros),
            ..terms("org_acme")
        };
        let new = NewKey {
            environment: Environment::Live,
            terms,
        };
        let old = store.create(new, NOON).unwrap();
        store.rotate(old.record.id, HOUR, "ada", NOON).unwrap();
        let caller = view(&store).authenticate(&old.secret, false).unwrap();
        assert_eq!(caller.expires_at_micros, Some(NOON.plus(ends).unix_micros));
    }
}
