use proptest::prelude::*;

use crate::policy::hygiene::{
    ChunkedScanner, EXTENSION_DEBT_BYTES_MAX, TRAILER_BYTES_MAX, Violation,
};

/// The length of the message, or nothing while it is unfinished.
fn read(pieces: &[&[u8]]) -> Result<Option<usize>, Violation> {
    let mut scanner = ChunkedScanner::new();
    let mut length = 0;
    for piece in pieces {
        let progress = scanner.advance(piece)?;
        length += progress.consumed;
        if progress.done {
            return Ok(Some(length));
        }
        assert_eq!(progress.consumed, piece.len());
    }
    Ok(None)
}

fn whole(body: &str) -> Result<Option<usize>, Violation> {
    read(&[body.as_bytes()])
}

#[test]
fn a_body_ends_with_its_trailer_section() {
    let bodies = [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "0005\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "5;a=b;c=\"d e\"\r\nhello\r\n0;last\r\n\r\n",
        "5 ; a\r\nhello\r\n0\r\n\r\n",
        "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "0\r\nX-Sum: 1\r\nX-Empty:\r\n\r\n",
    ];
    for body in bodies {
        assert_eq!(whole(body), Ok(Some(body.len())), "{body:?}");
        let piped = format!("{body}GET / HTTP/1.1\r\n");
        assert_eq!(whole(&piped), Ok(Some(body.len())), "{body:?}");
        assert_eq!(whole(&body[..body.len() - 1]), Ok(None), "{body:?}");
    }
}

#[test]
fn what_readers_could_see_differently_is_refused() {
    use Violation as V;
    let cases = [
        ("\r\n5\r\nhello", V::ChunkSize),
        ("-5\r\n", V::ChunkSize),
        ("+5\r\n", V::ChunkSize),
        ("0x5\r\n", V::ChunkSize),
        (" 5\r\n", V::ChunkSize),
        ("5 \r\n", V::ChunkSize),
        ("5 5\r\n", V::ChunkSize),
        ("5,5\r\n", V::ChunkSize),
        ("5\0\r\n", V::ChunkSize),
        ("g\r\n", V::ChunkSize),
        ("8000000000000000\r\n", V::ChunkSize),
        ("00000000000000001\r\n", V::ChunkSize),
        ("5\n", V::BareLineFeed),
        ("5\rhello", V::BareCarriageReturn),
        ("5;a\nb\r\n", V::ChunkExtension),
        ("5;a\0b\r\n", V::ChunkExtension),
        ("5;a\rb\r\n", V::BareCarriageReturn),
        ("5\r\nhello\n", V::ChunkEnd),
        ("5\r\nhello\rX", V::ChunkEnd),
        ("5\r\nhello!", V::ChunkEnd),
        ("0\r\n\n", V::BareLineFeed),
        ("0\r\n\rX", V::BareCarriageReturn),
        ("0\r\nX Y: z\r\n", V::TrailerSyntax),
        ("0\r\n: z\r\n", V::TrailerSyntax),
        ("0\r\nX\r\n", V::TrailerSyntax),
        ("0\r\n X: y\r\n", V::TrailerSyntax),
        ("0\r\nX: \0\r\n", V::TrailerSyntax),
        ("0\r\nX: y\nZ: z\r\n", V::BareLineFeed),
        ("0\r\nX: y\rZ: z\r\n", V::BareCarriageReturn),
    ];
    for (body, violation) in cases {
        assert_eq!(whole(body), Err(violation), "{body:?}");
    }
    assert_eq!(whole("7fffffffffffffff\r\nx"), Ok(None));
}

#[test]
fn a_refused_body_stays_refused() {
    let mut scanner = ChunkedScanner::new();
    assert_eq!(scanner.advance(b"zz"), Err(Violation::ChunkSize));
    assert_eq!(scanner.advance(b"0\r\n\r\n"), Err(Violation::ChunkSize));
}

#[test]
fn a_finished_body_takes_no_more() {
    let mut scanner = ChunkedScanner::new();
    assert!(scanner.advance(b"0\r\n\r\n").unwrap().done);
    let after = scanner.advance(b"0\r\n\r\n").unwrap();
    assert_eq!((after.consumed, after.done), (0, true));
}

#[test]
fn extensions_may_not_outweigh_the_data() {
    let debt = usize::try_from(EXTENSION_DEBT_BYTES_MAX).unwrap();
    let chunk = |extension: usize| format!("1;{}\r\nx\r\n", "e".repeat(extension));
    assert_eq!(whole(&chunk(debt)), Ok(None));
    assert_eq!(whole(&chunk(debt + 1)), Err(Violation::ChunkExtension));
    assert_eq!(
        whole(&chunk(100).repeat(50)),
        Err(Violation::ChunkExtension)
    );
    let signed = format!(
        "400;signature={}\r\n{}\r\n",
        "f".repeat(64),
        "x".repeat(0x400)
    );
    assert_eq!(whole(&signed.repeat(200)), Ok(None));
}

#[test]
fn the_trailer_section_is_bounded_to_the_octet() {
    let trailer = |n: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(n));
    let most = TRAILER_BYTES_MAX - "X: \r\n\r\n".len();
    assert!(matches!(whole(&trailer(most)), Ok(Some(_))));
    assert_eq!(whole(&trailer(most + 1)), Err(Violation::TrailersTooLarge));
}

/// Encodes a body the way a sender may.
fn encode(chunks: &[Vec<u8>], extension: &str, trailer: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        body.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    body
}

proptest! {
    #[test]
    fn an_encoded_body_is_followed_to_its_end_however_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6),
        extension in "(;[a-z]{1,5}(=\"[ -~&&[^\"]]{0,5}\")?){0,2}",
        trailer in "([A-Za-z-]{1,5}: [ -~]{0,9}\r\n){0,2}",
        after in prop::collection::vec(any::<u8>(), 0..20),
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let mut body = encode(&chunks, &extension, &trailer);
        let length = body.len();
        body.extend_from_slice(&after);
        prop_assert_eq!(read(&super::cut(&body, &places)), Ok(Some(length)));
    }

    #[test]
    fn any_octets_are_read_the_same_at_once_and_singly(body in "[0-9a-f;: \r\nX\\x00]{0,40}") {
        let singly: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        prop_assert_eq!(read(&singly), whole(&body));
    }

    #[test]
    fn any_octets_are_read_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&[&body]);
    }
}
