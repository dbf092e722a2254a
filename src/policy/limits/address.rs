//! Failed authentications by address: guessing keys gets slow.

use std::net::IpAddr;
use std::time::Duration;

use super::status::{LimitStatus, LimitType};
use super::table::{Entry, Subject, Table};
use super::window::{MINUTE, Window};
use super::{Exceeded, whole_secs};
use crate::now::Now;

/// The failed authentications of addresses within a minute, up to a bound of addresses.
///
/// IPv6 addresses count by /64. When it is full, the newcomer takes the place of an address that
/// has not failed for a minute, or of the one nearest to that among sixteen, whose count is then
/// forgotten. Only addresses that failed take room.
#[derive(Debug)]
pub struct AddressTable {
    table: Table<Failures>,
    failures_per_minute_max: u64,
}

impl AddressTable {
    /// A table of at most `entries_max` addresses, rounded up by less than 64;
    /// `failures_per_minute_max` of 0 is no limit.
    pub fn new(entries_max: usize, failures_per_minute_max: u32) -> Self {
        Self {
            table: Table::new(entries_max),
            failures_per_minute_max: u64::from(failures_per_minute_max),
        }
    }

    /// Decides whether an address may try a key at all. Counts nothing.
    ///
    /// Requests of one address that are judged at the same moment all pass before the first of
    /// them is recorded, so the bound can be exceeded by as many as are in flight.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] when it failed too often within a minute.
    pub fn admit(&self, address: IpAddr, now: Now) -> Result<(), Exceeded> {
        let quota = self.failures_per_minute_max;
        if quota == 0 {
            return Ok(());
        }
        let wait_nanos = self
            .table
            .peek(Subject::address(address), |Failures(window)| {
                window.advance(MINUTE, now.mono_nanos);
                window.wait(MINUTE, quota, 1, now.mono_nanos)
            });
        match wait_nanos {
            None | Some(0) => Ok(()),
            Some(nanos) => {
                let secs = whole_secs(nanos);
                Err(Exceeded {
                    limit: LimitType::Address,
                    retry_after: Duration::from_nanos(nanos),
                    status: LimitStatus::new(LimitType::Address, quota, 0, secs, 60),
                })
            }
        }
    }

    /// Counts a failed authentication.
    pub fn record_failure(&self, address: IpAddr, now: Now) {
        if self.failures_per_minute_max == 0 {
            return;
        }
        self.table
            .with(Subject::address(address), now, |Failures(window)| {
                window.advance(MINUTE, now.mono_nanos);
                window.spend(1);
            });
    }

    /// Addresses in the table.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True before the first failure.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Debug, Default)]
struct Failures(Window);

impl Entry for Failures {
    fn idle_at_nanos(&self) -> u64 {
        self.0.idle_at(MINUTE)
    }

    fn is_held(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_fails_too_often_waits_and_others_do_not() {
        let table = AddressTable::new(100, 3);
        let (guesser, honest): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Now::default().plus(Duration::from_secs(1_000));
        for _ in 0..3 {
            assert_eq!(table.admit(guesser, now), Ok(()));
            table.record_failure(guesser, now);
        }
        let exceeded = table.admit(guesser, now).unwrap_err();
        assert_eq!(exceeded.limit, LimitType::Address);
        assert!((60..=63).contains(&exceeded.status.reset_secs));
        assert_eq!(table.admit(honest, now), Ok(()));
        assert_eq!(table.admit(guesser, now.plus(exceeded.retry_after)), Ok(()));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_bound_of_zero_is_no_bound() {
        let table = AddressTable::new(1, 0);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        for _ in 0..1_000 {
            table.record_failure(address, Now::default());
        }
        assert!(table.admit(address, Now::default()).is_ok() && table.is_empty());
    }
}
