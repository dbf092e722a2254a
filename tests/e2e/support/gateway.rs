//! The gateway under test: the real executable in a folder of its own, on ports of its own.
//!
//! Every whole answer a test gets through it is remembered; [`Gateway::finish`] ends it as an
//! operator would and checks the promises that hold for every exchange: exit 0, a clean audit log,
//! and exactly one audit event for each answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use reqwest::RequestBuilder;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::answer::{Answer, Answered};
use super::process::{Outcome, Process, run_to_end, run_to_end_with};
use super::schema::departs;
use super::setup::{ApiKey, NewKey, Setup};
use super::{PATIENCE, wire};

const RUN: [&str; 3] = ["run", "-c", "gateway.yaml"];

/// A running gateway; killed when dropped.
pub(crate) struct Gateway {
    keys: Vec<ApiKey>,
    file: Value,
    process: Process,
    listeners: HashMap<String, SocketAddr>,
    answered: Answered,
    client: reqwest::Client,
    // Dropped last: the process works in it.
    folder: TempDir,
}

impl Gateway {
    /// Starts it with the usual file before one upstream.
    pub(crate) async fn before(upstream: &super::Upstream) -> Self {
        Setup::from(upstream).start().await
    }

    pub(crate) async fn start(setup: Setup) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        write_file(folder.path(), &setup.file);
        for (name, content) in &setup.files {
            write_beside(folder.path(), name, content.as_ref());
        }
        if let Some(disk) = &setup.disk {
            std::os::unix::fs::symlink(disk, folder.path().join("data")).expect("a link");
        }
        let create = |key: &NewKey| key.create(folder.path());
        let keys = setup.keys.iter().map(create).collect();
        let mut process = Process::start(folder.path(), &RUN);
        let listeners = ready(&mut process).await;
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        Self {
            keys,
            file: setup.file,
            process,
            listeners,
            answered: Answered::by_gateway(),
            client: client.build().expect("a client"),
            folder,
        }
    }

    /// The real address of a listener; `public`, `http2` and `admin` exist in the usual file.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        let address = self.listeners.get(listener);
        *address.unwrap_or_else(|| panic!("no listener {listener}: {:?}", self.listeners))
    }

    /// The key that requests carry unless they say otherwise.
    pub(crate) fn key(&self) -> &ApiKey {
        &self.keys[0]
    }

    /// The key of this organization.
    pub(crate) fn key_of(&self, organization: &str) -> &ApiKey {
        let mut keys = self.keys.iter();
        keys.find(|key| key.organization == organization)
            .expect("a key of this organization")
    }

    /// A request with the usual key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_with(self.key(), method, path)
    }

    pub(crate) fn request_with(&self, key: &ApiKey, method: Method, path: &str) -> RequestBuilder {
        self.request_without_key(method, path)
            .header("x-api-key", &key.secret)
    }

    pub(crate) fn request_without_key(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address("public"));
        self.client.request(method, url)
    }

    /// The whole answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = self.try_send(request).await;
        answer.unwrap_or_else(|cause| panic!("no whole answer: {cause:?}"))
    }

    /// The whole answer, or why there is none.
    pub(crate) async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let answer = whole(request).await?;
        Ok(self.answered.note(answer))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Posts a query to a graph.
    pub(crate) async fn query(&self, graph: &str, body: &Value) -> Answer {
        let path = format!("/v1/graphs/{graph}/query");
        self.send(self.request(Method::POST, &path).json(body))
            .await
    }

    /// A connection for byte-exact HTTP/1.
    pub(crate) async fn wire(&self) -> wire::Wire {
        wire::Wire::to(self.address("public"), self.answered.clone()).await
    }

    /// One request over HTTP/2, its body in these DATA frames.
    pub(crate) async fn http2(
        &self,
        request: http::request::Builder,
        pieces: Vec<Bytes>,
    ) -> Result<Answer, h2::Error> {
        let stream = TcpStream::connect(self.address("http2"))
            .await
            .expect("it accepts");
        self.http2_over(stream, request, pieces).await
    }

    /// The same over a connection that is already there.
    pub(crate) async fn http2_over<S>(
        &self,
        stream: S,
        request: http::request::Builder,
        pieces: Vec<Bytes>,
    ) -> Result<Answer, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = request.body(()).expect("a request");
        wire::http2(stream, request, pieces, &self.answered).await
    }

    /// Asks the admin listener.
    pub(crate) async fn admin(&self, method: Method, path: &str) -> Answer {
        let url = format!("http://{}{path}", self.address("admin"));
        whole(self.client.request(method, url))
            .await
            .expect("the admin listener answers")
    }

    /// Posts a document to the admin listener.
    pub(crate) async fn admin_post(&self, path: &str, body: &Value) -> Answer {
        let url = format!("http://{}{path}", self.address("admin"));
        whole(self.client.post(url).json(body))
            .await
            .expect("the admin listener answers")
    }

    pub(crate) async fn metrics(&self) -> String {
        self.admin(Method::GET, "/metrics").await.text().to_owned()
    }

    /// The one audit event of an answer, as the admin listener's search shows it.
    pub(crate) async fn audit_of(&self, answer: &Answer) -> Value {
        let path = format!("/audit/events?request_id={}", answer.request_id());
        let found = self.admin(Method::GET, &path).await.json();
        let events = found["events"]
            .as_array()
            .unwrap_or_else(|| panic!("no events: {found}"));
        assert_eq!(events.len(), 1, "one event of one request: {found}");
        events[0].clone()
    }

    /// Runs a command of the executable in the gateway's folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Outcome {
        run_to_end(self.folder.path(), arguments)
    }

    /// The same, with variables in its environment.
    pub(crate) fn command_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
        run_to_end_with(self.folder.path(), variables, arguments)
    }

    /// Runs a script with Python in the gateway's folder; `None` where there is no Python.
    pub(crate) fn python(&self, script: &str, arguments: &[&str]) -> Option<Outcome> {
        super::process::python(self.folder.path(), script, arguments)
    }

    /// Creates a key while the gateway runs.
    pub(crate) fn create_key(&self, key: &NewKey) -> ApiKey {
        key.create(self.folder.path())
    }

    /// Every event in the log as `audit export` prints it. It reads by another folder, so that what tests look at does
    /// not grow by their looking.
    pub(crate) fn exported(&self) -> Vec<Value> {
        let reading = self.folder.path().join("reading");
        if std::fs::create_dir(&reading).is_ok() {
            let log = self.folder.path().join("data/audit");
            std::os::unix::fs::symlink(log, reading.join("audit")).expect("a link");
        }
        let outcome = self.command(&["audit", "export", "--data-dir", "reading"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let lines = outcome.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    /// Writes a file into the gateway's folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        write_beside(self.folder.path(), name, content.as_ref());
    }

    /// A file in the gateway's folder, if it is there.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(name)).ok()
    }

    /// Every file the gateway stores, with its path.
    pub(crate) fn stored_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files_below(&self.folder.path().join("data"))
    }

    /// The contents of the files in a folder beside the file, in name order.
    pub(crate) fn files_in(&self, folder: &str) -> Vec<Vec<u8>> {
        let mut files = files_below(&self.folder.path().join(folder));
        files.sort();
        files.into_iter().map(|(_, bytes)| bytes).collect()
    }

    /// Removes a file in the gateway's folder.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.path().join(name)).expect("a file");
    }

    /// Puts an empty folder where a file is, until it is put back.
    pub(crate) fn move_away(&self, name: &str) -> MovedAway {
        let path = self.folder.path().join(name);
        let kept = path.with_extension("away");
        std::fs::rename(&path, &kept).expect("a file");
        std::fs::create_dir(&path).expect("a folder in its place");
        MovedAway { path, kept }
    }

    /// Flips one bit in the middle of the audit log's first segment, while no gateway runs.
    pub(crate) fn damage_log(&self) {
        let files = files_below(&self.folder.path().join("data/audit"));
        let mut segments = files
            .into_iter()
            .filter(|(path, _)| path.extension() == Some("seg".as_ref()));
        let (path, mut bytes) = segments.next().expect("a segment");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).expect("a writable log");
    }

    /// Changes the file; the gateway learns of it when told to reload.
    pub(crate) fn rewrite(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.file);
        write_file(self.folder.path(), &self.file);
    }

    /// What it said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Memory of its own that it has now, in KiB.
    pub(crate) fn memory_kib(&self) -> Option<u64> {
        self.process.memory_kib()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end; the exit code.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        self.process.exit().await.code()
    }

    /// Starts it again in the same folder, after it has ended.
    pub(crate) async fn restart(&mut self) {
        self.process = Process::start(self.folder.path(), &RUN);
        self.listeners = ready(&mut self.process).await;
    }

    /// Forgets answered requests whose events may be lost.
    pub(crate) fn forget<'a>(&self, ids: impl Iterator<Item = &'a String>) {
        self.answered.forget(ids);
    }

    /// Ends it as an operator would, and checks what holds for every exchange.
    pub(crate) async fn finish(mut self) {
        self.signal("TERM");
        assert_eq!(self.exit().await, Some(0), "a clean exit");
        self.check_log();
    }

    /// The log verifies, and every answer has exactly one event in it.
    pub(crate) fn check_log(&self) {
        let verified = self.command(&["audit", "verify", "--data-dir", "data"]);
        assert_eq!(verified.code, Some(0), "{verified:?}");
        let schema = self.command(&["audit", "schema"]).stdout;
        let schema = serde_json::from_str(&schema).expect("a JSON Schema");
        let mut events: HashMap<String, u32> = HashMap::new();
        for event in self.exported() {
            assert_eq!(departs(&schema, &event, "event"), None, "{event}");
            assert_ne!(event["endpoint"], "audit.log.damaged", "{event}");
            if let Some(id) = event["request_id"].as_str() {
                *events.entry(id.to_owned()).or_default() += 1;
            }
        }
        for id in self.answered.ids() {
            assert_eq!(events.get(&id), Some(&1), "events of answered request {id}");
        }
    }
}

/// A file that has a folder in its place.
pub(crate) struct MovedAway {
    path: PathBuf,
    kept: PathBuf,
}

impl MovedAway {
    /// Puts it back.
    pub(crate) fn put_back(self) {
        std::fs::remove_dir(&self.path).expect("an empty folder");
        std::fs::rename(&self.kept, &self.path).expect("the file");
    }
}

async fn whole(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    Ok(Answer {
        status: response.status().as_u16(),
        fields: response.headers().clone(),
        body: response.bytes().await?.to_vec(),
        interim: Vec::new(),
    })
}

fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a readable file");
            files.push((path, bytes));
        }
    }
    files
}

/// Writes a file below a folder, and the folders between.
fn write_beside(folder: &Path, name: &str, content: &[u8]) {
    let path = folder.join(name);
    let parent = path.parent().expect("a folder");
    std::fs::create_dir_all(parent).expect("a writable folder");
    std::fs::write(path, content).expect("a writable folder");
}

fn write_file(folder: &Path, file: &Value) {
    let text = serde_json::to_string_pretty(file).expect("JSON");
    std::fs::write(folder.join("gateway.yaml"), text).expect("a writable folder");
}

/// Reads `listening name=… address=…` lines until `ready`.
async fn ready(process: &mut Process) -> HashMap<String, SocketAddr> {
    let mut listeners = HashMap::new();
    while let Some(line) = process.line().await {
        if line == "ready" {
            return listeners;
        }
        let value = |name: &str| {
            let mut words = line.split(' ');
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        if let (Some(name), Some(address)) = (value("name"), value("address")) {
            let address = address.parse().expect("a real address");
            listeners.insert(name.to_owned(), address);
        }
    }
    // Its stderr arrives on a thread of its own: let the last of it come in before it is shown.
    tokio::time::sleep(Duration::from_millis(100)).await;
    panic!(
        "the gateway ended before it was ready:\n{}",
        process.stderr()
    );
}
