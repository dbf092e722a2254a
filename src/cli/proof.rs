//! `rg-gateway audit verify`, `proof`, `key`, `checkpoint`: what shows that the audit log is what was written.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{CliError, Outcome};
use crate::audit::{
    Proof, PublicKey, Search, TreeHead, Trust, Verification, prove_dir, search_dir, signed_by,
    timestamp, verify,
};
use crate::notes::{self, Read};

/// What `audit verify` is told.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArguments {
    /// A file with the public keys to trust, one a line; without it those beside the log.
    #[arg(long)]
    key: Option<PathBuf>,
    /// A signed checkpoint kept elsewhere that the log must agree with; may be repeated.
    #[arg(long)]
    checkpoint: Vec<PathBuf>,
    /// Check the proof of one event in this file instead of the log; needs --key and no log.
    #[arg(long, requires = "key", value_name = "FILE")]
    proof: Option<PathBuf>,
}

impl VerifyArguments {
    pub(super) fn run(&self, dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
        let keys = self.key.as_deref().map(keys_of).transpose()?;
        if let (Some(proof), Some(keys)) = (&self.proof, &keys) {
            return self.check_proof(proof, keys, out);
        }
        let beside = || signed_by::keys(dir).map_err(CliError::runtime);
        let known = match &keys {
            Some(keys) => keys.clone(),
            None => beside()?,
        };
        let checkpoints = self
            .checkpoint
            .iter()
            .map(|path| checkpoint_of(path, &known));
        let there = dir.parent().map(Trust::of_data_folder);
        let trust = Trust {
            keys,
            checkpoints: checkpoints.collect::<Result<_, _>>()?,
            ..there.unwrap_or_default()
        };
        let verification = verify(dir, &trust).map_err(CliError::runtime)?;
        report(&verification, out)?;
        Ok(if verification.is_sound() {
            Outcome::Done
        } else {
            Outcome::Failed
        })
    }

    fn check_proof(
        &self,
        path: &Path,
        keys: &[PublicKey],
        out: &mut dyn Write,
    ) -> Result<Outcome, CliError> {
        let proof: Proof = serde_json::from_str(&read(path)?)
            .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
        let earlier = self.checkpoint.first();
        let earlier = earlier.map(|path| checkpoint_of(path, keys)).transpose()?;
        match proof.check(keys, earlier.as_ref()) {
            Ok(head) => {
                let at = head.unix_micros.map(signed_at).unwrap_or_default();
                let (sequence, size) = (proof.sequence, head.size);
                writeln!(out, "event {sequence} of {size}, signed{at}")?;
                writeln!(out, "{}", proof.event)?;
                Ok(Outcome::Done)
            }
            Err(wrong) => {
                writeln!(out, "not proved: {wrong}")?;
                Ok(Outcome::Failed)
            }
        }
    }
}

/// `rg-gateway audit proof`.
pub(super) fn print_proof(
    id: &str,
    from: Option<u64>,
    data_dir: &Path,
    out: &mut dyn Write,
) -> Result<Outcome, CliError> {
    let id: uuid::Uuid = id
        .parse()
        .map_err(|_| CliError::Usage(format!("not an event id: {id}")))?;
    let asked = serde_json::json!({"event_id": id.to_string(), "from": from});
    notes::spool_read(data_dir, Read::Proved, &asked)?;
    let dir = &data_dir.join("audit");
    let search = Search {
        event_id: Some(id),
        limit: 1,
        ..Search::default()
    };
    let page = search_dir(dir, &search).map_err(CliError::runtime)?;
    let Some(event) = page.into_first() else {
        writeln!(out, "no event {id}: it was erased, dropped, or never was")?;
        return Ok(Outcome::Failed);
    };
    let proof = prove_dir(dir, &event, from).map_err(CliError::runtime)?;
    let text = serde_json::to_string_pretty(&proof).map_err(CliError::runtime)?;
    writeln!(out, "{text}")?;
    Ok(Outcome::Done)
}

fn report(verification: &Verification, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{} events in {} segments, {} erased, {} in part, {} to {}, {} bytes after the last",
        verification.events,
        verification.segments,
        verification.erased,
        verification.redacted,
        verification.first_sequence,
        verification.last_sequence,
        verification.tail_bytes,
    )?;
    match &verification.signed {
        Some(head) => writeln!(
            out,
            "{} signed checkpoints, the newest over {} events{}",
            verification.signatures,
            head.size,
            head.unix_micros.map(signed_at).unwrap_or_default(),
        )?,
        None => writeln!(out, "not signed")?,
    }
    for remark in &verification.remarks {
        writeln!(out, "note: {remark}")?;
    }
    let Some(first) = &verification.first_bad else {
        return writeln!(out, "clean");
    };
    writeln!(
        out,
        "{} bad places, the first at {first}",
        verification.bad_total
    )?;
    let others = verification.bad.iter().filter(|bad| *bad != first);
    others
        .clone()
        .try_for_each(|bad| writeln!(out, "also at {bad}"))
}

fn signed_at(micros: i64) -> String {
    format!(", at {}", String::from_utf8_lossy(&timestamp::text(micros)))
}

/// The keys of a file.
fn keys_of(path: &Path) -> Result<Vec<PublicKey>, CliError> {
    let text = read(path)?;
    let keys = text.lines().filter(|line| !line.trim().is_empty());
    let keys: Result<Vec<PublicKey>, _> = keys.map(str::parse).collect();
    let keys = keys.map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
    if keys.is_empty() {
        let reason = format!("{}: holds no public key", path.display());
        return Err(CliError::Usage(reason));
    }
    Ok(keys)
}

fn checkpoint_of(path: &Path, keys: &[PublicKey]) -> Result<TreeHead, CliError> {
    let opened = signed_by::open_checkpoint(&read(path)?, keys);
    opened.map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

/// `rg-gateway audit key`.
pub(super) fn print_key(dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let keys = signed_by::keys(dir).map_err(CliError::runtime)?;
    let Some(newest) = keys.last() else {
        return Err(CliError::runtime(
            "the log has no public key yet; run the gateway once",
        ));
    };
    writeln!(out, "{newest}")?;
    Ok(Outcome::Done)
}

/// `rg-gateway audit checkpoint`.
pub(super) fn print_checkpoint(dir: &Path, out: &mut dyn Write) -> Result<Outcome, CliError> {
    let text = signed_by::newest_checkpoint(dir).map_err(CliError::runtime)?;
    let Some(text) = text else {
        return Err(CliError::runtime(
            "the log has no signed checkpoint yet; run the gateway once",
        ));
    };
    write!(out, "{text}")?;
    Ok(Outcome::Done)
}
