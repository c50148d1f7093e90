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
    use std::path::PathBuf;
    use std::time::Duration;

    use hyper::body::Incoming;
    use shard_client::{Endpoint, Password, Replica, TlsFiles};

    use super::*;
    use crate::http::answer::{self, Answer};
    use crate::http::{Handler, Listener, Peer, serve};

    #[test]
    fn a_certificate_that_is_none_is_refused_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cert.pem");
        std::fs::write(&file, "no PEM").unwrap();
        let error = acceptor(&file, &file).err().unwrap().to_string();
        assert!(error.contains("cert.pem"), "{error}");
    }

    /// Answers `/ping` as a ClickHouse server does.
    struct Ping;

    impl Handler for Ping {
        async fn handle(self: Arc<Self>, _: Peer, _: hyper::Request<Incoming>) -> Answer {
            answer::text(http::StatusCode::OK, "Ok.\n")
        }
    }

    /// How Weir reaches a replica of that port, trusting the authority of `ca`.
    fn replica(port: u16, ca: Option<PathBuf>) -> Replica {
        let endpoint = Endpoint {
            host: "localhost".into(),
            port,
            secure: true,
            user: "default".into(),
            password: Password::fixed(""),
            database: None,
            tls: TlsFiles {
                ca,
                ..TlsFiles::default()
            },
            connect_timeout: Duration::from_secs(5),
            receive_timeout: Duration::from_secs(5),
        };
        Replica::new(endpoint, 1).unwrap()
    }

    #[tokio::test]
    async fn weir_speaks_tls_both_ways_and_trusts_only_the_authority_it_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (cert, key) = (
            directory.path().join("cert.pem"),
            directory.path().join("key.pem"),
        );
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

        let tls = acceptor(&cert, &key).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Some(tls))
            .await
            .unwrap();
        let port = listener.address().unwrap().port();
        tokio::spawn(serve(listener, 10, Arc::new(Ping), std::future::pending()));

        replica(port, Some(cert)).ping().await.unwrap();
        let stranger = replica(port, None).ping().await.unwrap_err();
        assert!(
            matches!(stranger.failure, shard_client::Failure::Tls(_)),
            "{stranger}"
        );
    }
}
