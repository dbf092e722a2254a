//! Erasure on a real directory: the data is gone, and everything else is proved as before.

use super::*;
use crate::audit::log::format::Frame;
use crate::audit::log::frames::{Frames, Step};
use crate::audit::verify::BadReason;
use crate::erasure::{Request, Summary};
use crate::notes::Actor;

pub(super) async fn erase(log: &Log, request: Request) -> Result<Summary, EraseError> {
    let elsewhere = Path::new("/nonexistent");
    crate::erasure::erase(log, elsewhere, request).await
}

pub(super) fn of_text(text: &str) -> Request {
    Request {
        search: Search {
            text: Some(text.to_owned()),
            ..Search::default()
        },
        ..of("", false)
    }
}

fn of(organization: &str, dry_run: bool) -> Request {
    Request {
        search: Search {
            organization_id: Some(organization.to_owned()),
            ..Search::default()
        },
        extent: Extent::Whole,
        actor: Actor::named("test"),
        reason: "request 17".to_owned(),
        dry_run,
    }
}

fn hold(dir: &Path, text: &str) -> bool {
    let bytes = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.unwrap().path()).unwrap();
    fs::read_dir(dir)
        .unwrap()
        .any(|entry| memchr::memmem::find(&bytes(entry), text.as_bytes()).is_some())
}

#[tokio::test]
async fn erased_events_are_gone_and_all_others_stay_proved() {
    let dir = written(300);
    let before: Vec<RawEvent> = read_all(dir.path()).map(Result::unwrap).collect();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    // Some of them are in the segment being written.
    for n in 301..=330 {
        log.append(&event(n)).unwrap();
    }
    let expected = (1..=330_u64).filter(|n| n % 4 != 0 && n % 5 == 3).count() as u64;
    let counted = erase(&log, of("org-3", true)).await.unwrap();
    assert_eq!((counted.found, counted.erased), (expected, 0));
    let done = erase(&log, of("org-3", false)).await.unwrap();
    assert_eq!((done.found, done.erased), (expected, expected));
    assert!(done.segments > 2, "{done:?}");
    assert!(!hold(dir.path(), "org-3"), "no file has it any more");
    assert!(hold(dir.path(), "request 17"), "the record says why");

    // Search and reading go on without them, at once.
    let page = |organization: &str| {
        let found = log.search(&of(organization, true).search).unwrap();
        found.events.len()
    };
    assert_eq!((page("org-3"), page("org-2")), (0, 50));
    let again = erase(&log, of("org-3", false)).await.unwrap();
    assert_eq!((again.found, again.erased), (0, 0));
    log.close();

    let verification = verify(dir.path(), &Trust::default()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    assert_eq!(verification.erased, expected);
    let keys = signed_by::keys(dir.path()).unwrap();
    for event in before
        .iter()
        .filter(|event| !event.json.get().contains("org-3"))
    {
        let proof = prove_dir(dir.path(), event, None).unwrap();
        proof.check(&keys, None).unwrap();
    }
    let (log, recovery) = Log::open(&options(dir.path())).unwrap();
    assert!(recovery.is_clean(), "{recovery:?}");
    assert_eq!(
        log.search(&of("org-2", true).search).unwrap().events.len(),
        50
    );
}

#[tokio::test]
async fn an_erasure_must_name_what_it_means() {
    let dir = written(3);
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let request = Request {
        search: Search {
            to: Some(i64::MAX),
            ..Search::default()
        },
        ..of("", false)
    };
    let refused = erase(&log, request).await;
    assert!(matches!(refused, Err(EraseError::TooBroad)), "{refused:?}");
}

#[tokio::test]
async fn who_asked_for_an_address_is_erased_with_it() {
    let dir = written(3);
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let parameters = serde_json::json!({"source_ip": "203.0.2.77"});
    let reader = Actor::named("ann");
    crate::notes::read(&log, crate::notes::Read::Searched, &reader, &parameters);
    let request = Request {
        search: Search {
            source_ip: Some("203.0.2.77".parse().unwrap()),
            ..Search::default()
        },
        ..of("", false)
    };
    assert_eq!(erase(&log, request).await.unwrap().erased, 1);
    assert!(!hold(dir.path(), "203.0.2.77"), "not in the search either");
}

#[tokio::test]
async fn a_personal_part_is_erased_and_the_event_stays_proved() {
    let dir = written(100);
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let personal = || Request {
        extent: Extent::Personal,
        ..of("org-3", false)
    };
    let done = erase(&log, personal()).await.unwrap();
    assert_eq!((done.found, done.erased), (15, 15));
    let again = erase(&log, personal()).await.unwrap();
    assert_eq!(again.found, 0, "nothing personal is left");
    log.close();
    let verification = verify(dir.path(), &Trust::default()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    assert_eq!((verification.redacted, verification.erased), (15, 0));

    let keys = signed_by::keys(dir.path()).unwrap();
    for event in read_all(dir.path()).map(Result::unwrap) {
        let proof = prove_dir(dir.path(), &event, None).unwrap();
        proof.check(&keys, None).unwrap();
        let read: AuditEvent<'_> = serde_json::from_str(event.json.get()).unwrap();
        let is_redacted = read.organization_id.as_deref() == Some("org-3");
        assert_eq!(is_redacted, read.source_ip == Source::Erased);
        assert_eq!(is_redacted, read.user_agent == "erased");
        // What is left says nothing of what was there: only with the salt could a guess be tried.
        let kept = proof.parts.salt.is_some();
        assert_eq!(is_redacted, !kept && proof.parts.commitment.is_some());
    }
    // What is left can be found and erased as a whole.
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    assert_eq!(
        log.search(&of("org-3", true).search).unwrap().events.len(),
        15
    );
    let done = erase(&log, of("org-3", false)).await.unwrap();
    assert_eq!(done.erased, 15);
    log.close();
    let verification = verify(dir.path(), &Trust::default()).unwrap();
    assert!(verification.is_sound(), "{verification:?}");
    assert_eq!((verification.redacted, verification.erased), (0, 15));
}

/// One segment with an event put in another's place.
fn replaced(dir: &Path, sequence: u64, leave: impl Fn(&Frame<'_>, &mut Vec<u8>)) {
    let path = dir.join("000000000001.seg");
    let bytes = fs::read(&path).unwrap();
    let mut out = bytes[..HEADER_BYTES].to_vec();
    for step in Frames::new(&bytes, HEADER_BYTES) {
        let Step::Frame { frame, .. } = step else {
            panic!("a whole log");
        };
        match frame.sequence == sequence {
            true => leave(&frame, &mut out),
            false => frame.encode(&mut out),
        }
    }
    fs::write(&path, out).unwrap();
}

#[tokio::test]
async fn what_was_recorded_as_redacted_may_not_be_gone_as_a_whole() {
    let dir = written(20);
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let request = Request {
        extent: Extent::Personal,
        ..of("org-3", false)
    };
    erase(&log, request).await.unwrap();
    log.close();
    replaced(dir.path(), 13, |frame, out| {
        frame.erased(&frame.digest()).encode(out);
    });
    let bad = verify(dir.path(), &Trust::default()).unwrap().first_bad;
    let bad = bad.map(|bad| (bad.event_seq, bad.reason));
    assert_eq!(bad, Some((13, BadReason::Erased)));
}

#[test]
fn an_event_redacted_by_somebody_else_is_named() {
    let dir = written(20);
    replaced(dir.path(), 9, |frame, out| {
        let (payload, parts) = frame.parts().redacted(frame.payload).unwrap();
        frame.redacted(&payload, &parts).encode(out);
    });
    let bad = verify(dir.path(), &Trust::default()).unwrap().first_bad;
    let bad = bad.map(|bad| (bad.event_seq, bad.reason));
    assert_eq!(bad, Some((9, BadReason::Erased)));
}

#[test]
fn an_event_erased_by_somebody_else_is_named() {
    let dir = written(20);
    replaced(dir.path(), 7, |frame, out| {
        frame.erased(&frame.digest()).encode(out);
    });
    let bad = verify(dir.path(), &Trust::default()).unwrap().first_bad;
    let bad = bad.map(|bad| (bad.event_seq, bad.reason));
    assert_eq!(bad, Some((7, BadReason::Erased)));
}
