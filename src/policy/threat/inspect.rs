//! One request's inspection: hands every value to its language, its rules and its judgement.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use super::at::At;
use super::bytes::{self, Classes, classes};
use super::context::Context;
use super::decode::{base64, spelled_dots, undo};
use super::detect;
use super::exclude::Exclusions;
use super::judge::SHOWN_WEIGHT;
use super::predicate::{Found, Predicate};
use super::rules::{Hit, RuleSet, Run, Timer};
use super::{
    FieldPath, INDICATORS_MAX, Inspect, Inspection, Kind, Origin, QueryFacts, Verdict, body,
    fields, json, xml,
};
use crate::policy::cypher;
use crate::policy::cypher::memo::Memo;
use crate::policy::pii;

/// Steps of looking at a value, beside those for each byte.
const VALUE_STEPS: usize = 40;

/// Steps of looking at a value for syntax, beside those of the detectors.
const LEAF_STEPS: usize = 200;

/// Steps of looking at a name.
const KEY_STEPS: usize = 500;

/// Steps of undoing disguises, for each byte.
const DISGUISE_STEPS: usize = 6;

/// Steps of reading JSON inside a string, for each byte.
const NESTED_JSON_STEPS: usize = 8;

/// Steps of reading a statement, and for each byte of it.
const STATEMENT_STEPS: usize = 1_000;
const STATEMENT_BYTE_STEPS: usize = 20;

/// Base64 inside base64 is followed this deep.
const BASE64_LAYERS_MAX: usize = 3;

/// JSON inside a string inside JSON is followed this deep; deeper is a finding.
pub(super) const NESTED_JSON_MAX: u8 = 5;

thread_local! {
    /// Paths, query strings and headers nothing was found in, by rules and part.
    static CLEAN: RefCell<Memo<()>> = const { RefCell::new(Memo::new()) };
}

pub(super) fn inspect(
    rules: &RuleSet,
    exclusions: &Exclusions,
    request: &Inspect<'_>,
) -> Inspection {
    let mut inspector = Inspector::for_request(rules, exclusions, request);
    inspector.run.timer = Timer::new(request.hints.clock);
    if request.hints.pii {
        pii::find_in_path(request.path, &mut inspector.out.pii);
        pii::find_in_form(
            request.query.unwrap_or_default().as_bytes(),
            &mut inspector.out.pii,
        );
    }
    fields::path(&mut inspector, request);
    fields::query(&mut inspector, request.query);
    fields::headers(&mut inspector, request.headers);
    body::body(&mut inspector, request);
    inspector.out.timings = inspector.timings();
    inspector.out
}

/// Whether one rule matches a value in the first of its contexts: what its tests ask.
pub(super) fn rule_matches(rules: &RuleSet, index: usize, text: &[u8]) -> bool {
    let Some(rule) = rules.rule(index) else {
        return false;
    };
    let mut inspector = Inspector::new(rules, None, Kind::Other);
    inspector.watched = Some(index);
    let at = At::root("test");
    match rule.contexts.first() {
        Context::Cypher => inspector.statement(text, &at),
        Context::Graphql => inspector.graphql_document(text, &at),
        Context::Xml => xml::xml(&mut inspector, text, &at),
        Context::Path => inspector.path(text, &at),
        Context::Key => inspector.key(text, &at),
        Context::HeaderName => inspector.header_name(text, &at),
        context => inspector.value(text, context, &at),
    }
    inspector.seen
}

/// The state of one inspection.
pub(super) struct Inspector<'e> {
    pub(super) rules: &'e RuleSet,
    query_text: Option<&'e FieldPath>,
    pub(super) refuses_undecodable: bool,
    /// What is looked at is a body, of which there may be too much.
    pub(super) forwards_oversize: bool,
    /// It is only the beginning of one.
    pub(super) is_prefix: bool,
    pub(super) graphql: bool,
    pub(super) kind: Kind,
    pub(super) out: Inspection,
    /// Indicators of shadowed rules so far.
    pub(super) shadows: usize,
    /// Indicators of excluded findings so far.
    pub(super) excluded: usize,
    /// What does not count, and what that depends on.
    pub(super) excluding: Option<(&'e Exclusions, Origin<'e>)>,
    nested: u8,
    /// What confidences are multiplied with.
    pub(super) weight: f32,
    hits: Vec<Hit>,
    pub(super) run: Run,
    pub(super) watched: Option<usize>,
    pub(super) seen: bool,
}

impl<'e> Inspector<'e> {
    /// One that looks at values of a request as its route has them looked at.
    pub(super) fn for_request(
        rules: &'e RuleSet,
        exclusions: &'e Exclusions,
        request: &Inspect<'e>,
    ) -> Self {
        let mut inspector = Self::new(rules, request.hints.query_text, request.hints.kind);
        inspector.excluding = Some((exclusions, request.hints.origin));
        inspector.refuses_undecodable = request.hints.on_undecodable_refuse;
        inspector.graphql = request.path.ends_with("/graphql");
        inspector
    }

    fn new(rules: &'e RuleSet, query_text: Option<&'e FieldPath>, kind: Kind) -> Self {
        Self {
            rules,
            query_text,
            refuses_undecodable: false,
            forwards_oversize: false,
            is_prefix: false,
            graphql: false,
            kind,
            out: Inspection::default(),
            shadows: 0,
            excluded: 0,
            excluding: None,
            nested: 0,
            weight: 1.0,
            hits: Vec::new(),
            run: Run::default(),
            watched: None,
            seen: false,
        }
    }

    /// Looks at a value that may be a statement, JSON, base64, or just a value.
    pub(super) fn value(&mut self, raw: &[u8], context: Context, at: &At<'_>) {
        if self.is_over(VALUE_STEPS + raw.len(), at) {
            return;
        }
        let seen = classes(raw);
        // Too short for anything plain to mean something.
        let bare = seen & (bytes::MILD | bytes::BLANK) == 0;
        let short = raw.len() < if bare { 8 } else { 4 };
        if seen & !bytes::PLAIN == 0 && short && context != Context::UserAgent {
            return self.plain_text(raw, seen, context, at);
        }
        let disguised = seen & (bytes::ESCAPE | bytes::HIGH | bytes::CONTROL) != 0
            || seen & bytes::DIGIT != 0 && spelled_dots(raw);
        if !disguised {
            return self.plain_value(raw, seen, context, at);
        }
        let letters = usize::from(seen & bytes::HIGH != 0) * DISGUISE_STEPS;
        self.run.work.spend((DISGUISE_STEPS + letters) * raw.len());
        let decoded = undo(raw, false);
        let changed = matches!(decoded.text, Cow::Owned(_));
        if changed && self.whole_statement(raw, at) {
            return;
        }
        if decoded.unsettled {
            self.found_at(Predicate::Unsettled, raw, context, at);
        }
        self.plain_value(&decoded.text, classes(&decoded.text), context, at);
    }

    /// A statement in a field for queries that wears disguises in its literals only: they are the data the database
    /// keeps, not its syntax. True when it was one.
    fn whole_statement(&mut self, raw: &[u8], at: &At<'_>) -> bool {
        if self.graphql || !self.is_query_field(at) {
            return false;
        }
        self.run.work.spend(DISGUISE_STEPS * raw.len());
        let is = cypher::is_whole(raw);
        if is {
            self.statement(raw, at);
        }
        is
    }

    /// A text in which nothing can be found but what some rule says to the letter.
    fn plain_text(&mut self, text: &[u8], seen: Classes, context: Context, at: &At<'_>) {
        if self.rules.may_match_plain(text.len()) {
            self.match_rules(text, seen, context, &Found::default(), at);
        }
    }

    /// A value whose disguises are gone.
    fn plain_value(&mut self, text: &[u8], seen: Classes, context: Context, at: &At<'_>) {
        if self.is_query_field(at) && self.query_field(text, at) {
            return;
        }
        let spaced = seen & (bytes::BLANK | bytes::BRACKET | bytes::HIGH | bytes::LINE) != 0;
        if spaced && seen & bytes::BRACKET != 0 && cypher::is_statement(text, false) {
            return self.statement(text, at);
        }
        if self.nested_json(text, at) {
            return;
        }
        self.leaf(text, seen, context, at);
        let encoded = !spaced && text.len() >= 8;
        let mut inner = encoded.then(|| base64(text)).flatten();
        for _ in 0..BASE64_LAYERS_MAX {
            let Some(layer) = inner else { return };
            self.run.work.spend(DISGUISE_STEPS * layer.len());
            let shown = undo(&layer, false).text;
            self.leaf(&shown, classes(&shown), context, at);
            inner = base64(&shown);
        }
    }

    /// Detectors, rules and judgement of one value in its final form.
    ///
    /// Code that Markdown shows is looked at apart and damped: it is shown, not run.
    fn leaf(&mut self, text: &[u8], seen: Classes, context: Context, at: &At<'_>) {
        let quoted = seen & bytes::BACKTICK != 0;
        let fenced = (quoted && seen & bytes::LINE != 0).then(|| bytes::fences(text));
        let (outside, inside) = fenced.flatten().unzip();
        let outside = outside.as_deref().unwrap_or(text);
        let (prose, spans) = quoted.then(|| bytes::spans(outside)).flatten().unzip();
        if inside.is_none() && spans.is_none() {
            return self.whole_leaf(text, seen, context, at);
        }
        let prose = prose.as_deref().unwrap_or(outside);
        self.whole_leaf(prose, classes(prose), context, at);
        self.weight = SHOWN_WEIGHT;
        for shown in [spans, inside].into_iter().flatten() {
            self.whole_leaf(&shown, classes(&shown), context, at);
        }
        self.weight = 1.0;
    }

    fn whole_leaf(&mut self, text: &[u8], seen: Classes, context: Context, at: &At<'_>) {
        let mut found = Found::within(self.run.work);
        found.work.spend(LEAF_STEPS + text.len());
        detect::value(text, seen, context, at.last_name(), &mut found);
        detect::breakouts(text, seen, &mut found);
        self.run.work = found.work;
        self.match_rules(text, seen, context, &found, at);
        if self.run.work.is_spent() {
            self.bound(Predicate::BoundWork, at);
        }
    }

    /// The path, decoded, as one value; its segments come apart.
    pub(super) fn path(&mut self, text: &[u8], at: &At<'_>) {
        let text = undo(text, false).text;
        let mut found = Found::default();
        detect::path(&text, &mut found);
        self.match_rules(&text, classes(&text), Context::Path, &found, at);
    }

    /// A name: of a pair, a field or a JSON key.
    pub(super) fn key(&mut self, raw: &[u8], at: &At<'_>) {
        if self.is_over(VALUE_STEPS + raw.len(), at) {
            return;
        }
        let seen = classes(raw);
        if seen & !bytes::PLAIN == 0 && !raw.windows(5).any(|w| w == b"proto") {
            return self.plain_text(raw, seen, Context::Key, at);
        }
        let text = undo(raw, false).text;
        let seen = classes(&text);
        let mut found = Found::within(self.run.work);
        found.work.spend(KEY_STEPS + DISGUISE_STEPS * raw.len());
        detect::key(&text, &mut found);
        if raw == b"prototype" && at.to_string().contains("constructor.prototype") {
            found.note(Predicate::PrototypeKey, 0);
        }
        if text.len() > 3 {
            detect::value(&text, seen, Context::Key, None, &mut found);
            detect::breakouts(&text, seen, &mut found);
        }
        self.run.work = found.work;
        self.match_rules(&text, seen, Context::Key, &found, at);
    }

    /// Looks at a part of the request that clients repeat: once nothing was found in it, it is remembered for
    /// these rules. `part` tells such parts apart.
    pub(super) fn repeated(&mut self, part: u8, text: &[u8], look: impl FnOnce(&mut Self)) {
        let scope = self.rules.number() << 9 | u64::from(self.graphql) << 8 | u64::from(part);
        if CLEAN.with_borrow(|clean| clean.recall(scope, text).is_some()) {
            return;
        }
        let found = |out: &Inspection| {
            let facts = out.query.as_ref().map(|query| query.sha256);
            (out.indicators.len(), out.bounds.len(), facts)
        };
        let before = found(&self.out);
        look(self);
        let after = found(&self.out);
        if before == after && after.0 < INDICATORS_MAX && !self.run.work.is_spent() {
            CLEAN.with_borrow_mut(|clean| clean.keep(scope, text, || ()));
        }
    }

    /// A header's name.
    pub(super) fn header_name(&mut self, name: &[u8], at: &At<'_>) {
        self.plain_text(name, classes(name), Context::HeaderName, at);
    }

    /// A field that is meant for queries: true when it held a statement or a GraphQL document.
    fn query_field(&mut self, text: &[u8], at: &At<'_>) -> bool {
        if self.graphql || detect::is_graphql(text) {
            self.graphql_document(text, at);
            return true;
        }
        let recalled = cypher::recall(text, self.rules.procedures());
        if let Some(facts) = recalled.filter(|_| !self.rules.reads_statements()) {
            self.keep(facts);
            return true;
        }
        let is = cypher::is_statement(text, true);
        if is {
            self.statement(text, at);
        }
        is
    }

    /// Keeps what a statement does, if it is the dearest so far.
    fn keep(&mut self, facts: QueryFacts) {
        let kept = self.out.query.as_ref();
        if kept.is_none_or(|q| q.complexity < facts.complexity) {
            self.out.query = Some(facts);
        }
    }

    pub(super) fn is_query_field(&self, at: &At<'_>) -> bool {
        if self.query_text.is_some_and(|path| at.is(path.as_str())) {
            return true;
        }
        at.last_name().is_some_and(|name| {
            [&b"query"[..], b"cypher", b"statement"]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n))
        })
    }

    /// Reads a statement.
    pub(super) fn statement(&mut self, text: &[u8], at: &At<'_>) {
        let steps = STATEMENT_BYTE_STEPS * text.len().min(cypher::TEXT_BYTES_MAX);
        self.run.work.spend(STATEMENT_STEPS + steps);
        let (facts, findings) = cypher::read_by(text, self.rules.procedures());
        let mut found = Found::default();
        for (finding, place) in findings.iter() {
            found.note(Predicate::Cypher(finding), place as usize);
        }
        self.keep(facts);
        if !found.is_empty() || self.rules.reads_statements() {
            self.match_rules(text, classes(text), Context::Cypher, &found, at);
        }
    }

    pub(super) fn graphql_document(&mut self, text: &[u8], at: &At<'_>) {
        let steps = STATEMENT_BYTE_STEPS * text.len().min(cypher::TEXT_BYTES_MAX);
        if self.is_over(STATEMENT_STEPS + steps, at) {
            return;
        }
        if text.len() > cypher::TEXT_BYTES_MAX {
            self.bound(Predicate::BoundGraphql, at);
        }
        let mut found = Found::default();
        detect::graphql(text, &mut found);
        self.match_rules(text, classes(text), Context::Graphql, &found, at);
        let before = self.out.indicators.len();
        let arguments = at.name(b"arguments");
        for argument in detect::graphql_texts(text) {
            self.value(argument, Context::Json, &arguments);
        }
        self.hide_since(before, text);
    }

    /// JSON inside a string: true when it was JSON and was walked.
    fn nested_json(&mut self, text: &[u8], at: &At<'_>) -> bool {
        let trimmed = text.trim_ascii();
        let framed = matches!(
            (trimmed.first(), trimmed.last()),
            (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']'))
        );
        if !framed || trimmed.len() < 4 {
            return false;
        }
        self.run.work.spend(NESTED_JSON_STEPS * trimmed.len());
        // Walked twice: first to know that it is JSON, so that text in braces is still seen as text.
        if json::walk(trimmed, at, &mut |_, _| ()) == Err(json::JsonError::Malformed) {
            return false;
        }
        if self.nested >= NESTED_JSON_MAX {
            self.bound(Predicate::BoundNesting, at);
            return false;
        }
        self.nested += 1;
        let walked = body::json(self, trimmed, at);
        self.nested -= 1;
        walked.is_ok()
    }

    /// A finding of the request's form rather than of a value's text.
    pub(super) fn found_at(
        &mut self,
        predicate: Predicate,
        text: &[u8],
        context: Context,
        at: &At<'_>,
    ) {
        let mut found = Found::default();
        found.note(predicate, 0);
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.rules.by_findings(text, context, &found, &mut hits);
        self.conclude(text, &mut hits, at);
        self.hits = hits;
    }

    /// Whether nothing more can be said: the request is to be refused, and its indicators are full.
    fn has_said_all(&self) -> bool {
        self.out.verdict == Verdict::Block && self.out.indicators.len() >= INDICATORS_MAX
    }

    /// Whether a value is not looked at any more: everything is said, or no work is left, which is a finding.
    fn is_over(&mut self, steps: usize, at: &At<'_>) -> bool {
        self.run.work.spend(steps);
        if self.run.work.is_spent() {
            self.bound(Predicate::BoundWork, at);
        }
        self.run.work.is_spent() || self.has_said_all()
    }

    /// Judges a text of these classes of bytes by its rules, with what was found in it.
    fn match_rules(
        &mut self,
        text: &[u8],
        seen: Classes,
        context: Context,
        found: &Found,
        at: &At<'_>,
    ) {
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.rules.by_findings(text, context, found, &mut hits);
        if context != Context::Cypher || self.rules.reads_statements() {
            self.rules
                .by_text(text, seen, context, &mut self.run, &mut hits);
        }
        if !hits.is_empty() {
            self.conclude(text, &mut hits, at);
        }
        self.hits = hits;
    }

    /// The time spent on rules, by their ids.
    fn timings(&self) -> Vec<(Arc<str>, u64)> {
        let spent = self.run.timer.spent().iter();
        spent
            .filter_map(|(rule, nanos)| {
                let rule = self.rules.rule(*rule)?;
                Some((Arc::clone(&rule.meta.id), *nanos))
            })
            .collect()
    }
}
