//! Keys of an older system.

use super::*;

#[test]
fn an_imported_key_is_recognised_only_where_opaque_keys_are_accepted() {
    let (_folder, mut store) = store();
    let report = store
        .import_lines(&b"# lab\nacme gk_lab_0123456789\n\n"[..], &terms(""), NOON)
        .unwrap();
    assert_eq!((report.imported, report.error_count), (1, 0));
    let view = view(&store);
    let caller = view.authenticate("gk_lab_0123456789", true).unwrap();
    assert_eq!((&*caller.organization_id, &*caller.plan), ("acme", "basic"));
    assert_eq!(
        view.authenticate("gk_lab_0123456789", false),
        Err(AuthRefusal::Malformed)
    );
    assert_eq!(refusal(&view, "gk_lab_0123456780"), "key-unknown");
    for broken in [
        "",
        "schlüssel-schlüssel",
        "two words",
        &"x".repeat(513),
        "rg_live_x",
    ] {
        assert_eq!(refusal(&view, broken), "key-malformed", "{broken}");
    }
}

#[test]
fn an_import_reads_its_columns_by_name_and_can_be_repeated() {
    let (_folder, mut store) = store();
    let own = crate::policy::auth::mint(Environment::Test, &[4; 32]).1;
    let csv = format!(
        "organization_id,key,name,expires_at,scopes,graphs\r\n\
         org_a,old-key-0001,\"Say \"\"hi\"\", twice\",2027-01-31T12:00:00Z,\"graph:read, graph:query\",\r\n\
         org_b,{own},,,,social\r\n"
    );
    let report = store.import_csv(csv.as_bytes(), &terms(""), NOON).unwrap();
    assert_eq!(
        (report.imported, report.skipped, report.errors),
        (2, 0, vec![])
    );
    assert!(
        report
            .changes
            .iter()
            .all(|change| change.transition == Transition::Imported)
    );
    let view = view(&store);
    let old = view.authenticate("old-key-0001", true).unwrap();
    assert_eq!(
        (&*old.plan, old.scopes.to_string().as_str()),
        ("basic", "graph:read graph:query")
    );
    assert_eq!(old.expires_at_micros, Some(1_801_396_800_000_000));
    let record = store.show(old.key_id.parse().unwrap()).unwrap();
    assert_eq!(record.terms.name, "Say \"hi\", twice");
    assert_eq!(
        view.authenticate(&own, false).unwrap().graphs.to_string(),
        "social"
    );

    store.revoke(record.id, "ada", NOON).unwrap();
    let again = store.import_csv(csv.as_bytes(), &terms(""), NOON).unwrap();
    assert_eq!((again.imported, again.skipped), (0, 2));
    assert_eq!(store.show(record.id).unwrap().state(), KeyState::Revoked);
}

#[test]
fn an_import_with_errors_names_them_and_takes_nothing() {
    let (_folder, mut store) = store();
    let csv = "key,organization_id,expires_at,networks\n\
               good-key-0001,org_a,,\n\
               short,org_a,,\n\
               good-key-0002,\"two words\",,\n\
               good-key-0003,org_a,soon,\n\
               good-key-0004,org_a,,10.0.0.0/99\n\
               rg_live_nope,org_a,,\n\
               good-key-0005,org_a\n";
    let report = store.import_csv(csv.as_bytes(), &terms(""), NOON).unwrap();
    let places: Vec<_> = report
        .errors
        .iter()
        .map(|error| (error.line, error.column))
        .collect();
    assert_eq!(places, [(3, 1), (4, 1), (5, 21), (6, 22), (7, 1), (8, 1)]);
    assert_eq!(
        (report.imported, report.error_count, report.changes.len()),
        (0, 6, 0)
    );
    assert!(store.list(&KeyFilter::default()).unwrap().is_empty());

    for (file, wanted) in [
        ("", "no column key"),
        ("key\nx\n", "no column organization_id"),
        ("key,key,organization_id\n", "column twice"),
        ("secret-key-0001,acme\n", "not a column"),
        ("key,organization_id\n\"open", "never ends"),
    ] {
        let report = store.import_csv(file.as_bytes(), &terms(""), NOON).unwrap();
        let reason = &report.errors[0].reason;
        assert!(
            reason.contains(wanted) && !reason.contains("secret-key"),
            "{reason}"
        );
    }
    let lines = store
        .import_lines(&b"only-one-word\na b c\n"[..], &terms(""), NOON)
        .unwrap();
    assert_eq!(lines.error_count, 2);
    let long = vec![b'x'; 10_000];
    assert_eq!(
        store
            .import_lines(&long[..], &terms(""), NOON)
            .unwrap()
            .error_count,
        1
    );
}

#[test]
fn an_imported_keys_terms_are_checked() {
    let (_folder, mut store) = store();
    for organization in ["", "two words"] {
        assert!(
            store
                .import_key("an-older-systems-key", terms(organization), NOON)
                .is_err()
        );
    }
    assert!(store.import_key("short", terms("org_a"), NOON).is_err());
    assert!(store.list(&KeyFilter::default()).unwrap().is_empty());
}
