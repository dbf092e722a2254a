#![no_main]
//! Cypher's tokens lie in the text, in order; what stands around a statement changes nothing of it.

use rg_gateway::policy::cypher::{self, Kind};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let tokens = cypher::tokens(data);
    let mut end = 0;
    for token in &tokens.list {
        let (start, stop) = (token.start as usize, token.end as usize);
        assert!(
            start >= end && stop > start && stop <= data.len(),
            "a token out of place"
        );
        assert!(
            token.of(data).len() <= stop - start,
            "a token's text beyond it"
        );
        end = stop;
    }
    let (facts, findings) = cypher::read(data);
    for (_, place) in findings.iter() {
        assert!(place as usize <= data.len(), "a finding out of place");
    }
    assert!(
        facts.complexity.is_finite() && facts.complexity >= 0.0,
        "no complexity"
    );
    // An escape may stand for a quote, and then the blanks are inside of what it opens.
    if tokens.open.is_none() && data.len() < 4_096 && !data.contains(&b'\\') {
        let spaced = [b" \n", data, b"\n "].concat();
        let kinds = |list: &[cypher::Token]| list.iter().map(|t| t.kind).collect::<Vec<Kind>>();
        let again = cypher::tokens(&spaced);
        assert_eq!(
            kinds(&again.list),
            kinds(&tokens.list),
            "blanks changed the tokens"
        );
        let (spaced_facts, _) = cypher::read(&spaced);
        assert_eq!(
            spaced_facts.fingerprint, facts.fingerprint,
            "blanks changed the fingerprint"
        );
    }
});
