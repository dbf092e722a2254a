//! Series: metrics kept per set of label values, bounded, and read without a lock.
//!
//! A [`Family`] never holds more sets than its share of the series allows. Near that bound a new
//! set has its open labels replaced by [`OVERFLOW`]; at the bound everything new is counted in the
//! one set whose every value is [`OVERFLOW`]. Sums over a family stay true.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use papaya::{Equivalent, HashMap, HashSet};
use prometheus_client::encoding::{
    EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::families::{Buckets, FamilySpec, Kind, SERIES_OVERFLOW, exposed};

/// The value that stands for all values beyond a bound.
pub(super) const OVERFLOW: &str = "__overflow__";

/// Longest label value kept, in bytes; a longer one is counted as [`OVERFLOW`].
const VALUE_BYTES_MAX: usize = 128;

/// A metric that a family can hold: cheap to clone, all clones count together.
pub(super) trait Instrument:
    EncodeMetric + Clone + fmt::Debug + Send + Sync + 'static
{
    /// A new one, at zero.
    fn new(spec: &'static FamilySpec) -> Self;
    /// How the exposition calls it.
    const TYPE: MetricType;
}

impl Instrument for Counter {
    fn new(_: &'static FamilySpec) -> Self {
        Self::default()
    }
    const TYPE: MetricType = MetricType::Counter;
}

impl Instrument for SecondsCounter {
    fn new(_: &'static FamilySpec) -> Self {
        Self::default()
    }
    const TYPE: MetricType = MetricType::Counter;
}

impl Instrument for Gauge {
    fn new(_: &'static FamilySpec) -> Self {
        Self::default()
    }
    const TYPE: MetricType = MetricType::Gauge;
}

/// A counter of seconds, which come in fractions.
pub(super) type SecondsCounter = Counter<f64, AtomicU64>;

/// A histogram of whole base units: two relaxed additions an observation, no lock.
///
/// The library's own histogram takes a mutex for each observation and adds floating point.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Observations>);

#[derive(Debug)]
struct Observations {
    buckets: &'static Buckets,
    /// One count per bound and one beyond; not cumulative.
    counts: Box<[AtomicU64]>,
    /// In base units; wraps past 2⁶⁴, which for nanoseconds is 584 years of requests.
    sum: AtomicU64,
}

impl Histogram {
    /// Counts one value, given in base units (nanoseconds, bytes, rows).
    pub(super) fn observe(&self, base_units: u64) {
        let Observations {
            buckets,
            counts,
            sum,
        } = &*self.0;
        let bucket = buckets.bounds.partition_point(|bound| *bound < base_units);
        if let Some(count) = counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(base_units, Ordering::Relaxed);
        }
    }
}

impl Instrument for Histogram {
    fn new(spec: &'static FamilySpec) -> Self {
        static NO_BUCKETS: Buckets = Buckets {
            bounds: &[],
            base_units: 1,
        };
        let buckets = match spec.kind {
            Kind::Histogram(buckets) => buckets,
            Kind::Counter | Kind::Gauge => &NO_BUCKETS,
        };
        let counts = (0..=buckets.bounds.len()).map(|_| AtomicU64::new(0));
        Self(Arc::new(Observations {
            buckets,
            counts: counts.collect(),
            sum: AtomicU64::new(0),
        }))
    }
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Observations {
            buckets,
            counts,
            sum,
        } = &*self.0;
        let bounds = buckets.bounds.iter().map(|bound| exposed(*bound, buckets));
        let counted: Vec<(f64, u64)> = bounds
            .chain([f64::INFINITY])
            .zip(counts.iter().map(|count| count.load(Ordering::Relaxed)))
            .collect();
        let count = counted.iter().map(|(_, count)| count).sum();
        let sum = exposed(sum.load(Ordering::Relaxed), buckets);
        encoder.encode_histogram::<NoLabelSet>(sum, count, &counted, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// One set of label values, owned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct LabelValues<const N: usize>([Arc<str>; N]);

/// The same set, borrowed: looking a series up allocates nothing.
#[derive(Hash)]
struct Asked<'a, const N: usize>([&'a str; N]);

impl<const N: usize> Equivalent<LabelValues<N>> for Asked<'_, N> {
    fn equivalent(&self, kept: &LabelValues<N>) -> bool {
        self.0.iter().zip(&kept.0).all(|(a, b)| **a == **b)
    }
}

/// Label names beside their values, for the exposition.
#[derive(Debug)]
struct Named<'a> {
    names: &'a [&'a str],
    values: &'a [Arc<str>],
}

impl EncodeLabelSet for Named<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let pairs: Vec<(&str, &str)> = self
            .names
            .iter()
            .zip(self.values)
            .map(|(name, value)| (*name, &**value))
            .collect();
        pairs.as_slice().encode(encoder)
    }
}

/// A family: metrics of one name, told apart by `N` label values.
#[derive(Clone, Debug)]
pub(super) struct Family<const N: usize, M>(Arc<Sets<N, M>>);

struct Sets<const N: usize, M> {
    spec: &'static FamilySpec,
    sets_max: usize,
    by_values: HashMap<LabelValues<N>, M>,
    /// Taken by whoever adds or removes a set, so that the bound is exact.
    change: Mutex<()>,
    folded: Counter,
}

impl<const N: usize, M: Instrument> Family<N, M> {
    /// An empty family; `folded` counts the sets it had to fold.
    pub(super) fn new(spec: &'static FamilySpec, series_max: usize, folded: Counter) -> Self {
        Self(Arc::new(Sets {
            spec,
            sets_max: spec.sets_max(series_max),
            by_values: HashMap::new(),
            change: Mutex::new(()),
            folded,
        }))
    }

    /// The metric of one set of label values, in the order of the family's labels.
    pub(super) fn with(&self, values: [&str; N]) -> M {
        let asked = Asked(values);
        if let Some(metric) = self.0.by_values.pin().get(&asked) {
            return metric.clone();
        }
        self.0.add(asked)
    }

    /// Drops one set; its last value is not exposed any more.
    pub(super) fn remove(&self, values: [&str; N]) {
        let _changing = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.by_values.pin().remove(&Asked(values));
    }

    /// Drops every set but this one.
    pub(super) fn only(&self, values: [&str; N]) -> M {
        {
            let _changing = self.0.change.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.by_values.pin().clear();
        }
        self.with(values)
    }
}

impl<const N: usize, M: Instrument> Sets<N, M> {
    /// Finds or makes the set for values not seen before, folding them where the bound asks for it.
    fn add(&self, mut asked: Asked<'_, N>) -> M {
        for value in &mut asked.0 {
            if value.len() > VALUE_BYTES_MAX {
                *value = OVERFLOW;
            }
        }
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = self.by_values.pin();
        if let Some(metric) = sets.get(&asked) {
            return metric.clone();
        }
        if sets.len() >= self.spec.plain_sets_max(self.sets_max) {
            self.folded.inc();
            for (value, name) in asked.0.iter_mut().zip(self.spec.labels) {
                if self.spec.open_labels.contains(name) {
                    *value = OVERFLOW;
                }
            }
            if let Some(metric) = sets.get(&asked) {
                return metric.clone();
            }
            if sets.len() + 1 >= self.sets_max {
                asked = Asked([OVERFLOW; N]);
            }
        }
        sets.get_or_insert_with(LabelValues(asked.0.map(Arc::from)), || M::new(self.spec))
            .clone()
    }
}

impl<const N: usize, M> fmt::Debug for Sets<N, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family")
            .field("name", &self.spec.name)
            .field("sets", &self.by_values.len())
            .finish_non_exhaustive()
    }
}

impl<const N: usize, M: Instrument> EncodeMetric for Family<N, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let sets = self.0.by_values.pin();
        let mut sorted: Vec<_> = sets.iter().collect();
        sorted.sort_unstable_by_key(|(values, _)| *values);
        for (LabelValues(values), metric) in sorted {
            let names = self.0.spec.labels;
            metric.encode(encoder.encode_family(&Named { names, values })?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

/// The first so many names seen keep their own label value; the rest share [`OVERFLOW`].
///
/// Names are never forgotten: which organization has its own series must not change while a
/// dashboard looks at it.
pub(super) struct CappedNames {
    names_max: usize,
    seen: HashSet<Box<str>>,
    change: Mutex<()>,
}

impl CappedNames {
    /// Room for `names_max` names.
    pub(super) fn new(names_max: usize) -> Self {
        Self {
            names_max,
            seen: HashSet::new(),
            change: Mutex::new(()),
        }
    }

    /// The label value of a name: itself or [`OVERFLOW`].
    pub(super) fn cap<'a>(&self, name: &'a str) -> &'a str {
        let seen = self.seen.pin();
        if seen.contains(name) {
            return name;
        }
        // The set only grows: once full, nobody needs the lock to learn that.
        if seen.len() >= self.names_max || name.len() > VALUE_BYTES_MAX {
            return OVERFLOW;
        }
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < self.names_max {
            seen.insert(name.into());
        }
        if seen.contains(name) { name } else { OVERFLOW }
    }
}

/// Registers families while the metrics are put together.
pub(super) struct Registration {
    pub(super) registry: Registry,
    series_max: usize,
    overflow: Family<1, Counter>,
}

impl Registration {
    pub(super) fn new(series_max: usize) -> Self {
        // A fold inside the family that counts folds is not counted: its labels are our own.
        let spec = &SERIES_OVERFLOW;
        let overflow: Family<1, Counter> = Family::new(spec, series_max, Counter::default());
        let mut registry = Registry::default();
        registry.register(spec.registry_name(), spec.help, overflow.clone());
        Self {
            registry,
            series_max,
            overflow,
        }
    }

    pub(super) fn family<const N: usize, M: Instrument>(
        &mut self,
        spec: &'static FamilySpec,
    ) -> Family<N, M> {
        let folded = self.overflow.with([spec.name]);
        let family = Family::new(spec, self.series_max, folded);
        self.registry
            .register(spec.registry_name(), spec.help, family.clone());
        family
    }

    pub(super) fn single<M: Instrument>(&mut self, spec: &'static FamilySpec) -> M {
        let metric = M::new(spec);
        self.registry
            .register(spec.registry_name(), spec.help, metric.clone());
        metric
    }
}

/// A duration in the base unit of histograms of seconds.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::families::{HTTP_REQUEST_DURATION, RATE_LIMIT_VIOLATIONS};
    use super::*;
    use prometheus_client::encoding::text::encode;

    fn exposition<const N: usize, M: Instrument>(family: &Family<N, M>) -> String {
        let mut registry = Registry::default();
        registry.register("f", "help", family.clone());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn a_full_family_folds_open_labels_first_and_loses_no_count() {
        let folded = Counter::default();
        let family: Family<3, Counter> = Family::new(&RATE_LIMIT_VIOLATIONS, 2_000, folded.clone());
        for i in 0..10_000 {
            let key = format!("key-{i}");
            let limit = if i % 2 == 0 { "second" } else { "day" };
            family.with([&key, limit, "org"]).inc();
        }
        let sets_max = RATE_LIMIT_VIOLATIONS.sets_max(2_000);
        assert!(family.0.by_values.len() <= sets_max);
        assert!(folded.get() > 9_000);
        let blurred = family.with([OVERFLOW, "second", OVERFLOW]).get();
        assert!(blurred > 4_900, "{blurred}");
        let total: u64 = family.0.by_values.pin().values().map(Counter::get).sum();
        assert_eq!(total, 10_000);
    }

    #[test]
    fn past_the_last_set_everything_lands_in_one() {
        let family: Family<3, Counter> =
            Family::new(&RATE_LIMIT_VIOLATIONS, 2_000, Counter::default());
        for i in 0..1_000 {
            family.with(["k", &format!("limit-{i}"), "o"]).inc();
        }
        let sets_max = RATE_LIMIT_VIOLATIONS.sets_max(2_000);
        assert_eq!(family.0.by_values.len(), sets_max);
        assert!(family.with([OVERFLOW; 3]).get() > 900);
    }

    #[test]
    fn a_histogram_counts_each_value_in_the_first_bucket_that_holds_it() {
        let family: Family<2, Histogram> =
            Family::new(&HTTP_REQUEST_DURATION, 2_000, Counter::default());
        let histogram = family.with(["GET", "/v1/graphs"]);
        histogram.observe(10_000_000);
        histogram.observe(10_000_001);
        histogram.observe(60_000_000_000);
        let text = exposition(&family);
        for line in [
            r#"f_bucket{le="0.01",method="GET",endpoint="/v1/graphs"} 1"#,
            r#"f_bucket{le="0.025",method="GET",endpoint="/v1/graphs"} 2"#,
            r#"f_bucket{le="10.0",method="GET",endpoint="/v1/graphs"} 2"#,
            r#"f_bucket{le="+Inf",method="GET",endpoint="/v1/graphs"} 3"#,
            r#"f_count{method="GET",endpoint="/v1/graphs"} 3"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(text.contains("f_sum{method=\"GET\",endpoint=\"/v1/graphs\"} 60.020000001"));
    }

    #[test]
    fn label_values_cannot_break_out_of_their_line() {
        let family: Family<3, Counter> =
            Family::new(&RATE_LIMIT_VIOLATIONS, 2_000, Counter::default());
        family.with(["a\"} 1\nforged_total 9", "\\", "o"]).inc();
        let text = exposition(&family);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(r#"api_key_id="a\"} 1\nforged_total 9",limit_type="\\""#));
    }

    #[test]
    fn long_values_and_late_names_share_the_overflow() {
        let names = CappedNames::new(2);
        assert_eq!(names.cap(&"x".repeat(VALUE_BYTES_MAX + 1)), OVERFLOW);
        assert_eq!(names.cap("a"), "a");
        assert_eq!(names.cap("b"), "b");
        assert_eq!(names.cap("c"), OVERFLOW);
        assert_eq!(names.cap("a"), "a");
    }
}
