//! The TLS side of a replica: which roots to trust, who we are, which name to expect.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio_rustls::TlsConnector;

use crate::endpoint::{Endpoint, TlsFiles};

/// Why a replica's TLS cannot be set up. Each is a mistake in the configuration or on this machine.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read, or holds something else.
    #[error("{}: cannot read {what}: {source}", path.display())]
    File {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file of roots holds no certificate.
    #[error("{}: holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The machine has no roots of its own and none were given.
    #[error("this machine has no trusted roots, give tls.ca: {0}")]
    NoRoots(String),
    /// Only one of certificate and key was given.
    #[error("tls.cert and tls.key are needed together")]
    HalfIdentity,
    /// The name to expect is neither a host name nor an address.
    #[error("{name:?} is no name that a certificate can carry: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: InvalidDnsNameError,
    },
    /// Certificate, key or root is not usable.
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
}

/// What a connection needs to become a TLS one.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    /// Reads the endpoint's files; `None` where it does not speak TLS.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Option<Tls>, TlsError> {
        if !endpoint.secure {
            return Ok(None);
        }
        let config = client_config(&endpoint.tls)?;
        let name = endpoint.tls.server_name.as_ref().unwrap_or(&endpoint.host);
        let name = ServerName::try_from(name.clone()).map_err(|source| TlsError::Name {
            name: name.clone(),
            source,
        })?;
        Ok(Some(Tls {
            connector: TlsConnector::from(Arc::new(config)),
            name,
        }))
    }
}

fn client_config(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let builder = builder()?.with_root_certificates(match &files.ca {
        Some(path) => roots_of(path)?,
        None => native_roots()?,
    });
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => Ok(builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?),
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) | (None, Some(_)) => Err(TlsError::HalfIdentity),
    }
}

/// The provider is named here, so that no other crate of the process can change it.
fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?)
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

/// The machine's roots. One that rustls cannot read harms only servers that it signed.
fn native_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoRoots(reasons.join("; ")));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::File {
        what: "certificates",
        path: path.to_owned(),
        source,
    };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if found.is_empty() {
        Err(TlsError::NoCertificate(path.to_owned()))
    } else {
        Ok(found)
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File {
        what: "private key",
        path: path.to_owned(),
        source,
    })
}
