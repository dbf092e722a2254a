//! The store's files: readable by their owner alone from the moment they exist.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{KeysError, Result};
use crate::policy::auth::Pepper;

const OWNER_ONLY: u32 = 0o600;
const PEPPER_DIGITS: usize = 64;

/// Makes the folder if it is not there, for its owner alone.
pub(super) fn ensure_folder(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| at(folder, source))
}

/// Makes an empty file if there is none. SQLite gives its journals the same permissions.
pub(super) fn ensure_private_file(path: &Path) -> Result<()> {
    match private(path) {
        Ok(_) => Ok(()),
        Err(source) if source.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(at(path, source)),
    }
}

/// Reads the pepper of a folder, made once.
///
/// Two processes may come here at the same moment: each writes a file of its own, and only one of
/// them gets the name, whole. The other reads what is there.
pub(super) fn pepper(folder: &Path) -> Result<Pepper> {
    let path = folder.join("pepper");
    if let Some(pepper) = read_pepper(&path)? {
        return Ok(pepper);
    }
    let draft = folder.join(format!("pepper.{:016x}", u64::from_le_bytes(random()?)));
    let written =
        write_pepper(&draft, random()?).and_then(|()| match std::fs::hard_link(&draft, &path) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(source),
            _ => Ok(()),
        });
    let removed = std::fs::remove_file(&draft);
    written.map_err(|source| at(&path, source))?;
    removed.map_err(|source| at(&draft, source))?;
    sync_folder(folder)?;
    read_pepper(&path)?.ok_or(KeysError::Pepper(path))
}

/// Random bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(KeysError::Random)?;
    Ok(bytes)
}

pub(super) fn at(path: &Path, source: io::Error) -> KeysError {
    KeysError::File {
        path: PathBuf::from(path),
        source,
    }
}

fn read_pepper(path: &Path) -> Result<Option<Pepper>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(at(path, source)),
    };
    let mut text = String::new();
    // One more than the digits and a line end: enough to see that it is too long.
    file.take(PEPPER_DIGITS as u64 + 3)
        .read_to_string(&mut text)
        .map_err(|source| at(path, source))?;
    match blake3::Hash::from_hex(text.trim_end()) {
        Ok(hash) => Ok(Some(Pepper::new(*hash.as_bytes()))),
        Err(_) => Err(KeysError::Pepper(path.to_owned())),
    }
}

fn write_pepper(path: &Path, bytes: [u8; 32]) -> io::Result<()> {
    let digits = blake3::Hash::from_bytes(bytes).to_hex();
    let mut file = private(path)?;
    file.write_all(format!("{digits}\n").as_bytes())?;
    file.sync_all()
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(path)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|source| at(folder, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_pepper_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = pepper(folder.path()).unwrap();
        assert_eq!(pepper(folder.path()).unwrap().mark(), first.mark());
        assert_eq!(mode(&folder.path().join("pepper")), 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_agree_on_one_pepper() {
        let folder = tempfile::tempdir().unwrap();
        let marks: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| pepper(folder.path()).unwrap().mark()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(marks.iter().all(|mark| *mark == marks[0]));
    }

    #[test]
    fn what_is_no_pepper_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "",
            "abc",
            &"0".repeat(65),
            &"g".repeat(64),
            &"0".repeat(1 << 20),
        ] {
            std::fs::write(folder.path().join("pepper"), text).unwrap();
            assert!(matches!(pepper(folder.path()), Err(KeysError::Pepper(_))));
        }
    }

    #[test]
    fn a_new_folder_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("data");
        ensure_folder(&inner).unwrap();
        ensure_folder(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
    }
}
