//! JSON lines over TCP, as Logstash's `tcp` input with the `json_lines` codec takes them.

use super::unacknowledged::Unacknowledged;
use super::{json_lines, or_again};
use crate::config::LogstashSink;
use crate::delivery::{BoxFuture, Delivery, Record, Sink};

pub(super) struct Logstash(Unacknowledged);

impl Logstash {
    pub(super) fn new(settings: &LogstashSink) -> Self {
        Self(Unacknowledged::to(&settings.server))
    }
}

impl Sink for Logstash {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(async move { or_again(self.0.send(json_lines(batch)).await, "logstash") })
    }
}
