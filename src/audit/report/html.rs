//! A report as one HTML page that needs nothing else: no script, no font, no address of anybody.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Counted, Listed, Met, Report};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #eaeef2}td.n{text-align:right}\
.sound{color:#116329}.unsound{color:#a40e26;font-weight:600}code{font-size:.9em}@media print{body{margin:0}}";

/// The page.
pub fn html(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a `String` cannot fail.
    let _ = write(report, &mut page);
    page
}

fn write(report: &Report, page: &mut String) -> std::fmt::Result {
    let title = escaped(report.title);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<p>{} to {}{}. Made {}.</p>\n",
        report.from,
        report.to,
        report.organization.as_ref().map_or_else(
            || ", all organizations".to_owned(),
            |name| format!(", organization <code>{}</code>", escaped(name))
        ),
        report.generated_at,
    )?;
    proof(report, page)?;
    page.push_str(
        "<h2>Controls</h2>\n<table><tr><th>Control</th><th>Asks for</th><th>Recorded</th></tr>\n",
    );
    for control in &report.controls {
        let recorded: Vec<String> = control
            .recorded
            .iter()
            .map(|(name, count)| format!("{}: {count}", name.replace('_', " ")))
            .collect();
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(control.id),
            escaped(control.title),
            recorded.join("<br>"),
        )?;
    }
    page.push_str("</table>\n");
    let accesses = &report.accesses;
    writeln!(
        page,
        "<h2>Accesses</h2>\n<p>{} accesses to data this report is about; {} changed data. Personal data was seen in {} events of any type this report is about.</p>",
        accesses.total, accesses.modifications, accesses.with_personal_data
    )?;
    for (heading, counts) in [
        ("Organization", &accesses.organizations),
        ("API key", &accesses.api_keys),
        ("Graph", &accesses.graphs),
        ("Classification", &accesses.classifications),
        ("Country", &accesses.countries),
        ("Kind of personal data", &accesses.personal_data),
    ] {
        counted(page, heading, counts)?;
    }
    page.push_str("<h2>Subjects</h2>\n");
    met(page, "Organization", &report.subjects.organizations)?;
    met(page, "API key", &report.subjects.api_keys)?;
    page.push_str("<h2>Failures</h2>\n");
    counted(page, "Refusal", &report.failures)?;
    page.push_str("<h2>Security events</h2>\n");
    counted(page, "Threat", &report.threats)?;
    list(page, &report.security_events)?;
    page.push_str("<h2>Changes</h2>\n");
    list(page, &report.changes)?;
    page.push_str("<h2>Events</h2>\n");
    table(page, "Type", &report.events)?;
    table(page, "Severity", &report.severities)?;
    page.push_str("</body></html>\n");
    Ok(())
}

fn met(page: &mut String, heading: &str, met: &Met) -> std::fmt::Result {
    writeln!(
        page,
        "<table><tr><th>{heading}</th><th>Events</th><th>First</th><th>Last</th></tr>"
    )?;
    for (name, of) in &met.by_name {
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>",
            escaped(name),
            of.events,
            of.first,
            of.last
        )?;
    }
    if met.others > 0 {
        writeln!(
            page,
            "<tr><td>others</td><td class=\"n\">{}</td><td></td><td></td></tr>",
            met.others
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn proof(report: &Report, page: &mut String) -> std::fmt::Result {
    let proof = &report.proof;
    let (class, word) = if proof.sound {
        (
            "sound",
            "The log verifies: every event is as it was written.".to_owned(),
        )
    } else {
        let first = proof.first_bad.as_deref().unwrap_or("unknown");
        (
            "unsound",
            format!(
                "The log does not verify. First bad place: {}",
                escaped(first)
            ),
        )
    };
    writeln!(
        page,
        "<h2>Proof</h2>\n<p class=\"{class}\">{word}</p>\n<p>{} events in {} segments, numbers {} to {}, signed up to {}; {} bad places.</p>",
        proof.events,
        proof.segments,
        proof.first_sequence,
        proof.last_sequence,
        proof.signed_up_to.unwrap_or(0),
        proof.bad_places
    )
}

fn counted(page: &mut String, heading: &str, counts: &Counted) -> std::fmt::Result {
    table(page, heading, &counts.by_name)?;
    if counts.others > 0 {
        writeln!(page, "<p>{} more under other names.</p>", counts.others)?;
    }
    Ok(())
}

fn table(page: &mut String, heading: &str, counts: &BTreeMap<String, u64>) -> std::fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(page, "<table><tr><th>{heading}</th><th>Count</th></tr>")?;
    for (name, count) in counts {
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{count}</td></tr>",
            escaped(name)
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn list(page: &mut String, events: &[Listed]) -> std::fmt::Result {
    if events.is_empty() {
        page.push_str("<p>None.</p>\n");
        return Ok(());
    }
    page.push_str(
        "<table><tr><th>Time</th><th>What</th><th>Who</th><th>Result</th><th>Event</th></tr>\n",
    );
    for event in events {
        let text = |text: &Option<String>| escaped(text.as_deref().unwrap_or("-"));
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
            event.timestamp,
            escaped(&event.what),
            text(&event.who),
            text(&event.result),
            event.event_id,
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

/// Text of events is whatever somebody sent.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
