//! Keeps the tree up to the events that are synced, and signs it: the work of the log's own thread.
//!
//! An append does none of it. Whatever fails here fails no event: the tree is opened again as it was last signed,
//! and read on from the segments.

use std::io;
use std::sync::Arc;

use super::merkle::Hash;
use super::note::{PublicKey, Signer, TreeHead, origin};
use super::notes::{Notes, add_key, keys};
use super::tree::{self, Tree};
use crate::audit::log::Digest;
use crate::audit::log::format::{HEADER_BYTES, LogId};
use crate::audit::log::frames::{Frames, Step};
use crate::audit::log::segments::segments;
use crate::audit::log::storage::{Storage, read_whole};
use crate::audit::log::writer::Mark;

/// What a log is signed with: the private key, and the log it speaks for.
pub(crate) struct Notary {
    storage: Arc<dyn Storage>,
    log_id: LogId,
    signer: Signer,
    /// `None`: to be opened again.
    tree: Option<Tree>,
    notes: Notes,
    /// Size and root of the newest checkpoint that is durable.
    signed: Option<(u64, Hash)>,
    /// Whether our key is among the public ones.
    published: bool,
    /// History differs from what was signed.
    broken: bool,
}

/// What a signature covers, once it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) sequence: u64,
    /// Bytes of the tree on disk.
    pub(crate) bytes: u64,
}

impl Notary {
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        log_id: LogId,
        signer: Signer,
    ) -> io::Result<Self> {
        let notes = Notes::open(storage.clone())?;
        let (mut known, _) = keys(&*storage)?;
        let published = known.contains(signer.public());
        known.push(signer.public().clone());
        let last = notes.last(&known);
        Ok(Self {
            storage,
            log_id,
            signer,
            tree: None,
            notes,
            signed: last.map(|head| (head.size, head.root)),
            published,
            broken: false,
        })
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.signer.public()
    }

    /// What is covered already.
    pub(crate) fn signed(&self) -> Signed {
        Signed {
            sequence: self.signed.map_or(0, |(signed, _)| signed),
            bytes: tree::bytes(&*self.storage).unwrap_or(0),
        }
    }

    /// Whether the events that are there are not those that were signed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes in events that are synced, in their order; a gap is filled at the next signature.
    pub(crate) fn absorb(&mut self, events: &[(u64, Digest)]) {
        let Some(mut tree) = self.tree.take() else {
            return;
        };
        for (sequence, digest) in events {
            if *sequence == tree.size() + 1 {
                tree.push(Hash::of_leaf(&digest.0));
            }
        }
        self.tree = tree.write().is_ok().then_some(tree);
    }

    /// Whether a signature up to this event would say anything new.
    pub(crate) fn is_behind(&self, sequence: u64) -> bool {
        let mended = self.published && !self.notes.is_torn();
        !mended || self.signed.is_none_or(|(signed, _)| signed < sequence)
    }

    /// Signs the history up to a synced event, durably.
    pub(crate) fn sign(&mut self, mark: Mark, unix_micros: i64) -> io::Result<Signed> {
        let signed = self.signed.map_or(0, |(signed, _)| signed);
        if mark.sequence < signed {
            return Err(io::Error::other("the log is shorter than what was signed"));
        }
        let mut tree = match self.tree.take() {
            Some(tree) => tree,
            None => self.reopened()?,
        };
        if tree.size() < mark.sequence {
            self.catch_up(&mut tree, mark.sequence)?;
        }
        if tree.size() != mark.sequence {
            return Err(io::Error::other("the tree is ahead of the log"));
        }
        tree.sync()?;
        let head = TreeHead {
            origin: origin(&self.log_id),
            size: mark.sequence,
            root: tree.root(),
            chain: Some(mark.chain),
            unix_micros: Some(unix_micros),
        };
        let again = self.signed == Some((head.size, head.root));
        if !again || !self.published || self.notes.is_torn() {
            self.notes.append(&self.signer.sign(&head))?;
            self.signed = Some((head.size, head.root));
        }
        if !self.published {
            // After the first checkpoint: whoever finds a key finds something signed with it.
            add_key(&*self.storage, self.signer.public())?;
            self.published = true;
        }
        self.tree = Some(tree);
        Ok(Signed {
            sequence: mark.sequence,
            bytes: tree::bytes(&*self.storage)?,
        })
    }

    /// Lets go of leaves whose events were dropped, beyond a size.
    pub(crate) fn prune(&self, first_sequence: u64, bytes_max: u64) {
        // A convenience: what cannot be removed now is tried again.
        drop(tree::prune(&*self.storage, first_sequence, bytes_max));
    }

    /// The tree as it was last signed; made again from the events when the files do not give that root.
    fn reopened(&mut self) -> io::Result<Tree> {
        let Some((size, root)) = self.signed else {
            return self.rebuilt(0);
        };
        match Tree::open(self.storage.clone(), size)? {
            Some(tree) if tree.root() == root => Ok(tree),
            _ => self.rebuilt(size),
        }
    }

    /// The tree made again from the events that are kept, and from what is stored of those that are not.
    fn rebuilt(&mut self, size: u64) -> io::Result<Tree> {
        let first = self.first_kept()?;
        let kept = Tree::open(self.storage.clone(), first.min(size + 1).saturating_sub(1))?;
        let mut tree = match kept {
            Some(tree) => tree,
            None => {
                Tree::open(self.storage.clone(), 0)?.ok_or_else(|| io::Error::other("no tree"))?
            }
        };
        self.catch_up(&mut tree, size)?;
        if let Some((_, root)) = self.signed
            && tree.root() != root
        {
            self.broken = true;
        }
        Ok(tree)
    }

    fn first_kept(&self) -> io::Result<u64> {
        let segments = segments(&*self.storage)?;
        let first = segments.iter().find_map(|segment| segment.header.as_ref());
        Ok(first.map_or(1, |header| header.first_sequence))
    }

    /// Reads on from the segments, up to an event.
    fn catch_up(&self, tree: &mut Tree, through: u64) -> io::Result<()> {
        for segment in segments(&*self.storage)? {
            let ours = segment
                .header
                .as_ref()
                .is_none_or(|header| header.log_id == self.log_id);
            if !ours || segment.end <= tree.size() + 1 || tree.size() >= through {
                continue;
            }
            let bytes = match read_whole(&*self.storage, &segment.name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read?,
            };
            for step in Frames::new(&bytes, HEADER_BYTES) {
                let Step::Frame { frame, .. } = step else {
                    continue;
                };
                if frame.sequence >= segment.end || frame.sequence > through {
                    break;
                }
                if frame.sequence > tree.size() {
                    fill(tree, frame.sequence - 1)?;
                    tree.push(frame.tree_leaf());
                }
            }
            tree.write()?;
        }
        fill(tree, through)?;
        tree.write()
    }
}

/// Goes on without the events: with the hashes stored of them, or with none.
fn fill(tree: &mut Tree, through: u64) -> io::Result<()> {
    while tree.size() < through {
        let stored = tree.stored_next()?;
        tree.push(stored.unwrap_or(Hash::VOID));
    }
    Ok(())
}
