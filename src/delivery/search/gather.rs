//! From events in the order of their milliseconds to a page in the order of time.
//!
//! Stores sort by milliseconds, by the one index that all of them have; the events of one millisecond are collected
//! here and put into order. What a page has looked at, it has looked at whole milliseconds of, but for the one that
//! filled it, and the cursor says where in that one it stopped.

use std::cmp::Reverse;
use std::str::FromStr;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{EVENTS_READ_MAX, StoreError};
use crate::audit::search::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::audit::{Matcher, Page, Search};

/// Most events of one millisecond: far beyond what gateways that share a store come to.
const MILLISECOND_EVENTS_MAX: usize = 20_000;

/// One event of a store.
#[derive(Debug)]
pub(in crate::delivery) struct Found {
    pub(in crate::delivery) micros: i64,
    pub(in crate::delivery) id: Uuid,
    pub(in crate::delivery) json: Box<RawValue>,
}

/// What a store is asked for: both ends included, microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Span {
    pub(in crate::delivery) from: Option<i64>,
    pub(in crate::delivery) to: Option<i64>,
}

impl Span {
    /// Its ends in whole milliseconds, none of its events left out.
    pub(in crate::delivery) fn millis(self) -> (Option<i64>, Option<i64>) {
        let millis = |micros: i64| micros.div_euclid(1_000);
        (self.from.map(millis), self.to.map(millis))
    }
}

/// An event's place in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    micros: i64,
    id: Uuid,
}

impl Place {
    fn of(found: &Found) -> Self {
        Self {
            micros: found.micros,
            id: found.id,
        }
    }

    fn cursor(self) -> String {
        format!("{}.{}", self.micros, self.id.simple())
    }
}

impl FromStr for Place {
    type Err = StoreError;

    fn from_str(cursor: &str) -> Result<Self, StoreError> {
        let parsed = cursor.split_once('.').and_then(|(micros, id)| {
            Some(Self {
                micros: micros.parse().ok()?,
                id: Uuid::try_parse(id).ok()?,
            })
        });
        parsed.ok_or_else(|| StoreError::Cursor(cursor.to_owned()))
    }
}

/// What became of an event that was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    More,
    /// The page is full, or has looked at enough.
    Enough,
}

/// A page in the making.
pub(super) struct Gather<'s> {
    matcher: Matcher<'s>,
    limit: usize,
    /// Where the page before ended.
    after: Option<Place>,
    /// The events of the millisecond that is not known to be whole yet.
    millisecond: Vec<Found>,
    /// The last event that was looked at.
    last: Option<Place>,
    looked_at: usize,
    page: Page,
}

impl<'s> Gather<'s> {
    pub(super) fn of(search: &'s Search) -> Result<Self, StoreError> {
        let after = search.cursor.as_deref().map(Place::from_str).transpose()?;
        Ok(Self {
            matcher: Matcher::of(search),
            limit: match search.limit {
                0 => LIMIT_DEFAULT,
                limit => limit.min(LIMIT_MAX),
            },
            after,
            millisecond: Vec::new(),
            last: None,
            looked_at: 0,
            page: Page::default(),
        })
    }

    /// Where in time events of this page may be.
    pub(super) fn span(&self, search: &Search) -> Span {
        let reached = self.after.map(|place| place.micros);
        Span {
            from: search.from,
            to: search.to.into_iter().chain(reached).min(),
        }
    }

    /// Whether a page that ended now would be further than the one before.
    pub(super) fn has_moved(&self) -> bool {
        self.last.is_some()
    }

    /// Takes the next event, which is of the same or an earlier millisecond.
    pub(super) fn take(&mut self, found: Found) -> Result<Taken, String> {
        let begins_another = self
            .millisecond
            .first()
            .is_some_and(|first| first.micros.div_euclid(1_000) != found.micros.div_euclid(1_000));
        if begins_another {
            self.settle();
            if self.is_full() || self.looked_at >= EVENTS_READ_MAX {
                return Ok(Taken::Enough);
            }
        }
        if self.millisecond.len() >= MILLISECOND_EVENTS_MAX {
            let reason = "events of one millisecond, which is more than can be put into order";
            return Err(format!("more than {MILLISECOND_EVENTS_MAX} {reason}"));
        }
        self.millisecond.push(found);
        Ok(Taken::More)
    }

    /// The page as it is, with a cursor to go on.
    pub(super) fn so_far(mut self) -> Page {
        self.page.next_cursor = self.last.or(self.after).map(Place::cursor);
        self.page
    }

    /// The page after the store's last event.
    pub(super) fn whole(mut self) -> Page {
        self.settle();
        if self.is_full() {
            return self.so_far();
        }
        self.page
    }

    fn is_full(&self) -> bool {
        self.page.events.len() >= self.limit
    }

    /// Looks at the events of a whole millisecond, as far as the page has room.
    fn settle(&mut self) {
        let mut events = std::mem::take(&mut self.millisecond);
        events.sort_unstable_by_key(|found| Reverse(Place::of(found)));
        for found in events {
            if self.is_full() {
                return;
            }
            let place = Place::of(&found);
            let is_known = self.after.is_some_and(|after| place >= after)
                || self.last.is_some_and(|last| place >= last);
            if is_known {
                continue;
            }
            self.last = Some(place);
            self.looked_at += 1;
            if self.matcher.matches(found.json.get()) {
                self.page.events.push(found.json);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::audit::timestamp;

    /// An event of this instant; `organization` is what searches here ask for.
    fn found(micros: i64, id: u128, organization: u8) -> Found {
        let id = Uuid::from_u128(id);
        let at = timestamp::text(micros);
        let event = json!({
            "event_id": id, "timestamp": String::from_utf8_lossy(&at), "event_type": "api_request",
            "severity": "info", "source_ip": "10.0.0.1", "status_code": 200,
            "organization_id": format!("org-{organization}"),
        });
        Found {
            micros,
            id,
            json: RawValue::from_string(event.to_string()).unwrap(),
        }
    }

    /// A page of a store that has these, in the order of their milliseconds.
    fn page(stored: &[(i64, u128, u8)], search: &Search) -> Page {
        let mut gather = Gather::of(search).unwrap();
        let (from, to) = gather.span(search).millis();
        for (micros, id, organization) in stored {
            let millis = micros.div_euclid(1_000);
            if from.is_some_and(|from| millis < from) || to.is_some_and(|to| millis > to) {
                continue;
            }
            if gather.take(found(*micros, *id, *organization)).unwrap() == Taken::Enough {
                return gather.so_far();
            }
        }
        gather.whole()
    }

    fn texts(page: &Page) -> Vec<String> {
        page.events
            .iter()
            .map(|event| event.get().to_owned())
            .collect()
    }

    #[test]
    fn cursors_are_read_back_and_nothing_else_is_one() {
        let place = Place {
            micros: -7,
            id: Uuid::from_u128(9),
        };
        assert_eq!(place.cursor().parse::<Place>().unwrap(), place);
        for text in ["", "17", "17.", "x.00000000000000000000000000000009", "1.2"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_arrives_between_two_pages_is_in_no_later_page() {
        let mut stored = vec![(3_000, 3, 1), (2_000, 2, 1), (1_000, 1, 1)];
        let mut search = Search {
            limit: 2,
            ..Search::default()
        };
        let first = page(&stored, &search);
        assert_eq!(first.events.len(), 2);
        stored.insert(0, (4_000, 4, 1));
        search.cursor = first.next_cursor;
        let second = page(&stored, &search);
        assert_eq!(texts(&second), [found(1_000, 1, 1).json.get()]);
        assert_eq!(second.next_cursor, None);
    }

    #[test]
    fn a_millisecond_without_end_is_refused() {
        let search = Search::default();
        let mut gather = Gather::of(&search).unwrap();
        let mut ids = 0..;
        let refused = loop {
            if let Err(reason) = gather.take(found(5, ids.next().unwrap(), 1)) {
                break reason;
            }
        };
        assert!(refused.contains("20000"), "{refused}");
    }

    proptest! {
        /// Page after page is every event that was asked for, once, in the order of time, however the store orders
        /// the events of one millisecond.
        #[test]
        fn pages_are_the_sorted_whole(
            events in prop::collection::btree_map(0..500_u128, (0..6_000_i64, 0..3_u8), 0..120),
            limit in 1..9_usize,
            from in prop::option::of(0..6_000_i64),
            to in prop::option::of(0..6_000_i64),
        ) {
            let mut stored: Vec<_> = events.iter().map(|(id, (at, org))| (*at, *id, *org)).collect();
            stored.sort_by_key(|(at, id, _)| (Reverse(at.div_euclid(1_000)), *id));
            let mut search = Search {
                organization_id: Some("org-1".into()),
                from, to, limit,
                ..Search::default()
            };
            let mut expected: Vec<_> = stored.iter().copied().filter(|(at, _, org)| {
                *org == 1 && from.is_none_or(|from| *at >= from) && to.is_none_or(|to| *at <= to)
            }).collect();
            expected.sort_by_key(|(at, id, _)| Reverse((*at, *id)));
            let expected: Vec<_> = expected.into_iter()
                .map(|(at, id, org)| found(at, id, org).json.get().to_owned()).collect();
            let mut got = Vec::new();
            loop {
                let next = page(&stored, &search);
                prop_assert!(next.events.len() <= limit);
                got.extend(texts(&next));
                match next.next_cursor {
                    Some(cursor) => search.cursor = Some(cursor),
                    None => break,
                }
            }
            prop_assert_eq!(got, expected);
        }
    }
}
