mod chunked;
mod fields;
mod head;
mod host;
mod path;
mod readings;

use super::Violation;

/// Every violation, to check what is said about them.
const VIOLATIONS: [Violation; 34] = [
    Violation::BareLineFeed,
    Violation::BareCarriageReturn,
    Violation::LeadingLines,
    Violation::HeadUnfinished,
    Violation::ObsFold,
    Violation::RequestLine,
    Violation::Method,
    Violation::MethodTooLong,
    Violation::Connect,
    Violation::Target,
    Violation::Version,
    Violation::UriTooLong,
    Violation::FieldName,
    Violation::FieldValue,
    Violation::FramingLookalike,
    Violation::DuplicateField,
    Violation::TooManyFields,
    Violation::HeadTooLarge,
    Violation::MissingHost,
    Violation::DuplicateHost,
    Violation::HostSyntax,
    Violation::HostMismatch,
    Violation::ContentLengthSyntax,
    Violation::DuplicateContentLength,
    Violation::TransferEncodingAndContentLength,
    Violation::TransferEncodingSyntax,
    Violation::TransferEncodingUnsupported,
    Violation::TransferEncodingInHttp10,
    Violation::ChunkSize,
    Violation::ChunkExtension,
    Violation::ChunkEnd,
    Violation::TrailerSyntax,
    Violation::TrailersTooLarge,
    Violation::Path(super::PathRefusal::Disguised),
];

#[test]
fn every_violation_has_its_own_code_and_a_sentence() {
    let mut codes: Vec<&str> = VIOLATIONS.iter().map(|v| v.code()).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), VIOLATIONS.len());
    for violation in VIOLATIONS {
        assert!([400, 414, 431, 501, 505].contains(&violation.status()));
        assert!(!violation.code().contains([' ', '_']));
        assert!(!violation.to_string().ends_with('.'));
    }
}

/// Cuts a sequence at the given places, each taken modulo what is left.
fn cut<'a>(mut input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for place in places {
        let (piece, rest) = input.split_at(place % (input.len() + 1));
        pieces.push(piece);
        input = rest;
    }
    pieces.push(input);
    pieces
}
