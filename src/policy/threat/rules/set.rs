//! Finds the rules that match a value: one scan for literals first, then only the rules they name.

use std::sync::atomic::{AtomicU64, Ordering};

use aho_corasick::automaton::Automaton;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind};

use super::compile::{RULES_MAX, Rule};
use super::timer::Timer;
use crate::policy::cypher::Procedures;
use crate::policy::threat::bytes::{self, Classes, is_program, is_prose};
use crate::policy::threat::context::Context;
use crate::policy::threat::predicate::{Found, Predicate};
use crate::policy::threat::work::Work;
use crate::policy::threat::{Mode, RuleMeta};

/// A rule that matched, and the byte where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hit {
    pub(crate) rule: usize,
    pub(crate) at: usize,
    /// Whether an exclusion keeps it from counting.
    pub(crate) excluded: bool,
    /// Whether it stands in a program that is stored, which the rule counts for less.
    pub(crate) doubted: bool,
    /// The combined confidence it was part of; 0 while, or because, it does not count.
    pub(crate) score: f32,
}

/// All rules, indexed.
#[derive(Debug)]
pub(crate) struct RuleSet {
    /// Which rules these are: no other set of this process has the number.
    number: u64,
    rules: Vec<Rule>,
    literals: Option<DFA>,
    /// For each literal: the rule, and whether the literal alone is a match.
    literal_rules: Vec<(usize, bool)>,
    /// Literals of one byte, which stand in most values.
    signs: Vec<Signs>,
    /// Rules with a pattern and no literal: tried on every value.
    always: Vec<usize>,
    /// No literal of letters, digits and mild signs is shorter; 0 where some rule needs none.
    shortest_plain: usize,
    /// Whether some rule looks at the text of statements.
    reads_statements: bool,
    by_predicate: Vec<(Predicate, Vec<usize>)>,
    /// What statements may call.
    procedures: Procedures,
}

/// The literals of one byte that a rule has in one of its lists.
#[derive(Debug)]
struct Signs {
    rule: usize,
    /// Whether one of them alone is a match.
    alone: bool,
    is: [bool; 256],
    classes: Classes,
    /// Those of the classes that have no other bytes.
    whole: Classes,
}

impl Signs {
    /// Those of a list of words, which holds longer ones besides.
    fn of(list: &[String], rule: usize, alone: bool) -> Option<Self> {
        let mut is = [false; 256];
        for word in list.iter().map(String::as_bytes).filter(|w| w.len() == 1) {
            for byte in word
                .iter()
                .flat_map(|b| [b.to_ascii_lowercase(), b.to_ascii_uppercase()])
            {
                if let Some(slot) = is.get_mut(usize::from(byte)) {
                    *slot = true;
                }
            }
        }
        let (mut classes, mut others) = (0, 0);
        for (byte, is) in (0..=u8::MAX).zip(is) {
            *(if is { &mut classes } else { &mut others }) |= bytes::class_of(byte);
        }
        (classes != 0).then_some(Self {
            rule,
            alone,
            is,
            classes,
            whole: classes & !others,
        })
    }

    /// Whether one of them stands in a text of these classes.
    fn occur(&self, text: &[u8], seen: Classes) -> bool {
        seen & self.whole != 0 || seen & self.classes != 0 && self.find(text).is_some()
    }

    /// Where the first of them stands.
    fn find(&self, text: &[u8]) -> Option<usize> {
        let is = |b: &u8| self.is.get(usize::from(*b)).copied().unwrap_or(false);
        text.iter().position(is)
    }
}

/// The number of the next set.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What running rules takes.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) timer: Timer,
    /// What is left for looking. Once it is spent no pattern is run, and the caller says so.
    pub(crate) work: Work,
}

/// Steps of one look for literals, beside those for each byte.
const LITERALS_STEPS: usize = 40;

/// Steps of trying a pattern, and for each byte it is tried on.
const PATTERN_STEPS: usize = 30;
const PATTERN_BYTE_STEPS: usize = 3;

/// One bit for each rule.
struct Marks([u64; RULES_MAX / 64]);

impl Marks {
    /// True the first time.
    fn set(&mut self, rule: usize) -> bool {
        let Some(word) = self.0.get_mut(rule / 64) else {
            return false;
        };
        let bit = 1_u64 << (rule % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

impl RuleSet {
    /// Indexes rules; `None` when their literals do not compile together, which no literal of bytes does.
    pub(crate) fn new(rules: Vec<Rule>) -> Option<Self> {
        let mut words: Vec<&str> = Vec::new();
        let mut literal_rules = Vec::new();
        let mut signs = Vec::new();
        let mut always = Vec::new();
        let mut by_predicate: Vec<(Predicate, Vec<usize>)> =
            Predicate::all().map(|p| (p, Vec::new())).collect();
        for (index, rule) in rules
            .iter()
            .enumerate()
            .filter(|(_, r)| r.meta.mode != Mode::Off)
        {
            for (list, alone) in [(&rule.contains, true), (&rule.near, false)] {
                let longer = list.iter().filter(|w| w.len() > 1);
                literal_rules.extend(longer.clone().map(|_| (index, alone)));
                words.extend(longer.map(String::as_str));
                signs.extend(Signs::of(list, index, alone));
            }
            if !rule.regexes.is_empty() && rule.near.is_empty() {
                always.push(index);
            }
            for (predicate, list) in &mut by_predicate {
                if rule.predicates.contains(predicate) {
                    list.push(index);
                }
            }
        }
        let literals = if words.is_empty() {
            None
        } else {
            let mut builder = DFA::builder();
            builder
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                // Where some literal starts in every other value, looking for its first byte only costs.
                .prefilter(false);
            Some(builder.build(&words).ok()?)
        };
        let plain = words
            .iter()
            .filter(|w| bytes::classes(w.as_bytes()) & !bytes::PLAIN == 0);
        let shortest_plain = plain.map(|w| w.len());
        let plain_signs = signs.iter().filter(|s| s.classes & bytes::PLAIN != 0);
        let shortest_plain = shortest_plain.chain(plain_signs.map(|_| 1));
        let shortest_plain = shortest_plain.min().unwrap_or(usize::MAX);
        let reads_statements = rules.iter().any(|r| {
            let by_text = !r.contains.is_empty() || !r.regexes.is_empty();
            by_text && r.meta.mode != Mode::Off && r.contexts.has(Context::Cypher)
        });
        Some(Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            literals,
            literal_rules,
            signs,
            shortest_plain: if always.is_empty() { shortest_plain } else { 0 },
            reads_statements,
            always,
            by_predicate,
            procedures: Procedures::default(),
            rules,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What statements may call.
    pub(crate) fn procedures(&self) -> &Procedures {
        &self.procedures
    }

    /// Sets what statements may call. What was found clean before is looked at again.
    pub(crate) fn set_procedures(&mut self, procedures: Procedures) {
        self.number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.procedures = procedures;
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What every rule says of itself, to be changed before requests are judged by it.
    pub(crate) fn metas_mut(&mut self) -> impl Iterator<Item = &mut RuleMeta> {
        self.rules.iter_mut().map(|rule| &mut rule.meta)
    }

    pub(crate) fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// Whether some rule may match a text of nothing but letters, digits and mild signs, by its length.
    pub(crate) fn may_match_plain(&self, length: usize) -> bool {
        length >= self.shortest_plain
    }

    /// Whether some rule looks at the text of statements, which others leave to what is found in them.
    pub(crate) fn reads_statements(&self) -> bool {
        self.reads_statements
    }

    /// Appends the rules that match a value by what code found in it.
    pub(crate) fn by_findings(
        &self,
        text: &[u8],
        context: Context,
        found: &Found,
        hits: &mut Vec<Hit>,
    ) {
        for (predicate, at) in found.iter() {
            let rules = self
                .by_predicate
                .iter()
                .find(|(p, _)| *p == predicate)
                .map(|(_, rules)| rules.as_slice());
            for rule in rules.unwrap_or_default() {
                self.add(*rule, at, text, context, hits);
            }
        }
    }

    /// Appends the rules that match a value by its text, which is of these classes of bytes.
    pub(crate) fn by_text(
        &self,
        text: &[u8],
        seen: Classes,
        context: Context,
        run: &mut Run,
        hits: &mut Vec<Hit>,
    ) {
        run.work.spend(LITERALS_STEPS + text.len());
        let mut tried = Marks([0; RULES_MAX / 64]);
        let mut added = Marks([0; RULES_MAX / 64]);
        for signs in self.signs.iter().filter(|s| s.occur(text, seen)) {
            if signs.alone && added.set(signs.rule) {
                let at = signs.find(text).unwrap_or_default();
                self.add(signs.rule, at, text, context, hits);
            } else if !signs.alone && tried.set(signs.rule) {
                self.pattern(signs.rule, text, context, run, hits);
            }
        }
        each_literal(self.literals.as_ref(), text, |literal, at| {
            let Some((rule, alone)) = self.literal_rules.get(literal).copied() else {
                return;
            };
            if alone && added.set(rule) {
                self.add(rule, at, text, context, hits);
            } else if !alone && tried.set(rule) {
                self.pattern(rule, text, context, run, hits);
            }
        });
        for rule in &self.always {
            self.pattern(*rule, text, context, run, hits);
        }
    }

    fn pattern(
        &self,
        index: usize,
        text: &[u8],
        context: Context,
        run: &mut Run,
        hits: &mut Vec<Hit>,
    ) {
        let rule = self.rule(index).filter(|r| r.contexts.has(context));
        let Some(rule) = rule.filter(|_| !run.work.is_spent()) else {
            return;
        };
        run.work
            .spend(rule.regexes.len() * (PATTERN_STEPS + PATTERN_BYTE_STEPS * text.len()));
        let found = run
            .timer
            .measure(index, || rule.regexes.iter().find_map(|r| r.find(text)));
        if let Some(found) = found {
            self.add(index, found.start(), text, context, hits);
        }
    }

    fn add(&self, index: usize, at: usize, text: &[u8], context: Context, hits: &mut Vec<Hit>) {
        let Some(rule) = self.rule(index) else { return };
        let wanted = rule.contexts.has(context) && !hits.iter().any(|h| h.rule == index);
        if !wanted
            || rule.skips_prose && is_prose(text)
            || rule.except.as_ref().is_some_and(|e| e.is_match(text))
        {
            return;
        }
        hits.push(Hit {
            rule: index,
            at,
            excluded: false,
            doubted: rule.doubts_programs && context.stores_text() && is_program(text),
            score: 0.0,
        });
    }
}

/// Calls for every literal that stands in a text, overlapping ones too, with the byte it starts at.
fn each_literal(literals: Option<&DFA>, text: &[u8], mut call: impl FnMut(usize, usize)) {
    // Invariant: a DFA built without a start kind has the start of a search that is not anchored.
    let Some((dfa, mut state)) =
        literals.and_then(|dfa| Some((dfa, dfa.start_state(Anchored::No).ok()?)))
    else {
        return;
    };
    for (at, byte) in text.iter().enumerate() {
        state = dfa.next_state(Anchored::No, state, *byte);
        if dfa.is_special(state) && dfa.is_match(state) {
            for index in 0..dfa.match_len(state) {
                let literal = dfa.match_pattern(state, index);
                call(literal.as_usize(), at + 1 - dfa.pattern_len(literal));
            }
        }
    }
}
