//! Whether the gateway takes requests, and how its audit log fares.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use crate::app::App;
use crate::audit::{Log, Standing, timestamp};
use crate::telemetry::metrics::AuditFigures;

/// 200 while new requests are welcome; else 503 with the reason in words.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.is_ready() {
        return (StatusCode::OK, "ready\n");
    }
    let reason = match app.audit.standing() {
        Standing::Full => "not ready: the audit log is full\n",
        Standing::Behind => "not ready: the disk cannot keep up with the audit log\n",
        Standing::Failing => "not ready: the audit log cannot be written\n",
        Standing::Writable | Standing::Closed => "not ready\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, reason)
}

/// The figures of the audit log.
pub(super) async fn audit_status(State(app): State<Arc<App>>) -> Response {
    let (stats, soundness) = (app.audit.stats(), app.audit.soundness());
    let snapshot = app.snapshot();
    super::json(&json!({
        "standing": app.audit.standing(),
        "bytes": stats.bytes,
        "bytes_max": snapshot.config.audit.total_bytes_max,
        "segments": stats.segments,
        "first_sequence": stats.first_sequence,
        "last_sequence": stats.last_sequence,
        "synced_sequence": stats.synced_sequence,
        "signed_sequence": stats.signed_sequence,
        "history_broken": stats.history_broken,
        "verified_at": soundness.verified_micros.map(rfc3339),
        "damaged_places": soundness.bad.len(),
        "first_damaged_place": soundness.bad.first().map(ToString::to_string),
        "since_start": {
            "events": stats.events_appended,
            "events_refused": stats.events_refused,
            "events_dropped": stats.events_dropped,
            "segments_abandoned": stats.segments_abandoned,
            "write_failures": stats.write_errors,
            "sync_failures": stats.sync_errors,
            "sign_failures": stats.sign_errors,
        },
    }))
}

fn rfc3339(unix_micros: i64) -> String {
    String::from_utf8_lossy(&timestamp::text(unix_micros)).into_owned()
}

/// The same for metrics.
pub(crate) fn audit_figures(log: &Log) -> AuditFigures {
    let (stats, standing, soundness) = (log.stats(), log.standing(), log.soundness());
    AuditFigures {
        bytes: stats.bytes,
        full: standing == Standing::Full,
        failing: standing == Standing::Failing,
        events_dropped: stats.events_dropped,
        sync_failures: stats.sync_errors,
        sign_failures: stats.sign_errors,
        unsigned_events: stats.last_sequence.saturating_sub(stats.signed_sequence),
        history_broken: stats.history_broken,
        damaged_places: soundness.bad.len() as u64,
        verified_secs: soundness.verified_micros.unwrap_or(0).div_euclid(1_000_000),
    }
}
