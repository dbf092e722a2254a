//! `rg-gateway audit` and `explain`: they read the data folder and need no running gateway.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::erase::EraseArguments;
use super::export::ExportArguments;
use super::proof::{self, VerifyArguments};
use super::{CliError, Outcome};
use crate::admin::{self, SearchParameters, search_of};
use crate::audit::project::{Format, project};
use crate::audit::{self, Page, Position, read_all, search_dir};
use crate::notes;

/// Events `tail` keeps at the most.
const LINES_MAX: usize = 100_000;
/// How often `tail` looks for new events.
const TAIL_POLL: Duration = Duration::from_millis(250);

/// Search, follow, export and verify the audit log.
#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Find events, newest first.
    Search {
        #[command(flatten)]
        parameters: Box<SearchParameters>,
        /// Print JSON lines instead of a table.
        #[arg(long)]
        json: bool,
        /// The words events are told in; others than our own are JSON lines.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Print the last events, oldest first.
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: usize,
        /// Go on as new events come.
        #[arg(short, long)]
        follow: bool,
    },
    /// Print events, oldest first; with --with-proof in a form that whoever has the public key can check.
    Export(Box<ExportArguments>),
    /// Erase events for good, while no gateway runs; the proof of all others stays valid.
    Erase(Box<EraseArguments>),
    /// Print the JSON Schema of an event.
    Schema,
    /// Check every segment, frame, chain and signature; name the first bad place.
    Verify(VerifyArguments),
    /// Print the proof of one event, as JSON: whoever has the public key can check it without us.
    Proof {
        /// The event's id.
        id: String,
        /// Size of an earlier checkpoint; the proof then shows that its events are still the same.
        #[arg(long)]
        from: Option<u64>,
    },
    /// Print the public key that checks the log's signatures. Keep a copy elsewhere.
    Key,
    /// Print the newest signed checkpoint. Kept elsewhere, it shows later whether the past is still the same.
    Checkpoint,
}

impl AuditCommand {
    pub(super) fn run(&self, data_dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let dir = data_dir.join("audit");
        match self {
            Self::Search {
                parameters,
                json,
                format,
            } => search(data_dir, parameters, *json, *format, out),
            Self::Schema => print_schema(out),
            Self::Tail { lines, follow } => tail(&dir, *lines, *follow, out),
            Self::Export(arguments) => arguments.run(&dir, out),
            Self::Erase(arguments) => arguments.run(data_dir, out),
            Self::Verify(arguments) => arguments.run(&dir, out),
            Self::Proof { id, from } => proof::print_proof(id, *from, &dir, out),
            Self::Key => proof::print_key(&dir, out),
            Self::Checkpoint => proof::print_checkpoint(&dir, out),
        }
    }
}

fn search(
    data_dir: &Path,
    parameters: &SearchParameters,
    json: bool,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let search = search_of(parameters).map_err(CliError::Usage)?;
    let page = search_dir(&data_dir.join("audit"), &search).map_err(CliError::runtime)?;
    let asked = serde_json::to_value(parameters).unwrap_or_default();
    notes::spool_search(data_dir, &asked)?;
    if format != Format::Event {
        for told in page
            .events
            .iter()
            .filter_map(|event| project(event.get(), format))
        {
            writeln!(out, "{told}")?;
        }
    } else if json {
        for event in &page.events {
            writeln!(out, "{}", event.get())?;
        }
    } else {
        print_table(&page, out)?;
    }
    Ok(Outcome::Done)
}

fn print_schema(out: &mut dyn Write) -> Result<Outcome, CliError> {
    let text = serde_json::to_string_pretty(&audit::schema()).map_err(CliError::runtime)?;
    writeln!(out, "{text}")?;
    Ok(Outcome::Done)
}

fn print_table(page: &Page, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:27}  {:17}  {:8}  {:6}  {:3}  {:14}  {:36}  ENDPOINT",
        "TIME", "TYPE", "SEVERITY", "METHOD", "ST", "ORGANIZATION", "REQUEST"
    )?;
    for event in &page.events {
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        let text = |name: &str| {
            event
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or("-")
                .to_owned()
        };
        writeln!(
            out,
            "{:27}  {:17}  {:8}  {:6}  {:3}  {:14}  {:36}  {}",
            text("timestamp"),
            text("event_type"),
            text("severity"),
            text("method"),
            event
                .get("status_code")
                .and_then(Value::as_u64)
                .unwrap_or(0),
            text("organization_id"),
            text("request_id"),
            text("endpoint"),
        )?;
    }
    match &page.next_cursor {
        Some(cursor) => writeln!(
            out,
            "{} events; more with --cursor {cursor}",
            page.events.len()
        ),
        None => writeln!(out, "{} events", page.events.len()),
    }
}

fn tail(dir: &Path, lines: usize, follow: bool, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let mut seen = Position(0);
    let mut last = VecDeque::with_capacity(lines.min(LINES_MAX));
    for event in read_all(dir).flatten() {
        seen = event.position;
        if last.len() >= lines.min(LINES_MAX) {
            last.pop_front();
        }
        last.push_back(event.json);
    }
    for json in last {
        writeln!(out, "{json}")?;
    }
    out.flush()?;
    if !follow {
        return Ok(Outcome::Done);
    }
    loop {
        pause(TAIL_POLL);
        let known = seen;
        for event in read_all(dir)
            .flatten()
            .filter(|event| event.position > known)
        {
            seen = event.position;
            writeln!(out, "{}", event.json)?;
        }
        out.flush()?;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command line tool that polls a folder"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// `rg-gateway explain`.
pub(super) fn explain(id: &str, data_dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let dir = data_dir.join("audit");
    let found = admin::explain(id, |search| search_dir(&dir, search)).map_err(CliError::Runtime)?;
    match found {
        Some(story) => {
            let text = serde_json::to_string_pretty(&story).map_err(CliError::runtime)?;
            writeln!(out, "{text}")?;
            Ok(Outcome::Done)
        }
        None => {
            writeln!(out, "no decision or request {id}")?;
            Ok(Outcome::Failed)
        }
    }
}
