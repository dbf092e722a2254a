//! Real receivers of others, run for the length of a test, where the machine has them.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::eventually;

/// Where `./dev parts` puts what the system does not carry.
fn parts() -> PathBuf {
    let folder = std::env::var_os("RG_PARTS").map_or_else(|| ".parts".into(), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

/// A program that was started here; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _gone_already = self.0.wait();
    }
}

/// Says loudly that a test did not run; with `RG_REQUIRE_PARTS=1` it fails instead.
fn missing<T>(part: &str) -> Option<T> {
    let required = std::env::var_os("RG_REQUIRE_PARTS").is_some();
    assert!(!required, "{part} is required: ./dev parts {part}");
    eprintln!("SKIPPED for want of {part}: ./dev parts {part}");
    None
}

/// rsyslog, listening over TCP and UDP; it writes down what it parsed of each message.
pub(crate) struct Rsyslog {
    pub(crate) tcp: SocketAddr,
    pub(crate) udp: SocketAddr,
    folder: TempDir,
    _running: Running,
}

impl Rsyslog {
    /// `None`, said loudly, where it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        // rsyslog takes no free UDP port by itself; another program may be quicker, but hardly is.
        let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let udp = free.local_addr().expect("an address");
        drop(free);
        let configuration = rsyslog_file(folder.path(), udp.port());
        let file = folder.path().join("rsyslog.conf");
        std::fs::write(&file, configuration).expect("a writable folder");
        let spawned = Command::new("rsyslogd")
            .args(["-n", "-i"])
            .arg(folder.path().join("pid"))
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            return missing("rsyslog");
        };
        let running = Running(child);
        let port_file = folder.path().join("tcp.port");
        let port: u16 = eventually("rsyslog to listen", async || {
            std::fs::read_to_string(&port_file)
                .ok()?
                .trim()
                .parse()
                .ok()
        })
        .await;
        Some(Self {
            tcp: ([127, 0, 0, 1], port).into(),
            udp,
            folder,
            _running: running,
        })
    }

    /// What it made of each message so far: priority, hostname, application, message id, structured data, text.
    pub(crate) fn messages(&self) -> Vec<[String; 6]> {
        let text = std::fs::read_to_string(self.folder.path().join("received")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let fields = whole.lines().map(|line| {
            let mut fields = line.splitn(6, '\t').map(str::to_owned);
            std::array::from_fn(|_| fields.next().unwrap_or_default())
        });
        fields.collect()
    }
}

fn rsyslog_file(folder: &Path, udp: u16) -> String {
    let folder = folder.display();
    format!(
        r#"global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imtcp")
module(load="imudp")
template(name="parsed" type="list") {{
  property(name="pri") constant(value="\t") property(name="hostname") constant(value="\t")
  property(name="app-name") constant(value="\t") property(name="msgid") constant(value="\t")
  property(name="structured-data") constant(value="\t") property(name="msg" droplastlf="on") constant(value="\n")
}}
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{folder}/tcp.port")
input(type="imudp" address="127.0.0.1" port="{udp}")
action(type="omfile" file="{folder}/received" template="parsed" flushOnTXEnd="on")
"#
    )
}

/// A Fluentd receiver: the server of the Fluent project's own JavaScript library.
pub(crate) struct FluentServer {
    pub(crate) address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
    running: Running,
}

impl FluentServer {
    /// `None`, said loudly, where Node or the library is not installed.
    pub(crate) async fn start(port: u16, shared_key: &str) -> Option<Self> {
        let library = parts().join("fluentd/node_modules");
        if !library.is_dir() {
            return missing("fluentd");
        }
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/parts/fluentd/receiver.js"
        );
        let spawned = Command::new("node")
            .args([script, &port.to_string(), shared_key])
            .env("NODE_PATH", library)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            return missing("fluentd");
        };
        let stdout = child.stdout.take().expect("piped");
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                kept.lock().expect("not poisoned").push(line);
            }
        });
        let running = Running(child);
        let port: u16 = eventually("the receiver to listen", async || {
            let lines = lines.lock().expect("not poisoned");
            lines.first()?.strip_prefix("listening ")?.parse().ok()
        })
        .await;
        Some(Self {
            address: ([127, 0, 0, 1], port).into(),
            lines,
            reader,
            running,
        })
    }

    /// Sends it a signal by name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.running.0.id());
        let status = Command::new("sh").args(["-c", &command]).status();
        assert!(status.expect("sh runs").success(), "{command}");
    }

    /// Kills it; what it had written down until then, to the last line.
    pub(crate) fn stop(self) -> Vec<serde_json::Value> {
        drop(self.running);
        self.reader.join().expect("no panic");
        parsed(&self.lines)
    }

    /// The JSON lines of all entries so far: `tag`, `seconds`, `record`.
    pub(crate) fn entries(&self) -> Vec<serde_json::Value> {
        parsed(&self.lines)
    }
}

/// The entries behind the first line, which says where it listens.
fn parsed(lines: &Mutex<Vec<String>>) -> Vec<serde_json::Value> {
    let lines = lines.lock().expect("not poisoned");
    let entries = lines.iter().skip(1);
    entries
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}
