//! TLS for listeners: certificate and key from PEM files.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Why a listener cannot speak TLS, naming the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing or holds something else.
    #[error("cannot read {file}: {error}")]
    File {
        /// Which file.
        file: String,
        /// What is wrong with it.
        error: rustls_pki_types::pem::Error,
    },
    /// The key does not belong to the certificate, or rustls cannot use it.
    #[error("certificate {file} and its key cannot be used: {error}")]
    Pair {
        /// The certificate's file.
        file: String,
        /// rustls' reason.
        error: rustls::Error,
    },
}

/// Reads a certificate chain and its key.
pub fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let in_file = |file: &Path| {
        let file = file.display().to_string();
        move |error| TlsError::File { file, error }
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .map_err(in_file(cert))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(in_file(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(in_file(key))?;
    let pair = |error| TlsError::Pair {
        file: cert.display().to_string(),
        error,
    };
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_none_is_refused_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cert.pem");
        std::fs::write(&file, "no PEM").unwrap();
        let error = acceptor(&file, &file).err().unwrap().to_string();
        assert!(error.contains("cert.pem"), "{error}");
    }

    #[test]
    fn a_certificate_with_its_key_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (cert, key) = (
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert!(acceptor(&cert, &key).is_ok());
    }
}
