//! The store and its view together, on real files: the words the tests share.

mod import;
mod model;
mod store;
mod view;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::now::Now;
use crate::policy::auth::{AuthRefusal, Environment, KeyId, KeyState};

const NOON: Now = Now {
    mono_nanos: 0,
    unix_micros: 1_800_000_000_000_000,
};
const HOUR: Duration = Duration::from_secs(3_600);

fn store() -> (TempDir, KeyStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = KeyStore::open(folder.path()).unwrap();
    (folder, store)
}

fn terms(organization: &str) -> KeyTerms {
    KeyTerms {
        organization_id: organization.into(),
        plan: "basic".into(),
        scopes: "graph:query graph:read".parse().unwrap(),
        networks: "10.0.0.0/8".parse().unwrap(),
        industry: Some("finance".into()),
        name: "nightly import".into(),
        created_by: "ada".into(),
        ..KeyTerms::default()
    }
}

fn create(store: &mut KeyStore, organization: &str) -> Issued {
    let new = NewKey {
        environment: Environment::Live,
        terms: terms(organization),
    };
    store.create(new, NOON).unwrap()
}

fn view(store: &KeyStore) -> KeyView {
    KeyView::load(store).unwrap().0
}

fn refusal(view: &KeyView, key: &str) -> &'static str {
    view.authenticate(key, true)
        .map_or_else(|refusal| refusal.code(), |_| "admitted")
}
