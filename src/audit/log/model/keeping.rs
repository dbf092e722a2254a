//! What the keeper does beside syncing, in the schedules: making room, and closing.

use super::{DROPPED, World};

impl World {
    /// What the keeper does: the log makes room, and tells of it before it does.
    pub(super) fn keep_house(&mut self) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        writer.tick();
        let Some(dropped) = writer.to_record() else {
            return;
        };
        let (before, through) = (self.last, dropped.last_sequence);
        self.append_json(format!("{DROPPED}{through}}}}}"));
        if let Some(writer) = self.writer.as_mut().filter(|_| self.last > before) {
            writer.recorded(through, self.last);
        }
    }

    /// What the keeper does at the end.
    pub(super) fn close(&mut self) {
        self.sign();
        let Some(writer) = &mut self.writer else {
            return;
        };
        for job in writer.last_index_jobs() {
            job.run(&*self.storage);
        }
        drop(writer.mark_closed(0));
    }
}
