use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use super::sim::{Op, SimDisk};
use super::*;
use crate::files::now_ms;

/// The same small life of a directory on any disk.
fn check_life(disk: &dyn Disk, directory: &Path) {
    // The kernel's clock may be a tick behind.
    let began = now_ms() - 100;
    disk.create_dir_all(directory).unwrap();
    let (one, two, three) = (directory.join("1"), directory.join("2"), directory.join("3"));
    let file = disk.create_new(&one).unwrap();
    assert_eq!(
        disk.create_new(&one).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
    file.allocate(8).unwrap();
    file.write_all_at(b"row", 6).unwrap();
    file.sync().unwrap();
    assert_eq!((file.len().unwrap(), file.is_empty().unwrap()), (9, false));
    disk.rename(&one, &three).unwrap();
    disk.hard_link(&three, &two).unwrap();
    let taken = disk.hard_link(&three, &two).unwrap_err().kind();
    assert_eq!(taken, io::ErrorKind::AlreadyExists);
    let no_directory = disk.create_new(&one.join("f")).unwrap_err().kind();
    assert_eq!(no_directory, io::ErrorKind::NotFound);
    assert!(disk.changed_at_ms(&two).unwrap() >= began);
    disk.sync_dir(directory).unwrap();
    let entry = |name: &str| DirEntry {
        name: name.into(),
        bytes: 9,
        is_dir: false,
    };
    assert_eq!(disk.read_dir(directory).unwrap(), [entry("2"), entry("3")]);
    disk.remove_file(&three).unwrap();
    assert_eq!(
        (disk.exists(&two).unwrap(), disk.exists(&three).unwrap()),
        (true, false)
    );
    assert_eq!(disk.open(&three).unwrap_err().kind(), io::ErrorKind::NotFound);
    check_contents(disk, &two);
}

#[track_caller]
fn check_contents(disk: &dyn Disk, path: &Path) {
    let file = disk.open_read(path).unwrap();
    let mut bytes = [1; 20];
    assert_eq!(read_full_at(file.as_ref(), &mut bytes, 0).unwrap(), 9);
    assert_eq!(bytes[..9], *b"\0\0\0\0\0\0row");
    assert_eq!(read_full_at(file.as_ref(), &mut bytes, 9).unwrap(), 0);
    disk.open(path).unwrap().set_len(2).unwrap();
    assert_eq!(file.len().unwrap(), 2);
}

#[test]
fn the_real_disk_and_the_simulated_one_do_the_same() {
    let temporary = tempfile::tempdir().unwrap();
    check_life(&RealDisk, &temporary.path().join("a/b"));
    check_life(&SimDisk::default(), Path::new("/a/b"));
}

#[test]
fn files_and_directories_are_for_their_owner_only() {
    let temporary = tempfile::tempdir().unwrap();
    let directory = temporary.path().join("spool");
    RealDisk.create_dir_all(&directory).unwrap();
    RealDisk.create_new(&directory.join("file")).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("file"))), (0o700, 0o600));
}

fn simulated() -> SimDisk {
    SimDisk::with_directory(Path::new("/d"))
}

/// What comes of all of these power losses.
fn outcomes<T: Ord>(disk: &SimDisk, look: impl Fn(&SimDisk) -> T) -> std::collections::BTreeSet<T> {
    (0..64).map(|seed| look(&disk.after_power_loss(seed))).collect()
}

#[test]
fn what_was_not_synced_may_be_gone_and_what_was_is_not() {
    let disk = simulated();
    let (directory, path) = (Path::new("/d"), Path::new("/d/f"));
    let file = disk.create_new(path).unwrap();
    file.write_all_at(&[1; 512], 0).unwrap();
    file.sync().unwrap();
    let is_there = |disk: &SimDisk| disk.exists(path).unwrap();
    assert!(!is_there(&disk.after_power_loss_without_names(1)));
    assert!(is_there(&disk.after_power_loss_with_names(1)));
    assert_eq!(outcomes(&disk, is_there).len(), 2);
    disk.sync_dir(directory).unwrap();
    file.write_all_at(&[2; 2048], 0).unwrap();
    let first_bytes = outcomes(&disk, |disk| disk.read(path)[0]);
    assert_eq!(first_bytes.into_iter().collect::<Vec<_>>(), [1, 2]);
    file.sync().unwrap();
    assert_eq!(disk.after_power_loss(1).read(path), [2; 2048]);
    file.set_len(7).unwrap();
    assert_eq!(outcomes(&disk, |disk| disk.read(path).len()), [7, 2048].into());
}

#[test]
fn of_names_that_were_not_synced_some_survive_a_power_loss_and_some_do_not() {
    let disk = simulated();
    let path = |name: &str| Path::new("/d").join(name);
    for name in ["1", "2", "old"] {
        disk.create_new(&path(name)).unwrap();
    }
    disk.sync_dir(Path::new("/d")).unwrap();
    disk.remove_file(&path("1")).unwrap();
    disk.rename(&path("2"), &path("3")).unwrap();
    let names = outcomes(&disk, |disk| {
        let names = disk.read_dir(Path::new("/d")).unwrap().into_iter();
        names.map(|entry| entry.name).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["1 2 old", "1 3 old", "2 old", "3 old"]
    );
}

#[test]
fn what_lies_in_a_directory_that_was_not_synced_is_gone_with_it() {
    let disk = simulated();
    let (directory, path) = (Path::new("/d/new"), Path::new("/d/new/f"));
    assert_eq!(disk.create_new(path).unwrap_err().kind(), io::ErrorKind::NotFound);
    disk.create_dir_all(directory).unwrap();
    disk.create_new(path).unwrap();
    disk.sync_dir(directory).unwrap();
    assert!(!disk.after_power_loss_without_names(1).exists(path).unwrap());
    disk.sync_dir(Path::new("/d")).unwrap();
    assert!(disk.after_power_loss_without_names(1).exists(path).unwrap());
}

#[test]
fn a_fault_of_a_kind_comes_once() {
    let disk = simulated();
    let file = disk.create_new(Path::new("/d/f")).unwrap();
    disk.fail_once(Op::Write, 1, io::ErrorKind::Other);
    disk.fail_once(Op::Link, 0, io::ErrorKind::Other);
    assert!(disk.hard_link(Path::new("/d/f"), Path::new("/d/g")).is_err());
    assert!(disk.hard_link(Path::new("/d/f"), Path::new("/d/g")).is_ok());
    let results = [0, 1, 2].map(|at| file.write_all_at(b"x", at).is_ok());
    assert_eq!(results, [true, false, true]);
}

#[test]
fn a_sync_that_lost_its_bytes_is_followed_by_one_that_succeeds_without_them() {
    let disk = simulated();
    let (directory, path) = (Path::new("/d"), Path::new("/d/f"));
    let file = disk.create_new(path).unwrap();
    disk.sync_dir(directory).unwrap();
    file.write_all_at(b"lost", 0).unwrap();
    disk.lose_sync(0);
    assert!(file.sync().is_err());
    file.write_all_at(b"kept", 4).unwrap();
    file.sync().unwrap();
    assert_eq!(disk.read(path), b"lostkept");
    assert_eq!(disk.after_power_loss(1).read(path), b"\0\0\0\0kept");
}

#[test]
fn a_full_disk_takes_more_when_it_is_made_larger() {
    let disk = simulated();
    let file = disk.create_new(Path::new("/d/f")).unwrap();
    disk.set_capacity(Some(10));
    file.write_all_at(&[1; 10], 0).unwrap();
    file.write_all_at(&[2; 10], 0).unwrap();
    let full = file.write_all_at(&[1], 10).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert!(file.allocate(20).is_err());
    disk.set_capacity(Some(11));
    file.write_all_at(&[1], 10).unwrap();
    assert_eq!(disk.bytes(), 11);
}

#[test]
fn what_is_unreadable_is_an_error_to_read() {
    let disk = simulated();
    disk.create_new(Path::new("/d/f")).unwrap();
    disk.make_unreadable(Path::new("/d"));
    assert!(disk.read_dir(Path::new("/d")).is_err() && disk.open_read(Path::new("/d/f")).is_err());
    disk.heal();
    assert!(disk.read_dir(Path::new("/d")).is_ok());
}

#[test]
fn a_writer_and_a_reader_go_on_where_they_were() {
    let file = simulated().create_new(Path::new("/d/f")).unwrap();
    let mut writer = DiskWriter::new(Arc::clone(&file), 3);
    writer.write_all(b"one").unwrap();
    writer.write_all(b"two").unwrap();
    assert_eq!(writer.position(), 9);
    let mut text = String::new();
    DiskReader::new(writer.into_file(), 4..8)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "netw");
    text.clear();
    DiskReader::new(file, 8..100).read_to_string(&mut text).unwrap();
    assert_eq!(text, "o", "a range may reach beyond the file");
}
