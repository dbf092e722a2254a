//! When the file is looked at: at the start, at a reload, and every so often.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::notes;

/// How soon a database that a reload names is watched.
const NAMED_WITHIN: Duration = Duration::from_secs(5);

/// Takes in the database, if its file is another than the one seen last. Blocks; not for the request path.
pub(crate) fn renew(app: &App) {
    let snapshot = app.snapshot();
    let file = snapshot.config.geoip.as_ref().map(|geoip| &*geoip.file);
    notes::places(app, &app.geoip.renew(file));
}

/// Takes in a new database whenever the file has changed.
pub(crate) async fn watch(app: Arc<App>) {
    loop {
        let check = app
            .snapshot()
            .config
            .geoip
            .as_ref()
            .map(|geoip| geoip.check);
        tokio::time::sleep(check.unwrap_or(NAMED_WITHIN)).await;
        if check.is_some() {
            let app = app.clone();
            // Many megabytes may have to be read; only the next look waits for it.
            drop(tokio::task::spawn_blocking(move || renew(&app)).await);
        }
    }
}
