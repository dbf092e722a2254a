//! Lower-case hexadecimal digits, on the path of every request.

/// The digits of `bytes`.
pub(crate) fn text(bytes: &[u8]) -> String {
    let mut digits = vec![0; bytes.len() * 2];
    write(&mut digits, bytes);
    // Digits are ASCII.
    String::from_utf8(digits).unwrap_or_default()
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
    fn what_does_not_fit_is_left_out() {
        let mut three = [b'.'; 3];
        write(&mut three, &[0xab, 0xcd]);
        assert_eq!(&three, b"ab.");
    }
}
