//! Syslog messages of RFC 5424 over TCP with octet counting (RFC 6587), TLS (RFC 5425) or UDP (RFC 5426).
//!
//! Neither transport has an acknowledgement: see [`unacknowledged`](super::unacknowledged). Over UDP a message that
//! the network drops is gone; the `sequenceId` of each message shows the gap.

use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::or_again;
use super::siem::{cef, leef};
use super::unacknowledged::Unacknowledged;
use crate::audit::{AuditEvent, Severity, timestamp};
use crate::config::{Server, SyslogFormat, SyslogSink, SyslogTransport};
use crate::delivery::{BoxFuture, Delivery, Record, Sink};

/// Largest `sequenceId` of RFC 5424.
const SEQUENCE_ID_MAX: u64 = 2_147_483_647;
/// Where the system says how it is called.
const HOSTNAME_FILE: &str = "/proc/sys/kernel/hostname";
/// Longest hostname and application name of RFC 5424.
const HOSTNAME_BYTES_MAX: usize = 255;

pub(super) struct Syslog {
    settings: SyslogSink,
    hostname: String,
    transport: Transport,
}

enum Transport {
    Stream(Unacknowledged),
    Datagram(Datagrams),
}

impl Syslog {
    pub(super) fn new(settings: &SyslogSink) -> Self {
        let own = || std::fs::read_to_string(HOSTNAME_FILE).unwrap_or_default();
        let hostname = settings.hostname.as_deref().map_or_else(own, str::to_owned);
        Self {
            hostname: header_field(&hostname),
            transport: match settings.transport {
                SyslogTransport::Tcp => Transport::Stream(Unacknowledged::to(&settings.server)),
                SyslogTransport::Udp => Transport::Datagram(Datagrams {
                    server: settings.server.clone(),
                    socket: None,
                }),
            },
            settings: settings.clone(),
        }
    }

    /// Each event's message, or why it cannot be one.
    fn messages(&self, batch: &[Record]) -> (Vec<String>, Vec<(usize, String)>) {
        let (mut messages, mut rejected) = (Vec::new(), Vec::new());
        for (index, record) in batch.iter().enumerate() {
            match message(record, &self.settings, &self.hostname) {
                Ok(message) => messages.push(message),
                Err(reason) => rejected.push((index, reason)),
            }
        }
        (messages, rejected)
    }
}

impl Sink for Syslog {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            let (messages, rejected) = self.messages(batch);
            let sent = match &mut self.transport {
                // An empty batch would only repeat the one before.
                _ if messages.is_empty() => Ok(()),
                Transport::Stream(stream) => stream.send(octet_counted(&messages)).await,
                Transport::Datagram(socket) => socket.send(&messages).await,
            };
            match or_again(sent, "syslog") {
                Delivery::Accepted if !rejected.is_empty() => Delivery::Partly {
                    rejected,
                    again: Vec::new(),
                    after: None,
                    cause: String::new(),
                },
                answer => answer,
            }
        })
    }
}

/// Messages one after the other, each behind its length.
fn octet_counted(messages: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend_from_slice(message.len().to_string().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(message.as_bytes());
    }
    bytes
}

/// One event as a message. One that is too long is clipped as the log clips events: free text is cut, lists are
/// emptied, and its details say so.
fn message(record: &Record, settings: &SyslogSink, hostname: &str) -> Result<String, String> {
    let event: AuditEvent<'_> = serde_json::from_str(&record.json)
        .map_err(|error| format!("not an audit event: {error}"))?;
    let max = settings.message_bytes_max;
    let written = write(
        record.sequence,
        &event,
        Some(&record.json),
        settings,
        hostname,
    )?;
    if written.len() <= max {
        return Ok(written);
    }
    let clipped = write(record.sequence, &event.clipped(), None, settings, hostname)?;
    if clipped.len() <= max {
        return Ok(clipped);
    }
    Err(format!(
        "longer than message_bytes_max when clipped: {}",
        clipped.len()
    ))
}

/// The event behind a header; `json` is the event as it stands in the log.
fn write(
    sequence: u64,
    event: &AuditEvent<'_>,
    json: Option<&str>,
    settings: &SyslogSink,
    hostname: &str,
) -> Result<String, String> {
    let priority = u16::from(settings.facility) * 8 + severity(event.severity);
    let stamp = timestamp::text(event.timestamp);
    let stamp = std::str::from_utf8(&stamp).map_err(|error| error.to_string())?;
    let (name, kind) = (&settings.app_name, event.event_type.as_str());
    // RFC 5424 counts from 1 and begins anew.
    let id = (sequence.saturating_sub(1) % SEQUENCE_ID_MAX) + 1;
    let mut message = String::with_capacity(2048);
    // Writing to a `String` cannot fail.
    let _ = write!(
        message,
        "<{priority}>1 {stamp} {hostname} {name} - {kind} [meta sequenceId=\"{id}\"] "
    );
    match (settings.format, json) {
        (SyslogFormat::Json, Some(json)) => message.push_str(json),
        (SyslogFormat::Json, None) => {
            message.push_str(&serde_json::to_string(event).map_err(|error| error.to_string())?);
        }
        (SyslogFormat::Cef, _) => message.push_str(&cef(event)),
        (SyslogFormat::Leef, _) => message.push_str(&leef(event)),
    }
    Ok(message)
}

/// Severities of RFC 5424.
fn severity(severity: Severity) -> u16 {
    match severity {
        Severity::Critical => 2,
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Info => 6,
    }
}

/// A field of the header: visible ASCII, or `-`.
fn header_field(text: &str) -> String {
    let visible = text.chars().filter(char::is_ascii_graphic);
    let field: String = visible.take(HOSTNAME_BYTES_MAX).collect();
    if field.is_empty() {
        "-".to_owned()
    } else {
        field
    }
}

/// A socket towards one server.
struct Datagrams {
    server: Server,
    socket: Option<UdpSocket>,
}

impl Datagrams {
    async fn send(&mut self, messages: &[String]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect().await?,
        };
        for message in messages {
            // An error tells of an earlier message, which nobody listened for.
            socket.send(message.as_bytes()).await?;
        }
        self.socket = Some(socket);
        Ok(())
    }

    async fn connect(&self) -> io::Result<UdpSocket> {
        let name = (&*self.server.host, self.server.port);
        let mut failed = io::Error::other("the name has no address");
        for address in tokio::net::lookup_host(name).await? {
            let any: SocketAddr = if address.is_ipv4() {
                (Ipv4Addr::UNSPECIFIED, 0).into()
            } else {
                (Ipv6Addr::UNSPECIFIED, 0).into()
            };
            let socket = UdpSocket::bind(any).await?;
            match socket.connect(address).await {
                Ok(()) => return Ok(socket),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::EventType;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn settings(format: SyslogFormat, message_bytes_max: usize) -> SyslogSink {
        SyslogSink {
            server: Server {
                host: "siem".into(),
                port: 514,
                tls: None,
            },
            transport: SyslogTransport::Tcp,
            format,
            facility: 13,
            hostname: None,
            app_name: "rg-gateway".into(),
            message_bytes_max,
        }
    }

    fn record(sequence: u64, endpoint: &str, agent: &str) -> Record {
        let event = AuditEvent {
            endpoint: endpoint.into(),
            user_agent: agent.into(),
            ..AuditEvent::new(
                Uuid::from_u128(9),
                1_790_000_000_123_456,
                EventType::SecurityEvent,
                Severity::Critical,
            )
        };
        Record {
            sequence,
            event_id: event.event_id,
            timestamp: event.timestamp,
            json: serde_json::to_string(&event).unwrap().into(),
        }
    }

    #[test]
    fn a_message_has_the_header_of_rfc_5424_and_the_event_as_it_is_in_the_log() {
        let record = record(42, "/a", "curl");
        let message = message(&record, &settings(SyslogFormat::Json, 8192), "edge-1").unwrap();
        let expected = format!(
            "<106>1 2026-09-21T14:13:20.123456Z edge-1 rg-gateway - security_event [meta sequenceId=\"42\"] {}",
            record.json
        );
        assert_eq!(message, expected);
    }

    #[test]
    fn sequence_ids_begin_anew_beyond_their_largest() {
        for (sequence, id) in [
            (1, 1),
            (SEQUENCE_ID_MAX, SEQUENCE_ID_MAX),
            (SEQUENCE_ID_MAX + 1, 1),
        ] {
            let message = message(
                &record(sequence, "/", ""),
                &settings(SyslogFormat::Cef, 8192),
                "-",
            );
            assert!(message.unwrap().contains(&format!("sequenceId=\"{id}\"")));
        }
    }

    #[test]
    fn an_event_that_is_too_long_even_when_clipped_is_rejected() {
        let sink = Syslog::new(&settings(SyslogFormat::Json, 1_500));
        let batch = [
            record(1, "/a", "x"),
            record(2, &"y".repeat(5_000), &"x".repeat(5_000)),
            record(3, "/", ""),
        ];
        let (messages, rejected) = sink.messages(&batch);
        assert_eq!(messages.len(), 2);
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0].0, 1);
    }

    proptest! {
        #[test]
        fn every_message_fits_is_one_line_and_names_its_event(
            endpoint in any::<String>(), agent in ".{0,4000}", format in 0..3_usize
        ) {
            let format = [SyslogFormat::Json, SyslogFormat::Cef, SyslogFormat::Leef][format];
            let record = record(1, &endpoint, &agent);
            let message = message(&record, &settings(format, 8_192), "-").unwrap();
            prop_assert!(message.len() <= 8_192 && !message.contains(['\n', '\r']));
            prop_assert!(message.contains(&record.event_id.to_string()));
        }

        #[test]
        fn counted_messages_are_read_back(messages in prop::collection::vec(".{0,50}", 0..10)) {
            let bytes = octet_counted(&messages);
            let (mut rest, mut read) = (bytes.as_slice(), Vec::new());
            while !rest.is_empty() {
                let space = rest.iter().position(|byte| *byte == b' ').unwrap();
                let length: usize = std::str::from_utf8(&rest[..space]).unwrap().parse().unwrap();
                let end = space + 1 + length;
                read.push(String::from_utf8(rest[space + 1..end].to_vec()).unwrap());
                rest = &rest[end..];
            }
            prop_assert_eq!(read, messages);
        }
    }
}
