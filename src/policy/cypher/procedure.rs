//! What procedures and functions are known to do, by their names.

/// Name spaces whose procedures and functions reach beyond the graph, run text, or administer.
const DENIED: &[&str] = &[
    "apoc.load.",
    "apoc.import.",
    "apoc.export.",
    "apoc.cypher.",
    "apoc.periodic.",
    "apoc.trigger.",
    "apoc.custom.",
    "apoc.systemdb.",
    "apoc.util.sleep",
    "apoc.bolt.",
    "apoc.config.",
    "apoc.es.",
    "apoc.mongo.",
    "apoc.mongodb.",
    "apoc.couchbase.",
    "apoc.redis.",
    "apoc.model.",
    "apoc.dv.",
    "apoc.uuid.",
    "apoc.ttl.",
    "apoc.static.",
    "apoc.nlp.",
    "apoc.ml.",
    "apoc.gephi.",
    "apoc.graphml.",
    "apoc.graph.fromdb",
    "apoc.monitor.",
    "apoc.log.",
    "apoc.when",
    "apoc.case",
    "apoc.do.",
    "apoc.warmup.",
    "apoc.lock.",
    "apoc.nodes.delete",
    "apoc.schema.assert",
    "apoc.refactor.rename",
    "apoc.generate.",
    "apoc.version",
    "apoc.help",
    "apoc.kernel",
    "dbms.",
    "dbinfo.",
    "tx.",
    "sys.",
    "jwt.",
    "custom.",
    "db.clearquerycaches",
    "db.checkpoint",
    "db.createlabel",
    "db.createproperty",
    "db.createrelationshiptype",
    "db.resampleindex",
    "db.resampleoutdated",
    "db.stats.",
    "db.prepareforreplanning",
    "db.listlocks",
    "db.info",
    "db.index.fulltext.drop",
    "db.index.fulltext.createnodeindex",
    "db.schema.drop",
    "n10s.rdf.import",
    "n10s.onto.import",
    "n10s.quadrdf.import",
    "gds.debug.",
    "gds.config.",
    "gds.export",
    "gds.graph.export",
    "gds.license",
    "gds.listprogress",
    "gds.systemmonitor",
    "gds.beta.graph.export",
    "gds.arrow",
    "cdc.",
    "apoc.spatial.geocode",
    "internal.",
];

/// Procedures that are fine to call and change the graph.
const WRITING: &[&str] = &[
    "apoc.create.",
    "apoc.merge.",
    "apoc.refactor.",
    "apoc.atomic.",
    "apoc.nodes.",
    "apoc.path.create",
];

/// The first words of dotted names that are worth joining.
const ROOTS: &[&[u8]] = &[
    b"apoc",
    b"dbms",
    b"db",
    b"dbinfo",
    b"tx",
    b"sys",
    b"jwt",
    b"custom",
    b"n10s",
    b"gds",
    b"cdc",
    b"internal",
];

/// Whether procedures of this name reach beyond the graph, run text, or administer.
pub(super) fn is_denied(name: &str) -> bool {
    DENIED.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a procedure of this name changes the graph.
pub(super) fn writes(name: &str) -> bool {
    WRITING.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a dotted name that begins with this word may be a known one.
pub(super) fn is_known_root(word: &[u8]) -> bool {
    ROOTS.iter().any(|root| word.eq_ignore_ascii_case(root))
}
