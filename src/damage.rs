//! Tells of damage to the audit log: what a start finds, and what verifying all of it finds, beside the requests.
//!
//! A start reads no more of a log than a crash may have touched. The rest is verified by a thread of its own, at the
//! start and once a day, by the same checks as `rg-gateway audit verify`, at a pace that leaves the disk to requests.
//! Each bad place is told once by a process: in an event, and in a line of the log; metrics and the status have it for
//! as long as it is there. It mends nothing, and the gateway goes on serving: that is for people to judge.

use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io, thread};

use serde_json::{Value, json};

use crate::audit::log::{Pace, Stop};
use crate::audit::proof::Trust;
use crate::audit::{AuditEvent, Bad, Log, LogFile, Severity};
use crate::now::Now;
use crate::random::time_ordered_id;

/// The event that tells of it.
pub(crate) const LOG_DAMAGED: &str = "audit.log.damaged";
/// How fast the log is read: 10 GiB take some twelve minutes.
const BYTES_PER_SECOND: u64 = 16 << 20;
/// Time from the end of a verification to the next.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The same after one that could not read the log.
const RETRY_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Places one event names; it counts the others.
const PLACES_MAX: usize = 10;

/// How a bad place was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    AtStart,
    ByVerification,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtStart => "start",
            Self::ByVerification => "verification",
        })
    }
}

/// Tells of what the start found, then has a thread verify the log until the answer is dropped.
///
/// # Errors
///
/// When there can be no thread.
pub(crate) fn watch(log: &Log, data_dir: PathBuf) -> io::Result<Stop> {
    let mut told = Told::default();
    tell(log, &mut told, &log.soundness().bad, Found::AtStart);
    let (pace, stop) = Pace::of(BYTES_PER_SECOND);
    let log = log.clone();
    let verify = move || {
        loop {
            let trust = Trust::of_data_folder(&data_dir);
            let verified = log.verify(&trust, &pace);
            if pace.wait(Duration::ZERO).is_err() {
                return;
            }
            let interval = match verified {
                Ok(bad) => {
                    tell(&log, &mut told, &bad, Found::ByVerification);
                    INTERVAL
                }
                Err(error) => {
                    tracing::error!(%error, "the audit log could not be verified");
                    RETRY_INTERVAL
                }
            };
            if pace.wait(interval).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("audit-verify".to_owned())
        .spawn(verify)?;
    Ok(stop)
}

/// The bad places people were told of.
#[derive(Debug, Default)]
struct Told(Vec<Bad>);

impl Told {
    /// Those of the places that are news, which they are no longer.
    fn news(&mut self, bad: &[Bad]) -> Vec<Bad> {
        // Those that are gone would be news again.
        let is_told = |bad: &&Bad| self.0.iter().any(|told| is_same(told, bad));
        let news = bad.iter().filter(|bad| !is_told(bad)).copied().collect();
        self.0 = bad.to_vec();
        news
    }
}

/// Whether both are one place. A start and a verification see a missing event from either side of the gap.
fn is_same(one: &Bad, other: &Bad) -> bool {
    let in_events = |bad: &Bad| matches!(bad.file, LogFile::Segment(_) | LogFile::Folder);
    one == other || one.event_seq == other.event_seq && in_events(one) && in_events(other)
}

fn tell(log: &Log, told: &mut Told, bad: &[Bad], found: Found) {
    let news = told.news(bad);
    let Some(first) = news.first() else {
        return;
    };
    let places = news.len();
    tracing::error!(
        places,
        %first,
        "the audit log is damaged: keep a copy of its folder, and run `rg-gateway audit verify` on it"
    );
    let now = Now::read();
    let event = AuditEvent::system(
        time_ordered_id(now),
        now.unix_micros,
        Severity::Critical,
        LOG_DAMAGED,
        details(&news, found),
    );
    if let Err(error) = log.append(&event) {
        tracing::error!(%error, what = LOG_DAMAGED, "audit event not written");
    }
}

fn details(bad: &[Bad], found: Found) -> Value {
    let place = |bad: &Bad| {
        json!({
            "file": bad.file.to_string(),
            "offset": bad.offset,
            "sequence": bad.event_seq,
            "reason": bad.reason.to_string(),
        })
    };
    let listed: Vec<Value> = bad.iter().take(PLACES_MAX).map(place).collect();
    json!({"found_by": found.to_string(), "places": bad.len(), "first_places": listed})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::BadReason;

    fn bad(file: LogFile, offset: u64, event_seq: u64, reason: BadReason) -> Bad {
        Bad {
            file,
            offset,
            event_seq,
            reason,
        }
    }

    #[test]
    fn a_place_is_news_once_until_it_was_gone() {
        let flipped = bad(LogFile::Segment(1), 96, 5, BadReason::Damaged);
        let index = bad(LogFile::Index(1), 0, 5, BadReason::Index);
        let mut told = Told::default();
        assert_eq!(told.news(&[flipped]), [flipped]);
        assert_eq!(told.news(&[flipped, index]), [index]);
        assert_eq!(told.news(&[index, flipped]), []);
        assert_eq!(told.news(&[]), []);
        assert_eq!(told.news(&[flipped]), [flipped]);
    }

    #[test]
    fn missing_events_are_one_place_whoever_finds_them() {
        let by_start = bad(LogFile::Folder, 0, 7, BadReason::Truncated);
        let by_verification = bad(LogFile::Segment(3), 0, 7, BadReason::Gap);
        let mut told = Told::default();
        assert_eq!(told.news(&[by_start]), [by_start]);
        assert_eq!(told.news(&[by_verification]), []);
    }

    #[test]
    fn an_event_names_the_first_places_and_counts_the_rest() {
        let many: Vec<Bad> = (1..=30)
            .map(|n| bad(LogFile::Segment(2), 100 * n, n, BadReason::Damaged))
            .collect();
        let details = details(&many, Found::ByVerification);
        assert_eq!(details["places"], 30);
        assert_eq!(details["first_places"].as_array().map(Vec::len), Some(10));
        let first = json!({"file": "000000000002.seg", "offset": 100, "sequence": 1, "reason": "damaged bytes"});
        assert_eq!(details["first_places"][0], first);
        assert_eq!(details["found_by"], "verification");
    }
}
