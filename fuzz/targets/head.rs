#![no_main]
//! A head means the same however its bytes were cut; a canonical path is canonical.

use rg_gateway::policy::hygiene::{CanonicalPath, HeadLimits, HeadScanner, Violation, check_head};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = HeadLimits::default();
    let whole = HeadScanner::new(limits).find_end(data);
    let mut scanner = HeadScanner::new(limits);
    let mut pieces = Ok(None);
    for end in 1..=data.len() {
        pieces = scanner.find_end(&data[..end]);
        if !matches!(pieces, Ok(None)) {
            break;
        }
    }
    // What is refused while it arrives is refused whole as well, and the other way round.
    let outcome = |found: Result<Option<usize>, Violation>| {
        found.and_then(|end| {
            end.map(|end| check_head(&data[..end], &limits).map(|_| end))
                .transpose()
        })
    };
    assert_eq!(
        outcome(whole),
        outcome(pieces),
        "another cut, another outcome"
    );
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(path) = CanonicalPath::parse(text)
    {
        let again = CanonicalPath::parse(path.as_str());
        assert_eq!(
            again.as_ref().map(CanonicalPath::as_str),
            Ok(path.as_str()),
            "not canonical"
        );
        assert!(path.as_str().starts_with('/') && path.as_str().len() <= text.len() * 3 + 1);
    }
});
