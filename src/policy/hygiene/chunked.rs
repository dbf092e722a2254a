//! Where a chunked body ends (RFC 9112, 7.1), read strictly and one octet at a time, so that it does
//! not matter how the network cut the bytes.
//!
//! Nothing is decoded or changed: the octets counted here are passed on as they are. Extensions are
//! only bounded and kept free of controls, since every recipient ignores them and what has hurt in
//! the past is where they end. Trailer lines are checked as field lines; their names mean nothing here.

use super::Violation;
use super::octets::{TOKEN, hex_value, is};

/// Hexadecimal digits of a chunk size, leading zeros included; more are refused.
pub const CHUNK_DIGITS_MAX: u8 = 16;

/// How far the octets of extensions may run ahead of the octets of data; beyond it the body is refused.
pub const EXTENSION_DEBT_BYTES_MAX: u64 = 4 * 1024;

/// The trailer section; a longer one is refused.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Follows one chunked body to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkedScanner {
    state: State,
    extension_debt: u64,
    trailer_bytes: usize,
}

/// What became of the octets given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkProgress {
    /// Leading octets of the input that belong to this message; all of them until it is done.
    pub consumed: usize,
    /// The end of the trailer section has been seen.
    pub done: bool,
}

/// ```text
/// Size ─┬─ SizeBlank ─┐
///       ├─ Extension ─┤                      ┌ size 0: Trailer ─ TrailerName ─ TrailerValue ─ TrailerLf ┐
///       └─────────────┴─ SizeLf ─────────────┤            │  ^──────────────────────────────────────────┘
///   ^                                        └ Data ─ DataCr ─ DataLf ┐                └─ LastLf ─ Done
///   └─────────────────────────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8, size: u64 },
    SizeBlank { size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { remaining: u64 },
    DataCr,
    DataLf,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
    Failed(Violation),
}

const FIRST_DIGIT: State = State::Size { digits: 0, size: 0 };

impl Default for ChunkedScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkedScanner {
    /// At the first octet of the body.
    pub fn new() -> Self {
        Self {
            state: FIRST_DIGIT,
            extension_debt: 0,
            trailer_bytes: 0,
        }
    }

    /// Reads on. Octets behind the end of the message are left alone.
    ///
    /// # Errors
    /// The first violation found; every later call returns it again.
    pub fn advance(&mut self, input: &[u8]) -> Result<ChunkProgress, Violation> {
        let mut rest = input;
        loop {
            match self.state {
                State::Done => break,
                State::Failed(violation) => return Err(violation),
                State::Data { remaining } => {
                    let Some(after) = self.pass_data(remaining, rest) else {
                        rest = &[];
                        break;
                    };
                    rest = after;
                }
                _ => {
                    let Some((&octet, after)) = rest.split_first() else {
                        break;
                    };
                    self.state = self.step(octet).unwrap_or_else(State::Failed);
                    rest = after;
                }
            }
        }
        Ok(ChunkProgress {
            consumed: input.len() - rest.len(),
            done: self.state == State::Done,
        })
    }

    /// Skips data; what follows it, or nothing when all of `rest` is data of this chunk.
    fn pass_data<'a>(&mut self, remaining: u64, rest: &'a [u8]) -> Option<&'a [u8]> {
        let after = usize::try_from(remaining)
            .ok()
            .and_then(|size| rest.get(size..));
        self.state = match after {
            Some(_) => State::DataCr,
            None => State::Data {
                remaining: remaining.saturating_sub(u64::try_from(rest.len()).unwrap_or(u64::MAX)),
            },
        };
        after
    }

    /// The state after one octet outside chunk data.
    fn step(&mut self, octet: u8) -> Result<State, Violation> {
        match self.state {
            State::Size { digits, size } => after_digits(octet, digits, size),
            State::SizeBlank { size } => match octet {
                b' ' | b'\t' => self.extended(State::SizeBlank { size }),
                b';' => self.extended(State::Extension { size }),
                _ => Err(Violation::ChunkSize),
            },
            State::Extension { size } => match octet {
                b'\r' => Ok(State::SizeLf { size }),
                b'\t' | b' '..=b'~' | 0x80.. => self.extended(State::Extension { size }),
                _ => Err(Violation::ChunkExtension),
            },
            State::SizeLf { size } => match (octet, size) {
                (b'\n', 0) => Ok(State::Trailer),
                (b'\n', _) => {
                    self.extension_debt = self.extension_debt.saturating_sub(size);
                    Ok(State::Data { remaining: size })
                }
                _ => Err(Violation::BareCarriageReturn),
            },
            State::DataCr if octet == b'\r' => Ok(State::DataLf),
            State::DataLf if octet == b'\n' => Ok(FIRST_DIGIT),
            State::DataCr | State::DataLf => Err(Violation::ChunkEnd),
            _ => self.step_in_trailer(octet),
        }
    }

    /// One more octet between a chunk size and its line end.
    fn extended(&mut self, next: State) -> Result<State, Violation> {
        self.extension_debt = self.extension_debt.saturating_add(1);
        if self.extension_debt > EXTENSION_DEBT_BYTES_MAX {
            return Err(Violation::ChunkExtension);
        }
        Ok(next)
    }

    /// The state after one octet behind the last chunk.
    fn step_in_trailer(&mut self, octet: u8) -> Result<State, Violation> {
        self.trailer_bytes = self.trailer_bytes.saturating_add(1);
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Violation::TrailersTooLarge);
        }
        match (self.state, octet) {
            (State::Trailer, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::Trailer | State::TrailerName, _) if is(octet, TOKEN) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::Trailer),
            (_, b'\n') => Err(Violation::BareLineFeed),
            (State::TrailerLf | State::LastLf, _) => Err(Violation::BareCarriageReturn),
            _ => Err(Violation::TrailerSyntax),
        }
    }
}

/// The state after an octet where a digit of the size may stand.
fn after_digits(octet: u8, digits: u8, size: u64) -> Result<State, Violation> {
    if let Some(digit) = hex_value(octet) {
        if digits == CHUNK_DIGITS_MAX || size >> 59 != 0 {
            return Err(Violation::ChunkSize);
        }
        return Ok(State::Size {
            digits: digits + 1,
            size: size << 4 | u64::from(digit),
        });
    }
    match octet {
        _ if digits == 0 => Err(Violation::ChunkSize),
        b'\r' => Ok(State::SizeLf { size }),
        b';' => Ok(State::Extension { size }),
        b' ' | b'\t' => Ok(State::SizeBlank { size }),
        b'\n' => Err(Violation::BareLineFeed),
        _ => Err(Violation::ChunkSize),
    }
}
