//! What a block of events holds, in a kilobyte: enough to know that a search need not read it.
//!
//! A block is at most [`BLOCK_EVENTS_MAX`] events that stand together in a segment. Its summary keeps
//! the range of their instants, which types, severities and status classes occur, and a Bloom filter
//! over organization, key, address, request, decision and event id. A summary may say "perhaps" of a
//! value that is not there; it never says "no" of one that is.

use std::net::IpAddr;
use std::sync::Arc;

use super::format::{Fields, FormatError, seal, unseal};
use super::frames::{Frames, Step};
use crate::audit::event::{AuditEvent, EventType, Severity, Source};
use crate::audit::view::EventView;

/// Most events of one block.
pub(crate) const BLOCK_EVENTS_MAX: u32 = 256;
/// A block ends when it is this large, in bytes.
pub(crate) const BLOCK_BYTES_MAX: u64 = 512 * 1024;
const BLOOM_BYTES: usize = 1024;
/// Bits set for one value. With 256 events of about four distinct values each, one absent value in
/// fifty is taken for present.
const BLOOM_PROBES: usize = 4;
const INDEX_MAGIC: [u8; 8] = *b"rg-indx2";

/// A field whose values the filter knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Organization = 1,
    Key,
    Address,
    Request,
    Decision,
    Event,
}

/// A 64-bit fingerprint of one value of one field: folded multiplication, eight bytes a step (wyhash, Wang Yi 2019).
/// It is not keyed: whoever chooses ids can fill the filter, which costs a search time and no result.
pub(crate) fn fingerprint(field: Field, value: &[u8]) -> u64 {
    let (words, rest) = value.as_chunks::<8>();
    // Spread over all bits, so that another field cannot look like another first word.
    let seed = ((value.len() as u64) << 8 | field as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let whole = words.iter().fold(seed, |mixed, word| {
        folded(mixed ^ u64::from_le_bytes(*word), 0x9e37_79b9_7f4a_7c15)
    });
    let tail = match value.last_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest
            .iter()
            .fold(0, |tail, byte| tail << 8 | u64::from(*byte)),
    };
    folded(whole ^ 0xa076_1d64_78bd_642f, tail ^ 0xd6e8_feb8_6659_fd93)
}

/// Both halves of a product, which mixes every bit of either factor into the middle.
fn folded(a: u64, b: u64) -> u64 {
    let (low, high) = a.carrying_mul(b, 0);
    low ^ high
}

/// The fingerprint of an address.
pub(crate) fn address_fingerprint(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => fingerprint(Field::Address, &v4.octets()),
        IpAddr::V6(v6) => fingerprint(Field::Address, &v6.octets()),
    }
}

/// The bit of a status class: 0 for none, 1 to 5 for the hundreds.
pub(crate) fn status_bit(status: u16) -> u8 {
    1 << (status / 100).min(7)
}

/// What a summary learns from one event.
#[derive(Clone, Debug)]
pub(crate) struct Traits {
    micros: i64,
    event_type: EventType,
    severity: Severity,
    status: u16,
    fingerprints: [Option<u64>; 6],
}

impl Traits {
    pub(crate) fn of(event: &AuditEvent<'_>) -> Self {
        Self {
            micros: event.timestamp,
            event_type: event.event_type,
            severity: event.severity,
            status: event.status_code,
            fingerprints: fingerprints(
                event.organization_id.as_deref(),
                event.api_key_id.as_deref(),
                event.source_ip,
                &event.request_id,
                event.decision_id.as_deref(),
                event.event_id.as_bytes(),
            ),
        }
    }

    pub(crate) fn of_view(event: &EventView<'_>) -> Self {
        Self {
            micros: event.timestamp,
            event_type: event.event_type,
            severity: event.severity,
            status: event.status_code,
            fingerprints: fingerprints(
                event.organization_id.as_deref(),
                event.api_key_id.as_deref(),
                event.source_ip,
                &event.request_id,
                event.decision_id.as_deref(),
                event.event_id.as_bytes(),
            ),
        }
    }
}

fn fingerprints(
    organization: Option<&str>,
    key: Option<&str>,
    source: Source,
    request: &str,
    decision: Option<&str>,
    event: &[u8],
) -> [Option<u64>; 6] {
    let of = |field, text: &str| fingerprint(field, text.as_bytes());
    [
        organization.map(|text| of(Field::Organization, text)),
        key.map(|text| of(Field::Key, text)),
        match source {
            Source::Address(address) => Some(address_fingerprint(address)),
            Source::System | Source::Erased => None,
        },
        Some(of(Field::Request, request)),
        decision.map(|text| of(Field::Decision, text)),
        Some(fingerprint(Field::Event, event)),
    ]
}

/// The summary of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    /// Where its first frame begins in the segment.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) events: u32,
    pub(crate) micros_min: i64,
    pub(crate) micros_max: i64,
    pub(crate) types: u8,
    pub(crate) severities: u8,
    pub(crate) statuses: u8,
    bloom: Box<[u8; BLOOM_BYTES]>,
}

impl Block {
    fn new(first_sequence: u64, offset: u64) -> Self {
        Self {
            first_sequence,
            last_sequence: first_sequence,
            offset,
            bytes: 0,
            events: 0,
            micros_min: i64::MAX,
            micros_max: i64::MIN,
            types: 0,
            severities: 0,
            statuses: 0,
            bloom: Box::new([0; BLOOM_BYTES]),
        }
    }

    /// Takes one event in. Without traits nothing is known of it, so nothing may be ruled out.
    fn push(&mut self, sequence: u64, end: u64, traits: Option<&Traits>) {
        self.last_sequence = sequence;
        self.bytes = end - self.offset;
        self.events += 1;
        let Some(traits) = traits else {
            (self.micros_min, self.micros_max) = (i64::MIN, i64::MAX);
            (self.types, self.severities, self.statuses) = (u8::MAX, u8::MAX, u8::MAX);
            self.bloom.fill(u8::MAX);
            return;
        };
        self.micros_min = self.micros_min.min(traits.micros);
        self.micros_max = self.micros_max.max(traits.micros);
        self.types |= 1 << (traits.event_type as u8);
        self.severities |= 1 << (traits.severity as u8);
        self.statuses |= status_bit(traits.status);
        for fingerprint in traits.fingerprints.iter().flatten() {
            for (byte, mask) in probes(*fingerprint) {
                if let Some(cell) = self.bloom.get_mut(byte) {
                    *cell |= mask;
                }
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.events >= BLOCK_EVENTS_MAX || self.bytes >= BLOCK_BYTES_MAX
    }

    /// Whether an event with this fingerprint may be here.
    pub(crate) fn may_hold(&self, fingerprint: u64) -> bool {
        probes(fingerprint)
            .into_iter()
            .all(|(byte, mask)| self.bloom.get(byte).is_some_and(|b| b & mask != 0))
    }
}

/// Byte and bit of every probe of a fingerprint.
fn probes(fingerprint: u64) -> [(usize, u8); BLOOM_PROBES] {
    let [a0, a1, b0, b1, c0, c1, d0, d1] = fingerprint.to_le_bytes();
    [[a0, a1], [b0, b1], [c0, c1], [d0, d1]].map(|bytes| {
        let bit = u16::from_le_bytes(bytes);
        (usize::from(bit >> 3) % BLOOM_BYTES, 1 << (bit & 7))
    })
}

/// The blocks of one segment, growing as it is written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    complete: Vec<Arc<Block>>,
    open: Option<Block>,
}

impl Blocks {
    /// Takes in one frame that ends at an offset of the segment.
    pub(crate) fn push(&mut self, sequence: u64, offset: u64, end: u64, traits: Option<&Traits>) {
        let block = self
            .open
            .get_or_insert_with(|| Block::new(sequence, offset));
        block.push(sequence, end, traits);
        if block.is_complete() {
            self.complete.extend(self.open.take().map(Arc::new));
        }
    }

    /// Summaries of all blocks, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Block>> {
        let open = self.open.iter().cloned().map(Arc::new);
        self.complete.iter().cloned().chain(open).collect()
    }

    /// Reads them off the bytes of a segment, from an offset on. Frames that go back in sequence are
    /// copies and are left out.
    pub(crate) fn read(bytes: &[u8], from: usize) -> Self {
        let mut blocks = Self::default();
        let mut last = 0;
        for step in Frames::new(bytes, from) {
            let Step::Frame { offset, frame } = step else {
                continue;
            };
            if frame.sequence <= last || !frame.kind.is_event() {
                continue;
            }
            last = frame.sequence;
            let traits = EventView::parse(frame.payload).map(|view| Traits::of_view(&view));
            let end = offset + frame.size();
            blocks.push(frame.sequence, offset as u64, end as u64, traits.as_ref());
        }
        blocks
    }
}

/// The bytes of an index file: the blocks of a segment of a known size.
pub(crate) fn encode_index(segment_bytes: u64, blocks: &[Arc<Block>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + blocks.len() * (64 + BLOOM_BYTES));
    out.extend_from_slice(&INDEX_MAGIC);
    out.extend_from_slice(&segment_bytes.to_le_bytes());
    for block in blocks {
        for number in [
            block.first_sequence,
            block.last_sequence,
            block.offset,
            block.bytes,
            u64::from(block.events),
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&block.micros_min.to_le_bytes());
        out.extend_from_slice(&block.micros_max.to_le_bytes());
        out.extend_from_slice(&[block.types, block.severities, block.statuses]);
        out.extend_from_slice(block.bloom.as_slice());
    }
    seal(out)
}

/// The blocks of an index file, if it is whole and of a segment of this size; of any size without one.
pub(crate) fn decode_index(
    bytes: &[u8],
    segment_bytes: Option<u64>,
) -> Result<Vec<Arc<Block>>, FormatError> {
    let mut fields = Fields(unseal(bytes)?);
    let is_index = fields.take::<8>()? == INDEX_MAGIC;
    let length = u64::from_le_bytes(fields.take()?);
    if !is_index || segment_bytes.is_some_and(|expected| expected != length) {
        return Err(FormatError::Magic);
    }
    let mut blocks = Vec::new();
    while !fields.0.is_empty() {
        let mut number = || fields.take().map(u64::from_le_bytes);
        let (first_sequence, last_sequence) = (number()?, number()?);
        let (offset, bytes, events) = (number()?, number()?, number()?);
        let micros_min = i64::from_le_bytes(fields.take()?);
        let micros_max = i64::from_le_bytes(fields.take()?);
        let [types, severities, statuses] = fields.take()?;
        blocks.push(Arc::new(Block {
            first_sequence,
            last_sequence,
            offset,
            bytes,
            events: u32::try_from(events).map_err(|_| FormatError::Shape)?,
            micros_min,
            micros_max,
            types,
            severities,
            statuses,
            bloom: Box::new(fields.take()?),
        }));
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn fingerprints_of_like_values_are_spread_over_the_filter() {
        let ids = (0..1_000).map(|n| format!("{n:08}-0000-7000-8000-000000000000"));
        let short = (0..1_000).map(|n| n.to_string());
        let zeros = (0..100).map(|n| "\0".repeat(n));
        let values: Vec<String> = ids.chain(short).chain(zeros).collect();
        let prints: Vec<u64> = [Field::Organization, Field::Request]
            .into_iter()
            .flat_map(|field| values.iter().map(move |v| fingerprint(field, v.as_bytes())))
            .collect();
        assert_eq!(prints.iter().collect::<HashSet<_>>().len(), prints.len());
        for lane in 0..BLOOM_PROBES {
            let bits: HashSet<_> = prints.iter().map(|print| probes(*print)[lane]).collect();
            // 4,200 values thrown at 8,192 bits hit about 3,290 of them.
            assert!(bits.len() > 3_000, "lane {lane} hits {} bits", bits.len());
        }
    }
}
