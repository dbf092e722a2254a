//! Addresses of foreign programs, where a server would include what stands there.

use std::net::Ipv4Addr;

use super::address::{hosts, without_port};

/// Names of fields whose value some server includes as a page, template or module of its own.
const INCLUDED: [&str; 9] = [
    "include",
    "inc",
    "page",
    "template",
    "tpl",
    "module",
    "layout",
    "document_root",
    "docroot",
];

/// Endings of what a server runs, or shows as it is.
const PROGRAMS: [&str; 12] = [
    ".php", ".phtml", ".inc", ".asp", ".aspx", ".jsp", ".cgi", ".pl", ".sh", ".txt", ".dat", "?",
];

/// Whether a value is a foreign program: in a field that names what is included, or at a bare address.
pub(super) fn is_inclusion(text: &[u8], name: &[u8]) -> bool {
    let schemes = [&b"http://"[..], b"https://", b"ftp://", b"ftps://"];
    let rest = schemes.iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        let same = head.eq_ignore_ascii_case(scheme);
        same.then(|| text.get(scheme.len()..).unwrap_or_default())
    });
    let Some(rest) = rest else { return false };
    let path = memchr::memchr(b'/', rest).and_then(|at| rest.get(at..));
    let path = path.unwrap_or_default().trim_ascii_end();
    let runs = PROGRAMS.iter().any(|ending| {
        let from = path.len().checked_sub(ending.len());
        let tail = from.and_then(|from| path.get(from..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(ending.as_bytes()))
    });
    let included = || {
        INCLUDED
            .iter()
            .any(|word| name.eq_ignore_ascii_case(word.as_bytes()))
    };
    let bare = || {
        let host = hosts(rest).next().unwrap_or_default();
        let (host, _) = without_port(host);
        std::str::from_utf8(host).is_ok_and(|host| host.parse::<Ipv4Addr>().is_ok())
    };
    runs && (included() || !path.ends_with(b"?") && (bare() || is_shell(path)))
}

/// Names of shells that are put on servers.
const SHELLS: [&str; 8] = [
    "c99", "c100", "r57", "wso", "b374k", "weevely", "webshell", "cmdasp",
];

/// Whether a path ends in the file of a shell.
fn is_shell(path: &[u8]) -> bool {
    let name = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let stem = name.split(|b| *b == b'.').next().unwrap_or_default();
    SHELLS
        .iter()
        .any(|shell| stem.eq_ignore_ascii_case(shell.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_programs_are_told_from_links() {
        for (name, text, expected) in [
            ("page", "http://example.com/c.txt", true),
            ("template", "https://example.com/x.php?", true),
            ("INC", "FTP://example.com/x.inc", true),
            ("probe", "http://8.8.8.8/x.php", true),
            ("link", "https://example.com/wso.php", true),
            ("page", "https://example.com/guide", false),
            ("page", "3", false),
            ("link", "https://example.com/a.php", false),
            ("probe", "http://8.8.8.8/x", false),
            ("probe", "http://8.8.8.8/x?", false),
        ] {
            let found = is_inclusion(text.as_bytes(), name.as_bytes());
            assert_eq!(found, expected, "{name} {text}");
        }
    }
}
