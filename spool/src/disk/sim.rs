//! A disk in memory that forgets what was not synced, tears what was being written, and fails when told to.
//!
//! Injected: the n-th operation fails; the power goes, and of each unsynced write some 512-byte sectors
//! arrive, by a seed; names that were not synced are gone. Not injected: sectors that change after they were
//! synced; tests do that by
//! [`SimDisk::edit`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{DirEntry, Disk, DiskFile};

/// What a disk writes in one go.
const SECTOR_BYTES: usize = 512;

/// A disk in memory. A clone is the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    /// Names as the process sees them.
    names: BTreeMap<PathBuf, Arc<Mutex<Contents>>>,
    /// Names as they are after a power loss.
    durable_names: BTreeMap<PathBuf, Arc<Mutex<Contents>>>,
    /// Operations that still succeed, then the error they fail with.
    fault: Option<(u64, io::ErrorKind)>,
    operations: u64,
    syncs: u64,
}

#[derive(Debug, Default, Clone)]
struct Contents {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    contents: Arc<Mutex<Contents>>,
}

impl SimDisk {
    /// The operation after `operations` more changing ones fails, and every one after that.
    pub fn fail_after(&self, operations: u64, kind: io::ErrorKind) {
        self.world().fault = Some((operations, kind));
    }

    /// Operations succeed again.
    pub fn heal(&self) {
        self.world().fault = None;
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// File syncs so far.
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// The disk as the next boot finds it: what was synced, and by the coin of `seed` any sector of what was
    /// not. Of names only the synced.
    pub fn after_power_loss(&self, seed: u64) -> SimDisk {
        let names = self.world().durable_names.clone();
        SimDisk::after_power_loss_with(names, seed)
    }

    /// As [`SimDisk::after_power_loss`], on a file system that had written every name by itself.
    pub fn after_power_loss_with_names(&self, seed: u64) -> SimDisk {
        let names = self.world().names.clone();
        SimDisk::after_power_loss_with(names, seed)
    }

    fn after_power_loss_with(names: BTreeMap<PathBuf, Arc<Mutex<Contents>>>, seed: u64) -> SimDisk {
        let mut coin = Coin(seed | 1);
        let names: BTreeMap<_, _> = names
            .into_iter()
            .map(|(path, file)| (path, lock(&file).after_power_loss(&mut coin)))
            .collect();
        let world = World {
            durable_names: names.clone(),
            names,
            ..World::default()
        };
        SimDisk {
            world: Arc::new(Mutex::new(world)),
        }
    }

    /// Bytes of a file.
    #[track_caller]
    pub fn read(&self, path: &Path) -> Vec<u8> {
        lock(self.world().names.get(path).expect("no such file"))
            .live
            .clone()
    }

    /// Replaces a file, durably: what a bad disk, a restored copy or a person does.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let contents = Contents {
            durable: bytes.clone(),
            live: bytes,
            unsynced: Vec::new(),
        };
        let contents = Arc::new(Mutex::new(contents));
        let mut world = self.world();
        world.names.insert(path.to_owned(), Arc::clone(&contents));
        world.durable_names.insert(path.to_owned(), contents);
    }

    /// Changes a file's bytes, durably.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.read(path);
        change(&mut bytes);
        self.put(path, bytes);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Counts a changing operation, and fails it when its time has come.
    fn step(&self) -> io::Result<()> {
        let mut world = self.world();
        world.operations += 1;
        match &mut world.fault {
            Some((0, kind)) => Err(io::Error::new(*kind, "injected fault")),
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let contents = self
            .world()
            .names
            .get(path)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            contents,
        }))
    }
}

impl Disk for SimDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.step()?;
        if self.exists(path)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.world().names.insert(path.to_owned(), Arc::default());
        self.find(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.find(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.find(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let mut world = self.world();
        let file = world.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(to.to_owned(), file);
        Ok(())
    }

    fn hard_link(&self, file: &Path, link: &Path) -> io::Result<()> {
        self.step()?;
        let mut world = self.world();
        let contents = world.names.get(file).cloned().ok_or(io::ErrorKind::NotFound)?;
        world.names.insert(link.to_owned(), contents);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.world()
            .names
            .remove(path)
            .map(|_| ())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        self.step()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let mut world = self.world();
        world.durable_names.retain(|name, _| name.parent() != Some(path));
        let here: Vec<_> = world
            .names
            .iter()
            .filter(|(name, _)| name.parent() == Some(path))
            .collect();
        let here: Vec<_> = here
            .into_iter()
            .map(|(name, file)| (name.clone(), Arc::clone(file)))
            .collect();
        world.durable_names.extend(here);
        Ok(())
    }

    /// Directories are there as long as something is in them.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let world = self.world();
        let mut entries: Vec<DirEntry> = Vec::new();
        for (name, file) in &world.names {
            let Ok(below) = name.strip_prefix(path) else {
                continue;
            };
            let mut parts = below.components();
            let Some(first) = parts.next() else { continue };
            let is_dir = parts.next().is_some();
            let name = first.as_os_str().to_string_lossy().into_owned();
            let bytes = if is_dir { 0 } else { lock(file).live.len() as u64 };
            let entry = DirEntry { name, bytes, is_dir };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.world().names.keys().any(|name| name.starts_with(path)))
    }
}

impl DiskFile for SimFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.step()?;
        lock(&self.contents).write(offset as usize, bytes.to_vec());
        Ok(())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = lock(&self.contents);
        let from = contents.live.get(offset as usize..).unwrap_or_default();
        let bytes = from.len().min(into.len());
        into[..bytes].copy_from_slice(&from[..bytes]);
        Ok(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.step()?;
        self.disk.world().syncs += 1;
        lock(&self.contents).sync();
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.step()?;
        let mut contents = lock(&self.contents);
        let len = contents.live.len();
        if len < bytes as usize {
            contents.write(len, vec![0; bytes as usize - len]);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.step()?;
        lock(&self.contents).live.resize(bytes as usize, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.contents).live.len() as u64)
    }
}

impl Contents {
    fn write(&mut self, offset: usize, bytes: Vec<u8>) {
        overwrite(&mut self.live, offset, &bytes);
        self.unsynced.push((offset, bytes));
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        self.unsynced.clear();
    }

    fn after_power_loss(&self, coin: &mut Coin) -> Arc<Mutex<Contents>> {
        let mut bytes = self.durable.clone();
        for (offset, written) in &self.unsynced {
            for (sector, chunk) in written.chunks(SECTOR_BYTES).enumerate() {
                if coin.toss() {
                    overwrite(&mut bytes, offset + sector * SECTOR_BYTES, chunk);
                }
            }
        }
        Arc::new(Mutex::new(Contents {
            live: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
        }))
    }
}

fn overwrite(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// xorshift64: the same seed, the same disk.
struct Coin(u64);

impl Coin {
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
