use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use super::sim::SimDisk;
use super::*;

/// The same small life of a directory on any disk.
fn check_life(disk: &dyn Disk, directory: &Path) {
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

#[test]
fn what_was_not_synced_may_be_gone_and_what_was_is_not() {
    let disk = SimDisk::default();
    let (directory, path) = (Path::new("/d"), Path::new("/d/f"));
    let file = disk.create_new(path).unwrap();
    file.write_all_at(&[1; 512], 0).unwrap();
    file.sync().unwrap();
    assert!(
        !disk.after_power_loss(1).exists(path).unwrap(),
        "the name was not synced"
    );
    disk.sync_dir(directory).unwrap();
    file.write_all_at(&[2; 2048], 0).unwrap();
    let seeds: Vec<_> = (0..64)
        .map(|seed| disk.after_power_loss(seed * 2).read(path))
        .collect();
    assert!(seeds.iter().any(|bytes| bytes[0] == 1) && seeds.iter().any(|bytes| bytes[0] == 2));
    file.sync().unwrap();
    assert_eq!(disk.after_power_loss(1).read(path), [2; 2048]);
}

#[test]
fn a_writer_and_a_reader_go_on_where_they_were() {
    let disk = SimDisk::default();
    let file = disk.create_new(Path::new("/f")).unwrap();
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
