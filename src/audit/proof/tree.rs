//! The leaves of the tree on disk, in blocks, so that proofs outlive the events they are about.
//!
//! ```text
//! tree-000000000003     leaf hashes of the events 3 · 65,536 + 1 and following, 32 bytes each
//! tree-roots            the root of each complete block, 32 bytes each
//! ```
//!
//! A block is 256 tiles of `tlog-tiles`' level 0. Nothing in these files is trusted: what they say counts as far
//! as it gives the root of a signed checkpoint, and what a signature does not cover is made again from the events.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::merkle::{Frontier, Hash, left_size};
use crate::audit::log::storage::{Storage, StorageFile, read_whole};

/// Every file of the tree begins so.
pub(crate) const TREE: &str = "tree-";
pub(crate) const ROOTS_FILE: &str = "tree-roots";
/// A block has two to the power of this many leaves.
const BLOCK_LEVEL: u32 = 16;
pub(crate) const BLOCK_LEAVES: u64 = 1 << BLOCK_LEVEL;

pub(crate) fn block_name(block: u64) -> String {
    format!("{TREE}{block:012}")
}

/// The block a tree file's name carries.
fn block_of(name: &str) -> Option<u64> {
    name.strip_prefix(TREE)?.parse().ok()
}

/// All hashes of a file; none when it is absent.
fn hashes(storage: &dyn Storage, name: &str) -> io::Result<Vec<Hash>> {
    let bytes = match read_whole(storage, name) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (hashes, _) = bytes.as_chunks::<{ Hash::BYTES }>();
    let mut hashes: Vec<Hash> = hashes.iter().copied().map(Hash).collect();
    hashes.truncate(usize::try_from(BLOCK_LEAVES).unwrap_or(usize::MAX));
    Ok(hashes)
}

/// The tree being extended.
pub(crate) struct Tree {
    storage: Arc<dyn Storage>,
    /// Over the roots of complete blocks.
    blocks: Frontier,
    /// Over the leaves of the block the next one belongs to.
    block_edge: Frontier,
    /// Leaves in the files, and those that are not there yet; the same of block roots.
    written: u64,
    pending: Vec<Hash>,
    roots_written: u64,
    roots_pending: Vec<Hash>,
    block: Option<(u64, Arc<dyn StorageFile>)>,
    roots: Option<Arc<dyn StorageFile>>,
    /// Files a sync has yet to cover.
    dirty: Vec<Arc<dyn StorageFile>>,
    directory_dirty: bool,
}

impl Tree {
    /// The tree of the first leaves, as far as files hold it; `None` when they do not.
    pub(crate) fn open(storage: Arc<dyn Storage>, size: u64) -> io::Result<Option<Self>> {
        let Some((blocks, block_edge)) = edges(&*storage, size)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            storage,
            blocks,
            block_edge,
            written: size,
            pending: Vec::new(),
            roots_written: size / BLOCK_LEAVES,
            roots_pending: Vec::new(),
            block: None,
            roots: None,
            dirty: Vec::new(),
            // A file may have been made by a process that never saw its name synced.
            directory_dirty: true,
        }))
    }

    /// Leaves, written or not.
    pub(crate) fn size(&self) -> u64 {
        self.blocks.size() * BLOCK_LEAVES + self.block_edge.size()
    }

    pub(crate) fn root(&self) -> Hash {
        joined(&self.blocks, &self.block_edge).root()
    }

    /// Adds the next leaf; it is in no file until [`write`](Self::write).
    pub(crate) fn push(&mut self, leaf: Hash) {
        self.block_edge.push(leaf);
        self.pending.push(leaf);
        if self.block_edge.size() == BLOCK_LEAVES {
            let root = std::mem::take(&mut self.block_edge).root();
            self.blocks.push(root);
            self.roots_pending.push(root);
        }
    }

    /// The hash an earlier process stored for the next leaf.
    pub(crate) fn stored_next(&self) -> io::Result<Option<Hash>> {
        let at = self.size();
        let file = match self.storage.open(&block_name(at / BLOCK_LEAVES)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = file.read_at(at % BLOCK_LEAVES * Hash::BYTES as u64, Hash::BYTES)?;
        Ok(bytes.try_into().ok().map(Hash))
    }

    /// Hands everything to the kernel. After an error the tree is to be opened again.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            let (block, at) = (self.written / BLOCK_LEAVES, self.written % BLOCK_LEAVES);
            let room = usize::try_from(BLOCK_LEAVES - at).unwrap_or(usize::MAX);
            let count = room.min(self.pending.len());
            let bytes: Vec<u8> = self
                .pending
                .drain(..count)
                .flat_map(|hash| hash.0)
                .collect();
            let file = self.block_file(block)?;
            file.write_at(at * Hash::BYTES as u64, &bytes)?;
            self.written += count as u64;
        }
        if !self.roots_pending.is_empty() {
            let count = self.roots_pending.len() as u64;
            let bytes: Vec<u8> = self
                .roots_pending
                .drain(..)
                .flat_map(|hash| hash.0)
                .collect();
            let file = self.roots_file()?;
            file.write_at(self.roots_written * Hash::BYTES as u64, &bytes)?;
            self.roots_written += count;
        }
        Ok(())
    }

    /// Makes everything durable. After an error the tree is to be opened again, at a size that was synced.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        for file in self.dirty.drain(..) {
            file.sync()?;
        }
        if self.directory_dirty {
            self.storage.sync_directory()?;
            self.directory_dirty = false;
        }
        // Both stay open for the next leaves, and are dirty again with them.
        self.block = None;
        self.roots = None;
        Ok(())
    }

    fn block_file(&mut self, block: u64) -> io::Result<Arc<dyn StorageFile>> {
        if let Some((open, file)) = &self.block
            && *open == block
        {
            return Ok(file.clone());
        }
        let file = self.open_or_create(&block_name(block))?;
        self.block = Some((block, file.clone()));
        Ok(file)
    }

    fn roots_file(&mut self) -> io::Result<Arc<dyn StorageFile>> {
        if let Some(file) = &self.roots {
            return Ok(file.clone());
        }
        let file = self.open_or_create(ROOTS_FILE)?;
        self.roots = Some(file.clone());
        Ok(file)
    }

    fn open_or_create(&mut self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = match self.storage.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.directory_dirty = true;
                self.storage.create(name)?
            }
            opened => opened?,
        };
        self.dirty.push(file.clone());
        Ok(file)
    }
}

/// The edge of the tree of the first leaves; `None` when the files do not reach so far.
pub(crate) fn edge(storage: &dyn Storage, size: u64) -> io::Result<Option<Frontier>> {
    let edges = edges(storage, size)?;
    Ok(edges.map(|(blocks, block_edge)| joined(&blocks, &block_edge)))
}

/// Whether a tree of this size ends with a block.
pub(crate) fn is_complete(size: u64) -> bool {
    size > 0 && size.is_multiple_of(BLOCK_LEAVES)
}

/// The tree over nothing but complete blocks.
pub(crate) fn over_blocks(blocks: &Frontier) -> Frontier {
    joined(blocks, &Frontier::default())
}

fn joined(blocks: &Frontier, block_edge: &Frontier) -> Frontier {
    Frontier::joined(blocks, BLOCK_LEVEL, block_edge)
}

/// The edges over the roots of complete blocks and over the leaves after them.
fn edges(storage: &dyn Storage, size: u64) -> io::Result<Option<(Frontier, Frontier)>> {
    let (blocks, rest) = (size / BLOCK_LEAVES, size % BLOCK_LEAVES);
    let stored = if blocks > 0 {
        roots(storage)?
    } else {
        Vec::new()
    };
    let mut roots = stored.into_iter();
    let mut complete = Frontier::default();
    for block in 0..blocks {
        let root = match roots.next() {
            Some(root) => Some(root),
            None => block_root(storage, block)?,
        };
        let Some(root) = root else {
            return Ok(None);
        };
        complete.push(root);
    }
    let mut block_edge = Frontier::default();
    if rest > 0 {
        let leaves = hashes(storage, &block_name(blocks))?;
        let Some(leaves) = leaves.get(..usize::try_from(rest).unwrap_or(usize::MAX)) else {
            return Ok(None);
        };
        leaves.iter().for_each(|leaf| block_edge.push(*leaf));
    }
    Ok(Some((complete, block_edge)))
}

fn roots(storage: &dyn Storage) -> io::Result<Vec<Hash>> {
    let bytes = match read_whole(storage, ROOTS_FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    Ok(bytes.as_chunks().0.iter().copied().map(Hash).collect())
}

pub(crate) fn block_root(storage: &dyn Storage, block: u64) -> io::Result<Option<Hash>> {
    let mut edge = Frontier::default();
    hashes(storage, &block_name(block))?
        .into_iter()
        .for_each(|leaf| edge.push(leaf));
    Ok((edge.size() == BLOCK_LEAVES).then(|| edge.root()))
}

/// Size of all files of the tree, in bytes.
pub(crate) fn bytes(storage: &dyn Storage) -> io::Result<u64> {
    let files = storage.list()?;
    let ours = files.iter().filter(|(name, _)| name.starts_with(TREE));
    Ok(ours.map(|(_, bytes)| bytes).sum())
}

/// Removes the leaves of the oldest blocks, as long as none of their events is kept and all blocks together
/// are larger than allowed. Their roots stay, so that all else is still proved.
pub(crate) fn prune(storage: &dyn Storage, first_sequence: u64, bytes_max: u64) -> io::Result<()> {
    let mut blocks: Vec<(u64, u64)> = storage
        .list()?
        .into_iter()
        .filter_map(|(name, bytes)| Some((block_of(&name)?, bytes)))
        .collect();
    blocks.sort_unstable();
    let mut total: u64 = blocks.iter().map(|(_, bytes)| bytes).sum();
    for (block, bytes) in blocks {
        let gone = (block + 1) * BLOCK_LEAVES < first_sequence;
        if !gone || total <= bytes_max {
            break;
        }
        storage.remove(&block_name(block))?;
        total -= bytes;
    }
    Ok(())
}

/// Reads roots of any run of leaves off the files; remembers the block it read last.
pub(crate) struct Reader<'s> {
    storage: &'s dyn Storage,
    roots: Vec<Hash>,
    block: Option<(u64, Vec<Vec<Hash>>)>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(storage: &'s dyn Storage) -> io::Result<Self> {
        Ok(Self {
            storage,
            roots: roots(storage)?,
            block: None,
        })
    }

    /// The stored roots of the blocks before the one an event's leaf is in.
    pub(crate) fn blocks_before(&self, leaves: u64) -> Option<Frontier> {
        let count = usize::try_from(leaves / BLOCK_LEAVES).ok()?;
        let mut blocks = Frontier::default();
        let roots = self.roots.get(..count)?;
        roots.iter().for_each(|root| blocks.push(*root));
        Some(blocks)
    }

    /// The stored root of a block.
    pub(crate) fn block_root(&self, block: u64) -> Option<Hash> {
        let root = self.roots.get(usize::try_from(block).ok()?);
        root.copied()
    }

    /// One leaf, if it is stored.
    pub(crate) fn leaf(&mut self, index: u64) -> io::Result<Option<Hash>> {
        self.node(0, index)
    }

    /// The root over a run of leaves that begins at a multiple of the largest power of two in it, as the runs
    /// of proofs do.
    pub(crate) fn root_of(&mut self, run: Range<u64>) -> io::Result<Hash> {
        let size = run.end.saturating_sub(run.start);
        if size == 0 {
            return Ok(Hash::of_nothing());
        }
        if size.is_power_of_two() && run.start.is_multiple_of(size) {
            let level = size.trailing_zeros();
            let node = self.node(level, run.start / size)?;
            return node.ok_or_else(|| missing(run.start));
        }
        let middle = run.start + left_size(size);
        let left = self.root_of(run.start..middle)?;
        let right = self.root_of(middle..run.end)?;
        Ok(Hash::of_children(&left, &right))
    }

    /// The root of a complete subtree.
    fn node(&mut self, level: u32, index: u64) -> io::Result<Option<Hash>> {
        if level > BLOCK_LEVEL {
            let left = self.node(level - 1, 2 * index)?;
            let right = self.node(level - 1, 2 * index + 1)?;
            return Ok(left
                .zip(right)
                .map(|(left, right)| Hash::of_children(&left, &right)));
        }
        if level == BLOCK_LEVEL
            && let Some(root) = usize::try_from(index)
                .ok()
                .and_then(|at| self.roots.get(at))
        {
            return Ok(Some(*root));
        }
        let block = index >> (BLOCK_LEVEL - level);
        if self.block.as_ref().is_none_or(|(held, _)| *held != block) {
            self.block = Some((block, levels(hashes(self.storage, &block_name(block))?)));
        }
        let within =
            usize::try_from(index - (block << (BLOCK_LEVEL - level))).unwrap_or(usize::MAX);
        let levels = self.block.as_ref().map(|(_, levels)| levels.as_slice());
        let level = levels.and_then(|levels| levels.get(usize::try_from(level).ok()?));
        Ok(level.and_then(|level| level.get(within)).copied())
    }
}

/// The complete subtrees over some leaves, level by level.
fn levels(leaves: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut levels = vec![leaves];
    while let Some(below) = levels.last().filter(|below| below.len() > 1) {
        let (pairs, _) = below.as_chunks::<2>();
        let above = pairs
            .iter()
            .map(|[left, right]| Hash::of_children(left, right));
        levels.push(above.collect());
    }
    levels
}

fn missing(index: u64) -> io::Error {
    let text = format!("the tree's hashes around event {} are not kept", index + 1);
    io::Error::new(io::ErrorKind::NotFound, text)
}

#[cfg(test)]
mod tests {
    use super::super::merkle::{consistency, extends, includes, inclusion};
    use super::*;
    use crate::audit::log::storage::Directory;

    fn leaf(index: u64) -> Hash {
        Hash::of_leaf(&index.to_le_bytes())
    }

    fn extended(storage: &Arc<dyn Storage>, size: u64) -> Tree {
        let mut tree = Tree::open(storage.clone(), 0).unwrap().unwrap();
        for index in 0..size {
            tree.push(leaf(index));
            if index % 10_007 == 0 {
                tree.write().unwrap();
            }
        }
        tree.sync().unwrap();
        tree
    }

    #[test]
    fn a_stored_tree_is_opened_at_any_size_and_proves_across_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Directory::writable(dir.path()).unwrap());
        let size = 2 * BLOCK_LEAVES + 777;
        let tree = extended(&storage, size);
        let middle = BLOCK_LEAVES + 5;
        let mut again = Tree::open(storage.clone(), middle).unwrap().unwrap();
        let old_root = again.root();
        (middle..size).for_each(|index| again.push(leaf(index)));
        again.sync().unwrap();
        assert_eq!(again.root(), tree.root());

        let mut reader = Reader::new(&*storage).unwrap();
        for index in [0, 1, 65_535, 65_536, middle, size - 1] {
            let path = inclusion(index, size, &mut |run| reader.root_of(run)).unwrap();
            assert!(includes(index, size, leaf(index), &path, &tree.root()));
        }
        let path = consistency(middle, size, &mut |run| reader.root_of(run)).unwrap();
        assert!(extends((middle, &old_root), (size, &tree.root()), &path));
    }

    #[test]
    fn what_is_kept_is_proved_after_the_oldest_leaves_went() {
        let dir = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(Directory::writable(dir.path()).unwrap());
        let size = BLOCK_LEAVES + 9;
        let root = extended(&storage, size).root();
        prune(&*storage, BLOCK_LEAVES, 0).unwrap();
        let mut reader = Reader::new(&*storage).unwrap();
        assert_eq!(
            reader.leaf(3).unwrap(),
            Some(leaf(3)),
            "its events are kept"
        );
        prune(&*storage, BLOCK_LEAVES + 2, 0).unwrap();
        let mut reader = Reader::new(&*storage).unwrap();
        assert_eq!(reader.leaf(3).unwrap(), None);
        let index = BLOCK_LEAVES + 3;
        let path = inclusion(index, size, &mut |run| reader.root_of(run)).unwrap();
        assert!(includes(index, size, leaf(index), &path, &root));
        let tree = Tree::open(storage.clone(), size).unwrap().unwrap();
        assert_eq!(tree.root(), root);
    }
}
