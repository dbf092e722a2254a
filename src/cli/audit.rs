//! `rg-gateway audit` and `explain`: they read the data folder and need no running gateway.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::erase::EraseArguments;
use super::export::ExportArguments;
use super::proof::{self, VerifyArguments};
use super::search::SearchArguments;
use super::{CliError, Outcome};
use crate::admin;
use crate::audit::{self, Position, RawEvent, ReadError, read_all, search_dir};
use crate::notes::{self, Read};

/// Events `tail` keeps at the most.
const LINES_MAX: usize = 100_000;
/// How often `tail` looks for new events.
const TAIL_POLL: Duration = Duration::from_millis(250);

/// Search, follow, export and verify the audit log.
#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Find events, newest first.
    Search(Box<SearchArguments>),
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
            Self::Search(arguments) => arguments.run(data_dir, out),
            Self::Schema => print_schema(out),
            Self::Tail { lines, follow } => {
                let asked = json!({"lines": lines, "follow": follow});
                notes::spool_read(data_dir, Read::Tailed, &asked)?;
                tail(&dir, *lines, *follow, out)
            }
            Self::Export(arguments) => arguments.run(data_dir, out),
            Self::Erase(arguments) => arguments.run(data_dir, out),
            Self::Verify(arguments) => arguments.run(&dir, out),
            Self::Proof { id, from } => proof::print_proof(id, *from, data_dir, out),
            Self::Key => proof::print_key(&dir, out),
            Self::Checkpoint => proof::print_checkpoint(&dir, out),
        }
    }
}

fn print_schema(out: &mut dyn Write) -> Result<Outcome, CliError> {
    let text = serde_json::to_string_pretty(&audit::schema()).map_err(CliError::runtime)?;
    writeln!(out, "{text}")?;
    Ok(Outcome::Done)
}

fn tail(dir: &Path, lines: usize, follow: bool, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let mut seen = Position(0);
    let mut whole = true;
    let mut last = VecDeque::with_capacity(lines.min(LINES_MAX));
    for event in read_all(dir) {
        let Some(event) = shown(event, &mut whole)? else {
            continue;
        };
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
        return Ok(if whole {
            Outcome::Done
        } else {
            Outcome::Failed
        });
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

/// An event that can be shown; what cannot is told of. A log that cannot be read at all is an error.
fn shown(
    event: Result<RawEvent, ReadError>,
    whole: &mut bool,
) -> Result<Option<RawEvent>, CliError> {
    match event {
        Ok(event) => Ok(Some(event)),
        Err(error @ ReadError::Storage(_)) => Err(CliError::runtime(error)),
        Err(error) => {
            *whole = false;
            writeln!(
                std::io::stderr(),
                "NOT WHOLE: events are not shown: {error}"
            )?;
            Ok(None)
        }
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
    notes::spool_read(data_dir, Read::Explained, &json!({"id": id}))?;
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
