//! Brings in the keys of an older system, hashed on the way in.
//!
//! An import is all or nothing: with one error in the file, nothing of it is taken, and the errors
//! are listed with their places. A key that the store has already is skipped and stays as it is, so
//! an import can be repeated, and does not bring a revoked key back.

use std::io::{BufRead, Read as _};
use std::str::FromStr;

use super::change::{Change, Draft, Note};
use super::csv::{CsvError, Field, Reader};
use super::record::{KeyChange, KeyTerms, Transition};
use super::{KeyStore, KeysError, Result, files};
use crate::now::Now;
use crate::policy::auth::{
    Environment, GrantError, KeyId, has_our_prefix, is_presentable, mint, parse,
};

/// Errors that are listed; further ones are counted.
const ERRORS_MAX: usize = 100;
/// Bytes a foreign key has at least; a shorter one is guessed too easily.
const OPAQUE_BYTES_MIN: usize = 8;
/// Bytes of one line of `client key` that are looked at.
const LINE_BYTES_MAX: u64 = 4_096;

const COLUMNS: [&str; 8] = [
    "key",
    "organization_id",
    "plan",
    "scopes",
    "graphs",
    "networks",
    "expires_at",
    "name",
];

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Keys taken; 0 when there were errors.
    pub imported: u64,
    /// Keys that the store had already.
    pub skipped: u64,
    /// What is wrong with the file; the first 100.
    pub errors: Vec<ImportError>,
    /// How much is wrong with it.
    pub error_count: u64,
    /// For the audit log, one for each key taken.
    pub changes: Vec<KeyChange>,
}

/// Something wrong with a file to import. It never holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// 1-based.
    pub line: u64,
    /// 1-based, in bytes.
    pub column: u64,
    /// Lowercase, no full stop.
    pub reason: String,
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.reason)
    }
}

/// A key to be taken, with its place.
struct Row {
    key: String,
    terms: KeyTerms,
    line: u64,
    column: u64,
}

/// What a file has next.
enum Next {
    Row(Row),
    Wrong(ImportError),
    /// The rest cannot be told apart any more.
    Unreadable(ImportError),
    End,
}

impl From<Result<Row, ImportError>> for Next {
    fn from(row: Result<Row, ImportError>) -> Self {
        row.map_or_else(Self::Wrong, Self::Row)
    }
}

impl KeyStore {
    /// Imports comma-separated values (RFC 4180). The header line names the columns, in any order:
    /// `key` and `organization_id`, and optionally `plan`, `scopes`, `graphs`, `networks`,
    /// `expires_at` (RFC 3339), `name`. An empty field, or a column that is not there, takes its
    /// value from `defaults`.
    ///
    /// # Errors
    ///
    /// An unwritable store. What is wrong with the file stands in the report.
    pub fn import_csv(
        &mut self,
        input: impl BufRead,
        defaults: &KeyTerms,
        now: Now,
    ) -> Result<ImportReport> {
        let mut reader = Reader::new(input);
        let columns = match header(&mut reader) {
            Ok(columns) => columns,
            Err(error) => return Ok(refused(error)),
        };
        self.import(now, || {
            let place = reader.place();
            match reader.record() {
                Ok(Some(fields)) => row(&columns, &fields, defaults).into(),
                Ok(None) => Next::End,
                Err(cause) => Next::Unreadable(unreadable(place, &cause)),
            }
        })
    }

    /// Imports lines of the form `client key`, parted by blanks; the client becomes the
    /// organization and the key's name. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    ///
    /// An unwritable store. What is wrong with the file stands in the report.
    pub fn import_lines(
        &mut self,
        mut input: impl BufRead,
        defaults: &KeyTerms,
        now: Now,
    ) -> Result<ImportReport> {
        let mut line = 0;
        self.import(now, || {
            loop {
                line += 1;
                if let Some(next) = next_line(&mut input, line, defaults) {
                    return next;
                }
            }
        })
    }

    /// Imports one key.
    ///
    /// # Errors
    ///
    /// `Invalid` for a key or terms that cannot be; an unwritable store.
    pub fn import_key(&mut self, key: &str, terms: KeyTerms, now: Now) -> Result<ImportReport> {
        terms.check()?;
        let mut row = Some(Row {
            key: key.to_owned(),
            terms,
            line: 1,
            column: 1,
        });
        let report = self.import(now, || row.take().map_or(Next::End, Next::Row))?;
        match report.errors.into_iter().next() {
            Some(error) => Err(KeysError::Invalid {
                field: "key",
                reason: error.reason,
            }),
            None => Ok(ImportReport {
                errors: Vec::new(),
                ..report
            }),
        }
    }

    /// Takes rows until there are no more, or until the file cannot be read on.
    fn import(&mut self, now: Now, mut next: impl FnMut() -> Next) -> Result<ImportReport> {
        let mut change = self.begin(now)?;
        let mut report = ImportReport::default();
        loop {
            match next() {
                Next::Row(row) => take(&mut change, row, &mut report)?,
                Next::Wrong(error) => report.wrong(error),
                Next::Unreadable(error) => {
                    report.wrong(error);
                    break;
                }
                Next::End => break,
            }
        }
        if report.error_count > 0 {
            report.imported = 0;
            report.changes.clear();
        } else {
            change.commit()?;
        }
        Ok(report)
    }
}

impl ImportReport {
    fn wrong(&mut self, error: ImportError) {
        self.error_count += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }
}

fn refused(error: ImportError) -> ImportReport {
    let mut report = ImportReport::default();
    report.wrong(error);
    report
}

fn unreadable((line, column): (u64, u64), cause: &CsvError) -> ImportError {
    ImportError {
        line,
        column,
        reason: cause.to_string(),
    }
}

/// The column each field of a record belongs to.
fn header(reader: &mut Reader<impl BufRead>) -> Result<Vec<&'static str>, ImportError> {
    let missing = |name: &str| ImportError {
        line: 1,
        column: 1,
        reason: format!("the header line has no column {name}"),
    };
    let place = reader.place();
    let fields = reader
        .record()
        .map_err(|cause| unreadable(place, &cause))?
        .unwrap_or_default();
    let mut columns = Vec::new();
    for field in &fields {
        let name = field.text.trim_start_matches('\u{feff}').trim();
        let known = COLUMNS.into_iter().find(|known| *known == name);
        match known {
            Some(known) if !columns.contains(&known) => columns.push(known),
            Some(_) => return Err(wrong_field(field, format!("column twice: {name}"))),
            None => {
                // A column's name may be a key, in a file without a header line.
                let reason = format!("not a column; known are {}", COLUMNS.join(", "));
                return Err(wrong_field(field, reason));
            }
        }
    }
    for needed in ["key", "organization_id"] {
        if !columns.contains(&needed) {
            return Err(missing(needed));
        }
    }
    Ok(columns)
}

fn wrong_field(field: &Field, reason: String) -> ImportError {
    ImportError {
        line: field.line,
        column: field.column,
        reason,
    }
}

fn row(
    columns: &[&'static str],
    fields: &[Field],
    defaults: &KeyTerms,
) -> Result<Row, ImportError> {
    let first = fields.first().cloned().unwrap_or_default();
    if fields.len() != columns.len() {
        let reason = format!(
            "{} fields where the header line has {}",
            fields.len(),
            columns.len()
        );
        return Err(wrong_field(&first, reason));
    }
    let mut row = Row {
        key: String::new(),
        terms: defaults.clone(),
        line: first.line,
        column: first.column,
    };
    for (column, field) in columns.iter().zip(fields) {
        if *column == "key" {
            (row.line, row.column) = (field.line, field.column);
        }
        set(&mut row, column, field.text.trim()).map_err(|reason| wrong_field(field, reason))?;
    }
    row.terms
        .check()
        .map_err(|wrong| wrong_field(&first, wrong.to_string()))?;
    Ok(row)
}

fn set(row: &mut Row, column: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let terms = &mut row.terms;
    match column {
        "key" => text.clone_into(&mut row.key),
        "organization_id" => text.clone_into(&mut terms.organization_id),
        "plan" => text.clone_into(&mut terms.plan),
        "name" => text.clone_into(&mut terms.name),
        "scopes" => terms.scopes = grant(text)?,
        "graphs" => terms.graphs = grant(text)?,
        "networks" => terms.networks = grant(text)?,
        "expires_at" => {
            let at: jiff::Timestamp = text
                .parse()
                .map_err(|_| format!("not a time such as 2027-01-31T12:00:00Z: {text:?}"))?;
            terms.expires_at_micros = Some(at.as_microsecond());
        }
        _ => {}
    }
    Ok(())
}

fn grant<T: FromStr<Err = GrantError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|cause: GrantError| cause.to_string())
}

/// What a line of `client key` says; `None` for one that is passed over.
fn next_line(input: &mut impl BufRead, line: u64, defaults: &KeyTerms) -> Option<Next> {
    let wrong = |reason: String| ImportError {
        line,
        column: 1,
        reason,
    };
    let mut text = String::new();
    match input.take(LINE_BYTES_MAX).read_line(&mut text) {
        Ok(0) => return Some(Next::End),
        Ok(_) => {}
        Err(cause) => return Some(Next::Unreadable(wrong(cause.to_string()))),
    }
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes >= LINE_BYTES_MAX) {
        let reason = format!("a line of {LINE_BYTES_MAX} bytes or more");
        return Some(Next::Unreadable(wrong(reason)));
    }
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    let row = client_and_key(text, defaults).map(|(key, terms)| Row {
        key,
        terms,
        line,
        column: 1,
    });
    Some(row.map_err(wrong).into())
}

fn client_and_key(text: &str, defaults: &KeyTerms) -> Result<(String, KeyTerms), String> {
    let mut words = text.split_ascii_whitespace();
    let (Some(client), Some(key), None) = (words.next(), words.next(), words.next()) else {
        return Err("not of the form: client key".into());
    };
    let terms = KeyTerms {
        organization_id: client.to_owned(),
        name: client.to_owned(),
        ..defaults.clone()
    };
    terms.check().map_err(|cause| cause.to_string())?;
    Ok((key.to_owned(), terms))
}

/// Takes one key, unless the store has it.
fn take(change: &mut Change<'_>, row: Row, report: &mut ImportReport) -> Result<()> {
    let (line, column) = (row.line, row.column);
    let wrong = |reason: &str| ImportError {
        line,
        column,
        reason: reason.to_owned(),
    };
    let own = match own_identity(&row.key) {
        Ok(own) => own,
        Err(reason) => {
            report.wrong(wrong(reason));
            return Ok(());
        }
    };
    let digest = change.digest(&row.key);
    if change.has_digest(&digest)? {
        report.skipped += 1;
        return Ok(());
    }
    let (id, environment) = match own {
        Some((id, _)) if change.has_id(id)? => {
            report.wrong(wrong("another key has the same id"));
            return Ok(());
        }
        Some((id, environment)) => (id, Some(environment)),
        None => change.unused(|| Ok((mint(Environment::Live, &files::random()?).0, None)))?,
    };
    let by = row.terms.created_by.clone();
    let note = Note {
        transition: Transition::Imported,
        by: &by,
        reason: None,
        counterpart: None,
    };
    let draft = Draft {
        id,
        environment,
        digest,
        terms: row.terms,
        replaces: None,
        verification: None,
    };
    let (_, imported) = change.add(draft, &note)?;
    report.imported += 1;
    report.changes.push(imported);
    Ok(())
}

/// The id and environment of a key of our own form; `None` for one of another form.
fn own_identity(key: &str) -> Result<Option<(KeyId, Environment)>, &'static str> {
    if has_our_prefix(key) {
        return match parse(key) {
            Ok(parsed) => Ok(Some((parsed.id, parsed.environment))),
            Err(_) => Err("begins like a key of the gateway's own form, but is none"),
        };
    }
    if !is_presentable(key) {
        return Err("a key must be at most 512 visible ASCII characters");
    }
    if key.len() < OPAQUE_BYTES_MIN {
        return Err("a key must have at least 8 characters");
    }
    Ok(None)
}
