//! A link between the gateway and a receiver: it forwards bytes over TCP, and fails the way networks do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// A piece of at least this many bytes is events; what is smaller are greetings and questions.
const BATCH_BYTES_MIN: usize = 600;
/// What is on its way at once, in pieces.
const PIECES_MAX: usize = 64;

/// How a link treats what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Clear,
    /// Everything arrives this much later, either way.
    Slow(Duration),
    /// Half of what a batch begins with arrives, then the connection is reset.
    Breaks,
    /// A batch arrives; instead of its answer the connection is reset.
    NoReply,
    /// Nothing arrives, not even a reset; when the hole has closed, all of it does.
    Hole,
}

#[derive(Clone)]
struct State {
    line: watch::Receiver<Line>,
    cuts: watch::Receiver<usize>,
    resets: Arc<AtomicUsize>,
}

/// A link that is up; dropped, it resets every connection.
pub(crate) struct Link {
    /// Where the gateway finds the receiver.
    pub(crate) address: SocketAddr,
    line: watch::Sender<Line>,
    cuts: watch::Sender<usize>,
    resets: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Link {
    pub(crate) async fn to(receiver: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (line, lines) = watch::channel(Line::Clear);
        let (cuts, cut) = watch::channel(0);
        let resets = Arc::<AtomicUsize>::default();
        let state = State {
            line: lines,
            cuts: cut,
            resets: Arc::clone(&resets),
        };
        let accepting = tokio::spawn(async move {
            // Ends with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((gateway, _)) = listener.accept().await {
                connections.spawn(connection(gateway, receiver, state.clone()));
            }
        });
        Self {
            address,
            line,
            cuts,
            resets,
            accepting,
        }
    }

    /// From now on, and for what is on its way.
    pub(crate) fn is(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Resets every connection there is.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// How many connections it has reset.
    pub(crate) fn resets(&self) -> usize {
        self.resets.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Both ways until both ends have closed, or the link resets it.
async fn connection(mut gateway: TcpStream, receiver: SocketAddr, mut state: State) {
    state.cuts.mark_unchanged();
    let Ok(mut receiver) = TcpStream::connect(receiver).await else {
        let _closed_anyway = gateway.set_zero_linger();
        return;
    };
    let _slower_otherwise = (gateway.set_nodelay(true), receiver.set_nodelay(true));
    let asked = AtomicBool::new(false);
    let ended = {
        let (from_gateway, to_gateway) = gateway.split();
        let (from_receiver, to_receiver) = receiver.split();
        let line = &state.line;
        let there = carry(from_gateway, to_receiver, line.clone(), |line, piece| {
            let is_batch = piece >= BATCH_BYTES_MIN;
            asked.fetch_or(is_batch, Ordering::Relaxed);
            match line {
                Line::Breaks if is_batch => Passes::Half,
                _ => Passes::Whole,
            }
        });
        let back = carry(
            from_receiver,
            to_gateway,
            line.clone(),
            |line, _| match line {
                Line::NoReply if asked.load(Ordering::Relaxed) => Passes::Nothing,
                _ => Passes::Whole,
            },
        );
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.map(drop),
            _ = state.cuts.changed() => Err(io::ErrorKind::ConnectionReset.into()),
        }
    };
    if ended.is_err() {
        state.resets.fetch_add(1, Ordering::Relaxed);
        let _closed_anyway = (gateway.set_zero_linger(), receiver.set_zero_linger());
    }
}

/// How much of a piece arrives; the connection is reset after less than all.
enum Passes {
    Whole,
    Half,
    Nothing,
}

/// One way, until the sender closes it.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    line: watch::Receiver<Line>,
    judge: impl Fn(Line, usize) -> Passes,
) -> io::Result<()> {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>, bool)>(PIECES_MAX);
    let mut now = line.clone();
    let takes = async move {
        let mut piece = vec![0; 16 << 10];
        loop {
            let read = from.read(&mut piece).await?;
            if read == 0 {
                return Ok(());
            }
            let line = *line.borrow();
            let (passes, is_last) = match judge(line, read) {
                Passes::Whole => (read, false),
                Passes::Half => (read / 2, true),
                Passes::Nothing => (0, true),
            };
            let late = match line {
                Line::Slow(time) => time,
                _ => Duration::ZERO,
            };
            let piece = (Instant::now() + late, piece[..passes].to_vec(), is_last);
            if sender.send(piece).await.is_err() || is_last {
                // What ends the connection comes from the other side of the queue.
                return Ok(());
            }
        }
    };
    let gives = async move {
        while let Some((due, piece, is_last)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            let open = now.wait_for(|line| *line != Line::Hole).await;
            open.map_err(|_| io::ErrorKind::ConnectionReset)?;
            to.write_all(&piece).await?;
            if is_last {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        to.shutdown().await
    };
    tokio::try_join!(takes, gives).map(drop)
}
