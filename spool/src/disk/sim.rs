//! A disk in memory that forgets what was not synced, tears what was being written, and fails when told to.
//!
//! Injected:
//!
//! - every operation fails from the n-th on, or one of a kind does, once: the n-th write, sync, rename, link …;
//! - a sync fails and the next one succeeds, without the bytes: the kernel drops the dirty mark with the error;
//! - the disk is full, until it is made larger;
//! - a file or directory cannot be read, or is listed late;
//! - the power goes. Of each unsynced write some 512-byte sectors arrive, by a seed, and so do changes of length. Of
//!   names that were not synced, removed ones and directories included, none, some by the seed, or all are there.
//!
//! Not injected: sectors that change after they were synced; tests do that by [`SimDisk::edit`].

mod contents;
mod names;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use self::contents::Contents;
use self::names::{Names, Node, Survivors};
use super::{DirEntry, Disk, DiskFile};
use crate::files::now_ms;

/// A disk in memory. A clone is the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    released: Arc<Condvar>,
}

/// What changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// [`Disk::create_new`].
    CreateNew,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::hard_link`].
    Link,
    /// [`Disk::remove_file`].
    Remove,
    /// [`Disk::create_dir_all`].
    CreateDir,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`DiskFile::write_all_at`].
    Write,
    /// [`DiskFile::sync`].
    Sync,
    /// [`DiskFile::allocate`].
    Allocate,
    /// [`DiskFile::set_len`].
    SetLen,
}

#[derive(Debug, Default)]
struct World {
    names: Names,
    /// Operations that still succeed, then the error they fail with.
    fault: Option<(u64, io::ErrorKind)>,
    once: Vec<Once>,
    /// Below these nothing can be read.
    unreadable: Vec<PathBuf>,
    /// These cannot be listed.
    unlistable: Vec<PathBuf>,
    /// Who lists these waits.
    slow: Vec<PathBuf>,
    /// Bytes that fit; any number when unset.
    capacity: Option<usize>,
    operations: u64,
    syncs: u64,
}

/// A fault that comes once.
#[derive(Debug)]
struct Once {
    op: Op,
    /// Operations of the kind that still succeed.
    left: u64,
    kind: io::ErrorKind,
    /// What was not synced is forgotten.
    loses: bool,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    contents: Arc<Mutex<Contents>>,
}

// === faults ===

impl SimDisk {
    /// The operation after `operations` more changing ones fails, and every one after that.
    pub fn fail_after(&self, operations: u64, kind: io::ErrorKind) {
        self.world().fault = Some((operations, kind));
    }

    /// The operation of that kind after `left` more of them fails; the next one succeeds.
    pub fn fail_once(&self, op: Op, left: u64, kind: io::ErrorKind) {
        let once = Once {
            op,
            left,
            kind,
            loses: false,
        };
        self.world().once.push(once);
    }

    /// The file sync after `left` more fails, and what it was to write is on the disk neither then nor after the next.
    pub fn lose_sync(&self, left: u64) {
        let once = Once {
            op: Op::Sync,
            left,
            kind: io::ErrorKind::Other,
            loses: true,
        };
        self.world().once.push(once);
    }

    /// That file, or everything below that directory, cannot be read.
    pub fn make_unreadable(&self, path: &Path) {
        self.world().unreadable.push(path.to_owned());
    }

    /// That directory cannot be listed; what is in it can be read.
    pub fn fail_listing(&self, path: &Path) {
        self.world().unlistable.push(path.to_owned());
    }

    /// Who lists that directory waits until [`SimDisk::release_listings`].
    pub fn hold_listing(&self, path: &Path) {
        self.world().slow.push(path.to_owned());
    }

    /// Directories are listed again.
    pub fn release_listings(&self) {
        self.world().slow.clear();
        self.released.notify_all();
    }

    /// Only so many bytes fit, or any number.
    pub fn set_capacity(&self, bytes: Option<usize>) {
        self.world().capacity = bytes;
    }

    /// Faults that are to come once, and have not come yet.
    pub fn faults_left(&self) -> usize {
        self.world().once.len()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.world().names.bytes()
    }

    /// Operations succeed again.
    pub fn heal(&self) {
        let mut world = self.world();
        world.fault = None;
        world.once.clear();
        world.unreadable.clear();
        world.unlistable.clear();
        world.capacity = None;
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// File syncs so far.
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// The disk as the next boot finds it: what was synced, and by the coin of `seed` any sector and any name of what was
    /// not.
    pub fn after_power_loss(&self, seed: u64) -> SimDisk {
        self.after_power_loss_with(Survivors::Some, seed)
    }

    /// As [`SimDisk::after_power_loss`], on a file system that had written every name by itself.
    pub fn after_power_loss_with_names(&self, seed: u64) -> SimDisk {
        self.after_power_loss_with(Survivors::All, seed)
    }

    /// As [`SimDisk::after_power_loss`], with the synced names only.
    pub fn after_power_loss_without_names(&self, seed: u64) -> SimDisk {
        self.after_power_loss_with(Survivors::Synced, seed)
    }

    fn after_power_loss_with(&self, survivors: Survivors, seed: u64) -> SimDisk {
        let mut coin = Coin::new(seed);
        // Nothing begins meanwhile: all files are of one moment.
        let world = self.world();
        let names = world.names.after_power_loss(survivors, &mut coin);
        SimDisk::with(names.into_iter().map(|(path, node)| match node {
            Node::Directory => (path, node),
            Node::File(contents) => (path, Node::File(lock(&contents).after_power_loss(&mut coin))),
        }))
    }

    /// A disk of its own with the same files, all of them synced: what a copy has. A file of several names is several there.
    pub fn copy(&self) -> SimDisk {
        let world = self.world();
        SimDisk::with(world.names.live.iter().map(|(path, node)| match node {
            Node::Directory => (path.clone(), Node::Directory),
            Node::File(contents) => {
                let bytes = lock(contents).live.clone();
                (
                    path.clone(),
                    Node::File(Arc::new(Mutex::new(Contents::durable(bytes)))),
                )
            }
        }))
    }

    fn with(nodes: impl Iterator<Item = (PathBuf, Node)>) -> SimDisk {
        let disk = SimDisk::default();
        for (path, node) in nodes {
            disk.world().names.put(&path, &node);
        }
        disk
    }
}

// === what tests see and do past the spool ===

impl SimDisk {
    /// An empty disk with that directory.
    pub fn with_directory(path: &Path) -> SimDisk {
        SimDisk::with(std::iter::once((path.to_owned(), Node::Directory)))
    }

    /// Bytes of a file.
    #[track_caller]
    pub fn read(&self, path: &Path) -> Vec<u8> {
        let contents = self.world().names.file(path).expect("no such file");
        lock(&contents).live.clone()
    }

    /// Replaces a file, durably: what a bad disk, a restored copy or a person does.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let contents = Arc::new(Mutex::new(Contents::durable(bytes)));
        self.world().names.put(path, &Node::File(contents));
    }

    /// Changes a file's bytes, durably.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(path);
        change(&mut bytes);
        self.put(path, bytes);
    }

    /// Every file, in order of path.
    pub fn files(&self) -> Vec<PathBuf> {
        let world = self.world();
        let files = world.names.live.iter();
        files
            .filter(|(_, node)| matches!(node, Node::File(_)))
            .map(|(path, _)| path.clone())
            .collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }
}

impl World {
    /// Counts a changing operation, and fails it when its time has come.
    fn step(&mut self, op: Op) -> Result<(), Failure> {
        self.operations += 1;
        match &mut self.fault {
            Some((0, kind)) => return Err(Failure::plain(*kind)),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        let mut failure = None;
        self.once.retain_mut(|once| {
            if once.op != op || failure.is_some() {
                return true;
            }
            if once.left > 0 {
                once.left -= 1;
                return true;
            }
            failure = Some(Failure {
                kind: once.kind,
                loses: once.loses,
            });
            false
        });
        failure.map_or(Ok(()), Err)
    }

    fn check_room(&self, more: usize) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if more > 0 && self.names.bytes() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn check_readable(&self, path: &Path) -> io::Result<()> {
        let is_readable = !self.unreadable.iter().any(|bad| path.starts_with(bad));
        is_readable
            .then_some(())
            .ok_or_else(|| io::Error::other("injected read error"))
    }
}

struct Failure {
    kind: io::ErrorKind,
    loses: bool,
}

impl Failure {
    fn plain(kind: io::ErrorKind) -> Failure {
        Failure { kind, loses: false }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> io::Error {
        io::Error::new(failure.kind, "injected fault")
    }
}

// === the disk ===

impl SimDisk {
    fn find(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.world();
        world.check_readable(path)?;
        let contents = world.names.file(path)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            path: path.to_owned(),
            contents,
        }))
    }

    /// A rename, and a further name, set the time of change.
    fn touch(&self, path: &Path) {
        if let Ok(contents) = self.world().names.file(path) {
            lock(&contents).changed_at_ms = now_ms();
        }
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        {
            let mut world = self.world();
            world.step(Op::CreateNew)?;
            world.names.add(path, Node::File(Arc::default()))?;
        }
        self.touch(path);
        self.find(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.find(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.find(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        {
            let mut world = self.world();
            world.step(Op::Rename)?;
            world.names.rename(from, to)?;
        }
        self.touch(to);
        Ok(())
    }

    fn hard_link(&self, file: &Path, link: &Path) -> io::Result<()> {
        {
            let mut world = self.world();
            world.step(Op::Link)?;
            let contents = world.names.file(file)?;
            world.names.add(link, Node::File(contents))?;
        }
        self.touch(link);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step(Op::Remove)?;
        world.names.remove(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step(Op::CreateDir)?;
        world.names.add_directories(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.step(Op::SyncDir)?;
        world.names.sync(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut world = self.world();
        while world.slow.iter().any(|slow| slow == path) {
            world = self
                .released
                .wait(world)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        world.check_readable(path)?;
        if world.unlistable.iter().any(|bad| bad == path) {
            return Err(io::Error::other("injected read error"));
        }
        if !world.names.is_directory(path) {
            world.names.get(path)?;
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let here = world
            .names
            .live
            .iter()
            .filter(|(name, _)| name.parent() == Some(path));
        let entries = here.map(|(name, node)| DirEntry {
            name: name
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            bytes: match node {
                Node::Directory => 0,
                Node::File(contents) => lock(contents).live.len() as u64,
            },
            is_dir: matches!(node, Node::Directory),
        });
        Ok(entries.collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.world().names.get(path).is_ok())
    }

    fn free_bytes(&self, _path: &Path) -> Option<u64> {
        let world = self.world();
        let capacity = world.capacity?;
        Some(capacity.saturating_sub(world.names.bytes()) as u64)
    }

    fn changed_at_ms(&self, path: &Path) -> io::Result<u64> {
        let contents = self.world().names.file(path)?;
        let changed = lock(&contents).changed_at_ms;
        Ok(changed)
    }
}

impl SimFile {
    /// Counts an operation that makes the file at least so long.
    fn grow(&self, op: Op, bytes: usize) -> io::Result<()> {
        let mut world = self.disk.world();
        world.step(op)?;
        let len = lock(&self.contents).live.len();
        world.check_room(bytes.saturating_sub(len))
    }
}

impl DiskFile for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.grow(Op::Write, offset as usize + bytes.len())?;
        let mut contents = lock(&self.contents);
        contents.changed_at_ms = now_ms();
        contents.write(offset as usize, bytes.to_vec());
        Ok(())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.world().check_readable(&self.path)?;
        let contents = lock(&self.contents);
        let from = contents.live.get(offset as usize..).unwrap_or_default();
        let bytes = from.len().min(into.len());
        into[..bytes].copy_from_slice(&from[..bytes]);
        Ok(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        if let Err(failure) = world.step(Op::Sync) {
            if failure.loses {
                lock(&self.contents).lose_unsynced();
            }
            return Err(failure.into());
        }
        world.syncs += 1;
        lock(&self.contents).sync();
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.grow(Op::Allocate, bytes as usize)?;
        let mut contents = lock(&self.contents);
        let len = contents.live.len();
        if len < bytes as usize {
            contents.write(len, vec![0; bytes as usize - len]);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.grow(Op::SetLen, bytes as usize)?;
        lock(&self.contents).set_len(bytes as usize);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.contents).live.len() as u64)
    }
}

/// xorshift64: the same seed, the same disk.
#[derive(Debug)]
struct Coin(u64);

impl Coin {
    /// Seeds that are close to each other give coins that are not.
    fn new(seed: u64) -> Coin {
        Coin((seed ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1)
    }

    fn toss(&mut self) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 & 0x1_0000 != 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
