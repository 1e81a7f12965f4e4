//! The certificate of the TLS workloads, and both sides' configurations, made once on each thread.

use std::sync::Arc;

use asyncio::net::tls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use asyncio::net::tls::rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring};

pub(super) const NAME: &str = "localhost";

/// The configurations. Sessions are not resumed, so that each handshake is a full one.
#[derive(Clone, Debug)]
pub(super) struct Configurations {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

thread_local! {
    static MADE: Configurations = Configurations::make();
}

impl Configurations {
    pub(super) fn get() -> Self {
        MADE.with(Clone::clone)
    }

    fn make() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]);
        let made = made.expect("a certificate can be made");
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("it is a certificate");
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivateKeyDer::from(key))
            .expect("the key belongs to the certificate");
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = asyncio::net::tls::rustls::client::Resumption::disabled();
        Self {
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }
}
