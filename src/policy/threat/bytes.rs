//! What a value is made of, learnt in one pass: most values hold nothing any rule could match.

/// Classes of bytes: a detector names those it needs, so that it is not asked about values that have none of them.
pub(super) type Classes = u32;

pub(super) const LETTER: Classes = 1;
pub(super) const DIGIT: Classes = 1 << 1;
pub(super) const BLANK: Classes = 1 << 2;
/// `.,:@/+?!~-_`
pub(super) const MILD: Classes = 1 << 3;
/// `.`, beside [`MILD`].
pub(super) const DOT: Classes = 1 << 4;
/// `:`, beside [`MILD`].
pub(super) const COLON: Classes = 1 << 5;
/// `/`, beside [`MILD`].
pub(super) const SLASH: Classes = 1 << 6;
/// `-`, beside [`MILD`].
pub(super) const DASH: Classes = 1 << 7;
/// `'` and `"`
pub(super) const STRING: Classes = 1 << 8;
pub(super) const BACKTICK: Classes = 1 << 9;
/// `<` and `>`
pub(super) const ANGLE: Classes = 1 << 10;
pub(super) const PERCENT: Classes = 1 << 11;
pub(super) const AMPERSAND: Classes = 1 << 12;
pub(super) const BACKSLASH: Classes = 1 << 13;
/// Brackets of all kinds.
pub(super) const BRACKET: Classes = 1 << 14;
pub(super) const EQUALS: Classes = 1 << 15;
pub(super) const SEMICOLON: Classes = 1 << 16;
pub(super) const PIPE: Classes = 1 << 17;
pub(super) const DOLLAR: Classes = 1 << 18;
pub(super) const HASH: Classes = 1 << 19;
pub(super) const STAR: Classes = 1 << 20;
pub(super) const CARET: Classes = 1 << 21;
/// Control characters but blanks.
pub(super) const CONTROL: Classes = 1 << 22;
/// Beyond ASCII.
pub(super) const HIGH: Classes = 1 << 23;
/// `\r` and `\n`
pub(super) const LINE: Classes = 1 << 24;

pub(super) const QUOTE: Classes = STRING | BACKTICK;
pub(super) const ESCAPE: Classes = PERCENT | AMPERSAND | BACKSLASH;
pub(super) const SIGN: Classes = EQUALS | SEMICOLON | PIPE | DOLLAR | HASH | STAR | CARET;

/// Of these a value may be made and still be plain.
pub(super) const PLAIN: Classes = LETTER | DIGIT | BLANK | MILD | DOT | COLON | SLASH | DASH;

const fn class(byte: u8) -> Classes {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => LETTER,
        b'0'..=b'9' => DIGIT,
        b' ' | b'\t' => BLANK,
        b'\r' | b'\n' => LINE,
        b'.' => MILD | DOT,
        b':' => MILD | COLON,
        b'/' => MILD | SLASH,
        b'-' => MILD | DASH,
        b',' | b'@' | b'+' | b'?' | b'!' | b'~' | b'_' => MILD,
        b'\'' | b'"' => STRING,
        b'`' => BACKTICK,
        b'<' | b'>' => ANGLE,
        b'%' => PERCENT,
        b'&' => AMPERSAND,
        b'\\' => BACKSLASH,
        b'(' | b')' | b'[' | b']' | b'{' | b'}' => BRACKET,
        b'=' => EQUALS,
        b';' => SEMICOLON,
        b'|' => PIPE,
        b'$' => DOLLAR,
        b'#' => HASH,
        b'*' => STAR,
        b'^' => CARET,
        0x80.. => HIGH,
        _ => CONTROL,
    }
}

const CLASSES: [Classes; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a u8 is below 256")]
        {
            table[byte as usize] = class(byte);
        }
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};

/// The class of a byte.
pub(super) fn class_of(byte: u8) -> Classes {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// The classes that occur in a text.
pub(super) fn classes(text: &[u8]) -> Classes {
    text.iter().fold(0, |seen, byte| seen | class_of(*byte))
}

/// Whether a text reads as prose: eight words or more, and hardly anything but words.
pub(super) fn is_prose(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(2_048)).unwrap_or_default();
    let letters = head
        .iter()
        .filter(|b| b.is_ascii_alphabetic() || **b >= 0x80)
        .count();
    let blanks = head.iter().filter(|b| b.is_ascii_whitespace()).count();
    let digits = head.iter().filter(|b| b.is_ascii_digit()).count();
    blanks >= 7 && (letters + blanks) * 100 >= head.len() * 86 && digits * 20 <= head.len()
}

/// Lines from which on a text may be a program.
const PROGRAM_LINES_MIN: usize = 6;

/// Bytes of a text that are looked at for it.
const PROGRAM_BYTES_MAX: usize = 8_192;

/// Whether a text reads as a program, a script or a file of settings: several lines, most of them of such a form.
pub(super) fn is_program(text: &[u8]) -> bool {
    let head = text
        .get(..text.len().min(PROGRAM_BYTES_MAX))
        .unwrap_or_default();
    let (mut lines, mut coded) = (0, 0);
    for line in head
        .split(|b| *b == b'\n')
        .filter(|l| !l.trim_ascii().is_empty())
    {
        lines += 1;
        coded += usize::from(is_coded(line));
    }
    lines >= PROGRAM_LINES_MIN && coded * 10 >= lines * 7
}

/// Whether a line has the form of code: it is indented, ends in a sign that prose does not end in, or starts like a
/// comment, a statement or a setting.
fn is_coded(line: &[u8]) -> bool {
    let indented = matches!(line, [b' ', b' ', ..] | [b'\t', ..]);
    let line = line.trim_ascii();
    let ends = matches!(
        line.last(),
        Some(b';' | b'{' | b'}' | b'(' | b')' | b'[' | b']' | b',' | b':' | b'>' | b'\\' | b'=')
    );
    let starts = matches!(
        line,
        [b'/', b'/' | b'*', ..] | [b'*' | b'#' | b'@' | b'}' | b')' | b']' | b'<' | b'"', ..]
    );
    let width = line
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        .count();
    let word = line.get(..width).unwrap_or_default();
    let statement = LEADS.contains(&word) && line.get(width).is_none_or(u8::is_ascii_whitespace);
    let setting = width > 0
        && matches!(
            line.get(width..),
            Some([b':' | b'=', b' ', ..] | [b' ', b'=' | b':', b' ' | b'=', ..])
        );
    indented || ends || starts || statement || setting
}

/// Words that lines of programs start with.
const LEADS: [&[u8]; 32] = [
    b"import",
    b"from",
    b"export",
    b"const",
    b"let",
    b"var",
    b"return",
    b"if",
    b"else",
    b"elif",
    b"fi",
    b"for",
    b"while",
    b"do",
    b"done",
    b"def",
    b"class",
    b"public",
    b"private",
    b"static",
    b"function",
    b"package",
    b"using",
    b"use",
    b"fn",
    b"echo",
    b"set",
    b"end",
    b"then",
    b"begin",
    b"FROM",
    b"RUN",
];

/// Splits Markdown at its code fences: what stands outside, and what inside. `None` without a fence.
///
/// A fence may be indented or quoted, and one that names a language and is never closed goes on to the end.
pub(super) fn fences(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    memchr::memmem::find(text, b"```")?;
    let (mut outside, mut inside) = (Vec::new(), Vec::new());
    let mut open: Option<bool> = None;
    let mut fenced = false;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let info = fence(line);
        match (open, info) {
            (None, Some(info)) => {
                // A fence is a line of its own: one word at most stands behind it.
                if !info.iter().all(|b| {
                    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'#' | b'-' | b'_' | b'.')
                }) {
                    return None;
                }
                open = Some(!info.is_empty());
            }
            (Some(_), Some([])) => {
                open = None;
                fenced = true;
            }
            (Some(_), _) => inside.extend_from_slice(line),
            (None, None) => outside.extend_from_slice(line),
        }
    }
    match open {
        Some(false) => None,
        Some(true) => Some((outside, inside)),
        None => fenced.then_some((outside, inside)),
    }
}

/// What stands behind the fence that a line is.
fn fence(line: &[u8]) -> Option<&[u8]> {
    let from = line
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t' | b'>'))?;
    let rest = line.get(from..)?.strip_prefix(b"```")?;
    Some(rest.trim_ascii())
}

/// Words that stand around spans of code where they are shown rather than meant.
const WORDS_AROUND_MIN: usize = 3;

/// Bytes of one span of code.
const SPAN_BYTES_MAX: usize = 200;

/// Splits prose at its spans of code: the prose with `` `x` `` for each span, and what they held, with commas between.
///
/// `None` unless every backtick pairs, spans stand where words do, and there is prose around them.
pub(super) fn spans(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    memchr::memchr(b'`', text)?;
    let (mut prose, mut inside) = (Vec::with_capacity(text.len()), Vec::new());
    let mut marks = memchr::memchr_iter(b'`', text);
    let mut from = 0;
    let mut last_shown: &[u8] = &[];
    while let Some(open) = marks.next() {
        let close = marks.next()?;
        let before = open.checked_sub(1).and_then(|i| text.get(i));
        let after = text.get(close + 1);
        let opens =
            before.is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'(' | b'*' | b'['));
        let closes = after.is_none_or(|b| b.is_ascii_whitespace() || b.is_ascii_punctuation());
        let code = text.get(open + 1..close)?;
        if !opens
            || !closes
            || code.is_empty()
            || code.len() > SPAN_BYTES_MAX
            || code.contains(&b'\n')
        {
            return None;
        }
        prose.extend_from_slice(text.get(from..=open)?);
        prose.extend_from_slice(b"x`");
        // A name shown again says nothing new.
        if code != last_shown {
            if !inside.is_empty() {
                inside.extend_from_slice(b", ");
            }
            inside.extend_from_slice(code);
        }
        last_shown = code;
        from = close + 1;
    }
    prose.extend_from_slice(text.get(from..)?);
    let words = prose
        .split(u8::is_ascii_whitespace)
        .filter(|w| w.len() > 1 && w.iter().all(u8::is_ascii_alphabetic))
        .take(WORDS_AROUND_MIN)
        .count();
    (words >= WORDS_AROUND_MIN && from > 0).then_some((prose, inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_told_from_the_rest() {
        assert_eq!(classes(b"Ann Smith, 42: a@b.c/d") & !PLAIN, 0);
        assert_eq!(classes(b"it's") & !PLAIN, STRING);
        assert_eq!(classes("é".as_bytes()), HIGH);
    }

    #[test]
    fn fenced_code_is_split_off() {
        let (outside, inside) = fences(b"a\n```sh\nls -la\n```\nb").unwrap();
        assert_eq!(
            (outside.as_slice(), inside.as_slice()),
            (&b"a\nb"[..], &b"ls -la\n"[..])
        );
        for text in [
            "1. x\n   ```sh\n   ls\n   ```\n",
            "> ```\nls\n> ```",
            "x\n```sh\nls -la",
        ] {
            let (_, inside) = fences(text.as_bytes()).unwrap();
            assert!(
                inside.starts_with(b"ls") || inside.starts_with(b"   ls"),
                "{text}"
            );
        }
        assert!(fences(b"```\nls").is_none());
        assert!(fences(b"a ```ls``` b").is_none() && fences(b"```; ls\n```").is_none());
    }

    #[test]
    fn code_that_prose_shows_is_split_off() {
        let (prose, code) = spans(b"Use `ls -la` and `cat x` to look at your files").unwrap();
        assert_eq!(prose, b"Use `x` and `x` to look at your files");
        assert_eq!(code, b"ls -la, cat x");
        for text in [
            "a `ls` b",
            "one two three four `ls",
            "one two three four x`ls`",
            "`ls`",
        ] {
            assert!(spans(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn programs_are_told_from_text() {
        assert!(is_program(
            b"import a\n\nexport const b = (c) => {\n  if (c) {\n    return d(c);\n  }\n  return 1;\n};\n"
        ));
        assert!(is_program(
            b"on: [push]\njobs:\n  a:\n    steps:\n      - run: |\n          make\n"
        ));
        for text in [
            "Dear all,\nwe met today\nand talked about it\nwith Ann\nand Ben\nand all the rest of them\n",
            "id\nls\nwhoami\nuname\npwd\nenv\n",
            "a();\nb();",
        ] {
            assert!(!is_program(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn prose_is_told_from_syntax() {
        assert!(is_prose(
            b"Please select the best union of both lists and drop the rest"
        ));
        assert!(!is_prose(
            b"1 union select 1,2,3,4,5,6,7 from users where id=1 or 1=1 --"
        ));
    }
}
