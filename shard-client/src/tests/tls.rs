use std::fs;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::endpoint;
use super::mock::{Mock, Reply};
use crate::{Class, Endpoint, Failure, Replica, ShardError, TlsError, TlsFiles, Views, Wrote};

/// An authority of our own, its certificates in a directory.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, directory }
    }

    /// A certificate for this name, in `<name>.pem` and `<name>.key`.
    fn sign(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        fs::write(self.path(name, "pem"), certificate.pem()).unwrap();
        fs::write(self.path(name, "key"), key.serialize_pem()).unwrap();
        (
            certificate.der().clone(),
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
    }

    fn path(&self, name: &str, extension: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("{name}.{extension}"))
    }

    fn trusting(&self) -> TlsFiles {
        TlsFiles {
            ca: Some(self.path("ca", "pem")),
            ..TlsFiles::default()
        }
    }

    /// A server of this name that asks its clients for a certificate, if wanted.
    fn server(&self, name: &str, ask_client: bool) -> TlsAcceptor {
        let (certificate, key) = self.sign(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.unwrap();
        let builder = if ask_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap()).into()
    }
}

fn secure(port: u16, tls: TlsFiles) -> Result<Replica, TlsError> {
    Replica::new(
        Endpoint {
            secure: true,
            tls,
            ..endpoint(port)
        },
        1,
    )
}

async fn ping(acceptor: TlsAcceptor, tls: TlsFiles, expected: Option<Reply>) -> Result<(), ShardError> {
    let mock = Mock::start_with(expected, Some(acceptor)).await;
    secure(mock.port, tls).unwrap().ping().await
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_spoken_to() {
    let authority = Authority::new();
    let acceptor = authority.server("127.0.0.1", false);
    ping(acceptor, authority.trusting(), Some(Reply::ok("Ok.\n")))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_may_carry_another_name_where_that_is_said() {
    let authority = Authority::new();
    let named = TlsFiles {
        server_name: Some("ch.internal".into()),
        ..authority.trusting()
    };
    ping(
        authority.server("ch.internal", false),
        named,
        Some(Reply::ok("Ok.\n")),
    )
    .await
    .unwrap();
    let error = ping(authority.server("ch.internal", false), authority.trusting(), None)
        .await
        .unwrap_err();
    assert!(matches!(error.failure, Failure::Tls(_)), "{error}");
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_a_held_destination() {
    let error = ping(
        Authority::new().server("127.0.0.1", false),
        Authority::new().trusting(),
        None,
    )
    .await
    .unwrap_err();
    assert_eq!(
        (error.class(), error.wrote(Views::Possible)),
        (Class::Destination, Wrote::Nothing),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let authority = Authority::new();
    authority.sign("weir");
    let ours = TlsFiles {
        cert: Some(authority.path("weir", "pem")),
        key: Some(authority.path("weir", "key")),
        ..authority.trusting()
    };
    ping(
        authority.server("127.0.0.1", true),
        ours,
        Some(Reply::ok("Ok.\n")),
    )
    .await
    .unwrap();
    assert!(
        ping(authority.server("127.0.0.1", true), authority.trusting(), None)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn plain_http_behind_a_secure_endpoint_is_an_error_and_not_a_wait() {
    let mock = Mock::start([]).await;
    let authority = Authority::new();
    let tls = TlsFiles {
        ..authority.trusting()
    };
    let endpoint = Endpoint {
        secure: true,
        tls,
        connect_timeout: super::IMPATIENT,
        ..endpoint(mock.port)
    };
    let error = Replica::new(endpoint, 1).unwrap().ping().await.unwrap_err();
    assert!(
        matches!(error.failure, Failure::Tls(_) | Failure::Timeout { .. }),
        "{error}"
    );
}

#[track_caller]
fn check_refused(tls: TlsFiles, expected: &str) {
    let error = secure(1, tls).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn unusable_files_are_named() {
    let authority = Authority::new();
    authority.sign("weir");
    let (cert, key) = (authority.path("weir", "pem"), authority.path("weir", "key"));
    check_refused(
        TlsFiles {
            cert: Some(cert),
            ..authority.trusting()
        },
        "tls.cert and tls.key are needed together",
    );
    check_refused(
        TlsFiles {
            ca: Some(key),
            ..TlsFiles::default()
        },
        "weir.key: holds no certificate",
    );
    check_refused(
        TlsFiles {
            ca: Some("/nowhere.pem".into()),
            ..TlsFiles::default()
        },
        "/nowhere.pem: cannot read",
    );
    check_refused(
        TlsFiles {
            server_name: Some("not a name".into()),
            ..authority.trusting()
        },
        "\"not a name\" is no",
    );
}
