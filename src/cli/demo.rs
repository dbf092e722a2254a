//! `rg-gateway demo`: the whole thing on one machine, for real, in one command.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{CliError, Outcome};
use crate::keys::{KeyFilter, KeyStore, KeyTerms, NewKey};
use crate::now::Now;
use crate::policy::auth::{Environment, KeyState};
use crate::{demo, listen, serve};

/// The organization the demo's keys belong to.
const ORGANIZATION: &str = "acme-graphs";
/// Who created them, in the audit trail.
const CREATED_BY: &str = "demo";

/// Run a gateway, a small graph API behind it and seeded keys; print requests to try.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Listen on this port, the next one (admin) and the one after (upstream); 0 picks free ports.
    #[arg(long, default_value_t = 8080)]
    port_base: u16,
    /// Where keys and the audit log go.
    #[arg(long, default_value = "./data/demo")]
    data_dir: PathBuf,
}

impl Demo {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Outcome, CliError> {
        std::fs::create_dir_all(&self.data_dir)?;
        let upstream = self.start_upstream()?;
        let rules = self.data_dir.join("rules");
        crate::shipped::write_rules(&rules)?;
        let config = self.data_dir.join("gateway.yaml");
        std::fs::write(&config, self.config_text(upstream, &rules))?;
        let keys = seed_keys(&self.data_dir).map_err(CliError::runtime)?;
        let started = serve::start(&config)?;
        let mut addresses = started.addresses().into_iter();
        let (Some((_, gateway, _)), Some((_, admin, _))) = (addresses.next(), addresses.next())
        else {
            return Err(CliError::Runtime("the demo has no listeners".to_owned()));
        };
        let scene = Scene {
            gateway,
            admin,
            upstream,
            data_dir: &self.data_dir,
            keys: &keys,
        };
        scene.print(out)?;
        started.announce(out)?;
        started.run(out)?;
        Ok(Outcome::Done)
    }

    /// Serves the small graph API on a thread of its own.
    fn start_upstream(&self) -> io::Result<SocketAddr> {
        let listener = listen::bind((Ipv4Addr::LOCALHOST, self.port(2)).into())?;
        let address = listener.local_addr()?;
        std::thread::Builder::new()
            .name("demo-upstream".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(demo::upstream::serve(listener, std::future::pending()))
            })?;
        Ok(address)
    }

    fn port(&self, offset: u16) -> u16 {
        if self.port_base == 0 {
            0
        } else {
            self.port_base.saturating_add(offset)
        }
    }

    fn config_text(&self, upstream: SocketAddr, rules: &Path) -> String {
        let example = crate::shipped::EXAMPLE_CONFIG;
        example
            .replace("127.0.0.1:8081", &upstream.to_string())
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.port(0)))
            .replace("127.0.0.1:9090", &format!("127.0.0.1:{}", self.port(1)))
            .replace("data_dir: ./data", "data_dir: .")
            .replace(
                "directory: ./rules",
                &format!("directory: {}", file_name(rules)),
            )
    }
}

/// The last part of a path; the demo's files stand beside each other.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    format!("./{}", name.to_string_lossy())
}

/// One fresh key a plan; those of earlier demos are revoked.
fn seed_keys(data_dir: &Path) -> Result<Vec<(&'static str, String)>, Box<dyn std::error::Error>> {
    let now = Now::read();
    let mut store = KeyStore::open(data_dir)?;
    for record in store.list(&KeyFilter::default())? {
        if record.terms.created_by == CREATED_BY && record.state() == KeyState::Active {
            store.revoke(record.id, CREATED_BY, now)?;
        }
    }
    let mut keys = Vec::new();
    for plan in ["free", "basic", "premium", "enterprise"] {
        let terms = KeyTerms {
            organization_id: ORGANIZATION.to_owned(),
            plan: plan.to_owned(),
            scopes: "graph:*".parse()?,
            name: format!("demo {plan}"),
            created_by: CREATED_BY.to_owned(),
            ..KeyTerms::default()
        };
        let environment = Environment::Test;
        keys.push((
            plan,
            store.create(NewKey { environment, terms }, now)?.secret,
        ));
    }
    Ok(keys)
}

/// What the demo shows.
struct Scene<'a> {
    gateway: SocketAddr,
    admin: SocketAddr,
    upstream: SocketAddr,
    data_dir: &'a Path,
    keys: &'a [(&'static str, String)],
}

impl Scene<'_> {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            gateway,
            admin,
            upstream,
            ..
        } = self;
        let key = self.keys.last().map_or("", |(_, key)| key.as_str());
        let data_dir = self.data_dir.display();
        writeln!(out, "RocketGraph Gateway demo\n")?;
        writeln!(out, "  gateway   http://{gateway}")?;
        writeln!(
            out,
            "  admin     http://{admin}   (/metrics, /audit/events, /explain/ID, /readyz)"
        )?;
        writeln!(out, "  upstream  http://{upstream}   (a small graph API)")?;
        writeln!(out, "  data      {data_dir}\n")?;
        for (plan, key) in self.keys {
            writeln!(out, "  key {plan:11} {key}")?;
        }
        let query = format!("http://{gateway}/v1/graphs/social/query");
        let json = "-H 'Content-Type: application/json'";
        writeln!(out, "\n# an allowed query: 200 with rows")?;
        writeln!(
            out,
            "curl -i {query} -H 'X-API-Key: {key}' {json} \\\n  -d '{{\"query\":\"MATCH (p:Person) WHERE p.age > $age RETURN p.name, p.age LIMIT 5\",\"parameters\":{{\"age\":40}}}}'"
        )?;
        writeln!(out, "\n# no key: 401")?;
        writeln!(out, "curl -i http://{gateway}/v1/graphs")?;
        writeln!(out, "\n# a blocked injection: 403 with a decision_id")?;
        writeln!(
            out,
            "curl -i {query} -H 'X-API-Key: {key}' {json} \\\n  -d '{{\"query\":\"MATCH (p:Person) WHERE p.name = '\\'''\\'' OR 1=1 RETURN p //'\\'' RETURN p\"}}'"
        )?;
        writeln!(
            out,
            "\n# what the audit trail holds of it, and why it was blocked"
        )?;
        writeln!(out, "curl -s 'http://{admin}/audit/events?limit=3'")?;
        writeln!(out, "curl -s http://{admin}/explain/DECISION_ID")?;
        writeln!(
            out,
            "rg-gateway audit --data-dir {data_dir} search --limit 5"
        )?;
        writeln!(out, "rg-gateway audit --data-dir {data_dir} verify\n")?;
        out.flush()
    }
}
