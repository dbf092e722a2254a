//! `rg-gateway rules`: what the rules are, and whether their own tests hold.

use std::io::Write;
use std::path::PathBuf;

use super::explain::Explain;
use super::replay::Replay;
use super::{CliError, Outcome};
use crate::app;
use crate::policy::threat::Engine;

/// Work on threat rules.
#[derive(Debug, clap::Subcommand)]
pub(super) enum RulesCommand {
    /// Compile the rules and run the tests they carry.
    Test {
        /// The rules' directory.
        #[arg(long, default_value = "./rules")]
        dir: PathBuf,
    },
    /// List the rules.
    List {
        /// The rules' directory.
        #[arg(long, default_value = "./rules")]
        dir: PathBuf,
    },
    Explain(Explain),
    Replay(Replay),
}

impl RulesCommand {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let dir = match self {
            Self::Explain(explain) => return explain.run(out),
            Self::Replay(replay) => return replay.run(out),
            Self::Test { dir } | Self::List { dir } => dir,
        };
        let files = app::rule_files(dir).map_err(CliError::Configuration)?;
        let engine = Engine::compile(&files, &[]).map_err(CliError::Configuration)?;
        match self {
            Self::Test { .. } => {
                let report = engine.test_report();
                writeln!(
                    out,
                    "{} rules, {} tests passed",
                    engine.rules().count(),
                    report.run
                )?;
            }
            Self::List { .. } | Self::Explain(_) | Self::Replay(_) => {
                for rule in engine.rules() {
                    writeln!(
                        out,
                        "{:40} {:8} {:8}",
                        rule.id,
                        rule.mode.name(),
                        rule.severity.name()
                    )?;
                }
            }
        }
        Ok(Outcome::Done)
    }
}
