//! Undoes a body's content encodings, within bounds.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;

/// A body grows to at most this many bytes.
pub(super) const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// A body grows by at most this factor, once it is past [`RATIO_FREE_BYTES`].
pub(super) const RATIO_MAX: usize = 200;

/// Output that no ratio is asked of.
const RATIO_FREE_BYTES: usize = 256 << 10;

/// Encodings applied one over the other.
const LAYERS_MAX: usize = 2;

/// What the decoder of `br` reads at once.
const BROTLI_BUFFER_BYTES: usize = 4_096;

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

/// How much of a body there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it: what is cut, or followed by more, is broken.
    Whole,
    /// Its beginning: what can be decoded of it is decoded, up to the bound.
    Prefix,
}

/// The encodings a request declares, outermost last: all its fields in their order (RFC 9110, 5.3).
pub(super) fn encodings(headers: &HeaderMap) -> String {
    let fields = headers.get_all(http::header::CONTENT_ENCODING).iter();
    let fields: Vec<Cow<'_, str>> = fields
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    fields.join(",")
}

/// Decodes a body by its `Content-Encoding` values, outermost last.
pub(super) fn inflate(
    body: &[u8],
    encodings: &str,
    extent: Extent,
) -> Result<Option<Vec<u8>>, InflateError> {
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
        out = Some(one(out.as_deref().unwrap_or(body), layer, extent)?);
    }
    Ok(out)
}

/// Whether what was decoded of a prefix ends at the bound rather than at its end.
pub(super) fn is_at_bound(body: &[u8], out: &[u8]) -> bool {
    out.len() >= output_max(body)
}

fn output_max(body: &[u8]) -> usize {
    OUTPUT_BYTES_MAX.min(RATIO_FREE_BYTES.max(body.len().saturating_mul(RATIO_MAX)))
}

fn one(body: &[u8], encoding: &str, extent: Extent) -> Result<Vec<u8>, InflateError> {
    match encoding.to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => {
            let (out, _) = read(MultiGzDecoder::new(body), body, extent)?;
            Ok(out)
        }
        // `deflate` is zlib by the book and raw in the wild.
        "deflate" => zlib(body, extent).or_else(|error| match error {
            InflateError::Broken => raw_deflate(body, extent),
            other => Err(other),
        }),
        "br" => brotli(body, extent),
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::new(body);
            let (out, _) = read(decoder.map_err(|_| InflateError::Broken)?, body, extent)?;
            Ok(out)
        }
        _ => Err(InflateError::Unknown),
    }
}

fn zlib(body: &[u8], extent: Extent) -> Result<Vec<u8>, InflateError> {
    let (out, decoder) = read(ZlibDecoder::new(body), body, extent)?;
    ended(out, decoder.total_in(), body, extent)
}

fn raw_deflate(body: &[u8], extent: Extent) -> Result<Vec<u8>, InflateError> {
    let (out, decoder) = read(DeflateDecoder::new(body), body, extent)?;
    ended(out, decoder.total_in(), body, extent)
}

/// What a stream decoded to, unless bytes follow it that nobody looked at.
fn ended(
    out: Vec<u8>,
    read_bytes: u64,
    body: &[u8],
    extent: Extent,
) -> Result<Vec<u8>, InflateError> {
    if extent == Extent::Prefix || read_bytes == body.len() as u64 {
        Ok(out)
    } else {
        Err(InflateError::Broken)
    }
}

fn brotli(body: &[u8], extent: Extent) -> Result<Vec<u8>, InflateError> {
    let decoder = brotli::Decompressor::new(body, BROTLI_BUFFER_BYTES);
    let (out, mut decoder) = read(decoder, body, extent)?;
    if extent == Extent::Prefix {
        return Ok(out);
    }
    // Past its end the decoder says whether it holds bytes that it did not use.
    let rest = decoder.read(&mut [0]);
    if rest.is_ok() && decoder.get_ref().is_empty() {
        Ok(out)
    } else {
        Err(InflateError::Broken)
    }
}

/// All that a decoder yields within the bounds, and the decoder.
fn read<R: Read>(decoder: R, body: &[u8], extent: Extent) -> Result<(Vec<u8>, R), InflateError> {
    let most = output_max(body);
    let mut out = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = decoder.take(bound);
    let end = decoder.read_to_end(&mut out);
    if extent == Extent::Prefix {
        // The end of the input is no fault, and it cannot be told from one; nothing at all is.
        if end.is_err() && out.is_empty() {
            return Err(InflateError::Broken);
        }
        out.truncate(most);
        return Ok((out, decoder.into_inner()));
    }
    end.map_err(|_| InflateError::Broken)?;
    if out.len() > most {
        return Err(InflateError::Bomb);
    }
    Ok((out, decoder.into_inner()))
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

    fn encoded(encoding: &str, bytes: &[u8]) -> Vec<u8> {
        let level = flate2::Compression::best();
        match encoding {
            "deflate" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut out = Vec::new();
                let mut encoder = brotli::CompressorWriter::new(&mut out, 4_096, 5, 22);
                encoder.write_all(bytes).unwrap();
                drop(encoder);
                out
            }
            "zstd" => zstd::encode_all(bytes, 3).unwrap(),
            _ => gzip(bytes),
        }
    }

    fn whole(body: &[u8], encodings: &str) -> Result<Option<Vec<u8>>, InflateError> {
        inflate(body, encodings, Extent::Whole)
    }

    /// Text that no compressor makes much smaller.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let letter = |_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            b' ' + u8::try_from((state >> 33) % 90).unwrap()
        };
        (0..bytes).map(letter).collect()
    }

    #[test]
    fn layers_are_undone_from_the_outermost() {
        let twice = gzip(&gzip(b"hello"));
        assert_eq!(
            whole(&twice, "gzip, gzip").unwrap().as_deref(),
            Some(&b"hello"[..])
        );
        assert_eq!(whole(b"hello", "identity").unwrap(), None);
    }

    #[test]
    fn bombs_and_strangers_are_refused() {
        assert_eq!(
            whole(&gzip(&vec![0; 9 << 20]), "gzip"),
            Err(InflateError::Bomb)
        );
        assert_eq!(whole(b"x", "compress"), Err(InflateError::Unknown));
        assert_eq!(whole(b"x", "gzip"), Err(InflateError::Broken));
        assert_eq!(whole(b"x", "gzip,gzip,gzip"), Err(InflateError::Unknown));
    }

    #[test]
    fn every_encoding_field_counts_in_its_order() {
        let mut headers = HeaderMap::new();
        assert_eq!(encodings(&headers), "");
        for value in ["", "identity", "br", "gzip"] {
            headers.append("content-encoding", value.parse().unwrap());
        }
        assert_eq!(encodings(&headers), ",identity,br,gzip");
        let value = http::HeaderValue::from_bytes(b"g\xffzip").unwrap();
        headers.insert("content-encoding", value);
        assert_eq!(
            whole(b"x", &encodings(&headers)),
            Err(InflateError::Unknown)
        );
    }

    #[test]
    fn bytes_after_a_stream_are_an_error() {
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            for bytes in [&b"hello"[..], &noise(20_000)] {
                let mut body = encoded(encoding, bytes);
                let same = whole(&body, encoding).unwrap();
                assert!(same.as_deref() == Some(bytes), "{encoding}");
                body.extend_from_slice(b"and more");
                assert_eq!(
                    whole(&body, encoding),
                    Err(InflateError::Broken),
                    "{encoding}"
                );
            }
        }
    }

    #[test]
    fn of_a_stream_that_is_cut_what_is_there_is_decoded() {
        let text = noise(200_000);
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let body = encoded(encoding, &text);
            let cut = &body[..body.len() * 3 / 4];
            assert_eq!(
                whole(cut, encoding),
                Err(InflateError::Broken),
                "{encoding}"
            );
            let seen = inflate(cut, encoding, Extent::Prefix).unwrap().unwrap();
            assert!(text.starts_with(&seen), "{encoding}");
            assert!(seen.len() * 3 > text.len(), "{encoding}: {}", seen.len());
        }
        let large = gzip(&vec![b'x'; 9 << 20]);
        let seen = inflate(&large, "gzip", Extent::Prefix).unwrap().unwrap();
        assert!(seen.len() <= OUTPUT_BYTES_MAX && !seen.is_empty());
        assert_eq!(
            inflate(b"not gzip", "gzip", Extent::Prefix),
            Err(InflateError::Broken)
        );
    }
}
