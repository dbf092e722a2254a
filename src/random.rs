//! Identifiers: unique, time-ordered, cheap. None of them is a secret.

use uuid::Uuid;

use crate::now::Now;

/// A UUIDv7 (RFC 9562) of this instant.
///
/// Its random part comes from a fast non-cryptographic generator: uniqueness is needed, not
/// unpredictability.
pub fn time_ordered_id(now: Now) -> Uuid {
    let millis = u64::try_from(now.unix_micros / 1_000).unwrap_or(0);
    let mut random = [0_u8; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
