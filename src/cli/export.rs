//! `rg-gateway audit export`: events for others, plain or with the proof of each.
//!
//! With proof the first line names format, signed checkpoint and key; every other line is one event, to the letter,
//! with its sequence and its inclusion proof. `docs/audit.md` describes it, `docs/verify_export.py` checks it.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use clap::ValueEnum as _;
use serde_json::{Value, json};

use super::{CliError, Outcome};
use crate::admin::{SearchParameters, search_of};
use crate::audit::project::{self, project};
use crate::audit::proof::prove::{Dir, Prover, SealedParts};
use crate::audit::{Matcher, RawEvent, read_all};
use crate::notes::{self, Read};

/// What an export with proof says it is.
const FORMAT: &str = "rg-audit-export/v2";
/// The columns of CSV; the stored line follows as the last.
const COLUMNS: [&str; 15] = [
    "event_id",
    "timestamp",
    "event_type",
    "severity",
    "source_ip",
    "organization_id",
    "api_key_id",
    "method",
    "endpoint",
    "status_code",
    "outcome",
    "refusal_code",
    "request_id",
    "processing_time_ms",
    "compliance_tags",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON object a line, as stored.
    #[default]
    Jsonl,
    /// A table of the main fields, and the stored line.
    Csv,
    /// JSON lines in the words of the Elastic Common Schema 8.17.
    Ecs,
    /// JSON lines in the words of the Open Cybersecurity Schema Framework 1.8.
    Ocsf,
}

/// One event with its proof.
#[derive(serde::Serialize)]
struct Line<'a> {
    sequence: u64,
    event: &'a str,
    #[serde(flatten)]
    parts: SealedParts,
    inclusion: Vec<String>,
}

/// What `audit export` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    filters: SearchParameters,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Add what proves each event to whoever has the public key; JSON lines only.
    #[arg(long)]
    with_proof: bool,
}

impl ExportArguments {
    pub(super) fn run(&self, data_dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
        if self.with_proof && self.format != Format::Jsonl {
            let reason = "--with-proof: only with --format jsonl, which keeps every byte";
            return Err(CliError::Usage(reason.to_owned()));
        }
        if self.filters.cursor.is_some() || self.filters.limit.is_some() {
            let reason = "--limit and --cursor: an export has no pages";
            return Err(CliError::Usage(reason.to_owned()));
        }
        let search = search_of(&self.filters).map_err(CliError::Usage)?;
        let matcher = Matcher::of(&search);
        let asked = json!({
            "filters": self.filters,
            "format": self.format.to_possible_value().map(|format| format.get_name().to_owned()),
            "with_proof": self.with_proof,
        });
        notes::spool_read(data_dir, Read::Exported, &asked)?;
        let dir = &data_dir.join("audit");
        let storage = Dir::read_only(dir);
        let mut prover = match self.with_proof {
            true => Some(storage.prover().map_err(CliError::runtime)?),
            false => None,
        };
        let mut out = BufWriter::new(out);
        self.write_head(prover.as_ref(), &mut out)?;
        let mut whole = true;
        for event in read_all(dir) {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    whole = false;
                    writeln!(io::stderr(), "not exported: {error}")?;
                    continue;
                }
            };
            if !matcher.matches(event.json.get()) {
                continue;
            }
            if let Some(prover) = prover.as_ref()
                && event.position.0 > prover.head().size
            {
                // Newer than the newest signature; the next export has them.
                break;
            }
            self.write(&event, prover.as_mut(), &mut out)?;
        }
        out.flush()?;
        Ok(if whole {
            Outcome::Done
        } else {
            Outcome::Failed
        })
    }

    fn write_head(&self, prover: Option<&Prover<'_>>, out: &mut dyn Write) -> io::Result<()> {
        if let Some(prover) = prover {
            let (checkpoint, public_key) = prover.checkpoint();
            let head =
                json!({"format": FORMAT, "checkpoint": checkpoint, "public_key": public_key});
            return writeln!(out, "{head}");
        }
        match self.format {
            Format::Jsonl | Format::Ecs | Format::Ocsf => Ok(()),
            Format::Csv => write!(out, "{},event\r\n", COLUMNS.join(",")),
        }
    }

    fn write(
        &self,
        event: &RawEvent,
        prover: Option<&mut Prover<'_>>,
        out: &mut dyn Write,
    ) -> Result<(), CliError> {
        let json = event.json.get();
        if let Some(prover) = prover {
            let sequence = event.position.0;
            let inclusion = prover.inclusion(sequence).map_err(CliError::runtime)?;
            let line = Line {
                sequence,
                event: json,
                parts: SealedParts::of(&event.parts),
                inclusion,
            };
            writeln!(
                out,
                "{}",
                serde_json::to_string(&line).map_err(CliError::runtime)?
            )?;
            return Ok(());
        }
        match self.format {
            Format::Jsonl => writeln!(out, "{json}")?,
            Format::Ecs => tell(json, project::Format::Ecs, out)?,
            Format::Ocsf => tell(json, project::Format::Ocsf, out)?,
            Format::Csv => {
                let fields: Value = serde_json::from_str(json).map_err(CliError::runtime)?;
                for column in COLUMNS {
                    write!(out, "{},", cell(&shown(fields.get(column))))?;
                }
                write!(out, "{}\r\n", cell(json))?;
            }
        }
        Ok(())
    }
}

/// An event in the words of others; one that this version does not know is an error, not a gap.
fn tell(json: &str, format: project::Format, out: &mut dyn Write) -> Result<(), CliError> {
    let unknown = || CliError::Runtime(format!("not an event this version knows: {json}"));
    let told = project(json, format).ok_or_else(unknown)?;
    Ok(writeln!(out, "{told}")?)
}

/// A value as one cell says it.
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) => {
            let texts = values.iter().map(|value| shown(Some(value)));
            texts.collect::<Vec<_>>().join(";")
        }
        Some(other) => other.to_string(),
    }
}

/// A cell of RFC 4180. Text a spreadsheet would run as a formula gets an apostrophe before it.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let guard = if formula { "'" } else { "" };
    if formula || text.contains([',', '"', '\r', '\n']) {
        return format!("\"{guard}{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_never_formulas() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"so\"", "\"say \"\"so\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=HYPERLINK(1)", "\"'=HYPERLINK(1)\""),
            ("-1+2", "\"'-1+2\""),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
