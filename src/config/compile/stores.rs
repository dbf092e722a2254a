//! Where audit events are stored by others: addresses, credentials, names.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mongodb::options::{ConnectionString, Credential};

use super::access::PEM_BYTES_MAX;
use super::{Compiler, millis, narrow, text};
use crate::config::file::{
    ElasticsearchSinkShape, LogstashSinkShape, MongodbSinkShape, MongodbTlsShape, SecretShape,
    SplunkSinkShape, TlsClientShape,
};
use crate::config::findings::shown;
use crate::config::model::Secret;
use crate::config::placed::Placed;
use crate::config::sinks::{LogstashSink, Server};
use crate::config::stores::{ElasticsearchSink, MongodbSink, MongodbTls, Service, SplunkSink};

impl Compiler<'_> {
    pub(super) fn mongodb_sink(&mut self, shape: &MongodbSinkShape) -> Option<MongodbSink> {
        let uri = self.connection_string(shape);
        let password = self.optional_secret(shape.password.as_ref());
        let database = self.parsed(&shape.database, text::database);
        let collection = self.parsed(&shape.collection, text::collection);
        let tls = match &shape.tls {
            Some(tls) => Some(self.mongodb_tls(&tls.value)?),
            None => None,
        };
        Some(MongodbSink {
            uri: uri?,
            password: password?,
            database: database?,
            collection: collection?,
            retention_days: shape.retention_days.as_ref().map(narrow),
            tls,
        })
    }

    /// The connection string is never shown: what is wrong with it may be that it holds a password.
    fn connection_string(&mut self, shape: &MongodbSinkShape) -> Option<Arc<str>> {
        let uri = &shape.uri;
        if super::is_missing(uri) {
            return None;
        }
        let (reason, hint) = match ConnectionString::parse(&uri.value) {
            Err(_) if uri.value.starts_with("mongodb+srv:") => (
                "must name the servers, as mongodb://db1:27017,db2:27017/?replicaSet=rs0: mongodb+srv",
                "names of servers are not looked up; list them with their ports",
            ),
            Err(_) => (
                "must be a connection string such as mongodb://audit@db:27017: [redacted]",
                "begin with mongodb:// and name a user without a password, servers and ports",
            ),
            Ok(parsed) => match (parsed.credential, &shape.password) {
                (
                    Some(Credential {
                        password: Some(_), ..
                    }),
                    _,
                ) => (
                    "must have no password in it, which belongs in password: [redacted]",
                    "write password: {file: /run/secrets/name} or {env: NAME} beside it",
                ),
                (None, Some(_)) => (
                    "must name the user of the password: [redacted]",
                    "put the user before the server, as mongodb://audit@db:27017",
                ),
                _ => return Some(uri.value.as_str().into()),
            },
        };
        self.error_with_hint(uri, reason, hint);
        None
    }

    fn mongodb_tls(&mut self, shape: &MongodbTlsShape) -> Option<MongodbTls> {
        let mut content = String::new();
        let both = [&shape.ca_file, &shape.certificate_key_file];
        for file in both.into_iter().flatten() {
            self.certificates(file)?;
            let pem = self.file(file, PEM_BYTES_MAX)?;
            content.push_str(&String::from_utf8_lossy(&pem));
        }
        if let Some(file) = &shape.certificate_key_file {
            self.private_key(file)?;
        }
        let path = |file: &Placed<String>| self.path(file);
        Some(MongodbTls {
            ca_file: shape.ca_file.as_ref().map(path),
            certificate_key_file: shape.certificate_key_file.as_ref().map(path),
            content: Secret::new(&content),
        })
    }

    pub(super) fn elasticsearch_sink(
        &mut self,
        shape: &ElasticsearchSinkShape,
    ) -> Option<ElasticsearchSink> {
        let at = self.service_address(&shape.url, shape.tls.as_ref());
        let authorization = self.elasticsearch_credentials(shape);
        let index = self.parsed(&shape.index, text::index_prefix);
        let (server, path) = at?;
        Some(ElasticsearchSink {
            service: Service {
                server,
                path,
                authorization: authorization?,
            },
            index: index?,
            gzip: shape.gzip.value,
            manage_template: shape.manage_template.value,
            retention_days: shape.retention_days.as_ref().map(narrow),
        })
    }

    /// The `Authorization` field, if there is to be one; `None` where it is wrong.
    #[expect(
        clippy::option_option,
        reason = "wrong, absent or there, as everywhere here"
    )]
    fn elasticsearch_credentials(
        &mut self,
        shape: &ElasticsearchSinkShape,
    ) -> Option<Option<Secret>> {
        match (&shape.username, &shape.password, &shape.api_key) {
            (None, None, None) => Some(None),
            (None, None, Some(key)) => self.authorization("ApiKey", key).map(Some),
            (name, password, None) => self.basic(name.as_ref(), password.as_ref()),
            (_, _, Some(key)) => {
                let hint = "keep either api_key, or username and password";
                self.error_with_hint(key, "must not stand beside username and password", hint);
                None
            }
        }
    }

    /// The `Authorization` field of a user with a password, who stands there as a whole or not at all.
    #[expect(
        clippy::option_option,
        reason = "wrong, absent or there, as everywhere here"
    )]
    fn basic(
        &mut self,
        name: Option<&Placed<String>>,
        password: Option<&Placed<SecretShape>>,
    ) -> Option<Option<Secret>> {
        match (name, password) {
            (None, None) => Some(None),
            (Some(name), Some(password)) => {
                let password = self.secret(password)?;
                let pair = format!("{}:{}", name.value, password.expose());
                let field = format!("Basic {}", BASE64_STANDARD.encode(pair));
                Some(Some(Secret::new(&field)))
            }
            (Some(alone), None) => {
                let reason = "must stand beside password";
                let hint = "add password: {file: /run/secrets/name} or {env: NAME}";
                self.error_with_hint(alone, format!("{reason}: {}", shown(&alone.value)), hint);
                None
            }
            (None, Some(alone)) => {
                let hint = "add the name of the user whose password it is";
                self.error_with_hint(alone, "must stand beside username", hint);
                None
            }
        }
    }

    pub(super) fn logstash_sink(
        &mut self,
        shape: &Placed<LogstashSinkShape>,
    ) -> Option<LogstashSink> {
        let logstash = &shape.value;
        match (&logstash.address, &logstash.url) {
            (Some(address), None) => {
                if logstash.username.is_some() || logstash.password.is_some() {
                    let hint =
                        "the input of address knows no users; take url, or tls with a certificate";
                    let reason = "must have username and password beside url only";
                    self.error_with_hint(shape, reason, hint);
                    return None;
                }
                let server = self.server(address, logstash.tls.as_ref())?;
                Some(LogstashSink::Tcp(server))
            }
            (None, Some(url)) => {
                let at = self.service_address(url, logstash.tls.as_ref());
                let authorization =
                    self.basic(logstash.username.as_ref(), logstash.password.as_ref());
                let (server, path) = at?;
                Some(LogstashSink::Http(Service {
                    server,
                    path,
                    authorization: authorization?,
                }))
            }
            (None, None) if self.findings.names(&shape.path) => None,
            (None, None) => {
                let hint =
                    "address: host:port speaks JSON lines over TCP, url: http://host:port HTTP";
                self.error_with_hint(shape, "must have exactly one of address, url: none", hint);
                None
            }
            (Some(_), Some(_)) => {
                let hint =
                    "address: host:port speaks JSON lines over TCP, url: http://host:port HTTP";
                self.error_with_hint(
                    shape,
                    "must have exactly one of address, url: address, url",
                    hint,
                );
                None
            }
        }
    }

    pub(super) fn splunk_sink(&mut self, shape: &SplunkSinkShape) -> Option<SplunkSink> {
        let at = self.service_address(&shape.url, shape.tls.as_ref());
        let token = match shape.token.stands_in_file() {
            true => self.authorization("Splunk", &shape.token),
            false => None,
        };
        let (server, path) = at?;
        if path.contains("/services/collector") {
            let reason = format!(
                "must end before /services/collector: {}",
                shown(&shape.url.value)
            );
            let hint = "the gateway adds /services/collector/event and /services/collector/ack";
            self.error_with_hint(&shape.url, reason, hint);
            return None;
        }
        let text = |text: &Placed<String>| -> Arc<str> { text.value.as_str().into() };
        Some(SplunkSink {
            service: Service {
                server,
                path,
                authorization: Some(token?),
            },
            index: shape.index.as_ref().map(text),
            source: text(&shape.source),
            sourcetype: text(&shape.sourcetype),
            host: shape.host.as_ref().map(text),
            acknowledge: shape.acknowledge.value,
            acknowledge_poll: millis(&shape.acknowledge_poll_ms),
            acknowledge_timeout: millis(&shape.acknowledge_timeout_ms),
        })
    }

    #[expect(
        clippy::option_option,
        reason = "wrong, absent or there, as everywhere here"
    )]
    fn optional_secret(&mut self, shape: Option<&Placed<SecretShape>>) -> Option<Option<Secret>> {
        match shape {
            Some(shape) => self.secret(shape).map(Some),
            None => Some(None),
        }
    }

    /// The field that shows a secret by this scheme.
    fn authorization(&mut self, scheme: &str, shape: &Placed<SecretShape>) -> Option<Secret> {
        let secret = self.secret(shape)?;
        if secret.expose().chars().all(|c| c.is_ascii_graphic()) {
            return Some(Secret::new(&format!("{scheme} {}", secret.expose())));
        }
        let hint = "the file or variable must hold the secret alone, on one line";
        self.error_with_hint(
            shape,
            "must be visible ASCII without blanks: [redacted]",
            hint,
        );
        None
    }

    /// A service's host and port, and what its paths begin with.
    fn service_address(
        &mut self,
        url: &Placed<String>,
        tls: Option<&Placed<TlsClientShape>>,
    ) -> Option<(Server, Arc<str>)> {
        if url.value.contains('@') {
            let hint = "credentials have keys of their own, which name a file or variable";
            self.error_with_hint(url, "must have no user or password in it: [redacted]", hint);
            return None;
        }
        let hint = "http:// or https://, a host, a port where it is not 80 or 443; no query string";
        let base = self.parsed_or_hint(url, text::http_base, hint)?;
        let tls = match (base.tls, tls) {
            (true, Some(tls)) => Some(self.tls_client(&tls.value, &base.host)?),
            (true, None) => Some(self.tls_client(&TlsClientShape::default(), &base.host)?),
            (false, None) => None,
            (false, Some(_)) => {
                let reason = "must begin with https:// to stand beside tls";
                let hint = "write https://, or remove tls";
                self.error_with_hint(url, format!("{reason}: {}", shown(&url.value)), hint);
                return None;
            }
        };
        let (host, port) = (base.host, base.port);
        Some((Server { host, port, tls }, base.path))
    }
}
