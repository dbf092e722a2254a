//! What passes must read the same to readers that are less strict: each here has one leniency that
//! real servers have or had.

use proptest::prelude::*;

use crate::policy::hygiene::{Framing, HeadLimits, check_head};

/// How a lenient reader takes a head apart.
struct Reader {
    /// Which octets end a line.
    ends_line: fn(char) -> bool,
    /// What it makes of a field name.
    name: fn(&str) -> String,
    /// What it makes of a field value.
    value: fn(&str) -> &str,
    /// Which of several lengths it believes.
    length: fn(&[u64]) -> Option<u64>,
}

const READERS: [Reader; 4] = [
    Reader {
        ends_line: |c| c == '\n',
        name: |name| name.trim().to_owned(),
        value: str::trim,
        length: |lengths| lengths.first().copied(),
    },
    Reader {
        ends_line: |c| c == '\n' || c == '\r',
        name: |name| name.trim().to_owned(),
        value: str::trim,
        length: |lengths| lengths.last().copied(),
    },
    Reader {
        ends_line: |c| c == '\n',
        name: |name| {
            let dashed = name.replace(['_', ' ', '\\', '.'], "-");
            dashed.trim_matches('-').to_owned()
        },
        value: |value| value.split('\0').next().unwrap_or_default().trim(),
        length: |lengths| lengths.first().copied(),
    },
    Reader {
        ends_line: |c| c == '\n',
        name: |name| {
            let kept = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
            name.replace('_', "-").chars().filter(kept).collect()
        },
        value: str::trim,
        length: |lengths| lengths.last().copied(),
    },
];

impl Reader {
    /// `None` stands for chunked.
    fn framing(&self, head: &str) -> Option<u64> {
        let mut lengths = Vec::new();
        for line in head.split(self.ends_line).skip(1) {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = (self.value)(value);
            match (self.name)(name).to_ascii_lowercase().as_str() {
                "transfer-encoding" if value.to_ascii_lowercase().contains("chunk") => return None,
                "content-length" => {
                    let end = value.find(|c: char| !c.is_ascii_digit());
                    lengths.extend(value[..end.unwrap_or(value.len())].parse::<u64>());
                }
                _ => {}
            }
        }
        Some((self.length)(&lengths).unwrap_or(0))
    }
}

fn lines() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        3 => prop::sample::select(vec!["Content-Length", "content_length", "Content-Length ", "Content.Length", "Content-Length!"]),
        3 => prop::sample::select(vec!["Transfer-Encoding", "transfer_encoding", " Transfer-Encoding", "Transfer-Encoding~", "Transfer\\Encoding"]),
        3 => prop::sample::select(vec!["X-A", "Accept", "x_y", "X\nContent-Length", "X\rTransfer-Encoding"]),
    ];
    let value = prop::sample::select(vec![
        "5",
        "05",
        "5, 5",
        "5 6",
        "chunked",
        "Chunked",
        "xchunked",
        "chunked, gzip",
        "gzip",
        "",
        "5\0",
        "5\r",
        "a\nContent-Length: 7",
        "a\rTransfer-Encoding: chunked",
        "a\r\n b",
        "0x5",
    ]);
    let line = (name, prop::sample::select(vec![":", ": ", ":\t"]), value)
        .prop_map(|(name, colon, value)| format!("{name}{colon}{value}\r\n"));
    prop::collection::vec(line, 0..3).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn an_accepted_head_frames_its_body_the_same_for_every_reader(lines in lines()) {
        let head = format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n");
        if let Ok(checked) = check_head(head.as_bytes(), &HeadLimits::default()) {
            let ours = match checked.framing {
                Framing::None => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked => None,
            };
            for reader in &READERS {
                prop_assert_eq!(reader.framing(&head), ours, "{:?}", head);
            }
        }
    }
}
