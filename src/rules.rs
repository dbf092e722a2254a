//! The threat rules as the process holds them: read from their folder, told about routes and plans, and their
//! exclusions watched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::{App, whole_file};
use crate::config;
use crate::diagnostic::Diagnostic;
use crate::now::Now;
use crate::policy::cypher::ComplexityAllowance;
use crate::policy::threat::{self, Engine, RuleFile, Tuning};
use crate::recording::Recorder;

/// Reads the rule files of a directory in name order; without a directory, the shipped rules.
///
/// # Errors
///
/// The directory or a file cannot be read.
pub fn rule_files(directory: &Path) -> Result<Vec<RuleFile>, Vec<Diagnostic>> {
    let unreadable = |path: &Path, error: &std::io::Error| {
        let reason = format!("cannot be read: {error}");
        vec![Diagnostic::error(
            whole_file(&path.display().to_string()),
            "rules",
            reason,
        )]
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return Err(unreadable(directory, &error)),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end == "yaml" || end == "yml")
        })
        .collect();
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        files.push(RuleFile {
            name: Arc::from(path.display().to_string()),
            text,
        });
    }
    Ok(files)
}

/// Reads the rule files that a configuration names.
///
/// # Errors
///
/// The folder or a file cannot be read, or there is none and the configuration does not say that there need be none.
pub fn configured(config: &config::Config) -> Result<Vec<RuleFile>, Vec<Diagnostic>> {
    let rules = &config.rules;
    let files = rule_files(&rules.directory)?;
    if files.is_empty() && rules.required {
        let folder = rules.directory.display();
        let reason = format!("must hold a rule file (*.yaml): {folder}");
        let hint = "name the folder of the rules; `required: false` beside it serves without any";
        let place = rules.place.clone();
        return Err(vec![
            Diagnostic::error(place, "rules.directory", reason).hint(hint),
        ]);
    }
    Ok(files)
}

/// The engine of rule files as a configuration wants it.
///
/// # Errors
///
/// What is wrong with the files, or what of the configuration is about no rule.
pub(crate) fn engine(
    files: &[RuleFile],
    rules: &config::RulesSettings,
) -> Result<Engine, Vec<Diagnostic>> {
    Engine::compile(files, &rules.disabled)?.tuned(&Tuning {
        exclusions: &rules.exclusions,
        thresholds: &rules.thresholds,
        procedures: Some(&rules.procedures),
    })
}

/// What the threat engine is told of a route.
pub(crate) struct InspectedRoute {
    kind: threat::Kind,
    query_text: Option<threat::FieldPath>,
    refuses_undecodable: bool,
    refuses_oversize: bool,
    looks_for_pii: bool,
}

impl InspectedRoute {
    pub(crate) fn of(route: &config::Route) -> Self {
        Self {
            kind: match route.kind {
                config::Kind::Query => threat::Kind::Query,
                config::Kind::Upload => threat::Kind::Upload,
                config::Kind::Read => threat::Kind::Read,
                config::Kind::Write => threat::Kind::Write,
                config::Kind::Admin => threat::Kind::Admin,
                config::Kind::Other => threat::Kind::Other,
            },
            query_text: route
                .query_text
                .as_ref()
                .and_then(|path| threat::FieldPath::parse(&path.to_string())),
            refuses_undecodable: route.inspection.on_undecodable == config::Otherwise::Refuse,
            refuses_oversize: route.inspection.on_oversize == config::Otherwise::Refuse,
            looks_for_pii: route.inspection.pii != config::Pii::Off,
        }
    }

    /// What the engine is told of every request of the route.
    pub(crate) fn hints(&self) -> threat::Hints<'_> {
        threat::Hints {
            kind: self.kind,
            query_text: self.query_text.as_ref(),
            on_undecodable_refuse: self.refuses_undecodable,
            on_oversize_forward: !self.refuses_oversize,
            pii: self.looks_for_pii,
            ..threat::Hints::default()
        }
    }
}

/// What the queries of a plan may cost, where it limits that.
pub(crate) fn allowance_of(
    settings: &config::PlanSettings,
) -> Option<(Arc<str>, ComplexityAllowance)> {
    let limit = &settings.query_complexity;
    let by_scope = limit.by_scope.iter();
    let allowance = ComplexityAllowance {
        max: limit.max?,
        by_scope: by_scope
            .filter_map(|(scope, max)| Some((scope.parse().ok()?, *max)))
            .collect(),
    };
    Some((settings.name.clone(), allowance))
}

/// Starts keeping inspected requests, where the configuration says so.
pub(crate) fn recorder(config: &config::Config) -> Result<Option<Recorder>, Vec<Diagnostic>> {
    let Some(settings) = &config.rules.recording else {
        return Ok(None);
    };
    Recorder::start(settings).map(Some).map_err(|error| {
        let reason = format!("cannot be written: {error}");
        let place = whole_file(&settings.directory.display().to_string());
        vec![Diagnostic::error(
            place,
            "rules.recording.directory",
            reason,
        )]
    })
}

/// Says which exclusions no longer hold.
pub(crate) fn log_expired(engine: &Engine, now: Now) {
    for exclusion in engine.exclusions() {
        if exclusion.is_expired(now.unix_micros) {
            let place = &exclusion.place;
            tracing::warn!(file = %place.file, line = place.line, owner = %exclusion.owner, "exclusion has expired");
        }
    }
}

/// States how many exclusions hold and how many have expired.
pub(crate) fn count_exclusions(app: &App, now: Now) {
    let snapshot = app.snapshot();
    let all = snapshot.engine.exclusions();
    let expired = all
        .iter()
        .filter(|exclusion| exclusion.is_expired(now.unix_micros))
        .count();
    app.metrics.exclusions(all.len() - expired, expired);
}
