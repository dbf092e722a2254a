//! Commands that a value adds to a shell's line: what stands after a separator, read as a shell reads it.
//!
//! Quotes, carets, backslashes and empty expansions inside a word mean nothing to a shell, so the word is
//! looked up without them. A command alone is a word of many languages; what makes it one is what follows:
//! an option, a path, a redirection, another separator. It does not know what commands do.

use super::shell_word::{is_other_word, word};
use super::shell_words::{Strength, strength};
use crate::policy::threat::bytes::{self, Classes, class_of};
use crate::policy::threat::predicate::{Found, Predicate};

/// Separators looked at in one value.
const SEPARATORS_MAX: usize = 64;

/// Steps of looking behind one separator, beside those for the bytes before it.
const SEPARATOR_STEPS: usize = 30;

/// Steps of reading a word that may be a disguised command, and looking it up.
const WORD_STEPS: usize = 100;

/// Bytes after a command that are its arguments rather than a sentence.
const BRIEF_BYTES_MAX: usize = 24;

/// What makes the shell expect a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// The start of the value, which the upstream may have put anywhere.
    Start,
    /// `;`, `|`, `||`, `&`, `&&`
    Sign,
    Line,
    /// A backtick, `$(`, `<(`, `>(`
    Substitution,
    /// `{cat,x}`
    Brace,
}

/// What follows a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    End,
    Separator,
    Option,
    Path,
    Redirection,
    Variable,
    Quoted,
    /// A name with a dot, or a number.
    Name,
    Word,
}

pub(super) fn find(text: &[u8], found: &mut Found) {
    let mut seen = 0;
    if commands(text, 0, Before::Start, found) {
        return found.note(Predicate::ShellCommand, 0);
    }
    let mut at = 0;
    let mut ticks = 0_usize;
    while let Some((from, next, before)) = separator(text, at) {
        let tick = text.get(from) == Some(&b'`');
        ticks += usize::from(tick);
        // Nothing is substituted behind a backtick that closes.
        let closes = tick && ticks.is_multiple_of(2);
        if !closes && commands(text, next, before, found) {
            return found.note(Predicate::ShellCommand, from);
        }
        found.work.spend(SEPARATOR_STEPS + (next - at));
        at = next;
        seen += 1;
        if seen >= SEPARATORS_MAX {
            return;
        }
    }
}

/// What separators begin with.
const SEPARATING: Classes = bytes::PIPE
    | bytes::SEMICOLON
    | bytes::AMPERSAND
    | bytes::LINE
    | bytes::BACKTICK
    | bytes::DOLLAR
    | bytes::ANGLE
    | bytes::BRACKET;

/// The next separator from a byte on: where it starts, where the command would, and its kind.
fn separator(text: &[u8], from: usize) -> Option<(usize, usize, Before)> {
    let rest = text.get(from..)?;
    let marks = rest.iter().enumerate();
    for (index, byte) in marks.filter(|(_, b)| class_of(**b) & SEPARATING != 0) {
        let at = from + index;
        let next = text.get(at + 1).copied().unwrap_or(0);
        let found = match byte {
            b'|' | b'&' if next == *byte => Some((at + 2, Before::Sign)),
            // `=>` and `->` are arrows, `&lt;` is a reference, and `>&1` duplicates a descriptor.
            b'|' | b';' => Some((at + 1, Before::Sign)),
            b'&' if !is_reference(text.get(at + 1..).unwrap_or_default()) => {
                Some((at + 1, Before::Sign))
            }
            b'\n' | b'\r' => Some((at + 1, Before::Line)),
            b'`' => Some((at + 1, Before::Substitution)),
            b'$' | b'<' | b'>' if next == b'(' => Some((at + 2, Before::Substitution)),
            b'{' => Some((at + 1, Before::Brace)),
            _ => None,
        };
        if let Some((next, before)) = found {
            return Some((at, next, before));
        }
    }
    None
}

/// `copy;` of `&copy;`.
fn is_reference(rest: &[u8]) -> bool {
    let width = rest
        .iter()
        .take(10)
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    width > 1 && rest.get(width) == Some(&b';')
}

/// Whether a command stands at a byte.
fn commands(text: &[u8], at: usize, before: Before, found: &mut Found) -> bool {
    let blanks = text
        .iter()
        .skip(at)
        .take_while(|b| {
            // A plus sign is a blank that a form was not undone for.
            matches!(b, b' ' | b'\t') || **b == b'+' && before == Before::Sign
        })
        .count();
    let starts = before == Before::Start;
    if is_other_word(text.get(at + blanks..).unwrap_or_default(), starts) {
        return false;
    }
    // The one at the start is in what every value takes.
    found.work.spend(WORD_STEPS * usize::from(!starts));
    let word = word(text, at + blanks);
    // At the start only a disguise makes a command of a word.
    if starts && !word.disguised {
        return false;
    }
    let glob = word.globs >= 2 && word.path && !starts;
    let Some(strength) = strength(word.name()).or_else(|| glob.then_some(Strength::Sure)) else {
        return false;
    };
    let after = after(text, word.end, before);
    if word.disguised && word.len > 2 && before != Before::Brace {
        return after != After::Word;
    }
    let lone = left_is_tight(text, at, before) && !is_list(text);
    let argued = matches!(
        after,
        After::Option | After::Path | After::Redirection | After::Variable
    );
    match (before, strength) {
        (Before::Start, _) => false,
        (Before::Brace, _) => word.braced && argued,
        (Before::Substitution, Strength::Sure) => {
            after != After::Word && !is_shown(text, at) || argued && lone
        }
        (Before::Substitution, Strength::Maybe) => {
            !is_shown(text, at) && (argued || matches!(after, After::Separator | After::Name))
        }
        (Before::Line, Strength::Sure) => lone && (argued || after == After::Name),
        (Before::Line, Strength::Maybe) => {
            lone && text.len() < 128
                && (argued
                    || after == After::End
                    || after == After::Separator && ends_here(text, word.end)
                    || after == After::Name && left_is_closed(text, at))
        }
        (Before::Sign, Strength::Sure) => {
            let brief = text.len() - word.end.min(text.len()) < BRIEF_BYTES_MAX;
            !is_shown(text, at) && (argued || lone && (brief || after != After::Word))
        }
        (Before::Sign, Strength::Maybe) => {
            !is_shown(text, at) && lone && (argued || after != After::Word)
        }
    }
}

/// Whether nothing but signs stands from a byte on.
fn ends_here(text: &[u8], from: usize) -> bool {
    let rest = text.get(from..).unwrap_or_default();
    !rest.iter().any(|b| b.is_ascii_alphanumeric() || *b >= 0x80)
}

/// What stands behind a command.
fn after(text: &[u8], end: usize, before: Before) -> After {
    let rest = text.get(end..).unwrap_or_default();
    let field = [&b"${ifs}"[..], b"$ifs$9", b"$ifs"];
    let separated = field.iter().find(|f| {
        rest.get(..f.len())
            .is_some_and(|r| r.eq_ignore_ascii_case(f))
    });
    if separated.is_some() {
        return After::Variable;
    }
    let blanks = rest
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t' | b'+'))
        .count();
    let braced = before == Before::Brace && rest.first() == Some(&b',');
    let rest = rest.get(blanks + usize::from(braced)..).unwrap_or_default();
    let touches = blanks == 0 && !braced;
    match rest {
        [] => After::End,
        [b'#', ..] if !touches => After::End,
        [b'\'' | b'"', tail @ ..] if tail.trim_ascii().is_empty() => After::End,
        [b';' | b'|' | b'&' | b')' | b'`' | b'\n' | b'\r', ..] => After::Separator,
        [b'<' | b'>', ..] => After::Redirection,
        [b'$', next, ..] if next.is_ascii_alphabetic() || matches!(next, b'{' | b'(') => {
            After::Variable
        }
        [b'%', next, ..] if next.is_ascii_alphabetic() => After::Variable,
        _ if touches => After::Word,
        [b'-', next, ..] if next.is_ascii_alphanumeric() || *next == b'-' => option(rest),
        [b'/' | b'~' | b'*' | b'\\', ..] | [b'.', b'/' | b'.', ..] => After::Path,
        [drive, b':', ..] if drive.is_ascii_alphabetic() => After::Path,
        [b'\'' | b'"', ..] => After::Quoted,
        _ => operand(rest),
    }
}

/// A word that starts with a dash: no option has a colon right behind its letters.
fn option(rest: &[u8]) -> After {
    let width = rest
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        .count();
    if rest.get(width) == Some(&b':') {
        After::Word
    } else {
        After::Option
    }
}

/// A word after a command: a name of a file or host, or just a word.
fn operand(rest: &[u8]) -> After {
    let width = rest
        .iter()
        .take_while(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'@' | b':' | b'/')
        })
        .count();
    let word = rest.get(..width).unwrap_or_default();
    let tail = rest.get(width..).unwrap_or_default().trim_ascii_start();
    let inner = word.trim_ascii_end().strip_suffix(b".").unwrap_or(word);
    let named = inner.iter().any(|b| matches!(b, b'.' | b'/' | b'@' | b':')) && inner.len() > 2;
    let number = !inner.is_empty() && inner.iter().all(u8::is_ascii_digit);
    // `expr 3 + 4`
    let calculates =
        number && matches!(tail, [b'+' | b'*', b' ', next, ..] if next.is_ascii_digit());
    let ends = calculates
        || matches!(
            tail.first(),
            None | Some(
                b';' | b'|' | b'&' | b'`' | b')' | b'>' | b'<' | b'#' | b'-' | b'\'' | b'"'
            )
        );
    if ends && (named || number) {
        After::Name
    } else {
        After::Word
    }
}

/// Whether what stands left of a separator is one thing a command would be glued to: nothing, a closed quote, a
/// host, a file's name, a number.
fn left_is_tight(text: &[u8], at: usize, before: Before) -> bool {
    let left = text.get(..at).unwrap_or_default();
    let left = left
        .iter()
        .rposition(|b| {
            !matches!(
                b,
                b';' | b'|' | b'&' | b'\n' | b'\r' | b'`' | b'$' | b'(' | b'<' | b'>' | b' ' | b'{'
            )
        })
        .map_or(&[][..], |i| left.get(..=i).unwrap_or_default());
    let Some(last) = left.last() else {
        return true;
    };
    if left.len() > 64 || left.iter().any(u8::is_ascii_whitespace) {
        return false;
    }
    matches!(last, b'\'' | b'"' | b')' | b']' | b'}')
        || left.iter().any(|b| matches!(b, b'.' | b'@'))
        || left.iter().all(u8::is_ascii_digit)
        || before == Before::Line && left.len() < 24
        || left.len() < 3
}

/// Whether nothing stands left of a line, or a mark that closes.
fn left_is_closed(text: &[u8], at: usize) -> bool {
    let left = text.get(..at).unwrap_or_default().trim_ascii_end();
    matches!(left.last(), None | Some(b'\'' | b'"' | b')' | b']' | b'}'))
}

/// Whether a value is a list of words: the header of a table, names side by side.
fn is_list(text: &[u8]) -> bool {
    [b';', b'|', b'\n'].iter().any(|separator| {
        let mut items = 0;
        let words = text.split(|b| b == separator).all(|item| {
            items += 1;
            let item = item.trim_ascii();
            !item.is_empty()
                && item
                    .iter()
                    .all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b' '))
        });
        words && (items > 2 || text.len() < 8 && text.contains(&b' '))
    })
}

/// Whether a byte stands in a span of code that prose shows: `` use `ls | sort` to … ``.
fn is_shown(text: &[u8], at: usize) -> bool {
    let left = text.get(..at).unwrap_or_default();
    let right = text.get(at..).unwrap_or_default();
    let opened = memchr::memchr_iter(b'`', left).count() % 2 == 1;
    let Some(close) = memchr::memchr(b'`', right).filter(|_| opened) else {
        return false;
    };
    let open = memchr::memrchr(b'`', left).unwrap_or(0);
    words(left.get(..open).unwrap_or_default()) + words(right.get(close + 1..).unwrap_or_default())
        >= 3
}

/// Words of letters that blanks or line ends part.
fn words(text: &[u8]) -> usize {
    text.split(u8::is_ascii_whitespace)
        .map(|word| word.trim_ascii_end())
        .filter(|word| {
            let bare = word.strip_suffix(b",").or_else(|| word.strip_suffix(b"."));
            let bare = bare.unwrap_or(word);
            bare.len() > 1 && bare.iter().all(u8::is_ascii_alphabetic)
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> bool {
        let mut found = Found::default();
        find(text.as_bytes(), &mut found);
        !found.is_empty()
    }

    #[test]
    fn commands_are_found_behind_every_separator_and_disguise() {
        for text in [
            "; tac /srv/x",
            "x|nl ./y",
            "a && mkfifo /tmp/z",
            "10.1.2.3;hostname",
            "pic.jpg;whoami",
            "w\"ho\"ami",
            "& n^e^t^s^t^a^t",
            "$(busybox id)x$(who$@ami)",
            "`socat -V`",
            "1\n/usr/bin/env",
            ";/???/b?t /etc/x",
            "{strings,/etc/x}",
            "';od -c x'",
            "| tee<x",
            "& copy c:\\x",
            "x;ssh${IFS}h",
            ";kubectl get pods",
            "|expr 12 + 30",
            "h &&+cut -b 1 x",
            "; t\\a\\c \\/srv\\/x",
            "7\nenv;",
            "a') \n sleep 12",
            "z\" || printf y",
            "\nexpr 3 + 4",
        ] {
            assert!(found(text), "{text}");
        }
    }

    #[test]
    fn words_of_prose_and_lists_are_left_alone() {
        for text in [
            "id;kind;date",
            "x; id",
            "cats & dogs; find a way",
            "I'd like to; who wouldn't",
            "Use `cat a.txt | grep b` to look for b",
            "sort | uniq",
            "name|type|host",
            "&copy; 2024",
            "read; write; sleep well",
            "Notes\nfind a room\ncat food",
            "The `a.ini` file configures:\n- x",
            "and `x` for *y*",
            "fish & chips > pie",
            "touch base; head to more. less is",
            "Mode;vi -x: on",
            "a\nsort;filter;find;by",
        ] {
            assert!(!found(text), "{text}");
        }
    }
}
