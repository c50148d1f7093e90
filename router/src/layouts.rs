//! The slot layout in force: kept in the spool's `meta/layout/<cluster>`, and what may follow it.
//!
//! A start or reload whose layout differs under the same epoch is refused: rows of one key would lie on two
//! shards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use config::{Cluster, Config, Layout, LayoutError, LayoutTextError, Origin, TableName};

use crate::schema::write_whole;

/// Why the configured layouts cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LayoutsError {
    /// It may not follow the one in force.
    #[error(transparent)]
    Refused(#[from] LayoutError),
    /// The one in force cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Its file.
        path: PathBuf,
        /// What is wrong in it.
        error: LayoutTextError,
    },
    /// Its file, or its directory.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// The layout that a start would keep for a cluster, and the one in force, if there is one. Reads and changes
/// nothing.
pub fn successor(config: &Config, cluster: &Cluster) -> Result<(Layout, Option<Layout>), LayoutsError> {
    let layout = Layout::of(config, cluster);
    let Some(in_force) = in_force(&file(config, cluster))? else {
        return Ok((layout, None));
    };
    let layout = layout.succeed(&in_force, &cluster.name)?;
    Ok((layout, Some(in_force)))
}

/// The layouts in force, by cluster.
pub fn all_in_force(config: &Config) -> Result<BTreeMap<String, Layout>, LayoutsError> {
    let mut layouts = BTreeMap::new();
    for cluster in &config.clusters {
        let in_force = in_force(&file(config, cluster))?;
        layouts.extend(in_force.map(|layout| (cluster.name.clone(), layout)));
    }
    Ok(layouts)
}

/// Whether [`accept`] would take the layouts of all clusters. Changes nothing.
pub fn check(config: &Config) -> Result<(), LayoutsError> {
    config
        .clusters
        .iter()
        .try_for_each(|cluster| successor(config, cluster).map(drop))
}

/// Takes the layouts of all clusters, or none of them.
pub fn accept(config: &Config) -> Result<(), LayoutsError> {
    let successors = config
        .clusters
        .iter()
        .map(|cluster| {
            let (layout, in_force) = successor(config, cluster)?;
            Ok((file(config, cluster), in_force.as_ref() != Some(&layout), layout))
        })
        .collect::<Result<Vec<_>, LayoutsError>>()?;
    for (path, _, layout) in successors.into_iter().filter(|(_, is_new, _)| *is_new) {
        write(path, &layout)?;
    }
    Ok(())
}

/// Forgets the key of a discovered table, so that the next one is taken like a new table's: an operator says
/// that rows of one key may lie on two shards. The error says why there is nothing to forget.
pub fn accept_key(config: &Config, table: &TableName) -> Result<(), String> {
    let found = config
        .table(table)
        .ok_or_else(|| format!("no table {table} is routed"))?;
    if found.origin == Origin::File {
        return Err(format!(
            "{table} stands in the configuration: change its sharding_key there and raise the cluster's epoch"
        ));
    }
    let nothing = || format!("no change of {table}'s sharding key waits to be accepted");
    if found.stopped.is_none() {
        return Err(nothing());
    }
    let cluster = config.cluster_of(found).ok_or_else(nothing)?;
    let path = file(config, cluster);
    let mut layout = in_force(&path)
        .map_err(|error| error.to_string())?
        .ok_or_else(nothing)?;
    layout.tables.remove(table).ok_or_else(nothing)?;
    write(path, &layout).map_err(|error| error.to_string())
}

fn write(path: PathBuf, layout: &Layout) -> Result<(), LayoutsError> {
    write_whole(&path, layout.to_text().as_bytes()).map_err(|error| LayoutsError::Io {
        what: "writing",
        path,
        error,
    })
}

fn file(config: &Config, cluster: &Cluster) -> PathBuf {
    config.spool.path.join("meta").join("layout").join(&cluster.name)
}

fn in_force(path: &Path) -> Result<Option<Layout>, LayoutsError> {
    let path = path.to_owned();
    match std::fs::read_to_string(&path) {
        Ok(text) => match Layout::from_text(&text) {
            Ok(layout) => Ok(Some(layout)),
            Err(error) => Err(LayoutsError::Unreadable { path, error }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LayoutsError::Io {
            what: "reading",
            path,
            error,
        }),
    }
}
