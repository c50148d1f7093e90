//! Passwords and tokens: where they come from, and that they are never shown.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::file::{At, Section, Source};

/// No password is longer; whoever names a larger file named the wrong one.
const SECRET_BYTES_MAX: u64 = 4096;

/// A password or token and where it comes from.
///
/// Neither `Debug` nor `Display` shows it. Two secrets are equal when they come from the same file
/// or are the same text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Origin);

#[derive(Clone, PartialEq, Eq)]
enum Origin {
    /// Written in the configuration or taken from the environment when that was read.
    Text(Arc<str>),
    /// The first line of a file.
    File(Arc<Path>),
}

/// A secret's text. `Debug` does not show it; [`Password::expose`] does.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<str>);

/// Why a secret cannot be read now. It may be readable later.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file that should hold the secret.
        file: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// The file is no password.
    #[error("{} does not hold a password: {reason}", file.display())]
    NotAPassword {
        /// The file that should hold the secret.
        file: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Secret {
    /// A secret that is known already; the empty one is ClickHouse's "no password".
    pub fn of_text(text: &str) -> Secret {
        Secret(Origin::Text(text.into()))
    }

    /// A secret that is the only line of a file.
    pub fn of_file(path: &Path) -> Secret {
        Secret(Origin::File(path.into()))
    }

    /// The secret as it is now. A file is read again at each call, so that a rotated password holds from the
    /// next request on; that costs a few microseconds, far less than the request it is for.
    pub fn read(&self) -> Result<Password, SecretError> {
        match &self.0 {
            Origin::Text(text) => Ok(Password(Arc::clone(text))),
            Origin::File(path) => read_file(path),
        }
    }
}

impl Password {
    /// The text itself, for the header that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

fn read_file(path: &Path) -> Result<Password, SecretError> {
    let unreadable = |error| SecretError::Unreadable {
        file: path.to_owned(),
        error,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let not_a_password = |reason| SecretError::NotAPassword {
        file: path.to_owned(),
        reason,
    };
    match one_line(&bytes).map_err(not_a_password)? {
        // Not "no password": the file is just being written, or nothing was ever put into it.
        "" => Err(not_a_password("it is empty")),
        line => Ok(Password(line.into())),
    }
}

/// The only line of a file, without its end: editors add one, and HTTP headers cannot carry it.
fn one_line(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err("it is longer than 4096 bytes");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.contains(|c: char| c.is_control()) {
        true => Err("it has more than one line, or control characters"),
        false => Ok(line),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

/// Where the secret comes from, for messages.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Text(text) if text.is_empty() => f.write_str("none"),
            Origin::Text(_) => f.write_str("hidden"),
            Origin::File(path) => write!(f, "from {}", path.display()),
        }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

// === reading one from the configuration ===

/// `password`, `password_file` or `password_env` of a section; at most one of them.
pub(crate) fn read_password(section: &Section<'_>) -> Option<Secret> {
    let text = section.text("password");
    let file = read_secret_file(section, "password_file");
    let variable = section.text("password_env");
    let said = ["password", "password_file", "password_env"].map(|key| section.has(key));
    if said.iter().filter(|said| **said).count() > 1 {
        section.mistake("password, password_file and password_env exclude each other");
    }
    let written = text.and_then(|text| written_password(section.source, &text));
    let inherited = variable.and_then(|name| variable_password(section.source, &name));
    written.or(file).or(inherited)
}

/// A secret that stands in a file; the file is tried, so that a wrong path is told with its line.
pub(crate) fn read_secret_file(section: &Section<'_>, key: &'static str) -> Option<Secret> {
    let written = section.text(key)?;
    let path = section.source.env.path(&written);
    let secret = Secret::of_file(&path);
    if let Err(error) = secret.read() {
        section.source.mistake(written.offset, format!("{key}: {error}"));
        return None;
    }
    warn_if_readable_by_all(section.source, written.offset, &path);
    Some(secret)
}

fn written_password(source: &Source<'_>, text: &At<String>) -> Option<Secret> {
    let checked = one_line(text.as_bytes()).map_err(|reason| format!("password: {reason}"));
    source
        .accept(text.offset, checked.map(Secret::of_text))
        .map(|secret| secret.value)
}

fn variable_password(source: &Source<'_>, name: &At<String>) -> Option<Secret> {
    let value = source.env.variable(name);
    let value =
        value.ok_or_else(|| format!("password_env: environment variable '{}' is not set", name.value));
    let checked = value
        .and_then(|value| one_line(value.as_bytes()).map_err(|reason| format!("password_env: {reason}")));
    source
        .accept(name.offset, checked.map(Secret::of_text))
        .map(|secret| secret.value)
}

fn warn_if_readable_by_all(source: &Source<'_>, offset: usize, path: &Path) {
    let readable = std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
    if readable {
        source.warning(
            offset,
            format!("{} can be read by every user of this machine", path.display()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[track_caller]
    fn check_file(bytes: &[u8], expected: Result<&str, &str>) {
        let file = file_with(bytes);
        let found = Secret::of_file(file.path()).read();
        match expected {
            Ok(text) => assert_eq!(found.unwrap().expose(), text),
            Err(reason) => assert!(found.unwrap_err().to_string().ends_with(reason)),
        }
    }

    #[test]
    fn a_file_is_its_only_line_without_the_end() {
        check_file(b"hunter2\n", Ok("hunter2"));
        check_file(b"hunter2\r\n", Ok("hunter2"));
        check_file(b" spaces stay ", Ok(" spaces stay "));
    }

    #[test]
    fn a_file_that_is_no_password_is_refused_with_the_reason() {
        check_file(b"a\nb\n", Err("it has more than one line, or control characters"));
        check_file(b"\xff", Err("it is not UTF-8"));
        check_file(b"", Err("it is empty"));
        check_file(b"\n", Err("it is empty"));
        check_file(&[b'x'; 5000], Err("it is longer than 4096 bytes"));
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let file = file_with(b"old\n");
        let secret = Secret::of_file(file.path());
        assert_eq!(secret.read().unwrap().expose(), "old");
        std::fs::write(file.path(), b"new\n").unwrap();
        assert_eq!(secret.read().unwrap().expose(), "new");
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = Secret::of_file(Path::new("/nowhere/pw")).read().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read /nowhere/pw: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn nothing_that_can_be_printed_shows_the_secret() {
        let secret = Secret::of_text("hunter2");
        let shown = format!("{secret} {secret:?} {:?}", secret.read().unwrap());
        assert_eq!(shown, "hidden Secret(hidden) Password(hidden)");
    }
}
