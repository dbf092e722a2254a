//! The Merkle tree of RFC 6962 and RFC 9162 over SHA-256: hashes, roots, proofs and their verification. Pure.
//!
//! ```text
//! leaf hash = SHA-256(0x00 ‖ data)       node hash = SHA-256(0x01 ‖ left ‖ right)       root of nothing = SHA-256()
//! ```
//!
//! Where hashes come from is the caller's business: proofs are made from a function that knows the root of any
//! run of leaves.

use std::fmt;
use std::io;
use std::ops::Range;

// In assembly: several times faster than portable code where the processor has no SHA instructions.
use ring::digest::{Context, SHA256};

/// One SHA-256 hash of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Size of a hash, in bytes.
    pub const BYTES: usize = 32;
    /// Stands where an event is lost: no data has this hash.
    pub(crate) const VOID: Self = Self([0; 32]);

    /// The hash of one leaf's data.
    pub fn of_leaf(data: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[0]);
        context.update(data);
        Self::finished(context)
    }

    /// The hash of two subtrees.
    pub fn of_children(left: &Self, right: &Self) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[1]);
        context.update(&left.0);
        context.update(&right.0);
        Self::finished(context)
    }

    /// The root of a tree without leaves.
    pub fn of_nothing() -> Self {
        Self::finished(Context::new(&SHA256))
    }

    fn finished(context: Context) -> Self {
        let mut hash = [0; Self::BYTES];
        // Invariant: SHA-256 gives 32 bytes.
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The right edge of a growing tree: all that is needed to go on and to know its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    /// The complete subtrees, largest and leftmost first: one for each bit set in the size.
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The edge of a tree that begins with complete subtrees of `2^level` leaves each, whose roots are the
    /// leaves of `upper`; fewer leaves than that follow.
    pub(crate) fn joined(upper: &Self, level: u32, rest: &Self) -> Self {
        Self {
            size: (upper.size << level) + rest.size,
            subtrees: [upper.subtrees.as_slice(), &rest.subtrees].concat(),
        }
    }

    /// Leaves so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut joined = leaf;
        let mut bits = self.size;
        while bits & 1 == 1
            && let Some(left) = self.subtrees.pop()
        {
            joined = Hash::of_children(&left, &joined);
            bits >>= 1;
        }
        self.subtrees.push(joined);
        self.size += 1;
    }

    pub(crate) fn root(&self) -> Hash {
        let edge = self.subtrees.iter().rev().copied();
        edge.reduce(|right, left| Hash::of_children(&left, &right))
            .unwrap_or_else(Hash::of_nothing)
    }
}

/// How many leaves the left part of a tree has: the largest power of two below its size.
pub(crate) fn left_size(size: u64) -> u64 {
    match size {
        0 | 1 => size,
        more => 1 << (u64::BITS - 1 - (more - 1).leading_zeros()),
    }
}

/// Answers with the root over a run of leaves.
pub(crate) type RootOf<'a> = dyn FnMut(Range<u64>) -> io::Result<Hash> + 'a;

/// The hashes that lead from a leaf to the root of the first `size` leaves, lowest first.
pub(crate) fn inclusion(index: u64, size: u64, root_of: &mut RootOf<'_>) -> io::Result<Vec<Hash>> {
    let mut path = Vec::new();
    let mut tree = 0..size;
    while tree.end - tree.start > 1 {
        let middle = tree.start + left_size(tree.end - tree.start);
        if index < middle {
            path.push(root_of(middle..tree.end)?);
            tree.end = middle;
        } else {
            path.push(root_of(tree.start..middle)?);
            tree.start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The hashes that show that the tree of `old` leaves is the beginning of the tree of `new` leaves.
pub(crate) fn consistency(old: u64, new: u64, root_of: &mut RootOf<'_>) -> io::Result<Vec<Hash>> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    let mut tree = 0..new;
    while tree.end != old {
        let middle = tree.start + left_size(tree.end - tree.start);
        if old <= middle {
            path.push(root_of(middle..tree.end)?);
            tree.end = middle;
        } else {
            path.push(root_of(tree.start..middle)?);
            tree.start = middle;
        }
    }
    // Whoever verifies knows the old tree as a whole, but not a part of it.
    if tree.start > 0 {
        path.push(root_of(tree)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether a leaf stands at an index of the tree with this size and root (RFC 9162, 2.1.3.2).
pub fn includes(index: u64, size: u64, leaf: Hash, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = Hash::of_children(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = Hash::of_children(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether the tree with the old size and root is the beginning of the new one (RFC 9162, 2.1.4.2).
pub fn extends(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size == 0 || old_size >= new_size {
        let same = old_size == new_size && old_root == new_root;
        return path.is_empty() && (old_size == 0 || same);
    }
    let whole = old_size.is_power_of_two().then_some(*old_root);
    let mut hashes = whole.into_iter().chain(path.iter().copied());
    let Some(first) = hashes.next() else {
        return false;
    };
    let (mut at, mut last) = (old_size - 1, new_size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (first, first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = Hash::of_children(&sibling, &old_hash);
            new_hash = Hash::of_children(&sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = Hash::of_children(&new_hash, &sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::of_nothing(),
            [leaf] => *leaf,
            more => {
                let middle = (1..).map(|n| 1_usize << n).find(|k| k * 2 >= more.len());
                let middle = if more.len() == 2 { 1 } else { middle.unwrap() };
                Hash::of_children(&naive(&more[..middle]), &naive(&more[middle..]))
            }
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count)
            .map(|n| Hash::of_leaf(n.to_string().as_bytes()))
            .collect()
    }

    fn bounds(run: Range<u64>) -> Range<usize> {
        usize::try_from(run.start).unwrap()..usize::try_from(run.end).unwrap()
    }

    #[test]
    fn hashes_are_those_of_the_certificate_transparency_vectors() {
        // The known roots of the eight leaves every RFC 6962 implementation is tried with.
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut edge = Frontier::default();
        assert_eq!(
            edge.root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        data.iter().for_each(|data| edge.push(Hash::of_leaf(data)));
        assert_eq!(
            edge.root().to_string(),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn the_frontier_has_the_root_of_the_definition() {
        let leaves = leaves(130);
        let mut edge = Frontier::default();
        for (n, leaf) in leaves.iter().enumerate() {
            assert_eq!(edge.root(), naive(&leaves[..n]), "{n} leaves");
            edge.push(*leaf);
        }
        let (mut upper, mut rest) = (Frontier::default(), Frontier::default());
        let (whole, last) = leaves.as_chunks::<8>();
        whole.iter().for_each(|run| upper.push(naive(run)));
        last.iter().for_each(|leaf| rest.push(*leaf));
        assert_eq!(Frontier::joined(&upper, 3, &rest), edge);
    }

    #[test]
    fn every_leaf_is_proved_in_every_tree_and_nowhere_else() {
        let leaves = leaves(34);
        for size in 1..=leaves.len() {
            let root = naive(&leaves[..size]);
            for index in 0..size {
                let (at, count) = (index as u64, size as u64);
                let path =
                    inclusion(at, count, &mut |run| Ok(naive(&leaves[bounds(run)]))).unwrap();
                assert!(includes(at, count, leaves[index], &path, &root));
                assert!(!includes(at, count, leaves[(index + 1) % 34], &path, &root));
                assert!(!includes(at + 1, count, leaves[index], &path, &root));
                assert!(!includes(at, count, leaves[index], &path, &Hash::VOID));
                let longer = [path.clone(), vec![root]].concat();
                assert!(!includes(at, count, leaves[index], &longer, &root));
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!includes(at, count, leaves[index], shorter, &root));
                }
            }
        }
    }

    #[test]
    fn every_tree_is_proved_the_beginning_of_every_later_one() {
        let leaves = leaves(34);
        for new in 1..=leaves.len() {
            let new_root = naive(&leaves[..new]);
            for old in 0..=new {
                let old_root = naive(&leaves[..old]);
                let (from, to) = (old as u64, new as u64);
                let path =
                    consistency(from, to, &mut |run| Ok(naive(&leaves[bounds(run)]))).unwrap();
                assert!(
                    extends((from, &old_root), (to, &new_root), &path),
                    "{old} {new}"
                );
                if old > 0 {
                    assert!(!extends((from, &Hash::VOID), (to, &new_root), &path));
                }
                if old > 0 && old < new {
                    assert!(!extends((from, &old_root), (to, &Hash::VOID), &path));
                    let longer = [path, vec![new_root]].concat();
                    assert!(!extends((from, &old_root), (to, &new_root), &longer));
                }
            }
        }
    }
}
