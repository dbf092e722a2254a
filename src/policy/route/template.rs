//! Path templates: `/v1/graphs/{graph_id}/query`, `/admin/{*rest}`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::policy::mask;

/// Segments of one template.
pub const SEGMENTS_MAX: usize = 32;
/// Parameters of one template, the wildcard included.
pub const PARAMETERS_MAX: usize = 8;

/// A path template: fixed segments, `{name}` for one whole segment that is not empty, and
/// `{*name}` as the last one for any number of segments, none included.
///
/// Fixed segments are compared with the canonical, percent-encoded path; a template that could
/// never equal one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    text: Arc<str>,
    pub(super) segments: Box<[Segment]>,
    /// Whether the name of some parameter says that its value is a secret.
    names_secrets: bool,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Fixed(Box<str>),
    Parameter(Arc<str>),
    Wildcard(Arc<str>),
}

/// Why a text is no [`PathTemplate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin at the root.
    #[error("must begin with `/`")]
    Root,
    /// It has more segments than [`SEGMENTS_MAX`].
    #[error("must have at most {SEGMENTS_MAX} segments")]
    TooLong,
    /// It has more parameters than [`PARAMETERS_MAX`].
    #[error("must have at most {PARAMETERS_MAX} parameters")]
    TooManyParameters,
    /// Two slashes in a row.
    #[error("must have no empty segment but the last")]
    EmptySegment,
    /// `.` or `..`, which no canonical path has.
    #[error("must have no `.` or `..` segment")]
    DotSegment,
    /// Braces around a part of a segment, or around no proper name.
    #[error("a parameter must be a whole segment, `{{name}}` of letters, digits and `_`")]
    Parameter,
    /// The same name twice.
    #[error("each parameter name must be unique")]
    RepeatedParameter,
    /// A wildcard before the end.
    #[error("a wildcard `{{*name}}` must be the last segment")]
    WildcardNotLast,
    /// A character that cannot stand in a path, or an escape no canonical path has.
    #[error(
        "must be percent-encoded as in a canonical path: upper-case escapes, and none for letters, digits and `-._~`"
    )]
    NotCanonical,
}

impl PathTemplate {
    /// The template as written.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The names of its parameters from left to right, the wildcard included.
    pub fn parameters(&self) -> impl Iterator<Item = &Arc<str>> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Fixed(_) => None,
            Segment::Parameter(name) | Segment::Wildcard(name) => Some(name),
        })
    }

    /// The name of the parameter that takes a segment, counted from the left; a wildcard takes all that follow.
    pub fn parameter_at(&self, index: usize) -> Option<&str> {
        match self.segments.get(index).or_else(|| self.segments.last())? {
            Segment::Parameter(name) if index < self.segments.len() => Some(name),
            Segment::Wildcard(name) => Some(name),
            Segment::Parameter(_) | Segment::Fixed(_) => None,
        }
    }

    /// Whether the name of some parameter says that its value is a secret.
    pub(crate) fn names_secrets(&self) -> bool {
        self.names_secrets
    }

    /// One of the paths it takes.
    pub fn a_path(&self) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Fixed(text) => text,
            Segment::Parameter(_) | Segment::Wildcard(_) => "x",
        });
        segments.fold(String::new(), |path, segment| path + "/" + segment)
    }

    /// Whether it takes every path.
    pub fn takes_every_path(&self) -> bool {
        matches!(&*self.segments, [Segment::Wildcard(_)])
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PathTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let path = text.strip_prefix('/').ok_or(TemplateError::Root)?;
        let count = path.split('/').count();
        if count > SEGMENTS_MAX {
            return Err(TemplateError::TooLong);
        }
        let segments = path
            .split('/')
            .enumerate()
            .map(|(index, segment)| parse_segment(segment, index + 1 == count))
            .collect::<Result<Box<[Segment]>, _>>()?;
        let mut template = Self {
            text: text.into(),
            segments,
            names_secrets: false,
        };
        let mut names: Vec<&Arc<str>> = template.parameters().collect();
        if names.len() > PARAMETERS_MAX {
            return Err(TemplateError::TooManyParameters);
        }
        let written = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() < written {
            return Err(TemplateError::RepeatedParameter);
        }
        let secret = |name: &Arc<str>| mask::says_secret(name.as_bytes());
        let names_secrets = template.parameters().any(secret);
        template.names_secrets = names_secrets;
        Ok(template)
    }
}

fn parse_segment(segment: &str, last: bool) -> Result<Segment, TemplateError> {
    let braced = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
    if let Some(name) = braced {
        let (name, wildcard) = match name.strip_prefix('*') {
            Some(name) => (name, true),
            None => (name, false),
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(TemplateError::Parameter);
        }
        return match (wildcard, last) {
            (true, false) => Err(TemplateError::WildcardNotLast),
            (true, true) => Ok(Segment::Wildcard(name.into())),
            (false, _) => Ok(Segment::Parameter(name.into())),
        };
    }
    match segment {
        "" if !last => Err(TemplateError::EmptySegment),
        "." | ".." => Err(TemplateError::DotSegment),
        _ if segment.contains(['{', '}']) => Err(TemplateError::Parameter),
        _ if !is_canonical(segment) => Err(TemplateError::NotCanonical),
        _ => Ok(Segment::Fixed(segment.into())),
    }
}

/// Whether a segment can be that of a canonical path (RFC 3986 section 6.2.2).
fn is_canonical(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => bytes.next().zip(bytes.next()).is_some_and(is_needed_escape),
            _ => is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Whether two digits after `%` are upper case and stand for a byte that must be escaped.
fn is_needed_escape((high, low): (u8, u8)) -> bool {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let byte = digit(high)
        .zip(digit(low))
        .map(|(high, low)| high << 4 | low);
    byte.is_some_and(|byte| !is_unreserved(byte))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
