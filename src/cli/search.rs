//! `rg-gateway audit search`: events newest first, from the log or from a store that has copies of it.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{CliError, Outcome};
use crate::admin::{SearchParameters, search_of};
use crate::audit::project::{Format, project};
use crate::audit::{Page, Search, search_dir};
use crate::config;
use crate::delivery::{StoreError, search_store, searchable};
use crate::notes::{self, Read};

/// Longest cell of a table, in characters; the JSON has the rest.
const CELL_CHARACTERS_MAX: usize = 60;
/// What the table shows of an event, and under which heading.
const COLUMNS: [(&str, &str); 10] = [
    ("TIME", "timestamp"),
    ("TYPE", "event_type"),
    ("SEVERITY", "severity"),
    ("ORG", "organization_id"),
    ("KEY", "api_key_id"),
    ("IP", "source_ip"),
    ("METHOD", "method"),
    ("ENDPOINT", "endpoint"),
    ("STATUS", "status_code"),
    ("ID", "event_id"),
];

/// What `audit search` is told.
#[derive(Debug, clap::Args)]
pub(super) struct SearchArguments {
    #[command(flatten)]
    parameters: SearchParameters,
    /// Search what this `mongodb` or `elasticsearch` sink has delivered, instead of the log.
    #[arg(long, value_name = "SINK")]
    store: Option<String>,
    /// The configuration file, which says where a store is; the data folder is then its `data_dir`.
    #[arg(short, long, default_value = "gateway.yaml", env = "RG_CONFIG")]
    config: PathBuf,
    /// A table for people or JSON lines for programs; unless told, a table on a terminal and JSON lines elsewhere.
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// The words events are told in; others than our own are JSON lines.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// The main members, in columns.
    Table,
    /// One event a line, whole; the next page's cursor goes to standard error.
    Json,
}

impl SearchArguments {
    pub(super) fn run(&self, data_dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let search = search_of(&self.parameters).map_err(CliError::Usage)?;
        let page = match &self.store {
            None => self.of_log(data_dir, &search)?,
            Some(store) => self.of_store(store, &search)?,
        };
        self.print(&page, out)?;
        if page.damaged_places == 0 {
            return Ok(Outcome::Done);
        }
        let places = page.damaged_places;
        writeln!(
            io::stderr(),
            "NOT WHOLE: the log is damaged in {places} of the places read, so events may not be shown; `rg-gateway audit verify` names them"
        )?;
        Ok(Outcome::Failed)
    }

    fn of_log(&self, data_dir: &Path, search: &Search) -> Result<Page, CliError> {
        let page = search_dir(&data_dir.join("audit"), search).map_err(CliError::runtime)?;
        notes::spool_read(data_dir, Read::Searched, &self.asked())?;
        Ok(page)
    }

    fn of_store(&self, store: &str, search: &Search) -> Result<Page, CliError> {
        let loaded = config::load(&self.config).map_err(CliError::Configuration)?;
        let sink = searchable(&loaded.config.audit.sinks, store).map_err(told)?;
        // Before the store is asked, as a search that fails may still have shown something to somebody.
        notes::spool_read(&loaded.config.data_dir, Read::Searched, &self.asked())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(search_store(sink, search)).map_err(told)
    }

    /// The search as it is audited.
    fn asked(&self) -> Value {
        let parameters = SearchParameters {
            store: self.store.clone(),
            ..self.parameters.clone()
        };
        serde_json::to_value(parameters).unwrap_or_default()
    }

    fn print(&self, page: &Page, out: &mut dyn Write) -> io::Result<()> {
        let by_itself = || match io::stdout().is_terminal() {
            true => Output::Table,
            false => Output::Json,
        };
        let output = self.output.unwrap_or_else(by_itself);
        if self.format == Format::Event && output == Output::Table {
            return print_table(page, out);
        }
        for event in &page.events {
            match self.format {
                Format::Event => writeln!(out, "{}", event.get())?,
                other => {
                    if let Some(told) = project(event.get(), other) {
                        writeln!(out, "{told}")?;
                    }
                }
            }
        }
        out.flush()?;
        match &page.next_cursor {
            Some(cursor) => writeln!(io::stderr(), "more with --cursor {cursor}"),
            None => Ok(()),
        }
    }
}

fn told(error: StoreError) -> CliError {
    match error {
        StoreError::Unknown { .. } | StoreError::Cursor(_) => CliError::Usage(error.to_string()),
        StoreError::Unavailable { .. } => CliError::runtime(error),
    }
}

/// Every column as wide as its widest cell.
fn print_table(page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let heading = COLUMNS.map(|(heading, _)| heading.to_owned());
    let rows: Vec<_> = std::iter::once(heading)
        .chain(page.events.iter().map(|event| row(event.get())))
        .collect();
    let mut widths = [0; COLUMNS.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
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

fn row(event: &str) -> [String; COLUMNS.len()] {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    COLUMNS.map(|(_, member)| match event.get(member) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => cell(text),
        Some(other) => other.to_string(),
    })
}

/// Text as a terminal may be shown it: bounded, and without characters that a terminal obeys.
fn cell(text: &str) -> String {
    let is_whole = text.chars().count() <= CELL_CHARACTERS_MAX;
    let kept = if is_whole {
        CELL_CHARACTERS_MAX
    } else {
        CELL_CHARACTERS_MAX - 1
    };
    let mut cell: String = text
        .chars()
        .take(kept)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if !is_whole {
        cell.push('…');
    }
    cell
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn event(endpoint: &str) -> Box<RawValue> {
        let event = serde_json::json!({
            "timestamp": "2026-11-22T12:00:00.000000Z", "event_type": "data_access",
            "severity": "info", "organization_id": "acme", "api_key_id": null,
            "source_ip": "10.0.0.1", "method": "GET", "endpoint": endpoint, "status_code": 200,
            "event_id": "0199",
        });
        RawValue::from_string(event.to_string()).unwrap()
    }

    #[test]
    fn the_table_lines_up_and_says_how_to_go_on() {
        let page = Page {
            events: vec![event("/v1/graphs"), event("/v1/graphs/g1/query")],
            next_cursor: Some("17".to_owned()),
            ..Page::default()
        };
        let mut out = Vec::new();
        print_table(&page, &mut out).unwrap();
        let expected = "\
TIME                         TYPE         SEVERITY  ORG   KEY  IP        METHOD  ENDPOINT             STATUS  ID
2026-11-22T12:00:00.000000Z  data_access  info      acme  -    10.0.0.1  GET     /v1/graphs           200     0199
2026-11-22T12:00:00.000000Z  data_access  info      acme  -    10.0.0.1  GET     /v1/graphs/g1/query  200     0199
2 events; more with --cursor 17
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_cell_is_bounded_and_commands_no_terminal() {
        assert_eq!(cell("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
        let long = cell(&"é".repeat(CELL_CHARACTERS_MAX + 1));
        assert_eq!(long.chars().count(), CELL_CHARACTERS_MAX);
        assert!(long.ends_with('…'));
        assert_eq!(
            cell(&"é".repeat(CELL_CHARACTERS_MAX)),
            "é".repeat(CELL_CHARACTERS_MAX)
        );
    }
}
