//! W3C trace context in and out, and which requests are traced.
//!
//! Inbound headers come from strangers: a trace id is taken over when it is well formed, the wish
//! to be sampled only under a rate. `baggage` is not read here and not passed on.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hex;
use crate::now::Now;

/// Bytes of a version 00 `traceparent`.
const TRACEPARENT_BYTES: usize = 55;

/// Longest `tracestate` passed on, in bytes: what the recommendation asks everyone to carry.
const TRACESTATE_BYTES_MAX: usize = 512;

/// A position in a trace (W3C Trace Context).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Names the trace; never all zeros.
    pub trace_id: [u8; 16],
    /// Names the span; never all zeros.
    pub span_id: [u8; 8],
    /// Whether whoever made this recorded its span.
    pub sampled: bool,
}

impl TraceContext {
    /// Starts a new trace, not sampled.
    pub fn new_root() -> Self {
        Self {
            trace_id: random_id(),
            span_id: random_id(),
            sampled: false,
        }
    }

    /// A new span of the same trace; the sampling decision is the trace's.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: random_id(),
            ..*self
        }
    }

    /// Reads a `traceparent` header value; `None` when the recommendation calls it invalid.
    ///
    /// A version above 00 is read by the first four fields, as the recommendation asks; version ff,
    /// zero ids, uppercase digits and trailing bytes of version 00 are invalid.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let head: &[u8; TRACEPARENT_BYTES] = value.first_chunk()?;
        let [version] = hex(&head[..2])?;
        let [flags] = hex(&head[53..])?;
        let (trace_id, span_id) = (hex(&head[3..35])?, hex(&head[36..52])?);
        let rest_fits = match version {
            0x00 => value.len() == TRACEPARENT_BYTES,
            0xff => false,
            _ => matches!(value.get(TRACEPARENT_BYTES), None | Some(b'-')),
        };
        let dashes = [head[2], head[35], head[52]] == [b'-'; 3];
        let named = trace_id != [0; 16] && span_id != [0; 8];
        (rest_fits && dashes && named).then_some(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
        })
    }

    /// The `traceparent` header value of version 00.
    pub fn format(&self) -> [u8; TRACEPARENT_BYTES] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex::write(&mut value[3..35], &self.trace_id);
        hex::write(&mut value[36..52], &self.span_id);
        hex::write(&mut value[53..], &[u8::from(self.sampled)]);
        value
    }
}

/// Reads exactly `2 * N` lowercase hexadecimal digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    /// A digit's value; anything else has a high bit set.
    fn value(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => 0xf0,
        }
    }
    let mut bytes = [0_u8; N];
    let mut seen = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] =
            [pair.first(), pair.last()].map(|digit| digit.copied().map_or(0xf0, value));
        seen |= high | low;
        *byte = high << 4 | low & 0x0f;
    }
    (seen < 16 && digits.len() == 2 * N).then_some(bytes)
}

/// What of a `tracestate` header value is passed on: at most 512 bytes of whole members.
///
/// Members are dropped from the right, the oldest first; a value with bytes no header may hold is
/// dropped whole.
pub fn bounded_tracestate(value: &[u8]) -> Option<&[u8]> {
    if !value.iter().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e)) {
        return None;
    }
    if value.len() <= TRACESTATE_BYTES_MAX {
        return (!value.is_empty()).then_some(value);
    }
    let window = value.get(..=TRACESTATE_BYTES_MAX)?;
    let last_comma = window.iter().rposition(|byte| *byte == b',')?;
    value.get(..last_comma).filter(|kept| !kept.is_empty())
}

/// An id of `N` random bytes, never all zeros.
///
/// Unique, not secret: a generator of each thread, seeded by the operating system, makes them.
fn random_id<const N: usize>() -> [u8; N] {
    thread_local! {
        static GENERATOR: RefCell<Xoshiro> = RefCell::new(Xoshiro::seeded());
    }
    let mut id = [0_u8; N];
    while id == [0; N] {
        GENERATOR.with_borrow_mut(|generator| {
            for part in id.chunks_mut(8) {
                for (byte, random) in part.iter_mut().zip(generator.next().to_le_bytes()) {
                    *byte = random;
                }
            }
        });
    }
    id
}

/// xoshiro256++ 1.0 of Blackman and Vigna ("Scrambled Linear Pseudorandom Number Generators",
/// 2021): period 2²⁵⁶ − 1, under a nanosecond a number, not for secrets.
struct Xoshiro([u64; 4]);

impl Xoshiro {
    fn seeded() -> Self {
        let mut state = [0_u64; 4];
        for word in &mut state {
            *word = getrandom::u64().unwrap_or_else(|_| clock_seed());
        }
        // All zeros is the one state the generator never leaves.
        state[0] |= 1;
        Self(state)
    }

    fn next(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.0;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }
}

/// A seed for the case that the operating system has no randomness to give: unlike any other of
/// this process, and unlikely to repeat across processes.
fn clock_seed() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    Now::read()
        .unix_micros
        .cast_unsigned()
        .wrapping_add(call)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What decides whether a request is traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerSettings {
    /// Share of all traces recorded, 0 to 1; values outside count as the nearer end.
    pub ratio: f64,
    /// Requests a second recorded because their caller wished so, beyond `ratio`.
    pub inbound_per_second_max: u32,
    /// Errors and refusals a second recorded beyond `ratio`; 0 records none.
    pub failures_per_second_max: u32,
}

/// The place of a request in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The request's own span.
    pub context: TraceContext,
    /// The caller's span, where it sent one.
    pub parent: Option<[u8; 8]>,
}

/// Decides which requests are traced. Shared by all threads; no lock.
#[derive(Debug)]
pub struct Sampler {
    threshold: u64,
    inbound: PerSecond,
    failures: PerSecond,
}

impl Sampler {
    /// A sampler by these settings.
    pub fn new(settings: SamplerSettings) -> Self {
        Self {
            threshold: binary_fraction(settings.ratio),
            inbound: PerSecond::new(settings.inbound_per_second_max),
            failures: PerSecond::new(settings.failures_per_second_max),
        }
    }

    /// Places a request in its caller's trace or in a new one, and decides about sampling.
    ///
    /// The share is decided by the trace id, so every hop with the same ratio decides alike.
    pub fn begin(&self, inbound: Option<TraceContext>, now: Now) -> Begun {
        let mut context = inbound.map_or_else(TraceContext::new_root, |parent| parent.child());
        context.sampled = self.chosen(&context.trace_id)
            || (inbound.is_some_and(|parent| parent.sampled) && self.inbound.admit(now));
        Begun {
            context,
            parent: inbound.map(|parent| parent.span_id),
        }
    }

    /// Whether to record a failed or refused request that `begin` did not choose.
    pub fn record_failure(&self, now: Now) -> bool {
        self.failures.admit(now)
    }

    /// Compares the trace id's last eight bytes, which W3C asks to be the random ones.
    fn chosen(&self, trace_id: &[u8; 16]) -> bool {
        let number = trace_id
            .iter()
            .skip(8)
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        number < self.threshold || self.threshold == u64::MAX
    }
}

/// The share as a 64-bit binary fraction; everything at 1 and above is `u64::MAX`.
fn binary_fraction(share: f64) -> u64 {
    if share >= 1.0 {
        return u64::MAX;
    }
    let mut rest = share.max(0.0);
    (0..u64::BITS).fold(0, |bits, _| {
        rest *= 2.0;
        let bit = rest >= 1.0;
        rest -= f64::from(u8::from(bit));
        bits << 1 | u64::from(bit)
    })
}

/// Admits so many a second, by the monotonic clock; the rest of the second is refused.
#[derive(Debug)]
struct PerSecond {
    count_max: u32,
    /// The second in the upper half, what it admitted in the lower.
    state: AtomicU64,
}

impl PerSecond {
    fn new(count_max: u32) -> Self {
        Self {
            count_max,
            state: AtomicU64::new(0),
        }
    }

    fn admit(&self, now: Now) -> bool {
        let second = (now.mono_nanos / 1_000_000_000) << 32;
        let count_max = u64::from(self.count_max);
        let admitted = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                // A thread that read its clock a moment earlier counts in the newer second.
                let state = state.max(second);
                (state & u64::from(u32::MAX) < count_max).then_some(state + 1)
            });
        admitted.is_ok()
    }
}

#[cfg(test)]
mod tests;
