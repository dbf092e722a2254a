//! Closing so that the last answer arrives.
//!
//! Closing a socket with unread bytes makes the kernel send RST, and the client may then lose the
//! answer it was just sent (RFC 9112, 9.6). So the sending side is closed first and what still
//! comes is read away for a bounded while.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Socket;

/// How long a closed connection is read away at the most.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// How many bytes are read away at the most.
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Closes `socket` gently, in the background.
pub(super) fn close(mut socket: Socket) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        let drained = async {
            socket.shutdown().await?;
            let mut sink = vec![0_u8; 16 * 1024];
            let mut read = 0;
            while read < LINGER_BYTES_MAX {
                match socket.read(&mut sink).await? {
                    0 => break,
                    n => read += n,
                }
            }
            std::io::Result::Ok(())
        };
        // However it ends, the connection is over.
        drop(tokio::time::timeout(LINGER_MAX, drained).await);
    });
}
