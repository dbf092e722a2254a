//! Encryption at rest: the files that hold events, each under a nonce of its own.
//!
//! ```text
//! file   = magic[8] "rg-crypt"  key id[8]  nonce[24]  crc32c u32  XChaCha20 keystream ⊕ content        44 + length bytes
//! key id = first 8 bytes of BLAKE3 derive-key("rg-gateway audit encryption key id") over the key
//! ```
//!
//! It hides what events say from whoever gets the disk or a backup of it; that nothing was changed is shown by the log's
//! own checksums, chain and signatures, which are over the plain content. Segments, their indexes and what is moved aside
//! are encrypted. Checkpoints, keys and the tree hold hashes, counts and times only, and stay as they are; names and
//! sizes of files show too. A write that failed may be repeated at its place with other content: whoever has images
//! of the disk from before and after learns how the two differ.
//!
//! A file without the head is read as it is, so a log may begin to be encrypted, or cease to be, at any start.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chacha20::XChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};

use super::format::{Fields, seal, unseal};
use super::storage::{Directory, Storage, StorageFile};
use crate::hex;

/// Size of what precedes the content, in bytes.
pub(super) const HEAD_BYTES: usize = 44;
const MAGIC: [u8; 8] = *b"rg-crypt";
const KEY_ID_CONTEXT: &str = "rg-gateway audit encryption key id";

type KeyId = [u8; 8];

/// Names the file of keys to the commands that read a log without a gateway.
const KEY_FILE_VARIABLE: &str = "RG_AUDIT_ENCRYPTION_KEY_FILE";

/// Keys of 256 bits; the last one encrypts, all decrypt.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyRing(Vec<[u8; 32]>);

/// What is wrong with the text of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// A line is no key.
    #[error(
        "line {0}: must be a key of 64 hexadecimal digits, such as `openssl rand -hex 32` prints"
    )]
    Line(usize),
    /// There is none.
    #[error("holds no key")]
    Empty,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl KeyRing {
    /// Reads keys, one a line in hexadecimal, the newest last; lines that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let keys = keys.map(|(n, line)| hex::decode(line).ok_or(KeyRingError::Line(n)));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        Ok(Self(keys))
    }

    /// The keys of the file that `RG_AUDIT_ENCRYPTION_KEY_FILE` names; none where it is not set.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds no keys.
    pub fn from_environment() -> io::Result<Self> {
        let Some(path) = std::env::var_os(KEY_FILE_VARIABLE) else {
            return Ok(Self::default());
        };
        let failed = |reason: &dyn std::fmt::Display| {
            let path = Path::new(&path).display();
            io::Error::other(format!("{KEY_FILE_VARIABLE}: {path}: {reason}"))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
        Self::parse(&text).map_err(|error| failed(&error))
    }

    #[cfg(test)]
    pub(crate) fn of(keys: &[[u8; 32]]) -> Self {
        Self(keys.to_vec())
    }

    /// The cipher of a file that begins so; `None` for a file that is not encrypted.
    fn open(&self, head: &[u8]) -> io::Result<Option<XChaCha20>> {
        let Some((id, nonce)) = parsed(head) else {
            return Ok(None);
        };
        let key = self.0.iter().find(|key| key_id(key) == id);
        let key = key.ok_or_else(|| {
            let id = u64::from_be_bytes(id);
            io::Error::other(format!(
                "encrypted with the key {id:016x}, which is not given; {KEY_FILE_VARIABLE} names the file of keys"
            ))
        })?;
        Ok(Some(XChaCha20::new(&(*key).into(), &nonce.into())))
    }

    /// The head of a new file, and its cipher; `None` without keys.
    fn begin(&self) -> io::Result<Option<(Vec<u8>, XChaCha20)>> {
        let Some(key) = self.0.last() else {
            return Ok(None);
        };
        let mut nonce = [0; 24];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let head = seal([MAGIC.as_slice(), &key_id(key), &nonce].concat());
        Ok(Some((head, XChaCha20::new(&(*key).into(), &nonce.into()))))
    }
}

fn key_id(key: &[u8; 32]) -> KeyId {
    let hash = blake3::derive_key(KEY_ID_CONTEXT, key);
    let mut id = KeyId::default();
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    id
}

/// Key id and nonce of a head; `None` when it is none, or damaged.
fn parsed(head: &[u8]) -> Option<(KeyId, [u8; 24])> {
    let mut fields = Fields(unseal(head.get(..HEAD_BYTES)?).ok()?);
    let magic: [u8; 8] = fields.take().ok()?;
    (magic == MAGIC).then_some(())?;
    Some((fields.take().ok()?, fields.take().ok()?))
}

/// Whether a file of this name holds events: all that carry an ordinal do.
fn holds_events(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit())
}

/// A log's directory, to be read only, with the keys the environment names.
pub(crate) fn read_only(dir: &Path) -> io::Result<Encrypted<Directory>> {
    let keys = KeyRing::from_environment()?;
    Ok(Encrypted::new(Directory::read_only(dir), keys))
}

/// A storage whose files of events are encrypted where there is a key.
pub(crate) struct Encrypted<S> {
    inner: S,
    keys: KeyRing,
    /// Which files are encrypted, as far as was looked.
    known: Mutex<HashMap<String, bool>>,
}

impl<S: Storage> Encrypted<S> {
    pub(crate) fn new(inner: S, keys: KeyRing) -> Self {
        Self {
            inner,
            keys,
            known: Mutex::default(),
        }
    }

    fn know(&self, name: &str, encrypted: Option<bool>) -> Option<bool> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match encrypted {
            Some(encrypted) => known.insert(name.to_owned(), encrypted),
            None => known.remove(name),
        }
    }

    fn is_encrypted(&self, name: &str) -> io::Result<bool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(name) {
            return Ok(*known);
        }
        drop(known);
        let encrypted = match self.inner.open(name) {
            Ok(file) => parsed(&file.read_at(0, HEAD_BYTES)?).is_some(),
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        self.know(name, Some(encrypted));
        Ok(encrypted)
    }
}

impl<S: Storage> Storage for Encrypted<S> {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = self.inner.list()?;
        for (name, bytes) in files.iter_mut().filter(|(name, _)| holds_events(name)) {
            if self.is_encrypted(name)? {
                *bytes = bytes.saturating_sub(HEAD_BYTES as u64);
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let begun = match holds_events(name) {
            true => self.keys.begin()?,
            false => None,
        };
        self.know(name, None);
        let file = self.inner.create(name)?;
        let Some((head, cipher)) = begun else {
            return Ok(file);
        };
        file.write_at(0, &head)?;
        self.know(name, Some(true));
        Ok(Arc::new(EncryptedFile::new(file, cipher)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.inner.open(name)?;
        if !holds_events(name) {
            return Ok(file);
        }
        let cipher = self.keys.open(&file.read_at(0, HEAD_BYTES)?);
        let cipher = cipher.map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        Ok(match cipher {
            Some(cipher) => Arc::new(EncryptedFile::new(file, cipher)),
            None => file,
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)?;
        let encrypted = self.know(from, None);
        self.know(to, encrypted);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.know(name, None);
        self.inner.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }
}

struct EncryptedFile {
    file: Arc<dyn StorageFile>,
    /// It has a place in its keystream, which each use sets.
    cipher: Mutex<XChaCha20>,
}

impl EncryptedFile {
    fn new(file: Arc<dyn StorageFile>, cipher: XChaCha20) -> Self {
        let cipher = Mutex::new(cipher);
        Self { file, cipher }
    }

    fn apply(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut cipher = self.cipher.lock().unwrap_or_else(PoisonError::into_inner);
        let sought = cipher.try_seek(offset);
        let applied = sought.and_then(|()| cipher.try_apply_keystream(bytes));
        applied.map_err(|_| io::Error::other("the file is too long for its cipher"))
    }
}

impl StorageFile for EncryptedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut hidden = bytes.to_vec();
        self.apply(offset, &mut hidden)?;
        self.file.write_at(offset + HEAD_BYTES as u64, &hidden)
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.file.read_at(offset + HEAD_BYTES as u64, bytes_max)?;
        self.apply(offset, &mut bytes)?;
        Ok(bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length + HEAD_BYTES as u64)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::log::storage::read_whole;
    use proptest::prelude::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    fn opened(dir: &Path, keys: &[[u8; 32]]) -> Encrypted<Directory> {
        Encrypted::new(Directory::writable(dir).unwrap(), KeyRing::of(keys))
    }

    fn write(storage: &dyn Storage, name: &str, text: &str) {
        let file = storage.create(name).unwrap();
        file.write_at(0, text.as_bytes()).unwrap();
    }

    fn read(storage: &dyn Storage, name: &str) -> String {
        String::from_utf8(read_whole(storage, name).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_and_does_not_stand_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let storage = opened(dir.path(), &[OLD]);
        write(&storage, "000000000001.new", "somebody's address");
        storage
            .rename("000000000001.new", "000000000001.seg")
            .unwrap();
        write(&storage, "checkpoint", "a hash");
        let bytes = std::fs::read(dir.path().join("000000000001.seg")).unwrap();
        assert!(memchr::memmem::find(&bytes, b"address").is_none());
        assert_eq!(
            std::fs::read(dir.path().join("checkpoint")).unwrap(),
            b"a hash"
        );
        for storage in [&storage, &opened(dir.path(), &[OLD, NEW])] {
            assert_eq!(read(storage, "000000000001.seg"), "somebody's address");
            let listed = storage.list().unwrap();
            assert!(
                listed.contains(&("000000000001.seg".to_owned(), 18)),
                "{listed:?}"
            );
        }
        let refused = opened(dir.path(), &[NEW])
            .open("000000000001.seg")
            .err()
            .unwrap();
        assert!(
            refused.to_string().contains("which is not given"),
            "{refused}"
        );
    }

    #[test]
    fn keys_may_come_and_change_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let rings: [&[[u8; 32]]; 4] = [&[], &[OLD], &[OLD, NEW], &[]];
        for (n, keys) in (1..).zip(rings) {
            write(
                &opened(dir.path(), keys),
                &format!("{n}.seg"),
                &format!("text {n}"),
            );
        }
        let storage = opened(dir.path(), &[OLD, NEW]);
        for n in 1..=4 {
            assert_eq!(read(&storage, &format!("{n}.seg")), format!("text {n}"));
        }
    }

    #[test]
    fn a_file_of_keys_is_read_line_by_line() {
        let line = "ab".repeat(32);
        let ring = KeyRing::parse(&format!("# of May\n{}\n\n {line} \n", "01".repeat(32)));
        assert_eq!(ring, Ok(KeyRing::of(&[OLD, [0xab; 32]])));
        assert_eq!(KeyRing::parse("# none\n"), Err(KeyRingError::Empty));
        for wrong in ["abc", &line[1..], &format!("{line}0"), &"zz".repeat(32)] {
            let text = format!("{line}\n{wrong}");
            assert_eq!(KeyRing::parse(&text), Err(KeyRingError::Line(2)));
        }
    }

    proptest! {
        #[test]
        fn pieces_are_read_wherever_they_were_written(
            pieces in prop::collection::vec((0_u64..2_000, prop::collection::vec(any::<u8>(), 1..300)), 1..8),
            cut in 0_u64..2_500, from in 0_u64..2_500, count in 0_usize..600,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let plain = opened(dir.path(), &[]).create("1.seg").unwrap();
            let hidden = opened(dir.path(), &[NEW]).create("2.seg").unwrap();
            let mut end = 0;
            for (offset, bytes) in &pieces {
                // As the log does: never beyond the end, where a hole would read as keystream.
                let offset = (*offset).min(end);
                end = end.max(offset + bytes.len() as u64);
                for file in [&plain, &hidden] {
                    file.write_at(offset, bytes).unwrap();
                }
            }
            for file in [&plain, &hidden] {
                file.truncate(cut.min(end)).unwrap();
            }
            prop_assert_eq!(plain.read_at(from, count).unwrap(), hidden.read_at(from, count).unwrap());
        }
    }
}
