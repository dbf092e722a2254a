//! `rg-gateway penalties`: what mitigations have laid upon keys, with or without a running gateway.

use std::io::Write;
use std::path::Path;

use uuid::Uuid;

use super::{CliError, Outcome};
use crate::now::Now;
use crate::state::penalties::{Entry, PenaltyStore, events};

/// List and lift what mitigations have laid upon keys.
#[derive(Debug, clap::Subcommand)]
pub(super) enum PenaltiesCommand {
    /// List penalties in force, the newest finding first.
    List {
        /// Print JSON, one penalty a line.
        #[arg(long)]
        json: bool,
    },
    /// Take a penalty away; a running gateway follows within a second.
    Lift {
        /// The penalty's id.
        id: Uuid,
        /// Who does this, for the audit log.
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
}

impl PenaltiesCommand {
    pub(super) fn run(&self, data_dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let now = Now::read();
        let mut store = PenaltyStore::open(data_dir).map_err(CliError::runtime)?;
        match self {
            Self::List { json } => {
                let entries = store.list(now).map_err(CliError::runtime)?;
                list(&entries, *json, out)?;
            }
            Self::Lift { id, by } => {
                let entry = store.lift(*id, by, now).map_err(CliError::runtime)?;
                writeln!(out, "lifted {} of key {}", entry.penalty.kind, entry.key_id)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn list(entries: &[Entry], json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if json {
        return entries
            .iter()
            .try_for_each(|entry| writeln!(out, "{}", events::details(entry)));
    }
    writeln!(
        out,
        "{:36}  {:23}  {:8}  {:22}  {:20}  {:7}  RULES",
        "ID", "KIND", "KEY", "NETWORK", "UNTIL", "STRIKES"
    )?;
    for entry in entries {
        let penalty = &entry.penalty;
        let network = entry
            .network
            .map_or_else(|| "any".to_owned(), |network| network.to_string());
        writeln!(
            out,
            "{:36}  {:23}  {:8}  {network:22}  {:20}  {:7}  {}",
            penalty.id.to_string(),
            penalty.kind.as_str(),
            entry.key_id,
            penalty.until_micros.map(events::time).unwrap_or_default(),
            penalty.strikes,
            penalty.rules,
        )?;
    }
    writeln!(out, "{} penalties", entries.len())
}
