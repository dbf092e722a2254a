//! The real executable as a child process.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio::sync::mpsc;

use super::{eventually, within};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_rg-gateway");

/// What a command that ran to its end left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the executable to its end.
pub(crate) fn run_to_end(folder: &Path, arguments: &[&str]) -> Outcome {
    run_to_end_with(folder, &[], arguments)
}

/// The same, with variables in its environment.
pub(crate) fn run_to_end_with(
    folder: &Path,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> Outcome {
    let output = Command::new(EXECUTABLE)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the executable starts");
    outcome_of(output)
}

/// Runs a script with Python to its end; `None` where there is no Python.
pub(crate) fn python(folder: &Path, script: &str, arguments: &[&str]) -> Option<Outcome> {
    let run = Command::new("python3")
        .arg(script)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        output => Some(outcome_of(output.expect("python3 starts"))),
    }
}

fn outcome_of(output: std::process::Output) -> Outcome {
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text on stdout"),
        stderr: String::from_utf8(output.stderr).expect("text on stderr"),
    }
}

/// A running executable: its lines on stdout one by one, its stderr shown when the test fails.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    stderr: Arc<Mutex<String>>,
}

impl Process {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(EXECUTABLE)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the executable starts");
        let stdout = child.stdout.take().expect("piped");
        let mut errors = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel(1024);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&stderr);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = errors.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..read]);
                kept.lock().expect("not poisoned").push_str(&text);
            }
        });
        Self {
            child,
            lines,
            stderr,
        }
    }

    /// The next line on stdout; `None` when the process has closed it.
    pub(crate) async fn line(&mut self) -> Option<String> {
        within("a line on stdout", self.lines.recv()).await
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().expect("not poisoned").clone()
    }

    /// Memory of its own that it has now, in KiB, as the kernel counts it; `None` where the kernel does not say.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        let file = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(file).ok()?;
        let anonymous = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"))?;
        anonymous.split_whitespace().next()?.parse().ok()
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh")
            .args(["-c", &command])
            .status()
            .expect("sh runs");
        assert!(status.success(), "{command}");
    }

    /// Waits for its end.
    pub(crate) async fn exit(&mut self) -> ExitStatus {
        eventually("the process to exit", async || {
            self.child.try_wait().expect("it can be waited for")
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the gateway's stderr ---\n{}", self.stderr());
        }
    }
}
