//! Real stores of others, built by `./dev parts` and started for one test on a free port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::upstream::Upstream;

/// How long a store may take to start on a busy machine.
const START_MAX: Duration = Duration::from_secs(180);

/// A store that is running; killed when dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    command: Box<dyn Fn() -> Command + Send>,
    child: Child,
    /// What it has stored, over its restarts too.
    folder: TempDir,
}

/// A node of OpenSearch; `None`, said loudly, where it is not built.
pub(crate) async fn opensearch() -> Option<Served> {
    java("opensearch", "OpenSearch").await
}

/// A node of Elasticsearch; `None`, said loudly, where it is not built.
pub(crate) async fn elasticsearch() -> Option<Served> {
    java("elasticsearch", "Elasticsearch").await
}

async fn java(name: &str, class: &'static str) -> Option<Served> {
    let folder = part(name, &format!("{class}.class"))?;
    let start = move |port: String, data: &Path| {
        let mut java = Command::new("java");
        let classes = format!("{}:{}/lib/*", folder.display(), folder.display());
        java.args([
            "-Xms512m",
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            &classes,
        ])
        .args([class, &port])
        .arg(data);
        java
    };
    Some(Served::start(start).await)
}

/// VictoriaLogs, which takes Splunk's protocol; it keeps an event's own text. `None`, said loudly, where it is not built.
pub(crate) async fn victorialogs() -> Option<Served> {
    let program = part("victorialogs", "victoria-logs")?.join("victoria-logs");
    let start = move |port: String, data: &Path| {
        let mut server = Command::new(&program);
        server
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("-storageDataPath={}", data.display()))
            .args([
                "-splunk.preserveJSONKeys=event",
                "-inmemoryDataFlushInterval=1s",
            ]);
        server
    };
    Some(Served::start(start).await)
}

/// FerretDB on SQLite; `None`, said loudly, where it is not built.
pub(crate) async fn ferretdb() -> Option<Served> {
    let program = part("ferretdb", "ferretdb")?.join("ferretdb");
    let start = move |port: String, data: &Path| {
        let mut server = Command::new(&program);
        server.arg(port).arg(data);
        server
    };
    Some(Served::start(start).await)
}

/// The same, speaking TLS with `certificate.pem` and `key.pem` of these files.
pub(crate) async fn ferretdb_over_tls(files: &[(&str, &String)]) -> Option<Served> {
    let program = part("ferretdb", "ferretdb")?.join("ferretdb");
    let identity = TempDir::new().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(identity.path().join(name), text).expect("a writable folder");
    }
    let start = move |port: String, data: &Path| {
        let mut server = Command::new(&program);
        let file = |name: &str| identity.path().join(name);
        server.arg(port).arg(data);
        server.args([file("certificate.pem"), file("key.pem")]);
        server
    };
    Some(Served::start(start).await)
}

/// The folder of a part that has this file.
pub(super) fn part(name: &str, file: &str) -> Option<PathBuf> {
    let parts = std::env::var_os("RG_PARTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".parts"),
        PathBuf::from,
    );
    let folder = parts.join(name);
    if folder.join(file).is_file() {
        return Some(folder);
    }
    let required = std::env::var_os("RG_REQUIRE_PARTS").is_some();
    assert!(!required, "{name} is required: ./dev parts {name}");
    eprintln!("SKIPPED for want of {name}: ./dev parts {name}");
    None
}

impl Served {
    pub(super) async fn start(command: impl Fn(String, &Path) -> Command + Send + 'static) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let address = Upstream::absent().await;
        let data = folder.path().to_owned();
        let command = Box::new(move || command(address.port().to_string(), &data));
        let mut served = Self {
            address,
            child: run(command()),
            command,
            folder,
        };
        served.listens().await;
        served
    }

    /// Kills it with no chance to tidy up.
    pub(crate) fn kill(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }

    /// Sends it a signal by name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).status();
        assert!(status.expect("sh runs").success(), "{command}");
    }

    /// Starts it again where it was, with what it had.
    pub(crate) async fn restart(&mut self) {
        self.child = run((self.command)());
        self.listens().await;
    }

    /// A file in its folder.
    pub(super) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(name)).ok()
    }

    async fn listens(&mut self) {
        let started = async {
            while TcpStream::connect(self.address).await.is_err() {
                let ended = self.child.try_wait().expect("it can be waited for");
                assert_eq!(ended, None, "it ended: {}", self.said());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(START_MAX, started).await.is_err() {
            panic!("it does not listen after {START_MAX:?}");
        }
    }

    /// What is in its folder, for whoever reads why it did not start.
    fn said(&self) -> String {
        self.folder.path().display().to_string()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}
