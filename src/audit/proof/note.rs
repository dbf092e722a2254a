//! Signed checkpoints as text: the C2SP formats `tlog-checkpoint` and `signed-note`. Pure.
//!
//! ```text
//! rg-gateway/audit/9f2c…             origin: the log's identity, and the name of its key
//! 1043                               size of the tree: the sequence of the newest event
//! 3q2+7w…=                           Merkle root, base64
//! chain 5d41…                        the log's own chain there, hex
//! time 2026-11-22T17:00:00.000000Z   when it was signed
//!
//! — rg-gateway/audit/9f2c… Az3f…=    base64 of key id[4] ‖ Ed25519 signature[64] over all lines above, line ends included
//! ```
//!
//! The key's text is `<name>+<key id, hex>+<base64 of 0x01 ‖ public key>`; the key id is the first four bytes of
//! SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::merkle::Hash;
use crate::audit::log::Chain;
use crate::audit::log::format::LogId;
use crate::audit::timestamp;

/// Ed25519 in the registry of signature types.
const ED25519_TYPE: u8 = 1;
/// Begins a signature line.
const SIGNATURE: &str = "\u{2014} ";

/// The name of every log begins so, and no other line of a note does.
pub(crate) const ORIGIN: &str = "rg-gateway/audit/";

/// The name of a log and of its key.
pub(crate) fn origin(log_id: &LogId) -> String {
    format!("{ORIGIN}{}", uuid::Uuid::from_bytes(*log_id).simple())
}

/// What is signed: how far the history goes, and hashes over all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// The log's name.
    pub origin: String,
    /// Leaves of the tree, which is the sequence of the newest event.
    pub size: u64,
    /// The Merkle root.
    pub root: Hash,
    /// The log's own chain after the newest event.
    pub chain: Option<Chain>,
    /// When it was signed.
    pub unix_micros: Option<i64>,
}

impl fmt::Display for TreeHead {
    /// The text that is signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root.0);
        writeln!(f, "{}\n{}\n{root}", self.origin, self.size)?;
        if let Some(chain) = self.chain {
            writeln!(f, "chain {chain}")?;
        }
        if let Some(micros) = self.unix_micros {
            let text = timestamp::text(micros);
            writeln!(f, "time {}", String::from_utf8_lossy(&text))?;
        }
        Ok(())
    }
}

/// Why a text is no checkpoint of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text has another shape.
    #[error("not a signed checkpoint")]
    Shape,
    /// None of the known keys has signed it.
    #[error("signed by none of the known keys")]
    Unsigned,
}

/// A signed text, not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note<'a> {
    /// Everything, ready to be kept.
    pub(crate) text: &'a str,
    body: &'a str,
    signatures: &'a str,
}

impl<'a> Note<'a> {
    /// The note that begins a text, and what follows it. `None` while it is not whole.
    pub(crate) fn split_from(text: &'a str) -> Option<(Self, &'a str)> {
        let body_end = text.find("\n\n")? + 1;
        let (body, rest) = text.split_at(body_end);
        let mut length = 1;
        for line in rest.get(1..)?.split_inclusive('\n') {
            if !line.starts_with(SIGNATURE) || !line.ends_with('\n') {
                break;
            }
            length += line.len();
        }
        if length == 1 {
            return None;
        }
        let (signatures, rest) = rest.split_at(length);
        let text = text.get(..body_end + length)?;
        // The format has none, and what a power cut tears out of a file reads as zeros.
        if text.chars().any(|c| c.is_ascii_control() && c != '\n') {
            return None;
        }
        let note = Self {
            text,
            body,
            signatures: signatures.get(1..)?,
        };
        Some((note, rest))
    }

    /// What it says, once one of the keys is found to have signed it.
    pub(crate) fn open(&self, keys: &[PublicKey]) -> Result<TreeHead, NoteError> {
        let signed = |key: &PublicKey| {
            let mut lines = self.signatures.lines();
            lines.any(|line| key.has_signed(self.body, line))
        };
        if !keys.iter().any(signed) {
            return Err(NoteError::Unsigned);
        }
        self.head()
    }

    /// What it says, whoever says it.
    pub(crate) fn head(&self) -> Result<TreeHead, NoteError> {
        let mut lines = self.body.lines();
        let mut line = || {
            lines
                .next()
                .filter(|line| !line.is_empty())
                .ok_or(NoteError::Shape)
        };
        let (name, size, root) = (line()?, line()?, line()?);
        let plain = |text: &str| !text.starts_with('+') && (text == "0" || !text.starts_with('0'));
        let mut head = TreeHead {
            origin: name.to_owned(),
            size: size
                .parse()
                .ok()
                .filter(|_| plain(size))
                .ok_or(NoteError::Shape)?,
            root: Hash(bytes(root).ok_or(NoteError::Shape)?),
            chain: None,
            unix_micros: None,
        };
        for extension in lines {
            match extension.split_once(' ') {
                Some(("chain", hex)) => head.chain = unhex(hex).map(Chain),
                Some(("time", text)) => head.unix_micros = timestamp::parse(text),
                _ => {}
            }
        }
        Ok(head)
    }
}

/// Reads one signed checkpoint.
///
/// # Errors
///
/// When the text has another shape or none of the keys has signed it.
pub fn open_checkpoint(text: &str, keys: &[PublicKey]) -> Result<TreeHead, NoteError> {
    let (note, rest) = Note::split_from(text).ok_or(NoteError::Shape)?;
    if !rest.trim().is_empty() {
        return Err(NoteError::Shape);
    }
    note.open(keys)
}

fn bytes<const N: usize>(base64: &str) -> Option<[u8; N]> {
    STANDARD.decode(base64).ok()?.try_into().ok()
}

pub(crate) fn unhex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if hex.len() != 2 * N || !hex.is_ascii() {
        return None;
    }
    for (at, byte) in out.iter_mut().enumerate() {
        let digits = hex.get(2 * at..2 * at + 2)?;
        let lower = digits
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| lower)?;
    }
    Some(out)
}

/// The key that checks a log's signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

impl PublicKey {
    pub(crate) fn new(name: String, key: [u8; 32]) -> Self {
        Self { name, key }
    }

    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519_TYPE])
            .chain_update(self.key)
            .finalize();
        let mut id = [0; 4];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        id
    }

    /// Whether a signature line is this key's over the text.
    fn has_signed(&self, body: &str, line: &str) -> bool {
        let named = line
            .strip_prefix(SIGNATURE)
            .and_then(|rest| rest.split_once(' '));
        let Some((name, signature)) = named else {
            return false;
        };
        let Some(signature) = bytes::<68>(signature).filter(|_| name == self.name) else {
            return false;
        };
        let Some((id, signature)) = signature.split_first_chunk::<4>() else {
            return false;
        };
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        *id == self.id() && key.verify(body.as_bytes(), signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.id();
        let key = [&[ED25519_TYPE], self.key.as_slice()].concat();
        let key = STANDARD.encode(key);
        write!(f, "{}+{a:02x}{b:02x}{c:02x}{d:02x}+{key}", self.name)
    }
}

/// What is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public key of the form name+id+base64")]
pub struct NotAKey;

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (name, rest) = text.trim().split_once('+').ok_or(NotAKey)?;
        let (id, key) = rest.split_once('+').ok_or(NotAKey)?;
        let typed: [u8; 33] = bytes(key).ok_or(NotAKey)?;
        let (kind, key) = typed.split_first().ok_or(NotAKey)?;
        let key = key.try_into().map_err(|_| NotAKey)?;
        let key = Self::new(name.to_owned(), key);
        let known = *kind == ED25519_TYPE && unhex(id) == Some(key.id());
        known.then_some(key).ok_or(NotAKey)
    }
}

/// The key that signs, and the name it signs as.
pub(crate) struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Signer {
    pub(crate) fn new(pair: Ed25519KeyPair, log_id: &LogId) -> Self {
        let mut key = [0; 32];
        let bytes = pair.public_key().as_ref();
        key.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let public = PublicKey::new(origin(log_id), key);
        Self { pair, public }
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The whole note of a tree head.
    pub(crate) fn sign(&self, head: &TreeHead) -> String {
        let body = head.to_string();
        let signature = self.pair.sign(body.as_bytes());
        let signed = [self.public.id().as_slice(), signature.as_ref()].concat();
        let signed = STANDARD.encode(signed);
        format!("{body}\n{SIGNATURE}{} {signed}\n", self.public.name)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(seed: u8) -> Signer {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        Signer::new(pair, &[7; 16])
    }

    fn head() -> TreeHead {
        TreeHead {
            origin: origin(&[7; 16]),
            size: 1043,
            root: Hash::of_leaf(b"x"),
            chain: Some(Chain([9; 32])),
            unix_micros: Some(1_790_000_000_000_001),
        }
    }

    #[test]
    fn a_note_is_read_back_and_only_under_its_key() {
        let text = signer(1).sign(&head());
        let key: PublicKey = signer(1).public().to_string().parse().unwrap();
        assert_eq!(open_checkpoint(&text, &[key]).unwrap(), head());
        let other = signer(2).public().clone();
        assert_eq!(open_checkpoint(&text, &[other]), Err(NoteError::Unsigned));
    }

    #[test]
    fn no_byte_of_a_note_can_be_changed() {
        let text = signer(1).sign(&head());
        let keys = [signer(1).public().clone()];
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(changed) else {
                    continue;
                };
                assert!(open_checkpoint(&changed, &keys).is_err(), "{changed}");
            }
            assert!(open_checkpoint(text.get(..at).unwrap_or_default(), &keys).is_err());
        }
    }

    #[test]
    fn notes_are_split_off_one_by_one() {
        let text = signer(1).sign(&head());
        let both = format!("{text}{text}{}", &text[..text.len() - 1]);
        let (first, rest) = Note::split_from(&both).unwrap();
        let (second, rest) = Note::split_from(rest).unwrap();
        assert_eq!((first.text, second.text), (text.as_str(), text.as_str()));
        assert_eq!(Note::split_from(rest), None, "the last one is not whole");
    }

    #[test]
    fn the_key_text_is_that_of_the_signed_note_specification() {
        let text = signer(1).public().to_string();
        let (name, rest) = text.split_once('+').unwrap();
        assert_eq!(name, "rg-gateway/audit/07070707070707070707070707070707");
        assert_eq!(rest.split_once('+').unwrap().0.len(), 8);
        for broken in ["", "a+b+c", &text[1..], &text[..text.len() - 4]] {
            assert_eq!(broken.parse::<PublicKey>(), Err(NotAKey), "{broken}");
        }
    }
}
