//! A connection whose receiver never says what it took.
//!
//! A write that succeeded means that the kernel has the bytes, no more: what it had not sent when the connection
//! broke, or what the receiver had not read when it died, is lost to the receiver without a word. What can be
//! known is used: before each write the receiver's side is looked at, and where the connection has ended, the
//! batch before is sent again on the new one. So a receiver that goes away between two batches misses nothing
//! and sees that batch twice; what it had not read of still earlier batches is lost to it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::config::Server;
use crate::delivery::net::{Connector, Stream};

/// Bytes the kernel may keep for the receiver; Linux doubles it for its own book-keeping.
const UNCONFIRMED_BYTES_MAX: usize = 128 << 10;
/// Bytes of the receiver's that are looked at, and thrown away, at a time.
const UNHEARD_BYTES: usize = 512;
/// Looks at what a receiver says before it is taken for alive.
const LOOKS_MAX: usize = 64;

pub(super) struct Unacknowledged {
    connector: Connector,
    /// Absent while a batch is being written: one that is cut short leaves no connection behind.
    stream: Option<Stream>,
    /// The last batch that was written whole, and whether its connection has ended since.
    last: Vec<u8>,
    is_in_doubt: bool,
}

impl Unacknowledged {
    pub(super) fn to(server: &Server) -> Self {
        Self {
            connector: Connector::to(server).with_unconfirmed_max(UNCONFIRMED_BYTES_MAX),
            stream: None,
            last: Vec::new(),
            is_in_doubt: false,
        }
    }

    /// Hands a batch to the kernel.
    pub(super) async fn send(&mut self, batch: Vec<u8>) -> io::Result<()> {
        let mut open = self.stream.take();
        if let Some(stream) = &mut open
            && !is_open(stream).await
        {
            open = None;
        }
        // Until the batch is out, the connection counts as lost: the caller may stop waiting at any point.
        let reconnects = open.is_none();
        self.is_in_doubt |= reconnects;
        let mut stream = match open {
            Some(stream) => stream,
            None => self.connector.connect().await?,
        };
        let before = std::mem::replace(&mut self.is_in_doubt, true);
        if before {
            stream.write_all(&self.last).await?;
        }
        stream.write_all(&batch).await?;
        stream.flush().await?;
        self.stream = Some(stream);
        self.last = batch;
        self.is_in_doubt = false;
        Ok(())
    }
}

/// Whether the receiver has neither closed nor reset the connection, as far as is known here.
async fn is_open(stream: &mut Stream) -> bool {
    let mut unheard = [0; UNHEARD_BYTES];
    for _ in 0..LOOKS_MAX {
        let mut buffer = ReadBuf::new(&mut unheard);
        let looked = poll_fn(|context| {
            let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
            Poll::Ready(read)
        });
        match looked.await {
            Poll::Pending => return true,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
            Poll::Ready(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    use super::*;

    async fn listener() -> (TcpListener, Unacknowledged) {
        let socket = TcpSocket::new_v4().unwrap();
        // So that a batch soon stands in the way of a receiver that does not read.
        socket.set_recv_buffer_size(4096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(8).unwrap();
        let server = Server {
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            tls: None,
        };
        (listener, Unacknowledged::to(&server))
    }

    async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut got = vec![0; bytes];
        stream.read_exact(&mut got).await.unwrap();
        got
    }

    #[tokio::test]
    async fn one_connection_serves_many_batches() {
        let (listener, mut sender) = listener().await;
        for batch in [b"one.", b"two.", b"thr."] {
            sender.send(batch.to_vec()).await.unwrap();
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(read(&mut stream, 12).await, b"one.two.thr.");
    }

    #[tokio::test]
    async fn what_a_receiver_had_not_read_when_it_went_is_sent_again() {
        let (listener, mut sender) = listener().await;
        sender.send(b"last".to_vec()).await.unwrap();
        let (unread, _) = listener.accept().await.unwrap();
        drop(unread);
        while is_open(sender.stream.as_mut().unwrap()).await {
            tokio::task::yield_now().await;
        }
        sender.send(b"next".to_vec()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(read(&mut stream, 8).await, b"lastnext");
    }

    #[tokio::test]
    async fn a_batch_that_was_cut_short_begins_anew_behind_the_one_before() {
        let (listener, mut sender) = listener().await;
        sender.send(b"last".to_vec()).await.unwrap();
        let (frozen, _) = listener.accept().await.unwrap();
        let large = vec![b'x'; 8 << 20];
        let cut = tokio::time::timeout(Duration::from_millis(200), sender.send(large.clone()));
        assert!(cut.await.is_err());
        let (reader, ()) = tokio::join!(
            async {
                let (mut stream, _) = listener.accept().await.unwrap();
                read(&mut stream, 4 + large.len()).await
            },
            async { sender.send(large.clone()).await.unwrap() },
        );
        assert!(reader.starts_with(b"last") && reader[4..] == large);
        drop(frozen);
    }
}
