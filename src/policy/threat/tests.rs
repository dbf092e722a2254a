use super::*;

pub(super) fn shipped() -> Engine {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let directory = if directory.is_dir() {
        directory
    } else {
        "/work/main/rules".into()
    };
    let mut files: Vec<RuleFile> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| RuleFile {
            name: path.file_name().unwrap().to_string_lossy().into(),
            text: std::fs::read_to_string(&path).unwrap(),
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Engine::compile(&files, &[]).unwrap_or_else(|errors| {
        panic!(
            "{}",
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        )
    })
}
