//! Places and classifications.

use std::time::Duration;

use super::{Compiler, Seen, all, is_missing};
use crate::config::enrichment::{GeoIpSettings, GraphClassification};
use crate::config::file::{GeoIpShape, GraphShape};
use crate::config::placed::Placed;

impl Compiler<'_> {
    pub(super) fn geoip(&self, shape: Option<&Placed<GeoIpShape>>) -> Option<GeoIpSettings> {
        let shape = &shape?.value;
        (!is_missing(&shape.file)).then(|| GeoIpSettings {
            file: self.path(&shape.file),
            check: Duration::from_secs(shape.check_secs.value),
        })
    }

    pub(super) fn graphs(
        &mut self,
        shapes: &[Placed<GraphShape>],
    ) -> Option<Vec<GraphClassification>> {
        let mut seen = Seen::default();
        all(shapes.iter().map(|shape| {
            seen.once(&shape.value.graph, self.findings);
            (!is_missing(&shape.value.graph)).then(|| GraphClassification {
                graph: shape.value.graph.value.as_str().into(),
                classification: shape.value.classification.value,
            })
        }))
    }
}
