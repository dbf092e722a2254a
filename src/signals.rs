//! What the gateway is told by signals: to stop, and to read its configuration anew.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::notes::Actor;

/// The signals that mean something to the gateway.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// From now on they are kept until they are asked for.
    pub(crate) fn received() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }
}

/// Reloads on SIGHUP; returns the stream of further stop signals on the first one.
pub(crate) async fn wait_for_signals(
    app: &Arc<App>,
    signals: io::Result<Signals>,
) -> Option<(Signal, Signal)> {
    let Signals {
        mut term,
        mut int,
        mut hup,
    } = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be received");
            return None;
        }
    };
    loop {
        tokio::select! {
            _ = term.recv() => return Some((term, int)),
            _ = int.recv() => return Some((term, int)),
            _ = hup.recv() => {
                let app = app.clone();
                // Compiling rules takes a while; signals are not kept waiting.
                // The outcome is logged and audited where it is known.
                tokio::task::spawn_blocking(move || drop(app.reload(&Actor::named("SIGHUP"))));
            }
        }
    }
}
