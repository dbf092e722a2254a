//! Settings that only a start reads. A reload keeps those in force, and says which the file has changed.

use std::sync::Arc;

use serde::Serialize;

use super::model::Config;

/// Keeps each setting of `$running`, as it is used and as it is printed, and names those that differ.
macro_rules! keep {
    ($new:ident, $running:ident: $($name:literal = $($model:ident).+, $($shape:ident).+;)*) => {{
        let mut pending = Vec::new();
        let file = Arc::make_mut(&mut $new.effective);
        $(
            let started = &$running.effective.$($shape).+;
            if text(&file.$($shape).+) != text(started) {
                pending.push($name);
                file.$($shape).+ = started.clone();
            }
            $new.$($model).+ = $running.$($model).+.clone();
        )*
        pending
    }};
}

impl Config {
    /// Keeps what only a start reads as the running configuration has it; the names of the settings that differ and
    /// so need a restart.
    pub fn keep_started(&mut self, running: &Self) -> Vec<&'static str> {
        let new = self;
        keep! { new, running:
            "data_dir" = data_dir, data_dir;
            "threads" = threads, threads;
            "listeners" = listeners, listeners;
            "admin.address" = admin.address, admin.value.address;
            "protocol.connections_max" = protocol.connections_max, protocol.value.connections_max;
            "protocol.connections_per_address_max" =
                protocol.connections_per_address_max, protocol.value.connections_per_address_max;
            "protocol.body_memory_bytes_max" =
                protocol.body_memory_bytes_max, protocol.value.body_memory_bytes_max;
            "auth.failures_per_minute_max" =
                auth.failures_per_minute_max, auth.value.failures_per_minute_max;
            "audit.durability" = audit.durability, audit.value.durability;
            "audit.signing_key_file" = audit.signing_key_file, audit.value.signing_key_file;
            "audit.encryption_key_file" = audit.encryption, audit.value.encryption_key_file;
            "audit.segment_bytes_max" = audit.segment_bytes_max, audit.value.segment_bytes_max;
            "audit.total_bytes_max" = audit.total_bytes_max, audit.value.total_bytes_max;
            "audit.when_full" = audit.when_full, audit.value.when_full;
            "telemetry" = telemetry, telemetry;
        }
    }
}

/// The setting as it is printed; its place in the file does not count.
fn text(setting: &impl Serialize) -> String {
    serde_json::to_string(setting).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, compile, print};

    fn config(more: &str) -> Config {
        let text = format!(
            "version: 1\nlisteners: [{{name: a, address: '127.0.0.1:0'}}]\n\
             clusters: [{{name: c, endpoints: [{{address: '127.0.0.1:9'}}]}}]\n\
             routes: [{{name: r, path: /, public: true}}]\n{more}"
        );
        compile("gateway.yaml", &text, Path::new("/tmp"))
            .expect("valid")
            .config
    }

    #[test]
    fn what_only_a_start_reads_stays_and_is_named() {
        let running = config("threads: 2\nadmin: {address: '127.0.0.1:9090'}\n");
        let mut new = config(
            "# moved down\n\nthreads: 3\nadmin: {address: '127.0.0.1:9091'}\naudit: {durability: synced}\n\
             telemetry: {log_level: warn}\nprotocol: {header_timeout_ms: 7000}\n",
        );
        let pending = new.keep_started(&running);
        assert_eq!(
            pending,
            ["threads", "admin.address", "audit.durability", "telemetry"]
        );
        assert_eq!(new.threads, 2);
        let printed = print(&new);
        assert!(
            printed.contains("127.0.0.1:9090") && !printed.contains("9091"),
            "{printed}"
        );
        assert!(printed.contains("header_timeout_ms: 7000"), "{printed}");
        assert!(new.keep_started(&running).is_empty());
    }
}
