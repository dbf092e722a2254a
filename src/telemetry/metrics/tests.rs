use super::*;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::families::FAMILIES;

fn outcome<'a>(endpoint: &'a Arc<str>, organization: &'a Arc<str>) -> RequestOutcome<'a> {
    RequestOutcome {
        method: "POST",
        endpoint,
        status: 200,
        organization: Some(organization),
        duration: Duration::from_micros(900),
        request_bytes: 300,
        response_bytes: 2_000,
        error_type: None,
    }
}

/// Exposed lines that are samples.
fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

fn everything_once(metrics: &Metrics) {
    let (endpoint, organization) = (Arc::from("/v1/graphs"), Arc::from("acme"));
    metrics.request(&RequestOutcome {
        error_type: Some("upstream_unreachable"),
        ..outcome(&endpoint, &organization)
    });
    metrics.auth_attempt(AuthResult::Success, AuthType::ApiKey);
    metrics.rate_limit_violation(Some("k1"), "second", Some("acme"));
    metrics.suspicious_activity("SQL_INJECTION_ATTEMPT", "CRITICAL");
    metrics.query("g1", "low", Duration::from_millis(3), Some(12));
    metrics.active_api_keys("free", 7);
    metrics.refusal("rate_limited");
    metrics.protocol_violation("missing_host");
    metrics.rule_hit("sqli-union", "enforce");
    metrics.rule_block("sqli-union");
    metrics.recording(true);
    metrics.rule_time("sqli-union", 1_500);
    metrics.exclusions(1, 0);
    metrics.inspection(Duration::from_micros(30));
    metrics.audit_event(Duration::from_micros(4));
    metrics.sink("siem").delivered(3);
    metrics.config_loaded("abc");
    metrics.upstream_health("rocketgraph", "127.0.0.1:8081", Some(true));
    metrics.upstream_request("rocketgraph", "answered");
    metrics.penalty("temporary_suspension", "laid");
    metrics.penalties_in_force("temporary_suspension", 1);
    metrics.verification_code("wrong");
}

#[test]
fn every_family_of_the_table_is_exposed_under_its_name_and_type_and_no_other() {
    let metrics = Metrics::new(MetricsSettings::default());
    everything_once(&metrics);
    let text = metrics.render();
    let typed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    let table: Vec<String> = FAMILIES
        .iter()
        .map(|family| {
            let kind = match family.kind {
                table::Kind::Counter => "counter",
                table::Kind::Gauge => "gauge",
                table::Kind::Histogram(_) => "histogram",
            };
            format!("{} {kind}", family.registry_name())
        })
        .collect();
    assert_eq!(typed, table.iter().map(String::as_str).collect());
    for family in FAMILIES {
        let suffix = match family.kind {
            table::Kind::Histogram(_) => "_count",
            _ => "",
        };
        let sample = format!("{}{suffix}", family.name);
        let line = text
            .lines()
            .find(|line| line.split(['{', ' ']).next() == Some(&sample))
            .unwrap_or_else(|| panic!("no sample of {sample}"));
        for label in family.labels {
            assert!(line.contains(&format!("{label}=\"")), "{line}");
        }
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_request_is_counted_in_each_of_its_families() {
    let metrics = Metrics::new(MetricsSettings::default());
    let (endpoint, organization) = (Arc::from("/v1/graphs"), Arc::from("acme"));
    for _ in 0..3 {
        metrics.request(&outcome(&endpoint, &organization));
    }
    metrics.request(&RequestOutcome {
        organization: None,
        method: "BREW",
        status: 799,
        error_type: Some("unauthenticated"),
        ..outcome(&endpoint, &organization)
    });
    let text = metrics.render();
    for line in [
        r#"rg_http_requests_total{method="POST",endpoint="/v1/graphs",status_code="200",organization_id="acme"} 3"#,
        r#"rg_http_requests_total{method="OTHER",endpoint="/v1/graphs",status_code="OTHER",organization_id="unknown"} 1"#,
        r#"rg_http_request_duration_seconds_count{method="POST",endpoint="/v1/graphs"} 3"#,
        r#"rg_http_request_size_bytes_sum{method="POST",endpoint="/v1/graphs"} 900.0"#,
        r#"rg_http_response_size_bytes_bucket{le="16384.0",method="POST",endpoint="/v1/graphs"} 3"#,
        r#"rg_errors_total{error_type="unauthenticated",endpoint="/v1/graphs",organization_id="unknown"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn equal_strings_at_other_addresses_count_in_the_same_series() {
    let metrics = Metrics::new(MetricsSettings::default());
    for _ in 0..5_000 {
        let (endpoint, organization) = (Arc::from("/v1/graphs"), Arc::from("acme"));
        metrics.request(&outcome(&endpoint, &organization));
    }
    assert!(metrics.render().contains(
        r#"rg_http_requests_total{method="POST",endpoint="/v1/graphs",status_code="200",organization_id="acme"} 5000"#
    ));
}

/// The promise about label sets, also when nothing is as it should be.
#[test]
fn a_hundred_thousand_random_labels_make_at_most_two_thousand_series() {
    let metrics = Metrics::new(MetricsSettings::default());
    everything_once(&metrics);
    let codes: Vec<&'static str> = FAMILIES.iter().map(|family| family.name).collect();
    for i in 0..100_000_u32 {
        let n = i.wrapping_mul(2_654_435_761);
        let (name, code) = (format!("v{n}"), codes[n as usize % codes.len()]);
        let (endpoint, organization) = (Arc::from(&*format!("/{n}")), Arc::from(&*name));
        metrics.request(&RequestOutcome {
            method: ["GET", "POST", &name][n as usize % 3],
            status: u16::try_from(n % 65_536).unwrap(),
            error_type: (n % 2 == 0).then_some(code),
            ..outcome(&endpoint, &organization)
        });
        metrics.rate_limit_violation(Some(&name), code, Some(&name));
        metrics.suspicious_activity(&name, &name);
        metrics.query(
            &name,
            &name,
            Duration::from_millis(u64::from(n % 900)),
            Some(u64::from(n)),
        );
        metrics.active_api_keys(&name, u64::from(n));
        metrics.refusal(code);
        metrics.protocol_violation(code);
        metrics.rule_hit(&name, code);
        metrics.rule_block(&name);
        metrics.rule_time(&name, 1_000);
        metrics.sink(&name).lost(1);
        metrics.config_loaded(&name);
        metrics.upstream_health(&name, &name, Some(true));
        metrics.upstream_request(&name, code);
    }
    let text = metrics.render();
    let max = MetricsSettings::default().series_max;
    assert!(series(&text) <= max, "{} series", series(&text));
    assert!(text.len() <= 1 << 20, "{} bytes", text.len());
    let counted: u64 = text
        .lines()
        .filter(|line| line.starts_with("rg_http_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(counted, 100_001);
}

#[test]
fn gauges_follow_what_they_count() {
    let metrics = Metrics::new(MetricsSettings::default());
    let (first, second) = (metrics.active_query(), metrics.active_query());
    let connection = metrics.connection();
    drop(first);
    assert!(metrics.render().contains("\nrg_active_queries_current 1\n"));
    drop((second, connection));
    let text = metrics.render();
    assert!(text.contains("\nrg_active_queries_current 0\n"));
    assert!(text.contains("\nrg_connections_current 0\n"));
}

#[test]
fn only_the_serving_configuration_is_named() {
    let metrics = Metrics::new(MetricsSettings::default());
    metrics.config_loaded("hash-1");
    metrics.config_loaded("hash-2");
    metrics.config_refused();
    let text = metrics.render();
    assert!(!text.contains("hash-1") && text.contains(r#"rg_config_hash{hash="hash-2"} 1"#));
    assert!(text.contains("\nrg_config_last_reload_successful 0\n"));
    assert!(text.contains(r#"rg_config_reloads_total{result="failure"} 1"#));
}

#[test]
fn the_most_sinks_a_configuration_may_have_keep_their_names() {
    let metrics = Metrics::new(MetricsSettings::default());
    for n in 0..8 {
        metrics.sink(&format!("sink-{n}")).up(true);
    }
    let text = metrics.render();
    assert!(!text.contains(r#"sink="__overflow__""#), "{text}");
    metrics.forget_sink("sink-3");
    let text = metrics.render();
    assert!(
        !text.contains(r#"rg_audit_sink_up{sink="sink-3"}"#),
        "{text}"
    );
}

#[test]
fn an_endpoint_that_left_the_configuration_is_not_exposed() {
    let metrics = Metrics::new(MetricsSettings::default());
    metrics.upstream_health("c", "a:1", Some(false));
    assert!(
        metrics
            .render()
            .contains(r#"rg_upstream_health{cluster="c",endpoint="a:1"} 0"#)
    );
    metrics.upstream_health("c", "a:1", None);
    assert!(!metrics.render().contains("a:1"));
}
