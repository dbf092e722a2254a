use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::policy::hygiene::{CanonicalPath, PathRefusal, plain_name};

fn canonical(raw: &str) -> Result<String, PathRefusal> {
    CanonicalPath::parse(raw).map(|path| path.as_str().to_owned())
}

#[test]
fn equivalent_spellings_become_one() {
    let cases = [
        ("/", "/"),
        ("//", "/"),
        ("/graphs/social/query", "/graphs/social/query"),
        ("/graphs/", "/graphs/"),
        ("/%67raphs/%7Eme", "/graphs/~me"),
        ("/a%2fb".trim_end_matches("%2fb"), "/a"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a/./b/%2E/c", "/a/b/c"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/a/%2e%2e/b", "/b"),
        ("/a//../b", "/b"),
        ("///a///b//", "/a/b/"),
        ("/a/.", "/a/"),
        (
            "/a\"b<c>d^e`f{g|h}[i]",
            "/a%22b%3Cc%3Ed%5Ee%60f%7Bg%7Ch%7D%5Bi%5D",
        ),
    ];
    for (raw, expected) in cases {
        assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw:?}");
    }
}

#[test]
fn honest_paths_pass_unchanged() {
    let paths = [
        "/my%20graph/a@b:c+d,e=f;v=1",
        "/matrix;a=b;c=d/x",
        "/%E6%97%A5%E6%9C%AC/caf%C3%A9",
        "/a%2Cb%3Bc%3Dd",
        "/100%25/50%25-x",
        "/C%23/why%3F",
        "/..a/.b/c.d/...e",
        "/Acme%20Inc.",
        "/(a)!*'$&",
        "/.well-known/x.json",
    ];
    for path in paths {
        assert_eq!(canonical(path).as_deref(), Ok(path));
        assert!(!CanonicalPath::parse(path).unwrap().was_changed());
    }
    assert!(CanonicalPath::parse("/a//b").unwrap().was_changed());
}

#[test]
fn a_path_with_more_than_one_meaning_is_refused() {
    use PathRefusal as P;
    let cases = [
        ("", P::NotRooted),
        ("a", P::NotRooted),
        ("*", P::NotRooted),
        ("/a b", P::Character),
        ("/a?b", P::Character),
        ("/a#b", P::Character),
        ("/\u{ff0f}", P::Character),
        ("/a\0", P::Character),
        ("/%", P::PercentSyntax),
        ("/%2", P::PercentSyntax),
        ("/%zz", P::PercentSyntax),
        ("/%u002f", P::PercentSyntax),
        ("/%+1", P::PercentSyntax),
        ("/a%00", P::Control),
        ("/a%0d%0aX:y", P::Control),
        ("/a%7f", P::Control),
        ("/a%C2%85", P::Control),
        ("/a\\b", P::Separator),
        ("/a%5cb", P::Separator),
        ("/a%2Fb", P::Separator),
        ("/%252e%252e/", P::DoubleEncoding),
        ("/%2561dmin", P::DoubleEncoding),
        ("/%25%36%31dmin", P::DoubleEncoding),
        ("/%25u0061dmin", P::DoubleEncoding),
        ("/%25252f", P::DoubleEncoding),
        ("/%c0%ae%c0%ae/", P::NotUtf8),
        ("/%e0%80%af", P::NotUtf8),
        ("/%ff", P::NotUtf8),
        ("/%EF%BC%8Fadmin", P::Lookalike),
        ("/%EF%BC%8E%EF%BC%8E/x", P::Lookalike),
        ("/a/..;/b", P::Disguised),
        ("/a/..%3Bx/b", P::Disguised),
        ("/;/admin", P::Disguised),
        ("/;v=1", P::Disguised),
        ("/a/..%20/b", P::Disguised),
        ("/a/.../b", P::Disguised),
        ("/%20", P::Disguised),
        ("/%20admin", P::Disguised),
        ("/admin%C2%A0", P::Disguised),
        ("/%E3%80%80admin", P::Disguised),
        ("/..", P::ClimbsAboveRoot),
        ("/../admin", P::ClimbsAboveRoot),
        ("/a/../../b", P::ClimbsAboveRoot),
        ("/a/%2e%2e/%2E./b", P::ClimbsAboveRoot),
    ];
    for (raw, refusal) in cases {
        assert_eq!(canonical(raw), Err(refusal), "{raw:?}");
    }
}

#[test]
fn segments_are_exact_and_names_are_what_may_be_left_of_them() {
    let path = CanonicalPath::parse("/graphs/C%23;v=1/Acme%20Inc.%20/").unwrap();
    let segments: Vec<&str> = path.segments().collect();
    let names: Vec<&str> = path.names().collect();
    assert_eq!(segments, ["graphs", "C%23;v=1", "Acme%20Inc.%20"]);
    assert_eq!(names, ["graphs", "C", "Acme%20Inc"]);
    assert_eq!(CanonicalPath::parse("/").unwrap().segments().count(), 0);
    assert_eq!(plain_name("a%3Bb"), "a");
    assert_eq!(plain_name("a%3Fb%23"), "a");
    assert_eq!(plain_name("a%2Cb"), "a%2Cb");
}

#[test]
fn a_protected_place_is_recognised_in_every_disguise() {
    let under = |raw: &str| CanonicalPath::parse(raw).unwrap().lies_under("/admin");
    for raw in [
        "/admin",
        "/admin/",
        "/admin/users",
        "/ADMIN",
        "/admin;x/users",
        "/admin%23",
        "/admin%3Fx",
        "/admin.",
        "/admin%20",
        "/admin..%20;v",
        "/x/../%61dmin",
        "//admin",
    ] {
        assert!(under(raw), "{raw}");
    }
    for raw in [
        "/",
        "/adm",
        "/admin.json",
        "/administrator",
        "/x/admin",
        "/a;dmin",
    ] {
        assert!(!under(raw), "{raw}");
    }
    let nested = CanonicalPath::parse("/a;1/b.").unwrap();
    assert!(nested.lies_under("/a/b/") && nested.lies_under("/"));
    assert!(!nested.lies_under("/a/b/c"));
}

/// What back ends have been seen to do to a path, as text in Latin-1.
const HABITS: [fn(&str) -> String; 12] = [
    decode_all,
    remove_dots,
    merge_slashes,
    drop_parameters,
    |path| path.replace('\\', "/"),
    |path| before(path, '\0'),
    |path| before(path, '?'),
    |path| before(path, '#'),
    fold_overlong,
    decode_percent_u,
    |path| {
        path.trim_end_matches([' ', '\t', '\r', '\n', '.'])
            .to_owned()
    },
    drop_leading_blanks,
];

fn before(path: &str, mark: char) -> String {
    path.split(mark).next().unwrap_or_default().to_owned()
}

fn decode_all(path: &str) -> String {
    let octets: Vec<char> = path.chars().collect();
    let mut decoded = String::new();
    let mut at = 0;
    while at < octets.len() {
        let digits: String = octets.iter().skip(at + 1).take(2).collect();
        let octet = (octets[at] == '%' && digits.len() == 2 && !digits.starts_with('+'))
            .then(|| u8::from_str_radix(&digits, 16).ok())
            .flatten();
        decoded.push(octet.map_or(octets[at], char::from));
        at += if octet.is_some() { 3 } else { 1 };
    }
    decoded
}

fn decode_percent_u(path: &str) -> String {
    let mut parts = path.split("%u00");
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits: String = part.chars().take(2).collect();
        match u8::from_str_radix(&digits, 16) {
            Ok(octet) if digits.len() == 2 => {
                decoded.push(char::from(octet));
                decoded.extend(part.chars().skip(2));
            }
            _ => decoded.push_str(&format!("%u00{part}")),
        }
    }
    decoded
}

fn remove_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let last = path.split('/').count() - 1;
    for (index, segment) in path.split('/').enumerate() {
        match segment {
            "." | ".." => {
                if segment == ".." && out.len() > 1 {
                    out.pop();
                }
                if index == last {
                    out.push("");
                }
            }
            _ => out.push(segment),
        }
    }
    let joined = out.join("/");
    if joined.starts_with('/') {
        joined
    } else {
        format!("/{joined}")
    }
}

fn merge_slashes(path: &str) -> String {
    let mut merged = path.to_owned();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    merged
}

fn drop_parameters(path: &str) -> String {
    let names: Vec<String> = path
        .split('/')
        .map(|segment| before(segment, ';'))
        .collect();
    names.join("/")
}

fn fold_overlong(path: &str) -> String {
    path.replace("\u{c0}\u{ae}", ".")
        .replace("\u{c0}\u{af}", "/")
        .replace("\u{e0}\u{80}\u{af}", "/")
        .replace("\u{ef}\u{bc}\u{8f}", "/")
        .replace("\u{c1}\u{a1}", "a")
}

fn drop_leading_blanks(path: &str) -> String {
    match path.strip_prefix('/') {
        Some(rest) => format!("/{}", rest.trim_start_matches(|c: char| c <= ' ')),
        None => path.to_owned(),
    }
}

/// Whether some chain of habits makes the path one below `/admin`.
fn some_reader_sees_admin(path: &str) -> bool {
    let mut open = vec![path.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path == "/admin" || path.starts_with("/admin/") {
            return true;
        }
        if seen.len() < 600 && seen.insert(path.clone()) {
            open.extend(HABITS.iter().map(|habit| habit(&path)));
        }
    }
    false
}

#[test]
fn the_model_of_back_ends_finds_the_disguises() {
    for raw in [
        "/%2561dmin",
        "/x/..;/admin",
        "/x%2f..%2fadmin",
        "/%c0%ae%c0%ae/admin",
        "/\\admin",
        "/%u0061dmin",
        "/admin%00x",
        "/admin;v/..",
        "/%20admin",
        "/admin%23",
        "/;/admin",
        "/admin%20.",
    ] {
        assert!(some_reader_sees_admin(raw), "{raw}");
    }
    assert!(!some_reader_sees_admin("/administrator/admin"));
}

/// Paths from the pieces that disguises are made of.
fn disguises() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "admin",
        "admin",
        "adm",
        "in",
        "%61",
        "dmin",
        ".",
        "..",
        "%2e",
        "%2E",
        ";",
        ";v=1",
        "%3b",
        "%3B",
        "%23",
        "%3f",
        "%25",
        "%2",
        "5",
        "2f",
        "61",
        "%20",
        "%09",
        "%00",
        "%5c",
        "\\",
        "%2f",
        "//",
        "%c0%ae",
        "%EF%BC%8F",
        "%C3%A9",
        "%C2%A0",
        "u0061",
        "%u0061",
        "%75",
        "x",
        "%34",
        "%31",
        "+",
        "%2B",
        "~",
        "|",
        "%",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn canonical_is_final(raw in disguises()) {
        if let Ok(once) = canonical(&raw) {
            prop_assert_eq!(canonical(&once), Ok(once.clone()));
            prop_assert!(!CanonicalPath::parse(&once).unwrap().was_changed());
            prop_assert!(once.starts_with('/') && !once.contains("//"));
            prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert!(once.len() <= 3 * raw.len());
        }
    }

    #[test]
    fn no_back_end_habit_leads_to_a_protected_place_unnoticed(raw in disguises()) {
        if let Ok(path) = CanonicalPath::parse(&raw) {
            if !path.as_str().to_ascii_lowercase().starts_with("/admin") {
                prop_assert!(!path.lies_under("/admin"));
            }
            if !path.lies_under("/admin") {
                prop_assert!(!some_reader_sees_admin(path.as_str()), "{} -> {}", raw, path);
            }
        }
    }

    #[test]
    fn any_text_is_read_without_panic(raw in "\\PC{0,40}", nearly in "/[%/.;2e5cuF\\\\]{0,30}") {
        let _ = canonical(&raw);
        let _ = canonical(&nearly);
    }
}
