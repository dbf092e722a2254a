//! `gateway.yaml`: from text to a [`Config`] that is valid by construction, or to every reason why
//! not, each with its place.
//!
//! 1. `tree`: YAML within bounds, every key and value with its place.
//! 2. `shape`: the tree against the JSON Schema that editors are given; what departs is struck.
//! 3. `placed`, `file`: what is left as typed values, defaults filled in.
//! 4. `compile`: what the values mean: addresses, references, files, templates, contradictions.
//! 5. `advice`: what runs, but should be known about.
//!
//! One run reports all wrong keys and values of a file; only text that is no YAML stops at its
//! first error. Reads the files and environment variables the text names, and nothing else;
//! whether the rule files are right is for the rules to say.

mod advice;
mod body_path;
mod compile;
mod enrichment;
mod file;
mod findings;
mod model;
mod notifications;
mod placed;
mod rules;
mod schema;
mod shape;
mod sinks;
mod started;
mod stores;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use self::advice::ADVICE;
pub use self::body_path::{BodyPath, BodyPathError};
pub use self::enrichment::{Classification, GeoIpSettings, GraphClassification, Pii, classify};
use self::file::FileShape;
use self::findings::{Findings, Spot};
pub use self::model::{
    Admin, AuditSettings, AuthSettings, Cluster, Config, Durability, Endpoint, HealthCheck,
    Inspection, Kind, Listener, LogFormat, LogLevel, Otherwise, PlanSettings, Protocol,
    ProtocolLimits, Route, RowCount, Secret, ShutdownSettings, Source, TelemetrySettings, TlsFiles,
    TracesSettings, UpstreamTls, WhenFull,
};
pub use self::notifications::{Audience, NotifyForm, NotifySink};
pub use self::rules::{ComplexitySettings, RecordingSettings, RulesSettings};
pub use self::sinks::{
    ElasticsearchSink, FileSink, FluentdSink, Identity, LogstashSink, MongodbSink, MongodbTls,
    Server, Service, SinkKind, SinkSettings, SplunkSink, StartAt, SyslogFormat, SyslogSink,
    SyslogTransport, TlsClient,
};
use crate::diagnostic::{Diagnostic, Place};
use crate::now::Now;

/// Size of a configuration file; some 5,000 routes.
pub const FILE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A configuration that may run, and what should be known about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Doubtful values in file order, ids of [`ADVICE`].
    pub advice: Vec<Diagnostic>,
}

/// Reads and compiles a configuration file. Relative paths in it start from its folder.
///
/// # Errors
///
/// Every wrong key and value, in file order; at least one.
pub fn load(path: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let file_name = path.to_string_lossy();
    let whole_file = |reason: String| {
        let place = Place {
            file: file_name.as_ref().into(),
            line: 0,
            column: 0,
        };
        vec![Diagnostic::error(place, "", reason)]
    };
    let bytes = read_bounded(path, FILE_BYTES_MAX).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => whole_file("no such file".to_owned()),
        _ => whole_file(format!("cannot be read: {error}")),
    })?;
    let base_dir = path.parent().unwrap_or_else(|| Path::new(""));
    match std::str::from_utf8(&bytes) {
        Ok(text) => compile(&file_name, text, base_dir),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let mut findings = Findings::of(&file_name);
            findings.error_with_hint(end_of(before), "", "not UTF-8 text", "save it as UTF-8");
            Err(findings.into_errors())
        }
    }
}

/// Compiles a configuration text. `file_name` is what diagnostics call it; relative paths in it
/// start from `base_dir`.
///
/// # Errors
///
/// Every wrong key and value, in file order; at least one.
pub fn compile(file_name: &str, text: &str, base_dir: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let mut findings = Findings::of(file_name);
    let config = read_file_shape(text, &mut findings)
        .and_then(|file| compile::compile(file, base_dir, &mut findings));
    match config {
        Some(config) if findings.permit_start() => {
            advice::give(&config, Now::read(), &mut findings);
            let advice = findings.into_advice();
            Ok(Loaded { config, advice })
        }
        _ => Err(findings.into_errors()),
    }
}

/// The JSON Schema of the file: what editors check, and what [`compile`] enforces.
pub fn schema() -> serde_json::Value {
    schema::SCHEMA.clone()
}

/// The effective values as YAML, every default filled in. Compiles to the same configuration
/// from the same folder. Secrets are in files or the environment, never in it.
pub fn print(config: &Config) -> String {
    serde_saphyr::to_string(&*config.effective)
        .unwrap_or_else(|error| format!("# cannot be printed: {error}\n"))
}

/// The text's values in the shape of the file; what is wrong with the shape is reported.
fn read_file_shape(text: &str, findings: &mut Findings) -> Option<FileShape> {
    if text.len() > FILE_BYTES_MAX {
        let reason = format!("must have at most {FILE_BYTES_MAX} bytes: {}", text.len());
        findings.error(Spot::FILE_START, "", reason);
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = tree::read(text, findings)?;
    if matches!(root.value, tree::Value::Null) {
        let hint = "begin with `version: 1`";
        findings.error_with_hint(Spot::FILE_START, "", "the file is empty", hint);
        return None;
    }
    shape::check(&root, &schema::SCHEMA, "", findings);
    if root.struck.get() || findings.are_full() {
        return None;
    }
    match placed::read(&root) {
        Ok(file) => Some(file),
        Err(error) => {
            // The schema and the structs come from one source; should they ever disagree, nothing starts.
            findings.error(
                Spot::FILE_START,
                "",
                format!("cannot be understood: {error}"),
            );
            None
        }
    }
}

/// Reads a file, but no more than a bound.
fn read_bounded(path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    file.by_ref().take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::other(format!("larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// The place after these bytes.
fn end_of(bytes: &[u8]) -> Spot {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
    let last_line = bytes
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Spot {
        line: count(bytes.iter().filter(|byte| **byte == b'\n').count()),
        column: count(String::from_utf8_lossy(last_line).chars().count()),
    }
}
