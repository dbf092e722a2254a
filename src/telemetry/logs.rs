//! Structured logs of the process on standard error.
//!
//! Lifecycle and trouble only: the audit record and the span speak for the single request. Lines
//! are written by whoever logs, so nothing is queued and nothing is lost when the process dies.

use std::io;

use log::{LevelFilter, Log, Metadata, Record};
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// The least severe line that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Records lost, or a person is needed.
    Error,
    /// Unexpected and recovered.
    Warn,
    /// Lifecycle.
    #[default]
    Info,
    /// For finding faults; may write several lines a request.
    Debug,
}

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Something in this process has claimed the logs already.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Sends this process's logs to standard error from now on, those of its libraries among them.
///
/// Libraries are held one level stricter than the gateway: they speak of single connections at
/// the level the gateway keeps for its lifecycle.
///
/// # Errors
/// [`LogError::AlreadySet`] on a second call in one process.
pub fn init(format: LogFormat, level: LogLevel) -> Result<(), LogError> {
    let (filter, libraries) = filters(level);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr);
    let set = match format {
        LogFormat::Json => {
            let json = subscriber.json().flatten_event(true);
            let json = json.with_current_span(false).with_span_list(false);
            tracing::subscriber::set_global_default(json.finish())
        }
        LogFormat::Text => tracing::subscriber::set_global_default(subscriber.finish()),
    };
    set.map_err(|_| LogError::AlreadySet)?;
    log::set_logger(&Bridge).map_err(|_| LogError::AlreadySet)?;
    log::set_max_level(libraries);
    Ok(())
}

/// The filter of a level, for lines of `tracing` and for those of libraries that use `log`.
fn filters(level: LogLevel) -> (&'static str, LevelFilter) {
    match level {
        LogLevel::Error => ("error", LevelFilter::Error),
        LogLevel::Warn => ("error,rg_gateway=warn,library=error", LevelFilter::Error),
        LogLevel::Info => ("warn,rg_gateway=info,library=warn", LevelFilter::Warn),
        LogLevel::Debug => ("info,rg_gateway=debug,library=info", LevelFilter::Info),
    }
}

/// Passes lines of the `log` crate, which Pingora writes, on to `tracing`.
///
/// Their target becomes a field: `tracing` wants its own targets known when compiled.
struct Bridge;

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (module, message) = (record.target(), record.args());
        match record.level() {
            log::Level::Error => tracing::error!(target: "library", module, "{message}"),
            log::Level::Warn => tracing::warn!(target: "library", module, "{message}"),
            log::Level::Info => tracing::info!(target: "library", module, "{message}"),
            log::Level::Debug | log::Level::Trace => {
                tracing::debug!(target: "library", module, "{message}");
            }
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn every_level_is_a_filter_without_a_fault() {
        for level in [
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
        ] {
            let (filter, _) = filters(level);
            assert!(EnvFilter::builder().parse(filter).is_ok(), "{level:?}");
        }
    }

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_a_library_keeps_its_text_level_and_target() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        log::set_max_level(LevelFilter::Warn);
        tracing::subscriber::with_default(subscriber, || {
            for level in [log::Level::Warn, log::Level::Info] {
                let mut record = Record::builder();
                record.level(level).target("pingora_core::server");
                Bridge.log(&record.args(format_args!("peer \"gone\"")).build());
            }
        });
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 1, "{written}");
        let line: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "peer \"gone\"");
        assert_eq!(line["module"], "pingora_core::server");
        assert_eq!(line["target"], "library");
    }
}
