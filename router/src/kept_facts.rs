//! What replicas said of themselves, as it outlives them and Weir: `meta/replicas`, one JSON file.
//!
//! A replica's version decides which format an INSERT's rows are stored in, also while the replica is down: nobody could be
//! told afterwards. Losing the file costs that much, until each replica has been asked again.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shard_client::Facts;

use crate::app::App;
use crate::routing::Routing;
use crate::schema::{read_json_if_there, write_whole};
use crate::tasks::Stop;

/// How often the file is written when something is new.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// By address.
type Said = BTreeMap<String, Arc<Facts>>;

fn file(spool: &Path) -> PathBuf {
    spool.join("meta").join("replicas")
}

/// Gives every replica what it said to an earlier run. A file that cannot be read is told and left out.
pub fn recall(routing: &Routing, spool: &Path) {
    let path = file(spool);
    let said = match read(&path) {
        Ok(said) => said,
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "what replicas said before cannot be read: they are asked again");
            return;
        }
    };
    for (_, _, replica) in routing.replicas() {
        if let Some(facts) = said.get(replica.address()) {
            replica.remember(facts.clone());
        }
    }
}

/// Writes what is new to the disk, now and then and at the end.
pub async fn keep(app: Arc<App>, mut stop: Stop) {
    let mut kept = said(&app.routing());
    loop {
        let is_over = tokio::select! {
            () = stop.requested() => true,
            () = tokio::time::sleep(KEEP_EVERY) => false,
        };
        let routing = app.routing();
        let now = said(&routing);
        if now != kept {
            kept = now.clone();
            let path = file(&routing.config.spool.path);
            let written =
                tokio::task::spawn_blocking(move || write_whole(&path, to_json(&now).to_string().as_bytes()));
            if let Err(error) = written
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            {
                tracing::warn!(%error, "what replicas say of themselves is not kept for the next start");
            }
        }
        if is_over {
            return;
        }
    }
}

fn said(routing: &Routing) -> Said {
    let replicas = routing.replicas().into_iter();
    let known =
        replicas.filter_map(|(_, _, replica)| Some((replica.address().to_owned(), replica.known_facts()?)));
    known.collect()
}

fn read(path: &Path) -> Result<Said, String> {
    let Some(value) = read_json_if_there(path)? else {
        return Ok(Said::new());
    };
    let replicas = value.as_object().ok_or("it is no JSON object")?;
    let facts = |(address, said): (&String, &Value)| Some((address.clone(), Arc::new(of_json(said)?)));
    let said: Option<Said> = replicas.iter().map(facts).collect();
    said.ok_or_else(|| "a replica's entry lacks something".to_owned())
}

fn to_json(said: &Said) -> Value {
    let entry = |(address, facts): (&String, &Arc<Facts>)| {
        let value = json!({
            "version": facts.version.to_string(),
            "timezone": facts.timezone,
            "host_name": facts.host_name,
            "server_uuid": facts.server_uuid,
            "shard_macro": facts.shard_macro,
            "known_settings": sorted(&facts.known_settings),
            "format_settings": facts.format_settings.as_ref().map(sorted),
            "input_formats": facts.input_formats.as_ref().map(sorted),
        });
        (address.clone(), value)
    };
    Value::Object(said.iter().map(entry).collect())
}

/// The same facts are the same bytes.
fn sorted(names: &HashSet<String>) -> Vec<&str> {
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn of_json(value: &Value) -> Option<Facts> {
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    let names = |name: &str| -> Option<HashSet<String>> {
        let names = value.get(name)?.as_array()?;
        names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect()
    };
    Some(Facts {
        version: text("version")?.parse().ok()?,
        timezone: text("timezone")?,
        host_name: text("host_name")?,
        server_uuid: text("server_uuid"),
        shard_macro: text("shard_macro"),
        known_settings: names("known_settings")?,
        format_settings: names("format_settings"),
        input_formats: names("input_formats"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> HashSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_a_replica_said_is_the_same_after_a_restart() {
        let old = Facts {
            version: "18.16.1".parse().unwrap(),
            timezone: "UTC".into(),
            host_name: "a".into(),
            format_settings: Some(names(&["format_csv_delimiter"])),
            ..Facts::default()
        };
        let new = Facts {
            version: "26.9.1.7".parse().unwrap(),
            server_uuid: Some("u".into()),
            known_settings: names(&["x", "y"]),
            input_formats: Some(names(&["CSV", "Native"])),
            ..Facts::default()
        };
        let said: Said = [
            ("a:8123".to_owned(), Arc::new(old)),
            ("b:8123".to_owned(), Arc::new(new)),
        ]
        .into();
        let directory = tempfile::tempdir().unwrap();
        let path = file(directory.path());
        assert_eq!(read(&path), Ok(Said::new()));
        write_whole(&path, to_json(&said).to_string().as_bytes()).unwrap();
        assert_eq!(read(&path), Ok(said));
        std::fs::write(&path, "{\"a:8123\":{}}").unwrap();
        assert!(read(&path).is_err());
    }
}
