//! Serves the HTTP/1 requests of one connection, one after another.

use std::sync::Arc;

use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use super::connection::NextHead;
use super::{Connection, WireFault};
use crate::proxy::{HttpGateway, wire};

/// Reads heads, refuses bad ones, and hands good ones to Pingora until the connection is done.
pub(crate) async fn serve(
    gateway: Arc<HttpGateway>,
    connection: Connection,
    mut shutdown: ShutdownWatch,
    app: Arc<crate::app::App>,
) {
    let mut connection = Box::new(connection);
    let mut first = true;
    loop {
        let next = tokio::select! {
            biased;
            next = connection.next_head(first) => next,
            // Invariant: nothing of a further request has been received, or `next_head` would hold it.
            () = shutting_down(&mut shutdown), if connection.received().is_empty() => NextHead::Closed,
        };
        match next {
            NextHead::Ready => {}
            NextHead::Closed => return,
            NextHead::Refused(fault) => return refuse(&app, *connection, fault).await,
        }
        first = false;
        let mut session = ServerSession::new_http1(connection);
        if *shutdown.borrow() {
            session.set_keepalive(None);
        } else {
            session.set_keepalive(Some(0));
        }
        let Some(reused) = gateway.process_new_http(session, &shutdown).await else {
            return;
        };
        let (stream, _) = reused.consume();
        let Ok(same) = stream.into_any().downcast::<Connection>() else {
            return;
        };
        connection = same;
        if !connection.is_message_over() {
            return;
        }
    }
}

/// Ready once the gateway shuts down.
async fn shutting_down(shutdown: &mut ShutdownWatch) {
    // An error means that the sender is gone, which is the end of the gateway as well.
    drop(shutdown.wait_for(|down| *down).await);
}

/// Answers a request that HTTP could not begin with, and closes.
async fn refuse(app: &crate::app::App, mut connection: Connection, fault: WireFault) {
    let answer = wire::refuse(app, connection.downstream(), fault, connection.received());
    if connection.write_all(&answer).await.is_ok() {
        drop(connection.flush().await);
    }
}
