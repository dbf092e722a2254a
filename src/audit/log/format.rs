//! The bytes on disk: segment headers, frames, checkpoints and the chain over them.
//!
//! The layout is described in [the log's own page](super). Nothing here does I/O; every decoder takes
//! any bytes and answers with a value or the reason why there is none.

use std::fmt;

use super::digest::{Digest, Parts, Seal};
use crate::audit::proof::Hash;

/// Names of the parts of a frame or header that can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end before the part does.
    #[error("the bytes end inside it")]
    Short,
    /// It does not begin as it must.
    #[error("it does not begin with the magic bytes")]
    Magic,
    /// Written by a version this one does not know.
    #[error("unknown format version")]
    Version,
    /// A length or kind no writer produces.
    #[error("impossible length or kind")]
    Shape,
    /// The checksum disagrees with the bytes.
    #[error("checksum mismatch")]
    Checksum,
}

/// Version of the format written here.
pub(crate) const FORMAT_VERSION: u16 = 2;
/// Size of a segment's header, in bytes.
pub(crate) const HEADER_BYTES: usize = 96;
/// Size of what precedes a frame's payload, in bytes.
pub(crate) const FRAME_HEADER_BYTES: usize = 88;
/// Largest payload of a frame, in bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Size of what an erased event leaves, in bytes.
pub(crate) const ERASED_BYTES: usize = 32;
/// Size of one of the two slots of the checkpoint file, in bytes.
pub(crate) const CHECKPOINT_BYTES: usize = 256;

const SEGMENT_MAGIC: [u8; 8] = *b"rg-audit";
const CHECKPOINT_MAGIC: [u8; 8] = *b"rg-check";
/// Keys that keep hashes of one purpose apart from those of another.
/// Kind and sequence follow it in the key, so that what is hashed fills one block of BLAKE3.
const CHAIN_KEY: [u8; 20] = *b"rg-audit: chain   v2";
const GENESIS_KEY: [u8; 32] = *b"rg-gateway audit log: genesis v2";

/// Identity of one log: random, the same in all of its files.
pub(crate) type LogId = [u8; 16];

/// The hash over everything up to and including one frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// The chain before the first frame of a log.
    pub(crate) fn genesis(log_id: &LogId) -> Self {
        Self(*blake3::keyed_hash(&GENESIS_KEY, log_id).as_bytes())
    }

    /// The chain after one more frame.
    pub(crate) fn after(&self, sequence: u64, kind: Kind, digest: &Digest) -> Self {
        let mut key = [0_u8; 32];
        let (purpose, rest) = key.split_at_mut(CHAIN_KEY.len());
        let (meaning, place) = rest.split_at_mut(4);
        purpose.copy_from_slice(&CHAIN_KEY);
        meaning.copy_from_slice(&kind.chained().bytes());
        place.copy_from_slice(&sequence.to_le_bytes());
        let mut input = [0_u8; 64];
        let (before, content) = input.split_at_mut(32);
        before.copy_from_slice(&self.0);
        content.copy_from_slice(&digest.0);
        Self(*blake3::keyed_hash(&key, &input).as_bytes())
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One audit event, JSON.
    Event,
    /// Reserved: a signed checkpoint. Chained, not an event.
    Checkpoint,
    /// What an erased event leaves: its digest. Chained as the event it was.
    Erased,
    /// An event without its personal part. Chained as the event it was.
    Redacted,
}

impl Kind {
    fn bytes(self) -> [u8; 4] {
        match self {
            Self::Event => [1, 0, 0, 0],
            Self::Checkpoint => [2, 0, 0, 0],
            Self::Erased => [3, 0, 0, 0],
            Self::Redacted => [4, 0, 0, 0],
        }
    }

    /// Whether the payload is an event that can be read.
    pub(crate) fn is_event(self) -> bool {
        matches!(self, Self::Event | Self::Redacted)
    }

    /// The kind the chain remembers: erasing an event does not change history.
    fn chained(self) -> Self {
        match self {
            Self::Erased | Self::Redacted => Self::Event,
            other => other,
        }
    }

    fn parse(bytes: [u8; 4]) -> Option<Self> {
        [Self::Event, Self::Checkpoint, Self::Erased, Self::Redacted]
            .into_iter()
            .find(|kind| kind.bytes() == bytes)
    }
}

/// Why a segment was begun, which says how the one before it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Begun {
    /// By a version that did not say.
    #[default]
    Unsaid,
    /// In order: the one before ends with its last event.
    InOrder,
    /// After a crash or a failure: the one before may go on with bytes nobody believes.
    AfterFailure,
}

impl Begun {
    fn bytes(self) -> [u8; 4] {
        match self {
            Self::Unsaid => [0; 4],
            Self::InOrder => [1, 0, 0, 0],
            Self::AfterFailure => [2, 0, 0, 0],
        }
    }

    fn parse(bytes: [u8; 4]) -> Self {
        let known = [Self::InOrder, Self::AfterFailure];
        let known = known.into_iter().find(|begun| begun.bytes() == bytes);
        known.unwrap_or_default()
    }
}

/// What a segment says of itself before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log_id: LogId,
    pub(crate) ordinal: u64,
    pub(crate) first_sequence: u64,
    /// The last sequence known to be synced when the segment was begun.
    pub(crate) synced_through: u64,
    /// The chain before the first frame.
    pub(crate) chain: Chain,
    pub(crate) begun: Begun,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.synced_through.to_le_bytes());
        out.extend_from_slice(&self.chain.0);
        out.extend_from_slice(&self.begun.bytes());
        seal(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::checked(bytes, HEADER_BYTES, SEGMENT_MAGIC)?;
        Ok(Self {
            log_id: fields.take()?,
            ordinal: u64::from_le_bytes(fields.take()?),
            first_sequence: u64::from_le_bytes(fields.take()?),
            synced_through: u64::from_le_bytes(fields.take()?),
            chain: Chain(fields.take()?),
            begun: Begun::parse(fields.take()?),
        })
    }
}

/// How far the log was known to be synced, and the chain there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) log_id: LogId,
    pub(crate) sequence: u64,
    pub(crate) unix_micros: i64,
    pub(crate) chain: Chain,
    /// Whether the log was closed in order here, with everything synced and signed.
    pub(crate) closed: bool,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(CHECKPOINT_BYTES);
        out.extend_from_slice(&CHECKPOINT_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.unix_micros.to_le_bytes());
        out.extend_from_slice(&self.chain.0);
        out.push(u8::from(self.closed));
        out.resize(CHECKPOINT_BYTES - 4, 0);
        seal(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::checked(bytes, CHECKPOINT_BYTES, CHECKPOINT_MAGIC)?;
        Ok(Self {
            log_id: fields.take()?,
            sequence: u64::from_le_bytes(fields.take()?),
            unix_micros: i64::from_le_bytes(fields.take()?),
            chain: Chain(fields.take()?),
            closed: fields.take::<1>()? == [1],
        })
    }
}

/// One frame, as found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) sequence: u64,
    pub(crate) kind: Kind,
    /// What the frame says the chain after it is.
    pub(crate) chain: Chain,
    /// Where the personal part of the payload begins, in bytes.
    pub(crate) personal_from: u32,
    /// The salt of the personal part; of a redacted event, the commitment that is left of it.
    pub(crate) seal: [u8; 32],
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Appends one frame; the payload is no longer than [`PAYLOAD_BYTES_MAX`].
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        out.reserve(FRAME_HEADER_BYTES + self.payload.len());
        out.extend_from_slice(&length);
        let checksum_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let checked_at = out.len();
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.kind.bytes());
        out.extend_from_slice(&self.chain.0);
        out.extend_from_slice(&self.personal_from.to_le_bytes());
        out.extend_from_slice(&self.seal);
        out.extend_from_slice(self.payload);
        let checked = out.get(checked_at..).unwrap_or_default();
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&length), checked);
        if let Some(place) = out.get_mut(checksum_at..checked_at) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
    }

    /// The frame that begins the bytes.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut fields = Fields(bytes);
        let length_bytes = fields.take()?;
        let checksum = u32::from_le_bytes(fields.take()?);
        let checked = fields.0;
        let sequence = u64::from_le_bytes(fields.take()?);
        let kind = Kind::parse(fields.take()?).ok_or(FormatError::Shape)?;
        let chain = Chain(fields.take()?);
        let personal_from = u32::from_le_bytes(fields.take()?);
        let seal = fields.take()?;
        let length = usize::try_from(u32::from_le_bytes(length_bytes)).unwrap_or(usize::MAX);
        if length > PAYLOAD_BYTES_MAX {
            return Err(FormatError::Shape);
        }
        let payload = fields.0.get(..length).ok_or(FormatError::Short)?;
        let covered = checked
            .get(..FRAME_HEADER_BYTES - 8 + length)
            .ok_or(FormatError::Short)?;
        if crc32c::crc32c_append(crc32c::crc32c(&length_bytes), covered) != checksum {
            return Err(FormatError::Checksum);
        }
        Ok(Self {
            sequence,
            kind,
            chain,
            personal_from,
            seal,
            payload,
        })
    }

    /// Size on disk, in bytes.
    pub(crate) fn size(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload.len()
    }

    /// The parts of its payload.
    pub(crate) fn parts(&self) -> Parts {
        let seal = match self.kind {
            Kind::Redacted => Seal::Commitment(self.seal),
            _ => Seal::Salt(self.seal),
        };
        Parts {
            personal_from: self.personal_from,
            seal,
        }
    }

    /// What the chain and the tree were extended by.
    pub(crate) fn digest(&self) -> Digest {
        let left = <[u8; ERASED_BYTES]>::try_from(self.payload).ok();
        match left.filter(|_| self.kind == Kind::Erased) {
            Some(digest) => Digest(digest),
            None => self.parts().digest(self.payload),
        }
    }

    /// Its leaf of the Merkle tree.
    pub(crate) fn tree_leaf(&self) -> Hash {
        Hash::of_leaf(&self.digest().0)
    }

    /// The frame in its place when the event is erased; its payload is the event's digest.
    pub(crate) fn erased<'d>(&self, digest: &'d Digest) -> Frame<'d> {
        Frame {
            sequence: self.sequence,
            kind: Kind::Erased,
            chain: self.chain,
            personal_from: 0,
            seal: [0; 32],
            payload: &digest.0,
        }
    }

    /// The frame in its place when the event's personal part is erased.
    pub(crate) fn redacted<'p>(&self, payload: &'p [u8], parts: &Parts) -> Frame<'p> {
        let (Seal::Commitment(seal) | Seal::Salt(seal)) = parts.seal;
        Frame {
            sequence: self.sequence,
            kind: Kind::Redacted,
            chain: self.chain,
            personal_from: parts.personal_from,
            seal,
            payload,
        }
    }
}

/// Appends the checksum of everything so far.
pub(crate) fn seal(mut out: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// The bytes before the checksum that ends them.
pub(crate) fn unseal(bytes: &[u8]) -> Result<&[u8], FormatError> {
    let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(FormatError::Short)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*checksum) {
        return Err(FormatError::Checksum);
    }
    Ok(body)
}

/// Takes fixed-size fields off the front of some bytes.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(FormatError::Short)?;
        self.0 = rest;
        Ok(*field)
    }

    /// The fields after magic and version of a sealed block of a given size.
    fn checked(bytes: &'a [u8], size: usize, magic: [u8; 8]) -> Result<Self, FormatError> {
        let block = bytes.get(..size).ok_or(FormatError::Short)?;
        let mut fields = Self(block);
        if fields.take::<8>()? != magic {
            return Err(FormatError::Magic);
        }
        fields.0 = unseal(block)?.get(8..).unwrap_or_default();
        if u16::from_le_bytes(fields.take()?) != FORMAT_VERSION {
            return Err(FormatError::Version);
        }
        fields.take::<6>()?;
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: &[u8]) -> Frame<'_> {
        let mut frame = Frame {
            sequence: 9,
            kind: Kind::Event,
            chain: Chain::genesis(&[7; 16]),
            personal_from: 4,
            seal: [3; 32],
            payload,
        };
        frame.chain = frame.chain.after(9, frame.kind, &frame.digest());
        frame
    }

    #[test]
    fn the_chain_binds_what_went_before_the_place_the_kind_and_the_event() {
        let start = Chain::genesis(&[7; 16]);
        let (digest, other) = (Digest([1; 32]), Digest([2; 32]));
        let chains = [
            start.after(1, Kind::Event, &digest),
            start.after(2, Kind::Event, &digest),
            start.after(1, Kind::Checkpoint, &digest),
            start.after(1, Kind::Event, &other),
            Chain::genesis(&[8; 16]).after(1, Kind::Event, &digest),
        ];
        for (n, chain) in chains.iter().enumerate() {
            assert!(!chains[..n].contains(chain), "chain {n} is another's");
        }
    }

    #[test]
    fn an_erased_or_redacted_frame_keeps_chain_and_leaf() {
        let event = frame(b"{\"a\":1}");
        let (payload, parts) = event.parts().redacted(event.payload).unwrap();
        let redacted = event.redacted(&payload, &parts);
        let digest = redacted.digest();
        let erased = redacted.erased(&digest);
        for left in [redacted, erased] {
            assert_eq!(left.tree_leaf(), event.tree_leaf());
            let chain = Chain::genesis(&[7; 16]).after(9, left.kind, &left.digest());
            assert_eq!((chain, left.chain), (event.chain, event.chain));
            let mut bytes = Vec::new();
            left.encode(&mut bytes);
            assert_eq!(Frame::decode(&bytes), Ok(left));
        }
        let digest = erased.digest();
        assert_eq!(
            erased.erased(&digest),
            erased,
            "erasing twice changes nothing"
        );
    }
}
