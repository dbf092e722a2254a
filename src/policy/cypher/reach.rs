//! What a statement reaches for beyond the graph: files, hosts, other statements, administration.

use super::facts::is_clause;
use super::keyword::Keyword as K;
use super::lexer::{Kind, Token, Tokens};
use super::procedure::{Procedures, is_known_root, writes};
use super::{Finding, Findings};

/// What a statement reaches, for its class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reach {
    pub(super) statements: u32,
    pub(super) admin: bool,
    pub(super) writes_by_procedure: bool,
}

/// A dotted name that is longer is not joined whole: no name that is allowed or denied is.
const NAME_BYTES_MAX: usize = super::procedure::PATTERN_BYTES_MAX;

pub(super) fn collect(
    text: &[u8],
    list: &Tokens,
    procedures: &Procedures,
    findings: &mut Findings,
) -> Reach {
    let mut reach = Reach {
        statements: 0,
        ..Reach::default()
    };
    let mut begin = true;
    let mut depth = 0_u32;
    for (index, token) in list.list.iter().enumerate() {
        if token.kind == Kind::Sign(b';') && depth == 0 {
            begin = true;
            continue;
        }
        match token.kind {
            Kind::Sign(b'{' | b'(' | b'[') => depth += 1,
            Kind::Sign(b'}' | b')' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if begin {
            begin = false;
            reach.statements += 1;
            if reach.statements == 2 {
                findings.note(Finding::Stacked, token.start);
            }
            if starts_admin(list, index) {
                reach.admin = true;
                findings.note(Finding::AdminCommand, token.start);
            }
        }
        if token.keyword == K::Load
            && list.is(index + 1, K::Csv)
            && follows_load_csv(list, index + 2)
        {
            findings.note(Finding::LoadCsv, token.start);
        }
        if begins_name(list, index) || procedures.is_only() && is_called_alone(list, index) {
            procedure(text, list, index, procedures, &mut reach, findings);
        }
    }
    reach
}

fn follows_load_csv(list: &Tokens, index: usize) -> bool {
    list.is(index, K::From) || list.is(index, K::With)
}

/// Whether a dotted name begins at a token. Behind one dot it goes on; behind two, which make a range, it begins.
fn begins_name(list: &Tokens, index: usize) -> bool {
    let dot = |back: usize| {
        index
            .checked_sub(back)
            .is_some_and(|i| list.is_sign(i, b'.'))
    };
    is_part(list, index) && list.is_sign(index + 1, b'.') && (!dot(1) || dot(2))
}

fn is_part(list: &Tokens, index: usize) -> bool {
    list.at(index)
        .is_some_and(|t| matches!(t.kind, Kind::Word | Kind::Name))
}

/// Whether a name without a dot is called by CALL as a clause, not by a variable of that name that is sorted by.
fn is_called_alone(list: &Tokens, index: usize) -> bool {
    let named = list.at(index).is_some_and(|t| t.keyword == K::None);
    let Some(call) = index.checked_sub(1).filter(|i| list.is(*i, K::Call)) else {
        return false;
    };
    let sorts = call
        .checked_sub(1)
        .is_some_and(|i| list.is(i, K::By) || list.is_sign(i, b','));
    named && is_part(list, index) && !sorts && is_clause(list, call)
}

/// A name that is called, whatever blanks, comments and backticks it is written with.
fn procedure(
    text: &[u8],
    list: &Tokens,
    index: usize,
    procedures: &Procedures,
    reach: &mut Reach,
    findings: &mut Findings,
) {
    let Some(first) = list.at(index) else { return };
    // Most dotted names are properties of variables of one letter.
    let known = first.inner(text).len() >= 2 && is_known_root(first.inner(text));
    if !known && !procedures.is_only() {
        return;
    }
    let mut end = index + 1;
    while list.is_sign(end, b'.') && is_part(list, end + 1) {
        end += 2;
    }
    let by_call = index > 0 && list.is(index - 1, K::Call);
    if !by_call && !list.is_sign(end, b'(') {
        return;
    }
    let name = joined(text, list.list.get(index..end).unwrap_or_default());
    reach.admin |= name.starts_with("dbms.");
    reach.writes_by_procedure |= writes(&name);
    if procedures.denies(&name, by_call) {
        findings.note(Finding::DeniedProcedure, first.start);
    }
}

/// The tokens of a dotted name as it is compared, cut where no known name goes on.
fn joined(text: &[u8], parts: &[Token]) -> String {
    let mut name = String::with_capacity(32);
    for part in parts {
        if name.len() > NAME_BYTES_MAX {
            break;
        }
        let part = String::from_utf8_lossy(part.inner(text));
        name.push_str(&part.trim().to_ascii_lowercase());
    }
    name
}

/// Skips what may stand before a statement: EXPLAIN, PROFILE, `CYPHER 5 runtime=slotted`, `USE graph`.
pub(super) fn statement_start(list: &Tokens, from: usize) -> Option<usize> {
    let mut at = from;
    for _ in 0..8 {
        let token = list.at(at)?;
        match token.keyword {
            K::Explain | K::Profile => at += 1,
            // `USING PERIODIC COMMIT 500 LOAD CSV …`
            K::Using
                if at == from || list.is(at - 1, K::Explain) || list.is(at - 1, K::Profile) =>
            {
                at += 1;
                while list.at(at).is_some_and(|t| {
                    matches!(t.kind, Kind::Word | Kind::Number) && !t.keyword.starts_clause()
                }) {
                    at += 1;
                }
            }
            K::Cypher => {
                at += 1;
                while list.at(at).is_some_and(|t| {
                    t.kind == Kind::Number
                        || list.is_sign(at + 1, b'=')
                        || t.kind == Kind::Sign(b'.')
                }) {
                    at += if list.is_sign(at + 1, b'=') { 3 } else { 1 };
                }
            }
            K::Use => {
                at += 1;
                while list
                    .at(at)
                    .is_some_and(|t| !t.keyword.starts_clause() && t.keyword != K::Show)
                {
                    at += 1;
                }
                return Some(at.min(list.list.len()).max(from))
                    .filter(|i| *i < list.list.len())
                    .or(Some(from));
            }
            _ => return Some(at),
        }
    }
    Some(at)
}

fn starts_admin(list: &Tokens, index: usize) -> bool {
    if list.is(index, K::Use) && list.is(index + 1, K::System) {
        return true;
    }
    if list.is_sign(index, b':') && list.at(index + 1).is_some_and(|t| t.kind == Kind::Word) {
        return true;
    }
    statement_start(list, index).is_some_and(|start| admin_command(list, start))
}

/// Whether an administration command starts at a token.
pub(super) fn admin_command(list: &Tokens, at: usize) -> bool {
    let word = |i: usize| list.at(i).map_or(K::None, |t: Token| t.keyword);
    let object = |i: usize| {
        matches!(
            word(i),
            K::User
                | K::Users
                | K::Role
                | K::Roles
                | K::Database
                | K::Databases
                | K::Alias
                | K::Aliases
                | K::Server
                | K::Servers
                | K::Privilege
                | K::Privileges
                | K::Transaction
                | K::Transactions
                | K::Setting
                | K::Settings
                | K::Composite
                | K::Home
                | K::Default
        )
    };
    match word(at) {
        K::Show => {
            let next = if matches!(word(at + 1), K::All | K::Current | K::Supported) {
                at + 2
            } else {
                at + 1
            };
            object(next)
                || object(at + 2) && list.at(at + 1).is_some_and(|t| t.kind == Kind::Word)
                || list
                    .list
                    .iter()
                    .skip(at)
                    .take(4)
                    .any(|t| matches!(t.keyword, K::Privileges | K::Privilege))
        }
        K::Create => {
            let next = if word(at + 1) == K::Or && word(at + 2) == K::Replace {
                at + 3
            } else {
                at + 1
            };
            object(next)
        }
        K::Alter => object(at + 1) || word(at + 1) == K::Current,
        K::Drop => object(at + 1),
        K::Rename => object(at + 1),
        K::Grant | K::Deny | K::Revoke => list.at(at + 1).is_some_and(|t| t.kind == Kind::Word),
        K::Start | K::Stop => word(at + 1) == K::Database,
        K::Terminate => matches!(word(at + 1), K::Transaction | K::Transactions),
        K::Enable => word(at + 1) == K::Server,
        K::Deallocate | K::Reallocate => matches!(word(at + 1), K::Database | K::Databases),
        K::Dryrun => true,
        _ => false,
    }
}
