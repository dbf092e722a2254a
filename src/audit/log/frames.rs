//! Walking the frames of a segment, stepping over what is damaged.

use memchr::memmem;

use super::format::{FRAME_HEADER_BYTES, FormatError, Frame};

/// The kind fields of an event, an erased one and a redacted one. They hold zero bytes and JSON holds none, so that
/// no payload, whatever a client sent, can be taken for a frame.
const KINDS: [[u8; 4]; 3] = [[1, 0, 0, 0], [3, 0, 0, 0], [4, 0, 0, 0]];
/// Where the kind field stands in a frame, in bytes.
const KIND_AT: usize = 16;

/// One step of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A frame whose checksum holds.
    Frame {
        /// Where it begins, counted from the start of the bytes walked.
        offset: usize,
        frame: Frame<'a>,
    },
    /// Bytes that are no frame, up to the next frame or the end.
    Damage {
        offset: usize,
        bytes: usize,
        reason: FormatError,
    },
}

/// The frames of some bytes, in the order they stand there.
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    /// Begins at an offset, such as the end of a segment's header.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    fn decode_at(&self, at: usize) -> Result<Frame<'a>, FormatError> {
        Frame::decode(self.bytes.get(at..).unwrap_or_default())
    }

    /// The next offset after a damaged one where a frame stands.
    fn resume(&self, after: usize) -> usize {
        let from = after + 1 + KIND_AT;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let next = KINDS.iter().filter_map(|kind| {
            memmem::find_iter(rest, kind)
                .map(|found| found + after + 1)
                .find(|candidate| self.decode_at(*candidate).is_ok())
        });
        next.min().unwrap_or(self.bytes.len())
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        let offset = self.at;
        if offset >= self.bytes.len() {
            return None;
        }
        match self.decode_at(offset) {
            Ok(frame) => {
                self.at = offset + frame.size();
                Some(Step::Frame { offset, frame })
            }
            Err(reason) => {
                self.at = self.resume(offset);
                let bytes = self.at - offset;
                Some(Step::Damage {
                    offset,
                    bytes,
                    reason,
                })
            }
        }
    }
}

/// Bytes a payload of this length takes on disk.
pub(crate) fn frame_bytes(payload: usize) -> usize {
    FRAME_HEADER_BYTES + payload
}

#[cfg(test)]
mod tests {
    use super::super::format::{Chain, Kind};
    use super::*;
    use proptest::prelude::*;

    fn written(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, payload) in (1..).zip(payloads) {
            Frame {
                sequence,
                kind: Kind::Event,
                chain: Chain([7; 32]),
                personal_from: 1,
                seal: [9; 32],
                payload,
            }
            .encode(&mut out);
        }
        out
    }

    fn found(bytes: &[u8]) -> Vec<Vec<u8>> {
        Frames::new(bytes, 0)
            .filter_map(|step| match step {
                Step::Frame { frame, .. } => Some(frame.payload.to_vec()),
                Step::Damage { .. } => None,
            })
            .collect()
    }

    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec("[ -~]{0,200}".prop_map(String::into_bytes), 1..8)
    }

    proptest! {
        #[test]
        fn frames_are_read_back_as_written(payloads in texts()) {
            prop_assert_eq!(found(&written(&payloads)), payloads);
        }

        #[test]
        fn any_prefix_yields_the_whole_frames_in_it(payloads in texts(), cut in any::<prop::sample::Index>()) {
            let bytes = written(&payloads);
            let cut = cut.index(bytes.len() + 1);
            let whole = payloads
                .iter()
                .scan(0, |end, payload| { *end += frame_bytes(payload.len()); Some(*end) })
                .take_while(|end| *end <= cut)
                .count();
            prop_assert_eq!(found(&bytes[..cut]), &payloads[..whole]);
        }

        #[test]
        fn a_flipped_bit_costs_exactly_the_frame_it_hits(
            payloads in texts(), at in any::<prop::sample::Index>(), bit in 0..8
        ) {
            let mut bytes = written(&payloads);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let mut end = 0;
            let mut expected = payloads.clone();
            expected.retain(|payload| {
                let start = end;
                end += frame_bytes(payload.len());
                !(start..end).contains(&at)
            });
            prop_assert_eq!(found(&bytes), expected);
        }

        #[test]
        fn any_bytes_are_walked_to_their_end(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let walked: usize = Frames::new(&bytes, 0)
                .map(|step| match step {
                    Step::Frame { frame, .. } => frame.size(),
                    Step::Damage { bytes, .. } => bytes,
                })
                .sum();
            prop_assert_eq!(walked, bytes.len());
        }
    }
}
