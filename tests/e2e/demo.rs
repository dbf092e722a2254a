//! The first thing a newcomer runs: the demo, and the lines it prints.

use std::process::Command;

use tempfile::TempDir;

use crate::support::Process;

#[tokio::test]
async fn the_printed_curl_lines_do_what_they_say() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut demo = Process::start(folder.path(), &["demo", "--port-base", "0"]);
    let commands = commands_of(&mut demo).await;
    assert!(commands.len() >= 5, "{commands:?}");

    let mut said = String::new();
    for command in &commands {
        // The one thing a reader fills in: the id that the blocked request's answer showed.
        let command = command.replace("DECISION_ID", decision_id(&said).unwrap_or_default());
        let output = Command::new("sh")
            .args(["-c", &command])
            .output()
            .expect("sh runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.is_empty(), "{command}: {output:?}");
        said.push_str(&text);
    }
    for expected in [
        "HTTP/1.1 200",
        "\"rows\"",
        "key-missing",
        "threat-blocked",
        "\"events\"",
        "\"indicators\"",
    ] {
        assert!(
            said.contains(expected),
            "{expected} in the answers to {commands:#?}:\n{said}"
        );
    }
    demo.signal("TERM");
    assert!(demo.exit().await.success());
}

/// Every printed line that begins with `curl`, its continuations joined.
async fn commands_of(demo: &mut Process) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut continues = false;
    while let Some(line) = demo.line().await.filter(|line| line != "ready") {
        if continues {
            let command = commands.last_mut().expect("it began");
            command.push('\n');
            command.push_str(&line);
        } else if line.starts_with("curl ") {
            commands.push(line.clone());
        } else {
            continue;
        }
        continues = line.ends_with('\\');
    }
    commands
}

fn decision_id(said: &str) -> Option<&str> {
    let (_, after) = said.split_once(r#""decision_id":""#)?;
    after.split('"').next()
}
