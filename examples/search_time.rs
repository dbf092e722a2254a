//! Writes a log of many events and says how long searches in it take.
//!
//! `cargo run --release --example search_time -- 1000000`

use std::io::{self, Write};
use std::path::Path;

use rg_gateway::audit::report::{Scope, Standard, report};
use rg_gateway::audit::{
    AppendError, AuditEvent, Durability, EventIds, EventType, Log, LogOptions, Search, Severity,
    Source, search_dir,
};
use rg_gateway::now::Now;

/// 2026-11-01T00:00:00Z, and a second between two events.
const BEGIN: i64 = 1_793_491_200_000_000;
const STEP: i64 = 1_000_000;
const ORGANIZATIONS: i64 = 200;
/// How often each search is made.
const ROUNDS: usize = 9;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let count: i64 = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 100_000,
    };
    let folder = std::env::temp_dir().join(format!("search-time-{}", std::process::id()));
    let measured = measure(&folder, count);
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path, count: i64) -> Result<(), Failed> {
    write(folder, count)?;
    let mut out = io::stdout().lock();
    let middle = BEGIN + count / 2 * STEP;
    let base = Search {
        from: Some(middle),
        to: Some(middle + count / 10 * STEP),
        limit: 1_000,
        ..Search::default()
    };
    let one_hour = Search {
        organization_id: Some("org-77".to_owned()),
        to: Some(middle + 3_600 * STEP),
        ..base.clone()
    };
    let of_organization = Search {
        organization_id: Some("org-77".to_owned()),
        ..base.clone()
    };
    let one = Search {
        request_id: Some(format!("request-{}", count / 3)),
        ..Search::default()
    };
    let text = Search {
        text: Some(format!("request-{}\"", count / 3)),
        ..Search::default()
    };
    for (name, search) in [
        ("organization + one hour", one_hour),
        ("organization + a tenth of the time", of_organization),
        ("one request of all", one),
        ("free text in all", text),
    ] {
        let mut times = Vec::new();
        let (mut found, mut pages) = (0, 0);
        for _ in 0..ROUNDS {
            let began = Now::read();
            (found, pages) = all_pages(folder, search.clone())?;
            times.push(Now::read().since(began));
        }
        times.sort();
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
        let worst = times.last().copied().unwrap_or_default();
        writeln!(
            out,
            "{name}: {found} events, {pages} pages, median {median:?}, worst {worst:?} of {ROUNDS}"
        )?;
    }
    let scope = Scope {
        standard: Standard::Soc2,
        from: BEGIN,
        to: BEGIN + count * STEP,
        organization: None,
    };
    let began = Now::read();
    let made = report(folder, &scope, BEGIN)?;
    let took = Now::read().since(began);
    writeln!(out, "report over {} events: {took:?}", made.proof.events)?;
    Ok(())
}

/// How many events a search finds, and on how many pages.
fn all_pages(folder: &Path, mut search: Search) -> Result<(usize, usize), Failed> {
    let (mut found, mut pages) = (0, 0);
    loop {
        let page = search_dir(folder, &search)?;
        found += page.events.len();
        pages += 1;
        match page.next_cursor {
            Some(cursor) => search.cursor = Some(cursor),
            None => return Ok((found, pages)),
        }
    }
}

fn write(folder: &Path, count: i64) -> Result<(), Failed> {
    let options = LogOptions {
        durability: Durability::Relaxed,
        ..LogOptions::new(folder)
    };
    let (log, _) = Log::open(&options)?;
    let ids = EventIds::new(1);
    let began = Now::read();
    for n in 0..count {
        let at = BEGIN + n * STEP;
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(n % 5_000)?);
        let event = AuditEvent {
            source_ip: Source::Address(address.into()),
            user_agent: "search-time/1.0".into(),
            organization_id: Some(format!("org-{}", n * 7_919 % ORGANIZATIONS).into()),
            api_key_id: Some(format!("key{:05}", n % 1_000).into()),
            endpoint: "/v1/graphs/people/query".into(),
            method: "POST".into(),
            status_code: 200,
            request_id: format!("request-{n}").into(),
            processing_time_ms: 1.5,
            compliance_tags: vec!["data_access".into()],
            ..AuditEvent::new(ids.next(at), at, EventType::DataAccess, Severity::Info)
        };
        append(&log, &event)?;
    }
    log.close();
    let took = Now::read().since(began);
    let bytes = log.stats().bytes;
    writeln!(
        io::stdout(),
        "{count} events written, {bytes} bytes: {took:?}"
    )?;
    Ok(())
}

/// Appends an event; a disk that cannot keep up is waited for.
fn append(log: &Log, event: &AuditEvent<'_>) -> Result<(), Failed> {
    loop {
        match log.append(event) {
            Err(AppendError::SyncBehind) => std::thread::yield_now(),
            appended => return Ok(appended.map(drop)?),
        }
    }
}
