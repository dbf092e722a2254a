//! A small disk of its own, so that it can be full.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// What fills it.
const BALLAST: &str = "ballast";

/// A real file system of some MiB, mounted; unmounted when dropped.
pub(crate) struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// An ext4 file system in a file, or where that cannot be, one in memory. `None`, said loudly, where this process
    /// may not mount anything, which no installation of parts can change.
    pub(crate) fn of(mebibytes: u64) -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        let image = folder.path().join("image");
        let mount = folder.path().join("mount");
        std::fs::create_dir(&mount).expect("a writable folder");
        let file = File::create(&image).expect("a file");
        file.set_len(mebibytes << 20).expect("a length");
        let (image, at) = (image.to_string_lossy(), mount.to_string_lossy());
        let size = format!("size={mebibytes}m");
        // Without blocks set apart for root, who runs this.
        let ext4 = runs("mkfs.ext4", &["-q", "-F", "-m", "0", &image])
            && runs("mount", &["-o", "loop", &image, &at]);
        if !ext4 && !runs("mount", &["-t", "tmpfs", "-o", &size, "small", &at]) {
            eprintln!("SKIPPED for want of the right to mount a small disk: run it as root");
            return None;
        }
        Some(Self { folder })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// Fills it, but for so many bytes or a little less.
    pub(crate) fn fill(&self, but_for: u64) {
        let mut options = OpenOptions::new();
        let ballast = options
            .create(true)
            .append(true)
            .open(self.path().join(BALLAST));
        let mut ballast = ballast.expect("a file on the disk");
        let block = [b'x'; 4096];
        let cause = loop {
            if let Err(cause) = ballast.write_all(&block) {
                break cause;
            }
        };
        assert_eq!(cause.kind(), ErrorKind::StorageFull, "{cause}");
        let length = ballast.metadata().expect("a length").len();
        let kept = length.checked_sub(but_for).expect("more than that");
        ballast.set_len(kept).expect("a shorter file");
        ballast.sync_all().expect("a synced file");
    }

    /// Takes away what fills it.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.path().join(BALLAST)).expect("a file on the disk");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a gateway of a failed test may still hold files.
        runs("umount", &["-l", &self.path().to_string_lossy()]);
    }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
