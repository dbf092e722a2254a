//! How long audit events are kept.

use super::{Compiler, narrow};
use crate::audit::Retention;
use crate::config::file::RetentionShape;
use crate::config::placed::Placed;

impl Compiler<'_> {
    pub(super) fn retention(
        &mut self,
        shape: Option<&Placed<RetentionShape>>,
    ) -> Option<Retention> {
        let shape = shape?;
        let tags = shape.value.tags.value.all();
        let retention = Retention {
            default_days: shape.value.default_days.as_ref().map(narrow),
            tags: tags
                .into_iter()
                .filter_map(|(tag, given)| Some((tag, narrow(given?))))
                .collect(),
        };
        if retention.shortest().is_none() {
            self.error_with_hint(
                shape,
                "names no number of days",
                "give default_days or the days of a tag; without retention, events are kept as long as there is room",
            );
            return None;
        }
        Some(retention)
    }
}
