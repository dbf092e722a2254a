//! Erasures in the schedules: recorded, then carried out, with a disk that may fail at any step.

use std::io;

use super::super::erase::{Eraser, Extent};
use super::super::format::{Frame, HEADER_BYTES, Kind};
use super::super::frames::{Frames, Step};
use super::super::segments::segment_name;
use super::super::storage::read_whole;
use super::{DROPPED, World};

impl World {
    /// Erases every third event of a sealed segment, wholly or in part.
    pub(super) fn erase(&mut self) {
        let Some(writer) = &self.writer else {
            return;
        };
        let (segments, through) = writer.erasable();
        let chosen = segments.get(self.random.below(segments.len()));
        let Some((ordinal, end)) = chosen.copied() else {
            return;
        };
        let third = self.random.below(3) as u64;
        let extent = [Extent::Whole, Extent::Personal][self.random.below(2)];
        let bytes = read_whole(&*self.storage, &segment_name(ordinal)).unwrap();
        let meant: Vec<Frame<'_>> = Frames::new(&bytes, HEADER_BYTES)
            .filter_map(|step| match step {
                Step::Frame { frame, .. } => Some(frame),
                Step::Damage { .. } => None,
            })
            .filter(|frame| frame.sequence < end && frame.sequence % 3 == third)
            .filter(|frame| holds(extent, frame))
            .collect();
        if meant.is_empty() || !self.record(extent, &meant) {
            return;
        }
        for frame in &meant {
            self.left_over.insert(frame.sequence, text(frame.payload));
            match frame.parts().redacted(frame.payload) {
                Some((line, _)) if extent == Extent::Personal => {
                    self.redacted.insert(frame.sequence, text(&line));
                }
                _ => {
                    self.gone.insert(frame.sequence);
                }
            }
        }
        let is_meant = |frame: &Frame<'_>| {
            meant.iter().any(|meant| meant.sequence == frame.sequence) && holds(extent, frame)
        };
        let eraser = Eraser {
            extent,
            through,
            wanted: &is_meant,
        };
        if self.carry_out(&eraser, &segments).is_ok() {
            let is_meant = |sequence| meant.iter().any(|meant| meant.sequence == sequence);
            self.left_over.retain(|sequence, _| !is_meant(*sequence));
        }
    }

    fn carry_out(&mut self, eraser: &Eraser<'_>, segments: &[(u64, u64)]) -> io::Result<()> {
        for segment in segments {
            let prepared = eraser.prepare(&*self.storage, *segment)?;
            if let (Some((rewritten, _)), Some(writer)) = (prepared, &mut self.writer) {
                writer.replace(segment.0, &rewritten)?;
            }
        }
        self.storage.sync_directory()
    }

    /// Records what will be erased; whether that is durable.
    fn record(&mut self, extent: Extent, meant: &[Frame<'_>]) -> bool {
        let sequences: Vec<(u64, u64)> = meant
            .iter()
            .map(|frame| (frame.sequence, frame.sequence))
            .collect();
        let details = serde_json::json!({"extent": extent, "sequences": sequences});
        let before = self.last;
        self.append_json(format!("{RECORD},\"details\":{details}}}"));
        for _ in 0..6 {
            self.sync_step();
        }
        self.last > before && self.synced > before
    }
}

/// How every record begins.
const RECORD: &str = r#"{"endpoint":"audit.erasure.begun","method":"SYSTEM""#;

/// Whether there is something in a frame to erase.
fn holds(extent: Extent, frame: &Frame<'_>) -> bool {
    let holds_it = match extent {
        Extent::Whole => frame.kind.is_event(),
        Extent::Personal => frame.kind == Kind::Event && frame.parts().has_personal(frame.payload),
    };
    let records = [RECORD, DROPPED];
    holds_it
        && !records
            .iter()
            .any(|record| frame.payload.starts_with(record.as_bytes()))
}

fn text(payload: &[u8]) -> String {
    String::from_utf8(payload.to_vec()).unwrap()
}
