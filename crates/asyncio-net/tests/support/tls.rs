//! Certificates for the tests of TLS.

use asyncio_net::tls::rustls::RootCertStore;
use asyncio_net::tls::{TlsAcceptor, TlsConnector};

/// A server's certificate for `localhost`, and a client that trusts it.
pub(crate) fn both_sides() -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = made.signing_key.serialize_pem();
    let acceptor = TlsAcceptor::from_pem(&made.cert.pem(), &key).unwrap();
    (acceptor, TlsConnector::with_roots(roots))
}
