//! Holds a caller against what the route needs.

use std::net::IpAddr;

use super::caller::{Caller, KeyState};
use super::grants::Scope;
use super::refusal::AuthRefusal;
use crate::now::Now;

/// What a request needs of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Need<'a> {
    /// All of these.
    pub scopes: &'a [Scope],
    /// The graph it is about, where the route names one. Without a graph a confined key passes:
    /// what such a route lists is the upstream's to filter.
    pub graph: Option<&'a str>,
    /// Where it comes from.
    pub client: IpAddr,
}

/// Decides whether a recognised caller may do what it asks, at the wall clock of `now`.
///
/// # Errors
///
/// The first of: revoked, expired, suspended, network, scope, graph.
pub fn authorise(caller: &Caller, need: &Need<'_>, now: Now) -> Result<(), AuthRefusal> {
    admit_state(caller, now)?;
    if !caller.networks.allows(need.client) {
        return Err(AuthRefusal::NetworkDenied);
    }
    if let Some(missing) = need
        .scopes
        .iter()
        .find(|scope| !caller.scopes.covers(scope))
    {
        return Err(AuthRefusal::ScopeMissing {
            scope: missing.clone(),
        });
    }
    if need.graph.is_some_and(|graph| !caller.graphs.allows(graph)) {
        return Err(AuthRefusal::GraphDenied);
    }
    Ok(())
}

impl Caller {
    /// True when the key is accepted at that time: neither revoked, expired nor suspended.
    pub fn is_active(&self, now: Now) -> bool {
        admit_state(self, now).is_ok()
    }
}

fn admit_state(caller: &Caller, now: Now) -> Result<(), AuthRefusal> {
    let over = |until: i64| now.unix_micros >= until;
    if caller.state == KeyState::Revoked {
        return Err(AuthRefusal::Revoked);
    }
    if caller.expires_at_micros.is_some_and(over) {
        return Err(AuthRefusal::Expired);
    }
    match caller.state {
        KeyState::Rotating { until } if over(until) => Err(AuthRefusal::Expired),
        KeyState::Suspended { until, .. } if !caller.limits_exempt && !until.is_some_and(over) => {
            Err(AuthRefusal::Suspended { until })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const NOON: i64 = 1_800_000_000_000_000;

    fn caller() -> Caller {
        Caller {
            key_id: "ab12CD34".into(),
            organization_id: "org_acme".into(),
            plan: "basic".into(),
            scopes: "graph:query".parse().unwrap(),
            graphs: "social".parse().unwrap(),
            networks: "10.0.0.0/8".parse().unwrap(),
            industry: None,
            expires_at_micros: Some(NOON + 10),
            state: KeyState::Active,
            limits_exempt: false,
            index: 0,
        }
    }

    fn asked(
        caller: &Caller,
        scope: &str,
        graph: &str,
        client: &str,
        at: i64,
    ) -> Result<(), AuthRefusal> {
        let need = Need {
            scopes: &[scope.parse().unwrap()],
            graph: Some(graph),
            client: client.parse().unwrap(),
        };
        authorise(
            caller,
            &need,
            Now {
                mono_nanos: 0,
                unix_micros: at,
            },
        )
    }

    #[test]
    fn each_grant_is_needed() {
        let c = caller();
        assert_eq!(asked(&c, "graph:query", "social", "10.0.0.1", NOON), Ok(()));
        let code = |r: Result<(), AuthRefusal>| r.unwrap_err().code();
        assert_eq!(
            code(asked(&c, "graph:write", "social", "10.0.0.1", NOON)),
            "scope-missing"
        );
        assert_eq!(
            code(asked(&c, "graph:query", "secret", "10.0.0.1", NOON)),
            "graph-denied"
        );
        assert_eq!(
            code(asked(&c, "graph:query", "social", "11.0.0.1", NOON)),
            "network-denied"
        );
    }

    #[test]
    fn an_expired_key_is_refused_from_its_very_microsecond() {
        let c = caller();
        assert_eq!(
            asked(&c, "graph:query", "social", "10.0.0.1", NOON + 9),
            Ok(())
        );
        assert_eq!(
            asked(&c, "graph:query", "social", "10.0.0.1", NOON + 10),
            Err(AuthRefusal::Expired)
        );
    }

    #[test]
    fn each_state_is_judged_by_the_clock() {
        let suspended = |until| KeyState::Suspended {
            until,
            reason: Arc::from("probing"),
        };
        let cases = [
            (KeyState::Rotating { until: NOON + 1 }, None),
            (KeyState::Rotating { until: NOON }, Some("key-expired")),
            (suspended(None), Some("key-suspended")),
            (suspended(Some(NOON + 1)), Some("key-suspended")),
            (suspended(Some(NOON)), None),
            (KeyState::Revoked, Some("key-revoked")),
        ];
        for (state, expected) in cases {
            let c = Caller { state, ..caller() };
            let got = asked(&c, "graph:query", "social", "10.0.0.1", NOON);
            assert_eq!(got.err().map(|r| r.code()), expected, "{:?}", c.state);
            let noon = Now {
                mono_nanos: 0,
                unix_micros: NOON,
            };
            assert_eq!(c.is_active(noon), expected.is_none());
        }
    }

    #[test]
    fn an_exempt_key_is_never_suspended_but_can_be_revoked() {
        let suspended = KeyState::Suspended {
            until: None,
            reason: Arc::from("probing"),
        };
        let c = Caller {
            state: suspended,
            limits_exempt: true,
            ..caller()
        };
        assert_eq!(asked(&c, "graph:query", "social", "10.0.0.1", NOON), Ok(()));
        let c = Caller {
            state: KeyState::Revoked,
            ..c
        };
        assert_eq!(
            asked(&c, "graph:query", "social", "10.0.0.1", NOON),
            Err(AuthRefusal::Revoked)
        );
    }
}
