//! A disk that is soon full: a tmpfs of so many bytes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Scratch;

/// What fills the disk from outside.
const FILLER: &str = "filler";

/// A mounted disk. Dropped, it is unmounted. Mounting wants root, or sudo, as installing the servers does.
#[derive(Debug)]
pub struct SmallDisk {
    scratch: Scratch,
}

impl SmallDisk {
    /// Mounts one of this size.
    #[track_caller]
    pub fn mount(megabytes: u64) -> Self {
        let disk = Self {
            scratch: Scratch::new("disk"),
        };
        let path = disk.path().display().to_string();
        let size = format!("size={megabytes}m");
        as_root(&["mount", "-t", "tmpfs", "-o", &size, "weir-tests", &path]);
        disk
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Writes a file until nothing more fits.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file on the disk");
        let mut piece = &[0; 1 << 20][..];
        while !piece.is_empty() {
            if file.write_all(piece).is_err() {
                piece = &piece[..piece.len() / 2];
            }
        }
    }

    /// Takes that file away.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the file that filled the disk");
    }

    fn filler(&self) -> PathBuf {
        self.scratch.join(FILLER)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that was killed a moment ago may still hold files.
        let path = self.path().display().to_string();
        let _ = command(&["umount", "--lazy", &path]).status();
    }
}

fn command(words: &[&str]) -> Command {
    let words = match rustix::process::geteuid().is_root() {
        true => words.to_vec(),
        false => [&["sudo", "--non-interactive"], words].concat(),
    };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

#[track_caller]
fn as_root(words: &[&str]) {
    let status = command(words).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{words:?} wants root or sudo: {status:?}"
    );
}
