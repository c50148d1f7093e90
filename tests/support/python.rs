//! The Python environment that `ci/python-environment` sets up, and what is made with it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What to say when the interpreter is missing.
pub(crate) const PACKAGE: &str = "ci/python-environment";

/// The interpreter: `WEIR_TEST_PYTHON`, else `.cache/venv` beside the workspace's Cargo.toml.
pub(crate) fn interpreter() -> PathBuf {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/venv/bin/python");
    std::env::var_os("WEIR_TEST_PYTHON").map_or_else(ours, PathBuf::from)
}

/// A script of this directory.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(name)
}

/// `bytes` as one of ClickHouse's compressed frames.
#[track_caller]
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new(interpreter());
    command
        .arg(script("frame.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run Python from {PACKAGE}: {e}"));
    // It reads all of its input before it writes, so writing first cannot block both.
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(bytes)
        .expect("frame.py reads its input");
    let output = child.wait_with_output().expect("frame.py runs");
    assert!(output.status.success(), "frame.py failed: {}", output.status);
    output.stdout
}
