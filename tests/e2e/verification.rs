//! Additional verification: a one-time code is demanded, clears for a time, and counts once.

use http::Method;
use rg_gateway::now::Now;
use ring::hmac;
use serde_json::{Value, json};

use crate::penalties::{event, penalties, say, setup};
use crate::support::{Answer, Gateway, Upstream, eventually, part};

const ATTACKER: &str = "203.0.113.7";

/// Enrols the usual key as an operator would, and waits until the gateway knows; its secret, base 32.
async fn enrol(gateway: &Gateway) -> String {
    let id = gateway.key().id.clone();
    let command = ["keys", "verification", "enrol", &id, "--data-dir", "data"];
    let outcome = gateway.command(&command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let (_, rest) = outcome.stdout.split_once("secret=").expect("an address");
    let secret = rest.split('&').next().expect("a secret").to_owned();
    assert_eq!(
        gateway.command(&command).code,
        Some(1),
        "enrolled once, unless told otherwise"
    );
    eventually("the gateway to know of it", async || {
        let answer = say(gateway, "additionalverification", ATTACKER).await;
        assert_eq!(answer.refused(403), "verification-required");
        (!detail(&answer).contains("not enrolled")).then_some(())
    })
    .await;
    secret
}

fn detail(answer: &Answer) -> String {
    answer.problem()["detail"]
        .as_str()
        .expect("text")
        .to_owned()
}

/// The code of this moment, worked out apart from the gateway's own arithmetic.
fn code(base32: &str) -> String {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        _ => c - b'2' + 26,
    };
    let bits: Vec<u8> = base32
        .bytes()
        .flat_map(|c| (0..5).rev().map(move |bit| digit(c) >> bit & 1))
        .collect();
    let bytes = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    let secret: Vec<u8> = bits.chunks_exact(8).map(bytes).collect();
    let step = Now::read().unix_secs().cast_unsigned() / 30;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 15);
    let word = u32::from_be_bytes(tag[offset..offset + 4].try_into().expect("four bytes"));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

/// A code that no step near this moment has.
fn wrong_code(base32: &str) -> String {
    let right: u32 = code(base32).parse().expect("digits");
    format!("{:06}", (right + 500_000) % 1_000_000)
}

async fn present(gateway: &Gateway, code: &str, from: &str) -> Answer {
    let request = gateway
        .request(Method::GET, "/v1/graphs?q=calm")
        .header("x-forwarded-for", from)
        .header("x-rg-verification", code);
    gateway.send(request).await
}

#[tokio::test]
async fn a_code_is_demanded_and_clears_the_key_in_its_network() {
    let upstream = Upstream::start().await;
    let gateway = setup(&upstream).start().await;
    let first = say(&gateway, "additionalverification", ATTACKER).await;
    assert_eq!(first.refused(403), "verification-required");
    let secret = enrol(&gateway).await;
    assert_eq!(upstream.requests().len(), 0, "nothing went upstream");
    let calm = say(&gateway, "calm", ATTACKER).await;
    assert_eq!(calm.refused(403), "verification-required");
    assert_eq!(say(&gateway, "calm", "198.51.100.7").await.status, 200);

    let wrong = present(&gateway, &wrong_code(&secret), ATTACKER).await;
    assert_eq!(wrong.refused(403), "verification-required");
    let refused = gateway.audit_of(&wrong).await;
    assert_eq!(refused["event_type"], "authentication");
    assert_eq!(refused["severity"], "warning");
    assert_eq!(refused["refusal_code"], "verification-required");

    let code = code(&secret);
    let right = present(&gateway, &code, ATTACKER).await;
    assert_eq!(right.status, 200, "{right:?}");
    assert_eq!(say(&gateway, "calm", ATTACKER).await.status, 200);
    // Cleared for a while, also for what asked for it.
    let again = say(&gateway, "additionalverification", ATTACKER).await;
    assert_eq!(again.status, 200);

    let accepted = event(&gateway, "verification.accepted").await;
    assert_eq!(accepted["event_type"], "authentication");
    assert_eq!(accepted["source_ip"], ATTACKER);
    let own = gateway.audit_of(&right).await;
    assert_eq!(accepted["details"]["event_id"], own["event_id"]);
    for request in upstream.requests() {
        assert_eq!(request.field("x-rg-verification"), "");
    }
    let metrics = gateway.metrics().await;
    for sample in [
        r#"rg_verification_codes_total{result="accepted"} 1"#,
        r#"rg_verification_codes_total{result="wrong"} 1"#,
    ] {
        assert!(metrics.contains(sample), "{sample}\n{metrics}");
    }
    assert_not_stored(&gateway, &secret);
    for event in gateway.exported() {
        let text = event.to_string();
        assert!(!text.contains(&format!("\"{code}\"")), "{event}");
    }
    gateway.finish().await;
}

/// Neither the secret nor its text is in any file, and no command shows it again.
fn assert_not_stored(gateway: &Gateway, base32: &str) {
    for (name, bytes) in gateway.stored_files() {
        let found = bytes
            .windows(base32.len())
            .any(|window| window == base32.as_bytes());
        assert!(!found, "the secret stands in {}", name.display());
    }
    let id = gateway.key().id.clone();
    let shown = gateway.command(&["keys", "show", &id, "--json", "--data-dir", "data"]);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(shown["verification_enrolled"], json!(true));
    assert!(!shown.to_string().contains(base32));
}

#[tokio::test]
async fn a_code_counts_once_even_across_a_kill() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream).with("penalties", json!({"verified_secs": 1}));
    let mut gateway = setup.start().await;
    let secret = enrol(&gateway).await;
    let code = code(&secret);
    assert_eq!(present(&gateway, &code, ATTACKER).await.status, 200);
    gateway.signal("KILL");
    gateway.exit().await;
    gateway.restart().await;
    // The demand comes back when the second has passed; the used code does not help.
    eventually("the demand to come back", async || {
        (say(&gateway, "calm", ATTACKER).await.status == 403).then_some(())
    })
    .await;
    let replayed = present(&gateway, &code, ATTACKER).await;
    assert_eq!(replayed.refused(403), "verification-required");
    assert!(detail(&replayed).contains("used before"), "{replayed:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_row_of_wrong_codes_closes_the_key_s_codes_for_a_time() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream).with("penalties", json!({"wrong_codes_max": 3}));
    let gateway = setup.start().await;
    let secret = enrol(&gateway).await;
    for _ in 0..3 {
        let answer = present(&gateway, &wrong_code(&secret), ATTACKER).await;
        assert_eq!(answer.refused(403), "verification-required");
    }
    // Hopping to another network does not give further guesses.
    let elsewhere = "198.51.100.7";
    say(&gateway, "additionalverification", elsewhere).await;
    for from in [ATTACKER, elsewhere] {
        let locked = present(&gateway, &code(&secret), from).await;
        assert_eq!(locked.refused(403), "verification-required");
        let wait: u32 = locked.field("retry-after").parse().expect("seconds");
        assert!((800..=900).contains(&wait), "{wait}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_demand_is_lifted_for_a_key_that_has_no_authenticator() {
    let upstream = Upstream::start().await;
    let gateway = setup(&upstream).start().await;
    say(&gateway, "additionalverification", ATTACKER).await;
    let answer = present(&gateway, "123456", ATTACKER).await;
    assert_eq!(answer.refused(403), "verification-required");
    assert!(detail(&answer).contains("not enrolled"), "{answer:?}");
    let listed = penalties(&gateway).await;
    assert_eq!(listed[0]["kind"], "additional_verification");
    let id = listed[0]["penalty_id"].as_str().expect("an id");
    let path = format!("/penalties/{id}");
    assert_eq!(gateway.admin(Method::DELETE, &path).await.status, 200);
    assert_eq!(say(&gateway, "calm", ATTACKER).await.status, 200);
    gateway.finish().await;
}

#[tokio::test]
async fn the_codes_of_another_authenticator_are_accepted() {
    let upstream = Upstream::start().await;
    let gateway = setup(&upstream).start().await;
    let secret = enrol(&gateway).await;
    let arguments = ["--totp", "--base32", &secret].map(str::to_owned);
    let Some(code) = part("oathtool", arguments.to_vec(), String::new()).await else {
        return;
    };
    let answer = present(&gateway, code.trim(), ATTACKER).await;
    assert_eq!(answer.status, 200, "{code}: {answer:?}");
    gateway.finish().await;
}
