//! What the judgement of a request needs beside the threat engine: whose request it is, whether its rules are
//! timed, and what its query may cost.

use super::context::RequestContext;
use crate::now::Now;
use crate::policy::refusal::Refusal;
use crate::policy::threat::{Inspection, Origin};

/// One request in so many has the time of its rules measured.
const TIMED_ONE_IN: u128 = 64;

/// Whose request it is, for exclusions.
pub(super) fn origin(ctx: &RequestContext) -> Origin<'_> {
    Origin {
        route: ctx.route().map(|route| &*route.name),
        key: ctx.caller.as_ref().map(|caller| &*caller.key_id),
        client: ctx.client,
        unix_micros: ctx.now.unix_micros,
    }
}

/// The clock that rules are timed by; most requests have none.
pub(super) fn clock(ctx: &RequestContext) -> Option<fn() -> u64> {
    // The id's last bits are random.
    let timed = ctx.id.as_u128().is_multiple_of(TIMED_ONE_IN);
    timed.then_some(|| Now::read().mono_nanos)
}

/// Refuses a query that costs more than the plan allows the key.
pub(super) fn admit_query(ctx: &RequestContext, inspection: &Inspection) -> Result<(), Refusal> {
    let (Some(query), Some(caller)) = (&inspection.query, &ctx.caller) else {
        return Ok(());
    };
    let Some(allowance) = ctx.snapshot.complexity.get(&caller.plan) else {
        return Ok(());
    };
    let (class, max) = (query.complexity_class, allowance.of(&caller.scopes));
    if class <= max || caller.limits_exempt {
        Ok(())
    } else {
        Err(Refusal::QueryTooComplex { class, max })
    }
}
