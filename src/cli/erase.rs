//! `rg-gateway audit erase`: takes events out of the log for good, while no gateway runs.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{CliError, Outcome};
use crate::admin::{SearchParameters, erasure_of};
use crate::audit::{EraseError, Extent, KeyRing, Log, LogOptions, OpenError, SIGNING_KEY_FILE};
use crate::erasure::{self, Request};
use crate::notes::Actor;

/// What `audit erase` is told.
#[derive(Debug, clap::Args)]
pub(super) struct EraseArguments {
    #[command(flatten)]
    filters: SearchParameters,
    /// Recorded in the log; such as the number of the request for erasure.
    #[arg(long)]
    reason: String,
    /// Erase the events, or only what in them may tell of a person.
    #[arg(long, value_enum, default_value_t)]
    extent: Extent,
    /// Only count the events.
    #[arg(long)]
    dry_run: bool,
    /// The log's signing key, where it is not in the data folder.
    #[arg(long, value_name = "FILE")]
    signing_key_file: Option<PathBuf>,
}

impl EraseArguments {
    pub(super) fn run(&self, data_dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let search = erasure_of(&self.filters).map_err(CliError::Usage)?;
        let signing_key_file = match &self.signing_key_file {
            Some(file) => file.clone(),
            None => data_dir.join(SIGNING_KEY_FILE),
        };
        // Another key would be made, and published beside the log.
        if !signing_key_file.is_file() {
            let file = signing_key_file.display();
            let reason = format!("no signing key: {file}; name it with --signing-key-file");
            return Err(CliError::Usage(reason));
        }
        let options = LogOptions {
            signing_key_file,
            total_bytes_max: u64::MAX / 4,
            encryption: KeyRing::from_environment().map_err(CliError::runtime)?,
            ..LogOptions::new(data_dir.join("audit"))
        };
        let (log, _) = Log::open(&options).map_err(|error| match error {
            OpenError::InUse(_) => CliError::runtime(
                "a gateway writes this log; ask it: POST /audit/erase on its admin listener",
            ),
            other => CliError::runtime(other),
        })?;
        let request = Request {
            search,
            extent: self.extent,
            actor: Actor::of_command(),
            reason: self.reason.clone(),
            dry_run: self.dry_run,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let summary = runtime.block_on(erasure::erase(&log, data_dir, request));
        log.close();
        let summary = summary.map_err(|error| match error {
            EraseError::TooBroad => CliError::Usage(error.to_string()),
            other => CliError::runtime(other),
        })?;
        let (found, erased, segments) = (summary.found, summary.erased, summary.segments);
        if self.dry_run {
            writeln!(out, "{found} events would be erased")?;
        } else {
            writeln!(out, "{erased} events erased, {segments} segments rewritten")?;
        }
        if summary.torn_files > 0 {
            let torn = summary.torn_files;
            writeln!(
                out,
                "{torn} *.torn files were not looked into; remove them by hand"
            )?;
        }
        if summary.dead_letter_files > 0 {
            let files = summary.dead_letter_files;
            writeln!(
                out,
                "{files} files of dead letters (sinks/*.dead.jsonl*) were not looked into; offer the events again or remove them"
            )?;
        }
        Ok(Outcome::Done)
    }
}
