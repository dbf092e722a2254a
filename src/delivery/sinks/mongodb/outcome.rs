//! What MongoDB's answers mean for a batch.
//!
//! An event is given up only where the server names the event itself as the fault. Whatever an operator can
//! repair (credentials, rights, quotas, a missing collection) or time can (elections, shutdowns, full disks)
//! leaves it to be offered again.

use mongodb::error::{Error, ErrorKind, IndexedWriteError, WriteConcernError};

use crate::delivery::Delivery;

/// The event is there already: an earlier attempt was taken and its answer lost.
const DUPLICATE_KEY: [i32; 3] = [11000, 11001, 12582];

/// The document is at fault: `BadValue`, `FailedToParse`, `TypeMismatch`, `Overflow`, `InvalidBSON`,
/// `DollarPrefixedFieldName`, `InvalidIdField`, `EmptyFieldName`, `DottedFieldName`, `DocumentValidationFailure`,
/// `BSONObjectTooLarge`, an index entry too long (17280), and nameless codes for size (17419, 17420).
const DOCUMENT_FAULTS: [i32; 14] = [
    2, 9, 14, 15, 22, 52, 53, 56, 57, 121, 10334, 17280, 17419, 17420,
];

/// How servers name the index of `_id` in a message about a duplicate.
const ID_INDEX: &str = "index: _id_";

/// What is said of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    There,
    Never,
    NotNow,
}

fn fate(code: i32) -> Fate {
    match code {
        code if DUPLICATE_KEY.contains(&code) => Fate::There,
        code if DOCUMENT_FAULTS.contains(&code) => Fate::Never,
        _ => Fate::NotNow,
    }
}

/// Documents refused as duplicates where the server does not say that `_id` is the duplicate: another unique
/// index may be meant, and then the event is not there.
pub(super) fn doubtful(error: &Error) -> Vec<usize> {
    let ErrorKind::InsertMany(failure) = error.kind.as_ref() else {
        return Vec::new();
    };
    let errors = failure.write_errors.iter().flatten();
    errors
        .filter(|error| DUPLICATE_KEY.contains(&error.code) && !error.message.contains(ID_INDEX))
        .map(|error| error.index)
        .collect()
}

/// What became of a batch of `count` documents whose insertion answered with this error. Duplicates are there,
/// but for those `missing`.
pub(super) fn delivery(error: &Error, missing: &[usize], count: usize) -> Delivery {
    match error.kind.as_ref() {
        ErrorKind::InsertMany(failure) => item_by_item(
            failure.write_errors.as_deref().unwrap_or_default(),
            missing,
            failure.write_concern_error.as_ref(),
            count,
        ),
        ErrorKind::Command(refused) => match fate(refused.code) {
            Fate::Never => Delivery::Reject {
                cause: said(refused.code, &refused.message),
            },
            Fate::There | Fate::NotNow => retry(said(refused.code, &refused.message)),
        },
        // The driver's own refusal to encode or send a document, such as one beyond the size limit.
        ErrorKind::InvalidArgument { .. }
        | ErrorKind::BsonSerialization(_)
        | ErrorKind::Bson(_) => Delivery::Reject {
            cause: error.kind.to_string(),
        },
        kind => retry(kind.to_string()),
    }
}

fn item_by_item(
    errors: &[IndexedWriteError],
    missing: &[usize],
    concern: Option<&WriteConcernError>,
    count: usize,
) -> Delivery {
    let mut rejected: Vec<(usize, String)> = Vec::new();
    let mut again = Vec::new();
    let mut cause = String::new();
    for error in errors {
        match fate(error.code) {
            Fate::There if !missing.contains(&error.index) => continue,
            Fate::There | Fate::Never => {
                rejected.push((error.index, said(error.code, &error.message)))
            }
            Fate::NotNow => again.push(error.index),
        }
        if cause.is_empty() {
            cause = said(error.code, &error.message);
        }
    }
    if let Some(concern) = concern {
        // Taken, but not as safely as asked: only a further offer shows that it became so.
        cause = said(concern.code, &concern.message);
        let hopeless = |index: &usize| rejected.iter().any(|(other, _)| other == index);
        again = (0..count).filter(|index| !hopeless(index)).collect();
    }
    match (rejected.is_empty(), again.len()) {
        (true, 0) => Delivery::Accepted,
        (true, left) if left == count => retry(cause),
        _ => Delivery::Partly {
            rejected,
            again,
            after: None,
            cause,
        },
    }
}

fn retry(cause: String) -> Delivery {
    Delivery::Retry { after: None, cause }
}

fn said(code: i32, message: &str) -> String {
    format!("MongoDB error {code}: {message}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(codes: &[(usize, i32)]) -> Vec<IndexedWriteError> {
        codes
            .iter()
            .map(|(index, code)| {
                serde_json::from_value(json!({"index": index, "code": code, "errmsg": "m"}))
                    .unwrap()
            })
            .collect()
    }

    fn concern() -> WriteConcernError {
        serde_json::from_value(json!({"code": 64, "codeName": "c", "errmsg": "waiting"})).unwrap()
    }

    #[test]
    fn duplicates_are_there() {
        let all = errors(&[(0, 11000), (1, 11000), (2, 11001)]);
        assert_eq!(item_by_item(&all, &[], None, 3), Delivery::Accepted);
    }

    #[test]
    fn a_duplicate_of_another_key_is_rejected() {
        let found = item_by_item(&errors(&[(0, 11000), (1, 11000)]), &[1], None, 3);
        let Delivery::Partly {
            rejected, again, ..
        } = found
        else {
            panic!("{found:?}")
        };
        assert_eq!((rejected[0].0, rejected.len(), again.len()), (1, 1, 0));
    }

    #[test]
    fn a_document_at_fault_is_rejected_alone() {
        let found = item_by_item(&errors(&[(0, 11000), (2, 121)]), &[], None, 4);
        let cause = "MongoDB error 121: m".to_owned();
        assert_eq!(
            found,
            Delivery::Partly {
                rejected: vec![(2, cause.clone())],
                again: vec![],
                after: None,
                cause
            }
        );
    }

    #[test]
    fn what_is_not_known_to_be_the_documents_fault_is_offered_again() {
        // NotWritablePrimary, Unauthorized, OutOfDiskSpace, and a code nobody knows.
        let found = item_by_item(
            &errors(&[(0, 10107), (1, 13), (3, 14031), (4, 999_999)]),
            &[],
            None,
            6,
        );
        let Delivery::Partly {
            rejected, again, ..
        } = found
        else {
            panic!("{found:?}")
        };
        assert_eq!((rejected, again), (vec![], vec![0, 1, 3, 4]));
        let all = item_by_item(&errors(&[(0, 13), (1, 13)]), &[], None, 2);
        assert!(matches!(all, Delivery::Retry { .. }), "{all:?}");
    }

    #[test]
    fn a_write_concern_that_failed_offers_all_again_but_the_rejected() {
        let found = item_by_item(&errors(&[(0, 11000), (1, 2)]), &[], Some(&concern()), 4);
        let Delivery::Partly {
            rejected, again, ..
        } = found
        else {
            panic!("{found:?}")
        };
        assert_eq!(rejected.len(), 1);
        assert_eq!(again, [0, 2, 3]);
        let whole = item_by_item(&[], &[], Some(&concern()), 2);
        assert_eq!(whole, retry("MongoDB error 64: waiting".to_owned()));
    }
}
