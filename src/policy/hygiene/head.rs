//! The head of an HTTP/1 request: where it ends and how its body is framed.
//!
//! RFC 9112 tells a recipient where it may be lenient; every such place is a place where two
//! recipients differ. This reader takes none of the leave but one: a single empty line before the
//! request line (2.2), since old clients send it after a body and nothing can hide in it.

use memchr::{memchr, memchr2, memrchr};

use super::host::Authority;
use super::octets::{QUERY, TARGET, TOKEN, TOKEN_SIGN, classes_of, has_control, is, trim_blanks};
use super::{HeadLimits, Violation};

/// The longest method; a longer one is refused with 501 (RFC 9112, 3).
pub const METHOD_BYTES_MAX: usize = 32;

/// What a request line has besides its target: the method, two blanks and the version.
const AROUND_TARGET_BYTES_MAX: usize = METHOD_BYTES_MAX + 2 + "HTTP/1.1".len();

/// How the body that follows a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many octets, below 2^63.
    Length(u64),
    /// Chunks, to be followed with a [`super::ChunkedScanner`].
    Chunked,
}

/// What a connection must know of a head that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How the body is delimited.
    pub framing: Framing,
    /// The client lets the connection be used again.
    pub keep_alive: bool,
    /// The client waits for `100 (Continue)` before it sends the body.
    pub expects_continue: bool,
    /// The client offers another protocol (an Upgrade field in HTTP/1.1).
    pub upgrade: bool,
    /// 0 or 1: the version is HTTP/1.`http_minor`.
    pub http_minor: u8,
    /// Octets of the empty line before the request line, 0 or 2; they need not be passed on.
    pub leading_bytes: usize,
}

/// Finds the end of a head while it arrives, and refuses early what can no longer become one.
///
/// The search looks at no octet twice. Only while a head is incomplete, or never will be complete, are the
/// lines that have ended checked as well, so that a client which waits for an answer gets one. The
/// outcome does not depend on how the bytes were cut.
#[derive(Clone, Debug)]
pub struct HeadScanner {
    limits: HeadLimits,
    /// Everything before it has been looked at.
    scanned: usize,
    line_start: usize,
    leading: bool,
    /// Lines ended so far, the request line among them.
    lines: usize,
    /// The lines before it have been checked.
    checked: usize,
    request_line_passed: bool,
}

impl HeadScanner {
    /// At the first octet of a message.
    pub fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            scanned: 0,
            line_start: 0,
            leading: false,
            lines: 0,
            checked: 0,
            request_line_passed: false,
        }
    }

    /// Looks on in all that has been received of this message so far, from its first octet.
    ///
    /// `Some(n)` when the head is `received[..n]`; it still has to pass [`check_head`].
    ///
    /// # Errors
    /// A line ending other than CRLF, a line that is wrong already, a limit exceeded.
    pub fn find_end(&mut self, received: &[u8]) -> Result<Option<usize>, Violation> {
        let outcome = self.search(received);
        if !matches!(outcome, Ok(Some(_))) {
            self.check_ended_lines(received)?;
        }
        outcome
    }

    fn search(&mut self, received: &[u8]) -> Result<Option<usize>, Violation> {
        loop {
            let (horizon, beyond) = self.horizon();
            let window = received.get(..horizon).unwrap_or(received);
            if self.lines == 0 {
                refuse_other_protocols(window.get(self.line_start..))?;
            }
            let unseen = window.get(self.scanned..).unwrap_or_default();
            let found = memchr2(b'\r', b'\n', unseen).map(|offset| self.scanned + offset);
            let position = found.unwrap_or(window.len());
            let end = match window.get(position..).unwrap_or_default() {
                [b'\n', ..] => return Err(Violation::BareLineFeed),
                [b'\r', b'\n', ..] => position + 2,
                [b'\r', _, ..] => return Err(Violation::BareCarriageReturn),
                _ if window.len() == horizon => return Err(beyond),
                _ => {
                    self.scanned = position;
                    return Ok(None);
                }
            };
            let line = window.get(self.line_start..position).unwrap_or_default();
            if self.end_line(line)? {
                return Ok(Some(end));
            }
            self.scanned = end;
            self.line_start = end;
        }
    }

    /// How far the present line may reach, and what is wrong when it reaches further.
    fn horizon(&self) -> (usize, Violation) {
        let head = self.limits.head_bytes_max;
        if self.lines > 0 {
            return (head, Violation::HeadTooLarge);
        }
        let request_line = self
            .line_start
            .saturating_add(self.limits.uri_bytes_max)
            .saturating_add(AROUND_TARGET_BYTES_MAX + 2);
        (head.min(request_line), Violation::UriTooLong)
    }

    /// Counts a line; true when it ends the head.
    fn end_line(&mut self, line: &[u8]) -> Result<bool, Violation> {
        if self.lines == 0 && line.is_empty() {
            if self.leading {
                return Err(Violation::LeadingLines);
            }
            self.leading = true;
            return Ok(false);
        }
        if line.is_empty() {
            return Ok(true);
        }
        self.lines += 1;
        if self.lines > self.limits.fields_max.saturating_add(1) {
            return Err(Violation::TooManyFields);
        }
        Ok(false)
    }

    fn check_ended_lines(&mut self, received: &[u8]) -> Result<(), Violation> {
        let ended = received.get(self.checked..self.line_start);
        let mut lines = Lines(ended.unwrap_or_default());
        while !lines.0.is_empty() {
            let line = lines.take()?;
            if self.request_line_passed {
                split_field(line)?;
            } else if !line.is_empty() {
                RequestLine::parse(line, &self.limits)?;
                self.request_line_passed = true;
            }
        }
        self.checked = self.line_start;
        Ok(())
    }
}

/// A first octet that starts no method: a TLS handshake on a plain port, say.
fn refuse_other_protocols(line: Option<&[u8]>) -> Result<(), Violation> {
    match line.and_then(<[u8]>::first) {
        Some(&octet) if !is(octet, TOKEN) && octet != b'\r' && octet != b'\n' => {
            Err(Violation::Method)
        }
        _ => Ok(()),
    }
}

/// Reads one complete head, `received[..n]` of a [`HeadScanner`], in one pass and without allocation.
///
/// # Errors
/// The first violation of RFC 9112 or of the limits, in the order of the bytes; contradictions
/// between fields come last.
pub fn check_head(head: &[u8], limits: &HeadLimits) -> Result<Head, Violation> {
    if head.len() > limits.head_bytes_max {
        return Err(Violation::HeadTooLarge);
    }
    let mut lines = Lines(head);
    let mut line = lines.take()?;
    let mut leading_bytes = 0;
    if line.is_empty() {
        line = lines.take()?;
        leading_bytes = 2;
    }
    let request = RequestLine::parse(line, limits)?;
    let mut fields = Fields::default();
    loop {
        let line = lines.take()?;
        if line.is_empty() {
            break;
        }
        fields.count += 1;
        if fields.count > limits.fields_max {
            return Err(Violation::TooManyFields);
        }
        fields.note(line)?;
    }
    if !lines.0.is_empty() {
        return Err(Violation::HeadUnfinished);
    }
    if let Some(repeated) = fields.repeated {
        return Err(repeated);
    }
    fields.check_host(&request)?;
    Ok(Head {
        framing: fields.framing(request.minor)?,
        keep_alive: !fields.close && (request.minor == 1 || fields.keep_alive),
        expects_continue: fields.expects_continue && request.minor == 1,
        upgrade: fields.upgrade && request.minor == 1,
        http_minor: request.minor,
        leading_bytes,
    })
}

/// The lines not yet read.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// The next line without its CRLF. A CR within it is left to whoever checks its octets.
    fn take(&mut self) -> Result<&'a [u8], Violation> {
        let end = memchr(b'\n', self.0).ok_or(Violation::HeadUnfinished)?;
        let (line, rest) = self.0.split_at_checked(end + 1).unwrap_or((self.0, &[]));
        self.0 = rest;
        line.strip_suffix(b"\r\n").ok_or(Violation::BareLineFeed)
    }
}

struct RequestLine<'a> {
    target: Target<'a>,
    minor: u8,
}

enum Target<'a> {
    /// A path, or the server itself: Host alone names the authority.
    Origin,
    Absolute {
        authority: &'a [u8],
        port_default: u16,
    },
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a [u8], limits: &HeadLimits) -> Result<Self, Violation> {
        if line.is_empty() {
            return Err(Violation::LeadingLines);
        }
        if line.contains(&b'\r') {
            return Err(Violation::BareCarriageReturn);
        }
        let first = memchr(b' ', line).unwrap_or(line.len());
        let method = line.get(..first).unwrap_or_default();
        if method.is_empty() || !method.iter().all(|&octet| is(octet, TOKEN)) {
            return Err(Violation::Method);
        }
        if method.len() > METHOD_BYTES_MAX {
            return Err(Violation::MethodTooLong);
        }
        let last = memrchr(b' ', line).unwrap_or(first);
        let target = line.get(first + 1..last).ok_or(Violation::RequestLine)?;
        if target.len() > limits.uri_bytes_max {
            return Err(Violation::UriTooLong);
        }
        let path_end = memchr(b'?', target).unwrap_or(target.len());
        let (path, query) = target.split_at_checked(path_end).unwrap_or((target, &[]));
        if !path.iter().all(|&octet| is(octet, TARGET))
            || !query.iter().all(|&octet| is(octet, QUERY))
        {
            return Err(Violation::Target);
        }
        let minor = minor_version(line.get(last + 1..).unwrap_or_default())?;
        let target = Target::parse(method, target)?;
        Ok(Self { target, minor })
    }
}

/// HTTP-version is case-sensitive, with one digit on each side (RFC 9112, 2.3).
fn minor_version(version: &[u8]) -> Result<u8, Violation> {
    match version {
        b"HTTP/1.1" => Ok(1),
        b"HTTP/1.0" => Ok(0),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Violation::Version),
        _ => Err(Violation::RequestLine),
    }
}

impl<'a> Target<'a> {
    /// The four forms of RFC 9112, 3.2, less authority-form.
    fn parse(method: &[u8], target: &'a [u8]) -> Result<Self, Violation> {
        match target {
            _ if method == b"CONNECT" => Err(Violation::Connect),
            [b'/', ..] => Ok(Self::Origin),
            [b'*'] if method == b"OPTIONS" => Ok(Self::Origin),
            _ => Self::parse_absolute(target).ok_or(Violation::Target),
        }
    }

    fn parse_absolute(target: &'a [u8]) -> Option<Self> {
        let scheme_end = memchr(b':', target)?;
        let (scheme, rest) = target.split_at_checked(scheme_end)?;
        let port_default = match scheme {
            _ if scheme.eq_ignore_ascii_case(b"http") => 80,
            _ if scheme.eq_ignore_ascii_case(b"https") => 443,
            _ => return None,
        };
        let rest = rest.strip_prefix(b"://")?;
        let authority_end = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        Some(Self::Absolute {
            authority: rest.get(..authority_end)?,
            port_default,
        })
    }
}

/// What the field lines said that concerns the connection.
#[derive(Default)]
struct Fields<'a> {
    count: usize,
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    upgrade: bool,
    /// The first field that came twice and must not.
    repeated: Option<Violation>,
}

impl<'a> Fields<'a> {
    fn note(&mut self, line: &'a [u8]) -> Result<(), Violation> {
        let (name, value) = split_field(line)?;
        let (slot, twice) = match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => (&mut self.host, Violation::DuplicateHost),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                (&mut self.content_length, Violation::DuplicateContentLength)
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => (
                &mut self.transfer_encoding,
                Violation::TransferEncodingSyntax,
            ),
            _ => {
                self.note_option(name, value);
                return Ok(());
            }
        };
        if slot.replace(value).is_some() {
            self.repeated.get_or_insert(twice);
        }
        Ok(())
    }

    /// Fields that say how the connection goes on.
    fn note_option(&mut self, name: &[u8], value: &[u8]) {
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|&octet| octet == b',').map(trim_blanks) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            _ => {}
        }
    }

    fn check_host(&self, request: &RequestLine<'_>) -> Result<(), Violation> {
        let field = self.host.map(Authority::parse).transpose()?;
        if field.is_none() && request.minor == 1 {
            return Err(Violation::MissingHost);
        }
        let Target::Absolute {
            authority,
            port_default,
        } = request.target
        else {
            return Ok(());
        };
        let target = Authority::parse(authority)?;
        match field {
            Some(field) if !field.agrees_with(&target, port_default) => {
                Err(Violation::HostMismatch)
            }
            _ => Ok(()),
        }
    }

    /// RFC 9112, 6.3, where every doubtful case is an error.
    fn framing(&self, minor: u8) -> Result<Framing, Violation> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(Framing::None),
            (None, Some(length)) => parse_length(length)
                .map(Framing::Length)
                .ok_or(Violation::ContentLengthSyntax),
            (Some(_), Some(_)) => Err(Violation::TransferEncodingAndContentLength),
            (Some(_), None) if minor == 0 => Err(Violation::TransferEncodingInHttp10),
            (Some(codings), None) if codings.eq_ignore_ascii_case(b"chunked") => {
                Ok(Framing::Chunked)
            }
            (Some(codings), None) => Err(refuse_codings(codings)),
        }
    }
}

/// A name and its value without the blanks around it.
fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    let mut signs = 0;
    let name_end = line.iter().position(|&octet| {
        let classes = classes_of(octet);
        signs |= classes & TOKEN_SIGN;
        classes & TOKEN == 0
    });
    let Some((name, [b':', value @ ..])) = name_end
        .filter(|&end| end > 0)
        .and_then(|end| line.split_at_checked(end))
    else {
        return Err(refuse_name(line));
    };
    if has_control(value) {
        return Err(carriage_return_or(Violation::FieldValue, value));
    }
    if signs != 0 && is_framing_lookalike(name) {
        return Err(Violation::FramingLookalike);
    }
    Ok((name, trim_blanks(value)))
}

#[cold]
fn refuse_name(line: &[u8]) -> Violation {
    match line.first() {
        Some(b' ' | b'\t') => Violation::ObsFold,
        _ => carriage_return_or(Violation::FieldName, line),
    }
}

#[cold]
fn carriage_return_or(otherwise: Violation, octets: &[u8]) -> Violation {
    if octets.contains(&b'\r') {
        Violation::BareCarriageReturn
    } else {
        otherwise
    }
}

/// Whether a reader that maps or drops signs (`_`, `.`, `~` …) would take a name for one that frames.
pub(super) fn is_framing_lookalike(name: &[u8]) -> bool {
    let spells = |word: &[u8]| {
        name.iter()
            .filter(|octet| octet.is_ascii_alphanumeric())
            .map(u8::to_ascii_lowercase)
            .eq(word.iter().copied())
    };
    spells(b"contentlength") || spells(b"transferencoding")
}

/// 1*DIGIT below 2^63; leading zeros are digits too.
fn parse_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |length, octet| {
        let digit = octet.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        length
            .checked_mul(10)?
            .checked_add(u64::from(digit))
            .filter(|length| i64::try_from(*length).is_ok())
    })
}

/// 501 where codings we do not know stand before one final `chunked`, else 400 (RFC 9112, 6.1 and 6.3).
fn refuse_codings(codings: &[u8]) -> Violation {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut list = codings.split(|&octet| octet == b',').map(trim_blanks).rev();
    let final_chunked = list.next().is_some_and(is_chunked);
    let others_known = list.all(|coding| {
        !coding.is_empty() && !is_chunked(coding) && coding.iter().all(|&octet| is(octet, TOKEN))
    });
    if final_chunked && others_known {
        Violation::TransferEncodingUnsupported
    } else {
        Violation::TransferEncodingSyntax
    }
}
