//! `rg-gateway report`: what the audit log says under the headings of a standard.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::{CliError, Outcome};
use crate::audit::report::{Scope, Standard, html, report};
use crate::notes::{self, Read};
use crate::now::Now;

/// Report accesses, failures, changes, security events and the proof of the log for a standard.
#[derive(Debug, clap::Args)]
pub(super) struct ReportCommand {
    /// The standard.
    #[arg(value_enum)]
    standard: Standard,
    /// The first day or instant (2026-11-01 or RFC 3339, UTC).
    #[arg(long)]
    from: String,
    /// The last day, or the instant before which; now unless given.
    #[arg(long)]
    to: Option<String>,
    /// Only events of this organization.
    #[arg(long)]
    organization: Option<String>,
    /// How it is written.
    #[arg(long, value_enum, default_value_t)]
    format: Form,
    /// The gateway's data folder.
    #[arg(long, default_value = "./data", env = "RG_DATA_DIR")]
    data_dir: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// One page for people.
    #[default]
    Html,
    /// For programs.
    Json,
}

impl ReportCommand {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let now = Now::read().unix_micros;
        let scope = Scope {
            standard: self.standard,
            from: instant("from", &self.from, 0)?,
            to: match &self.to {
                Some(to) => instant("to", to, 1)?,
                None => now,
            },
            organization: self.organization.clone(),
        };
        if scope.from >= scope.to {
            return Err(CliError::Usage("from: must be before to".to_owned()));
        }
        let report =
            report(&self.data_dir.join("audit"), &scope, now).map_err(CliError::runtime)?;
        let asked = json!({
            "standard": report.standard,
            "from": report.from,
            "to": report.to,
            "organization": self.organization,
        });
        notes::spool_read(&self.data_dir, Read::Reported, &asked)?;
        let text = match self.format {
            Form::Html => html(&report),
            Form::Json => serde_json::to_string_pretty(&report).map_err(CliError::runtime)? + "\n",
        };
        out.write_all(text.as_bytes())?;
        Ok(if report.proof.sound {
            Outcome::Done
        } else {
            Outcome::Failed
        })
    }
}

/// An instant, or the begin of a day so many days later.
fn instant(name: &str, text: &str, days_later: i64) -> Result<i64, CliError> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    let day = text.parse::<jiff::civil::Date>().ok();
    let day = day.and_then(|day| {
        let later = day
            .checked_add(jiff::Span::new().try_days(days_later).ok()?)
            .ok()?;
        later.to_zoned(jiff::tz::TimeZone::UTC).ok()
    });
    day.map(|day| day.timestamp().as_microsecond())
        .ok_or_else(|| {
            CliError::Usage(format!(
                "{name}: neither a day nor an RFC 3339 instant: {text}"
            ))
        })
}
