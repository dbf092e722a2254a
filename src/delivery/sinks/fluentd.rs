//! Fluentd's forward protocol, version 1: packed entries with a chunk id that the receiver acknowledges.
//!
//! ```text
//! receiver                              gateway
//!   HELO {nonce, auth}        ────►               these three only where a shared key is configured
//!                             ◄────     PING host, salt, sha512(salt, host, nonce, key)
//!   PONG ok, server, sha512(salt, server, nonce, key) ────►
//!                             ◄────     tag, entries, {chunk, size}
//!   {ack: chunk}              ────►
//! ```
//!
//! A batch is accepted when its chunk is acknowledged. The shared key proves both sides to each other and never
//! travels; it does not hide the events, which TLS does.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::msgpack::{self, Packed, Unread};
use super::or_again;
use crate::config::FluentdSink;
use crate::delivery::net::{Connector, Stream};
use crate::delivery::{BoxFuture, Delivery, Record, Sink};

/// Longest answer of a receiver, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// How the gateway calls itself in the handshake.
const HOST: &str = "rg-gateway";
/// MessagePack: an extension of eight bytes and type 0, which is an event's time in the protocol.
const EVENT_TIME: [u8; 2] = [0xd7, 0x00];

pub(super) struct Fluentd {
    settings: FluentdSink,
    connector: Connector,
    /// Absent while a batch is under way: one that is cut short leaves no connection behind.
    stream: Option<Stream>,
}

impl Fluentd {
    pub(super) fn new(settings: &FluentdSink) -> Self {
        Self {
            settings: settings.clone(),
            connector: Connector::to(&settings.server),
            stream: None,
        }
    }

    async fn send(&mut self, batch: &[Record]) -> io::Result<()> {
        let Some(first) = batch.first() else {
            return Ok(());
        };
        let chunk = STANDARD.encode(first.event_id.as_bytes());
        let message = message(&self.settings.tag, batch, &chunk)?;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        stream.write_all(&message).await?;
        stream.flush().await?;
        let answer = read(&mut stream).await?;
        if answer.entry("ack").and_then(Packed::as_text) != Some(&chunk) {
            return Err(io::Error::other(
                "the receiver did not acknowledge the chunk",
            ));
        }
        self.stream = Some(stream);
        Ok(())
    }

    async fn connect(&mut self) -> io::Result<Stream> {
        let mut stream = self.connector.connect().await?;
        if let Some(key) = &self.settings.shared_key {
            shake_hands(&mut stream, key.expose()).await?;
        }
        Ok(stream)
    }
}

impl Sink for Fluentd {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(async move { or_again(self.send(batch).await, "fluentd") })
    }
}

/// A batch in the protocol's packed form.
fn message(tag: &str, batch: &[Record], chunk: &str) -> io::Result<Vec<u8>> {
    let mut entries = Vec::new();
    for record in batch {
        let event: Value = serde_json::from_str(&record.json)?;
        msgpack::list(&mut entries, 2);
        entries.extend_from_slice(&EVENT_TIME);
        let seconds = record.timestamp.div_euclid(1_000_000);
        let nanos = record.timestamp.rem_euclid(1_000_000) * 1_000;
        // The protocol has 32 bits for either.
        for part in [seconds, nanos] {
            let part = u32::try_from(part).unwrap_or(u32::MAX);
            entries.extend_from_slice(&part.to_be_bytes());
        }
        msgpack::json(&mut entries, &event);
    }
    let mut message = Vec::with_capacity(entries.len() + 256);
    msgpack::list(&mut message, 3);
    msgpack::text(&mut message, tag);
    msgpack::binary(&mut message, &entries);
    msgpack::map(&mut message, 2);
    msgpack::text(&mut message, "size");
    msgpack::whole(&mut message, batch.len() as u64);
    msgpack::text(&mut message, "chunk");
    msgpack::text(&mut message, chunk);
    Ok(message)
}

/// Proves to each side that the other knows the key.
async fn shake_hands(stream: &mut Stream, key: &str) -> io::Result<()> {
    let hello = read(stream).await?;
    let nonce = nonce(&hello).ok_or_else(|| wrong("the receiver does not begin with HELO"))?;
    if asks_for_user(&hello) {
        return Err(wrong(
            "the receiver asks for a user name, which is not supported",
        ));
    }
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
    let mut ping = Vec::new();
    msgpack::list(&mut ping, 6);
    msgpack::text(&mut ping, "PING");
    msgpack::text(&mut ping, HOST);
    msgpack::binary(&mut ping, &salt);
    msgpack::text(&mut ping, &proof(&salt, HOST.as_bytes(), nonce, key));
    // No user name and no proof of a password.
    msgpack::text(&mut ping, "");
    msgpack::text(&mut ping, "");
    stream.write_all(&ping).await?;
    stream.flush().await?;
    judge_pong(&read(stream).await?, &salt, nonce, key)
}

fn nonce(hello: &Packed) -> Option<&[u8]> {
    let Packed::List(parts) = hello else {
        return None;
    };
    let [word, greeting] = parts.as_slice() else {
        return None;
    };
    let nonce = greeting.entry("nonce").and_then(Packed::as_bytes);
    nonce.filter(|_| word.as_text() == Some("HELO"))
}

fn asks_for_user(hello: &Packed) -> bool {
    let Packed::List(parts) = hello else {
        return false;
    };
    let auth = parts.get(1).and_then(|greeting| greeting.entry("auth"));
    auth.and_then(Packed::as_bytes)
        .is_some_and(|auth| !auth.is_empty())
}

/// Whether the receiver takes the key, and knows it itself.
fn judge_pong(pong: &Packed, salt: &[u8], nonce: &[u8], key: &str) -> io::Result<()> {
    let Packed::List(parts) = pong else {
        return Err(wrong("the receiver does not answer with PONG"));
    };
    let [word, agrees, reason, server, its_proof] = parts.as_slice() else {
        return Err(wrong("the receiver does not answer with PONG"));
    };
    if word.as_text() != Some("PONG") || *agrees != Packed::Bool(true) {
        let reason = reason.as_text().unwrap_or_default();
        return Err(io::Error::other(format!(
            "the receiver refused the shared key: {reason}"
        )));
    }
    let expected = proof(salt, server.as_bytes().unwrap_or_default(), nonce, key);
    let got = its_proof.as_bytes().unwrap_or_default();
    if bool::from(got.ct_eq(expected.as_bytes())) {
        Ok(())
    } else {
        Err(wrong("the receiver does not know the shared key"))
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What only someone who knows the key can say, in hex.
fn proof(salt: &[u8], host: &[u8], nonce: &[u8], key: &str) -> String {
    let mut hash = Sha512::new();
    for part in [salt, host, nonce, key.as_bytes()] {
        hash.update(part);
    }
    crate::hex::text(&hash.finalize())
}

/// The next value a receiver sends.
async fn read(stream: &mut Stream) -> io::Result<Packed> {
    let mut bytes = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
        match Packed::read(&bytes) {
            Ok((value, taken)) if taken == bytes.len() => return Ok(value),
            Err(Unread::Short) if bytes.len() < ANSWER_BYTES_MAX => {}
            _ => return Err(wrong("the receiver's answer is not understood")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Packed {
        Packed::Bytes(text.as_bytes().to_vec())
    }

    fn pong(agrees: bool, server: &str, proof: &str) -> Packed {
        Packed::List(vec![
            text("PONG"),
            Packed::Bool(agrees),
            text("mismatch"),
            text(server),
            text(proof),
        ])
    }

    #[test]
    fn a_receiver_is_believed_only_with_the_proof_of_the_key() {
        let good = proof(b"salt", b"fluentd-1", b"nonce", "key");
        let judge = |pong: &Packed| judge_pong(pong, b"salt", b"nonce", "key");
        assert!(judge(&pong(true, "fluentd-1", &good)).is_ok());
        for (agrees, server, proof) in [
            (false, "fluentd-1", good.clone()),
            (true, "fluentd-2", good.clone()),
            (
                true,
                "fluentd-1",
                proof(b"salt", b"fluentd-1", b"nonce", "other"),
            ),
            (true, "fluentd-1", String::new()),
        ] {
            assert!(judge(&pong(agrees, server, &proof)).is_err());
        }
        assert!(judge(&Packed::Nil).is_err());
        assert!(judge(&Packed::List(vec![text("PONG"), Packed::Bool(true)])).is_err());
    }

    #[test]
    fn the_proof_is_the_sha_512_of_its_parts_in_order() {
        // SHA-512 of "abc", a published test vector (FIPS 180).
        let expected = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                        2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert_eq!(proof(b"a", b"b", b"", "c"), expected);
    }

    #[test]
    fn a_receiver_that_wants_a_user_is_noticed() {
        let hello = |auth: &str| {
            let greeting = vec![(text("nonce"), text("n")), (text("auth"), text(auth))];
            Packed::List(vec![text("HELO"), Packed::Map(greeting)])
        };
        assert_eq!(nonce(&hello("")), Some(b"n".as_slice()));
        assert!(!asks_for_user(&hello("")) && asks_for_user(&hello("salt")));
    }
}
