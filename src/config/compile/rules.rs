//! The threat rules: exclusions with their routes, fields, networks and days; what queries may cost.

use std::sync::Arc;

use ipnet::IpNet;

use super::{Compiler, Seen, all, count, is_missing, text};
use crate::config::file::{
    ExclusionShape, FileShape, PlanShape, ProceduresShape, RecordingShape, ThresholdsShape,
};
use crate::config::findings::shown;
use crate::config::placed::Placed;
use crate::config::rules::{ComplexitySettings, RecordingSettings, RulesSettings};
use crate::diagnostic::did_you_mean;
use crate::policy::cypher::{AllowList, ProcedurePattern};
use crate::policy::threat::{CategoryThresholds, Exclusion, FieldPattern, Target, Thresholds};

/// Header fields that prove who somebody is.
const CREDENTIALS: [&str; 6] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-api-key",
    "x-rg-verification",
];

impl Compiler<'_> {
    pub(super) fn rules(&mut self, file: &FileShape) -> Option<RulesSettings> {
        let rules = &file.rules.value;
        let mut seen = Seen::default();
        let disabled = all(rules.disabled.value.iter().map(|id| {
            seen.once(id, self.findings);
            self.parsed(id, text::name)
        }));
        let exclusions = all(rules
            .exclusions
            .value
            .iter()
            .map(|shape| self.exclusion(shape, file)));
        let thresholds = all(rules
            .thresholds
            .value
            .iter()
            .map(|(category, shape)| self.thresholds(category, shape)));
        let procedures = self.procedures(&rules.procedures.value);
        let recording = self.optional(rules.recording.as_ref(), |c, shape| {
            c.recording(&shape.value)
        });
        Some(RulesSettings {
            directory: self.path(&rules.directory),
            place: self.findings.place(rules.directory.spot()),
            required: rules.required.value,
            disabled: disabled?,
            exclusions: exclusions?,
            thresholds: thresholds?,
            procedures: procedures?,
            recording: recording?,
        })
    }

    fn thresholds(
        &mut self,
        category: &str,
        placed: &Placed<ThresholdsShape>,
    ) -> Option<CategoryThresholds> {
        let ThresholdsShape { block, act } = &placed.value;
        let mut fits = true;
        for number in [block, act] {
            if number.value <= 0.0 {
                self.error(number, format!("must be above 0: {}", number.value));
                fits = false;
            }
        }
        let reported = self.findings.names(&format!("{}.act", placed.path));
        if fits && !reported && act.value > block.value {
            fits = false;
            if act.stands_in_file() {
                let reason = format!("must be at most block, {}: {}", block.value, act.value);
                self.error(act, reason);
            } else {
                let reason = format!("must be at least act, {}: {}", act.value, block.value);
                let hint = format!("act is {} unless it is given", act.value);
                self.error_with_hint(block, reason, hint);
            }
        }
        fits.then(|| CategoryThresholds {
            category: category.into(),
            thresholds: Thresholds {
                block: block.value,
                act: act.value,
            },
            place: self.findings.place(placed.spot()),
            path: placed.path.clone(),
        })
    }

    fn procedures(&mut self, shape: &ProceduresShape) -> Option<AllowList> {
        let mut seen = Seen::default();
        let allow = all(shape.allow.value.iter().map(|text| {
            seen.once(text, self.findings);
            self.parsed(text, ProcedurePattern::parse)
        }));
        Some(AllowList {
            allow: allow?,
            only: shape.only.value,
        })
    }

    fn recording(&mut self, shape: &RecordingShape) -> Option<RecordingSettings> {
        let headers = all(shape.headers.value.iter().map(|name| {
            let header = self.parsed(name, text::header)?;
            if CREDENTIALS.contains(&header.as_str()) {
                let reason = format!("must not be a credential: {header}");
                self.error(name, reason);
                return None;
            }
            Some(header)
        }));
        let redact = all(shape.redact.value.iter().map(|word| {
            let word = self.parsed(word, text::line)?;
            Some(word.to_lowercase())
        }));
        Some(RecordingSettings {
            directory: self.path(&shape.directory),
            sample: shape.sample.value,
            bytes_max: shape.bytes_max.value,
            body_bytes_max: count(&shape.body_bytes_max),
            headers: headers?,
            redact: redact?,
        })
    }

    fn exclusion(
        &mut self,
        placed: &Placed<ExclusionShape>,
        file: &FileShape,
    ) -> Option<Exclusion> {
        let shape = &placed.value;
        let target = self.target(placed);
        let route = self.optional(shape.route.as_ref(), |c, route| c.named_route(route, file));
        let field = self.optional(shape.field.as_ref(), |c, field| {
            c.parsed(field, FieldPattern::parse)
        });
        let key = self.optional(shape.key.as_ref(), |c, key| c.parsed(key, text::name));
        let network: Option<Option<IpNet>> = self.optional(shape.network.as_ref(), |c, network| {
            c.parsed(network, text::network)
        });
        let expires = self.parsed(&shape.expires, text::end_of_day);
        let owner = self.parsed(&shape.owner, text::line);
        let reason = self.parsed(&shape.reason, text::line);
        Some(Exclusion {
            target: target?,
            route: route?,
            field: field?,
            key: key?,
            network: network?,
            owner: owner?,
            reason: reason?,
            expires_at_micros: expires?,
            place: self.findings.place(placed.spot()),
            path: placed.path.clone(),
        })
    }

    fn target(&mut self, placed: &Placed<ExclusionShape>) -> Option<Target> {
        match (&placed.value.rule, &placed.value.tag) {
            (Some(rule), None) => self.parsed(rule, text::name).map(Target::Rule),
            (None, Some(tag)) => self.parsed(tag, text::line).map(Target::Tag),
            (Some(_), Some(tag)) => {
                self.error(tag, "must not stand beside rule");
                None
            }
            (None, None) if self.findings.names(&placed.path) => None,
            (None, None) => {
                let hint = "rule takes an id, tag every rule that has it";
                self.error_with_hint(placed, "missing key: rule or tag", hint);
                None
            }
        }
    }

    fn named_route(&mut self, name: &Placed<String>, file: &FileShape) -> Option<Arc<str>> {
        let known = || file.routes.value.iter().map(|route| &route.value.name);
        if known().any(|route| route.value == name.value) {
            return Some(name.value.as_str().into());
        }
        let reason = format!("unknown route: {}", shown(&name.value));
        let near = did_you_mean(&name.value, known().map(|route| route.value.as_str()));
        match near.and_then(|near| known().find(|route| route.value == near)) {
            Some(near) => {
                let line = near.spot().line;
                let hint = format!("did you mean `{}`? (declared at line {line})", near.value);
                self.error_with_hint(name, reason, hint);
            }
            None => self.error(name, reason),
        }
        None
    }

    /// What the queries of a plan may cost.
    pub(super) fn complexity(&mut self, shape: &PlanShape) -> Option<ComplexitySettings> {
        let of_plan = shape.query_complexity_max.as_ref();
        let by_scope = all(shape.query_complexity_by_scope.value.iter().map(|entry| {
            let scope = self.parsed(&entry.value.scope, text::scope);
            Some((scope?, entry.value.max.value))
        }));
        if let Some(first) = shape.query_complexity_by_scope.value.first()
            && of_plan.is_none()
            && !is_missing(&first.value.scope)
        {
            let hint = "without a limit of the plan there is nothing to differ from";
            self.error_with_hint(first, "must stand beside query_complexity_max", hint);
        }
        Some(ComplexitySettings {
            max: of_plan.map(|max| max.value),
            by_scope: by_scope?,
        })
    }
}
