//! `rg-gateway keys`: the store from the command line, also while the gateway runs.
//!
//! Secrets are printed by `create` and `rotate`, once, and by nothing else.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::args::{TermsArgs, When, duration, when};
use super::record::{KeyChange, NewKey};
use super::store::{KeyFilter, KeyStore};
use super::verification::VerificationCommand;
use super::{KeysError, Result, files, render};
use crate::now::Now;
use crate::policy::auth::{Environment, KeyId};

/// The commands under `rg-gateway keys`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it, this once
    Create {
        /// Who owns it
        #[arg(long, visible_alias = "org")]
        organization: String,
        /// What people call it
        #[arg(long, default_value = "")]
        name: String,
        /// Make an `rg_test_` key
        #[arg(long)]
        test: bool,
        /// Everything else about it
        #[command(flatten)]
        terms: TermsArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List keys
    List {
        /// Of this organization alone
        #[arg(long, visible_alias = "org")]
        organization: Option<String>,
        /// Of this plan alone
        #[arg(long)]
        plan: Option<String>,
        /// After this id, for the next page
        #[arg(long)]
        after: Option<KeyId>,
        /// At most so many
        #[arg(long, default_value_t = 1_000)]
        count: u32,
        /// Print JSON, one key a line
        #[arg(long)]
        json: bool,
    },
    /// Show one key
    Show {
        /// Its id, the eight characters after `rg_live_`
        id: KeyId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Replace a key by a new one, print that, and let the old one end later
    Rotate {
        /// Its id
        id: KeyId,
        /// How long the old one is still accepted
        #[arg(long, default_value = "7d", value_parser = duration)]
        grace: Duration,
        /// Who does this, for the audit log
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Withdraw a key for good
    Revoke {
        /// Its id
        id: KeyId,
        /// Who does this, for the audit log
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
    /// Withdraw a key for now
    Suspend {
        /// Its id
        id: KeyId,
        /// Until a time (RFC 3339), or for a duration such as 24h; without it, until resumed
        #[arg(long, value_parser = when)]
        until: Option<When>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// Who does this, for the audit log
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
    /// Accept a suspended key again
    Resume {
        /// Its id
        id: KeyId,
        /// Who does this, for the audit log
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
    /// One-time codes of a key, for when a mitigation demands them
    #[command(subcommand)]
    Verification(VerificationCommand),
    /// Bring in the keys of another system, hashed on the way in
    Import {
        /// Comma-separated values; the header line has key,organization_id and optionally
        /// plan,scopes,graphs,networks,expires_at,name
        file: PathBuf,
        /// What keys have whose fields are empty
        #[command(flatten)]
        terms: TermsArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs one command on the store of a data folder, and answers with its changes for the audit log.
///
/// # Errors
///
/// Those of the store; `ImportRefused` after the file's errors were printed; `Output`.
pub fn run(command: KeysCommand, data_dir: &Path, out: &mut dyn Write) -> Result<Vec<KeyChange>> {
    let now = Now::read();
    let mut store = KeyStore::open(data_dir)?;
    match command {
        KeysCommand::Create {
            organization,
            name,
            test,
            terms,
            json,
        } => {
            let environment = if test {
                Environment::Test
            } else {
                Environment::Live
            };
            let terms = terms.terms(&organization, &name, now)?;
            let issued = store.create(NewKey { environment, terms }, now)?;
            render::issued(&issued, json, now, out).map_err(KeysError::Output)?;
            Ok(issued.changes)
        }
        KeysCommand::Rotate {
            id,
            grace,
            by,
            json,
        } => {
            let issued = store.rotate(id, grace, &by, now)?;
            render::issued(&issued, json, now, out).map_err(KeysError::Output)?;
            Ok(issued.changes)
        }
        KeysCommand::List {
            organization,
            plan,
            after,
            count,
            json,
        } => {
            let filter = KeyFilter {
                organization_id: organization,
                plan,
                after,
                count_max: count,
            };
            render::list(&store.list(&filter)?, json, now, out).map_err(KeysError::Output)?;
            Ok(Vec::new())
        }
        KeysCommand::Show { id, json } => {
            render::one(&store.show(id)?, json, now, out).map_err(KeysError::Output)?;
            Ok(Vec::new())
        }
        KeysCommand::Revoke { id, by } => changed(store.revoke(id, &by, now)?, out),
        KeysCommand::Suspend {
            id,
            until,
            reason,
            by,
        } => {
            let until = until.map(|when| when.unix_micros(now));
            changed(store.suspend(id, until, &reason, &by, now)?, out)
        }
        KeysCommand::Resume { id, by } => changed(store.resume(id, &by, now)?, out),
        KeysCommand::Verification(command) => command.run(&mut store, now, out),
        KeysCommand::Import { file, terms, json } => {
            import(&mut store, &file, &terms, json, now, out)
        }
    }
}

fn changed(change: KeyChange, out: &mut dyn Write) -> Result<Vec<KeyChange>> {
    writeln!(out, "{} {}", change.transition.as_str(), change.key_id).map_err(KeysError::Output)?;
    Ok(vec![change])
}

fn import(
    store: &mut KeyStore,
    file: &Path,
    terms: &TermsArgs,
    json: bool,
    now: Now,
    out: &mut dyn Write,
) -> Result<Vec<KeyChange>> {
    let input = File::open(file).map_err(|source| files::at(file, source))?;
    // The organization comes from each row; an empty one in a row is an error there.
    let defaults = terms.terms("", "", now)?;
    let report = store.import_csv(BufReader::new(input), &defaults, now)?;
    render::import(&report, file, json, out).map_err(KeysError::Output)?;
    match report.error_count {
        0 => Ok(report.changes),
        errors => Err(KeysError::ImportRefused(errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use tempfile::TempDir;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: KeysCommand,
    }

    fn keys(folder: &TempDir, line: &str) -> (Result<Vec<KeyChange>>, String) {
        let words = std::iter::once("keys").chain(line.split_whitespace());
        let mut out = Vec::new();
        let outcome = run(
            Line::try_parse_from(words).unwrap().command,
            folder.path(),
            &mut out,
        );
        (outcome, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_life_of_a_key_on_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let create = "create --org acme --plan premium --scopes graph:query --expires 90d --by ada --name nightly";
        let (outcome, out) = keys(&folder, create);
        let id = outcome.unwrap()[0].key_id;
        let secret = out.lines().next().unwrap().to_owned();
        assert!(secret.starts_with(&format!("rg_live_{id}_")), "{out}");

        let (_, listed) = keys(&folder, "list");
        assert_eq!(listed.lines().count(), 2);
        assert!(listed.contains("acme") && listed.contains("premium") && listed.contains("active"));
        let (_, shown) = keys(&folder, &format!("show {id}"));
        assert!(
            shown.contains("graph:query") && shown.contains("by ada"),
            "{shown}"
        );

        assert_eq!(
            keys(&folder, &format!("suspend {id} --until 24h")).1,
            format!("suspended {id}\n")
        );
        assert!(keys(&folder, "list").1.contains("suspended until 2"));
        keys(&folder, &format!("resume {id}")).0.unwrap();
        let (outcome, rotated) = keys(&folder, &format!("rotate {id} --grace 7d --json"));
        let rotated: serde_json::Value = serde_json::from_str(&rotated).unwrap();
        assert_eq!(rotated["replaces"], id.as_str());
        assert_eq!(outcome.unwrap().len(), 2);
        keys(&folder, &format!("revoke {id}")).0.unwrap();
        assert!(keys(&folder, &format!("revoke {id}")).0.is_err());

        for line in [
            "list",
            "list --json",
            &format!("show {id}"),
            &format!("show {id} --json"),
        ] {
            let (_, out) = keys(&folder, line);
            assert!(
                !out.contains(&secret[17..]) && out.contains("revoked"),
                "{line}: {out}"
            );
        }
    }

    #[test]
    fn an_import_prints_its_errors_with_their_places_and_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("old.csv");
        std::fs::write(&file, "key,organization_id\nshort,acme\nlong-enough-key,\n").unwrap();
        let line = format!("import {} --plan basic", file.display());
        let (outcome, out) = keys(&folder, &line);
        assert!(matches!(outcome, Err(KeysError::ImportRefused(2))));
        assert!(
            out.contains("old.csv:2:1: ") && out.contains("old.csv:3:1: organization_id: "),
            "{out}"
        );
        assert!(!out.contains("long-enough-key"));

        std::fs::write(&file, "key,organization_id\nlong-enough-key,acme\n").unwrap();
        let (outcome, out) = keys(&folder, &line);
        assert_eq!(out, "1 imported, 0 known already\n");
        assert_eq!(outcome.unwrap()[0].plan, "basic");
    }

    #[test]
    fn what_cannot_be_is_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().unwrap();
        assert!(keys(&folder, "create --org acme --scopes GRAPH").0.is_err());
        assert!(
            keys(&folder, "create --org acme --networks 10/99")
                .0
                .is_err()
        );
        for line in [
            "keys create",
            "keys show short",
            "keys rotate ab12CD34 --grace soon",
            "keys suspend",
        ] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
        assert!(keys(&folder, "list --json").1.is_empty());
    }
}
