//! Protocol hygiene: what may enter, decided once, on bytes.
//!
//! An HTTP/1 message is framed here and nowhere else: [`HeadScanner`] finds the end of the head,
//! [`check_head`] reads it by RFC 9112 with no leniency and says how the body is delimited, and
//! [`ChunkedScanner`] finds the end of a chunked body. What they let through reads the same to every
//! later reader, so nothing behind the gateway can see a second request in it. [`CanonicalPath`]
//! does the same for the path: one form, seen by rules, routing and upstream alike. [`check_fields`]
//! and [`check_authority`] apply to decoded requests of either protocol version.
//!
//! Nothing here repairs a message, but for the spelling of its path: what two readers could
//! understand differently is refused. Answering, closing and stripping fields are the caller's; a
//! connection whose message was refused cannot be used again.

mod chunked;
mod fields;
mod head;
mod host;
mod octets;
mod path;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::chunked::{
    CHUNK_DIGITS_MAX, ChunkProgress, ChunkedScanner, EXTENSION_DEBT_BYTES_MAX, TRAILER_BYTES_MAX,
};
pub use self::fields::{
    SINGLETONS, STRIPPED_FROM_CLIENTS, STRIPPED_PREFIXES, check_fields, check_sizes,
    is_client_forbidden, values,
};
pub use self::head::{Framing, Head, HeadScanner, METHOD_BYTES_MAX, check_head};
pub use self::host::{Authority, HOST_BYTES_MAX, check_authority};
pub use self::path::{CanonicalPath, PathRefusal, plain_name};

/// Bounds of a request head. What exceeds them is refused with 431 or 414.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head, request line and final empty line included.
    pub head_bytes_max: usize,
    /// Field lines.
    pub fields_max: usize,
    /// The request target as sent.
    pub uri_bytes_max: usize,
}

impl Default for HeadLimits {
    /// 32 KiB, 100 fields, 8 KiB of target.
    fn default() -> Self {
        Self {
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            uri_bytes_max: 8 * 1024,
        }
    }
}

/// Why a message is refused by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A line ends in LF alone.
    BareLineFeed,
    /// A CR is not followed by LF.
    BareCarriageReturn,
    /// More than one empty line before the request line.
    LeadingLines,
    /// The bytes given are not exactly one head.
    HeadUnfinished,
    /// A field line starts with a blank: it continues the line before it, or so some say.
    ObsFold,
    /// The request line is not method, target and version with one space between; HTTP/0.9 too.
    RequestLine,
    /// The method is not a token.
    Method,
    /// The method is a token longer than any that exists.
    MethodTooLong,
    /// CONNECT: a reverse proxy opens no tunnels.
    Connect,
    /// The target has none of the forms its method allows, or an octet that belongs to no URI.
    Target,
    /// A version other than 1.0 and 1.1.
    Version,
    /// The target exceeds its bound.
    UriTooLong,
    /// A field name is empty, not a token, or not followed by a colon at once.
    FieldName,
    /// A field value holds a control character.
    FieldValue,
    /// A name that careless readers take for `Content-Length` or `Transfer-Encoding`.
    FramingLookalike,
    /// A field that must be alone came twice.
    DuplicateField,
    /// More field lines than the bound.
    TooManyFields,
    /// The head exceeds its bound.
    HeadTooLarge,
    /// An HTTP/1.1 request without Host, or an HTTP/2 one without authority.
    MissingHost,
    /// Two Host fields.
    DuplicateHost,
    /// Host or authority is not a host with an optional port.
    HostSyntax,
    /// Target and Host name different hosts.
    HostMismatch,
    /// Content-Length is not a decimal number below 2^63.
    ContentLengthSyntax,
    /// Content-Length came twice, even with the same value.
    DuplicateContentLength,
    /// Both Transfer-Encoding and Content-Length.
    TransferEncodingAndContentLength,
    /// Transfer-Encoding does not end the body, or is no list of codings.
    TransferEncodingSyntax,
    /// Well-formed codings beside `chunked`.
    TransferEncodingUnsupported,
    /// Transfer-Encoding in HTTP/1.0.
    TransferEncodingInHttp10,
    /// A chunk size is not 1 to 16 hexadecimal digits below 2^63.
    ChunkSize,
    /// A chunk extension holds a control character, or extensions outweigh the data.
    ChunkExtension,
    /// Chunk data is not followed by CRLF.
    ChunkEnd,
    /// A trailer line is not a field line.
    TrailerSyntax,
    /// The trailer section exceeds its bound.
    TrailersTooLarge,
    /// The path has no single meaning.
    Path(PathRefusal),
}

impl Violation {
    /// The status to answer with: 400, 414, 431, 501 or 505.
    pub fn status(self) -> u16 {
        match self {
            Self::UriTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => 431,
            Self::Connect | Self::MethodTooLong | Self::TransferEncodingUnsupported => 501,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// A stable name for logs, metrics and the client.
    pub fn code(self) -> &'static str {
        match self {
            Self::BareLineFeed => "bare-line-feed",
            Self::BareCarriageReturn => "bare-carriage-return",
            Self::LeadingLines => "leading-lines",
            Self::HeadUnfinished => "head-unfinished",
            Self::ObsFold => "obs-fold",
            Self::RequestLine => "request-line",
            Self::Method => "method",
            Self::MethodTooLong => "method-too-long",
            Self::Connect => "connect",
            Self::Target => "target",
            Self::Version => "version",
            Self::UriTooLong => "uri-too-long",
            Self::FieldName => "field-name",
            Self::FieldValue => "field-value",
            Self::FramingLookalike => "framing-lookalike",
            Self::DuplicateField => "duplicate-field",
            Self::TooManyFields => "too-many-fields",
            Self::HeadTooLarge => "head-too-large",
            Self::MissingHost => "missing-host",
            Self::DuplicateHost => "duplicate-host",
            Self::HostSyntax => "host-syntax",
            Self::HostMismatch => "host-mismatch",
            Self::ContentLengthSyntax => "content-length-syntax",
            Self::DuplicateContentLength => "duplicate-content-length",
            Self::TransferEncodingAndContentLength => "transfer-encoding-and-content-length",
            Self::TransferEncodingSyntax => "transfer-encoding-syntax",
            Self::TransferEncodingUnsupported => "transfer-encoding-unsupported",
            Self::TransferEncodingInHttp10 => "transfer-encoding-in-http-1.0",
            Self::ChunkSize => "chunk-size",
            Self::ChunkExtension => "chunk-extension",
            Self::ChunkEnd => "chunk-end",
            Self::TrailerSyntax => "trailer-syntax",
            Self::TrailersTooLarge => "trailers-too-large",
            Self::Path(refusal) => refusal.code(),
        }
    }

    /// One sentence for the client, lowercase and without a full stop.
    pub fn reason(self) -> &'static str {
        match self {
            Self::BareLineFeed => "a line ends in LF without CR",
            Self::BareCarriageReturn => "a CR is not followed by LF",
            Self::LeadingLines => "more than one empty line stands before the request line",
            Self::HeadUnfinished => "the request head does not end in an empty line",
            Self::ObsFold => "a field line starts with a blank",
            Self::RequestLine => "the request line is not method, target and version",
            Self::Method => "the method is not a token",
            Self::MethodTooLong => "the method is not known",
            Self::Connect => "this server opens no tunnels",
            Self::Target => "the request target is not valid",
            Self::Version => "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here",
            Self::UriTooLong => "the request target is too long",
            Self::FieldName => "a field name is not a token followed by a colon",
            Self::FieldValue => "a field value holds a control character",
            Self::FramingLookalike => "a field name can be mistaken for one that frames the body",
            Self::DuplicateField => "a field that must be alone came twice",
            Self::TooManyFields => "the request has too many fields",
            Self::HeadTooLarge => "the request head is too large",
            Self::MissingHost => "the request names no host",
            Self::DuplicateHost => "the request has two Host fields",
            Self::HostSyntax => "the host is not a name or address with an optional port",
            Self::HostMismatch => "the request target and the Host field name different hosts",
            Self::ContentLengthSyntax => "the Content-Length is not a number below 2^63",
            Self::DuplicateContentLength => "the request has two Content-Length values",
            Self::TransferEncodingAndContentLength => {
                "the request has both Transfer-Encoding and Content-Length"
            }
            Self::TransferEncodingSyntax => "the Transfer-Encoding does not delimit the body",
            Self::TransferEncodingUnsupported => "only the chunked transfer coding is supported",
            Self::TransferEncodingInHttp10 => "HTTP/1.0 has no Transfer-Encoding",
            Self::ChunkSize => "a chunk size is not a hexadecimal number below 2^63",
            Self::ChunkExtension => "a chunk extension is malformed or too long",
            Self::ChunkEnd => "the data of a chunk is not followed by CRLF",
            Self::TrailerSyntax => "a trailer line is not a field line",
            Self::TrailersTooLarge => "the trailer section is too large",
            Self::Path(refusal) => refusal.reason(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Violation {}

impl From<PathRefusal> for Violation {
    fn from(refusal: PathRefusal) -> Self {
        Self::Path(refusal)
    }
}
