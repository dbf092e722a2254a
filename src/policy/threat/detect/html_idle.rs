//! Elements that could act and only describe or draw.

use memchr::memmem;

use super::html::{STYLES, squeeze};

/// Bytes of a style sheet that are looked at.
const SHEET_BYTES_MAX: usize = 4_096;

/// Whether an element that could act only describes or draws: a charset or a description, a style sheet that loads
/// nothing, a drawing or a formula. What could act inside of them is an element of its own.
pub(super) fn is_idle(name: &[u8], tag: &[u8], content: &[u8]) -> bool {
    let attributes = squeeze(tag.get(name.len()..).unwrap_or_default());
    let has = |word: &str| memmem::find(&attributes, word.as_bytes()).is_some();
    match name {
        b"meta" => {
            let describes = ["content-type", "x-ua-compatible", "content-language"];
            let acts = has("http-equiv") && !describes.iter().any(|w| has(w));
            !acts
                && !has("utf-7")
                && !has("script")
                && ["name=", "charset=", "http-equiv", "itemprop=", "property="]
                    .iter()
                    .any(|w| has(w))
        }
        b"link" => {
            let loads = [
                "stylesheet",
                "import",
                "preload",
                "prefetch",
                "manifest",
                "script",
            ];
            let names = [
                "rel=\"canonical",
                "rel=\"alternate",
                "rel=\"icon",
                "rel=\"shortcut",
                "rel=\"license",
                "rel=\"mw-",
                "itemprop=",
            ];
            names.iter().any(|w| has(w)) && !loads.iter().any(|w| has(w))
        }
        b"svg" | b"math" => draws(content),
        b"style" => {
            let content = content.strip_prefix(b">").unwrap_or_default();
            let sheet = content
                .get(..content.len().min(SHEET_BYTES_MAX))
                .unwrap_or_default();
            let Some(end) = memchr::memchr(b'<', sheet) else {
                return false;
            };
            let closes = sheet
                .get(end..end + 7)
                .is_some_and(|t| t.eq_ignore_ascii_case(b"</style"));
            let sheet = sheet.get(..end).unwrap_or_default();
            let squeezed = squeeze(sheet);
            let loads = STYLES.iter().chain(&["url(", "script"]);
            let typed = attributes.is_empty() || attributes == b"type=\"text/css\"";
            closes
                && typed
                && !sheet.contains(&b'\\')
                && !loads
                    .into_iter()
                    .any(|w| memmem::find(&squeezed, w.as_bytes()).is_some())
        }
        _ => false,
    }
}

/// Elements a drawing or a formula starts with.
const SHAPES: [&[u8]; 18] = [
    b"path",
    b"g",
    b"rect",
    b"circle",
    b"ellipse",
    b"line",
    b"polygon",
    b"polyline",
    b"text",
    b"title",
    b"desc",
    b"defs",
    b"mrow",
    b"mi",
    b"mn",
    b"mfrac",
    b"semantics",
    b"symbol",
];

/// Whether what follows a tag is a shape: nothing but blanks may stand before it.
fn draws(content: &[u8]) -> bool {
    let content = content.strip_prefix(b">").unwrap_or_default();
    let Some(rest) = content.trim_ascii_start().strip_prefix(b"<") else {
        return false;
    };
    let width = rest.iter().take_while(|b| b.is_ascii_alphabetic()).count();
    let name = rest.get(..width).unwrap_or_default();
    let ends = matches!(
        rest.get(width),
        Some(b'>' | b'/' | b' ' | b'\n' | b'\t' | b'\r')
    );
    ends && SHAPES.contains(&name)
}
