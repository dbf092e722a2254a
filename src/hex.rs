//! Lower-case hexadecimal digits, on the path of every request.

/// The digits of `bytes`.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut digits = vec![0; bytes.len() * 2];
    write(&mut digits, bytes);
    // Digits are ASCII.
    String::from_utf8(digits).unwrap_or_default()
}

/// The bytes that hexadecimal digits of either case stand for; `None` unless there are exactly so many.
pub(crate) fn decode<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let value = |digit: &u8| char::from(*digit).to_digit(16);
        *byte = u8::try_from(value(high)? << 4 | value(low)?).ok()?;
    }
    Some(bytes)
}

/// Writes two digits a byte, as far as `into` reaches.
pub(crate) fn write(into: &mut [u8], bytes: &[u8]) {
    let (pairs, _) = into.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
}

/// Arithmetic instead of a table, so that many digits are made at once.
const fn digit(nibble: u8) -> u8 {
    nibble + if nibble < 10 { b'0' } else { b'a' - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_the_digits_the_standard_library_gives_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        let expected: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(text(&bytes), expected);
    }

    #[test]
    fn digits_are_read_back_and_nothing_else_is() {
        let bytes: [u8; 32] = std::array::from_fn(|n| u8::try_from(n * 8).unwrap());
        assert_eq!(decode(&text(&bytes)), Some(bytes));
        assert_eq!(decode("Ff"), Some([0xff]));
        for wrong in ["f", "fff", "f ", "+f", "0x", "é"] {
            assert_eq!(decode::<1>(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut three = [b'.'; 3];
        write(&mut three, &[0xab, 0xcd]);
        assert_eq!(&three, b"ab.");
    }
}
