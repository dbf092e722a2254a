//! `rg-gateway rules explain`: which rules saw what, and what to do where they are wrong.
//!
//! A decision is looked up in the audit log of the data folder. A file with a request is judged here and now,
//! without a gateway.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{CliError, Outcome};
use crate::admin::{self, Explanation};
use crate::audit::{search_dir, timestamp};
use crate::notes::{self, Read};
use crate::now::Now;
use crate::policy::threat::{Inspection, Verdict};
use crate::recording::Recorded;
use crate::replay::{Parts, Side};

/// Size of a request file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Tell which rules matched a request, where, how much that weighed and how to exclude it.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// A decision or request id, or a file with one request: HTTP/1.1 as sent, or a line of a recording.
    what: String,
    /// The gateway's data folder, where decisions are looked up.
    #[arg(long, default_value = "./data", env = "RG_DATA_DIR")]
    data_dir: PathBuf,
    /// The rules a file is judged by; the configuration's, or ./rules.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// The configuration a file is judged by.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let file = Path::new(&self.what);
        let story = if file.is_file() {
            Some(self.judge(file)?)
        } else {
            let dir = self.data_dir.join("audit");
            notes::spool_read(&self.data_dir, Read::Explained, &json!({"id": self.what}))?;
            admin::explain(&self.what, |search| search_dir(&dir, search))
                .map_err(CliError::Runtime)?
        };
        let Some(story) = story else {
            writeln!(
                out,
                "neither a file nor a decision in the log: {}",
                self.what
            )?;
            return Ok(Outcome::Failed);
        };
        let story = serde_json::to_value(&story).map_err(CliError::runtime)?;
        if self.json {
            let text = serde_json::to_string_pretty(&story).map_err(CliError::runtime)?;
            writeln!(out, "{text}")?;
        } else {
            print(&story, out)?;
        }
        Ok(Outcome::Done)
    }

    /// Judges the request in a file.
    fn judge(&self, file: &Path) -> Result<Explanation, CliError> {
        if std::fs::metadata(file)?.len() > FILE_BYTES_MAX {
            return Err(CliError::Usage(format!(
                "larger than {FILE_BYTES_MAX} bytes"
            )));
        }
        let recorded = read(&std::fs::read(file)?).map_err(CliError::Usage)?;
        let parts =
            Parts::try_from(&recorded).map_err(|cause| CliError::Usage(cause.to_string()))?;
        let side = Side::load(self.config.as_deref(), self.rules.as_deref());
        let side = side.map_err(CliError::Configuration)?;
        let now = Now::read();
        let found = side.judge(&parts, now.unix_micros);
        let route = side.route_name(&parts).or(recorded.route.as_deref());
        Ok(admin::tell(event(&parts, route, &found, now)))
    }
}

/// One request out of a file's bytes.
fn read(bytes: &[u8]) -> Result<Recorded, String> {
    if bytes.trim_ascii_start().starts_with(b"{") {
        let line = bytes.trim_ascii_start().split(|b| *b == b'\n').next();
        return serde_json::from_slice(line.unwrap_or_default())
            .or_else(|_| serde_json::from_slice(bytes))
            .map_err(|error| format!("not a recorded request: {error}"));
    }
    let end = [&b"\r\n\r\n"[..], b"\n\n"]
        .iter()
        .filter_map(|gap| Some((memchr::memmem::find(bytes, gap)?, gap.len())))
        .min();
    let (head, body) = match end {
        Some((at, gap)) => (bytes.get(..at), bytes.get(at + gap..)),
        None => (Some(bytes), None),
    };
    let head = str::from_utf8(head.unwrap_or_default());
    let head = head.map_err(|_| "the head is not text".to_owned())?;
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err("not a request: the first line is not `METHOD /path HTTP/1.1`".to_owned());
    };
    let mut headers = BTreeMap::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            return Err(format!("not a header field: {}", line.escape_debug()));
        };
        headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.contains_key("transfer-encoding") {
        return Err("give the body whole, not in chunks, without Transfer-Encoding".to_owned());
    }
    let mut recorded = Recorded {
        method: method.to_owned(),
        path: path.to_owned(),
        headers,
        ..Recorded::default()
    };
    recorded.set_body(body.unwrap_or_default().to_vec());
    Ok(recorded)
}

/// What the audit event of this request would tell.
fn event(parts: &Parts, route: Option<&str>, found: &Inspection, now: Now) -> Value {
    let indicators: Vec<Value> = found
        .indicators
        .iter()
        .map(|found| {
            let mitigations: Vec<&str> = found.mitigations.iter().map(|m| m.name()).collect();
            let rounded = |number: f32| (f64::from(number) * 1_000.0).round() / 1_000.0;
            json!({
                "rule": *found.rule, "indicator_type": *found.indicator_type,
                "severity": found.severity.name(), "confidence": rounded(found.confidence),
                "score": rounded(found.score),
                "blocks_from": found.blocks_from_where_unusual(), "description": found.description,
                "field": found.field, "excerpt": found.excerpt, "mode": found.mode.name(),
                "mitigations": mitigations,
            })
        })
        .collect();
    let (status, outcome, code) = match (found.verdict, found.refused_as) {
        (Verdict::Block, _) => (403, "refused", "threat-blocked"),
        (Verdict::Pass, Some(unreadable)) => (unreadable.status, "refused", unreadable.code),
        (Verdict::Pass, None) => (0, "forwarded", ""),
    };
    json!({
        "timestamp": String::from_utf8_lossy(&timestamp::text(now.unix_micros)),
        "method": parts.method.as_str(), "endpoint": parts.path, "status_code": status,
        "outcome": outcome, "refusal_code": code, "route": route, "api_key_id": parts.key,
        "indicators": indicators,
        "query_complexity": found.query.as_ref().map(|query| query.complexity_class.name()),
    })
}

fn print(story: &Value, out: &mut dyn Write) -> io::Result<()> {
    let text = |of: &Value, name: &str| match of.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    writeln!(out, "{}", text(story, "summary"))?;
    let findings = story.get("findings").and_then(Value::as_array);
    let findings = findings.map(Vec::as_slice).unwrap_or_default();
    if findings.is_empty() {
        writeln!(out, "no rule matched")?;
    }
    for found in findings {
        writeln!(
            out,
            "\n{} ({}): {}",
            text(found, "rule"),
            text(found, "mode"),
            text(found, "description")
        )?;
        writeln!(out, "  field     {}", text(found, "field"))?;
        writeln!(out, "  excerpt   {}", text(found, "evidence"))?;
        if found.get("score").and_then(Value::as_f64).unwrap_or(0.0) > 0.0 {
            let (score, from) = (text(found, "score"), text(found, "blocks_from"));
            let share = text(found, "share_percent");
            writeln!(
                out,
                "  score     {score} in its category, {share} % of it from this rule of confidence {}; {from} blocks",
                text(found, "confidence")
            )?;
        } else {
            writeln!(out, "  score     none: it does not count")?;
        }
    }
    let passed = text(story, "would_have_passed");
    if !passed.is_empty() {
        writeln!(out, "\nwould have passed: {passed}")?;
    }
    let mut proposed: Vec<String> = Vec::new();
    for found in findings {
        let proposal = text(found, "exclude_with");
        if text(found, "mode") == "enforce" && !proposed.contains(&proposal) {
            proposed.push(proposal);
        }
    }
    if !proposed.is_empty() {
        writeln!(out, "\nif it is honest, exclude it:")?;
    }
    for proposal in &proposed {
        writeln!(out, "\n{proposal}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_sent_or_as_recorded() {
        let sent =
            b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\nbody\r\n\r\nmore";
        let read_back = read(sent).unwrap();
        assert_eq!(
            (read_back.method.as_str(), read_back.path.as_str()),
            ("POST", "/a?b=c")
        );
        assert_eq!(read_back.headers["content-type"], "text/plain");
        assert_eq!(read_back.body.as_deref(), Some("body\r\n\r\nmore"));
        let line = b"{\"method\":\"GET\",\"path\":\"/\"}\n{\"method\":\"PUT\",\"path\":\"/\"}\n";
        assert_eq!(read(line).unwrap().method, "GET");
        for wrong in [
            &b"GET"[..],
            b"GET / HTTP/1.1\r\nno field\r\n\r\n",
            b"{}",
            b"\xff\xfe /",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
