//! A key's life from the command line, while the gateway runs.

use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use crate::support::{ApiKey, Gateway, NewKey, Setup, Upstream, eventually};

/// How soon a change made by another process takes effect.
const TAKES_EFFECT: Duration = Duration::from_secs(2);

async fn status(gateway: &Gateway, key: &ApiKey) -> u16 {
    gateway
        .send(gateway.request_with(key, Method::GET, "/v1/graphs"))
        .await
        .status
}

/// Waits until the key gets this status, and no longer than a change may take.
async fn becomes(gateway: &Gateway, key: &ApiKey, wanted: u16) {
    let changed = Instant::now();
    eventually("the change to take effect", async || {
        (status(gateway, key).await == wanted).then_some(())
    })
    .await;
    assert!(
        changed.elapsed() <= TAKES_EFFECT,
        "{wanted} took {:?}",
        changed.elapsed()
    );
}

fn keys(gateway: &Gateway, command: &str, id: &str, more: &[&str]) -> String {
    let arguments = [&["keys", command, id, "--data-dir", "data"], more].concat();
    let outcome = gateway.command(&arguments);
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
    outcome.stdout
}

#[tokio::test]
async fn a_key_is_created_suspended_resumed_and_revoked_while_the_gateway_runs() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.create_key(&NewKey::of("late"));
    becomes(&gateway, &key, 200).await;
    keys(&gateway, "suspend", &key.id, &[]);
    becomes(&gateway, &key, 403).await;
    keys(&gateway, "resume", &key.id, &[]);
    becomes(&gateway, &key, 200).await;
    keys(&gateway, "revoke", &key.id, &[]);
    becomes(&gateway, &key, 401).await;
    assert_eq!(
        status(&gateway, gateway.key()).await,
        200,
        "the others are untouched"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn a_rotated_key_stays_valid_for_its_grace() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let old = gateway.key().clone();
    let said = keys(&gateway, "rotate", &old.id, &["--grace", "1h", "--json"]);
    let secret = said
        .split('"')
        .find(|word| word.starts_with("rg_") && word.len() > 40);
    let new = ApiKey {
        secret: secret
            .unwrap_or_else(|| panic!("no new key in {said}"))
            .to_owned(),
        ..old.clone()
    };
    assert_ne!(new.secret, old.secret);
    becomes(&gateway, &new, 200).await;
    assert_eq!(status(&gateway, &old).await, 200);
    gateway.finish().await;
}

#[tokio::test]
async fn secrets_are_not_shown_again_and_not_stored() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.key();
    let listed = gateway.command(&["keys", "list", "--data-dir", "data"]);
    let shown = keys(&gateway, "show", &key.id, &[]);
    assert!(listed.stdout.contains(&key.id) && shown.contains(&key.id));
    assert!(!listed.stdout.contains(&key.secret) && !shown.contains(&key.secret));
    let secret = key
        .secret
        .rsplit('_')
        .next()
        .expect("the secret part")
        .as_bytes();
    for (name, bytes) in gateway.stored_files() {
        let found = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!found, "the secret stands in {}", name.display());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn keys_of_an_older_system_are_accepted_where_the_file_allows_it() {
    let upstream = Upstream::start().await;
    let opaque = ApiKey {
        organization: "lab".to_owned(),
        id: String::new(),
        secret: "labkey-0123456789abcdef".to_owned(),
    };
    for (allowed, expected) in [(true, 200), (false, 401)] {
        let setup = Setup::from(&upstream).with("auth.opaque_keys", allowed);
        let gateway = setup.start().await;
        gateway.write(
            "old.csv",
            "key,organization_id,plan,scopes\n\
            labkey-0123456789abcdef,lab,enterprise,*\n",
        );
        let imported = gateway.command(&["keys", "import", "old.csv", "--data-dir", "data"]);
        assert_eq!(imported.code, Some(0), "{imported:?}");
        becomes(&gateway, &opaque, expected).await;
        gateway.finish().await;
    }
}
