//! A stand-in for a receiver of events over TCP: keeps every byte, and fails the way receivers do.
//!
//! It is no product: it shows what leaves the gateway and when, not that another program accepts it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::eventually;

/// A receiver that is listening, or was.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    connections: Arc<Mutex<Vec<Vec<u8>>>>,
    accepting: JoinHandle<()>,
}

impl Recorder {
    /// Takes everything.
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), Way::Plain).await
    }

    /// Takes everything, over TLS.
    pub(crate) async fn over_tls(acceptor: TlsAcceptor) -> Self {
        let address = "127.0.0.1:0".parse().expect("an address");
        Self::at(address, Way::Tls(acceptor)).await
    }

    /// Accepts connections and reads nothing.
    pub(crate) async fn frozen() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address"), Way::Frozen).await
    }

    /// Listens again where another did.
    pub(crate) async fn again_at(address: SocketAddr) -> Self {
        Self::at(address, Way::Plain).await
    }

    async fn at(address: SocketAddr, way: Way) -> Self {
        let listener = listen(address, !matches!(way, Way::Frozen)).await;
        let address = listener.local_addr().expect("an address");
        let connections: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            // Ends with this task, and every connection with it.
            let mut readers = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, way) = (Arc::clone(&kept), way.clone());
                readers.spawn(async move {
                    match way {
                        Way::Plain => keep(stream, &kept).await,
                        Way::Tls(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                keep(stream, &kept).await;
                            }
                        }
                        Way::Frozen => {
                            // The connection lives as long as this task.
                            let _open = stream;
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            accepting,
        }
    }

    /// Closes the listener and every connection.
    pub(crate) async fn stop(self) -> Vec<Vec<u8>> {
        self.accepting.abort();
        let _cancelled = self.accepting.await;
        self.connections.lock().expect("not poisoned").clone()
    }

    /// The bytes of each connection so far.
    pub(crate) fn connections(&self) -> Vec<Vec<u8>> {
        self.connections.lock().expect("not poisoned").clone()
    }

    /// Every whole line so far, of all connections in the order they came.
    pub(crate) fn lines(&self) -> Vec<String> {
        lines_of(&self.connections())
    }

    /// Waits until lines have arrived with all of these event ids.
    pub(crate) async fn has_all(&self, ids: &[String]) {
        eventually("every event to arrive", async || {
            let got: std::collections::HashSet<String> =
                ids_of(&self.lines()).into_iter().collect();
            ids.iter().all(|id| got.contains(id)).then_some(())
        })
        .await;
    }
}

/// How a receiver treats connections.
#[derive(Clone)]
enum Way {
    Plain,
    Tls(TlsAcceptor),
    Frozen,
}

/// Keeps every byte of one connection.
async fn keep(mut stream: impl AsyncRead + Unpin, kept: &Mutex<Vec<Vec<u8>>>) {
    let index = {
        let mut kept = kept.lock().expect("not poisoned");
        kept.push(Vec::new());
        kept.len() - 1
    };
    let mut piece = vec![0; 64 << 10];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        let mut kept = kept.lock().expect("not poisoned");
        kept[index].extend_from_slice(&piece[..read]);
    }
}

/// The whole lines of some connections.
pub(crate) fn lines_of(connections: &[Vec<u8>]) -> Vec<String> {
    let whole = connections.iter().flat_map(|bytes| {
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = &bytes[..end.map_or(0, |end| end + 1)];
        String::from_utf8(whole.to_vec())
            .expect("UTF-8")
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    whole.collect()
}

/// The event ids of JSON lines, in order.
pub(crate) fn ids_of(lines: &[String]) -> Vec<String> {
    let id = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        event["event_id"].as_str().expect("an id").to_owned()
    };
    lines.iter().map(id).collect()
}

async fn listen(address: SocketAddr, reads: bool) -> TcpListener {
    eventually("the port to be free", async || {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        if !reads {
            // So that what nobody reads soon stands in the sender's way.
            socket.set_recv_buffer_size(8 << 10).expect("an option");
        }
        socket.bind(address).ok()?;
        socket.listen(64).ok()
    })
    .await
}
