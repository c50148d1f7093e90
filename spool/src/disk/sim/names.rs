//! The names of a simulated disk: as the process sees them, and as the disk has them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::contents::Contents;
use super::{Coin, lock};

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Directory,
    File(Arc<Mutex<Contents>>),
}

/// Which of the names that were not synced are there after a power loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survivors {
    /// None of the changes arrived.
    Synced,
    /// Each by the coin.
    Some,
    /// All of them.
    All,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// As the process sees them. The root is always there.
    pub live: BTreeMap<PathBuf, Node>,
    /// As they are after a power loss.
    durable: BTreeMap<PathBuf, Node>,
    /// Changes that were not synced, in order.
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Set(PathBuf, Node),
    Unset(PathBuf),
    /// Both or none, until one of the two directories is synced.
    Move(PathBuf, PathBuf, Node),
}

impl Names {
    pub fn get(&self, path: &Path) -> io::Result<&Node> {
        self.live.get(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Contents>>> {
        match self.get(path)? {
            Node::File(contents) => Ok(Arc::clone(contents)),
            Node::Directory => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub fn is_directory(&self, path: &Path) -> bool {
        path.parent().is_none() || matches!(self.live.get(path), Some(Node::Directory))
    }

    /// A new name, in a directory that is there.
    pub fn add(&mut self, path: &Path, node: Node) -> io::Result<()> {
        if self.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.check_parent(path)?;
        self.live.insert(path.to_owned(), node.clone());
        self.unsynced.push(Change::Set(path.to_owned(), node));
        Ok(())
    }

    pub fn add_directories(&mut self, path: &Path) -> io::Result<()> {
        let mut above: Vec<&Path> = path
            .ancestors()
            .filter(|above| above.parent().is_some())
            .collect();
        above.reverse();
        for directory in above {
            match self.live.get(directory) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => self.add(directory, Node::Directory)?,
            }
        }
        Ok(())
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.live.remove(path);
        self.unsynced.push(Change::Unset(path.to_owned()));
        Ok(())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = Node::File(self.file(from)?);
        self.check_parent(to)?;
        self.live.remove(from);
        self.live.insert(to.to_owned(), node.clone());
        self.unsynced
            .push(Change::Move(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.is_directory(parent) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Puts a name there durably, and the directories above it.
    pub fn put(&mut self, path: &Path, node: &Node) {
        for above in path.ancestors().skip(1).filter(|above| above.parent().is_some()) {
            self.live.insert(above.to_owned(), Node::Directory);
            self.durable.insert(above.to_owned(), Node::Directory);
        }
        self.live.insert(path.to_owned(), node.clone());
        self.durable.insert(path.to_owned(), node.clone());
    }

    /// Makes the names in a directory durable.
    pub fn sync(&mut self, directory: &Path) -> io::Result<()> {
        if !self.is_directory(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let is_here = |path: &Path| path.parent() == Some(directory);
        for change in std::mem::take(&mut self.unsynced) {
            let left = match change {
                Change::Set(path, _) | Change::Unset(path) if is_here(&path) => None,
                Change::Move(from, to, _) if is_here(&from) && is_here(&to) => None,
                Change::Move(from, to, node) if is_here(&from) => Some(Change::Set(to, node)),
                Change::Move(from, to, _) if is_here(&to) => Some(Change::Unset(from)),
                other => Some(other),
            };
            self.unsynced.extend(left);
        }
        self.durable.retain(|path, _| !is_here(path));
        let here = self.live.iter().filter(|(path, _)| is_here(path));
        self.durable
            .extend(here.map(|(path, node)| (path.clone(), node.clone())));
        Ok(())
    }

    /// As the next boot finds them; what lies in a directory that is gone is gone.
    pub fn after_power_loss(&self, survivors: Survivors, coin: &mut Coin) -> BTreeMap<PathBuf, Node> {
        let mut names = self.durable.clone();
        for change in &self.unsynced {
            let arrives = match survivors {
                Survivors::Synced => false,
                Survivors::Some => coin.toss(),
                Survivors::All => true,
            };
            if arrives {
                change.make(&mut names);
            }
        }
        let has_way = |path: &Path| {
            let above = path.ancestors().skip(1).filter(|above| above.parent().is_some());
            above
                .into_iter()
                .all(|above| matches!(names.get(above), Some(Node::Directory)))
        };
        let found = names.iter().filter(|(path, _)| has_way(path));
        found.map(|(path, node)| (path.clone(), node.clone())).collect()
    }

    /// Bytes of all files, each once.
    pub fn bytes(&self) -> usize {
        let mut files: Vec<&Arc<Mutex<Contents>>> = self.live.values().filter_map(Node::contents).collect();
        files.sort_by_key(|contents| Arc::as_ptr(contents));
        files.dedup_by_key(|contents| Arc::as_ptr(contents));
        files.into_iter().map(|contents| lock(contents).live.len()).sum()
    }
}

impl Change {
    fn make(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Change::Set(path, node) => drop(names.insert(path.clone(), node.clone())),
            Change::Unset(path) => drop(names.remove(path)),
            Change::Move(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
        }
    }
}

impl Node {
    fn contents(&self) -> Option<&Arc<Mutex<Contents>>> {
        match self {
            Node::File(contents) => Some(contents),
            Node::Directory => None,
        }
    }
}
