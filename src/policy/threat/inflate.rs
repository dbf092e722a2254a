//! Undoes a body's content encodings, within bounds.

use std::io::Read;

/// A body grows to at most this many bytes.
pub(super) const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// A body grows by at most this factor, once it is past [`RATIO_FREE_BYTES`].
pub(super) const RATIO_MAX: usize = 200;

/// Output that no ratio is asked of.
const RATIO_FREE_BYTES: usize = 256 << 10;

/// Encodings applied one over the other.
const LAYERS_MAX: usize = 2;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InflateError {
    #[error("content encoding not known")]
    Unknown,
    #[error("content encoding broken")]
    Broken,
    #[error("body grows beyond the bound")]
    Bomb,
}

/// Decodes a body by its `Content-Encoding` values, outermost last.
pub(super) fn inflate(body: &[u8], encodings: &str) -> Result<Option<Vec<u8>>, InflateError> {
    let layers: Vec<&str> = encodings
        .split(',')
        .map(str::trim)
        .filter(|e| !e.is_empty() && !e.eq_ignore_ascii_case("identity"))
        .collect();
    if layers.len() > LAYERS_MAX {
        return Err(InflateError::Unknown);
    }
    let mut out: Option<Vec<u8>> = None;
    for layer in layers.iter().rev() {
        out = Some(one(out.as_deref().unwrap_or(body), layer)?);
    }
    Ok(out)
}

fn one(body: &[u8], encoding: &str) -> Result<Vec<u8>, InflateError> {
    match encoding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => read(flate2::read::MultiGzDecoder::new(body), body.len()),
        // `deflate` is zlib by the book and raw in the wild.
        "deflate" => {
            read(flate2::read::ZlibDecoder::new(body), body.len()).or_else(|error| match error {
                InflateError::Broken => read(flate2::read::DeflateDecoder::new(body), body.len()),
                other => Err(other),
            })
        }
        "br" => read(brotli::Decompressor::new(body, 4096), body.len()),
        "zstd" => read(
            zstd::stream::read::Decoder::new(body).map_err(|_| InflateError::Broken)?,
            body.len(),
        ),
        _ => Err(InflateError::Unknown),
    }
}

fn read(from: impl Read, input_bytes: usize) -> Result<Vec<u8>, InflateError> {
    let most = OUTPUT_BYTES_MAX.min(RATIO_FREE_BYTES.max(input_bytes.saturating_mul(RATIO_MAX)));
    let mut out = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    from.take(bound)
        .read_to_end(&mut out)
        .map_err(|_| InflateError::Broken)?;
    if out.len() > most {
        Err(InflateError::Bomb)
    } else {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn layers_are_undone_from_the_outermost() {
        let twice = gzip(&gzip(b"hello"));
        assert_eq!(
            inflate(&twice, "gzip, gzip").unwrap().as_deref(),
            Some(&b"hello"[..])
        );
        assert_eq!(inflate(b"hello", "identity").unwrap(), None);
    }

    #[test]
    fn bombs_and_strangers_are_refused() {
        assert_eq!(
            inflate(&gzip(&vec![0; 9 << 20]), "gzip"),
            Err(InflateError::Bomb)
        );
        assert_eq!(inflate(b"x", "compress"), Err(InflateError::Unknown));
        assert_eq!(inflate(b"x", "gzip"), Err(InflateError::Broken));
        assert_eq!(inflate(b"x", "gzip,gzip,gzip"), Err(InflateError::Unknown));
    }
}
