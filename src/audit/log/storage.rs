//! Where a log's files are: a directory on disk, or a simulated one in tests.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Mode of the directory: its owner only.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode of every file: its owner only.
const FILE_MODE: u32 = 0o600;

/// A flat directory of files. What is created, renamed or removed is durable after `sync_directory`.
pub(crate) trait Storage: Send + Sync {
    /// Names and sizes of all files, in no order.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// A new, empty file open for reading and writing; an old one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// An existing file, open for reading and, where the storage allows it, writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Gives a file a new name; a file of that name is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// One open file.
pub(crate) trait StorageFile: Send + Sync {
    /// Writes all bytes at an offset. After an error any part of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to a number of bytes from an offset; fewer only at the end of the file.
    fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>>;
    /// Cuts the file.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes content durable. After an error nothing is known of what was written since the last success.
    fn sync(&self) -> io::Result<()>;
}

/// The whole of a file.
pub(crate) fn read_whole(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
    storage.open(name)?.read_at(0, usize::MAX)
}

/// A directory on a local disk.
pub(crate) struct Directory {
    path: PathBuf,
    writable: bool,
}

impl Directory {
    /// Creates the directory if it is absent.
    pub(crate) fn writable(path: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)?;
        Ok(Self {
            path: path.to_owned(),
            writable: true,
        })
    }

    /// Changes nothing, whatever is asked.
    pub(crate) fn read_only(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            writable: false,
        }
    }
}

impl Storage for Directory {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => files.push((name, metadata.len())),
                Ok(_) => {}
                // Removed between listing and looking.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(self.path.join(name))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(self.writable)
            .open(self.path.join(name))?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

struct DiskFile(File);

impl StorageFile for DiskFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let rest = self.0.metadata()?.len().saturating_sub(offset);
        let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes_max);
        let mut bytes = vec![0; wanted];
        let mut filled = 0;
        while let Some(gap) = bytes.get_mut(filled..).filter(|gap| !gap.is_empty()) {
            match self.0.read_at(gap, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
