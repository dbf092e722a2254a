//! A real OpenTelemetry Collector, and what it wrote down of what it took.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::served::{Served, part};
use super::upstream::Upstream;

/// A Collector that takes the forward protocol of Fluentd, syslog and OTLP.
pub(crate) struct OtelCollector {
    pub(crate) fluentd: SocketAddr,
    pub(crate) syslog: SocketAddr,
    pub(crate) otlp: SocketAddr,
    pub(crate) served: Served,
}

/// A log record as the Collector understood it.
#[derive(Clone, Debug)]
pub(crate) struct LogRecord {
    pub(crate) nanos: i64,
    pub(crate) attributes: BTreeMap<String, Value>,
}

impl OtelCollector {
    /// `None`, said loudly, where it is not built.
    pub(crate) async fn start() -> Option<Self> {
        let program = part("otelcol", "otelcol")?.join("otelcol");
        let (syslog, otlp) = (Upstream::absent().await, Upstream::absent().await);
        let start = move |port: String, data: &Path| {
            let fluentd = format!("127.0.0.1:{port}");
            let file = data.join("collector.yaml");
            let settings = settings(&fluentd, syslog, otlp, data).to_string();
            std::fs::write(&file, settings).expect("a writable folder");
            let mut collector = Command::new(&program);
            collector.arg(file);
            collector
        };
        let served = Served::start(start).await;
        Some(Self {
            fluentd: served.address,
            syslog,
            otlp,
            served,
        })
    }

    /// Every log record so far, in the order of its file.
    pub(crate) fn logs(&self) -> Vec<LogRecord> {
        let mut records = Vec::new();
        for_each(
            &self.written(),
            &["resourceLogs", "scopeLogs", "logRecords"],
            &mut |one| {
                let nanos = one["timeUnixNano"].as_str().unwrap_or("0");
                records.push(LogRecord {
                    nanos: nanos.parse().expect("a number"),
                    attributes: members(&one["attributes"]),
                });
            },
        );
        records
    }

    /// Every span so far, as OTLP has it in JSON.
    pub(crate) fn spans(&self) -> Vec<Value> {
        let mut spans = Vec::new();
        for_each(
            &self.written(),
            &["resourceSpans", "scopeSpans", "spans"],
            &mut |span| {
                spans.push(span.clone());
            },
        );
        spans
    }

    fn written(&self) -> Vec<Value> {
        let text = self.served.read("taken.jsonl").unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("a JSON line")).collect()
    }
}

fn settings(fluentd: &str, syslog: SocketAddr, otlp: SocketAddr, folder: &Path) -> Value {
    json!({
        "receivers": {
            "fluent_forward": {"endpoint": fluentd},
            "syslog": {"protocol": "rfc5424", "enable_octet_counting": true,
                       "tcp": {"listen_address": syslog.to_string()}},
            "otlp": {"protocols": {"http": {"endpoint": otlp.to_string()}}},
        },
        // With rotation it writes each record through: what it has acknowledged outlives it.
        "exporters": {"file": {"path": folder.join("taken.jsonl"), "rotation": {"max_megabytes": 1_000}}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "logs": {"receivers": ["fluent_forward", "syslog"], "exporters": ["file"]},
                "traces": {"receivers": ["otlp"], "exporters": ["file"]},
            },
        },
    })
}

/// Everything below these members, each of which is a list.
fn for_each(values: &[Value], path: &[&str], take: &mut impl FnMut(&Value)) {
    let Some((first, rest)) = path.split_first() else {
        return values.iter().for_each(take);
    };
    for value in values {
        let below = value[*first].as_array();
        for_each(below.map_or(&[], Vec::as_slice), rest, take);
    }
}

/// The attributes of a record or span.
pub(crate) fn members(attributes: &Value) -> BTreeMap<String, Value> {
    let attributes = attributes.as_array().map_or(&[][..], Vec::as_slice);
    let named = attributes.iter().map(|one| {
        let key = one["key"].as_str().expect("a key");
        (key.to_owned(), plain(&one["value"]))
    });
    named.collect()
}

/// OTLP's typed value as the JSON it was made from.
fn plain(value: &Value) -> Value {
    let typed = value.as_object().and_then(|value| value.iter().next());
    let Some((kind, value)) = typed else {
        return Value::Null;
    };
    match kind.as_str() {
        "intValue" => {
            let number = value.as_str().expect("digits");
            json!(number.parse::<i64>().expect("a whole number"))
        }
        "arrayValue" => {
            let items = value["values"].as_array().map_or(&[][..], Vec::as_slice);
            items.iter().map(plain).collect()
        }
        "kvlistValue" => members(&value["values"]).into_iter().collect(),
        _ => value.clone(),
    }
}
