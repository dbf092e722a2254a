//! What a value is, which decides the rules that see it.

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Context {
    /// The whole path, decoded.
    Path,
    /// One segment of the path.
    Segment,
    /// A value of the query string.
    Query,
    /// A name: of a query pair, a form field, a JSON key.
    Key,
    /// A header that has no context of its own.
    Header,
    /// A cookie's value.
    Cookie,
    /// `User-Agent`.
    UserAgent,
    /// A JSON string.
    Json,
    /// A form or multipart field's value.
    Form,
    /// The name of an uploaded file.
    FileName,
    /// A cell or line of an upload.
    Cell,
    /// A body, or a part of one, that is just text.
    Text,
    /// Text or an attribute of XML, and the document itself.
    Xml,
    /// A Cypher statement.
    Cypher,
    /// A GraphQL document.
    Graphql,
    /// The name of a header.
    HeaderName,
}

impl Context {
    /// Whether clients keep whole texts here: documents, snippets, scripts.
    pub(super) fn stores_text(self) -> bool {
        matches!(self, Self::Json | Self::Form | Self::Text | Self::Cell)
    }
}

/// A set of contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contexts(u16);

/// Every context with its name in rules.
const NAMES: [(&str, Context); 16] = [
    ("path", Context::Path),
    ("segment", Context::Segment),
    ("query", Context::Query),
    ("key", Context::Key),
    ("header", Context::Header),
    ("cookie", Context::Cookie),
    ("user_agent", Context::UserAgent),
    ("json", Context::Json),
    ("form", Context::Form),
    ("filename", Context::FileName),
    ("cell", Context::Cell),
    ("text", Context::Text),
    ("xml", Context::Xml),
    ("cypher", Context::Cypher),
    ("graphql", Context::Graphql),
    ("header_name", Context::HeaderName),
];

impl Contexts {
    pub(super) const NONE: Self = Self(0);
    /// Every value that is not a statement: what a rule sees that names no contexts.
    pub(super) const VALUES: Self = Self(
        !Self::bit(Context::Cypher)
            & !Self::bit(Context::Graphql)
            & !Self::bit(Context::Path)
            & !Self::bit(Context::HeaderName),
    );

    const fn bit(context: Context) -> u16 {
        1 << (context as u8)
    }

    fn of(contexts: &[Context]) -> Self {
        Self(contexts.iter().fold(0, |all, c| all | Self::bit(*c)))
    }

    /// The set a rule's word stands for: one context, or several that belong together.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "value" => Some(Self::VALUES),
            "all" => Some(Self(0xffff)),
            "parameter" => Some(Self::of(&[Context::Query, Context::Json, Context::Form])),
            "identifier" => Some(Self::of(&[Context::Key, Context::Segment])),
            "url" => Some(Self::of(&[Context::Path, Context::Segment, Context::Query])),
            _ => NAMES
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, c)| Self(Self::bit(*c))),
        }
    }

    /// The words [`Self::named`] knows.
    pub(super) fn words() -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .map(|(n, _)| *n)
            .chain(["value", "all", "parameter", "identifier", "url"])
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn has(self, context: Context) -> bool {
        self.0 & Self::bit(context) != 0
    }

    pub(super) fn first(self) -> Context {
        // A rule for any value is tried as a query value first.
        if self.has(Context::Query) {
            return Context::Query;
        }
        NAMES
            .iter()
            .map(|(_, c)| *c)
            .find(|c| self.has(*c))
            .unwrap_or(Context::Query)
    }
}
