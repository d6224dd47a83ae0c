//! A certificate authority for the tests, and TLS configurations with its certificates.
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use std::{fmt, sync::Arc};
use wsx::rustls::{
    ClientConfig, ConfigBuilder, ConfigSide, RootCertStore, ServerConfig, WantsVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};

/// Issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
#[derive(Debug)]
pub struct Issued {
    /// In DER.
    pub certificate: CertificateDer<'static>,
    /// In PEM.
    pub pem: String,
    key: KeyPair,
}

impl Default for Authority {
    fn default() -> Self {
        Self::named("an authority")
    }
}

impl Authority {
    /// Makes an authority with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut params = params(&[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, key()).expect("the parameters are consistent"))
    }

    /// Issues a certificate for these names.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.sign(&params(names))
    }

    /// Issues a certificate for these names that has expired.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        let mut params = params(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Issued {
        let key = key();
        let certificate = params.signed_by(&key, &self.0).expect("the parameters are consistent");
        Issued { certificate: certificate.der().clone(), pem: certificate.pem(), key }
    }

    /// Returns the authority's own certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("the certificate is an authority's");
        roots
    }

    /// Returns the configuration of a client that trusts this authority.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        with_ring(ClientConfig::builder_with_provider).with_root_certificates(self.roots()).with_no_client_auth()
    }

    /// Returns the configuration of a client that trusts this authority and has a certificate.
    #[must_use]
    pub fn client_with(&self, own: &Issued) -> ClientConfig {
        with_ring(ClientConfig::builder_with_provider)
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![own.certificate.clone()], own.private_key())
            .expect("the key belongs to the certificate")
    }

    /// Returns the configuration of a server with this certificate that requires client
    /// certificates of this authority.
    #[must_use]
    pub fn server_for_clients_with(&self, own: &Issued) -> ServerConfig {
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots().into(), provider()).build();
        with_ring(ServerConfig::builder_with_provider)
            .with_client_cert_verifier(clients.expect("the store has a root certificate"))
            .with_single_cert(vec![own.certificate.clone()], own.private_key())
            .expect("the key belongs to the certificate")
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Issued {
    /// Returns the configuration of a server with this certificate.
    #[must_use]
    pub fn server(&self) -> ServerConfig {
        with_ring(ServerConfig::builder_with_provider)
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.private_key())
            .expect("the key belongs to the certificate")
    }

    /// Returns the key in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("the names are valid")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the system has randomness")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn with_ring<Side: ConfigSide>(
    builder: impl FnOnce(Arc<CryptoProvider>) -> ConfigBuilder<Side, wsx::rustls::WantsVersions>,
) -> ConfigBuilder<Side, WantsVerifier> {
    builder(provider()).with_safe_default_protocol_versions().expect("ring supports the default versions")
}
