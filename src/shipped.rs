//! What the binary carries with it: the example configuration and the shipped rules.

use std::io;
use std::path::Path;

/// The commented example configuration.
pub const EXAMPLE_CONFIG: &str = include_str!("../gateway.yaml");

/// The shipped rule files by name.
pub const RULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// Writes the shipped rules into a directory, over older ones of the same names.
///
/// # Errors
///
/// The directory or a file cannot be written.
pub fn write_rules(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, text) in RULES {
        std::fs::write(directory.join(name), text)?;
    }
    Ok(())
}
