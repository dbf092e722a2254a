//! Audit events of the gateway's own life: start, stop, reload, key changes, and who read the trail.
//!
//! Only the running gateway writes the log. What commands do reaches it within a second, or at the
//! gateway's next start: changes of keys through the key store's own journal, readings of the trail through a
//! spool file; at least once, so that a crash in between repeats an event rather than losing it.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde_json::{Value, json};

use crate::app::{App, Snapshot};
use crate::audit::{AuditEvent, EventType, Log, Recovery, Severity, Source};
use crate::diagnostic::Diagnostic;
use crate::geoip::Renewal;
use crate::keys::{KeyChange, KeyStore};
use crate::now::Now;
use crate::policy::mask;
use crate::random::time_ordered_id;

/// Changes taken over from the key store's journal at a time.
const JOURNAL_BATCH: u32 = 256;
/// Where commands leave their events.
const SPOOL: &str = "audit-spool.jsonl";
/// The spool while it is being taken over.
const SPOOL_TAKEN: &str = "audit-spool.taken.jsonl";

/// The gateway has started; what the log had to mend is told with it.
pub(crate) fn started(app: &App, recovery: &Recovery) {
    let severity = recovery.severity();
    if !recovery.is_clean() {
        tracing::warn!(?recovery, "the audit log was mended");
    }
    if app.snapshot().config.geoip.is_none() {
        tracing::info!(
            "no GeoIP database is configured: audit events do not know where clients are"
        );
    }
    let details = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "config_hash": app.snapshot().hash,
        "last_sequence": recovery.last_sequence,
        "torn_bytes": recovery.torn_bytes,
        "missing_events": recovery.missing_events,
        "damages": recovery.damages,
        "signature_broken": recovery.signature_broken,
    });
    append(
        &app.audit,
        &system(EventType::SystemEvent, severity, "gateway.started", details),
    );
}

/// The gateway stops; no event follows.
pub(crate) fn stopped(log: &Log) {
    append(
        log,
        &system(
            EventType::SystemEvent,
            Severity::Info,
            "gateway.stopped",
            json!({}),
        ),
    );
}

/// A reload took effect, or was refused and changed nothing: in the log of the process, and in the audit log.
pub(crate) fn reloaded(log: &Log, actor: &Actor, result: Result<&Snapshot, &[Diagnostic]>) {
    let by = &actor.name;
    let (severity, details) = match result {
        Ok(snapshot) => {
            let (hash, needs_restart) = (&snapshot.hash, &snapshot.needs_restart);
            if needs_restart.is_empty() {
                tracing::info!(config_hash = %hash, actor = by, "configuration reloaded");
                (
                    Severity::Info,
                    json!({"result": "reloaded", "config_hash": hash}),
                )
            } else {
                let names = needs_restart.join(", ");
                tracing::warn!(
                    config_hash = %hash, actor = by, needs_restart = %names,
                    "configuration reloaded, in part: some settings need a restart"
                );
                let details = json!({
                    "result": "reloaded", "config_hash": hash, "needs_restart": needs_restart,
                });
                (Severity::Warning, details)
            }
        }
        Err(diagnostics) => {
            for diagnostic in diagnostics {
                tracing::error!(%diagnostic, actor = by, "configuration refused, the old one goes on serving");
            }
            let errors: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            (
                Severity::Error,
                json!({"result": "refused", "errors": errors}),
            )
        }
    };
    let what = "configuration.reload";
    let event = system(EventType::ConfigurationChange, severity, what, details);
    append(log, &actor.of(event));
}

/// Another database says where clients are, or a file of one was refused.
pub(crate) fn places(app: &App, renewal: &Renewal) {
    let (severity, details) = match renewal {
        Renewal::Unchanged => return,
        Renewal::Loaded(found) => {
            tracing::info!(database_type = %found.database_type, "GeoIP database loaded");
            (
                Severity::Info,
                json!({"result": "loaded", "database": found}),
            )
        }
        Renewal::Removed => {
            tracing::info!("GeoIP database given up, places are unknown from now on");
            (Severity::Info, json!({"result": "removed"}))
        }
        Renewal::Refused { file, error } => {
            let serving = app.geoip.description();
            tracing::error!(
                file = %file.display(),
                %error,
                "GeoIP database refused, {}",
                if serving.is_some() { "the one before goes on" } else { "places are unknown" }
            );
            let error = error.to_string();
            let details = json!({"result": "refused", "error": error, "serving": serving});
            (Severity::Error, details)
        }
    };
    app.metrics
        .geoip_build(app.geoip.description().map_or(0, |found| found.build_epoch));
    let what = "geoip.database";
    append(
        &app.audit,
        &system(EventType::ConfigurationChange, severity, what, details),
    );
}

/// Who reads the audit trail, erases from it or has the configuration read anew, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    name: String,
    address: Option<IpAddr>,
}

impl Actor {
    /// A part of the gateway, or a signal that it was sent.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: None,
        }
    }

    /// Whoever calls the admin API: it knows its callers by their address alone.
    pub(crate) fn of_api(address: IpAddr) -> Self {
        Self {
            name: "admin API".to_owned(),
            address: Some(address),
        }
    }

    /// Whoever runs the command: the name the system has for him, or says to be his, and his user id.
    pub(crate) fn of_command() -> Self {
        let uid = fs::metadata("/proc/self").map(|own| own.uid()).ok();
        let known = uid.and_then(user_name);
        let name = known.or_else(|| std::env::var("USER").ok());
        let name = name.unwrap_or_else(|| "unknown".to_owned());
        let name = match uid {
            Some(uid) => format!("{name} (uid {uid})"),
            None => name,
        };
        Self {
            name,
            address: None,
        }
    }

    /// An event of what somebody did.
    fn of(&self, event: AuditEvent<'static>) -> AuditEvent<'static> {
        AuditEvent {
            source_ip: self.address.map_or(Source::System, Source::Address),
            actor: Some(self.name.clone().into()),
            ..event
        }
    }
}

/// The name of a user id in the system's list.
fn user_name(uid: u32) -> Option<String> {
    let list = fs::read_to_string("/etc/passwd").ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// How the audit trail was read; each is the name of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Searched,
    Tailed,
    Exported,
    Proved,
    Explained,
    Reported,
}

impl Read {
    fn what(self) -> &'static str {
        match self {
            Self::Searched => "audit.searched",
            Self::Tailed => "audit.tailed",
            Self::Exported => "audit.exported",
            Self::Proved => "audit.proved",
            Self::Explained => "audit.explained",
            Self::Reported => "audit.reported",
        }
    }
}

/// Somebody read the audit trail through the admin API.
pub(crate) fn read(log: &Log, read: Read, reader: &Actor, parameters: &Value) {
    append(log, &read_event(read, reader, parameters));
}

/// The record of an erasure: what it takes, who asked for it and why, but not what was searched for, which would
/// keep in the log what is to go from it.
pub(crate) fn erasure(what: &'static str, actor: &Actor, details: Value) -> AuditEvent<'static> {
    let (event_type, severity) = (EventType::ConfigurationChange, Severity::Warning);
    actor.of(system(event_type, severity, what, details))
}

/// Somebody asked the admin API for what its token guards, without it. A full log does not take it.
pub(crate) fn admin_refused(log: &Log, actor: &Actor, method: &str, path: &str) {
    let address = actor.address.map(|address| address.to_string());
    tracing::warn!(method, path, address, "admin API asked without its token");
    let details = json!({"method": clipped(method), "path": clipped(&mask::text(path))});
    let what = "admin.unauthorized";
    let event = AuditEvent {
        compliance_tags: vec!["authentication".into(), "security".into()],
        ..system(EventType::Authentication, Severity::Warning, what, details)
    };
    if let Err(error) = log.append_unless_full(&actor.of(event)) {
        tracing::error!(%error, what, "audit event not written");
    }
}

/// Somebody reads the audit trail from the command line. Told before anything is shown, so that nothing is shown untold.
///
/// # Errors
///
/// The spool cannot be written.
pub(crate) fn spool_read(data_dir: &Path, read: Read, parameters: &Value) -> io::Result<()> {
    spool(
        data_dir,
        &[read_event(read, &Actor::of_command(), parameters)],
    )
    .map_err(|error| {
        let file = data_dir.join(SPOOL);
        io::Error::new(
            error.kind(),
            format!(
                "reading the audit log is audited, and {}: {error}",
                file.display()
            ),
        )
    })
}

/// Takes the key store's journal of changes over into the log.
///
/// # Errors
///
/// The store or the log; what was not taken over stays in the journal.
pub(crate) fn take_key_journal(store: &mut KeyStore, log: &Log) -> Result<(), Box<dyn Error>> {
    loop {
        let changes = store.unaudited(JOURNAL_BATCH)?;
        let Some(last) = changes.last() else {
            return Ok(());
        };
        for change in &changes {
            log.append(&key_event(change))?;
        }
        store.mark_audited(last.sequence)?;
    }
}

fn read_event(read: Read, reader: &Actor, parameters: &Value) -> AuditEvent<'static> {
    let details = json!({"parameters": kept(parameters)});
    reader.of(system(
        EventType::SystemEvent,
        Severity::Info,
        read.what(),
        details,
    ))
}

/// Bytes of one parameter that are kept, and items of a list: whoever reads the trail cannot make the record of it too
/// large to keep.
const PARAMETER_BYTES_MAX: usize = 256;
const PARAMETER_ITEMS_MAX: usize = 16;

/// Parameters as they are kept: bounded, and without secrets and personal data, which a search may be for.
fn kept(parameters: &Value) -> Value {
    match parameters {
        Value::String(text) => clipped(&mask::text(text)).into(),
        Value::Array(items) => {
            let first = items.iter().take(PARAMETER_ITEMS_MAX).map(kept);
            let more = items.len().saturating_sub(PARAMETER_ITEMS_MAX);
            let more = (more > 0).then(|| format!("and {more} more").into());
            first.chain(more).collect()
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), kept(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(PARAMETER_BYTES_MAX))
        .unwrap_or(text)
}

fn key_event(change: &KeyChange) -> AuditEvent<'static> {
    let details = json!({
        "transition": change.transition.as_str(),
        "state": change.state.as_str(),
        "counterpart": change.counterpart.map(|id| id.to_string()),
        "reason": change.reason,
    });
    AuditEvent {
        timestamp: change.at_micros,
        organization_id: Some(change.organization_id.clone().into()),
        api_key_id: Some(change.key_id.to_string().into()),
        plan: Some(change.plan.clone().into()),
        actor: Some(change.by.clone().into()),
        ..system(
            EventType::ConfigurationChange,
            Severity::Info,
            "key.changed",
            details,
        )
    }
}

fn system(
    event_type: EventType,
    severity: Severity,
    what: &'static str,
    details: Value,
) -> AuditEvent<'static> {
    let now = Now::read();
    AuditEvent {
        event_type,
        ..AuditEvent::system(
            time_ordered_id(now),
            now.unix_micros,
            severity,
            what,
            details,
        )
    }
}

fn append(log: &Log, event: &AuditEvent<'_>) {
    if let Err(error) = log.append(event) {
        tracing::error!(%error, what = %event.endpoint, "audit event not written");
    }
}

fn spool(data_dir: &Path, events: &[AuditEvent<'_>]) -> io::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut lines = Vec::new();
    for event in events {
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    let mut file = options.open(data_dir.join(SPOOL))?;
    // One write, so that commands running at once do not cut into each other's lines.
    file.write_all(&lines)?;
    file.sync_data()
}

/// Takes over what commands have left.
pub(crate) fn take_spool(data_dir: &Path, log: &Log) {
    let taken = data_dir.join(SPOOL_TAKEN);
    // What an earlier take-over did not finish comes first.
    let taken_over = take(&taken, log)
        .and_then(|()| rename(&data_dir.join(SPOOL), &taken))
        .and_then(|()| take(&taken, log));
    if let Err(error) = taken_over {
        tracing::error!(%error, "audit spool not taken over");
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => renamed,
    }
}

fn take(taken: &Path, log: &Log) -> io::Result<()> {
    let file = match File::open(taken) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(file).lines() {
        let line = line?;
        match serde_json::from_str::<AuditEvent<'_>>(&line) {
            Ok(event) => {
                log.append(&event).map_err(io::Error::other)?;
            }
            Err(error) => tracing::error!(%error, "unreadable line in the audit spool"),
        }
    }
    fs::remove_file(taken)
}
