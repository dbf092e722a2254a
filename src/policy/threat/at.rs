//! Where in a request a value stands, rendered only when something is found there.

use std::fmt;

use crate::policy::mask;

/// One step of a path; the chain lives on the stack of whoever walks.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root(&'a str),
    Name(&'a [u8]),
    Index(usize),
}

/// Bytes of a name that are rendered.
const NAME_BYTES_MAX: usize = 64;

impl<'a> At<'a> {
    /// A place of its own: `path`, `query`, `header`, `$`.
    pub(super) fn root(name: &'a str) -> Self {
        Self {
            parent: None,
            step: Step::Root(name),
        }
    }

    /// A named place inside this one.
    pub(super) fn name(&'a self, name: &'a [u8]) -> Self {
        Self {
            parent: Some(self),
            step: Step::Name(name),
        }
    }

    /// A numbered place inside this one.
    pub(super) fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// The nearest name, if the place has one.
    pub(super) fn last_name(&self) -> Option<&[u8]> {
        match self.step {
            Step::Name(name) => Some(name),
            Step::Index(_) => self.parent.and_then(At::last_name),
            Step::Root(_) => None,
        }
    }

    /// Whether a name on the way here says that what stands below it is a secret; `own` says whether the last one counts.
    pub(super) fn is_secret(&self, own: bool) -> bool {
        let says = match self.step {
            Step::Name(name) => own && mask::is_secret_name(name),
            Step::Index(_) | Step::Root(_) => false,
        };
        let own = own || matches!(self.step, Step::Name(_));
        says || self.parent.is_some_and(|parent| parent.is_secret(own))
    }

    /// Whether it stands in the place of its own of this name, or is that place.
    pub(super) fn is_within(&self, root: &str) -> bool {
        match self.parent {
            Some(parent) => parent.is_within(root),
            None => matches!(self.step, Step::Root(own) if own == root),
        }
    }

    /// Whether it renders as a path written by an operator, such as `$.query`.
    pub(super) fn is(&self, path: &str) -> bool {
        // Cheap refusal first: the last names differ nearly always.
        match self.step {
            Step::Name(name) => path.as_bytes().ends_with(name) && self.to_string() == path,
            Step::Root(root) => root == path,
            Step::Index(_) => path.ends_with(']') && self.to_string() == path,
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root(name) => f.write_str(name),
            Step::Name(name) => {
                let shown = name
                    .get(..name.len().min(NAME_BYTES_MAX))
                    .unwrap_or_default();
                f.write_str(".")?;
                // Escaping changes nothing of most names.
                match str::from_utf8(shown) {
                    Ok(plain)
                        if shown
                            .iter()
                            .all(|b| b.is_ascii_alphanumeric() || *b == b'_') =>
                    {
                        f.write_str(plain)
                    }
                    _ => write!(f, "{}", String::from_utf8_lossy(shown).escape_debug()),
                }
            }
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_renders_as_its_path() {
        let root = At::root("$");
        let list = root.name(b"items");
        let item = list.index(3);
        assert_eq!(item.name(b"note").to_string(), "$.items[3].note");
        assert!(root.name(b"query").is("$.query"));
        assert!(!root.name(b"query").is("$.queries"));
    }
}
