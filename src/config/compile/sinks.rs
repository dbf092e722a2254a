//! Where audit events are delivered: one kind a sink, its server, its secrets, its TLS files.

use std::sync::Arc;

use rustls::sign::CertifiedKey;
use rustls_pki_types::ServerName;

use super::{Compiler, Seen, all, count, millis, text};
use crate::config::file::{
    FileShape, FileSinkShape, FluentdSinkShape, SecretShape, SinkShape, SyslogSinkShape,
    TlsClientShape,
};
use crate::config::findings::shown;
use crate::config::model::Secret;
use crate::config::placed::Placed;
use crate::config::sinks::{
    FileSink, FluentdSink, Identity, Server, SinkKind, SinkSettings, SyslogSink, SyslogTransport,
    TlsClient,
};

/// What to do about a secret that is not said where it is.
const SECRET_HINT: &str = "write {file: /run/secrets/name} or {env: NAME}";
/// What to do about a text that is no word of a protocol.
const WORD_HINT: &str = "letters, digits and signs such as `-`, `.` and `_`";
/// Size of a file that holds a secret.
const SECRET_BYTES_MAX: usize = 4096;

impl Compiler<'_> {
    pub(super) fn sinks(&mut self, shapes: &[Placed<SinkShape>]) -> Option<Vec<SinkSettings>> {
        let (mut names, mut files) = (Seen::default(), Seen::default());
        all(shapes.iter().map(|shape| {
            names.once(&shape.value.name, self.findings);
            if let Some(file) = &shape.value.file {
                files.once(&file.value.path, self.findings);
            }
            self.sink(shape)
        }))
    }

    fn sink(&mut self, shape: &Placed<SinkShape>) -> Option<SinkSettings> {
        let sink = &shape.value;
        let name = self.parsed(&sink.name, text::name);
        let kind = self.sink_kind(shape);
        Some(SinkSettings {
            name: name?,
            start: sink.start.value,
            batch_events_max: count(&sink.batch_events_max),
            batch_bytes_max: count(&sink.batch_bytes_max),
            linger: millis(&sink.linger_ms),
            timeout: millis(&sink.timeout_ms),
            kind: kind?,
        })
    }

    /// The one section a sink has.
    fn sink_kind(&mut self, shape: &Placed<SinkShape>) -> Option<SinkKind> {
        let sink = &shape.value;
        let given = [
            ("file", sink.file.is_some()),
            ("syslog", sink.syslog.is_some()),
            ("fluentd", sink.fluentd.is_some()),
            ("logstash", sink.logstash.is_some()),
            ("mongodb", sink.mongodb.is_some()),
            ("elasticsearch", sink.elasticsearch.is_some()),
            ("splunk", sink.splunk.is_some()),
        ];
        let named = |is_given: bool| -> Vec<&str> {
            let kinds = given.iter().filter(|(_, given)| *given || !is_given);
            kinds.map(|(kind, _)| *kind).collect()
        };
        let got = named(true);
        if got.len() != 1 {
            let any = named(false).join(", ");
            let got = if got.is_empty() {
                "none".to_owned()
            } else {
                got.join(", ")
            };
            // A section that could not be read was reported where it stands.
            let is_reported = |(kind, _): &(&str, bool)| {
                let path = format!("{}.{kind}", shape.path);
                self.findings.names(&path)
            };
            if got != "none" || !given.iter().any(is_reported) {
                let hint = "a sink of its own for each place events are delivered to";
                self.error_with_hint(
                    shape,
                    format!("must have exactly one of {any}: {got}"),
                    hint,
                );
            }
            return None;
        }
        if let Some(file) = &sink.file {
            return self.file_sink(&file.value).map(SinkKind::File);
        }
        if let Some(syslog) = &sink.syslog {
            return self.syslog_sink(&syslog.value).map(SinkKind::Syslog);
        }
        if let Some(fluentd) = &sink.fluentd {
            return self.fluentd_sink(&fluentd.value).map(SinkKind::Fluentd);
        }
        if let Some(mongodb) = &sink.mongodb {
            return self.mongodb_sink(&mongodb.value).map(SinkKind::Mongodb);
        }
        if let Some(elasticsearch) = &sink.elasticsearch {
            let compiled = self.elasticsearch_sink(&elasticsearch.value);
            return compiled.map(SinkKind::Elasticsearch);
        }
        if let Some(splunk) = &sink.splunk {
            return self.splunk_sink(&splunk.value).map(SinkKind::Splunk);
        }
        let logstash = sink.logstash.as_ref()?;
        self.logstash_sink(logstash).map(SinkKind::Logstash)
    }

    fn file_sink(&mut self, shape: &FileSinkShape) -> Option<FileSink> {
        let path = self.path(&shape.path);
        if path.is_dir() {
            let reason = format!("must be a file, not a folder: {}", shown(&shape.path.value));
            let hint = "name the file in it, such as audit.jsonl";
            self.error_with_hint(&shape.path, reason, hint);
            return None;
        }
        Some(FileSink {
            path,
            bytes_max: shape.bytes_max.value,
            files_max: count(&shape.files_max),
        })
    }

    /// The data folder is the gateway's own: a file in it could be one of the log's.
    pub(super) fn sinks_leave_the_log_alone(&mut self, file: &FileShape) {
        let log = self.path(&file.data_dir).join("audit");
        let sinks = file.audit.value.sinks.value.iter();
        for path in sinks.filter_map(|sink| Some(&sink.value.file.as_ref()?.value.path)) {
            if self.path(path).starts_with(&log) {
                let reason = format!("must lie outside of the audit log: {}", shown(&path.value));
                let hint = format!("the log is all of {}/audit", file.data_dir.value);
                self.error_with_hint(path, reason, hint);
            }
        }
    }

    fn syslog_sink(&mut self, shape: &SyslogSinkShape) -> Option<SyslogSink> {
        let server = self.server(&shape.address, shape.tls.as_ref());
        let hostname = match &shape.hostname {
            Some(name) => Some(self.parsed_or_hint(name, visible_ascii, WORD_HINT)?),
            None => None,
        };
        let app_name = self.parsed_or_hint(&shape.app_name, visible_ascii, WORD_HINT);
        if let (Some(tls), SyslogTransport::Udp) = (&shape.tls, shape.transport.value) {
            let hint = "take transport: tcp, or remove tls";
            self.error_with_hint(tls, "must be absent where transport is udp", hint);
            return None;
        }
        Some(SyslogSink {
            server: server?,
            transport: shape.transport.value,
            format: shape.format.value,
            facility: u8::try_from(shape.facility.value).ok()?,
            hostname,
            app_name: app_name?,
            message_bytes_max: count(&shape.message_bytes_max),
        })
    }

    fn fluentd_sink(&mut self, shape: &FluentdSinkShape) -> Option<FluentdSink> {
        let server = self.server(&shape.address, shape.tls.as_ref());
        let shared_key = match &shape.shared_key {
            Some(secret) => Some(self.secret(secret)?),
            None => None,
        };
        let tag = self.parsed_or_hint(&shape.tag, visible_ascii, WORD_HINT);
        Some(FluentdSink {
            server: server?,
            tag: tag?,
            shared_key,
        })
    }

    /// The other end of a connection.
    pub(super) fn server(
        &mut self,
        address: &Placed<String>,
        tls: Option<&Placed<TlsClientShape>>,
    ) -> Option<Server> {
        let hint = "a name or IP address and a port, without http://";
        let parsed = self.parsed_or_hint(address, text::host_and_port, hint);
        let tls = match (tls, &parsed) {
            (Some(tls), Some((host, _))) => Some(self.tls_client(&tls.value, host)?),
            (Some(_), None) => return None,
            (None, _) => None,
        };
        let (host, port) = parsed?;
        Some(Server { host, port, tls })
    }

    /// TLS towards a host.
    pub(super) fn tls_client(&mut self, shape: &TlsClientShape, host: &str) -> Option<TlsClient> {
        let authorities = match &shape.ca_file {
            Some(file) => Some(Arc::from(self.certificates(file)?)),
            None => None,
        };
        let name = match &shape.server_name {
            Some(name) => {
                let hint = "as it stands in the server's certificate";
                self.parsed_or_hint(name, server_name, hint)?
            }
            // The host was checked with the address.
            None => server_name(host).ok()?,
        };
        let identity = match (&shape.certificate_file, &shape.private_key_file) {
            (Some(certificate), Some(key)) => Some(self.identity(certificate, key)?),
            (None, None) => None,
            (Some(alone), None) => {
                let reason = "must stand beside private_key_file";
                let hint = "a client shows both, a certificate and its key, or none";
                self.error_with_hint(alone, format!("{reason}: {}", shown(&alone.value)), hint);
                return None;
            }
            (None, Some(alone)) => {
                let reason = "must stand beside certificate_file";
                let hint = "a client shows both, a certificate and its key, or none";
                self.error_with_hint(alone, format!("{reason}: {}", shown(&alone.value)), hint);
                return None;
            }
        };
        Some(TlsClient {
            authorities,
            server_name: name,
            identity,
        })
    }

    fn identity(&mut self, file: &Placed<String>, key: &Placed<String>) -> Option<Identity> {
        let (certificates, private) = (self.certificates(file), self.private_key(key));
        let (certificates, private) = (certificates?, private?);
        let provider = rustls::crypto::ring::default_provider();
        let pair = CertifiedKey::from_der(certificates.clone(), private.clone_key(), &provider);
        if let Err(cause) = pair {
            let reason = format!("must be the key of the certificate ({cause})");
            let hint =
                "`openssl x509 -noout -pubkey` and `openssl pkey -pubout` must print the same";
            self.error_with_hint(key, format!("{reason}: {}", shown(&key.value)), hint);
            return None;
        }
        Some(Identity {
            certificates: certificates.into(),
            key: Arc::new(private),
        })
    }

    /// A secret by its place.
    pub(super) fn secret(&mut self, shape: &Placed<SecretShape>) -> Option<Secret> {
        let (at, text) = match (&shape.value.file, &shape.value.env) {
            (Some(file), None) => {
                let bytes = self.file(file, SECRET_BYTES_MAX)?;
                (file, String::from_utf8(bytes).unwrap_or_default())
            }
            (None, Some(name)) => match std::env::var(&name.value) {
                Ok(text) => (name, text),
                Err(_) => {
                    self.unset(name);
                    return None;
                }
            },
            (None, None) if self.findings.names(&shape.path) => return None,
            (None, None) => {
                self.error_with_hint(
                    shape,
                    "must have exactly one of file, env: none",
                    SECRET_HINT,
                );
                return None;
            }
            (Some(_), Some(_)) => {
                let reason = "must have exactly one of file, env: file, env";
                self.error_with_hint(shape, reason, SECRET_HINT);
                return None;
            }
        };
        let line = text.trim_end_matches(['\r', '\n']);
        if line.is_empty() || line.contains(char::is_control) {
            let hint = "the secret alone; a line end after it does no harm";
            self.error_with_hint(
                at,
                format!("must hold one line of text: {}", shown(&at.value)),
                hint,
            );
            return None;
        }
        Some(Secret::new(line))
    }

    /// What looks like no name of a variable may be the secret itself, and is not shown.
    fn unset(&mut self, name: &Placed<String>) {
        let reason = "environment variable is not set";
        let usual = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if name.value.bytes().all(usual) {
            let hint = "set it where the gateway is started, or name a file";
            self.error_with_hint(name, format!("{reason}: {}", shown(&name.value)), hint);
        } else {
            let hint = "env takes the name of a variable, such as SPLUNK_TOKEN, not the secret";
            self.error_with_hint(name, format!("{reason}; its name is not shown"), hint);
        }
    }
}

/// A word of a protocol's header.
fn visible_ascii(text: &str) -> Result<Arc<str>, &'static str> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.into())
    } else {
        Err("must be visible ASCII without spaces")
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, &'static str> {
    let name = ServerName::try_from(text.to_ascii_lowercase());
    name.map_err(|_| "must be a host name or an IP address")
}
