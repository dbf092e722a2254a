//! Listeners: bound before anything runs, their real addresses known; connections accepted, counted,
//! and handed to the protocol they speak.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pingora::apps::ServerApp;
use pingora::server::ShutdownWatch;
use socket2::{Domain, Protocol as Transport, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::app::App;
use crate::config::{Listener, Protocol};
use crate::proxy::HttpGateway;
use crate::proxy::downstream::{Connection, Downstream, Socket, WireLimits, serve_http1};
use crate::tls::Certificate;

/// Connections the kernel completes before we accept them.
const BACKLOG: i32 = 4_096;
/// A wait after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that owns its port.
pub struct Bound {
    /// As configured.
    pub name: Arc<str>,
    /// What clients speak.
    pub protocol: Protocol,
    /// The real address; the port is never 0.
    pub address: SocketAddr,
    socket: std::net::TcpListener,
    tls: Option<Arc<Certificate>>,
}

impl Bound {
    /// Binds one listener.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or the certificate cannot be used.
    pub fn bind(listener: &Listener) -> io::Result<Self> {
        let tls = match &listener.tls {
            Some(files) => Some(Arc::new(Certificate::load(files)?)),
            None => None,
        };
        let socket = bind(listener.address)?;
        Ok(Self {
            name: listener.name.clone(),
            protocol: listener.protocol,
            address: socket.local_addr()?,
            socket,
            tls,
        })
    }

    /// The certificate in use, to be renewed on reload.
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.tls.as_ref()
    }

    /// The same listener for one more worker.
    ///
    /// # Errors
    ///
    /// The descriptor cannot be duplicated.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            protocol: self.protocol,
            address: self.address,
            socket: self.socket.try_clone()?,
            tls: self.tls.clone(),
        })
    }
}

/// Binds a non-blocking TCP listener.
///
/// # Errors
///
/// The address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Transport::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the shutdown, then takes what the kernel has already completed, and stops.
pub(crate) async fn accept(
    bound: Bound,
    gateway: Arc<HttpGateway>,
    app: Arc<App>,
    mut shutdown: ShutdownWatch,
) -> io::Result<()> {
    // Invariant: this is the worker's only handle; once all workers have dropped theirs, the port is closed.
    let listener = TcpListener::from_std(bound.socket)?;
    let entrance = Arc::new(Entrance {
        protocol: bound.protocol,
        tls: bound.tls,
        gateway,
        app,
        draining: shutdown.clone(),
    });
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|down| *down) => return Ok(()),
        };
        match accepted {
            Ok((stream, peer)) => {
                let entrance = entrance.clone();
                if let Some(place) = entrance.app.gate.enter(peer.ip()) {
                    let counted = entrance.app.metrics.connection();
                    tokio::spawn(async move {
                        entrance.serve(stream, peer).await;
                        drop((place, counted));
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What every connection of a listener needs.
struct Entrance {
    protocol: Protocol,
    tls: Option<Arc<Certificate>>,
    gateway: Arc<HttpGateway>,
    app: Arc<App>,
    draining: ShutdownWatch,
}

impl Entrance {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let limits = self.app.wire_limits();
        // Without it small answers wait for acknowledgements; a failure only costs latency.
        drop(stream.set_nodelay(true));
        let Some((socket, http2)) = self.handshake(stream, &limits).await else {
            return;
        };
        let tls = matches!(socket, Socket::Tls(_));
        let downstream = Arc::new(Downstream::new(peer, tls));
        let Ok(mut connection) = Connection::new(socket, downstream, limits, http2) else {
            return;
        };
        // Speaking before a client has said which protocol it means would confuse either.
        if self.protocol == Protocol::H2c && !connection.greet().await {
            return;
        }
        if connection.is_http2() {
            self.gateway
                .process_new(Box::new(connection), &self.draining)
                .await;
        } else {
            serve_http1(
                self.gateway.clone(),
                connection,
                self.draining.clone(),
                self.app.clone(),
            )
            .await;
        }
    }

    /// The transport, and whether it speaks HTTP/2.
    async fn handshake(&self, stream: TcpStream, limits: &WireLimits) -> Option<(Socket, bool)> {
        let Some(certificate) = &self.tls else {
            return Some((Socket::Plain(stream), false));
        };
        let accepted =
            tokio::time::timeout(limits.header_timeout, certificate.acceptor().accept(stream))
                .await;
        match accepted {
            Ok(Ok(tls)) => {
                let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                Some((Socket::Tls(Box::new(tls)), http2))
            }
            Ok(Err(error)) => {
                self.app.metrics.protocol_violation("tls-handshake");
                tracing::debug!(%error, "tls handshake failed");
                None
            }
            Err(_) => {
                self.app.metrics.protocol_violation("tls-handshake-timeout");
                None
            }
        }
    }
}

/// How many connections there may be, of all clients and of each address.
#[derive(Debug)]
pub struct Gate {
    total: AtomicUsize,
    total_max: usize,
    per_address: Mutex<HashMap<IpAddr, usize>>,
    per_address_max: usize,
}

/// One connection's place; dropping it frees it.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    /// A gate with these bounds.
    pub fn new(total_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(0),
            total_max,
            per_address: Mutex::new(HashMap::new()),
            per_address_max,
        })
    }

    /// A place, or none when either bound is reached; the connection is closed then.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        if self.total.fetch_add(1, Ordering::AcqRel) >= self.total_max {
            self.total.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let mut addresses = self
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_insert(0);
        if *count >= self.per_address_max {
            self.total.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        *count += 1;
        Some(Place {
            gate: self.clone(),
            address,
        })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.total.load(Ordering::Acquire)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::AcqRel);
        let mut addresses = self
            .gate
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_bounds_all_clients_and_each_address_and_forgets_who_left() {
        let gate = Gate::new(3, 2);
        let a: IpAddr = "192.0.2.1".parse().unwrap();
        let b: IpAddr = "192.0.2.2".parse().unwrap();
        let first = gate.enter(a).unwrap();
        let _second = gate.enter(a).unwrap();
        assert!(gate.enter(a).is_none());
        let _third = gate.enter(b).unwrap();
        assert!(gate.enter(b).is_none());
        assert_eq!(gate.open(), 3);
        drop(first);
        assert!(gate.enter(b).is_some());
        assert_eq!(gate.open(), 2);
    }
}
