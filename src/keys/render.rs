//! How keys are printed: for people in columns, for programs as JSON lines.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::import::ImportReport;
use super::record::{Issued, KeyRecord};
use crate::now::Now;
use crate::policy::auth::KeyState;

/// A key just made, with its secret.
pub(super) fn issued(
    issued: &Issued,
    as_json: bool,
    now: Now,
    out: &mut dyn Write,
) -> io::Result<()> {
    let record = &issued.record;
    if as_json {
        let mut value = object(record, now);
        if let Value::Object(fields) = &mut value {
            fields.insert("key".into(), Value::from(issued.secret.as_str()));
        }
        return writeln!(out, "{value}");
    }
    writeln!(out, "{}", issued.secret)?;
    writeln!(out)?;
    writeln!(out, "id            {}", record.id)?;
    writeln!(out, "organization  {}", record.terms.organization_id)?;
    writeln!(out, "plan          {}", record.terms.plan)?;
    if let Some(replaced) = record.replaces {
        writeln!(out, "replaces      {replaced}")?;
    }
    writeln!(
        out,
        "\nThe key is shown this once; only a digest of it is kept."
    )
}

/// One key, a field a line.
pub(super) fn one(
    record: &KeyRecord,
    as_json: bool,
    now: Now,
    out: &mut dyn Write,
) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{}", object(record, now));
    }
    let terms = &record.terms;
    let fields = [
        ("key", record.display()),
        ("state", state(record, now)),
        ("name", terms.name.clone()),
        ("organization", terms.organization_id.clone()),
        ("industry", terms.industry.clone().unwrap_or_default()),
        ("plan", terms.plan.clone()),
        ("scopes", terms.scopes.to_string()),
        ("graphs", terms.graphs.to_string()),
        ("networks", terms.networks.to_string()),
        (
            "limits exempt",
            if terms.limits_exempt {
                "yes".into()
            } else {
                String::new()
            },
        ),
        (
            "expires",
            terms.expires_at_micros.map(time).unwrap_or_default(),
        ),
        (
            "created",
            format!("{} by {}", time(record.created_at_micros), terms.created_by),
        ),
        ("changed", time(record.changed_at_micros)),
        (
            "verification",
            if record.verification.is_some() {
                "enrolled".into()
            } else {
                String::new()
            },
        ),
        (
            "replaces",
            record.replaces.map(|id| id.to_string()).unwrap_or_default(),
        ),
    ];
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "{name:<14}{value}")?;
    }
    Ok(())
}

/// Many keys, one a line.
pub(super) fn list(
    records: &[KeyRecord],
    as_json: bool,
    now: Now,
    out: &mut dyn Write,
) -> io::Result<()> {
    if as_json {
        return records
            .iter()
            .try_for_each(|record| writeln!(out, "{}", object(record, now)));
    }
    let heading = ["ID", "ORGANIZATION", "PLAN", "STATE", "EXPIRES", "NAME"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(heading)
        .chain(records.iter().map(|record| {
            let terms = &record.terms;
            [
                record.id.to_string(),
                terms.organization_id.clone(),
                terms.plan.clone(),
                state(record, now),
                terms.expires_at_micros.map(time).unwrap_or_default(),
                terms.name.clone(),
            ]
        }))
        .collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

/// What an import did, or what is wrong with its file.
pub(super) fn import(
    report: &ImportReport,
    file: &Path,
    as_json: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    if as_json {
        let errors: Vec<Value> = report
            .errors
            .iter()
            .map(
                |error| json!({"line": error.line, "column": error.column, "reason": error.reason}),
            )
            .collect();
        let (imported, skipped) = (report.imported, report.skipped);
        let value = json!({
            "imported": imported, "skipped": skipped, "error_count": report.error_count, "errors": errors,
        });
        return writeln!(out, "{value}");
    }
    for error in &report.errors {
        writeln!(out, "{}:{error}", file.display())?;
    }
    let listed = u64::try_from(report.errors.len()).unwrap_or(u64::MAX);
    if report.error_count > listed {
        writeln!(out, "and {} more", report.error_count - listed)?;
    }
    if report.error_count == 0 {
        writeln!(
            out,
            "{} imported, {} known already",
            report.imported, report.skipped
        )?;
    }
    Ok(())
}

fn state(record: &KeyRecord, now: Now) -> String {
    match state_now(record, now) {
        (word, Some(until)) => format!("{word} until {}", time(until)),
        (word, None) => word.to_owned(),
    }
}

/// The state's word at a time, and when it ends by itself.
fn state_now(record: &KeyRecord, now: Now) -> (&'static str, Option<i64>) {
    let over = |until: i64| now.unix_micros >= until;
    match record.state() {
        KeyState::Revoked => ("revoked", None),
        _ if record.ends_at_micros().is_some_and(over) => ("expired", None),
        KeyState::Suspended {
            until: Some(until), ..
        } if over(until) => match record.rotating_until_micros {
            Some(until) => ("rotating", Some(until)),
            None => ("active", None),
        },
        KeyState::Suspended { until, .. } => ("suspended", until),
        KeyState::Rotating { until } => ("rotating", Some(until)),
        KeyState::Active => ("active", None),
    }
}

fn object(record: &KeyRecord, now: Now) -> Value {
    let terms = &record.terms;
    let suspension = record.suspension.as_ref().map(|suspension| {
        json!({"until": suspension.until_micros.map(time), "reason": suspension.reason})
    });
    json!({
        "id": record.id.as_str(),
        "environment": record.environment.map(|environment| environment.as_str()),
        "state": state_now(record, now).0,
        "name": terms.name,
        "organization_id": terms.organization_id,
        "industry": terms.industry,
        "plan": terms.plan,
        "scopes": words(&terms.scopes),
        "graphs": words(&terms.graphs),
        "networks": words(&terms.networks),
        "limits_exempt": terms.limits_exempt,
        "verification_enrolled": record.verification.is_some(),
        "expires_at": terms.expires_at_micros.map(time),
        "rotating_until": record.rotating_until_micros.map(time),
        "suspension": suspension,
        "revoked_at": record.revoked_at_micros.map(time),
        "created_at": time(record.created_at_micros),
        "created_by": terms.created_by,
        "changed_at": time(record.changed_at_micros),
        "replaces": record.replaces.as_ref().map(|id| id.as_str()),
    })
}

/// A list as an array; `*` stands for all.
fn words(list: &impl ToString) -> Vec<String> {
    let text = list.to_string();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// A time as RFC 3339, to the second.
fn time(unix_micros: i64) -> String {
    let secs = unix_micros.div_euclid(1_000_000);
    jiff::Timestamp::from_second(secs).map_or_else(|_| "out of range".into(), |at| at.to_string())
}
