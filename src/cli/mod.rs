//! The command line: one function a command, one exit code an outcome.

mod audit;
mod check;
mod demo;
mod erase;
mod explain;
mod export;
mod penalties;
mod proof;
mod replay;
mod report;
mod rules;
mod search;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::diagnostic::Diagnostic;
use crate::keys::{self, KeysCommand};
use crate::serve::{self, ServeError};

/// Wrong arguments (sysexits.h `EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// Wrong configuration or rules (sysexits.h `EX_CONFIG`).
const EXIT_CONFIGURATION: u8 = 78;

/// A reverse-proxy API gateway with threat inspection, observability and a provable audit trail.
#[derive(Debug, Parser)]
#[command(name = "rg-gateway", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway, a small graph API behind it and seeded keys; print requests to try.
    Demo(demo::Demo),
    /// Run the gateway.
    Run {
        /// The configuration file.
        #[arg(short, long, default_value = "gateway.yaml", env = "RG_CONFIG")]
        config: PathBuf,
        /// Say only `ready` on standard output, without the listeners' addresses.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Report everything that is wrong with configuration and rules.
    Check(check::Check),
    /// Create, list, rotate, revoke, suspend and import API keys.
    Keys {
        /// The gateway's data folder.
        #[arg(long, global = true, default_value = "./data", env = "RG_DATA_DIR")]
        data_dir: PathBuf,
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// List and lift what mitigations have laid upon keys.
    Penalties {
        /// The gateway's data folder.
        #[arg(long, global = true, default_value = "./data", env = "RG_DATA_DIR")]
        data_dir: PathBuf,
        #[command(subcommand)]
        command: penalties::PenaltiesCommand,
    },
    /// Work on threat rules.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Search, follow, export and verify the audit log.
    Audit {
        /// The gateway's data folder.
        #[arg(long, global = true, default_value = "./data", env = "RG_DATA_DIR")]
        data_dir: PathBuf,
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Report what the audit log says for a compliance standard.
    Report(report::ReportCommand),
    /// Tell why a request was decided as it was.
    Explain {
        /// A decision id or a request id.
        id: String,
        /// The gateway's data folder.
        #[arg(long, default_value = "./data", env = "RG_DATA_DIR")]
        data_dir: PathBuf,
    },
}

/// How a command ended.
#[derive(Debug)]
enum Outcome {
    Done,
    /// It ran, and what it looked at is not as it should be.
    Failed,
}

/// Why a command could not do its work.
#[derive(Debug)]
enum CliError {
    Usage(String),
    Configuration(Vec<Diagnostic>),
    Runtime(String),
}

impl CliError {
    fn runtime(error: impl std::fmt::Display) -> Self {
        Self::Runtime(error.to_string())
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::runtime(error)
    }
}

impl From<ServeError> for CliError {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Configuration(diagnostics) => Self::Configuration(diagnostics),
            other => Self::runtime(other),
        }
    }
}

/// Runs one command.
pub fn run(cli: Cli, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let outcome = match cli.command {
        Command::Demo(demo) => demo.run(out),
        Command::Run { config, quiet } => run_gateway(&config, quiet, out),
        Command::Check(check) => check.run(out, err),
        Command::Keys { data_dir, command } => run_keys(command, &data_dir, out),
        Command::Penalties { data_dir, command } => command.run(&data_dir, out),
        Command::Rules(command) => command.run(out),
        Command::Report(report) => report.run(out),
        Command::Audit { data_dir, command } => command.run(&data_dir, out),
        Command::Explain { id, data_dir } => audit::explain(&id, &data_dir, out),
    };
    let (code, written) = match outcome {
        Ok(Outcome::Done) => (ExitCode::SUCCESS, Ok(())),
        Ok(Outcome::Failed) => (ExitCode::FAILURE, Ok(())),
        Err(CliError::Usage(reason)) => {
            (ExitCode::from(EXIT_USAGE), writeln!(err, "error: {reason}"))
        }
        Err(CliError::Configuration(found)) => {
            (ExitCode::from(EXIT_CONFIGURATION), report(&found, err))
        }
        Err(CliError::Runtime(reason)) => (ExitCode::FAILURE, writeln!(err, "error: {reason}")),
    };
    // Nobody is left to tell that standard error is gone.
    drop(written);
    code
}

/// Every diagnostic, then how many there were.
fn report(diagnostics: &[Diagnostic], err: &mut dyn Write) -> std::io::Result<()> {
    for diagnostic in diagnostics {
        writeln!(err, "{diagnostic}")?;
    }
    let errors = match diagnostics.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    writeln!(err, "{errors}; nothing was started")
}

fn run_gateway(
    config: &std::path::Path,
    quiet: bool,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let started = serve::start(config)?;
    if !quiet {
        started.announce(out)?;
    }
    started.run(out)?;
    Ok(Outcome::Done)
}

fn run_keys(
    command: KeysCommand,
    data_dir: &std::path::Path,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    // The store journals the changes; the gateway takes them over into the audit log.
    keys::run(command, data_dir, out).map_err(CliError::runtime)?;
    Ok(Outcome::Done)
}
