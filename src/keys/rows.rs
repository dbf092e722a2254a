//! A key's row in the database, written and read in one place.

use std::str::FromStr;

use rusqlite::{Connection, Row, named_params};

use super::record::{KeyRecord, KeyTerms, Suspension};
use super::verification::Sealed;
use super::{KeysError, Result};
use crate::policy::auth::{Digest, Environment, KeyId};

/// The newest schema this version reads and writes.
pub(super) const SCHEMA: i64 = 2;

/// Times are microseconds since 1970. `sequence` is the number of the row's last change, over all
/// rows: whoever remembers the highest one seen finds everything newer by it.
pub(super) const CREATE: &str = "
    CREATE TABLE keys (
        id               TEXT PRIMARY KEY,
        environment      TEXT,
        digest           BLOB NOT NULL UNIQUE,
        slot             INTEGER NOT NULL,
        sequence         INTEGER NOT NULL UNIQUE,
        organization_id  TEXT NOT NULL,
        plan             TEXT NOT NULL,
        scopes           TEXT NOT NULL,
        graphs           TEXT NOT NULL,
        networks         TEXT NOT NULL,
        industry         TEXT,
        expires_at       INTEGER,
        name             TEXT NOT NULL,
        created_by       TEXT NOT NULL,
        limits_exempt    INTEGER NOT NULL,
        created_at       INTEGER NOT NULL,
        changed_at       INTEGER NOT NULL,
        revoked_at       INTEGER,
        suspended_until  INTEGER,
        suspended_reason TEXT,
        rotating_until   INTEGER,
        replaces         TEXT,
        verification     BLOB
    ) STRICT;
    CREATE INDEX keys_by_slot ON keys (slot);
    CREATE INDEX keys_by_organization ON keys (organization_id, id);
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
";

/// What makes schema 2 of schema 1.
pub(super) const FROM_1: &str = "ALTER TABLE keys ADD COLUMN verification BLOB";

/// The columns in the order [`read`] takes them.
pub(super) const COLUMNS: &str = "id, environment, digest, slot, sequence, organization_id, plan, \
    scopes, graphs, networks, industry, expires_at, name, created_by, limits_exempt, created_at, \
    changed_at, revoked_at, suspended_until, suspended_reason, rotating_until, replaces, verification";

/// Writes a new row; the values stand in the order of the table's columns.
pub(super) fn insert(db: &Connection, record: &KeyRecord) -> Result<()> {
    let terms = &record.terms;
    db.prepare_cached(
        "INSERT INTO keys VALUES (:id, :environment, :digest, :slot, :sequence, \
         :organization_id, :plan, :scopes, :graphs, :networks, :industry, :expires_at, :name, \
         :created_by, :limits_exempt, :created_at, :changed_at, :revoked_at, :suspended_until, \
         :suspended_reason, :rotating_until, :replaces, :verification)",
    )?
    .execute(named_params! {
        ":id": record.id.as_str(),
        ":environment": record.environment.map(Environment::as_str),
        ":digest": &record.digest.as_bytes()[..],
        ":slot": record.index,
        ":sequence": record.sequence,
        ":organization_id": terms.organization_id,
        ":plan": terms.plan,
        ":scopes": terms.scopes.to_string(),
        ":graphs": terms.graphs.to_string(),
        ":networks": terms.networks.to_string(),
        ":industry": terms.industry,
        ":expires_at": terms.expires_at_micros,
        ":name": terms.name,
        ":created_by": terms.created_by,
        ":limits_exempt": terms.limits_exempt,
        ":created_at": record.created_at_micros,
        ":changed_at": record.changed_at_micros,
        ":revoked_at": record.revoked_at_micros,
        ":suspended_until": record.suspension.as_ref().and_then(|s| s.until_micros),
        ":suspended_reason": record.suspension.as_ref().map(|s| s.reason.as_str()),
        ":rotating_until": record.rotating_until_micros,
        ":replaces": record.replaces.as_ref().map(KeyId::as_str),
        ":verification": record.verification.as_ref().map(Sealed::as_bytes),
    })?;
    Ok(())
}

/// Writes the part of a row that changes: its state and its sequence.
pub(super) fn update_state(db: &Connection, record: &KeyRecord) -> Result<()> {
    db.prepare_cached(
        "UPDATE keys SET sequence = :sequence, changed_at = :changed_at, revoked_at = :revoked_at, \
         suspended_until = :suspended_until, suspended_reason = :suspended_reason, \
         rotating_until = :rotating_until, verification = :verification WHERE id = :id",
    )?
    .execute(named_params! {
        ":id": record.id.as_str(),
        ":sequence": record.sequence,
        ":changed_at": record.changed_at_micros,
        ":revoked_at": record.revoked_at_micros,
        ":suspended_until": record.suspension.as_ref().and_then(|s| s.until_micros),
        ":suspended_reason": record.suspension.as_ref().map(|s| s.reason.as_str()),
        ":rotating_until": record.rotating_until_micros,
        ":verification": record.verification.as_ref().map(Sealed::as_bytes),
    })?;
    Ok(())
}

/// Reads a row of [`COLUMNS`].
///
/// # Errors
///
/// `Damaged` names the field that this version cannot read.
pub(super) fn read(row: &Row<'_>) -> Result<KeyRecord> {
    let id: String = row.get(0)?;
    let damaged = |field: &'static str| KeysError::Damaged {
        id: id.clone(),
        field,
    };
    let terms = KeyTerms {
        organization_id: row.get(5)?,
        plan: row.get(6)?,
        scopes: parsed(row, 7).ok_or_else(|| damaged("scopes"))?,
        graphs: parsed(row, 8).ok_or_else(|| damaged("graphs"))?,
        networks: parsed(row, 9).ok_or_else(|| damaged("networks"))?,
        industry: row.get(10)?,
        expires_at_micros: row.get(11)?,
        name: row.get(12)?,
        created_by: row.get(13)?,
        limits_exempt: row.get(14)?,
    };
    terms.check().map_err(|_| damaged("terms"))?;
    let until_micros: Option<i64> = row.get(18)?;
    let reason: Option<String> = row.get(19)?;
    Ok(KeyRecord {
        id: id.parse().map_err(|_| damaged("id"))?,
        environment: optional(row, 1).map_err(|()| damaged("environment"))?,
        digest: row
            .get(2)
            .map(Digest::from_bytes)
            .map_err(|_| damaged("digest"))?,
        index: row.get(3).map_err(|_| damaged("slot"))?,
        sequence: row.get(4)?,
        terms,
        created_at_micros: row.get(15)?,
        changed_at_micros: row.get(16)?,
        revoked_at_micros: row.get(17)?,
        suspension: reason.map(|reason| Suspension {
            until_micros,
            reason,
        }),
        rotating_until_micros: row.get(20)?,
        replaces: optional(row, 21).map_err(|()| damaged("replaces"))?,
        verification: row.get::<_, Option<Vec<u8>>>(22)?.map(Sealed::from_stored),
    })
}

fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> Option<T> {
    row.get_ref(column).ok()?.as_str().ok()?.parse().ok()
}

fn optional<T: FromStr>(row: &Row<'_>, column: usize) -> Result<Option<T>, ()> {
    let text = row
        .get_ref(column)
        .map_err(|_| ())?
        .as_str_or_null()
        .map_err(|_| ())?;
    text.map(str::parse).transpose().map_err(|_| ())
}
