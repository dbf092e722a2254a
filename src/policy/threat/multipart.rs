//! Splits a `multipart/form-data` body into its parts (RFC 7578), leniently: a part is what any server could take for one.

/// Parts of one body.
pub(super) const PARTS_MAX: usize = 256;

/// One part.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part<'b> {
    pub(super) name: &'b [u8],
    pub(super) file_name: Option<&'b [u8]>,
    pub(super) content_type: &'b [u8],
    pub(super) base64: bool,
    pub(super) body: &'b [u8],
}

/// The boundary a content type names, else the one the body starts with.
pub(super) fn boundary<'b>(content_type: &'b str, body: &'b [u8]) -> Option<&'b [u8]> {
    let lower = content_type.to_ascii_lowercase();
    let named = lower
        .find("boundary=")
        .and_then(|i| content_type.get(i + 9..))
        .map(|rest| match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => rest.split(';').next().unwrap_or_default().trim(),
        });
    if let Some(named) = named.filter(|n| !n.is_empty()) {
        return Some(named.as_bytes());
    }
    let line = body.split(|b| *b == b'\n').next()?.trim_ascii();
    line.strip_prefix(b"--").filter(|b| !b.is_empty())
}

/// All parts; the flag says that there were more than [`PARTS_MAX`].
pub(super) fn parts<'b>(body: &'b [u8], boundary: &[u8]) -> (Vec<Part<'b>>, bool) {
    let mut marker = b"--".to_vec();
    marker.extend_from_slice(boundary);
    let finder = memchr::memmem::Finder::new(&marker);
    let mut starts: Vec<usize> = finder.find_iter(body).take(PARTS_MAX + 1).collect();
    let more = starts.len() > PARTS_MAX;
    // What lies beyond the bound belongs to the last part: it is looked at, if not for what it is.
    starts.truncate(PARTS_MAX);
    starts.push(body.len());
    let mut parts = Vec::new();
    for pair in starts.windows(2) {
        let [from, to] = pair else { continue };
        let inner = body.get(from + marker.len()..*to).unwrap_or_default();
        if inner.starts_with(b"--") {
            continue;
        }
        parts.push(part(inner));
    }
    (parts, more)
}

fn part(inner: &[u8]) -> Part<'_> {
    let inner = inner
        .strip_prefix(b"\r\n")
        .or_else(|| inner.strip_prefix(b"\n"))
        .unwrap_or(inner);
    let (head, body) = split_head(inner);
    let mut part = Part {
        body: body
            .strip_suffix(b"\r\n")
            .or_else(|| body.strip_suffix(b"\n"))
            .unwrap_or(body),
        ..Part::default()
    };
    for line in head.split(|b| *b == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
        match line
            .get(..colon)
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase()
            .as_slice()
        {
            b"content-disposition" => {
                part.name = parameter(value, b"name=").unwrap_or_default();
                part.file_name =
                    parameter(value, b"filename=").or_else(|| parameter(value, b"filename*="));
            }
            b"content-type" => part.content_type = value,
            b"content-transfer-encoding" => part.base64 = value.eq_ignore_ascii_case(b"base64"),
            _ => {}
        }
    }
    part
}

fn split_head(inner: &[u8]) -> (&[u8], &[u8]) {
    let crlf = memchr::memmem::find(inner, b"\r\n\r\n").map(|i| (i, 4));
    let lf = memchr::memmem::find(inner, b"\n\n").map(|i| (i, 2));
    match crlf.into_iter().chain(lf).min() {
        Some((at, width)) => (
            inner.get(..at).unwrap_or_default(),
            inner.get(at + width..).unwrap_or_default(),
        ),
        None => (inner, &[]),
    }
}

/// A parameter's value; in quotes a backslash escapes.
fn parameter<'v>(value: &'v [u8], key: &[u8]) -> Option<&'v [u8]> {
    let lower = value.to_ascii_lowercase();
    let at = memchr::memmem::find_iter(&lower, key)
        .find(|i| *i == 0 || matches!(lower.get(i - 1), Some(b' ' | b';' | b'\t')))?;
    let rest = value.get(at + key.len()..)?;
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        return rest
            .get(..memchr::memchr(b';', rest).unwrap_or(rest.len()))
            .map(<[u8]>::trim_ascii);
    };
    // Names with stray quotes are taken up to the last one: nothing of them may stay unseen.
    let end = memchr::memmem::find(quoted, b"\";")
        .unwrap_or_else(|| memchr::memrchr(b'"', quoted).unwrap_or(quoted.len()));
    quoted.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_come_with_names_and_bodies() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.csv\"\r\nContent-Type: text/csv\r\n\r\n1,2\r\n--B--\r\n";
        let (parts, more) = parts(body, b"B");
        assert!(!more);
        assert_eq!(parts.len(), 2);
        assert_eq!((parts[0].name, parts[0].body), (&b"a"[..], &b"one"[..]));
        assert_eq!(
            (
                parts[1].name,
                parts[1].file_name,
                parts[1].content_type,
                parts[1].body
            ),
            (
                &b"f"[..],
                Some(&b"x.csv"[..]),
                &b"text/csv"[..],
                &b"1,2"[..]
            )
        );
    }

    #[test]
    fn there_are_no_more_parts_than_their_bound() {
        for (count, beyond) in [(PARTS_MAX, false), (PARTS_MAX + 1, true)] {
            let body = b"--B\r\n\r\nx\r\n".repeat(count);
            let (found, more) = parts(&body, b"B");
            assert_eq!((found.len(), more), (PARTS_MAX, beyond));
        }
    }

    #[test]
    fn the_boundary_is_found() {
        assert_eq!(
            boundary("multipart/form-data; Boundary=\"a b\"; x=y", b""),
            Some(&b"a b"[..])
        );
        assert_eq!(
            boundary("multipart/form-data", b"--zz\r\n"),
            Some(&b"zz"[..])
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in "[-B\\r\\n:;=\"a-z ]{0,120}") {
            let _ = parts(body.as_bytes(), b"B");
        }
    }
}
