//! `rg-gateway rules replay`: recorded requests judged again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CliError, Outcome};
use crate::now::Now;
use crate::replay::{self, Counts, Example, Side, Tally};

/// Lines of one table.
const ROWS_MAX: usize = 25;

/// Judge recorded requests again; with `--against`, show what would change.
#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    /// Recordings (JSON Lines), or folders of `*.jsonl`; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The rules asked about; the configuration's, or ./rules.
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// The rules they are compared with.
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// A configuration: its routes tell what requests are, its exclusions and switched-off rules hold.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another configuration for the rules compared with.
    #[arg(long, value_name = "FILE")]
    against_config: Option<PathBuf>,
    /// Worker threads; one per core unless given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let now = Side::load(self.config.as_deref(), self.rules.as_deref());
        let now = now.map_err(CliError::Configuration)?;
        let compares = self.against.is_some() || self.against_config.is_some();
        let before = if compares {
            let config = self.against_config.as_deref().or(self.config.as_deref());
            let rules = self.against.as_deref().or(self.rules.as_deref());
            Some(Side::load(config, rules).map_err(CliError::Configuration)?)
        } else {
            None
        };
        let threads = self.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        );
        let began = Now::read();
        let files = files_of(&self.files)?;
        let mut readers = files.iter().map(|file| open(file));
        let tally = replay::replay(
            &mut readers,
            &now,
            before.as_ref(),
            threads,
            began.unix_micros,
        )?;
        let seconds = Now::read().since(began).as_secs_f64().max(1e-6);
        if self.json {
            let report = json!({
                "compared": compares, "seconds": seconds, "threads": threads,
                "requests_per_second": per_second(&tally, seconds), "tally": tally,
            });
            writeln!(out, "{report}")?;
        } else {
            print(&tally, compares, out)?;
            let rate = per_second(&tally, seconds);
            writeln!(
                out,
                "{} requests in {seconds:.2} s on {threads} threads: {rate:.0} a second",
                tally.all.requests
            )?;
        }
        Ok(Outcome::Done)
    }
}

fn per_second(tally: &Tally, seconds: f64) -> f64 {
    let requests = u32::try_from(tally.all.requests).unwrap_or(u32::MAX);
    f64::from(requests) / seconds
}

/// The files themselves; of a folder its recordings in name order.
fn files_of(given: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "jsonl") {
                inside.push(path);
            }
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let named = |error| io::Error::other(format!("{}: {error}", path.display()));
    Ok(Box::new(BufReader::with_capacity(
        1 << 18,
        File::open(path).map_err(named)?,
    )))
}

fn print(tally: &Tally, compares: bool, out: &mut dyn Write) -> io::Result<()> {
    let all = &tally.all;
    writeln!(out, "judged                {}", all.requests)?;
    writeln!(out, "blocked               {}", all.blocked)?;
    if compares {
        writeln!(out, "blocked before        {}", all.blocked_before)?;
        writeln!(out, "newly blocked         {}", all.newly_blocked)?;
        writeln!(out, "newly allowed         {}", all.newly_allowed)?;
    }
    writeln!(out, "refused before rules  {}", tally.refused_before_rules)?;
    writeln!(out, "unreadable lines      {}", tally.unreadable)?;
    for (title, groups) in [
        ("RULE", &tally.rules),
        ("KEY", &tally.keys),
        ("LABEL", &tally.labels),
    ] {
        table(title, groups, compares, out)?;
    }
    for (title, examples) in [
        ("newly blocked", &tally.newly_blocked),
        ("newly allowed", &tally.newly_allowed),
    ] {
        list(title, examples, out)?;
    }
    Ok(())
}

/// The groups with the largest differences, or where nothing is compared with the most blocks.
fn table(
    title: &str,
    groups: &BTreeMap<String, Counts>,
    compares: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let weight = |counts: &Counts| {
        let changed = counts.newly_blocked + counts.newly_allowed;
        if compares { changed } else { counts.blocked }
    };
    let mut rows: Vec<(&String, &Counts)> = groups
        .iter()
        .filter(|(_, counts)| weight(counts) > 0 || title == "LABEL")
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_by_key(|(_, counts)| std::cmp::Reverse(weight(counts)));
    writeln!(
        out,
        "\n{title:36} {:>9} {:>9} {:>9} {:>9}",
        "REQUESTS", "BLOCKED", "+BLOCKED", "+ALLOWED"
    )?;
    for (name, counts) in rows.iter().take(ROWS_MAX) {
        writeln!(
            out,
            "{name:36} {:>9} {:>9} {:>9} {:>9}",
            counts.requests, counts.blocked, counts.newly_blocked, counts.newly_allowed
        )?;
    }
    if rows.len() > ROWS_MAX {
        writeln!(out, "and {} more; --json has all", rows.len() - ROWS_MAX)?;
    }
    Ok(())
}

fn list(title: &str, examples: &[Example], out: &mut dyn Write) -> io::Result<()> {
    if examples.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nsome of the {title}")?;
    for example in examples {
        let Example {
            id,
            rule,
            field,
            excerpt,
        } = example;
        writeln!(out, "  {id}  {rule}  {field}\n      {excerpt}")?;
    }
    writeln!(out)
}
