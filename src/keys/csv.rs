//! A small reader of comma-separated values (RFC 4180), with places and bounds.
//!
//! Fields may be quoted; a quoted field may hold commas, doubled quotes and line ends. Both CRLF
//! and LF end a record. It reads from the stream as it goes and holds one record at a time.

use std::io::BufRead;

/// Bytes of one record; a longer one ends the reading.
const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Fields of one record; further ones end the reading.
const FIELDS_MAX: usize = 64;

/// A field with the 1-based line and column (in bytes) at which it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) line: u64,
    pub(super) column: u64,
}

/// What keeps the rest of a file from being read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CsvError {
    #[error("{0}")]
    Read(#[from] std::io::Error),
    #[error("a record longer than {RECORD_BYTES_MAX} bytes, or with more than {FIELDS_MAX} fields")]
    TooLong,
    #[error("a quote that does not enclose the whole field")]
    StrayQuote,
    #[error("a quoted field that never ends")]
    OpenQuote,
    #[error("not UTF-8")]
    Encoding,
}

/// Reads records one by one.
pub(super) struct Reader<R> {
    input: R,
    line: u64,
    column: u64,
}

/// Where in a field the reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Start,
    Plain,
    Quoted,
    /// After a quote inside a quoted field: it ends the field, or is the first of two.
    Quote,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            line: 1,
            column: 1,
        }
    }

    /// Where the reading stands: line and column.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.line, self.column)
    }

    /// The next record that is not an empty line; `None` at the end.
    pub(super) fn record(&mut self) -> Result<Option<Vec<Field>>, CsvError> {
        loop {
            let fields = self.any_record()?;
            match fields.as_deref() {
                Some([only]) if only.text.is_empty() => {}
                _ => return Ok(fields),
            }
        }
    }

    fn any_record(&mut self) -> Result<Option<Vec<Field>>, CsvError> {
        let mut draft = Draft::new(self.place());
        let mut any = false;
        while let Some(byte) = self.byte()? {
            any = true;
            if draft.take(byte)? {
                self.line += 1;
                self.column = 1;
                return draft.finish().map(Some);
            }
            self.step(byte);
            if byte == b',' && draft.within == Within::Start {
                draft.place = self.place();
            }
        }
        match (any, draft.within) {
            (false, _) => Ok(None),
            (true, Within::Quoted) => Err(CsvError::OpenQuote),
            (true, _) => draft.finish().map(Some),
        }
    }

    fn step(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }

    fn byte(&mut self) -> Result<Option<u8>, CsvError> {
        let byte = self.input.fill_buf()?.first().copied();
        if byte.is_some() {
            self.input.consume(1);
        }
        Ok(byte)
    }
}

/// A record being read.
struct Draft {
    fields: Vec<Field>,
    bytes: Vec<u8>,
    bytes_seen: usize,
    place: (u64, u64),
    within: Within,
}

impl Draft {
    fn new(place: (u64, u64)) -> Self {
        Self {
            fields: Vec::new(),
            bytes: Vec::new(),
            bytes_seen: 0,
            place,
            within: Within::Start,
        }
    }

    /// Takes one byte; true when it ended the record.
    fn take(&mut self, byte: u8) -> Result<bool, CsvError> {
        self.bytes_seen += 1;
        if self.bytes_seen > RECORD_BYTES_MAX || self.fields.len() >= FIELDS_MAX {
            return Err(CsvError::TooLong);
        }
        match (self.within, byte) {
            (Within::Quoted, b'"') => self.within = Within::Quote,
            (Within::Quoted, _) => self.bytes.push(byte),
            (Within::Quote, b'"') => {
                self.bytes.push(b'"');
                self.within = Within::Quoted;
            }
            (_, b'\n') => return Ok(true),
            (_, b',') => self.end_field()?,
            (Within::Start, b'"') => self.within = Within::Quoted,
            (Within::Quote, b'\r') => {}
            (Within::Quote, _) | (Within::Plain, b'"') => return Err(CsvError::StrayQuote),
            _ => {
                self.bytes.push(byte);
                self.within = Within::Plain;
            }
        }
        Ok(false)
    }

    fn end_field(&mut self) -> Result<(), CsvError> {
        let bytes = std::mem::take(&mut self.bytes);
        let text = String::from_utf8(bytes).map_err(|_| CsvError::Encoding)?;
        let (line, column) = self.place;
        self.fields.push(Field { text, line, column });
        self.within = Within::Start;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Field>, CsvError> {
        if self.within == Within::Plain && self.bytes.last() == Some(&b'\r') {
            self.bytes.pop();
        }
        self.end_field()?;
        Ok(self.fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> Result<Vec<Vec<String>>, CsvError> {
        let mut reader = Reader::new(text);
        let mut records = Vec::new();
        while let Some(fields) = reader.record()? {
            records.push(fields.into_iter().map(|field| field.text).collect());
        }
        Ok(records)
    }

    #[test]
    fn fields_are_read_as_the_rfc_has_them() {
        let text = b"a,b,c\r\n\"x,\"\"y\"\"\",,\"l1\nl2\"\r\n\n,\nlast";
        let expected = [
            vec!["a", "b", "c"],
            vec!["x,\"y\"", "", "l1\nl2"],
            vec!["", ""],
            vec!["last"],
        ];
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read(b"").unwrap(), Vec::<Vec<String>>::new());
        assert_eq!(read(b"a,\"b\"\r\nc").unwrap(), [vec!["a", "b"], vec!["c"]]);
    }

    #[test]
    fn each_field_knows_its_place() {
        let mut reader = Reader::new(&b"ab,\"c\nd\",e\nf,g"[..]);
        let mut places = Vec::new();
        while let Some(fields) = reader.record().unwrap() {
            places.extend(
                fields
                    .into_iter()
                    .map(|field| (field.text, field.line, field.column)),
            );
        }
        let expected = [
            ("ab", 1, 1),
            ("c\nd", 1, 4),
            ("e", 2, 4),
            ("f", 3, 1),
            ("g", 3, 3),
        ];
        assert_eq!(
            places,
            expected.map(|(text, line, column)| (text.to_owned(), line, column))
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(matches!(read(b"a\"b"), Err(CsvError::StrayQuote)));
        assert!(matches!(read(b"\"a\"b"), Err(CsvError::StrayQuote)));
        assert!(matches!(read(b"\"a\n"), Err(CsvError::OpenQuote)));
        assert!(matches!(read(b"\xff"), Err(CsvError::Encoding)));
        assert!(matches!(
            read(&[b'a'; RECORD_BYTES_MAX + 1]),
            Err(CsvError::TooLong)
        ));
        assert!(matches!(
            read(&[b','; FIELDS_MAX + 1]),
            Err(CsvError::TooLong)
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn quoting_hides_anything(fields in prop::collection::vec(".{1,20}", 1..5)) {
            let line: Vec<String> =
                fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(read(line.join(",").as_bytes()).unwrap(), vec![fields]);
        }
    }
}
