//! Finding events in the log: newest first, page by page, without a second copy in a database.
//!
//! Order is the order of the log, so a cursor is a sequence: pages neither repeat nor skip an event while
//! new ones are appended. Block summaries rule out most of what need not be read; a page reads at most
//! [`SCAN_BYTES_MAX`] and may then hold fewer events than asked for, or none, with a cursor to go on.

use std::io;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem::Finder;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::event::{EventType, Severity};
use super::log::encrypted::read_only;
use super::log::format::{Frame, HEADER_BYTES, SegmentHeader};
use super::log::frames::{Frames, Step};
use super::log::segments::{index_name, segment_name, segments};
use super::log::storage::{Storage, StorageFile, read_whole};
use super::log::summary::{
    Block, Blocks, Field, address_fingerprint, decode_index, fingerprint, status_bit,
};
use super::log::{Parts, Position};
pub use super::source_filter::{NotASource, SourceFilter};
use super::view::{EventView, Text};

/// Most events of one page.
pub const LIMIT_MAX: usize = 1000;
/// Events of a page that names no limit.
pub const LIMIT_DEFAULT: usize = 100;
/// Most bytes of events one page reads.
pub const SCAN_BYTES_MAX: u64 = 256 << 20;

/// Which events are wanted; everything that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Not before this instant, microseconds since 1970.
    pub from: Option<i64>,
    /// Not after this instant, microseconds since 1970.
    pub to: Option<i64>,
    /// Of this organization.
    pub organization_id: Option<String>,
    /// Of this key.
    pub api_key_id: Option<String>,
    /// Of this type.
    pub event_type: Option<EventType>,
    /// Of this severity.
    pub severity: Option<Severity>,
    /// From this address or network, or from the system itself.
    pub source_ip: Option<SourceFilter>,
    /// With this HTTP status.
    pub status: Option<u16>,
    /// Of this request.
    pub request_id: Option<String>,
    /// Of this decision.
    pub decision_id: Option<String>,
    /// The one with this id.
    pub event_id: Option<Uuid>,
    /// With at least one of these tags; none means any.
    pub compliance_tags: Vec<String>,
    /// With this text anywhere in its JSON, to the letter.
    pub text: Option<String>,
    /// Most events of the page: 0 is [`LIMIT_DEFAULT`], more than [`LIMIT_MAX`] is that.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The cursor is not one a page gave out.
    #[error("not a cursor: {0}")]
    Cursor(String),
    /// The disk could not be read.
    #[error("the audit log cannot be read")]
    Storage(#[from] io::Error),
}

/// Some events, newest first.
#[derive(Debug, Default, Serialize)]
pub struct Page {
    /// As they are stored.
    pub events: Vec<Box<RawValue>>,
    /// Their places in the log, and their parts.
    #[serde(skip)]
    pub places: Vec<(Position, Parts)>,
    /// Where the next page begins; absent when there is none.
    pub next_cursor: Option<String>,
    /// Places in what was read that are damaged: events that may have been wanted are not shown.
    #[serde(skip_serializing_if = "is_zero")]
    pub damaged_places: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Page {
    /// Its newest event.
    pub fn into_first(self) -> Option<RawEvent> {
        let (position, parts) = *self.places.first()?;
        let json = self.events.into_iter().next()?;
        Some(RawEvent {
            position,
            parts,
            json,
        })
    }
}

/// One stored event.
#[derive(Clone, Debug)]
pub struct RawEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its public and its personal part.
    pub parts: Parts,
    /// As it is stored.
    pub json: Box<RawValue>,
}

/// Some events, oldest first.
#[derive(Debug, Default)]
pub struct Tail {
    /// In the order of the log. A jump in sequence means that events were dropped or damaged.
    pub events: Vec<RawEvent>,
}

/// A segment as a search sees it.
#[derive(Clone, Debug)]
pub(crate) struct SegmentView {
    pub(crate) ordinal: u64,
    /// The first sequence that is a later segment's.
    pub(crate) end: u64,
    /// Bytes that hold frames or did once.
    pub(crate) bytes: u64,
    /// Its summaries, when they are at hand.
    pub(crate) blocks: Option<Vec<Arc<Block>>>,
}

/// Searches the log of a directory, whether or not a gateway writes to it, changing nothing.
///
/// # Errors
///
/// When the cursor is not one of ours or the directory cannot be read.
pub fn search_dir(dir: &Path, search: &Search) -> Result<Page, SearchError> {
    let storage = read_only(dir)?;
    let views: Vec<SegmentView> = segments(&storage)?
        .into_iter()
        .map(|segment| SegmentView {
            ordinal: segment.ordinal,
            end: segment.end,
            bytes: segment.bytes,
            blocks: None,
        })
        .collect();
    search_segments(&storage, &views, search)
}

/// Searches segments given oldest first.
pub(crate) fn search_segments(
    storage: &dyn Storage,
    views: &[SegmentView],
    search: &Search,
) -> Result<Page, SearchError> {
    let wanted = Wanted::new(search);
    let mut page = Page::default();
    let mut before = match &search.cursor {
        Some(cursor) => cursor
            .parse()
            .map_err(|_| SearchError::Cursor(cursor.clone()))?,
        None => u64::MAX,
    };
    let mut scanned = 0;
    for view in views.iter().rev() {
        before = before.min(view.end);
        let Some(open) = OpenSegment::open(storage, view)? else {
            continue;
        };
        page.damaged_places += open.damaged;
        for block in open.blocks.iter().rev() {
            if block.first_sequence >= before || !wanted.may_be_in(block) {
                continue;
            }
            if scanned >= SCAN_BYTES_MAX {
                page.next_cursor = Some(before.to_string());
                return Ok(page);
            }
            let bytes = open.read(block)?;
            scanned += bytes.len() as u64;
            page.damaged_places += damaged_in(block, &bytes);
            for frame in events(&bytes).rev() {
                if frame.sequence >= before {
                    continue;
                }
                before = frame.sequence;
                if let Some(event) = wanted.take(&frame) {
                    page.events.push(event);
                    page.places.push((Position(frame.sequence), frame.parts()));
                }
                if page.events.len() == wanted.limit {
                    page.next_cursor = Some(before.to_string());
                    return Ok(page);
                }
            }
        }
    }
    Ok(page)
}

/// Events after a position, from segments given oldest first.
pub(crate) fn tail_segments(
    storage: &dyn Storage,
    views: &[SegmentView],
    after: Position,
    events_max: usize,
) -> Result<Tail, SearchError> {
    let mut tail = Tail::default();
    let mut last = after.0;
    for view in views.iter().filter(|view| view.end > after.0 + 1) {
        let Some(open) = OpenSegment::open(storage, view)? else {
            continue;
        };
        for block in open
            .blocks
            .iter()
            .filter(|block| block.last_sequence > after.0)
        {
            let bytes = open.read(block)?;
            for frame in events(&bytes) {
                if frame.sequence <= last || frame.sequence >= view.end {
                    continue;
                }
                if tail.events.len() >= events_max {
                    return Ok(tail);
                }
                last = frame.sequence;
                tail.events.extend(raw_event(&frame));
            }
        }
    }
    Ok(tail)
}

/// The stored event of a frame; `None` when its payload is not JSON.
pub(crate) fn raw_event(frame: &Frame<'_>) -> Option<RawEvent> {
    Some(RawEvent {
        position: Position(frame.sequence),
        parts: frame.parts(),
        json: raw(frame)?,
    })
}

fn raw(frame: &Frame<'_>) -> Option<Box<RawValue>> {
    let json = std::str::from_utf8(frame.payload).ok()?;
    RawValue::from_string(json.to_owned()).ok()
}

/// The event frames of some bytes.
fn events(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Frame<'_>> {
    let frames: Vec<Frame<'_>> = Frames::new(bytes, 0)
        .filter_map(|step| match step {
            Step::Frame { frame, .. } if frame.kind.is_event() => Some(frame),
            _ => None,
        })
        .collect();
    frames.into_iter()
}

/// Damaged places in a block that was once whole: what its summary counted is not there.
fn damaged_in(block: &Block, bytes: &[u8]) -> u64 {
    let count = events(bytes).count() as u64;
    u64::from(count < u64::from(block.events))
}

/// Damaged places of a segment that stand before events of it, or before its end where a later segment begins.
fn damaged(bytes: &[u8], end: u64) -> u64 {
    let (mut places, mut open, mut last) = (0, 0, 0);
    let header = bytes.get(..HEADER_BYTES).unwrap_or_default();
    let headless = SegmentHeader::decode(header).is_err();
    for step in Frames::new(bytes, HEADER_BYTES) {
        match step {
            Step::Damage { .. } => open += 1,
            Step::Frame { frame, .. } => {
                places += std::mem::take(&mut open);
                last = frame.sequence;
            }
        }
    }
    let short = end < u64::MAX && last + 1 < end;
    places + u64::from(headless && last > 0) + if short { open } else { 0 }
}

/// A segment opened for reading, with its summaries.
struct OpenSegment {
    file: Arc<dyn StorageFile>,
    blocks: Vec<Arc<Block>>,
    /// Places found damaged while its summaries were made.
    damaged: u64,
}

impl OpenSegment {
    /// `None` when the segment was dropped meanwhile.
    fn open(storage: &dyn Storage, view: &SegmentView) -> io::Result<Option<Self>> {
        let file = match storage.open(&segment_name(view.ordinal)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Rewritten without erased events since it was listed: what is known of it is of the old file.
        let last = view.bytes.saturating_sub(1);
        let is_shorter = file.read_at(last, 1)?.is_empty();
        let indexed = || {
            let bytes = read_whole(storage, &index_name(view.ordinal)).ok()?;
            decode_index(&bytes, Some(view.bytes)).ok()
        };
        let known = view.blocks.clone().or_else(indexed);
        let (blocks, damaged) = match known.filter(|_| !is_shorter) {
            Some(blocks) => (blocks, 0),
            None => {
                let length = usize::try_from(view.bytes).unwrap_or(usize::MAX);
                let bytes = file.read_at(0, length)?;
                let blocks = Blocks::read(&bytes, HEADER_BYTES).all();
                (blocks, damaged(&bytes, view.end))
            }
        };
        Ok(Some(Self {
            file,
            blocks,
            damaged,
        }))
    }

    fn read(&self, block: &Block) -> io::Result<Vec<u8>> {
        let length = usize::try_from(block.bytes).unwrap_or(usize::MAX);
        self.file.read_at(block.offset, length)
    }
}

/// The filters of a search, for events that come from elsewhere than from a page.
pub struct Matcher<'s>(Wanted<'s>);

impl<'s> Matcher<'s> {
    /// Takes the filters; limit and cursor mean nothing here.
    pub fn of(search: &'s Search) -> Self {
        Self(Wanted::new(search))
    }

    /// Whether the stored event is one that is searched for.
    pub fn matches(&self, json: &str) -> bool {
        self.0.wants(json.as_bytes())
    }

    /// Whether the stored event tells that somebody read what is there of the address that is searched for.
    pub fn was_asked_for(&self, json: &str) -> bool {
        let source = self.0.search.source_ip.map(|source| source.to_string());
        source.is_some_and(|source| {
            // An address is a network of one, and is asked for without its length.
            let address = source.split('/').next().unwrap_or_default();
            let of = |text: &str| json.contains(&format!("\"source_ip\":\"{text}\""));
            json.contains("\"endpoint\":\"audit.") && (of(&source) || of(address))
        })
    }
}

/// Id and instant of a stored event; `None` when it is none this version knows.
pub(crate) fn identity(json: &str) -> Option<(Uuid, i64)> {
    let view = EventView::parse(json.as_bytes())?;
    Some((view.event_id, view.timestamp))
}

/// A search made ready: bits and fingerprints for blocks, byte patterns and values for events.
struct Wanted<'s> {
    search: &'s Search,
    limit: usize,
    fingerprints: Vec<u64>,
    /// Each must occur in the JSON.
    needles: Vec<Finder<'static>>,
    /// One of them must occur: the text as given, or as JSON writes it.
    texts: Vec<Finder<'static>>,
}

impl<'s> Wanted<'s> {
    fn new(search: &'s Search) -> Self {
        let named = [
            (
                "organization_id",
                Field::Organization,
                &search.organization_id,
            ),
            ("api_key_id", Field::Key, &search.api_key_id),
            ("request_id", Field::Request, &search.request_id),
            ("decision_id", Field::Decision, &search.decision_id),
        ];
        let mut fingerprints = Vec::new();
        let mut needles = Vec::new();
        for (name, field, value) in named {
            if let Some(value) = value {
                fingerprints.push(fingerprint(field, value.as_bytes()));
                let needle = format!("\"{name}\":{}", quoted(value));
                needles.push(Finder::new(needle.as_bytes()).into_owned());
            }
        }
        if let Some(id) = search.event_id {
            fingerprints.push(fingerprint(Field::Event, id.as_bytes()));
        }
        if let Some(SourceFilter::Network(network)) = search.source_ip
            && network.prefix_len() == network.max_prefix_len()
        {
            fingerprints.push(address_fingerprint(network.addr()));
        }
        let texts = search.text.iter().flat_map(|text| {
            let escaped = quoted(text);
            let inner = escaped.get(1..escaped.len() - 1).unwrap_or_default();
            [text.as_str(), inner].map(|form| Finder::new(form.as_bytes()).into_owned())
        });
        Self {
            search,
            limit: match search.limit {
                0 => LIMIT_DEFAULT,
                limit => limit.min(LIMIT_MAX),
            },
            fingerprints,
            needles,
            texts: texts.collect(),
        }
    }

    /// Whether a block may hold an event that is wanted.
    fn may_be_in(&self, block: &Block) -> bool {
        let search = self.search;
        search.from.is_none_or(|from| block.micros_max >= from)
            && search.to.is_none_or(|to| block.micros_min <= to)
            && search
                .event_type
                .is_none_or(|of| block.types & (1 << (of as u8)) != 0)
            && search
                .severity
                .is_none_or(|of| block.severities & (1 << (of as u8)) != 0)
            && search
                .status
                .is_none_or(|of| block.statuses & status_bit(of) != 0)
            && self.fingerprints.iter().all(|value| block.may_hold(*value))
    }

    /// The event of a frame, if it is wanted.
    fn take(&self, frame: &Frame<'_>) -> Option<Box<RawValue>> {
        self.wants(frame.payload).then(|| raw(frame)).flatten()
    }

    fn wants(&self, json: &[u8]) -> bool {
        let found = |finder: &Finder<'_>| finder.find(json).is_some();
        let texts = self.texts.is_empty() || self.texts.iter().any(found);
        texts
            && self.needles.iter().all(found)
            && EventView::parse(json).is_some_and(|view| self.admits(&view))
    }

    fn admits(&self, event: &EventView<'_>) -> bool {
        let search = self.search;
        let is = |wanted: &Option<String>, got: Option<&Text<'_>>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| got.is_some_and(|got| **got == *wanted))
        };
        let tagged = |wanted: &String| event.compliance_tags.iter().any(|tag| **tag == **wanted);
        search.from.is_none_or(|from| event.timestamp >= from)
            && search.to.is_none_or(|to| event.timestamp <= to)
            && search.event_type.is_none_or(|of| event.event_type == of)
            && search.severity.is_none_or(|of| event.severity == of)
            && search.status.is_none_or(|of| event.status_code == of)
            && search.event_id.is_none_or(|id| event.event_id == id)
            && search
                .source_ip
                .is_none_or(|filter| filter.admits(event.source_ip))
            && is(&search.organization_id, event.organization_id.as_ref())
            && is(&search.api_key_id, event.api_key_id.as_ref())
            && is(&search.request_id, Some(&event.request_id))
            && is(&search.decision_id, event.decision_id.as_ref())
            && (search.compliance_tags.is_empty() || search.compliance_tags.iter().any(tagged))
    }
}

/// A string as JSON writes it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
