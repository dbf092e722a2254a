//! Real programs of others, where the machine has them.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use super::within;

/// What a program says to this input; `None`, said loudly, where the machine does not have it.
///
/// `RG_REQUIRE_PARTS=1` makes its absence a failure.
pub(crate) async fn part(
    program: &'static str,
    arguments: Vec<String>,
    input: String,
) -> Option<String> {
    let running = tokio::task::spawn_blocking(move || run(program, &arguments, &input));
    match within(program, running).await.expect("no panic") {
        Ok(said) => Some(said),
        Err(cause) => {
            let required = std::env::var_os("RG_REQUIRE_PARTS").is_some();
            assert!(!required, "{program} is required: {cause}");
            eprintln!("SKIPPED for want of {program} ({cause}): ./dev parts {program}");
            None
        }
    }
}

fn run(program: &str, arguments: &[String], input: &str) -> io::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that has heard enough may close it early.
        let _heard_enough = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).into_owned())
}
