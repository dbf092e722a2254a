//! The proof on a real directory: signed as it grows, proved event by event, kept when history is dropped.

use super::*;
use crate::audit::proof::{Hash, signed_by};

/// A closed log's newest checkpoint, opened.
fn newest(dir: &Path) -> TreeHead {
    let keys = signed_by::keys(dir).unwrap();
    let text = signed_by::newest_checkpoint(dir).unwrap().unwrap();
    signed_by::open_checkpoint(&text, &keys).unwrap()
}

fn events(dir: &Path) -> Vec<RawEvent> {
    read_all(dir).map(Result::unwrap).collect()
}

#[test]
fn a_closed_log_is_signed_to_its_last_event() {
    let dir = written(300);
    assert_eq!(newest(dir.path()).size, 300);
    let verification = verify(dir.path(), &Trust::default()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    assert_eq!(verification.signed.unwrap(), newest(dir.path()));
}

#[test]
fn every_event_is_proved_and_no_other() {
    let dir = written(70);
    let keys = signed_by::keys(dir.path()).unwrap();
    let earlier = newest(dir.path());
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    for n in 71..=200 {
        log.append(&event(n)).unwrap();
    }
    log.close();
    for event in events(dir.path()) {
        let proof = prove_dir(dir.path(), &event, Some(70)).unwrap();
        let text = serde_json::to_string(&proof).unwrap();
        let proof: Proof = serde_json::from_str(&text).unwrap();
        let head = proof.check(&keys, Some(&earlier)).unwrap();
        assert_eq!(head.size, 200);
        let changed = Proof {
            event: proof.event.replace("POST", "GETT"),
            ..proof.clone()
        };
        assert_eq!(changed.check(&keys, None), Err(Unproved::Event));
        let moved = Proof {
            sequence: proof.sequence % 200 + 1,
            ..proof.clone()
        };
        assert_eq!(moved.check(&keys, None), Err(Unproved::Inclusion));
        let other = TreeHead {
            root: Hash::of_nothing(),
            ..earlier.clone()
        };
        assert_eq!(proof.check(&keys, Some(&other)), Err(Unproved::Consistency));
        assert!(matches!(
            proof.check(&[], None),
            Err(Unproved::Checkpoint(_))
        ));
    }
}

#[test]
fn the_log_goes_on_with_its_tree_whatever_became_of_the_stored_one() {
    let dir = written(100);
    let tree = dir.path().join("tree-000000000000");
    let whole = fs::read(&tree).unwrap();
    for broken in [Vec::new(), whole[..1000].to_vec(), vec![7; whole.len()]] {
        fs::write(&tree, broken).unwrap();
        let (log, recovery) = Log::open(&options(dir.path())).unwrap();
        assert!(!recovery.signature_broken);
        log.append(&event(1000)).unwrap();
        log.close();
        let verification = verify(dir.path(), &Trust::default()).unwrap();
        assert!(verification.is_sound(), "{verification:?}");
    }
}

#[test]
fn proofs_and_verification_outlive_dropped_history() {
    let dir = tempfile::tempdir().unwrap();
    let log = dropping_oldest(dir.path(), 1000);
    assert!(log.stats().events_dropped > 0);
    let keys = signed_by::keys(dir.path()).unwrap();
    let kept = events(dir.path());
    let proof = prove_dir(dir.path(), &kept[0], Some(1)).unwrap();
    proof.check(&keys, None).unwrap();
    // Reopened, the tree goes on from what is stored of the dropped events.
    let (log, recovery) = Log::open(&small(dir.path())).unwrap();
    assert!(recovery.is_clean(), "{recovery:?}");
    log.close();
    assert!(verify(dir.path(), &Trust::default()).unwrap().is_sound());
}

#[test]
fn a_key_that_changes_is_published_beside_the_old_one() {
    let dir = written(10);
    fs::remove_file(dir.path().join("signing.key")).unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    log.append(&event(11)).unwrap();
    log.close();
    let keys = signed_by::keys(dir.path()).unwrap();
    assert_eq!(keys.len(), 2);
    assert!(verify(dir.path(), &Trust::default()).unwrap().is_sound());
    // Whoever trusts the first key only is told of the second.
    let trust = Trust {
        keys: Some(keys[..1].to_vec()),
        ..Trust::default()
    };
    let bad = verify(dir.path(), &trust).unwrap().first_bad.unwrap();
    assert_eq!((bad.event_seq, bad.reason), (11, BadReason::Signature));
}

#[tokio::test]
async fn signed_completes_soon_after_an_event() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let position = log.append(&event(1)).unwrap();
    log.signed(position).await.unwrap();
    assert!(newest(dir.path()).size >= position.0);
    log.close();
    assert!(matches!(
        log.signed(Position(2)).await,
        Err(AppendError::Closed)
    ));
}
