//! What was seen, as it outlives a restart: one JSON file a cluster in `meta/discovered/`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use config::{SeenTable, Sighting, Sightings, TableName};
use serde_json::{Value, json};

use crate::schema::{read_json, write_whole};

/// The files of a spool.
#[derive(Debug, Clone)]
pub struct KeptSightings {
    directory: PathBuf,
}

impl KeptSightings {
    /// Below a spool's `meta/`.
    pub fn below(spool: &Path) -> Self {
        Self {
            directory: spool.join("meta").join("discovered"),
        }
    }

    /// Everything that was kept. A file that cannot be read is told and left out: the seeds are asked again
    /// anyway.
    pub fn read(&self) -> Sightings {
        let mut seen = Sightings::default();
        let Ok(entries) = std::fs::read_dir(&self.directory) else {
            return seen;
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
            match read_file(&path) {
                Ok((cluster, sightings)) => drop(seen.0.insert(cluster, sightings)),
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "what was discovered before cannot be read");
                }
            }
        }
        seen
    }

    /// Keeps what was seen of a cluster: whole or not at all.
    pub fn write(&self, cluster: &str, seen: &Sightings) -> io::Result<()> {
        let Some(sightings) = seen.0.get(cluster) else {
            return Ok(());
        };
        let name = percent_encoding::utf8_percent_encode(cluster, percent_encoding::NON_ALPHANUMERIC);
        let path = self.directory.join(format!("{name}.json"));
        write_whole(&path, to_json(cluster, sightings).to_string().as_bytes())
    }
}

fn read_file(path: &Path) -> Result<(String, BTreeMap<String, Sighting>), String> {
    of_json(&read_json(path)?).ok_or_else(|| "it is not what Weir writes".to_owned())
}

fn to_json(cluster: &str, sightings: &BTreeMap<String, Sighting>) -> Value {
    let seeds: serde_json::Map<_, _> = sightings
        .iter()
        .map(|(seed, sighting)| (seed.clone(), sighting_to_json(sighting)))
        .collect();
    json!({"version": 1, "cluster": cluster, "seeds": seeds})
}

fn sighting_to_json(sighting: &Sighting) -> Value {
    let name = |name: &TableName| json!([name.database, name.table]);
    let table = |table: &SeenTable| json!({"name": name(&table.name), "target": name(&table.target), "key": table.sharding_key});
    let unusable = |(table, why): &(TableName, String)| json!({"name": name(table), "why": why});
    json!({
        "weights": sighting.weights,
        "tables": sighting.tables.iter().map(table).collect::<Vec<_>>(),
        "unusable": sighting.unusable.iter().map(unusable).collect::<Vec<_>>(),
    })
}

fn of_json(value: &Value) -> Option<(String, BTreeMap<String, Sighting>)> {
    if value.get("version")?.as_u64()? != 1 {
        return None;
    }
    let seeds = value.get("seeds")?.as_object()?.iter();
    let seeds = seeds.map(|(seed, value)| Some((seed.clone(), sighting_of_json(value)?)));
    Some((
        value.get("cluster")?.as_str()?.to_owned(),
        seeds.collect::<Option<_>>()?,
    ))
}

fn sighting_of_json(value: &Value) -> Option<Sighting> {
    let list = |key: &str| value.get(key)?.as_array();
    let weight = |value: &Value| u32::try_from(value.as_u64()?).ok();
    let table = |value: &Value| {
        Some(SeenTable {
            name: name_of_json(value.get("name")?)?,
            target: name_of_json(value.get("target")?)?,
            sharding_key: value.get("key")?.as_str().map(str::to_owned),
        })
    };
    let unusable = |value: &Value| {
        let why = value.get("why")?.as_str()?.to_owned();
        Some((name_of_json(value.get("name")?)?, why))
    };
    Some(Sighting {
        weights: list("weights")?.iter().map(weight).collect::<Option<_>>()?,
        tables: list("tables")?.iter().map(table).collect::<Option<_>>()?,
        unusable: list("unusable")?.iter().map(unusable).collect::<Option<_>>()?,
    })
}

fn name_of_json(value: &Value) -> Option<TableName> {
    Some(TableName::new(value.get(0)?.as_str()?, value.get(1)?.as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_read_back_and_damage_is_left_out() {
        let home = tempfile::tempdir().unwrap();
        let kept = KeptSightings::below(home.path());
        assert_eq!(kept.read(), Sightings::default());
        let table = |key: Option<&str>| SeenTable {
            name: TableName::new("a.b", "c\"d"),
            target: TableName::new("x", "y"),
            sharding_key: key.map(str::to_owned),
        };
        let sighting = Sighting {
            weights: vec![9, 0],
            tables: vec![table(None), table(Some("k"))],
            unusable: vec![(TableName::new("u", "v"), "why".to_owned())],
        };
        let seeds = BTreeMap::from([("h:8123".to_owned(), sighting)]);
        let seen = Sightings(BTreeMap::from([("main".to_owned(), seeds)]));
        kept.write("main", &seen).unwrap();
        assert_eq!(kept.read(), seen);
        std::fs::write(home.path().join("meta/discovered/other.json"), "{").unwrap();
        assert_eq!(kept.read(), seen);
    }
}
