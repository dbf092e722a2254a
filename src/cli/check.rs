//! `rg-gateway check`: everything that is wrong, in one run, without starting anything.

use std::io::Write;
use std::path::PathBuf;

use super::{CliError, Outcome};
use crate::diagnostic::Diagnostic;
use crate::{app, config, rules};

/// Report everything that is wrong with configuration and rules.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The configuration file.
    #[arg(short, long, default_value = "gateway.yaml", env = "RG_CONFIG")]
    config: PathBuf,
    /// Print the JSON Schema of the configuration file instead.
    #[arg(long, conflicts_with = "print")]
    schema: bool,
    /// Print the effective configuration, defaults included, secrets redacted.
    #[arg(long)]
    print: bool,
}

impl Check {
    pub(super) fn run(
        &self,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<Outcome, CliError> {
        if self.schema {
            let schema =
                serde_json::to_string_pretty(&config::schema()).map_err(CliError::runtime)?;
            writeln!(out, "{schema}")?;
            return Ok(Outcome::Done);
        }
        let mut wrong: Vec<Diagnostic> = Vec::new();
        match config::load(&self.config) {
            Ok(loaded) => {
                check_rules(&loaded.config, &mut wrong);
                if self.print && wrong.is_empty() {
                    write!(out, "{}", config::print(&loaded.config))?;
                }
                for advice in &loaded.advice {
                    writeln!(err, "{advice}")?;
                }
            }
            Err(found) => wrong.extend(found),
        }
        if !wrong.is_empty() {
            return Err(CliError::Configuration(wrong));
        }
        if !self.print {
            writeln!(out, "{}: ok", self.config.display())?;
        }
        Ok(Outcome::Done)
    }
}

fn check_rules(config: &config::Config, wrong: &mut Vec<Diagnostic>) {
    let compiled =
        app::configured_rules(config).and_then(|files| rules::engine(&files, &config.rules));
    if let Err(found) = compiled {
        wrong.extend(found);
    }
}
