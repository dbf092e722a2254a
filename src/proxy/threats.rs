//! What of a request's inspection makes its event one of a threat.

use super::context::RequestContext;
use crate::policy::threat::{self, Mode};

/// What rules in force found.
pub(super) fn enforced(ctx: &RequestContext) -> impl Iterator<Item = &threat::Indicator> {
    let found = ctx.inspection.iter().flat_map(|found| &found.indicators);
    found.filter(|indicator| indicator.mode == Mode::Enforce)
}

/// Whether something followed from a finding, as one that is too weak does not have it.
pub(super) fn followed(ctx: &RequestContext) -> bool {
    let followed = ctx.inspection.as_ref().map(|found| found.mitigations);
    followed.is_some_and(|followed| !followed.is_empty()) && enforced(ctx).next().is_some()
}
