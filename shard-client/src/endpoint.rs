//! Where a replica is and how it is spoken to.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One replica's HTTP side, and the user that Weir itself is there.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// The HTTP or HTTPS port.
    pub port: u16,
    /// HTTPS.
    pub secure: bool,
    /// The user, sent as `X-ClickHouse-User`.
    pub user: String,
    /// The password, asked for at every request.
    pub password: Password,
    /// The database of statements that name none; the user's default otherwise.
    pub database: Option<String>,
    /// Certificates, read when the replica is made.
    pub tls: TlsFiles,
    /// The longest time for each of: one address's TCP connection, the TLS handshake.
    pub connect_timeout: Duration,
    /// The longest time in which nothing moves, neither the request's body nor the answer.
    pub receive_timeout: Duration,
}

impl Endpoint {
    /// `host:port`, an IPv6 address in brackets: a Host header and a name for people.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// PEM files of a TLS connection. All absent: the machine's own roots, no client certificate, the host's
/// name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Roots to trust instead of the machine's own.
    pub ca: Option<PathBuf>,
    /// Client certificate chain; needs `key`.
    pub cert: Option<PathBuf>,
    /// The client certificate's private key; needs `cert`.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must carry, where it is not `host`.
    pub server_name: Option<String>,
}

/// A password that is asked for whenever it is needed, so that a changed file counts without a restart. It is
/// never shown.
#[derive(Clone)]
pub struct Password(Arc<dyn Fn() -> io::Result<String> + Send + Sync>);

impl Password {
    /// A password known once and for all; empty means none.
    pub fn fixed(password: impl Into<String>) -> Password {
        let password = password.into();
        Password::from_fn(move || Ok(password.clone()))
    }

    /// A password read anew at each request. The function runs on the runtime's threads: it may read a small
    /// local file, and nothing slower.
    pub fn from_fn(read: impl Fn() -> io::Result<String> + Send + Sync + 'static) -> Password {
        Password(Arc::new(read))
    }

    pub(crate) fn read(&self) -> io::Result<String> {
        (self.0)()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(format!("{:?}", Password::fixed("secret")), "Password(hidden)");
    }
}
