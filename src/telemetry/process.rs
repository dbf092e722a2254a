//! What the operating system says about this process, read from `/proc/self` at each scrape.
//!
//! A value that cannot be read is left out rather than reported as zero.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::families::{FamilySpec, PROCESS_CPU, PROCESS_FDS, PROCESS_MEMORY, PROCESS_START};

/// Ticks a second of the times in `/proc`: fixed at 100 for every Linux user space (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Exposes the `process_*` families.
#[derive(Debug)]
pub(super) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let fds = fs::read_dir("/proc/self/fd").ok();
        // The listing holds its own descriptor open while it counts.
        let open_fds = fds.map(|entries| entries.count().saturating_sub(1));

        if let Some(seconds) = cpu_seconds(&stat) {
            let mut metric = describe(&mut encoder, &PROCESS_CPU, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, f64, u64>(&seconds, None)?;
        }
        if let Some(bytes) = resident_bytes(&status) {
            describe(&mut encoder, &PROCESS_MEMORY, MetricType::Gauge)?.encode_gauge(&bytes)?;
        }
        if let Some(open_fds) = open_fds.and_then(|count| u64::try_from(count).ok()) {
            describe(&mut encoder, &PROCESS_FDS, MetricType::Gauge)?.encode_gauge(&open_fds)?;
        }
        if let Some(seconds) = start_seconds(&stat, &boot) {
            describe(&mut encoder, &PROCESS_START, MetricType::Gauge)?.encode_gauge(&seconds)?;
        }
        Ok(())
    }
}

fn describe<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    spec: &'static FamilySpec,
    kind: MetricType,
) -> Result<prometheus_client::encoding::MetricEncoder<'e>, std::fmt::Error> {
    encoder.encode_descriptor(spec.registry_name(), spec.help, None, kind)
}

/// Field `number` (1-based, as proc(5) counts) of `/proc/self/stat`.
///
/// The second field is the program's name in parentheses and may hold anything, so counting
/// starts after the last closing one.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let field = rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?;
    field.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / TICKS_PER_SECOND)
}

fn start_seconds(stat: &str, boot: &str) -> Option<f64> {
    let boot_line = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot_seconds: f64 = boot_line.trim().parse().ok()?;
    Some(boot_seconds + stat_field(stat, 22)? / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (odd) name) S 1 42 42 0 -1 4194304 900 0 0 0 250 50 0 0 20 0 9 0 12345 \
                        1000000 500 18446744073709551615";

    #[test]
    fn times_are_read_past_a_name_with_a_parenthesis() {
        assert_eq!(cpu_seconds(STAT), Some(3.0));
        assert_eq!(
            start_seconds(STAT, "cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_123.45)
        );
    }

    #[test]
    fn memory_is_given_in_bytes() {
        assert_eq!(
            resident_bytes("Name:\tx\nVmRSS:\t  2048 kB\n"),
            Some(2_097_152)
        );
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert_eq!(cpu_seconds(""), None);
        assert_eq!(start_seconds(STAT, ""), None);
        assert_eq!(resident_bytes("VmRSS: many kB"), None);
    }
}
