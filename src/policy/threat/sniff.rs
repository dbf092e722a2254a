//! What bytes are, whatever their type says.

/// Bytes looked at to know whether a text is one: the head and the tail of a long one, as much of each.
const SAMPLE_BYTES: usize = 64 << 10;

/// Of so many bytes of text one may be a control character.
const CONTROL_SHARE: usize = 50;

/// Bytes of a run of text inside other bytes from which on it may mean something.
const RUN_BYTES_MIN: usize = 8;

/// Bytes of such a run that is looked at however it begins: random bytes hold none.
const LONG_RUN_BYTES_MIN: usize = 16;

/// The header every stream of .NET's `BinaryFormatter` begins with.
const DOTNET: &[u8] = b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00\x00";

/// What Python's pickles of protocol 2 and later go on with.
const PICKLE_OPCODES: &[u8] = b"c(}])\x95\x8c\x8aXKJMGUCBNIFh\x88\x89\x8f\x8e\x8d";

/// Bytes of a body in which a NUL tells that it is no text.
const HEAD_BYTES: usize = 1_024;

/// Names of binary types below `application/`.
const BINARY: &[&str] = &[
    "octet-stream",
    "zip",
    "gzip",
    "x-gzip",
    "x-tar",
    "x-bzip2",
    "x-7z-compressed",
    "zstd",
    "pdf",
    "protobuf",
    "x-protobuf",
    "grpc",
    "msgpack",
    "x-msgpack",
    "cbor",
    "avro",
    "vnd.apache.parquet",
    "vnd.apache.arrow.stream",
    "vnd.apache.arrow.file",
    "wasm",
];

/// Words in the names of types that are text.
const TEXT: &[&str] = &[
    "json",
    "xml",
    "urlencoded",
    "yaml",
    "javascript",
    "sql",
    "cypher",
];

/// Whether a type, in lower case and without parameters, is one of bytes that are no text.
pub(super) fn is_declared_binary(kind: &str) -> bool {
    let (family, name) = kind.split_once('/').unwrap_or((kind, ""));
    match family {
        "image" => name != "svg+xml",
        "audio" | "video" | "font" => true,
        "application" => BINARY.iter().any(|binary| {
            let suffix = name.strip_prefix(binary);
            suffix.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
        }),
        _ => false,
    }
}

/// Whether a type is one of text.
pub(super) fn is_declared_text(kind: &str) -> bool {
    let (family, name) = kind.split_once('/').unwrap_or((kind, ""));
    family == "text" || TEXT.iter().any(|word| name.contains(word))
}

/// Whether a body is no text: its type says so and its bytes do not deny it, or they say so and its type does not.
///
/// Rules are about text, and in random bytes they find what nobody wrote. JSON and XML are looked at whatever
/// their type, since an upstream may read them whatever their type.
pub(super) fn is_binary(kind: &str, bytes: &[u8]) -> bool {
    let doubted = is_declared_binary(kind) || holds_nul(bytes) && !is_declared_text(kind);
    doubted && !is_text(bytes)
}

/// Whether there is a NUL in the head of a body.
pub(super) fn holds_nul(bytes: &[u8]) -> bool {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    memchr::memchr(0, head).is_some()
}

/// Whether bytes read as text: hardly a control character, in whatever superset of ASCII.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let head = bytes.get(..SAMPLE_BYTES).unwrap_or(bytes);
    let tail = bytes
        .len()
        .checked_sub(SAMPLE_BYTES)
        .and_then(|from| bytes.get(from..))
        .unwrap_or_default();
    let is_control = |b: &&u8| {
        **b == 0x7f || **b < b' ' && !matches!(**b, b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0x1b)
    };
    [head, tail]
        .into_iter()
        .all(|sample| sample.iter().filter(is_control).count() * CONTROL_SHARE <= sample.len())
}

/// Whether bytes are an object that runs code where it is read: of Java, Python or .NET.
pub(super) fn is_serialized_object(bytes: &[u8]) -> bool {
    match bytes {
        [0xac, 0xed, 0x00, 0x05, ..] => true,
        [0x80, 2..=5, opcode, ..] => PICKLE_OPCODES.contains(opcode),
        _ => bytes.starts_with(DOTNET),
    }
}

/// The encoding that bytes show to have, whatever their headers say.
pub(super) fn compression(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, 0x08, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// The runs of text in other bytes that are too long for chance.
pub(super) fn runs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let runs = bytes.split(|byte| !is_printable(*byte));
    runs.filter(|run| run.len() >= LONG_RUN_BYTES_MIN)
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')
}

/// The runs of text in other bytes that begin as server code or a script does.
pub(super) fn code(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    memchr::memchr_iter(b'<', bytes).filter_map(move |at| {
        let rest = bytes.get(at..)?;
        let opens = matches!(rest, [_, b'?' | b'%', ..])
            || rest
                .get(1..7)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"script"));
        if at < from || !opens {
            return None;
        }
        let end = rest.iter().position(|byte| !is_printable(*byte));
        let end = end.unwrap_or(rest.len());
        from = at + end;
        rest.get(..end).filter(|run| run.len() >= RUN_BYTES_MIN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_other_bytes() {
        for text in [
            &b""[..],
            b"a,b\r\n1,2",
            "ä ö 日本".as_bytes(),
            b"caf\xe9 au lait",
        ] {
            assert!(is_text(text), "{text:?}");
        }
        for other in [
            &b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0"[..],
            b"\x0a\x05\x01\x02",
            b"[x\0",
        ] {
            assert!(!is_text(other), "{other:?}");
        }
        let mut mixed = vec![b'a'; 200_000];
        assert!(is_text(&mixed));
        mixed.extend_from_slice(&[0; 4_000]);
        assert!(!is_text(&mixed));
    }

    #[test]
    fn serialized_objects_are_known_by_their_headers() {
        for object in [
            &b"\xac\xed\x00\x05sr\x00\x17java.util.PriorityQueue"[..],
            b"\x80\x04\x95\x1a\0\0\0\0\0\0\0\x8c\x05posix",
            b"\x80\x02cposix\nsystem\n",
            b"\0\x01\0\0\0\xff\xff\xff\xff\x01\0\0\0\0\0\0\0\x0c",
        ] {
            assert!(is_serialized_object(object), "{object:?}");
        }
        for other in [
            &b""[..],
            b"\x80\x02",
            b"\x80\x02\0\0",
            b"\0\x01\0\0\0\x12",
            b"\xac\xed",
        ] {
            assert!(!is_serialized_object(other), "{other:?}");
        }
    }

    #[test]
    fn code_is_found_between_other_bytes() {
        let bytes =
            b"\xff\xd8\0<?\x01<a>\0<?php system('id'); ?>\0\x01<SCRIPT>x</SCRIPT>\xff<% x %>";
        let runs: Vec<&[u8]> = code(bytes).collect();
        assert_eq!(
            runs,
            [&b"<?php system('id'); ?>"[..], b"<SCRIPT>x</SCRIPT>"]
        );
        let bytes = b"\x89PNG\r\n\x1a\n\0tEXtComment\0some words, and more\xff{{1+1}}\x01";
        let runs: Vec<&[u8]> = super::runs(bytes).collect();
        assert_eq!(runs, [b"some words, and more"]);
    }
}
