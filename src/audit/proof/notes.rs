//! The file of signed checkpoints: one text after the other, oldest first, and the public keys beside it.
//!
//! The file is bounded: at [`NOTES_BYTES_MAX`] every second checkpoint of its older half is left out, so that the
//! past is kept ever more coarsely and the newest is always there. Nothing is lost by it for proofs: a later
//! checkpoint covers everything an earlier one does.

use std::io;
use std::sync::Arc;

use super::note::{Note, NoteError, ORIGIN, PublicKey, TreeHead};
use crate::audit::log::storage::{Storage, StorageFile, read_whole};

/// The signed checkpoints.
pub(crate) const NOTES_FILE: &str = "checkpoints.signed";
/// The keys they were signed with, one a line, newest last.
pub(crate) const KEYS_FILE: &str = "keys.pub";
/// Both while they are put together.
const NOTES_UNFINISHED: &str = "checkpoints.new";
const KEYS_UNFINISHED: &str = "keys.new";
/// Size at which older checkpoints are thinned out.
const NOTES_BYTES_MAX: usize = 2 << 20;

/// One checkpoint of the file, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    /// Where it begins in the file, in bytes.
    pub(crate) offset: usize,
    /// `None` when it is damaged or not whole.
    pub(crate) note: Option<Note<'a>>,
}

impl Kept<'_> {
    pub(crate) fn open(&self, keys: &[PublicKey]) -> Result<TreeHead, NoteError> {
        self.note
            .as_ref()
            .map_or(Err(NoteError::Shape), |note| note.open(keys))
    }
}

/// The checkpoints of a file's text. Each begins with the log's name, so that a damaged one does not hide the next.
pub(crate) fn kept(text: &str) -> Vec<Kept<'_>> {
    let mut starts = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if offset == 0 || line.starts_with(ORIGIN) {
            starts.push(offset);
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let pieces = starts.iter().zip(ends);
    let pieces = pieces.filter_map(|(start, end)| Some((*start, text.get(*start..end)?)));
    pieces
        .flat_map(|(start, piece)| split(start, piece))
        .collect()
}

/// The checkpoint that begins a piece; and what follows it, which is none: the first bytes of one that was torn.
fn split(start: usize, piece: &str) -> impl Iterator<Item = Kept<'_>> {
    let split = Note::split_from(piece);
    let note = split.map(|(note, _)| note);
    let after = split
        .filter(|(_, rest)| !rest.is_empty())
        .map(|(note, _)| Kept {
            offset: start + note.text.len(),
            note: None,
        });
    let offset = start;
    std::iter::once(Kept { offset, note }).chain(after)
}

/// The whole file as text; what is not text ends it.
pub(crate) fn read(storage: &dyn Storage, name: &str) -> io::Result<Option<String>> {
    let bytes = match read_whole(storage, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The keys beside the log; lines that are none are counted.
pub(crate) fn keys(storage: &dyn Storage) -> io::Result<(Vec<PublicKey>, usize)> {
    let text = read(storage, KEYS_FILE)?.unwrap_or_default();
    let mut keys: Vec<PublicKey> = Vec::new();
    let mut damaged = 0;
    for line in text.split_inclusive('\n') {
        let key = line.parse::<PublicKey>().ok();
        // The file is only ever replaced whole, so that nothing but whole lines can stand there, each once.
        let as_written = key
            .as_ref()
            .is_some_and(|key| format!("{key}\n") == line && !keys.contains(key));
        damaged += usize::from(!as_written);
        keys.extend(key);
    }
    Ok((keys, damaged))
}

/// What the newest checkpoint says that a key beside the log has signed.
pub(crate) fn newest(storage: &dyn Storage) -> io::Result<Option<TreeHead>> {
    let (keys, _) = keys(storage)?;
    let text = read(storage, NOTES_FILE)?.unwrap_or_default();
    let kept = kept(&text);
    let mut opened = kept.iter().rev().filter_map(|kept| kept.open(&keys).ok());
    Ok(opened.next())
}

/// The file being appended to.
pub(crate) struct Notes {
    storage: Arc<dyn Storage>,
    /// `None`: it is to be written anew.
    file: Option<Arc<dyn StorageFile>>,
    text: String,
    torn: bool,
}

impl Notes {
    /// Continues the file. A last checkpoint that is not whole is what a crash left, and goes.
    pub(crate) fn open(storage: Arc<dyn Storage>) -> io::Result<Self> {
        let mut text = read(&*storage, NOTES_FILE)?.unwrap_or_default();
        let torn = kept(&text)
            .last()
            .filter(|kept| kept.note.is_none())
            .map(|kept| kept.offset);
        text.truncate(torn.unwrap_or(text.len()));
        // Its name may not be durable yet, and what was not text was replaced: so it is written anew.
        Ok(Self {
            storage,
            file: None,
            text,
            torn: torn.is_some(),
        })
    }

    /// Whether the file still ends with what a crash left.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// The newest one that opens.
    pub(crate) fn last(&self, keys: &[PublicKey]) -> Option<TreeHead> {
        let kept = kept(&self.text);
        kept.iter().rev().find_map(|kept| kept.open(keys).ok())
    }

    /// Adds one, durably. After an error it may or may not be there; the next call mends the file.
    pub(crate) fn append(&mut self, note: &str) -> io::Result<()> {
        if self.text.len() + note.len() > NOTES_BYTES_MAX {
            self.text = thinned(&self.text);
            self.file = None;
        }
        let appended = match self.file.take() {
            Some(file) => file
                .write_at(self.text.len() as u64, note.as_bytes())
                .and_then(|()| file.sync())
                .map(|()| file),
            None => {
                let whole = format!("{}{note}", self.text);
                replace(&*self.storage, NOTES_UNFINISHED, NOTES_FILE, &whole)
            }
        };
        self.file = Some(appended?);
        self.text.push_str(note);
        self.torn = false;
        Ok(())
    }
}

/// Adds a key to the file of keys, if it is not there.
pub(crate) fn add_key(storage: &dyn Storage, key: &PublicKey) -> io::Result<()> {
    let (known, _) = keys(storage)?;
    if known.contains(key) {
        return Ok(());
    }
    let text = read(storage, KEYS_FILE)?.unwrap_or_default();
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let text = format!("{text}{gap}{key}\n");
    replace(storage, KEYS_UNFINISHED, KEYS_FILE, &text).map(drop)
}

/// Puts a new file in the place of an old one, durably: a crash leaves one or the other.
fn replace(
    storage: &dyn Storage,
    unfinished: &str,
    name: &str,
    text: &str,
) -> io::Result<Arc<dyn StorageFile>> {
    let file = storage.create(unfinished)?;
    let written = file.write_at(0, text.as_bytes()).and_then(|()| file.sync());
    // A full disk needs the space.
    written.inspect_err(|_| drop(storage.remove(unfinished)))?;
    storage.rename(unfinished, name)?;
    storage.sync_directory()?;
    Ok(file)
}

/// The text without every second checkpoint of its older half.
fn thinned(text: &str) -> String {
    let kept = kept(text);
    let ends = kept
        .iter()
        .skip(1)
        .map(|next| next.offset)
        .chain([text.len()]);
    let pieces = kept
        .iter()
        .zip(ends)
        .map(|(kept, end)| text.get(kept.offset..end));
    let older = kept.len() / 2;
    let stays = |at: &usize| *at >= older || at.is_multiple_of(2);
    let pieces = pieces.enumerate().filter(|(at, _)| stays(at));
    pieces.filter_map(|(_, piece)| piece).collect()
}

#[cfg(test)]
mod tests {
    use super::super::merkle::Hash;
    use super::super::note::Signer;
    use super::*;
    use crate::audit::log::storage::Directory;
    use ring::signature::Ed25519KeyPair;

    fn signer() -> Signer {
        Signer::new(
            Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap(),
            &[1; 16],
        )
    }

    fn note(size: u64) -> String {
        signer().sign(&TreeHead {
            origin: super::super::note::origin(&[1; 16]),
            size,
            root: Hash::VOID,
            chain: None,
            unix_micros: Some(0),
        })
    }

    fn sizes(storage: &dyn Storage) -> Vec<u64> {
        let text = read(storage, NOTES_FILE).unwrap().unwrap();
        let keys = [signer().public().clone()];
        let heads = kept(&text);
        heads
            .iter()
            .filter_map(|kept| Some(kept.open(&keys).ok()?.size))
            .collect()
    }

    #[test]
    fn checkpoints_are_appended_and_a_torn_one_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Directory::writable(dir.path()).unwrap());
        let mut notes = Notes::open(storage.clone()).unwrap();
        (1..=3).for_each(|size| notes.append(&note(size)).unwrap());
        let path = dir.path().join(NOTES_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut notes = Notes::open(storage.clone()).unwrap();
        assert_eq!(notes.last(&[signer().public().clone()]).unwrap().size, 2);
        notes.append(&note(7)).unwrap();
        assert_eq!(sizes(&*storage), [1, 2, 7]);
        // One damaged in the middle is kept as it is, and hides none.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("time", "tine", 1)).unwrap();
        assert_eq!(sizes(&*storage), [2, 7]);
        let mut notes = Notes::open(storage.clone()).unwrap();
        notes.append(&note(9)).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("tine"));
        assert_eq!(sizes(&*storage), [2, 7, 9]);
    }

    #[test]
    fn wherever_a_power_cut_tears_the_last_one_it_goes_and_takes_none_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Directory::writable(dir.path()).unwrap());
        let (first, second) = (note(1), note(2));
        let path = dir.path().join(NOTES_FILE);
        let whole = [first.as_bytes(), second.as_bytes()].concat();
        let cut = (1..second.len()).map(|length| whole[..first.len() + length].to_vec());
        // Sectors that never reached the disk: the file has its length, and zeros there.
        let holes = (first.len()..whole.len() - 1).map(|at| {
            let mut bytes = whole.clone();
            let end = (at + 64).min(bytes.len());
            bytes[at..end].fill(0);
            bytes
        });
        for bytes in cut.chain(holes) {
            std::fs::write(&path, &bytes).unwrap();
            let mut notes = Notes::open(storage.clone()).unwrap();
            let torn = String::from_utf8_lossy(&bytes);
            assert!(notes.is_torn(), "{torn:?}");
            notes.append(&note(3)).unwrap();
            assert_eq!(sizes(&*storage), [1, 3], "{torn:?}");
            let text = read(&*storage, NOTES_FILE).unwrap().unwrap();
            assert!(kept(&text).iter().all(|kept| kept.note.is_some()));
        }
    }

    #[test]
    fn the_file_is_bounded_and_keeps_the_newest() {
        let text: String = (1..=100).map(note).collect();
        let thin = thinned(&text);
        let keys = [signer().public().clone()];
        let sizes: Vec<u64> = kept(&thin)
            .iter()
            .map(|kept| kept.open(&keys).unwrap().size)
            .collect();
        assert_eq!(sizes.len(), 75);
        assert_eq!(sizes[..3], [1, 3, 5]);
        assert_eq!(sizes[25..], (51..=100).collect::<Vec<_>>());
    }
}
