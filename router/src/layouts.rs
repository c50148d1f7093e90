//! The slot layout in force: kept in the spool's `meta/layout/<cluster>`, and what may follow it.
//!
//! A start or reload whose layout differs under the same epoch is refused: rows of one key would lie on two
//! shards.

use std::io;
use std::path::{Path, PathBuf};

use config::{Cluster, Config, Layout, LayoutError, LayoutTextError};

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

/// Takes the layouts of all clusters, or none of them.
pub fn accept(config: &Config) -> Result<(), LayoutsError> {
    let successors = config
        .clusters
        .iter()
        .map(|cluster| Ok((file(config, cluster), successor(config, cluster)?.0)))
        .collect::<Result<Vec<_>, LayoutsError>>()?;
    for (path, layout) in successors {
        write_whole(&path, layout.to_text().as_bytes()).map_err(|error| LayoutsError::Io {
            what: "writing",
            path,
            error,
        })?;
    }
    Ok(())
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
